# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a depot can do without: index entries, trees, layers' files in trees that stay, blobs. First the plan, then the same plan carried out.

The order makes every kill harmless: a generation is forgotten by one rename of index.json before any of its files go, and a
layer's files go before its blob, which says which they are.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from .._base.errors import AirgapError
from .._base.files import remove_tree, sync_filesystem
from .._base.ustar import packed
from .depot import Depot
from .generation import Ref
from .manifest import Layer
from .tree import note_path, take_out


@dataclasses.dataclass(frozen=True)
class Goes:
    """``refs``: index entries; ``trees``: whole trees, by name; ``layers``: (a tree's name, layer) → its files in a tree that stays;
    ``blobs``: digests."""

    refs: t.Sequence[Ref]
    trees: t.Sequence[str]
    layers: t.Mapping[tuple[str, Layer], t.Sequence[str]]
    blobs: t.Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.refs or self.trees or self.layers or self.blobs)

    def paths(self, depot: Depot) -> t.Iterator[str]:
        """Every file and tree that goes; none lies in another."""
        for tree in self.trees:
            yield os.path.join(depot.path, "trees", tree)
        for (tree, layer), files in self.layers.items():
            top = os.path.join(depot.path, "trees", tree)
            yield from (os.path.join(top, file) for file in files)
            if layer.unpack:
                yield note_path(top, layer)
        yield from map(depot.blobs.path, self.blobs)


def plan(depot: Depot, stays: t.Mapping[Ref, t.Iterable[Layer]], documents: t.Container[str] = ()) -> Goes:
    """Compare what is here with what shall stay; changes nothing.

    :param stays: the generations that stay, with the layers of them that do.
    :param documents: digests of further blobs that stay (manifests that receipts name).
    :raises DepotDamaged: a generation that stays can't be read.
    """
    index = depot.index()
    kept: set[str] = set()
    going: dict[tuple[str, Layer], t.Sequence[str]] = {}
    for ref, layers in stays.items():
        generation = depot.generation(ref)
        wanted = set(layers)
        kept |= {generation.digest, generation.manifest.config, *(layer.digest for layer in wanted)}
        titles = {layer.title for layer in wanted}
        for layer in generation.manifest.layers:
            if layer not in wanted:
                files = _files(depot, depot.tree(ref), layer)
                found = [file for file in files if file not in titles and os.path.lexists(os.path.join(depot.tree(ref), file))]
                if found or (layer.unpack and files and os.path.exists(note_path(depot.tree(ref), layer))):
                    going[str(ref), layer] = found
    names = {str(ref) for ref in stays}
    return Goes(
        refs=[ref for ref in sorted(index) if ref not in stays],
        trees=[name for name in _names(os.path.join(depot.path, "trees")) if name not in names],
        layers=going,
        blobs=[digest for digest in depot.blobs.digests() if digest not in kept and digest not in documents],
    )


def carry_out(depot: Depot, goes: Goes) -> None:
    """Remove it. Needs the lock. What is gone already is no error, so a rerun finishes."""
    depot.forget(goes.refs)
    for name in goes.trees:
        remove_tree(os.path.join(depot.path, "trees", name))
    of_tree: dict[str, list[tuple[Layer, t.Sequence[str]]]] = {}
    for (name, layer), files in goes.layers.items():
        of_tree.setdefault(name, []).append((layer, files))
    for name, entries in of_tree.items():
        take_out(os.path.join(depot.path, "trees", name), entries)
    if of_tree:
        # A layer's blob is what a rerun would know its files by.
        sync_filesystem(depot.path)
    depot.blobs.discard(goes.blobs)


def _files(depot: Depot, tree: str, layer: Layer) -> list[str]:
    """The names of a layer's files in a tree; none where only its blob could say so and isn't here."""
    if not layer.unpack:
        return [layer.title]
    path = depot.blobs.path(layer.digest)
    with contextlib.suppress(FileNotFoundError, AirgapError), open(path, "rb") as stream:
        return [f"{layer.unpack}/{member.name}" for member in packed(stream, layer.title)]
    return []


def _names(directory: str) -> list[str]:
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []
