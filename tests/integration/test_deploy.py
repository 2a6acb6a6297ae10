# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy and roll back by ansible-playbook, and what users of a host have then: with real Go where Go has a say, and with
toolchains of some bytes where only Ansible, the kernel and we have."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import typing as t
from xml.etree import ElementTree

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, HostRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.deployed_depot import LOOSE, OLD, TOOLCHAINS, Ran, playbook, sealed_depot
from ansible_collections.airgap.golang.tests.support.depots import held
from ansible_collections.airgap.golang.tests.support.mounts import in_mount_namespace, small_disk
from ansible_collections.airgap.golang.tests.support.small_generation import ALL_PARTS, OTHER, PLATFORM, bring, make_generation, probe, send

DEPLOY = "Bring the host to the generation"
CHECK = "Build the projects as an unprivileged user without a network, and compare"
ROLLBACK = "Return to the generation before"
IS_ROOT = os.geteuid() == 0


def directory(prefix: str) -> pathlib.Path:
    """Not below pytest's own directory, which other users may not enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"airgap-golang-{prefix}-"))
    path.chmod(0o755)
    return path


@pytest.fixture
def work() -> t.Iterator[pathlib.Path]:
    path = directory("work")
    yield path
    remove_tree(str(path))


@pytest.fixture(scope="module")
def small() -> t.Iterator[pathlib.Path]:
    """A depot with two generations whose toolchains are scripts."""
    path = directory("small")
    depot = Depot(str(path))
    make_generation(depot, 1)
    make_generation(depot, 2, toolchains=("1.26.8", "1.27.3"), modules={("example.com/newer", "v1.1.0"): {"newer.go": b"package newer\n"}})
    yield path
    remove_tree(str(path))


@pytest.fixture(scope="module")
def tooled() -> t.Iterator[pathlib.Path]:
    """As ``small``, with prebuilt tools for two platforms: fix and vet in the first generation, vet and stray in the second."""
    path = directory("tooled")
    depot = Depot(str(path))
    for number, tools in ((1, ("fix", "vet")), (2, ("vet", "stray"))):
        extras = {tools[0]: ["completions/bash", f"man/{tools[0]}.1"]}
        make_generation(depot, number, tools=tools, platforms=(PLATFORM, OTHER), extras=extras)
    yield path
    remove_tree(str(path))


def variables(depot: pathlib.Path, root: pathlib.Path, **more: t.Any) -> dict[str, t.Any]:
    become = {"deploy_become": False}
    places = {"deploy_link_dir": str(root) + "-bin", "deploy_tools_dir": str(root) + "-tools"}
    return {"airgap_golang_depot": str(depot), "airgap_golang_root": str(root), **places, **become, **more}


def executions(ran: Ran) -> int:
    """How many times a module of the collection was executed: -vvv names the module's file each time."""
    return len(re.findall(r"^Using module file .*/golang/plugins/modules/deploy\.py$", ran.output, re.MULTILINE))


def changed(ran: Ran) -> int:
    recap = re.search(r"^here +: .*\bchanged=(\d+) .*\bfailed=(\d+)", ran.output, re.MULTILINE)
    assert recap, ran.output
    assert ran.status == 0 and recap.group(2) == "0", ran.output
    return int(recap.group(1))


def failure(ran: Ran, task: str = DEPLOY) -> dict[str, t.Any]:
    """What a task that failed says about it."""
    assert ran.status != 0 and "failure" in ran.results.get(task, {}), ran.output
    found: dict[str, t.Any] = ran.results[task]["failure"]
    return found


def names_below(top: pathlib.Path) -> dict[str, tuple[int, int]]:
    return {
        os.path.join(at, name): (os.lstat(os.path.join(at, name)).st_ino, os.lstat(os.path.join(at, name)).st_mtime_ns)
        for at, directories, files in os.walk(top)
        for name in directories + files
    }


class User:
    """Somebody on the host who may do nothing in particular, without a network and with an empty environment."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        home.mkdir()
        if IS_ROOT:
            nobody = pwd.getpwnam("nobody")
            os.chown(home, nobody.pw_uid, nobody.pw_gid)

    def argv(self, *command: str, **env: str) -> list[str]:
        drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if IS_ROOT else []
        network = ["unshare", "--net"] if IS_ROOT else ["unshare", "-rn"]
        return [*network, *drop, "env", "-i", *(f"{name}={value}" for name, value in env.items()), *command]

    def run(
        self, *command: str, cwd: t.Optional[pathlib.Path] = None, check: bool = True, env: t.Optional[t.Mapping[str, str]] = None
    ) -> subprocess.CompletedProcess[str]:
        argv = self.argv(*command, **(env or {}))
        done = subprocess.run(argv, cwd=cwd or self.home, capture_output=True, text=True, check=False, timeout=300)
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done

    def write(self, name: str, content: str) -> pathlib.Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if IS_ROOT:
            subprocess.run(["chown", "-R", "nobody", str(path.parent)], check=True)
        return path


# -- the whole journey with real Go


class Journey:
    """A host and what its deploys and rollbacks said, in the order of their names."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.depot = sealed_depot()
        self.root = top / "a root"
        self.user = User(top / "home")
        self.ran: dict[str, Ran] = {}
        self.gopath = top / "home" / "go"

    def deploy(self, name: str, number: int, *options: str, **more: t.Any) -> Ran:
        given = variables(self.depot, self.root, deploy_generation=number, goenv_settings={"GOFLAGS": f"-tags=generation{number}"}, **more)
        private = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
        self.ran[name] = playbook(self.top / "ansible", "deploy", given, *options, prefix=private)
        return self.ran[name]

    def rollback(self, name: str, *options: str, **more: t.Any) -> Ran:
        self.ran[name] = playbook(self.top / "ansible", "rollback", variables(self.depot, self.root, **more), *options)
        return self.ran[name]

    @property
    def go(self) -> str:
        return str(self.root / "current" / "bin" / "go")

    def env(self, *names: str, **env: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.user.run(self.go, "env", "-json", *names, env=env).stdout)
        return found


