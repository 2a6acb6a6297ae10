# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pruning: a host that was pruned is what a host would be that never had the others, whatever those were and whenever it's killed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import random
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import generation as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import DepotDamaged, HostRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._base.usage import freed_by_removing
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot import receipt
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.plugins.module_utils._host import prune
from ansible_collections.airgap.golang.plugins.module_utils._host.switch import rollback_target, switch_to
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.killing import killed_at
from ansible_collections.airgap.golang.tests.support.looking import facts
from ansible_collections.airgap.golang.tests.support.small_generation import ALL_PARTS, OTHER, PLATFORM, bring, make_generation, probe

GOENV = "GOPROXY=off\n"
WISH = Wish(ALL_PARTS, goenv=GOENV)
MODULES = {(f"example.com/{name}", f"v1.{minor}.0"): {f"{name}.go": f"package {name} // {minor}\n".encode()} for name in "abC" for minor in range(2)}
PARTS = ("toolchain", "modcache", "goenv", "project", "tools", "depot")


@pytest.fixture
def depot(work: pathlib.Path) -> Depot:
    """Four generations, each with a module of its own and one that all have; toolchains overlap."""
    made = Depot(str(work / "depot"))
    shared = {("example.com/shared", "v1.0.0"): {"shared.go": b"package shared\n"}}
    for number, toolchains in enumerate((("1.26.7",), ("1.26.7", "1.26.8"), ("1.26.8",), ("1.27.3",)), 1):
        own = {("example.com/own", f"v1.{number}.0"): {"own.go": f"package own // {number}\n".encode()}}
        make_generation(made, number, toolchains=toolchains, modules={**shared, **own}, projects=("hello", f"only{number}"))
    return made


@pytest.fixture
def host(work: pathlib.Path) -> Host:
    return Host(str(work / "root"))


# What differs between hosts of the same generations: when things happened, and what locks leave.
HISTORY = ("depot/audit.jsonl", "depot/.lock", "modcache/cache/airgap", "made.json", "generations/.pruning")


def same_as(host: Host, other: Host, *leaving: str) -> None:
    mine, its = (facts(each.root, *HISTORY, *leaving) for each in (host, other))
    assert {name: (mine.get(name), its.get(name)) for name in sorted(mine.keys() | its.keys()) if mine.get(name) != its.get(name)} == {}


def pruned(host: Host, keep: int) -> dict[str, t.Any]:
    """A check, then the run, which must do what the check said."""
    before = facts(host.root)
    check = verb.pruned(host, keep, "", check_mode=True)
    assert facts(host.root) == before, "check mode touched the host"
    free = freed_by_removing([host.root])
    ran = verb.pruned(host, keep, "", check_mode=False)
    assert ran == check
    left = freed_by_removing([host.root])
    written = 3 if ran["changed"] else 0
    assert abs(free.inodes - left.inodes - ran["inodes"]) <= written, "what it said to free isn't what it freed"
    again = verb.pruned(host, keep, "", check_mode=True)
    assert not again["changed"] and again["removed"] == [] and again["bytes"] == 0
    return ran


def fresh(work: pathlib.Path, depot: Depot, host: Host, *brought: tuple[int, Wish]) -> Host:
    """A host at the same place that never had anything else; the first one is moved away."""
    other = Host(host.root)
    os.rename(host.root, str(work / "pruned"))
    for number, wish in brought:
        bring(depot, other, wish, number)
    os.rename(host.root, str(work / "reference"))
    os.rename(str(work / "pruned"), host.root)
    reference = Host(str(work / "reference"))
    # Its settings lead to where it was made.
    return reference


