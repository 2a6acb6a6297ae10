# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proxies that the environment names."""

from __future__ import annotations

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import network
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher, NotFetched
from ansible_collections.airgap.golang.tests.support.scripted_server import (
    ForwardProxy,
    Reply,
    Server,
    noting,
)

SECRET = "hunter2"


@pytest.mark.parametrize("upper", [False, True])
def test_proxies_from_the_environment(
    server: Server, trusted: Server, forward: ForwardProxy, monkeypatch: pytest.MonkeyPatch, waits: list[float], upper: bool
) -> None:
    forward.password = f"user:{SECRET}@"
    address = f"user:{SECRET}%40@127.0.0.1:{forward.server_address[1]}"
    for name, value in (("http_proxy", address), ("https_proxy", "http://" + address)):
        monkeypatch.setenv(name.upper() if upper else name, value)
    server.host = trusted.host = "modules.example.internal"
    server.script["/a"], trusted.script["/a"] = [Reply(body=b"clear")], [Reply(body=b"secure")]
    with Fetcher(attempts=2, pause=noting(waits)) as fetcher:
        assert fetcher.get(server.url("/a")) == b"clear"
        assert fetcher.get(trusted.url("/a")) == b"secure"
        assert fetcher.get(trusted.url("/a")) == b"secure"
    assert forward.seen == [f"GET {server.url('/a')}", f"CONNECT modules.example.internal:{trusted.server_address[1]}"]
    assert not any("Proxy-Authorization" in one.headers for one in server.seen + trusted.seen)
    assert waits == []


def test_proxies_that_refuse(trusted: Server, server: Server, forward: ForwardProxy, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    address = f"http://user:{SECRET}@127.0.0.1:{forward.server_address[1]}"
    monkeypatch.setenv("https_proxy", address)
    monkeypatch.setenv("http_proxy", address)
    server.host = trusted.host = "modules.example.internal"
    with Fetcher(attempts=3, pause=noting(waits)) as fetcher:
        forward.password = "another:one"
        for one, status in ((trusted, None), (server, 407)):
            with pytest.raises(NotFetched, match="407") as failed:
                fetcher.get(one.url("/a"))
            # A proxy that refuses to connect says nothing about the file: its status must not pass for the server's.
            assert failed.value.status == status and failed.value.attempts == 1
            assert "HTTP_PROXY" in failed.value.hint and SECRET not in repr((failed.value.failure(), failed.value.message))
        forward.password = ""
        forward.refusal = 404
        with pytest.raises(NotFetched, match="404") as absent:
            fetcher.get(trusted.url("/a"))
        assert absent.value.status is None and absent.value.attempts == 1
        assert waits == []
        forward.refusal = 503
        with pytest.raises(NotFetched, match="503") as failed:
            fetcher.get(trusted.url("/a"))
        assert failed.value.attempts == 3
    for unfit in (f"socks5://user:{SECRET}@127.0.0.1:1", f"http://user:{SECRET}@[127.0.0.1"):
        monkeypatch.setenv("https_proxy", unfit)
        with Fetcher() as fetcher, pytest.raises(NotFetched, match="none that speaks HTTP") as failed:
            fetcher.get(trusted.url("/a"))
        assert SECRET not in failed.value.message


def test_no_proxy(server: Server, forward: ForwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{forward.server_address[1]}")
    server.script["/a"] = [Reply(body=b"straight")]
    for host in ("127.0.0.1", "localhost"):
        server.host = host
        with Fetcher() as fetcher:
            assert fetcher.get(server.url("/a")) == b"straight"
    assert forward.seen == []
    server.host = "modules.example.internal"
    for value, through in ((".example.internal", False), ("example.internal", False), ("*", False), ("internal.example", True), ("", True)):
        monkeypatch.setenv("NO_PROXY", value)
        assert bool(network.Proxies().for_url(server.url("/a"))) is through, value
    for value, through in (("10.0.0.0/8", False), ("192.0.2.1, 10.1.2.3", False), ("192.0.2.0/24", True)):
        monkeypatch.setenv("NO_PROXY", value)
        assert bool(network.Proxies().for_url("http://10.1.2.3:8080/a")) is through, value
