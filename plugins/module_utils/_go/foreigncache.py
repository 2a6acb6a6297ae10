# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a GOMODCACHE that go filled, and which hashes it must have: those of go.sum files, else its own marks.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .._base.errors import SpecInvalid
from . import cacheprune, gosum
from .cachecheck import Checked
from .modcache import ModuleCache

_DOWNLOAD = os.path.join("cache", "download")


def versions(cache: ModuleCache, sums: t.Mapping[gosum.Key, str]) -> list[Checked]:
    """Every module version of which there is a zip, a go.mod or an unpacked directory, sorted.

    :param sums: what the go.sum files say; a version that they don't know must be what its .ziphash says.
    :raises SpecInvalid: it's no GOMODCACHE.
    """
    root = cache.root
    if not os.path.isdir(os.path.join(root, _DOWNLOAD)):
        raise SpecInvalid(f"{root} is no GOMODCACHE: it has no {_DOWNLOAD}", subject=root, hint="name the directory that `go env GOMODCACHE` prints")
    checked = []
    for (path, version), whole in sorted(cacheprune.versions(cache).items()):
        escaped = cache.base(path, version)
        h1 = sums.get((path, version)) or _mark(escaped + ".ziphash")
        source = escaped + ".zip" if os.path.isfile(escaped + ".zip") else ""
        checked.append(Checked(path, version, h1, sums.get((path, version + "/go.mod"), ""), zip=whole, source=source))
    return checked


def _mark(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            text = stream.read(200).strip()
    except OSError:
        return ""
    return text if gosum.is_h1(text) else ""
