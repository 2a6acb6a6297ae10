# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How ROOT comes to be, and who may write there."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import stat

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused
from ansible_collections.airgap.golang.plugins.module_utils._host.place import Place


def lock_once_all_are_here(root: str, here: multiprocessing.synchronize.Barrier) -> None:
    here.wait(30)
    with Place(root).locked():
        pass


def test_roots_with_one_new_parent_come_at_once(work: pathlib.Path) -> None:
    for number in range(25):
        here = multiprocessing.Barrier(4)
        roots = [work / f"new{number}" / "below" / f"root{each}" for each in range(4)]
        processes = [multiprocessing.Process(target=lock_once_all_are_here, args=(str(root), here)) for root in roots]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0, 0, 0]
        assert all(root.is_dir() for root in roots)
        made = sorted(path for root in roots for path in Place(str(root)).made())
        # Whatever is new is noted by exactly one of them, each ROOT by its own.
        assert set(map(str, roots)) <= set(made)
    assert [name for name in os.listdir(work) if name.endswith(".tmp")] == []


@pytest.mark.parametrize("name", ["", "depot", "modcache", "generations"])
def test_what_others_can_write_is_refused(work: pathlib.Path, name: str) -> None:
    root = work / "root"
    (root / name).mkdir(parents=True)
    place = Place(str(root))
    place.require_own()
    path = root / name
    path.chmod(0o777)
    with pytest.raises(HostRefused) as refused:
        place.require_own()
    assert (refused.value.code, refused.value.subject) == ("not_ours", str(path))
    path.chmod(0o755)
    if name:
        # A link among our own directories; ROOT itself may be one, if it's the administrator's.
        path.rename(work / "elsewhere")
        path.symlink_to(work / "elsewhere")
        with pytest.raises(HostRefused, match="is a link"):
            place.require_own()
    elif os.geteuid() == 0:
        os.chown(path, 12345, 12345)
        with pytest.raises(HostRefused, match="belongs to 12345"):
            place.require_own()
    assert stat.S_ISDIR(os.stat(path).st_mode)
