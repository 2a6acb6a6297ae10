# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shared GOMODCACHE holds, whoever brought it, and how versions go from it though all of it is read-only.

Names are those of cmd/go/internal/modfetch (cache.go). A version's mark goes first, so that what is half removed isn't trusted.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._base.errors import AirgapError
from .._base.files import remove_empty, remove_empty_below
from .escape import unescape_path, unescape_version
from .modcache import ModuleCache

Version = t.Tuple[str, str]

# In the order in which they go: the marks first.
_OF_ZIP = (".ziphash", ".zip", ".lock", ".partial")
_OF_GOMOD = (".mod", ".info")
_LISTS = ("list", "list.lock")


def versions(cache: ModuleCache) -> dict[Version, bool]:
    """(path, version) of everything in the cache, whole or not; True for more than what goes with a go.mod alone."""
    found: dict[Version, bool] = {}

    def add(path: str, version: str, zipped: bool) -> None:
        # Go itself wouldn't find what has no module's name.
        with contextlib.suppress(AirgapError):
            key = (unescape_path(path), unescape_version(version))
            found[key] = found.get(key, False) or zipped

    download = os.path.join(cache.root, "cache", "download")
    for directory, _names, files in os.walk(download):
        if os.path.basename(directory) == "@v":
            path = os.path.relpath(os.path.dirname(directory), download)
            for file in files:
                version, ext = os.path.splitext(file)
                if ext in _OF_ZIP + _OF_GOMOD and version != "list":
                    add(path, version, ext in _OF_ZIP)
    for directory, names, _files in os.walk(cache.root):
        if directory == cache.root and "cache" in names:
            names.remove("cache")
        for name in [name for name in names if "@" in name]:
            names.remove(name)
            path, _at, version = os.path.relpath(os.path.join(directory, name), cache.root).rpartition("@")
            add(path, version, True)
    return found


def paths(cache: ModuleCache, version: Version, gomod_stays: bool) -> list[str]:
    """The files and the directory that go with a version."""
    base = cache.base(*version)
    return [cache.directory(*version), *(base + ext for ext in _OF_ZIP + (() if gomod_stays else _OF_GOMOD))]


def lists(cache: ModuleCache, going: t.Mapping[Version, bool]) -> t.Iterator[str]:
    """The files that go beside the versions' own: lists of modules that have none then."""
    names: dict[str, set[str]] = {}
    for version, gomod_stays in going.items():
        for path in paths(cache, version, gomod_stays)[1:]:
            names.setdefault(os.path.dirname(path), set()).add(os.path.basename(path))
    for directory, its in names.items():
        if os.path.isdir(directory) and not any(name.endswith(_OF_GOMOD) for name in set(os.listdir(directory)) - its):
            yield from (os.path.join(directory, name) for name in _LISTS)


def remove(cache: ModuleCache, going: t.Mapping[Version, bool]) -> None:
    """Remove versions; where the value is True, go.mod and .info stay. What is gone already is no error.

    :raises HostRefused: the cache can't be written.
    """
    if not going:
        return
    with cache.exclusive():
        touched = set()
        for (path, version), gomod_stays in going.items():
            base, directory = cache.base(path, version), cache.directory(path, version)
            for ext in _OF_ZIP[:1] if gomod_stays else (_OF_ZIP[0], _OF_GOMOD[0]):
                _unlink(base + ext)
            cache.discard(directory)
            for ext in _OF_ZIP[1:] + (() if gomod_stays else _OF_GOMOD[1:]):
                _unlink(base + ext)
            touched.add(os.path.dirname(base))
            remove_empty(os.path.dirname(directory), cache.root)
        for directory in filter(os.path.isdir, touched):
            _settle(cache, directory, os.listdir(directory))
            remove_empty(directory, cache.root)


def _settle(cache: ModuleCache, directory: str, files: t.Iterable[str]) -> None:
    """Let an @v directory's list say what is there; with no version there's none."""
    if any(name.endswith(_OF_GOMOD) for name in files):
        cache.write_list(directory)
        return
    for name in _LISTS:
        _unlink(os.path.join(directory, name))


def sweep(cache: ModuleCache) -> None:
    """Put right what a killed removal left: lists that say too much, empty directories."""
    if not os.path.isdir(cache.root):
        return
    with cache.exclusive():
        for directory, _names, files in os.walk(os.path.join(cache.root, "cache", "download")):
            if os.path.basename(directory) == "@v":
                _settle(cache, directory, files)
        remove_empty_below(cache.root)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
