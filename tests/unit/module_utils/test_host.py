# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's state: what differs, what merges, what is refused, where a rollback goes, and what a kill at any step leaves."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import deliver
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, BundleDamaged, DepotDamaged, HostRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish, differences, wished_state
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.plugins.module_utils._host.switch import rollback_diff, rollback_target, switch_to
from ansible_collections.airgap.golang.plugins.module_utils.host import Host, Plan
from ansible_collections.airgap.golang.tests.support.depots import held
from ansible_collections.airgap.golang.tests.support.killing import killed_at
from ansible_collections.airgap.golang.tests.support.small_generation import (
    ALL_PARTS,
    OTHER,
    PLATFORM,
    bring,
    make_generation,
    probe,
    send,
)

NEWER = ("example.com/newer", "v1.1.0")
GOENV = "GOPROXY=file:///root/of/host\nGOTOOLCHAIN=auto\n"
WISH = Wish(ALL_PARTS, goenv=GOENV)


@pytest.fixture
def depot(work: pathlib.Path) -> Depot:
    """000001 has go1.26.8 and the project hello; 000002 has go1.27.3 too, another module, and the project world."""
    made = Depot(str(work / "depot"))
    make_generation(made, 1)
    make_generation(made, 2, toolchains=("1.26.8", "1.27.3"), modules={NEWER: {"newer.go": b"package newer\n"}}, projects=("hello", "world"))
    return made


@pytest.fixture
def host(work: pathlib.Path) -> Host:
    return Host(str(work / "root"))


def things(plan: Plan) -> list[str]:
    return [what for what, _was, _will in plan.changes]


def everything(top: str) -> dict[str, tuple[int, int]]:
    """Every name below a directory, with its inode and modification time."""
    return {
        os.path.join(at, name): (os.lstat(os.path.join(at, name)).st_ino, os.lstat(os.path.join(at, name)).st_mtime_ns)
        for at, names, files in os.walk(top)
        for name in names + files
    }


def reachable(top: str) -> dict[str, str]:
    """Every file that can be reached from a directory, links followed, with the SHA-256 of its content."""
    found = {}
    for at, names, files in os.walk(top, followlinks=True):
        for name in files:
            path = os.path.join(at, name)
            if os.path.exists(path):
                found[os.path.relpath(path, top)] = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        found.update((os.path.relpath(os.path.join(at, name), top) + "/", "") for name in names)
    return found


# -- what differs


def test_new_host(depot: Depot, host: Host) -> None:
    plan = probe(depot, host, WISH)
    assert things(plan) == ["room", "depot", "modcache", "generation", "current", "toolchain", "project", "project"] + ["go.env"] * 2
    assert not os.path.exists(host.root)
    assert plan.bytes > sum(plan.missing.values()) > 0
    assert plan.inodes > len(plan.missing)
    assert f"{len(plan.missing)} blobs" in plan.diff()["after"] and plan.diff()["before"] == ""


def test_unchanged_host_is_not_touched(depot: Depot, host: Host) -> None:
    bring(depot, host, WISH)
    before = everything(host.root)
    plan = bring(depot, host, WISH)
    assert plan.changes == [] and not plan.changed and plan.diff() == {"before": "", "after": ""}
    assert everything(host.root) == before


def test_the_plan_is_what_comes(depot: Depot, host: Host, work: pathlib.Path) -> None:
    plan = bring(depot, host, dataclasses.replace(WISH, link_dir=str(work / "bin")))
    assert sorted(plan.missing) == sorted(digest for digest, size in plan.missing.items() if host.depot.blobs.has(digest, size))
    current = os.path.join(host.root, "current")
    go = subprocess.run([str(work / "bin" / "go"), "x"], stdout=subprocess.PIPE, text=True, check=True, env={}).stdout
    assert go == f"go1.27.3 {PLATFORM} x\n"
    assert sorted(os.listdir(os.path.join(current, "projects"))) == ["hello", "world"]
    assert pathlib.Path(current, "go.env").read_text() == GOENV
    assert set(os.listdir(current)) == {"bin", "generation.json", "go", "go.env", "projects", "proxy", "state.json"}
    # Every toolchain here reads the settings of whatever is current.
    for version in ("1.26.8", "1.27.3"):
        goroot = toolchain.directory(os.path.join(host.root, "modcache"), version, PLATFORM)
        assert os.readlink(os.path.join(goroot, "go.env")) == os.path.join(current, "go.env")


