# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there whole or not at all: atomic writes, links, locks, syncs, removal of read-only trees.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import time
import typing as t

from .errors import AirgapError

CHUNK = 1 << 20

# fcntl.h and linux/fs.h
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

#: How long those who still write may keep a tree from being removed, in seconds.
_PATIENCE = 10.0

# What the system says of a tree that isn't as it was a moment ago.
_CHANGED = (errno.ENOTEMPTY, errno.EISDIR, errno.ELOOP, errno.ESTALE)


def sync_directory(path: str) -> None:
    """Make the names in a directory last a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: str) -> None:
    """Make everything written so far below ``path`` last: one call for a batch of 10^5 files.

    syncfs(2) where the C library has it (Linux), else sync(2).
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


def temporary_sibling(path: str) -> str:
    """An unguessable name beside ``path``, on the same file system; starts with a dot."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name[:80]}.{secrets.token_hex(8)}.tmp")


@contextlib.contextmanager
def replacing(path: str, mode: int = 0o644) -> t.Iterator[t.BinaryIO]:
    """Write a file that appears under its name only when it's whole: beside, fsync, rename, fsync of the directory."""
    beside = temporary_sibling(path)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.rename(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    sync_directory(os.path.dirname(path) or ".")


def write_atomically(path: str, content: bytes, mode: int = 0o644) -> None:
    with replacing(path, mode) as stream:
        stream.write(content)


def symlink_atomically(target: str, path: str) -> None:
    """Point ``path`` at ``target`` by one rename, whether or not it was there."""
    beside = temporary_sibling(path)
    os.symlink(target, beside)
    try:
        os.rename(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    sync_directory(os.path.dirname(path) or ".")


def exchange(beside: str, path: str) -> None:
    """Put ``beside`` in the place of ``path``, directories too; what was there, if anything, is at ``beside`` then.

    renameat2(2) with RENAME_EXCHANGE, so that who looks finds the one or the other; where the C library or the file system lacks it,
    two renames.
    """
    if not os.path.lexists(path):
        os.rename(beside, path)
        return
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None and renameat2(_AT_FDCWD, os.fsencode(beside), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE) == 0:
        return
    away = temporary_sibling(beside)
    os.rename(path, away)
    os.rename(beside, path)
    os.rename(away, beside)


def link_or_copy(source: str, dest: str) -> None:
    """A second name for an immutable file; a copy where the file system has no hard links or too many already."""
    try:
        os.link(source, dest)
        return
    except OSError as exc:
        if exc.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
    with open(source, "rb") as reader, replacing(dest, stat.S_IMODE(os.stat(source).st_mode)) as writer:
        copy_stream(reader, writer)


def copy_stream(reader: t.IO[bytes], writer: t.IO[bytes]) -> int:
    """Copy to the end in bounded memory; returns the bytes copied."""
    copied = 0
    while True:
        chunk = reader.read(CHUNK)
        if not chunk:
            return copied
        writer.write(chunk)
        copied += len(chunk)


def sha256_of(path: str) -> tuple[str, int]:
    """(lower-case hex SHA-256, size in bytes) of a file, streamed."""
    digest = hashlib.sha256()
    size = 0
    with open(path, "rb") as stream:
        while True:
            chunk = stream.read(CHUNK)
            if not chunk:
                return digest.hexdigest(), size
            digest.update(chunk)
            size += len(chunk)


def _leads_to(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def remove_tree(path: str) -> None:
    """Remove a file or a whole tree, read-only directories included (Go's module cache); nothing there is fine.

    Somebody may still be writing there: the compilers of a go command that was killed a moment ago. They end by themselves.
    Nothing outside of the tree goes, whatever the account that it belongs to puts in the place of a directory meanwhile.

    :raises OSError: what is there can't be removed, or is written faster than it is removed.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            _remove_once(path)
            return
        except (FileNotFoundError, NotADirectoryError):
            # Removed or replaced by others meanwhile, below path or path itself.
            if not os.path.lexists(path):
                return
            if time.monotonic() > end:
                raise
        except OSError as exc:
            if exc.errno not in _CHANGED or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _remove_once(path: str) -> None:
    """From directory to directory by descriptors: of a tree that others own, a path may lead elsewhere a moment later.

    One is open at a time, however deep the tree; the way back is "..", and where it leads is looked at before anything goes there.
    """
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    here = _open_directory(path, None)
    trail = [path]
    levels: list[_Level] = []
    try:
        levels.append(_remove_files(here))
        while levels[-1].left or len(trail) > 1:
            if levels[-1].left:
                name = levels[-1].left.pop()
                here = _step(here, name)
                trail.append(name)
                levels.append(_remove_files(here))
            else:
                levels.pop()
                here = _step(here, "..")
                name = trail.pop()
                if _identity(os.fstat(here)) != levels[-1].identity:
                    raise OSError(errno.ESTALE, "moved elsewhere meanwhile", name)
                os.rmdir(name, dir_fd=here)
    except OSError as exc:
        exc.filename = os.path.join(*trail, exc.filename if isinstance(exc.filename, str) else "")
        raise
    finally:
        os.close(here)
    os.rmdir(path)


class _Level(t.NamedTuple):
    """A directory on the way down: which one it is (device and inode), and the directories in it that are still to go."""

    identity: tuple[int, int]
    left: list[str]


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _step(here: int, name: str) -> int:
    there = _open_directory(name, here)
    os.close(here)
    return there


def _open_directory(name: str, above: t.Optional[int]) -> int:
    """A descriptor of a directory, never of what a link leads to."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=above)
    except PermissionError:
        # Its owner may not read it. By a descriptor that needs no permission it's given that, by whose name it has no other way.
        descriptor = os.open(name, os.O_PATH | flags, dir_fd=above)
        try:
            with contextlib.suppress(OSError):
                os.chmod(f"/proc/self/fd/{descriptor}", 0o700)
        finally:
            os.close(descriptor)
        return os.open(name, os.O_RDONLY | flags, dir_fd=above)


def _remove_files(directory: int) -> _Level:
    """All that is in a directory but the directories."""
    facts = os.fstat(directory)
    if facts.st_mode & 0o700 != 0o700:
        os.fchmod(directory, 0o700)
    with os.scandir(directory) as entries:
        children = list(entries)
    left = []
    for child in children:
        if child.is_dir(follow_symlinks=False):
            left.append(child.name)
        else:
            os.unlink(child.name, dir_fd=directory)
    return _Level(_identity(facts), left)


def remove_empty(path: str, top: str) -> None:
    """Remove the directory ``path`` and those above it while they're empty, up to ``top``, which stays."""
    while path.startswith(top + "/"):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return
        path = os.path.dirname(path)


def remove_empty_below(top: str) -> None:
    """Remove every empty directory below ``top``, which stays."""
    for path, names, files in os.walk(top):
        if not names and not files:
            remove_empty(path, top)


@contextlib.contextmanager
def locked(path: str) -> t.Iterator[None]:
    """Hold an advisory lock on the file ``path``; somebody else holding it is an error by name, not a wait.

    The kernel lets go of the lock when the holder dies, so a SIGKILL leaves nothing to clean up.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _leads_to(path, descriptor):
                # An uninstall took it away between our two calls; what comes after it makes another.
                raise BlockingIOError
        except BlockingIOError:
            holder = os.read(descriptor, 64).decode("ascii", "replace").strip() or "unknown"
            raise AirgapError(
                f"{os.path.dirname(path)} is in use by process {holder}",
                code="locked",
                subject=os.path.dirname(path),
                found=holder,
                hint="wait for that process, or end it; a process that died holds no lock",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
