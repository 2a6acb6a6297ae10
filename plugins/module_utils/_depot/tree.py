# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree: a generation as ordinary files, big ones as hard links to blobs, programs as copies, small ones unpacked from tar layers.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import typing as t

from .._base.errors import DepotDamaged
from .._base.files import copy_stream, link_or_copy, remove_empty, replacing, sync_filesystem, temporary_sibling, write_atomically
from .._base.progress import Stage
from .._base.ustar import Unpacked, unpack_tree
from .._base.workers import in_processes
from .blobs import BlobStore, is_temporary
from .manifest import EXECUTABLE, Layer

SUMS = "SHA256SUMS"


class Ready(t.NamedTuple):
    """A file of a tar layer that is where it belongs already: its name in the tar, its hex SHA-256, whether it can be executed."""

    name: str
    sha256: str
    executable: bool


class Begun(t.NamedTuple):
    """A directory on the depot's file system that is to become a tree, and whole tar layers that it has: their files by the layer's digest.

    It may also have files that are layers themselves, and nothing else.
    """

    path: str
    ready: t.Mapping[str, t.Sequence[Ready]]


def lay_out(
    blobs: BlobStore,
    layers: t.Iterable[Layer],
    dest: str,
    stage: t.Optional[Stage] = None,
    workers: int = 1,
    ready: t.Optional[t.Mapping[str, t.Sequence[Ready]]] = None,
    again: t.Container[str] = frozenset(),
) -> None:
    """Make ``dest`` hold these layers' files and a SHA256SUMS over them (``sha256sum -c`` checks it).

    A tree that has some of them only gains the others: each file gets its name when it's whole, SHA256SUMS after them.
    A tar layer that was unpacked before is known by its note in ``.layers`` and not unpacked again.

    :param workers: processes that unpack; more than one only where no thread runs, since they are forked.
    :param ready: the files of tar layers that are in ``dest`` already, by digest.
    :param again: digests of layers whose files are laid out though they are there: each takes the place of what has its name.
    :raises DepotDamaged: a blob isn't here or isn't what its name says.
    """
    sums: dict[str, str] = _read_sums(os.path.join(dest, SUMS))
    notes = os.path.join(dest, ".layers")
    if os.path.isdir(notes):
        _sweep(dest)
    os.makedirs(notes, mode=0o755, exist_ok=True)
    tars: list[Layer] = []
    for layer in layers:
        if not layer.unpack:
            with _in_nobodys_way(layer):
                if layer.kind in EXECUTABLE:
                    _copy(blobs, layer, os.path.join(dest, layer.title), layer.digest in again)
                else:
                    _link(blobs, layer, os.path.join(dest, layer.title))
            sums[layer.title] = layer.hex
        elif layer.digest in again or not os.path.exists(note_path(dest, layer)):
            tars.append(layer)
            continue
        if stage is not None:
            stage.advance(1, layer.size)

    def finished(index: int, files: t.Sequence[Unpacked]) -> None:
        sums.update((f"{tars[index].unpack}/{name}", sha256) for name, sha256 in files)
        if stage is not None:
            stage.advance(1, tars[index].size)

    packed: list[int] = []
    for index, layer in enumerate(tars):
        files = (ready or {}).get(layer.digest)
        if files is None:
            packed.append(index)
        else:
            finished(index, _made_read_only(files, os.path.join(dest, layer.unpack)))
    if workers > 1 and len(packed) > 1:
        order = sorted(packed, key=lambda index: -tars[index].size)
        in_processes(lambda index: _unpack(blobs, tars[index], dest), order, workers, finished)
    else:
        for index in packed:
            finished(index, _unpack(blobs, tars[index], dest))
    sync_filesystem(dest)
    lines = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    write_atomically(os.path.join(dest, SUMS), lines.encode("utf-8", "surrogateescape"), 0o444)
    # A note says that a layer's files are on the disk for good and in SHA256SUMS, so it comes last.
    for layer in tars:
        write_atomically(note_path(dest, layer), layer.title.encode() + b"\n", 0o444)


