# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upload: a generation put to a raw repository, so that its base URL is a GOPROXY and, below depot/, a source of blobs.

The layout is the one that the role mirror serves. What lists name is there before the lists.

Standard library, Python 3.8: an offline control node has nothing else.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from ._base.errors import DepotDamaged, SpecInvalid
from ._base.progress import Reporter, megabytes
from ._base.uploads import Item, Server, Uploader
from ._depot.depot import LAYOUT, Depot, index_of
from ._depot.generation import Generation, Ref
from ._depot.tree import SUMS

CONTENTS = ("proxy", "depot")

# Names that later generations have with other content: all else is as immutable as what it's named after.
_NAMES_OTHERS = ("/@v/list", "/@latest")


@dataclasses.dataclass(frozen=True)
class Options:
    """``contents``: some of CONTENTS. ``number``: of the generation, None for the latest sealed one."""

    server: Server
    contents: tuple[str, ...] = ("proxy",)
    number: t.Optional[int] = None
    check: bool = False
    trace_id: str = ""


@dataclasses.dataclass
class Outcome:
    """``sent``: what was sent, or would be; ``present``: how many files the server had already."""

    generation: Generation
    sent: list[Item]
    present: int

    @property
    def changed(self) -> bool:
        return bool(self.sent)

    @property
    def bytes(self) -> int:
        return sum(item.size for item in self.sent)

    def diff(self, url: str) -> dict[str, str]:
        """One line for each file that is sent."""
        return {"before": "", "after": "".join(f"{item.target}: {megabytes(item.size)}\n" for item in self.sent), "before_header": url, "after_header": url}


def upload(depot: Depot, options: Options, reporter: Reporter) -> Outcome:
    """Put what the server lacks, in an order in which a reader never finds a list that names what isn't there.

    A kill or a failure leaves whole files; a rerun sends the rest.

    :raises DepotDamaged: there is no such generation, or its tree isn't whole.
    :raises SpecInvalid: the address or the certificates can't be meant.
    :raises UploadFailed: the server didn't take something.
    """
    generation = _pick(depot, options.number)
    rounds = _rounds(depot, generation, options.contents)
    uploader = Uploader(options.server)
    sent: list[Item] = []
    total = sum(map(len, rounds))
    try:
        asking = reporter.stage("upload: compare", total)
        missing = [uploader.missing(items, asking) for items in rounds]
        sent = [item for items in missing for item in items]
        if sent and not options.check:
            stage = reporter.stage("upload: send", len(sent), sum(item.size for item in sent))
            for items in missing:
                uploader.send(items, stage)
            with depot.locked():
                facts = {"generation": str(generation.ref), "manifest": generation.digest, "files": len(sent), "contents": list(options.contents)}
                depot.audit.append("upload", options.trace_id, **facts)
    finally:
        uploader.close()
    return Outcome(generation, sent, total - len(sent))


def _pick(depot: Depot, number: t.Optional[int]) -> Generation:
    if number is not None:
        return depot.generation(Ref(number, True))
    latest = depot.latest(sealed_only=True)
    if latest is None:
        raise DepotDamaged(
            f"the depot {depot.path} has no sealed generation", code="generation_missing", subject=depot.path, hint="receive one, or rehearse one, first"
        )
    return latest


def _rounds(depot: Depot, generation: Generation, contents: t.Sequence[str]) -> list[list[Item]]:
    """What to put, in rounds: files that name no others; what speaks of them; lists and the index."""
    unknown = sorted(set(contents) - set(CONTENTS))
    if unknown or not contents:
        known = ", ".join(CONTENTS)
        raise SpecInvalid(f"{', '.join(unknown) or 'nothing'} can't be uploaded", subject=", ".join(unknown), expected=known, hint=f"contents: some of {known}")
    items: list[Item] = []
    if "proxy" in contents:
        items += _proxy(depot, generation)
    if "depot" in contents:
        items += _blobs(depot, generation)
    rounds: list[list[Item]] = [[], [], []]
    for item in sorted(items, key=lambda item: item.target):
        rounds[_round(item.target)].append(item)
    return rounds


def _round(target: str) -> int:
    if target.endswith(_NAMES_OTHERS) or target == "depot/index.json":
        return 2
    if target.startswith("sumdb/") and "/tile/" not in target:
        return 1
    return 1 if target.endswith(".info") else 0


def _is_fixed(target: str) -> bool:
    return _round(target) == 0 or target.endswith(".info")


def _proxy(depot: Depot, generation: Generation) -> list[Item]:
    tree = depot.tree(generation.ref)
    sums = os.path.join(tree, SUMS)
    items: list[Item] = []
    try:
        with open(sums, encoding="utf-8", errors="surrogateescape") as stream:
            for line in stream:
                name = line[66:].rstrip("\n")
                if name.startswith("proxy/"):
                    path = os.path.join(tree, name)
                    target = name[len("proxy/") :]
                    items.append(Item(target, os.stat(path).st_size, line[:64], _is_fixed(target), path))
    except FileNotFoundError as exc:
        raise DepotDamaged(
            f"the tree of generation {generation.ref} isn't whole: {exc.filename} is missing",
            code="tree_damaged",
            subject=str(exc.filename),
            hint="receive or deliver its generation again",
        ) from None
    return items


def _blobs(depot: Depot, generation: Generation) -> list[Item]:
    blobs = {**generation.manifest.blobs(), generation.digest: len(generation.manifest.encode())}
    depot.refuse_missing(generation.ref, generation.manifest.layers)
    items = [Item(f"depot/blobs/sha256/{digest[7:]}", size, digest[7:], True, depot.blobs.path(digest)) for digest, size in blobs.items()]
    documents = {"depot/oci-layout": LAYOUT, "depot/index.json": index_of(generation)}
    for target, content in documents.items():
        items.append(Item(target, len(content), hashlib.sha256(content).hexdigest(), _is_fixed(target), content=content))
    return items