@pytest.fixture(scope="module")
def journey() -> t.Iterator[Journey]:
    top = directory("journey")
    try:
        made = Journey(top)
        made.deploy("check", 1, "--check", "--diff")
        assert not made.root.exists() and not pathlib.Path(str(made.root) + "-bin").exists(), "check mode touched the host"
        made.deploy("run", 1)
        before = names_below(made.root)
        made.deploy("check again", 1, "--check", "--diff")
        made.deploy("run again", 1, "-vvv")
        assert names_below(made.root) == before, "an unchanged host was touched"
        yield made
    finally:
        remove_tree(str(top))


def test_check_run_check_run(journey: Journey) -> None:
    check, run, again = (journey.ran[name].results[DEPLOY] for name in ("check", "run", "run again"))
    assert [changed(journey.ran[name]) for name in ("check", "run", "check again", "run again")] == [1, 2, 0, 0]
    assert executions(journey.ran["run again"]) == 1
    for name in ("generation", "current", "transferred", "bytes", "inodes", "modules", "diff", "previous", "platform"):
        assert check[name] == run[name], name
    blobs = sum(path.stat().st_size for path in (journey.root / "depot" / "blobs" / "sha256").iterdir())
    documents = 40_000
    assert blobs - documents < run["transferred"] <= blobs
    assert run["modules"] == 3 and run["generation"] == "000001" and run["previous"] == "" and run["platform"] == PLATFORM
    assert again["transferred"] == again["bytes"] == again["inodes"] == 0 and again["diff"] == {"before": "", "after": ""}
    assert again["current"] == again["previous"] == run["current"] == os.path.basename(os.readlink(journey.root / "current"))
    # What was said to come is what came, hard links to blobs counted once.
    found = {(os.lstat(path).st_ino): os.lstat(path).st_size for path in names_below(journey.root)}
    assert abs(len(found) - run["inodes"]) < 0.1 * run["inodes"]
    assert abs(sum(found.values()) - run["bytes"]) < 0.1 * run["bytes"]
    shown = journey.ran["check"].output
    assert f"+depot: {len(os.listdir(journey.root / 'depot' / 'blobs' / 'sha256')) - 2} blobs, " in shown
    assert f", {run['inodes']} inodes" in shown and "+go.env: GOFLAGS=-tags=generation1" in shown


def test_what_users_have(journey: Journey) -> None:
    modcache, goroot = journey.root / "modcache", toolchain.directory(str(journey.root / "modcache"), TOOLCHAINS[0], PLATFORM)
    wanted = {
        "GOMODCACHE": str(modcache),
        "GOPROXY": f"file://{journey.root}/current/proxy".replace(" ", "%20"),
        "GOSUMDB": "sum.golang.org",
        "GOTOOLCHAIN": "auto",
        "GOFLAGS": "-tags=generation1",
        "GOROOT": goroot,
        "GOVERSION": f"go{TOOLCHAINS[0]}",
    }
    assert journey.env(*wanted) == wanted
    source = journey.user.write("ugly/ugly.go", "package   ugly\n")
    assert journey.user.run(str(journey.root) + "-bin/gofmt", str(source)).stdout == "package ugly\n"


def test_users_build_offline_from_nothing(journey: Journey) -> None:
    out = journey.user.home / "hello"
    source = journey.root / "current" / "projects" / "hello"
    journey.user.run(journey.go, "build", "-mod=vendor", "-trimpath", "-o", str(out), ".", cwd=source)
    assert journey.user.run(str(out)).stderr == "hello\n"
    report = json.loads((journey.root / "builds" / "000001" / "report.json").read_text())
    assert report["summary"] == {"attested": 0, "built": 1, "mismatch": 0, "failed": 0, "would_build": 0}
    suite = ElementTree.parse(journey.root / "builds" / "000001" / "report.xml").getroot().find("testsuite")
    assert suite is not None and suite.get("tests") == "1" and suite.get("failures") == "0"


def test_users_can_read_and_not_write(journey: Journey) -> None:
    """Though everything was made under umask 077."""
    private = {str(journey.root / path) for path in ("depot/.lock", "modcache/cache/airgap/lock", "modcache/cache/airgap/staging", "builds/.lock")}
    for path in set(names_below(journey.root)) - private:
        facts = os.lstat(path)
        if not stat.S_ISLNK(facts.st_mode):
            others = stat.S_IMODE(facts.st_mode) & 0o077
            assert others in ((0o055,) if stat.S_ISDIR(facts.st_mode) else (0o044, 0o055)), f"{path}: {stat.filemode(facts.st_mode)}"
    if IS_ROOT:
        for path in ("modcache", "modcache/golang.org", "depot/blobs/sha256", "generations", "current/"):
            assert journey.user.run("/usr/bin/touch", str(journey.root / path / "mine"), check=False).returncode != 0


