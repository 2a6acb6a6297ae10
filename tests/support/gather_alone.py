# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gather in a process of its own, to be killed or measured: its parameters on standard input, what it did on standard output, as JSON."""

from __future__ import annotations

import json
import resource
import sys

from ansible_collections.airgap.golang.plugins.module_utils import gather as gather_verb
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.gathering import make_spec


def high_water_mark() -> int:
    """KiB. What getrusage says of a process begins with what its parent had."""
    with open("/proc/self/status", encoding="ascii") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("VmHWM:"))


def main() -> None:
    given = json.load(sys.stdin)
    outcome = gather_verb.gather(make_spec(**given["spec"]), Depot(given["depot"]), gather_verb.Options(**given["options"]), Reporter())
    ours, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    json.dump(
        {
            "generation": outcome.generation.summary() if outcome.generation else None,
            "warnings": outcome.warnings,
            "phases": outcome.phases,
            "fetched": outcome.fetched,
            "peak_kib": high_water_mark(),
            "cpu_seconds": {"ours": ours.ru_utime + ours.ru_stime, "children": children.ru_utime + children.ru_stime},
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
