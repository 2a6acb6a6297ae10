# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A depot: admission is all or nothing, at every step."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, DepotDamaged
from ansible_collections.airgap.golang.plugins.module_utils._base.ustar import packed
from ansible_collections.airgap.golang.plugins.module_utils._depot import depot as depot_module
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.plugins.module_utils._depot.tree import SUMS, Begun, Ready, lay_out
from ansible_collections.airgap.golang.tests.support.depots import killed_at, listing, prove_whole, times
from ansible_collections.airgap.golang.tests.support.small_depot import Composed, Composer

SOURCE = {"go.mod": b"module hello\n", "main.go": b"package main\n", "run.sh": b"#!/bin/sh\n"}


@pytest.fixture
def composer(tmp_path: pathlib.Path) -> Composer:
    return Composer(Depot(str(tmp_path / "depot")), tmp_path / "scratch")


@pytest.fixture
def place(composer: Composer) -> pathlib.Path:
    return pathlib.Path(composer.depot.path)


def compose(composer: Composer, number: int, **more: t.Any) -> Composed:
    return composer.compose(number, [], files={"a.txt": b"a", f"{number}.txt": b"own"}, source=SOURCE, **more)


def admit(depot: Depot, composed: Composed, **more: t.Any) -> None:
    with depot.locked():
        depot.sweep()
        depot.admit(composed.generation.ref, composed.manifest, composed.config, "", **more)


def test_an_absent_depot_is_empty(tmp_path: pathlib.Path) -> None:
    depot = Depot(str(tmp_path / "none"))
    assert (depot.exists(), depot.index(), depot.latest(), depot.next_number(), depot.is_current()) == (False, {}, None, 1, True)
    assert list(tmp_path.iterdir()) == []


def test_an_admitted_generation_is_there_in_every_way(composer: Composer, place: pathlib.Path) -> None:
    composed = compose(composer, 1)
    admit(composer.depot, composed, facts={"by": "test"})
    depot = Depot(str(place))
    assert depot.index() == {Ref(1, True): composed.generation.digest}
    assert depot.generation(Ref(1, True)) == depot.latest() == composed.generation
    assert depot.holds(composed.generation)
    assert prove_whole(depot) == {"000001": composed.generation.digest}
    assert os.readlink(place / "current") == "trees/000001"
    tree = place / "current"
    assert (tree / "files" / "a.txt").read_bytes() == b"a"
    assert os.path.samefile(tree / "files" / "a.txt", depot.blobs.path(oci.digest_of(b"a")))
    assert os.access(tree / "projects" / "hello" / "run.sh", os.X_OK)
    assert list((place / "staging").iterdir()) == []
    (entry,) = depot.audit.entries()
    assert (entry["event"], entry["generation"], entry["manifest"], entry["by"]) == ("admit", "000001", composed.generation.digest, "test")
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=tree, check=True, timeout=60)


def test_admitting_again_changes_nothing_that_counts(composer: Composer, place: pathlib.Path) -> None:
    composed = compose(composer, 1)
    admit(composer.depot, composed)
    before = listing(place)
    admit(composer.depot, composed)
    assert listing(place) == before


def test_generations_share_blobs_and_current_means_the_newest(composer: Composer, place: pathlib.Path) -> None:
    for number in (1, 3, 2):
        admit(composer.depot, compose(composer, number))
    assert os.readlink(place / "current") == "trees/000003"
    assert list(prove_whole(composer.depot)) == ["000001", "000002", "000003"]
    assert composer.depot.next_number() == 4
    assert os.stat(composer.depot.blobs.path(oci.digest_of(b"a"))).st_nlink == 4


def test_the_sealed_form_replaces_the_unsealed_one(composer: Composer, place: pathlib.Path) -> None:
    admit(composer.depot, compose(composer, 1, sealed=False))
    assert os.readlink(place / "current") == "trees/000001-unsealed"
    assert composer.depot.latest(sealed_only=True) is None
    admit(composer.depot, compose(composer, 1), replaces=Ref(1, False))
    assert list(prove_whole(composer.depot)) == ["000001"]
    assert sorted(path.name for path in (place / "trees").iterdir()) == ["000001"]
    assert os.readlink(place / "current") == "trees/000001"


def test_another_generation_of_the_same_number_is_refused(composer: Composer, place: pathlib.Path) -> None:
    admit(composer.depot, compose(composer, 1))
    other = composer.compose(1, [], files={"a.txt": b"another"})
    before = listing(place)
    with pytest.raises(DepotDamaged) as refusal:
        admit(composer.depot, other)
    assert (refusal.value.code, refusal.value.found) == ("generation_conflict", other.generation.digest)
    assert listing(place) == before


