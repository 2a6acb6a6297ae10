# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles across the gap: what must be refused, what must survive a kill, and what other programs make of it all."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import typing as t
import urllib.request

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import bundle as bundle_verb
from ansible_collections.airgap.golang.plugins.module_utils import receive as receive_verb
from ansible_collections.airgap.golang.plugins.module_utils._base import signature, ustar
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot import bundle as form
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.tests.support.depots import killed_at, listing, prove_whole, times
from ansible_collections.airgap.golang.tests.support.evil_tars import KINDS, OUTSIDE, evil
from ansible_collections.airgap.golang.tests.support.small_depot import (
    PRINCIPAL,
    UUID,
    Composed,
    Composer,
    SmallSite,
    allow,
    write_bundle,
)

COLLECTIONS = pathlib.Path(__file__).resolve().parents[2] / ".build"
MODULES = "ansible_collections.airgap.golang.plugins.modules"
BLOCK = 512


def receive(depot: Depot, path: pathlib.Path, allowed: t.Optional[pathlib.Path], **more: t.Any) -> receive_verb.Outcome:
    options = receive_verb.Options(str(path), str(allowed or ""), allow_unsigned=allowed is None, **more)
    return receive_verb.receive(depot, options, Reporter())


def refused(depot: Depot, path: pathlib.Path, allowed: t.Optional[pathlib.Path], **more: t.Any) -> AirgapError:
    """The refusal, after seeing that it names something and that the depot is as it was; check mode must have said the same."""
    before = listing(pathlib.Path(depot.path))
    said = []
    for check in (True, False):
        with pytest.raises(AirgapError) as refusal:
            receive(depot, path, allowed, check=check, **more)
        assert refusal.value.subject
        assert refusal.value.hint
        said.append((refusal.value.code, refusal.value.message))
    assert said[0][0] == said[1][0]
    assert listing(pathlib.Path(depot.path)) == before
    return refusal.value


@pytest.fixture
def depot(small_site: SmallSite, tmp_path: pathlib.Path) -> Depot:
    """An offline depot that holds another generation already."""
    depot = Depot(str(tmp_path / "offline"))
    composer = Composer(depot, tmp_path / "scratch")
    composer.admit(composer.compose(9, [], files={"a.txt": b"held before"}))
    return depot


@pytest.fixture
def forge(small_site: SmallSite, tmp_path: pathlib.Path) -> t.Callable[..., pathlib.Path]:
    """Makes signed bundles whose insides lie, by somebody who has the key."""

    def make(
        number: int = 1,
        edit_config: t.Callable[[dict[str, t.Any]], None] = lambda config: None,
        edit_layers: t.Callable[[Composer, list[oci.Layer]], None] = lambda composer, layers: None,
        key: t.Optional[pathlib.Path] = small_site.key,
        **more: t.Any,
    ) -> pathlib.Path:
        composer = Composer(Depot(str(tmp_path / "forge")), tmp_path / "forge-scratch", edit_config)
        composer.edit_layers = functools.partial(edit_layers, composer)
        composed = composer.compose(number, more.pop("modules", [small_site.modules[UUID]]), **more)
        return write_bundle(composer.depot, composed.generation, tmp_path / "forged.tar", str(key or ""))

    return make


# -- what arrives whole


@pytest.mark.parametrize("signed", [True, False])
def test_a_bundle_is_admitted_once(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, signed: bool) -> None:
    path = small_site.first_bundle if signed else write_bundle(small_site.depot, small_site.first, tmp_path / "unsigned.tar")
    allowed = small_site.allowed_signers if signed else None
    before = times(pathlib.Path(depot.path))
    planned = receive(depot, path, allowed, check=True)
    assert times(pathlib.Path(depot.path)) == before
    outcome = receive(depot, path, allowed)
    assert outcome == planned
    assert (outcome.changed, outcome.signer) == (True, PRINCIPAL if signed else "")
    assert (outcome.new_blobs, outcome.new_bytes) == (6, sum(layer.size for layer in small_site.first.manifest.layers))
    assert prove_whole(depot)["000001"] == small_site.first.digest
    assert json.loads(pathlib.Path(outcome.receipt).read_text())["generations"] == prove_whole(depot)
    tree = pathlib.Path(depot.tree(Ref(1, True)))
    assert (tree / "proxy" / "github.com" / "google" / "uuid" / "@v" / "list").read_text() == "v1.6.0\n"
    assert listing(tree) == listing(pathlib.Path(small_site.depot.tree(Ref(1, True))))
    before = times(pathlib.Path(depot.path))
    again = receive(depot, path, allowed)
    assert (again.changed, again.new_blobs, again.generation) == (False, 0, outcome.generation)
    assert times(pathlib.Path(depot.path)) == before


