# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server on loopback that gives out what a test puts into it, and remembers what it was asked."""

from __future__ import annotations

import http.server
import threading
import typing as t


class FileServer:
    """A context manager. ``files``: path to body; any other is a 404. ``statuses``: path to another status. ``asked``: (method, path)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"files": self}))
        self._server.daemon_threads = True

    def __enter__(self) -> FileServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exc: t.Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def answer(self, method: str, path: str) -> tuple[int, bytes]:
        self.asked.append((method, path))
        if path in self.statuses:
            return self.statuses[path], b"no"
        return (200, self.files[path]) if path in self.files else (404, b"there is no such thing")


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        status, body = self.files.answer(self.command, self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET
