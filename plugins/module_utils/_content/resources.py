# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources that a spec names (files, directories, URLs, git repositories): what they are now, and blobs of just that.

A file or a URL becomes a blob as it is. A directory, or what a git repository has at a commit, becomes one tar.gz, which is
unpacked at its dest; its bytes depend on the files' names, exec bits and contents alone.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
import shutil
import typing as t

from .._base.errors import AirgapError, BundleDamaged, FetchFailed, ModuleRefused, SpecInvalid
from .._base.fetch import Fetcher, NotFetched
from .._base.files import remove_tree, sha256_of
from .._base.progress import Stage
from .._base.ustar import Entry, pack_tree, packed, safe_name
from .._go import source
from .._go.estimate import Expected
from .spec import CarriedFile

# What a server answers that gives a file out but doesn't tell its size: many signed URLs are good for GET alone.
_NO_HEAD = (403, 405, 501)


@dataclasses.dataclass(frozen=True)
class Resource:
    """What a resource of the spec is now.

    ``kind``: file, directory or git. ``sha256``: 64 hex digits that change when it does: a file's SHA-256, the digest over a
    directory's files (source.digest), the SHA-256 of the name of a git repository's ``commit``. ``failure``: why it can't be
    had; nothing else is known of it then.
    """

    file: CarriedFile
    kind: str
    sha256: str = ""
    commit: str = ""
    failure: t.Optional[AirgapError] = None


@dataclasses.dataclass(frozen=True)
class Taken:
    """A resource in hand: ``path`` is its blob, ``sha256`` (hex) and ``size`` (bytes) are the blob's.

    ``kind``: file, directory or git; the latter two's blob is a tar.gz. ``digest``: over a directory's files, as a spec's sha256
    means it. ``commit``: of a git repository.
    """

    path: str
    sha256: str
    size: int
    kind: str = "file"
    digest: str = ""
    commit: str = ""


Held = t.Callable[[Resource], t.Optional[Taken]]


def find(files: t.Iterable[CarriedFile], commits: t.Optional[t.Mapping[str, str]] = None) -> dict[str, Resource]:
    """What the spec's resources are now, by their dest. URLs aren't asked: what they must be is in the spec.

    Those that can't be had are in it too, with their ``failure``, so that all others are tried before anything is said.

    :param commits: dest to the commit of a git repository, where that is known and need not be asked for.
    """
    wanted = list(files)
    with concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="find") as pool:
        found = pool.map(lambda file: _find(file, (commits or {}).get(file.dest, "")), wanted)
        return {file.dest: entry for file, entry in zip(wanted, found)}


def _find(file: CarriedFile, commit: str) -> Resource:
    path = os.path.expanduser(file.source)
    kind = "git" if file.ref else "directory" if not file.is_url and os.path.isdir(path) else "file"
    try:
        with _readable(file):
            if kind == "git":
                commit = commit or source.git_commit(file.source, file.ref)
                return Resource(file, kind, hashlib.sha256(commit.encode()).hexdigest(), commit)
            if file.is_url:
                return Resource(file, kind, file.sha256)
            if kind == "directory":
                _entries(path, path)
                sha256 = source.digest(path)
            elif os.path.isfile(path):
                sha256 = sha256_of(path)[0]
            else:
                raise SpecInvalid(
                    f"there is no file or directory {path}", code="file_missing", subject=path, hint="files come from the connected control node"
                )
            if file.sha256 and file.sha256 != sha256:
                raise _refused(f"the {kind} {path}", file, sha256, "find out who changed it")
            return Resource(file, kind, sha256)
    except AirgapError as exc:
        return Resource(file, kind, failure=exc)


@contextlib.contextmanager
def _readable(file: CarriedFile) -> t.Iterator[None]:
    try:
        yield
    except OSError as exc:
        path = str(exc.filename or file.origin())
        raise SpecInvalid(f"{path} can't be read: {exc.strerror}", code="file_missing", subject=path, hint="check its permissions") from None


def _refused(what: str, file: CarriedFile, sha256: str, hint: str) -> ModuleRefused:
    return ModuleRefused(
        f"{what} isn't the one the spec means: its sha256 is {sha256}, not {file.sha256}",
        code="file_refused",
        subject=file.dest,
        expected=file.sha256,
        found=sha256,
        hint=hint,
    )


def _entries(directory: str, shown: str) -> list[Entry]:
    """A directory's files, to be packed.

    :raises SpecInvalid: there are none, or one has a name that can't be carried, or is a link that leads outside.
    """
    try:
        entries = [Entry(safe_name(file.name, shown), file.path, file.executable) for file in source.walk(directory)]
    except BundleDamaged as exc:
        raise SpecInvalid(
            f"{shown} has a file {exc.subject!r}, whose name can't be carried",
            subject=shown,
            found=exc.subject,
            hint="give it a name without backslashes and control characters",
        ) from None
    except SpecInvalid as exc:
        raise SpecInvalid(exc.message, subject=exc.subject, found=exc.found, hint="carry what it points to with it, or put a copy in its place") from None
    if not entries:
        raise SpecInvalid(f"{shown} has no files", subject=shown, hint="directories are carried by their files: an empty one can't be")
    return entries