def new_module(journey: Journey, name: str, *lines: str) -> pathlib.Path:
    return journey.user.write(f"{name}/go.mod", "\n".join([f"module example.com/{name}", *lines, ""])).parent


def test_a_new_module_gets_what_is_carried(journey: Journey) -> None:
    """Without a go.sum, so each module is looked up in the checksum database that is carried."""
    module = new_module(journey, "newcomer")
    env = {"GOPATH": str(journey.user.home / "another"), "HOME": str(journey.user.home)}
    journey.user.run(journey.go, "get", OLD, cwd=module, env=env)
    assert OLD.partition("@")[0] in (module / "go.sum").read_text()
    assert (journey.user.home / "another" / "pkg" / "sumdb").is_dir(), "the checksum database was not asked"
    refused = journey.user.run(journey.go, "get", LOOSE, cwd=module, check=False, env=env)
    assert refused.returncode != 0 and "current/proxy" in refused.stderr


def test_a_wrong_binary_is_caught(journey: Journey) -> None:
    """The source in the tree is changed behind our back; the deploy's own build check must see it."""
    source = journey.root / "depot" / "trees" / "000001" / "projects" / "hello" / "main.go"
    good = source.read_text()
    attestation = journey.root / "builds" / "000001" / "hello" / "bin" / "hello.attestation.json"
    kept = attestation.read_bytes()
    source.chmod(0o644)
    try:
        source.write_text(good.replace("olleh", "deliops"))
        attestation.unlink()
        ran = journey.deploy("spoiled", 1)
    finally:
        source.write_text(good)
        source.chmod(0o444)
    assert not ran.results[DEPLOY]["changed"]
    why = failure(ran, CHECK)
    assert why["code"] == "build_failed" and why["details"][0]["status"] == "mismatch" and why["found"] != why["expected"]
    suite = ElementTree.parse(journey.root / "builds" / "000001" / "report.xml").getroot().find("testsuite")
    assert suite is not None and suite.get("failures") == "1"
    attestation.write_bytes(kept)


def test_rollback_with_one_generation_is_refused_by_name(journey: Journey) -> None:
    current = os.readlink(journey.root / "current")
    ran = journey.rollback("too far")
    why = failure(ran, ROLLBACK)
    assert why["code"] == "no_generation" and why["subject"] == str(journey.root) and why["found"] == "000001"
    assert os.path.basename(current) in ran.results[ROLLBACK]["msg"]
    assert os.readlink(journey.root / "current") == current


def test_upgrade_rollback_and_upgrade_again(journey: Journey) -> None:
    """One user goes along with one GOPATH, which remembers the newest head of the checksum database that it has seen."""
    root, env = journey.root, {"HOME": str(journey.user.home), "GOPATH": str(journey.gopath), "GOFLAGS": "-modcacherw"}
    first = os.path.basename(os.readlink(root / "current"))
    second = journey.deploy("upgrade", 2, deploy_toolchain=TOOLCHAINS[0]).results[DEPLOY]
    assert changed(journey.ran["upgrade"]) == 2 and second["previous"] == first
    sent = {"uuid", TOOLCHAINS[1]}
    assert 70e6 < second["transferred"] < 80e6, f"{sent} and small layers alone"

    # A go.mod that asks for the other toolchain gets it, and the settings survive the switch.
    switch = new_module(journey, "switch", f"go {TOOLCHAINS[1]}")
    for where, more in ((switch, {}), (journey.user.home, {"GOTOOLCHAIN": f"go{TOOLCHAINS[1]}"})):
        told = json.loads(journey.user.run(journey.go, "env", "-json", cwd=where, env={"HOME": env["HOME"], **more}).stdout)
        assert (told["GOVERSION"], told["GOPROXY"].endswith("/current/proxy"), told["GOMODCACHE"], told["GOFLAGS"]) == (
            f"go{TOOLCHAINS[1]}",
            True,
            str(root / "modcache"),
            "-tags=generation2",
        )
    assert journey.env("GOVERSION")["GOVERSION"] == f"go{TOOLCHAINS[0]}"

    loose = new_module(journey, "loose")
    private = {**env, "GOMODCACHE": str(journey.user.home / "modcache")}
    journey.user.run(journey.go, "get", LOOSE, cwd=loose, env=private)
    seen = (journey.gopath / "pkg" / "sumdb" / "sum.golang.org" / "latest").read_text()

    before = names_below(root / "depot" / "blobs")
    everything = {path: facts for path, facts in names_below(root).items() if not path.startswith(str(root / "current"))}
    check = journey.rollback("rollback check", "--check", "--diff")
    assert os.readlink(root / "current").endswith(second["current"]) and changed(check) == 1
    assert f"-{second['current']}" in check.output and f"+{first}" in check.output
    back = journey.rollback("rollback")
    assert changed(back) == 1 and back.results[ROLLBACK]["current"] == first and back.results[ROLLBACK]["previous"] == second["current"]
    assert os.readlink(root / "current") == f"generations/{first}"
    assert names_below(root / "depot" / "blobs") == before
    after = names_below(root)
    assert {path for path in everything if after.get(path) != everything[path]} == {str(root / "depot" / name) for name in ("audit.jsonl", ".lock")}
    assert journey.env("GOFLAGS", "GOVERSION") == {"GOFLAGS": "-tags=generation1", "GOVERSION": f"go{TOOLCHAINS[0]}"}
    assert changed(journey.rollback("explicit", rollback_generation=1)) == 0

    # The same user, with the newer head, in the older generation: another module that only this one carries, looked up anew.
    old = new_module(journey, "old")
    remove_tree(private["GOMODCACHE"])
    journey.user.run(journey.go, "get", OLD, cwd=old, env=private)
    assert (journey.gopath / "pkg" / "sumdb" / "sum.golang.org" / "latest").read_text() == seen
    refused = journey.user.run(journey.go, "get", f"go@{TOOLCHAINS[1]}", cwd=old, check=False, env=private)
    assert refused.returncode != 0, "the older generation doesn't carry that"

    again = journey.deploy("upgrade again", 2, deploy_toolchain=TOOLCHAINS[0])
    assert again.results[DEPLOY]["transferred"] == again.results[DEPLOY]["bytes"] == 0
    assert again.results[DEPLOY]["current"] == second["current"] and changed(again) == 1
    events = [entry["event"] for entry in Host(str(root)).depot.audit.entries()]
    assert events == ["admit", "activate", "admit", "activate", "activate", "activate"]


