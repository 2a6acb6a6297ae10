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
else is rolled back, and a snapshot has the records of all that is still in use. Everything is proved before it travels, and again
where it arrives (snapshotcheck.py).

Formats and rules: golang.org/x/mod/sumdb (client.go, note, tlog), cmd/go/internal/modfetch/sumdb.go,
https://go.dev/ref/mod#checksum-database and https://go.dev/design/25530-sumdb.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import heapq
import os
import threading
import typing as t

from .._base.errors import AirgapError, FetchFailed, ModuleRefused, SpecInvalid
from .._base.files import remove_tree
from .escape import escape_path, escape_version
from .snapshotcheck import LATEST, LOOKUP, PARTS, SUPPORTED, Checked, Key, Record, beyond, check, files_below, forked, parse_lookup
from .tlog import FULL, Head, Tile, cuts_for, parse_head, read_key, refused, tiles_for

DEFAULT_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

#: Names that the go command knows: what they stand for in GOSUMDB.
KNOWN = {"sum.golang.org": DEFAULT_KEY}
_ALIASES = {"sum.golang.google.cn": "sum.golang.org https://sum.golang.google.cn"}

ABSENT = (404, 410)


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
            hint="set it (goenv, bundle_gosumdb, go env -w) to off, a name, or name+hash+key, and optionally a URL",
        )
    key = KNOWN.get(fields[0], fields[0])
    return Database(read_key(key)[0], key, fields[1] if len(fields) == 2 else "")


@dataclasses.dataclass(frozen=True)
class _Found:
    """An answer to a lookup: the record as it's written again, and the head that the answer ended in."""

    record: Record
    text: bytes
    note: bytes
    path: str
    reused: bool