def test_a_new_depot_is_made_where_there_was_none(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    depot = Depot(str(tmp_path / "new" / "depot"))
    receive(depot, small_site.first_bundle, small_site.allowed_signers, check=True)
    assert not (tmp_path / "new").exists()
    receive(depot, small_site.first_bundle, small_site.allowed_signers)
    assert prove_whole(depot) == {"000001": small_site.first.digest}


def test_an_unsealed_generation_needs_leave(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot) -> None:
    path = forge(sealed=False)
    assert refused(depot, path, small_site.allowed_signers).code == "not_sealed"
    assert receive(depot, path, small_site.allowed_signers, allow_unsealed=True).changed


# -- one flipped bit


def flipped(depot: Depot, path: pathlib.Path, allowed: t.Optional[pathlib.Path], positions: t.Iterable[int]) -> int:
    """Flip one bit at each position in turn; each must be refused by name, with nothing left behind. How many there were."""
    place = pathlib.Path(depot.path)
    before, count = listing(place), 0
    directories = [place, *(path for path in place.rglob("*") if path.is_dir())]

    def changes() -> list[int]:
        return [os.stat(directory).st_ctime_ns for directory in directories]

    untouched = changes()
    with open(path, "r+b") as stream:
        for position in positions:
            stream.seek(position)
            original = stream.read(1)
            stream.seek(position)
            stream.write(bytes([original[0] ^ 1 << position % 8]))
            stream.flush()
            with pytest.raises(AirgapError) as refusal:
                receive(depot, path, allowed)
            assert refusal.value.subject, position
            if changes() != untouched:
                assert listing(place) == before, position
                untouched = changes()
            stream.seek(position)
            stream.write(original)
            count += 1
    assert listing(place) == before
    return count


def regions(path: pathlib.Path) -> dict[str, list[int]]:
    """The positions of a bundle's bytes: each small member's under its name; headers, blobs, and padding with the end marks."""
    found: dict[str, list[int]] = {"headers": [], "later headers": [], "blobs": [], "padding": []}
    end, documents = 0, 2
    with tarfile.open(path) as archive:
        for member in archive:
            small = not member.name.startswith(form.PREFIX) or documents > 0
            documents -= member.name.startswith(form.PREFIX)
            found["headers" if small else "later headers"] += range(member.offset, member.offset_data)
            end = member.offset_data + member.size
            if small:
                found[member.name] = list(range(member.offset_data, end))
            else:
                found["blobs"] += range(member.offset_data, end)
            found["padding"] += range(end, end + -member.size % BLOCK)
            end += -member.size % BLOCK
    found["padding"] += range(end, path.stat().st_size)
    return found


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """ssh-keygen is asked once about each sums and signature: most flips are elsewhere, and its answer is the same each time."""
    monkeypatch.setattr(signature, "verify", functools.lru_cache(maxsize=None)(signature.verify))


@pytest.mark.parametrize("signed", [True, False])
def test_no_bit_of_a_bundle_can_flip(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, remembered: None, signed: bool) -> None:
    path = tmp_path / "flipped.tar"
    if signed:
        shutil.copyfile(small_site.first_bundle, path)
    else:
        write_bundle(small_site.depot, small_site.first, path)
    whole = path.read_bytes()
    found = regions(path)
    assert len(found) == (11 if signed else 10)
    assert sum(map(len, found.values())) == len(whole)
    dice = random.Random(1)
    for name, count in (("later headers", 60), ("blobs", 120), ("padding", 120)):
        found[name] = dice.sample(found[name], count)
    if signed:
        # Each costs two runs of ssh-keygen; the unsigned bundle has them all.
        found["SHA256SUMS"] = found["SHA256SUMS"][::8]
    else:
        found["headers"] = found["headers"][::4]
    for name, positions in found.items():
        assert flipped(depot, path, small_site.allowed_signers if signed else None, positions) == len(positions) > 0, name
    assert path.read_bytes() == whole
    assert receive(depot, path, small_site.allowed_signers if signed else None).changed


# -- other damage


@pytest.mark.parametrize("signed", [True, False])
def test_a_cut_or_longer_bundle_is_refused(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, remembered: None, signed: bool) -> None:
    whole = small_site.first_bundle if signed else write_bundle(small_site.depot, small_site.first, tmp_path / "unsigned.tar")
    allowed = small_site.allowed_signers if signed else None
    content = whole.read_bytes()
    path = tmp_path / "cut.tar"
    dice = random.Random(2)
    lengths = {0, 1, 511, 512, 513, *range(0, len(content), 4096), *dice.sample(range(len(content)), 40)}
    lengths |= {len(content) - back for back in (1, 512, 1024, 1025)}
    before = listing(pathlib.Path(depot.path))
    for length in sorted(lengths):
        path.write_bytes(content[:length])
        with pytest.raises(AirgapError) as refusal:
            receive(depot, path, allowed)
        assert refusal.value.subject, length
    for more in (b"\0", b"x", bytes(512), bytes(10240), content):
        path.write_bytes(content + more)
        with pytest.raises(AirgapError) as refusal:
            receive(depot, path, allowed)
        assert refusal.value.subject
    assert listing(pathlib.Path(depot.path)) == before


def test_who_may_sign(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path) -> None:
    strange = write_bundle(small_site.depot, small_site.first, tmp_path / "strange.tar", str(small_site.stranger))
    assert refused(depot, strange, small_site.allowed_signers).code == "unknown_signer"
    narrow = allow(tmp_path / "narrow", ("other@airgap.example", small_site.stranger))
    assert refused(depot, small_site.first_bundle, narrow).code == "unknown_signer"
    unsigned = write_bundle(small_site.depot, small_site.first, tmp_path / "unsigned.tar")
    assert refused(depot, unsigned, small_site.allowed_signers).code == "unsigned"
    # Who doesn't check who signed must have said so; a signature that doesn't fit is refused even then.
    with pytest.raises(AirgapError) as refusal:
        receive_verb.receive(depot, receive_verb.Options(str(small_site.first_bundle)), Reporter())
    assert refusal.value.code == "unsigned"
    foreign = tmp_path / "foreign.tar"
    parts = pieces(small_site.first_bundle)
    parts["SHA256SUMS.sig"] = pieces(small_site.second_bundle)["SHA256SUMS.sig"]
    put_together(foreign, list(parts.items()))
    assert refused(depot, foreign, small_site.allowed_signers).code == "signature_mismatch"
    assert refused(depot, foreign, None).code == "signature_mismatch"


def pieces(path: pathlib.Path) -> dict[str, bytes]:
    with open(path, "rb") as stream:
        return {member.name: member.read() for member in ustar.members(stream, path.name)}


def put_together(path: pathlib.Path, members: t.Sequence[tuple[str, bytes]]) -> pathlib.Path:
    with open(path, "wb") as stream:
        writer = ustar.Writer(stream)
        for name, content in members:
            writer.add_bytes(name, content)
        writer.close()
    return path


def test_members_keep_their_order_and_number(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, remembered: None) -> None:
    members = list(pieces(small_site.first_bundle).items())
    path = tmp_path / "other.tar"
    others = [members[:at] + members[at + 1 :] for at in range(len(members))]
    others += [[*members[:at], members[at + 1], members[at], *members[at + 2 :]] for at in range(len(members) - 1)]
    others += [[*members[:at], (name, b"x"), *members[at:]] for at in range(len(members) + 1) for name in ("extra", form.PREFIX + "0" * 64)]
    others += [[*members[: at + 1], *members[at:]] for at in range(len(members))]
    before = listing(pathlib.Path(depot.path))
    for other in others:
        put_together(path, other)
        with pytest.raises(AirgapError) as refusal:
            receive(depot, path, small_site.allowed_signers)
        assert refusal.value.subject
    assert listing(pathlib.Path(depot.path)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_evil_members_of_a_bundle_are_refused(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, remembered: None, kind: str) -> None:
    content = small_site.first_bundle.read_bytes()
    member = evil(kind)[: -len(ustar.END)]
    path = tmp_path / "evil.tar"
    with tarfile.open(small_site.first_bundle) as archive:
        starts = [entry.offset for entry in archive]
    for at in (0, starts[3], starts[8], len(content) - len(ustar.END)):
        path.write_bytes(content[:at] + member + content[at:])
        assert refused(depot, path, small_site.allowed_signers).code in ("unsafe_member", "bundle_damaged", "unsigned")
    assert not os.path.lexists(OUTSIDE)


# -- signed lies: whoever has the key can't get outside, or past h1


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_evil_members_of_a_layer_are_refused(
    forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, kind: str, compress: bool
) -> None:
    content = gzip.compress(evil(kind), mtime=0) if compress else evil(kind)
    path = forge(edit_layers=lambda composer, layers: layers.append(composer.raw("projects/p.source.tar", "source", "projects/p", content)))
    refusal = refused(depot, path, small_site.allowed_signers)
    assert refusal.code in ("unsafe_member", "bundle_damaged")
    assert not os.path.lexists(OUTSIDE)


@pytest.mark.parametrize("change", ["cut", "garbage", "behind"])
def test_a_damaged_layer_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, change: str) -> None:
    composer = Composer(Depot(str(tmp_path / "x")), tmp_path / "x-scratch")
    layer = composer.tar("projects/p.source.tar.gz", "source", "projects/p", {"main.go": b"package main\n"}, True)
    content = composer.depot.blobs.read(layer.digest)
    content = {"cut": content[:-4], "garbage": b"\x1f\x8b" + bytes(100), "behind": gzip.compress(gzip.decompress(content) + b"x")}[change]
    path = forge(edit_layers=lambda composer, layers: layers.append(composer.raw(layer.title, "source", "projects/p", content)))
    refused(depot, path, small_site.allowed_signers)


def test_a_config_that_lies_about_an_h1_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot) -> None:
    def lie(config: dict[str, t.Any]) -> None:
        config["modules"][0]["h1"] = "h1:" + "A" * 43 + "="

    path = forge(edit_config=lie)
    refusal = refused(depot, path, small_site.allowed_signers)
    assert (refusal.code, refusal.subject, refusal.expected) == ("module_refused", UUID[0], "h1:" + "A" * 43 + "=")
    assert refusal.found in (small_site.modules[UUID].zip.with_suffix(".ziphash").read_text(),)


