# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module file in hand against go.sum, and against the checksum database's records.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._base.errors import ModuleRefused
from . import gosum
from .snapshotcheck import Record
from .store import Key, ModuleStore, Version


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A file whose h1 isn't what it must be, and who says so."""

    key: Key
    expected: str
    found: str
    says: str


def check_sums(store: ModuleStore, sums: t.Mapping[gosum.Key, str], says: str = "go.sum", code: str = "") -> None:
    """Compare every zip and go.mod that a go.sum names.

    :param says: how to call what has the sums; a lock has some too.
    :param code: the refusal's; ModuleRefused's own otherwise.
    :raises ModuleRefused: some are wrong or can't be read; all of them are in ``details``, and a rerun fetches them anew.
    """
    wrong = []
    for key in sorted(store.files):
        module, version, ext = key
        expected = sums.get((module, version + "/go.mod" if ext == "mod" else version), "")
        found = expected
        if ext == "zip":
            try:
                found = store.zip(module, version).h1
            except ModuleRefused as exc:
                found = exc.message
                expected = expected or "a sound zip"
        elif ext == "mod":
            found = store.gomod_h1(module, version)
        if expected and found != expected:
            wrong.append(Wrong(key, expected, found, says))
    _refuse(store, wrong, code)


def check_records(store: ModuleStore, records: t.Mapping[Version, Record]) -> None:
    """Compare every file that the checksum database has a proved record of; what go.sum names too.

    :raises ModuleRefused: as ``check_sums``.
    """
    wrong = []
    for (module, version), record in records.items():
        for ext, expected in record.lines.items():
            if (module, version, ext) in store.files:
                found = store.zip(module, version).h1 if ext == "zip" else store.gomod_h1(module, version)
                if found != expected:
                    wrong.append(Wrong((module, version, ext), expected, found, "the checksum database"))
    _refuse(store, wrong)


def check_lines(store: ModuleStore, sums: t.Mapping[gosum.Key, str], records: t.Mapping[Version, Record]) -> None:
    """Compare every line of a go.sum with the record of its version, where the line's file isn't in hand for the other checks.

    :raises ModuleRefused: some disagree; all of them are in ``details``.
    """
    details = []
    for (module, version), record in sorted(records.items()):
        for ext, expected in record.lines.items():
            found = sums.get((module, version + "/go.mod" if ext == "mod" else version), expected)
            if found != expected and (module, version, ext) not in store.files:
                what = f"{module}@{version}" + ("" if ext == "zip" else "/go.mod")
                details.append({"what": what, "module": module, "version": version, "file": ext, "expected": expected, "found": found})
    if details:
        lines = "; ".join(f"{entry['what']} has {entry['found']}, but the checksum database says {entry['expected']}" for entry in details)
        raise ModuleRefused(
            f"{len(details)} line{'s' if len(details) > 1 else ''} of go.sum with a wrong hash: {lines}",
            subject=details[0]["what"],
            expected=details[0]["expected"],
            found=details[0]["found"],
            hint="somebody changed go.sum, or wrote it from a module that was changed: find out which, then restore it with `go mod tidy`",
            details=details,
        )


def verified_by(version: Version, zipped: bool, sums: t.Mapping[gosum.Key, str], records: t.Mapping[Version, Record]) -> str:
    """Who vouches for a version: ``go.sum``, ``sumdb``, or ``go`` for what was had from a private place and nobody else knows."""
    module, number = version
    if (module, number if zipped else number + "/go.mod") in sums:
        return "go.sum"
    return "sumdb" if version in records else "go"


def _refuse(store: ModuleStore, wrong: t.Sequence[Wrong], code: str = "") -> None:
    if not wrong:
        return
    details = []
    for entry in wrong:
        module, version, ext = entry.key
        details.append(
            {
                "what": f"{module}@{version}" + ("" if ext == "zip" else "/go.mod"),
                "module": module,
                "version": version,
                "file": ext,
                "expected": entry.expected,
                "found": entry.found,
                "says": entry.says,
                "required_by": store.required_by((module, version)),
            }
        )
        # A rerun must not meet the same bytes again.
        store.discard(entry.key)
    lines = "; ".join(
        f"{entry['what']} has {entry['found']}, but {entry['says']} says {entry['expected']}"
        f" (required by {', '.join(t.cast('list[str]', entry['required_by'])) or 'what an earlier generation carried'})"
        for entry in details
    )
    raise ModuleRefused(
        f"{len(details)} file{'s' if len(details) > 1 else ''} with a wrong hash: {lines}",
        code=code,
        subject=str(details[0]["what"]),
        expected=str(details[0]["expected"]),
        found=str(details[0]["found"]),
        hint="somebody changed the module after its hash was written, or the proxy is broken: don't use it before you know which",
        details=details,
    )
