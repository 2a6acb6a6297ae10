# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is fetched, tried again, refused and stopped."""

from __future__ import annotations

import concurrent.futures
import datetime
import email.utils
import hashlib
import os
import pathlib
import queue
import socket
import subprocess
import sys
import threading
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import CHUNK, Downloaded, Fetcher, NotFetched
from ansible_collections.airgap.golang.tests.support.scripted_server import (
    BODY,
    Reply,
    Server,
    begun,
    noting,
    serving,
)


def test_download(server: Server, fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    server.script["/a"] = [Reply()]
    moved: list[int] = []
    dest = tmp_path / "a"
    assert fetcher.download(server.url("/a"), str(dest), moved.append) == Downloaded(hashlib.sha256(BODY).hexdigest(), len(BODY))
    assert dest.read_bytes() == BODY
    assert sum(moved) == len(BODY) and len(moved) == len(BODY) // CHUNK
    assert sorted(os.listdir(tmp_path)) == ["a"]


def test_get_and_size(server: Server, fetcher: Fetcher) -> None:
    server.script["/a"] = [Reply(body=b"12345")]
    assert fetcher.get(server.url("/a")) == b"12345"
    assert fetcher.get(server.url("/a"), limit=5) == b"12345"
    assert fetcher.size(server.url("/a")) == 5
    assert server.seen[-1].method == "HEAD"
    with pytest.raises(NotFetched, match="longer than 4 bytes"):
        fetcher.get(server.url("/a"), limit=4)


def test_size_may_be_unknown(server: Server, fetcher: Fetcher) -> None:
    server.script["/a"] = [Reply(headers={"Transfer-Encoding": "chunked"}, body=b"3\r\nabc\r\n0\r\n\r\n")]
    assert fetcher.size(server.url("/a")) is None
    assert fetcher.get(server.url("/a")) == b"abc"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_tries_again(server: Server, fetcher: Fetcher, waits: list[float], status: int) -> None:
    server.script["/a"] = [Reply(status, b"busy"), Reply(status, b"busy"), Reply(body=b"now")]
    assert fetcher.get(server.url("/a")) == b"now"
    assert server.requests() == 3
    assert len(waits) == 2 and 0 <= waits[0] <= 0.5 and 0 <= waits[1] <= 1


def test_gives_up(server: Server, fetcher: Fetcher, waits: list[float], tmp_path: pathlib.Path) -> None:
    server.script["/a"] = [Reply(503, b"down for\n maintenance")]
    with pytest.raises(NotFetched) as failed:
        fetcher.download(server.url("/a"), str(tmp_path / "a"))
    assert (failed.value.status, failed.value.answer, failed.value.attempts) == (503, "down for maintenance", 4)
    assert "down for maintenance (4 attempts)" in failed.value.message
    assert server.requests() == 4 and len(waits) == 3
    assert os.listdir(tmp_path) == []


def test_retry_after(server: Server, fetcher: Fetcher, waits: list[float]) -> None:
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=40)
    server.script["/a"] = [
        Reply(429, headers={"Retry-After": "7"}),
        Reply(503, headers={"Retry-After": email.utils.format_datetime(soon, usegmt=True)}),
        Reply(503, headers={"Retry-After": "86400"}),
        Reply(body=b"now"),
    ]
    assert fetcher.get(server.url("/a")) == b"now"
    assert waits[0] == 7
    assert 30 < waits[1] <= 40
    assert waits[2] == 60


