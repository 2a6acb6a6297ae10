# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations of a host by ansible-playbook: listed, gone to, pruned; and with real Go, builds that run meanwhile."""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import re
import subprocess
import tempfile
import time
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.plugins.module_utils._host.switch import rollback_target, switch_to
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.deployed_depot import LOOSE, OLD, TOOLCHAINS, Ran, playbook, sealed_depot
from ansible_collections.airgap.golang.tests.support.looking import facts
from ansible_collections.airgap.golang.tests.support.small_generation import ALL_PARTS, PLATFORM, bring, make_generation

IS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def top() -> t.Iterator[pathlib.Path]:
    """Not below pytest's own directory, which other users may not enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-generation-"))
    path.chmod(0o755)
    yield path
    remove_tree(str(path))


def task(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"name": "Do it", "airgap.golang.generation": options}]


def result(ran: Ran, status: int = 0) -> dict[str, t.Any]:
    assert ran.status == status, ran.output
    return ran.results["Do it"]


# -- by the module and the playbooks, with toolchains of some bytes


@pytest.fixture(scope="module")
def small(top: pathlib.Path) -> pathlib.Path:
    depot = Depot(str(top / "small"))
    for number in (1, 2, 3):
        make_generation(depot, number, modules={("example.com/own", f"v1.{number}.0"): {"own.go": b"package own\n"}}, projects=(f"p{number}",))
    return top / "small"


@pytest.fixture
def host(top: pathlib.Path, small: pathlib.Path) -> t.Iterator[Host]:
    host = Host(str(top / "root"))
    for number in (1, 2, 3):
        bring(Depot(str(small)), host, Wish(ALL_PARTS, goenv="AR=1\n"), number)
    yield host
    remove_tree(host.root)


def test_list_go_back_and_go_on(host: Host, top: pathlib.Path) -> None:
    first, second, third = (rollback_target(host, number) for number in (1, 2, 3))
    before = facts(host.root)
    listed = result(playbook(top / "ansible", task(root=host.root), {}))
    assert not listed["changed"] and facts(host.root) == before
    assert [(entry["directory"], entry["active"], entry["bytes"] > 0) for entry in listed["generations"]] == [
        (first, False, True), (second, False, True), (third, True, True)
    ]  # fmt: skip
    check = playbook(top / "ansible", task(root=host.root, state="previous"), {}, "--check", "--diff")
    assert result(check)["changed"] and f"-{third}" in check.output and f"+{second}" in check.output and facts(host.root) == before
    tasks = {
        "back": ({"state": "previous"}, second, True),
        "first": ({"state": "active", "generation": 1}, first, True),
        "first again": ({"state": "active", "generation": 1}, first, False),
        "third": ({"state": "active", "generation": 3}, third, True),
    }
    ran = playbook(top / "ansible", [{"name": name, "airgap.golang.generation": {"root": host.root, **entry[0]}} for name, entry in tasks.items()], {})
    assert ran.status == 0, ran.output
    for name, (_options, expected, changed) in tasks.items():
        assert (ran.results[name]["current"], ran.results[name]["changed"]) == (expected, changed)
    assert host.current() == third
    ran = playbook(top / "ansible", task(root=host.root, state="active"), {})
    assert ran.status != 0 and "generation" in ran.results["Do it"]["msg"]


def test_prune_by_the_playbook(host: Host, top: pathlib.Path, small: pathlib.Path) -> None:
    """Check, run, check, run; then the way back is refused by name, and a deploy finds it again."""
    given = {"airgap_golang_root": host.root, "airgap_golang_depot": str(small), "deploy_become": False, "airgap_golang_keep": 2}
    name, first = "Remove what is too old", rollback_target(host, 1)
    before = facts(host.root)
    check = playbook(top / "ansible", "prune", given, "--check", "--diff")
    assert facts(host.root) == before and f"-generation {first}" in check.output and "-example.com/own@v1.1.0" in check.output
    ran = playbook(top / "ansible", "prune", given)
    said = {key: ran.results[name][key] for key in ("changed", "removed", "bytes", "inodes", "in_use")}
    assert said == {key: check.results[name][key] for key in said} and said["changed"] and said["bytes"] > 10000
    assert not playbook(top / "ansible", "prune", given).results[name]["changed"]
    assert sorted(host.depot.index()) == [Ref(2, True), Ref(3, True)]
    back = playbook(top / "ansible", "rollback", {**given, "rollback_generation": 1})
    failure = back.results["Return to the generation before"]["failure"]
    assert back.status != 0 and (failure["code"], failure["subject"]) == ("pruned", "000001")
    assert playbook(top / "ansible", "rollback", given).status == 0 and host.current().startswith("000002-")
    links = {"deploy_link_dir": "", "deploy_tools_dir": "", "deploy_generation": 1}
    ran = playbook(top / "ansible", "deploy", {**given, **links}, "--check", "--diff")
    deployed = ran.results["Bring the host to the generation"]
    # By now the third is the one that was left longest ago.
    assert [entry for entry in deployed["pruned"]["removed"] if entry.startswith("generation 000003-")] and "-prune: generation 000003-" in ran.output
    ran = playbook(top / "ansible", "deploy", {**given, **links})
    assert ran.status == 0, ran.output
    assert ran.results["Bring the host to the generation"]["pruned"] == deployed["pruned"]
    assert sorted(name[:6] for name in os.listdir(os.path.join(host.root, "generations"))) == ["000001", "000002"]


def test_a_depot_of_the_control_node(top: pathlib.Path, small: pathlib.Path) -> None:
    depot = top / "depot"
    subprocess.run(["cp", "-a", str(small), str(depot)], check=True)
    listed = result(playbook(top / "ansible", task(depot=str(depot)), {}))["generations"]
    assert [entry["number"] for entry in listed] == [1, 2, 3] and all(entry["bytes"] > 0 for entry in listed)
    given = {"prune_depot": str(depot), "prune_become": False, "airgap_golang_keep": 1}
    ran = playbook(top / "ansible", "prune", given)
    assert ran.results["Remove what is too old"]["removed"][:2] == ["generation 000001", "generation 000002"], ran.output
    assert sorted(Depot(str(depot)).index()) == [Ref(3, True)] and Depot(str(depot)).audit.entries()[-1]["trace_id"]
    ran = playbook(top / "ansible", task(depot=str(depot), state="previous"), {})
    assert ran.status != 0 and "is for a host's root" in ran.results["Do it"]["msg"]


# -- with real Go: who builds while the host is switched

PARTS = Wish(ALL_PARTS, goenv="GOPROXY=off\nGOTOOLCHAIN=local\nGOFLAGS=-mod=vendor\n")


class Builder:
    """An unprivileged account that builds the project below ``current``."""

    def __init__(self, home: pathlib.Path, host: Host) -> None:
        self.home, self.host = home, host
        home.mkdir()
        if IS_ROOT:
            os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)

    def start(self, script: str, cache: str) -> subprocess.Popen[str]:
        drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if IS_ROOT else []
        places = [f"HOME={self.home}", f"GOCACHE={self.home / cache}", f"ROOT={self.host.root}", "PATH=/usr/bin:/bin"]
        # With a umask of its own, a file for each build that ended, named by how.
        argv = [*drop, "env", "-i", *places, "sh", "-c", script]
        return subprocess.Popen(argv, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def real(top: pathlib.Path) -> Host:
    host = Host(str(top / "real"))
    for number in (1, 2):
        bring(Depot(str(sealed_depot())), host, PARTS, number)
    return host


def waiting_for(condition: t.Callable[[], t.Any], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)


def children(pid: int) -> list[str]:
    """The commands that a process and those that it started run."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            said = pathlib.Path("/proc", name, "stat").read_text()
        except OSError:
            continue
        command, _paren, rest = said.rpartition(")")
        if int(rest.split()[1]) == pid:
            found += [command.partition("(")[2], *children(int(name))]
    return found


