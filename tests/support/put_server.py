# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A raw repository on loopback with the faults that a real one has now and then, and with the checksums that Nexus and Artifactory give."""

from __future__ import annotations

import http.server
import pathlib
import ssl
import threading
import typing as t


class PutServer:
    """A context manager. ``files``: path to body. ``faults``: (method, path) to what comes first, one after the other: a status, or 0 for a
    connection that breaks off. ``headers``: what GET and HEAD answer beside the length, by path. ``asked``: (method, path) in order.
    ``authorization``: what is wanted, "" for none. ``seen``: the headers of the last request."""

    def __init__(self, certificate: t.Optional[pathlib.Path] = None) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[tuple[str, str], list[int]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.authorization = ""
        self.connections = 0
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"repository": self}))
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"

    def __enter__(self) -> PutServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc: t.Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str = "") -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}{path}"

    def put(self) -> list[str]:
        """The paths that were put, in order."""
        return [path for method, path in self.asked if method == "PUT"]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repository: PutServer

    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Say nothing."""

    def setup(self) -> None:
        super().setup()
        self.repository.connections += 1

    def _answer(self, status: int, body: bytes = b"", headers: t.Optional[t.Mapping[str, str]] = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _handle(self) -> None:
        repository = self.repository
        repository.asked.append((self.command, self.path))
        faults = repository.faults.get((self.command, self.path), [])
        status = faults.pop(0) if faults else -1
        if status == 0:
            self.close_connection = True
            return
        if self.headers.get("Authorization", "") != repository.authorization:
            status = 401
        if status > 0 and self.command == "PUT":
            # Refused before the body is read, as servers do.
            return self._answer(status, b"no", {"Connection": "close"})
        if status > 0:
            return self._answer(status)
        if self.command == "PUT":
            repository.files[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            return self._answer(201)
        if self.path in repository.files:
            return self._answer(200, repository.files[self.path], repository.headers.get(self.path))
        return self._answer(404, b"there is no such thing")

    do_GET = do_HEAD = do_PUT = _handle
