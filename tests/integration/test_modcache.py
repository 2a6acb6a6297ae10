# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""airgap.golang.modcache: whatever is done to a host's files is named, and what can be is set right; with real Go where Go has a say."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import forensics, modcache, repair
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, DepotDamaged
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._base.findings import KINDS
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.manifest import Layer
from ansible_collections.airgap.golang.plugins.module_utils._go.toolchain import host_platform
from ansible_collections.airgap.golang.plugins.module_utils._host.place import Place
from ansible_collections.airgap.golang.plugins.module_utils.deliver import Packs, Sender
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.bad_disk import lost_sector
from ansible_collections.airgap.golang.tests.support.deployed_depot import LOOSE, OLD, TOOLCHAINS, Ran, playbook, sealed_depot
from ansible_collections.airgap.golang.tests.support.depots import killed_at, times
from ansible_collections.airgap.golang.tests.support.small_generation import bring, make_generation

TASK = "Prove the host's files"
PARTS = ("toolchain", "modcache", "goenv", "project", "tools", "depot")
IS_ROOT = os.geteuid() == 0
PLATFORM = host_platform().replace("/", "-")
GOROOT = f"golang.org/toolchain@v0.0.1-go{TOOLCHAINS[0]}.{PLATFORM}"
SEED = 20260102

# (kind, problem, path below ROOT)
Told = t.Tuple[str, str, str]


def directory(prefix: str) -> pathlib.Path:
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"airgap-golang-{prefix}-"))
    path.chmod(0o755)
    return path