def test_a_lie_about_a_zip_that_is_held_already_is_refused(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path) -> None:
    receive(depot, small_site.first_bundle, small_site.allowed_signers)

    def lie(config: dict[str, t.Any]) -> None:
        config["modules"][0]["h1"] = "h1:" + "A" * 43 + "="

    composer = Composer(Depot(str(tmp_path / "liar")), tmp_path / "liar-scratch", lie)
    composed = composer.compose(2, [small_site.modules[UUID]])
    carried = [layer.digest for layer in composed.generation.manifest.layers if layer.kind != "module"]
    path = write_bundle(composer.depot, composed.generation, tmp_path / "lie.tar", str(small_site.key), carried)
    assert refused(depot, path, small_site.allowed_signers).code == "module_refused"


def test_a_zip_that_is_none_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot) -> None:
    def swap(composer: Composer, layers: list[oci.Layer]) -> None:
        digest, size = composer.blob(b"no zip")
        layers[0] = dataclasses.replace(layers[0], digest=digest, size=size)

    def follow(config: dict[str, t.Any]) -> None:
        config["modules"][0]["zip"] = oci.digest_of(b"no zip")[7:]

    assert refused(depot, forge(edit_layers=swap, edit_config=follow), small_site.allowed_signers).code == "module_refused"
    # The manifest and the config must also speak of the same zips.
    refusal = refused(depot, forge(edit_layers=swap), small_site.allowed_signers)
    assert (refusal.code, "uuid" in refusal.subject) == ("bundle_damaged", True)


@pytest.mark.parametrize("kind", ["module", "toolchain"])
def test_a_zip_that_the_config_does_not_know_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, kind: str) -> None:
    def add(composer: Composer, layers: list[oci.Layer]) -> None:
        layers.append(dataclasses.replace(composer.raw("proxy/example.org/m/@v/v1.0.0.zip", kind, "", b"PK", oci.ZIP_TYPE)))

    assert "example.org" in refused(depot, forge(edit_layers=add), small_site.allowed_signers).subject


@pytest.mark.parametrize("name", ["absent", "renamed"])
def test_a_zip_that_the_manifest_does_not_know_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, name: str) -> None:
    def change(composer: Composer, layers: list[oci.Layer]) -> None:
        module = layers.pop(0)
        if name == "renamed":
            layers.insert(0, dataclasses.replace(module, title=module.title.replace("uuid", "diud")))

    refused(depot, forge(edit_layers=change), small_site.allowed_signers)


