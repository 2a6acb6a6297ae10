# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared GOMODCACHE, filled from the files of a GOPROXY tree the way the go command fills its own.

The layout is cmd/go/internal/modfetch's (cache.go, fetch.go); for toolchains also what cmd/go/internal/toolchain
(select.go) does to one at its first use. A module's ``.ziphash`` is written after its files are known to be on the
disk, and go trusts only modules that have one: so it is the mark of a whole module, here as there. For a version of which
only the go.mod is carried the ``.mod`` itself, which appears by one link or rename, is the mark.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import secrets
import typing as t

from .._base.errors import DepotDamaged, HostRefused, ModuleRefused
from .._base.files import exchange, link_or_copy, locked, remove_tree, symlink_atomically, sync_filesystem
from .._base.progress import Stage
from .._base.workers import in_processes
from .escape import escape_path, escape_version, is_exact
from .gosum import is_h1
from .h1 import Summary, digest
from .modzip import ModuleZip
from .proxytree import semver_key
from .toolchain import MODULE as TOOLCHAIN
from .unpacked import STOCK_ENV, Placed, placed


@dataclasses.dataclass(frozen=True)
class CachedModule:
    """One module version to be had in the cache, with its files in a GOPROXY tree.

    ``h1`` is what the zip must hash to ("": not known, whatever it hashes to is taken); ``zip`` is "" for a version of
    which only the go.mod is carried, ``info`` may be "" too.
    """

    path: str
    version: str
    h1: str
    zip: str
    info: str
    mod: str

    @property
    def name(self) -> str:
        return f"{self.path}@{self.version}"