def test_missing_blobs_are_named(composer: Composer, place: pathlib.Path) -> None:
    composed = compose(composer, 1)
    composer.depot.blobs.discard([oci.digest_of(b"a"), oci.digest_of(b"own")])
    before = listing(place)
    with pytest.raises(DepotDamaged, match=r"files/a\.txt, files/1\.txt") as refusal:
        admit(composer.depot, composed)
    assert [entry["subject"] for entry in refusal.value.details] == ["files/a.txt", "files/1.txt"]
    assert listing(place) == before


def test_a_tree_that_cannot_be_laid_out_leaves_nothing(composer: Composer, place: pathlib.Path) -> None:
    """A file where another layer needs a directory: found only when the tree is made."""
    tar = composer.tar("x.tar", "file", "files", {"a.txt/b": b""}, False)
    composer.edit_layers = lambda layers: layers.append(tar)
    composed = compose(composer, 1)
    for document in (composed.generation.digest, composed.generation.manifest.config):
        composer.depot.blobs.discard([document])
    before = listing(place)
    with pytest.raises(DepotDamaged) as refusal:
        admit(composer.depot, composed)
    assert refusal.value.subject == "x.tar"
    assert listing(place) == before


@contextlib.contextmanager
def full_disk(composer: Composer, moment: str) -> t.Iterator[None]:
    """The disk is full when a generation's ``moment`` has come, and that's what is told."""

    def fail(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    owner, name = {"audit": (composer.depot.audit, "append"), "index": (depot_module, "write_atomically"), "rename": (depot_module, "lay_out")}[moment]
    with pytest.MonkeyPatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(owner, name, fail)
        yield


@pytest.mark.parametrize("broken", ["audit", "index", "rename"])
def test_a_failure_at_the_end_leaves_nothing(composer: Composer, place: pathlib.Path, broken: str) -> None:
    """A full disk can be noticed as late as in the last small file."""
    admit(composer.depot, compose(composer, 1))
    composed = compose(composer, 2)
    for document in (composed.generation.digest, composed.generation.manifest.config):
        composer.depot.blobs.discard([document])
    before = listing(place)

    with full_disk(composer, broken):
        admit(composer.depot, composed)
    after = listing(place)
    after.pop("audit.jsonl"), before.pop("audit.jsonl")
    assert after == before
    admit(composer.depot, composed)
    assert list(prove_whole(composer.depot)) == ["000001", "000002"]


def begin(composer: Composer, composed: Composed) -> Begun:
    """The tree of a generation as a gather leaves it to the depot."""
    path = os.path.join(composer.depot.staging, "begun")
    layers = composed.generation.manifest.layers
    lay_out(composer.depot.blobs, [layer for layer in layers if layer.unpack], path)
    os.unlink(os.path.join(path, SUMS))
    shutil.rmtree(os.path.join(path, ".layers"))
    ready = {}
    for layer in layers:
        if layer.unpack:
            with open(composer.depot.blobs.path(layer.digest), "rb") as stream:
                ready[layer.digest] = [Ready(one.name, hashlib.sha256(one.read()).hexdigest(), one.executable) for one in packed(stream, "")]
    for directory, _directories, names in os.walk(path):
        for name in names:
            os.chmod(os.path.join(directory, name), 0o644)
    return Begun(path, ready)


def test_a_begun_tree_becomes_the_same_tree(tmp_path: pathlib.Path) -> None:
    trees = []
    for number in range(2):
        composer = Composer(Depot(str(tmp_path / f"depot-{number}")), tmp_path / f"scratch-{number}")
        composed = compose(composer, 1)
        begun = begin(composer, composed) if number else None
        composer.depot.admit(composed.generation.ref, composed.manifest, composed.config, "", begun=begun)
        prove_whole(composer.depot)
        trees.append(listing(pathlib.Path(composer.depot.path) / "trees"))
    assert trees[0] == trees[1] and len(trees[0]) > 10 and os.listdir(composer.depot.staging) == []


@pytest.mark.parametrize("broken", ["audit", "index", "rename"])
def test_a_begun_tree_that_fails_is_where_it_was(composer: Composer, place: pathlib.Path, broken: str) -> None:
    composed = compose(composer, 1)
    begun = begin(composer, composed)
    sources = listing(pathlib.Path(begun.path) / "projects")

    with full_disk(composer, broken):
        composer.depot.admit(composed.generation.ref, composed.manifest, composed.config, "", begun=begun)
    assert os.listdir(place / "trees") == [] and listing(pathlib.Path(begun.path) / "projects").keys() == sources.keys()


def test_processes_lay_out_the_same_tree(tmp_path: pathlib.Path) -> None:
    trees = []
    for workers in (1, 3):
        composer = Composer(Depot(str(tmp_path / f"depot-{workers}")), tmp_path / f"scratch-{workers}")
        admit(composer.depot, compose(composer, 1), workers=workers)
        prove_whole(composer.depot)
        trees.append(listing(pathlib.Path(composer.depot.path) / "trees"))
    assert trees[0] == trees[1] and len(trees[0]) > 10


def test_what_a_process_refuses_is_told(composer: Composer) -> None:
    composed = compose(composer, 1)
    for layer in composed.generation.manifest.layers:
        if layer.unpack:
            path = pathlib.Path(composer.depot.blobs.path(layer.digest))
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(AirgapError, match="tar"):
        admit(composer.depot, composed, workers=2)
    assert composer.depot.index() == {}


class Partly:
    """A host's depot: it holds some layers first, then more of the same generation."""

    def __init__(self, composed: Composed) -> None:
        layers = composed.generation.manifest.layers
        self.some = [layer for layer in layers if layer.kind not in ("source", "file")]
        self.more = list(layers)


def test_a_partial_tree_grows(composer: Composer, place: pathlib.Path) -> None:
    composed = compose(composer, 1)
    partly = Partly(composed)
    admit(composer.depot, composed, layers=partly.some)
    prove_whole(composer.depot, lambda layer: layer in partly.some)
    assert not (place / "current" / "projects").exists()
    untouched = {name: when for name, when in times(place / "trees").items() if "evidence" in name}
    admit(composer.depot, composed, layers=partly.more)
    prove_whole(composer.depot)
    assert (place / "current" / "projects" / "hello" / "main.go").exists()
    assert untouched.items() <= times(place / "trees").items()
    assert len(composer.depot.audit.entries()) == 1


def test_a_partial_tree_needs_only_its_own_blobs(composer: Composer) -> None:
    composed = compose(composer, 1)
    partly = Partly(composed)
    composer.depot.blobs.discard([layer.digest for layer in partly.more if layer not in partly.some])
    admit(composer.depot, composed, layers=partly.some)
    assert not composer.depot.holds(composed.generation)
    with pytest.raises(DepotDamaged):
        admit(composer.depot, composed, layers=partly.more)
    prove_whole(composer.depot, lambda layer: layer in partly.some)


def test_growing_survives_a_kill_at_every_step(composer: Composer, tmp_path: pathlib.Path) -> None:
    composed = compose(composer, 1)
    partly = Partly(composed)
    admit(composer.depot, composed, layers=partly.some)
    step = 0
    while True:
        step += 1
        copy = Depot(str(shutil.copytree(composer.depot.path, tmp_path / f"copy-{step}", symlinks=True)))
        killed = killed_at(step, lambda: admit(copy, composed, layers=partly.more))  # noqa: B023
        for layer in partly.some:
            assert layer.unpack or (pathlib.Path(copy.tree(Ref(1, True))) / layer.title).exists()
        killed_at(0, lambda: admit(copy, composed, layers=partly.more))  # noqa: B023
        prove_whole(copy)
        shutil.rmtree(copy.path)
        if not killed:
            break
    assert step > 30


@pytest.mark.parametrize("sealing", [False, True])
def test_admission_survives_a_kill_at_every_step(composer: Composer, tmp_path: pathlib.Path, sealing: bool) -> None:
    before_it = compose(composer, 1, sealed=False)
    admit(composer.depot, before_it)
    composed = compose(composer, 1) if sealing else compose(composer, 2)
    more = {"replaces": Ref(1, False)} if sealing else {}
    composer.depot.blobs.discard([composed.generation.digest, composed.generation.manifest.config])
    old = {"000001-unsealed": before_it.generation.digest}
    new = {**({} if sealing else old), str(composed.generation.ref): composed.generation.digest}
    step, seen = 0, set()
    while True:
        step += 1
        copy = Depot(str(shutil.copytree(composer.depot.path, tmp_path / f"copy-{step}", symlinks=True)))
        killed = killed_at(step, lambda: admit(copy, composed, **more))  # noqa: B023
        found = prove_whole(copy)
        assert found in (old, new)
        seen.add(str(sorted(found)))
        killed_at(0, lambda: admit(copy, composed, **more))  # noqa: B023
        assert prove_whole(copy) == new
        with copy.locked():
            copy.sweep()
        left = [name for name in listing(pathlib.Path(copy.path)) if ".tmp" in name or name.startswith("staging/")]
        assert left == []
        assert copy.is_current()
        assert sorted(os.listdir(os.path.join(copy.path, "trees"))) == sorted(new)
        shutil.rmtree(copy.path)
        if not killed:
            break
    assert (len(seen), step > 50) == (2, True)


def test_sweep_takes_what_killed_runs_left_and_nothing_else(composer: Composer, place: pathlib.Path) -> None:
    admit(composer.depot, compose(composer, 1))
    before = listing(place)
    left = ["staging/fetch/x", "staging/.put.0123456789abcdef.tmp", "trees/000002/y", "trees/.z", ".index.json.0123456789abcdef.tmp"]
    for name in [*left, f"blobs/sha256/.{'0' * 64}.0123456789abcdef.tmp"]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"left")
    (place / "staging" / "read-only" / "deeper").mkdir(parents=True)
    (place / "staging" / "read-only").chmod(0o555)
    with composer.depot.locked():
        composer.depot.sweep("fetch")
        assert (place / "staging" / "fetch" / "x").exists()
        composer.depot.sweep()
    assert listing(place) == before


