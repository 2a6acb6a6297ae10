# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one rename that users see, and the way back.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .._base.errors import HostRefused
from .._base.files import symlink_atomically, sync_filesystem
from .history import History, number_of
from .links import check_links, link_target, links_of, set_links
from .place import Place
from .references import database_tree, newest_database


def require_current(place: Place, expected: str) -> None:
    found = place.current()
    if found != expected:
        raise HostRefused(
            f"another run made {found or 'nothing'} active in {place.root} meanwhile",
            code="changed_meanwhile",
            subject=place.root,
            expected=expected,
            found=found,
            hint="run this again",
        )


def advance_database(place: Place) -> None:
    """Point ROOT/sumdb at the newest generation's snapshot."""
    link, ref = os.path.join(place.root, "sumdb"), newest_database(place)
    if ref is not None:
        target = os.path.relpath(database_tree(place, ref), place.root)
        if link_target(link) != target:
            symlink_atomically(target, link)


def switch(place: Place, directory: str, trace_id: str) -> None:
    """Let ``current`` mean ``directory``: the one rename that users see."""
    if place.current() == directory:
        return
    sync_filesystem(place.root)
    place.depot.audit.append("activate", trace_id, generation=directory, before=place.current())
    symlink_atomically(os.path.join("generations", directory), os.path.join(place.root, "current"))


def rollback_target(place: Place, number: t.Optional[int]) -> str:
    """The directory to go back to: the generation before the active one, or the one with ``number``.

    :raises HostRefused: there is none, or it isn't whole.
    """
    history = History(place)
    if not history.current:
        raise HostRefused(f"{place.root} has no active generation", code="no_generation", subject=place.root, hint="deploy one first")
    there = history.by_number()
    active = number_of(history.current)
    candidates = [number] if number is not None else [earlier for earlier in there if earlier < active]
    chosen = max((entry for entry in candidates if entry in there), default=None)
    if chosen is None:
        pruned = history.pruned(number) if number is not None else ""
        lacking = f"before {history.current}" if number is None else f"{number:06d}"
        raise HostRefused(
            f"{place.root} has no generation {lacking}" + (f": it was pruned at {pruned}" if pruned else ""),
            code="pruned" if pruned else "no_generation",
            subject=f"{number:06d}" if pruned else place.root,
            found=", ".join(f"{known:06d}" for known in sorted(there)),
            hint="deploy it again" if pruned else "only what was deployed here can be gone back to",
        )
    if number == active:
        return history.current
    target = there[chosen][-1]
    _require_whole(place, target)
    return target


def _require_whole(place: Place, directory: str) -> None:
    place.state(directory)
    top = os.path.join(place.root, "generations", directory)
    for at, names, files in os.walk(top):
        for name in sorted(names + files):
            path = os.path.join(at, name)
            if not os.path.exists(path):
                raise HostRefused(
                    f"the generation {directory} isn't whole: {path} leads nowhere",
                    code="no_generation",
                    subject=directory,
                    found=os.readlink(path),
                    hint="deploy it again",
                )


def rollback_diff(place: Place, directory: str) -> dict[str, str]:
    """Before and after of a rollback to ``directory``; equal when there's nothing to do.

    :raises HostRefused: as ``switch_to``.
    """
    place.require_own()
    links = _rollback_links(place, directory)
    before = [place.current(), *(f"{path}: {link_target(path)}" for path in links if link_target(path))]
    after = [directory, *(f"{path}: {target}" for path, target in links.items() if target)]
    return {"before": "\n".join([*before, ""]), "after": "\n".join([*after, ""])}


def _rollback_links(place: Place, directory: str) -> dict[str, str]:
    """The links that have to change so that they are as with ``directory``: path → target, "" for one that goes.

    :raises HostRefused: something that isn't ours is in the way, or they can't be written.
    """
    links = {path: target for path, target in links_of(place, place.state(directory)).items() if link_target(path) != target}
    check_links(links)
    return links


def switch_to(place: Place, directory: str, before: str, trace_id: str) -> None:
    """Roll back from ``before``, the links outside of ROOT included.

    :raises HostRefused: another generation is active by now; or what isn't ours, or can't be written, is where a link shall be;
        or others can write to ROOT.
    """
    with place.locked():
        require_current(place, before)
        links = _rollback_links(place, directory)
        switch(place, directory, trace_id)
        set_links(place, links)
