# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module zips: their members and contents, and what no module zip may contain.

The rules are those of golang.org/x/mod/zip (checkZip) that matter for writing below one directory and nowhere else.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
import typing as t
import zipfile
import zlib

from .._base.errors import ModuleRefused

#: Members up to this size are held in memory whole; bigger ones are streamed in pieces of it.
WHOLE = 1 << 20

#: How much of the file is read at once.
_WINDOW = 1 << 20

# APPNOTE.TXT of PKWARE, 4.3.7, 4.3.12 and 4.3.16: a member's header, its entry in the directory, the end of the directory.
_LOCAL = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
# The newest version of the format that zipfile takes.
_NEWEST = 63
# Bits of a member's flags that say: encrypted, a patch, strongly encrypted, with a hidden directory.
_UNREADABLE = 0x0001 | 0x0020 | 0x0040 | 0x2000
_UTF8 = 0x0800

#: golang.org/x/mod/zip.MaxZipFile: the most bytes that a module may have, packed and unpacked.
MAX_UNPACKED = 500 << 20

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Inflater(t.Protocol):
    """What a ``decompressobj`` can do."""

    @property
    def eof(self) -> bool: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: t.Any, max_length: int, /) -> bytes: ...


class Codec(t.Protocol):
    """What inflates and makes CRCs: the module zlib, or one that's like it and faster."""

    error: type[Exception]

    def decompressobj(self, wbits: int, /) -> Inflater: ...

    def crc32(self, data: t.Any, value: int, /) -> int: ...


ZLIB = t.cast(Codec, zlib)


class Member(t.NamedTuple):
    """One entry of the zip's directory: ``raw`` is its name as the zip has it, ``size`` its bytes unpacked, ``packed`` as they are there;
    ``mode`` is st_mode where the zip has one.
    """

    raw: bytes
    size: int
    packed: int
    method: int
    flags: int
    crc: int
    offset: int
    mode: int


