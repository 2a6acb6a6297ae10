# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host can do without: whatever no generation directory that stays refers to, and no running process uses.

One plan is what check mode tells and what the run does. The run begins by leaving a note, so that after a kill the next one
knows that there is something to finish; generation directories go first, each by one rename, so that no state is ever named
that isn't whole. Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from .._base.errors import SpecInvalid
from .._base.files import remove_empty_below, remove_tree, sync_directory, temporary_sibling, write_atomically
from .._base.progress import megabytes
from .._base.usage import Size, Use, freed_by_removing, uses_below
from .._depot import prune as depot_prune
from .._depot.generation import Ref
from .._depot.manifest import Layer
from .._go import cacheprune
from .history import History
from .place import Place
from .references import Needs, database_layers, needs_here, needs_if_known

#: As ``references.database_layers`` gives it.
Database = t.Mapping[Ref, t.AbstractSet[Layer]]


@dataclasses.dataclass(frozen=True)
class Prune:
    """``directories``: generation directories that go; ``modules``: versions, True where go.mod stays; ``cache``: whether the whole
    module cache goes; ``builds``: names below ROOT/builds; ``in_use``: what would have gone and stays, with the processes;
    ``unfinished``: an earlier run was killed."""

    directories: t.Sequence[str]
    depot: depot_prune.Goes
    modules: t.Mapping[cacheprune.Version, bool]
    cache: bool
    builds: t.Sequence[str]
    in_use: t.Sequence[t.Mapping[str, t.Any]]
    unfinished: bool
    size: Size

    def __bool__(self) -> bool:
        return bool(self.directories or self.depot or self.modules or self.cache or self.builds or self.unfinished)

    def names(self) -> list[str]:
        """Each thing that goes, for people."""
        found = [f"generation {name}" for name in self.directories]
        found += [f"tree {name}" for name in self.depot.trees]
        found += [f"{layer.title} of {name}" for name, layer in self.depot.layers]
        found += [f"{path}@{version}" for path, version in sorted(self.modules)]
        found += ["the module cache"] if self.cache else []
        found += [f"builds of {name}" for name in self.builds]
        return found + ([f"{len(self.depot.blobs)} blobs"] if self.depot.blobs else [])

    def changes(self) -> list[tuple[str, str, str]]:
        """(what, was, will be) of each thing, and the room first."""
        if not self:
            return []
        room = f"{megabytes(self.size.bytes)}, {self.size.inodes} inodes"
        return [("room to free", room, ""), *(("prune", name, "") for name in self.names())]

    def result(self) -> dict[str, t.Any]:
        """What modules return."""
        return {"removed": self.names(), "bytes": self.size.bytes, "inodes": self.size.inodes, "in_use": [dict(entry) for entry in self.in_use]}


def nothing() -> Prune:
    """The plan of a host that has nothing to prune."""
    return Prune([], depot_prune.Goes([], [], {}, []), {}, False, [], [], False, Size(0, 0))


def is_due(place: Place, keep: int, coming: str = "") -> bool:
    """Whether there may be something to prune: a look at names, which an unchanged host can afford. Parameters as for ``kept``."""
    if not keep:
        return False
    history = History(place)
    return os.path.exists(_note(place)) or bool(set(history.directories) - set(kept(history, keep, coming)))


def kept(history: History, keep: int, coming: str = "") -> list[str]:
    """The generation directories that stay: of the ``keep`` numbers that were active last (0: of all), the state that was.

    :param coming: a directory that is about to become active, whether it's there yet or not.
    :raises SpecInvalid: ``keep`` is less than 0.
    """
    if keep < 0:
        raise SpecInvalid(f"keep can't be {keep}", subject="keep", found=str(keep), expected="a number of generations, or 0 for all")
    there = history.by_number()
    numbers = history.numbers()
    found = {number: there[number][-1] for number in numbers}
    if coming:
        number = int(coming.split("-")[0])
        found[number] = coming
        numbers = [number, *(other for other in numbers if other != number)]
    return [found[number] for number in (numbers[:keep] if keep else numbers)]


