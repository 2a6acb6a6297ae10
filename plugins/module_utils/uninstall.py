# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts go from a host: out of the state of every generation that it has, with what only they needed; with the last part all of ROOT.

A part that goes is taken out of older generations too, so that a rollback doesn't bring it back. Code that runs on hosts:
standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from ._base.errors import AirgapError, HostRefused, SpecInvalid
from ._base.files import remove_tree, sync_directory, temporary_sibling
from ._base.progress import megabytes
from ._base.usage import Size, freed_by_removing, uses_below
from ._content.carried import PARTS
from ._content.wish import differences
from ._depot.generation import Generation, Ref
from ._host import prune
from ._host.history import History
from ._host.layout import make_directory
from ._host.links import check_links, link_target, links_of, set_links
from ._host.place import MADE, Place, directory_name, is_left_behind
from ._host.references import needs_of
from ._host.switch import require_current, switch

# What we make below ROOT, in the order in which it goes: without ``current`` a host has no parts, and a rerun knows what to do.
# The lock is in the depot, so that comes last.
OURS = ("current", "generations", "builds", "sumdb", "modcache", "layouts", "depot")
_LOCK = ".lock"


@dataclasses.dataclass(frozen=True)
class Removal:
    """``current``: what is active now; ``stay``: the generations that stay, each with the state that it is to have, the active one first;
    ``links``: those outside of ROOT that change, path → target, "" for one that goes; ``whole``: whether nothing stays;
    ``foreign``: names below ROOT that aren't ours, and stay."""

    current: str
    stay: t.Sequence[tuple[Generation, t.Mapping[str, t.Any]]]
    links: t.Mapping[str, str]
    whole: bool
    prune: prune.Prune
    changes: t.Sequence[tuple[str, str, str]]
    size: Size
    foreign: t.Sequence[str] = ()

    @property
    def after(self) -> str:
        """What is active then; "" for nothing."""
        return directory_name(*self.stay[0]) if self.stay else ""

    def diff(self) -> dict[str, str]:
        """Before and after, one line for each thing that differs."""
        before = "".join(f"{what}: {was}\n" for what, was, _will in self.changes if was)
        after = "".join(f"{what}: {will}\n" for what, _was, will in self.changes if will)
        return {"before": before, "after": after}


def plan(place: Place, parts: t.Collection[str]) -> Removal:
    """Compare what is with a host that doesn't have these parts; changes nothing.

    :raises SpecInvalid: there is no such part.
    :raises HostRefused: a state can't be read, a link can't be changed, a process uses what would go, or others can write to ROOT.
    :raises DepotDamaged: a generation that stays can't be read.
    """
    place.require_own()
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        known = ", ".join(PARTS)
        raise SpecInvalid(f"a host has no part {unknown[0]!r}", subject=unknown[0], expected=known, hint=f"name some of {known}")
    history = History(place)
    before = place.state(history.current)
    left = {name: part for name, part in before.get("parts", {}).items() if name not in parts}
    removal = _part_of_it(place, history, parts, before) if left else _all_of_it(place, history)
    check_links(removal.links)
    _refuse_in_use(place, removal)
    return removal


def _all_of_it(place: Place, history: History) -> Removal:
    here = [os.path.join(place.root, name) for name in OURS]
    links = _changing(links_of(place, {"parts": {}}))
    there = set(os.listdir(place.root)) if os.path.isdir(place.root) else set()
    mine = {name for name in there if name in (*OURS, MADE) or is_left_behind(name)}
    size = freed_by_removing(here)
    changes: list[tuple[str, str, str]] = []
    if mine or links or place.left_beside():
        changes = [("room to free", f"{megabytes(size.bytes)}, {size.inodes} inodes", ""), ("root", place.root, "")]
        changes += [("generation", name, "") for name in history.directories]
        changes += [(path, link_target(path), "") for path in links]
    return Removal(history.current, [], links, True, prune.nothing(), changes, size, sorted(there - mine))


