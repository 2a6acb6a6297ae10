# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module files that a gather has in hand: fetched once, hashed as they come, found again by a rerun.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import heapq
import itertools
import os
import re
import threading
import typing as t

from .._base.errors import AirgapError, FetchFailed
from .._base.fetch import Outcome
from .._base.files import link_or_copy, sha256_of
from .._base.flight import Flights
from .._base.pool import worker_count
from .._base.progress import Stage
from .codec import FASTEST
from .escape import proxy_path
from .h1 import archive_h1, gomod_h1_of
from .modzip import ModuleZip

#: (module, version, "info" | "mod" | "zip")
Key = t.Tuple[str, str, str]
Version = t.Tuple[str, str]


class Source(t.Protocol):
    """Where what isn't here comes from; goproxy.Upstream is one."""

    def fetch(self, module: str, version: str, ext: str, dest: str, on_bytes: t.Callable[[int], None]) -> t.Any:
        """Get one file of an exact version to ``dest``; an object with its ``sha256`` and ``size``. ``on_bytes`` is told what arrives."""

    def begin(
        self,
        module: str,
        version: str,
        ext: str,
        dest: str,
        then: t.Callable[[Outcome], None],
        on_bytes: t.Callable[[int], None],
        stop: threading.Event,
        pool: concurrent.futures.Executor,
    ) -> None:
        """``fetch``, but nobody waits for it: ``then`` gets the object or the error. ``pool`` has threads; what hasn't begun when ``stop`` is set isn't."""

    def query(self, module: str, what: str) -> bytes:
        """The answer to ``@v/list``, ``@latest`` or ``@v/<query>.info``."""

    def sumdb(self, path: str, patient: bool = False) -> bytes:
        """The checksum database's answer to what follows ``sumdb/``. ``patient``: module files may go first."""


@dataclasses.dataclass(frozen=True)
class Stored:
    """A module file: where it is, its hex SHA-256, its size in bytes."""

    path: str
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class Zip:
    """What is known of a zip's inside: its h1, how many files it has, their bytes unpacked."""

    h1: str
    files: int
    unpacked: int


@dataclasses.dataclass(frozen=True)
class Held:
    """A module file that is here already: its path, and for a zip what was proved when it came. ``spare``: it can be taken away from there."""

    path: str
    sha256: str = ""
    zip: t.Optional[Zip] = None
    spare: bool = False


def look_into(path: str) -> Zip:
    """:raises ModuleRefused: the file is no zip, or damaged."""
    with ModuleZip(path, FASTEST) as archive:
        sizes = [member.size for member in archive.members]
        return Zip(archive_h1(archive), len(sizes), sum(sizes))


