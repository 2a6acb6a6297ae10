# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS with a private CA; who is given which credentials."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import network
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import CommandFailed, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher, NotFetched
from ansible_collections.airgap.golang.tests.support.scripted_server import (
    Authority,
    Reply,
    Server,
    basic,
    noting,
    serving,
)

SECRET = "hunter2"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"])
def test_private_ca(secure: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch, waits: list[float], tmp_path: pathlib.Path, variable: str) -> None:
    secure.script["/a"] = [Reply(body=b"private")]
    with Fetcher(pause=noting(waits)) as fetcher:
        with pytest.raises(NotFetched, match="not trusted") as refused:
            fetcher.get(secure.url("/a"))
        assert refused.value.attempts == 1 and "SSL_CERT_FILE" in refused.value.hint
    (tmp_path / "cas").mkdir()
    (tmp_path / "cas" / "site.pem").write_bytes(authority.ca.read_bytes())
    monkeypatch.setenv(variable, str(tmp_path / "cas") if variable.endswith("DIR") else str(authority.ca))
    with Fetcher(pause=noting(waits)) as fetcher:
        assert fetcher.get(secure.url("/a")) == b"private"
    assert waits == []


def test_a_ca_file_that_is_none(secure: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    for path in ("empty.pem", "absent.pem"):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / path))
        with Fetcher() as fetcher, pytest.raises(SpecInvalid, match=f"SSL_CERT_FILE names .*{path}"):
            fetcher.get(secure.url("/a"))


def test_credentials_in_the_url(trusted: Server, fetcher: Fetcher) -> None:
    trusted.script["/a"] = [Reply(body=b"yours")]
    url = trusted.url("/a").replace("://", f"://us%40er:{SECRET}%2F@")
    assert fetcher.get(url) == b"yours"
    assert trusted.seen[-1].headers["Authorization"] == basic(f"us@er:{SECRET}/")
    assert trusted.seen[-1].target == "/a" and SECRET not in trusted.seen[-1].headers["Host"]
    trusted.script["/a"] = [Reply(401, b"who are you? see https://user:" + SECRET.encode() + b"@elsewhere.example/")]
    with pytest.raises(NotFetched) as failed:
        fetcher.get(url + f"?token={SECRET}")
    trusted.script[f"/a?token={SECRET}"] = trusted.script["/a"]
    with pytest.raises(NotFetched) as echoed:
        fetcher.get(url + f"?token={SECRET}")
    for error in (failed.value, echoed.value):
        assert SECRET not in repr((error.message, error.failure(), error.answer, error.sentence(), str(error)))
    assert echoed.value.answer == "who are you? see https://elsewhere.example/"


def test_credentials_never_in_clear(server: Server, fetcher: Fetcher) -> None:
    with pytest.raises(NotFetched, match="refusing to send credentials over plain http") as failed:
        fetcher.get(server.url("/a").replace("://", f"://user:{SECRET}@"))
    assert server.seen == [] and SECRET not in failed.value.message


def test_credentials_stay_with_their_host(trusted: Server, authority: Authority, fetcher: Fetcher, server: Server) -> None:
    url = trusted.url("/a").replace("://", f"://user:{SECRET}@")
    with serving(authority.wrap(Server())) as other:
        trusted.script["/a"] = [Reply(302, headers={"Location": "/same"})]
        trusted.script["/same"] = [Reply(302, headers={"Location": other.url("/b")})]
        other.script["/b"] = [Reply(body=b"elsewhere")]
        assert fetcher.get(url) == b"elsewhere"
        assert [one.headers.get("Authorization") for one in trusted.seen] == [basic(f"user:{SECRET}")] * 2
        assert "Authorization" not in other.seen[0].headers
    trusted.script["/a"] = [Reply(302, headers={"Location": server.url("/clear")})]
    with pytest.raises(NotFetched, match="redirects from https to http:"):
        fetcher.get(url)
    assert server.seen == []


