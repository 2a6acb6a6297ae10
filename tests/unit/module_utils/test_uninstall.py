# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uninstall: parts go with what only they needed, the last one with everything, and whenever it's killed a rerun finishes."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import pathlib
import random
import subprocess
from multiprocessing.connection import Connection

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import uninstall
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, HostRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._host.place import Place
from ansible_collections.airgap.golang.plugins.module_utils._host.switch import rollback_target, switch_to
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.killing import killed_at
from ansible_collections.airgap.golang.tests.support.looking import facts, snapshot
from ansible_collections.airgap.golang.tests.support.small_generation import PLATFORM, bring, make_generation, probe

PARTS = ("toolchain", "modcache", "goenv", "project", "tools", "depot")


@pytest.fixture
def depot(work: pathlib.Path) -> Depot:
    made = Depot(str(work / "depot"))
    make_generation(made, 1, tools=("vet",))
    make_generation(made, 2, toolchains=("1.26.8", "1.27.3"), projects=("hello", "world"), tools=("vet", "fix"))
    return made


@pytest.fixture
def host(work: pathlib.Path) -> Host:
    """Not there yet, nor the directory above it; /usr has a file of somebody's."""
    (work / "host" / "usr" / "bin").mkdir(parents=True)
    (work / "host" / "usr" / "bin" / "mine").write_text("mine")
    return Host(str(work / "host" / "opt" / "a" / "root"))


@pytest.fixture
def wish(work: pathlib.Path) -> Wish:
    return Wish(PARTS, goenv="AR=1\n", link_dir=str(work / "host" / "usr" / "bin"), tools_dir=str(work / "host" / "opt" / "tools" / "bin"))


def removed(host: Host, *parts: str) -> uninstall.Removal:
    """A check, then the run, then a check that there's nothing left to do."""
    top = str(pathlib.Path(host.root).parents[2])
    before = snapshot(top)
    removal = uninstall.plan(host, parts)
    assert snapshot(top) == before
    if removal.changes:
        uninstall.carry_out(host, removal, "2" * 32)
    assert host.current() == removal.after
    assert not uninstall.plan(host, parts).changes
    return removal


def test_all_at_once_leaves_nothing(depot: Depot, host: Host, work: pathlib.Path, wish: Wish) -> None:
    before = snapshot(str(work / "host"))
    assert not uninstall.plan(host, PARTS).changes
    bring(depot, host, wish, 1)
    bring(depot, host, wish, 2)
    assert len(os.listdir(work / "host" / "usr" / "bin")) == 3 and len(os.listdir(work / "host" / "opt" / "tools" / "bin")) == 2
    removal = removed(host, *PARTS)
    assert snapshot(str(work / "host")) == before
    assert removal.size.inodes > 100 and f"root: {host.root}" in removal.diff()["before"] and removal.diff()["after"] == ""


@pytest.mark.parametrize("seed", range(4))
def test_one_part_after_the_other(depot: Depot, host: Host, work: pathlib.Path, wish: Wish, seed: int) -> None:
    """In any order; after each the host is one that was never asked for the part, in both generations; after the last as it was found."""
    before = snapshot(str(work / "host"))
    bring(depot, host, wish, 1)
    bring(depot, host, wish, 2)
    left = random.Random(seed).sample(PARTS, len(PARTS))
    while len(left) > 1:
        part = left.pop()
        removal = removed(host, part)
        assert f"part: {part}" in removal.diff()["before"]
        for number in (1, 2):
            assert sorted(host.state(rollback_target(host, number))["parts"]) == sorted(left)
        has = {"toolchain": "usr/bin/go", "tools": "opt/tools/bin/vet"}
        for name, path in has.items():
            assert os.path.lexists(work / "host" / path) == (name in left), path
        mine = facts(host.root, "depot/audit.jsonl", "depot/.lock", "modcache/cache/airgap", "made.json")
        os.rename(work / "host", work / "away")
        subprocess.run(["mkdir", "-p", work / "host" / "usr" / "bin"], check=True)
        for number in (1, 2):
            bring(depot, host, dataclasses.replace(wish, parts=tuple(left), toolchain=""), number)
        its = facts(host.root, "depot/audit.jsonl", "depot/.lock", "modcache/cache/airgap", "made.json")
        remove_tree(str(work / "host"))
        os.rename(work / "away", work / "host")
        assert {name: (mine.get(name), its.get(name)) for name in sorted(mine.keys() | its.keys()) if mine.get(name) != its.get(name)} == {}
        assert not probe(depot, host, dataclasses.replace(wish, parts=tuple(left)), 2).changed
        switch_to(host, rollback_target(host, 1), host.current(), "")
        assert os.path.lexists(work / "host" / "usr/bin/go") == ("toolchain" in left), "a rollback brings it back"
        switch_to(host, rollback_target(host, 2), host.current(), "")
    removed(host, left[0])
    assert snapshot(str(work / "host")) == before


