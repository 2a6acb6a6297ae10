# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module proxy on loopback in front of this machine's own: it counts, keeps answers for the next test, and lies when told to."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.server
import io
import pathlib
import ssl
import subprocess
import sys
import threading
import types
import typing as t
import urllib.error
import urllib.request
import zipfile

Answer = t.Tuple[int, bytes]


@dataclasses.dataclass(frozen=True)
class Mishap:
    """What happens to one request in place of an answer: a status with headers; or the right answer, cut in half; or nothing at all."""

    status: int = 0
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    half: bool = False
    silent: bool = False


def upstream() -> str:
    """The first proxy of this machine's GOPROXY."""
    chain = subprocess.run(["go", "env", "GOPROXY"], text=True, capture_output=True, check=True, timeout=60).stdout.strip()
    return chain.replace("|", ",").split(",")[0].rstrip("/")


def published(module: str, version: str, files: t.Mapping[str, str]) -> dict[str, Answer]:
    """A module version of the test's own, go.mod among its files: what a proxy answers for it, by the path."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{module}@{version}/{name}", content)
    info = f'{{"Version":"{version}","Time":"2026-01-02T03:04:05Z"}}'
    said = {f"{version}.zip": packed.getvalue(), f"{version}.mod": files["go.mod"].encode(), f"{version}.info": info.encode(), "list": version.encode()}
    return {f"/{module}/@v/{name}": (200, body) for name, body in said.items()}


class ModuleProxy:
    """A context manager; ``url`` is what GOPROXY gets.

    ``asked``: the paths of all requests so far. ``answers``: path to (status, body), in place of what upstream says.
    ``elsewhere``: the status of all other paths, in place of what upstream says; 0 for that.
    ``on_request``: is called with each path before it's answered. ``mishaps``: path to what happens to its next requests, in this order.

    :param cache: a directory for upstream's answers.
    :param credentials: "user:password" without which nothing is given.
    :param certificate: a PEM file with key and certificate, for https.
    :param authorization: the Authorization header without which nothing is given, in place of the one that ``credentials`` make.
    """

    def __init__(self, cache: pathlib.Path, credentials: str = "", certificate: pathlib.Path | None = None, authorization: str = "") -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.elsewhere = 0
        self.on_request: t.Callable[[str], None] = lambda path: None
        self.mishaps: dict[str, list[Mishap]] = {}
        self.over = threading.Event()
        self._cache = cache
        self._credentials = credentials
        self._authorization = authorization or ("Basic " + base64.b64encode(credentials.encode()).decode() if credentials else "")
        self._upstream = upstream()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self._scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"

    def __enter__(self) -> ModuleProxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: types.TracebackType | None) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        userinfo = self._credentials + "@" if self._credentials else ""
        return f"{self._scheme}://{userinfo}127.0.0.1:{self._server.server_address[1]}"

    def zips(self) -> list[str]:
        return [path for path in self.asked if path.endswith(".zip")]

    def allows(self, authorization: str) -> bool:
        return not self._authorization or authorization == self._authorization

    def answer(self, path: str) -> Answer:
        """What ``path`` (such as /rsc.io/quote/@v/list) gives: an answer set by the test, or upstream's."""
        self.on_request(path)
        if path in self.answers:
            return self.answers[path]
        if self.elsewhere:
            return self.elsewhere, b"not here"
        kept = self._cache / hashlib.sha256(path.encode()).hexdigest()
        if kept.exists():
            return 200, kept.read_bytes()
        try:
            with urllib.request.urlopen(self._upstream + path, timeout=300) as response:
                body: bytes = response.read()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read()
        if not path.endswith("/latest"):
            beside = kept.with_name(f"{kept.name}.{threading.get_ident()}")
            beside.write_bytes(body)
            beside.rename(kept)
        return 200, body


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Clients that are killed, or have seen enough, are no news."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: ModuleProxy

    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        self.proxy.asked.append(self.path)
        mishaps = self.proxy.mishaps.get(self.path)
        mishap = mishaps.pop(0) if mishaps else Mishap()
        if mishap.silent:
            self.proxy.over.wait(600)
            self.close_connection = True
            return
        if mishap.status:
            self.send_response(mishap.status)
            for name, value in {"Content-Length": "0", **mishap.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            return
        status, body = self.proxy.answer(self.path) if self.proxy.allows(self.headers.get("Authorization", "")) else (401, b"who are you?")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mishap.half:
            self.close_connection = True
            body = body[: len(body) // 2]
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET
