# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials as GOAUTH says, for what our own fetcher asks of private module proxies.

``go help goauth`` and cmd/go/internal/auth define it. Where the go command itself asks version control, it follows GOAUTH on its own.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import re
import threading
import typing as t
import urllib.parse

from .._base import process
from .._base.errors import AirgapError, CommandFailed, SpecInvalid
from .._base.network import Refused, netrc
from .._base.urls import basic_header, is_url, public_url, scheme_of

HELP = "see go help goauth"

#: Seconds for one helper: it may ask a server for a token, and can't ask anybody at a terminal.
PATIENCE = 120.0

Headers = t.Mapping[str, str]

_ABSENT = (404, 410)
# RFC 9110, 5.6.2: the characters of a header's name.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WORD = re.compile(r"""[ \t\n\r]*(?:"([^"]*)"|'([^']*)'|([^ \t\n\r"'][^ \t\n\r]*))""")


@dataclasses.dataclass(frozen=True)
class Method:
    """One entry of GOAUTH: ``kind`` is netrc, git or command; ``words``: git's directory, or the command and its arguments."""

    kind: str
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How to show it: a command's arguments may hold a secret."""
        return f"GOAUTH={self.kind}" if self.kind != "command" else f"GOAUTH's command {self.words[0]}"


def split_words(command: str) -> tuple[str, ...]:
    """Words as Go splits them (cmd/internal/quoted): whole words may be in quotes of either kind, nothing is unescaped.

    :raises ValueError: a quoted word doesn't end.
    """
    words: list[str] = []
    rest = command.rstrip(" \t\n\r")
    while rest:
        word = _WORD.match(rest)
        if not word:
            raise ValueError("a quoted word doesn't end")
        words.append(next(text for text in word.groups() if text is not None))
        rest = rest[word.end() :]
    return tuple(words)


def parse_goauth(value: str) -> tuple[Method, ...]:
    """The entries of a GOAUTH value, the one that counts most first; none for ``off``.

    :raises SpecInvalid: it's nothing that Go takes.
    """
    methods: list[Method] = []
    entries = [entry.strip() for entry in (value or "netrc").split(";")]
    for entry in entries:
        words = entry.split()
        fault = ""
        if not words:
            fault = "one of its commands is empty"
        elif words[0] == "off":
            fault = "off can't be combined with anything else" if len(entries) > 1 else ""
        elif words[0] == "netrc":
            methods.append(Method("netrc"))
        elif words[0] == "git":
            if len(words) != 2 or not os.path.isdir(words[1]) or not os.path.isabs(words[1]):
                fault = "git needs one directory, by its absolute path"
            methods.append(Method("git", tuple(words[1:])))
        else:
            try:
                methods.append(Method("command", split_words(entry)))
            except ValueError as exc:
                fault = str(exc)
        if fault:
            raise SpecInvalid(f"GOAUTH can't be followed: {fault}", subject="GOAUTH", hint=HELP)
    return tuple(methods)


def parse_answer(text: str) -> list[tuple[str, dict[str, str]]]:
    """What a command printed: URL prefixes, each with its headers.

    :raises ValueError: it isn't what ``go help goauth`` describes. Nothing of the answer is in the error.
    """
    found: list[tuple[str, dict[str, str]]] = []
    lines = text.split("\n")
    ended = lines.pop() == ""

    def block(what: str) -> t.Iterator[str]:
        while lines:
            line = lines.pop(0)
            if not line:
                return
            yield line
        raise ValueError(f"there is no empty line after its {what}")

    while lines or not ended:
        urls = list(block("URLs"))
        for url in urls:
            if not is_url(url) or not (scheme_of(url) or url.startswith("/")):
                raise ValueError("a line that must be a URL is none")
        headers: dict[str, str] = {}
        for line in block("headers"):
            name, colon, value = line.partition(": ")
            value = value.strip()
            if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
                raise ValueError("a line that must be a header is none")
            name = "-".join(part.capitalize() for part in name.split("-"))
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        found += [(url, headers) for url in urls]
    return found


def _prefix(url: str) -> str:
    return url[len("https://") :].rstrip("/") if url.startswith("https://") else url.rstrip("/")


