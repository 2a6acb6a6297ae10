# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of hosts share."""

from __future__ import annotations

import os
import pathlib
import tempfile
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree


@pytest.fixture
def work() -> t.Iterator[pathlib.Path]:
    """Where syncs are cheap, if there is such a place: these tests deploy hundreds of times."""
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = pathlib.Path(tempfile.mkdtemp(dir=shm))
    yield path
    remove_tree(str(path))