@contextlib.contextmanager
def opened(path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A file, and its directory, that can be written for a moment; modes are as before then."""
    modes = [(place, place.stat().st_mode & 0o7777) for place in (path.parent, path) if place.exists() and not place.is_symlink()]
    for place, mode in modes:
        place.chmod(mode | 0o200)
    yield path
    for place, mode in modes:
        if place.exists() and not place.is_symlink():
            place.chmod(mode)


def flip(path: pathlib.Path) -> None:
    """Change one bit in the middle, in place: all names of the file have it."""
    with opened(path):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        with path.open("r+b") as stream:
            stream.write(content)


def cut(path: pathlib.Path) -> None:
    with opened(path):
        os.truncate(path, path.stat().st_size - 7)


def told(findings: t.Iterable[t.Mapping[str, str]], root: pathlib.Path) -> set[Told]:
    return {(finding["kind"], finding["problem"], os.path.relpath(finding["path"], root)) for finding in findings}


# -- with real Go, by ansible-playbook


@pytest.fixture(scope="module")
def real() -> t.Iterator[pathlib.Path]:
    """A ROOT with both generations of the sealed depot."""
    top = directory("real")
    root = top / "root"
    depot = Depot(str(sealed_depot()))
    goenv = f"GOPROXY=file://{root}/current/proxy\nGOMODCACHE={root}/modcache\n"
    for number in (1, 2):
        bring(depot, Host(str(root)), Wish(PARTS, toolchain=TOOLCHAINS[0], goenv=goenv), number)
    yield root
    remove_tree(str(top))


def prove(work: pathlib.Path, root: pathlib.Path, *options: str, **more: t.Any) -> Ran:
    task = {"name": TASK, "airgap.golang.modcache": {"root": str(root), **more}}
    return playbook(work, [task], {}, *options)


def answer(ran: Ran) -> dict[str, t.Any]:
    assert ran.status == 0, ran.output
    return ran.results[TASK]


def old_layer() -> Layer:
    """The zip that only the first generation has."""
    depot = Depot(str(sealed_depot()))
    return next(layer for layer in depot.generation(min(depot.index())).manifest.layers if "/shlex/" in layer.title)


def damage(root: pathlib.Path) -> tuple[set[Told], set[Told]]:
    """Damage a host in many ways; what must be found, and what of it must stay as it is."""
    found: set[Told] = set()
    cache, tree = root / "modcache", root / "depot/trees/000002"
    reverse = next(cache.glob("golang.org/x/example/hello@*"))
    uuid = cache / LOOSE
    goroot = cache / GOROOT

    def say(kind: str, problem: str, path: pathlib.Path) -> None:
        found.add((kind, problem, str(path.relative_to(root))))

    flip(reverse / "reverse/reverse.go")
    say("modcache", "changed", reverse / "reverse/reverse.go")
    with opened(uuid / "LICENSE") as path:
        path.unlink()
    say("modcache", "missing", uuid / "LICENSE")
    with opened(uuid / "stray.go") as path:
        path.write_text("package uuid\n")
    say("modcache", "stray", uuid / "stray.go")
    with opened(uuid / "empty") as path:
        path.mkdir()
    say("modcache", "stray", uuid / "empty")
    (uuid / "hash.go").chmod(0o666)
    say("modcache", "mode", uuid / "hash.go")
    uuid.chmod(0o777)
    say("modcache", "mode", uuid)
    mark = next(cache.glob("cache/download/github.com/google/uuid/@v/*.ziphash"))
    mark.write_text("h1:" + "A" * 43 + "=")
    say("modcache", "changed", mark)
    versions = mark.parent / "list"
    versions.write_text("v9.9.9\n")
    say("modcache", "changed", versions)
    # One inode is the blob, the tree's file and the cache's zip.
    old = old_layer()
    archive = cache / "cache/download" / old.title[len("proxy/") :]
    cut(archive)
    for kind, path in (("modcache", archive), ("blob", root / "depot/blobs/sha256" / old.hex), ("tree", root / "depot/trees/000001" / old.title)):
        say(kind, "changed", path)
    # Without a zip that is right the module is named, not its file.
    flip(cache / OLD / "shlex.go")
    say("modcache", "changed", cache / OLD)
    flip(goroot / "bin/gofmt")
    say("toolchain", "changed", goroot / "bin/gofmt")
    with opened(goroot / "src/fmt/print.go") as path:
        path.unlink()
        path.symlink_to("/etc/hostname")
    say("toolchain", "changed", goroot / "src/fmt/print.go")
    with opened(goroot / "go.env") as path:
        path.unlink()
        path.write_text("GOPROXY=direct\n")
    say("toolchain", "changed", goroot / "go.env")
    project = tree / "projects/hello"
    flip(project / "main.go")
    say("project", "changed", project / "main.go")
    (project / "notes.txt").write_text("somebody's\n")
    say("project", "stray", project / "notes.txt")
    vendored = next((project / "vendor").rglob("reverse.go"))
    vendored.unlink()
    say("vendor", "missing", vendored)
    (project / "vendor/evil.go").write_text("package evil\n")
    say("vendor", "stray", project / "vendor/evil.go")
    evidence = next((tree / "evidence").iterdir())
    evidence.unlink()
    evidence.mkdir()
    say("tree", "changed", evidence)
    info = next((tree / "proxy/github.com/google/uuid/@v").glob("*.info"))
    info.unlink()
    info.symlink_to("/etc/hostname")
    say("tree", "changed", info)
    flip(tree / "SHA256SUMS")
    say("tree", "changed", tree / "SHA256SUMS")
    active = pathlib.Path(os.path.realpath(root / "current"))
    flip(active / "go.env")
    say("link", "changed", active / "go.env")
    (active / "projects/hello").unlink()
    (active / "projects/hello").symlink_to("/tmp")
    say("link", "changed", active / "projects/hello")
    (root / "sumdb").unlink()
    (root / "sumdb").symlink_to("depot/trees/000001/proxy/sumdb")
    say("link", "changed", root / "sumdb")
    other = cache / "example.com/nobody@v1.0.0"
    other.mkdir(parents=True)
    say("modcache", "stray", cache / "example.com")
    if IS_ROOT:
        os.chown(uuid / "go.mod", 65534, -1)
        say("modcache", "owner", uuid / "go.mod")
    return found, {("project", "stray", str((project / "notes.txt").relative_to(root))), ("modcache", "stray", "modcache/example.com")}


def test_everything_that_is_damaged_is_named_and_repaired(real: pathlib.Path, tmp_path: pathlib.Path) -> None:
    depot = str(sealed_depot())
    before = times(real)
    clean = answer(prove(tmp_path, real, generations="all", depot=depot))
    assert (clean["findings"], clean["total"], clean["summary"], clean["changed"]) == ([], 0, {}, False)
    assert set(clean["checked"]) == set(KINDS) and all(clean["checked"].values())
    assert times(real) == before

    expected, stays = damage(real)
    report = tmp_path / "report.json"
    ran = prove(tmp_path, real, generations="all", report=str(report), fail_on_findings=True)
    found = ran.results[TASK]
    assert told(found["findings"], real) == expected
    assert found["total"] == len(found["findings"]) == len(json.loads(report.read_text())["findings"])
    assert ran.status != 0 and found["failure"]["code"] == "findings"

    size = old_layer().size
    damaged = times(real)
    checked = answer(prove(tmp_path, real, "--check", "--diff", state="repaired", generations="all", depot=depot))
    assert (checked["changed"], checked["transferred"]) == (True, size)
    assert "reverse.go: changed" in checked["diff"]["before"]
    assert times(real) == damaged

    done = answer(prove(tmp_path, real, state="repaired", generations="all", depot=depot))
    assert (done["changed"], done["transferred"], told(done["findings"], real), told(done["left"], real)) == (True, size, expected, stays)
    (real / "depot/trees/000002/projects/hello/notes.txt").unlink()
    remove_tree(str(real / "modcache/example.com"))
    again = answer(prove(tmp_path, real, state="repaired", generations="all", depot=depot))
    assert (again["changed"], again["transferred"], again["findings"], again["left"]) == (False, 0, [], [])

    # What Go itself says of it.
    project = tmp_path / "project"
    subprocess.run(["cp", "-r", f"{real}/current/projects/hello/.", str(project)], check=True)
    subprocess.run(["chmod", "-R", "u+w", str(project)], check=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GOCACHE": str(tmp_path / "cache"), "GOFLAGS": "-mod=mod"}
    for arguments in (["mod", "verify"], ["build", "-o", "hello", "."]):
        built = subprocess.run([f"{real}/current/bin/go", *arguments], cwd=project, env=env, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr
    remove_tree(str(tmp_path / "cache"))


# -- with toolchains of some bytes, by the module's own code


@pytest.fixture
def toy(tmp_path: pathlib.Path) -> t.Iterator[tuple[Depot, pathlib.Path]]:
    """(a control node's depot, a ROOT with its two generations)."""
    top = directory("toy")
    depot = Depot(str(top / "depot"))
    for number in (1, 2):
        make_generation(depot, number, tools=("fix",))
        bring(depot, Host(str(top / "root")), Wish(PARTS, goenv="GOFLAGS=-trimpath\n", tools_dir=str(top / "tools")), number)
    yield depot, top / "root"
    remove_tree(str(top))


def execute(root: pathlib.Path, request: repair.Request, **more: t.Any) -> dict[str, t.Any]:
    """The module, run once."""
    given = {
        **{"state": "verified", "root": str(root), "what": list(forensics.WHAT), "generations": "all", "depot": ""},
        **{"path": "", "gosum": [], "vendor": [], "fail_on_findings": False, "report": "", "workers": 2, "trace_id": "7" * 32},
        **more,
    }
    return modcache.run(modcache.Options.of({**given, "request": request.pack()}), False)


def run(root: pathlib.Path, depot: t.Optional[Depot] = None, **more: t.Any) -> dict[str, t.Any]:
    """What the module does, and with a depot its action plugin."""
    request = repair.Request("probe", repair.offered_by(depot) if depot else {})
    options = {"depot": depot.path if depot else "", **more}
    result = execute(root, request, **options)
    while depot is not None and result.get("missing"):
        sent = deliver(depot, result["missing"], result["incoming"])
        admit = repair.Request("admit", request.offered, "", result["incoming"], sent, result["missing"])
        result = execute(root, admit, **options)
    return result


def deliver(depot: Depot, missing: t.Mapping[str, int], incoming: str) -> int:
    """Put blobs where a host waits for them; how many parts they are."""

    def put(path: str, name: str) -> None:
        shutil.copyfile(path, os.path.join(incoming, name))

    with tempfile.TemporaryDirectory() as packs:
        return Sender(put, Reporter().stage("deliver"), Packs(packs)).send(depot, missing)


def test_documents_of_a_generation_come_back(toy: tuple[Depot, pathlib.Path]) -> None:
    depot, root = toy
    generation = depot.generation(max(depot.index()))
    blobs = root / "depot/blobs/sha256"
    cut(blobs / generation.digest[7:])
    (blobs / generation.manifest.config[7:]).unlink()
    assert told(run(root)["findings"], root) == {("blob", "changed", f"depot/blobs/sha256/{generation.digest[7:]}")}
    with pytest.raises(DepotDamaged, match="no other copy"):
        run(root, state="repaired")
    assert run(root, depot, state="repaired")["left"] == []
    assert run(root, depot)["findings"] == []


def test_a_blob_comes_back_from_its_tree(toy: tuple[Depot, pathlib.Path]) -> None:
    depot, root = toy
    layer = next(layer for layer in depot.generation(max(depot.index())).manifest.layers if layer.kind == "module")
    (root / "depot/blobs/sha256" / layer.hex).unlink()
    assert told(run(root)["findings"], root) == {("blob", "missing", f"depot/blobs/sha256/{layer.hex}")}
    done = run(root, state="repaired")
    assert (done["changed"], done["transferred"]) == (True, 0)
    assert run(root)["findings"] == []


@pytest.mark.parametrize("damage", ["missing", "changed", "a directory"])
def test_a_program_s_blob_comes_back_from_its_tree_and_is_another_file(toy: tuple[Depot, pathlib.Path], damage: str) -> None:
    """The one can be executed, the other can't."""
    depot, root = toy
    layer = next(layer for layer in depot.generation(max(depot.index())).manifest.layers if layer.kind == "tool")
    blob, program = root / "depot/blobs/sha256" / layer.hex, root / "depot/trees/000002" / layer.title
    if damage == "changed":
        flip(blob)
    else:
        blob.unlink()
    if damage == "a directory":
        (blob / "below").mkdir(parents=True)
    problem = "missing" if damage == "missing" else "changed"
    assert told(run(root)["findings"], root) == {("blob", problem, f"depot/blobs/sha256/{layer.hex}")}
    done = run(root, state="repaired")
    assert (done["changed"], done["transferred"], done["left"], run(root)["findings"]) == (True, 0, [], [])
    assert [path.stat().st_mode & 0o777 for path in (blob, program)] == [0o444, 0o555] and not blob.samefile(program)


@pytest.mark.parametrize("name", ["modcache/example.com/loose@v1.0.0/loose.go", "depot/trees/000002/evidence/small.json"])
def test_a_file_that_the_disk_has_lost_comes_back(toy: tuple[Depot, pathlib.Path], name: str) -> None:
    depot, root = toy
    path = root / name
    with lost_sector(path):
        found = run(root)["findings"]
        lost = {finding["path"] for finding in found}
        # Of an inode with several names each is lost.
        assert str(path) in lost and all(path.samefile(other) for other in lost)
        assert {(finding["problem"], finding["found"]) for finding in found} == {("changed", "can't be read")}
        assert run(root, depot, state="repaired")["left"] == []
        assert run(root)["findings"] == []


def test_a_document_that_became_a_directory_comes_back(toy: tuple[Depot, pathlib.Path]) -> None:
    depot, root = toy
    config = root / "depot/blobs/sha256" / depot.generation(max(depot.index())).manifest.config[7:]
    config.unlink()
    config.mkdir()
    assert told(run(root)["findings"], root) == {("blob", "changed", str(config.relative_to(root)))}
    assert run(root, depot, state="repaired")["left"] == []
    assert run(root)["findings"] == []


def test_a_generation_of_the_same_number_that_is_another_is_told(toy: tuple[Depot, pathlib.Path], tmp_path: pathlib.Path) -> None:
    _depot, root = toy
    other = Depot(str(tmp_path / "other"))
    make_generation(other, 2, modules={("example.com/other", "v1.0.0"): {"o.go": b"package o\n"}})
    (found,) = run(root, other)["findings"]
    assert (found["kind"], found["problem"], found["subject"], found["path"]) == ("blob", "changed", "000002", f"{root}/depot/index.json")
    assert run(root, other, state="repaired")["changed"] is False


def test_a_line_of_the_audit_log_that_was_changed_is_left(toy: tuple[Depot, pathlib.Path]) -> None:
    _depot, root = toy
    log = root / "depot/audit.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:1] + lines[2:]))
    done = run(root, state="repaired")
    assert (told(done["findings"], root), done["left"], done["changed"]) == ({("link", "changed", "depot/audit.jsonl")}, done["findings"], False)


def test_only_what_is_asked_for_is_examined(toy: tuple[Depot, pathlib.Path]) -> None:
    _depot, root = toy
    flip(next(root.glob("modcache/example.com/loose@*/loose.go")))
    flip(root / "depot/trees/000002/projects/hello/main.go")
    assert {finding["kind"] for finding in run(root, what=["projects"])["findings"]} == {"project"}
    assert {finding["kind"] for finding in run(root, what=["modcache"])["findings"]} == {"modcache"}
    assert run(root, what=["toolchains", "links", "blobs", "trees"])["findings"] == []
    flip(root / "depot/trees/000001/projects/hello/main.go")
    assert run(root, what=["projects"], generations="active")["total"] == 1
    assert run(root, what=["projects"])["total"] == 2


def test_more_findings_than_an_answer_lists(toy: tuple[Depot, pathlib.Path]) -> None:
    _depot, root = toy
    for number in range(forensics.LISTED + 50):
        (root / f"depot/trees/000002/projects/hello/{number:03}").write_text("")
    found = run(root)
    assert (len(found["findings"]), found["total"], found["summary"]) == (forensics.LISTED, forensics.LISTED + 50, {"stray": forensics.LISTED + 50})


def test_a_directory_that_became_a_link_is_replaced_and_its_target_untouched(toy: tuple[Depot, pathlib.Path], tmp_path: pathlib.Path) -> None:
    _depot, root = toy
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "modules.txt").write_text("# mine\n")
    vendor = root / "depot/trees/000002/projects/hello/vendor"
    remove_tree(str(vendor))
    vendor.symlink_to(elsewhere)
    below = root / "modcache/example.com"
    below.rename(tmp_path / "moved")
    below.symlink_to(tmp_path / "moved")
    assert {(finding["problem"], finding["path"]) for finding in run(root)["findings"]} == {
        ("changed", str(vendor)),
        ("missing", f"{vendor}/modules.txt"),
        ("changed", str(below)),
    }
    assert run(root, state="repaired")["left"] == []
    assert (vendor.is_symlink(), below.is_symlink(), (elsewhere / "modules.txt").read_text()) == (False, False, "# mine\n")
    assert run(root)["findings"] == []


def test_of_a_directory_with_another_mode_nothing_else_is_set_right(toy: tuple[Depot, pathlib.Path]) -> None:
    """Modules that nobody has asked for may be in it, and are somebody's."""
    _depot, root = toy
    below = root / "modcache/cache/download/example.com"
    (below / "other/@v").mkdir(parents=True)
    below.chmod(0o775)
    before = times(below / "loose")
    assert told(run(root)["findings"], root) == {
        ("modcache", "mode", "modcache/cache/download/example.com"),
        ("modcache", "stray", "modcache/cache/download/example.com/other"),
    }
    assert told(run(root, state="repaired")["left"], root) == {("modcache", "stray", "modcache/cache/download/example.com/other")}
    assert (below.stat().st_mode & 0o777, times(below / "loose"), (below / "other/@v").is_dir()) == (0o755, before, True)


@pytest.mark.parametrize("name", ["loose.go", ""])
def test_a_link_that_is_planted_during_a_repair_is_not_followed(toy: tuple[Depot, pathlib.Path], tmp_path: pathlib.Path, name: str) -> None:
    """What it leads to keeps its mode and its owner, and stays."""
    _depot, root = toy
    place = Place(str(root))
    module = root / "modcache/example.com/loose@v1.0.0"
    # Somebody else's, with names that a module has and that it hasn't.
    theirs = tmp_path / "theirs"
    for directory in (module, theirs):
        directory.mkdir(exist_ok=True)
        with opened(directory / "stray.go") as path:
            path.touch()
    (theirs / "loose.go").touch()
    for path in (module / "loose.go", theirs / "loose.go"):
        path.chmod(0o666)
        if IS_ROOT:
            os.chown(path, 65534, -1)

    def examined() -> forensics.Examination:
        return forensics.examine(place, ["modcache"], True, 1, {})

    examination = examined()
    assert {finding.problem for finding in examination.findings} == {"mode", "stray", *(["owner"] if IS_ROOT else [])}
    module.chmod(0o755)
    if name:
        (module / name).unlink()
    else:
        module.rename(tmp_path / "moved")
    (module / name).symlink_to(theirs / name)
    _first, last = repair.mend(place, examination, examined, 1, "7" * 32)
    assert last.mended == [] and run(root)["findings"] == []
    assert {path.name for path in theirs.iterdir()} == {"loose.go", "stray.go"}
    kept = (theirs / "loose.go").stat()
    assert (kept.st_mode & 0o777, kept.st_uid) == (0o666, 65534 if IS_ROOT else os.geteuid())


def test_files_that_became_something_else(toy: tuple[Depot, pathlib.Path]) -> None:
    _depot, root = toy
    tree = root / "depot/trees/000002"
    evidence = tree / "evidence/small.json"
    blob = next(path for path in (root / "depot/blobs/sha256").iterdir() if path.samefile(evidence))
    tool = next((tree / "tools").glob("*/fix"))
    archive = next(root.glob("modcache/cache/download/example.com/loose/@v/*.zip"))
    for path in (evidence, tool, archive):
        path.unlink()
    # What it leads to is right, but a tree has no links.
    evidence.symlink_to(blob)
    (tool / "below").mkdir(parents=True)
    archive.mkdir()
    expected = {("tree", "changed", evidence), ("tree", "changed", tool), ("modcache", "changed", archive)}
    assert told(run(root)["findings"], root) == {(kind, problem, str(path.relative_to(root))) for kind, problem, path in expected}
    assert run(root, state="repaired")["left"] == []
    assert (evidence.is_symlink(), tool.is_file(), archive.is_file(), run(root)["findings"]) == (False, True, True, [])


def test_a_delivery_that_changed_on_its_way_leaves_the_host_as_it_was(toy: tuple[Depot, pathlib.Path], tmp_path: pathlib.Path) -> None:
    depot, root = toy
    layer = next(layer for layer in depot.generation(max(depot.index())).manifest.layers if layer.kind == "source")
    blob = root / "depot/blobs/sha256" / layer.hex
    flip(blob)
    wrong = blob.read_bytes()
    given = repair.Request("probe", repair.offered_by(depot))
    result = execute(root, given, state="repaired", depot=depot.path)
    sent = deliver(depot, result["missing"], result["incoming"])
    for part in pathlib.Path(result["incoming"]).iterdir():
        flip(part)
    admit = repair.Request("admit", given.offered, "", result["incoming"], sent, result["missing"])
    with pytest.raises(AirgapError, match="changed on its way|delivery"):
        execute(root, admit, state="repaired", depot=depot.path)
    assert blob.read_bytes() == wrong
    assert run(root, depot, state="repaired")["left"] == []


def test_killed_during_repairs(toy: tuple[Depot, pathlib.Path]) -> None:
    """After each kill only what was damaged may still be, and the next repair ends what was begun."""
    depot, root = toy
    steps = sorted(random.Random(SEED).sample(range(2, 110), 8))
    kills = 0
    for step in steps:
        places = [
            next(root.glob("modcache/example.com/loose@*/loose.go")),
            root / "modcache" / GOROOT / "bin/go",
            root / "depot/trees/000002/projects/hello/main.go",
            root / "depot/trees/000002/projects/hello/vendor/modules.txt",
            pathlib.Path(os.path.realpath(root / "current")) / "go.env",
        ]
        for path in places:
            flip(path)
        damaged = {finding[2] for finding in told(run(root)["findings"], root)}
        assert damaged == {str(path.relative_to(root)) for path in places}
        kills += killed_at(step, lambda: run(root, state="repaired", workers=1))
        assert {finding[2] for finding in told(run(root)["findings"], root)} <= damaged
        assert run(root, state="repaired")["left"] == []
        assert run(root)["findings"] == []
    print(f"{kills} kills of {len(steps)}, seed {SEED}")
    assert kills >= 6