def test_changed_settings_move_nothing_but_current(depot: Depot, host: Host) -> None:
    bring(depot, host, WISH)
    plan = bring(depot, host, dataclasses.replace(WISH, goenv=GOENV.replace("auto", "local")))
    assert plan.missing == {} and plan.unpack == [] and plan.bytes == 0
    assert ("go.env", "GOTOOLCHAIN=auto", "") in plan.changes and ("go.env", "", "GOTOOLCHAIN=local") in plan.changes
    assert "GOPROXY" not in str(plan.diff())


def test_a_lost_module_is_unpacked_again(depot: Depot, host: Host) -> None:
    bring(depot, host, WISH)
    remove_tree(host.cache.directory(*NEWER))
    plan = bring(depot, host, WISH)
    assert things(plan) == ["room", "modcache"]
    assert os.path.isdir(host.cache.directory(*NEWER))


def test_a_tree_of_a_known_generation_grows(depot: Depot, host: Host) -> None:
    bring(depot, host, Wish(("toolchain",), toolchain="1.26.8"), 2)
    assert not os.path.exists(os.path.join(host.root, "current", "projects"))
    plan = bring(depot, host, Wish(("project",), projects=("hello",)), 2)
    assert {layer.title for layer in plan.layers if layer.digest in plan.missing} == {"projects/hello.source.tar.gz", "projects/hello.vendor.tar.gz"}
    before = host.current()
    bring(depot, host, Wish(("project",)), 2)
    assert sorted(os.listdir(os.path.join(host.root, "current", "projects"))) == ["hello", "world"]
    assert os.listdir(os.path.join(host.root, "generations", before, "projects")) == ["hello"], "a state that was left changed"


def test_two_projects_with_the_same_files(depot: Depot, host: Host) -> None:
    """Their vendor directories are one blob, and two layers."""
    bring(depot, host, Wish(("project",), projects=("hello",)), 2)
    bring(depot, host, Wish(("project",)), 2)
    assert [os.path.isfile(os.path.join(host.root, "current", "projects", name, "vendor", "modules.txt")) for name in ("hello", "world")] == [True, True]


def test_another_generation_of_that_number_is_refused(depot: Depot, host: Host, work: pathlib.Path) -> None:
    bring(depot, host, WISH, 1)
    other = Depot(str(work / "other"))
    make_generation(other, 1, projects=("elsewhere",))
    with pytest.raises(DepotDamaged) as refusal:
        probe(other, host, WISH, 1)
    assert refusal.value.code == "generation_conflict" and refusal.value.subject == "000001"


def test_other_platforms_travel_with_the_depot_alone(work: pathlib.Path, host: Host) -> None:
    depot = Depot(str(work / "depot"))
    generation = make_generation(depot, 1, platforms=(PLATFORM, OTHER))
    other = f"{OTHER.replace('/', '-')}.zip"
    bring(depot, host, WISH)
    assert not [name for name in reachable(host.depot.tree(generation.ref)) if name.endswith(other)]
    bring(depot, host, Wish(("depot",)))
    proxy = os.path.join(host.root, "current", "proxy")
    assert [name for name in reachable(proxy) if name.endswith(other)]
    assert not os.path.isdir(host.cache.directory(toolchain.MODULE, toolchain.module_version("1.26.8", OTHER)))


# -- what merges