def test_no_build_fails_while_the_host_goes_to_and_fro(real: Host, top: pathlib.Path) -> None:
    """Twenty switches between two toolchains, settings and trees, at whatever point a build is just then."""
    builder = Builder(top / "looping", real)
    loop = (
        "number=0; while [ ! -e stop ]; do number=$((number + 1));"
        ' (cd "$ROOT/current/projects/hello" && "$ROOT/current/bin/go" build -trimpath -o "$HOME/hello" .) && ./hello 2> said && grep -qx hello said'
        " && touch done.$number || { echo build $number failed; exit 1; }; done"
    )
    process = builder.start(loop, "cache")

    def built() -> int:
        return len([name for name in os.listdir(builder.home) if name.startswith("done.")])

    # Both toolchains' standard libraries are in the build cache before it counts.
    for number in (1, 2):
        switch_to(real, rollback_target(real, number), real.current(), "")
        count = built()
        waiting_for(lambda count=count: built() > count + 1, process)
    start, running = built(), 0
    for switched in range(20):
        count = built()
        # Every second time at once, so that builds meet with one switch and with more.
        if switched % 2:
            waiting_for(lambda count=count: built() > count, process)
        running += "go" in children(process.pid)
        switch_to(real, rollback_target(real, 1 + switched % 2), real.current(), "")
    count = built()
    waiting_for(lambda: built() > count, process)
    (builder.home / "stop").touch()
    assert process.wait(60) == 0, process.communicate()[0]
    assert built() - start >= 10 and running >= 5, "no build ran during the switches"


