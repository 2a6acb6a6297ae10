# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that several test files share."""

from __future__ import annotations

import os
import typing as t

import pytest

from ansible_collections.airgap.golang.tests.support.small_depot import SmallSite, make_small_site


@pytest.fixture(scope="session", autouse=True)
def umask() -> t.Iterator[None]:
    """That of our modules, which tests do without: with a private group's 002 a host's directories would be refused."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> SmallSite:
    """See tests/support/small_depot.py. Not to be changed."""
    return make_small_site(tmp_path_factory.mktemp("small"))
