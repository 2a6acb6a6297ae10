# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checksum database that a generation brings: by which key it's proved, what it must lead on from, and what it vouches for.

The keys are the receiver's: that of a name which the go command knows is built in, and others can be named. A private database that
nobody here has named may bring its own key in a signed bundle, since its signer vouches for the rest of the bundle as well; from
then on this depot knows that name by that key alone.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._base.errors import AirgapError, BundleDamaged, DepotDamaged, ModuleRefused, SpecInvalid
from .._base.ustar import packed
from .._depot.depot import Depot
from .._depot.generation import Generation, Ref
from .._depot.manifest import Layer
from .._go.escape import proxy_path
from .._go.h1 import gomod_h1
from .._go.snapshotcheck import Checked, Key, Record, check, files_below
from .._go.sumdb import KNOWN, parse_gosumdb
from .._go.tlog import Head, need_signatures, parse_head

PLACE = "proxy/sumdb/"
ASK = "nothing was admitted; ask the connected side for a new bundle"

# A tile has 8 KiB, a lookup less.
LARGEST = 1 << 20


class Carried(t.NamedTuple):
    """A snapshot that an earlier generation left in this depot; ``older``: sizes of the heads that it leads on from."""

    ref: Ref
    head: Head
    key: str
    older: tuple[int, ...]
    directory: str


class Expected(t.NamedTuple):
    """What a generation says of its snapshot, the key to prove it by, and the snapshots of the same database that are here."""

    ref: Ref
    name: str
    key: str
    size: int
    older: tuple[int, ...]
    here: tuple[Carried, ...]


class Inside(t.NamedTuple):
    """What a tar layer has: names of files; the h1 of each go.mod by its place in the tree; the snapshot, proved."""

    names: list[str]
    gomods: dict[str, str]
    snapshot: t.Optional[Checked]


def parse_keys(values: t.Iterable[str]) -> dict[str, str]:
    """The databases that a receiver names, ``name+hash+key`` each: name to key.

    :raises SpecInvalid: a value is no such thing, or gives another key to a name that the go command knows.
    """
    keys: dict[str, str] = {}
    for value in values:
        name, key, url = parse_gosumdb(value)
        if not name or url or KNOWN.get(name, key) != key or keys.setdefault(name, key) != key:
            raise SpecInvalid(
                f"{value!r} names no checksum database and its one key",
                subject="gosumdb",
                found=value,
                expected="name+hash+key, with the key that the name has",
                hint="take the line that the database's owner publishes",
            )
    return keys


def expected(generation: Generation, depot: Depot, named: t.Mapping[str, str], signed: bool) -> t.Optional[Expected]:
    """How the generation's snapshot is to be proved; None where it brings none.

    :param named: the receiver's own keys, by name.
    :param signed: whether somebody who may has signed for this generation.
    :raises BundleDamaged: the generation contradicts itself.
    :raises ModuleRefused: the key is not the one that this name has here, or nobody vouches for it.
    :raises ToolMissing: there is no Ed25519 here.
    """
    go = generation.config["go"]
    says = go.get("sumdb") or {}
    layers = [layer for layer in generation.manifest.layers if layer.kind == "sumdb"]
    if not says:
        public = next((module for module in generation.config["modules"] if module["public"]), None)
        if layers or public:
            what = f"has {layers[0].title}" if public is None else f"says that one vouches for {public['path']}@{public['version']}"
            raise _contradicts(generation, f"names no checksum database and {what}")
        return None
    try:
        name, key, _url = parse_gosumdb(str(go.get("gosumdb", "")))
    except SpecInvalid as exc:
        raise _contradicts(generation, f"has a checksum database that can't be meant: {exc.message}") from None
    if name != says["name"] or not layers:
        raise _contradicts(generation, f"names the checksum database {says['name']} and carries {name if layers else 'none'}")
    need_signatures()
    here = tuple(_here(depot, name))
    trusted = KNOWN.get(name) or named.get(name, "")
    if not trusted and here:
        trusted = max(here, key=lambda carried: carried.ref).key
    if trusted and trusted != key:
        raise ModuleRefused(
            f"generation {generation.ref} has the checksum database {name} with a key that this name doesn't have here",
            code="database_untrusted",
            subject=name,
            expected=trusted,
            found=key,
            hint="somebody pretends to be this database; or, if its owner has changed the key and says so, name the new one with receive_gosumdb"
            if name not in KNOWN
            else "somebody pretends to be this database: take nothing, and ask the connected side",
        )
    if not trusted and not signed:
        raise ModuleRefused(
            f"generation {generation.ref} has a checksum database of its own, {name}, and nobody has signed for its key",
            code="database_untrusted",
            subject=name,
            found=key,
            hint="if this is the key that the database's owner publishes, name it with receive_gosumdb; or ask for a signed bundle",
        )
    return Expected(generation.ref, name, key, int(says["size"]), tuple(says["older"]), here)


def _contradicts(generation: Generation, what: str) -> BundleDamaged:
    return BundleDamaged(f"generation {generation.ref} {what}", subject=str(generation.ref), hint=ASK)


def _here(depot: Depot, name: str) -> t.Iterator[Carried]:
    """What is damaged here vouches for nothing, and this bundle may be what heals it; hosts that saw such a head still remember it."""
    for ref in sorted(depot.index()):
        with contextlib.suppress(DepotDamaged, ModuleRefused, SpecInvalid, FileNotFoundError):
            go = depot.generation(ref).config["go"]
            says = go.get("sumdb") or {}
            if says.get("name") == name:
                directory = os.path.join(depot.tree(ref), PLACE, name)
                key = parse_gosumdb(str(go["gosumdb"])).key
                with open(os.path.join(directory, "latest"), "rb") as stream:
                    yield Carried(ref, parse_head(stream.read(), key), key, tuple(says["older"]), directory)


