# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which advisories of the Go vulnerability database affect a module version or a toolchain, by a copy that the user brings.

The layout (index/modules.json, ID/GO-….json) is that of https://go.dev/doc/security/vuln/database, an entry's format OSV's
(https://ossf.github.io/osv-schema/). Versions are compared; whether the vulnerable code is reached is govulncheck's question.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import json
import os
import re
import types
import typing as t
import zipfile

from .._base.errors import SpecInvalid
from .._content.lock import TOOLCHAIN
from .._go.proxytree import semver_key

# The database's names for what a toolchain brings: https://go.dev/doc/security/vuln/database#schema.
_OF_TOOLCHAINS = ("stdlib", "toolchain")

# index/modules.json of all advisories has under 1 MB, an entry under 100 kB.
_MAX_INDEX = 64 << 20
_MAX_ENTRY = 4 << 20

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_GO_RELEASE = re.compile(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?(?:(rc|beta)([0-9]+))?")

# An event is a version's key and introduced, fixed or last_affected; a range has its events in order.
_Event = t.Tuple[t.Tuple[t.Any, ...], str]
_Ranges = t.Optional[t.List[t.List[_Event]]]


class Advisories:
    """A database. A context manager; call it with a module and version.

    Entries are read when a module is asked about; what is kept of one is its ranges.

    :param path: its zip file, or the directory.
    :raises SpecInvalid: ``vulndb_damaged``: it's no such database.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._zip: t.Optional[zipfile.ZipFile] = None
        if not os.path.isdir(path):
            try:
                self._zip = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as exc:
                raise self._damaged("", f"it's neither a directory nor a zip file ({exc})") from None
        self._ids: dict[str, list[str]] = {}
        try:
            for module in self._document("index/modules.json", _MAX_INDEX):
                self._ids[str(module["path"])] = [_checked_id(str(entry["id"])) for entry in module["vulns"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise self._damaged("index/modules.json", f"{type(exc).__name__}: {exc}") from None
        self._known: dict[str, list[tuple[str, _Ranges]]] = {}

    def __enter__(self) -> Advisories:
        return self

    def __exit__(self, kind: t.Optional[type[BaseException]], value: t.Optional[BaseException], trace: t.Optional[types.TracebackType]) -> None:
        if self._zip:
            self._zip.close()

    def __call__(self, module: str, version: str) -> frozenset[str]:
        """The identifiers of what affects it.

        :param module: a module's path; lock.TOOLCHAIN for a Go release, which brings the standard library and the go command.
        :param version: canonical; of a toolchain like ``1.26.8``.
        :raises SpecInvalid: ``vulndb_damaged``.
        """
        if module == TOOLCHAIN:
            release = _semver_of_release(version)
            return frozenset().union(*(self._affecting(name, release) for name in _OF_TOOLCHAINS))
        return self._affecting(module, version)

    def _affecting(self, module: str, version: str) -> frozenset[str]:
        if module not in self._known:
            self._known[module] = [(name, ranges) for name in self._ids.get(module, ()) for ranges in self._ranges(name, module)]
        key = semver_key(version)
        return frozenset(name for name, ranges in self._known[module] if ranges is None or any(_within(key, events) for events in ranges))

    def _ranges(self, name: str, module: str) -> list[_Ranges]:
        """The ranges of each of an advisory's entries about a module; none when it was withdrawn."""
        file = f"ID/{name}.json"
        entry = self._document(file, _MAX_ENTRY)
        try:
            if entry.get("withdrawn"):
                return []
            return [_events_of(affected) for affected in entry["affected"] if affected["package"]["name"] == module]
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise self._damaged(file, f"{type(exc).__name__}: {exc}") from None

    def _document(self, name: str, limit: int) -> t.Any:
        try:
            with self._zip.open(name) if self._zip else open(os.path.join(self._path, name), "rb") as stream:
                content = stream.read(limit + 1)
            if len(content) > limit:
                raise ValueError(f"it has over {limit} bytes")
            return json.loads(content)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as exc:
            raise self._damaged(name, str(exc)) from None

    def _damaged(self, name: str, why: str) -> SpecInvalid:
        return SpecInvalid(
            f"the vulnerability database {self._path} can't be read: {name + ': ' if name else ''}{why}",
            code="vulndb_damaged",
            subject=self._path,
            found=why,
            hint="bring vulndb.zip of the Go vulnerability database, or the directory it unpacks to, which has index/modules.json",
        )


def _checked_id(name: str) -> str:
    """An advisory's identifier becomes a file name."""
    if not _ID.fullmatch(name):
        raise ValueError(f"{name!r} isn't an advisory's identifier")
    return name


def _events_of(affected: t.Mapping[str, t.Any]) -> _Ranges:
    """The SEMVER ranges of one entry, the events of each in order; None where there is no range: all versions are meant."""
    ranges = [each for each in affected.get("ranges") or [] if each["type"] == "SEMVER"]
    if not ranges:
        return None
    return [sorted(((_event_key(version), kind) for event in each["events"] for kind, version in event.items()), key=_event_order) for each in ranges]


def _event_key(version: str) -> tuple[t.Any, ...]:
    return semver_key("v" + version) if version != "0" else ()


def _event_order(event: _Event) -> tuple[t.Any, ...]:
    # OSV: at one version, the end of one stretch comes before the beginning of the next.
    return event[0], event[1] == "introduced"


def _within(version: tuple[t.Any, ...], events: t.Sequence[_Event]) -> bool:
    """OSV's algorithm: the last event that isn't after the version decides."""
    affected = False
    for key, kind in events:
        if kind == "introduced" and version >= key:
            affected = True
        elif (kind == "fixed" and version >= key) or (kind == "last_affected" and version > key):
            affected = False
    return affected


def _semver_of_release(version: str) -> str:
    """``1.21rc2`` as the database writes it: ``v1.21.0-rc.2``."""
    match = _GO_RELEASE.fullmatch(version)
    if match is None:
        raise SpecInvalid(f"{version!r} isn't a Go release", subject=version, expected="such as 1.26.8")
    major, minor, patch, kind, number = match.groups()
    return f"v{major}.{minor}.{patch or 0}" + (f"-{kind}.{number}" if kind else "")