class ModuleCache:
    """:param root: the GOMODCACHE directory; made when there is none.
    :param go_env_target: where every toolchain's go.env is to lead; "" leaves them as they come.
    """

    def __init__(self, root: str, go_env_target: str = "") -> None:
        self.root = os.path.abspath(root)
        self.go_env_target = go_env_target
        self._private = os.path.join(self.root, "cache", "airgap")
        self._staging = os.path.join(self._private, "staging")

    def directory(self, path: str, version: str) -> str:
        """Where a module version is unpacked; for a toolchain this is a GOROOT."""
        return os.path.join(self.root, f"{escape_path(path)}@{escape_version(version)}")

    def download(self, path: str, version: str, extension: str) -> str:
        """The file of a module version below cache/download; ``extension``: zip, ziphash, mod, info, lock."""
        return f"{self.base(path, version)}.{extension}"

    def missing(self, wanted: t.Iterable[CachedModule]) -> list[CachedModule]:
        """Those that are not here whole, or are toolchains whose go.env leads elsewhere. Looks at two names a module.

        :raises ModuleRefused: a module is here with another hash than it's wanted with.
        """
        return [module for module in _once(wanted) if not self._is_whole(module) or self._env_astray(module)]

    def install(self, wanted: t.Iterable[CachedModule], workers: int = 2, stage: t.Optional[Stage] = None) -> list[CachedModule]:
        """Bring in what is missing; returns that. What is whole already costs what ``missing`` costs.

        When one module fails, those that were finished stay and are not done again by the next run.

        :param workers: processes that unpack.
        :param stage: told of modules and of bytes of zips; what is missing is added to what it expects.
        :raises ModuleRefused: a zip has members that no module zip may have, or another h1 than it must.
        :raises DepotDamaged: a file of the proxy tree isn't there.
        :raises HostRefused: the cache can't be written (a full disk, for instance).
        """
        wanted = self.missing(wanted)
        if not wanted:
            return []
        with self.exclusive():
            # Again, now that nobody else is writing.
            wanted = self.missing(wanted)
            todo = [module for module in wanted if not self._is_whole(module)]
            if todo:
                self._fill(todo, workers, stage)
            for module in wanted:
                if self._env_astray(module):
                    self._lead_env(self.directory(module.path, module.version))
        return wanted

    def restore(self, wanted: t.Sequence[CachedModule], workers: int = 2) -> None:
        """Bring these in again, whatever is here of them. Who uses one meanwhile has the old files or the new.

        :raises ModuleRefused, DepotDamaged, HostRefused: as ``install``.
        """
        with self.exclusive():
            done: dict[CachedModule, str] = {}
            in_processes(lambda index: self._renew(wanted[index]), range(len(wanted)), workers, lambda index, h1: done.update({wanted[index]: h1}))
            self._mark(done)

    @contextlib.contextmanager
    def exclusive(self) -> t.Iterator[None]:
        """The cache to ourselves, with an empty staging directory; what a killed run left there is gone."""
        try:
            _make_directories(self.root, self._private)
            with locked(os.path.join(self._private, "lock")):
                remove_tree(self._staging)
                os.mkdir(self._staging, 0o700)
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):
                        remove_tree(self._staging)
        except OSError as exc:
            raise _unwritable(self.root, exc) from exc

    def base(self, path: str, version: str) -> str:
        """What the names of a version's files below cache/download begin with."""
        return os.path.join(self.root, "cache", "download", escape_path(path), "@v", escape_version(version))

    def _is_whole(self, module: CachedModule) -> bool:
        base = self.base(module.path, module.version)
        if not module.zip:
            return os.path.exists(base + ".mod")
        mark = _read_mark(base + ".ziphash")
        if mark and module.h1 and mark != module.h1:
            raise ModuleRefused(
                f"{self.root} has {module.name} with another hash than it's wanted with",
                subject=module.name,
                expected=module.h1,
                found=mark,
                hint=f"find out who put it there; then remove {base}.* and {self.directory(module.path, module.version)}, and run this again",
            )
        return bool(mark) and os.path.isdir(self.directory(module.path, module.version))

    def _env_astray(self, module: CachedModule) -> bool:
        """Whether this is a toolchain whose go.env leads elsewhere than it should."""
        if module.path != TOOLCHAIN or not module.zip or not self.go_env_target:
            return False
        link = os.path.join(self.directory(module.path, module.version), "go.env")
        return not os.path.islink(link) or os.readlink(link) != self.go_env_target

    def _lead_env(self, goroot: str) -> None:
        os.chmod(goroot, 0o755)
        stock = os.path.join(goroot, STOCK_ENV)
        link = os.path.join(goroot, "go.env")
        if os.path.isfile(link) and not os.path.islink(link):
            os.rename(link, stock)
        symlink_atomically(self.go_env_target, link)
        os.chmod(goroot, 0o555)

    def _fill(self, todo: t.Sequence[CachedModule], workers: int, stage: t.Optional[Stage]) -> None:
        sizes = [_size(module) for module in todo]
        if stage is not None:
            stage.expect(len(todo), sum(sizes))
        # Longest first, each to whoever is free: no process is left with a big one at the end.
        order = sorted(range(len(todo)), key=lambda index: -sizes[index])
        done: dict[CachedModule, str] = {}

        def finished(index: int, h1: str) -> None:
            module = todo[index]
            done[module] = h1
            if stage is not None:
                stage.advance(1, sizes[index], module.name)

        try:
            in_processes(lambda index: self._bring(todo[index]), order, workers, finished)
        except BaseException:
            # What is whole stays; when not even that can be said (the disk is full), the first error is the one to tell.
            with contextlib.suppress(OSError):
                self._mark(done)
            raise
        self._mark(done)

    def _mark(self, done: t.Mapping[CachedModule, str]) -> None:
        """Say that these are whole, once they are on the disk. Lists come before, for nobody would mend them after."""
        coming: dict[str, set[str]] = {}
        for module in done:
            directory, version = os.path.split(self.base(module.path, module.version))
            coming.setdefault(directory, set()).add(version)
        for directory, versions in coming.items():
            self.write_list(directory, versions)
        sync_filesystem(self.root)
        for module, h1 in done.items():
            base = self.base(module.path, module.version)
            if module.zip:
                self._put(base + ".ziphash", h1.encode())
            else:
                self._place(module.mod, base + ".mod")
        sync_filesystem(self.root)

    def _bring(self, module: CachedModule) -> str:
        """Everything for one module but its mark; returns the zip's h1. Runs in a process of its own, whose umask is 022."""
        base = self.base(module.path, module.version)
        _make_directories(self.root, os.path.dirname(base))
        if module.info:
            self._place(module.info, base + ".info")
        if not module.zip:
            return ""
        for stale in (".ziphash", ".partial"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(base + stale)
        self._place(module.mod, base + ".mod")
        self._place(module.zip, base + ".zip")
        if module.path == TOOLCHAIN:
            # A go command that may not write here still wants to lock this file before it switches.
            os.close(os.open(base + ".lock", os.O_WRONLY | os.O_CREAT, 0o644))
        final = self.directory(module.path, module.version)
        self.discard(final)
        beside = self._temporary()
        try:
            h1 = self._unpack(module, beside)
            _make_directories(self.root, os.path.dirname(final))
            # Moving a directory to another parent needs write permission on itself, so its own mode comes after.
            os.rename(beside, final)
            os.chmod(final, 0o555)
        except BaseException:
            remove_tree(beside)
            raise
        return h1

    def _renew(self, module: CachedModule) -> str:
        """As ``_bring``, for a module that may be in use: its mark stays, so what takes its place is on the disk before."""
        base = self.base(module.path, module.version)
        _make_directories(self.root, os.path.dirname(base))
        for source, extension in ((module.info, ".info"), (module.mod, ".mod"), (module.zip, ".zip")):
            if source:
                self._place(source, base + extension)
        if not module.zip:
            return ""
        if module.path == TOOLCHAIN:
            self._put(base + ".lock", b"")
        final = self.directory(module.path, module.version)
        beside = self._temporary()
        try:
            h1 = self._unpack(module, beside)
            sync_filesystem(beside)
            _make_directories(self.root, os.path.dirname(final))
            if os.path.isdir(final) and not os.path.islink(final):
                os.chmod(final, 0o755)
            exchange(beside, final)
            os.chmod(final, 0o555)
        finally:
            remove_tree(beside)
        return h1

    def _unpack(self, module: CachedModule, beside: str) -> str:
        with ModuleZip(module.zip) as archive:
            files = archive.files_below(f"{module.path}@{module.version}/")
            toolchain = module.path == TOOLCHAIN
            os.makedirs(beside, 0o755, exist_ok=True)
            for directory in sorted({os.path.dirname(name) for name, _member in files} - {""}):
                os.makedirs(os.path.join(beside, directory), 0o755, exist_ok=True)
            summary = Summary()
            for file in placed(files, toolchain, bool(self.go_env_target)):
                sha256 = self._unpack_file(archive, file, beside)
                if file.counts:
                    summary.add(file.member.raw, sha256)
            for member in archive.members:
                if member.raw.endswith(b"/"):
                    summary.add(member.raw, digest(()).hexdigest())
            h1 = summary.h1()
            if module.h1 and h1 != module.h1:
                raise ModuleRefused(
                    f"{module.zip} is not the {module.name} that go.sum or the checksum database knows",
                    subject=module.name,
                    expected=module.h1,
                    found=h1,
                    hint="the file was changed on its way here: receive the generation again",
                )
        if toolchain and self.go_env_target:
            os.symlink(self.go_env_target, os.path.join(beside, "go.env"))
        for directory, _names, _files in os.walk(beside, topdown=False):
            if directory != beside:
                os.chmod(directory, 0o555)
        return h1

    def _unpack_file(self, archive: ModuleZip, file: Placed, beside: str) -> str:
        """Write one file; returns its SHA-256."""
        hashed = digest(())

        def watched() -> t.Iterator[bytes]:
            for chunk in archive.chunks(file.member):
                hashed.update(chunk)
                yield chunk

        _write_new(os.path.join(beside, file.name), watched(), file.mode)
        return hashed.hexdigest()

    def discard(self, directory: str) -> None:
        """Remove an unpacked module: away from its name by one rename first, so that half of it is never found there."""
        if not os.path.lexists(directory):
            return
        away = self._temporary()
        if os.path.isdir(directory) and not os.path.islink(directory):
            os.chmod(directory, 0o755)
        os.rename(directory, away)
        remove_tree(away)

    def _temporary(self) -> str:
        # In the staging directory, not beside its final name: what a kill leaves is found without walking the cache.
        return os.path.join(self._staging, secrets.token_hex(8))

    def _place(self, source: str, dest: str) -> None:
        """Make ``dest`` a name of the file ``source``, whatever it was before."""
        beside = self._temporary()
        link_or_copy(source, beside)
        # Where both are names of one file already, rename(2) does nothing; the staging directory goes anyway.
        os.rename(beside, dest)

    def _put(self, path: str, content: bytes) -> None:
        """A file that appears whole; it lasts when the batch is synced."""
        beside = self._temporary()
        _write_new(beside, (content,), 0o644)
        os.chmod(beside, 0o644)
        os.rename(beside, path)

    def write_list(self, directory: str, coming: t.AbstractSet[str] = frozenset()) -> None:
        """Write the ``list`` of an @v directory. Needs the cache to itself."""
        content = version_list(os.listdir(directory), coming)
        path = os.path.join(directory, "list")
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as stream:
            if stream.read() == content:
                return
        self._put(path, content)


def version_list(names: t.Iterable[str], coming: t.AbstractSet[str] = frozenset()) -> bytes:
    """The ``list`` of an @v directory with these names: versions that have, or are about to have, a .mod there (modfetch.rewriteVersionList)."""
    versions = coming | {name[: -len(".mod")] for name in names if name.endswith(".mod")}
    return "".join(version + "\n" for version in sorted(filter(is_exact, versions), key=lambda version: (semver_key(version), version))).encode()


def _once(wanted: t.Iterable[CachedModule]) -> list[CachedModule]:
    """Each version once, with its zip where one of its entries has one."""
    chosen: dict[tuple[str, str], CachedModule] = {}
    for module in wanted:
        other = chosen.setdefault((module.path, module.version), module)
        if module.zip and not other.zip:
            chosen[module.path, module.version] = module
    return list(chosen.values())


def _size(module: CachedModule) -> int:
    try:
        for path in (module.mod, module.info):
            if path:
                os.stat(path)
        return os.stat(module.zip).st_size if module.zip else 0
    except FileNotFoundError as exc:
        raise DepotDamaged(
            f"{module.name}: {exc.filename} is not there",
            subject=module.name,
            expected=str(exc.filename),
            hint="receive the generation again",
        ) from None


def _read_mark(path: str) -> str:
    """The h1 in a .ziphash; "" when there is none, or one that a power cut left empty."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            text = stream.read(64).strip()
    except FileNotFoundError:
        return ""
    return text if is_h1(text) else ""


def _make_directories(top: str, path: str) -> None:
    """Make ``path``, at or below ``top``, with every directory readable by all whatever the umask."""
    if os.path.isdir(path):
        return
    if path != top:
        _make_directories(top, os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
            os.chmod(path, 0o755)
    else:
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)


def _write_new(path: str, chunks: t.Iterable[bytes], mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _unwritable(root: str, exc: OSError) -> HostRefused:
    full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
    return HostRefused(
        f"the module cache {root} can't be written: {exc}",
        code="disk_full" if full else "",
        subject=root,
        found=str(exc),
        hint="make room and run this again: what was finished stays" if full else "check its owner and permissions, and that its file system is writable",
    )