class ModuleZip:
    """An open module zip: ``members`` in the directory's order, and their contents. Use it with ``with``.

    :param codec: what inflates.
    :raises ModuleRefused: what is there is no zip, or a damaged one.
    """

    def __init__(self, path: str, codec: Codec = ZLIB) -> None:
        self.path = path
        self._codec = codec
        self._window = b""
        self._at = 0
        self._stream = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by __exit__
        try:
            self.members = self._plain_directory() or self._any_directory()
        except BaseException:
            self._stream.close()
            raise

    def _any_directory(self) -> list[Member]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return [
                    Member(
                        *(_raw_name(info), info.file_size, info.compress_size, info.compress_type, info.flag_bits, info.CRC, info.header_offset),
                        info.external_attr >> 16,
                    )
                    for info in archive.infolist()
                ]
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as exc:
            raise self.refusal("", f"is not a zip that can be read ({exc})") from None

    def _plain_directory(self) -> t.Optional[list[Member]]:
        """The directory of a zip as Go writes them; None when there is anything special about it.

        zipfile takes ten times as long to read one, which is more than inflating the small files that most modules are made of.
        """
        size = self._stream.seek(0, os.SEEK_END)
        if size < _END.size:
            return None
        self._stream.seek(size - _END.size)
        signature, disk, first_disk, here, count, length, offset, comment = _END.unpack(self._stream.read(_END.size))
        if signature != b"PK\x05\x06" or disk or first_disk or here != count or count == 0xFFFF or comment or offset + length + _END.size != size:
            return None
        self._stream.seek(offset)
        directory = self._stream.read(length)
        members = []
        place = 0
        try:
            for _number in range(count):
                (signature, _made, needed, flags, method, _time, _date, crc, packed, unpacked, name, extra, remark, disk, _inside, outside, at) = (
                    _ENTRY.unpack_from(directory, place)
                )
                place += _ENTRY.size
                raw = directory[place : place + name]
                place += name + extra + remark
                if signature != b"PK\x01\x02" or needed > _NEWEST or disk or 0xFFFFFFFF in (packed, unpacked, at):
                    return None
                if not raw.isascii():
                    raw.decode("utf-8" if flags & _UTF8 else "cp437")
                members.append(Member(raw, unpacked, packed, method, flags, crc, at, outside >> 16))
        except (struct.error, UnicodeDecodeError):
            return None
        return members if place == length == len(directory) else None

    def __enter__(self) -> ModuleZip:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def refusal(self, member: str, what: str) -> ModuleRefused:
        """The error for this zip, or for one member of it."""
        subject = f"{self.path}: {member}" if member else self.path
        return ModuleRefused(
            f"{subject} {what}", subject=subject, hint="no Go module proxy gives out such a zip: find out where this one comes from, and carry the module again"
        )

    def chunks(self, member: Member) -> t.Iterator[bytes]:
        """The contents, in pieces of at most ``WHOLE`` bytes; the last piece comes only when length and CRC are right."""
        try:
            yield from self._chunks(member)
        except (zipfile.BadZipFile, EOFError, zlib.error, self._codec.error) as exc:
            raise self.refusal(printable(member.raw), f"can't be unpacked ({exc})") from None

    def content(self, member: Member) -> bytes:
        """The contents of a member of at most ``WHOLE`` bytes, as ``chunks`` gives them."""
        if member.packed <= WHOLE and not member.flags & _UNREADABLE:
            data = self._packed(member)
            content = b""
            if data is not None and member.method == zipfile.ZIP_DEFLATED:
                inflater = self._codec.decompressobj(-zlib.MAX_WBITS)
                with contextlib.suppress(zlib.error, self._codec.error):
                    # One byte more than there may be tells a member that is too long.
                    content = inflater.decompress(data, member.size + 1)
                    if not inflater.eof:
                        data = None
            elif data is not None and member.method == zipfile.ZIP_STORED:
                content = bytes(data)
            if data is not None and len(content) == member.size and self._codec.crc32(content, 0) == member.crc:
                return content
        # Whatever is wrong or unusual is found out, and told, by the thorough way.
        return b"".join(self.chunks(member))

    def _packed(self, member: Member) -> t.Optional[memoryview]:
        """A small member's data as they are in the zip; None when what stands before them isn't as usual."""
        start = member.offset - self._at
        after = start + _LOCAL.size + len(member.raw)
        if start < 0 or after + member.packed + 64 > len(self._window):
            self._stream.seek(member.offset)
            self._window = self._stream.read(_WINDOW + member.packed)
            self._at = member.offset
            start, after = 0, _LOCAL.size + len(member.raw)
        if after > len(self._window):
            return None
        signature, *_rest, length, extra = _LOCAL.unpack_from(self._window, start)
        end = after + extra + member.packed
        if signature != b"PK\x03\x04" or self._window[start + _LOCAL.size : after] != member.raw or length != len(member.raw) or end > len(self._window):
            return None
        return memoryview(self._window)[after + extra : end]

    def _chunks(self, member: Member) -> t.Iterator[bytes]:
        # zipfile's own reader costs more than inflating the small files that most modules are made of.
        left, packed, crc = member.size, self._seek(member), 0
        inflater = self._codec.decompressobj(-zlib.MAX_WBITS) if member.method == zipfile.ZIP_DEFLATED else None
        tail = b""
        while True:
            data = tail
            if packed and not tail:
                data = self._stream.read(min(WHOLE, packed))
                packed -= len(data)
            # One byte more than there may be tells a member that is too long.
            chunk = inflater.decompress(data, min(WHOLE, left + 1)) if inflater else data
            tail = inflater.unconsumed_tail if inflater else b""
            left -= len(chunk)
            crc = self._codec.crc32(chunk, crc)
            ended = inflater.eof if inflater else not packed
            if left < 0 or (ended and left) or not (data or chunk or ended):
                raise EOFError(f"{member.size - left} bytes of {member.size}")
            if ended:
                break
            if chunk:
                yield chunk
        if crc != member.crc:
            raise zipfile.BadZipFile("its CRC-32 is wrong")
        yield chunk

    def _seek(self, member: Member) -> int:
        """Go to where a member's data begin; how many bytes they have as they are packed.

        :raises zipfile.BadZipFile: what stands before them isn't this member's header, or they can't be read.
        """
        if member.flags & _UNREADABLE:
            raise zipfile.BadZipFile("it is encrypted or a patch")
        if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile(f"it is packed by method {member.method}")
        if member.offset < 0:
            raise zipfile.BadZipFile("it begins before the file does")
        self._stream.seek(member.offset)
        head = self._stream.read(_LOCAL.size)
        if len(head) != _LOCAL.size:
            raise EOFError("its header is cut")
        signature, *_rest, length, extra = _LOCAL.unpack(head)
        if signature != b"PK\x03\x04" or self._stream.read(length) != member.raw:
            raise zipfile.BadZipFile("its header is another one's")
        self._stream.seek(extra, os.SEEK_CUR)
        return member.packed

    def files_below(self, prefix: str) -> list[tuple[str, Member]]:
        """Every file's path relative to ``prefix`` (``module@version/``), when all of them are fit to be written there.

        :raises ModuleRefused: a member lies elsewhere, has an unclean name, comes twice, is file and directory at once, or is
            no regular file; or all together are bigger than Go allows.
        """
        start = prefix.encode("utf-8")
        files: dict[str, Member] = {}
        directories: set[str] = set()
        total = 0
        for member in self.members:
            shown = printable(member.raw)
            if not member.raw.startswith(start):
                raise self.refusal(shown, f"is not below {prefix}")
            try:
                name = member.raw[len(start) :].decode("utf-8")
            except UnicodeDecodeError:
                raise self.refusal(shown, "has a name that is not UTF-8") from None
            if not name:
                continue
            is_directory = name.endswith("/")
            parts = name[: -1 if is_directory else None].split("/")
            if any(part in ("", ".", "..") for part in parts) or "\\" in name or _CONTROL.search(name):
                raise self.refusal(shown, "has a name that is unclean or leads elsewhere")
            kind = stat.S_IFMT(member.mode)
            if kind not in (0, stat.S_IFDIR if is_directory else stat.S_IFREG):
                raise self.refusal(shown, "is no regular file (link, device or pipe)")
            if member.flags & 1:
                raise self.refusal(shown, "is encrypted")
            parents = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
            if is_directory:
                parents.append("/".join(parts))
            elif name in files:
                raise self.refusal(shown, "is in the zip twice")
            elif name in directories:
                raise self.refusal(shown, "is a file and a directory at once")
            for parent in parents:
                if parent in files:
                    raise self.refusal(shown, f"has {parent}, which is a file, for a directory")
            directories.update(parents)
            if is_directory:
                continue
            files[name] = member
            total += member.size
            if total > MAX_UNPACKED:
                raise self.refusal(shown, f"brings the module over Go's limit of {MAX_UNPACKED} bytes unpacked")
        return list(files.items())


def printable(raw: bytes) -> str:
    """A member's name for a message."""
    return raw.decode("utf-8", "backslashreplace")


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    # zipfile decodes by the entry's UTF-8 flag and then cuts at NUL; Go takes names as the bytes that they are.
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
