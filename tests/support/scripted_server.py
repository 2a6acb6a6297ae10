# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real HTTP servers with scripted answers, a CA of their own, and a forward proxy; all on this machine."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import http.client
import http.server
import ipaddress
import pathlib
import queue
import select
import socket
import ssl
import threading
import typing as t
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher


def begun(fetcher: Fetcher, urls: t.Mapping[str, pathlib.Path], **more: t.Any) -> dict[str, t.Any]:
    """What came of each, when all have come."""
    outcomes: queue.Queue[tuple[str, t.Any]] = queue.Queue()
    for url, dest in urls.items():
        fetcher.begin(url, str(dest), lambda outcome, url=url: outcomes.put((url, outcome)), **more)  # type: ignore[misc]
    return dict(outcomes.get(timeout=30) for _url in urls)


BODY = bytes(range(256)) * 4096


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


def noting(waits: list[float]) -> t.Callable[[float], float]:
    """Notes how long a fetcher would wait, and lets it go on at once."""

    def pause(seconds: float) -> float:
        waits.append(seconds)
        return 0.0

    return pause


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


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


def make_authority(directory: pathlib.Path) -> Authority:
    """Makes them, as files in ``directory``."""
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