# -- with toolchains of some bytes: Ansible, the kernel, and we


def parts_here(root: pathlib.Path) -> list[str]:
    return sorted(json.loads((root / "current" / "state.json").read_text())["parts"])


def role(name: str, **given: t.Any) -> list[dict[str, t.Any]]:
    return [{"name": "The role", "ansible.builtin.include_role": {"name": f"airgap.golang.{name}"}, "vars": given}]


BRING = {
    "toolchain": "Bring the toolchain to the host",
    "modcache": "Bring the modules to the host",
    "goenv": "Bring the settings to the host",
    "project": "Bring the projects to the host",
    "tools": "Bring the tools to the host",
    "depot": "Bring the whole generation to the host",
}


@pytest.mark.parametrize("name", BRING)
def test_each_role_alone_in_a_foreign_playbook(small: pathlib.Path, tooled: pathlib.Path, work: pathlib.Path, name: str) -> None:
    root = work / "root"
    depot = tooled if name == "tools" else small
    given = {"airgap_golang_depot": str(depot), "airgap_golang_root": str(root)}
    mine = {"toolchain": {"toolchain_link_dir": str(work / "bin")}, "tools": {"tools_dir": str(work / "bin")}}.get(name, {})
    become = {"ansible_become": True, "ansible_become_method": "su"} if IS_ROOT and name in ("toolchain", "depot") else {}
    asked = {**mine, "project_build_check": True} if name == "project" else mine
    assert changed(playbook(work / "ansible", role(name, **asked), given, "--check", host_vars=become)) == 1
    assert not root.exists(), "check mode builds nothing of what isn't there"
    ran = playbook(work / "ansible", role(name, **mine) * 2, given, host_vars=become)
    assert changed(ran) == 1, "the second time there's nothing to do"
    assert parts_here(root) == [name]
    answer = ran.results[BRING[name]]
    kinds = {"toolchain": {"toolchain"}, "modcache": {"toolchain", "module"}, "goenv": set(), "project": {"source", "vendor"}, "tools": {"tool", "extra"}}
    layers = Depot(str(depot)).latest().manifest.layers  # type: ignore[union-attr]
    mine_too = [layer for layer in layers if layer.platform != OTHER]
    wanted = {layer.digest: layer.size for layer in mine_too if name == "depot" or layer.kind in {"index", "sumdb", "evidence", *kinds[name]}}
    assert answer["transferred"] == sum(wanted.values())
    if name == "toolchain":
        assert subprocess.run([str(work / "bin" / "go")], stdout=subprocess.PIPE, text=True, check=True, env={}).stdout.startswith("go1.27.3 ")
    if name == "tools":
        assert said_by(work / "bin") == {tool: f"{tool} 2 {PLATFORM}\n" for tool in ("vet", "stray")}
    if name == "goenv":
        assert "GOSUMDB=sum.golang.org" in (root / "current" / "go.env").read_text()


def said_by(links: pathlib.Path) -> dict[str, str]:
    return {path.name: subprocess.run([path], stdout=subprocess.PIPE, text=True, check=True, env={}).stdout for path in links.iterdir()}


