# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/2, as Go's own server speaks it."""

from __future__ import annotations

import concurrent.futures
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher, NotFetched
from ansible_collections.airgap.golang.tests.support.scripted_server import (
    Authority,
    begun,
    noting,
)

GO_SERVER = pathlib.Path(__file__).resolve().parents[3] / "fixtures" / "servers" / "http2.go"


@pytest.fixture(scope="module")
def go_server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    directory = tmp_path_factory.mktemp("go-server")
    subprocess.run(["go", "build", "-o", directory / "server", str(GO_SERVER)], cwd=directory, check=True)
    with subprocess.Popen([directory / "server", authority.chain], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        yield f"https://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


def test_small_files_share_one_connection(go_server: str, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with Fetcher(connections=4) as fetcher:
        known = int(fetcher.get(f"{go_server}/count").split()[0])
        outcomes = begun(fetcher, {f"{go_server}/file/{number}": tmp_path / str(number) for number in range(300)})
        assert {one.head for one in outcomes.values()} == {b"HTTP/2.0 /file/%d" % number for number in range(300)}
        connections, most = map(int, fetcher.get(f"{go_server}/count").split())
        assert connections == known and 20 < most <= 100
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            assert len(set(pool.map(fetcher.get, [f"{go_server}/file/{number}" for number in range(200)]))) == 200
        bulk = begun(fetcher, {f"{go_server}/file/{number}": tmp_path / str(number) for number in range(20)}, bulk=True)
        assert {one.head.split()[0] for one in bulk.values()} == {b"HTTP/1.1"}
        assert int(fetcher.get(f"{go_server}/count").split()[0]) <= known + 4


def test_streams_that_break_or_are_silent(go_server: str, authority: Authority, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with Fetcher(attempts=2, read_timeout=0.3, pause=noting(waits)) as fetcher, concurrent.futures.ThreadPoolExecutor(2) as pool:
        half, silent = pool.submit(fetcher.get, f"{go_server}/half"), pool.submit(fetcher.get, f"{go_server}/silent")
        for future in (half, silent):
            with pytest.raises(NotFetched) as failed:
                future.result(timeout=60)
            assert failed.value.status is None and failed.value.attempts == 2
        assert "timed out: nothing came" in failed.value.message
        assert fetcher.get(f"{go_server}/file/a") == b"HTTP/2.0 /file/a"
    assert len(waits) == 2
