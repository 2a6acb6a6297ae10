# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many threads asking for the same thing: one does the work, all get its result.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import threading
import typing as t

K = t.TypeVar("K", bound=t.Hashable)
V = t.TypeVar("V")


class Flights(t.Generic[K, V]):
    """Work by key, done once.

    A result is kept for good. A failure is shared by those who were waiting for that very flight; the next who
    asks starts a new one. ``make`` must not ask for its own key.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[K, concurrent.futures.Future[V]] = {}

    def once(self, key: K, make: t.Callable[[], V]) -> V:
        """``make()``'s result for ``key``: made now, made before, or being made by another thread right now.

        :raises BaseException: what ``make`` raised.
        """
        flight, ours = self.board(key)
        if not ours:
            return flight.result()
        try:
            result = make()
        except BaseException as exc:
            self.fail(key, exc)
            raise
        self.land(key, result)
        return result

    def board(self, key: K) -> tuple[concurrent.futures.Future[V], bool]:
        """The flight for ``key``, and whether it's the caller's: then the caller has to ``land`` or ``fail`` it, at any time and in any thread."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = concurrent.futures.Future()
            return flight, True

    def land(self, key: K, result: V) -> None:
        self._flights[key].set_result(result)

    def fail(self, key: K, exc: BaseException) -> None:
        with self._lock:
            flight = self._flights.pop(key)
        flight.set_exception(exc)
