# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files put to a web server by HTTP PUT (RFC 9110) over several connections: what is there already isn't sent again.

Raw repositories (Nexus, Artifactory) and WebDAV servers take them. The environment's proxies aren't used.

Standard library, Python 3.8: an offline control node has nothing else.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import http.client
import io
import re
import ssl
import threading
import time
import typing as t
import urllib.parse

from .errors import AirgapError, SpecInvalid
from .files import CHUNK
from .progress import Stage
from .urls import bare_url, is_url, public_url, scheme_of, scrub

_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_NEXUS_SHA1 = re.compile(r'"?\{SHA1\{([0-9a-f]{40})\}\}"?')


class UploadFailed(AirgapError):
    """A server didn't take what it was given; ``details`` names each thing."""

    code = "upload_failed"


@dataclasses.dataclass(frozen=True)
class Item:
    """One file: ``target``, its path below the base URL; ``path`` or else ``content``; ``sha256`` in hex. What is ``fixed`` never changes
    under its name, so that one of the same size is taken for the same where the server gives no checksum."""

    target: str
    size: int
    sha256: str
    fixed: bool
    path: str = ""
    content: bytes = b""

    def open(self) -> t.BinaryIO:
        return open(self.path, "rb") if self.path else io.BytesIO(self.content)


@dataclasses.dataclass(frozen=True)
class Server:
    """Where to, and how: ``authorization`` is the header's value, "" for none; ``ca_path``: a file of PEM certificates to trust in place of
    the system's; ``timeout``: seconds without a byte; ``retries``: how often one file is tried again."""

    url: str
    authorization: str = ""
    ca_path: str = ""
    validate_certs: bool = True
    connections: int = 8
    timeout: float = 60.0
    retries: int = 4

    def check(self) -> None:
        """:raises SpecInvalid: the URL can't be meant, or has a password, which would be shown; or the certificates can't be read."""
        if not is_url(self.url) or scheme_of(self.url) not in ("http", "https") or not urllib.parse.urlsplit(self.url).hostname:
            raise SpecInvalid(f"{public_url(self.url)!r} isn't an http or https URL", subject=public_url(self.url), hint="name the repository's base URL")
        if urllib.parse.urlsplit(self.url).username is not None:
            raise SpecInvalid("the URL has credentials in it", subject=public_url(self.url), hint="give them as url_username and url_password")
        self.context()

    def context(self) -> t.Optional[ssl.SSLContext]:
        if scheme_of(self.url) != "https":
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_path or None)
        except OSError as exc:
            raise SpecInvalid(f"{self.ca_path} holds no certificates that can be read: {exc}", subject=self.ca_path, hint="it must be PEM") from None
        if not self.validate_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class _Refused(Exception):
    """An answer that another try wouldn't change; the message says what it was. ``final``: the next file would get the same."""

    def __init__(self, message: str, final: bool) -> None:
        super().__init__(message)
        self.final = final


