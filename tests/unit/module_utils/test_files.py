# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and trees: what is removed while somebody else is still at work in it."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import files


def test_a_tree_is_removed_that_somebody_still_writes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    (tree / "work").mkdir(parents=True)
    late = ["first", "second"]
    rmdir = os.rmdir

    def write_before(path: str) -> None:
        # Between the listing and the removal, as a compiler does that outlives its go command.
        if late:
            (tree / late.pop()).write_text("more")
        rmdir(path)

    monkeypatch.setattr(os, "rmdir", write_before)
    files.remove_tree(str(tree))
    assert not tree.exists() and not late


def test_a_tree_is_removed_that_somebody_else_removes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("one", "two"):
        (tree / name).write_text(name)
    unlink = os.unlink

    def after_another(path: str) -> None:
        if path.endswith("one"):
            unlink(path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", after_another)
    files.remove_tree(str(tree))
    assert not tree.exists()


def test_who_never_stops_writing_is_an_error(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.1)
    tree = tmp_path / "tree"
    tree.mkdir()
    rmdir = os.rmdir

    def write_first(path: str) -> None:
        (tree / "more").touch()
        rmdir(path)

    monkeypatch.setattr(os, "rmdir", write_first)
    with pytest.raises(OSError, match="not empty"):
        files.remove_tree(str(tree))
