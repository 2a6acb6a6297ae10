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
from .._content.wish import Wish
from .place import Place, remove_left_behind, require_writable


def wished_links(place: Place, wish: Wish, state: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The links outside of ROOT. In the toolchain's, who asks for other parts has no say."""
    links = {}
    if "toolchain" in wish.parts and wish.link_dir:
        links = {os.path.join(wish.link_dir, name): os.path.join(place.root, "current", "bin", name) for name in ("go", "gofmt")}
    links.update(tool_links(place, state))
    require_ours(place, links)
    return links


def tool_links(place: Place, state: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Those of the tools that a state has, and with "" those of tools that it hasn't, wherever a state had its links."""
    tools = os.path.join(place.root, "current", "tools")
    part = state["parts"].get("tools", {"programs": {}, "dir": ""})
    links = {os.path.join(part["dir"], name): os.path.join(tools, name) for name in part["programs"]} if part["dir"] else {}
    # All of them, not the last one's alone: a kill may have come after the switch.
    for directory in sorted({part["dir"], *_tool_directories(place)} - {""}):
        if os.path.isdir(directory):
            for name in sorted(os.listdir(directory)):
                path = os.path.join(directory, name)
                if link_target(path).startswith(tools + "/"):
                    links.setdefault(path, "")
    return links


def _tool_directories(place: Place) -> set[str]:
    found = set()
    top = os.path.join(place.root, "generations")
    for name in os.listdir(top) if os.path.isdir(top) else []:
        # A state that can't be read is refused when it's the one that counts.
        with contextlib.suppress(HostRefused):
            found.add(str(place.state(name)["parts"].get("tools", {}).get("dir", "")))
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
            os.makedirs(directory, exist_ok=True)
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
