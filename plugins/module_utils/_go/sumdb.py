# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An offline snapshot of a Go checksum database: GOSUMDB stays on where there is no network.

A checksum database is a public log of what every version of every module hashes to. The go command asks it about each module
that go.sum doesn't know yet, and about each toolchain always. The log only grows, its *head* (how many records, and one
hash over all of them) is signed, and the go command takes a record only when hashes from the log's tiles lead from the record
to a signed head (tlog.py has that arithmetic). It also keeps the newest head that it has seen in $GOPATH/pkg/sumdb, and from then
on wants to see that this head and the next one are of one log.

All of that is static files, and below ``sumdb/<name>/`` of a GOPROXY tree the go command takes them from there:

    supported                        empty; says that the database is served here
    latest                           the signed head
    lookup/rsc.io/quote@v1.5.2       a record's number, its text (lines as in go.sum), a signed head
    tile/8/0/x123/456[.p/7]          256 hashes of 32 bytes each, or the first 7

Answers of the database itself end in whatever head was signed when that answer was made, so files saved as they come need
tiles of many heads, and those that a client happened to have cached are lacking. A snapshot therefore has one head, at least as new
as each of its records; each lookup file is rewritten to end in that head, which the signature allows because it covers the head
alone; and the tiles are those, no more and no less, which the go command reads to prove these records under that head, and to prove
that the heads which hosts saw before are earlier states of it. A host can't go back: a go command that remembers a newer head than
a snapshot's asks for tiles that the snapshot can't have. So hosts are served the newest snapshot that they have seen, whatever
else is rolled back, and a snapshot has the records of all that is still in use. Everything is proved here, before it travels.

Formats and rules: golang.org/x/mod/sumdb (client.go, note, tlog), cmd/go/internal/modfetch/sumdb.go,
https://go.dev/ref/mod#checksum-database and https://go.dev/design/25530-sumdb.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import re
import typing as t

from .._base.errors import AirgapError, FetchFailed, ModuleRefused, SpecInvalid
from .._base.files import remove_tree, temporary_sibling
from .escape import escape_path, escape_version
from .gosum import is_h1
from .tlog import (
    CONTROL,
    FULL,
    HASH_SIZE,
    Head,
    Tile,
    cuts_for,
    edge,
    hash_in,
    parent,
    parse_head,
    read_key,
    record_hash,
    refused,
    subtree_hash,
    tiles_for,
    tree_hash,
)

DEFAULT_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

#: Names that the go command knows: what they stand for in GOSUMDB.
_KNOWN = {"sum.golang.org": DEFAULT_KEY}
_ALIASES = {"sum.golang.google.cn": "sum.golang.org https://sum.golang.google.cn"}

_RECORD = re.compile(rb"(?P<id>[0-9]{1,18})\n(?P<text>(?:[^\n]+\n)+)\n")

ABSENT = (404, 410)

Key = t.Tuple[str, str]
In = t.TypeVar("In")
Out = t.TypeVar("Out")


@dataclasses.dataclass(frozen=True)
class Record:
    """What the database says of one module version: ``id`` is its number in the log, ``lines`` has the h1 of the ``zip`` and of
    the go.mod (``mod``)."""

    module: str
    version: str
    id: int
    lines: t.Mapping[str, str]


class Database(t.NamedTuple):
    """What GOSUMDB names: the database, its public key, and a URL of its own (``""``: below the proxies', else at https://name)."""

    name: str
    key: str
    url: str


def parse_gosumdb(value: str) -> Database:
    """Read GOSUMDB: ``off``, ``name``, ``name+hash+key``, each of the latter two with an optional URL after a space.

    With a URL the go command goes by no proxy, so hosts that are to use a snapshot have GOSUMDB without one.

    :returns: three empty strings for ``off``.
    :raises SpecInvalid: it's none of these, or a name whose key nobody knows.
    """
    if value.strip() == "off":
        return Database("", "", "")
    fields = _ALIASES.get(value.strip(), value).split()
    if not 1 <= len(fields) <= 2:
        raise SpecInvalid(
            f"GOSUMDB is {value!r}, which names no checksum database",
            subject="GOSUMDB",
            found=value,
            expected="off, a name, or name+hash+key, and optionally a URL",
        )
    key = _KNOWN.get(fields[0], fields[0])
    return Database(read_key(key)[0], key, fields[1] if len(fields) == 2 else "")


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


