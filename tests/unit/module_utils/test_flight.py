# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many ask for one thing: one of them gets it, for all."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import NotFetched
from ansible_collections.airgap.golang.plugins.module_utils._base.flight import Flights


def test_one_flight_for_many() -> None:
    flights: Flights[str, int] = Flights()
    calls: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    def make() -> int:
        calls.append(1)
        inside.set()
        assert go_on.wait(30)
        return 42

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = pool.submit(flights.once, "a", make)
        assert inside.wait(30)
        others = [pool.submit(flights.once, "a", make) for _number in range(7)]
        assert flights.once("b", lambda: 7) == 7
        go_on.set()
        assert [one.result(30) for one in [first, *others]] == [42] * 8
    assert flights.once("a", make) == 42 and len(calls) == 1


def test_a_failed_flight_is_not_kept() -> None:
    flights: Flights[str, int] = Flights()
    calls: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    def fail() -> int:
        calls.append(1)
        inside.set()
        assert go_on.wait(30)
        raise NotFetched("no", status=404)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(flights.once, "a", fail)
        assert inside.wait(30)
        go_on.set()
        with pytest.raises(NotFetched):
            first.result(30)
    with pytest.raises(NotFetched):
        flights.once("a", fail)
    assert len(calls) == 2
    assert flights.once("a", lambda: 1) == 1
