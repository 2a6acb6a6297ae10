# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generations of a host's ROOT, or of a depot: which there are, which is active, which can go.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from ._base.errors import AirgapError, SpecInvalid
from ._base.files import write_atomically
from ._base.usage import freed_by_removing
from ._depot import prune as depot_prune
from ._depot import receipt
from ._depot.depot import Depot
from ._host import prune
from ._host.history import History, number_of
from ._host.place import Place
from ._host.references import needs_if_known


def listed(place: Place) -> list[dict[str, t.Any]]:
    """Each generation directory of a host, as the module returns it: by number, then by when it was active last."""
    history = History(place)
    needs = {name: needs_if_known(place, name) for name in history.directories}
    found = []
    for name in history.directories:
        size = prune.alone(place, history, needs, name)
        found.append(
            {
                "generation": name.rpartition("-")[0],
                "number": number_of(name),
                "directory": name,
                "active": name == history.current,
                "activated": history.activated(name),
                "left": history.left(name),
                "parts": _parts(place, name),
                "bytes": size.bytes,
                "inodes": size.inodes,
            }
        )
    return found


def _parts(place: Place, name: str) -> list[str]:
    try:
        return sorted(place.state(name)["parts"])
    except AirgapError:
        return []


def pruned(place: Place, keep: int, trace_id: str, check_mode: bool) -> dict[str, t.Any]:
    """Let a host have the ``keep`` generations that were active last alone (0: all, but nothing else).

    Returns the module's answer: what went, or would go.

    :raises HostRefused, DepotDamaged: what a generation that stays refers to can't be read, or others can write to ROOT.
    """
    place.require_own()
    goes = prune.plan(place, keep) if place.current() else prune.nothing()
    if goes and not check_mode:
        with place.locked():
            # Again, now that nobody else changes anything.
            goes = prune.plan(place, keep)
            prune.carry_out(place, goes, trace_id)
    return {"changed": bool(goes), "diff": {"before": "".join(f"{name}\n" for name in goes.names()), "after": ""}, **goes.result()}


def depot_listed(path: str) -> list[dict[str, t.Any]]:
    """Each generation of a depot, as the module returns it.

    :raises SpecInvalid: there's no depot.
    """
    depot = _depot(path)
    generations = {ref: depot.generation(ref) for ref in sorted(depot.index())}
    newest = max(generations, default=None)
    found = []
    for ref, generation in generations.items():
        others = {digest for other, its in generations.items() if other != ref for digest in (its.digest, *its.manifest.blobs())}
        mine = {generation.digest, *generation.manifest.blobs()} - others
        size = freed_by_removing([depot.tree(ref), *map(depot.blobs.path, mine)])
        found.append(
            {
                "generation": str(ref),
                "number": ref.number,
                "directory": os.path.join("trees", str(ref)),
                "active": ref == newest,
                "activated": str(generation.config["created"]),
                "left": "",
                "parts": [],
                "bytes": size.bytes,
                "inodes": size.inodes,
            }
        )
    return found


def depot_pruned(path: str, keep: int, receipts: t.Sequence[str], trace_id: str, check_mode: bool) -> dict[str, t.Any]:
    """Let a depot have its ``keep`` newest generations alone (0: all, but nothing else).

    :param receipts: files; of the generations that they name the manifests stay, so that bundles can be made against them.
    :return: the module's answer: what went, or would go.
    :raises SpecInvalid: there's no depot, or something is no receipt.
    """
    depot = _depot(path)
    documents: set[str] = set()
    for name in receipts:
        with open(name, "rb") as stream:
            documents.update(receipt.named(stream.read(), name))
    goes = _depot_plan(depot, keep, documents)
    size = freed_by_removing(goes.paths(depot))
    if goes and not check_mode:
        with depot.locked():
            goes = _depot_plan(depot, keep, documents)
            depot.audit.append("prune", trace_id, generations=[str(ref) for ref in goes.refs], blobs=len(goes.blobs))
            depot.forget(goes.refs)
            told = os.path.join(depot.path, receipt.NAME)
            if os.path.exists(told):
                # It mustn't promise what is about to go.
                write_atomically(told, receipt.write(depot))
            depot_prune.carry_out(depot, goes)
    names = [f"generation {ref}" for ref in goes.refs]
    names += [f"{len(goes.blobs)} blobs"] if goes.blobs else []
    diff = {"before": "".join(f"{name}\n" for name in names), "after": ""}
    return {"changed": bool(goes), "diff": diff, "removed": names, "bytes": size.bytes, "inodes": size.inodes, "in_use": []}


def _depot(path: str) -> Depot:
    depot = Depot(path)
    if not depot.exists():
        raise SpecInvalid(f"there is no depot in {path}", code="depot_missing", subject=path, hint="name the directory that gather or receive filled")
    return depot


def _depot_plan(depot: Depot, keep: int, documents: t.Container[str]) -> depot_prune.Goes:
    refs = sorted(depot.index())
    numbers = sorted({ref.number for ref in refs})
    stay = [ref for ref in refs if not keep or ref.number in numbers[-keep:]]
    return depot_prune.plan(depot, {ref: depot.generation(ref).manifest.layers for ref in stay}, documents)