class BiggestFirst:
    """Zips that wait for the processes that look into them, the biggest first: or it comes last, and runs alone."""

    def __init__(self, hashers: concurrent.futures.Executor) -> None:
        self._hashers = hashers
        self._waiting: list[tuple[int, int, str, concurrent.futures.Future[Zip]]] = []
        self._count = itertools.count()
        # One more than there are processes, so that none of them waits for us.
        self._free = worker_count() + 1
        self._lock = threading.Lock()

    def look(self, path: str, size: int) -> concurrent.futures.Future[Zip]:
        found: concurrent.futures.Future[Zip] = concurrent.futures.Future()
        with self._lock:
            heapq.heappush(self._waiting, (-size, next(self._count), path, found))
        self._go_on()
        return found

    def close(self) -> None:
        """Let those that wait be."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for _size, _number, _path, found in waiting:
            found.cancel()

    def _go_on(self) -> None:
        while True:
            with self._lock:
                if not self._free or not self._waiting:
                    return
                self._free -= 1
                _size, _number, path, found = heapq.heappop(self._waiting)
            try:
                self._hashers.submit(look_into, path).add_done_callback(lambda done, found=found: self._done(done, found))  # type: ignore[misc]
            except RuntimeError as exc:
                # The processes are gone.
                found.set_exception(exc)
                with self._lock:
                    self._free += 1

    def _done(self, done: concurrent.futures.Future[Zip], found: concurrent.futures.Future[Zip]) -> None:
        with self._lock:
            self._free += 1
        self._go_on()
        if done.cancelled():
            found.cancel()
            return
        exc = done.exception()
        if exc is not None:
            found.set_exception(exc)
        else:
            found.set_result(done.result())


class ModuleStore:
    """Module files below one directory (in the layout of a GOPROXY), filled from ``upstream`` on demand, thread-safe.

    ``directory``: absolute, so that it's a GOPROXY as file:// too. Nothing is in it but the files of this store.

    :param held: gives what earlier runs have, so that it's not fetched: what isn't spare is linked.
    :param hashers: processes that look into zips while the next file is fetched.
    :param stage: is told of every file that arrives.
    """

    def __init__(
        self,
        directory: str,
        upstream: Source,
        held: t.Callable[[Key], t.Optional[Held]],
        hashers: concurrent.futures.Executor,
        stage: Stage,
        connections: int,
    ) -> None:
        self.directory = os.path.abspath(directory)
        self._upstream = upstream
        self._held = held
        self._looks = BiggestFirst(hashers)
        self._stage = stage
        self._flights: Flights[Key, Stored] = Flights()
        self._pool = concurrent.futures.ThreadPoolExecutor(connections, thread_name_prefix="store")
        self._stop = threading.Event()
        self._ahead: dict[Key, concurrent.futures.Future[Stored]] = {}
        self._zips: dict[Version, concurrent.futures.Future[Zip]] = {}
        self._required_by: dict[Version, set[str]] = {}
        self._lock = threading.Lock()
        self.files: dict[Key, Stored] = {}
        self.fetched_bytes = 0
        self.fetched_files = 0

    def close(self) -> None:
        """Begin nothing more. What is being fetched right now ends with its fetcher."""
        self._stop.set()
        self._looks.close()
        self._pool.shutdown(wait=True)

    # -- getting

    def ensure(self, module: str, version: str, ext: str) -> str:
        """The path of a module file, fetched if it must be.

        :raises FetchFailed: no proxy of the chain has it.
        """
        key = (module, version, ext)
        return self._flights.once(key, lambda: self._obtain(key)).path

    def has(self, key: Key) -> bool:
        """Whether a file can be had without asking upstream."""
        return os.path.exists(os.path.join(self.directory, proxy_path(*key))) or self._held(key) is not None

    def put(self, key: Key, path: str) -> None:
        """Take in a file that was had in another way; it's moved, and must be on the store's file system."""
        dest = os.path.join(self.directory, proxy_path(*key))
        os.makedirs(os.path.dirname(dest), exist_ok=True)
        os.rename(path, dest)
        self.ensure(*key)

    def query(self, module: str, what: str) -> bytes:
        return self._upstream.query(module, what)

    def sumdb(self, path: str, patient: bool = False) -> bytes:
        return self._upstream.sumdb(path, patient)

    def prefetch(self, keys: t.Iterable[Key]) -> None:
        """Begin to fetch; ``settle`` waits for it. For one thread at a time."""
        here: list[tuple[Key, str]] = []
        for key in keys:
            if key in self._ahead:
                continue
            self._ahead[key], ours = self._flights.board(key)
            if key not in self.files:
                self._stage.expect(1)
            if ours:
                try:
                    path = self._path(key)
                    if os.path.exists(path) or self._held(key) is not None:
                        here.append((key, path))
                    else:
                        self._begin(key, path)
                except Exception as exc:  # pylint: disable=broad-except  # ``settle`` tells it
                    self._flights.fail(key, exc)
        # Small ones together: to wake a thread costs more than to read one of them.
        zips = [one for one in here if one[0][2] == "zip"]
        others = [one for one in here if one[0][2] != "zip"]
        for batch in [[one] for one in zips] + [others[first : first + 32] for first in range(0, len(others), 32)]:
            self._pool.submit(self._find, batch)

    def _begin(self, key: Key, path: str) -> None:
        """Let the upstream fetch it; the flight lands when it's there."""
        module, version, ext = key
        note = f"{module}@{version}"
        counted = 0

        def count(size: int) -> None:
            nonlocal counted
            counted += size
            self._stage.advance(0, size, note)

        def then(outcome: t.Any) -> None:
            try:
                if isinstance(outcome, BaseException):
                    raise outcome
                stored = self._keep(key, Stored(path, outcome.sha256, outcome.size), counted, fetched=True)
            except BaseException as exc:  # pylint: disable=broad-except  # ``settle`` tells it
                self._flights.fail(key, exc)
            else:
                self._flights.land(key, stored)

        self._upstream.begin(module, version, ext, path, then, count, self._stop, self._pool)

    def _find(self, batch: t.Sequence[tuple[Key, str]]) -> None:
        for key, _path in batch:
            try:
                if self._stop.is_set():
                    raise FetchFailed(f"{key[0]}@{key[1]}: the store was closed", subject=f"{key[0]}@{key[1]}")
                stored = self._obtain(key)
            except BaseException as exc:  # pylint: disable=broad-except  # ``settle`` tells it
                self._flights.fail(key, exc)
            else:
                self._flights.land(key, stored)

    def expected(self) -> set[Version]:
        """The versions whose zip or go.mod is here, or was begun."""
        with self._lock:
            here = list(self.files)
        return {(module, version) for module, version, ext in (*here, *list(self._ahead)) if ext != "info"}

    def require(self, versions: t.Iterable[Version], label: str) -> None:
        """Note that ``label`` ("project yq") needs these."""
        with self._lock:
            for version in versions:
                self._required_by.setdefault(version, set()).add(label)

    def required_by(self, version: Version) -> list[str]:
        with self._lock:
            return sorted(self._required_by.get(version, ()))

    def settle(self) -> None:
        """Wait for all that ``prefetch`` began.

        :raises FetchFailed: some could not be had; each of them is in ``details``, with why and what requires it.
        """
        failures: dict[Key, AirgapError] = {}
        for key, future in list(self._ahead.items()):
            try:
                future.result()
            except AirgapError as exc:
                # Somebody else may have asked again, with more luck.
                if key not in self.files:
                    failures[key] = exc
        if failures:
            raise self.not_had(failures)

    def discard(self, key: Key) -> None:
        """Let a rerun fetch this file anew."""
        os.unlink(self.files.pop(key).path)

    def _path(self, key: Key) -> str:
        return os.path.join(self.directory, proxy_path(*key))

    def _obtain(self, key: Key) -> Stored:
        """Find it in the directory, link it from an earlier generation, or wait for the upstream."""
        module, version, ext = key
        path = self._path(key)
        if os.path.exists(path):
            return self._keep(key, Stored(path, *sha256_of(path)))
        held = self._held(key)
        if held is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if held.spare:
                os.rename(held.path, path)
            else:
                link_or_copy(held.path, path)
            stored = Stored(path, held.sha256, os.stat(path).st_size) if held.sha256 else Stored(path, *sha256_of(path))
            return self._keep(key, stored, known=held.zip)
        counted = 0

        def count(size: int) -> None:
            nonlocal counted
            counted += size
            self._stage.advance(0, size, f"{module}@{version}")

        got = self._upstream.fetch(module, version, ext, path, count)
        return self._keep(key, Stored(path, got.sha256, got.size), counted, fetched=True)

    def _keep(self, key: Key, stored: Stored, counted: int = 0, fetched: bool = False, known: t.Optional[Zip] = None) -> Stored:
        """Note that a file is there, of which ``counted`` bytes were told to the stage; of a zip, find out what isn't ``known``."""
        module, version, ext = key
        if ext == "zip":
            if known is not None:
                future: concurrent.futures.Future[Zip] = concurrent.futures.Future()
                future.set_result(known)
            else:
                future = self._looks.look(stored.path, stored.size)
            self._zips[(module, version)] = future
        with self._lock:
            self.files[key] = stored
            self.fetched_files += fetched
            self.fetched_bytes += stored.size if fetched else 0
        if key not in self._ahead:
            self._stage.expect(1)
        self._stage.advance(1, stored.size - counted, f"{module}@{version}")
        return stored

    def not_had(self, failures: t.Mapping[Key, AirgapError]) -> FetchFailed:
        """One error that names each version, why it can't be had, and what requires it."""
        by_version: dict[Version, AirgapError] = {}
        for (module, version, _ext), failure in sorted(failures.items(), key=lambda item: item[0]):
            by_version.setdefault((module, version), failure)
        naming = self._naming(set(by_version))
        details = [
            {
                "module": version[0],
                "version": version[1],
                "required_by": self.required_by(version) + naming.get(version, []),
                "said": failure.message,
                "status": getattr(failure, "status", None),
            }
            for version, failure in by_version.items()
        ]
        lines = "; ".join(
            f"{entry['module']}@{entry['version']} (required by {', '.join(t.cast('list[str]', entry['required_by'])[:5]) or 'the spec'}): {entry['said']}"
            for entry in details
        )
        return FetchFailed(
            f"{len(details)} module version{'s' if len(details) > 1 else ''} can't be had: {lines}",
            subject=", ".join(f"{entry['module']}@{entry['version']}" for entry in details),
            found=str(details[0]["said"]),
            hint="nothing was carried without them: mend the proxy or the access, or require other versions; a rerun fetches only what is missing",
            details=details,
        )

    def _naming(self, wanted: t.Collection[Version]) -> dict[Version, list[str]]:
        """``module@version`` of what names these versions in its go.mod, among what is stored."""
        line = re.compile(r'(?m)^[ \t]*(?:require[ \t]+)?"?([^\s()"]+)"?[ \t]+"?(v[^\s()"]+)')
        found: dict[Version, list[str]] = {}
        for (parent, at, ext), stored in sorted(self.files.items()):
            if ext == "mod":
                with open(stored.path, encoding="utf-8", errors="replace") as stream:
                    named = set(line.findall(stream.read()))
                for version in named.intersection(wanted):
                    found.setdefault(version, []).append(f"{parent}@{at}")
        return found

    # -- what is there

    def versions(self) -> tuple[list[Version], list[Version]]:
        """(versions with a zip, versions with go.mod alone), each in sorted order."""
        with self._lock:
            keys = list(self.files)
        zips = {(module, version) for module, version, ext in keys if ext == "zip"}
        mods = {(module, version) for module, version, ext in keys if ext == "mod"}
        return sorted(zips), sorted(mods - zips)

    def zip(self, module: str, version: str) -> Zip:
        """What is known of a stored zip; waits for it.

        :raises ModuleRefused: the zip can't be read.
        """
        return self._zips[(module, version)].result()

    def gomod_h1(self, module: str, version: str) -> str:
        """The h1 of a stored go.mod."""
        return gomod_h1_of(self.files[(module, version, "mod")].sha256)
