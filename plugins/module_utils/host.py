# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's whole state, as one thing: plan what differs from what is wanted, take in what is missing, switch by one rename.

``plan`` is what check mode, diff, ``changed`` and the real run all go by; ``admit`` carries a plan out. Code that runs
on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ._base.errors import AirgapError, DepotDamaged, HostRefused
from ._base.progress import megabytes
from ._content.carried import needed_layers
from ._content.wish import Wish, differences, wished_state
from ._depot import manifest as oci
from ._depot.generation import Generation, Ref, parse_config
from ._depot.incoming import largest_part, left_behind, open_arriving, open_incoming, salvage, take_arrived, take_blobs
from ._depot.tree import note_path
from ._go.modcache import CachedModule
from ._host import prune
from ._host.layout import make_directory
from ._host.links import check_links, link_target, links_of, set_links
from ._host.place import Place, directory_name, existing, require_writable
from ._host.prune import Prune
from ._host.references import needs_of
from ._host.switch import advance_database, require_current, switch

if t.TYPE_CHECKING:
    from ._depot.pull import Mirrors

# What isn't known of a tar layer before it's unpacked: sources shrink to a sixth, and a file of them has some 6 kB.
_GZIPPED = 6
_FILE = 6000


@dataclasses.dataclass
class Plan:
    """What differs. ``current``: the directory that is active now; ``state``: the document of the wished state, which names
    its directory; ``missing``: digest → size of the blobs that aren't here; ``links``: those outside of ROOT, path → target, ""
    for one that goes; ``prune``: what goes after the switch, None for nothing; ``unpruned``: why that can't be said."""

    generation: Generation
    current: str
    state: dict[str, t.Any]
    layers: list[oci.Layer]
    missing: dict[str, int]
    unpack: list[CachedModule]
    links: dict[str, str]
    changes: list[tuple[str, str, str]]
    bytes: int
    inodes: int
    keep: int = 0
    prune: t.Optional[Prune] = None
    unpruned: str = ""

    @property
    def changed(self) -> bool:
        return bool(self.changes)

    def diff(self) -> dict[str, str]:
        """Before and after, one line for each thing that differs."""
        before = "".join(f"{what}: {was}\n" for what, was, _will in self.changes if was)
        after = "".join(f"{what}: {will}\n" for what, _was, will in self.changes if will)
        return {"before": before, "after": after}


def read_generation(ref: str, manifest: str, config: str) -> Generation:
    """The generation that the control node speaks of.

    :raises DepotDamaged: the documents contradict each other.
    """
    hint = "on the control node, receive the generation again into an empty depot"
    encoded = manifest.encode("utf-8")
    parsed = oci.parse(encoded, ref)
    if oci.digest_of(config.encode("utf-8")) != parsed.config:
        raise DepotDamaged(f"{ref}: the config isn't the one that the manifest names", subject=ref, hint=hint)
    document = parse_config(config.encode("utf-8"), ref)
    # The host's depot keeps them as they are written here.
    if parsed.encode() != encoded or oci.digest_of(oci.canonical(document)) != parsed.config:
        raise DepotDamaged(f"{ref}: its manifest or config has another form than we write", subject=ref, hint=hint)
    return Generation(Ref.parse(ref), oci.digest_of(encoded), parsed, document)


