# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs: immutable files named by their SHA-256, as an OCI image layout keeps them (blobs/sha256/<hex>).

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import typing as t

from .._base.errors import DepotDamaged
from .._base.files import CHUNK, link_or_copy, temporary_sibling, write_atomically

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# What temporary_sibling makes.
_TEMPORARY = re.compile(r"\..{1,80}\.[0-9a-f]{16}\.tmp")


def is_temporary(name: str) -> bool:
    """Whether a file bears the name of something that isn't whole yet."""
    return _TEMPORARY.fullmatch(name) is not None


class BlobStore:
    """The blobs directory of one depot."""

    def __init__(self, depot: str) -> None:
        self.directory = os.path.join(depot, "blobs", "sha256")

    def path(self, digest: str) -> str:
        """:raises DepotDamaged: it's no digest that a depot could have."""
        if not _DIGEST.fullmatch(digest):
            raise DepotDamaged(f"{digest!r} is no blob's name", subject=digest, expected="sha256: and 64 hexadecimal digits")
        return os.path.join(self.directory, digest.split(":", 1)[1])

    def has(self, digest: str, size: int) -> bool:
        """Whether it's here with its full size. Content is proved when it enters, not at each look."""
        try:
            return os.stat(self.path(digest)).st_size == size
        except FileNotFoundError:
            return False

    def has_at_most(self, digest: str, size: int) -> bool:
        """Whether it's here with at most ``size`` bytes."""
        try:
            return os.stat(self.path(digest)).st_size <= size
        except FileNotFoundError:
            return False

    def digests(self) -> list[str]:
        """Every blob that is here."""
        names = sorted(os.listdir(self.directory)) if os.path.isdir(self.directory) else []
        return [f"sha256:{name}" for name in names if _DIGEST.fullmatch(f"sha256:{name}")]

    def missing(self, wanted: t.Mapping[str, int]) -> list[str]:
        """The digests of ``wanted`` (digest → size) that aren't here."""
        return [digest for digest, size in wanted.items() if not self.has(digest, size)]

    def read(self, digest: str) -> bytes:
        """A small blob's content, proved against its name.

        :raises DepotDamaged: it isn't there or has changed.
        """
        try:
            with open(self.path(digest), "rb") as stream:
                content = stream.read()
        except FileNotFoundError:
            raise self._absent(digest) from None
        found = hashlib.sha256(content).hexdigest()
        if "sha256:" + found != digest:
            raise self._changed(digest, found)
        return content

    def chunks(self, digest: str) -> t.Iterator[bytes]:
        """A blob's content in pieces, proved against its name at the end.

        :raises DepotDamaged: it isn't there, or isn't what the name says; the pieces given out so far are not to be used.
        """
        seen = hashlib.sha256()
        try:
            stream = open(self.path(digest), "rb")  # noqa: SIM115 - only the opening can find it absent
        except FileNotFoundError:
            raise self._absent(digest) from None
        with stream:
            for chunk in iter(lambda: stream.read(CHUNK), b""):
                seen.update(chunk)
                yield chunk
        if "sha256:" + seen.hexdigest() != digest:
            raise self._changed(digest, seen.hexdigest())

    def _absent(self, digest: str) -> DepotDamaged:
        return DepotDamaged(
            f"the blob {digest} is missing from {self.directory}", code="blobs_missing", subject=digest, hint="receive or gather its generation again"
        )

    def _changed(self, digest: str, found: str) -> DepotDamaged:
        return DepotDamaged(
            f"the blob {digest} in {self.directory} holds something else",
            code="blob_damaged",
            subject=digest,
            expected=digest,
            found="sha256:" + found,
            hint="remove that file, then receive or gather its generation again",
        )

    def adopt(self, source: str, digest: str, size: int, move: bool = False) -> bool:
        """Take in a file whose SHA-256 the caller has just computed; False if it was here already.

        The blob gets its name by one rename, so it's whole or absent. Durability is the caller's (one sync a batch).
        """
        dest = self.path(digest)
        if self.has(digest, size):
            return False
        os.makedirs(self.directory, exist_ok=True)
        if move:
            os.chmod(source, 0o444)
            os.rename(source, dest)
            return True
        beside = temporary_sibling(dest)
        try:
            link_or_copy(source, beside)
            os.chmod(beside, 0o444)
            os.rename(beside, dest)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            raise
        return True

    def replace(self, source: str, digest: str) -> None:
        """Let a file whose SHA-256 the caller has just computed take the place of whatever has this blob's name; ``source`` is moved."""
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(source, 0o444)
        os.rename(source, self.path(digest))

    def put(self, digest: str, content: bytes) -> bool:
        """Take in a small blob, whose digest the caller has just computed; False if it was here already."""
        if self.has(digest, len(content)):
            return False
        write_atomically(self.path(digest), content, 0o444)
        return True

    def discard(self, digests: t.Iterable[str]) -> None:
        """Take out what was taken in for a generation that then could not be admitted."""
        for digest in digests:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(digest))
