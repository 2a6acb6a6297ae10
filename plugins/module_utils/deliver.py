# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery: what a host lacks of a generation, sent as parts over whatever connection Ansible has.

A large blob is a part as it lies in the depot. Small ones travel as canonical tars, which hosts with the same need share.
``incoming`` is the other end.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import typing as t

from ._base import ustar
from ._base.errors import DepotDamaged, SpecInvalid
from ._base.files import temporary_sibling
from ._base.progress import Stage
from ._depot import manifest as oci
from ._depot.depot import Depot
from ._depot.generation import Ref
from ._depot.incoming import ALONE, PACK, Request, part_name

# How many packs wait at most for further hosts, unless more are being sent at this moment: bounds the room they take.
KEPT_PACKS = 8


def open_depot(path: str) -> Depot:
    """The control node's depot.

    :raises SpecInvalid: there's none there.
    """
    path = os.path.expanduser(os.path.expandvars(path))
    depot = Depot(path)
    if not path or not depot.exists():
        raise SpecInvalid(
            f"there is no depot in {path or 'no directory at all'} on the control node",
            code="depot_missing",
            subject=path,
            hint="set airgap_golang_depot to the directory that airgap.golang.receive filled",
        )
    return depot


def offer(path: str, number: t.Optional[t.Any]) -> tuple[Depot, Request]:
    """The depot, and a probe that names the generation, without its documents.

    :param number: the generation's, perhaps as text; None for the latest sealed one.
    :raises SpecInvalid: there's no depot there, or that is no number.
    :raises DepotDamaged: it has no such generation, or is damaged.
    """
    depot = open_depot(path)
    index = depot.index()
    if number is None:
        sealed = [ref for ref in index if ref.sealed]
        if not sealed:
            raise DepotDamaged(
                f"the depot {depot.path} has no sealed generation",
                code="generation_missing",
                subject=depot.path,
                hint="receive one, or name an unsealed one with its number",
            )
        ref = max(sealed)
    else:
        if not str(number).isdigit():
            raise SpecInvalid(f"{number!r} isn't a generation's number", subject=str(number), expected="a number, such as 7")
        ref = Ref(int(number), True)
        ref = ref if ref in index else Ref(int(number), False)
    if ref not in index:
        # It says what is there.
        depot.generation(ref)
    return depot, Request("probe", str(ref), index[ref])


def with_documents(depot: Depot, request: Request) -> Request:
    """The request with the generation's documents, for a host that hasn't got them.

    :raises DepotDamaged: they aren't here, or aren't what they should be.
    """
    manifest = depot.blobs.read(request.digest)
    config = depot.blobs.read(oci.parse(manifest, f"{depot.path}: {request.ref}").config)
    return dataclasses.replace(request, manifest=manifest.decode(), config=config.decode())


def parts_of(missing: t.Mapping[str, int]) -> list[list[str]]:
    """The digests of ``missing`` (digest → size) by the part that they travel in, packs first."""
    alone = [digest for digest, size in missing.items() if size >= ALONE]
    parts: list[list[str]] = []
    filled = PACK
    for digest, size in missing.items():
        if size < ALONE:
            if filled + size > PACK:
                parts.append([])
                filled = 0
            parts[-1].append(digest)
            filled += size
    return parts + [[digest] for digest in alone]


class Packs:
    """Tars of small blobs in a directory of the control node, each made once, for all processes that send to hosts.

    :param directory: need not be there yet. Whoever owns the run removes it.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory

    @contextlib.contextmanager
    def held(self, depot: Depot, digests: t.Mapping[str, int]) -> t.Iterator[str]:
        """The path of a tar of these blobs (digest → size), which stays while the body runs.

        :raises DepotDamaged: a blob of ours isn't what its name says.
        """
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        path = os.path.join(self.directory, part_name(list(digests)))
        # Who holds the one may send, and nobody removes it; who holds the other makes it.
        with open(path + ".lock", "w", encoding="ascii") as used, open(path + ".making.lock", "w", encoding="ascii") as making:
            fcntl.flock(used, fcntl.LOCK_SH)
            if not os.path.exists(path):
                fcntl.flock(making, fcntl.LOCK_EX)
                if not os.path.exists(path):
                    self._make_room()
                    self._write(depot, digests, path)
                fcntl.flock(making, fcntl.LOCK_UN)
            os.utime(path)
            yield path

    def _write(self, depot: Depot, digests: t.Mapping[str, int], path: str) -> None:
        beside = temporary_sibling(path)
        try:
            with open(beside, "wb") as stream:
                writer = ustar.Writer(stream)
                for digest, size in digests.items():
                    writer.add_stream(digest[7:], size, depot.blobs.chunks(digest))
                writer.close()
            os.rename(beside, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            raise

    def _make_room(self) -> None:
        """Remove those that were used longest ago and aren't being sent, until one more may be there."""
        packs = {name: 0.0 for name in os.listdir(self.directory) if name.startswith("pack-") and not name.endswith(".lock")}
        for name in packs:
            with contextlib.suppress(FileNotFoundError):
                packs[name] = os.stat(os.path.join(self.directory, name)).st_mtime
        left = len(packs)
        for name in sorted(packs, key=packs.__getitem__):
            if left < KEPT_PACKS:
                return
            with open(os.path.join(self.directory, name + ".lock"), "w", encoding="ascii") as lock, contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.directory, name))
                left -= 1


class Sender:
    """Sends blobs as parts.

    :param put: copies a local file to the host, under a name in the directory for the delivery.
    :param packs: what small blobs travel in.
    """

    def __init__(self, put: t.Callable[[str, str], None], stage: Stage, packs: Packs) -> None:
        self._put = put
        self._stage = stage
        self._packs = packs

    def send(self, depot: Depot, missing: t.Mapping[str, int]) -> int:
        """:param missing: digest → size of the blobs that the host lacks.

        :return: how many parts were sent.
        :raises DepotDamaged: a blob of ours isn't there, or isn't what its name says. Of those that travel alone the latter is the
            host's to find out: reading each once for every host would take longer than sending it.
        """
        refuse_absent(depot, missing)
        parts = parts_of(missing)
        self._stage.expect(len(parts))
        for digests in parts:
            name = part_name(digests)
            sizes = {digest: missing[digest] for digest in digests}
            if len(digests) == 1:
                self._put(depot.blobs.path(digests[0]), name)
            else:
                with self._packs.held(depot, sizes) as path:
                    self._put(path, name)
            self._stage.advance(1, sum(sizes.values()))
        return len(parts)


def refuse_absent(depot: Depot, wanted: t.Mapping[str, int]) -> None:
    """:raises DepotDamaged: a blob (digest → size) isn't in the control node's depot."""
    absent = depot.blobs.missing(wanted)
    if absent:
        raise DepotDamaged(
            f"{len(absent)} blobs that the host lacks are missing from {depot.path}, {absent[0]} among them",
            code="blobs_missing",
            subject=absent[0],
            details=[{"subject": digest} for digest in absent],
            hint="receive or gather the generation again",
        )


def blame(depot: Depot, missing: t.Iterable[str]) -> None:
    """Find out whether a delivery that a host refused was wrong from the start.

    :raises DepotDamaged: a blob of ours isn't what its name says.
    """
    for digest in missing:
        for _chunk in depot.blobs.chunks(digest):
            continue
