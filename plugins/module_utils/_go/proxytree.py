# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists that make module files a complete GOPROXY: ``@v/list`` and ``@latest`` of what is carried.

``go help goproxy`` and https://go.dev/ref/mod#goproxy-protocol.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import re
import typing as t

from .._base.files import link_or_copy
from .escape import escape_path, proxy_path

_SEMVER = re.compile(r"v(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
# https://go.dev/ref/mod#pseudo-versions: a timestamp and a commit at the end.
_PSEUDO = re.compile(r"v\d+\.(0\.0-|\d+\.\d+-([^+]*\.)?0\.)\d{14}-[A-Za-z0-9]+(\+.*)?")


def is_pseudo(version: str) -> bool:
    return _PSEUDO.fullmatch(version) is not None


def semver_key(version: str) -> tuple[t.Any, ...]:
    """Sorts canonical versions by precedence (https://semver.org/#spec-item-11).

    :raises ValueError: it isn't a canonical version.
    """
    match = _SEMVER.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} isn't a canonical version")
    major, minor, patch, pre = match.groups()
    identifiers = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in (pre or "").split("."))
    return int(major), int(minor), int(patch), pre is None, identifiers if pre else ()


def write_lists(proxy: str, files: t.Iterable[tuple[str, str, str]]) -> list[str]:
    """Give directory ``proxy``, which has these module files (module, version, info|mod|zip), what a GOPROXY has beside them.

    A list that named more would send ``@latest`` to what isn't there; pseudo-versions are never listed.

    :returns: the paths in it of what was added.
    """
    added: list[str] = []
    carried: dict[str, list[str]] = {}
    for module, version, ext in files:
        if ext == "zip":
            carried.setdefault(module, []).append(version)
    for module, versions in carried.items():
        ordered = sorted(versions, key=semver_key)
        listed = [version for version in ordered if not is_pseudo(version)]
        releases = [version for version in listed if semver_key(version)[3]]
        added += [f"{escape_path(module)}/@v/list", f"{escape_path(module)}/@latest"]
        with open(os.path.join(proxy, added[-2]), "x", encoding="utf-8") as stream:
            stream.writelines(f"{version}\n" for version in listed)
        link_or_copy(os.path.join(proxy, proxy_path(module, (releases or listed or ordered)[-1], "info")), os.path.join(proxy, added[-1]))
    return added
