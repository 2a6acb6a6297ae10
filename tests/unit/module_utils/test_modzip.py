# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of module zips come out as zipfile reads them; what is damaged doesn't come out."""

from __future__ import annotations

import io
import pathlib
import random
import struct
import typing as t
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._go.codec import FASTEST
from ansible_collections.airgap.golang.plugins.module_utils._go.modzip import WHOLE, ZLIB, Codec, ModuleZip

METHODS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}


def contents(seed: int) -> dict[str, bytes]:
    """Nothing, little, what just fits, what doesn't; what shrinks a thousandfold and what doesn't at all."""
    chance = random.Random(seed)
    sizes = [0, 1, 4096, WHOLE - 1, WHOLE, WHOLE + 1, 3 * WHOLE + 17]
    return {f"m@v1.0.0/{number}.go": bytes(size) if number % 2 else chance.randbytes(size) for number, size in enumerate(sizes * 2)}


class Unseekable(io.BytesIO):
    """Sizes then follow the data, as in the zips that Go writes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


def written(path: pathlib.Path, files: t.Mapping[str, bytes], method: int, seekable: bool = True) -> pathlib.Path:
    made = io.BytesIO() if seekable else Unseekable()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    path.write_bytes(made.getvalue())
    return path


def read(path: pathlib.Path, codec: Codec = ZLIB) -> dict[str, bytes]:
    with ModuleZip(str(path), codec) as archive:
        found = {}
        for member in archive.members:
            pieces = list(archive.chunks(member))
            assert all(len(piece) <= WHOLE for piece in pieces)
            found[member.raw.decode()] = b"".join(pieces)
            if member.size <= WHOLE:
                assert archive.content(member) == found[member.raw.decode()]
        return found


def refuses_each_way(path: pathlib.Path, complaint: str) -> None:
    """In pieces and whole, by either codec."""
    for codec in (ZLIB, FASTEST):
        with ModuleZip(str(path), codec) as archive:
            for ask in (lambda member, archive=archive: list(archive.chunks(member)), archive.content):
                with pytest.raises(ModuleRefused, match=complaint):
                    for member in archive.members:
                        ask(member)


@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_members_come_out_as_they_went_in(tmp_path: pathlib.Path, method: str, seekable: bool) -> None:
    files = contents(1)
    path = written(tmp_path / "m.zip", files, METHODS[method], seekable)
    assert FASTEST is not ZLIB
    assert read(path) == read(path, FASTEST) == files


def test_a_directory_out_of_the_ordinary_says_the_same(tmp_path: pathlib.Path) -> None:
    """What zipfile has to read for us: a comment at the end, something before the first member, names in an old code page."""
    files = {"m@v1.0.0/é.go": b"package a\n" * 9, "m@v1.0.0/b.go": b""}
    path = written(tmp_path / "m.zip", files, zipfile.ZIP_DEFLATED)
    with ModuleZip(str(path)) as archive:
        plain = archive.members
    with zipfile.ZipFile(path, "a") as archive_with_comment:
        archive_with_comment.comment = b"by hand"
    with ModuleZip(str(path)) as archive:
        assert archive.members == plain
    assert read(path) == files
    (tmp_path / "n.zip").write_bytes(b"#!/bin/sh\n" + written(tmp_path / "m.zip", files, zipfile.ZIP_DEFLATED).read_bytes())
    assert read(tmp_path / "n.zip") == files
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xc3\x28"))
    with pytest.raises(ModuleRefused, match="not a zip that can be read"):
        read(path)


@pytest.mark.parametrize("method", METHODS)
def test_no_flipped_byte_comes_out(tmp_path: pathlib.Path, method: str) -> None:
    files = {"m@v1.0.0/a.go": random.Random(2).randbytes(300), "m@v1.0.0/b.go": b"package b\n" * 40}
    path = written(tmp_path / "m.zip", files, METHODS[method])
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            # Names and the parts of headers that nobody reads may change: h1 has the names, go proves the rest.
            assert set(read(path).values()) <= set(files.values())
        except ModuleRefused as exc:
            assert str(path) in exc.message
            refused += 1
    assert refused > sum(map(len, files.values())) * (1 if method == "stored" else 0.4)


@pytest.mark.parametrize("method", METHODS)
def test_a_cut_zip_is_refused(tmp_path: pathlib.Path, method: str) -> None:
    path = written(tmp_path / "m.zip", contents(3), METHODS[method])
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ModuleRefused):
            read(path)


def changed(path: pathlib.Path, offset: int, form: str, value: int) -> pathlib.Path:
    """One field of the first member's entry in the zip's directory, changed."""
    whole = bytearray(path.read_bytes())
    struct.pack_into(form, whole, whole.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("offset", "form", "value", "complaint"),
    [
        (8, "<H", 0x1, "encrypted"),
        (10, "<H", zipfile.ZIP_BZIP2, "method 12"),
        (16, "<L", 1, "CRC-32"),
        (24, "<L", 9, "10 bytes of 9"),
        (24, "<L", 11, "10 bytes of 11"),
        (24, "<L", 5 * WHOLE, f"10 bytes of {5 * WHOLE}"),
        (46, "<B", ord("n"), "another one's"),
    ],
)
def test_a_directory_that_lies_is_refused(tmp_path: pathlib.Path, offset: int, form: str, value: int, complaint: str) -> None:
    path = changed(written(tmp_path / "m.zip", {"m@v1.0.0/a.go": b"package a\n"}, zipfile.ZIP_DEFLATED), offset, form, value)
    refuses_each_way(path, complaint)
