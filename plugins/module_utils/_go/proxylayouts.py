# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Athens and goproxy, which sites run already, keep module files on disk: where each file of a GOPROXY tree goes.

Athens: pkg/storage/fs in github.com/gomods/athens; a directory for each version, ``<module>/<version>``, both in their real case, with
``go.mod``, ``source.zip`` and ``<version>.info``. Its lists are the directories it finds, so it knows no list files; links to directories
are read through and not listed. goproxy: DirCacher in github.com/goproxy/goproxy; the paths of the GOPROXY protocol as they are.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .escape import unescape_path, unescape_version

FORMATS = ("athens", "goproxy")

# Below the layout's directory: what the server is told to read.
STORAGE = {"athens": "storage", "goproxy": "cache"}
# Athens alone: versions without a zip, which builds read the go.mod of and lists must not name.
GRAPH = "graph"

_ATHENS_NAMES = {"zip": "source.zip", "mod": "go.mod"}


class Places(t.NamedTuple):
    """``files``: path in the layout → path in the GOPROXY tree; ``links``: path in the layout → where the link leads."""

    files: dict[str, str]
    links: dict[str, str]


def places(form: str, tree: t.Iterable[str], database: str = "") -> Places:
    """Where the files of a GOPROXY tree go.

    :param form: one of FORMATS.
    :param tree: the tree's files, as paths below it.
    :param database: for goproxy, the directory that its copies of database answers go to. It asks for each of them anew and stores it, so
        that part of its cache must be writable for it; "" for none.
    :raises SpecInvalid: a file's name isn't one that a GOPROXY has.
    """
    if form == "goproxy":
        files = {os.path.join(STORAGE[form], path): path for path in tree if not path.startswith("sumdb/")}
        return Places(files, {os.path.join(STORAGE[form], "sumdb"): database} if database else {})
    return _athens(tree)


def _athens(tree: t.Iterable[str]) -> Places:
    versions: dict[tuple[str, str], dict[str, str]] = {}
    for path in tree:
        escaped, at, name = path.rpartition("/@v/")
        stem, _dot, ext = name.rpartition(".")
        if at and ext in ("info", "mod", "zip") and not path.startswith("sumdb/"):
            versions.setdefault((unescape_path(escaped), unescape_version(stem)), {})[ext] = path
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    for (module, version), found in versions.items():
        place = os.path.join(STORAGE["athens"], module, version)
        if "zip" not in found:
            aside = os.path.join(GRAPH, module, version)
            links[place] = os.path.relpath(aside, os.path.dirname(place))
            place = aside
        for ext, path in found.items():
            files[os.path.join(place, _ATHENS_NAMES.get(ext, f"{version}.info"))] = path
    return Places(files, links)