def test_retry_after_nonsense(server: Server, fetcher: Fetcher, waits: list[float]) -> None:
    server.script["/a"] = [
        Reply(503, headers={"Retry-After": "soon"}),
        Reply(503, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        Reply(body=b"now"),
    ]
    assert fetcher.get(server.url("/a")) == b"now"
    assert 0 <= waits[0] <= 0.5 and waits[1] == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_final(server: Server, fetcher: Fetcher, waits: list[float], tmp_path: pathlib.Path, status: int) -> None:
    server.script["/a"] = [Reply(status, b"module blocked: " + b"x" * 1000)]
    with pytest.raises(NotFetched) as failed:
        fetcher.download(server.url("/a"), str(tmp_path / "a"))
    assert (failed.value.status, failed.value.attempts, len(failed.value.answer)) == (status, 1, 300)
    assert failed.value.answer.startswith("module blocked: xxx")
    assert server.requests() == 1 and waits == [] and os.listdir(tmp_path) == []


def test_html_is_read_as_words(server: Server, fetcher: Fetcher) -> None:
    page = b"<html><style>p {color: red}</style><body><h1>Forbidden</h1>\n<p>Ask the \x1b[31mproxy team</p></body></html>"
    server.script["/a"] = [Reply(403, page, {"Content-Type": "text/html; charset=utf-8"})]
    with pytest.raises(NotFetched) as failed:
        fetcher.get(server.url("/a"))
    assert failed.value.answer == "Forbidden Ask the [31mproxy team"


def test_truncated_bodies_do_not_stay(server: Server, fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    server.script["/a"] = [Reply(cut=len(BODY) // 2), Reply()]
    moved: list[int] = []
    assert fetcher.download(server.url("/a"), str(tmp_path / "a"), moved.append).size == len(BODY)
    assert (tmp_path / "a").read_bytes() == BODY
    assert sum(moved) == len(BODY) and min(moved) < 0
    server.script["/b"] = [Reply(cut=1000)]
    (tmp_path / "b").write_bytes(b"the old one")
    with pytest.raises(NotFetched) as failed:
        fetcher.download(server.url("/b"), str(tmp_path / "b"))
    assert failed.value.status is None and failed.value.attempts == 4
    assert sorted(os.listdir(tmp_path)) == ["a", "b"] and (tmp_path / "b").read_bytes() == b"the old one"


def test_truncated_chunks(server: Server, fetcher: Fetcher) -> None:
    server.script["/a"] = [
        Reply(headers={"Transfer-Encoding": "chunked"}, body=b"3\r\nabc\r\n", cut=8),
        Reply(headers={"Transfer-Encoding": "chunked"}, body=b"3\r\nabc\r\n0\r\n\r\n"),
    ]
    assert fetcher.get(server.url("/a")) == b"abc"
    assert server.requests() == 2


def test_servers_that_hang_up_or_are_silent(server: Server, waits: list[float]) -> None:
    server.script["/a"] = [Reply(hang_up=True), Reply(body=b"now")]
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, Fetcher(attempts=2, read_timeout=0.05, pause=noting(waits)) as fetcher:
        assert fetcher.get(server.url("/a")) == b"now"
        with pytest.raises(NotFetched, match="timed out") as failed:
            fetcher.get(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        assert failed.value.attempts == 2 and failed.value.status is None
    assert len(waits) == 2


def test_nobody_listens(fetcher: Fetcher, waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(NotFetched) as failed:
        fetcher.get(f"http://127.0.0.1:{port}/x")
    assert "Connection refused" in failed.value.message and failed.value.attempts == 4 and "NO_PROXY" in failed.value.hint
    assert "object at 0x" not in failed.value.message


def test_connections_are_kept(server: Server, fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    server.script["/a"] = [Reply()]
    for number in range(5):
        fetcher.download(server.url("/a"), str(tmp_path / str(number)))
        with pytest.raises(NotFetched):
            fetcher.get(server.url("/absent"))
        fetcher.size(server.url("/a"))
    assert server.requests() == 15 and server.connections == 1


def test_connections_are_bounded(server: Server, waits: list[float], tmp_path: pathlib.Path) -> None:
    server.script["/a"] = [Reply()]
    with Fetcher(connections=3, pause=noting(waits)) as fetcher, concurrent.futures.ThreadPoolExecutor(12) as pool:
        sizes = list(pool.map(lambda number: fetcher.download(server.url("/a"), str(tmp_path / str(number))).size, range(60)))
    assert sizes == [len(BODY)] * 60 and waits == []
    assert server.connections <= 3


def test_redirects(server: Server, fetcher: Fetcher) -> None:
    server.script["/a"] = [Reply(302, b"moved", {"Location": "/b?token=1"})]
    server.script["/b?token=1"] = [Reply(307, b"moved", {"Location": server.url("/c")})]
    server.script["/c"] = [Reply(body=b"here")]
    assert fetcher.get(server.url("/a")) == b"here"
    assert server.connections == 1
    server.script["/c"] = [Reply(404, b"gone")]
    with pytest.raises(NotFetched) as failed:
        fetcher.get(server.url("/a"))
    assert failed.value.status == 404 and "token" not in failed.value.message
    server.script["/loop"] = [Reply(302, headers={"Location": "/loop"})]
    with pytest.raises(NotFetched, match="more than 10 redirects"):
        fetcher.get(server.url("/loop"))
    assert server.requests("/loop") == 11
    server.script["/file"] = [Reply(302, headers={"Location": "file:///etc/passwd"})]
    with pytest.raises(NotFetched, match="redirects from http to file:"):
        fetcher.get(server.url("/file"))
    server.script["/port"] = [Reply(302, headers={"Location": "https://user:hunter2@a.example:80a/"})]
    with pytest.raises(NotFetched, match="redirects to https://a.example:80a/, which is no URL"):
        fetcher.get(server.url("/port"))


@pytest.mark.parametrize("location", ["http://user:hunter2@[bad/x?token=hunter2", "//user:hunter2@[bad/x#hunter2", "http://\u212a\u2100/?hunter2"])
def test_a_redirect_to_what_is_no_url(server: Server, fetcher: Fetcher, waits: list[float], location: str) -> None:
    server.script["/a"] = [Reply(302, headers={"Location": location.encode().decode("latin-1")})]
    with pytest.raises(NotFetched, match="it redirects to http://.*, which is no URL") as failed:
        fetcher.get(server.url("/a"))
    assert "hunter2" not in repr((failed.value.message, failed.value.failure())) and failed.value.hint
    assert (failed.value.status, failed.value.attempts) == (302, 1) and waits == []


def test_a_disk_that_refuses_is_no_reason_to_fetch_again(server: Server, fetcher: Fetcher, waits: list[float], tmp_path: pathlib.Path) -> None:
    server.script["/a"] = [Reply()]
    (tmp_path / "file").touch()
    with pytest.raises(AirgapError, match="can't be written: Not a directory") as failed:
        fetcher.download(server.url("/a"), str(tmp_path / "file" / "a"))
    assert failed.value.code == "write_failed" and waits == []
    (tmp_path / "file").unlink()
    (tmp_path / "full.part").symlink_to("/dev/full")
    with pytest.raises(AirgapError, match="No space left"):
        fetcher.download(server.url("/a"), str(tmp_path / "full"))
    assert waits == [] and os.listdir(tmp_path) == []


def test_files(fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "with space"
    source.write_bytes(BODY)
    assert fetcher.get(source.as_uri()) == BODY
    assert fetcher.size(source.as_uri()) == len(BODY)
    assert fetcher.download(source.as_uri(), str(tmp_path / "b")).size == len(BODY)
    for ask in (fetcher.get, fetcher.size):
        with pytest.raises(NotFetched) as absent:
            ask((tmp_path / "absent").as_uri())
        assert absent.value.status == 404
    with pytest.raises(NotFetched, match="no host"):
        fetcher.get("file://server/share")
    with pytest.raises(NotFetched, match="scheme 'ftp'"):
        fetcher.get("ftp://127.0.0.1/x")


def test_without_pycurl_it_says_how_to_get_it() -> None:
    code = (
        "import sys\n"
        "sys.modules['pycurl'] = None\n"
        "from ansible_collections.airgap.golang.plugins.module_utils._base.errors import ToolMissing\n"
        "from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher\n"
        "try:\n"
        "    Fetcher()\n"
        "except ToolMissing as exc:\n"
        "    print(exc.sentence())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, timeout=60, check=True).stdout
    assert "pycurl is not here; install it" in said


def test_many_are_begun_without_a_thread_each(server: Server, fetcher: Fetcher, waits: list[float], tmp_path: pathlib.Path) -> None:
    server.script = {f"/{number}": [Reply(503, b"busy"), Reply(body=b"%d" % number)] for number in range(300)}
    before = threading.active_count()
    outcomes = begun(fetcher, {server.url(path): tmp_path / path[1:] for path in server.script})
    assert {url.rpartition("/")[2]: one.head for url, one in outcomes.items()} == {str(number): b"%d" % number for number in range(300)}
    assert sorted(os.listdir(tmp_path)) == sorted(map(str, range(300))) and (tmp_path / "299").read_bytes() == b"299"
    assert len(waits) == 300 and server.connections <= 16
    # The server's threads and that of the transfers.
    assert threading.active_count() - before <= server.connections + 1


def test_a_begun_download_that_fails_says_so(server: Server, fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    server.script["/a"] = [Reply(403, b"not yours")]
    server.script["/b"] = [Reply(body=b"<html>")]

    def check(downloaded: Downloaded) -> None:
        if downloaded.head.startswith(b"<"):
            raise NotFetched("a page")

    absent, present = tmp_path / "absent", tmp_path / "present"
    present.write_bytes(BODY)
    urls = {server.url("/a"): tmp_path / "a", server.url("/b"): tmp_path / "b", absent.as_uri(): tmp_path / "c", present.as_uri(): tmp_path / "d"}
    outcomes = begun(fetcher, {**urls, "ftp://127.0.0.1/": tmp_path / "e"}, check=check)
    assert [outcomes[url].status for url in urls if isinstance(outcomes[url], NotFetched)] == [403, None, 404]
    assert outcomes[server.url("/b")].message == "a page" and "scheme 'ftp'" in outcomes["ftp://127.0.0.1/"].message
    assert outcomes[present.as_uri()] == Downloaded(hashlib.sha256(BODY).hexdigest(), len(BODY))
    assert sorted(os.listdir(tmp_path)) == ["d", "present"]


def test_what_has_not_begun_can_be_stopped(server: Server, fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    stop = threading.Event()
    stop.set()
    for url in (server.url("/a"), (tmp_path / "x").as_uri()):
        (outcome,) = begun(fetcher, {url: tmp_path / "a"}, stop=stop).values()
        assert isinstance(outcome, NotFetched) and "given up" in outcome.message
    assert server.seen == []


def test_closing_ends_what_is_under_way(waits: list[float], tmp_path: pathlib.Path) -> None:
    outcomes: queue.Queue[t.Any] = queue.Queue()
    with socket.create_server(("127.0.0.1", 0)) as silent, Fetcher(connections=2) as fetcher:
        for number in range(5):
            fetcher.begin(f"http://127.0.0.1:{silent.getsockname()[1]}/", str(tmp_path / str(number)), outcomes.put)
        silent.accept()
        fetcher.close()
        assert all("given up" in outcomes.get(timeout=30).message for _number in range(5))
        with pytest.raises(NotFetched, match="given up"):
            fetcher.get(f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert os.listdir(tmp_path) == []


def test_bulk_leaves_room_for_the_small(waits: list[float], tmp_path: pathlib.Path) -> None:
    """As many big files as there may be connections are under way, and silent; a small one comes all the same."""
    gate = threading.Event()

    class Slow(Server):
        def next(self, path: str) -> Reply:
            if path.startswith("/big"):
                gate.wait(30)
            return Reply(body=path.encode())

    with serving(Slow()) as server, Fetcher(connections=3, pause=noting(waits)) as fetcher:
        outcomes: queue.Queue[t.Any] = queue.Queue()
        for number in range(6):
            fetcher.begin(server.url(f"/big{number}"), str(tmp_path / f"big{number}"), outcomes.put, bulk=True)
        assert fetcher.get(server.url("/small")) == b"/small"
        gate.set()
        assert [outcomes.get(timeout=30).size for _number in range(6)] == [5] * 6
        assert server.connections <= 3 and waits == []