def test_a_part_that_is_not_there(depot: Depot, host: Host, wish: Wish) -> None:
    bring(depot, host, dataclasses.replace(wish, parts=("toolchain",)), 1)
    before = snapshot(host.root)
    assert removed(host, "tools", "project").changes == []
    assert snapshot(host.root) == before
    with pytest.raises(SpecInvalid):
        uninstall.plan(host, ["kernel"])


def test_what_is_not_ours_stays(depot: Depot, host: Host, work: pathlib.Path, wish: Wish) -> None:
    bring(depot, host, wish, 2)
    pathlib.Path(host.root, "notes.txt").write_text("mine")
    (work / "host" / "opt" / "tools" / "bin" / "hers").symlink_to("/bin/true")
    (work / "host" / "usr" / "bin" / "gofmt").unlink()
    (work / "host" / "usr" / "bin" / "gofmt").symlink_to("/usr/lib/go/bin/gofmt")
    with pytest.raises(HostRefused, match="isn't ours"):
        probe(depot, host, wish, 2)
    removal = removed(host, *PARTS)
    assert removal.foreign == ["notes.txt"]
    left = {path for path in facts(str(work / "host")) if not os.path.isdir(work / "host" / path)}
    assert left == {"usr/bin/mine", "usr/bin/gofmt", "opt/a/root/notes.txt", "opt/tools/bin/hers"}


def test_a_root_that_was_there_stays(depot: Depot, host: Host, wish: Wish) -> None:
    os.makedirs(host.root, 0o750)
    bring(depot, host, dataclasses.replace(wish, tools_dir=""), 1)
    removed(host, *PARTS)
    assert os.listdir(host.root) == [] and os.stat(host.root).st_mode & 0o777 == 0o750