def plan(place: Place, keep: int, coming: t.Optional[Needs] = None) -> Prune:
    """What goes when the ``keep`` generations that were active last stay, the active one among them.

    :param keep: how many numbers; 0 for all, which leaves other states of theirs, and what nothing refers to.
    :param coming: of the directory that is about to become active.
    :raises HostRefused, DepotDamaged: what a generation that stays refers to can't be read.
    """
    history = History(place)
    names = kept(history, keep, coming.directory if coming else "")
    stay = [coming if coming and name == coming.directory else needs_here(place, name) for name in names]
    return plan_for(place, history, stay, coming)


def plan_for(place: Place, history: History, stay: t.Sequence[Needs], coming: t.Optional[Needs] = None) -> Prune:
    """What goes when just these stay, one of which may be ``coming`` only, and what running processes use."""
    database = database_layers(place, coming)
    goes = _compare(place, history, stay, database)
    uses = uses_below(place.root) if goes else []
    if uses:
        goes = _spare_used(place, history, stay, database, goes, uses)
    return dataclasses.replace(goes, size=_size(place, set(_paths(place, goes))))


def alone(place: Place, history: History, needs: t.Mapping[str, t.Optional[Needs]], directory: str) -> Size:
    """What the removal of one generation directory would free.

    :param needs: of every directory, None where that isn't known.
    """
    everything = [of_it for of_it in needs.values() if of_it is not None]
    database = database_layers(place)
    others = _compare(place, history, [of_it for of_it in everything if of_it.directory != directory], database)
    return _size(place, set(_paths(place, others)) - set(_paths(place, _compare(place, history, everything, database))))


def _size(place: Place, paths: t.Collection[str]) -> Size:
    trees = os.path.join(place.depot.path, "trees")
    tops = [place.cache.root, *(os.path.join(trees, name) for name in (os.listdir(trees) if os.path.isdir(trees) else ()))]
    return freed_by_removing(paths, tops)


def carry_out(place: Place, goes: Prune, trace_id: str) -> None:
    """Remove it. Needs the depot's lock. Any kill leaves every state that is named whole; a rerun finishes.

    :raises HostRefused: the module cache can't be written.
    """
    if not goes:
        return
    write_atomically(_note(place), b"")
    if goes.directories or goes.depot.refs:
        refs = [str(ref) for ref in goes.depot.refs]
        place.depot.audit.append("prune", trace_id, generations=list(goes.directories), forgotten=refs, bytes=goes.size.bytes)
    for name in goes.directories:
        path = _directory(place, name)
        beside = temporary_sibling(path)
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, beside)
            sync_directory(os.path.dirname(path))
            remove_tree(beside)
    depot_prune.carry_out(place.depot, goes.depot)
    cacheprune.remove(place.cache, goes.modules)
    for path in [place.cache.root] * goes.cache + [os.path.join(place.root, "builds", name) for name in goes.builds]:
        beside = temporary_sibling(path)
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, beside)
            remove_tree(beside)
    place.sweep_names()
    if goes.unfinished:
        # What a kill left of directories that were becoming empty, no plan knows.
        remove_empty_below(os.path.join(place.depot.path, "trees"))
        cacheprune.sweep(place.cache)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_note(place))


def _compare(place: Place, history: History, stay: t.Sequence[Needs], database: Database) -> Prune:
    """What goes when these stay, and ``database``, whoever uses it."""
    layers: dict[Ref, set[Layer]] = {ref: set(of_it) for ref, of_it in database.items()}
    modules: dict[cacheprune.Version, bool] = {}
    for needs in stay:
        layers.setdefault(needs.ref, set()).update(needs.layers)
        for version, zipped in needs.modules.items():
            modules[version] = modules.get(version, False) or zipped
    names = {needs.directory for needs in stay}
    builds = {needs.builds for needs in stay}
    made = os.path.join(place.root, "builds")
    here = {} if not os.path.isdir(place.cache.root) else cacheprune.versions(place.cache)
    # The one that is to come may not be in the index yet.
    known = place.depot.index()
    blobs = {digest for needs in stay for digest in needs.blobs}
    return Prune(
        directories=[name for name in history.directories if name not in names],
        depot=depot_prune.plan(place.depot, {ref: of_it for ref, of_it in layers.items() if ref in known}, blobs),
        modules={version: version in modules for version, zipped in here.items() if zipped > modules.get(version, -1)} if modules else {},
        cache=not modules and os.path.isdir(place.cache.root),
        builds=[name for name in sorted(os.listdir(made)) if name.isdigit() and name not in builds] if os.path.isdir(made) else [],
        in_use=[],
        unfinished=os.path.exists(_note(place)),
        size=Size(0, 0),
    )


