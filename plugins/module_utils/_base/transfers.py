# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many HTTP exchanges at once, by one thread: libcurl's multi interface, its sockets watched by epoll.

An exchange is one request and its one answer. What an answer means, and whether to ask again, is decided in fetch.py.

Small answers share one HTTP/2 connection where the server speaks it. Bulk goes over HTTP/1.1, a connection each: that costs the least
work for a byte, and a lost packet holds up one file.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import heapq
import itertools
import os
import select
import socket
import threading
import time
import typing as t

try:
    import pycurl

    HAS_PYCURL = True
except ImportError:
    HAS_PYCURL = False

T = t.TypeVar("T")

#: Exchanges over one HTTP/2 connection at once; servers allow 100 and more.
STREAMS = 96
#: The most of an answer's body that is kept when it isn't the thing that was asked for.
WORDS = 64 << 10

URGENT, SMALL, BULK = range(3)


@dataclasses.dataclass(frozen=True)
class Route:
    """Where exchanges go that can share connections: ``origin`` is scheme, host and port; ``proxy`` a URL without credentials, or empty.

    ``trust`` is the path of the certificates to verify by, ``proxy_pair`` the proxy's user name and password.
    """

    origin: tuple[str, str, int]
    proxy: str = ""
    proxy_pair: t.Optional[tuple[str, str]] = dataclasses.field(default=None, repr=False)
    trust: str = ""


@dataclasses.dataclass
class Answer:
    """What came of an exchange: ``status`` is 0 when no server answered, and ``fault`` is libcurl's number and words then.

    ``words`` is the beginning of a body with another status than 200; ``tunnel`` the status by which a proxy refused to connect.
    """

    status: int = 0
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    words: bytes = b""
    fault: t.Optional[tuple[int, str]] = None
    tunnel: int = 0


@dataclasses.dataclass
class Exchange:
    """One request. ``write`` gets the body of a 200 in pieces; what it raises ends the exchange, and is what ``then`` gets.

    What ``then`` raises it gets too: it's called a second time.

    :param lane: URGENT before SMALL before BULK.
    :param headers: whole lines.
    :param fresh: over a new connection, since the last one may be dead.
    :param stop: once it's set, this doesn't begin any more, and ``then`` gets ``Closed``.
    """

    route: Route
    url: str
    headers: tuple[str, ...]
    write: t.Callable[[bytes], None]
    then: t.Callable[[t.Union[Answer, BaseException]], None]
    lane: int = URGENT
    head: bool = False
    fresh: bool = False
    stop: t.Optional[threading.Event] = None


class Closed(Exception):
    """The transfers were closed before this exchange was done."""


def tell(then: t.Callable[[t.Union[T, BaseException]], None], outcome: t.Union[T, BaseException]) -> None:
    """Call ``then`` with what came of something; once more with what it raises itself, or whoever waits would wait for ever.

    No ``Exception`` is raised: others wait for the thread that calls this.
    """
    try:
        then(outcome)
    except BaseException as exc:  # pylint: disable=broad-except  # whoever waits must hear of it
        with contextlib.suppress(Exception):
            then(exc)
        if not isinstance(exc, Exception):
            raise