class _Connection:
    """One connection, opened again when it broke. Used by one thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        parts = urllib.parse.urlsplit(bare_url(server.url))
        self._base = parts.path.rstrip("/")
        self._context = server.context()
        self._host, self._port = parts.hostname or "", parts.port
        self._open: t.Optional[http.client.HTTPConnection] = None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _connected(self) -> http.client.HTTPConnection:
        if self._open is None:
            if self._context is not None:
                self._open = http.client.HTTPSConnection(self._host, self._port, timeout=self._server.timeout, context=self._context, blocksize=CHUNK)
            else:
                self._open = http.client.HTTPConnection(self._host, self._port, timeout=self._server.timeout, blocksize=CHUNK)
        return self._open

    def request(self, method: str, item: Item) -> tuple[int, http.client.HTTPMessage, bytes]:
        """(status, headers, body) of one request. A body is read as far as the item is long, since it's only compared.

        :raises OSError, http.client.HTTPException: the connection broke.
        """
        headers = {"User-Agent": "airgap.golang", "Accept": "*/*"}
        if self._server.authorization:
            headers["Authorization"] = self._server.authorization
        path = f"{self._base}/{urllib.parse.quote(item.target, safe='/!@+~,=$&()')}"
        connection = self._connected()
        if method != "PUT":
            connection.request(method, path, headers=headers)
        else:
            headers.update({"Content-Length": str(item.size), "Content-Type": "application/octet-stream"})
            with item.open() as body:
                # A server that refuses early answers before it has taken all.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, path, body=body, headers=headers)
                response = connection.getresponse()
                return self._finish(response, item)
        return self._finish(connection.getresponse(), item)

    def _finish(self, response: http.client.HTTPResponse, item: Item) -> tuple[int, http.client.HTTPMessage, bytes]:
        body = response.read(item.size + 1) if response.status == 200 else response.read(2000)
        if response.will_close or not response.isclosed():
            self.close()
        return response.status, response.headers, body


class Uploader:
    """What a server has of some items, and sending the others."""

    def __init__(self, server: Server, pause: t.Callable[[float], None] = time.sleep) -> None:
        server.check()
        self._server = server
        self._pause = pause
        # Those that nobody uses now; the last one that was used first.
        self._idle: list[_Connection] = []
        self._stop = threading.Event()

    def missing(self, items: t.Sequence[Item], stage: t.Optional[Stage] = None) -> list[Item]:
        """Those that the server hasn't, or has otherwise. Changes nothing.

        :raises UploadFailed: the server can't be asked.
        """
        return [item for item, absent in zip(items, self._each(items, self._is_missing, stage)) if absent]

    def send(self, items: t.Sequence[Item], stage: t.Optional[Stage] = None) -> None:
        """PUT these.

        :raises UploadFailed: some couldn't be; all are named.
        """
        self._each(items, self._put, stage)

    def close(self) -> None:
        for connection in self._idle:
            connection.close()

    def _each(self, items: t.Sequence[Item], work: t.Callable[[Item], bool], stage: t.Optional[Stage]) -> list[bool]:
        failed: list[dict[str, str]] = []
        found = [False] * len(items)

        def one(number: int) -> None:
            if self._stop.is_set():
                return
            try:
                found[number] = work(items[number])
            except _Refused as exc:
                if exc.final:
                    self._stop.set()
                failed.append({"subject": items[number].target, "reason": str(exc)})
            except (OSError, http.client.HTTPException) as exc:
                if len(failed) >= 20:
                    self._stop.set()
                failed.append({"subject": items[number].target, "reason": f"{type(exc).__name__}: {scrub(str(exc))}"})
            else:
                if stage is not None:
                    stage.advance(1, items[number].size if work == self._put else 0, items[number].target)

        self._stop.clear()
        with concurrent.futures.ThreadPoolExecutor(max(1, min(self._server.connections, len(items)))) as pool:
            try:
                for done in [pool.submit(one, number) for number in range(len(items))]:
                    done.result()
            finally:
                self._stop.set()
        if failed:
            failed.sort(key=lambda entry: entry["subject"])
            base = public_url(self._server.url)
            raise UploadFailed(
                f"{base}: {failed[0]['subject']}: {failed[0]['reason']}" + (f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""),
                subject=base,
                found=failed[0]["reason"],
                hint="what has arrived stays there; a rerun sends the rest",
                details=failed,
            )
        return found

    @contextlib.contextmanager
    def _connection(self) -> t.Iterator[_Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _Connection(self._server)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        finally:
            self._idle.append(connection)

    def _ask(self, method: str, item: Item) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request, again while the connection breaks or the server says that it's busy."""
        for attempt in range(self._server.retries + 1):
            last = attempt == self._server.retries
            try:
                with self._connection() as connection:
                    status, headers, body = connection.request(method, item)
            except ssl.SSLCertVerificationError as exc:
                raise _Refused(f"its certificate isn't trusted ({exc.verify_message}): give its CA as ca_path", final=True) from None
            except (OSError, http.client.HTTPException):
                if last:
                    raise
            else:
                if status not in _AGAIN or last:
                    return status, headers, body
            self._pause(min(0.2 * 2**attempt, 5.0))
        raise AssertionError("unreachable")

    def _is_missing(self, item: Item) -> bool:
        status, headers, _body = self._ask("HEAD", item)
        # Servers without HEAD: whether they have it isn't known.
        if status in (404, 405, 410, 501):
            return True
        if status not in (200, 204):
            raise _refused(status, "HEAD", headers, b"")
        length = headers.get("Content-Length", "")
        if length.isdigit() and int(length) != item.size:
            return True
        same = _same_by_checksum(headers, item)
        if same is not None:
            return not same
        if item.fixed:
            return not length.isdigit()
        status, headers, body = self._ask("GET", item)
        return status not in (200, 204) or hashlib.sha256(body).hexdigest() != item.sha256

    def _put(self, item: Item) -> bool:
        status, headers, body = self._ask("PUT", item)
        if not 200 <= status < 300:
            raise _refused(status, "PUT", headers, body)
        return True


def _same_by_checksum(headers: http.client.HTTPMessage, item: Item) -> t.Optional[bool]:
    """By what a server says of its file: Artifactory's X-Checksum-Sha256, Nexus' ETag with a SHA-1; None when it says nothing."""
    given = headers.get("X-Checksum-Sha256", "").lower()
    if given:
        return given == item.sha256
    sha1 = _NEXUS_SHA1.fullmatch(headers.get("ETag", ""))
    if sha1 is None:
        return None
    digest = hashlib.new("sha1")
    with item.open() as stream:
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest() == sha1.group(1)


def _refused(status: int, method: str, headers: http.client.HTTPMessage, body: bytes) -> _Refused:
    said = scrub(body.decode("utf-8", "replace"))[:200]
    more = {
        401: "it wants other credentials: give url_username and url_password, or token",
        403: "these credentials may not do that",
        404: "there is no such place: a WebDAV server must be told to make directories (nginx: create_full_put_path on)",
        405: "it takes no PUT: is this the address of the repository itself?",
        409: "the directory is missing, and the server makes none (nginx: create_full_put_path on)",
        413: "it's larger than the server takes (nginx: client_max_body_size 0)",
    }.get(status, f"it leads to {public_url(headers.get('Location', ''))}: name that address" if 300 <= status < 400 else said)
    return _Refused(f"{method} was answered with {status}" + (f": {more}" if more else ""), final=status in (401, 403, 405) or 300 <= status < 400)
