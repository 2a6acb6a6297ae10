# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fails beside servers and networks: whoever waits hears of it, and everybody else gets what they asked for."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import queue
import resource
import threading
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import network
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Downloaded, Fetcher, NotFetched
from ansible_collections.airgap.golang.plugins.module_utils._go.goproxy import Direct, Upstream, parse_chain
from ansible_collections.airgap.golang.tests.support.scripted_server import BODY, Reply, Server, begun, noting

#: Seconds after which whoever waits would wait for ever.
LIMIT = 20


def within(work: t.Callable[[], t.Any]) -> t.Any:
    """What ``work`` gives or raises, which is a failure when it takes for ever."""
    ended: queue.Queue[t.Any] = queue.Queue()

    def run() -> None:
        try:
            ended.put(work())
        except BaseException as exc:
            ended.put(exc)

    threading.Thread(target=run, daemon=True).start()
    return ended.get(timeout=LIMIT)


def keeps(count: int) -> None:
    """A count of bytes that can't be taken back."""
    if count < 0:
        raise OSError("no room for progress")


def broken(url: str, refused: network.Refused | None = None) -> t.Mapping[str, str]:
    raise PermissionError("the helper can't be run")


def test_bytes_that_cannot_be_taken_back(server: Server, fetcher: Fetcher, waits: list[float], tmp_path: pathlib.Path) -> None:
    server.script["/a"] = [Reply(cut=len(BODY) // 2)]
    server.script["/b"] = [Reply(body=b"well")]
    dest = str(tmp_path / "a")
    failed = within(lambda: fetcher.download(server.url("/a"), dest, keeps))
    assert isinstance(failed, OSError) and "no room" in str(failed) and server.requests("/a") == 1
    assert within(lambda: fetcher.get(server.url("/b"))) == b"well"
    with Fetcher(attempts=1) as once:
        # What it is given up for is told, not what came on top of it.
        failed = within(lambda: once.download(server.url("/a"), dest, keeps))
        assert isinstance(failed, NotFetched) and failed.status is None
        assert within(lambda: once.get(server.url("/b"))) == b"well"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("first", ["http", "file"])
def test_the_next_proxy_s_credentials_cannot_be_had(trusted: Server, server: Server, tmp_path: pathlib.Path, first: str) -> None:
    """The first proxy doesn't have it, the second one is asked by the thread that heard so."""
    server.script["/a"] = [Reply(body=b"well")]
    chain = parse_chain(f"{server.url('/proxy') if first == 'http' else tmp_path.as_uri()},{trusted.url('')}")
    outcomes: queue.Queue[t.Any] = queue.Queue()
    with Fetcher(authorize=broken) as fetcher, concurrent.futures.ThreadPoolExecutor(1) as pool:
        upstream = Upstream(chain, "", fetcher, t.cast(Direct, None))
        upstream.begin("example.com/m", "v1.0.0", "mod", str(tmp_path / "m"), outcomes.put, lambda count: None, threading.Event(), pool)
        assert isinstance(outcomes.get(timeout=LIMIT), PermissionError)
        assert within(lambda: fetcher.get(server.url("/a"))) == b"well"
        assert isinstance(within(lambda: fetcher.get(trusted.url("/a"))), PermissionError)
    assert trusted.seen == []


def test_credentials_that_take_their_time_hold_up_nobody_else(trusted: Server, server: Server, tmp_path: pathlib.Path) -> None:
    trusted.script["/b"] = server.script["/b"] = [Reply(body=b"well")]
    asked, gate = threading.Event(), threading.Event()

    def authorize(url: str, refused: network.Refused | None = None) -> t.Mapping[str, str]:
        asked.set()
        assert gate.wait(2 * LIMIT)
        return {}

    outcomes: queue.Queue[t.Any] = queue.Queue()
    with Fetcher(authorize=authorize) as fetcher:
        try:
            fetcher.begin(server.url("/absent"), str(tmp_path / "a"), lambda _no: fetcher.begin(trusted.url("/b"), str(tmp_path / "b"), outcomes.put))
            assert asked.wait(LIMIT)
            assert within(lambda: fetcher.get(server.url("/b"))) == b"well"
        finally:
            gate.set()
        assert outcomes.get(timeout=LIMIT).head == b"well"


def test_credentials_are_asked_for_once_for_all_attempts(trusted: Server, waits: list[float]) -> None:
    trusted.script["/a"] = [Reply(503), Reply(302, headers={"Location": trusted.url("/b").replace("://", "://other:x@")}), Reply(body=b"well")]
    trusted.script["/b"] = [Reply(503)]
    asked: list[str] = []

    def authorize(url: str, refused: network.Refused | None = None) -> t.Mapping[str, str]:
        asked.append(url)
        return {"X-Token": "x"}

    with Fetcher(pause=noting(waits), authorize=authorize) as fetcher:
        assert fetcher.get(trusted.url("/a")) == b"well"
    assert asked == [trusted.url("/a")] and len(waits) == 2
    # A redirect's own are for that attempt.
    assert [(one.target, one.headers.get("X-Token")) for one in trusted.seen] == [("/a", "x"), ("/a", "x"), ("/b", None), ("/a", "x")]


def test_a_wait_that_fails(server: Server) -> None:
    server.script["/a"] = [Reply(503)]

    def pause(seconds: float) -> float:
        raise RuntimeError("no clock")

    with Fetcher(pause=pause) as fetcher:
        assert isinstance(within(lambda: fetcher.get(server.url("/a"))), RuntimeError)


def test_what_hears_of_an_outcome_and_fails_hears_of_that_too(trusted: Server, server: Server, tmp_path: pathlib.Path) -> None:
    """In each of the threads that tell: that of the transfers, that of credentials, those that read files, and the caller's own."""
    server.script["/a"] = [Reply()]
    trusted.script["/a"] = [Reply(403)]
    (tmp_path / "source").write_bytes(BODY)
    heard: queue.Queue[t.Any] = queue.Queue()

    def then(outcome: t.Any) -> None:
        heard.put(outcome)
        raise RuntimeError("nobody can use it")

    with Fetcher() as fetcher:
        for url, first in {
            server.url("/a"): Downloaded,
            server.url("/absent"): NotFetched,
            trusted.url("/a"): NotFetched,
            (tmp_path / "source").as_uri(): Downloaded,
            "ftp://127.0.0.1/": NotFetched,
        }.items():
            fetcher.begin(url, str(tmp_path / "dest"), then)
            assert isinstance(heard.get(timeout=LIMIT), first)
            assert isinstance(heard.get(timeout=LIMIT), RuntimeError)
        assert begun(fetcher, {server.url("/a"): tmp_path / "dest"})[server.url("/a")].size == len(BODY)


def test_no_descriptors_are_left_for_transfers(fetcher: Fetcher) -> None:
    """There are two left: those by which their thread is woken."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        taken = [os.dup(0) for _number in range(3)]
        stack.callback(lambda: [os.close(one) for one in taken])
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 1, limits[1]))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _number in range(2):
            os.close(taken.pop())
        failed = within(lambda: fetcher.get("http://127.0.0.1:9/"))
    assert isinstance(failed, OSError) and "Too many open files" in str(failed)


def test_no_thread_can_be_had_for_transfers(server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script["/a"] = [Reply(body=b"well")]
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "transfers":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        # Limits of processes don't hold for root.
        patched.setattr(threading.Thread, "start", refuse)
        assert isinstance(within(lambda: fetcher.get(server.url("/a"))), RuntimeError)
    assert within(lambda: fetcher.get(server.url("/a"))) == b"well"