def test_the_generations_that_were_active_last_stay(depot: Depot, host: Host, work: pathlib.Path) -> None:
    for number in (1, 2, 3, 4):
        bring(depot, host, WISH, number)
    switch_to(host, rollback_target(host, 1), host.current(), "")
    ran = pruned(host, 2)
    assert [name for name in ran["removed"] if name.startswith("generation")] == sorted(name for name in ran["removed"] if name.startswith("generation"))
    assert sorted({name.split("-")[0] for name in os.listdir(os.path.join(host.root, "generations"))}) == ["000001", "000004"]
    toolchain = f"golang.org/toolchain@v0.0.1-go1.26.8.{PLATFORM.replace('/', '-')}"
    assert {"tree 000002", "tree 000003", "example.com/own@v1.2.0", toolchain} <= set(ran["removed"])
    assert not any("shared" in name or "v1.4.0" in name for name in ran["removed"])
    same_as(host, fresh(work, depot, host, (4, WISH), (1, WISH)), "current", "sumdb")
    assert rollback_target(host, 4).startswith("000004-")
    for number in (2, 3):
        with pytest.raises(HostRefused, match="was pruned at 20") as refusal:
            rollback_target(host, number)
        assert (refusal.value.code, refusal.value.subject, refusal.value.found) == ("pruned", f"00000{number}", "000001, 000004")
    # What went can come again.
    bring(depot, host, WISH, 3)
    assert not probe(depot, host, WISH, 3).changed


def test_the_checksum_database_never_goes_back(depot: Depot, host: Host, work: pathlib.Path) -> None:
    """The newest snapshot stays, of its generation nothing else; a later generation takes its place."""
    for number in (1, 3):
        bring(depot, host, WISH, number)
    switch_to(host, rollback_target(host, 1), host.current(), "")
    pruned(host, 1)
    assert sorted(host.depot.index()) == [Ref(1, True), Ref(3, True)]
    assert pathlib.Path(host.root, "current", "proxy", "sumdb", "sum.example", "latest").read_text() == "3"
    left = [name for name in facts(host.depot.tree(Ref(3, True))) if os.path.isfile(os.path.join(host.depot.tree(Ref(3, True)), name))]
    assert sorted(name for name in left if not name.startswith(".layers")) == ["SHA256SUMS", "proxy/sumdb/sum.example/latest"]
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=host.depot.tree(Ref(3, True)), check=True)
    bring(depot, host, WISH, 4)
    pruned(host, 1)
    same_as(host, fresh(work, depot, host, (4, WISH)))
    assert sorted(host.depot.index()) == [Ref(4, True)]


def test_other_states_of_a_generation_go(depot: Depot, host: Host, work: pathlib.Path) -> None:
    """Nothing leads back to settings that a later deploy of the same generation replaced. All numbers stay with keep 0."""
    bring(depot, host, Wish((*ALL_PARTS, "depot"), goenv=GOENV), 1)
    bring(depot, host, WISH, 2)
    bring(depot, host, dataclasses.replace(WISH, goenv="AR=2\n"), 2)
    names = os.listdir(os.path.join(host.root, "generations"))
    assert len(names) == 3
    ran = pruned(host, 0)
    assert ran["removed"] == [f"generation {name}" for name in sorted(names) if name.startswith("000002") and name != host.current()]
    assert ran["inodes"] > 0 and rollback_target(host, None).startswith("000001-")


def test_a_choice_of_projects_lets_the_others_go(depot: Depot, host: Host, work: pathlib.Path) -> None:
    bring(depot, host, WISH, 2)
    narrow = dataclasses.replace(WISH, projects=("hello",))
    bring(depot, host, narrow, 2)
    ran = pruned(host, 1)
    assert {"projects/only2.source.tar.gz of 000002", "projects/only2.vendor.tar.gz of 000002"} <= set(ran["removed"])
    same_as(host, fresh(work, depot, host, (2, narrow)))
    assert bring(depot, host, WISH, 2).missing and os.path.isfile(os.path.join(host.root, "current", "projects", "only2", "vendor", "modules.txt"))


def test_deploy_prunes_after_the_switch(depot: Depot, host: Host, work: pathlib.Path) -> None:
    for number in (1, 2):
        bring(depot, host, WISH, number, 2)
    plan = probe(depot, host, WISH, 3, 2)
    assert plan.prune and plan.prune.directories == [rollback_target(host, 1)]
    said = plan.prune.result()
    assert f"prune: generation {rollback_target(host, 1)}" in plan.diff()["before"] and plan.prune.size.inodes > 10
    done = bring(depot, host, WISH, 3, 2, after=True)
    assert done.prune is not None and done.prune.result() == said
    assert sorted({name.split("-")[0] for name in os.listdir(os.path.join(host.root, "generations"))}) == ["000002", "000003"]
    same_as(host, fresh(work, depot, host, (2, WISH), (3, WISH)))
    assert not probe(depot, host, WISH, 3, 2).changed
    assert probe(depot, host, WISH, 3, 1).changed, "fewer shall stay now"
    bring(depot, host, WISH, 3, 1)
    same_as(host, Host(str(work / "reference")), "generations/000002", "depot", "modcache")
    assert not probe(depot, host, WISH, 3, 1).changed and probe(depot, host, WISH, 3, 0).prune is None


