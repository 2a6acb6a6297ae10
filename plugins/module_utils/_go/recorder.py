# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A GOPROXY on this machine for the go command: go decides which modules are needed, and our own store gets them.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import hmac
import http.server
import os
import secrets
import socketserver
import sys
import threading
import types
import typing as t
import urllib.parse

from .._base.errors import AirgapError, FetchFailed, SpecInvalid
from .._base.files import copy_stream
from .escape import EXTENSIONS, is_exact, matches_major, unescape_path, unescape_version

Key = t.Tuple[str, str, str]

_TYPES = {"info": "application/json", "mod": "text/plain; charset=utf-8", "zip": "application/zip"}


class Store(t.Protocol):
    """What the proxy serves from. Every method is called from many threads."""

    def ensure(self, module: str, version: str, ext: str) -> str:
        """The path of one file (info, mod or zip) of an exact version, got now or before; FetchFailed or ModuleRefused otherwise."""

    def query(self, module: str, what: str) -> bytes:
        """The answer to ``@v/list``, ``@latest`` or ``@v/<query>.info``; FetchFailed when there is none."""

    def sumdb(self, path: str) -> bytes:
        """The checksum database's answer to what follows ``sumdb/`` in the URL; FetchFailed when there is none."""


class RecordingProxy:
    """A module proxy on 127.0.0.1 that lives as long as the context it manages, and notes what was asked.

    Its URL holds a random token, without which other users of the machine get nothing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = secrets.token_urlsafe(24)
        self._lock = threading.Lock()
        self._asked: set[Key] = set()
        self._failures: dict[Key, AirgapError] = {}
        self._crash: t.Optional[BaseException] = None
        self._server: t.Optional[_Server] = None
        self._thread: t.Optional[threading.Thread] = None

    def __enter__(self) -> RecordingProxy:
        self._server = _Server(self)
        # shutdown() waits for one poll.
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="recording-proxy", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: t.Optional[type[BaseException]], value: t.Optional[BaseException], trace: t.Optional[types.TracebackType]) -> None:
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        if self._crash:
            raise self._crash

    @property
    def url(self) -> str:
        """The value for GOPROXY."""
        if not self._server:
            raise RuntimeError("the proxy runs inside its context only")
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self._token}"

    @property
    def asked(self) -> set[Key]:
        """(module, version, info|mod|zip) of the exact versions' files that were served. A copy."""
        with self._lock:
            return set(self._asked)

    @property
    def failures(self) -> dict[Key, AirgapError]:
        """Why the others were not: FetchFailed, or what else the store refused with. A copy."""
        with self._lock:
            return dict(self._failures)

    def crashed(self, crash: BaseException) -> None:
        """Keep what nobody foresaw, a store's bug say; the context ends with it."""
        with self._lock:
            self._crash = self._crash or crash

    def path_of(self, target: str) -> t.Optional[str]:
        """What a request asks for, without the token; None when the token isn't in it."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(target).path)
        token, slash, rest = path.lstrip("/").partition("/")
        known = hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._token.encode())
        return rest if known and slash else None

    def file_for(self, key: Key) -> str:
        """The path of an exact version's file; both outcomes are noted."""
        try:
            path = self._store.ensure(*key)
        except AirgapError as exc:
            with self._lock:
                self._failures[key] = exc
            raise
        except OSError as exc:
            failed = FetchFailed(
                f"{key[0]}@{key[1]} (.{key[2]}) can't be stored: {exc.strerror or exc}", subject=f"{key[0]}@{key[1]}", hint="make room, or check permissions"
            )
            with self._lock:
                self._failures[key] = failed
            raise failed from exc
        with self._lock:
            self._asked.add(key)
            self._failures.pop(key, None)
        return path

    def answer_for(self, rest: str) -> bytes:
        """The answer to anything that isn't an exact version's file."""
        if rest.startswith("sumdb/"):
            return self._store.sumdb(rest[len("sumdb/") :])
        module, at, what = rest.partition("/@")
        return self._store.query(unescape_path(module), at[1:] + what)


def _exact_file(rest: str) -> t.Optional[Key]:
    """(module, version, ext) when that is what is asked for.

    :raises SpecInvalid: neither a module path nor a version that Go takes.
    """
    escaped, at, what = rest.partition("/@v/")
    if not at or rest.startswith("sumdb/"):
        return None
    version, dot, ext = what.rpartition(".")
    if not dot or ext not in EXTENSIONS:
        return None
    module, version = unescape_path(escaped), unescape_version(version)
    return (module, version, ext) if is_exact(version) and matches_major(module, version) else None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: RecordingProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for the machine's name, which can take seconds without a network.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        crash = sys.exc_info()[1]
        # A client that went away, as a go command does when it has seen enough, is no news.
        if crash and not isinstance(crash, ConnectionError):
            self.proxy.crashed(crash)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Say nothing: standard error belongs to the program around."""

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        proxy = self.server.proxy
        rest = proxy.path_of(self.path)
        if rest is None:
            self._say(404, "not found")
            return
        try:
            key = _exact_file(rest)
            if key:
                self._send_file(proxy.file_for(key), key[2])
            else:
                self._send(200, proxy.answer_for(rest), "text/plain; charset=utf-8")
        except SpecInvalid as exc:
            self._say(404, exc.message)
        except AirgapError as exc:
            status = getattr(exc, "status", None)
            self._say(status if status in (403, 404, 410) else 502, exc.sentence())

    def _send_file(self, path: str, ext: str) -> None:
        with open(path, "rb") as stream:
            self._head(200, os.fstat(stream.fileno()).st_size, _TYPES[ext])
            if ext == "zip":
                self.connection.sendfile(stream)
            else:
                copy_stream(stream, t.cast(t.IO[bytes], self.wfile))

    def _say(self, status: int, text: str) -> None:
        # go shows an answer's words when they are plain and printable, the first lines of them.
        self._send(status, " ".join(text.split()).encode("utf-8", "replace") + b"\n", "text/plain; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self._head(status, len(body), kind)
        self.wfile.write(body)

    def _head(self, status: int, size: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()
