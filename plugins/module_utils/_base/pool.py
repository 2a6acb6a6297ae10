# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control node's processes for what keeps a core busy: hashing, packing. Hosts have ``workers``, which need less of the system.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import contextlib
import multiprocessing
import os
import threading
import typing as t

from .errors import HostRefused


def worker_count() -> int:
    """How many processes ``worker_processes`` has."""
    return max(2, min(8, os.cpu_count() or 2))


@contextlib.contextmanager
def worker_processes(nice: int = 0) -> t.Iterator[concurrent.futures.Executor]:
    """Enter it before any thread is started: a fork beside threads can inherit their locks.

    They end with this process however it ends, or they would keep its locks.

    :param nice: how far they stand back (nice(2)) behind this process, where there are fewer cores than work.
    :raises HostRefused: one of them was killed.
    """
    reader, writer = os.pipe()
    try:
        with concurrent.futures.ProcessPoolExecutor(worker_count(), multiprocessing.get_context("fork"), _begin, (reader, writer, nice)) as pool:
            list(pool.map(os.getpgid, [0] * 8))
            yield pool
    except concurrent.futures.process.BrokenProcessPool:
        raise HostRefused(
            "a process that hashes and packs was killed", hint="look for the out-of-memory killer in the kernel's log, then run it again; nothing was admitted"
        ) from None
    finally:
        os.close(reader)
        os.close(writer)


def _begin(reader: int, writer: int, nice: int) -> None:
    os.nice(nice)
    # Nobody writes: the read returns when the parent, the pipe's last writer, is gone.
    os.close(writer)

    def watch() -> None:
        os.read(reader, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
