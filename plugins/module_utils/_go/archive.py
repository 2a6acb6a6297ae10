# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A toolchain out of a Go release archive (go1.26.8.linux-amd64.tar.gz, or .zip for Windows), in place of the proxy's.

The module is the archive without api/, doc/, misc/ and test/, with its go.mod files named _go.mod (cmd/distpack in Go's
sources). Both have the same files, so both have the same h1, and the checksum database tells whether an archive is official.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import json
import os
import pathlib
import re
import stat
import tarfile
import typing as t
import zipfile
import zlib

from .._base.errors import ModuleRefused, SpecInvalid
from .._base.fetch import Fetcher
from .._base.files import write_atomically
from .._base.urls import public_url, scheme_of
from .escape import escape_path, escape_version
from .h1 import Summary
from .modzip import MAX_UNPACKED
from .snapshotcheck import parse_lookup
from .store import ModuleStore
from .sumdb import parse_gosumdb
from .toolchain import MODULE, module_version

#: What an archive may hold, unpacked. Releases have some 15,000 files and 300 MB.
MAX_BYTES = 1 << 30
MAX_FILES = 100_000

_CHUNK = 256 << 10
_TOP = "go/"
_LEFT_OUT = ("api/", "doc/", "misc/", "test/")
_TOOLS = "pkg/tool/"
_UNSAFE = re.compile(r"(^|/)(\.{0,2})(/|$)|[\\\x00-\x1f\x7f]")
# What tells the kind or the name of the member that follows, and is read into memory.
_NOTES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_MAX_NOTE = 64 << 10
_MAX_VERSION = 4 << 10


class Files(t.NamedTuple):
    """A toolchain as a proxy would give it: paths, and the zip's h1."""

    info: str
    mod: str
    zip: str
    h1: str


class _Member(t.NamedTuple):
    """A regular file of an archive; ``chunks`` is to be read before the next one is asked for."""

    name: str
    size: int
    chunks: t.Iterator[bytes]


@dataclasses.dataclass(frozen=True)
class _Refusals:
    """Says what is wrong with one archive."""

    name: str

    def __call__(self, what: str, member: str = "", expected: str = "", found: str = "", hint: str = "") -> ModuleRefused:
        subject = f"{self.name}: {member}" if member else self.name
        return ModuleRefused(
            f"{subject} {what}",
            code="archive_refused",
            subject=subject,
            expected=expected,
            found=found,
            hint=hint or "take the release archive as the Go project publishes it, and the SHA-256 that is published with it",
        )


def supply(store: ModuleStore, source: str, sha256: str, version: str, platform: str, directory: str, fetcher: Fetcher, gosumdb: str) -> None:
    """Put a toolchain from an archive into ``store``, unless it's there or an earlier generation has it.

    That the toolchain is official is said by the checksum database. What it says here isn't proved yet: like every module,
    the toolchain is compared again with the proved record. Without a database the archive's SHA-256 is the only proof, and
    nobody knows which archive the files of earlier runs were made of: only what this run has taken in already is left out.

    :param source: as the others, for ``obtain``.
    :param directory: on the store's file system.
    :param gosumdb: GOSUMDB; where it's off nothing is compared here.
    :raises ModuleRefused: also when the database has another h1 for this toolchain.
    :raises FetchFailed: also when the database doesn't answer.
    """
    number = module_version(version, platform)
    database = parse_gosumdb(gosumdb).name
    keys = [(MODULE, number, ext) for ext in ("zip", "mod", "info")]
    if all(store.has(key) if database else key in store.files for key in keys):
        return
    files = obtain(source, sha256, version, platform, directory, fetcher)
    if database:
        answer = store.sumdb(f"{database}/lookup/{escape_path(MODULE)}@{escape_version(number)}")
        expected = parse_lookup(answer, MODULE, number)[0].lines.get("zip", "")
        if files.h1 != expected:
            os.unlink(files.zip)
            raise _Refusals(_shown(source))(
                f"isn't the official go{version} for {platform}: as the module {MODULE}@{number} it has {files.h1}, but the checksum database says {expected}",
                expected=expected,
                found=files.h1,
                hint="somebody changed the archive or made it himself: don't use it before you know who",
            )
    for key in keys:
        store.put(key, getattr(files, key[2]))


