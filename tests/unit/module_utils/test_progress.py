# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress lines: what they say, and that they come at most every two seconds."""

from __future__ import annotations

import pathlib
import threading

from ansible_collections.airgap.golang.plugins.module_utils._base.progress import INTERVAL, Reporter, to_file


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_says_how_much_how_fast_and_how_long() -> None:
    clock, lines = Clock(), []
    stage = Reporter(lines.append, clock).stage("gather: module files", 4, 8_000_000)
    clock.now += INTERVAL
    stage.advance(1, 2_000_000, "example.com/a@v1.0.0")
    assert lines == ["gather: module files 1 of 4, 2.0 MB of 8.0 MB, 1.0 MB/s, 6 s left (example.com/a@v1.0.0)"]


def test_what_is_not_known_is_not_said() -> None:
    clock, lines = Clock(), []
    stage = Reporter(lines.append, clock).stage("receive: blobs")
    clock.now += INTERVAL
    stage.advance(3)
    stage.expect(4)
    clock.now += INTERVAL
    stage.advance(1)
    assert lines == ["receive: blobs 3", "receive: blobs 4 of 4"]


def test_all_stages_of_a_run_share_two_seconds() -> None:
    clock, lines = Clock(), []
    reporter = Reporter(lines.append, clock)
    stages = [reporter.stage(f"stage {number}", 1000) for number in range(3)]
    for _tick in range(100):
        clock.now += INTERVAL / 10
        for stage in stages:
            stage.advance(1)
    assert len(lines) == 10


def test_what_an_attempt_that_broke_off_brought_is_taken_back() -> None:
    clock, lines = Clock(), []
    stage = Reporter(lines.append, clock).stage("files", 0, 4_000_000)
    stage.advance(0, 3_000_000)
    stage.advance(0, -3_000_000)
    clock.now += INTERVAL
    stage.advance(1, 1_000_000)
    assert lines == ["files 1, 1.0 MB of 4.0 MB, 0.5 MB/s, 6 s left"]


def test_lines_of_many_threads_stay_whole(tmp_path: pathlib.Path) -> None:
    ticks = iter(range(10_000))
    stage = Reporter(to_file(str(tmp_path / "lines")), lambda: next(ticks) * INTERVAL).stage("x", 400)
    threads = [threading.Thread(target=lambda: [stage.advance(1, note="n" * 500) for _number in range(100)]) for _thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "lines").read_text().splitlines()
    assert len(lines) > 100 and all(line.startswith("x ") and line.endswith("n)") for line in lines)


def test_lines_that_cannot_be_written_end_no_work(tmp_path: pathlib.Path) -> None:
    ticks = iter(range(10_000))
    for path in (tmp_path / "gone" / "lines", pathlib.Path("/dev/full")):
        stage = Reporter(to_file(str(path)), lambda: next(ticks) * INTERVAL).stage("x", 2)
        stage.advance(1)
        stage.advance(1)
        assert stage.render().startswith("x 2 of 2")


def test_nobody_listening_costs_nothing() -> None:
    Reporter().stage("x", 1).advance(1)
