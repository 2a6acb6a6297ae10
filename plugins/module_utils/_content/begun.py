# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree that a gather makes: begun in staging, where files are fetched to, and renamed when it becomes a generation's.

A gather that was killed leaves one. Its module files are set aside, so that the next tree has what its own gather took, and nothing else.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import json
import os
import typing as t

from .._base.files import remove_tree
from .._depot.depot import Depot
from .._depot.generation import Ref
from .._go.escape import proxy_path
from .._go.store import Held, Key

#: What a gather fetches waits here in staging between a run that was killed and the next.
FETCH = "fetch"
_TREE = "tree"


def rescue(depot: Depot) -> None:
    """Take back the tree of a gather that was killed between the tree's name and the index, before ``sweep`` takes it. Needs the lock."""
    named = depot.tree(Ref(depot.next_number(), False))
    begun = os.path.join(depot.staging, FETCH, _TREE)
    if os.path.isdir(named) and not os.path.lexists(begun):
        os.makedirs(os.path.dirname(begun), exist_ok=True)
        os.rename(named, begun)


class BegunTree:
    """An empty tree at ``path`` below ``directory``, and beside it the module files of all gathers that were killed."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, _TREE)
        self.proxy = os.path.join(self.path, "proxy")
        self._left = os.path.join(directory, "left")
        if os.path.isdir(self.proxy):
            self._set_aside()
        remove_tree(self.path)
        os.makedirs(self.proxy)
        self._has_left = os.path.isdir(self._left)

    def _set_aside(self) -> None:
        if not os.path.lexists(self._left):
            os.rename(self.proxy, self._left)
            return
        for at, _directories, names in os.walk(self.proxy):
            there = os.path.join(self._left, os.path.relpath(at, self.proxy))
            os.makedirs(there, exist_ok=True)
            for name in names:
                os.rename(os.path.join(at, name), os.path.join(there, name))

    def project(self, name: str) -> str:
        """Where the source of a project belongs."""
        return os.path.join(self.path, "projects", name)

    def left(self, key: Key) -> t.Optional[Held]:
        """A module file of a gather that was killed."""
        if not self._has_left:
            return None
        path = os.path.join(self._left, proxy_path(*key))
        return Held(path, spare=True) if os.path.exists(path) and _is_sound(path, key[2]) else None


def _is_sound(path: str, ext: str) -> bool:
    """Whether what was left can be used.

    A power cut may have emptied a file, or left it as zeros. No hash vouches for an .info file, and for a .mod only where a go.sum
    names it; a zip tells by itself.
    """
    if ext == "zip":
        return True
    with open(path, "rb") as stream:
        content = stream.read()
    if ext == "mod":
        return b"\0" not in content and bool(content.strip())
    try:
        return "Version" in json.loads(content)
    except (ValueError, TypeError):
        return False
