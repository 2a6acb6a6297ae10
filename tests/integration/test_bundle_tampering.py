# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles that somebody changed: every bit, every member, every lie is refused, by name, and nothing is admitted."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import hashlib
import json
import os
import pathlib
import random
import shutil
import tarfile
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import receive as receive_verb
from ansible_collections.airgap.golang.plugins.module_utils._base import signature, ustar
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot import bundle as form
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.depots import listing
from ansible_collections.airgap.golang.tests.support.evil_tars import KINDS, OUTSIDE, evil
from ansible_collections.airgap.golang.tests.support.receiving import pieces, receive, refused
from ansible_collections.airgap.golang.tests.support.small_depot import (
    UUID,
    Composer,
    SmallSite,
    allow,
    write_bundle,
)

BLOCK = 512


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


BINARY = {"platform": "linux/amd64", "name": "fix", "sha256": oci.digest_of(b"fix")[7:], "size": 3}
TOOL: dict[str, t.Any] = {"package": "example.org/fix", "version": "v1.0.0", "binaries": [BINARY]}


def add_tool(composer: Composer, layers: list[oci.Layer]) -> None:
    layers.append(dataclasses.replace(composer.raw("tools/linux-amd64/fix", "tool", "", b"fix", oci.FILE_TYPE), platform="linux/amd64"))


@pytest.mark.parametrize("lie", ["none", "unknown to the config", "unknown to the manifest", "other bytes"])
def test_config_and_manifest_speak_of_the_same_programs(
    forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, lie: str
) -> None:
    def edit(config: dict[str, t.Any]) -> None:
        if lie != "unknown to the config":
            config["tools"] = [copy.deepcopy(TOOL)]
        if lie == "other bytes":
            config["tools"][0]["binaries"][0]["sha256"] = "0" * 64

    more = {} if lie == "unknown to the manifest" else {"edit_layers": add_tool}
    path = forge(edit_config=edit, **more)
    if lie == "none":
        generation = receive(depot, path, small_site.allowed_signers).generation
        program = pathlib.Path(depot.tree(generation.ref), "tools", "linux-amd64", "fix")
        assert program.read_bytes() == b"fix" and program.stat().st_mode & 0o777 == 0o555
        assert os.stat(depot.blobs.path(oci.digest_of(b"fix"))).st_mode & 0o777 == 0o444
    else:
        assert refused(depot, path, small_site.allowed_signers).subject == "tools/linux-amd64/fix"


@pytest.mark.parametrize("name", ["../../bin/sh", "", ".fix", "a/b", 7])
def test_a_program_whose_name_is_none_is_refused(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, name: t.Any) -> None:
    def edit(config: dict[str, t.Any]) -> None:
        config["tools"] = [copy.deepcopy(TOOL)]
        config["tools"][0]["binaries"][0]["name"] = name

    assert refused(depot, forge(edit_config=edit, edit_layers=add_tool), small_site.allowed_signers).subject == "tools/0/binaries/0/name"


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
