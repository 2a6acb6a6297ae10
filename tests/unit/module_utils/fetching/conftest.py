# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fetcher against real servers on this machine: scripted answers, proxies, TLS with a CA of our own. Nothing waits."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher
from ansible_collections.airgap.golang.tests.support.scripted_server import (
    Authority,
    ForwardProxy,
    Server,
    make_authority,
    noting,
    serving,
)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def server() -> t.Iterator[Server]:
    with serving(Server()) as one:
        yield one


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def fetcher(waits: list[float]) -> t.Iterator[Fetcher]:
    with Fetcher(attempts=4, pause=noting(waits)) as one:
        yield one


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def secure(authority: Authority) -> t.Iterator[Server]:
    with serving(authority.wrap(Server())) as one:
        yield one


@pytest.fixture
def trusted(secure: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    return secure


@pytest.fixture
def forward() -> t.Iterator[ForwardProxy]:
    with serving(ForwardProxy()) as one:
        yield one