def parts_of(depot: Depot, number: int, wish: Wish, now: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    parts: dict[str, t.Any] = wished_state(depot.generation(Ref(number, True)), wish, now, PLATFORM)["parts"]
    return parts


def test_parts_that_are_here_stay_and_move(depot: Depot) -> None:
    now = {"parts": parts_of(depot, 1, WISH, {})}
    parts = parts_of(depot, 2, Wish(("depot",)), now)
    assert sorted(parts) == sorted([*ALL_PARTS, "depot"])
    assert parts["toolchain"] == {"version": "1.26.8", "dir": ""}, "nobody asked for another one"
    assert parts["project"] == {"all": True, "names": ["hello", "world"]}
    assert parts["goenv"]["content"] == GOENV


def test_a_choice_of_projects_stays_a_choice(depot: Depot) -> None:
    now = {"parts": parts_of(depot, 2, Wish(("project",), projects=("world",)), {})}
    assert parts_of(depot, 2, Wish(("toolchain",)), now)["project"] == {"all": False, "names": ["world"]}
    assert parts_of(depot, 1, Wish(("toolchain",)), now)["project"] == {"all": False, "names": []}
    assert parts_of(depot, 2, Wish(("project",)), now)["project"] == {"all": True, "names": ["hello", "world"]}


def test_a_toolchain_that_is_gone_gives_way_to_the_newest(depot: Depot) -> None:
    now = {"parts": parts_of(depot, 2, Wish(("toolchain",), toolchain="go1.27.3"), {})}
    assert now["parts"]["toolchain"] == {"version": "1.27.3", "dir": ""}
    assert parts_of(depot, 1, Wish(("modcache",)), now)["toolchain"] == {"version": "1.26.8", "dir": ""}


def test_private_patterns_follow_the_generation(work: pathlib.Path) -> None:
    depot = Depot(str(work / "depot"))
    make_generation(depot, 1, nosumdb="old.example")
    make_generation(depot, 2, nosumdb="new.example")
    now = {"parts": parts_of(depot, 1, Wish(("goenv",), goenv="GOSUMDB=sum.golang.org"), {})}
    assert now["parts"]["goenv"]["content"] == "GOSUMDB=sum.golang.org\nGONOSUMDB=old.example\n"
    assert parts_of(depot, 2, Wish(("toolchain",)), now)["goenv"]["content"] == "GOSUMDB=sum.golang.org\nGONOSUMDB=new.example\n"
    mine = Wish(("goenv",), goenv="GONOSUMDB=mine.example")
    assert parts_of(depot, 2, mine, now)["goenv"]["content"] == "GONOSUMDB=mine.example\n"


@pytest.mark.parametrize(
    "wish, number, platform, error, subject",
    [
        (Wish(("toolchain",), toolchain="1.25.0"), 2, PLATFORM, SpecInvalid, "go1.25.0"),
        (Wish(("toolchain",), toolchain="1.27.3"), 1, PLATFORM, SpecInvalid, "go1.27.3"),
        (Wish(("toolchain",), link_dir="bin"), 1, PLATFORM, SpecInvalid, "link_dir"),
        (Wish(("toolchain",)), 2, "linux/s390x", HostRefused, "linux/s390x"),
        (Wish(("project",), projects=("hello", "venus")), 2, PLATFORM, SpecInvalid, "venus"),
        (Wish(("goenv",), goenv="export GOPROXY=off"), 2, PLATFORM, SpecInvalid, "export GOPROXY=off"),
        (Wish(("kernel",)), 2, PLATFORM, SpecInvalid, "kernel"),
    ],
)
def test_wishes_that_cannot_be_met(depot: Depot, wish: Wish, number: int, platform: str, error: type[AirgapError], subject: str) -> None:
    with pytest.raises(error) as refusal:
        wished_state(depot.generation(Ref(number, True)), wish, {}, platform)
    assert refusal.value.subject == subject


def test_differences_are_told_by_line() -> None:
    before = {"parts": {"toolchain": {"version": "1.26.8"}, "project": {"names": ["a", "b"]}, "goenv": {"content": "AR=1\nB=2\n"}}}
    after = {"parts": {"toolchain": {"version": "1.27.3"}, "project": {"names": ["b", "c"]}, "goenv": {"content": "AR=1\nB=3\n"}}}
    assert differences(before, after) == [
        ("toolchain", "1.26.8", "1.27.3"),
        ("project", "a", ""),
        ("project", "", "c"),
        ("go.env", "B=2", ""),
        ("go.env", "", "B=3"),
    ]
    assert differences(after, after) == []


def test_an_unreadable_state_is_not_taken_for_an_empty_one(depot: Depot, host: Host) -> None:
    bring(depot, host, WISH)
    path = pathlib.Path(host.root, "current", "state.json")
    path.chmod(0o644)
    path.write_text("{}")
    with pytest.raises(HostRefused) as refusal:
        probe(depot, host, Wish(("toolchain",)))
    assert refusal.value.code == "state_damaged" and refusal.value.subject.endswith("state.json")
    os.unlink(os.path.join(host.root, "current"))
    assert bring(depot, host, WISH).changed


def test_without_settings_of_ours_a_toolchain_keeps_its_own(depot: Depot, host: Host) -> None:
    bring(depot, host, Wish(("modcache",)))
    assert pathlib.Path(host.root, "current", "go.env").read_text() == "GOTOOLCHAIN=stock\n"


# -- links and places


@pytest.mark.parametrize("kind", ["file", "directory", "link", "link to another root"])
def test_something_in_the_way_is_refused_before_anything(depot: Depot, host: Host, work: pathlib.Path, kind: str) -> None:
    (work / "bin").mkdir()
    go = work / "bin" / "gofmt"
    if kind == "file":
        go.write_text("mine")
    elif kind == "directory":
        go.mkdir()
    else:
        go.symlink_to("/usr/lib/go/bin/gofmt" if kind == "link" else host.root + "-other/current/bin/gofmt")
    with pytest.raises(HostRefused) as refusal:
        bring(depot, host, dataclasses.replace(WISH, link_dir=str(work / "bin")))
    assert refusal.value.code == "in_the_way" and refusal.value.subject == str(go)
    assert not os.path.exists(host.root)


def test_links_are_ours_to_move(depot: Depot, host: Host, work: pathlib.Path) -> None:
    wish = dataclasses.replace(WISH, link_dir=str(work / "new" / "bin"))
    bring(depot, host, wish)
    go = work / "new" / "bin" / "go"
    go.unlink()
    go.symlink_to(host.root + "/somewhere/else")
    plan = bring(depot, host, wish)
    assert plan.changes == [(str(go), host.root + "/somewhere/else", os.path.join(host.root, "current", "bin", "go"))]
    assert os.access(go, os.X_OK)
    assert not probe(depot, host, Wish(("modcache",), link_dir=str(work / "elsewhere"))).changed, "it's the toolchain's option"
    before = host.current()
    bring(depot, host, dataclasses.replace(WISH, link_dir=str(work / "elsewhere")))
    assert os.listdir(work / "new" / "bin") == [] and sorted(os.listdir(work / "elsewhere")) == ["go", "gofmt"]
    bring(depot, host, dataclasses.replace(WISH, link_dir=""))
    assert os.listdir(work / "elsewhere") == []
    switch_to(host, before, host.current(), "")
    assert os.listdir(work / "elsewhere") == [] and sorted(os.listdir(work / "new" / "bin")) == ["go", "gofmt"]


def test_a_path_that_a_shell_would_take_apart(depot: Depot, work: pathlib.Path) -> None:
    host = Host(str(work / "a root; it's $HOME"))
    bring(depot, host, WISH)
    told = subprocess.run([os.path.join(host.root, "current", "bin", "go")], stdout=subprocess.PIPE, text=True, check=True, env={})
    assert told.stdout.startswith("go1.27.3")


# -- tools


TOOLS = Wish(("tools",), tools_dir="/nowhere")


@pytest.fixture
def tooled(work: pathlib.Path) -> Depot:
    """000001 has the tools fix and vet, 000002 vet and stray, each for two platforms."""
    made = Depot(str(work / "tooled"))
    for number, tools in ((1, ("fix", "vet")), (2, ("vet", "stray"))):
        make_generation(made, number, tools=tools, platforms=(PLATFORM, OTHER))
    return made


def linked(directory: pathlib.Path) -> dict[str, str]:
    """What each tool linked there says."""
    return {path.name: subprocess.run([str(path)], stdout=subprocess.PIPE, text=True, check=True, env={}).stdout for path in directory.iterdir()}


def says(number: int, *names: str) -> dict[str, str]:
    return {name: f"{name} {number} {PLATFORM}\n" for name in names}


def test_tools_come_go_and_come_back(tooled: Depot, host: Host, work: pathlib.Path) -> None:
    links = work / "bin"
    wish = dataclasses.replace(TOOLS, tools_dir=str(links) + "/")
    plan = bring(tooled, host, wish, 1)
    assert {layer.title for layer in plan.layers if layer.kind == "tool"} == {f"tools/{PLATFORM.replace('/', '-')}/{name}" for name in ("fix", "vet")}
    assert linked(links) == says(1, "fix", "vet")
    assert ("tool", "", "vet (example.com/vet@v1.1.0)") in plan.changes
    assert sum(plan.missing.values()) < plan.bytes, "a program is there twice, as a blob and with exec bits"
    assert not os.stat(host.depot.blobs.path(next(layer.digest for layer in plan.layers if layer.kind == "tool"))).st_mode & 0o111
    before = everything(host.root)
    assert bring(tooled, host, wish, 1).changes == [] and everything(host.root) == before
    first = host.current()

    (links / "mine").symlink_to("/bin/true")
    plan = bring(tooled, host, wish, 2)
    (links / "mine").unlink()
    assert (str(links / "fix"), f"{host.root}/current/tools/fix", "") in plan.changes
    assert ("tool", "fix (example.com/fix@v1.1.0)", "") in plan.changes and ("tool", "vet (example.com/vet@v1.1.0)", "") in plan.changes
    assert linked(links) == says(2, "vet", "stray")
    second = host.current()

    assert rollback_target(host, None) == first
    assert rollback_diff(host, first) == {
        "before": f"{second}\n{links}/stray: {host.root}/current/tools/stray\n",
        "after": f"{first}\n{links}/fix: {host.root}/current/tools/fix\n",
    }
    switch_to(host, first, second, "")
    assert linked(links) == says(1, "fix", "vet")
    assert rollback_diff(host, first) == {"before": f"{first}\n", "after": f"{first}\n"}


def test_tools_follow_other_parts(tooled: Depot, host: Host, work: pathlib.Path) -> None:
    bring(tooled, host, dataclasses.replace(TOOLS, tools_dir=str(work / "bin")), 1)
    bring(tooled, host, Wish(("goenv",), tools_dir=str(work / "elsewhere")), 2)
    assert linked(work / "bin") == says(2, "vet", "stray") and not (work / "elsewhere").exists()


def test_named_tools(tooled: Depot, host: Host, work: pathlib.Path) -> None:
    plan = bring(tooled, host, dataclasses.replace(TOOLS, tools=("fix",), tools_dir=str(work / "bin")), 1)
    assert [layer.title for layer in plan.layers if layer.kind == "tool"] == [f"tools/{PLATFORM.replace('/', '-')}/fix"]
    assert linked(work / "bin") == says(1, "fix")
    bring(tooled, host, Wish(("goenv",)), 2)
    assert linked(work / "bin") == {} and os.listdir(os.path.join(host.root, "current", "tools")) == [], "nobody asked for another one"


def test_another_directory_for_tools(tooled: Depot, host: Host, work: pathlib.Path) -> None:
    one, other = work / "one", work / "other"
    bring(tooled, host, dataclasses.replace(TOOLS, tools_dir=str(one)), 1)
    before = host.current()
    bring(tooled, host, dataclasses.replace(TOOLS, tools_dir=str(other)), 1)
    assert linked(one) == {} and linked(other) == says(1, "fix", "vet")
    bring(tooled, host, dataclasses.replace(TOOLS, tools_dir=""), 1)
    assert linked(one) == {} and linked(other) == {} and linked(pathlib.Path(host.root, "current", "tools")) == says(1, "fix", "vet")
    switch_to(host, before, host.current(), "")
    assert linked(one) == says(1, "fix", "vet")


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_tool_of_somebody_elses_stays(tooled: Depot, host: Host, work: pathlib.Path, kind: str) -> None:
    links = work / "bin"
    wish = dataclasses.replace(TOOLS, tools_dir=str(links))
    bring(tooled, host, wish, 1)
    first = host.current()
    if kind == "file":
        (links / "stray").write_text("mine")
    else:
        (links / "stray").symlink_to("/usr/bin/stray")
    before = everything(str(work))
    with pytest.raises(HostRefused) as refusal:
        bring(tooled, host, wish, 2)
    assert refusal.value.code == "in_the_way" and refusal.value.subject == str(links / "stray") and "tools_dir" in refusal.value.hint
    assert everything(str(work)) == before
    (links / "stray").unlink()
    bring(tooled, host, wish, 2)
    (links / "fix").write_text("mine")
    for attempt in (lambda: rollback_diff(host, first), lambda: switch_to(host, first, host.current(), "")):
        with pytest.raises(HostRefused, match="isn't ours"):
            attempt()
    assert host.current().startswith("000002-")


def test_the_whole_depot_has_all_platforms_tools(tooled: Depot, host: Host) -> None:
    plan = bring(tooled, host, Wish(("depot", "tools"), tools=("vet",)), 1)
    tree = host.depot.tree(plan.generation.ref)
    for platform in (PLATFORM, OTHER):
        for name in ("fix", "vet"):
            assert os.stat(os.path.join(tree, "tools", platform.replace("/", "-"), name)).st_mode & 0o777 == 0o555
    assert os.listdir(os.path.join(host.root, "current", "tools")) == ["vet"]
    assert subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=tree, check=False).returncode == 0


