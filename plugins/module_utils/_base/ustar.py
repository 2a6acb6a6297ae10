# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar files that have one possible form, and the reading of them that accepts no other.

``Writer`` writes them and ``members`` reads them: every header is what we'd have written ourselves for that name and
size, all padding is zero, so that no bit can change unseen, and regular files with safe, unique names are all that there
can be. Layers (projects, small files) are packed by ``pack_tree``, perhaps gzipped, and unpacked by ``unpack_tree``.
Format: GNU tar, https://www.gnu.org/software/tar/manual/html_node/Standard.html.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import struct
import tarfile
import typing as t
import zlib

from .errors import BundleDamaged
from .files import CHUNK, temporary_sibling

BLOCK = 512
END = bytes(2 * BLOCK)
# PATH_MAX: no longer name could be unpacked.
LONGEST = 4096

# A control character or backslash anywhere; an element that is empty, "." or "..".
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{0,2}(?:/|\Z)")


def header(name: str, size: int, executable: bool = False) -> bytes:
    """The one header we write for a regular file: owner 0, time 0, mode 0644 or 0755."""
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) > tarfile.LENGTH_NAME or not 0 <= size < 8**11:
        return _built(name, size, executable)
    block = _TEMPLATES[executable]
    block = encoded.ljust(tarfile.LENGTH_NAME, b"\0") + block[100:124] + b"%011o" % size + block[135:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _built(name: str, size: int, executable: bool) -> bytes:
    """A header by Python's own hand, which takes ten times as long."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o755 if executable else 0o644
    blocks = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    # A long name comes in a header and blocks of its own before.
    long_name = _without_devices(blocks[:BLOCK]) + blocks[BLOCK:-BLOCK] if len(blocks) > BLOCK else b""
    return long_name + _without_devices(blocks[-BLOCK:])


def _without_devices(block: bytes) -> bytes:
    """A header block with nothing in its two device fields, where Python 3.8 writes zeros as digits and later ones don't."""
    cleared = block[:329] + bytes(16) + block[345:]
    checksum = sum(cleared[:148]) + 8 * ord(" ") + sum(cleared[156:])
    return cleared[:148] + b"%06o\0 " % checksum + cleared[156:]


def _template(executable: bool) -> bytes:
    """A header of no name and size; its checksum is spaces, as it counts itself."""
    block = _built("", 0, executable)
    return block[:148] + b" " * 8 + block[156:]


_TEMPLATES = {executable: _template(executable) for executable in (False, True)}


def padding(size: int) -> int:
    """Bytes of zeros that follow a member of ``size`` bytes."""
    return -size % BLOCK


def safe_name(name: str, where: str) -> str:
    """``name`` itself, if it is a plain relative path that stays below where it is unpacked.

    :raises BundleDamaged: absolute, ``..``, empty or dot elements, a backslash or a control character.
    """
    if _UNSAFE.search(name):
        raise BundleDamaged(
            f"{where}: the member name {name!r} could lead outside of where it's unpacked",
            code="unsafe_member",
            subject=name,
            hint="nothing of it was used; ask where this file comes from",
        )
    return name


class Writer:
    """Write a canonical tar to a stream; members in the order of the calls."""

    def __init__(self, stream: t.IO[bytes]) -> None:
        self._stream = stream
        self.size = 0

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self.size += len(data)

    def add_bytes(self, name: str, content: bytes) -> None:
        self._put(header(name, len(content)))
        self._put(content + bytes(padding(len(content))))

    def add_stream(self, name: str, size: int, chunks: t.Iterable[bytes], executable: bool = False) -> None:
        """A member of exactly ``size`` bytes.

        :raises BundleDamaged: the chunks add up to something else.
        """
        self._put(header(name, size, executable))
        written = 0
        for chunk in chunks:
            written += len(chunk)
            self._put(chunk)
        if written != size:
            raise BundleDamaged(
                f"{name} has {written} bytes, not {size}", subject=name, expected=str(size), found=str(written), hint="did it change while it was read?"
            )
        self._put(bytes(padding(size)))

    def close(self) -> None:
        """The end-of-archive blocks. The stream stays open."""
        self._put(END)


class Member:
    """One member of a tar that is being read: ``name``, ``size`` in bytes, ``executable``, and its content as chunks, once."""

    def __init__(self, name: str, size: int, executable: bool, source: _Source) -> None:
        self.name = name
        self.size = size
        self.executable = executable
        self._source = source
        self._left = size

    def chunks(self) -> t.Iterator[bytes]:
        while self._left:
            chunk = self._source.exactly(min(CHUNK, self._left), self.name)
            self._left -= len(chunk)
            yield chunk

    def read(self, limit: int = 64 << 20) -> bytes:
        """All of it, for members that are small by nature."""
        if self.size > limit:
            raise BundleDamaged(f"{self._source.where}: {self.name} has {self.size} bytes; {limit} is the most that can be meant", subject=self.name)
        return b"".join(self.chunks())

    def finish(self) -> None:
        for _chunk in self.chunks():
            continue
        if any(self._source.exactly(padding(self.size), self.name)):
            raise BundleDamaged(
                f"{self._source.where}: the padding behind {self.name} isn't zero", subject=self.name, hint="the copy is damaged: copy it again"
            )


class _Source:
    def __init__(self, stream: t.IO[bytes], where: str) -> None:
        self._stream = stream
        self.where = where
        self.offset = 0

    def exactly(self, size: int, subject: str) -> bytes:
        data = self._stream.read(size) if size else b""
        if len(data) != size:
            raise BundleDamaged(
                f"{self.where}: it ends in the middle of {subject or 'a header'}, after {self.offset + len(data)} bytes",
                code="truncated",
                subject=subject or self.where,
                hint="the copy is incomplete: copy it again",
            )
        self.offset += size
        return data


def members(stream: t.IO[bytes], where: str, executables: bool = False) -> t.Iterator[Member]:
    """The members of a canonical tar, in order, each to be read before the next.

    :param where: how to call the file in an error.
    :param executables: whether members may have the mode 0755.
    :raises BundleDamaged: anything that ``Writer`` would not have written, duplicates and unsafe names included.
    """
    source = _Source(stream, where)
    seen: set[str] = set()
    while True:
        block = source.exactly(BLOCK, "")
        if not any(block):
            break
        member = _member(block, source, executables)
        if member.name in seen:
            raise BundleDamaged(f"{where}: {member.name} is there twice", code="unsafe_member", subject=member.name, hint="ask where this file comes from")
        seen.add(member.name)
        yield member
        member.finish()
    if any(source.exactly(BLOCK, "the end mark")) or stream.read(1):
        raise BundleDamaged(f"{where}: there is something behind its end", subject=where, hint="the copy is damaged: copy it again")


def _member(block: bytes, source: _Source, executables: bool) -> Member:
    """The member whose header begins with ``block``; a name of over 100 bytes comes in blocks of its own before it."""
    at = source.offset - BLOCK
    member = _plain(block, source, executables)
    if member is not None:
        return member
    info = _parse(block, at, source.where)
    name, consumed = info.name, block
    if info.type == tarfile.GNUTYPE_LONGNAME and 0 < info.size <= LONGEST:
        payload = source.exactly(info.size + padding(info.size), "a long name")
        name = payload[: info.size - 1].decode("utf-8", "surrogateescape")
        last = source.exactly(BLOCK, "a header")
        info = _parse(last, at, source.where)
        consumed = block + payload + last
    name = safe_name(name, source.where)
    if not info.isreg():
        raise BundleDamaged(
            f"{source.where}: {name} is not a regular file but a link, device, directory or something else",
            code="unsafe_member",
            subject=name,
            hint="nothing of it was used; ask where this file comes from",
        )
    executable = executables and bool(info.mode & 0o100)
    if info.size < 0 or header(name, info.size, executable) != consumed:
        raise BundleDamaged(
            f"{source.where}: the header of {name} at byte {at} is not as it was written", subject=name, hint="the copy is damaged: copy it again"
        )
    return Member(name, info.size, executable, source)


def _plain(block: bytes, source: _Source, executables: bool) -> t.Optional[Member]:
    """The member of a header that is whole and right, as nearly all are; None to have a closer look."""
    try:
        name = block[: tarfile.LENGTH_NAME].rstrip(b"\0").decode("utf-8", "surrogateescape")
        size, executable = int(block[124:135], 8), executables and block[100:107] == b"0000755"
    except ValueError:
        return None
    return None if header(name, size, executable) != block else Member(safe_name(name, source.where), size, executable, source)


def _parse(block: bytes, at: int, where: str) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, struct.error) as exc:
        raise BundleDamaged(f"{where}: the header at byte {at} is damaged ({exc})", subject=f"byte {at}", hint="the copy is damaged: copy it again") from None