def test_tools_by_the_playbooks(tooled: pathlib.Path, work: pathlib.Path) -> None:
    """Deploy, deploy again, upgrade, and back: links come and go, and say so beforehand."""
    root, links, share = work / "root", work / "root-tools", work / "share"
    places = {"deploy_tools_completions_dirs": {"bash": str(share)}, "deploy_tools_man_dir": str(share)}
    first = variables(tooled, root, deploy_generation=1, deploy_tools=["fix"], deploy_tools_completions=True, deploy_tools_man=True, **places)
    check = playbook(work / "ansible", "deploy", first, "--check", "--diff")
    assert changed(check) == 1 and f"+{links}/fix: {root}/current/tools/fix" in check.output and not links.exists()
    assert changed(playbook(work / "ansible", "deploy", first)) == 2
    assert list(said_by(links)) == ["fix"]
    assert {path.name: path.read_text() for path in share.rglob("fix*")} == {"fix": "completions/bash of fix 1\n", "fix.1": "man/fix.1 of fix 1\n"}
    again = playbook(work / "ansible", "deploy", first, "-vvv")
    assert changed(again) == 0 and executions(again) == 1
    assert changed(playbook(work / "ansible", "deploy", variables(tooled, root))) == 2
    assert said_by(links) == {tool: f"{tool} 2 {PLATFORM}\n" for tool in ("vet", "stray")} and not list(share.rglob("*fix*")), "nobody asked for them now"
    check = playbook(work / "ansible", "rollback", variables(tooled, root), "--check", "--diff")
    assert changed(check) == 1 and f"+{links}/fix: " in check.output and f"-{links}/stray: " in check.output
    assert sorted(said_by(links)) == ["stray", "vet"]
    assert changed(playbook(work / "ansible", "rollback", variables(tooled, root))) == 1
    assert said_by(links) == {"fix": f"fix 1 {PLATFORM}\n"}
    (links / "stray").write_text("mine")
    why = failure(playbook(work / "ansible", "deploy", variables(tooled, root)))
    assert (why["code"], why["subject"]) == ("in_the_way", str(links / "stray"))
    why = failure(playbook(work / "ansible", "deploy", variables(tooled, root, deploy_tools=["fix"])))
    assert (why["code"], why["subject"]) == ("spec_invalid", "fix")


def test_roles_add_up_and_move_together(small: pathlib.Path, work: pathlib.Path) -> None:
    root = work / "root"
    given = {"airgap_golang_depot": str(small), "airgap_golang_root": str(root), "toolchain_link_dir": ""}
    at_first = [
        *role("toolchain", toolchain_generation=1),
        *role("project", project_generation=1, project_names=["hello"]),
        *role("goenv", goenv_generation="1", goenv_settings={"GOPROXY": "off"}),
    ]
    assert changed(playbook(work / "ansible", at_first * 2, given)) == 3, "roles at one generation undo each other's work"
    assert parts_here(root) == ["goenv", "project", "toolchain"] and os.readlink(root / "current").startswith("generations/000001-")
    assert changed(playbook(work / "ansible", role("modcache"), given)) == 1
    assert parts_here(root) == ["goenv", "modcache", "project", "toolchain"] and os.readlink(root / "current").startswith("generations/000002-")
    assert "GOPROXY=off" in (root / "current" / "go.env").read_text()
    assert "hello 2" in (root / "current" / "projects" / "hello" / "main.go").read_text()
    ran = playbook(work / "ansible", role("modcache", modcache_generation="newest"), given)
    assert ran.status != 0 and "modcache_generation" in ran.output and parts_here(root) == ["goenv", "modcache", "project", "toolchain"]


def test_something_in_the_way(small: pathlib.Path, work: pathlib.Path) -> None:
    root = work / "root"
    links = pathlib.Path(str(root) + "-bin")
    links.mkdir()
    (links / "go").write_text("mine")
    for options in (("--check",), ()):
        ran = playbook(work / "ansible", "deploy", variables(small, root), *options)
        assert failure(ran)["code"] == "in_the_way" and not root.exists()
    assert changed(playbook(work / "ansible", "deploy", variables(small, root, deploy_link_dir=""))) == 2
    assert (links / "go").read_text() == "mine"


def as_nobody(work: pathlib.Path) -> list[str]:
    """In front of a command: without privileges, in a home of its own."""
    if not IS_ROOT:
        return []
    (work / "ansible").mkdir()
    subprocess.run(["chown", "-R", "nobody", str(work)], check=True)
    # He may read what we may: Ansible can be installed where others can't look.
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *reading, "env", f"HOME={work}"]


def test_an_unprivileged_user_deploys_for_himself(small: pathlib.Path, work: pathlib.Path) -> None:
    (work / "bin").mkdir()
    prefix = as_nobody(work)
    tasks = [{"name": DEPLOY, "airgap.golang.deploy": {"depot": str(small), "root": str(work / "root"), "link_dir": "{{ bin }}"}}]
    why = failure(playbook(work / "ansible", tasks, {"bin": "/proc/sys"}, prefix=prefix))
    assert why["code"] == "not_writable" and why["subject"] == "/proc/sys"
    assert not (work / "root").exists()
    assert changed(playbook(work / "ansible", tasks, {"bin": str(work / "bin")}, prefix=prefix)) == 1
    assert changed(playbook(work / "ansible", tasks, {"bin": str(work / "bin")}, prefix=prefix)) == 0
    assert subprocess.run([str(work / "bin" / "go")], stdout=subprocess.PIPE, text=True, check=True, env={}).stdout.startswith("go1.27.3 ")