@pytest.mark.parametrize(
    "wish, subject",
    [
        (dataclasses.replace(TOOLS, tools=("vet", "lint")), "lint"),
        (dataclasses.replace(TOOLS, tools_dir="bin"), "tools_dir"),
    ],
)
def test_tools_that_cannot_be_had(tooled: Depot, wish: Wish, subject: str) -> None:
    with pytest.raises(SpecInvalid) as refusal:
        wished_state(tooled.generation(Ref(1, True)), wish, {}, PLATFORM)
    assert refusal.value.subject == subject
    assert wished_state(tooled.generation(Ref(1, True)), TOOLS, {}, "linux/s390x")["parts"]["tools"]["programs"] == {}


def test_no_tool_takes_the_toolchains_name(work: pathlib.Path) -> None:
    depot = Depot(str(work / "depot"))
    generation = make_generation(depot, 1, tools=("gofmt",))
    with pytest.raises(SpecInvalid, match="toolchain's name"):
        wished_state(generation, TOOLS, {}, PLATFORM)
    assert wished_state(generation, dataclasses.replace(TOOLS, tools_dir=""), {}, PLATFORM)["parts"]["tools"]["programs"]


def test_a_tool_that_was_cut_is_laid_out_again(tooled: Depot, host: Host) -> None:
    """A file of another length can't be a copy that came whole; as with blobs, content isn't read at each look."""
    wish = dataclasses.replace(TOOLS, tools_dir="")
    plan = bring(tooled, host, wish, 1)
    vet = pathlib.Path(host.depot.tree(plan.generation.ref), "tools", PLATFORM.replace("/", "-"), "vet")
    vet.unlink()
    assert things(bring(tooled, host, wish, 1)) == ["room", "depot"] and vet.exists()


