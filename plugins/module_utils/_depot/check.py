# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A depot's blobs against their names, and its trees against the blobs that they are made of.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from .._base.errors import BundleDamaged
from .._base.findings import Comparison, Finding, Found, Known, Mend, Want, look, take_stock
from .._base.ustar import packed
from .blobs import BlobStore, is_temporary
from .depot import Depot
from .generation import Generation
from .manifest import EXECUTABLE, Layer
from .tree import SUMS, note_path


@dataclasses.dataclass(frozen=True)
class BlobSeen:
    """What is at a blob's place. ``sha256``: hex; "" where there is no file that can be read; ``inode``: (device, number)."""

    digest: str
    found: t.Optional[Found]
    inode: tuple[int, int]
    size: int

    @property
    def right(self) -> bool:
        return self.found is not None and self.found.kind == "file" and "sha256:" + self.found.sha256 == self.digest


def look_at_blob(blobs: BlobStore, digest: str) -> BlobSeen:
    path = blobs.path(digest)
    found, size = look(path, {})
    seen = os.lstat(path) if found is not None else None
    return BlobSeen(digest, found, (seen.st_dev, seen.st_ino) if seen is not None else (0, 0), size)


def blob_findings(blobs: BlobStore, seen: BlobSeen, size: int, owner: int) -> list[Finding]:
    """:param size: in bytes, as the manifest has it."""
    mend: Mend = ("blob", seen.digest, str(size))
    name = os.path.basename(blobs.path(seen.digest))
    comparison = Comparison(blobs.directory, owner, lambda _name: ("blob", seen.digest), lambda _name: mend, lambda _name: ())
    return comparison.differences({name: Want(name)}, {name: seen.found} if seen.found is not None else {})


def stray_blobs(blobs: BlobStore) -> list[Finding]:
    """What is among the blobs and has no blob's name. Blobs that no generation names are no damage: a delivery that was cut short leaves them."""
    findings = []
    for name in sorted(os.listdir(blobs.directory)) if os.path.isdir(blobs.directory) else ():
        if not is_temporary(name) and not (len(name) == 64 and all(letter in "0123456789abcdef" for letter in name)):
            path = os.path.join(blobs.directory, name)
            findings.append(Finding("blob", name, path, "stray", mend=("remove", path)))
    return findings


@dataclasses.dataclass(frozen=True)
class LayerSeen:
    """A tar layer's members, and the files of a tree that they became. ``files``: path below the tree → (hex SHA-256 as packed, mode, hex SHA-256
    as found, "" for what is no file there); ``read``: bytes."""

    files: t.Mapping[str, tuple[str, int, str]]
    read: int


def look_at_layer(blobs: BlobStore, layer: Layer, tree: str) -> t.Optional[LayerSeen]:
    """A tar layer, whose blob is right, and its files below ``tree``; None where the blob can't be unpacked after all."""
    files: dict[str, tuple[str, int, str]] = {}
    read = 0
    try:
        with open(blobs.path(layer.digest), "rb") as stream:
            for member in packed(stream, layer.title):
                digest = hashlib.sha256()
                for chunk in member.chunks():
                    digest.update(chunk)
                name = f"{layer.unpack}/{member.name}"
                found, size = look(os.path.join(tree, name), {})
                read += size
                files[name] = (digest.hexdigest(), 0o555 if member.executable else 0o444, found.sha256 if found is not None else "")
    except (BundleDamaged, OSError):
        return None
    return LayerSeen(files, read)


def held_layers(depot: Depot, generation: Generation, needed: t.Iterable[Layer]) -> list[Layer]:
    """The layers of a generation that this depot is to have: those that are needed, and those that its tree has beside."""
    tree = depot.tree(generation.ref)
    digests = {layer.digest for layer in needed}
    return [
        layer
        for layer in generation.manifest.layers
        if layer.digest in digests or os.path.lexists(note_path(tree, layer) if layer.unpack else os.path.join(tree, layer.title))
    ]


