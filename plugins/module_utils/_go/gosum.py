# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""go.sum: which hash each module's zip and go.mod must have, from one file or from several that must agree.

The format is the go command's ("go help module-auth"): lines of module, version or version/go.mod, hash.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import binascii
import typing as t

from .._base.errors import ModuleRefused, ProjectDirty

#: (module, version) for a zip, (module, version + "/go.mod") for a go.mod.
Key = t.Tuple[str, str]

# What go wrote for a go.mod that it had not read, once; the go command skips such lines too (modfetch.emptyGoModHash).
_EMPTY_GO_MOD = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="


def parse(text: str, path: str) -> dict[Key, str]:
    """What a go.sum (or go.work.sum) says: key to h1. Hashes of kinds other than h1 are left to those who know them.

    :param path: the file's name, for messages.
    :raises ProjectDirty: a line is malformed; each such line is in ``details``.
    :raises ModuleRefused: two lines give different hashes for one thing.
    """
    sums: dict[Key, str] = {}
    lines: dict[Key, int] = {}
    bad: list[dict[str, t.Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if not fields:
            continue
        wrong = _why_malformed(fields)
        if wrong:
            bad.append({"path": path, "line": number, "why": wrong})
            continue
        module, version, hashed = fields
        if not hashed.startswith("h1:") or hashed == _EMPTY_GO_MOD:
            continue
        key = (module, version)
        if sums.setdefault(key, hashed) != hashed:
            raise _contradiction([(key, f"{path}:{lines[key]}", sums[key], f"{path}:{number}", hashed)])
        lines.setdefault(key, number)
    if bad:
        first = bad[0]
        more = f" (and {len(bad) - 1} more lines)" if len(bad) > 1 else ""
        raise ProjectDirty(
            f"{path}:{first['line']} {first['why']}{more}",
            subject=f"{path}:{first['line']}",
            hint="restore the file, or let `go mod tidy` write it again",
            details=bad,
        )
    return sums


def merge(sums: t.Mapping[str, t.Mapping[Key, str]]) -> dict[Key, str]:
    """Several files' sums as one: path to what ``parse`` gave for it.

    :raises ModuleRefused: two files give different hashes for one thing; ``details`` has each such thing with both files.
    """
    merged: dict[Key, str] = {}
    origins: dict[Key, str] = {}
    contradictions: list[tuple[Key, str, str, str, str]] = []
    for path, entries in sums.items():
        for key, hashed in entries.items():
            if merged.setdefault(key, hashed) != hashed:
                contradictions.append((key, origins[key], merged[key], path, hashed))
            origins.setdefault(key, path)
    if contradictions:
        raise _contradiction(contradictions)
    return merged


def is_h1(hashed: str) -> bool:
    """Whether this has the shape of an h1: "h1:" and 32 bytes in base64."""
    if not hashed.startswith("h1:") or len(hashed) != 47:
        return False
    try:
        return len(binascii.a2b_base64(hashed[3:].encode("ascii"))) == 32
    except (binascii.Error, UnicodeEncodeError):
        return False


def _why_malformed(fields: t.Sequence[str]) -> str:
    if len(fields) != 3:
        return f"has {len(fields)} fields, not module, version and hash"
    if not fields[1].startswith("v"):
        return f"has {fields[1]!r} for a version"
    if fields[2].startswith("h1:") and not is_h1(fields[2]):
        return f"has {fields[2]!r} for a hash, which is no h1"
    return ""


def _contradiction(found: t.Sequence[tuple[Key, str, str, str, str]]) -> ModuleRefused:
    (module, version), one, first, other, second = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return ModuleRefused(
        f"{module} {version} has two hashes: {first} in {one}, {second} in {other}{more}",
        subject=f"{module}@{version}",
        expected=first,
        found=second,
        hint="one of the two was written from other bytes than the checksum database knows: check both with `go mod verify` and restore the wrong one",
        details=[
            {"module": module, "version": version, "files": [one, other], "hashes": [first, second]} for (module, version), one, first, other, second in found
        ],
    )
