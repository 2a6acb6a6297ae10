# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting files over HTTP: kept-alive connections, retries, proxies, private CAs and credentials from the environment.

Secrets never leave it: URLs in errors have neither user names and passwords nor query strings.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import hashlib
import os
import random
import re
import threading
import types
import typing as t
import urllib.parse

from .attempts import Refusal, by_fault, by_status
from .errors import AirgapError, CommandFailed, FetchFailed, ToolMissing
from .network import Authorize, Proxies, Refused, netrc, trusted_certificates
from .transfers import BULK, HAS_PYCURL, SMALL, URGENT, Answer, Closed, Exchange, Route, Transfers, tell
from .urls import bare_url, basic_header, is_url, origin_of, public_url, scheme_of, scrub, userinfo_header

#: Bytes that are written, hashed and reported at once; a smaller body is held whole until it's all there.
CHUNK = 256 << 10
REDIRECTS = 10
USER_AGENT = "airgap.golang"

_MOVED = frozenset((301, 302, 303, 307, 308))

_USUAL = (f"User-Agent: {USER_AGENT}", "Accept-Encoding: identity")

# All that may stand in a URL, and the mark of what is encoded already.
_IN_URLS = "%/:=&?~#+!$,;'@()*[]"
_ENCODED = re.compile(r"[-._A-Za-z0-9" + re.escape(_IN_URLS) + "]+")

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
    """What arrived: lower-case hex SHA-256, size in bytes.

    ``head`` is the beginning: all of it when that's ``CHUNK`` bytes at most, else 512 bytes.
    """

    sha256: str
    size: int
    head: bytes = dataclasses.field(default=b"", repr=False, compare=False)


#: What came of a download that was begun.
Outcome = t.Union[Downloaded, BaseException]