class Snapshot:
    """Builds one snapshot.

    :param dest: the directory to become ``sumdb/<name>``, made when it isn't there; snapshot files in it are removed first. Whoever
        is killed leaves a part there, so it's for scratch places.
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
        wanted = {key: f"{LOOKUP}/{escape_path(key[0])}@{escape_version(key[1])}" for key in sorted(set(modules))}
        os.makedirs(self._dest, exist_ok=True)
        for name in PARTS:
            remove_tree(os.path.join(self._dest, name))
        self._made: set[str] = set()
        self._aside: dict[str, bytes] = {}
        self._reused: set[str] = set()
        self._on_progress = on_progress
        self._done, self._total = 0, len(wanted)
        earlier = self._earlier_head()
        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            tiles = _Tiles(pool, self._take)
            try:
                found, head = self._look_up(pool, tiles, wanted, earlier, older_sizes)
                self._bring(tiles, head, earlier, found, older_sizes)
            except BaseException:
                tiles.cancel()
                raise
        checked = self._check(head, earlier, found, older_sizes)
        self._put(LATEST, head.note)
        self.tree_size = head.size
        return {key: checked.records[key] for key in wanted}

    # -- lookups, and the head

    def _earlier_head(self) -> t.Optional[Head]:
        note = self._from_previous(LATEST)
        return None if note is None else parse_head(note, self._key, f"{self._previous}/{LATEST}")

    def _look_up(
        self,
        pool: concurrent.futures.Executor,
        tiles: _Tiles,
        wanted: t.Mapping[Key, str],
        earlier: t.Optional[Head],
        older_sizes: t.Sequence[int],
    ) -> tuple[list[_Found], Head]:
        """All records, and the head to prove them under. The tiles that are sure to be needed are begun meanwhile."""
        held = {path: answer for path in wanted.values() for answer in [self._from_previous(path)] if answer is not None}
        heads: list[Head] = []

        def latest() -> Head:
            heads.append(parse_head(self._fetch(LATEST), self._key, f"the latest head of {self._name}"))
            return heads[0]

        def look_up(key: Key, path: str) -> t.Union[_Found, AirgapError]:
            try:
                answer = self._fetch(path)
            except AirgapError as exc:
                return exc
            found = _Found(*parse_lookup(answer, *key), path, False)
            begin(found)
            return found

        def begin(found: _Found) -> None:
            tile = Tile(0, found.record.id // FULL, FULL)
            if heads and (tile.number + 1) * FULL <= heads[0].size:
                tiles.begin(tile)

        newest = None
        if earlier is None or len(held) < len(wanted) or max(older_sizes, default=0) > earlier.size:
            newest = pool.submit(latest)
        asked = {key: pool.submit(look_up, key, path) for key, path in wanted.items() if path not in held}
        try:
            found, failed = [], []
            for key, path in wanted.items():
                one = asked[key].result() if key in asked else _Found(*parse_lookup(held[path], *key), path, True)
                self._advance()
                if isinstance(one, AirgapError):
                    failed.append((key, one))
                else:
                    found.append(one)
        except BaseException:
            for future in asked.values():
                future.cancel()
            raise
        if failed:
            raise self._not_had(failed)
        return found, self._choose_head(earlier, newest.result() if newest else None, found, older_sizes)

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

    def _choose_head(self, earlier: t.Optional[Head], latest: t.Optional[Head], found: t.Sequence[_Found], older_sizes: t.Sequence[int]) -> Head:
        heads = [head for head in (earlier, latest) if head is not None]
        asked = {one.note: one for one in found if not one.reused}
        heads += [parse_head(note, self._key, f"the head in {self._name}/{one.path}") for note, one in asked.items()]
        # Of several of one size the first stays, which is the earlier snapshot's, so that equal worlds are equal bytes.
        best = max(heads, key=lambda head: head.size)
        for head in heads:
            if head.size == best.size and head.hash != best.hash:
                raise forked(self._name, head, best.hash)
        for one in found:
            if one.record.id >= best.size:
                raise beyond(f"{one.record.module}@{one.record.version} in {self._origin(one)}", one.record.id, best.size)
        if max(older_sizes, default=0) > best.size:
            raise refused(
                f"the latest head of {self._name}",
                f"has {best.size} records, fewer than one that hosts know",
                expected=str(max(older_sizes)),
                found=str(best.size),
                hint="the proxy serves an old answer: try again later, or through another proxy",
            )
        return best

    # -- tiles

    def _bring(self, tiles: _Tiles, head: Head, earlier: t.Optional[Head], found: t.Sequence[_Found], older_sizes: t.Sequence[int]) -> None:
        """Write everything but ``latest``. What only proves the earlier head to us is kept aside."""
        records = [one.record.id for one in found]
        all_older = _with(older_sizes, earlier)
        needed = sorted(tiles_for(head.size, records, all_older))
        shipped = tiles_for(head.size, records, older_sizes)
        self._total += len(needed)
        for tile in needed:
            tiles.begin(tile, aside=tile not in shipped)
        self._put(SUPPORTED, b"")
        for one in found:
            self._put(one.path, b"%d\n%b\n%b" % (one.record.id, one.text, head.note))
        for tile in needed:
            tiles.wait(tile)
            self._advance()
        self._cut(head, older_sizes, all_older)

    def _cut(self, head: Head, older_sizes: t.Collection[int], all_older: t.Collection[int]) -> None:
        shipped = {cut for cuts in cuts_for(head.size, older_sizes).values() for cut in cuts}
        for tile, cuts in cuts_for(head.size, all_older).items():
            data = self._aside[tile.path] if tile.path in self._aside else self._written(tile.path)
            for cut in cuts:
                self._keep(cut, data[: cut.bytes], aside=cut not in shipped)

    def _take(self, tile: Tile, aside: bool) -> None:
        """Have a tile, unproved: from the previous snapshot if one of this length is there, else from the database."""
        data = self._from_previous(tile.path)
        if data is not None and len(data) == tile.bytes:
            self._reused.add(tile.path)
        else:
            data = self._fetched(tile)
        self._keep(tile, data, aside)

    def _keep(self, tile: Tile, data: bytes, aside: bool) -> None:
        if aside:
            self._aside[tile.path] = data
        else:
            self._put(tile.path, data)

    def _fetched(self, tile: Tile) -> bytes:
        try:
            return self._fetch(tile.path)
        except AirgapError:
            if tile.width == FULL:
                raise
            # A database may drop a partial tile when it has the full one, which begins with the same hashes.
            full = None
            with contextlib.suppress(AirgapError):
                full = self._fetch(tile.filled.path)
            if full is None:
                raise
            return full[: tile.bytes]

    # -- proof

    def _check(self, head: Head, earlier: t.Optional[Head], found: t.Sequence[_Found], older_sizes: t.Sequence[int]) -> Checked:
        """Prove what was written; once more with tiles of the database alone if those of the earlier snapshot may be what is wrong."""
        try:
            return self._prove(head, earlier, found, older_sizes)
        except ModuleRefused:
            if not self._reused:
                raise
        again = [tile for tile in tiles_for(head.size, [one.record.id for one in found], _with(older_sizes, earlier)) if tile.path in self._reused]
        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            for tile, data in zip(again, pool.map(self._fetched, again)):
                self._keep(tile, data, aside=tile.path in self._aside)
        self._reused.clear()
        self._cut(head, older_sizes, _with(older_sizes, earlier))
        return self._prove(head, earlier, found, older_sizes)

    def _prove(self, head: Head, earlier: t.Optional[Head], found: t.Sequence[_Found], older_sizes: t.Sequence[int]) -> Checked:
        reused = {one.path for one in found if one.reused}
        files = heapq.merge([(LATEST, head.note)], files_below(self._dest), sorted(self._aside.items()))
        try:
            return check(
                files,
                self._key,
                older=_with(older_sizes, earlier),
                known=[] if earlier is None else [earlier],
                origin=lambda path: f"{self._previous if path in reused else self._name}/{path}",
            )
        except ModuleRefused as exc:
            if any(entry.get("path") in reused for entry in exc.details):
                exc.hint = "the earlier snapshot is damaged: gather into an empty depot"
            raise

    # -- files

    def _from_previous(self, path: str) -> t.Optional[bytes]:
        if self._previous is None:
            return None
        try:
            with open(os.path.join(self._previous, path), "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _origin(self, one: _Found) -> str:
        return f"{self._previous if one.reused else self._name}/{one.path}"

    def _advance(self) -> None:
        self._done += 1
        if self._on_progress:
            self._on_progress(self._done, self._total)

    def _written(self, path: str) -> bytes:
        with open(os.path.join(self._dest, path), "rb") as stream:
            return stream.read()

    def _put(self, path: str, content: bytes) -> None:
        """Thousands of small files in a scratch place: to make them last, and appear whole, is for whoever puts the directory in its place."""
        dest = os.path.join(self._dest, path)
        directory = os.path.dirname(dest)
        if directory not in self._made:
            os.makedirs(directory, exist_ok=True)
            self._made.add(directory)
        with open(dest, "wb", buffering=0) as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), 0o644)


class _Tiles:
    """Tiles on their way, each taken once, by a pool's threads.

    :param take: has a tile; is told whether it's to be kept aside.
    """

    def __init__(self, pool: concurrent.futures.Executor, take: t.Callable[[Tile, bool], None]) -> None:
        self._pool = pool
        self._take = take
        self._lock = threading.Lock()
        self._futures: dict[Tile, concurrent.futures.Future[None]] = {}

    def begin(self, tile: Tile, aside: bool = False) -> None:
        with self._lock:
            if tile not in self._futures:
                self._futures[tile] = self._pool.submit(self._take, tile, aside)

    def wait(self, tile: Tile) -> None:
        self._futures[tile].result()

    def cancel(self) -> None:
        """Let go of what has not begun."""
        with self._lock:
            for future in self._futures.values():
                future.cancel()


def _with(older_sizes: t.Iterable[int], earlier: t.Optional[Head]) -> set[int]:
    return {*older_sizes, *([earlier.size] if earlier else [])}
