# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which generation directories a host has, and when each was active: by the audit log, else by the file system's times.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import calendar
import os
import re
import time

from .._base.errors import DepotDamaged
from .place import Place

_DIRECTORY = re.compile(r"([0-9]{6,})(-unsealed)?-[0-9a-f]{8}")


def generation_directories(place: Place) -> list[str]:
    """The names of all generation directories, sorted."""
    top = os.path.join(place.root, "generations")
    return sorted(filter(_DIRECTORY.fullmatch, os.listdir(top))) if os.path.isdir(top) else []


class History:
    """As it is when this is made. ``directories``: all that are there, by number and then by when they were active last."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.current = place.current()
        self._log: list[tuple[str, str]] = []
        self._pruned: dict[int, str] = {}
        self._damaged = False
        try:
            for entry in place.depot.audit.entries():
                if entry["event"] == "activate":
                    self._log.append((str(entry["generation"]), str(entry["time"])))
                elif entry["event"] == "prune":
                    self._pruned.update((number_of(str(name)), str(entry["time"])) for name in entry["generations"])
        except (DepotDamaged, KeyError, ValueError):
            # Whoever must go back now has no time for that.
            self._log, self._damaged = [], True
        self.directories = sorted(generation_directories(place), key=lambda name: (number_of(name), self._used(name)))

    def _used(self, directory: str) -> tuple[int, int, float, str]:
        """Sorts by when they were active last."""
        last = max((number for number, (name, _time) in enumerate(self._log) if name == directory), default=-1)
        made = os.stat(os.path.join(self._place.root, "generations", directory)).st_mtime
        return int(directory == self.current), last, made, directory

    def by_number(self) -> dict[int, list[str]]:
        """The directories of each number, the one that was active last at the end."""
        found: dict[int, list[str]] = {}
        for name in self.directories:
            found.setdefault(number_of(name), []).append(name)
        return found

    def numbers(self) -> list[int]:
        """The numbers that there are, the active one first, then by when they were active last."""
        found = self.by_number()
        return sorted(found, key=lambda number: max(map(self._used, found[number])), reverse=True)

    def activated(self, directory: str) -> str:
        """When it became active last; "" where the log doesn't say."""
        return next((when for name, when in reversed(self._log) if name == directory), "")

    def left(self, directory: str) -> str:
        """When it stopped being active; "" for the one that is, and where the log doesn't say."""
        for number in range(len(self._log) - 2, -1, -1):
            if self._log[number][0] == directory and directory != self.current:
                return self._log[number + 1][1]
        return ""

    def may_use(self, started: float, directory: str) -> bool:
        """Whether a go command that began then (seconds since 1970) may have begun with this directory as ``current``."""
        if directory == self.current:
            return True
        left = self.left(directory)
        if left:
            # The log has whole seconds.
            return started < calendar.timegm(time.strptime(left, "%Y-%m-%dT%H:%M:%SZ")) + 1
        return self._damaged and started < os.lstat(os.path.join(self._place.root, "current")).st_mtime

    def pruned(self, number: int) -> str:
        """When the last directory of this number was pruned; "" for never."""
        return self._pruned.get(number, "")


def number_of(directory: str) -> int:
    """The generation's number in a generation directory's name.

    :raises ValueError: it has none.
    """
    return int(directory.split("-")[0])
