# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What files take, and who uses them: room that removing them would free, and processes that have them open.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
import typing as t

PROC = "/proc"

# stat(2) counts in these, whatever the file system's own blocks are.
_BLOCK = 512


class Size(t.NamedTuple):
    """Bytes as the file system has allocated them, and inodes."""

    bytes: int
    inodes: int


class Use(t.NamedTuple):
    """A process has ``path`` as its program, its directory or an open file. ``started``: seconds since 1970, by today's clock."""

    path: str
    pid: int
    command: str
    program: bool
    started: float


def freed_by_removing(paths: t.Iterable[str], tops: t.Collection[str] = ()) -> Size:
    """What goes with these files and trees, none of which lies in another. A file that has names elsewhere too isn't counted.

    :param tops: below these, directories go too that are empty then.
    """
    size = inodes = 0
    names: dict[tuple[int, int], int] = {}
    given = {path for path in paths if os.path.lexists(path)}
    empty = _emptied(given, tops)
    waiting = [*given, *empty]
    while waiting:
        path = waiting.pop()
        try:
            facts = os.lstat(path)
            if stat.S_ISDIR(facts.st_mode) and path not in empty:
                waiting += [os.path.join(path, name) for name in os.listdir(path)]
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(facts.st_mode) and facts.st_nlink > 1:
            key = (facts.st_dev, facts.st_ino)
            names[key] = names.get(key, 0) + 1
            if names[key] < facts.st_nlink:
                continue
        size += facts.st_blocks * _BLOCK
        inodes += 1
    return Size(size, inodes)


def _emptied(going: t.Collection[str], tops: t.Collection[str]) -> set[str]:
    """The directories below ``tops`` that have nothing else than what is going, nor their own like."""
    gone = set(going)
    found: set[str] = set()
    waiting = {os.path.dirname(path) for path in gone}
    while waiting:
        path = waiting.pop()
        below = path not in gone and any(path.startswith(top + "/") for top in tops)
        if below and all(os.path.join(path, name) in gone for name in os.listdir(path)):
            gone.add(path)
            found.add(path)
            waiting.add(os.path.dirname(path))
    return found


def uses_below(top: str) -> list[Use]:
    """What other processes use below ``top``, as far as this account may look (root: all); nothing where there is no /proc."""
    prefix = os.path.realpath(top) + "/"
    found = []
    for name in os.listdir(PROC) if os.path.isdir(PROC) else ():
        if not name.isdigit() or int(name) == os.getpid():
            continue
        directory = os.path.join(PROC, name)
        links = ["exe", "cwd"]
        with contextlib.suppress(OSError):
            links += [os.path.join("fd", number) for number in os.listdir(os.path.join(directory, "fd"))]
        used = set()
        for link in links:
            path = _target(os.path.join(directory, link))
            if (path + "/").startswith(prefix) and _is_here(os.path.join(directory, link), path):
                used.add((path, link == "exe"))
        if used:
            command, started = _command(directory), _started(directory)
            found += [Use(path, int(name), command, program, started) for path, program in sorted(used)]
    return found


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        # It has ended, or isn't ours to look at.
        return ""


def _is_here(link: str, path: str) -> bool:
    """Whether what a process calls by this path is what we do: a container has a file system of its own."""
    try:
        return os.path.samefile(link, path)
    except OSError:
        return False


def _command(directory: str) -> str:
    with contextlib.suppress(OSError), open(os.path.join(directory, "comm"), encoding="utf-8", errors="replace") as stream:
        return stream.read().strip()
    return "a process that has ended"


def _started(directory: str) -> float:
    """See proc_pid_stat(5): field 22, in clock ticks since boot."""
    with contextlib.suppress(OSError), open(os.path.join(directory, "stat"), encoding="ascii", errors="replace") as stream:
        ticks = int(stream.read().rsplit(")", 1)[1].split()[19])
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    return 0.0
