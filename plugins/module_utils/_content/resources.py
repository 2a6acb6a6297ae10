# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource files that a spec names: which bytes they are now, and copies of just those.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import typing as t

from .._base.errors import ModuleRefused, SpecInvalid
from .._base.files import sha256_of
from .spec import CarriedFile


@dataclasses.dataclass(frozen=True)
class Resource:
    """A resource file: where it is now, its hex SHA-256, its size in bytes."""

    path: str
    sha256: str
    size: int


def find(files: t.Iterable[CarriedFile]) -> dict[str, Resource]:
    """The spec's files by their dest.

    :raises SpecInvalid: one isn't there.
    :raises ModuleRefused: one isn't what its sha256 says.
    """
    found = {}
    for file in files:
        if not os.path.isfile(file.source):
            raise SpecInvalid(f"there is no file {file.source}", subject=file.source, hint="files come from the connected control node")
        sha256, size = sha256_of(file.source)
        if file.sha256 and file.sha256 != sha256:
            raise ModuleRefused(
                f"the file {file.source} isn't the one the spec means",
                code="file_refused",
                subject=file.source,
                expected=file.sha256,
                found=sha256,
                hint="find out who changed it",
            )
        found[file.dest] = Resource(file.source, sha256, size)
    return found


def take(resources: t.Mapping[str, Resource], directory: str) -> dict[str, Resource]:
    """Copies below ``directory``, which nobody writes to while they're carried.

    :raises SpecInvalid: one changed since it was found.
    """
    taken = {}
    for dest, resource in resources.items():
        path = os.path.join(directory, dest)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copyfile(resource.path, path)
        if sha256_of(path) != (resource.sha256, resource.size):
            raise SpecInvalid(f"the file {resource.path} changed while it was gathered", subject=resource.path, hint="run it again")
        taken[dest] = Resource(path, resource.sha256, resource.size)
    return taken