def nearly_the_same(done: prune.Prune, said: prune.Prune) -> bool:
    """By name all; but a module of which another version comes keeps its list and its directories."""
    return (done.names(), done.in_use) == (said.names(), said.in_use) and 0 <= said.size.inodes - done.size.inodes <= 10


@pytest.mark.parametrize("keep, back", [(1, False), (1, True), (2, True)])
def test_deploy_says_what_goes_of_the_checksum_database_too(depot: Depot, host: Host, keep: int, back: bool) -> None:
    """The newest snapshot is the one that comes with the deploy, so that of the generation before goes with the rest of it."""
    for number in (1, 2, 3) if back else (1,):
        bring(depot, host, WISH, number)
    if back:
        switch_to(host, rollback_target(host, 2), host.current(), "")
    plan = probe(depot, host, WISH, 4, keep)
    assert plan.prune and f"tree {'000003' if back else '000001'}" in plan.prune.names()
    done = bring(depot, host, WISH, 4, keep, after=True)
    assert done.prune is not None and nearly_the_same(done.prune, plan.prune)
    assert not pruned(host, keep)["changed"]


def test_an_older_generation_than_the_newest_takes_no_database_away(depot: Depot, host: Host) -> None:
    for number in (1, 3):
        bring(depot, host, WISH, number)
    plan = probe(depot, host, WISH, 2, 1)
    done = bring(depot, host, WISH, 2, 1, after=True)
    assert plan.prune and done.prune is not None and nearly_the_same(done.prune, plan.prune)
    assert sorted(host.depot.index()) == [Ref(2, True), Ref(3, True)]
    assert pathlib.Path(host.root, "current", "proxy", "sumdb", "sum.example", "latest").read_text() == "3"


def test_a_generation_that_cannot_be_read_is_not_guessed_at(depot: Depot, host: Host) -> None:
    for number in (1, 2):
        bring(depot, host, WISH, number)
    state = pathlib.Path(host.root, "generations", rollback_target(host, 1), "state.json")
    state.chmod(0o644)
    state.write_text("{}")
    with pytest.raises(HostRefused) as refusal:
        verb.pruned(host, 2, "", check_mode=False)
    assert refusal.value.code == "state_damaged"
    plan = probe(depot, host, WISH, 3, 3)
    assert plan.prune is None and plan.unpruned == "", "nothing is too old"
    pathlib.Path(host.root, "generations", ".pruning").touch()
    plan = probe(depot, host, WISH, 3, 3)
    assert plan.prune is None and "state.json can't be read" in plan.unpruned, "the deploy itself is possible"
    bring(depot, host, WISH, 3, 3)
    assert host.current().startswith("000003-")
    assert verb.listed(host)[0]["parts"] == []
    # Where it's to go, nobody needs to read it.
    pruned(host, 2)
    assert not state.exists()


def test_nothing_to_prune_where_nothing_is(host: Host, depot: Depot) -> None:
    assert not verb.pruned(host, 1, "", check_mode=False)["changed"] and verb.listed(host) == []
    assert not os.path.exists(host.root)
    bring(depot, host, WISH, 1)
    assert not pruned(host, 1)["changed"]
    with pytest.raises(SpecInvalid, match="keep can't be -1"):
        probe(depot, host, WISH, 1, -1)


def test_listed(depot: Depot, host: Host) -> None:
    for number in (1, 2, 3):
        bring(depot, host, WISH, number)
    switch_to(host, rollback_target(host, 2), host.current(), "")
    os.makedirs(os.path.join(host.root, "builds", "000001", "hello"))
    found = verb.listed(host)
    assert [(entry["generation"], entry["number"], entry["active"]) for entry in found] == [("000001", 1, False), ("000002", 2, True), ("000003", 3, False)]
    assert all(entry["parts"] == sorted(ALL_PARTS) and entry["activated"].startswith("20") for entry in found)
    assert [bool(entry["left"]) for entry in found] == [True, False, True]
    ran = pruned(host, 2)
    assert (found[0]["bytes"], found[0]["inodes"]) == (ran["bytes"], ran["inodes"]), "what it alone holds is what its removal frees"