def _part_of_it(place: Place, history: History, parts: t.Container[str], before: t.Mapping[str, t.Any]) -> Removal:
    stay: list[tuple[Generation, t.Mapping[str, t.Any]]] = []
    there = history.by_number()
    for number in history.numbers():
        state = place.state(there[number][-1])
        left = {name: part for name, part in state["parts"].items() if name not in parts}
        if left:
            generation = place.depot.generation(Ref.parse(str(state["generation"])))
            stay.append((generation, {**state, "parts": left}))
    after = stay[0][1]
    goes = prune.plan_for(place, history, [needs_of(place, directory_name(generation, state), generation, state["parts"]) for generation, state in stay])
    links = _changing(links_of(place, after))
    changes: list[tuple[str, str, str]] = []
    name = directory_name(*stay[0])
    if history.current != name:
        changes += [("current", history.current, name)]
        changes += [("part", part, "") for part in sorted(before["parts"]) if part in parts]
        changes += differences(before, after)
    new = {directory_name(*entry) for entry in stay} - set(history.directories)
    if new or history.current != name or goes.unfinished or any(_has(place, directory, parts) for directory in goes.directories):
        changes += goes.changes()
    changes += [(path, link_target(path), target) for path, target in links.items()]
    return Removal(history.current, stay, links, False, goes, changes, goes.size)


def _has(place: Place, directory: str, parts: t.Container[str]) -> bool:
    with contextlib.suppress(AirgapError):
        return any(part in parts for part in place.state(directory)["parts"])
    return True


def _changing(links: t.Mapping[str, str]) -> dict[str, str]:
    return {path: target for path, target in links.items() if link_target(path) != target}


def _refuse_in_use(place: Place, removal: Removal) -> None:
    """Whoever asks for this wants it now; a build that is cut short is worse than a refusal."""
    in_use = list(removal.prune.in_use)
    if removal.whole and removal.changes:
        in_use = [{"what": os.path.relpath(use.path, os.path.realpath(place.root)), "pid": use.pid, "command": use.command} for use in uses_below(place.root)]
    if in_use and removal.changes:
        first = in_use[0]
        raise HostRefused(
            f"{place.root}: {first['what']} is in use by {first['command']} (process {first['pid']})" + (f", and {len(in_use) - 1} more" if in_use[1:] else ""),
            code="in_use",
            subject=place.root,
            found=str(first["pid"]),
            details=in_use,
            hint="wait for these processes, or end them, and run this again; nothing was changed",
        )


def carry_out(place: Place, removal: Removal, trace_id: str) -> None:
    """Do it. Any kill leaves the host with a whole state or with none that is active; a rerun finishes.

    :raises HostRefused: another run changed this host after the plan was made; the module cache can't be written.
    """
    with place.locked():
        require_current(place, removal.current)
        outside = [path for path in place.made() if not _is_at_or_above(path, place.root)]
        place.sweep_names()
        if removal.whole:
            set_links(place, removal.links)
            _remove_if_empty(outside)
            _remove_ours(place)
            return
        names = [make_directory(place, generation, state) for generation, state in removal.stay]
        switch(place, names[0], trace_id)
        set_links(place, removal.links)
        prune.carry_out(place, removal.prune, trace_id)
        _remove_if_empty(outside)


def _remove_ours(place: Place) -> None:
    """Remove all of ROOT that is ours. Needs the lock, and lets go of it with the last rename: whatever another run makes then is its own."""
    for name in OURS:
        if name != os.path.basename(place.depot.path):
            _remove(os.path.join(place.root, name))
    # A depot without an index has no generations, whatever else is still there.
    for name in sorted(os.listdir(place.depot.path), key=lambda name: name != "index.json"):
        if name != _LOCK:
            _remove(os.path.join(place.depot.path, name))
    _remove(_top(place))


def _top(place: Place) -> str:
    """What is to go with the lock, by one rename: ROOT and what we made above it, as it came; where somebody else put anything into
    ROOT, or it was there before us, the depot alone."""
    made = place.made()
    top = place.root
    if top not in made or set(os.listdir(top)) != {MADE, os.path.basename(place.depot.path)}:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(place.root, MADE))
        return place.depot.path
    while os.path.dirname(top) in made and len(os.listdir(os.path.dirname(top))) == 1:
        top = os.path.dirname(top)
    return top


def _remove(path: str) -> None:
    """Away from its name by one rename first: half of it is never taken for the whole."""
    if os.path.lexists(path):
        beside = temporary_sibling(path)
        os.rename(path, beside)
        sync_directory(os.path.dirname(path))
        remove_tree(beside)


def _is_at_or_above(path: str, root: str) -> bool:
    return (root + "/").startswith(path + "/")


def _remove_if_empty(paths: t.Sequence[str]) -> None:
    """:param paths: what is above comes first."""
    for path in reversed(paths):
        # In use by somebody else, or gone already.
        with contextlib.suppress(OSError):
            os.rmdir(path)