class Host(Place):
    """One host's ROOT, and what it is to become."""

    def plan(self, generation: Generation, wish: Wish, keep: int = 0) -> Plan:
        """Compare what is with what is wished; changes nothing.

        :param keep: how many generations stay when this one has become active; 0 for all.
        :raises SpecInvalid: the generation doesn't carry what is asked for.
        :raises HostRefused: something that isn't ours is in the way, what is here can't be read, or others can write it.
        :raises DepotDamaged: this host has another generation of that number.
        """
        self.require_own()
        current = self.current()
        before = self.state(current)
        state = wished_state(generation, wish, before, self.platform, os.path.join(self.root, "current", "go"))
        parts = state["parts"]
        names = parts.get("project", {}).get("names")
        layers = needed_layers(generation, parts, self.platform, names, parts.get("tools", {}).get("programs"))
        missing = {layer.digest: layer.size for layer in layers if not self.depot.blobs.has(layer.digest, layer.size)}
        to_lay_out = self._to_lay_out(generation, layers)
        known = self._known(generation)
        changes: list[tuple[str, str, str]] = []
        if missing:
            changes.append(("depot", "", f"{len(missing)} blobs, {megabytes(sum(missing.values()))}, of generation {generation.ref}"))
        elif to_lay_out or not known:
            changes.append(("depot", "", f"tree of generation {generation.ref}"))
        unpack = self.cache.missing(self.wanted_modules(generation, parts))
        if unpack:
            changes.append(("modcache", "", f"{len(unpack)} modules"))
        directory = directory_name(generation, state)
        if not os.path.isdir(os.path.join(self.root, "generations", directory)):
            changes.append(("generation", "", f"{directory} with {', '.join(sorted(parts))}"))
        if current != directory:
            changes.append(("current", current, directory))
            changes += differences(before, state)
        links = links_of(self, state)
        changes += [(path, link_target(path), target) for path, target in links.items() if link_target(path) != target]
        entries = {(str(entry["path"]), str(entry["version"])): entry for entry in generation.config["modules"]}
        whole = [entries[module.path, module.version] for module in unpack if module.zip]
        tars = [layer for layer in to_lay_out if layer.unpack]
        programs = [layer.size for layer in to_lay_out if layer.kind in oci.EXECUTABLE]
        unpacked = sum(layer.size * (_GZIPPED if layer.media_type == oci.TAR_GZIP_TYPE else 1) for layer in tars)
        files = sum(int(entry["files"]) for entry in whole)
        size = sum(missing.values()) + unpacked + sum(programs) + sum(int(entry["unpacked"]) for entry in whole)
        # Go's own sources have a directory for every eight files.
        inodes = len(missing) + len(programs) + unpacked // _FILE + files + files // 8
        if size:
            changes.insert(0, ("room", "", f"{megabytes(size)}, {inodes} inodes"))
        plan = Plan(
            generation=generation,
            current=current,
            state=state,
            layers=layers,
            missing=missing,
            unpack=unpack,
            links=links,
            changes=changes,
            bytes=size,
            inodes=inodes,
            keep=keep,
        )
        self._plan_prune(plan, directory)
        return plan

    def _plan_prune(self, plan: Plan, directory: str) -> None:
        """An old generation that can't be read mustn't keep the new one from coming: nothing is pruned then."""
        if prune.is_due(self, plan.keep, directory):
            try:
                plan.prune = prune.plan(self, plan.keep, needs_of(self, directory, plan.generation, plan.state["parts"]))
                plan.changes += plan.prune.changes()
            except AirgapError as exc:
                plan.unpruned = f"nothing was pruned: {exc.sentence()}"

    def _known(self, generation: Generation) -> bool:
        """Whether the host's depot has the generation.

        :raises DepotDamaged: it has another one of that name.
        """
        held = self.depot.index().get(generation.ref)
        if held not in (None, generation.digest):
            raise DepotDamaged(
                f"{self.depot.path} has another generation {generation.ref}",
                code="generation_conflict",
                subject=str(generation.ref),
                expected=str(held),
                found=generation.digest,
                hint="two depots gave the same number: let this host follow one of them, or give it another airgap_golang_root",
            )
        return held is not None

    def _to_lay_out(self, generation: Generation, layers: t.Sequence[oci.Layer]) -> list[oci.Layer]:
        """Those that the generation's tree lacks."""
        tree = self.depot.tree(generation.ref)
        return [layer for layer in layers if not os.path.exists(note_path(tree, layer) if layer.unpack else os.path.join(tree, layer.title))]

    def check_place(self, plan: Plan) -> None:
        """Find out beforehand what would stop ``admit``.

        :raises HostRefused: a directory can't be written, or the file system can't hold what would come, in bytes or inodes.
        """
        for refusal in self.what_stops(plan):
            raise refusal

    def what_stops(self, plan: Plan) -> t.Iterator[HostRefused]:
        """All that ``check_place`` would raise, one after the other."""
        checks: list[t.Callable[[], None]] = [lambda: require_writable(self.root, "another airgap_golang_root"), lambda: check_links(plan.links)]
        for check in checks:
            try:
                check()
            except HostRefused as exc:
                yield exc
        at = existing(self.root)
        found = os.statvfs(at)
        # While parts arrive, the largest of them lies beside its blobs; when modules are unpacked, all parts are gone.
        most = max(plan.bytes, sum(plan.missing.values()) + largest_part(plan.missing))
        # The last block of a file is half empty, on average.
        needed = {"bytes": most + plan.inodes * found.f_frsize // 2, "inodes": plan.inodes if found.f_files else 0}
        free = {"bytes": found.f_bavail * found.f_frsize, "inodes": found.f_favail}
        for what, number in needed.items():
            if number > free[what]:
                yield HostRefused(
                    f"{at} has {free[what]} {what} free; generation {plan.generation.ref} needs {number} more",
                    code="no_space",
                    subject=at,
                    expected=str(number),
                    found=str(free[what]),
                    hint="make room, or let airgap_golang_root be on a larger file system",
                )

    def salvage(self, plan: Plan) -> bool:
        """Take in what an earlier delivery has brought whole before it broke off; whether there was anything to look at."""
        if not plan.missing or not left_behind(self.depot):
            return False
        with self.depot.locked():
            salvage(self.depot, plan.missing)
        return True

    def pull(self, plan: Plan, mirrors: Mirrors) -> dict[str, str]:
        """Fetch what the plan lacks; by digest, why something could not be had."""
        with self.locked():
            failed = mirrors.pull(plan.missing, open_arriving(self.depot))
            take_arrived(self.depot, {digest: size for digest, size in plan.missing.items() if digest not in failed})
        return failed

    def open_incoming(self, user: str, generation: Generation) -> str:
        """Make a directory for what the control node sends, writable for the account that it connects as.

        If an earlier run is still sending, that one fails by name, and this one goes on: nobody can tell it from a dead one.

        :param user: that account's name or number; "" when it's the one that this runs as.
        :param generation: whose documents are kept, so that they needn't come again with the blobs.
        """
        with self.locked():
            self.sweep_locked()
            manifest = generation.manifest
            self.depot.blobs.put(manifest.config, oci.canonical(generation.config))
            self.depot.blobs.put(generation.digest, manifest.encode())
            return open_incoming(self.depot, user)

    def admit(self, plan: Plan, trace_id: str, incoming: str = "", parts: int = 0) -> None:
        """Carry out a plan: blobs out of ``incoming``, tree, module cache, generation directory, then the switch, then the prune.

        Every step can be killed; what is half done is neither named nor trusted, and a rerun finishes it.

        :param incoming: what ``open_incoming`` gave.
        :param parts: how many parts the control node has put there.
        :raises BundleDamaged, DepotDamaged, ModuleRefused: what came isn't what the manifest says.
        :raises HostRefused: another run changed this host after the plan was made.
        """
        workers = max(2, min(8, os.cpu_count() or 2))
        with self.locked():
            require_current(self, plan.current)
            if plan.missing:
                take_blobs(self.depot, plan.missing, incoming, parts)
            self.depot.admit(
                plan.generation.ref,
                plan.generation.manifest.encode(),
                oci.canonical(plan.generation.config),
                trace_id,
                layers=plan.layers,
                facts={"by": "deliver"},
                workers=workers,
            )
            self.sweep_locked()
            modules = self.wanted_modules(plan.generation, plan.state["parts"])
            if self.cache.missing(modules):
                self.cache.install(modules, workers)
            advance_database(self)
            directory = make_directory(self, plan.generation, plan.state)
            switch(self, directory, trace_id)
            set_links(self, plan.links)
            if plan.prune is not None:
                plan.prune = prune.plan(self, plan.keep)
                prune.carry_out(self, plan.prune, trace_id)


def pruned(plan: Plan) -> dict[str, t.Any]:
    """What the module returns about what went, or would."""
    return (plan.prune or prune.nothing()).result()