class _Sink(t.Protocol):
    """Where a body goes. ``begin`` before each attempt, ``end`` when all of it came."""

    def begin(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    def end(self, answer: Answer) -> t.Any: ...


class _Memory:
    """A body of ``limit`` bytes at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def begin(self) -> None:
        self._pieces.clear()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise Refusal(f"it is longer than {self._limit} bytes", final=True)
        self._pieces.append(data)

    def end(self, answer: Answer) -> bytes:  # pylint: disable=unused-argument
        return b"".join(self._pieces)


class _Nothing:
    """The answer to HEAD, of which the length counts."""

    def begin(self) -> None:
        """There is nothing to begin."""

    def write(self, data: bytes) -> None:
        """There is no body."""

    def end(self, answer: Answer) -> t.Optional[int]:
        length = answer.headers.get("content-length", "")
        return int(length) if length.isdigit() else None


class _File:
    """A body that goes to ``dest`` by way of ``dest.part``; hashed as it comes.

    What is small is written at once, when all of it is there.
    """

    def __init__(self, dest: str, on_bytes: t.Optional[t.Callable[[int], None]], check: t.Optional[t.Callable[[Downloaded], None]]) -> None:
        self._dest = dest
        self._part = dest + ".part"
        self._on_bytes = on_bytes
        self._check = check
        self._pieces: list[bytes] = []
        self._held = self._told = 0
        self._head = b""
        self._digest = hashlib.sha256()
        self._descriptor = -1

    def begin(self) -> None:
        self._close()
        self._pieces.clear()
        self._held = 0
        if self._told:
            self._tell(-self._told)
            self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= CHUNK:
            self._flush()

    def end(self, answer: Answer) -> Downloaded:  # pylint: disable=unused-argument
        self._flush()
        self._close()
        downloaded = Downloaded(self._digest.hexdigest(), self._told, self._head)
        if self._check is not None:
            self._check(downloaded)
        with self._explained():
            os.rename(self._part, self._dest)
        return downloaded

    def discard(self) -> None:
        """Leave nothing behind of what has failed. Nothing is raised: what has failed is to be told, not this."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            os.unlink(self._part)
        if self._told:
            with contextlib.suppress(Exception):
                self._tell(-self._told)

    def _flush(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        if not self._told:
            self._head = data if len(data) <= CHUNK else data[:512]
        elif len(self._head) > 512:
            self._head = self._head[:512]
        with self._explained():
            if self._descriptor < 0:
                self._descriptor = self._open()
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self._digest.update(data)
        if data:
            self._tell(len(data))

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            return os.open(self._part, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._part), exist_ok=True)
            return os.open(self._part, flags, 0o666)

    def _tell(self, count: int) -> None:
        self._told += count
        if self._on_bytes is not None:
            self._on_bytes(count)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    @contextlib.contextmanager
    def _explained(self) -> t.Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise AirgapError(
                f"{self._dest} can't be written: {exc.strerror}", code="write_failed", subject=self._dest, hint="make room, or check its permissions"
            ) from exc


class _Job:
    """One thing to get, over all its attempts and redirects. Everything but ``begin`` happens in the transfers' thread.

    Whatever happens, ``then`` is called: somebody may be waiting for it.
    """

    def __init__(
        self, fetcher: Fetcher, url: str, sink: _Sink, then: t.Callable[[t.Any], None], lane: int, head: bool, stop: t.Optional[threading.Event]
    ) -> None:
        self._fetcher = fetcher
        self._url = self._here = url
        self._sink = sink
        self._then = then
        self._lane = lane
        self._head = head
        self._stop = stop
        self._attempt = 1
        self._hops = 0
        self._credentials: t.Mapping[str, str] = {}
        self._sent: t.Optional[t.Mapping[str, str]] = None
        self._asked_anew = False
        self._fresh = False

    def begin(self, after: float = 0.0) -> None:
        """Make the next attempt, from the first URL on."""
        try:
            self._here, self._hops = self._url, 0
            self._sink.begin()
            if self._sent is None:
                # Asked once: who knows them may take its time, and a later attempt is the transfers' thread's.
                self._sent = self._fetcher.credentials(self._url)
            self._credentials = self._sent
            self._ask(after)
        except Exception as exc:  # pylint: disable=broad-except  # whoever waits must hear of it
            self._end(exc)

    def _ask(self, after: float = 0.0) -> None:
        route = self._fetcher.route(self._here)
        headers = (*_USUAL, *(f"{name}: {value}" for name, value in self._credentials.items()))
        url = bare_url(self._here)
        if not _ENCODED.fullmatch(url):
            # What no URL may hold is encoded, as browsers do.
            url = urllib.parse.quote(url, safe=_IN_URLS, errors="surrogateescape")
        exchange = Exchange(route, url, headers, self._sink.write, self._answered, self._lane, self._head, self._fresh, self._stop)
        self._fetcher.transfers.start(exchange, after)

    def _answered(self, answer: t.Union[Answer, BaseException]) -> None:
        try:
            if isinstance(answer, BaseException):
                raise answer
            if answer.fault is not None:
                # An HTTP/2 connection whose other end is gone looks alive.
                self._fresh = True
                raise by_fault(answer)
            if answer.status == 200:
                result = self._sink.end(answer)
            elif answer.status in _MOVED and answer.headers.get("location"):
                self._move(answer)
                return
            else:
                raise by_status(answer)
        except BaseException as exc:  # pylint: disable=broad-except  # whoever waits must hear of it
            self._end(exc)
            return
        tell(self._then, result)

    def _move(self, answer: Answer) -> None:
        """Go where a redirect leads, by our rules."""
        here = self._here
        there = answer.headers["location"]
        if there.startswith("//"):
            # With its scheme, it's seen by ``scrub``.
            there = f"{scheme_of(here)}:{there}"
        with contextlib.suppress(ValueError):
            there = urllib.parse.urljoin(bare_url(here), there)
        if not is_url(there):
            raise Refusal(
                f"it redirects to {re.split('[?#]', scrub(there))[0]}, which is no URL",
                status=answer.status,
                final=True,
                hint="tell those who run that server, or take another URL",
            )
        if scheme_of(there) not in ("http", "https") or (scheme_of(here), scheme_of(there)) == ("https", "http"):
            raise Refusal(f"it redirects from {scheme_of(here)} to {public_url(there)}", status=answer.status, final=True)
        self._hops += 1
        if self._hops > REDIRECTS:
            raise Refusal(f"more than {REDIRECTS} redirects, the last to {public_url(there)}", final=True)
        if userinfo_header(there):
            self._credentials = self._fetcher.credentials(there)
        elif origin_of(there) != origin_of(here):
            self._credentials = {}
        self._here = there
        self._ask()

    def _end(self, exc: BaseException) -> None:
        """Try again, or give up."""
        try:
            if isinstance(exc, Refusal) and not exc.final and self._attempt < self._fetcher.attempts:
                wait = self._fetcher.wait(self._attempt, exc)
                self._attempt += 1
                self.begin(wait)
                return
            if isinstance(exc, Refusal) and exc.head and not self._asked_anew and self._fetcher.may_ask_anew(self._url):
                self._asked_anew = True
                # Who knows the credentials may be a program that takes its time, and this thread serves all transfers.
                threading.Thread(target=self._authorize_anew, args=(exc,), name="credentials", daemon=True).start()
                return
        except Exception as other:  # pylint: disable=broad-except  # whoever waits must hear of it
            exc = other
        self._give_up(exc)

    def _authorize_anew(self, refusal: Refusal) -> None:
        """One more try, where a refusal brings other credentials to light."""
        try:
            anew = self._fetcher.credentials(self._url, Refused(refusal.status or 0, refusal.head, self._sent or {}))
        except CommandFailed as exc:
            refusal.hint = exc.sentence()
            self._give_up(refusal)
        except BaseException as exc:  # pylint: disable=broad-except  # whoever waits must hear of it
            self._give_up(exc)
        else:
            if anew == self._sent:
                self._give_up(refusal)
            else:
                self._sent = anew
                self.begin()

    def _give_up(self, exc: BaseException) -> None:
        if isinstance(self._sink, _File):
            self._sink.discard()
        tell(self._then, _explained(exc, self._url, self._attempt))


def _explained(exc: BaseException, url: str, attempts: int = 1) -> BaseException:
    """A refusal, as it's told to who asked."""
    if isinstance(exc, Closed):
        exc = Refusal("it was given up")
    if not isinstance(exc, Refusal):
        return exc
    tries = f" ({attempts} attempts)" if attempts > 1 else ""
    return NotFetched(
        f"{public_url(url)} can't be had: {exc.said}{tries}",
        status=exc.status,
        answer=exc.answer,
        attempts=attempts,
        subject=public_url(url),
        hint=exc.hint,
    )


class Fetcher:
    """Gets files by URL (https, http, file). A context manager; safe to use from many threads.

    Tries again after connection errors, time-outs, truncated bodies and the statuses 408, 425, 429, 500, 502, 503 and 504,
    with exponential backoff and full jitter, or when Retry-After says. Any other status is final.

    Credentials come from the URL, or for https from ``authorize``, and go to that origin only. As with the go command, they are never
    sent over plain http, and https never redirects to http.

    :param connections: to one server at most; what needs more waits.
    :param attempts: how often one thing is tried.
    :param connect_timeout: seconds.
    :param read_timeout: seconds without a single byte.
    :param base_wait: seconds; the upper bound of the first wait, doubled for each that follows.
    :param longest_wait: seconds; the bound of any wait, Retry-After's included.
    :param pause: is told the seconds that a wait is to last, and gives those that it will.
    :param authorize: gives headers for https URLs that have no credentials of their own; None for the netrc file ($NETRC, ~/.netrc).
    :raises ToolMissing: no pycurl.
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
        pause: t.Callable[[float], float] = lambda seconds: seconds,
        authorize: t.Optional[Authorize] = None,
    ) -> None:
        if not HAS_PYCURL:
            raise ToolMissing(
                "the Python library pycurl is not here",
                subject="pycurl",
                expected="7.45 or newer",
                hint="install it for the Python that runs this (pip install pycurl, or the system's package python3-pycurl)",
            )
        self.attempts = attempts
        self.transfers = Transfers(connections, connect_timeout, read_timeout)
        self._base_wait = base_wait
        self._longest_wait = longest_wait
        self._pause = pause
        self._authorize = authorize or self._by_netrc
        self._proxies = Proxies()
        self._lock = threading.Lock()
        self._routes: dict[tuple[str, str, int], Route] = {}
        self._trust: t.Optional[int] = None
        self._credentials: t.Optional[dict[str, tuple[str, str]]] = None
        self._readers: t.Optional[concurrent.futures.ThreadPoolExecutor] = None

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, kind: t.Optional[type[BaseException]], value: t.Optional[BaseException], trace: t.Optional[types.TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        """End what is under way, and close the kept-alive connections."""
        self.transfers.close()
        with self._lock:
            readers, self._readers = self._readers, None
            trust, self._trust = self._trust, None
        if readers is not None:
            readers.shutdown()
        if trust is not None:
            os.close(trust)

    def get(self, url: str, limit: int = 16 << 20, patient: bool = False) -> bytes:
        """The whole body, of ``limit`` bytes at most.

        :param patient: what was begun before may go first.
        :raises NotFetched: it could not be had, or is longer than that.
        """
        return t.cast(bytes, self._waited(url, _Memory(limit), SMALL if patient else URGENT))

    def size(self, url: str) -> t.Optional[int]:
        """How many bytes the body has, when the server says so (HEAD).

        :raises NotFetched: it could not be had.
        """
        return t.cast("t.Optional[int]", self._waited(url, _Nothing(), head=True))

    def download(
        self,
        url: str,
        dest: str,
        on_bytes: t.Optional[t.Callable[[int], None]] = None,
        check: t.Optional[t.Callable[[Downloaded], None]] = None,
        bulk: bool = False,
    ) -> Downloaded:
        """Stream the body to ``dest``, by way of ``dest.part``: under ``dest`` there is all of it or nothing new. Its directory is made when there is a body.

        The caller syncs (a batch at once), and lets no two threads load the same ``dest``.

        :param on_bytes: is told the bytes as they arrive; a negative number when an attempt broke off and they don't count.
        :param check: looks at what arrived before it gets its name; what it raises is raised, and nothing gets the name.
        :param bulk: it may be many megabytes.
        :raises NotFetched: it could not be had.
        :raises AirgapError: it could not be written.
        """
        return t.cast(Downloaded, self._waited(url, _File(dest, on_bytes, check), BULK if bulk else URGENT))

    def begin(
        self,
        url: str,
        dest: str,
        then: t.Callable[[Outcome], None],
        on_bytes: t.Optional[t.Callable[[int], None]] = None,
        check: t.Optional[t.Callable[[Downloaded], None]] = None,
        bulk: bool = False,
        stop: t.Optional[threading.Event] = None,
    ) -> None:
        """``download``, but nobody waits for it: thousands can be begun at once.

        :param then: gets what ``download`` would have returned or raised, and then what it raises itself. It, ``on_bytes`` and ``check`` are
            called by the thread that does all transfers, so they are quick, and wait for nothing. It can begin another.
        :param stop: once it's set, what hasn't begun isn't.
        """
        sink = _File(dest, on_bytes, check)
        if scheme_of(url) == "file":
            self._aside(self._read_then, url, sink, then, stop)
            return
        job = _Job(self, url, sink, then, BULK if bulk else SMALL, False, stop)
        if self.transfers.is_this_thread() and self.may_ask_anew(url):
            # Who authorizes may take its time, for the first URL above all.
            self._aside(job.begin)
        else:
            job.begin()

    def _aside(self, work: t.Callable[..., None], *arguments: t.Any) -> None:
        """Have it done by a thread that may wait."""
        with self._lock:
            if self._readers is None:
                self._readers = concurrent.futures.ThreadPoolExecutor(4, thread_name_prefix="read")
            self._readers.submit(work, *arguments)

    def _read_then(self, url: str, sink: _File, then: t.Callable[[Outcome], None], stop: t.Optional[threading.Event]) -> None:
        try:
            if stop is not None and stop.is_set():
                raise Refusal("it was given up")
            outcome: Outcome = _read(url, sink)
        except BaseException as exc:  # pylint: disable=broad-except  # whoever waits must hear of it
            sink.discard()
            outcome = _explained(exc, url)
        tell(then, outcome)

    def _waited(self, url: str, sink: _Sink, lane: int = URGENT, head: bool = False) -> t.Any:
        if scheme_of(url) == "file":
            try:
                return _read(url, sink)
            except BaseException as exc:
                if isinstance(sink, _File):
                    sink.discard()
                raise _explained(exc, url) from None
        future: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        _Job(self, url, sink, future.set_result, lane, head, None).begin()
        result = future.result()
        if isinstance(result, BaseException):
            raise result
        return result

    # -- what a job asks

    def wait(self, attempt: int, refusal: Refusal) -> float:
        """Seconds from this attempt to the next."""
        wait = random.uniform(0, self._base_wait * 2 ** (attempt - 1)) if refusal.wait is None else refusal.wait
        return self._pause(min(wait, self._longest_wait))

    def credentials(self, url: str, refused: t.Optional[Refused] = None) -> t.Mapping[str, str]:
        """The headers that carry a URL's credentials; none of them where there are none.

        :param refused: what a server said to those that were sent.
        :raises CommandFailed: who has to know them failed.
        """
        header = userinfo_header(url)
        if header:
            if scheme_of(url) != "https":
                raise Refusal("refusing to send credentials over plain http", final=True, hint="use https, or take the credentials out of the URL")
            return {"Authorization": header}
        return self._authorize(bare_url(url), refused) if scheme_of(url) == "https" else {}

    def may_ask_anew(self, url: str) -> bool:
        """Whether a refusal can bring other credentials to light."""
        return scheme_of(url) == "https" and not userinfo_header(url)

    def _by_netrc(self, url: str, refused: t.Optional[Refused] = None) -> t.Mapping[str, str]:
        with self._lock:
            if self._credentials is None:
                self._credentials = netrc()
            credentials = self._credentials
        pair = credentials.get(urllib.parse.urlsplit(url).hostname or "")
        return {"Authorization": basic_header(*pair)} if pair else {}

    def route(self, url: str) -> Route:
        """The connections for a URL: straight, or through its proxy."""
        origin = origin_of(url)
        with self._lock:
            route = self._routes.get(origin)
            if route is None:
                route = self._routes[origin] = self._find_route(url, origin)
            return route

    def _find_route(self, url: str, origin: tuple[str, str, int]) -> Route:
        if origin[0] not in ("http", "https"):
            raise Refusal(f"URLs of the scheme {origin[0]!r} can't be fetched", final=True, hint="use https, http or file")
        proxy = self._proxies.for_url(url)
        if proxy and (not is_url(proxy) or scheme_of(proxy) not in ("http", "https")):
            shown = public_url(proxy) if is_url(proxy) else "that the environment names"
            raise Refusal(f"the proxy {shown} is none that speaks HTTP", final=True, hint="set HTTPS_PROXY and HTTP_PROXY to an http:// or https:// URL")
        trust = ""
        if "https" in (origin[0], scheme_of(proxy)):
            if self._trust is None:
                content = trusted_certificates()
                # A file without a name: libcurl reads a file once for all connections, but what is in memory for each anew.
                self._trust = os.memfd_create("certificates", os.MFD_CLOEXEC)
                with open(self._trust, "wb", closefd=False) as stream:
                    stream.write(content)
            trust = f"/proc/self/fd/{self._trust}"
        parts = urllib.parse.urlsplit(proxy)
        pair = (urllib.parse.unquote(parts.username or ""), urllib.parse.unquote(parts.password or "")) if userinfo_header(proxy) else None
        return Route(origin, bare_url(proxy) if proxy else "", pair, trust)


def _read(url: str, sink: _Sink) -> t.Any:
    """A file:// URL's content, given to ``sink``."""
    with _open_file(url) as stream:
        if isinstance(sink, _Nothing):
            return os.fstat(stream.fileno()).st_size
        sink.begin()
        while True:
            chunk = stream.read(CHUNK)
            if not chunk:
                return sink.end(Answer(200))
            sink.write(chunk)


def _open_file(url: str) -> t.BinaryIO:
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise Refusal("a file:// URL has no host", final=True, hint="write file:/// and an absolute path")
    path = urllib.parse.unquote(parts.path, errors="surrogateescape")
    try:
        return open(path, "rb")
    except OSError as exc:
        absent = exc.errno in (errno.ENOENT, errno.ENOTDIR)
        said = exc.strerror or str(exc)
        raise Refusal(said, status=404 if absent else None, answer=said, final=True) from None