# -- rollback


def test_rollback_goes_to_the_state_before(depot: Depot, host: Host) -> None:
    bring(depot, host, Wish(("toolchain",)), 1)
    bring(depot, host, WISH, 1)
    first = host.current()
    bring(depot, host, WISH, 2)
    second = host.current()
    assert rollback_target(host, None) == first, "the state that was active last, not just any of that generation"
    switch_to(host, first, second, "2" * 32)
    assert host.current() == first and rollback_target(host, 1) == first and rollback_target(host, 2) == second
    events = [(entry["event"], entry["generation"], entry["trace_id"]) for entry in host.depot.audit.entries()]
    assert events[-1] == ("activate", first, "2" * 32)
    assert not probe(depot, host, WISH, 1).changed
    assert os.path.realpath(os.path.join(host.root, "sumdb")).startswith(host.depot.path + "/trees/000002/"), "the checksum database never goes back"
    assert pathlib.Path(host.root, "current", "proxy", "sumdb", "sum.example", "latest").read_text() == "2"
    assert things(bring(depot, host, WISH, 2)) == ["current", "toolchain", "project"]
    assert host.current() == second


def test_rollback_is_refused_by_name(depot: Depot, host: Host) -> None:
    with pytest.raises(HostRefused, match="no active generation"):
        rollback_target(host, None)
    bring(depot, host, WISH, 1)
    with pytest.raises(HostRefused, match=f"no generation before {host.current()}") as refusal:
        rollback_target(host, None)
    assert refusal.value.code == "no_generation"
    with pytest.raises(HostRefused, match="no generation 000007"):
        rollback_target(host, 7)


