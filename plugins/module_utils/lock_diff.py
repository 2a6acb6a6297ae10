# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two locks compared, with licences and advisories where they're known.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ._base.errors import SpecInvalid
from ._content import lock as locks
from ._content import lockdiff
from ._content.earlier import EarlierGenerations
from ._depot.depot import Depot
from ._policy.advisories import Advisories
from ._policy.licences import Licences

#: (module, version) to the path of its zip, None where there is none.
ZipOf = t.Callable[[str, str], t.Optional[str]]


@dataclasses.dataclass(frozen=True)
class Compared:
    """``changes`` and the line for each; ``warnings``; ``before`` and ``after``: both locks' texts ("" for none)."""

    changes: t.Sequence[lockdiff.Change]
    words: t.Sequence[str]
    warnings: t.Sequence[str]
    before: str
    after: str


def compare_files(old: str, new: str, vulndb: str = "", depot: str = "") -> Compared:
    """Compare two lock files. There may be no ``old`` one: the first lock adds everything.

    :param vulndb: a copy of the Go vulnerability database, "" for none.
    :param depot: the directory where to look for zips, and in them for licences; "" for none.
    :raises SpecInvalid: there is no ``new`` lock or no such depot, or something can't be read.
    """
    after = locks.read(new)
    if after is None:
        raise SpecInvalid(f"there is no lock {new}", subject=new, hint="gather with lock set writes one")
    zip_of, warnings = _zips(depot) if depot else (None, [])
    compared = compare(locks.read(old), after, vulndb, zip_of)
    return dataclasses.replace(compared, warnings=[*warnings, *compared.warnings])


def _zips(path: str) -> tuple[ZipOf, list[str]]:
    """What finds the zips of all generations of a depot, and warnings about generations that can't be read."""
    depot = Depot(path)
    if not depot.exists():
        raise SpecInvalid(f"there is no depot {path}", subject=path, hint="leave depot out, or let it name the one that gather made")
    earlier = EarlierGenerations(depot)

    def zip_of(module: str, version: str) -> t.Optional[str]:
        held = earlier.held((module, version, "zip"))
        return held.path if held else None

    return zip_of, earlier.warnings


def compare(old: t.Optional[locks.Lock], new: locks.Lock, vulndb: str = "", zip_of: t.Optional[ZipOf] = None) -> Compared:
    """Compare two locks in memory.

    :param zip_of: (module, version) to the path of its zip, to look for its licence; None to leave licences out.
    :raises SpecInvalid: ``vulndb_damaged``.
    """
    licences = Licences(zip_of) if zip_of else None
    with contextlib.ExitStack() as stack:
        advisories = stack.enter_context(Advisories(vulndb)) if vulndb else lockdiff.no_advisories
        changes = lockdiff.difference(old or locks.Lock(), new, licences or lockdiff.no_licence, advisories)
    return Compared(
        changes,
        lockdiff.words(changes),
        licences.warnings if licences else [],
        locks.encode(old).decode() if old else "",
        locks.encode(new).decode(),
    )
