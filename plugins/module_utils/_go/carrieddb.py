# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checksum database that travels with a set: which of its modules are public, and a snapshot of their records.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._base.errors import FetchFailed
from .._base.files import remove_tree
from .._base.progress import Reporter
from . import gosum
from .goproxy import ABSENT, matches
from .hashcheck import check_lines
from .snapshotcheck import Record
from .store import Key, ModuleStore, Version
from .sumdb import Snapshot, parse_gosumdb


@dataclasses.dataclass(frozen=True)
class Earlier:
    """What went to hosts before: the newest snapshot's directory, the sizes of all heads, and all versions with a record.

    The newest snapshot also serves hosts that went back to an older generation, so it knows all that was ever carried.
    """

    directory: t.Optional[str] = None
    heads: tuple[int, ...] = ()
    public: frozenset[Version] = frozenset()


@dataclasses.dataclass(frozen=True)
class CarriedDatabase:
    """A finished snapshot: the proved ``records``, and ``head`` as a generation's config says it ({} when GOSUMDB is off, or when nothing needs it).

    ``absent``: how the database said that it doesn't know some of the versions, which go.sum has to vouch for then.
    """

    records: t.Mapping[Version, Record]
    head: t.Mapping[str, t.Any]
    warnings: tuple[str, ...] = ()
    absent: t.Optional[FetchFailed] = None


def without_url(gosumdb_setting: str) -> str:
    """GOSUMDB for those who have a snapshot: with a URL of its own the go command would go by no proxy."""
    if not parse_gosumdb(gosumdb_setting).url:
        return gosumdb_setting
    return parse_gosumdb(gosumdb_setting).key


def carry(
    store: ModuleStore,
    versions: t.Collection[Version],
    sums: t.Mapping[gosum.Key, str],
    gosumdb_setting: str,
    nosumdb: str,
    directory: str,
    earlier: t.Callable[[str], Earlier],
    connections: int,
    reporter: Reporter,
) -> CarriedDatabase:
    """Write the snapshot for all public modules of ``versions`` into ``directory``, as it's called below sumdb/ in a GOPROXY.

    ``store`` may still be getting them: what go.sum has to vouch for is to be looked at again (``refuse_unvouched``) when all is there.

    :param gosumdb_setting: GOSUMDB. ``nosumdb``: GONOSUMDB, whose modules the database is not asked about.
    :param earlier: what went to hosts before, by the database's name.
    :raises FetchFailed: the database doesn't answer, or doesn't know a module that no go.sum vouches for either.
    :raises ModuleRefused: it lies, or a go.sum disagrees with it.
    """
    name, key, _url = parse_gosumdb(gosumdb_setting)
    if not name:
        return CarriedDatabase({}, {}, ("GOSUMDB is off here, so no checksum database travels: hosts can't verify new modules or switch toolchains with it",))
    before = earlier(name)
    if not (versions or before.heads):
        # Files alone: nothing that a database could vouch for, on hosts that have seen none.
        return CarriedDatabase({}, {})
    public = sorted(version for version in {*versions, *before.public} if not matches(nosumdb, version[0]))
    dest = os.path.join(directory, name)
    stage = reporter.stage("gather: checksum database")
    done = [0, 0]

    def advance(now_done: int, total: int) -> None:
        stage.expect(total - done[1])
        stage.advance(now_done - done[0])
        done[:] = [now_done, total]

    def build(versions: t.Sequence[Version]) -> CarriedDatabase:
        remove_tree(dest)
        os.makedirs(dest)
        done[:] = [0, 0]
        snapshot = Snapshot(dest, key, lambda path: store.sumdb(f"{name}/{path}", patient=True), connections, before.directory)
        records = snapshot.build(versions, before.heads, advance)
        check_lines(store, sums, records)
        return CarriedDatabase(records, {"name": name, "size": snapshot.tree_size, "older": sorted({*before.heads, snapshot.tree_size})})

    try:
        return build(public)
    except FetchFailed as exc:
        unknown = _unknown(exc)
        if not unknown or len(unknown) < len(exc.details) or not all(_vouched(version, sums, store.files) for version in unknown):
            raise
        absent = exc
    # What go.sum vouches for and the database doesn't know is private, whatever GOPRIVATE says.
    built = build([version for version in public if version not in unknown])
    names = ", ".join("@".join(version) for version in sorted(unknown))
    return dataclasses.replace(
        built, warnings=(f"the checksum database doesn't know {names}: go.sum alone vouches for them; set GOPRIVATE for such modules",), absent=absent
    )


def refuse_unvouched(store: ModuleStore, sums: t.Mapping[gosum.Key, str], database: CarriedDatabase) -> None:
    """Look again at what the database doesn't know, now that ``store`` has all files: which zips are needed is known later than which versions.

    :raises FetchFailed: what the database said, where no go.sum has the hash of some file.
    """
    if database.absent and not all(_vouched(version, sums, store.files) for version in _unknown(database.absent)):
        raise database.absent


def _unknown(failure: FetchFailed) -> set[Version]:
    return {(str(entry["module"]), str(entry["version"])) for entry in failure.details if entry.get("module") and entry.get("status") in ABSENT}


def _vouched(version: Version, sums: t.Mapping[gosum.Key, str], files: t.Container[Key]) -> bool:
    """Whether go.sum knows a version, and has the hash of each of its ``files``: that of a go.mod says nothing of a zip."""
    lines = {"zip": version, "mod": (version[0], version[1] + "/go.mod")}
    return any(line in sums for line in lines.values()) and all(line in sums for ext, line in lines.items() if (*version, ext) in files)
