# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GET of one server's files over a kept-alive connection, from any byte on: what a host needs that has Python and nothing else.

``fetch`` is the connected side's, with libcurl and what a company's network asks for. Servers of an inner network are asked
directly: proxies of the environment don't count. Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import http
import http.client
import os
import re
import ssl
import typing as t
import urllib.parse

from .errors import SpecInvalid
from .urls import basic_header, is_url, origin_of, public_url, scrub

CHUNK = 256 << 10
REDIRECTS = 5

# A server that isn't there is found out by the connection; what is behind it may take its time.
CONNECT = 10.0

_MOVED = frozenset((301, 302, 303, 307, 308))
_LATER = frozenset((408, 425, 429, 500, 502, 503, 504))
# Not about one file.
_SERVER = frozenset((401, 403, 407, 502, 503, 504))
_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/(?:[0-9]+|\*)")
# What http.client raises: ValueError for a URL or a header that can't be put on the wire, and for a chunk of negative length.
_ERRORS = (OSError, http.client.HTTPException, ValueError)


class GetFailed(Exception):
    """A GET that gave nothing. ``final``: trying it again is of no use. ``server``: it's the server that fails, not the one file."""

    def __init__(self, said: str, final: bool = False, server: bool = False) -> None:
        super().__init__(said)
        self.final = final
        self.server = server


class Body(t.NamedTuple):
    """A file's content, in pieces, from the byte on at which it ``begins``. The pieces raise GetFailed where it ends too early."""

    begins: int
    chunks: t.Iterator[bytes]


@dataclasses.dataclass(frozen=True)
class Access:
    """How servers are spoken to.

    ``ca``: certificates in PEM, or the path of a file of them; "" for the system's. ``user`` and ``password``: for basic
    authentication, if any. ``agent``: the User-Agent. ``timeout``: seconds without a byte.
    """

    ca: str = ""
    user: str = ""
    password: str = dataclasses.field(default="", repr=False)
    agent: str = "airgap.golang"
    timeout: float = 30.0

    def context(self) -> ssl.SSLContext:
        """:raises SpecInvalid: the certificates can't be read."""
        try:
            if not self.ca:
                return ssl.create_default_context()
            if os.path.isabs(self.ca):
                return ssl.create_default_context(cafile=self.ca)
            # The comments in a bundle may be in any language; ssl takes ASCII alone.
            return ssl.create_default_context(cadata=self.ca.encode("ascii", "replace").decode())
        except (OSError, ValueError) as exc:
            subject = self.ca if os.path.isabs(self.ca) else "mirror_ca"
            raise SpecInvalid(
                f"{subject} holds no certificates that can be read: {exc}",
                subject=subject,
                found=str(exc),
                hint="give PEM certificates, or the path of a file of them on the host",
            ) from None


def check_server(url: str) -> None:
    """:raises SpecInvalid: files can't be had from there."""
    parts = urllib.parse.urlsplit(url if is_url(url) else "")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SpecInvalid(f"{_shown(url)!r} is no server of files", subject=_shown(url), expected="https://mirror.example/depot, say")
    if "@" in parts.netloc:
        raise SpecInvalid(
            f"{public_url(url)} was given with a user name in it, which would be in every log",
            subject=public_url(url),
            hint="give it as mirror_user and mirror_password",
        )