class Entry(t.NamedTuple):
    """A file to pack: its name in the tar, where it is, and whether it can be executed."""

    name: str
    path: str
    executable: bool = False


class Unpacked(t.NamedTuple):
    """A file that was unpacked: its path below the destination, its hex SHA-256."""

    name: str
    sha256: str


def pack_tree(stream: t.IO[bytes], entries: t.Iterable[Entry], compress: bool = False) -> list[Unpacked]:
    """Pack files, sorted by name, into a tar whose bytes depend on names, contents and exec bits alone.

    :returns: what ``unpack_tree`` would give for it.
    """
    target: t.IO[bytes] = stream
    if compress:
        # Level 6: a vendored tree shrinks to a sixth; higher levels double the time for one part in fifty.
        target = t.cast(t.IO[bytes], gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0))
    writer = Writer(target)
    packed_files = []
    for entry in sorted(entries):
        digest = hashlib.sha256()
        with open(entry.path, "rb") as reader:
            size = os.fstat(reader.fileno()).st_size
            writer.add_stream(entry.name, size, _hashed(reader, digest), entry.executable)
        packed_files.append(Unpacked(entry.name, digest.hexdigest()))
    writer.close()
    if compress:
        target.close()
    return packed_files


def _hashed(reader: t.IO[bytes], digest: t.Any) -> t.Iterator[bytes]:
    while True:
        chunk = reader.read(CHUNK)
        if not chunk:
            return
        digest.update(chunk)
        yield chunk


