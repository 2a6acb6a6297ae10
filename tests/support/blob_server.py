# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror on loopback that serves a directory with ranges and kept connections, remembers what it was asked, and fails as it's told."""

from __future__ import annotations

import base64
import http.server
import os
import pathlib
import re
import socket
import ssl
import subprocess
import threading
import typing as t


class BlobServer:
    """A context manager.

    ``top``: what is served. ``asked``: (path, first byte, User-Agent) of each request. ``sent``: bytes of bodies. ``connections``: how many there were.
    ``fail``: called with the path and how often it was asked before, gives a status to refuse with (0: none). ``cut``: called
    likewise, gives after how many bytes of the body the connection breaks (-1: not). ``moved``: by path, where it leads to. ``raw``: by path, an answer that
    is sent as it is. ``ranges``: whether it knows them. ``login``: "user:password" it wants.
    """

    def __init__(self, top: str, tls: t.Optional[tuple[str, str]] = None, address: str = "127.0.0.1") -> None:
        self.top = top
        self.asked: list[tuple[str, int, str]] = []
        self.sent = 0
        self.connections = 0
        self.fail: t.Callable[[str, int], int] = lambda path, before: 0
        self.cut: t.Callable[[str, int], int] = lambda path, before: -1
        self.moved: dict[str, str] = {}
        self.raw: dict[str, bytes] = {}
        self.ranges = True
        self.login = ""
        self._scheme = "https" if tls else "http"
        self._server = http.server.ThreadingHTTPServer((address, 0), type("Handler", (_Handler,), {"mirror": self}))
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> BlobServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exc: t.Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        address, port = self._server.server_address[:2]
        return f"{self._scheme}://{address!s}:{port}/depot"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror: BlobServer

    def setup(self) -> None:
        super().setup()
        self.mirror.connections += 1

    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        mirror = self.mirror
        asked = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        first = int(asked.group(1)) if asked and mirror.ranges else 0
        before = sum(1 for path, _first, _agent in mirror.asked if path == self.path)
        mirror.asked.append((self.path, first, self.headers.get("User-Agent", "")))
        login = base64.b64encode(mirror.login.encode()).decode()
        if mirror.login and self.headers.get("Authorization") != f"Basic {login}":
            return self.refuse(401)
        if self.path in mirror.moved:
            return self.refuse(302, Location=mirror.moved[self.path])
        if self.path in mirror.raw:
            self.close_connection = True
            self.wfile.write(mirror.raw[self.path])
            return None
        status = mirror.fail(self.path, before)
        path = os.path.join(mirror.top, self.path[len("/depot/") :])
        if status or not os.path.isfile(path):
            return self.refuse(status or 404)
        body = pathlib.Path(path).read_bytes()
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        cut = mirror.cut(self.path, before)
        body = body[first:] if cut < 0 else body[first : first + cut]
        self.wfile.write(body)
        mirror.sent += len(body)
        if cut >= 0:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        return None

    def refuse(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def private_ca(directory: pathlib.Path, address: str = "127.0.0.1") -> tuple[pathlib.Path, tuple[str, str]]:
    """A CA's certificate, and a server's certificate and key that it vouches for (for an IP address); made with openssl."""
    directory.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=A private CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, "-subj", "/CN=mirror", "-keyout", "server.key", "-out", "server.csr")
    (directory / "san").write_text(f"subjectAltName=IP:{address}\n")
    openssl("x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san", "-out", "server.pem")
    return directory / "ca.pem", (str(directory / "server.pem"), str(directory / "server.key"))
