# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting files over HTTP: kept-alive connections, retries, proxies, private CAs and credentials from the environment.

Secrets never leave it: URLs in errors have neither user names and passwords nor query strings.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import email.utils
import errno
import hashlib
import os
import random
import re
import ssl
import threading
import time
import types
import typing as t
import urllib.parse
import urllib.request

from .errors import AirgapError, CommandFailed, FetchFailed, ToolMissing
from .network import Authorize, Proxies, Refused, netrc, tls_context
from .urls import bare_url, basic_header, is_url, origin_of, public_url, scheme_of, scrub, userinfo_header

try:
    import urllib3
    import urllib3.exceptions

    HAS_URLLIB3 = True
except ImportError:
    HAS_URLLIB3 = False

CHUNK = 256 << 10
ANSWER = 300
REDIRECTS = 10
USER_AGENT = "airgap.golang"

_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
_MOVED = frozenset((301, 302, 303, 307, 308))

T = t.TypeVar("T")


class NotFetched(FetchFailed):
    """A FetchFailed that knows what the server said.

    ``status`` is the HTTP status (404 for an absent file:// path, None when no server answered), ``answer`` the first
    300 characters of the server's words on one line, ``attempts`` how often it was tried.
    """

    def __init__(
        self,
        message: str,
        *,
        status: t.Optional[int] = None,
        answer: str = "",
        attempts: int = 1,
        subject: str = "",
        hint: str = "",
        details: t.Optional[t.Sequence[t.Mapping[str, t.Any]]] = None,
    ) -> None:
        super().__init__(message, subject=subject, found=answer, hint=hint, details=details)
        self.status = status
        self.answer = answer
        self.attempts = attempts


@dataclasses.dataclass(frozen=True)
class Downloaded:
    """What arrived: lower-case hex SHA-256, size in bytes."""

    sha256: str
    size: int


class _Refusal(Exception):
    """One attempt's failure: whether another one may help, and when the server asked for it (seconds)."""

    def __init__(
        self,
        said: str,
        *,
        status: t.Optional[int] = None,
        answer: str = "",
        final: bool = False,
        wait: t.Optional[float] = None,
        hint: str = "",
        head: str = "",
    ) -> None:
        super().__init__(said)
        self.said = said
        self.status = status
        self.answer = answer
        self.final = final
        self.wait = wait
        self.hint = hint
        self.head = head