def unpack_tree(stream: t.IO[bytes], dest: str, where: str) -> t.Iterator[Unpacked]:
    """Unpack what ``pack_tree`` packed below ``dest``: 0444 or 0555, directories 0755.

    Each file gets its name when it's whole; one that is there already (a run that was killed) is replaced.

    :param stream: seekable.
    :raises BundleDamaged: links, devices, directories, duplicates, unsafe names, damaged or truncated data.
    """
    made: set[str] = set()
    for member in packed(stream, where):
        path = os.path.join(dest, member.name)
        parent = os.path.dirname(path)
        if parent not in made:
            os.makedirs(parent, mode=0o755, exist_ok=True)
            made.add(parent)
        yield Unpacked(member.name, _write(member, path))


def packed(stream: t.IO[bytes], where: str) -> t.Iterator[Member]:
    """The members of what ``pack_tree`` packed, each to be read before the next.

    :raises BundleDamaged: as ``unpack_tree``.
    """
    zipped = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    try:
        yield from members(t.cast("t.IO[bytes]", gzip.GzipFile(fileobj=stream, mode="rb")) if zipped else stream, where, executables=True)
    except (zlib.error, EOFError, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise BundleDamaged(f"{where}: it can't be unpacked: {exc}", subject=where, hint="the copy is damaged: copy it again") from None


def _write(member: Member, path: str) -> str:
    digest = hashlib.sha256()
    mode = 0o555 if member.executable else 0o444
    beside = temporary_sibling(path)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as writer:
            for chunk in member.chunks():
                digest.update(chunk)
                writer.write(chunk)
            os.fchmod(writer.fileno(), mode)
        os.rename(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    return digest.hexdigest()