class TreeCheck:
    """One generation's tree.

    :param layers: those that it's to have.
    :param seen: title → what ``look_at_layer`` gave for each tar layer of them; those that it has nothing of aren't checked.
    """

    def __init__(self, depot: Depot, generation: Generation, layers: t.Sequence[Layer], seen: t.Mapping[str, LayerSeen], known: Known, owner: int) -> None:
        self._tree = depot.tree(generation.ref)
        self._ref = str(generation.ref)
        self._layers = layers
        self._seen = seen
        self._known = known
        self._owner = owner
        self._digests: dict[str, str] = {}
        self._vendors: set[str] = set()

    def findings(self) -> tuple[list[Finding], int]:
        """The findings, and how many bytes were read."""
        wanted, unknown = self._wanted()
        stock, read = self._stock(wanted)
        notes = {os.path.relpath(note_path(self._tree, layer), self._tree): layer.digest for layer in self._layers if layer.title in self._seen}
        self._digests.update(notes)
        sums = "" if unknown else hashlib.sha256(self.sums().encode("utf-8", "surrogateescape")).hexdigest()
        own = {SUMS: Want(sums), **{name: Want("") for name in notes}}
        comparison = Comparison(
            self._tree,
            self._owner,
            label=self._label,
            mend=lambda name: ("sums", self._ref) if name == SUMS else ("layer", self._ref, self._digests.get(name, "")),
            stray=self._stray,
            directory_mode=0o755,
            # Notes of other layers do no harm.
            ignore=frozenset({".layers", *unknown}),
        )
        return comparison.differences({**wanted, **own}, stock), read

    def sums(self) -> str:
        """What SHA256SUMS has to say of these layers."""
        lines = {}
        for layer in self._layers:
            if not layer.unpack:
                lines[layer.title] = layer.hex
            elif layer.title in self._seen:
                lines.update((name, sha256) for name, (sha256, _mode, _found) in self._seen[layer.title].files.items())
        return "".join(f"{lines[name]}  {name}\n" for name in sorted(lines))

    def _wanted(self) -> tuple[dict[str, Want], set[str]]:
        """What is to be here, and below which directories there is more of which nothing is known."""
        wanted: dict[str, Want] = {}
        unknown: set[str] = set()
        for layer in self._layers:
            if not layer.unpack:
                wanted[layer.title] = Want(layer.hex, 0o555 if layer.kind in EXECUTABLE else 0o444)
                self._digests[layer.title] = layer.digest
            elif layer.title in self._seen:
                for name, (sha256, mode, _found) in self._seen[layer.title].files.items():
                    wanted[name] = Want(sha256, mode)
                    self._digests[name] = layer.digest
                    if layer.kind == "vendor" and name.endswith("/vendor/modules.txt"):
                        self._vendors.add(os.path.dirname(name))
            else:
                unknown.add(layer.unpack)
        return wanted, unknown

    def _stock(self, wanted: t.Mapping[str, Want]) -> tuple[dict[str, Found], int]:
        hashed = {name: found for seen in self._seen.values() for name, (_sha256, _mode, found) in seen.files.items()}
        found, _size = look(self._tree, {})
        stock, read = take_stock(self._tree, self._known, hashed=False)
        # A killed run's leavings are swept by the next.
        stock = {name: entry for name, entry in stock.items() if not is_temporary(os.path.basename(name))}
        if found is not None:
            stock[""] = found
        for name, found in stock.items():
            if found.kind != "file" or found.sha256:
                continue
            if name in hashed:
                stock[name] = found._replace(sha256=hashed[name])
            elif name in wanted or name == SUMS:
                again, size = look(os.path.join(self._tree, name), self._known)
                read += size
                stock[name] = again or found
        return stock, read

    def _label(self, name: str) -> tuple[str, str]:
        parts = name.split("/")
        if parts[0] == "projects" and len(parts) > 1:
            return ("vendor" if any(f"{name}/".startswith(f"{vendor}/") for vendor in self._vendors) else "project"), parts[1]
        return "tree", self._ref

    def _stray(self, name: str) -> Mend:
        # A tree's proxy is read by name, a vendor directory as a whole; what else lies in a tree may be somebody's.
        if name.startswith("proxy/") or self._label(name)[0] == "vendor":
            return ("remove", os.path.join(self._tree, name))
        return ()