class _Slot:
    """A libcurl handle of one route, used for one exchange after the other."""

    def __init__(self, route: Route, connect_timeout: float, bulk: bool) -> None:
        self.bulk = bulk
        self.exchange: t.Optional[Exchange] = None
        self.raised: t.Optional[BaseException] = None
        self.status = 0
        self.received = 0
        self.words: list[bytes] = []
        self.lines: list[bytes] = []
        self.mark: tuple[float, ...] = ()
        self.since = 0.0
        self._headers: tuple[str, ...] = ()
        self._head = self._fresh = False
        self.curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int(connect_timeout * 1000)))
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.BUFFERSIZE, 128 << 10)
        if bulk or not pycurl.version_info()[4] & pycurl.VERSION_HTTP2:
            curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        else:
            curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
            # Only where a handshake tells what a connection speaks; elsewhere this would wait for a whole answer.
            curl.setopt(pycurl.PIPEWAIT, int(route.origin[0] == "https"))
        curl.setopt(pycurl.HEADEROPT, pycurl.HEADER_SEPARATE)
        # Always set, or libcurl reads the environment by rules of its own.
        curl.setopt(pycurl.PROXY, route.proxy)
        curl.setopt(pycurl.NOPROXY, "")
        if route.proxy_pair is not None:
            curl.setopt(pycurl.PROXYUSERNAME, route.proxy_pair[0].encode("utf-8", "surrogateescape"))
            curl.setopt(pycurl.PROXYPASSWORD, route.proxy_pair[1].encode("utf-8", "surrogateescape"))
        if route.trust:
            curl.setopt(pycurl.CAINFO, route.trust)
            curl.setopt(pycurl.PROXY_CAINFO, route.trust)
            # A directory that libcurl was built with would be trusted beside it.
            curl.unsetopt(pycurl.CAPATH)
        # A list's own method: most headers are never looked at.
        curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._write)

    def load(self, exchange: Exchange, now: float) -> None:
        self.exchange = exchange
        self._give = exchange.write
        self.raised = None
        self.status = self.received = 0
        self.words.clear()
        self.lines.clear()
        self.mark, self.since = (), now
        self.curl.setopt(pycurl.URL, exchange.url)
        if exchange.headers != self._headers:
            self.curl.setopt(pycurl.HTTPHEADER, list(exchange.headers))
            self._headers = exchange.headers
        if exchange.head != self._head:
            self.curl.setopt(pycurl.NOBODY if exchange.head else pycurl.HTTPGET, 1)
            self._head = exchange.head
        if exchange.fresh != self._fresh:
            self.curl.setopt(pycurl.FRESH_CONNECT, int(exchange.fresh))
            self._fresh = exchange.fresh

    def _write(self, data: bytes) -> t.Optional[int]:
        if not self.received:
            self.status = _status_of(self.lines)
        self.received += len(data)
        if self.status != 200:
            self.words.append(data)
            return None if self.received < WORDS else 0
        try:
            self._give(data)
        except BaseException as exc:  # pylint: disable=broad-except  # libcurl would print it and go on
            self.raised = exc
            return 0
        return None

    def answer(self, fault: t.Optional[tuple[int, str]]) -> t.Union[Answer, BaseException]:
        if self.raised is not None:
            return self.raised
        status = int(self.curl.getinfo(pycurl.RESPONSE_CODE))
        if status not in (0, 200) and self.received >= WORDS:
            fault = None
        if fault is None:
            # Of a 200 with a body nobody asks for headers, and there are thousands.
            headers = {} if status == 200 and not self._head else _headers_of(self.lines)
            return Answer(status, headers, b"".join(self.words))
        number = int(self.curl.getinfo(pycurl.OS_ERRNO))
        tunnel = int(self.curl.getinfo(pycurl.HTTP_CONNECTCODE))
        code, words = fault
        reason = os.strerror(number) if number and code == pycurl.E_COULDNT_CONNECT else ""
        return Answer(fault=(code, f"{words}: {reason}" if reason and reason not in words else words), tunnel=tunnel if tunnel >= 300 else 0)

    def is_silent(self, now: float, connect_timeout: float, read_timeout: float) -> bool:
        """Whether nothing came for that long, beginning when the request was sent."""
        sent = float(self.curl.getinfo(pycurl.PRETRANSFER_TIME))
        mark = (self.received, len(self.lines), sent)
        if mark != self.mark:
            self.mark, self.since = mark, now
        return now - self.since > (read_timeout if sent else connect_timeout + read_timeout)


def _status_of(lines: t.Sequence[bytes]) -> int:
    """The status of the last answer whose headers these are: those of a 1xx, or of a proxy that connects, come before it."""
    for line in reversed(lines):
        if line.startswith(b"HTTP/"):
            return int(line.split(None, 2)[1])
    return 0


def _headers_of(lines: t.Sequence[bytes]) -> dict[str, str]:
    """Its headers, names in lower case."""
    headers: dict[str, str] = {}
    for line in lines:
        if line.startswith(b"HTTP/"):
            headers.clear()
            continue
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(name.decode("latin-1").strip().lower(), value.decode("utf-8", "surrogateescape").strip())
    return headers


class _Lanes:
    """What waits and what runs on one route."""

    def __init__(self) -> None:
        self.waiting: tuple[collections.deque[Exchange], ...] = (collections.deque(), collections.deque(), collections.deque())
        self.running = [0, 0]
        self.idle: tuple[list[_Slot], list[_Slot]] = ([], [])
        self.multiplexed = False