def _retry_after(value: str) -> t.Optional[float]:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3): a number or a date; None when it's neither."""
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return max(0.0, (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds())


def _broken(exc: urllib3.exceptions.HTTPError) -> _Refusal:
    """What a failure below HTTP means."""
    said = scrub(str(exc)) or type(exc).__name__
    # urllib3's own words begin with the repr of a connection object.
    said = re.sub(r"^(?:<[\w.]+ object at 0x[0-9a-f]+>|\w+\([^()]*\)): ", "", said)
    if isinstance(exc, urllib3.exceptions.ProxyError):
        tunnel = re.search(r"Tunnel connection failed: (\d{3})", said)
        final = bool(tunnel) and int(tunnel.group(1)) not in _AGAIN if tunnel else False
        return _Refusal(
            f"the proxy did not connect: {said}", answer=said[:ANSWER], final=final, hint="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and the proxy's rules"
        )
    if isinstance(exc, urllib3.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in said:
        return _Refusal(f"the server's certificate is not trusted: {said}", final=True, hint="name the file of your private CA in SSL_CERT_FILE")
    if isinstance(exc, urllib3.exceptions.LocationParseError):
        return _Refusal(f"not a URL that can be asked: {said}", final=True)
    return _Refusal(said, hint="check the network, and HTTPS_PROXY and NO_PROXY")


@contextlib.contextmanager
def _translated() -> t.Iterator[None]:
    try:
        yield
    except urllib3.exceptions.HTTPError as exc:
        raise _broken(exc) from exc


def _head(response: urllib3.BaseHTTPResponse) -> str:
    """An answer's status line and headers."""
    version = "HTTP/1.0" if response.version == 10 else "HTTP/1.1"
    lines = [f"{version} {response.status} {response.reason or ''}".rstrip(), *(f"{name}: {value}" for name, value in response.headers.items()), "", ""]
    return "\n".join(lines)


def _words(response: urllib3.BaseHTTPResponse) -> str:
    """The first words of an answer, on one line; HTML without its tags."""
    head = b""
    try:
        while len(head) < CHUNK:
            chunk = response.read(CHUNK - len(head))
            if not chunk:
                break
            head += chunk
    except urllib3.exceptions.HTTPError:
        pass
    text = head.decode("utf-8", "replace")
    if "html" in response.headers.get("Content-Type", ""):
        text = re.sub(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>", " ", text)
    return scrub(text)[:ANSWER]


class Fetcher:
    """Gets files by URL (https, http, file). A context manager; safe to use from many threads.

    Tries again after connection errors, time-outs, truncated bodies and the statuses 408, 425, 429, 500, 502, 503 and 504,
    with exponential backoff and full jitter, or when Retry-After says. Any other status is final.

    Credentials come from the URL, or for https from ``authorize``, and go to that origin only. As with the go command, they are never
    sent over plain http, and https never redirects to http.

    :param connections: kept-alive connections to one server at most; more threads than that wait for one.
    :param attempts: how often one thing is tried.
    :param connect_timeout: seconds.
    :param read_timeout: seconds without a single byte.
    :param base_wait: seconds; the upper bound of the first wait, doubled for each that follows.
    :param longest_wait: seconds; the bound of any wait, Retry-After's included.
    :param sleep: waits for the given seconds.
    :param authorize: gives headers for https URLs that have no credentials of their own; None for the netrc file ($NETRC, ~/.netrc).
    :raises ToolMissing: no urllib3, or an old one.
    """

    def __init__(
        self,
        *,
        connections: int = 16,
        attempts: int = 6,
        connect_timeout: float = 20,
        read_timeout: float = 60,
        base_wait: float = 0.5,
        longest_wait: float = 60,
        sleep: t.Callable[[float], None] = time.sleep,
        authorize: t.Optional[Authorize] = None,
    ) -> None:
        # urllib3 1 can't verify a server that is named by its IP address.
        if not HAS_URLLIB3 or not hasattr(urllib3, "BaseHTTPResponse"):
            raise ToolMissing(
                "the Python library urllib3, 2 or newer, is not here",
                subject="urllib3",
                expected="2 or newer",
                hint="install it for the Python that runs this (pip install 'urllib3>=2')",
            )
        self._connections = connections
        self._attempts = attempts
        self._timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        self._base_wait = base_wait
        self._longest_wait = longest_wait
        self._sleep = sleep
        self._authorize = authorize or self._by_netrc
        self._proxies = Proxies()
        self._lock = threading.Lock()
        self._managers: dict[str, urllib3.PoolManager] = {}
        self._tls: t.Optional[ssl.SSLContext] = None
        self._credentials: t.Optional[dict[str, tuple[str, str]]] = None

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, kind: t.Optional[type[BaseException]], value: t.Optional[BaseException], trace: t.Optional[types.TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept-alive connections."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()

    def get(self, url: str, limit: int = 16 << 20) -> bytes:
        """The whole body, of ``limit`` bytes at most.

        :raises NotFetched: it could not be had, or is longer than that.
        """
        return self._insist(url, lambda: self._get(url, limit))

    def size(self, url: str) -> t.Optional[int]:
        """How many bytes the body has, when the server says so (HEAD).

        :raises NotFetched: it could not be had.
        """
        return self._insist(url, lambda: self._size(url))

    def download(self, url: str, dest: str, on_bytes: t.Optional[t.Callable[[int], None]] = None) -> Downloaded:
        """Stream the body to ``dest``, by way of ``dest.part``: under ``dest`` there is all of it or nothing new.

        The caller syncs (a batch at once), and lets no two threads load the same ``dest``.

        :param on_bytes: is told the bytes as they arrive; a negative number when an attempt broke off and they don't count.
        :raises NotFetched: it could not be had.
        :raises AirgapError: it could not be written.
        """
        part = dest + ".part"
        try:
            downloaded = self._insist(url, lambda: self._download(url, part, on_bytes or (lambda count: None)))
            os.rename(part, dest)
        except OSError as exc:
            raise AirgapError(
                f"{dest} can't be written: {exc.strerror}", code="write_failed", subject=dest, hint="make room, or check its permissions"
            ) from exc
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
        return downloaded

    def _insist(self, url: str, attempt: t.Callable[[], T]) -> T:
        for number in range(1, self._attempts + 1):
            try:
                return attempt()
            except _Refusal as refusal:
                if refusal.final or number == self._attempts:
                    tries = f" ({number} attempts)" if number > 1 else ""
                    raise NotFetched(
                        f"{public_url(url)} can't be had: {refusal.said}{tries}",
                        status=refusal.status,
                        answer=refusal.answer,
                        attempts=number,
                        subject=public_url(url),
                        hint=refusal.hint,
                    ) from None
                wait = refusal.wait
            if wait is None:
                wait = random.uniform(0, self._base_wait * 2 ** (number - 1))
            self._sleep(min(wait, self._longest_wait))
        raise AssertionError("a Fetcher tries at least once")

    def _get(self, url: str, limit: int) -> bytes:
        return b"".join(self._chunks(url, limit))

    def _size(self, url: str) -> t.Optional[int]:
        if scheme_of(url) == "file":
            with _open_file(url) as stream:
                return os.fstat(stream.fileno()).st_size
        with self._opened("HEAD", url) as response:
            length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else None

    def _download(self, url: str, part: str, on_bytes: t.Callable[[int], None]) -> Downloaded:
        digest = hashlib.sha256()
        size = 0
        try:
            with open(part, "wb") as stream:
                for chunk in self._chunks(url, None):
                    stream.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                    on_bytes(len(chunk))
        except _Refusal:
            if size:
                on_bytes(-size)
            raise
        return Downloaded(digest.hexdigest(), size)

    def _chunks(self, url: str, limit: t.Optional[int]) -> t.Iterator[bytes]:
        """The body in pieces; a body that ends early or runs over the limit is a refusal."""
        size = 0
        for chunk in self._file_chunks(url) if scheme_of(url) == "file" else self._http_chunks(url):
            size += len(chunk)
            if limit is not None and size > limit:
                raise _Refusal(f"it is longer than {limit} bytes", final=True)
            yield chunk

    @staticmethod
    def _file_chunks(url: str) -> t.Iterator[bytes]:
        with _open_file(url) as stream:
            while True:
                chunk = stream.read(CHUNK)
                if not chunk:
                    return
                yield chunk

    def _http_chunks(self, url: str) -> t.Iterator[bytes]:
        with self._opened("GET", url) as response:
            while True:
                with _translated():
                    chunk = response.read(CHUNK)
                if not chunk:
                    return
                yield chunk

    @contextlib.contextmanager
    def _opened(self, method: str, url: str) -> t.Iterator[urllib3.BaseHTTPResponse]:
        """A 200 answer, wherever redirects led. Its connection is kept when the body was read to the end."""
        response = self._follow(method, url)
        whole = False
        try:
            yield response
            whole = True
        finally:
            if not whole:
                response.close()
            response.release_conn()

    def _follow(self, method: str, url: str) -> urllib3.BaseHTTPResponse:
        sent = self._credentials_for(url)
        try:
            return self._follow_with(method, url, sent)
        except _Refusal as refusal:
            if not refusal.head or refusal.status is None or scheme_of(url) != "https" or userinfo_header(url):
                raise
            try:
                anew = self._authorize(bare_url(url), Refused(refusal.status, refusal.head, sent))
            except CommandFailed as exc:
                refusal.hint = exc.sentence()
                raise refusal from None
            if anew == sent:
                raise
        return self._follow_with(method, url, anew)

    def _follow_with(self, method: str, url: str, credentials: t.Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        here = url
        for _hop in range(REDIRECTS + 1):
            headers = {**credentials, "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
            with _translated():
                response = self._manager(here).request(
                    method,
                    bare_url(here),
                    headers=headers,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    enforce_content_length=True,
                    timeout=self._timeout,
                )
            if response.status == 200:
                return response
            location = response.headers.get("Location", "")
            if response.status not in _MOVED or not location:
                raise self._refused(response)
            _words(response)
            response.close()
            response.release_conn()
            there = urllib.parse.urljoin(bare_url(here), location)
            if not is_url(there):
                raise _Refusal(f"it redirects to {scrub(there)}, which is no URL", status=response.status, final=True)
            if scheme_of(there) not in ("http", "https") or (scheme_of(here), scheme_of(there)) == ("https", "http"):
                raise _Refusal(f"it redirects from {scheme_of(here)} to {public_url(there)}", status=response.status, final=True)
            if userinfo_header(there):
                credentials = self._credentials_for(there)
            elif origin_of(there) != origin_of(here):
                credentials = {}
            here = there
        raise _Refusal(f"more than {REDIRECTS} redirects, the last to {public_url(here)}", final=True)

    @staticmethod
    def _refused(response: urllib3.BaseHTTPResponse) -> _Refusal:
        answer = _words(response)
        response.close()
        response.release_conn()
        said = f"{response.status} {scrub(response.reason or '')}".strip()
        hint = ""
        if response.status in (401, 403):
            hint = "if it needs credentials, put them into the netrc file, or let GOAUTH give them (go help goauth)"
        elif response.status == 407:
            hint = "put the proxy's user name and password into HTTPS_PROXY or HTTP_PROXY"
        return _Refusal(
            f"{said}: {answer}" if answer else said,
            status=response.status,
            answer=answer,
            final=response.status not in _AGAIN,
            wait=_retry_after(response.headers.get("Retry-After", "")),
            hint=hint,
            head=_head(response) if 400 <= response.status < 500 and response.status not in (*_AGAIN, 407) else "",
        )

    def _credentials_for(self, url: str) -> t.Mapping[str, str]:
        """The headers that carry a URL's credentials; none of them where there are none."""
        header = userinfo_header(url)
        if header:
            if scheme_of(url) != "https":
                raise _Refusal("refusing to send credentials over plain http", final=True, hint="use https, or take the credentials out of the URL")
            return {"Authorization": header}
        return self._authorize(bare_url(url)) if scheme_of(url) == "https" else {}

    def _by_netrc(self, url: str, refused: t.Optional[Refused] = None) -> t.Mapping[str, str]:
        with self._lock:
            if self._credentials is None:
                self._credentials = netrc()
            credentials = self._credentials
        pair = credentials.get(urllib.parse.urlsplit(url).hostname or "")
        return {"Authorization": basic_header(*pair)} if pair else {}

    def _manager(self, url: str) -> urllib3.PoolManager:
        """The connections for a URL: straight, or through its proxy."""
        scheme = scheme_of(url)
        if scheme not in ("http", "https"):
            raise _Refusal(f"URLs of the scheme {scheme!r} can't be fetched", final=True, hint="use https, http or file")
        proxy = self._proxies.for_url(url)
        with self._lock:
            manager = self._managers.get(proxy)
            if manager is None:
                if self._tls is None:
                    self._tls = tls_context()
                manager = self._managers[proxy] = self._connect(proxy, self._tls)
            return manager

    def _connect(self, proxy: str, tls: ssl.SSLContext) -> urllib3.PoolManager:
        # Many hosts each with a few connections are possible (redirects), so pools are plentiful; block makes the bound real.
        if not proxy:
            return urllib3.PoolManager(num_pools=64, maxsize=self._connections, block=True, ssl_context=tls)
        if scheme_of(proxy) not in ("http", "https"):
            raise _Refusal(
                f"the proxy {public_url(proxy)} is none that speaks HTTP", final=True, hint="set HTTPS_PROXY and HTTP_PROXY to an http:// or https:// URL"
            )
        authorization = userinfo_header(proxy)
        return urllib3.ProxyManager(
            bare_url(proxy),
            num_pools=64,
            maxsize=self._connections,
            block=True,
            ssl_context=tls,
            proxy_ssl_context=tls,
            proxy_headers={"Proxy-Authorization": authorization} if authorization else {},
        )


def _open_file(url: str) -> t.BinaryIO:
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise _Refusal("a file:// URL has no host", final=True, hint="write file:/// and an absolute path")
    path = urllib.parse.unquote(parts.path, errors="surrogateescape")
    try:
        return open(path, "rb")
    except OSError as exc:
        absent = exc.errno in (errno.ENOENT, errno.ENOTDIR)
        said = exc.strerror or str(exc)
        raise _Refusal(said, status=404 if absent else None, answer=said, final=True) from None
