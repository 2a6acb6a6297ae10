# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""h1, the hash that go.sum and the checksum database hold for a module's zip and for its go.mod.

Defined by golang.org/x/mod/sumdb/dirhash, function Hash1: "h1:" and the base64 of the SHA-256 of one line
"hex(sha256(file))  name\\n" for each file, sorted by name.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import base64
import hashlib
import typing as t

from .modzip import WHOLE, ZLIB, Codec, Member, ModuleZip


def zip_h1(path: str, codec: Codec = ZLIB) -> str:
    """The h1 of a module zip (names as they are in the zip, ``module@version/path``), in bounded memory.

    :param codec: what inflates.
    :raises ModuleRefused: the file is no zip, or damaged.
    """
    with ModuleZip(path, codec) as archive:
        return archive_h1(archive)


def archive_h1(archive: ModuleZip) -> str:
    """``zip_h1`` of a zip that is open already."""
    summary = Summary()
    # Of two members of one name Go hashes the last, twice: a map from names to files, and the list of all names.
    last: dict[bytes, Member] = {member.raw: member for member in archive.members}
    digests = {
        raw: (hashlib.sha256(archive.content(member)) if member.size <= WHOLE else digest(archive.chunks(member))).hexdigest() for raw, member in last.items()
    }
    for member in archive.members:
        if b"\n" in member.raw:
            raise archive.refusal(repr(member.raw), "has a newline in its name, for which h1 is not defined")
        summary.add(member.raw, digests[member.raw])
    return summary.h1()


def gomod_h1(content: bytes) -> str:
    """The h1 of a go.mod file (the ``/go.mod`` lines of go.sum): one file with the name ``go.mod``."""
    return gomod_h1_of(hashlib.sha256(content).hexdigest())


def gomod_h1_of(sha256: str) -> str:
    """``gomod_h1`` of a content with this SHA-256 (lower-case hex)."""
    summary = Summary()
    summary.add(b"go.mod", sha256)
    return summary.h1()


class Summary:
    """The list of files that an h1 is the hash of; ``add`` in any order."""

    def __init__(self) -> None:
        self._files: list[tuple[bytes, str]] = []

    def add(self, raw: bytes, sha256: str) -> None:
        """:param sha256: lower-case hex digest of the file's contents."""
        self._files.append((raw, sha256))

    def h1(self) -> str:
        lines = b"".join(sha256.encode() + b"  " + raw + b"\n" for raw, sha256 in sorted(self._files))
        return "h1:" + base64.b64encode(hashlib.sha256(lines).digest()).decode()


def digest(chunks: t.Iterable[bytes]) -> hashlib._Hash:
    """SHA-256 over pieces."""
    result = hashlib.sha256()
    for chunk in chunks:
        result.update(chunk)
    return result