def test_a_zip_hidden_in_a_tar_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot) -> None:
    def hide(composer: Composer, layers: list[oci.Layer]) -> None:
        layers.append(composer.tar("more.tar", "index", "proxy/example.org", {"m/@v/v1.0.0.zip": b"PK"}, False))

    assert refused(depot, forge(edit_layers=hide), small_site.allowed_signers).subject == "proxy/example.org/m/@v/v1.0.0.zip"


@pytest.mark.parametrize("title", ["../../x", "/etc/airgap", "proxy/../../x", "files/../../../x", "SHA256SUMS", ".layers/x", "evidence", "files/a\\b"])
def test_a_title_that_leads_elsewhere_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, title: str) -> None:
    def lie(composer: Composer, layers: list[oci.Layer]) -> None:
        layers.append(composer.raw(title, "file", "", b"evil", oci.FILE_TYPE))

    refused(depot, forge(edit_layers=lie), small_site.allowed_signers)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a/b": b""}, {"a/b": b"other"}),
        ({"a": b""}, {"a/b": b""}),
        ({"a/b": b""}, {"a": b""}),
        ({"a/b/c/d": b""}, {"a/b": b""}),
    ],
)
def test_two_layers_with_the_same_place_are_refused(
    forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    def overlap(composer: Composer, layers: list[oci.Layer]) -> None:
        layers.append(composer.tar("one.tar", "source", "projects/p", first, False))
        layers.append(composer.tar("two.tar", "source", "projects/p", second, True))

    assert refused(depot, forge(edit_layers=overlap), small_site.allowed_signers).code == "unsafe_member"


def test_the_same_title_twice_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot) -> None:
    def twice(composer: Composer, layers: list[oci.Layer]) -> None:
        layers.append(composer.raw("files/a", "file", "", b"1", oci.FILE_TYPE))
        layers.append(composer.raw("files/a", "file", "", b"2", oci.FILE_TYPE))

    assert refused(depot, forge(edit_layers=twice), small_site.allowed_signers).code == "manifest_invalid"


@pytest.mark.parametrize(
    "lie",
    [
        {"generation": 5},
        {"seal": None},
        {"name": "../../../x"},
        {"modules": [{"path": "../x", "version": "v1.0.0", "zip": "0" * 64, "h1": ""}]},
        {"modules": [5]},
        {"schema": 2},
        {"created": None},
        {"projects": [{"name": "../x"}]},
    ],
    ids="-".join,
)
def test_a_config_that_cannot_be_meant_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, lie: dict[str, t.Any]) -> None:
    path = forge()
    members = list(pieces(path).items())
    config = oci.canonical({**json.loads(members[6][1]), **lie})
    manifest = json.loads(members[5][1])
    manifest["config"].update(digest=oci.digest_of(config), size=len(config))
    forged = resigned(members, small_site.key, oci.canonical(manifest), config)
    refused(depot, put_together(path, forged), small_site.allowed_signers)


@pytest.mark.parametrize("key", ["org.opencontainers.image.created", "airgap.golang.name", "org.opencontainers.image.ref.name", "more"])
def test_an_index_that_says_something_else_is_refused(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, key: str) -> None:
    members = list(pieces(small_site.first_bundle).items())
    index = json.loads(members[4][1])
    index["manifests"][0]["annotations"][key] = "000007"
    members[4] = (form.INDEX, oci.canonical(index))
    forged = resigned(members, small_site.key, members[5][1], members[6][1])
    assert refused(depot, put_together(tmp_path / "index.tar", forged), small_site.allowed_signers).subject == form.INDEX


def resigned(members: t.Sequence[tuple[str, bytes]], key: pathlib.Path, manifest: bytes, config: bytes, extra: t.Sequence[str] = ()) -> list[tuple[str, bytes]]:
    """The members of a bundle with another manifest and config, consistent and signed."""
    readme, _sums, _sig, layout, (_index, index), *blobs = members
    entries = json.loads(index)
    entries["manifests"][0].update(digest=oci.digest_of(manifest), size=len(manifest))
    documents = [(form.PREFIX + oci.digest_of(content)[7:], content) for content in (manifest, config)]
    small = [readme, layout, (form.INDEX, oci.canonical(entries)), *documents, *blobs[2:]]
    sums = "".join([f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in small] + list(extra)).encode()
    return [readme, (form.SUMS, sums), (form.SIGNATURE, signature.sign(sums, str(key))), *small[1:]]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("extra", ["blob", "file", "twice", "blank", "no newline"])
def test_sums_that_list_more_than_the_manifest_are_refused(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, extra: str, signed: bool) -> None:
    members = list(pieces(small_site.first_bundle).items())
    line = {
        "blob": f"{'0' * 64}  {form.PREFIX}{'0' * 64}\n",
        "file": f"{'0' * 64}  autorun.inf\n",
        "twice": f"{hashlib.sha256(members[0][1]).hexdigest()}  README\n",
        "blank": "\n",
        "no newline": f"{'0' * 64}  x",
    }[extra]
    forged = resigned(members, small_site.key, members[5][1], members[6][1], [line])
    if not signed:
        del forged[2]
    refusal = refused(depot, put_together(tmp_path / "sums.tar", forged), small_site.allowed_signers if signed else None)
    if extra == "blob":
        assert refusal.subject == "sha256:" + "0" * 64


def test_another_generation_of_the_same_number_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot) -> None:
    receive(depot, small_site.first_bundle, small_site.allowed_signers)
    path = forge(1, files={"b.txt": b"another"})
    assert refused(depot, path, small_site.allowed_signers).code == "generation_conflict"
    assert receive(depot, forge(3), small_site.allowed_signers).changed


# -- bundles of the difference


