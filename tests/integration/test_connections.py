# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real host, reached in every way at once, each with a ROOT of its own: connection, transfer method, pipelining, become, account, push and pull.

The host needs tests/hosts/hosts, root included. AIRGAP_TEST_PODMAN names the connection plugin for containers; ours by default.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.blob_server import BlobServer, private_ca
from ansible_collections.airgap.golang.tests.support.deployed_depot import playbook_on
from ansible_collections.airgap.golang.tests.support.small_generation import make_generation

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST = "bridge"
BIG = 5 << 20
PASSWORD = "s3cret-of-the-mirror"

WAYS: dict[str, dict[str, t.Any]] = {
    "ssh-become": {"ansible_become": True},
    "ssh-become-pipelining": {"ansible_become": True, "ansible_pipelining": True},
    "ssh-become-scp": {"ansible_become": True, "ansible_ssh_transfer_method": "scp"},
    "ssh-become-piped": {"ansible_become": True, "ansible_ssh_transfer_method": "piped"},
    "ssh-root": {"ansible_user": "root"},
    "ssh-own": {"ansible_user": "builder"},
    "ssh-own-pipelining": {"ansible_user": "builder", "ansible_pipelining": True},
    "ssh-become-another": {"ansible_become": True, "ansible_become_user": "builder", "ansible_shell_allow_world_readable_temp": True},
    "ssh-become-another-pipelining": {"ansible_become": True, "ansible_become_user": "builder", "ansible_pipelining": True},
    "container": {"ansible_connection": os.environ.get("AIRGAP_TEST_PODMAN", "contained"), "ansible_host": HOST},
    "pull": {"ansible_become": True, "transfer": "pull"},
    "pull-own": {"ansible_user": "builder", "transfer": "pull"},
    "auto-with-a-mirror-that-lacks-one": {"ansible_become": True, "transfer": "auto"},
}


def hosts(*arguments: str) -> str:
    return subprocess.run([sys.executable, str(ROOT / "tests/hosts/hosts"), *arguments], check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout


class Matrix:
    """What three runs over all ways at once said: by way, the deploy's result; and the output."""

    def __init__(self, top: pathlib.Path, inventory: dict[str, t.Any], mirror: BlobServer, gateway_ca: str) -> None:
        self.top = top
        self.mirror = mirror
        depot = Depot(str(top / "depot"))
        self.big = make_generation(depot, 1, modules={("example.com/big", "v1.0.0"): {"big.bin": os.urandom(BIG)}})
        given = {}
        for way, variables in WAYS.items():
            user = variables.get("ansible_become_user", variables.get("ansible_user", "root"))
            root = f"/home/builder/airgap {way}" if user == "builder" else f"/opt/airgap-{way}"
            given[way] = {**inventory, "root": root, "ansible_remote_tmp": "~/.ansible/tmp", **variables}
            if variables.get("ansible_connection"):
                del given[way]["ansible_user"]
        task = {
            "depot": depot.path,
            "root": "{{ root }}",
            "link_dir": "",
            "tools_dir": "",
            "goenv": "GOFLAGS=-mod=mod\n",
            "transfer": "{{ transfer | default('push') }}",
            "mirrors": [mirror.url],
            "mirror_ca": gateway_ca,
            "mirror_user": "site",
            "mirror_password": "{{ mirror_password }}",
        }
        self.task = [{"name": "Deploy", "airgap.golang.deploy": task}]
        self.hosts = given

    def run(self, name: str, *options: str) -> tuple[dict[str, dict[str, t.Any]], str]:
        variables = {"mirror_password": PASSWORD}
        return playbook_on(self.top / name, self.task, variables, self.hosts, *options, "--forks=4")


@pytest.fixture(scope="module")
def matrix() -> t.Iterator[Matrix]:
    top = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-ways-"))
    try:
        hosts("up", HOST)
        inventory = json.loads(hosts("inventory", HOST))["all"]["hosts"][HOST]
        gateway = re.sub(r"[0-9]+$", "1", inventory["ansible_host"])
        ca, pair = private_ca(top / "ca", gateway)
        with BlobServer(str(top / "depot"), tls=pair, address=gateway) as mirror:
            mirror.login = f"site:{PASSWORD}"
            yield Matrix(top, inventory, mirror, ca.read_text())
    finally:
        hosts("down", HOST)
        remove_tree(str(top))


def test_every_way_leads_there(matrix: Matrix) -> None:
    big = max(layer.size for layer in matrix.big.manifest.layers)
    victim = next(layer.hex for layer in matrix.big.manifest.layers if layer.size == big)
    # What "auto" can't pull it must get by push; for the others it's served.
    lacking = {"now": False}
    matrix.mirror.fail = lambda path, before: 404 if lacking["now"] and victim in path else 0
    without = {name: entry for name, entry in matrix.hosts.items() if not name.startswith("auto")}
    checked, _output = matrix.run("check", "--check", "--limit=!auto*")
    wrong = {way: told for way, told in checked.items() if not told.get("changed")}
    assert set(checked) == set(without) and not wrong, wrong
    first, output = matrix.run("first", "-vvv", "--limit=!auto*")
    lacking["now"] = True
    rest, more = matrix.run("auto", "-vvv", "--limit=auto*")
    first.update(rest)
    assert set(first) == set(WAYS)
    for way, told in first.items():
        assert told.get("changed") and not told.get("failed"), f"{way}: {told}"
        total = told["transferred"]
        assert total > BIG and told["pulled"] == {"pull": total, "auto": total - big}.get(WAYS[way].get("transfer", ""), 0), way
        if way in checked:
            assert all(told[name] == checked[way][name] for name in ("transferred", "bytes", "inodes", "diff")), way
    assert PASSWORD not in output + more, "the mirror's password is in the log"
    again, _output = matrix.run("again")
    assert {way: told["changed"] for way, told in again.items()} == dict.fromkeys(WAYS, False)


def test_it_belongs_to_whom_it_should(matrix: Matrix) -> None:
    each = 'stat -c "%U %n" "$at" "$at"/current/; ls -A "$at/depot/staging"'
    script = f"for at in /opt/airgap-* /home/builder/airgap*; do {each}; done; ls -A /home/*/.ansible/tmp /root/.ansible/tmp"
    said = subprocess.run(["ssh", "-F", str(ROOT / ".build/hosts/ssh_config"), f"root@{HOST}", script], stdout=subprocess.PIPE, text=True, check=False).stdout
    owners = dict(reversed(line.split(" ", 1)) for line in said.splitlines() if line.startswith(("root /", "builder /")))
    assert len(owners) == 2 * len(WAYS)
    for path, owner in owners.items():
        assert owner == ("builder" if path.startswith("/home/builder") else "root"), path
    left = [line for line in said.splitlines() if line and not line.startswith(("root /", "builder /", "/"))]
    assert left == [], "something stayed in staging or in Ansible's own temporary directories"
