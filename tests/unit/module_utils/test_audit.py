# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log's chain: what is changed, removed or cut shows."""

from __future__ import annotations

import errno
import json
import os
import pathlib

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import DepotDamaged
from ansible_collections.airgap.golang.plugins.module_utils._depot.audit import START, AuditLog


@pytest.fixture
def log(tmp_path: pathlib.Path) -> AuditLog:
    log = AuditLog(str(tmp_path))
    for number in range(3):
        log.append("admit", "0af7", number=number)
    return log


def lines(log: AuditLog) -> list[bytes]:
    return pathlib.Path(log.path).read_bytes().splitlines(keepends=True)


def numbers(log: AuditLog) -> list[int]:
    return [entry["number"] for entry in log.entries()]


def test_events_come_back_oldest_first(log: AuditLog) -> None:
    assert numbers(log) == [0, 1, 2]
    first = log.entries()[0]
    assert (first["event"], first["trace_id"], first["previous"]) == ("admit", "0af7", START)


def test_no_log_is_an_empty_one(tmp_path: pathlib.Path) -> None:
    assert AuditLog(str(tmp_path)).entries() == []


@pytest.mark.parametrize("which", [0, 1])
def test_a_changed_line_shows(log: AuditLog, which: int) -> None:
    found = lines(log)
    found[which] = found[which].replace(b'"number":', b'"number":1')
    pathlib.Path(log.path).write_bytes(b"".join(found))
    with pytest.raises(DepotDamaged) as refusal:
        log.entries()
    assert (refusal.value.code, refusal.value.subject) == ("audit_broken", f"line {which + 2}")


@pytest.mark.parametrize("which", [0, 1])
def test_a_removed_line_shows(log: AuditLog, which: int) -> None:
    found = lines(log)
    del found[which]
    pathlib.Path(log.path).write_bytes(b"".join(found))
    with pytest.raises(DepotDamaged):
        log.entries()


def test_swapped_lines_show(log: AuditLog) -> None:
    first, second, third = lines(log)
    pathlib.Path(log.path).write_bytes(second + first + third)
    with pytest.raises(DepotDamaged):
        log.entries()


def test_a_line_turned_into_noise_shows(log: AuditLog) -> None:
    first, _second, third = lines(log)
    pathlib.Path(log.path).write_bytes(first + b"noise\n" + third)
    with pytest.raises(DepotDamaged):
        log.entries()


def test_any_cut_is_closed_and_the_log_goes_on(log: AuditLog) -> None:
    """A kill or a power cut in the middle of an append, at every byte of it."""
    whole = pathlib.Path(log.path).read_bytes()
    start = len(b"".join(lines(log)[:2]))
    for cut in range(start, len(whole)):
        pathlib.Path(log.path).write_bytes(whole[:cut])
        kept = [0, 1, 2] if cut == len(whole) - 1 else [0, 1]
        assert numbers(log) == kept
        log.append("admit", "", number=9)
        log.append("admit", "", number=10)
        assert numbers(log) == [*kept, 9, 10]
    pathlib.Path(log.path).write_bytes(whole[:start] + b"\n")
    log.append("admit", "", number=9)
    assert numbers(log) == [0, 1, 9]


def test_a_cut_line_cannot_be_taken_away_afterwards(log: AuditLog) -> None:
    whole = pathlib.Path(log.path).read_bytes()
    pathlib.Path(log.path).write_bytes(whole[:-5])
    log.append("admit", "", number=9)
    first, second, _cut, last = lines(log)
    pathlib.Path(log.path).write_bytes(first + second + last)
    with pytest.raises(DepotDamaged):
        log.entries()


def test_long_lines(tmp_path: pathlib.Path) -> None:
    """Longer than what is read at once from the end."""
    log = AuditLog(str(tmp_path))
    for number in range(3):
        log.append("admit", "", number=number, text="x" * 70000)
    assert numbers(log) == [0, 1, 2]


def test_a_full_disk_leaves_no_half_line(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pathlib.Path(log.path).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            log.append("admit", "", number=3)
    assert pathlib.Path(log.path).read_bytes() == before
    log.append("admit", "", number=3)
    assert numbers(log) == [0, 1, 2, 3]


def test_each_line_is_json_for_other_programs(log: AuditLog) -> None:
    assert [json.loads(line)["number"] for line in lines(log)] == [0, 1, 2]