def make_bundle(site: SmallSite, dest: pathlib.Path, **more: t.Any) -> bundle_verb.Outcome:
    options = bundle_verb.Options(**{"dest": str(dest), "signing_key": str(site.key), **more})
    return bundle_verb.bundle(site.depot, options, Reporter())


def test_only_what_the_receiver_lacks_travels(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path) -> None:
    said = receive(depot, small_site.first_bundle, small_site.allowed_signers).receipt
    outcome = make_bundle(small_site, tmp_path / "out", base=said)
    path = pathlib.Path(outcome.path)
    blobs = [name for name in pieces(path) if name.startswith(form.PREFIX)]
    shared = {layer.digest for layer in small_site.first.manifest.layers}
    new = {layer.digest for layer in small_site.second.manifest.layers} - shared
    assert {"sha256:" + name[len(form.PREFIX) :] for name in blobs[2:]} == new
    assert (outcome.carried, len(blobs), path.stat().st_size) == (len(new), len(new) + 2, outcome.size)
    assert path.stat().st_size < small_site.second_bundle.stat().st_size
    empty = Depot(str(tmp_path / "empty"))
    with empty.locked():
        pass
    refusal = refused(empty, path, small_site.allowed_signers)
    assert refusal.code == "blobs_missing"
    assert any(UUID[0] in entry["subject"] for entry in refusal.details)
    assert "receipt" in refusal.hint
    received = receive(depot, path, small_site.allowed_signers)
    assert (received.new_blobs, received.new_bytes) == (len(new), sum(layer.size for layer in small_site.second.manifest.layers if layer.digest in new))
    assert prove_whole(depot)["000002"] == small_site.second.digest
    # The same generation in another bundle changes nothing, and a base that has it all needs no blob at all.
    assert not receive(depot, small_site.second_bundle, small_site.allowed_signers).changed
    assert make_bundle(small_site, tmp_path / "none", base=received.receipt).carried == 0
    assert receive(Depot(str(shutil.copytree(depot.path, tmp_path / "copy", symlinks=True))), path, small_site.allowed_signers).changed is False


def test_a_bundle_heals_a_lost_blob(small_site: SmallSite, depot: Depot) -> None:
    receive(depot, small_site.first_bundle, small_site.allowed_signers)
    module = next(layer for layer in small_site.first.manifest.layers if layer.kind == "module")
    depot.blobs.discard([module.digest])
    assert receive(depot, small_site.first_bundle, small_site.allowed_signers).changed
    prove_whole(depot)
    assert os.path.samefile(depot.blobs.path(module.digest), os.path.join(depot.tree(Ref(1, True)), module.title))


# -- writing