def obtain(source: str, sha256: str, version: str, platform: str, directory: str, fetcher: Fetcher) -> Files:
    """Make a toolchain's three module files out of an archive; nothing of it is unpacked before its SHA-256 is right.

    The same archive always gives the same files. Memory doesn't grow with it.

    :param source: a path or URL of the archive.
    :param sha256: what it must be, in hex.
    :param version: the Go version (1.26.8) and ``platform`` (os/arch) that it must be of.
    :param directory: where the files go, and the archive until it's read.
    :raises SpecInvalid: there's no such file.
    :raises FetchFailed: the URL can't be had.
    :raises ModuleRefused: it has another SHA-256, is damaged, of another version or platform, or no release archive.
    """
    refusals = _Refusals(_shown(source))
    os.makedirs(directory, exist_ok=True)
    number = module_version(version, platform)
    archive = os.path.join(directory, f"{number}.archive")
    if not _is_url(source) and not os.path.isfile(source):
        raise SpecInvalid(f"there is no archive {source}", subject=source, hint="archives come from the connected control node, or by URL")
    try:
        # A file is copied too: what is read below must be what was hashed.
        found = fetcher.download(source if _is_url(source) else pathlib.Path(os.path.abspath(source)).as_uri(), archive, bulk=True)
        if found.sha256 != sha256.lower():
            raise refusals("has another SHA-256 than the spec says", expected=sha256.lower(), found=found.sha256)
        paths = {ext: os.path.join(directory, f"{number}.{ext}") for ext in ("info", "mod", "zip")}
        conversion = _Conversion(version, platform, refusals)
        with _told_by(refusals):
            conversion.write(_members(archive, refusals), paths["zip"])
        write_atomically(paths["mod"], f"module {MODULE}\n".encode())
        write_atomically(paths["info"], json.dumps({"Version": number, **conversion.time}, separators=(",", ":")).encode())
        return Files(**paths, h1=conversion.summary.h1())
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(archive)


def _is_url(source: str) -> bool:
    return scheme_of(source) in ("http", "https", "file")


def _shown(source: str) -> str:
    return public_url(source) if _is_url(source) else source


@contextlib.contextmanager
def _told_by(refusals: _Refusals) -> t.Iterator[None]:
    """What the readers of tars and zips raise when one is damaged."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, ValueError) as exc:
        raise refusals(f"can't be unpacked ({exc})") from None


class _Conversion:
    """From an archive's members to the module zip; ``summary`` and ``time`` (for .info) are known after ``write``."""

    def __init__(self, version: str, platform: str, refusals: _Refusals) -> None:
        self._version = version
        self._platform = platform
        self._refusals = refusals
        self._prefix = f"{MODULE}@{module_version(version, platform)}/"
        self._tools = f"{_TOOLS}{platform.replace('/', '_')}/"
        self._total = 0
        self.summary = Summary()
        self.time: dict[str, str] = {}

    def write(self, members: t.Iterable[_Member], path: str) -> None:
        seen: set[str] = set()
        try:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as module:
                for member in members:
                    name = self._checked(member)
                    if name in seen:
                        raise self._refusals("is in it twice", member.name)
                    seen.add(name)
                    if name.startswith(_LEFT_OUT):
                        continue
                    self._total += member.size
                    if self._total > MAX_UNPACKED:
                        raise self._refusals(f"brings the toolchain over Go's limit of {MAX_UNPACKED} bytes", member.name)
                    self._add(module, name, member)
            suffix = ".exe" if self._platform.startswith("windows/") else ""
            for needed in ("VERSION", f"bin/go{suffix}", f"{self._tools}compile{suffix}"):
                if needed not in seen:
                    raise self._refusals(f"has no {needed}, so it isn't a release for {self._platform}", expected=_TOP + needed)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise

    def _checked(self, member: _Member) -> str:
        """The member's name below go/."""
        if _UNSAFE.search(member.name) or not _is_utf8(member.name):
            raise self._refusals("has a name that is unclean or leads elsewhere", repr(member.name))
        if not member.name.startswith(_TOP):
            raise self._refusals(f"is not below {_TOP}", member.name)
        name = member.name[len(_TOP) :]
        if name.startswith(_TOOLS) and not name.startswith(self._tools):
            found = name[len(_TOOLS) :].split("/", maxsplit=1)[0].replace("_", "/")
            raise self._refusals(f"is for {found}, not {self._platform}", expected=self._platform, found=found)
        return name

    def _add(self, module: zipfile.ZipFile, name: str, member: _Member) -> None:
        directory, slash, last = name.rpartition("/")
        # As distpack renames: the module's zip may have no go.mod but its own, and it has none.
        inside = f"{self._prefix}{directory}{slash}{'_go.mod' if last == 'go.mod' else last}"
        info = zipfile.ZipInfo(inside)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system = 3
        info.external_attr = (stat.S_IFREG | 0o644) << 16
        info.file_size = member.size
        digest = hashlib.sha256()
        head = b""
        with module.open(info, "w") as stream:
            for chunk in member.chunks:
                stream.write(chunk)
                digest.update(chunk)
                head = head or chunk[:_MAX_VERSION]
        if name == "VERSION":
            self._read_version(head)
        self.summary.add(inside.encode(), digest.hexdigest())

    def _read_version(self, content: bytes) -> None:
        first, *rest = content.decode("utf-8", "replace").splitlines() or [""]
        if first != f"go{self._version}":
            raise self._refusals(f"is {first[:40]}, not go{self._version}", expected=f"go{self._version}", found=first[:40])
        times = [line.split()[1] for line in rest if re.fullmatch(r"time \S+", line)]
        self.time = {"Time": times[0]} if times else {}


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _members(path: str, refusals: _Refusals) -> t.Iterator[_Member]:
    """The regular files of a .tar.gz or .zip, in its order, whatever its name is."""
    with open(path, "rb") as stream:
        magic = stream.read(2)
    if magic not in (b"\x1f\x8b", b"PK"):
        raise refusals("is neither a .tar.gz nor a .zip")
    count = size = 0
    for member in (_tar_members if magic == b"\x1f\x8b" else _zip_members)(path, refusals):
        if member.size < 0:
            raise refusals("has a negative size", member.name)
        count, size = count + 1, size + member.size
        if count > MAX_FILES or size > MAX_BYTES:
            raise refusals(f"brings the archive over {MAX_FILES} files or {MAX_BYTES} bytes, more than a release has", member.name)
        yield member