class Server:
    """One server's files. Used by one thread.

    :param url: what their paths are below, as ``check_server`` wants it.
    """

    def __init__(self, url: str, access: Access, context: ssl.SSLContext) -> None:
        self.url = url.rstrip("/")
        self._access = access
        self._context = context
        self._connections: dict[tuple[str, str, int], http.client.HTTPConnection] = {}

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def get(self, path: str, offset: int = 0) -> Body:
        """A file's content from ``offset`` on; from its beginning where the server doesn't know ranges.

        :raises GetFailed: it can't be had.
        """
        url = f"{self.url}/{path}"
        for _redirect in range(REDIRECTS):
            response = self._ask(url, offset)
            if response.status not in _MOVED:
                return Body(self._begins(response, offset), self._chunks(response))
            url = self._moved(url, response)
        raise GetFailed(f"more than {REDIRECTS} redirects", final=True)

    def _chunks(self, response: http.client.HTTPResponse) -> t.Iterator[bytes]:
        try:
            yield from iter(lambda: response.read(CHUNK), b"")
            if response.length:
                raise GetFailed(f"the connection ended {response.length} bytes too early")
        except _ERRORS as exc:
            raise GetFailed(f"the connection broke: {_words(exc)}") from None
        finally:
            # A connection whose answer wasn't read to its end is of no further use.
            if not response.isclosed():
                self.close()

    def _ask(self, url: str, offset: int) -> http.client.HTTPResponse:
        origin = origin_of(url)
        headers = {"User-Agent": self._access.agent, "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        if self._access.user and origin == origin_of(self.url):
            headers["Authorization"] = basic_header(self._access.user, self._access.password)
        kept = origin in self._connections
        while True:
            connection = self._connections.get(origin) or self._connect(origin)
            try:
                parts = urllib.parse.urlsplit(url)
                connection.request("GET", (parts.path or "/") + ("?" + parts.query if parts.query else ""), headers=headers)
                return connection.getresponse()
            except _ERRORS as exc:
                self.close()
                # The server may have given a kept connection up meanwhile, which says nothing about the server.
                if not kept:
                    raise _failure("it doesn't answer", exc, _shown(url)) from None
                kept = False

    def _connect(self, origin: tuple[str, str, int]) -> http.client.HTTPConnection:
        scheme, host, port = origin
        connection: http.client.HTTPConnection
        try:
            if scheme == "https":
                connection = http.client.HTTPSConnection(host, port, timeout=min(CONNECT, self._access.timeout), context=self._context)
            else:
                connection = http.client.HTTPConnection(host, port, timeout=min(CONNECT, self._access.timeout))
            connection.connect()
        except ssl.SSLCertVerificationError as exc:
            raise GetFailed(f"its certificate isn't trusted: {exc.verify_message}", final=True, server=True) from None
        except _ERRORS as exc:
            raise _failure("it can't be reached", exc, host) from None
        connection.sock.settimeout(self._access.timeout)
        self._connections[origin] = connection
        return connection

    def _moved(self, url: str, response: http.client.HTTPResponse) -> str:
        self.close()
        target = response.headers.get("Location", "")
        try:
            target = urllib.parse.urljoin(url, target)
        except ValueError:
            raise GetFailed(f"it leads to {_shown(target)!r}, which is no URL", final=True) from None
        if not is_url(target) or not target.startswith(("https://", "http://")) or (url.startswith("https://") and not target.startswith("https://")):
            raise GetFailed(f"it leads to {_shown(target)!r}, where nothing is asked", final=True)
        return target

    def _begins(self, response: http.client.HTTPResponse, offset: int) -> int:
        """Where the body begins in the file."""
        if response.status == http.HTTPStatus.OK:
            return 0
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match and match.group(1) == str(offset):
                return offset
        self.close()
        said = f"{response.status} {scrub(response.reason)}".strip()
        raise GetFailed(said, final=response.status not in _LATER, server=response.status in _SERVER)


def _failure(said: str, exc: Exception, asked: str) -> GetFailed:
    """What the network's error means is ``said``; what can't be put on the wire (``asked``) never can be."""
    if isinstance(exc, OSError) or not isinstance(exc, (ValueError, http.client.InvalidURL)):
        return GetFailed(f"{said}: {_words(exc)}", server=True)
    return GetFailed(f"{asked!r} can't be asked: {_words(exc)}", final=True)


def _shown(url: str) -> str:
    """A URL that can be shown, also where its parts can't be told: nothing before an @ or after a question mark then."""
    return public_url(url) if is_url(url) else scrub(re.split("[?#]", url.rpartition("@")[2])[0])


def _words(exc: Exception) -> str:
    return scrub(str(exc)) or type(exc).__name__