def test_netrc(trusted: Server, server: Server, fetcher: Fetcher, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text(f"machine other.example login a password b\nmachine 127.0.0.1\n  login gopher\n  password {SECRET}#1\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    trusted.script["/a"] = server.script["/a"] = [Reply(body=b"yours")]
    fetcher.get(trusted.url("/a"))
    assert trusted.seen[-1].headers["Authorization"] == basic(f"gopher:{SECRET}#1")
    fetcher.get(server.url("/a"))
    assert "Authorization" not in server.seen[-1].headers
    fetcher.get(trusted.url("/a").replace("://", "://explicit:x@"))
    assert trusted.seen[-1].headers["Authorization"] == basic("explicit:x")


class Tokens:
    """An Authorize with one token after another: the next one when a server refuses one."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.refused: list[network.Refused] = []
        self.urls: list[str] = []

    def __call__(self, url: str, refused: network.Refused | None = None) -> t.Mapping[str, str]:
        self.urls.append(url)
        if refused:
            self.refused.append(refused)
            if len(self.tokens) > 1:
                self.tokens.pop(0)
            elif not self.tokens:
                raise CommandFailed("the helper has no token", hint="log in")
        return {"Authorization": self.tokens[0], "X-Team": "plant"} if self.tokens and self.tokens[0] else {}


def test_whoever_authorizes_has_one_more_chance(trusted: Server, server: Server, waits: list[float]) -> None:
    tokens = Tokens("", SECRET)
    trusted.script["/a"] = [Reply(401, b"", {"Www-Authenticate": "Bearer"}), Reply(body=b"yours")]
    trusted.script["/no"] = [Reply(403, b"not for you")]
    server.script["/a"] = [Reply(401)]
    with Fetcher(pause=noting(waits), authorize=tokens) as fetcher:
        assert fetcher.get(trusted.url("/a")) == b"yours"
        assert [one.headers.get("Authorization") for one in trusted.seen] == [None, SECRET] and trusted.seen[-1].headers["X-Team"] == "plant"
        (refused,) = tokens.refused
        assert (refused.status, refused.sent) == (401, {}) and refused.head.startswith("HTTP/1.1 401 Unauthorized\n")
        assert "\nWww-Authenticate: Bearer\n" in refused.head and refused.head.endswith("\n\n")
        # The same headers again: nothing to try.
        with pytest.raises(NotFetched, match="403") as failed:
            fetcher.get(trusted.url("/no"))
        assert trusted.requests("/no") == 1 and tokens.refused[-1].sent == {"Authorization": SECRET, "X-Team": "plant"}
        assert SECRET not in repr((failed.value.message, failed.value.failure()))
        # Never over plain http, and not where the URL has its own.
        asked = len(tokens.urls)
        with pytest.raises(NotFetched):
            fetcher.get(server.url("/a"))
        with pytest.raises(NotFetched):
            fetcher.get(trusted.url("/no").replace("://", "://gopher:pw@"))
        assert len(tokens.urls) == asked and "Authorization" not in server.seen[-1].headers
        tokens.tokens.clear()
        with pytest.raises(NotFetched, match="403") as failed:
            fetcher.get(trusted.url("/no"))
        assert failed.value.hint == "the helper has no token; log in"
    assert waits == []


def test_what_authorizes_stays_with_its_host(trusted: Server, authority: Authority) -> None:
    def authorize(url: str, refused: network.Refused | None = None) -> t.Mapping[str, str]:
        return {"X-Token": SECRET} if url == trusted.url("/a") else {}

    with serving(authority.wrap(Server())) as other, Fetcher(authorize=authorize) as fetcher:
        trusted.script["/a"] = [Reply(302, headers={"Location": other.url("/b")})]
        other.script["/b"] = [Reply(body=b"elsewhere")]
        assert fetcher.get(trusted.url("/a")) == b"elsewhere"
        assert trusted.seen[-1].headers["X-Token"] == SECRET and "X-Token" not in other.seen[-1].headers


def test_netrc_is_read_as_go_reads_it() -> None:
    # The file of Go's own test, cmd/go/internal/auth/netrc_test.go, in short.
    text = """
machine incomplete
password none

machine api.github.com
  login user
  password pwd

machine incomlete.host
  login justlogin

machine test.host
login user2
password pwd2

machine oneline login user3 password pwd3

machine ignore.host macdef ignore
  echo
  login nobody
  password nothing

machine hasmacro.too macdef ignore-next-lines login user4 password pwd4
  login nobody
  password nothing

default
login anonymous
password gopher@golang.org

machine after.default
login oops
password too-late-in-file
"""
    assert network.read_netrc(text) == {
        "api.github.com": ("user", "pwd"),
        "test.host": ("user2", "pwd2"),
        "oneline": ("user3", "pwd3"),
        "hasmacro.too": ("user4", "pwd4"),
    }
