# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links outside of ROOT: those of ``go`` and ``gofmt``, and of tools. What leads elsewhere than into ROOT isn't ours.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._base.errors import HostRefused
from .._base.files import symlink_atomically, sync_directory
from .place import Place, remove_left_behind, require_writable


def links_of(place: Place, state: t.Mapping[str, t.Any]) -> dict[str, str]:
    """As ``links_meant``.

    :raises HostRefused: something that isn't ours is in the way.
    """
    links = links_meant(place, state)
    require_ours(place, links)
    return links


def links_meant(place: Place, state: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Those that a state has, and with "" those of ours that it hasn't, wherever a state had its links."""
    current = os.path.join(place.root, "current")
    links: dict[str, str] = {}
    for below, directory, names in _wanted(state):
        links.update({os.path.join(directory, name): os.path.join(current, below, name) for name in names})
    # All of them, not the last one's alone: a kill may have come after the switch.
    for directory in sorted(_directories(place) | {directory for _below, directory, _names in _wanted(state)}):
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            path = os.path.join(directory, name)
            if link_target(path).startswith((os.path.join(current, "bin", ""), os.path.join(current, "tools", ""))):
                links.setdefault(path, "")
    return links


def _wanted(state: t.Mapping[str, t.Any]) -> list[tuple[str, str, t.Sequence[str]]]:
    """(below ``current``, where the links are, their names) for the parts of a state that have links."""
    parts = state.get("parts", {})
    go, tools = parts.get("toolchain", {}), parts.get("tools", {})
    found = [("bin", str(go.get("dir", "")), ("go", "gofmt")), ("tools", str(tools.get("dir", "")), list(tools.get("programs", ())))]
    return [entry for entry in found if entry[1]]


def _directories(place: Place) -> set[str]:
    found: set[str] = set()
    top = os.path.join(place.root, "generations")
    for name in os.listdir(top) if os.path.isdir(top) else []:
        # A state that can't be read is refused when it's the one that counts.
        with contextlib.suppress(HostRefused):
            found.update(directory for _below, directory, _names in _wanted(place.state(name)))
    return found


def require_ours(place: Place, links: t.Iterable[str]) -> None:
    for path in links:
        if os.path.lexists(path) and not link_target(path).startswith(place.root + "/"):
            raise HostRefused(
                f"{path} is there already and isn't ours",
                code="in_the_way",
                subject=path,
                found=link_target(path) or "a file",
                hint="remove it, or choose another link_dir or tools_dir (an empty one for no links)",
            )


def set_links(place: Place, links: t.Mapping[str, str]) -> None:
    for path, target in links.items():
        directory, name = os.path.split(path)
        if link_target(path) == target:
            continue
        if target:
            place.make_outside(directory)
            remove_left_behind(directory, name)
            symlink_atomically(target, path)
        elif link_target(path).startswith(place.root + "/"):
            os.unlink(path)
            sync_directory(directory)


def check_links(links: t.Mapping[str, str]) -> None:
    for path, target in links.items():
        if link_target(path) != target:
            require_writable(os.path.dirname(path), "another link_dir or tools_dir (an empty one for no links)")


def link_target(path: str) -> str:
    """Where a link leads; "" for what is none or isn't there."""
    return os.readlink(path) if os.path.islink(path) else ""