def test_a_build_ends_well_though_its_generation_is_left_and_pruned(real: Host, top: pathlib.Path) -> None:
    """It began with the first generation. That stays, by name, until the build has ended; then all goes that the second doesn't need."""
    first, second = (rollback_target(real, number) for number in (1, 2))
    if real.current() != first:
        switch_to(real, first, real.current(), "")
    builder = Builder(top / "building", real)
    process = builder.start('cd "$ROOT/current/projects/hello" && "$ROOT/current/bin/go" build -trimpath -o "$HOME/hello" .', "cold")
    waiting_for(lambda: "compile" in children(process.pid), process)
    go = result(playbook(top / "ansible", task(root=real.root, state="active", generation=2), {}))
    assert go["changed"] and real.current() == second
    os.kill(process.pid, 0)
    prune = result(playbook(top / "ansible", task(root=real.root, state="pruned", keep=1), {}))
    still = process.poll() is None
    assert still, "the build was over too soon to say anything"
    assert not prune["changed"] and {entry["what"] for entry in prune["in_use"]} == {f"generation {first}"}
    assert {entry["command"] for entry in prune["in_use"]} >= {"go"}
    assert process.wait(300) == 0, process.communicate()[0]
    said = subprocess.run([builder.home / "hello"], capture_output=True, text=True, check=True)
    assert said.stderr == "hello\n"

    check = result(playbook(top / "ansible", task(root=real.root, state="pruned", keep=1), {}, "--check"))
    prune = result(playbook(top / "ansible", task(root=real.root, state="pruned", keep=1), {}))
    assert prune["removed"] == check["removed"] and prune["bytes"] == check["bytes"]
    assert f"generation {first}" in prune["removed"] and OLD in prune["removed"] and LOOSE not in prune["removed"]
    # Both carry the older toolchain.
    assert not [name for name in prune["removed"] if "toolchain@" in name]
    assert prune["in_use"] == [] and prune["bytes"] > 0
    ran = playbook(top / "ansible", task(root=real.root, state="previous"), {})
    assert ran.results["Do it"]["failure"]["code"] == "no_generation"
    # Without what the user who runs this has set for himself.
    mine = {**os.environ, "GOENV": "off"}
    go_env = json.loads(subprocess.run([os.path.join(real.root, "current", "bin", "go"), "env", "-json"], env=mine, capture_output=True, check=True).stdout)
    assert go_env["GOVERSION"] == f"go{TOOLCHAINS[1]}" and re.search("-mod=vendor", go_env["GOFLAGS"])
    assert os.path.isdir(real.cache.directory("golang.org/toolchain", f"v0.0.1-go{TOOLCHAINS[0]}.{PLATFORM.replace('/', '-')}"))