@contextlib.contextmanager
def _in_nobodys_way(layer: Layer) -> t.Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as exc:
        raise DepotDamaged(
            f"{layer.title} can't be laid out: {exc.filename} is in its way", subject=layer.title, found=str(exc), hint="two layers claim the same place"
        ) from None


def _unpack(blobs: BlobStore, layer: Layer, dest: str) -> list[Unpacked]:
    try:
        stream = open(blobs.path(layer.digest), "rb")  # noqa: SIM115 - only the opening can find it absent
    except FileNotFoundError:
        raise _missing(layer) from None
    with stream, _in_nobodys_way(layer):
        return list(unpack_tree(stream, os.path.join(dest, layer.unpack), layer.title))


def _made_read_only(files: t.Sequence[Ready], top: str) -> list[Unpacked]:
    for file in files:
        os.chmod(os.path.join(top, file.name), 0o555 if file.executable else 0o444)
    return [Unpacked(file.name, file.sha256) for file in files]


def _missing(layer: Layer) -> DepotDamaged:
    return DepotDamaged(
        f"the blob {layer.digest} ({layer.title}) is missing", code="blobs_missing", subject=layer.title, hint="receive or deliver its generation again"
    )


def _sweep(dest: str) -> None:
    """Remove the temporary names that a killed run left in a tree that was gaining layers."""
    for directory, _directories, names in os.walk(dest):
        for name in names:
            if is_temporary(name):
                os.unlink(os.path.join(directory, name))


def _link(blobs: BlobStore, layer: Layer, path: str) -> None:
    source = blobs.path(layer.digest)
    try:
        if os.path.samefile(source, path):
            return
    except FileNotFoundError:
        if not os.path.exists(source):
            raise _missing(layer) from None
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    beside = temporary_sibling(path)
    link_or_copy(source, beside)
    os.rename(beside, path)


def _copy(blobs: BlobStore, layer: Layer, path: str, again: bool) -> None:
    """A program: the blob is no place for its exec bits, since all names of a file share them."""
    if not again and os.path.isfile(path) and os.stat(path).st_size == layer.size:
        return
    try:
        reader = open(blobs.path(layer.digest), "rb")  # noqa: SIM115 - only the opening can find it absent
    except FileNotFoundError:
        raise _missing(layer) from None
    with reader:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with replacing(path, 0o555) as writer:
            copy_stream(reader, writer)


def note_path(tree: str, layer: Layer) -> str:
    """The note that says that a tar layer's files are in a tree: one blob may be unpacked in several places."""
    return os.path.join(tree, ".layers", hashlib.sha256(f"{layer.hex} {layer.unpack}".encode()).hexdigest())


def take_out(tree: str, layers: t.Iterable[tuple[Layer, t.Sequence[str]]]) -> None:
    """Remove layers' files (names in the tree) from it, and directories that are empty then.

    SHA256SUMS forgets them first and the notes go next, so that the tree never claims what it lacks.
    """
    entries = list(layers)
    for name in filter(is_temporary, os.listdir(tree)):
        os.unlink(os.path.join(tree, name))
    sums = os.path.join(tree, SUMS)
    gone = {file for _layer, files in entries for file in files}
    held = _read_sums(sums)
    if gone.intersection(held):
        lines = "".join(f"{held[name]}  {name}\n" for name in sorted(held) if name not in gone)
        write_atomically(sums, lines.encode("utf-8", "surrogateescape"), 0o444)
    for layer, _files in entries:
        if layer.unpack:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(note_path(tree, layer))
    for file in gone:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(tree, file))
    for parent in {os.path.dirname(file) for file in gone}:
        remove_empty(os.path.normpath(os.path.join(tree, parent)), tree)


def _read_sums(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return {line[66:].rstrip("\n"): line[:64] for line in stream}
    except FileNotFoundError:
        return {}