# -- any generations, any keep


@pytest.mark.parametrize("seed", range(8))
def test_whatever_there_was(work: pathlib.Path, seed: int) -> None:
    chance = random.Random(seed)
    depot, host = Depot(str(work / "depot")), Host(str(work / "root"))
    numbers = range(1, chance.randint(3, 5))
    for number in numbers:
        make_generation(
            depot,
            number,
            toolchains=sorted(chance.sample(["1.26.7", "1.26.8", "1.27.3"], chance.randint(1, 2))),
            # Of some a generation needs the go.mod alone, and another one all of it.
            modules={key: MODULES[key] if chance.random() < 0.6 else {} for key in sorted(chance.sample(sorted(MODULES), chance.randint(2, 6)))},
            projects=sorted(chance.sample(["hello", "world", "moon"], chance.randint(0, 2))),
            tools=sorted(chance.sample(["vet", "fix"], chance.randint(0, 2))),
            platforms=(PLATFORM, OTHER),
        )
    brought: list[tuple[int, Wish]] = []
    for _number in range(chance.randint(2, 6)):
        wish = Wish(tuple(chance.sample(PARTS, chance.randint(1, 5))), goenv=f"AR={chance.randint(1, 2)}\n", tools_dir="")
        number = chance.choice(numbers)
        bring(depot, host, wish, number)
        brought.append((number, wish))
    keep = chance.randint(1, 3)
    current = {name: facts(os.path.join(host.root, "generations", name)) for name in os.listdir(os.path.join(host.root, "generations"))}
    ran = pruned(host, keep)
    recent = list(dict.fromkeys(number for number, _wish in reversed(brought)))[:keep]
    stayed = os.listdir(os.path.join(host.root, "generations"))
    assert sorted(int(name.split("-")[0]) for name in stayed) == sorted(recent), "one state of each, and no other number"
    # A host that gets just the states that stayed, part by part, in place of this one.
    states = {name: host.state(name) for name in stayed}
    for name in stayed:
        assert facts(os.path.join(host.root, "generations", name)) == current[name]
    pathlib.Path(work / "moved").mkdir()
    os.rename(host.root, work / "moved" / "root")
    newest = max(number for number, _wish in brought)
    if newest not in recent:
        bring(depot, host, Wish(("goenv",)), newest)
        shutil.rmtree(os.path.join(host.root, "generations"))
        os.unlink(os.path.join(host.root, "current"))
    for name in sorted(stayed):
        bring(depot, host, wish_of(states[name]), int(name.split("-")[0]))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(host.root, "current"))
    os.rename(host.root, work / "reference")
    os.rename(work / "moved" / "root", host.root)
    mine, its = (facts(top, *HISTORY, "current", "depot/current") for top in (host.root, str(work / "reference")))
    only = f"depot/trees/{newest:06d}"
    if newest not in recent:
        # The reference has its index too: kinds that every part needs.
        mine, its = ({name: held for name, held in each.items() if not name.startswith((only, "depot/blobs"))} for each in (mine, its))
    assert {name: (mine.get(name), its.get(name)) for name in sorted(mine.keys() | its.keys()) if mine.get(name) != its.get(name)} == {}, (brought, keep, ran)
    for name in stayed:
        assert rollback_target(host, int(name.split("-")[0])) == name, "not whole any more"


def wish_of(state: t.Mapping[str, t.Any]) -> Wish:
    parts = state["parts"]
    return Wish(
        tuple(parts),
        toolchain=parts.get("toolchain", {}).get("version", ""),
        goenv=parts.get("goenv", {}).get("given", ""),
        projects=None if parts.get("project", {}).get("all", True) else tuple(parts["project"]["names"]),
        tools=None if parts.get("tools", {}).get("all", True) else tuple(parts["tools"]["programs"]),
    )


# -- running processes


@pytest.fixture
def running(host: Host) -> t.Iterator[t.Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, **more: t.Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)
        started.append(process)
        process.stdout and process.stdout.readline()
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.communicate(b"\n", timeout=60)


