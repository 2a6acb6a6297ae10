# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a generation directory refers to: layers of its generation, module versions, builds. Whatever frees room goes by this.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._base.errors import AirgapError, DepotDamaged
from .._content.carried import needed_layers
from .._depot.generation import Generation, Ref
from .._depot.manifest import Layer
from .._go.cacheprune import Version
from .place import Place


@dataclasses.dataclass(frozen=True)
class Needs:
    """``directory``: the generation directory whose they are. ``modules``: True for a version with its zip, False for a go.mod alone.
    ``builds``: the name below ROOT/builds, "" for none. ``blobs``: the digests of all of it, documents included."""

    directory: str
    ref: Ref
    layers: frozenset[Layer]
    modules: t.Mapping[Version, bool]
    builds: str
    blobs: frozenset[str]


def needs_of(place: Place, directory: str, generation: Generation, parts: t.Mapping[str, t.Any]) -> Needs:
    """What a state with these parts of a generation refers to."""
    layers = needed_layers(generation, parts, place.platform, parts.get("project", {}).get("names"), parts.get("tools", {}).get("programs"))
    modules: dict[Version, bool] = {}
    for module in place.wanted_modules(generation, parts):
        key = (module.path, module.version)
        modules[key] = modules.get(key, False) or bool(module.zip)
    blobs = {generation.digest, generation.manifest.config, *(layer.digest for layer in layers)}
    builds = f"{generation.ref.number:06d}" if "project" in parts else ""
    return Needs(directory, generation.ref, frozenset(layers), modules, builds, frozenset(blobs))


def needs_here(place: Place, directory: str) -> Needs:
    """What a generation directory that is here refers to.

    :raises HostRefused: its state can't be read.
    :raises DepotDamaged: its generation can't.
    """
    state = place.state(directory)
    generation = place.depot.generation(Ref.parse(str(state.get("generation", ""))))
    if generation.digest != state.get("manifest"):
        raise DepotDamaged(
            f"{place.depot.path} has another generation {generation.ref} than {directory} was made of",
            code="generation_conflict",
            subject=directory,
            expected=str(state.get("manifest", "")),
            found=generation.digest,
            hint="deploy it again",
        )
    return needs_of(place, directory, generation, state["parts"])


def needs_if_known(place: Place, directory: str) -> t.Optional[Needs]:
    """As ``needs_here``; None where that can't be said, for what is to go anyway."""
    try:
        return needs_here(place, directory)
    except AirgapError:
        return None


def database_tree(place: Place, ref: Ref) -> str:
    """Where a generation's tree has its snapshot of the checksum database."""
    return os.path.join(place.depot.tree(ref), "proxy", "sumdb")


def newest_database(place: Place) -> t.Optional[Ref]:
    """The newest generation here whose tree has a snapshot of the checksum database; None for none."""
    return max((ref for ref in place.depot.index() if os.path.isdir(database_tree(place, ref))), default=None)


def database_layers(place: Place, coming: t.Optional[Needs] = None) -> dict[Ref, set[Layer]]:
    """The layers of the snapshot of the checksum database that ROOT/sumdb leads to, whosever it is: it never goes back.

    :param coming: of what is about to be admitted: ROOT/sumdb will lead to its snapshot, where that's the newest.
    """
    own = {layer for layer in coming.layers if layer.kind == "sumdb"} if coming else set()
    if coming and own and coming.ref >= (newest_database(place) or coming.ref):
        return {coming.ref: own}
    try:
        tree = os.readlink(os.path.join(place.root, "sumdb")).split(os.sep)
        generation = place.depot.generation(Ref.parse(tree[tree.index("trees") + 1]))
    except (OSError, ValueError, IndexError, AirgapError):
        return {}
    return {generation.ref: {layer for layer in generation.manifest.layers if layer.kind == "sumdb"}}
