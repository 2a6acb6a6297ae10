# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL at a chosen change to the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import traceback
import typing as t

MUTATIONS = ("rename", "link", "symlink", "fsync", "mkdir", "rmdir", "unlink", "chmod", "ftruncate")


def killed_at(step: int, work: t.Callable[[], t.Any], lock: str, by_unpacker: bool = False) -> bool:
    """Run ``work`` in a process of its own, whose group gets SIGKILL before that process's ``step``-th change to the disk.

    False when it came to its end before that; 0 never kills. ``lock``: the file that such processes hold.
    ``by_unpacker``: the changes of one of the processes that it forks are counted instead.
    """
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setpgid(0, 0)
            first = os.getpid()
            count = 0

            def counted(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
                def call(*arguments: t.Any, **options: t.Any) -> t.Any:
                    nonlocal count
                    count += (os.getpid() != first) == by_unpacker
                    if count == step:
                        os.killpg(0, signal.SIGKILL)
                    return function(*arguments, **options)

                return call

            for name in MUTATIONS:
                setattr(os, name, counted(getattr(os, name)))
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _pid, status = os.waitpid(child, 0)
    # The processes that unpack hold the lock too, and may be a moment later to go.
    with contextlib.suppress(FileNotFoundError), open(lock, encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False
