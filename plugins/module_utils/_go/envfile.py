# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the go command's settings, read as it reads them, and changed without touching what else is in them.

The form of ``go env -w``'s file and of go.env is that of cmd/go/internal/cfg, readEnvFile; that of the telemetry mode file,
golang.org/x/telemetry/internal/telemetry. Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import re
import typing as t


class EnvFile:
    """Lines of ``NAME=value``; ``prefix`` in front of each, such as ``export``'s for a file that shells read.

    Of several lines with one name the last counts. Every other line, comments too, is somebody else's.
    """

    def __init__(self, prefix: str = "") -> None:
        self._line = re.compile(re.escape(prefix) + r"([A-Z][^=\n]*)=(.*)")
        self._prefix = prefix

    def names(self, content: str) -> dict[str, str]:
        """Every setting of a file."""
        matches = map(self._line.fullmatch, content.split("\n"))
        return {match.group(1): match.group(2) for match in matches if match}

    def get(self, content: str, name: str) -> t.Optional[str]:
        """A setting's value; None where it isn't set, which differs from an empty one."""
        return self.names(content).get(name)

    def put(self, content: str, name: str, value: t.Optional[str]) -> str:
        """The content with the setting: in its place where it has one, else at the end; without it for None."""
        lines = content.split("\n")
        places = [number for number, line in enumerate(lines) if (match := self._line.fullmatch(line)) and match.group(1) == name]
        if value is None:
            return "\n".join(line for number, line in enumerate(lines) if number not in places)
        line = f"{self._prefix}{name}={value}"
        if places:
            lines[places[-1]] = line
            return "\n".join(lines)
        return content + ("" if content.endswith("\n") or not content else "\n") + line + "\n"

    def same(self, one: str, other: str) -> bool:
        """Whether two values mean the same."""
        return one == other


class ModeFile(EnvFile):
    """The telemetry mode file: one value, a mode and the day since which it has been so, such as ``off 2026-01-31``."""

    def names(self, content: str) -> dict[str, str]:
        return {"GOTELEMETRY": content} if content.strip() else {}

    def put(self, content: str, name: str, value: t.Optional[str]) -> str:
        return value or ""

    def same(self, one: str, other: str) -> bool:
        return one.split()[:1] == other.split()[:1]
