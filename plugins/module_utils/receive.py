# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receive: prove a bundle from its first to its last byte, then admit it into a depot.

Signature first, then every digest, then every module's h1 and the checksum database's proofs; only when all of it fits does anything
get its name.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
import tempfile
import typing as t

from ._base.errors import AirgapError, BundleDamaged, DepotDamaged, ModuleRefused, NotSealed, SpecInvalid
from ._base.files import remove_tree, sync_filesystem, write_atomically
from ._base.pool import worker_processes
from ._base.progress import Reporter
from ._base.room import refuse_full
from ._content import database
from ._content.database import ASK
from ._depot import bundle as form
from ._depot import receipt
from ._depot.depot import Depot
from ._depot.generation import Generation
from ._depot.manifest import Layer
from ._go.escape import proxy_path
from ._go.h1 import zip_h1

RECEIPT = receipt.NAME

# How many blobs may wait for their proof in check mode, which keeps none.
QUEUE = 8


@dataclasses.dataclass
class Options:
    """``path``: the bundle. ``allowed_signers``: see ssh-keygen(1). ``gosumdb``: databases with their keys, ``name+hash+key`` each."""

    path: str
    allowed_signers: str = ""
    allow_unsigned: bool = False
    allow_unsealed: bool = False
    gosumdb: t.Sequence[str] = ()
    check: bool = False
    trace_id: str = ""


@dataclasses.dataclass
class Outcome:
    """``signer``: the principal, "" for nobody; ``new_bytes``: of blobs that the depot lacked; ``receipt``: its path."""

    changed: bool
    generation: Generation
    signer: str
    new_blobs: int
    new_bytes: int
    receipt: str


