# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the disk against what should be there: file by file, links never followed, each difference by name.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import stat
import typing as t

from .files import CHUNK

#: What a finding can be about, in the order in which findings are told: what others are made of comes first.
KINDS = ("blob", "tree", "project", "vendor", "toolchain", "modcache", "link")
PROBLEMS = ("changed", "missing", "stray", "mode", "owner")

#: (device, inode) → hex SHA-256 of files that were read already under another name.
Known = t.Mapping[t.Tuple[int, int], str]

Mend = t.Tuple[str, ...]

# What the system says of a sector or a file that the disk or its file system has lost.
_LOST = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG})


@dataclasses.dataclass(frozen=True)
class Finding:
    """One difference. ``subject``: the blob, module, project or generation; ``path``: absolute; ``mend``: what would set it right, a verb and its
    objects, empty where that's for a person to decide."""

    kind: str
    subject: str
    path: str
    problem: str
    expected: str = ""
    found: str = ""
    mend: Mend = ()

    @property
    def order(self) -> tuple[int, str, str, int]:
        return KINDS.index(self.kind), self.subject, self.path, PROBLEMS.index(self.problem)

    def public(self) -> dict[str, str]:
        """As modules return it."""
        return {
            "kind": self.kind,
            "subject": self.subject,
            "path": self.path,
            "problem": self.problem,
            "expected": self.expected,
            "found": self.found,
        }


class Found(t.NamedTuple):
    """One name below a directory. ``kind``: file, directory, link or other; ``sha256``: hex, "" for what is no file or can't be read; ``target``: a link's."""

    kind: str
    sha256: str
    mode: int
    uid: int
    target: str = ""

    def __str__(self) -> str:
        return {"link": f"a link to {self.target}", "directory": "a directory", "file": "a file"}.get(self.kind, "neither a file nor a directory")


class Want(t.NamedTuple):
    """A file that should be there, or with ``target`` a link."""

    sha256: str
    mode: int = 0o444
    target: str = ""


def look(path: str, known: Known, hashed: bool = True) -> tuple[t.Optional[Found], int]:
    """What is at ``path``, and how many bytes were read to know; None for nothing."""
    try:
        seen = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None, 0
    mode = stat.S_IMODE(seen.st_mode)
    if stat.S_ISLNK(seen.st_mode):
        return Found("link", "", mode, seen.st_uid, os.readlink(path)), 0
    if stat.S_ISDIR(seen.st_mode):
        return Found("directory", "", mode, seen.st_uid), 0
    if not stat.S_ISREG(seen.st_mode):
        return Found("other", "", mode, seen.st_uid), 0
    sha256 = known.get((seen.st_dev, seen.st_ino), "")
    if sha256 or not hashed:
        return Found("file", sha256, mode, seen.st_uid), 0
    return Found("file", hash_file(path), mode, seen.st_uid), seen.st_size


def hash_file(path: str) -> str:
    """A regular file's SHA-256; "" where this account may not read it, or its disk can't."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            digest = hashlib.sha256()
            while True:
                chunk = os.read(descriptor, CHUNK)
                if not chunk:
                    return digest.hexdigest()
                digest.update(chunk)
        finally:
            os.close(descriptor)
    except PermissionError:
        return ""
    except OSError as exc:
        # One bad sector is one file's difference, not the end of all reading.
        if exc.errno not in _LOST:
            raise
        return ""


def take_stock(top: str, known: Known, hashed: bool = True) -> tuple[dict[str, Found], int]:
    """Everything below ``top`` by its path relative to it, links not followed; and how many bytes were read."""
    stock: dict[str, Found] = {}
    read = 0

    def below(directory: str, prefix: str) -> int:
        count = 0
        try:
            names = sorted(os.listdir(directory))
        except PermissionError:
            return 0
        for name in names:
            path = directory + "/" + name
            found, size = look(path, known, hashed)
            if found is None:
                continue
            count += size
            stock[prefix + name] = found
            if found.kind == "directory":
                count += below(path, prefix + name + "/")
        return count

    if os.path.isdir(top) and not os.path.islink(top):
        read = below(top, "")
    return stock, read


@dataclasses.dataclass
class Comparison:
    """How a directory is compared, and what its differences are called.

    ``label``: relative path → (kind, subject); ``mend``: relative path → what sets right what is changed or missing;
    ``stray``: the same for what shouldn't be there. ``directory_mode``: that of all directories below ``top``, None for any.
    ``ignore``: relative paths of which nothing is known, so that neither they nor anything below them is stray.
    ``empty``: directories that may be there without a file in them. ``rights``: whether modes and owners are compared.
    """

    top: str
    owner: int
    label: t.Callable[[str], tuple[str, str]]
    mend: t.Callable[[str], Mend]
    stray: t.Callable[[str], Mend]
    directory_mode: t.Optional[int] = None
    ignore: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()
    rights: bool = True

    def path(self, name: str) -> str:
        return os.path.join(self.top, name) if name else self.top

    def differences(self, wanted: t.Mapping[str, Want], stock: t.Mapping[str, Found]) -> list[Finding]:
        """What is changed, missing, stray, or has another mode or owner than it should."""
        directories = {"", *self.empty}
        for name in wanted:
            while name:
                name = name.rpartition("/")[0]
                directories.add(name)
        findings: list[Finding] = []
        for name, want in wanted.items():
            findings += self._difference(name, want, stock.get(name))
        for name, found in stock.items():
            if name in wanted:
                continue
            if name not in directories:
                # Of a directory that shouldn't be there its topmost name says it all.
                above = name.rpartition("/")[0]
                if above in directories and not self._ignored(name):
                    findings.append(self._finding(name, "stray", found="" if found.kind == "file" else str(found), mend=self.stray(name)))
            elif found.kind != "directory":
                findings.append(self._finding(name, "changed", "a directory", str(found), ("remove", self.path(name))))
            else:
                findings += self._rights(name, found, self.directory_mode)
        return findings

    def _ignored(self, name: str) -> bool:
        return any(name == ignored or name.startswith(ignored + "/") or ignored.startswith(name + "/") for ignored in self.ignore)

    def _finding(self, name: str, problem: str, expected: str = "", found: str = "", mend: Mend = ()) -> Finding:
        kind, subject = self.label(name)
        return Finding(kind, subject, self.path(name), problem, expected, found, mend)

    def _difference(self, name: str, want: Want, found: t.Optional[Found]) -> list[Finding]:
        if found is None:
            return [self._finding(name, "missing", mend=self.mend(name))]
        if want.target:
            if found.target != want.target:
                return [self._finding(name, "changed", f"a link to {want.target}", str(found), self.mend(name))]
            return self._rights(name, found, None)
        if found.kind != "file":
            return [self._finding(name, "changed", "a file", str(found), self.mend(name))]
        findings = self._rights(name, found, want.mode)
        # What can't be read has a finding for its mode or owner already.
        if want.sha256 and found.sha256 != want.sha256 and (found.sha256 or not findings):
            findings.insert(0, self._finding(name, "changed", want.sha256, found.sha256 or "can't be read", self.mend(name)))
        return findings

    def _rights(self, name: str, found: Found, mode: t.Optional[int]) -> list[Finding]:
        findings: list[Finding] = []
        if not self.rights:
            return findings
        if mode is not None and found.mode != mode:
            path = self.path(name)
            findings.append(self._finding(name, "mode", f"{mode:04o}", f"{found.mode:04o}", ("mode", path, f"{mode:o}")))
        if found.uid != self.owner:
            findings.append(self._finding(name, "owner", str(self.owner), str(found.uid), ("owner", self.path(name), str(self.owner))))
        return findings