class _Header(tarfile.TarInfo):
    """A tar header whose notes on the next member are small."""

    @classmethod
    def frombuf(cls, buf: t.Any, encoding: t.Any, errors: t.Any) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _NOTES and header.size > _MAX_NOTE:
            raise tarfile.ReadError(f"{header.name} has a header of {header.size} bytes")
        return header


def _tar_members(path: str, refusals: _Refusals) -> t.Iterator[_Member]:
    with gzip.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
        while True:
            header = archive.next()
            if header is None:
                break
            # tarfile keeps them all otherwise.
            archive.members.clear()  # type: ignore[attr-defined]
            if header.type == tarfile.DIRTYPE:
                continue
            if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or header.issparse():
                raise refusals("is neither a plain file nor a directory", header.name)
            reader = t.cast("t.IO[bytes]", archive.extractfile(header))
            yield _Member(header.name, header.size, _chunks(reader, header.size))
        # To the end, where gzip's checksum is.
        left = MAX_BYTES
        while left > 0:
            chunk = stream.read(_CHUNK)
            if not chunk:
                return
            left -= len(chunk)
        raise refusals(f"goes on for more than {MAX_BYTES} bytes after its end")


def _zip_members(path: str, refusals: _Refusals) -> t.Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() and kind in (0, stat.S_IFDIR):
                continue
            if kind not in (0, stat.S_IFREG) or info.is_dir():
                raise refusals("is neither a plain file nor a directory", info.filename)
            if info.orig_filename != info.filename:
                raise refusals("has a name that is unclean or leads elsewhere", repr(info.orig_filename))
            with archive.open(info) as reader:
                yield _Member(info.filename, info.file_size, _chunks(reader, info.file_size))


def _chunks(reader: t.IO[bytes], size: int) -> t.Iterator[bytes]:
    left = size
    while left:
        chunk = reader.read(min(_CHUNK, left))
        if not chunk:
            raise EOFError(f"it ends {left} bytes early")
        left -= len(chunk)
        yield chunk
    # A zip's CRC is looked at when its end is read.
    if reader.read(1):
        raise ValueError("a file is longer than its header says")
