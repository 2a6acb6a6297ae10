# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links outside of ROOT: those of ``go`` and ``gofmt``, of tools and of what comes with them. What leads elsewhere than into ROOT isn't ours.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._base.errors import HostRefused
from .._base.files import symlink_atomically, sync_directory
from .._content.extras import placed
from .place import Place, remove_left_behind, require_writable

_ANOTHER = "another link_dir, tools_dir or directory of completions and man pages (an empty one for no links)"


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
    for directory, names in _wanted(state).items():
        links.update({os.path.join(directory, name): os.path.join(current, below) for name, below in names.items()})
    # All of them, not the last one's alone: a kill may have come after the switch.
    for directory in sorted(_directories(place).union(_wanted(state))):
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            path = os.path.join(directory, name)
            if link_target(path).startswith(tuple(os.path.join(current, below, "") for below in ("bin", "tools", "share"))):
                links.setdefault(path, "")
    return links


def _wanted(state: t.Mapping[str, t.Any]) -> dict[str, dict[str, str]]:
    """For the parts of a state that have links: the links' directories, and in each, by the link's name, the path below ``current``."""
    parts = state.get("parts", {})
    go, tools = parts.get("toolchain", {}), parts.get("tools", {})
    found: dict[str, dict[str, str]] = {}
    if go.get("dir"):
        found.setdefault(str(go["dir"]), {}).update({name: f"bin/{name}" for name in ("go", "gofmt")})
    if tools.get("dir"):
        found.setdefault(str(tools["dir"]), {}).update({name: f"tools/{name}" for name in tools.get("programs", ())})
    extras = tools.get("extras", {})
    for program, files in extras.get("files", {}).items():
        for file in files:
            directory, name = os.path.split(placed(program, file, extras["dirs"]))
            if directory:
                found.setdefault(directory, {})[name] = f"share/{program}/{file}"
    return found


def _directories(place: Place) -> set[str]:
    found: set[str] = set()
    top = os.path.join(place.root, "generations")
    for name in os.listdir(top) if os.path.isdir(top) else []:
        # A state that can't be read is refused when it's the one that counts.
        with contextlib.suppress(HostRefused):
            found.update(_wanted(place.state(name)))
    return found


def require_ours(place: Place, links: t.Iterable[str]) -> None:
    for path in links:
        if os.path.lexists(path) and not link_target(path).startswith(place.root + "/"):
            raise HostRefused(
                f"{path} is there already and isn't ours",
                code="in_the_way",
                subject=path,
                found=link_target(path) or "a file",
                hint=f"remove it, or choose {_ANOTHER}",
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
            require_writable(os.path.dirname(path), _ANOTHER)


def link_target(path: str) -> str:
    """Where a link leads; "" for what is none or isn't there."""
    return os.readlink(path) if os.path.islink(path) else ""