@pytest.mark.parametrize("how", ["directory", "open file", "module", "program"])
def test_what_a_process_uses_stays_and_is_named(
    depot: Depot, host: Host, work: pathlib.Path, running: t.Callable[..., subprocess.Popen[bytes]], how: str
) -> None:
    for number in (1, 2):
        bring(depot, host, WISH, number)
    first = rollback_target(host, 1)
    before = {name: held for name, held in facts(host.root).items() if name.startswith(("depot/trees/000001", "modcache", f"generations/{first}"))}
    wait = "echo ready; read line"
    if how == "directory":
        process = running("sh", "-c", wait, cwd=os.path.join(host.root, "generations", first, "projects", "hello"))
    elif how == "open file":
        process = running("sh", "-c", f"exec 3< {host.root}/generations/{first}/go.env; {wait}")
    elif how == "module":
        process = running("sh", "-c", wait, cwd=host.cache.directory("example.com/own", "v1.1.0"))
    else:
        # A go command that began while the first generation was active, of a toolchain that the second one has as well.
        program = os.path.join(host.cache.directory("golang.org/toolchain", "v0.0.1-go1.26.7." + PLATFORM.replace("/", "-")), "bin", "compile")
        os.chmod(os.path.dirname(program), 0o755)
        shutil.copy(os.path.realpath("/bin/sh"), program)
        switch_to(host, first, host.current(), "")
        process = running(program, "-c", wait)
        switch_to(host, rollback_target(host, 2), first, "")
        before = {name: held for name, held in facts(host.root).items() if name.startswith(("depot/trees/000001", "modcache", f"generations/{first}"))}
    ran = pruned(host, 1)
    assert [(entry["what"], entry["pid"]) for entry in ran["in_use"]] == [(f"generation {first}", process.pid)]
    assert not ran["changed"] and ran["removed"] == []
    assert {name: held for name, held in facts(host.root).items() if name in before} == before
    process.communicate(b"\n", timeout=60)
    ran = pruned(host, 1)
    assert f"generation {first}" in ran["removed"] and ran["in_use"] == []


def test_what_nothing_refers_to_stays_too_while_it_is_used(depot: Depot, host: Host, running: t.Callable[..., subprocess.Popen[bytes]]) -> None:
    bring(depot, host, WISH, 1)
    stray = os.path.join(host.cache.root, "example.com", "stray@v1.0.0")
    os.makedirs(stray)
    other = os.path.join(host.cache.root, "example.com", "other@v1.0.0")
    os.makedirs(other)
    process = running("sh", "-c", "echo ready; read line", cwd=stray)
    ran = verb.pruned(host, 1, "", check_mode=False)
    assert ran["removed"] == ["example.com/other@v1.0.0"] and os.path.isdir(stray) and not os.path.exists(other)
    assert [(entry["what"], entry["pid"]) for entry in ran["in_use"]] == [("modcache/example.com/stray@v1.0.0", process.pid)]


def test_a_container_with_such_a_path_of_its_own_is_no_user(depot: Depot, host: Host, running: t.Callable[..., subprocess.Popen[bytes]]) -> None:
    for number in (1, 2):
        bring(depot, host, WISH, number)
    first = os.path.join(host.root, "generations", rollback_target(host, 1))
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    process = running(*own, "sh", "-c", f"mount -t tmpfs tmpfs {first} && cd {first} && echo ready; read line")
    assert os.readlink(f"/proc/{process.pid}/cwd") == first
    ran = pruned(host, 1)
    assert ran["in_use"] == [] and f"generation {os.path.basename(first)}" in ran["removed"]


# -- kills


