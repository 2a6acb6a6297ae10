# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control node's processes: they end with their parent, and one that is killed is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.pool import worker_processes


def test_they_end_with_their_parent() -> None:
    """However it ends: a process that is killed can't tell its children."""
    code = (
        "import os, signal\n"
        "from ansible_collections.airgap.golang.plugins.module_utils._base.pool import worker_processes\n"
        "with worker_processes() as pool:\n"
        "    print(*{pool.submit(os.getpid).result() for _ in range(20)}, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # The pipe's end comes when the last of them has ended.
    finished = subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, timeout=60, check=False)
    assert finished.returncode == -9 and finished.stdout.split()


def test_one_that_is_killed_is_told() -> None:
    with pytest.raises(HostRefused, match="was killed") as refused, worker_processes() as pool:
        pid = pool.submit(os.getpid).result()
        os.kill(pid, signal.SIGKILL)
        while True:
            pool.submit(os.getpid).result()
    assert "out-of-memory" in refused.value.hint


def test_they_stand_back() -> None:
    with worker_processes(3) as pool:
        assert pool.submit(os.nice, 0).result() == os.nice(0) + 3
