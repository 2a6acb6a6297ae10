# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree that a gather begins: empty each time, with what killed gathers fetched beside it."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._content.begun import FETCH, BegunTree, rescue
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import proxy_path
from ansible_collections.airgap.golang.plugins.module_utils._go.store import Held, Key

A, B = ("a.example/A", "v1.0.0"), ("b.example/b", "v1.2.3")


def put(tree: BegunTree, key: Key, content: str) -> None:
    path = pathlib.Path(tree.proxy, proxy_path(*key))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def content_of(held: Held | None) -> str:
    assert held is not None and held.spare
    return pathlib.Path(held.path).read_text()


def test_a_new_tree_is_empty_and_has_what_all_killed_gathers_fetched(tmp_path: pathlib.Path) -> None:
    first = BegunTree(str(tmp_path))
    assert first.left((*A, "zip")) is None
    put(first, (*A, "zip"), "old")
    put(first, (*B, "mod"), "module b")
    pathlib.Path(first.project("p")).mkdir(parents=True)
    second = BegunTree(str(tmp_path))
    put(second, (*A, "zip"), "new")
    put(second, (*A, "info"), json.dumps({"Version": "v1.0.0"}))
    third = BegunTree(str(tmp_path))
    assert [path.name for path in pathlib.Path(third.path).rglob("*")] == ["proxy"]
    assert content_of(third.left((*A, "zip"))) == "new" and content_of(third.left((*B, "mod"))) == "module b"
    assert third.left((*A, "info")) is not None and third.left((*B, "zip")) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "5"])
def test_an_info_that_a_power_cut_emptied_is_not_taken(tmp_path: pathlib.Path, content: str) -> None:
    put(BegunTree(str(tmp_path)), (*A, "info"), content)
    assert BegunTree(str(tmp_path)).left((*A, "info")) is None


@pytest.mark.parametrize("content", ["", "\n", "\0" * 40, "module a.example/A\n" + "\0" * 22], ids=["empty", "blank", "zeros", "zeros at its end"])
def test_a_go_mod_that_a_power_cut_emptied_is_not_taken(tmp_path: pathlib.Path, content: str) -> None:
    """No go.sum names the go.mod of a loose module, a tool or a toolchain: nothing else would find it out."""
    put(BegunTree(str(tmp_path)), (*A, "mod"), content)
    assert BegunTree(str(tmp_path)).left((*A, "mod")) is None


def test_a_tree_that_got_its_name_and_no_more_is_taken_back(tmp_path: pathlib.Path) -> None:
    depot = Depot(str(tmp_path))
    with depot.locked():
        begun = BegunTree(os.path.join(depot.staging, FETCH))
        put(begun, (*A, "zip"), "content")
        os.rename(begun.path, os.path.join(depot.path, "trees", "000001-unsealed"))
        rescue(depot)
        depot.sweep(FETCH)
    assert os.listdir(os.path.join(depot.path, "trees")) == []
    assert content_of(BegunTree(os.path.join(depot.staging, FETCH)).left((*A, "zip"))) == "content"