class _Done(t.NamedTuple):
    """A resource that was taken (None in check mode), whether it came from the network, how many bytes (None: not known)."""

    resource: t.Optional[Taken]
    moved: bool = False
    size: t.Optional[int] = 0


class Taking:
    """Resources on their way into a directory of ours, which ``begin`` makes."""

    def __init__(self, found: t.Mapping[str, Resource], jobs: t.Mapping[str, concurrent.futures.Future[_Done]]) -> None:
        self._found = found
        self._jobs = jobs

    def settle(self) -> dict[str, Taken]:
        """Wait for all of them; they're by their dest. In check mode, none.

        :raises FetchFailed: some can't be had; each of them is in ``details``.
        :raises SpecInvalid: two claim the same place.
        """
        failures = self._failures()
        if failures:
            raise _not_had(self._found, failures)
        taken = {dest: done.resource for dest, done in self._all_done() if done.resource is not None}
        _refuse_overlaps(taken)
        return taken

    def moved(self) -> Expected:
        """What came from the network, or would in check mode. After ``settle``."""
        moved = {id(done): done for _dest, done in self._all_done() if done.moved}.values()
        return Expected(len(moved), sum(done.size or 0 for done in moved), all(done.size is not None for done in moved))

    @contextlib.contextmanager
    def told_together(self) -> t.Iterator[None]:
        """While other things are fetched: what of those can't be had, or is refused, is told together with what of these can't.

        The body's error keeps its class and code. Without one, it's as ``settle``.
        """
        try:
            yield
        except (FetchFailed, ModuleRefused) as exc:
            failures = self._failures()
            if failures:
                also = _not_had(self._found, failures)
                exc.message = f"{exc.message}; {also.message}"
                exc.args = (exc.message,)
                exc.details += also.details
                exc.subject = ", ".join(filter(None, (exc.subject, also.subject)))
            raise
        except BaseException:
            for job in self._jobs.values():
                job.cancel()
            raise
        self.settle()

    def _all_done(self) -> list[tuple[str, _Done]]:
        return [(dest, job.result()) for dest, job in self._jobs.items()]

    def _failures(self) -> dict[str, AirgapError]:
        failures = {dest: entry.failure for dest, entry in self._found.items() if entry.failure}
        for dest, job in self._jobs.items():
            try:
                job.result()
            except AirgapError as exc:
                failures[dest] = exc
        return failures


def begin(
    found: t.Mapping[str, Resource],
    directory: str,
    executor: concurrent.futures.Executor,
    fetcher: Fetcher,
    held: Held = lambda entry: None,
    stage: t.Optional[Stage] = None,
    check: bool = False,
) -> Taking:
    """Begin to take what was found.

    :param directory: where to; what a run that was killed left there whole isn't fetched again.
    :param held: a resource that is here already (EarlierGenerations.resource).
    :param check: only ask whether they can be had, and for sizes; ``directory`` is left alone.
    """
    jobs: dict[str, concurrent.futures.Future[_Done]] = {}
    begun: dict[tuple[str, str, str], concurrent.futures.Future[_Done]] = {}
    if not check:
        os.makedirs(directory, exist_ok=True)
    for dest, entry in found.items():
        if entry.failure:
            continue
        # What several dests get from one source is taken once.
        key = (entry.kind, entry.sha256, entry.file.source)
        if key not in begun:
            # Another source of the same bytes is a file of its own, as two threads can't write one.
            number = sum(other[:2] == key[:2] for other in begun)
            path = os.path.join(directory, f"{entry.kind}-{entry.sha256}-{number}")
            begun[key] = executor.submit(_expect if check else _take, entry, path, fetcher, held, stage)
        jobs[dest] = begun[key]
    if stage is not None:
        stage.expect(len(begun))
    return Taking(found, jobs)


def take(found: t.Mapping[str, Resource], directory: str, held: Held = lambda entry: None) -> dict[str, Taken]:
    """All that was found, at once.

    :raises FetchFailed, SpecInvalid: as Taking.settle.
    """
    with Fetcher() as fetcher, concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="take") as pool:
        return begin(found, directory, pool, fetcher, held).settle()


def _expect(entry: Resource, path: str, fetcher: Fetcher, held: Held, stage: t.Optional[Stage]) -> _Done:
    """What a run would do."""
    del path, stage
    if held(entry) is not None:
        return _Done(None)
    if entry.kind == "git":
        return _Done(None, True, None)
    if not entry.file.is_url:
        return _Done(None)
    try:
        return _Done(None, True, fetcher.size(entry.file.source))
    except NotFetched as exc:
        if exc.status in _NO_HEAD:
            return _Done(None, True, None)
        raise


