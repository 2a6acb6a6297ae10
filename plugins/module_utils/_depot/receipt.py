# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A receipt: what a depot says it holds, and so what the next bundle for it can leave out.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import json
import typing as t

from .._base.errors import DepotDamaged, SpecInvalid
from . import manifest as oci
from .depot import Depot

SCHEMA = 1

#: Of a depot's own receipt, below the depot.
NAME = "receipt.json"


def write(depot: Depot) -> bytes:
    """``{schema, generations: {ref: manifest digest}}`` as JSON. Digests name all that's below them."""
    return json.dumps({"schema": SCHEMA, "generations": {str(ref): digest for ref, digest in sorted(depot.index().items())}}, indent=1).encode() + b"\n"


def named(content: bytes, where: str) -> list[str]:
    """The digests of the manifests that a receipt names.

    :raises SpecInvalid: it isn't a receipt.
    """
    try:
        document = json.loads(content.decode("utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']}")
        return [str(digest) for digest in document["generations"].values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise SpecInvalid(f"{where} isn't a receipt ({exc})", subject=where, hint="receive writes receipts; carry one back from the offline side") from None


def held_blobs(content: bytes, depot: Depot, where: str) -> set[str]:
    """The digests that the receipt's depot holds, as far as ``depot`` knows the generations it names.

    A generation that is unknown here is left out: the bundle grows, and stays right.

    :raises SpecInvalid: it isn't a receipt.
    """
    held: set[str] = set()
    for digest in named(content, where):
        try:
            known: t.Mapping[str, int] = oci.parse(depot.blobs.read(digest), digest).blobs()
        except DepotDamaged:
            continue
        held.add(digest)
        held.update(known)
    return held
