# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in forked processes: results, the first error, and processes that die."""

from __future__ import annotations

import os
import pathlib
import signal

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused, ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.workers import in_processes


@pytest.mark.parametrize("workers", [1, 3, 50])
def test_each_number_is_done_once_by_somebody_else(workers: int) -> None:
    done: dict[int, tuple[int, int]] = {}
    in_processes(lambda number: (number * number, os.getpid()), [4, 1, 3, 2], workers, lambda number, result: done.update({number: result}))
    assert {number: square for number, (square, _pid) in done.items()} == {1: 1, 2: 4, 3: 9, 4: 16}
    assert os.getpid() not in {pid for _square, pid in done.values()}


def test_the_first_error_ends_all_and_keeps_its_words(tmp_path: pathlib.Path) -> None:
    def work(number: int) -> int:
        if number == 2:
            raise ModuleRefused("no", subject="m@v1", hint="ask")
        (tmp_path / str(number)).touch()
        return number

    with pytest.raises(ModuleRefused) as refused:
        in_processes(work, [1, 2, *range(3, 1000)], 1, lambda number, result: None)
    assert (refused.value.subject, refused.value.hint) == ("m@v1", "ask")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_what_the_system_refuses_comes_as_it_is() -> None:
    with pytest.raises(FileNotFoundError):
        in_processes(lambda number: os.stat("/nonesuch"), [1], 2, lambda number, result: None)


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(HostRefused, match="was killed"):
        in_processes(lambda number: os.kill(os.getpid(), signal.SIGKILL), [1], 2, lambda number, result: None)


def test_directories_are_readable_and_no_more(tmp_path: pathlib.Path) -> None:
    before = os.umask(0o077)
    try:
        in_processes(lambda number: os.makedirs(tmp_path / "a" / "b"), [1], 1, lambda number, result: None)
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "a", tmp_path / "a" / "b")} == {"0o755"}