def test_become_another_unprivileged_user(small: pathlib.Path, work: pathlib.Path) -> None:
    """The connection's account puts the parts, with a private umask, where the other one takes them."""
    if not IS_ROOT:
        # Nobody else can be become without a password: what remains is who is refused.
        with pytest.raises(HostRefused, match="nosuchaccount"):
            Host(str(work / "root")).open_incoming("nosuchaccount")
        return
    (work / "host").mkdir()
    shutil.chown(work / "host", "nobody")
    become = {"ansible_become": True, "ansible_become_method": "su", "ansible_become_user": "nobody", "ansible_become_flags": "-s /bin/sh"}
    become.update(ansible_python_interpreter="/usr/bin/python3", ansible_remote_tmp="/tmp")
    tasks = [{"name": DEPLOY, "airgap.golang.deploy": {"depot": str(small), "root": str(work / "host" / "root"), "link_dir": ""}}]
    before = os.umask(0o077)
    try:
        assert changed(playbook(work / "ansible", tasks, {}, host_vars=become)) == 1
    finally:
        os.umask(before)
    assert (work / "host" / "root" / "depot" / "oci-layout").owner() == "nobody"
    assert os.listdir(work / "host" / "root" / "depot" / "staging") == []


def test_the_request_is_in_no_log(small: pathlib.Path, work: pathlib.Path) -> None:
    ran = playbook(work / "ansible", "deploy", variables(small, work / "root"), "-vvv")
    assert changed(ran) == 2 and executions(ran) == 2
    generation = Depot(str(small)).latest()
    assert generation is not None
    assert "request" not in ran.results[DEPLOY]["invocation"]["module_args"]
    for word in (generation.manifest.layers[0].digest, "artifactType", "eJ"):
        assert word not in ran.output, word
    # Nor is any other word hidden, as values of no_log options are.
    assert not re.search(r"VALUE_SPECIFIED_IN_NO_LOG|[^*]\*{8}[^*]", ran.output)
    assert ran.results[DEPLOY]["generation"] == "000002"


def test_one_trace_id_for_a_run(work: pathlib.Path) -> None:
    """In the control node's depot and in the host's, with and without the callback that makes the id."""
    depot, root = work / "depot", work / "root"
    seal = {"name": "Seal", "airgap.golang.rehearse": {"depot": str(depot)}}
    bring = {"name": DEPLOY, "airgap.golang.deploy": {"depot": str(depot), "root": str(root), "parts": ["goenv"]}}

    def run(number: int, **env: str) -> tuple[set[str], int]:
        # With nothing in it that a rehearsal would need Go for.
        make_generation(Depot(str(depot)), number, toolchains=(), modules={}, projects=(), sealed=False)
        before = [len(Depot(str(path)).audit.entries()) for path in (depot, root / "depot")]
        assert changed(playbook(work / "ansible", [seal, bring], {}, env=env)) == 2
        new = [Depot(str(path)).audit.entries()[count:] for path, count in zip((depot, root / "depot"), before)]
        return {str(entry["trace_id"]) for entries in new for entry in entries}, sum(map(len, new))

    (found,), lines = run(1)
    assert re.fullmatch("[0-9a-f]{32}", found) and lines == 3
    trace = work / "trace.jsonl"
    (other,), lines = run(2, ANSIBLE_CALLBACKS_ENABLED="results_of,airgap.golang.trace", AIRGAP_GOLANG_TRACE_PATH=str(trace))
    assert {json.loads(line)["trace_id"] for line in trace.read_text().splitlines()} == {other} != {found}
    assert lines == 3


def test_progress_lines_come_while_it_sends(work: pathlib.Path) -> None:
    depot = Depot(str(work / "depot"))
    make_generation(depot, 1, modules={("example.com/big", "v1.0.0"): {"big.go": os.urandom(66 << 20)}})
    ran = playbook(work / "ansible", "deploy", variables(work / "depot", work / "root"), host_vars={"ansible_connection": "slow"})
    assert changed(ran) == 2
    total = f"{ran.results[DEPLOY]['transferred'] / 1e6:.1f}"
    lines = re.findall(rf"^  deliver to here: part 2 of 2, {total} MB of {total} MB, [0-9.]+ MB/s$", ran.output, re.MULTILINE)
    assert len(lines) == 1, ran.output
    assert ran.output.index(lines[0]) < ran.output.index("changed: [here]")


# -- full disks


@pytest.mark.parametrize("options, what", [("size=1m", "bytes"), ("size=100m,nr_inodes=20", "inodes")])
def test_a_disk_that_is_too_small_is_refused_before_anything(work: pathlib.Path, options: str, what: str) -> None:
    depot = Depot(str(work / "depot"))
    files = {f"{number}.go": b"package big\n" for number in range(100)}
    make_generation(depot, 1, modules={("example.com/big", "v1.0.0"): {**files, "data": os.urandom(2 << 20)}})

    def scenario() -> None:
        with small_disk(work / "disk", options):
            root = work / "disk" / "root"
            for check in (("--check",), ()):
                ran = playbook(work / "ansible", "deploy", variables(work / "depot", root, deploy_link_dir=""), *check)
                why = failure(ran)
                assert why["code"] == "no_space" and why["subject"] == str(work / "disk")
                assert what in ran.results[DEPLOY]["msg"] and int(why["expected"]) > int(why["found"])
                assert os.listdir(work / "disk") == []

    in_mount_namespace(scenario)


