# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receipts: what a depot says it holds, taken for no more than that."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._depot import receipt
from ansible_collections.airgap.golang.plugins.module_utils._depot.bundle import carried_blobs
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.manifest import digest_of
from ansible_collections.airgap.golang.tests.support.small_depot import Composer


def test_what_a_depot_holds_needs_not_travel(tmp_path: pathlib.Path) -> None:
    depot = Depot(str(tmp_path / "depot"))
    composer = Composer(depot, tmp_path / "scratch")
    first = composer.admit(composer.compose(1, [], files={"a": b"a", "b": b"b"}))
    said = receipt.write(depot)
    assert json.loads(said) == {"schema": 1, "generations": {"000001": first.digest}}
    second = composer.admit(composer.compose(2, [], files={"a": b"a", "c": b"c"}))
    held = receipt.held_blobs(said, depot, "receipt.json")
    assert held == {first.digest, *first.manifest.blobs()}
    new = carried_blobs(second, held)
    assert digest_of(b"c") in new
    assert digest_of(b"a") not in new
    assert carried_blobs(second, receipt.held_blobs(receipt.write(depot), depot, "receipt.json")) == []


def test_an_empty_depot_has_a_receipt(tmp_path: pathlib.Path) -> None:
    depot = Depot(str(tmp_path / "depot"))
    assert receipt.held_blobs(receipt.write(depot), depot, "r") == set()


def test_an_unknown_generation_only_makes_the_bundle_bigger(tmp_path: pathlib.Path) -> None:
    depot = Depot(str(tmp_path / "depot"))
    said = json.dumps({"schema": 1, "generations": {"000009": digest_of(b"unknown"), "000010": "sha256:../../../etc/passwd", "000011": "x"}}).encode()
    assert receipt.held_blobs(said, depot, "r") == set()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"5", b"[]", b"{}", b'{"schema": 2, "generations": {}}', b'{"schema": 1}', b'{"schema": 1, "generations": []}', b"[" * 100000],
)
def test_what_is_no_receipt_is_refused(content: bytes, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SpecInvalid) as refusal:
        receipt.held_blobs(content, Depot(str(tmp_path)), "receipt.json")
    assert refusal.value.subject == "receipt.json"
