# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a fetch would move, without moving it: the proxies are asked for the zips' sizes.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from .._base.errors import AirgapError
from .._base.fetch import Fetcher
from .escape import proxy_path
from .goproxy import ABSENT, Entry, matches, under
from .store import Key


@dataclasses.dataclass(frozen=True)
class Expected:
    """``files`` and ``bytes`` (of zips: the others are small) that would move; ``complete``: every size is known."""

    files: int
    bytes: int
    complete: bool


class Estimate:
    """Asks a GOPROXY chain for sizes (HEAD). Modules that come from version control have none that could be asked for.

    :param noproxy: GONOPROXY.
    """

    def __init__(self, chain: t.Sequence[Entry], noproxy: str, fetcher: Fetcher, connections: int) -> None:
        self._chain = chain
        self._noproxy = noproxy
        self._fetcher = fetcher
        self._pool = concurrent.futures.ThreadPoolExecutor(connections, thread_name_prefix="size")
        self._asked: dict[Key, t.Optional[concurrent.futures.Future[t.Optional[int]]]] = {}

    def add(self, keys: t.Iterable[Key]) -> None:
        """These files would be fetched."""
        for key in keys:
            if key not in self._asked:
                self._asked[key] = self._pool.submit(self._size, key) if key[2] == "zip" else None

    def total(self) -> tuple[Expected, dict[Key, AirgapError]]:
        """What would move, and which zips could not be had, with why."""
        size, complete = 0, True
        failures: dict[Key, AirgapError] = {}
        for key, future in self._asked.items():
            if future is None:
                continue
            try:
                known = future.result()
            except AirgapError as exc:
                failures[key] = exc
                continue
            size += known or 0
            complete = complete and known is not None
        return Expected(len(self._asked), size, complete), failures

    def close(self) -> None:
        for future in self._asked.values():
            if future is not None:
                future.cancel()
        self._pool.shutdown(wait=True)

    def _size(self, key: Key) -> t.Optional[int]:
        """Bytes; None where it can't be asked."""
        if matches(self._noproxy, key[0]):
            return None
        last: t.Optional[AirgapError] = None
        for entry in self._chain:
            if entry.kind == "direct":
                return None
            if entry.kind == "off":
                break
            try:
                return self._fetcher.size(under(entry.url, proxy_path(*key)))
            except AirgapError as exc:
                last = exc
                if not entry.any_error and getattr(exc, "status", None) not in ABSENT:
                    break
        raise last or AirgapError("GOPROXY says off: no place is asked", code="fetch_failed")