class Transfers:
    """Exchanges in a thread of their own, which begins with the first and ends with ``close``.

    :param connections: to one server at most.
    :param connect_timeout: seconds.
    :param read_timeout: seconds without a single byte.
    """

    def __init__(self, connections: int, connect_timeout: float, read_timeout: float) -> None:
        self._connections = connections
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._tick = max(0.01, min(1.0, read_timeout / 4))
        self._lock = threading.Lock()
        self._thread: t.Optional[threading.Thread] = None
        self._closing = False
        self._inbox: collections.deque[tuple[Exchange, float]] = collections.deque()
        self._signalled = False
        self._routes: dict[Route, _Lanes] = {}
        self._active: dict[pycurl.Curl, _Slot] = {}
        self._timers: list[tuple[float, int, Exchange]] = []
        self._count = itertools.count()
        self._libcurl_wants: t.Optional[float] = None
        self._known: set[int] = set()

    def start(self, exchange: Exchange, after: float = 0.0) -> None:
        """Let an exchange happen, ``after`` seconds from now; its ``then`` is called by the transfers' thread, and mustn't wait for anything.

        :raises Closed: there are no transfers any more.
        """
        with self._lock:
            if self._closing:
                raise Closed
            if self._thread is None:
                self._ours, self._theirs = socket.socketpair()
                thread = threading.Thread(target=self._run, name="transfers", daemon=True)
                thread.start()
                self._thread = thread
            self._inbox.append((exchange, after))
        self._wake()

    def is_this_thread(self) -> bool:
        """Whether the caller is the transfers' thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """End everything; what hasn't been done gets ``Closed``."""
        with self._lock:
            self._closing = True
        if self._thread is not None:
            self._wake()
            self._thread.join()
            self._ours.close()
            self._theirs.close()

    def _wake(self) -> None:
        # Whoever finds it signalled already comes before the thread looks into the inbox.
        if not self._signalled and not self.is_this_thread():
            self._signalled = True
            # Closed in between: then the thread has handed out everything already.
            with contextlib.suppress(OSError):
                self._theirs.send(b"\0")

    # -- in the thread

    def _run(self) -> None:
        failed: BaseException = Closed()
        try:
            self._open()
            self._serve()
        except BaseException as exc:  # pylint: disable=broad-except  # whoever waits must hear of it
            failed = exc
        with self._lock:
            self._closing = True
        self._tell_all(failed)
        # It may have failed before it had opened anything.
        with contextlib.suppress(Exception):
            self._release()

    def _open(self) -> None:
        self._epoll = select.epoll()
        self._epoll.register(self._ours.fileno(), select.EPOLLIN)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, self._connections)
        self._multi.setopt(pycurl.M_MAXCONNECTS, 4 * self._connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def _serve(self) -> None:
        looked = time.monotonic()
        while not self._closing:
            now = time.monotonic()
            moments = [looked + self._tick] if self._active else []
            if self._libcurl_wants is not None:
                moments.append(self._libcurl_wants)
            if self._timers:
                moments.append(self._timers[0][0])
            # What was handed out last may have brought more to do.
            events = self._epoll.poll(0 if self._inbox else max(0.0, min(moments) - now) if moments else None)
            now = time.monotonic()
            if self._libcurl_wants is not None and now >= self._libcurl_wants:
                self._libcurl_wants = None
                self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            for descriptor, happened in events:
                if descriptor == self._ours.fileno():
                    self._ours.recv(4096)
                elif descriptor in self._known:
                    self._multi.socket_action(descriptor, _as_libcurl_says(happened))
            self._collect()
            if now - looked >= self._tick:
                looked = now
                self._end_silent(now)
            self._signalled = False
            while self._inbox:
                self._queue(*self._inbox.popleft())
            while self._timers and self._timers[0][0] <= now:
                self._queue(heapq.heappop(self._timers)[2], 0.0)
            self._admit()

    def _watch(self, what: int, descriptor: int, *_rest: object) -> None:
        if what == pycurl.POLL_REMOVE:
            if descriptor in self._known:
                self._known.remove(descriptor)
                self._epoll.unregister(descriptor)
            return
        mask = (select.EPOLLIN if what & pycurl.POLL_IN else 0) | (select.EPOLLOUT if what & pycurl.POLL_OUT else 0)
        if descriptor in self._known:
            self._epoll.modify(descriptor, mask)
        else:
            self._known.add(descriptor)
            self._epoll.register(descriptor, mask)

    def _set_timer(self, milliseconds: int) -> None:
        self._libcurl_wants = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def _queue(self, exchange: Exchange, after: float) -> None:
        if after > 0:
            heapq.heappush(self._timers, (time.monotonic() + after, next(self._count), exchange))
            return
        lanes = self._routes.get(exchange.route)
        if lanes is None:
            lanes = self._routes[exchange.route] = _Lanes()
        lanes.waiting[exchange.lane].append(exchange)

    def _admit(self) -> None:
        """Let run what may: over as many connections as there may be, some of them kept from bulk."""
        now = time.monotonic()
        for route, lanes in list(self._routes.items()):
            for lane, waiting in enumerate(lanes.waiting):
                bulk = lane == BULK
                while waiting and self._may_run(lanes, bulk):
                    exchange = waiting.popleft()
                    if exchange.stop is not None and exchange.stop.is_set():
                        tell(exchange.then, Closed())
                        continue
                    try:
                        slot = lanes.idle[bulk].pop() if lanes.idle[bulk] else _Slot(route, self._connect_timeout, bulk)
                        slot.load(exchange, now)
                        self._multi.add_handle(slot.curl)
                    except Exception as exc:  # pylint: disable=broad-except  # whoever waits must hear of it
                        tell(exchange.then, exc)
                        continue
                    self._active[slot.curl] = slot
                    lanes.running[bulk] += 1

    def _may_run(self, lanes: _Lanes, bulk: bool) -> bool:
        small, big = lanes.running
        if bulk and big >= max(1, self._connections - 2):
            return False
        if lanes.multiplexed:
            return bulk or small < STREAMS
        return small + big < self._connections

    def _collect(self) -> None:
        """Hand out the answers of what has ended."""
        more = len(self._active)
        while more:
            more, sound, broken = self._multi.info_read()
            for curl in sound:
                self._finish(self._active[curl], None)
            for curl, code, words in broken:
                self._finish(self._active[curl], (code, words))

    def _finish(self, slot: _Slot, fault: t.Optional[tuple[int, str]]) -> None:
        exchange = t.cast(Exchange, slot.exchange)
        answer = slot.answer(fault)
        lanes = self._routes[exchange.route]
        if fault is None and not slot.bulk and slot.curl.getinfo(pycurl.INFO_HTTP_VERSION) == pycurl.CURL_HTTP_VERSION_2_0:
            lanes.multiplexed = True
        self._multi.remove_handle(slot.curl)
        # Until here it's told by ``_tell_all``, should libcurl fail.
        del self._active[slot.curl]
        slot.exchange = slot.raised = None
        lanes.running[slot.bulk] -= 1
        lanes.idle[slot.bulk].append(slot)
        tell(exchange.then, answer)

    def _end_silent(self, now: float) -> None:
        for slot in list(self._active.values()):
            if slot.is_silent(now, self._connect_timeout, self._read_timeout):
                self._finish(slot, (pycurl.E_OPERATION_TIMEDOUT, f"timed out: nothing came for {self._read_timeout:g} seconds"))

    def _tell_all(self, why: BaseException) -> None:
        """Whoever waits hears of it before anything is cleared up, since that can fail too."""
        for slot in self._active.values():
            tell(t.cast(Exchange, slot.exchange).then, slot.raised or why)
        pending = [exchange for _moment, _number, exchange in self._timers] + [exchange for exchange, _after in self._inbox]
        for lanes in self._routes.values():
            for waiting in lanes.waiting:
                pending += waiting
        for exchange in pending:
            tell(exchange.then, why)

    def _release(self) -> None:
        for slot in self._active.values():
            self._multi.remove_handle(slot.curl)
            slot.curl.close()
        for lanes in self._routes.values():
            for slot in itertools.chain(*lanes.idle):
                slot.curl.close()
        self._multi.close()
        self._epoll.close()


def _as_libcurl_says(happened: int) -> int:
    return (
        (pycurl.CSELECT_IN if happened & (select.EPOLLIN | select.EPOLLHUP) else 0)
        | (pycurl.CSELECT_OUT if happened & select.EPOLLOUT else 0)
        | (pycurl.CSELECT_ERR if happened & (select.EPOLLERR | select.EPOLLHUP) else 0)
    )
