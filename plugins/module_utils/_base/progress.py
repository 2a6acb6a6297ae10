# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress lines: what, n of m, MB, rate, time left; at most one every two seconds, in plain logs too.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

INTERVAL = 2.0

Sink = t.Callable[[str], None]


def to_file(path: str) -> Sink:
    """A sink that appends whole lines to a file, which another process may be following.

    A line that can't be written is lost: no work ends for want of it.
    """

    def write(line: str) -> None:
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    return write


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


class Reporter:
    """Where a verb's stages report to. All stages of one run share its clock, so lines stay two seconds apart.

    :param sink: takes one finished line; None throws lines away.
    """

    def __init__(self, sink: t.Optional[Sink] = None, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._sink = sink
        self._clock = clock
        self._last = clock()
        self._lock = threading.Lock()

    def stage(self, what: str, count: int = 0, size: int = 0) -> Stage:
        """Start a stage of ``count`` things or ``size`` bytes (0: not known)."""
        return Stage(self, what, count, size)

    def now(self) -> float:
        return self._clock()

    def offer(self, render: t.Callable[[], str]) -> None:
        """Say a line, unless one was said in the last two seconds."""
        with self._lock:
            now = self._clock()
            if self._sink is None or now - self._last < INTERVAL:
                return
            self._last = now
            line = render()
        self._sink(line)


class Stage:
    """One stretch of work. Thread-safe; ``advance`` as things get done."""

    def __init__(self, reporter: Reporter, what: str, count: int, size: int) -> None:
        self._reporter = reporter
        self._what = what
        self._count = count
        self._size = size
        self._done = 0
        self._moved = 0
        self._started = reporter.now()
        self._lock = threading.Lock()

    def expect(self, count: int = 0, size: int = 0) -> None:
        """More turned out to be needed."""
        with self._lock:
            self._count += count
            self._size += size

    def advance(self, count: int = 0, size: int = 0, note: str = "") -> None:
        """``count`` more things and ``size`` more bytes are done; ``note`` names the thing in hand."""
        with self._lock:
            self._done += count
            self._moved += size
        self._reporter.offer(lambda: self.render(note))

    def render(self, note: str = "") -> str:
        """``gather: fetch 120 of 370, 85.2 MB of 211.0 MB, 42.1 MB/s, 3 s left (name)``"""
        elapsed = max(self._reporter.now() - self._started, 1e-6)
        words = [self._what]
        if self._count:
            words[0] += f" {self._done} of {self._count}"
        elif self._done:
            words[0] += f" {self._done}"
        if self._moved or self._size:
            words.append(megabytes(self._moved) + (f" of {megabytes(self._size)}" if self._size else ""))
        if self._moved:
            words.append(f"{megabytes(self._moved / elapsed)}/s")
        share = 0.0
        if self._size:
            share = self._moved / self._size
        elif self._count:
            share = self._done / self._count
        if 0 < share < 1:
            words.append(f"{elapsed * (1 - share) / share:.0f} s left")
        return ", ".join(words) + (f" ({note})" if note else "")
