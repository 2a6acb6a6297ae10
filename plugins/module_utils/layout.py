# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layout: a GOPROXY tree laid out for another server's disk format, by hard links, switched as a whole by one rename.

    DEST/current -> 3f0c…/      what the server reads is below it
    DEST/3f0c…/                 made beside and renamed; the one before goes after the switch

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import typing as t

from ._base.errors import HostRefused
from ._base.files import link_or_copy, locked, remove_tree, symlink_atomically, sync_filesystem, temporary_sibling
from ._go.proxylayouts import STORAGE, Places, places

_OURS = re.compile(r"[0-9a-f]{16}|\..*\.tmp|\.lock|current")


@dataclasses.dataclass
class Plan:
    """What differs: ``wanted`` is all that shall be there; ``added``, ``removed`` and ``changed`` are paths in the layout."""

    src: str
    dest: str
    form: str
    wanted: Places
    added: list[str]
    removed: list[str]
    replaced: list[str]
    leftovers: list[str]

    @property
    def changed(self) -> bool:
        return bool(self.added or self.removed or self.replaced or self.leftovers)

    @property
    def storage(self) -> str:
        """What the server is to be told to read."""
        return os.path.join(self.dest, "current", STORAGE[self.form]) if self.form else ""

    def diff(self) -> dict[str, str]:
        """Before and after, one line for each path that differs."""
        before = sorted([*self.removed, *self.replaced, *self.leftovers])
        after = sorted([*self.added, *self.replaced])
        texts = {"before": "".join(f"{path}\n" for path in before), "after": "".join(f"{path}\n" for path in after)}
        return {**texts, "before_header": self.dest, "after_header": self.dest}


def plan(src: str, dest: str, form: str, database: str = "") -> Plan:
    """Compare what is at ``dest`` with what shall be; changes nothing.

    :param src: the GOPROXY tree, such as ROOT/current/proxy.
    :param form: one of ``_go.proxylayouts.FORMATS``.
    :param database: see ``_go.proxylayouts.places``.
    :raises HostRefused: there is no tree, or something that isn't ours is at ``dest``.
    """
    src, dest = os.path.abspath(src), os.path.abspath(dest)
    if not os.path.isdir(src):
        hint = "deploy a generation with the part depot first, or let src name a tree"
        raise HostRefused(f"{src} isn't a GOPROXY tree", code="no_generation", subject=src, hint=hint)
    wanted = places(form, _files_below(src), database)
    there = _there(dest)
    top = os.path.join(dest, "current")
    found = {os.path.relpath(path, top): path for path in _entries_below(top)} if there.current else {}
    expected = {**wanted.files, **wanted.links}
    same = {path for path in expected if path in found and _is_same(found[path], os.path.join(src, wanted.files.get(path, "")), wanted.links.get(path, ""))}
    return Plan(
        src=src,
        dest=dest,
        form=form,
        wanted=wanted,
        added=sorted(set(expected) - set(found)),
        removed=sorted(set(found) - set(expected)),
        replaced=sorted(set(expected) & set(found) - same),
        leftovers=there.leftovers,
    )


def plan_absent(dest: str) -> Plan:
    """A plan with nothing left at ``dest``.

    :raises HostRefused: something that isn't ours is there.
    """
    dest = os.path.abspath(dest)
    there = _there(dest)
    return Plan("", dest, "", Places({}, {}), [], [dest] if os.path.isdir(dest) else [], [], there.leftovers)


def carry_out(made: Plan) -> None:
    """Do what a plan says; a kill leaves the layout before or after, and what a rerun removes.

    :raises AirgapError: another run is at it.
    """
    if not made.form:
        remove_tree(made.dest)
        return
    os.makedirs(made.dest, mode=0o755, exist_ok=True)
    with locked(os.path.join(made.dest, ".lock")):
        if made.added or made.removed or made.replaced:
            name = secrets.token_hex(8)
            _lay_out(made, os.path.join(made.dest, name))
            symlink_atomically(name, os.path.join(made.dest, "current"))
        for leftover in _there(made.dest).leftovers:
            remove_tree(os.path.join(made.dest, leftover))


def _lay_out(made: Plan, path: str) -> None:
    beside = temporary_sibling(path)
    os.mkdir(beside, 0o755)
    parents: set[str] = set()
    for place, target in made.wanted.links.items():
        _make_parent(beside, place, parents)
        os.symlink(target, os.path.join(beside, place))
    for place, source in made.wanted.files.items():
        _make_parent(beside, place, parents)
        _link(os.path.join(made.src, source), os.path.join(beside, place))
    # The server's own directory is there even when there is nothing to serve.
    os.makedirs(os.path.join(beside, STORAGE[made.form]), mode=0o755, exist_ok=True)
    sync_filesystem(beside)
    os.rename(beside, path)


def _make_parent(top: str, place: str, made: set[str]) -> None:
    parent = os.path.dirname(place)
    if parent not in made:
        os.makedirs(os.path.join(top, parent), mode=0o755, exist_ok=True)
        made.add(parent)


def _link(source: str, dest: str) -> None:
    link_or_copy(source, dest)
    facts = os.stat(source)
    if not os.path.samestat(facts, os.stat(dest)):
        # By this a copy is known again.
        os.utime(dest, ns=(facts.st_mtime_ns, facts.st_mtime_ns))


def _is_same(path: str, source: str, target: str) -> bool:
    if target:
        return os.path.islink(path) and os.readlink(path) == target
    if os.path.islink(path):
        return False
    mine, theirs = os.stat(path), os.stat(source)
    return os.path.samestat(mine, theirs) or (mine.st_size, mine.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)


def _files_below(top: str) -> t.Iterator[str]:
    """The files of a tree whose directories may be links, as paths below it."""
    for at, _directories, files in os.walk(top, followlinks=True):
        below = os.path.relpath(at, top)
        for name in files:
            yield name if below == "." else os.path.join(below, name)


def _entries_below(top: str) -> t.Iterator[str]:
    """Files and links, those to directories too."""
    for at, directories, files in os.walk(top):
        for name in [*files, *(name for name in directories if os.path.islink(os.path.join(at, name)))]:
            yield os.path.join(at, name)


class _There(t.NamedTuple):
    """``current``: the name of the layout in use, "" for none; ``leftovers``: entries that only a kill leaves."""

    current: str
    leftovers: list[str]


def _there(dest: str) -> _There:
    if not os.path.lexists(dest):
        return _There("", [])
    names = os.listdir(dest) if os.path.isdir(dest) and not os.path.islink(dest) else None
    foreign = dest if names is None else next((os.path.join(dest, name) for name in sorted(names) if not _OURS.fullmatch(name)), "")
    if foreign or names is None:
        raise HostRefused(f"{foreign} is there already and isn't ours", code="in_the_way", subject=foreign, hint="remove it, or choose another dest")
    current = ""
    with contextlib.suppress(OSError):
        current = os.readlink(os.path.join(dest, "current"))
    if not os.path.isdir(os.path.join(dest, "current")):
        current = ""
    return _There(current, sorted(name for name in names if name not in (current, "current", ".lock")))
