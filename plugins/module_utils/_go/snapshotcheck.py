# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a checksum database's snapshot proves what it says: its head's signature, each record, each older head.

Used where a snapshot was made and where it arrives. What a snapshot is stands in sumdb.py, the arithmetic in tlog.py. All that is
there must be needed for a proof, so no bit of a snapshot can change unseen; and all that a client asks for must be there.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .._base.errors import ModuleRefused, SpecInvalid
from .escape import unescape_path, unescape_version
from .gosum import is_h1
from .tlog import CONTROL, FULL, Head, Tile, cuts_for, edge, hash_in, parent, parse_head, read_key, record_hash, refused, subtree_hash, tiles_for, tree_hash

#: The files and directories of a snapshot.
LATEST, LOOKUP, SUPPORTED, TILE = PARTS = ("latest", "lookup", "supported", "tile")

_RECORD = re.compile(rb"(?P<id>[0-9]{1,18})\n(?P<text>(?:[^\n]+\n)+)\n")

Key = t.Tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Record:
    """What the database says of one module version: ``id`` is its number in the log, ``lines`` has the h1 of the ``zip`` and of
    the go.mod (``mod``)."""

    module: str
    version: str
    id: int
    lines: t.Mapping[str, str]


class Checked(t.NamedTuple):
    """A snapshot that proves itself: its head, and its records by (module, version)."""

    head: Head
    records: dict[Key, Record]


def parse_lookup(answer: bytes, module: str, version: str) -> tuple[Record, bytes, bytes]:
    """Read what a database (or a snapshot) answers to a lookup.

    :returns: the record; its text, as it's hashed; the signed head after it. Nothing is proved yet.
    :raises ModuleRefused: it's malformed, or says nothing, or two things, about this version.
    """
    subject = f"{module}@{version}"
    match = _RECORD.match(answer)
    text = match.group("text") if match else b""
    try:
        rows = [line.split(" ") for line in text.decode("utf-8").split("\n")[:-1]]
    except UnicodeDecodeError:
        rows = []
    if not match or not rows or CONTROL.search(text):
        raise refused(f"the checksum database's answer for {subject}", "is no record", found=repr(answer[:80]))
    lines: dict[str, str] = {}
    for row in rows:
        what = {version: "zip", version + "/go.mod": "mod"}.get(row[1]) if len(row) == 3 and row[0] == module else None
        if what and is_h1(row[2]) and lines.setdefault(what, row[2]) != row[2]:
            raise refused(f"the checksum database's record of {subject}", "gives two hashes for one thing", expected=lines[what], found=row[2])
    if len(lines) != 2:
        raise refused(
            f"the checksum database's answer for {subject}",
            "doesn't give the hashes of its zip and go.mod",
            found=text[:200].decode("utf-8", "replace").strip(),
        )
    return Record(module, version, int(match.group("id")), lines), text, answer[match.end() :]


def forked(name: str, head: Head, found: bytes) -> ModuleRefused:
    """Of a signed head whose records hash to ``found`` in the files of another signed head."""
    return refused(
        f"checksum database {name}",
        f"has two histories: a signed head says one thing about its first {head.size} records, newer files say another",
        expected=head.hash.hex(),
        found=found.hex(),
        hint="somebody lies, the database or what stands between: take nothing, and keep both for the database's owner",
    )


def files_below(directory: str) -> t.Iterator[tuple[str, bytes]]:
    """A snapshot's files in a directory, as ``check`` wants them."""
    paths = [part for part in (LATEST, SUPPORTED) if os.path.lexists(os.path.join(directory, part))]
    for part in (LOOKUP, TILE):
        for at, _directories, names in os.walk(os.path.join(directory, part)):
            below = os.path.relpath(at, directory)
            paths += [f"{below}/{name}" for name in names]
    for path in sorted(paths):
        with open(os.path.join(directory, path), "rb") as stream:
            yield path, stream.read()


def check(
    files: t.Iterable[tuple[str, bytes]],
    key: str,
    *,
    older: t.Collection[int] = (),
    known: t.Iterable[Head] = (),
    origin: t.Callable[[str], str] = str,
    hint: str = "",
) -> Checked:
    """Prove a snapshot, in one pass and the memory of a few tiles and all records.

    :param files: (path below ``sumdb/<name>``, content) of each, sorted by path.
    :param key: the database's public key, ``name+hash+key``.
    :param older: sizes of all the heads that it says clients may have seen; its own may be among them.
    :param known: heads that were seen here. Those that are newer than the snapshot's don't matter.
    :param origin: how to call a file in an error.
    :param hint: what to do about an error.
    :raises ModuleRefused: it isn't signed with this key; a record, a tile or the way from an older head is missing, wrong or has
        no business there; ``subject`` names it.
    :raises SpecInvalid: the key is malformed.
    :raises ToolMissing: there is no Ed25519 here.
    """
    checking = _Check(key, older, origin, hint)
    for path, content in files:
        checking.add(path, content)
    return checking.finish(known)


