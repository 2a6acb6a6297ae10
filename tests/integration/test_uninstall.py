# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uninstall by ansible-playbook: each role's absent, and the playbook, leave a host's file system as it was found."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.deployed_depot import Ran, playbook
from ansible_collections.airgap.golang.tests.support.looking import snapshot
from ansible_collections.airgap.golang.tests.support.mounts import in_mount_namespace, small_disk
from ansible_collections.airgap.golang.tests.support.small_generation import PLATFORM, make_generation

ROLES = ("toolchain", "modcache", "goenv", "project", "tools", "depot")
TAKE = "Take away what was deployed"


@pytest.fixture(scope="module")
def top() -> t.Iterator[pathlib.Path]:
    path = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-uninstall-"))
    path.chmod(0o755)
    depot = Depot(str(path / "depot"))
    make_generation(depot, 1, tools=("vet",))
    make_generation(depot, 2, toolchains=("1.26.8", "1.27.3"), tools=("vet", "fix"), projects=("hello", "world"))
    yield path
    remove_tree(str(path))


def role(name: str, **given: t.Any) -> dict[str, t.Any]:
    return {"name": f"The role {name}", "ansible.builtin.include_role": {"name": f"airgap.golang.{name}"}, "vars": given}


def changed(ran: Ran) -> bool:
    assert ran.status == 0, ran.output
    return any(result.get("changed") for result in ran.results.values())


def test_each_role_takes_its_part_away(top: pathlib.Path) -> None:
    """Out of a foreign play, with the depot named only where something comes; the last one leaves nothing."""
    host = top / "host"
    (host / "bin").mkdir(parents=True)
    (host / "bin" / "mine").write_text("mine")
    before = snapshot(str(host))
    given = {"airgap_golang_root": str(host / "opt" / "root"), "toolchain_link_dir": str(host / "bin"), "tools_dir": str(host / "opt" / "bin")}
    come = [role(name, airgap_golang_depot=str(top / "depot")) for name in ROLES]
    assert changed(playbook(top / "ansible", come, given))
    assert len(os.listdir(host / "bin")) == 3 and len(os.listdir(host / "opt" / "bin")) == 2
    absent = {name: role(name, **{f"{name}_state": "absent"}) for name in ROLES}
    held = snapshot(str(host))
    assert changed(playbook(top / "ansible", [absent["toolchain"]], given, "--check", "--diff")) and snapshot(str(host)) == held
    ran = playbook(top / "ansible", [absent["toolchain"], absent["modcache"]], given)
    assert changed(ran) and not (host / "bin" / "go").is_symlink() and not (host / "opt" / "root" / "modcache").exists()
    assert not changed(playbook(top / "ansible", [absent["toolchain"], absent["modcache"]], given)), "the second time there's nothing to do"
    assert subprocess.run([host / "opt" / "bin" / "vet"], stdout=subprocess.PIPE, check=True).stdout == f"vet 2 {PLATFORM}\n".encode()
    assert changed(playbook(top / "ansible", [absent[name] for name in ("tools", "depot", "project", "goenv")], given))
    assert snapshot(str(host)) == before
    why = playbook(top / "ansible", [role("toolchain")], given).results["Bring the toolchain to the host"]["failure"]
    assert why["code"] == "depot_missing"
    assert snapshot(str(host)) == before


def test_the_playbook_leaves_a_host_as_it_was_found(top: pathlib.Path) -> None:
    """At the places where things go by default, on file systems of our own; what else is on the machine mustn't change either."""

    def seen() -> dict[str, dict[str, str]]:
        return {at: snapshot(at) for at in ("/opt", "/usr/local", "/etc", "/srv")}

    def scenario() -> None:
        with small_disk(pathlib.Path("/opt"), "size=64m,mode=755"), small_disk(pathlib.Path("/usr/local"), "size=64m,mode=755"):
            pathlib.Path("/usr/local/bin").mkdir()
            pathlib.Path("/usr/local/bin/mine").write_text("mine")
            before = seen()
            given = {"airgap_golang_depot": str(top / "depot"), "deploy_become": False}
            for number in (1, 2):
                assert changed(playbook(top / "ansible", "deploy", {**given, "deploy_generation": number}))
            assert sorted(os.listdir("/usr/local/bin")) == ["fix", "go", "gofmt", "mine", "vet"] and os.path.isdir("/opt/airgap-golang/builds/000002")
            # What the playbook needs of the control node is nothing.
            alone = {"deploy_become": False}
            held = seen()
            check = playbook(top / "ansible", "uninstall", alone, "--check", "--diff")
            assert changed(check) and seen() == held and "-/usr/local/bin/go: /opt/airgap-golang/current/bin/go" in check.output
            ran = playbook(top / "ansible", "uninstall", alone)
            assert changed(ran) and seen() == before
            assert (ran.results[TAKE]["bytes"], ran.results[TAKE]["inodes"]) == (check.results[TAKE]["bytes"], check.results[TAKE]["inodes"])
            assert not changed(playbook(top / "ansible", "uninstall", alone)) and seen() == before

    in_mount_namespace(scenario)
