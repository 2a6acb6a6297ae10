# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Depots with generations of some kilobytes, and a place to work."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.deploying import directory
from ansible_collections.airgap.golang.tests.support.small_generation import OTHER, PLATFORM, make_generation


@pytest.fixture
def work() -> t.Iterator[pathlib.Path]:
    path = directory("work")
    yield path
    remove_tree(str(path))


@pytest.fixture(scope="module")
def small() -> t.Iterator[pathlib.Path]:
    """A depot with two generations whose toolchains are scripts."""
    path = directory("small")
    depot = Depot(str(path))
    make_generation(depot, 1)
    make_generation(depot, 2, toolchains=("1.26.8", "1.27.3"), modules={("example.com/newer", "v1.1.0"): {"newer.go": b"package newer\n"}})
    yield path
    remove_tree(str(path))


@pytest.fixture(scope="module")
def tooled() -> t.Iterator[pathlib.Path]:
    """As ``small``, with prebuilt tools for two platforms: fix and vet in the first generation, vet and stray in the second."""
    path = directory("tooled")
    depot = Depot(str(path))
    for number, tools in ((1, ("fix", "vet")), (2, ("vet", "stray"))):
        extras = {tools[0]: ["completions/bash", f"man/{tools[0]}.1"]}
        make_generation(depot, number, tools=tools, platforms=(PLATFORM, OTHER), extras=extras)
    yield path
    remove_tree(str(path))