def receive(depot: Depot, options: Options, reporter: Reporter) -> Outcome:
    """Admit a bundle, unless its generation is here.

    Check mode reads and proves the whole bundle, and admits nothing.

    :raises SignatureRefused, BundleDamaged, DepotDamaged, ModuleRefused, NotSealed, HostRefused, ToolMissing: and nothing was admitted.
    """
    keys = database.parse_keys(options.gosumdb)
    if not os.path.isfile(options.path):
        raise SpecInvalid(f"there is no bundle {options.path}", subject=options.path, hint="name the file on the control node with receive_bundle")
    with open(options.path, "rb") as stream:
        reader = form.Reader(stream, os.path.basename(options.path), options.allowed_signers, options.allow_unsigned)
        head = reader.head()
        generation = head.generation
        receipt_path = os.path.join(depot.path, RECEIPT)
        if depot.holds(generation):
            behind = _is_behind(depot)
            if behind and not options.check:
                with depot.locked():
                    _settle(depot)
            return Outcome(behind, generation, head.signer, 0, 0, receipt_path)
        if not generation.ref.sealed and not options.allow_unsealed:
            raise NotSealed(
                f"generation {generation.ref} in {options.path} isn't sealed: nobody has seen its projects build without a network",
                subject=str(generation.ref),
                hint="ask for a sealed one, or set receive_allow_unsealed",
            )
        depot.refuse_other(generation.ref, generation.digest)
        depot.refuse_missing(generation.ref, generation.manifest.layers, head.carried)
        wanted = database.expected(generation, depot, keys, signed=bool(head.signer))
        sizes = generation.manifest.blobs()
        new = {digest: sizes[digest] for digest in head.carried if not depot.blobs.has(digest, sizes[digest])}
        outcome = Outcome(True, generation, head.signer, len(new), sum(new.values()), receipt_path)
        # The tree's unpacked small files come on top of the blobs; a quarter has been enough for all that was measured.
        refuse_full(depot.path, outcome.new_bytes + outcome.new_bytes // 4, "make room, or receive into a depot elsewhere (airgap_golang_depot)")
        if options.check:
            with tempfile.TemporaryDirectory(prefix="airgap-golang-check-") as scratch:
                _prove(reader, head, wanted, depot, scratch, reporter, keep=False)
            return outcome
        with depot.locked():
            depot.sweep()
            staging = depot.scratch("receive")
            try:
                _prove(reader, head, wanted, depot, staging, reporter, keep=True)
                # So that a blob's name never outlives a power cut without its content.
                sync_filesystem(staging)
                _admit(depot, head, new, staging, options, reporter)
            finally:
                remove_tree(staging)
            _settle(depot)
        return outcome


def _admit(depot: Depot, head: form.Head, new: t.Mapping[str, int], staging: str, options: Options, reporter: Reporter) -> None:
    """Give the new blobs and the generation their names; whatever fails takes the names away again."""
    facts = {"by": "receive", "signer": head.signer, "file": os.path.basename(options.path)}
    ref, digest = head.generation.ref, head.generation.digest
    adopted = []
    try:
        for blob, size in new.items():
            if depot.blobs.adopt(os.path.join(staging, blob[7:]), blob, size, move=True):
                adopted.append(blob)
        depot.admit(ref, head.manifest, head.config, options.trace_id, facts=facts, stage=reporter.stage("receive: tree"))
    except BaseException:
        if depot.index().get(ref) != digest:
            depot.blobs.discard(adopted)
        raise


def _is_behind(depot: Depot) -> bool:
    """Whether ``current`` or the receipt is older than the index: a kill right after admission leaves them so."""
    try:
        with open(os.path.join(depot.path, RECEIPT), "rb") as stream:
            written = stream.read()
    except FileNotFoundError:
        written = b""
    return written != receipt.write(depot) or not depot.is_current()


def _settle(depot: Depot) -> None:
    depot.point_current()
    write_atomically(os.path.join(depot.path, RECEIPT), receipt.write(depot))


def _prove(
    reader: form.Reader, head: form.Head, wanted: t.Optional[database.Expected], depot: Depot, staging: str, reporter: Reporter, keep: bool
) -> None:
    """Read every blob, hash it and write it to ``staging``; compute every zip's h1 and read every tar layer beside that.

    :param wanted: how the checksum database's snapshot is to be proved.
    :param keep: whether the blobs stay in ``staging``; else each goes as soon as it's proved.
    """
    layers = head.generation.manifest.layers
    sizes = head.generation.manifest.blobs()
    claims = _claims(head.generation)
    tars = {layer.digest: layer for layer in layers if layer.unpack}
    stage = reporter.stage("receive: blobs", len(head.carried), sum(sizes[digest] for digest in head.carried))
    with worker_processes() as provers:
        h1: dict[str, concurrent.futures.Future[str]] = {}
        insides: dict[str, concurrent.futures.Future[database.Inside]] = {}

        def prove(digest: str, path: str, remove: bool) -> None:
            if digest in claims:
                h1[digest] = provers.submit(_h1, path, remove)
            if digest in tars:
                insides[digest] = provers.submit(_inside, path, tars[digest], wanted, remove)

        try:
            for layer, member in reader.blobs(head):
                path = os.path.join(staging, layer.hex)
                slow = layer.digest in claims or layer.digest in tars
                digest = hashlib.sha256()
                with open(path if keep or slow else os.devnull, "wb") as writer:
                    for chunk in member.chunks():
                        digest.update(chunk)
                        writer.write(chunk)
                        stage.advance(0, len(chunk))
                reader.arrived(layer, digest.hexdigest())
                stage.advance(1, note=layer.title)
                prove(layer.digest, path, remove=not keep)
                if not keep:
                    _wait_for_all_but(QUEUE, [*h1.values(), *insides.values()])
            vouched = _vouched(depot)
            for layer in layers:
                if layer.digest not in head.carried and (layer.unpack or vouched.get(layer.hex, "") != claims.get(layer.digest, {}).get("h1", "")):
                    prove(layer.digest, depot.blobs.path(layer.digest), remove=False)
            _refuse_wrong([(claims[digest], future.result()) for digest, future in h1.items()])
            found = {digest: future.result() for digest, future in insides.items()}
            _refuse_overlaps(head.generation, {digest: inside.names for digest, inside in found.items()})
            database.refuse_wrong(head.generation, wanted, list(found.values()))
        except BaseException:
            waiting: list[concurrent.futures.Future[t.Any]] = [*h1.values(), *insides.values()]
            for future in waiting:
                future.cancel()
            raise


def _wait_for_all_but(number: int, futures: t.Sequence[concurrent.futures.Future[t.Any]]) -> None:
    pending = [future for future in futures if not future.done()]
    concurrent.futures.wait(pending[: max(0, len(pending) - number)])


def _h1(path: str, remove: bool) -> str:
    """The h1 of a zip, or why it has none."""
    try:
        return zip_h1(path)
    except AirgapError as exc:
        return exc.message
    finally:
        if remove:
            os.unlink(path)


def _inside(path: str, layer: Layer, wanted: t.Optional[database.Expected], remove: bool) -> database.Inside:
    try:
        return database.look_into(path, layer, wanted)
    finally:
        if remove:
            os.unlink(path)


def _claims(generation: Generation) -> dict[str, dict[str, t.Any]]:
    """The config's entry for each zip, by the zip's digest.

    :raises BundleDamaged: the config and the manifest don't name the same zips for the same versions, or the same programs for the same tools.
    """
    entries = [module for module in generation.config["modules"] if module["zip"]]
    try:
        claimed = {"proxy/" + proxy_path(module["path"], module["version"], "zip"): "sha256:" + module["zip"] for module in entries}
    except AirgapError as exc:
        raise BundleDamaged(f"generation {generation.ref} can't be meant: {exc.message}", subject=exc.subject, hint=ASK) from None
    binaries = [binary for tool in generation.config["tools"] for binary in tool.get("binaries", ())]
    claimed.update((f"tools/{binary['platform'].replace('/', '-')}/{binary['name']}", "sha256:" + binary["sha256"]) for binary in binaries)
    carried = {layer.title: layer.digest for layer in generation.manifest.layers if layer.kind in ("module", "toolchain", "tool")}
    for title in sorted(claimed.keys() | carried.keys()):
        if claimed.get(title) != carried.get(title):
            raise BundleDamaged(
                f"the config and the manifest of generation {generation.ref} contradict each other about {title}",
                subject=title,
                expected=claimed.get(title, "nothing"),
                found=carried.get(title, "nothing"),
                hint=ASK,
            )
    return {"sha256:" + module["zip"]: module for module in entries}


def _vouched(depot: Depot) -> dict[str, str]:
    """The h1 of every zip that the depot's generations were admitted with, by the zip's SHA-256."""
    found: dict[str, str] = {}
    for ref in depot.index():
        # A damaged generation vouches for nothing, and this bundle may be what heals it.
        with contextlib.suppress(DepotDamaged):
            found.update((module["zip"], module["h1"]) for module in depot.generation(ref).config["modules"] if module["zip"])
    return found


def _refuse_wrong(found: t.Sequence[tuple[t.Mapping[str, t.Any], str]]) -> None:
    wrong = [
        {"module": module["path"], "version": module["version"], "expected": module["h1"], "found": h1} for module, h1 in found if h1 != module["h1"]
    ]
    if wrong:
        lines = "; ".join(f"{entry['module']}@{entry['version']} has {entry['found']}, not {entry['expected']}" for entry in wrong)
        raise ModuleRefused(
            f"{len(wrong)} modules of the bundle don't have the hashes that were proved when they were gathered: {lines}",
            subject=str(wrong[0]["module"]),
            expected=str(wrong[0]["expected"]),
            found=str(wrong[0]["found"]),
            hint=ASK,
            details=wrong,
        )


def _refuse_overlaps(generation: Generation, names: t.Mapping[str, t.Sequence[str]]) -> None:
    """:param names: of the files in each tar layer, by its digest.
    :raises BundleDamaged: two layers have a file for one place, one has a file where another needs a directory, a zip hides in a tar,
        or a part of the checksum database in another layer.
    """
    places: dict[str, str] = {}

    def refuse(place: str, why: str) -> BundleDamaged:
        return BundleDamaged(f"{place}: {why}", code="unsafe_member", subject=place, hint=ASK)

    for layer in generation.manifest.layers:
        for name in names[layer.digest] if layer.unpack else [layer.title]:
            place = f"{layer.unpack}/{name}" if layer.unpack else name
            if place in places:
                raise refuse(place, f"{places[place]} and {layer.title} both have it")
            if layer.unpack and place.startswith("proxy/") and place.endswith(".zip"):
                raise refuse(place, f"{layer.title} hides a zip, which nobody could have proved")
            if place.startswith(database.PLACE) and (layer.kind != "sumdb" or not layer.unpack):
                raise refuse(place, f"{layer.title} hides a part of the checksum database, which nobody could have proved")
            places[place] = layer.title
    for place, title in places.items():
        parent = os.path.dirname(place)
        while parent:
            if parent in places:
                raise refuse(parent, f"{places[parent]} has a file where {title} needs a directory")
            parent = os.path.dirname(parent)
