# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a file system holds, to be compared with what it holds later."""

from __future__ import annotations

import hashlib
import os
import stat


def facts(top: str, *leaving: str) -> dict[str, str]:
    """Every name below a directory, with its mode and what it holds or where it leads; not those that begin with ``leaving``."""
    found = {}
    for at, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(at, name)
            short = os.path.relpath(path, top)
            if not short.startswith(leaving):
                found[short] = _fact(path)
    return found


def snapshot(top: str) -> dict[str, str]:
    """As ``facts``, with owners, and times of all but directories."""
    return {name: f"{held} {_more(os.path.join(top, name))}" for name, held in facts(top).items()}


def _fact(path: str) -> str:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return f"{mode:o}"
    with open(path, "rb") as stream:
        return f"{mode:o} {hashlib.sha256(stream.read()).hexdigest()}"


def _more(path: str) -> str:
    found = os.lstat(path)
    return f"{found.st_uid}:{found.st_gid}" + ("" if stat.S_ISDIR(found.st_mode) else f" {found.st_mtime_ns}")