def _take(entry: Resource, path: str, fetcher: Fetcher, held: Held, stage: t.Optional[Stage]) -> _Done:
    resource = held(entry)
    done = _Done(resource) if resource is not None else _obtain(entry, path, fetcher, stage)
    if stage is not None:
        stage.advance(1, note=entry.file.dest)
    return done


def _obtain(entry: Resource, path: str, fetcher: Fetcher, stage: t.Optional[Stage]) -> _Done:
    if entry.kind != "file":
        resource = _packed(entry, path)
        return _Done(resource, entry.kind == "git", resource.size)
    if entry.file.is_url:
        return _downloaded(entry, path, fetcher, stage)
    local = os.path.expanduser(entry.file.source)
    with _readable(entry.file):
        shutil.copyfile(local, path)
    sha256, size = sha256_of(path)
    if sha256 != entry.sha256:
        raise _changed(local)
    return _Done(Taken(path, sha256, size))


def _downloaded(entry: Resource, path: str, fetcher: Fetcher, stage: t.Optional[Stage]) -> _Done:
    if os.path.exists(path):
        # Of a run that was killed, whose disk may have been full of zeros since.
        sha256, size = sha256_of(path)
        if sha256 == entry.sha256:
            return _Done(Taken(path, sha256, size))
    arrived = fetcher.download(entry.file.source, path, None if stage is None else lambda count: stage.advance(0, count), bulk=True)
    if arrived.sha256 != entry.sha256:
        os.unlink(path)
        raise _refused(entry.file.origin(), entry.file, arrived.sha256, "look what is there now; if that is right, let the spec's sha256 say so")
    return _Done(Taken(path, arrived.sha256, arrived.size), True, arrived.size)


def _packed(entry: Resource, path: str) -> Taken:
    """A directory, or what a repository has at a commit, as a tar.gz."""
    copy = path + ".files"
    remove_tree(copy)
    try:
        if entry.kind == "git":
            source.clone(entry.file.source, entry.file.ref, entry.commit, copy)
        else:
            local = os.path.expanduser(entry.file.source)
            with _readable(entry.file):
                source.copy_directory(local, copy)
            if source.digest(copy) != entry.sha256:
                raise _changed(local)
        with open(path, "wb") as stream:
            pack_tree(stream, _entries(copy, entry.file.origin()), compress=True)
    finally:
        remove_tree(copy)
    return Taken(path, *sha256_of(path), entry.kind, "" if entry.commit else entry.sha256, entry.commit)


def _changed(path: str) -> SpecInvalid:
    return SpecInvalid(f"{path} changed while it was gathered", code="file_changed", subject=path, hint="run it again")


def _not_had(found: t.Mapping[str, Resource], failures: t.Mapping[str, AirgapError]) -> FetchFailed:
    """One error that names each resource, and why it can't be had."""
    details = [
        {
            "file": dest,
            "source": found[dest].file.origin(),
            "code": failure.code,
            "expected": failure.expected,
            "found": failure.found,
            "said": failure.message,
            "status": getattr(failure, "status", None),
        }
        for dest, failure in sorted(failures.items())
    ]
    codes = {failure.code for failure in failures.values()}
    hints = {failure.hint for failure in failures.values()}
    first = next(iter(failures.values()))
    alone = len(failures) == 1
    lines = "; ".join(f"{entry['file']}: {entry['said']}" for entry in details)
    return FetchFailed(
        f"{len(details)} resource{'s' if len(details) > 1 else ''} can't be had: {lines}",
        code=codes.pop() if len(codes) == 1 else "fetch_failed",
        subject=", ".join(str(entry["file"]) for entry in details),
        expected=first.expected if alone else "",
        found=first.found if alone else "",
        hint=hints.pop() if len(hints) == 1 else "nothing was carried without them: mend each; a rerun fetches only what is missing",
        details=details,
    )


def _refuse_overlaps(taken: t.Mapping[str, Taken]) -> None:
    """:raises SpecInvalid: two resources have a file for one place, or one has a file where another needs a directory."""
    nested = {pair for dest in taken for outer in _parents(dest) if outer in taken for pair in (dest, outer)}
    places: dict[str, str] = {}
    for dest in sorted(nested):
        for place in _places(dest, taken[dest]):
            if place in places:
                raise _overlap(place, places[place], dest)
            places[place] = dest
    for place, dest in places.items():
        for parent in _parents(place):
            if parent in places:
                raise _overlap(parent, places[parent], dest)


def _places(dest: str, resource: Taken) -> list[str]:
    if resource.kind == "file":
        return [dest]
    with open(resource.path, "rb") as stream:
        return [f"{dest}/{member.name}" for member in packed(stream, dest)]


def _parents(place: str) -> t.Iterator[str]:
    while "/" in place:
        place = place.rpartition("/")[0]
        yield place


def _overlap(place: str, one: str, other: str) -> SpecInvalid:
    return SpecInvalid(
        f"the files {one} and {other} both claim files/{place}",
        code="files_overlap",
        subject=place,
        hint="give one of them another dest, or leave that file out",
    )
