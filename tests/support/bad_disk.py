# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that has lost a sector."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import typing as t

import pytest

#: A regular file of which the kernel itself says EIO.
UNREADABLE = "/proc/self/mem"


@contextlib.contextmanager
def lost_sector(path: pathlib.Path) -> t.Iterator[None]:
    """A file that can be opened, and of which read(2) says EIO, under all its names; forked processes hear the same."""
    real = os.read
    # While it's open its inode is no other file's.
    with path.open("rb") as stream, pytest.MonkeyPatch.context() as patch:
        lost = os.fstat(stream.fileno())

        def read(descriptor: int, size: int) -> bytes:
            if os.path.samestat(os.fstat(descriptor), lost):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(descriptor, size)

        patch.setattr(os, "read", read)
        yield
