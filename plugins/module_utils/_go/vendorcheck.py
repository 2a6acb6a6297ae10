# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A vendor directory that isn't ours against its modules.txt, the project's go.mod and go.sum, and the zips of its modules.

The format of modules.txt is cmd/go/internal/modload/vendor.go's. Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import typing as t

from .._base.accounts import Account, acting_as
from .._base.errors import ModuleRefused, ProjectDirty, SpecInvalid
from .._base.files import remove_tree, replacing
from .._base.findings import Comparison, Finding, Mend, Want, look, take_stock
from .._base.workers import in_processes
from . import gosum
from .escape import is_exact
from .h1 import archive_h1
from .modzip import ModuleZip
from .vendorrules import copied

_GO_LINE = re.compile(r"^go[ \t]+(\d+)\.(\d+)", re.MULTILINE)
_REQUIRE = re.compile(r"^(?:require[ \t]+)?(\S+)[ \t]+(v\S+)[ \t]*(?://.*)?$")


@dataclasses.dataclass
class Vendored:
    """A module of modules.txt. ``source``: whose zip it's copied from, (path, version); the version is "" for a directory."""

    path: str
    version: str
    source: tuple[str, str]
    explicit: bool = False
    packages: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class VendorSeen:
    """``unproved``: path@version of modules without a zip that is right, whose files weren't checked; ``read``: bytes."""

    findings: list[Finding]
    unproved: list[str]
    modules: int
    read: int


def parse_modules(text: str) -> tuple[list[Vendored], bool]:
    """The modules of a modules.txt, and whether a workspace's ``go work vendor`` wrote it."""
    modules: dict[tuple[str, str], Vendored] = {}
    now: t.Optional[Vendored] = None
    workspace = False
    for line in text.split("\n"):
        fields = line.split()
        if line.startswith("# ") and len(fields) >= 3:
            now = None
            version, rest = (fields[2], fields[3:]) if is_exact(fields[2]) else ("", fields[2:])
            if not version and fields[2] != "=>":
                continue
            source = (fields[1], version)
            if len(rest) >= 2 and rest[0] == "=>":
                source = (rest[1], rest[2] if len(rest) > 2 else "")
            now = modules.setdefault((fields[1], version), Vendored(fields[1], version, source))
            now.source = source
        elif line.startswith("## "):
            marks = [mark.strip() for mark in line[3:].split(";")]
            workspace = workspace or "workspace" in marks
            if now is not None:
                now.explicit = now.explicit or "explicit" in marks
        elif now is not None and len(fields) == 1 and not line.startswith("#"):
            now.packages.append(fields[0])
    return list(modules.values()), workspace


def check_vendor(project: str, zip_of: t.Callable[[str, str], str], workers: int = 1) -> VendorSeen:
    """Examine ``project``/vendor.

    :param project: the directory of a go.mod (or go.work) and its vendor directory.
    :param zip_of: where a module version's zip may be; it's used only when it is what go.sum says.
    :param workers: processes that read zips.
    :raises SpecInvalid: there is no go.mod, or no vendor directory.
    """
    top = os.path.join(project, "vendor")
    gomod = _text(os.path.join(project, "go.mod"))
    if (not gomod and not os.path.exists(os.path.join(project, "go.work"))) or not os.path.isdir(top):
        raise SpecInvalid(f"{project} has no go.mod with a vendor directory beside it", subject=project, hint="name a project's own directory")
    found, _size = look(top, {}, hashed=False)
    if found is not None and found.kind != "directory":
        # What it leads to may be other projects' as well: no place to write to, or to remove from.
        return VendorSeen([Finding("vendor", project, top, "changed", "a directory", str(found))], [], 0, 0)
    listed = os.path.join(top, "modules.txt")
    if not os.path.isfile(listed):
        return VendorSeen([Finding("vendor", project, listed, "missing")], [], 0, 0)
    modules, workspace = parse_modules(_text(listed))
    findings = [] if workspace else _against_gomod(project, listed, gomod, modules)
    sums = _sums(project)
    version = _go_version(gomod)
    wanted: dict[str, Want] = {"modules.txt": Want("")}
    mends: dict[str, Mend] = {}
    unproved: list[str] = []
    ignore: set[str] = set()
    read = 0
    copied_from = [module for module in modules if module.packages]
    sources = [zip_of(*module.source) if module.source[1] else "" for module in copied_from]

    def finished(index: int, files: t.Optional[dict[str, tuple[str, str]]]) -> None:
        nonlocal read
        module = copied_from[index]
        if files is None:
            unproved.append(f"{module.path}@{module.version}")
            # Licences above its packages are its own too.
            ignore.add(module.path)
            return
        read += os.stat(sources[index]).st_size
        for name, (sha256, member) in files.items():
            wanted[name] = Want(sha256)
            mends[name] = ("vendor", os.path.join(top, name), sources[index], member)

    order = sorted(range(len(copied_from)), key=lambda index: -os.stat(sources[index]).st_size if sources[index] else 0)
    in_processes(lambda index: _expected(copied_from[index], sources[index], sums, version) if sources[index] else None, order, workers, finished)
    stock, size = take_stock(top, {})
    comparison = Comparison(
        top,
        -1,
        label=lambda _name: ("vendor", project),
        mend=lambda name: mends.get(name, ()),
        stray=lambda name: ("remove", os.path.join(top, name)),
        ignore=frozenset(ignore),
        # Who owns a project, and who may write to it, is its people's affair.
        rights=False,
    )
    findings += comparison.differences(wanted, stock)
    return VendorSeen(findings, sorted(unproved), len(modules), read + size)