@pytest.mark.parametrize("left", [0, 3 << 20, 10 << 20])
def test_a_disk_that_fills_up_in_the_middle(work: pathlib.Path, left: int) -> None:
    """``left``: how many bytes are free when the delivery has come: too few for its blobs, for what they unpack to, enough."""
    depot = Depot(str(work / "depot"))
    make_generation(depot, 1)
    make_generation(depot, 2, modules={("example.com/big", "v1.0.0"): {"data": os.urandom(1 << 20) + bytes(6 << 20)}})
    wish = Wish(ALL_PARTS, goenv="AR=1\n")

    def scenario() -> None:
        with small_disk(work / "disk", "size=40m"):
            host = Host(str(work / "disk" / "root"))
            bring(depot, host, wish, 1)
            before = host.current()
            plan = probe(depot, host, wish, 2)
            incoming, parts = send(depot, host, plan)
            filler = work / "disk" / "filler"
            found = os.statvfs(work / "disk")
            filler.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - left)))
            try:
                host.admit(plan, "", incoming, parts)
                ended = True
            except (AirgapError, OSError):
                ended = False
            assert ended == (left == 10 << 20), "the room that's left was meant to decide"
            if not ended:
                assert host.current() == before and "hello 1" in (work / "disk/root/current/projects/hello/main.go").read_text()
            filler.unlink()
            bring(depot, host, wish, 2)
            assert host.current().startswith("000002-") and not probe(depot, host, wish, 2).changed

    in_mount_namespace(scenario)


# -- kills and company, with the real module in a process of its own


def waiting_for(condition: t.Callable[[], t.Any], process: subprocess.Popen[str]) -> t.Any:
    """What the condition gives, as soon as it gives something; an ended process will never make it true."""
    while True:
        ended = process.poll() is not None
        found = condition()
        if found:
            return found
        assert not ended, process.communicate()[0]
        time.sleep(0.01)


@pytest.fixture(scope="module")
def slow() -> t.Iterator[pathlib.Path]:
    """A depot whose second generation takes seconds to unpack: thousands of files."""
    path = directory("slow")
    depot = Depot(str(path))
    make_generation(depot, 1)
    files = {f"{number}.go": b"package many\n" for number in range(3000)}
    make_generation(depot, 2, modules={("example.com/many", f"v1.{number}.0"): files for number in range(3)})
    yield path
    remove_tree(str(path))


def start(work: pathlib.Path, depot: pathlib.Path, root: pathlib.Path, connection: str = "local") -> subprocess.Popen[str]:
    """A deploy that was begun."""
    program = (
        "import pathlib, sys\n"
        "from ansible_collections.airgap.golang.tests.support.deployed_depot import playbook\n"
        "ran = playbook(pathlib.Path(sys.argv[1]), 'deploy', {'airgap_golang_depot': sys.argv[2], 'airgap_golang_root': sys.argv[3],\n"
        "    'deploy_become': False, 'deploy_link_dir': '', 'deploy_tools_dir': sys.argv[3] + '-tools'},\n"
        "    host_vars={'ansible_connection': sys.argv[4]})\n"
        "print(ran.output); sys.exit(ran.status)\n"
    )
    argv = [sys.executable, "-c", program, str(work), str(depot), str(root), connection]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_all(mark: str) -> int:
    """Kill every process that has this in its environment; how many there were."""
    killed = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mark.encode() in pathlib.Path("/proc", pid, "environ").read_bytes():
                os.kill(int(pid), signal.SIGKILL)
                killed += 1
    return killed


def test_the_control_node_is_killed_while_it_sends(work: pathlib.Path) -> None:
    """The next run sends the rest alone, in figures."""
    depot, root = Depot(str(work / "depot")), work / "root"
    make_generation(depot, 1, modules={(f"example.com/big{number}", "v1.0.0"): {"data": os.urandom(5 << 20)} for number in range(4)})
    sizes = {path.name: path.stat().st_size for path in (work / "depot" / "blobs" / "sha256").iterdir()}

    def arrived() -> dict[str, int]:
        """The large blobs that are there whole, and how many bytes."""
        found = {path.name: path.stat().st_size for path in (root / "depot" / "staging").glob("incoming/*/*") if path.name in sizes}
        return {name: size for name, size in found.items() if size == sizes[name]}

    process = start(work / "ansible", work / "depot", root, "slow")
    waiting_for(lambda: len(arrived()) >= 2, process)
    # Ansible's workers have sessions of their own.
    while kill_all(f"RESULTS_OF={work}/"):
        pass
    process.wait()
    came = arrived()
    assert 2 <= len(came) < 4 and not (root / "current").is_symlink()
    checked = playbook(work / "ansible", "deploy", variables(work / "depot", root), "--check").results[DEPLOY]
    ran = playbook(work / "ansible", "deploy", variables(work / "depot", root))
    assert changed(ran) == 2
    small = checked["transferred"] - sum(size for size in sizes.values() if size > 5 << 20)
    assert 0 < small < 1 << 20, "packs come first, so they were whole too"
    assert ran.results[DEPLOY]["transferred"] == checked["transferred"] - sum(came.values()) - small
    assert os.listdir(root / "depot" / "staging") == [] and not list((work / "ansible" / "ansible" / "tmp").glob("*/airgap-golang-delivery"))


