# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's links, settings and top directories against its states: each generation's directory is made anew elsewhere, and compared.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import tempfile
import typing as t

from .._base.errors import DepotDamaged
from .._base.files import exchange, remove_tree, sync_filesystem, temporary_sibling
from .._base.findings import Comparison, Finding, Found, Want, look, take_stock
from .._depot.generation import Generation
from .layout import fill_directory
from .links import links_meant
from .place import Place, directory_name
from .references import database_tree, newest_database

_TOP = ("", "depot", "depot/blobs", "depot/blobs/sha256", "depot/trees", "generations", "modcache")


def directory_findings(place: Place, generation: Generation, directory: str, owner: int) -> tuple[list[Finding], int]:
    """A generation's directory; and how many bytes were read.

    :raises HostRefused: its state can't be read.
    """
    state = place.state(directory)
    top = os.path.join(place.root, "generations", directory)
    label = ("link", directory)
    if directory_name(generation, state) != directory:
        path = os.path.join(top, "state.json")
        # The name is the state's own hash: what it was isn't known any more.
        return [Finding(*label, path, "changed", directory, directory_name(generation, state))], 0
    with tempfile.TemporaryDirectory(prefix="airgap-golang-") as scratch:
        made = os.path.join(scratch, directory)
        try:
            fill_directory(place, generation, state, made)
        except FileNotFoundError:
            # Settings are a toolchain's own here, which has a finding itself.
            return [], 0
        wanted, read = take_stock(made, {})
        stock, more = take_stock(top, {})
    own, _size = look(top, {})
    comparison = Comparison(
        top,
        owner,
        label=lambda _name: label,
        mend=lambda _name: ("directory", directory),
        stray=lambda _name: ("directory", directory),
        directory_mode=0o755,
        empty=frozenset(name for name, found in wanted.items() if found.kind == "directory"),
    )
    files = {name: Want(found.sha256, found.mode, found.target) for name, found in wanted.items() if found.kind != "directory"}
    return comparison.differences(files, {**stock, "": own or Found("other", "", 0, owner)}), read + more


def mend_directory(place: Place, generation: Generation, directory: str) -> None:
    """Make a generation's directory again, in the place of the one that is there."""
    path = os.path.join(place.root, "generations", directory)
    beside = temporary_sibling(path)
    fill_directory(place, generation, place.state(directory), beside)
    sync_filesystem(beside)
    exchange(beside, path)
    remove_tree(beside)


def link_findings(place: Place, state: t.Mapping[str, t.Any], owner: int) -> list[Finding]:
    """The links beside the generations' directories: ROOT/sumdb, the depot's ``current``, go's and the tools'; and the top directories' rights.

    What isn't ours and is where a link should be is told, and stays.
    """
    findings = _log_findings(place)
    wanted = {os.path.join(place.root, "sumdb"): _newest_database(place), **links_meant(place, state)}
    refs = place.depot.index()
    if refs:
        wanted[os.path.join(place.depot.path, "current")] = os.path.join("trees", str(max(refs)))
    for path, target in sorted(wanted.items()):
        found, _size = look(path, {})
        mend = ("link", path, target)
        if found is None:
            findings += [Finding("link", path, path, "missing", f"a link to {target}", mend=mend)] if target else []
        elif not target:
            findings.append(Finding("link", path, path, "stray", found=str(found), mend=mend))
        elif found.target != target:
            ours = path.startswith(place.root + "/") or found.target.startswith(place.root + "/")
            findings.append(Finding("link", path, path, "changed", f"a link to {target}", str(found), mend if ours else ()))
    for name in _TOP:
        path = os.path.join(place.root, name) if name else place.root
        top, _size = look(path, {})
        if top is None or top.kind != "directory":
            continue
        # What is in it may be anybody's, so these are for a person, and until then ``Place.require_own`` keeps a repair from it.
        if top.mode & 0o022:
            findings.append(Finding("link", path, path, "mode", f"{top.mode & ~0o022:04o}", f"{top.mode:04o}"))
        if top.uid != owner:
            findings.append(Finding("link", path, path, "owner", str(owner), str(top.uid)))
    return findings


def _log_findings(place: Place) -> list[Finding]:
    """The audit log, each line of which has the hash of the one before."""
    path = place.depot.audit.path
    try:
        place.depot.audit.entries()
    except DepotDamaged as exc:
        return [Finding("link", path, path, "changed", exc.expected, exc.found)]
    return []


def _newest_database(place: Place) -> str:
    ref = newest_database(place)
    return os.path.relpath(database_tree(place, ref), place.root) if ref is not None else ""