def test_sweep_never_takes_the_tree_that_current_means(composer: Composer, place: pathlib.Path) -> None:
    """A kill right after the sealed form got its name leaves ``current`` on the unsealed one."""
    admit(composer.depot, compose(composer, 1, sealed=False))
    sealed = compose(composer, 1)
    shutil.copytree(place / "trees" / "000001-unsealed", place / "kept", symlinks=True)
    admit(composer.depot, sealed, replaces=Ref(1, False))
    (place / "kept").rename(place / "trees" / "000001-unsealed")
    (place / "current").unlink()
    (place / "current").symlink_to("trees/000001-unsealed")
    with composer.depot.locked():
        composer.depot.sweep()
    assert os.readlink(place / "current") == "trees/000001"
    assert sorted(os.listdir(place / "trees")) == ["000001"]


def test_a_depot_that_lost_its_marker_keeps_its_generations(composer: Composer, place: pathlib.Path) -> None:
    admit(composer.depot, compose(composer, 1))
    (place / "oci-layout").unlink()
    with composer.depot.locked():
        composer.depot.sweep()
    assert list(prove_whole(composer.depot)) == ["000001"]
    assert json.loads((place / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"manifests": [{}]}', '{"manifests": [{"digest": "x", "annotations": {}}]}', '{"manifests": 5}'])
def test_a_damaged_index_is_named_and_nothing_is_swept(composer: Composer, place: pathlib.Path, content: str) -> None:
    admit(composer.depot, compose(composer, 1))
    (place / "index.json").write_text(content)
    before = listing(place)
    for use in (composer.depot.index, lambda: admit(composer.depot, compose(composer, 1))):
        with pytest.raises(DepotDamaged) as refusal:
            use()
        assert refusal.value.subject == str(place / "index.json")
    assert listing(place) == before


def test_damaged_documents_are_refused(composer: Composer) -> None:
    composed = compose(composer, 1)
    admit(composer.depot, composed)
    path = pathlib.Path(composer.depot.blobs.path(composed.generation.manifest.config))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"small", b"smaII"))
    with pytest.raises(DepotDamaged) as refusal:
        composer.depot.generation(Ref(1, True))
    assert refusal.value.code == "blob_damaged"
    with pytest.raises(DepotDamaged) as absent:
        composer.depot.generation(Ref(2, True))
    assert (absent.value.code, absent.value.found) == ("generation_missing", "000001")


def test_one_writer_at_a_time(composer: Composer) -> None:
    with composer.depot.locked(), pytest.raises(AirgapError) as refusal, Depot(composer.depot.path).locked():
        pass
    assert (refusal.value.code, refusal.value.found) == ("locked", str(os.getpid()))


def test_a_lost_file_of_a_tree_is_put_back(composer: Composer, place: pathlib.Path) -> None:
    composed = compose(composer, 1)
    admit(composer.depot, composed)
    (place / "current" / "files" / "a.txt").unlink()
    admit(composer.depot, composed)
    prove_whole(composer.depot)


def test_a_manifest_that_names_another_config_is_refused(composer: Composer, place: pathlib.Path) -> None:
    composed, other = compose(composer, 1), compose(composer, 2)
    with composer.depot.locked():
        before = listing(place)
    with composer.depot.locked(), pytest.raises(DepotDamaged):
        composer.depot.admit(Ref(1, True), composed.manifest, other.config, "")
    assert listing(place) == before