def test_a_bundle_is_written_once(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    planned = make_bundle(small_site, tmp_path / "out", check=True)
    assert not (tmp_path / "out").exists()
    outcome = make_bundle(small_site, tmp_path / "out")
    assert outcome == planned
    path = pathlib.Path(outcome.path)
    assert (path.name, path.stat().st_size, outcome.generation) == ("small-000002.tar", outcome.size, small_site.second)
    assert path.read_bytes() == small_site.second_bundle.read_bytes()
    before = times(tmp_path / "out")
    again = make_bundle(small_site, tmp_path / "out")
    assert (again.changed, again.before, times(tmp_path / "out") == before) == (False, outcome.size, True)
    named = make_bundle(small_site, tmp_path / "other" / "name.tar", number=1)
    assert (named.path, named.generation) == (str(tmp_path / "other" / "name.tar"), small_site.first)
    assert make_bundle(small_site, tmp_path / "no-slash", number=1).path == str(tmp_path / "no-slash" / "small-000001.tar")


@pytest.mark.parametrize("change", ["cut", "grown", "other", "garbage", "another key", "unsigned", "base"])
def test_a_bundle_that_differs_is_written_anew(small_site: SmallSite, tmp_path: pathlib.Path, change: str) -> None:
    outcome = make_bundle(small_site, tmp_path, number=1)
    path = pathlib.Path(outcome.path)
    more: dict[str, t.Any] = {}
    if change == "cut":
        os.truncate(path, outcome.size - 1)
    elif change == "grown":
        path.write_bytes(path.read_bytes() + b"x")
    elif change == "other":
        shutil.copyfile(small_site.second_bundle, path)
    elif change == "garbage":
        path.write_bytes(b"garbage")
    elif change == "another key":
        more = {"signing_key": str(small_site.stranger)}
    elif change == "unsigned":
        more = {"signing_key": "", "allow_unsigned": True}
    else:
        (tmp_path / "receipt.json").write_text(json.dumps({"schema": 1, "generations": {"000001": small_site.first.digest}}))
        more = {"base": str(tmp_path / "receipt.json")}
    planned = make_bundle(small_site, tmp_path, number=1, check=True, **more)
    again = make_bundle(small_site, tmp_path, number=1, **more)
    assert again == planned
    assert (again.changed, path.stat().st_size) == (True, again.size)
    assert not make_bundle(small_site, tmp_path, number=1, **more).changed


def test_what_cannot_be_bundled_is_refused_in_check_mode_too(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    unsealed = Composer(Depot(str(tmp_path / "unsealed")), tmp_path / "scratch")
    unsealed.admit(unsealed.compose(1, [], sealed=False))
    damaged = Depot(str(shutil.copytree(small_site.depot.path, tmp_path / "damaged", symlinks=True)))
    damaged.blobs.discard([small_site.second.manifest.layers[0].digest])
    empty = Depot(str(tmp_path / "none"))
    key: dict[str, t.Any] = {"signing_key": str(small_site.key)}
    cases: list[tuple[Depot, str, dict[str, t.Any]]] = [
        (small_site.depot, "unsigned", {}),
        (small_site.depot, "spec_invalid", {"signing_key": str(tmp_path / "no-key")}),
        (small_site.depot, "spec_invalid", {**key, "base": str(tmp_path / "no-receipt")}),
        (small_site.depot, "generation_missing", {**key, "number": 7}),
        (unsealed.depot, "not_sealed", key),
        (damaged, "blobs_missing", key),
        (empty, "generation_missing", key),
    ]
    for depot, code, more in cases:
        for check in (True, False):
            with pytest.raises(AirgapError) as refusal:
                bundle_verb.bundle(depot, bundle_verb.Options(dest=str(tmp_path / "out") + "/", check=check, **more), Reporter())
            assert (refusal.value.code, bool(refusal.value.subject)) == (code, True)
    assert list(tmp_path.glob("out/*")) == []
    assert bundle_verb.bundle(unsealed.depot, bundle_verb.Options(dest=str(tmp_path / "out"), allow_unsealed=True, **key), Reporter()).changed


def test_a_changed_blob_never_leaves_the_depot(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    site = dataclasses.replace(small_site, depot=Depot(str(shutil.copytree(small_site.depot.path, tmp_path / "damaged", symlinks=True))))
    blob = pathlib.Path(site.depot.blobs.path(small_site.second.manifest.layers[0].digest))
    content = bytearray(blob.read_bytes())
    content[100] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    with pytest.raises(AirgapError) as refusal:
        make_bundle(site, tmp_path / "out")
    assert (refusal.value.code, refusal.value.subject) == ("blob_damaged", small_site.second.manifest.layers[0].digest)
    assert list((tmp_path / "out").iterdir()) == []


# -- with nothing of ours installed


def run(*argv: str, cwd: t.Optional[pathlib.Path] = None, stdin: t.Optional[bytes] = None) -> bytes:
    finished = subprocess.run(argv, cwd=cwd, input=stdin, capture_output=True, timeout=120, check=False)
    assert finished.returncode == 0, f"{argv}: {finished.stderr.decode()}"
    return finished.stdout


def test_an_auditor_checks_it_with_what_every_unix_has(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    """The README's own lines."""
    place = tmp_path / "bundle"
    place.mkdir()
    run("tar", "-xf", str(small_site.first_bundle), "-C", str(place))
    readme = (place / "README").read_text()
    assert small_site.first.digest in readme
    lines = [line.strip() for line in readme.splitlines() if line.startswith("  ssh-keygen") or line.startswith("  sha256sum")]
    assert len(lines) == 3
    for line in lines:
        command = line.replace("ALLOWED_SIGNERS", str(small_site.allowed_signers)).replace("PRINCIPAL", PRINCIPAL)
        run("sh", "-ec", command, cwd=place)
    run("sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS", cwd=place)
    listed = {line[66:] for line in (place / "SHA256SUMS").read_text().splitlines()}
    assert listed | {"SHA256SUMS", "SHA256SUMS.sig"} == {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert json.loads(run("skopeo", "inspect", "--raw", f"oci:{place}:000001")) == json.loads(small_site.first.manifest.encode())


def test_a_tree_checks_itself(small_site: SmallSite) -> None:
    run("sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS", cwd=pathlib.Path(small_site.depot.tree(Ref(1, True))))


def test_oci_tools_read_depots_and_bundles(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    for source in (f"oci:{small_site.depot.path}:000001", f"oci-archive:{small_site.first_bundle}:000001"):
        assert oci.digest_of(run("skopeo", "inspect", "--raw", source)) == small_site.first.digest
    copy = "skopeo", "--insecure-policy", "copy", "--quiet"
    run(*copy, f"oci:{small_site.depot.path}:000001", f"oci:{tmp_path / 'other'}:000001")
    other = Depot(str(tmp_path / "other"))
    assert other.generation(Ref(1, True)).digest == small_site.first.digest
    assert other.blobs.missing(small_site.first.manifest.blobs()) == []
    run(*copy, f"oci-archive:{small_site.first_bundle}:000001", f"dir:{tmp_path / 'dir'}")
    assert oci.digest_of((tmp_path / "dir" / "manifest.json").read_bytes()) == small_site.first.digest


@contextlib.contextmanager
def registry(directory: pathlib.Path) -> t.Iterator[str]:
    """Debian's docker-registry on a free port of the loopback interface: its host:port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    directory.mkdir()
    settings = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(directory / "data")}}, "http": {"addr": address}}
    (directory / "config.yml").write_text(json.dumps(settings))
    with open(directory / "log", "wb") as log, subprocess.Popen(
        ["docker-registry", "serve", str(directory / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    ) as server:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, (directory / "log").read_text()
                    assert time.monotonic() < deadline, (directory / "log").read_text()
                    threading.Event().wait(0.05)
            yield address
        finally:
            server.terminate()


def test_a_stock_registry_carries_generations(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    copy = "skopeo", "--insecure-policy", "copy", "--quiet"
    with registry(tmp_path / "registry") as address:
        remote = f"docker://{address}/site/small:000001"
        run(*copy, "--dest-tls-verify=false", f"oci:{small_site.depot.path}:000001", remote)
        assert oci.digest_of(run("skopeo", "inspect", "--raw", "--tls-verify=false", remote)) == small_site.first.digest
        run(*copy, "--src-tls-verify=false", remote, f"oci:{tmp_path / 'pulled'}:000001")
    pulled = Depot(str(tmp_path / "pulled"))
    assert pulled.generation(Ref(1, True)) == small_site.first
    for digest in small_site.first.manifest.blobs():
        assert b"".join(pulled.blobs.chunks(digest)) == b"".join(small_site.depot.blobs.chunks(digest))


# -- kills, full disks, memory


def settle(work: t.Callable[[], t.Any]) -> t.Any:
    """Do it as soon as what a kill left behind has let go of the lock."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return work()
        except AirgapError as exc:
            if exc.code != "locked" or time.monotonic() > deadline:
                raise
            threading.Event().wait(0.01)


def test_receiving_survives_a_kill_at_every_step(
    forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, remembered: None
) -> None:
    path = forge(10, files={"b.txt": b"b"}, source={"go.mod": b"module hello\n", "main.go": b"package main\n"})
    take = functools.partial(receive, path=path, allowed=small_site.allowed_signers)
    # Asked before the forks, so that each child finds ssh-keygen's answer.
    digest = take(depot, check=True).generation.digest
    old = prove_whole(depot)
    new = {**old, "000010": digest}
    step, seen = 0, set()
    while True:
        step += 1
        copy = Depot(str(shutil.copytree(depot.path, tmp_path / "copy", symlinks=True)))
        killed = killed_at(step, lambda: take(copy))  # noqa: B023
        found = prove_whole(copy)
        assert found in (old, new), step
        seen.add(len(found))
        killed_at(0, lambda: settle(lambda: take(copy)))  # noqa: B023
        assert prove_whole(copy) == new
        assert copy.is_current()
        assert json.loads((tmp_path / "copy" / "receipt.json").read_text())["generations"] == new
        untouched = times(tmp_path / "copy")
        assert not take(copy).changed
        assert times(tmp_path / "copy") == untouched
        shutil.rmtree(copy.path)
        if not killed:
            break
    assert (seen, step > 60) == ({len(old), len(new)}, True)


def start_module(name: str, **arguments: t.Any) -> subprocess.Popen[bytes]:
    """A module as Ansible runs it: a program that reads its arguments from stdin."""
    process = subprocess.Popen([sys.executable, "-m", f"{MODULES}.{name}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    process.stdin.close()
    process.stdin = None
    return process


def run_module(name: str, **arguments: t.Any) -> dict[str, t.Any]:
    out, err = start_module(name, **arguments).communicate(timeout=300)
    answer: dict[str, t.Any] = json.loads(out or b"{}")
    assert answer, err.decode()
    return answer


def big_file(directory: pathlib.Path, megabytes: int) -> pathlib.Path:
    path = directory / "big"
    with open(path, "wb") as stream:
        for _number in range(megabytes):
            stream.write(os.urandom(1 << 20))
    return path


def big_generation(composer: Composer, path: pathlib.Path, number: int) -> Composed:
    digest, size = hashlib.sha256(), path.stat().st_size
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    name = "sha256:" + digest.hexdigest()
    with composer.depot.locked():
        composer.depot.blobs.adopt(str(path), name, size, move=True)
    composer.edit_layers = lambda layers: layers.append(oci.Layer(name, size, oci.FILE_TYPE, "files/big", "file"))
    return composer.compose(number, [])


def test_a_real_kill_in_the_middle_of_a_blob(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path) -> None:
    composer = Composer(Depot(str(tmp_path / "big-depot")), tmp_path / "big-scratch")
    composed = big_generation(composer, big_file(tmp_path, 60), 10)
    path = write_bundle(composer.depot, composed.generation, tmp_path / "big.tar", str(small_site.key))
    arguments = {"depot": depot.path, "src": str(path), "allowed_signers": str(small_site.allowed_signers)}
    old = prove_whole(depot)
    staging, kills = pathlib.Path(depot.staging), 0
    for wanted in (1, 10 << 20, 30 << 20, 55 << 20):
        process = start_module("receive", **arguments)
        while process.poll() is None:
            size = 0
            for directory, _directories, names in os.walk(staging):
                with contextlib.suppress(FileNotFoundError):
                    size += sum(os.stat(os.path.join(directory, name)).st_size for name in names)
            if size >= wanted:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=60)
        if process.returncode == -signal.SIGKILL:
            kills += 1
            assert prove_whole(depot) == old
            assert list(staging.iterdir()) != []
        else:
            break
    assert kills > 0
    answer = settle(lambda: receive(depot, path, small_site.allowed_signers))
    assert answer.changed or kills < 4
    assert prove_whole(depot) == {**old, "000010": composed.generation.digest}
    assert list(staging.iterdir()) == []


@contextlib.contextmanager
def mounted(directory: pathlib.Path, megabytes: int) -> t.Iterator[t.Callable[[int], None]]:
    """A small file system at ``directory``; gives a function that changes its size."""
    directory.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory))
    try:
        yield lambda megabytes: t.cast(None, run("mount", "-o", f"remount,size={megabytes}m", str(directory)))
    finally:
        run("umount", str(directory))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    """Noticed before anything is written where the blobs don't fit; in the middle where the tree doesn't."""
    composer = Composer(Depot(str(tmp_path / "big-depot")), tmp_path / "big-scratch")
    source = {f"zeros-{number}": bytes(1 << 20) for number in range(8)}
    big = big_generation(composer, big_file(tmp_path, 4), 10)
    inflating = composer.compose(11, [], source=source)
    bundles = [write_bundle(composer.depot, one.generation, tmp_path / f"{one.generation.ref}.tar", str(small_site.key)) for one in (big, inflating)]
    with mounted(tmp_path / "disk", 3) as resize:
        depot = Depot(str(tmp_path / "disk" / "depot"))
        receive(depot, small_site.first_bundle, small_site.allowed_signers)
        old = prove_whole(depot)
        refusal = refused(depot, bundles[0], small_site.allowed_signers)
        assert (refusal.code, int(refusal.expected) > int(refusal.found)) == ("no_space", True)
        resize(9)
        receive(depot, bundles[0], small_site.allowed_signers)
        old = prove_whole(depot)
        before = listing(tmp_path / "disk")
        answer = run_module("receive", depot=depot.path, src=str(bundles[1]), allowed_signers=str(small_site.allowed_signers))
        assert (answer["failed"], answer["failure"]["code"]) == (True, "os_error")
        assert "make room" in answer["msg"]
        assert listing(tmp_path / "disk") == before
        assert prove_whole(depot) == old
        resize(30)
        assert receive(depot, bundles[1], small_site.allowed_signers).changed
        assert prove_whole(depot) == {**old, "000011": inflating.generation.digest}
        composer.admit(big)
        resize(15)
        for check in (True, False):
            with pytest.raises(AirgapError) as full:
                make_bundle(dataclasses.replace(small_site, depot=composer.depot), tmp_path / "disk" / "out", check=check)
            assert full.value.code == "no_space"
        assert not (tmp_path / "disk" / "out").exists()


MEASURED = """
import json, resource, runpy, sys
name = sys.argv.pop()
try:
    runpy.run_module(name, run_name="__main__")
finally:
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps(peaks), file=sys.stderr)
"""


def test_memory_does_not_grow_with_the_bundle(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    composer = Composer(Depot(str(tmp_path / "big-depot")), tmp_path / "big-scratch")
    composed = big_generation(composer, big_file(tmp_path, 400), 10)
    composer.admit(composed)
    signed = {"signing_key": str(small_site.key), "dest": str(tmp_path / "big.tar")}
    taken = {"src": str(tmp_path / "big.tar"), "allowed_signers": str(small_site.allowed_signers)}
    for name, arguments in (("bundle", {"depot": composer.depot.path, **signed}), ("receive", {"depot": str(tmp_path / "offline"), **taken})):
        finished = subprocess.run(
            [sys.executable, "-c", MEASURED, f"{MODULES}.{name}"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode(),
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout
        assert json.loads(finished.stdout)["changed"]
        # In KiB, ours and that of the hungriest child.
        assert max(json.loads(finished.stderr.splitlines()[-1])) < 150 << 10
    assert (tmp_path / "big.tar").stat().st_size > 400 << 20
    assert os.stat(tmp_path / "offline" / "current" / "files" / "big").st_nlink == 2


# -- as modules

PLAYBOOK = """\
- name: Across the gap
  hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - name: What bundling would do
      airgap.golang.bundle: &bundle {depot: "{{ connected }}", dest: "{{ out }}/", signing_key: "{{ key }}", generation: 1}
      check_mode: true
      diff: true
      register: bundle_planned
    - name: Bundle
      airgap.golang.bundle: *bundle
      diff: true
      register: bundle_done
    - name: Bundle again
      airgap.golang.bundle: *bundle
      register: bundle_again
    - name: What receiving would do
      airgap.golang.receive: &receive {depot: "{{ offline }}", src: "{{ bundle_done.path }}", allowed_signers: "{{ allowed }}"}
      check_mode: true
      diff: true
      register: receive_planned
    - name: That nothing was done
      ansible.builtin.stat: {path: "{{ offline }}"}
      register: receive_untouched
    - name: Receive
      airgap.golang.receive: *receive
      diff: true
      register: receive_done
    - name: Receive again
      airgap.golang.receive: *receive
      register: receive_again
    - name: Refused
      block:
        - name: By nobody who may sign
          airgap.golang.receive: {depot: "{{ offline }}", src: "{{ bundle_done.path }}"}
      rescue:
        - name: Keep the results
          ansible.builtin.copy:
            dest: "{{ out }}/results.json"
            mode: "0600"
            content: >-
              {{ {"bundle": [bundle_planned, bundle_done, bundle_again], "receive": [receive_planned, receive_done, receive_again],
                  "untouched": not receive_untouched.stat.exists, "refused": ansible_failed_result} | to_json }}
"""


def test_the_modules_tell_the_truth_before_and_after(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    (tmp_path / "out").mkdir()
    variables = {
        "connected": small_site.depot.path,
        "offline": str(tmp_path / "offline"),
        "out": str(tmp_path / "out"),
        "key": str(small_site.key),
        "allowed": str(small_site.allowed_signers),
    }
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_HOME": str(tmp_path / "home")}
    finished = subprocess.run(
        [str(pathlib.Path(sys.executable).with_name("ansible-playbook")), "play.yml", "-e", json.dumps(variables)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    for planned, done, again in (results["bundle"], results["receive"]):
        assert (planned["changed"], done["changed"], again["changed"]) == (True, True, False)
        # Of a file that's there Ansible tells owner and mode as well.
        assert planned == {key: done[key] for key in planned}
        assert done["diff"]["before"] != done["diff"]["after"]
        assert again["generation"] == done["generation"] == small_site.first.summary()
    bundled, received = results["bundle"][1], results["receive"][1]
    assert (bundled["size"], bundled["signed"], bundled["carried"]) == (os.stat(bundled["path"]).st_size, True, 6)
    assert (received["signer"], received["new_blobs"]) == (PRINCIPAL, 6)
    assert received["diff"] == {"before": "", "after": "000001\n"}
    assert results["untouched"]
    assert (results["refused"]["failure"]["code"], results["refused"]["failed"]) == ("unsigned", True)
    assert prove_whole(Depot(str(tmp_path / "offline"))) == {"000001": small_site.first.digest}


def test_a_module_warns_of_what_it_took_on_trust(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    composer = Composer(Depot(str(tmp_path / "unsealed")), tmp_path / "scratch")
    composer.admit(composer.compose(1, [], sealed=False))
    leave = {"allow_unsigned": True, "allow_unsealed": True}
    bundled = run_module("bundle", depot=composer.depot.path, dest=str(tmp_path / "out"), **leave)
    assert [words in json.dumps(bundled["warnings"]) for words in ("NOT SIGNED", "NOT SEALED")] == [True, True]
    received = run_module("receive", depot=str(tmp_path / "offline"), src=bundled["path"], **leave)
    assert (received["changed"], received["signer"]) == (True, "")
    assert [words in json.dumps(received["warnings"]) for words in ("WAS NOT CHECKED", "NOT SEALED")] == [True, True]
