# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store of module files takes them from, for tests that say themselves what comes."""

from __future__ import annotations

import concurrent.futures
import threading
import typing as t

from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Downloaded, NotFetched, Outcome


class Fetching:
    """A source whose ``fetch`` a test writes; ``begin`` follows from it."""

    def fetch(self, module: str, version: str, ext: str, dest: str, on_bytes: t.Callable[[int], None]) -> Downloaded:
        raise NotImplementedError

    def begin(
        self,
        module: str,
        version: str,
        ext: str,
        dest: str,
        then: t.Callable[[Outcome], None],
        on_bytes: t.Callable[[int], None],
        stop: threading.Event,
        pool: concurrent.futures.Executor,
    ) -> None:
        def answer() -> None:
            try:
                outcome: Outcome = NotFetched("given up") if stop.is_set() else self.fetch(module, version, ext, dest, on_bytes)
            except NotFetched as exc:
                outcome = exc
            then(outcome)

        pool.submit(answer)
