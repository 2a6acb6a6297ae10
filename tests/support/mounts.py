# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems of a test's own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import subprocess
import traceback
import typing as t

IS_ROOT = os.geteuid() == 0


def in_mount_namespace(work: t.Callable[[], None]) -> None:
    """Call ``work`` in a forked process that may mount, whoever we are."""
    child = os.fork()
    if not child:
        status = 1
        try:
            uid, gid = os.getuid(), os.getgid()
            flags = 0x00020000 | (0 if IS_ROOT else 0x10000000)  # CLONE_NEWNS, CLONE_NEWUSER
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.unshare(flags) == 0, os.strerror(ctypes.get_errno())
            if not IS_ROOT:
                for name, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
                    pathlib.Path("/proc/self", name).write_text(content)
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@contextlib.contextmanager
def small_disk(at: pathlib.Path, options: str) -> t.Iterator[None]:
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)
