# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and trees: what is removed while somebody else is still at work in it."""

from __future__ import annotations

import fcntl
import os
import pathlib
import pwd
import resource
import shutil
import subprocess
import tempfile
import traceback
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import files
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError


def test_a_tree_is_removed_that_somebody_still_writes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    (tree / "work").mkdir(parents=True)
    late = ["first", "second"]
    rmdir = os.rmdir

    def write_before(path: str, **where: t.Any) -> None:
        # Between the listing and the removal, as a compiler does that outlives its go command.
        if late:
            (tree / late.pop()).write_text("more")
        rmdir(path, **where)

    monkeypatch.setattr(os, "rmdir", write_before)
    files.remove_tree(str(tree))
    assert not tree.exists() and not late


def test_a_tree_is_removed_that_somebody_else_removes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("one", "two"):
        (tree / name).write_text(name)
    unlink = os.unlink

    def after_another(path: str, **where: t.Any) -> None:
        if path.endswith("one"):
            unlink(path, **where)
        unlink(path, **where)

    monkeypatch.setattr(os, "unlink", after_another)
    files.remove_tree(str(tree))
    assert not tree.exists()


def test_who_never_stops_writing_is_an_error(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.1)
    tree = tmp_path / "tree"
    tree.mkdir()
    rmdir = os.rmdir

    def write_first(path: str, **where: t.Any) -> None:
        (tree / "more").touch()
        rmdir(path, **where)

    monkeypatch.setattr(os, "rmdir", write_first)
    with pytest.raises(OSError, match="not empty"):
        files.remove_tree(str(tree))


@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_link_in_the_place_of_a_directory_leads_nowhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, when: int) -> None:
    """An account changes its tree while root removes it: the tree itself, or a directory in it, at the moment that it's to be listed."""
    target = tmp_path / "target"
    (target / "deep").mkdir(parents=True)
    (target / "deep" / "kept").write_text("kept")
    target.chmod(0o555)
    tree = tmp_path / "tree"
    deepest = tree / "deep" / "deeper"
    deepest.mkdir(parents=True)
    (deepest / "file").touch()
    victim = [tree, tree / "deep", deepest][when - 1]
    scandir, listed = os.scandir, []

    def swap_first(where: t.Any) -> t.Any:
        listed.append(where)
        if len(listed) == when:
            victim.rename(tmp_path / "away")
            victim.symlink_to(target)
        return scandir(where)

    monkeypatch.setattr(os, "scandir", swap_first)
    files.remove_tree(str(tree))
    monkeypatch.undo()
    assert not os.path.lexists(tree) and len(listed) >= when
    assert (target / "deep" / "kept").read_text() == "kept" and target.stat().st_mode & 0o777 == 0o555


def test_a_directory_that_is_moved_elsewhere_takes_nothing_along(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back from it leads to a directory where the same names are others' directories."""
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    for name in ("one", "two"):
        (tree / name / "below").mkdir(parents=True)
        (elsewhere / name).mkdir(parents=True)
    scandir, listed = os.scandir, []

    def move_first(where: t.Any) -> t.Any:
        listed.append(where)
        if len(listed) == 3:
            for name in ("one", "two"):
                (tree / name).rename(elsewhere / f"moved-{name}")
        return scandir(where)

    monkeypatch.setattr(os, "scandir", move_first)
    files.remove_tree(str(tree))
    assert not tree.exists() and (elsewhere / "one").is_dir() and (elsewhere / "two").is_dir()


def test_a_tree_that_is_deeper_than_any_path_or_count_of_open_files(tmp_path: pathlib.Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    here = os.open(tree, os.O_RDONLY)
    for _level in range(1200):
        os.mkdir("deeper", dir_fd=here)
        below = os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        files.remove_tree(str(tree))
        assert not tree.exists()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        # What is left would be too deep for pytest to clear up.
        subprocess.run(["rm", "-rf", str(tree)], check=True)


def test_its_owner_removes_what_nobody_may_read_or_write() -> None:
    """Without root's rights: directories are opened to their owner first, whatever their mode."""
    work = pathlib.Path(tempfile.mkdtemp())
    work.chmod(0o777)
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                account = pwd.getpwnam("nobody")
                os.setgroups([])
                os.setgid(account.pw_gid)
                os.setuid(account.pw_uid)
            for mode in (0o000, 0o100, 0o200, 0o400, 0o555):
                directory = work / "tree" / f"{mode:o}" / "inner"
                directory.mkdir(parents=True)
                (directory / "file").touch()
                directory.chmod(mode)
                directory.parent.chmod(mode)
            (work / "tree").chmod(0)
            files.remove_tree(str(work / "tree"))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    left = os.path.lexists(work / "tree")
    shutil.rmtree(work)
    assert status == 0 and not left


def test_what_cannot_be_removed_is_named_whole(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").touch()

    def refuse(path: str, **where: t.Any) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError) as refused:
        files.remove_tree(str(tmp_path / "tree"))
    assert refused.value.filename == str(tmp_path / "tree" / "deep" / "file")


@pytest.mark.parametrize("another", [False, True])
def test_a_lock_that_was_removed_meanwhile_locks_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, another: bool) -> None:
    """Who holds the lock of a file that isn't there any more would not be seen by those who come after."""
    path = tmp_path / ".lock"
    flock = fcntl.flock

    def remove_first(descriptor: int, operation: int) -> None:
        path.unlink()
        if another:
            path.touch()
        flock(descriptor, operation)

    with monkeypatch.context() as patched, pytest.raises(AirgapError) as refused:
        patched.setattr(fcntl, "flock", remove_first)
        with files.locked(str(path)):
            pytest.fail("it was taken")
    assert refused.value.code == "locked"
    with files.locked(str(path)):
        assert path.exists()
