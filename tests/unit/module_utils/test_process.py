# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: what comes back, what an error says, and that nothing outlives its time."""

from __future__ import annotations

import os
import pathlib
import threading
import time

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import CommandFailed, ToolMissing
from ansible_collections.airgap.golang.plugins.module_utils._base.process import TAIL, run


def test_output_and_environment(tmp_path: pathlib.Path) -> None:
    script = "cat; pwd; echo $LC_ALL $A >&2; exit 3"
    finished = run(["sh", "-c", script], env={"PATH": os.environ["PATH"], "A": "1"}, cwd=str(tmp_path), stdin=b"in ", check=False)
    assert (finished.status, finished.stdout, finished.stderr) == (3, f"in {tmp_path}\n", "C 1\n")


def test_a_failure_says_what_the_program_said() -> None:
    with pytest.raises(CommandFailed, match="the step failed with status 1: words") as failed:
        run(["sh", "-c", "echo out; echo words >&2; exit 1"], what="the step")
    assert failed.value.found == "words" and failed.value.details == [{"stdout": "out\n"}]


def test_only_the_end_of_many_words_is_kept() -> None:
    finished = run(["sh", "-c", f"head -c {4 * TAIL} /dev/zero | tr '\\0' x >&2; echo end >&2"])
    assert len(finished.stderr) == TAIL and finished.stderr.endswith("xend\n")


def test_nothing_outlives_its_time(tmp_path: pathlib.Path) -> None:
    started = time.monotonic()
    with pytest.raises(CommandFailed) as failed:
        run(["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait"], timeout=0.5)
    assert failed.value.code == "timeout" and time.monotonic() - started < 60
    pid = int((tmp_path / "pid").read_text())
    # It was killed; the kernel may be a moment later to be done with it.
    while time.monotonic() - started < 60 and is_running(pid):
        threading.Event().wait(0.01)
    assert not is_running(pid)


def test_nothing_is_left_where_nothing_may_be() -> None:
    finished = run(["sh", "-c", "sleep 600 & echo $!; exit 3"], check=False, leave_nothing=True)
    pid = int(finished.stdout)
    end = time.monotonic() + 60
    while time.monotonic() < end and is_running(pid):
        threading.Event().wait(0.01)
    assert finished.status == 3 and not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_is_not_here() -> None:
    with pytest.raises(ToolMissing, match="nonesuch is not here"):
        run(["nonesuch"])