def test_killed_at_random_steps(depot: Depot, host: Host, work: pathlib.Path) -> None:
    """Whenever it's killed, the generations that stay are whole, and a rerun, of the prune or of a deploy, makes the rest right."""
    for number, wish in ((1, WISH), (2, dataclasses.replace(WISH, tools_dir="")), (3, WISH), (4, WISH), (4, dataclasses.replace(WISH, projects=("hello",)))):
        bring(depot, host, wish, number)
        os.makedirs(os.path.join(host.root, "builds", f"{number:06d}", "hello"), exist_ok=True)
    saved, lock = work / "saved", os.path.join(host.depot.path, ".lock")
    subprocess.run(["cp", "-a", host.root, str(saved)], check=True)
    stay = [host.current(), rollback_target(host, 3)]
    pruned(host, 2)
    wanted = facts(host.root, *HISTORY)
    chance, step, kills = random.Random(7), 0, 0
    while True:
        step += chance.randint(1, 17)
        remove_tree(host.root)
        subprocess.run(["cp", "-a", str(saved), host.root], check=True)
        if not killed_at(step, lambda: verb.pruned(host, 2, "", check_mode=False), lock):
            break
        kills += 1
        assert host.current() == stay[0] and rollback_target(host, 3) == stay[1]
        for name in stay:
            state = host.state(name)
            assert not probe(depot, as_if_active(host, name), wish_of(state), int(name[:6])).missing
            assert not host.cache.missing(host.wanted_modules(host.depot.generation(Ref.parse(name[:6])), state["parts"]))
            tree = host.depot.tree(Ref.parse(name[:6]))
            subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=tree, check=True)
        for name in os.listdir(os.path.join(host.root, "generations")):
            if not name.startswith("."):
                assert rollback_target(host, int(name[:6])), "what has a name is whole"
        if kills % 2:
            verb.pruned(host, 2, "", check_mode=False)
        else:
            bring(depot, host, dataclasses.replace(WISH, projects=("hello",)), 4, 2)
        assert facts(host.root, *HISTORY) == wanted, f"kill at step {step}"
    print(f"killed {kills} times")
    assert kills > 20


def as_if_active(host: Host, directory: str) -> Host:
    """The host as it would be asked with this directory as the active one; nothing on it changes."""

    class At(Host):
        def current(self) -> str:
            return directory

    return At(host.root)


# -- a control node's depot


def test_a_depot_keeps_its_newest(depot: Depot, work: pathlib.Path) -> None:
    told = receipt.write(depot)
    (work / "receipt.json").write_bytes(told)
    pathlib.Path(depot.path, receipt.NAME).write_bytes(told)
    second, third = (depot.generation(Ref(number, True)) for number in (2, 3))
    alone = {entry["number"]: entry["bytes"] for entry in verb.depot_listed(depot.path)}
    assert [entry["active"] for entry in verb.depot_listed(depot.path)] == [False, False, False, True] and min(alone.values()) > 0
    before = facts(depot.path)
    check = verb.depot_pruned(depot.path, 2, [str(work / "receipt.json")], "", check_mode=True)
    assert facts(depot.path) == before
    ran = verb.depot_pruned(depot.path, 2, [str(work / "receipt.json")], "", check_mode=False)
    assert check == ran and ran["removed"][:2] == ["generation 000001", "generation 000002"] and ran["bytes"] > alone[1] + alone[2] - 20000
    assert sorted(depot.index()) == [Ref(3, True), Ref(4, True)] and depot.holds(third)
    assert not depot.blobs.has(second.manifest.config, second.manifest.config_size)
    assert second.digest in receipt.held_blobs(told, depot, ""), "a bundle against that receipt can still be made"
    assert set(second.manifest.blobs()) <= receipt.held_blobs(told, depot, "")
    assert pathlib.Path(depot.path, receipt.NAME).read_bytes() == receipt.write(depot) != told, "its own receipt promises what it lacks"
    assert depot.audit.entries()[-1]["generations"] == ["000001", "000002"]
    assert not verb.depot_pruned(depot.path, 2, [str(work / "receipt.json")], "", check_mode=False)["changed"]
    assert verb.depot_pruned(depot.path, 2, [], "", check_mode=False)["removed"] == ["2 blobs"]
    assert not verb.depot_pruned(depot.path, 0, [], "", check_mode=False)["changed"]
    make_generation(depot, depot.next_number())
    assert depot.next_number() == 6
    with pytest.raises(SpecInvalid):
        verb.depot_pruned(str(work / "nowhere"), 1, [], "", check_mode=True)


def test_a_depot_that_is_damaged_is_not_guessed_at(depot: Depot) -> None:
    os.unlink(depot.blobs.path(depot.generation(Ref(4, True)).manifest.config))
    before = facts(depot.path)
    with pytest.raises(DepotDamaged):
        verb.depot_pruned(depot.path, 1, [], "", check_mode=False)
    assert facts(depot.path) == before
    assert prune.nothing().result()["removed"] == []
