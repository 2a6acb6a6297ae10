# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log: one JSON line an event, each with the hash of the line before, so that no line can go unseen.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import io
import json
import os
import typing as t

from .._base.errors import DepotDamaged
from .manifest import canonical

START = "0" * 64


def now() -> str:
    """The time as RFC 3339, UTC, whole seconds."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class AuditLog:
    """``DEPOT/audit.jsonl``. The caller holds the depot's lock."""

    def __init__(self, depot: str) -> None:
        self.path = os.path.join(depot, "audit.jsonl")

    def append(self, event: str, trace_id: str, **facts: t.Any) -> None:
        """Add ``{time, trace_id, event, …facts, previous}`` and make it last.

        A line that a kill cut short is closed by a newline first, and stays there as what it is.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        with os.fdopen(descriptor, "r+b", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            line, whole = _last_line(stream)
            previous = hashlib.sha256(line).hexdigest() if size else START
            entry = dict(facts, time=now(), trace_id=trace_id, event=event, previous=previous)
            addition = (b"" if whole else b"\n") + canonical(entry) + b"\n"
            try:
                if stream.write(addition) != len(addition):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
                os.fsync(descriptor)
            except OSError:
                # What didn't happen leaves no half line behind.
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise

    def entries(self) -> list[dict[str, t.Any]]:
        """All events, oldest first.

        :raises DepotDamaged: a line was changed, removed or cut.
        """
        found: list[dict[str, t.Any]] = []
        previous = START
        try:
            with open(self.path, "rb") as stream:
                for number, raw in enumerate(stream, 1):
                    line = raw.rstrip(b"\n")
                    try:
                        entry = json.loads(line.decode("utf-8"))
                        fits = entry["previous"] == previous
                    except (ValueError, KeyError, TypeError, RecursionError):
                        # What a power cut left of a line: the next line's hash covers it, so it's known, not hidden.
                        entry, fits = None, True
                    if not fits:
                        raise DepotDamaged(
                            f"{self.path}: line {number} doesn't follow from the line before it",
                            code="audit_broken",
                            subject=f"line {number}",
                            expected=previous,
                            found=str(entry["previous"]),
                            hint="a line was changed or removed; compare with a backup",
                        )
                    if entry is not None:
                        found.append(entry)
                    previous = hashlib.sha256(line).hexdigest()
        except FileNotFoundError:
            return []
        return found


def _last_line(stream: io.FileIO) -> tuple[bytes, bool]:
    """(the last line without its newline, whether it had one); the file may be empty."""
    end = stream.seek(0, os.SEEK_END)
    if not end:
        return b"", True
    tail = b""
    position = end
    while position and b"\n" not in tail[:-1]:
        step = min(65536, position)
        position -= step
        stream.seek(position)
        tail = stream.read(step) + tail
    stream.seek(0, os.SEEK_END)
    return tail[:-1].rsplit(b"\n", 1)[-1] + (b"" if tail.endswith(b"\n") else tail[-1:]), tail.endswith(b"\n")
