# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a depot's earlier generations spare a gather: module files that were proved, resources, the checksum database that hosts saw.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .._base.errors import DepotDamaged
from .._depot.depot import Depot
from .._depot.generation import Generation
from .._go.carrieddb import Earlier
from .._go.escape import proxy_path
from .._go.store import Held, Key, Version, Zip
from .resources import Resource, Taken


class EarlierGenerations:
    """A depot's readable generations. ``warnings`` names those that aren't."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self.warnings: list[str] = []
        self._generations: list[Generation] = []
        for ref in sorted(depot.index()):
            try:
                self._generations.append(depot.generation(ref))
            except DepotDamaged as exc:
                self.warnings.append(exc.sentence())
        self._files = self._module_files()

    def held(self, key: Key) -> t.Optional[Held]:
        """A module file that is there; a zip with the hashes that were proved then."""
        known = self._files.get(key)
        if known is None and key[2] == "info":
            # Some are carried without their module, which no document lists.
            paths = (os.path.join(self._proxy(generation), proxy_path(*key)) for generation in reversed(self._generations))
            found = next(filter(os.path.exists, paths), None)
            return Held(found) if found else None
        return known

    def _proxy(self, generation: Generation) -> str:
        return os.path.join(self._depot.tree(generation.ref), "proxy")

    def _module_files(self) -> dict[Key, Held]:
        held: dict[Key, Held] = {}
        for generation in self._generations:
            proxy = self._proxy(generation)
            for module in generation.config["modules"]:
                path, version = str(module["path"]), str(module["version"])
                for ext in ("info", "mod"):
                    if (path, version, ext) not in held:
                        file = os.path.join(proxy, proxy_path(path, version, ext))
                        if os.path.exists(file):
                            held[(path, version, ext)] = Held(file)
                if module["zip"] and self._depot.blobs.has("sha256:" + module["zip"], module["size"]):
                    blob = self._depot.blobs.path("sha256:" + module["zip"])
                    known = Zip(str(module["h1"]), int(module["files"]), int(module["unpacked"]))
                    held[(path, version, "zip")] = Held(blob, str(module["zip"]), known)
        return held

    def resource(self, found: Resource) -> t.Optional[Taken]:
        """A resource that is a blob of the depot already: the same file, files or commit."""
        blobs = self._depot.blobs
        if found.kind == "file":
            path = blobs.path("sha256:" + found.sha256)
            return Taken(path, found.sha256, os.stat(path).st_size) if os.path.exists(path) else None
        for generation in self._generations:
            for entry in generation.config["files"]:
                same = entry.get("commit") == found.commit if found.commit else entry.get("digest") == found.sha256
                if same and blobs.has("sha256:" + entry["sha256"], entry["size"]):
                    path = blobs.path("sha256:" + entry["sha256"])
                    return Taken(path, entry["sha256"], entry["size"], entry["kind"], entry.get("digest", ""), entry.get("commit", ""))
        return None

    def database(self, name: str) -> Earlier:
        """What went to hosts of the checksum database ``name``."""
        directory = None
        heads: set[int] = set()
        public: set[Version] = set()
        for generation in self._generations:
            head = generation.config["go"].get("sumdb") or {}
            if head.get("name") != name:
                # What another database has records of may be nothing that this one should hear of.
                continue
            public.update((str(module["path"]), str(module["version"])) for module in generation.config["modules"] if module["public"])
            at = os.path.join(self._depot.tree(generation.ref), "proxy", "sumdb", name)
            if os.path.isdir(at):
                directory = at
                heads.update(head["older"])
        return Earlier(directory, tuple(sorted(heads)), frozenset(public))
