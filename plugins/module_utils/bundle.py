# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundle: write a generation to one file that can be carried, signed, with the blobs that the receiver lacks.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ._base import signature
from ._base.errors import AirgapError, DepotDamaged, NotSealed, SignatureRefused, SpecInvalid
from ._base.files import replacing
from ._base.progress import Reporter
from ._base.room import refuse_full
from ._depot import bundle as form
from ._depot import receipt
from ._depot.depot import Depot
from ._depot.generation import Generation, Ref


@dataclasses.dataclass
class Outcome:
    """``path``: the bundle; ``size``: of the file in bytes, ``before``: what it was; ``carried``: how many blobs travel."""

    changed: bool
    generation: Generation
    path: str
    size: int
    before: int
    carried: int


@dataclasses.dataclass
class Options:
    """``dest``: a directory, or the file's own name, ending in .tar. ``base``: the receiver's receipt, for a bundle of the difference."""

    dest: str
    number: t.Optional[int] = None
    signing_key: str = ""
    allow_unsigned: bool = False
    allow_unsealed: bool = False
    base: str = ""
    check: bool = False
    trace_id: str = ""


def bundle(depot: Depot, options: Options, reporter: Reporter) -> Outcome:
    """Write the bundle, unless the file is there already as we'd write it.

    :raises NotSealed: the generation has no rehearsal behind it, and the user didn't say that that's fine.
    :raises SignatureRefused: there's no key to sign with, likewise.
    :raises HostRefused: the place has too little room.
    """
    generation = _pick(depot, options)
    if not options.signing_key and not options.allow_unsigned:
        raise SignatureRefused(
            "a bundle must be signed",
            code="unsigned",
            subject=form.file_name(generation),
            hint="name a key with bundle_signing_key (ssh-keygen -t ed25519 makes one), or set bundle_allow_unsigned: the receiver will refuse it by default",
        )
    held: set[str] = set()
    if options.base:
        if not os.path.isfile(options.base):
            raise SpecInvalid(
                f"there is no receipt {options.base}", subject=options.base, hint="receive writes one on the offline side: carry it back, or leave base out"
            )
        with open(options.base, "rb") as stream:
            held = receipt.held_blobs(stream.read(), depot, options.base)
    carried = form.carried_blobs(generation, held)
    small = form.preamble(depot, generation, carried)
    path = options.dest if options.dest.endswith(".tar") and not os.path.isdir(options.dest) else os.path.join(options.dest, form.file_name(generation))
    sizes = generation.manifest.blobs()
    plain = [*(len(content) for content in small.values()), *(sizes[digest] for digest in carried)]
    before = os.stat(path).st_size if os.path.isfile(path) else 0
    if before and _is_there(path, small[form.SUMS], plain, options.signing_key):
        return Outcome(False, generation, path, before, before, len(carried))
    # In check mode too: a key that can't sign would fail the run, and the signature is part of the size.
    armoured = signature.sign(small[form.SUMS], options.signing_key) if options.signing_key else b""
    size = form.file_size([*plain, len(armoured)] if armoured else plain)
    refuse_full(path, size, "make room, choose another bundle_dest, or bundle against the receiver's receipt")
    if options.check:
        depot.refuse_missing(generation.ref, (layer for layer in generation.manifest.layers if layer.digest in carried))
        return Outcome(True, generation, path, size, before, len(carried))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    stage = reporter.stage("bundle: blobs", len(carried), form.size_of(generation, carried))
    with replacing(path) as stream:
        form.write(depot, generation, carried, stream, armoured, stage)
    with depot.locked():
        depot.audit.append(
            "bundle",
            options.trace_id,
            generation=str(generation.ref),
            manifest=generation.digest,
            carried=len(carried),
            signed=bool(options.signing_key),
            file=os.path.basename(path),
        )
    return Outcome(True, generation, path, size, before, len(carried))


def _pick(depot: Depot, options: Options) -> Generation:
    refs = depot.index()
    if options.number is not None:
        wanted = [ref for ref in (Ref(options.number, True), Ref(options.number, False)) if ref in refs]
        generation = depot.generation(wanted[0] if wanted else Ref(options.number, True))
    else:
        latest = depot.latest()
        if latest is None:
            raise DepotDamaged(f"the depot {depot.path} has no generation", code="generation_missing", subject=depot.path, hint="gather one first")
        generation = latest
    if not generation.ref.sealed and not options.allow_unsealed:
        raise NotSealed(
            f"generation {generation.ref} of {depot.path} isn't sealed: nobody has seen its projects build without a network",
            subject=str(generation.ref),
            hint="rehearse it, or set bundle_allow_unsealed if it must travel all the same",
        )
    return generation


def _is_there(path: str, sums: bytes, plain: t.Sequence[int], key: str) -> bool:
    """Whether the file is the bundle that we'd write, as far as its size, its SHA256SUMS and its signature tell."""
    try:
        found, armoured = form.peek(path)
    except AirgapError:
        return False
    if found != sums or bool(armoured) != bool(key) or os.stat(path).st_size != form.file_size([*plain, len(armoured)] if armoured else plain):
        return False
    return not key or signature.is_by(sums, armoured, key)