def test_the_module_is_killed_while_it_unpacks(slow: pathlib.Path, work: pathlib.Path) -> None:
    root = work / "root"
    assert changed(playbook(work / "ansible", "deploy", variables(slow, root, deploy_generation=1, deploy_link_dir=""))) == 2
    first = os.readlink(root / "current")
    process = start(work / "ansible", slow, root)
    waiting_for(lambda: list((root / "modcache" / "cache" / "airgap" / "staging").glob("*/*.go")), process)
    # The lock's holder is the module.
    holder = int((root / "depot" / ".lock").read_text())
    assert os.getpgid(holder) != os.getpgid(0)
    os.kill(holder, signal.SIGKILL)
    output = process.communicate()[0]
    assert process.returncode != 0 and "failed=1" in output, output
    host = Host(str(root))
    assert os.readlink(root / "current") == first and held(host.cache.root)
    for path, version in held(host.cache.root):
        mark = pathlib.Path(host.cache.root, "cache", "download", path, "@v", f"{version}.ziphash")
        if mark.exists() and path == "example.com/many":
            assert len(os.listdir(host.cache.directory(path, version))) == 3000
    ran = playbook(work / "ansible", "deploy", variables(slow, root, deploy_link_dir=""))
    assert changed(ran) == 2 and ran.results[DEPLOY]["transferred"] == 0, "what had been proved was sent again"
    for number in range(3):
        assert len(os.listdir(host.cache.directory("example.com/many", f"v1.{number}.0"))) == 3000
    assert os.readlink(root / "current").startswith("generations/000002-")


def test_the_second_of_two_is_refused_by_the_lock(slow: pathlib.Path, work: pathlib.Path) -> None:
    root = work / "root"
    process = start(work / "first", slow, root)
    waiting_for(lambda: list((root / "modcache" / "cache" / "airgap" / "staging").glob("*/*.go")), process)
    holder = int((root / "depot" / ".lock").read_text())
    os.kill(holder, signal.SIGSTOP)
    try:
        ran = playbook(work / "second", "deploy", variables(slow, root, deploy_link_dir=""))
    finally:
        os.kill(holder, signal.SIGCONT)
    why = failure(ran)
    assert (why["code"], why["subject"], why["found"]) == ("locked", str(root / "depot"), str(holder))
    output = process.communicate()[0]
    assert process.returncode == 0 and "changed=2" in output, output
    assert changed(playbook(work / "second", "deploy", variables(slow, root, deploy_link_dir=""))) == 0


# -- other Pythons, and how much memory it takes


def pythons() -> list[str]:
    """Interpreters of hosts: the system's, and 3.8 where there is one."""
    versions = pathlib.Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv")), "versions")
    found: dict[str, str] = {}
    for path in ["/usr/bin/python3", *map(str, versions.glob("3.8.*/bin/python3.8")), shutil.which("python3.8") or ""]:
        if not os.access(path, os.X_OK):
            continue
        told = subprocess.run([path, "-c", "import sys; print(sys.version_info[:2])"], stdout=subprocess.PIPE, text=True, check=False)
        if told.returncode == 0:
            found.setdefault(told.stdout, path)
    return list(found.values())


@pytest.mark.parametrize("python", pythons())
def test_with_the_hosts_own_python(small: pathlib.Path, work: pathlib.Path, python: str) -> None:
    bring = {"depot": str(small), "root": str(work / "root"), "link_dir": str(work / "bin")}
    numbers = (1, 1, 2, 2)
    tasks: list[dict[str, t.Any]] = [{"name": f"Deploy {number}", "airgap.golang.deploy": {**bring, "generation": number}} for number in numbers]
    tasks.append({"name": "Check", "airgap.golang.build_check": {"root": bring["root"]}})
    tasks.append({"name": ROLLBACK, "airgap.golang.generation": {"root": bring["root"], "state": "previous"}})
    ran = playbook(work / "ansible", tasks, {}, host_vars={"ansible_python_interpreter": python})
    assert changed(ran) == 4
    assert os.readlink(work / "root" / "current").startswith("generations/000001-")


def test_memory_does_not_grow_with_the_delivery(work: pathlib.Path) -> None:
    """The module's peak, by an interpreter that notes what its child has used; 200 MB come."""
    depot = Depot(str(work / "depot"))
    blobs = {("example.com/big", f"v1.{number}.0"): {"data": os.urandom(100 << 20)} for number in range(2)}
    make_generation(depot, 1, modules=blobs)
    del blobs
    wrapper = work / "python"
    peaks = work / "peaks"
    wrapper.write_text(
        f"#!{sys.executable}\nimport os, resource, subprocess, sys\n"
        f"status = subprocess.call([{sys.executable!r}, *sys.argv[1:]])\n"
        f"open({str(peaks)!r}, 'a').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) + '\\n')\nsys.exit(status)\n"
    )
    wrapper.chmod(0o755)
    ran = playbook(work / "ansible", "deploy", variables(work / "depot", work / "root"), host_vars={"ansible_python_interpreter": str(wrapper)})
    assert changed(ran) == 2 and ran.results[DEPLOY]["transferred"] > 200 << 20
    kilobytes = [int(line) for line in peaks.read_text().split()]
    assert len(kilobytes) >= 2 and max(kilobytes) <= 150_000, kilobytes
