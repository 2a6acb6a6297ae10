# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sum.golang.org itself signed: its heads, two of its records, and that its tree of today began as its tree of then."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._go.snapshotcheck import check, files_below
from ansible_collections.airgap.golang.plugins.module_utils._go.sumdb import DEFAULT_KEY, Snapshot
from ansible_collections.airgap.golang.plugins.module_utils._go.tlog import Head, parse_head
from ansible_collections.airgap.golang.tests.support.record_database import OLD_HEAD, OLD_SIZE, QUOTE, SAMPLER, load
from ansible_collections.airgap.golang.tests.support.toy_database import Signer, parse_path, sha256

FILES = load()
THEN = parse_head(OLD_HEAD, DEFAULT_KEY)
NOW = parse_head(FILES["latest"], DEFAULT_KEY)

# As every go.sum with these modules has them.
H1 = {
    QUOTE: {"zip": "h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y=", "mod": "h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0="},
    SAMPLER: {"zip": "h1:7uVkIFmeBqHfdjD+gZwtXXI+RODJ2Wc4O7MPEh/QiW4=", "mod": "h1:T1hPZKmBbMNahiBKFy5HrXp6adAjACjK9JXDnKaTXpA="},
}


def subtree(low: int, high: int) -> bytes:
    """The hash over records from ``low`` to ``high``, as RFC 6962 folds it, from whatever tile has it or its halves."""
    width = high - low
    for path, data in FILES.items():
        if path.startswith("tile/"):
            tile = parse_path(path)
            at, rest = divmod(low, 256**tile.level)
            if width == 256**tile.level and not rest and tile.number * 256 <= at < tile.number * 256 + tile.width:
                start = (at - tile.number * 256) * 32
                return data[start : start + 32]
    assert width > 1, f"no tile has record {low}"
    split = 1 << (width - 1).bit_length() - 1
    return sha256(b"\x01" + subtree(low, low + split) + subtree(low + split, high))


def root_with(number: int, leaf: bytes, low: int, high: int) -> bytes:
    """The tree's hash, from a record's and those of its audit path."""
    if high - low == 1:
        return leaf
    split = low + (1 << (high - low - 1).bit_length() - 1)
    if number < split:
        return sha256(b"\x01" + root_with(number, leaf, low, split) + subtree(split, high))
    return sha256(b"\x01" + subtree(low, split) + root_with(number, leaf, split, high))


def test_two_signed_heads_are_of_one_log() -> None:
    assert THEN.size == OLD_SIZE < NOW.size
    assert (subtree(0, THEN.size), subtree(0, NOW.size)) == (THEN.hash, NOW.hash)


def test_the_snapshot_proves_its_records_and_the_older_head() -> None:
    checked = check(sorted(FILES.items()), DEFAULT_KEY, older=[OLD_SIZE], known=[THEN, NOW])
    assert checked.head == NOW
    assert {key: dict(record.lines) for key, record in checked.records.items()} == H1
    for (module, version), record in checked.records.items():
        content = FILES[f"lookup/{module}@{version}"]
        text = content.partition(b"\n")[2].partition(b"\n\n")[0] + b"\n"
        assert root_with(record.id, sha256(b"\x00" + text), 0, NOW.size) == NOW.hash


def test_it_is_what_its_own_records_ask_for(tmp_path: pathlib.Path) -> None:
    """Made again from the recorded bytes alone, and once more from that snapshot without any."""
    Snapshot(str(tmp_path / "1"), DEFAULT_KEY, FILES.__getitem__).build(list(H1), [OLD_SIZE])
    Snapshot(str(tmp_path / "2"), DEFAULT_KEY, {}.__getitem__, previous=str(tmp_path / "1")).build(list(H1), [OLD_SIZE])
    assert dict(files_below(str(tmp_path / "1"))) == dict(files_below(str(tmp_path / "2"))) == FILES


@pytest.mark.parametrize("path", sorted(FILES.keys() - {"supported"}))
def test_a_flipped_bit_is_refused(path: str) -> None:
    for position in sorted({0, len(FILES[path]) // 2, len(FILES[path]) - 1}):
        changed = bytearray(FILES[path])
        changed[position] ^= 1
        with pytest.raises(ModuleRefused) as refusal:
            check(sorted({**FILES, path: bytes(changed)}.items()), DEFAULT_KEY, older=[OLD_SIZE], known=[THEN])
        assert refusal.value.subject


def test_another_key_and_another_past_are_refused() -> None:
    with pytest.raises(ModuleRefused, match=r"isn't signed by|has a wrong signature"):
        check(sorted(FILES.items()), Signer("sum.golang.org").key, older=[OLD_SIZE])
    with pytest.raises(ModuleRefused, match="two histories"):
        check(sorted(FILES.items()), DEFAULT_KEY, older=[OLD_SIZE], known=[Head(OLD_SIZE, NOW.hash, b"")])
    with pytest.raises(ModuleRefused, match="not tied"):
        check(sorted(FILES.items()), DEFAULT_KEY, older=[OLD_SIZE], known=[Head(OLD_SIZE - 1, NOW.hash, b"")])