def test_rollback_to_what_is_not_whole_is_refused(depot: Depot, host: Host) -> None:
    bring(depot, host, WISH, 1)
    first = host.current()
    bring(depot, host, WISH, 2)
    remove_tree(os.path.join(host.depot.path, "trees", "000001", "projects", "hello"))
    with pytest.raises(HostRefused, match="leads nowhere") as refusal:
        rollback_target(host, None)
    assert refusal.value.subject == first
    with pytest.raises(HostRefused, match="another run made"):
        switch_to(host, first, "000007-01234567", "")


def test_rollback_works_with_a_damaged_audit_log(depot: Depot, host: Host) -> None:
    bring(depot, host, WISH, 1)
    first = host.current()
    bring(depot, host, WISH, 2)
    path = pathlib.Path(host.depot.path, "audit.jsonl")
    path.write_text(path.read_text().replace("admit", "adm1t", 1))
    with pytest.raises(DepotDamaged):
        host.depot.audit.entries()
    assert rollback_target(host, None) == first


# -- deliveries that aren't what they should be


def part(incoming: str) -> str:
    """The path of the delivery's first part."""
    return os.path.join(incoming, min(os.listdir(incoming)))


def flip(incoming: str) -> None:
    content = bytearray(pathlib.Path(part(incoming)).read_bytes())
    content[600 if "pack-" in part(incoming) else 0] ^= 1
    pathlib.Path(part(incoming)).write_bytes(content)