class GoAuth:
    """An ``Authorize`` for Fetcher. The credentials stay in memory; no error and no argument has them.

    Every command is run before the first request, and again with the URL when a server answers 4xx. Unlike the go command, it isn't
    run again for a file that isn't there (404, 410) when credentials were sent already, nor when another thread just did. What git's
    helpers gave and a server refused with 401 is rejected there; nothing is approved, since nobody was asked for it at a terminal.

    :param value: GOAUTH; empty for Go's default, ``netrc``.
    :raises SpecInvalid: it's nothing that Go takes.
    """

    def __init__(self, value: str) -> None:
        self._methods = parse_goauth(value)
        self._asks = any(method.kind != "netrc" for method in self._methods)
        self._lock = threading.Lock()
        self._begun = False
        self._known: dict[str, Headers] = {}
        # netrc's machines have no ports, and git and curl use them for every port of a host.
        self._machines: dict[str, Headers] = {}
        self._git: dict[str, tuple[Headers, bytes]] = {}

    def __call__(self, url: str, refused: t.Optional[Refused] = None) -> Headers:
        if not self._methods or scheme_of(url) != "https":
            return {}
        with self._lock:
            if not self._begun:
                self._run_all("", None)
                self._begun = True
            known = self._find(url)
            if refused is None or not self._asks or known != refused.sent or (refused.status in _ABSENT and known):
                return known
            faults = self._run_all(public_url(url), refused)
            known = self._find(url)
            if faults and refused.status not in _ABSENT and known == refused.sent:
                raise faults[0]
            return known

    def _find(self, url: str) -> Headers:
        """The headers of the longest prefix of a URL that is known."""
        prefix = _prefix(url)
        while True:
            if prefix in self._known:
                return self._known[prefix]
            shorter, slash, _last = prefix.rpartition("/")
            if not slash:
                return self._machines.get(urllib.parse.urlsplit(url).hostname or "", {})
            prefix = shorter

    def _run_all(self, url: str, refused: t.Optional[Refused]) -> list[CommandFailed]:
        """Ask every method, so that the first one's answer stays; the failures of those that failed."""
        faults: list[CommandFailed] = []
        for method in reversed(self._methods):
            try:
                if method.kind == "netrc":
                    self._machines = {machine: {"Authorization": basic_header(*pair)} for machine, pair in netrc().items()}
                    for machine, headers in self._machines.items():
                        self._keep(machine, headers)
                elif method.kind == "command":
                    for prefix, headers in self._ask_command(method, url, refused):
                        self._keep(prefix, headers)
                elif url:
                    self._ask_git(method, url, refused)
            except CommandFailed as exc:
                faults.append(exc)
            except AirgapError as exc:
                faults.append(CommandFailed(f"{method.name}: {exc.message}", subject="GOAUTH", hint=exc.hint))
            except OSError as exc:
                faults.append(_failed(method, f"it can't be run: {exc.strerror}"))
        return faults[::-1]

    def _keep(self, url: str, headers: Headers) -> None:
        if headers:
            self._known[_prefix(url)] = headers
        else:
            self._known.pop(_prefix(url), None)

    @staticmethod
    def _ask_command(method: Method, url: str, refused: t.Optional[Refused]) -> list[tuple[str, dict[str, str]]]:
        argv = [*method.words, url] if url else method.words
        answer = process.run(argv, stdin=refused.head.encode("utf-8", "surrogateescape") if refused else None, timeout=PATIENCE, check=False, what=method.name)
        if answer.status != 0:
            raise _failed(method, f"it ended with status {answer.status}")
        try:
            return parse_answer(answer.stdout)
        except ValueError as exc:
            raise _failed(method, f"its answer can't be read: {exc}") from None

    def _ask_git(self, method: Method, url: str, refused: t.Optional[Refused]) -> None:
        def credential(verb: str, stdin: bytes) -> process.Finished:
            environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
            return process.run(
                ["git", "credential", verb], env=environment, cwd=method.words[0], stdin=stdin, timeout=PATIENCE, check=False, what=f"git credential {verb}"
            )

        headers, given = self._git.get(method.words[0], ({}, b""))
        if refused is not None and refused.status == 401 and given and headers == refused.sent:
            credential("reject", given)
        answer = credential("fill", f"url={url}\n".encode())
        if answer.status != 0:
            raise _failed(method, f"git credential fill has none for {url}")
        fields = dict(line.partition("=")[::2] for line in answer.stdout.splitlines())
        prefix = f"{fields.get('protocol', '')}://{fields.get('host', '')}/{fields.get('path', '')}".rstrip("/")
        if not (url + "/").startswith(prefix + "/"):
            raise _failed(method, f"git credential fill answered for {public_url(prefix)}, not for {url}")
        headers = {"Authorization": basic_header(fields.get("username", ""), fields.get("password", ""))}
        self._git[method.words[0]] = (headers, answer.stdout.encode("utf-8", "replace"))
        self._keep(prefix, headers)


def _failed(method: Method, why: str) -> CommandFailed:
    hint = "git credential fill must work without questions" if method.kind == "git" else f"run it by hand with the URL as its last argument, and {HELP}"
    return CommandFailed(f"{method.name}: {why}", subject="GOAUTH", hint=hint)
