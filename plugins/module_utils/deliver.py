# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery: what a host lacks of a generation, sent as numbered parts over whatever connection Ansible has.

The parts are one canonical tar of blobs, cut where a part is full; ``incoming`` is the other end.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import tempfile
import typing as t

from ._base import ustar
from ._base.errors import DepotDamaged, SpecInvalid
from ._base.progress import Stage
from ._depot.depot import Depot
from ._depot.generation import Ref
from ._depot.incoming import Request, part_name

# Bounds the room that a transfer takes on either side, and how far apart progress lines can be.
PART = 64 << 20


def offer(path: str, number: t.Optional[t.Any]) -> tuple[Depot, Request]:
    """The depot, and a probe that tells a host of the generation.

    :param number: the generation's, perhaps as text; None for the latest sealed one.
    :raises SpecInvalid: there's no depot there, or that is no number.
    :raises DepotDamaged: it has no such generation, or is damaged.
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
    if number is None:
        latest = depot.latest(sealed_only=True)
        if latest is None:
            raise DepotDamaged(
                f"the depot {path} has no sealed generation",
                code="generation_missing",
                subject=path,
                hint="receive one, or name an unsealed one with its number",
            )
        generation = latest
    else:
        if not str(number).isdigit():
            raise SpecInvalid(f"{number!r} isn't a generation's number", subject=str(number), expected="a number, such as 7")
        sealed = Ref(int(number), True)
        generation = depot.generation(sealed if sealed in depot.index() else Ref(int(number), False))
    manifest, config = (depot.blobs.read(digest).decode() for digest in (generation.digest, generation.manifest.config))
    return depot, Request("probe", str(generation.ref), manifest, config)


class Sender:
    """Sends blobs as parts.

    :param put: copies a local file to the host, under a name in the directory for the delivery.
    """

    def __init__(self, put: t.Callable[[str, str], None], stage: Stage) -> None:
        self._put = put
        self._stage = stage

    def send(self, depot: Depot, missing: t.Mapping[str, int]) -> int:
        """:param missing: digest → size of the blobs that the host lacks.

        :return: how many parts were sent.
        :raises DepotDamaged: a blob of ours isn't what its name says.
        """
        with tempfile.TemporaryDirectory(prefix="airgap-golang-") as scratch:
            parts = _PartWriter(os.path.join(scratch, "part"), self._send_part)
            writer = ustar.Writer(t.cast("t.IO[bytes]", parts))
            for digest, size in missing.items():
                writer.add_stream(digest[7:], size, depot.blobs.chunks(digest))
            writer.close()
            return parts.close()

    def _send_part(self, path: str, number: int, size: int) -> None:
        self._put(path, part_name(number))
        self._stage.advance(1, size)


class _PartWriter:
    """A stream that hands on a file whenever ``PART`` bytes are in it."""

    def __init__(self, path: str, full: t.Callable[[str, int, int], None]) -> None:
        self._path = path
        self._full = full
        self._number = 0
        self._size = 0
        self._stream: t.Optional[t.IO[bytes]] = None

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            if self._stream is None:
                self._stream = open(self._path, "wb")  # noqa: SIM115 - closed when the part is full
            taken = view[: PART - self._size]
            self._stream.write(taken)
            self._size += len(taken)
            view = view[len(taken) :]
            if self._size == PART:
                self.close()
        return len(data)

    def close(self) -> int:
        """Hand on what there is; returns how many parts there were."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._number += 1
            self._full(self._path, self._number, self._size)
            self._size = 0
        return self._number
