# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of deploys share: the playbooks' task names, variables for a place of one's own, and how a run ended."""

from __future__ import annotations

import os
import pathlib
import re
import tempfile
import typing as t

from ansible_collections.airgap.golang.tests.support.deployed_depot import Ran

DEPLOY = "Bring the host to the generation"


CHECK = "Build the projects as an unprivileged user without a network, and compare"


ROLLBACK = "Return to the generation before"


IS_ROOT = os.geteuid() == 0


def directory(prefix: str) -> pathlib.Path:
    """Not below pytest's own directory, which other users may not enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"airgap-golang-{prefix}-"))
    path.chmod(0o755)
    return path


def variables(depot: pathlib.Path, root: pathlib.Path, **more: t.Any) -> dict[str, t.Any]:
    become = {"deploy_become": False}
    places = {"deploy_link_dir": str(root) + "-bin", "deploy_tools_dir": str(root) + "-tools"}
    return {"airgap_golang_depot": str(depot), "airgap_golang_root": str(root), **places, **become, **more}


def executions(ran: Ran) -> int:
    """How many times a module of the collection was executed: -vvv names the module's file each time."""
    return len(re.findall(r"^Using module file .*/golang/plugins/modules/deploy\.py$", ran.output, re.MULTILINE))


def changed(ran: Ran) -> int:
    recap = re.search(r"^here +: .*\bchanged=(\d+) .*\bfailed=(\d+)", ran.output, re.MULTILINE)
    assert recap, ran.output
    assert ran.status == 0 and recap.group(2) == "0", ran.output
    return int(recap.group(1))


def failure(ran: Ran, task: str = DEPLOY) -> dict[str, t.Any]:
    """What a task that failed says about it."""
    assert ran.status != 0 and "failure" in ran.results.get(task, {}), ran.output
    found: dict[str, t.Any] = ran.results[task]["failure"]
    return found
