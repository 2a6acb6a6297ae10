# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module's directory in GOMODCACHE holds: for most what its zip has; for a toolchain also what go makes of it, and our go.env.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .modzip import Member
from .toolchain import is_program

#: The name that a toolchain's own go.env keeps when a link takes its place.
STOCK_ENV = "go.env.stock"


class Placed(t.NamedTuple):
    """A file of a module's directory: its path there, the zip's member that it's made of, its mode; ``counts``: whether h1 counts it."""

    name: str
    member: Member
    mode: int
    counts: bool


def placed(files: t.Sequence[tuple[str, Member]], toolchain: bool, env_moved: bool) -> list[Placed]:
    """:param files: what ``ModuleZip.files_below`` gave.
    :param env_moved: whether a toolchain's go.env gives its place to a link.
    """
    names = {name for name, _member in files}
    found = []
    for name, member in files:
        stock = toolchain and env_moved and name == "go.env"
        found.append(Placed(STOCK_ENV if stock else name, member, file_mode(name, toolchain), True))
        # The go command copies these at a toolchain's first use (cmd/go/internal/toolchain, Exec).
        twin = name[: -len("_go.mod")] + "go.mod"
        if toolchain and os.path.basename(name) == "_go.mod" and twin not in names:
            found.append(Placed(twin, member, 0o444, False))
    return found


def file_mode(name: str, toolchain: bool) -> int:
    return 0o555 if toolchain and is_program(name) else 0o444
