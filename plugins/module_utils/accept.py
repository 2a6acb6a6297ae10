# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host answers to each request of a deploy. The control node's half is ``plugin_utils/delivery.py``.

A probe names a generation by its digest, which is enough for a host that has its documents, or can get them from a mirror; others say
that it's ``unknown`` and are asked again, with the documents. A host that lacks nothing, or pulls what it lacks, is done
after the probe; others say what is ``missing`` and where it shall go, and are asked to admit it.
Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ._base.errors import DepotDamaged, FetchFailed
from ._content.wish import Wish
from ._depot import manifest as oci
from ._depot.generation import Generation
from ._depot.incoming import ARRIVING, Request
from ._host.place import directory_name
from .host import Host, Plan, pruned, read_generation

if t.TYPE_CHECKING:
    from ._depot.pull import Mirrors

TRANSFERS = ("push", "pull", "auto")


@dataclasses.dataclass(frozen=True)
class Way:
    """How blobs come to a host. ``transfer``: one of ``TRANSFERS``; ``mirrors``: None for a push."""

    transfer: str = "push"
    mirrors: t.Optional[Mirrors] = None

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any]) -> Way:
        """:param params: of a module that has the options of the delivery.

        :raises SpecInvalid: they contradict each other.
        """
        if params["transfer"] == "push" or (params["transfer"] == "auto" and not params["mirrors"]):
            return cls()
        # HTTP and TLS take longer to import than an unchanged host's whole answer takes; a push needs neither.
        from ._base.httpget import Access
        from ._depot.pull import Mirrors

        access = Access(
            ca=params["mirror_ca"] or "",
            user=params["mirror_user"] or "",
            password=params["mirror_password"] or "",
            agent=params["http_agent"],
            timeout=params["mirror_timeout"],
        )
        return cls(params["transfer"], Mirrors(params["mirrors"] or (), access))


def answer(host: Host, request: Request, wish: Wish, way: Way, keep: int, check: bool, trace_id: str) -> dict[str, t.Any]:
    """Do what is asked; what the module returns.

    :param keep: how many generations stay on the host, 0 for all.
    :param check: only say what would be done.
    :raises AirgapError: as ``Host.plan``, ``check_place`` and ``admit``.
    :raises FetchFailed: a mirror that is the only way doesn't give what is lacked.
    """
    generation = _generation(host, request, way)
    if generation is None:
        return {"changed": False, "unknown": True}
    plan = host.plan(generation, wish, keep)
    going = plan.changed and not check
    if going and request.step == "probe" and host.salvage(plan):
        plan = host.plan(generation, wish, keep)
    told = {
        "changed": plan.changed,
        "generation": str(generation.ref),
        "current": directory_name(generation, plan.state),
        "previous": plan.current,
        "platform": host.platform,
        "transferred": sum(plan.missing.values()),
        "bytes": plan.bytes,
        "inodes": plan.inodes,
        "modules": len(plan.unpack),
        "diff": plan.diff(),
        "pulled": 0,
    }
    if plan.changed and request.step == "probe":
        if going:
            host.sweep(*([ARRIVING] if way.mirrors else []))
        host.check_place(plan)
    if going and request.step == "probe" and plan.missing and way.mirrors:
        before = sum(plan.missing.values())
        plan = _pulled(host, plan, wish, keep, way.mirrors, way.transfer)
        told["pulled"] = before - sum(plan.missing.values())
    if going and request.step == "probe" and plan.missing:
        told.update(missing=plan.missing, incoming=host.open_incoming(request.user, generation))
    elif going:
        host.admit(plan, trace_id, request.incoming, request.parts)
    if plan.unpruned:
        told["warnings"] = [plan.unpruned]
    told["pruned"] = pruned(plan)
    return told


def _generation(host: Host, request: Request, way: Way) -> t.Optional[Generation]:
    """The generation that the control node speaks of; None where its documents aren't known."""
    manifest, config = request.manifest, request.config
    if not manifest:
        try:
            manifest = host.depot.blobs.read(request.digest).decode()
            config = host.depot.blobs.read(oci.parse(manifest.encode(), request.ref).config).decode()
        except DepotDamaged:
            if way.mirrors is None:
                return None
            try:
                manifest, config = way.mirrors.documents(request.digest)
            except FetchFailed:
                if way.transfer == "pull":
                    raise
                return None
    generation = read_generation(request.ref, manifest, config)
    if generation.digest != request.digest:
        raise DepotDamaged(f"{request.ref} came with another manifest", subject=request.ref, expected=request.digest, found=generation.digest)
    return generation


def _pulled(host: Host, plan: Plan, wish: Wish, keep: int, mirrors: Mirrors, transfer: str) -> Plan:
    """The plan after what could be had from the mirrors has come."""
    failed = host.pull(plan, mirrors)
    if failed and transfer == "pull":
        raise mirrors.refusal(failed, f"generation {plan.generation.ref}")
    return host.plan(plan.generation, wish, keep)
