# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy and roll back by ansible-playbook, and what users of a host have then: with real Go."""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import stat
import subprocess
import typing as t
from xml.etree import ElementTree

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.deployed_depot import LOOSE, OLD, TOOLCHAINS, Ran, playbook, sealed_depot
from ansible_collections.airgap.golang.tests.support.deploying import CHECK, DEPLOY, IS_ROOT, ROLLBACK, changed, directory, executions, failure, variables
from ansible_collections.airgap.golang.tests.support.small_generation import PLATFORM


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