def mend_files(source: str, files: t.Mapping[str, str], account: Account) -> None:
    """Write files of a vendor directory again, from a zip that ``check_vendor`` found right.

    :param files: path → the zip's member.
    :param account: whose they become, and whose rights must do; the zip itself may be one that only we can read.
    """
    with ModuleZip(source) as archive:
        members = {member.raw: member for member in archive.members}
        with acting_as(account):
            for dest, name in files.items():
                if os.path.isdir(dest) and not os.path.islink(dest):
                    remove_tree(dest)
                os.makedirs(os.path.dirname(dest), exist_ok=True)
                with replacing(dest) as stream:
                    for chunk in archive.chunks(members[name.encode("utf-8")]):
                        stream.write(chunk)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def _go_version(gomod: str) -> tuple[int, int]:
    match = _GO_LINE.search(gomod)
    # Workspaces that can be vendored are newer than both limits.
    return (int(match.group(1)), int(match.group(2))) if match else ((1, 16) if gomod else (1, 22))


def _sums(project: str) -> dict[gosum.Key, str]:
    sums: dict[gosum.Key, str] = {}
    for name in ("go.sum", "go.work.sum"):
        # One that can't be read proves nothing, so its modules are unproved.
        with contextlib.suppress(ProjectDirty, ModuleRefused):
            sums.update(gosum.parse(_text(os.path.join(project, name)), name))
    return sums


def _against_gomod(project: str, listed: str, gomod: str, modules: t.Sequence[Vendored]) -> list[Finding]:
    """Where modules.txt and go.mod disagree, as go itself checks it (checkVendorConsistency)."""
    required = _requirements(gomod)
    explicit = {module.path: module.version for module in modules if module.explicit}
    findings = []
    for path in sorted({*required, *explicit}):
        expected, found = required.get(path, ""), explicit.get(path, "")
        if expected != found:
            findings.append(Finding("vendor", project, listed, "changed", f"{path} {expected}".strip(), f"{path} {found}" if found else f"no {path}"))
    return findings


def _requirements(gomod: str) -> dict[str, str]:
    found = {}
    inside = False
    for raw in gomod.split("\n"):
        line = raw.strip()
        if re.match(r"require[ \t]*\(", line):
            inside = True
        elif inside and line == ")":
            inside = False
        elif inside or line.startswith(("require ", "require\t")):
            match = _REQUIRE.match(line)
            if match:
                found[match.group(1).strip('"')] = match.group(2).strip('"')
    return found


def _expected(module: Vendored, source: str, sums: t.Mapping[gosum.Key, str], version: tuple[int, int]) -> t.Optional[dict[str, tuple[str, str]]]:
    """path below vendor → (hex SHA-256, the zip's member); None where the zip isn't the one that go.sum knows."""
    name = "@".join(module.source)
    try:
        with ModuleZip(source) as archive:
            if archive_h1(archive) != sums.get(module.source):
                return None
            members = dict(archive.files_below(f"{name}/"))

            def read(path: str) -> bytes:
                return b"".join(archive.chunks(members[path]))

            files = frozenset(members)
            paths: set[str] = set()
            for package in module.packages:
                below = package[len(module.path) + 1 :] if package != module.path else ""
                paths |= copied(below, files, read, version < (1, 17), version < (1, 22))
            return {f"{module.path}/{path}": (hashlib.sha256(read(path)).hexdigest(), f"{name}/{path}") for path in paths}
    except (ModuleRefused, OSError):
        return None
