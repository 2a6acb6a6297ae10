# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work for several processes, where threads would wait for each other: unpacking ten thousand files.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import typing as t

from .errors import AirgapError, HostRefused
from .process import dying_with_parent

T = t.TypeVar("T")


def in_processes(work: t.Callable[[int], T], order: t.Sequence[int], workers: int, finished: t.Callable[[int, T], None]) -> None:
    """Do ``work`` for each number, by forked processes that ask for the next when they are free; the first error ends all.

    They have the umask 022, and end with this process however it ends. What ``work`` returns is pickled.

    Pipes, not a pool: pools need POSIX semaphores, which small hosts and containers without /dev/shm lack.
    """
    if not order:
        return
    context = multiprocessing.get_context("fork")
    # Nobody else may be writing when a rerun takes the lock, which a fork shares.
    die = dying_with_parent()
    pending = list(reversed(order))
    processes = []
    pipes: list[multiprocessing.connection.Connection] = []
    try:
        for _number in range(max(1, min(workers, len(order)))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(work, theirs, [*pipes, ours], die), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
            ours.send(pending.pop())
        busy = list(pipes)
        while busy:
            for ready in multiprocessing.connection.wait(busy):
                pipe = t.cast("multiprocessing.connection.Connection", ready)
                try:
                    index, result = pipe.recv()
                except EOFError:
                    raise HostRefused(
                        "a process that unpacks files was killed", hint="look for the out-of-memory killer in the kernel's log; use fewer workers"
                    ) from None
                if isinstance(result, BaseException):
                    raise result
                finished(index, result)
                if pending:
                    pipe.send(pending.pop())
                else:
                    busy.remove(pipe)
                    pipe.close()
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        for process in processes:
            process.join()


def _serve(
    work: t.Callable[[int], t.Any],
    pipe: multiprocessing.connection.Connection,
    others: t.Sequence[multiprocessing.connection.Connection],
    die: t.Callable[[], None],
) -> None:
    die()
    for other in others:
        other.close()
    os.umask(0o022)
    while True:
        try:
            index = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((index, work(index)))
        except (AirgapError, OSError) as exc:
            pipe.send((index, exc))