class _Leaf(t.NamedTuple):
    """A record that a tile is to vouch for."""

    id: int
    hash: bytes
    text: bytes
    path: str
    record: Record


class _Check:
    """One pass. Hashes are collected in whatever order the tiles come, and compared from the top down at the end."""

    def __init__(self, key: str, older: t.Collection[int], origin: t.Callable[[str], str], hint: str) -> None:
        self._name = read_key(key)[0]
        self._key = key
        self._older = older
        self._origin = origin
        self._hint = hint
        self._head: t.Optional[Head] = None
        self._supported = False
        self._leaves: list[_Leaf] = []
        self._by_tile: dict[int, list[_Leaf]] = {}
        self._wrong: list[_Leaf] = []
        # What is to come (None until the first tile: by then all records must be known), by path.
        self._awaited: t.Optional[dict[str, Tile]] = None
        self._needed: set[Tile] = set()
        self._cuts: dict[Tile, list[Tile]] = {}
        self._below: dict[Tile, list[Tile]] = {}
        self._tied: set[tuple[int, int]] = set()
        # What came: the sums of full tiles, and what their parents say; the data of those that are needed whole.
        self._sums: dict[Tile, bytes] = {}
        self._expected: dict[Tile, bytes] = {}
        self._kept: dict[tuple[int, int], bytes] = {}
        self._cut_data: dict[Tile, bytes] = {}
        self._cut_expected: dict[Tile, bytes] = {}

    def _refuse(self, subject: str, what: str, **more: t.Any) -> ModuleRefused:
        return refused(subject, what, **{"hint": self._hint, **more})

    def add(self, path: str, content: bytes) -> None:
        part = path.partition("/")[0]
        if part == TILE and self._head is not None:
            self._tile(path, content)
        elif path == LATEST and self._head is None:
            self._head = parse_head(content, self._key, self._origin(path))
        elif part == LOOKUP and self._head is not None and self._awaited is None:
            self._lookup(self._head, path, content)
        elif path == SUPPORTED and not content and not self._supported:
            self._supported = True
        else:
            raise self._refuse(self._origin(path), "has no business in a snapshot, or not at this place or with this content")

    def _lookup(self, head: Head, path: str, content: bytes) -> None:
        module, _at, version = path[len(LOOKUP) + 1 :].rpartition("@")
        try:
            key = unescape_path(module), unescape_version(version)
        except SpecInvalid as exc:
            raise self._refuse(self._origin(path), f"has no business in a snapshot: {exc.message}") from None
        try:
            record, text, note = parse_lookup(content, *key)
        except ModuleRefused as exc:
            raise self._refuse(self._named(*key, path), f"can't be read: {exc.message}", expected=exc.expected, found=exc.found) from None
        if note != head.note:
            raise self._refuse(self._named(*key, path), "doesn't end in the snapshot's head", expected=repr(head.note[:80]), found=repr(note[:80]))
        if not content.startswith(b"%d\n" % record.id):
            raise self._refuse(self._named(*key, path), "writes its number in another way than the database", expected=str(record.id))
        if record.id >= head.size:
            raise beyond(self._named(*key, path), record.id, head.size, self._hint)
        leaf = _Leaf(record.id, record_hash(text), text, path, record)
        self._leaves.append(leaf)
        self._by_tile.setdefault(record.id // FULL, []).append(leaf)

    def _named(self, module: str, version: str, path: str) -> str:
        return f"{module}@{version} in {self._origin(path)}"

    def _plan(self, head: Head) -> dict[str, Tile]:
        ahead = [size for size in self._older if not 0 <= size <= head.size]
        if ahead:
            raise self._refuse(
                f"the head of {self._origin(LATEST)}",
                f"has {head.size} records, fewer than the {max(ahead)} of one that it is to lead on from",
                expected=str(max(ahead)),
                found=str(head.size),
            )
        self._needed = tiles_for(head.size, [leaf.id for leaf in self._leaves], self._older)
        self._cuts = cuts_for(head.size, self._older)
        self._tied = {(tile.level, tile.number) for size in self._older for tile in edge(size)}
        for tile in self._needed:
            if tile.width == FULL:
                self._below.setdefault(parent(head.size, tile), []).append(tile)
        return {tile.path: tile for tile in [*self._needed, *(cut for cuts in self._cuts.values() for cut in cuts)]}

    def _tile(self, path: str, data: bytes) -> None:
        if self._head is None:
            raise AssertionError("the head comes before any tile")
        if self._awaited is None:
            self._awaited = self._plan(self._head)
        tile = self._awaited.pop(path, None)
        if tile is None:
            raise self._refuse(self._origin(path), "has no business in the snapshot: no proof asks for it")
        if len(data) != tile.bytes:
            raise self._refuse(self._origin(path), "has the wrong length", expected=f"{tile.bytes} bytes", found=f"{len(data)} bytes")
        if tile not in self._needed:
            self._cut_data[tile] = data
            return
        if tile.width == FULL:
            self._sums[tile] = subtree_hash(data)
        if tile.width < FULL or (tile.level, tile.number) in self._tied:
            self._kept[(tile.level, tile.number)] = data
        for child in self._below.get(tile, ()):
            self._expected[child] = hash_in(data, child.number % FULL)
        for cut in self._cuts.get(tile, ()):
            self._cut_expected[cut] = data[: cut.bytes]
        if tile.level == 0:
            self._wrong += [leaf for leaf in self._by_tile.get(tile.number, ()) if hash_in(data, leaf.id % FULL) != leaf.hash]

    def finish(self, known: t.Iterable[Head]) -> Checked:
        head = self._head
        if head is None or not self._supported:
            absent = LATEST if head is None else SUPPORTED
            raise self._refuse(self._origin(absent), "is missing, and without it there is no snapshot")
        awaited = self._plan(head) if self._awaited is None else self._awaited
        if awaited:
            more = f" (and {len(awaited) - 1} more)" if len(awaited) > 1 else ""
            raise self._refuse(self._origin(min(awaited)), f"is missing{more}: without it a client can't prove what the snapshot has")
        self._compare(head)
        for other in known:
            self._tie(head, other)
        if self._wrong:
            raise self._not_in_log(head)
        return Checked(head, {(leaf.record.module, leaf.record.version): leaf.record for leaf in self._leaves})

    def _compare(self, head: Head) -> None:
        """The edge has no other proof than all of it together, so which tile of it is wrong can't be told."""
        tiles = edge(head.size)
        if tree_hash(head.size, self._beginning) != head.hash:
            names = ", ".join(self._origin(tile.path) for tile in tiles) or self._origin(LATEST)
            raise self._refuse(names, f"together don't hash to the head with {head.size} records", expected=head.hash.hex())
        for tile in sorted(self._sums, reverse=True):
            if self._sums[tile] != self._expected[tile]:
                raise self._refuse(
                    self._origin(tile.path),
                    f"doesn't hash to what the head with {head.size} records says",
                    expected=self._expected[tile].hex(),
                    found=self._sums[tile].hex(),
                )
        for tile, data in self._cut_data.items():
            if data != self._cut_expected[tile]:
                raise self._refuse(self._origin(tile.path), "isn't the beginning of the tile that it grew into")

    def _beginning(self, tile: Tile) -> bytes:
        return self._kept[(tile.level, tile.number)]

    def _tie(self, head: Head, other: Head) -> None:
        if other.size > head.size:
            return
        if other.size < head.size and other.size not in self._older:
            raise self._refuse(
                f"the head of {self._origin(LATEST)}, with {head.size} records,",
                f"is not tied to an earlier one with {other.size}: clients that have seen that one would refuse it",
                expected=f"tiles that lead from {other.size} records to {head.size}",
                found=f"such for {', '.join(map(str, sorted(self._older))) or 'none'}",
            )
        found = head.hash if other.size == head.size else tree_hash(other.size, self._beginning)
        if found != other.hash:
            raise forked(self._name, other, found)

    def _not_in_log(self, head: Head) -> ModuleRefused:
        wrong = sorted(self._wrong, key=lambda leaf: leaf.path)
        first = wrong[0]
        more = f" (and {len(wrong) - 1} more are not what they say)" if len(wrong) > 1 else ""
        named = [(leaf, self._named(leaf.record.module, leaf.record.version, leaf.path)) for leaf in wrong]
        return self._refuse(
            named[0][1],
            f"isn't record {first.id} of the log with {head.size} records{more}",
            found=first.text.decode().strip(),
            details=[{"module": leaf.record.module, "version": leaf.record.version, "id": leaf.id, "path": leaf.path, "from": name} for leaf, name in named],
        )


def beyond(subject: str, number: int, size: int, hint: str = "") -> ModuleRefused:
    """Of a record whose number no head of ``size`` records can have."""
    return refused(subject, f"says it's record {number}, which no signed head has yet", expected=f"less than {size}", found=str(number), hint=hint)
