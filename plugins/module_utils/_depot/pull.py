# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host fetches blobs itself from depots that are served over HTTP: ``<mirror>/blobs/sha256/<hex>``, the layout's own paths.

A mirror is trusted with nothing: what comes is proved by its digest. A blob that broke off goes on where it broke off, also
in a later run, also from another mirror. Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import queue
import random
import ssl
import threading
import time
import typing as t

from .._base.errors import FetchFailed, SpecInvalid
from .._base.files import CHUNK
from .._base.httpget import Access, GetFailed, Server, check_server
from .._base.urls import public_url
from . import manifest as oci

CONNECTIONS = 4
#: How often in a row something is tried at a mirror without getting further than ever.
ATTEMPTS = 4
#: Bytes that a generation's document has at most.
DOCUMENT = 256 << 20


class Mirrors:
    """Depots that are served over HTTP, in the order in which they are asked.

    :param urls: what ``blobs/sha256`` is below.
    :param sleep: waits for so many seconds before something is tried again.
    :raises SpecInvalid: there are none, or one of them can't be meant.
    """

    def __init__(self, urls: t.Sequence[str], access: Access, sleep: t.Callable[[float], t.Any] = time.sleep) -> None:
        if not urls:
            raise SpecInvalid("there is no mirror to pull from", subject="mirrors", hint="name one, or let transfer be push")
        for url in urls:
            check_server(url)
        self.urls = tuple(urls)
        self._access = access
        self._sleep = sleep
        # By mirror, why nothing more is asked of it.
        self._given_up: dict[str, str] = {}

    def shown(self) -> str:
        return ", ".join(map(public_url, self.urls))

    def documents(self, digest: str) -> tuple[str, str]:
        """The manifest with this digest and its config, as JSON text, proved.

        :raises FetchFailed: no mirror has them.
        """
        worker = _Worker(self, self._access.context())
        try:
            manifest = worker.document(digest)
            return manifest.decode(), worker.document(oci.parse(manifest, digest).config).decode()
        finally:
            worker.close()

    def pull(self, missing: t.Mapping[str, int], arriving: str) -> dict[str, str]:
        """Fetch blobs (digest → size) into the directory ``arriving``, each under its hex name, proved.

        :return: by digest, why it could not be had. What has come of it stays for the next run.
        """
        # Large ones first, so that none of them is what everybody waits for in the end.
        waiting: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        for entry in sorted(missing.items(), key=lambda entry: -entry[1]):
            waiting.put(entry)
        context = self._access.context()
        failed: dict[str, str] = {}
        broken: list[BaseException] = []

        def work() -> None:
            worker = _Worker(self, context)
            try:
                while not broken:
                    digest, size = waiting.get_nowait()
                    why = worker.blob(digest, size, os.path.join(arriving, digest[7:]))
                    if why:
                        failed[digest] = why
            except queue.Empty:
                pass
            except BaseException as exc:
                broken.append(exc)
            finally:
                worker.close()

        threads = [threading.Thread(target=work, daemon=True) for _number in range(min(CONNECTIONS, len(missing)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if broken:
            # A full disk, for instance.
            raise broken[0]
        return failed

    def refusal(self, failed: t.Mapping[str, str], what: str) -> FetchFailed:
        """What to say when these (digest → why) of ``what`` can't be had."""
        first, why = next(iter(failed.items()))
        return FetchFailed(
            f"{len(failed)} blobs of {what} can't be had from {self.shown()}: {first} ({why}) among them",
            subject=first,
            found=why,
            details=[{"subject": digest, "found": found} for digest, found in failed.items()],
            hint="let a mirror serve a depot that has this generation, or let transfer be auto or push; what has come stays",
        )

    def given_up(self, url: str) -> str:
        """Why nothing more is asked of a mirror; "" while something is."""
        return self._given_up.get(url, "")

    def give_up(self, url: str, why: str) -> None:
        self._given_up[url] = why

    def access(self) -> Access:
        return self._access

    def wait(self, attempt: int) -> None:
        """Before the attempt after ``attempt``: half a second, a second, two; never all hosts at once."""
        self._sleep(0.5 * 2**attempt * random.uniform(0.8, 1.2))


class _Worker:
    """One thread's connections."""

    def __init__(self, mirrors: Mirrors, context: ssl.SSLContext) -> None:
        self._mirrors = mirrors
        self._servers = [(url, Server(url, mirrors.access(), context)) for url in mirrors.urls]

    def close(self) -> None:
        for _url, server in self._servers:
            server.close()

    def document(self, digest: str) -> bytes:
        """A document's content.

        :raises FetchFailed: no mirror has it.
        """
        found = bytearray()

        def take(server: Server) -> bool:
            found.clear()
            for chunk in server.get(_path(digest)).chunks:
                found.extend(chunk)
                if len(found) > DOCUMENT:
                    raise GetFailed("it's too large for a document", final=True)
            if oci.digest_of(bytes(found)) != digest:
                raise GetFailed("what it serves isn't what its name says", final=True)
            return True

        why = self._from_any(take)
        if why:
            raise self._mirrors.refusal({digest: why}, "the generation's documents")
        return bytes(found)

    def blob(self, digest: str, size: int, path: str) -> str:
        """Fetch a blob to ``path``, from where it broke off; why it could not be had, "" when it was."""
        by_server: collections.defaultdict[Server, _Reached] = collections.defaultdict(_Reached)
        return self._from_any(lambda server: _continue(server, digest, size, path, by_server[server]))

    def _from_any(self, take: t.Callable[[Server], bool]) -> str:
        """Let ``take`` have it from the first mirror that gives it; each mirror's refusal, "" after a success.

        ``take`` raises GetFailed; it says False when it got further than ever without getting it whole, and is asked again at once then:
        it can't say so for ever.
        """
        said = []
        for url, server in self._servers:
            why = self._mirrors.given_up(url) or self._from(url, server, take)
            if not why:
                return ""
            said.append(f"{public_url(url)}: {why}")
        return "; ".join(said)

    def _from(self, url: str, server: Server, take: t.Callable[[Server], bool]) -> str:
        attempt = 0
        while True:
            try:
                if take(server):
                    return ""
                attempt = 0
            except GetFailed as exc:
                attempt += 1
                last = exc.final or attempt == ATTEMPTS
                if last and exc.server:
                    self._mirrors.give_up(url, str(exc))
                if last or self._mirrors.given_up(url):
                    return str(exc)
                self._mirrors.wait(attempt - 1)


def _path(digest: str) -> str:
    return f"blobs/sha256/{digest[7:]}"


@dataclasses.dataclass
class _Reached:
    """What came of one blob at one mirror. ``furthest``: its last byte so far. ``anew``: it was wrong once, and begun anew."""

    furthest: int = 0
    anew: bool = False


def _continue(server: Server, digest: str, size: int, path: str, reached: _Reached) -> bool:
    """Go on with a blob where it broke off; whether it's whole and proved now. False is said when more has come than ever, and once for a new beginning.

    :raises GetFailed: no more came than had come before, or something else than it shall be.
    """
    with open(path, "ab+") as stream:
        stream.seek(0)
        seen = hashlib.sha256()
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            seen.update(chunk)
        at = began = stream.tell()
        if at < size:
            body = server.get(_path(digest), at)
            if body.begins != at:
                stream.truncate(0)
                at, began, seen = 0, 0, hashlib.sha256()
            try:
                for chunk in body.chunks:
                    at += len(chunk)
                    if at > size:
                        break
                    seen.update(chunk)
                    stream.write(chunk)
            except GetFailed:
                # A mirror that knows no ranges brings the same bytes each time.
                if at <= max(began, reached.furthest):
                    raise
                reached.furthest = at
                return False
        if at == size and "sha256:" + seen.hexdigest() == digest:
            return True
        stream.truncate(0)
    if began and not reached.anew:
        # Perhaps it was the beginning, which another mirror or a power cut gave us.
        reached.furthest, reached.anew = 0, True
        return False
    raise GetFailed("what it serves isn't what its name says", final=True)