def _spare_used(place: Place, history: History, stay: t.Sequence[Needs], database: Database, goes: Prune, uses: t.Sequence[Use]) -> Prune:
    """The plan without what these use. Of a state that is used in part all stays: nobody knows what the process will want next."""
    used = _used(place, goes, uses)
    toolchains = place.goroot_prefix()
    programs = [use for use in uses if use.program and use.path.startswith(toolchains)]
    told: list[dict[str, t.Any]] = []
    more: list[Needs] = []
    for directory in goes.directories:
        needs = needs_if_known(place, directory)
        if needs is None:
            continue
        others = _used(place, _compare(place, history, [*stay, needs], database), uses) if used else {}
        why = [use for path, of_it in used.items() if path not in others for use in of_it]
        why += [use for use in programs if history.may_use(use.started, directory)]
        if why:
            more.append(needs)
            told += _told(f"generation {directory}", why)
    goes = _compare(place, history, [*stay, *more], database)
    used = _used(place, goes, uses)
    for path, of_it in used.items():
        told += _told(os.path.relpath(path, place.root), of_it)
    return dataclasses.replace(_without(place, goes, used), in_use=told)


def _used(place: Place, goes: Prune, uses: t.Sequence[Use]) -> dict[str, list[Use]]:
    """Of what goes, the paths that processes use, themselves or something below, with those."""
    real = os.path.realpath(place.root)
    watched = {path: None for path in _paths(place, goes)}
    unpacked = [(name, layer) for name, layer in goes.depot.layers if layer.unpack and layer.kind != "index"]
    watched.update((os.path.join(place.depot.path, "trees", name, layer.unpack), None) for name, layer in unpacked)
    found: dict[str, list[Use]] = {}
    for use in uses:
        path = place.root + use.path[len(real) :]
        while len(path) > len(place.root):
            if path in watched:
                found.setdefault(path, []).append(use)
            path = os.path.dirname(path)
    return found


def _without(place: Place, goes: Prune, spared: t.Container[str]) -> Prune:
    """The plan without what has these paths."""
    trees = os.path.join(place.depot.path, "trees")

    def stays(tree: str, layer: Layer, files: t.Sequence[str]) -> bool:
        return any(os.path.join(trees, tree, file) in spared for file in [*files, *filter(None, [layer.unpack])])

    layers = {key: files for key, files in goes.depot.layers.items() if not stays(*key, files)}
    # A layer's blob is what the next run knows its files by.
    held = {layer.digest for _tree, layer in goes.depot.layers if (_tree, layer) not in layers}
    return dataclasses.replace(
        goes,
        directories=[name for name in goes.directories if _directory(place, name) not in spared],
        depot=dataclasses.replace(
            goes.depot,
            trees=[name for name in goes.depot.trees if os.path.join(trees, name) not in spared],
            layers=layers,
            blobs=[digest for digest in goes.depot.blobs if digest not in held and place.depot.blobs.path(digest) not in spared],
        ),
        modules={
            version: gomod_stays
            for version, gomod_stays in goes.modules.items()
            if not any(path in spared for path in cacheprune.paths(place.cache, version, gomod_stays))
        },
        cache=goes.cache and place.cache.root not in spared,
        builds=[name for name in goes.builds if os.path.join(place.root, "builds", name) not in spared],
    )


def _paths(place: Place, goes: Prune) -> t.Iterator[str]:
    """Every file and tree that goes; none lies in another."""
    yield from (_directory(place, name) for name in goes.directories)
    yield from goes.depot.paths(place.depot)
    for version, gomod_stays in goes.modules.items():
        yield from cacheprune.paths(place.cache, version, gomod_stays)
    yield from cacheprune.lists(place.cache, goes.modules)
    if goes.cache:
        yield place.cache.root
    yield from (os.path.join(place.root, "builds", name) for name in goes.builds)


def _told(what: str, uses: t.Iterable[Use]) -> list[dict[str, t.Any]]:
    """One entry a process."""
    processes = {use.pid: {"what": what, "pid": use.pid, "command": use.command, "path": use.path} for use in uses}
    return list(processes.values())


def _directory(place: Place, name: str) -> str:
    return os.path.join(place.root, "generations", name)


def _note(place: Place) -> str:
    return os.path.join(place.root, "generations", ".pruning")
