# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fetcher against real servers on this machine: scripted answers, proxies, TLS with a CA of our own. Nothing waits."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import dataclasses
import datetime
import email.utils
import hashlib
import http.client
import http.server
import ipaddress
import os
import pathlib
import queue
import select
import socket
import ssl
import subprocess
import sys
import threading
import typing as t
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.airgap.golang.plugins.module_utils._base import network
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, CommandFailed, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import CHUNK, Downloaded, Fetcher, NotFetched
from ansible_collections.airgap.golang.plugins.module_utils._base.flight import Flights

BODY = bytes(range(256)) * 4096
SECRET = "hunter2"


@dataclasses.dataclass
class Reply:
    """One scripted answer. ``cut``: send that many bytes of the body and hang up."""

    status: int = 200
    body: bytes = BODY
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    cut: t.Optional[int] = None
    hang_up: bool = False


@dataclasses.dataclass
class Seen:
    method: str
    target: str
    headers: t.Mapping[str, str]


class Server(http.server.ThreadingHTTPServer):
    """Answers what ``script`` says for a path, one answer a request; the last one stays."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: dict[str, list[Reply]] = {}
        self.seen: list[Seen] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.scheme = "http"
        self.host = "127.0.0.1"

    def get_request(self) -> tuple[socket.socket, t.Any]:
        request = super().get_request()
        with self.lock:
            self.connections += 1
        return request

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Clients that refuse our certificate are part of the test."""

    def url(self, path: str) -> str:
        return f"{self.scheme}://{self.host}:{self.server_address[1]}{path}"

    def next(self, path: str) -> Reply:
        with self.lock:
            replies = self.script.get(path, [Reply(404, b"no such thing")])
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def requests(self, path: str = "") -> int:
        return len([one for one in self.seen if path in ("", one.target)])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.seen.append(Seen(self.command, self.path, dict(self.headers.items())))
        reply = self.server.next(self.path)
        if reply.hang_up:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Transfer-Encoding" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
        if reply.cut is not None:
            self.close_connection = True

    do_HEAD = do_GET


@contextlib.contextmanager
def serving(server: t.Any) -> t.Iterator[t.Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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


def noting(waits: list[float]) -> t.Callable[[float], float]:
    """Notes how long a fetcher would wait, and lets it go on at once."""

    def pause(seconds: float) -> float:
        waits.append(seconds)
        return 0.0

    return pause


@pytest.fixture
def fetcher(waits: list[float]) -> t.Iterator[Fetcher]:
    with Fetcher(attempts=4, pause=noting(waits)) as one:
        yield one


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


# --- downloads that nobody waits for


def begun(fetcher: Fetcher, urls: t.Mapping[str, pathlib.Path], **more: t.Any) -> dict[str, t.Any]:
    """What came of each, when all have come."""
    outcomes: queue.Queue[tuple[str, t.Any]] = queue.Queue()
    for url, dest in urls.items():
        fetcher.begin(url, str(dest), lambda outcome, url=url: outcomes.put((url, outcome)), **more)  # type: ignore[misc]
    return dict(outcomes.get(timeout=30) for _url in urls)


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


# --- HTTP/2, as Go's own server speaks it


GO_SERVER = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "servers" / "http2.go"


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


# --- TLS, credentials


@dataclasses.dataclass
class Authority:
    """A CA of our own, and a certificate by it for 127.0.0.1, localhost and modules.example.internal."""

    ca: pathlib.Path
    chain: pathlib.Path

    def wrap(self, server: Server) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.scheme = "https"
        return server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("ca")
    now = datetime.datetime.now(datetime.timezone.utc)

    def make(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, *extensions: tuple[x509.ExtensionType, bool]
    ) -> bytes:
        builder = x509.CertificateBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            key.public_key(),
            x509.random_serial_number(),
            now - datetime.timedelta(days=1),
            now + datetime.timedelta(days=1),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ca = make(
        "test CA",
        ca_key,
        "test CA",
        ca_key,
        (x509.BasicConstraints(True, 0), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False),
    )
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"), x509.DNSName("modules.example.internal")]
    )
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    certificate = make("modules.example.internal", key, "test CA", ca_key, (names, False), (identifier, False))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "ca.pem").write_bytes(ca)
    (directory / "chain.pem").write_bytes(certificate + private)
    return Authority(directory / "ca.pem", directory / "chain.pem")


@pytest.fixture
def secure(authority: Authority) -> t.Iterator[Server]:
    with serving(authority.wrap(Server())) as one:
        yield one


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


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.fixture
def trusted(secure: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    return secure


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


# --- proxies


class ForwardProxy(http.server.ThreadingHTTPServer):
    """A proxy that takes every host name for this machine's loopback, with a password if it has one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ForwardHandler)
        self.seen: list[str] = []
        self.password = ""
        self.refusal: t.Optional[int] = None


class ForwardHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ForwardProxy

    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Quiet."""

    def _admitted(self) -> bool:
        self.server.seen.append(f"{self.command} {self.path}")
        status = self.server.refusal
        if self.server.password and self.headers.get("Proxy-Authorization") != basic(self.server.password):
            status = 407
        if status is None:
            return True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_GET(self) -> None:
        if not self._admitted():
            return
        parts = urllib.parse.urlsplit(self.path)
        onward = http.client.HTTPConnection("127.0.0.1", parts.port or 80)
        onward.request("GET", parts.path, headers={name: value for name, value in self.headers.items() if name != "Proxy-Authorization"})
        response = onward.getresponse()
        body = response.read()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        onward.close()

    def do_CONNECT(self) -> None:
        if not self._admitted():
            return
        with socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2]))) as onward:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            ends = {onward: self.connection, self.connection: onward}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)


@pytest.fixture
def forward() -> t.Iterator[ForwardProxy]:
    with serving(ForwardProxy()) as one:
        yield one


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
    monkeypatch.setenv("https_proxy", f"socks5://user:{SECRET}@127.0.0.1:1")
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


# --- flights


def test_one_flight_for_many() -> None:
    flights: Flights[str, int] = Flights()
    calls: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    def make() -> int:
        calls.append(1)
        inside.set()
        assert go_on.wait(30)
        return 42

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = pool.submit(flights.once, "a", make)
        assert inside.wait(30)
        others = [pool.submit(flights.once, "a", make) for _number in range(7)]
        assert flights.once("b", lambda: 7) == 7
        go_on.set()
        assert [one.result(30) for one in [first, *others]] == [42] * 8
    assert flights.once("a", make) == 42 and len(calls) == 1


def test_a_failed_flight_is_not_kept() -> None:
    flights: Flights[str, int] = Flights()
    calls: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    def fail() -> int:
        calls.append(1)
        inside.set()
        assert go_on.wait(30)
        raise NotFetched("no", status=404)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(flights.once, "a", fail)
        assert inside.wait(30)
        go_on.set()
        with pytest.raises(NotFetched):
            first.result(30)
    with pytest.raises(NotFetched):
        flights.once("a", fail)
    assert len(calls) == 2
    assert flights.once("a", lambda: 1) == 1