def cut(incoming: str) -> None:
    os.truncate(part(incoming), os.stat(part(incoming)).st_size - 10)


def swap_for_link(incoming: str) -> None:
    path = part(incoming)
    os.rename(path, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(incoming)))), "moved"))
    os.symlink(os.path.join(incoming, "..", "..", "..", "..", "moved"), path)


def swap_for_fifo(incoming: str) -> None:
    path = part(incoming)
    os.unlink(path)
    os.mkfifo(path)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "harm, code",
    [
        (flip, "bundle_damaged"),
        (cut, "truncated"),
        (lambda incoming: os.unlink(part(incoming)), "truncated"),
        (lambda incoming: pathlib.Path(incoming, "part-000009").write_text("x"), "truncated"),
        (lambda incoming: os.symlink("/etc/passwd", os.path.join(incoming, "0" * 64)), "truncated"),
        (shutil.rmtree, "truncated"),
        (swap_for_link, "unsafe_member"),
        (swap_for_fifo, "unsafe_member"),
    ],
)
def test_a_damaged_delivery_is_refused_whole(
    depot: Depot, host: Host, harm: t.Callable[[str], None], code: str, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if alone:
        monkeypatch.setattr(deliver, "ALONE", 0)
    bring(depot, host, WISH, 1)
    before = reachable(os.path.join(host.root, "current"))
    plan = probe(depot, host, WISH, 2)
    incoming, parts = send(depot, host, plan)
    assert parts == (len(plan.missing) if alone else 1)
    blobs = sorted(os.listdir(host.depot.blobs.directory))
    harm(incoming)
    with pytest.raises(BundleDamaged) as refusal:
        host.admit(plan, "3" * 32, incoming, parts)
    assert refusal.value.code == ("bundle_damaged" if alone and harm is cut else code) and "again" in refusal.value.hint
    assert sorted(os.listdir(host.depot.blobs.directory)) == blobs
    assert reachable(os.path.join(host.root, "current")) == before
    bring(depot, host, WISH, 2)
    assert host.current().startswith("000002-") and not probe(depot, host, WISH, 2).changed
    assert os.listdir(host.depot.staging) == []


def test_a_blob_that_nobody_asked_for_is_refused(depot: Depot, host: Host) -> None:
    plan = probe(depot, host, WISH, 1)
    incoming, parts = send(depot, host, plan)
    digest = next(iter(plan.missing))
    fewer = dataclasses.replace(plan, missing={other: size for other, size in plan.missing.items() if other != digest})
    with pytest.raises(BundleDamaged, match="wasn't asked for") as refusal:
        host.admit(fewer, "", incoming, parts)
    assert refusal.value.subject == digest[7:]


def test_of_two_runs_the_later_one_goes_on(depot: Depot, host: Host) -> None:
    plan = probe(depot, host, WISH, 1)
    first, parts = send(depot, host, plan)
    second, parts = send(depot, host, plan)
    with pytest.raises(BundleDamaged, match="has 0 parts of 1"):
        host.admit(plan, "", first, parts)
    host.admit(plan, "", second, parts)
    with pytest.raises(HostRefused, match="meanwhile"):
        host.admit(plan, "", second, parts)


def test_two_at_once_are_told_apart_by_the_lock(depot: Depot, host: Host) -> None:
    plan = probe(depot, host, WISH, 1)
    with host.depot.locked():
        for attempt in (lambda: host.open_incoming("", plan.generation), lambda: host.admit(plan, ""), lambda: switch_to(host, "x", "", "")):
            with pytest.raises(AirgapError, match=str(os.getpid())) as refusal:
                attempt()
            assert refusal.value.code == "locked" and refusal.value.subject == host.depot.path


# -- kills

def marked_modules_are_whole(host: Host, whole: t.Mapping[str, t.Mapping[str, str]]) -> None:
    for path in pathlib.Path(host.cache.root).glob("cache/download/**/*.ziphash"):
        if path.read_text():
            name = str(path.relative_to(pathlib.Path(host.cache.root, "cache", "download"))).replace("/@v/", "@").replace(".ziphash", "")
            assert reachable_below(os.path.join(host.cache.root, name)) == whole[name], f"{name} is marked and not whole"


def reachable_below(directory: str) -> dict[str, str]:
    """As ``reachable``, without the settings, which every toolchain reads from what is current."""
    return {name: digest for name, digest in reachable(directory).items() if name != "go.env"}


@pytest.mark.parametrize("start, by_unpacker, stride", [("new", False, 2), ("new", True, 1), ("upgrade", False, 2)])
def test_killed_at_any_step(depot: Depot, work: pathlib.Path, start: str, by_unpacker: bool, stride: int) -> None:
    """``stride``: which of the steps are tried. With 1 everywhere all pass too; it takes a minute."""

    make_generation(depot, 3, tools=("fix", "vet"))
    make_generation(
        depot, 4, toolchains=("1.26.8", "1.27.3"), modules={NEWER: {"newer.go": b"package newer\n"}}, projects=("hello", "world"), tools=("vet", "stray")
    )
    parts = (*ALL_PARTS, "tools")

    def wish(host: Host, settings: str, tools_dir: str) -> Wish:
        return Wish(parts, goenv=settings, link_dir=os.path.join(host.root, "bin"), tools_dir=os.path.join(host.root, tools_dir))

    def fresh(name: str) -> Host:
        made = Host(str(work / name))
        if start == "upgrade":
            bring(depot, made, wish(made, "AR=1\n", "tools"), 3)
        return made

    def links(host: Host) -> dict[str, list[str]]:
        places = [pathlib.Path(host.root, name) for name in ("bin", "tools", "elsewhere")]
        return {place.name: sorted(os.listdir(place)) for place in places if place.is_dir()}

    def current(host: Host) -> dict[str, str]:
        """What users see; what a path says of where ROOT is aside."""
        seen = reachable(os.path.join(host.root, "current")) if host.current() else {}
        return {name: digest for name, digest in seen.items() if name not in ("bin/go", "go.env", "state.json") and not name.startswith("proxy/sumdb/")}

    def deploy(host: Host) -> None:
        bring(depot, host, wish(host, "AR=2\n", "elsewhere"), 4)

    reference = fresh("reference")
    before = current(reference)
    deploy(reference)
    after = current(reference)
    assert before != after
    whole = {f"{path}@{version}": reachable_below(reference.cache.directory(path, version)) for path, version in held(reference.cache.root)}
    assert len(whole) == (4 if start == "upgrade" else 3)

    host = fresh("host")
    saved = work / "saved"
    subprocess.run(["cp", "-a", host.root, str(saved)], check=False, stderr=subprocess.DEVNULL)
    lock = os.path.join(host.depot.path, ".lock")
    kills = 0
    seen = set()
    while True:
        kills += stride
        if not killed_at(kills, lambda: deploy(host), lock, by_unpacker):
            break
        now = current(host)
        assert now in (before, after), f"neither the old nor the new state after kill {kills}"
        seen.add(now == after)
        assert bool(host.current()) or start == "new"
        if host.current():
            settings = pathlib.Path(host.root, "current", "go.env").read_text()
            assert settings == ("AR=2\n" if now == after else "AR=1\n")
        marked_modules_are_whole(host, whole)
        assert not killed_at(0, lambda: deploy(host), lock), "a rerun is needed, and enough"
        assert current(host) == after and not probe(depot, host, wish(host, "AR=2\n", "elsewhere"), 4).changed
        assert links(host) == links(reference)
        host.depot.audit.entries()
        left = [path for at, directories, files in os.walk(host.root) for path in directories + files if path.endswith(".tmp")]
        assert left == [], f"left behind by kill {kills}"
        remove_tree(host.root)
        if start == "upgrade":
            subprocess.run(["cp", "-a", str(saved), host.root], check=True)
    assert kills > 20, "the sweep was meant to hit more than that"
    assert seen == {False, True} or by_unpacker or start == "upgrade"
