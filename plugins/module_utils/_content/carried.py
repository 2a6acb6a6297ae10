# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a generation carries, in the terms of those who unpack it: module files of its tree, layers by what a host needs.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .._depot.generation import Generation
from .._depot.manifest import Layer
from .._go.escape import proxy_path
from .._go.modcache import CachedModule

# The parts of a host's state that can be asked for, and the kinds of layers that each needs.
PARTS: t.Mapping[str, tuple[str, ...]] = {
    "toolchain": ("toolchain",),
    "modcache": ("toolchain", "module"),
    "goenv": (),
    "project": ("source", "vendor"),
    "tools": ("tool", "extra"),
    "depot": ("toolchain", "module", "source", "vendor", "file", "tool", "extra"),
}

# Small, and needed by whatever uses the tree as a GOPROXY or asks where things come from.
ALWAYS = ("index", "sumdb", "evidence")


def cached_modules(generation: Generation, tree: str) -> list[CachedModule]:
    """Every module version of a generation as files of its tree; a zip that the tree lacks leaves go.mod alone."""
    found = []
    for module in generation.config["modules"]:
        path, version = str(module["path"]), str(module["version"])
        files = {ext: os.path.join(tree, "proxy", proxy_path(path, version, ext)) for ext in ("zip", "info", "mod")}
        zipped = files["zip"] if module["zip"] else ""
        found.append(CachedModule(path, version, str(module["h1"]), zipped, files["info"], files["mod"]))
    return found


def needed_layers(
    generation: Generation,
    parts: t.Container[str],
    platform: str,
    projects: t.Optional[t.Container[str]],
    tools: t.Optional[t.Container[str]],
) -> list[Layer]:
    """The layers that a host of ``platform`` (os/arch) needs for these parts.

    Other platforms' toolchains and tools only travel with the whole depot; ``projects`` and ``tools``: their names, None for all.
    With a tool come its completions and man pages, whether they are linked or not.
    """
    kinds = {kind for part, kinds in PARTS.items() if part in parts for kind in kinds}
    whole = "depot" in parts
    return [
        layer
        for layer in generation.manifest.layers
        if layer.kind in ALWAYS
        or (
            layer.kind in kinds
            and (whole or not layer.platform or layer.platform == platform)
            and (whole or not layer.project or projects is None or layer.project in projects)
            and (whole or layer.kind not in ("tool", "extra") or tools is None or os.path.basename(layer.unpack or layer.title) in tools)
        )
    ]
