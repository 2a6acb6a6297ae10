# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what is to be written has room where it goes, asked before anything is written.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import shutil

from .errors import HostRefused


def refuse_full(path: str, needed: int, hint: str) -> None:
    """:param path: what will be written; it and its directories need not be there yet.
    :param needed: bytes.
    :raises HostRefused: the file system has fewer free.
    """
    there = os.path.abspath(path)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    free = shutil.disk_usage(there).free
    if free < needed:
        raise HostRefused(
            f"{there} has {free} bytes free; {path} needs {needed}", code="no_space", subject=path, expected=str(needed), found=str(free), hint=hint
        )
