# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role mirror on a host with systemd, with Caddy out of the generation: from a bare host through switches to a bare host again."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.deployed_depot import Ran, playbook
from ansible_collections.airgap.golang.tests.support.serving import ask
from ansible_collections.airgap.golang.tests.support.small_generation import LOOSE, make_generation

HOSTS = pathlib.Path(__file__).resolve().parents[1] / "hosts" / "hosts"
NAME = "caddy-mirror"
NEWER = ("example.com/newer", "v1.1.0")
# What comes and goes on a running host whoever is at work.
RESTLESS = re.compile(
    r"/(proc|sys|dev|run|tmp|var/tmp|var/log/journal|var/lib/systemd|var/cache|home/ansible|root/\.ansible"
    r"|etc/(passwd|shadow|group|gshadow|subuid|subgid)-?|etc/\.pwd\.lock)(/|$)"
)


class Host:
    """A fresh host, what is installed on it from ``depot``, and its address."""

    def __init__(self, top: pathlib.Path, depot: Depot) -> None:
        self.top = top
        self.depot = depot
        listed = subprocess.run([HOSTS, "inventory", NAME], check=True, capture_output=True, text=True).stdout
        self.variables: dict[str, t.Any] = {"ansible_connection": "ssh", **json.loads(listed)["all"]["hosts"][NAME]}
        self.before = self.files()

    def shell(self, command: str) -> str:
        argv = ["ssh", "-F", str(HOSTS.parents[2] / ".build" / "hosts" / "ssh_config"), f"root@{NAME}", command]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout

    def files(self) -> set[str]:
        return {path for path in self.shell("find / -xdev").splitlines() if not RESTLESS.match(path)}

    def play(self, name: str, *options: str, **variables: t.Any) -> Ran:
        given = {"airgap_golang_depot": self.depot.path, "mirror_names": ["mirror.test"], **variables}
        return playbook(self.top / "ansible", name, given, *options, host_vars=self.variables)

    def url(self, path: str) -> str:
        return f"http://{self.variables['ansible_host']}:8080/{path}"

    def process(self) -> str:
        return self.shell("systemctl show -P MainPID airgap-mirror").strip()


def changed(ran: Ran) -> int:
    recap = re.search(r"^here +: .*\bchanged=(\d+) .*\bfailed=(\d+)", ran.output, re.MULTILINE)
    assert recap and ran.status == 0 and recap.group(2) == "0", ran.output
    return int(recap.group(1))


@pytest.fixture(scope="module")
def host(caddy_program: pathlib.Path) -> t.Iterator[Host]:
    top = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-mirror-"))
    caddy = caddy_program.read_bytes()
    depot = Depot(str(top / "depot"))
    make_generation(depot, 1, tools=("caddy",), programs={"caddy": caddy}, lists=True)
    subprocess.run([HOSTS, "up", NAME], check=True, capture_output=True)
    try:
        yield Host(top, depot)
    finally:
        subprocess.run([HOSTS, "down", NAME], check=True, capture_output=True)
        remove_tree(str(top))


# Containers with systemd need root; where those aren't to be had, the molecule scenarios are left out as well.
if os.geteuid() == 0 and shutil.which("podman") and shutil.which("mmdebstrap"):

    def test_a_mirror_comes_follows_and_goes(host: Host, caddy_program: pathlib.Path) -> None:
        checked = host.play("mirror", "--check", "--diff")
        assert changed(checked) > 0 and host.files() == host.before, "check mode touched the host"
        assert changed(host.play("mirror")) > 5
        assert ask(host.url("healthz")).status == 200 and ask(host.url("example.com/loose/@v/list")).body == b"v1.0.0\n"
        assert changed(host.play("mirror")) == 0
        check_confined(host)

        # A generation with another program: the service takes it up.
        first = host.process()
        make_generation(
            host.depot,
            2,
            tools=("caddy",),
            programs={"caddy": caddy_program.read_bytes() + b"\0"},
            lists=True,
            modules={LOOSE: {"loose.go": b"package loose\n"}, NEWER: {"newer.go": b"package newer\n"}},
        )
        assert changed(host.play("mirror")) > 0
        assert ask(host.url("example.com/newer/@v/list")).body == b"v1.1.0\n"
        second = host.process()
        assert second != first

        # Back, and to one without it: who serves goes on serving, without a role's help.
        assert changed(host.play("rollback")) == 1
        assert ask(host.url("example.com/newer/@v/list")).status == 404 and ask(host.url("example.com/loose/@v/v1.0.0.zip")).status == 200
        make_generation(host.depot, 3, lists=True)
        refused = host.play("mirror")
        assert refused.status != 0 and "generation 000003 carries no caddy for linux/amd64" in refused.output
        assert ask(host.url("depot/index.json")).body.count(b"000003") == 1 and host.process() == second

        # A privileged port with a certificate of its own CA.
        private = host.play("mirror", mirror_generation=2, mirror_port=443, mirror_tls="internal")
        assert changed(private) > 0
        authority = host.shell("cat /var/lib/airgap-mirror/pki/authorities/local/root.crt")
        context = ssl.create_default_context(cadata=authority)
        context.check_hostname = False
        assert ask(f"https://{host.variables['ansible_host']}/healthz", context=context).status == 200
        assert '"uri":"/healthz"' in host.shell("cat /var/log/airgap-mirror/access.log")

    def test_absent_leaves_the_host_as_it_was(host: Host) -> None:
        if "/etc/systemd/system/airgap-mirror.service" not in host.files():
            host.play("mirror")
        gone = host.play("mirror", mirror_state="absent")
        assert changed(gone) > 0 and changed(host.play("mirror", mirror_state="absent")) == 0
        left = {path for path in host.files() if not path.startswith("/opt/airgap-golang")}
        assert left == host.before and "airgap-mirror" not in host.shell("cat /etc/passwd /etc/group")


def check_confined(host: Host) -> None:
    """The service has an account of its own, and can write where it must alone."""
    process = host.process()
    assert host.shell(f"ps -o user:32= -p {process} 2>/dev/null || stat -c %U /proc/{process}").strip() == "airgap-mirror"
    status = host.shell(f"cat /proc/{process}/status")
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE) and re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    mounts = host.shell(f"cat /proc/{process}/mounts")
    assert re.search(r"^\S+ / \S+ ro[, ]", mounts, re.MULTILINE), mounts
    overall = host.shell("systemd-analyze security airgap-mirror --no-pager | tail -n 1")
    exposure = re.search(r"exposure level for airgap-mirror.service: ([0-9.]+)", overall)
    assert exposure and float(exposure.group(1)) < 3, overall