@dataclasses.dataclass(frozen=True)
class _Found:
    record: Record
    text: bytes
    note: bytes
    path: str
    reused: bool


class Snapshot:
    """Builds one snapshot.

    :param dest: the directory to become ``sumdb/<name>``, made when it isn't there; snapshot files in it are removed first.
    :param key: the database's public key, ``name+hash+key``.
    :param fetch: gives the database's answer to ``latest``, ``lookup/M@V`` (escaped) or ``tile/8/…``; raises AirgapError when it
        can't, with 404 or 410 as ``status`` when there is no such thing. Many threads call it at once.
    :param workers: how many.
    :param previous: an earlier snapshot's directory: records and tiles that it has are taken from there, and
        proved like all others. A tile that is damaged there is fetched.
    """

    def __init__(self, dest: str, key: str, fetch: t.Callable[[str], bytes], workers: int = 16, previous: t.Optional[str] = None) -> None:
        self._name = read_key(key)[0]
        self._dest = dest
        self._key = key
        self._fetch = fetch
        self._workers = workers
        self._previous = previous
        self._on_progress: t.Optional[t.Callable[[int, int], None]] = None
        self._done = self._total = 0
        #: The head that all records are proved under: its size in records, and its hash in base64. Known after ``build``.
        self.tree_size = 0

    def build(
        self,
        modules: t.Sequence[Key],
        older_sizes: t.Sequence[int] = (),
        on_progress: t.Optional[t.Callable[[int, int], None]] = None,
    ) -> dict[Key, Record]:
        """Write the snapshot, and return the records, proved, by (module, version).

        The head is the previous snapshot's as long as that one has all that is asked for (then nothing is fetched, and the same
        request gives the same bytes); else the newest to be had.

        :param modules: (module, version) pairs, versions exact.
        :param older_sizes: sizes of heads that hosts may have seen: of each snapshot that went to them.
        :param on_progress: gets how many files are done of how many, in the calling thread; the second number grows once.
        :raises FetchFailed: lookups could not be had, all of them in ``details``; or the head or a tile.
        :raises ModuleRefused: something isn't what a signed head says it is, or the log was rewritten; ``subject`` names it.
        :raises SpecInvalid: a module path or version that Go would not take.
        :raises ToolMissing: there is no Ed25519 here.
        """
        if self._previous is not None and os.path.realpath(self._previous) == os.path.realpath(self._dest):
            raise AirgapError(f"{self._dest}: a snapshot can't replace the one that it's made from", subject=self._dest)
        wanted = {key: f"lookup/{escape_path(key[0])}@{escape_version(key[1])}" for key in sorted(set(modules))}
        os.makedirs(self._dest, exist_ok=True)
        for name in ("latest", "lookup", "supported", "tile"):
            remove_tree(os.path.join(self._dest, name))
        self._on_progress = on_progress
        self._done, self._total = 0, len(wanted)
        earlier = self._earlier_head()
        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            found = self._look_up(pool, wanted)
            head = self._choose_head(earlier, found, older_sizes)
            self._prove(pool, head, earlier, found, older_sizes)
        for one in found:
            self._put(one.path, b"%d\n%b\n%b" % (one.record.id, one.text, head.note))
        self._put("supported", b"")
        self._put("latest", head.note)
        self.tree_size = head.size
        return {(one.record.module, one.record.version): one.record for one in found}

    def _earlier_head(self) -> t.Optional[Head]:
        note = self._from_previous("latest")
        return None if note is None else parse_head(note, self._key, f"{self._previous}/latest")

    def _look_up(self, pool: concurrent.futures.Executor, wanted: t.Mapping[Key, str]) -> list[_Found]:
        failed: list[tuple[Key, AirgapError]] = []

        def look_up(key: Key) -> t.Union[_Found, AirgapError]:
            path = wanted[key]
            answer = self._from_previous(path)
            reused = answer is not None
            if answer is None:
                try:
                    answer = self._fetch(path)
                except AirgapError as exc:
                    return exc
            return _Found(*parse_lookup(answer, *key), path, reused)

        found: list[_Found] = []
        for key, one in zip(wanted, self._each(pool, look_up, list(wanted))):
            if isinstance(one, AirgapError):
                failed.append((key, one))
            else:
                found.append(one)
        if failed:
            raise self._not_had(failed)
        return found

    def _not_had(self, failed: t.Sequence[tuple[Key, AirgapError]]) -> FetchFailed:
        absent = all(getattr(exc, "status", None) in ABSENT for _key, exc in failed)
        names = [f"{module}@{version}" for (module, version), _exc in failed]
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        return FetchFailed(
            f"the checksum database {self._name} {'does not have' if absent else 'gave no answer for'} {', '.join(names[:10])}{more}: {failed[0][1].message}",
            subject=names[0],
            hint="put private modules in GONOSUMDB or GOPRIVATE; a public one that the database doesn't have can't be had by others either"
            if absent
            else failed[0][1].hint,
            details=[{"module": module, "version": version, "status": getattr(exc, "status", None), "why": exc.message} for (module, version), exc in failed],
        )

    def _choose_head(self, earlier: t.Optional[Head], found: t.Sequence[_Found], older_sizes: t.Sequence[int]) -> Head:
        heads = [] if earlier is None else [earlier]
        asked = {one.note: one for one in found if not one.reused}
        if earlier is None or asked or max(older_sizes, default=0) > earlier.size:
            heads.append(parse_head(self._fetch("latest"), self._key, f"the latest head of {self._name}"))
            heads += [parse_head(note, self._key, f"the head in {self._name}/{one.path}") for note, one in asked.items()]
        # Of several of one size the first stays, which is the earlier snapshot's, so that equal worlds are equal bytes.
        best = max(heads, key=lambda head: head.size)
        for head in heads:
            if head.size == best.size and head.hash != best.hash:
                raise self._forked(head, best.hash)
        for one in found:
            if one.record.id >= best.size:
                raise refused(
                    self._origin(one),
                    f"says it's record {one.record.id}, which no signed head has yet",
                    expected=f"less than {best.size}",
                    found=str(one.record.id),
                )
        if max(older_sizes, default=0) > best.size:
            raise refused(
                f"the latest head of {self._name}",
                f"has {best.size} records, fewer than one that hosts know",
                expected=str(max(older_sizes)),
                found=str(best.size),
                hint="the proxy serves an old answer: try again later, or through another proxy",
            )
        return best

    def _prove(self, pool: concurrent.futures.Executor, head: Head, earlier: t.Optional[Head], found: t.Sequence[_Found], older_sizes: t.Sequence[int]) -> None:
        """Bring the tiles, from the edge down, each one proved by its parent before its own hashes count for anything."""
        records = [one.record.id for one in found]
        shipped = tiles_for(head.size, records, older_sizes)
        cuts = cuts_for(head.size, older_sizes)
        tiles = tiles_for(head.size, records, [*older_sizes, *([earlier.size] if earlier else [])])
        tied = {(tile.level, tile.number) for tile in edge(earlier.size)} if earlier else set()
        below: dict[Tile, list[Tile]] = {}
        for tile in tiles:
            if tile.width == FULL:
                below.setdefault(parent(head.size, tile), []).append(tile)
        leaves: dict[int, list[_Found]] = {}
        for one in found:
            leaves.setdefault(one.record.id // FULL, []).append(one)
        self._total += len(tiles)

        kept: dict[tuple[int, int], bytes] = {}
        expected: dict[Tile, bytes] = {}
        wrong: list[_Found] = []

        def accept(tile: Tile, data: bytes) -> dict[Tile, bytes]:
            if tile.level == 0:
                wrong.extend(one for one in leaves.get(tile.number, ()) if hash_in(data, one.record.id % FULL) != record_hash(one.text))
            if tile in shipped:
                self._put(tile.path, data)
            for narrower in cuts.get(tile, ()):
                self._put(narrower.path, data[: narrower.width * HASH_SIZE])
            if (tile.level, tile.number) in tied:
                kept[(tile.level, tile.number)] = data
            return {child: hash_in(data, child.number % FULL) for child in below.get(tile, ())}

        def take(tile: Tile) -> dict[Tile, bytes]:
            data = self._tile(tile, lambda data: subtree_hash(data) == expected[tile])
            if subtree_hash(data) != expected[tile]:
                raise refused(
                    f"{self._name}/{tile.path}",
                    f"doesn't hash to what the head with {head.size} records says",
                    expected=expected[tile].hex(),
                    found=subtree_hash(data).hex(),
                )
            return accept(tile, data)

        for tile, data in self._edge(pool, head).items():
            expected.update(accept(tile, data))
        for level in sorted({tile.level for tile in tiles}, reverse=True):
            for children in self._each(pool, take, sorted(tile for tile in tiles if tile.level == level and tile.width == FULL)):
                expected.update(children)
        # A log that was rewritten has other records too: that it was is what must be said.
        if earlier is not None:
            beginning = tree_hash(earlier.size, lambda tile: kept[(tile.level, tile.number)])
            if beginning != earlier.hash:
                raise self._forked(earlier, beginning)
        if wrong:
            raise self._not_in_log(sorted(wrong, key=lambda one: one.path), head)

    def _edge(self, pool: concurrent.futures.Executor, head: Head) -> dict[Tile, bytes]:
        """The edge's tiles, proved. They have no other proof than all together, so which one is wrong can't be told."""
        tiles = edge(head.size)
        brought = dict(zip(tiles, self._each(pool, self._tile, tiles)))
        if tree_hash(head.size, brought.__getitem__) != head.hash:
            brought = dict(zip(tiles, pool.map(lambda tile: self._tile(tile, lambda _data: False), tiles)))
        if tree_hash(head.size, brought.__getitem__) != head.hash:
            raise refused(
                ", ".join(f"{self._name}/{tile.path}" for tile in tiles), f"together don't hash to the head with {head.size} records", expected=head.hash.hex()
            )
        return brought

    def _tile(self, tile: Tile, good: t.Callable[[bytes], bool] = lambda data: True) -> bytes:
        """A tile's data: what the previous snapshot has, where it's ``good``; else what the database says, unproved but of the right length."""
        size = tile.width * HASH_SIZE
        data = self._from_previous(tile.path)
        if data is not None and len(data) == size and good(data):
            return data
        try:
            data = self._fetch(tile.path)
        except AirgapError:
            if tile.width == FULL:
                raise
            # A database may drop a partial tile when it has the full one, which begins with the same hashes.
            full = None
            with contextlib.suppress(AirgapError):
                full = self._fetch(tile.filled.path)
            if full is None:
                raise
            data = full[:size]
        if len(data) != size:
            raise refused(f"{self._name}/{tile.path}", "has the wrong length", expected=f"{size} bytes", found=f"{len(data)} bytes")
        return data

    def _not_in_log(self, wrong: t.Sequence[_Found], head: Head) -> ModuleRefused:
        first = wrong[0]
        more = f" (and {len(wrong) - 1} more are not what they say)" if len(wrong) > 1 else ""
        return refused(
            self._origin(first),
            f"isn't record {first.record.id} of the log with {head.size} records{more}",
            found=first.text.decode().strip(),
            hint="the earlier snapshot is damaged: gather into an empty depot" if first.reused else "",
            details=[{"module": one.record.module, "version": one.record.version, "id": one.record.id, "from": self._origin(one)} for one in wrong],
        )

    def _from_previous(self, path: str) -> t.Optional[bytes]:
        if self._previous is None:
            return None
        try:
            with open(os.path.join(self._previous, path), "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _origin(self, one: _Found) -> str:
        return f"{one.record.module}@{one.record.version} in {self._previous if one.reused else self._name}/{one.path}"

    def _forked(self, head: Head, found: bytes) -> ModuleRefused:
        return refused(
            f"checksum database {self._name}",
            f"has two histories: a signed head says one thing about its first {head.size} records, newer files say another",
            expected=head.hash.hex(),
            found=found.hex(),
            hint="somebody lies, the database or what stands between: take nothing, and keep both for the database's owner",
        )

    def _each(self, pool: concurrent.futures.Executor, work: t.Callable[[In], Out], things: t.Sequence[In]) -> t.Iterator[Out]:
        """``work`` on all things in parallel, results in their order; the first error ends what has not begun."""
        for result in pool.map(work, things):
            self._done += 1
            if self._on_progress:
                self._on_progress(self._done, self._total)
            yield result

    def _put(self, path: str, content: bytes) -> None:
        """A file that appears whole; to make it last is for whoever puts the directory in its place."""
        dest = os.path.join(self._dest, path)
        os.makedirs(os.path.dirname(dest), exist_ok=True)
        beside = temporary_sibling(dest)
        with open(beside, "xb") as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), 0o644)
        os.rename(beside, dest)
