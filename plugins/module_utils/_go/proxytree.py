# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists that make a directory of module files a complete GOPROXY: ``@v/list`` and ``@latest`` of what is carried.

``go help goproxy`` and https://go.dev/ref/mod#goproxy-protocol.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import re
import shutil
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


def lay_out(root: str, files: t.Mapping[tuple[str, str, str], str]) -> None:
    """Make the directory ``root`` a GOPROXY that has exactly ``files``: (module, version, info|mod|zip) to where each is now.

    What was laid out there before may stay only when it's in ``files`` too.
    """
    os.makedirs(root, exist_ok=True)
    carried: dict[str, list[str]] = {}
    for (module, version, ext), path in files.items():
        dest = os.path.join(root, proxy_path(module, version, ext))
        if not os.path.exists(dest):
            os.makedirs(os.path.dirname(dest), exist_ok=True)
            link_or_copy(path, dest)
        if ext == "zip":
            carried.setdefault(module, []).append(version)
    write_lists(root, carried)


def write_lists(root: str, carried: t.Mapping[str, t.Sequence[str]]) -> None:
    """Write ``@v/list`` and ``@latest`` below the proxy tree ``root`` for modules and their carried versions with zips.

    A list that named more would send ``@latest`` to what isn't there; pseudo-versions are never listed.
    """
    for module, versions in carried.items():
        ordered = sorted(versions, key=semver_key)
        listed = [version for version in ordered if not is_pseudo(version)]
        at = os.path.join(root, escape_path(module), "@v")
        os.makedirs(at, exist_ok=True)
        with open(os.path.join(at, "list"), "w", encoding="utf-8") as stream:
            stream.writelines(f"{version}\n" for version in listed)
        releases = [version for version in listed if semver_key(version)[3]]
        latest = (releases or listed or ordered)[-1]
        shutil.copyfile(os.path.join(root, proxy_path(module, latest, "info")), os.path.join(root, escape_path(module), "@latest"))