def test_what_a_process_uses_is_not_taken_from_it(depot: Depot, host: Host, work: pathlib.Path, wish: Wish) -> None:
    bring(depot, host, wish, 1)
    bring(depot, host, wish, 2)
    before = snapshot(str(work / "host"))
    for parts, place in ((("project", "depot"), "current/projects/hello"), (PARTS, "depot")):
        at = os.path.join(host.root, place)
        with subprocess.Popen(["sh", "-c", "echo ready; read line"], cwd=at, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout and process.stdout.readline()
            with pytest.raises(HostRefused) as refusal:
                uninstall.plan(host, parts)
            assert refusal.value.code == "in_use" and refusal.value.found == str(process.pid) and "sh (process" in refusal.value.message
            assert uninstall.plan(host, ["project"]).changes, "the whole depot has it still"
            process.communicate(b"\n", timeout=60)
    assert snapshot(str(work / "host")) == before
    removed(host, "project")


@pytest.mark.parametrize("lost", ["oci-layout", "index.json", "audit.jsonl", ".lock", ""])
def test_a_damaged_depot_leaves_no_link_behind(depot: Depot, host: Host, work: pathlib.Path, wish: Wish, lost: str) -> None:
    """Its generations say where links are, and nothing does when they have gone."""
    before = snapshot(str(work / "host"))
    bring(depot, host, wish, 2)
    remove_tree(os.path.join(host.depot.path, lost))
    removed(host, *PARTS)
    assert snapshot(str(work / "host")) == before


@pytest.mark.parametrize("there", [False, True])
def test_what_the_last_moment_of_a_kill_left_goes(host: Host, work: pathlib.Path, there: bool) -> None:
    """What has another name already, beside ROOT or the depot, and nothing else that would tell of it."""
    before = snapshot(str(work / "host"))
    if there:
        os.makedirs(host.root)
        before = snapshot(str(work / "host"))
        os.makedirs(os.path.join(host.root, ".depot.0123456789abcdef.tmp"))
    else:
        (work / "host" / ".opt.0123456789abcdef.tmp" / "a" / "root").mkdir(parents=True)
    assert removed(host, *PARTS).changes
    assert snapshot(str(work / "host")) == before


NEW = "sha256:" + hashlib.sha256(b"new").hexdigest()


def begin_when_possible(root: str, told: Connection) -> None:
    """A deploy of somebody else's, which tries to begin each time that it's told to, and then waits."""
    place = Place(root)
    while told.recv():
        try:
            with place.locked():
                place.depot.blobs.put(NEW, b"new")
                for name in ("modcache", "generations"):
                    os.makedirs(os.path.join(root, name, "new"))
                told.send("begun")
                told.recv()
                return
        except AirgapError as exc:
            told.send(exc.code)


@pytest.mark.parametrize("foreign", [False, True])
def test_who_begins_meanwhile_loses_nothing(depot: Depot, host: Host, wish: Wish, monkeypatch: pytest.MonkeyPatch, foreign: bool) -> None:
    """Another deploy tries at each removal: it's refused for as long as there's more to remove than the lock, and what it makes then stays."""
    bring(depot, host, wish, 2)
    if foreign:
        pathlib.Path(host.root, "notes.txt").write_text("mine")
    here, there = multiprocessing.Pipe()
    other = multiprocessing.Process(target=begin_when_possible, args=(host.root, there), daemon=True)
    other.start()
    answers: list[str] = []

    def remove(path: str) -> None:
        if not answers or answers[-1] == "locked":
            here.send("try")
            assert here.poll(60)
            answers.append(here.recv())
        remove_tree(path)

    monkeypatch.setattr(uninstall, "remove_tree", remove)
    uninstall.carry_out(host, uninstall.plan(host, PARTS), "")
    assert answers.count("locked") == len(answers) - 1 > 5 and answers[-1] == "begun", answers
    assert os.path.isfile(host.depot.blobs.path(NEW))
    assert [os.path.isdir(os.path.join(host.root, name, "new")) for name in ("modcache", "generations")] == [True, True]
    if not foreign:
        assert host.made()[-1] == host.root, "the new one's note has gone with the old one"
    with pytest.raises(AirgapError, match="in use by process"), host.locked():
        pass
    here.send("end")
    other.join(60)
    assert other.exitcode == 0 and not [name for name in os.listdir(host.root) if name.endswith(".tmp")]


@pytest.mark.parametrize("parts", [("modcache", "project", "depot"), PARTS], ids=["parts", "all"])
def test_killed_at_random_steps(depot: Depot, host: Host, work: pathlib.Path, wish: Wish, parts: tuple[str, ...]) -> None:
    found = snapshot(str(work / "host"))
    bring(depot, host, wish, 1)
    bring(depot, host, wish, 2)
    place, saved, lock = work / "host", work / "saved", os.path.join(host.depot.path, ".lock")
    subprocess.run(["cp", "-a", str(place), str(saved)], check=True)
    first = host.current()
    removal = removed(host, *parts)
    leaving = ("opt/a/root/depot/audit.jsonl", "opt/a/root/depot/.lock", "opt/a/root/modcache/cache/airgap")
    wanted = facts(str(place), *leaving)
    if removal.whole:
        assert snapshot(str(place)) == found
    chance, step, kills = random.Random(3), 0, 0

    def run() -> None:
        again = uninstall.plan(host, parts)
        if again.changes:
            uninstall.carry_out(host, again, "")

    while True:
        step += chance.randint(1, 17)
        remove_tree(str(place))
        subprocess.run(["cp", "-a", str(saved), str(place)], check=True)
        if not killed_at(step, run, lock):
            break
        kills += 1
        assert host.current() in (first, removal.after)
        if host.current():
            assert rollback_target(host, None).startswith("000001-") and rollback_target(host, 2) == host.current()
            go = subprocess.run([os.path.join(host.root, "current", "bin", "go")], stdout=subprocess.PIPE, check=True, env={}).stdout
            assert go == f"go1.27.3 {PLATFORM}\n".encode()
        run()
        assert facts(str(place), *leaving) == wanted, f"kill at step {step}"
    print(f"killed {kills} times")
    assert kills >= 10