def look_into(path: str, layer: Layer, wanted: t.Optional[Expected]) -> Inside:
    """Read a tar layer from end to end, and prove the snapshot if it is that.

    :raises BundleDamaged: it isn't a tar that we'd have written, or has what belongs elsewhere.
    :raises ModuleRefused: the snapshot doesn't prove what it says.
    """
    names: list[str] = []
    gomods: dict[str, str] = {}
    with open(path, "rb") as stream:
        if layer.kind == "sumdb" and wanted is not None:
            checked = check(
                _snapshot(stream, layer, wanted, names),
                wanted.key,
                older=wanted.older,
                known=[carried.head for carried in wanted.here],
                origin=lambda name: f"{layer.title}: {wanted.name}/{name}",
                hint=ASK,
            )
            return Inside(names, gomods, checked)
        for member in packed(stream, layer.title):
            names.append(member.name)
            place = f"{layer.unpack}/{member.name}"
            if place.startswith("proxy/") and place.endswith(".mod"):
                gomods[place] = gomod_h1(member.read())
    return Inside(names, gomods, None)


def _snapshot(stream: t.IO[bytes], layer: Layer, wanted: Expected, names: list[str]) -> t.Iterator[tuple[str, bytes]]:
    prefix = f"{PLACE}{wanted.name}/"
    for member in packed(stream, layer.title):
        names.append(member.name)
        place = f"{layer.unpack}/{member.name}"
        if not place.startswith(prefix):
            raise BundleDamaged(f"{layer.title}: {member.name} isn't of the checksum database {wanted.name}", subject=place, hint=ASK)
        yield place[len(prefix) :], member.read(LARGEST)


def refuse_wrong(generation: Generation, wanted: t.Optional[Expected], insides: t.Iterable[Inside]) -> None:
    """Compare what the generation says of its modules with what it brings and with the database's records; then the order of heads.

    :raises ModuleRefused: they differ, all of them in ``details``; or the snapshot is not the one that should follow those here.
    """
    gomods: dict[str, str] = {}
    records: dict[Key, Record] = {}
    for inside in insides:
        gomods.update(inside.gomods)
        if inside.snapshot is not None:
            records.update(inside.snapshot.records)
    wrong = list(_wrong(generation, gomods, records))
    if wrong:
        lines = "; ".join(f"{entry['what']} has {entry['found']}, but {entry['says']} says {entry['expected']}" for entry in wrong)
        raise ModuleRefused(
            f"{len(wrong)} file{'s' if len(wrong) > 1 else ''} of generation {generation.ref} with a wrong hash: {lines}",
            subject=wrong[0]["what"],
            expected=wrong[0]["expected"],
            found=wrong[0]["found"],
            hint=f"somebody changed the module after its hash was published, or the generation lies: {ASK}",
            details=wrong,
        )
    for inside in insides:
        if inside.snapshot is not None and wanted is not None:
            _refuse_order(wanted, inside.snapshot.head)


def _wrong(generation: Generation, gomods: t.Mapping[str, str], records: t.Mapping[Key, Record]) -> t.Iterator[dict[str, str]]:
    for module in generation.config["modules"]:
        path, version = module["path"], module["version"]

        def entry(what: str, expected: str, found: str, says: str, path: str = path, version: str = version) -> dict[str, str]:
            return {"what": f"{path}@{version}{what}", "module": path, "version": version, "expected": expected, "found": found, "says": says}

        found = gomods.get("proxy/" + proxy_path(path, version, "mod"), "no file")
        if found != module["gomod_h1"]:
            yield entry("/go.mod", module["gomod_h1"], found, "the generation's config")
        record = records.get((path, version))
        if record is None:
            if module["public"]:
                yield entry("", "its record in the carried checksum database", "none", "the generation's config")
            continue
        if record.lines["mod"] != module["gomod_h1"]:
            yield entry("/go.mod", record.lines["mod"], module["gomod_h1"], "the checksum database")
        if module["zip"] and record.lines["zip"] != module["h1"]:
            yield entry("", record.lines["zip"], module["h1"], "the checksum database")


def _refuse_order(wanted: Expected, head: Head) -> None:
    """A host goes by the snapshot of the highest generation that it has seen, so heads must be in the order of generations, and tied."""
    if head.size != wanted.size:
        raise BundleDamaged(
            f"generation {wanted.ref} says that its checksum database has {wanted.size} records, and its head says {head.size}",
            subject=wanted.name,
            expected=str(wanted.size),
            found=str(head.size),
            hint=ASK,
        )
    for carried in wanted.here:
        # The one is later and the other newer.
        if (carried.ref.number - wanted.ref.number) * (carried.head.size - head.size) < 0:
            raise ModuleRefused(
                f"generation {wanted.ref} has a head of {wanted.name} with {head.size} records, generation {carried.ref} here one with {carried.head.size}:"
                " hosts can't go from a newer head to an older one",
                code="database_order",
                subject=wanted.name,
                expected=f"{'at most' if carried.ref > wanted.ref else 'at least'} {carried.head.size}",
                found=str(head.size),
                hint="it comes from another connected depot than those before it: gather in the one that this depot follows, or receive into another",
            )
    newest = max(wanted.here, key=lambda carried: carried.head.size, default=None)
    if newest is not None and newest.head.size > head.size:
        # A late disc: the newer snapshot stays in use, so that one is what must lead on from this one.
        try:
            files = files_below(newest.directory)
            check(files, newest.key, older=newest.older, known=[head], origin=lambda path: f"{newest.directory}/{path}", hint=ASK)
        except AirgapError as exc:
            exc.message = f"generation {wanted.ref} is older than {newest.ref}, whose checksum database must lead on from its: {exc.message}"
            raise
