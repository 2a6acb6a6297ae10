# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Canonical tars: one possible form, which GNU tar reads too, and nothing else is let in."""

from __future__ import annotations

import gzip
import io
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import ustar
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import BundleDamaged
from ansible_collections.airgap.golang.tests.support.evil_tars import KINDS, OUTSIDE, evil

LONG = "d/" + "long-name/" * 15 + "file"


def made(*files: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    writer = ustar.Writer(stream)
    for name, content in files:
        writer.add_bytes(name, content)
    writer.close()
    assert len(stream.getvalue()) == writer.size
    return stream.getvalue()


def read(data: bytes, executables: bool = False) -> list[tuple[str, bytes]]:
    return [(member.name, member.read()) for member in ustar.members(io.BytesIO(data), "x.tar", executables)]


GOOD = made(("a", b"1"), ("b/c", bytes(512)), ("empty", b""))


def test_what_was_written_is_read() -> None:
    assert read(GOOD) == [("a", b"1"), ("b/c", bytes(512)), ("empty", b"")]


def test_gnu_tar_reads_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.tar").write_bytes(made(("a", b"1"), (LONG, b"2")))
    subprocess.run(["tar", "-xf", "x.tar"], cwd=tmp_path, check=True, timeout=60)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / LONG).read_bytes()) == (b"1", b"2")


def test_members_that_are_not_read_are_passed_over() -> None:
    assert [member.name for member in ustar.members(io.BytesIO(GOOD), "x.tar")] == ["a", "b/c", "empty"]


def test_a_stream_of_another_length_is_refused() -> None:
    writer = ustar.Writer(io.BytesIO())
    with pytest.raises(BundleDamaged, match="a has 2 bytes, not 3"):
        writer.add_stream("a", 3, [b"1", b"2"])


@pytest.mark.parametrize("bit", [0, 7])
def test_no_bit_outside_of_contents_can_change(bit: int) -> None:
    """Every byte of headers, padding and end marks; contents are for their hashes."""
    content = {512, *range(1536, 2048)}
    for position in set(range(len(GOOD))) - content:
        data = bytearray(GOOD)
        data[position] ^= 1 << bit
        with pytest.raises(BundleDamaged) as refusal:
            read(bytes(data))
        assert refusal.value.subject


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 1023, 1024, 2047, 2048, len(GOOD) - 1024, len(GOOD) - 512, len(GOOD) - 1])
def test_a_cut_one_is_refused(length: int) -> None:
    with pytest.raises(BundleDamaged) as refusal:
        read(GOOD[:length])
    assert refusal.value.code == "truncated"


@pytest.mark.parametrize("more", [b"\0", b"x", bytes(512), GOOD])
def test_nothing_may_follow(more: bytes) -> None:
    with pytest.raises(BundleDamaged, match="behind its end"):
        read(GOOD + more)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compress", [False, True])
def test_evil_members_are_refused(tmp_path: pathlib.Path, kind: str, compress: bool) -> None:
    data = evil(kind)
    with pytest.raises(BundleDamaged) as refusal:
        read(data)
    assert refusal.value.subject
    if kind in ("symlink", "hardlink", "device", "block device", "fifo", "directory", "pax", "dotdot", "absolute", "longdots"):
        assert refusal.value.code == "unsafe_member"
    dest = tmp_path / "dest"
    with pytest.raises(BundleDamaged):
        list(ustar.unpack_tree(io.BytesIO(gzip.compress(data) if compress else data), str(dest), "layer"))
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert not pathlib.Path(OUTSIDE).exists()


def test_a_member_that_comes_twice_is_refused() -> None:
    with pytest.raises(BundleDamaged, match="a is there twice"):
        read(made(("a", b"1"), ("a", b"2")))


def test_a_small_member_must_be_small() -> None:
    data = ustar.header("SHA256SUMS", 10 << 30) + bytes(512)
    with pytest.raises(BundleDamaged, match="is the most that can be meant"):
        next(ustar.members(io.BytesIO(data), "x.tar")).read()


def test_sizes_over_eight_gigabytes_have_one_form_too() -> None:
    member = next(ustar.members(io.BytesIO(ustar.header("blob", 9 << 30)), "x.tar"))
    assert member.size == 9 << 30


def pack(tmp_path: pathlib.Path, files: t.Mapping[str, bytes], compress: bool = False) -> bytes:
    entries = []
    for number, (name, content) in enumerate(files.items()):
        path = tmp_path / f"source-{number}"
        path.write_bytes(content)
        entries.append(ustar.Entry(name, str(path), name.endswith(".sh")))
    stream = io.BytesIO()
    ustar.pack_tree(stream, entries, compress)
    return stream.getvalue()


FILES = {"b.sh": b"#!/bin/sh\n", "a/x": b"x" * 3000, LONG: b"long", "caf\udce9": b"a name that isn't UTF-8", "empty": b""}


@pytest.mark.parametrize("compress", [False, True])
def test_a_tree_is_packed_and_unpacked(tmp_path: pathlib.Path, compress: bool) -> None:
    data = pack(tmp_path, FILES, compress)
    assert data == pack(tmp_path, dict(reversed(list(FILES.items()))), compress)
    (tmp_path / "dest" / "a").mkdir(parents=True)
    (tmp_path / "dest" / "a" / "x").write_bytes(b"what a killed run left")
    unpacked = dict(ustar.unpack_tree(io.BytesIO(data), str(tmp_path / "dest"), "layer"))
    assert set(unpacked) == set(FILES) == {member.name for member in ustar.packed(io.BytesIO(data), "layer")}
    for name, content in FILES.items():
        path = tmp_path / "dest" / name
        assert path.read_bytes() == content
        assert oct(path.stat().st_mode & 0o777) == ("0o555" if name == "b.sh" else "0o444")


def test_a_bundle_has_no_executables(tmp_path: pathlib.Path) -> None:
    data = pack(tmp_path, {"b.sh": b""})
    assert read(data, executables=True) == [("b.sh", b"")]
    with pytest.raises(BundleDamaged, match="not as it was written"):
        read(data)


@pytest.mark.parametrize("length", [5, 40, -9, -1])
def test_a_cut_gzip_is_refused(tmp_path: pathlib.Path, length: int) -> None:
    with pytest.raises(BundleDamaged):
        list(ustar.packed(io.BytesIO(pack(tmp_path, FILES, True)[:length]), "layer"))


def test_no_bit_of_a_gzip_changes_what_comes_out(tmp_path: pathlib.Path) -> None:
    """Deflate has a few bits that mean nothing; every other one is refused."""
    data = bytearray(pack(tmp_path, FILES, True))
    whole = list(ustar.unpack_tree(io.BytesIO(bytes(data)), str(tmp_path / "whole"), "layer"))
    refused = 0
    for position in range(10, len(data)):
        data[position] ^= 1
        try:
            assert list(ustar.unpack_tree(io.BytesIO(bytes(data)), str(tmp_path / "other"), "layer")) == whole
        except BundleDamaged:
            refused += 1
        data[position] ^= 1
    assert refused > 0.9 * (len(data) - 10)


@pytest.mark.parametrize("executable", [False, True])
def test_headers_are_those_that_tarfile_builds(executable: bool) -> None:
    for name in ("a", "a" * 99, "a" * 100, "ä" * 50, "ä" * 50 + "b", "a/" * 80 + "b", "\udcff"):
        for size in (0, 7, 511, 8**11 - 1, 8**11):
            assert ustar.header(name, size, executable) == ustar._built(name, size, executable), (name, size)
