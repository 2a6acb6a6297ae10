# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Go gets modules from: the rules of GOPROXY, GONOPROXY and GOSUMDB, followed by our own fetcher.

The rules are those of ``go help goproxy``, ``go help module-private`` and https://go.dev/ref/mod#module-proxy.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import tempfile
import threading
import typing as t
import urllib.parse

from .._base.attempts import ANSWER
from .._base.errors import CommandFailed, FetchFailed, SpecInvalid, ToolMissing
from .._base.fetch import Downloaded, Fetcher, NotFetched, Outcome
from .._base.files import link_or_copy, sha256_of
from .._base.flight import Flights
from .._base.process import Finished, run
from .._base.urls import ENCODE, public_url, scrub, url_fault
from .advice import advice
from .command import whole_environment
from .escape import EXTENSIONS, check_module, escape_path, is_exact, proxy_path, unescape_version
from .gitconfig import without_passwords_in_arguments

ABSENT = (404, 410)

#: Seconds for asking git why.
PATIENCE = 60.0

_SUMDB = re.compile(r"(?P<name>[^/]+(?:/[^/]+)*?)/(?P<what>supported|latest|lookup/.+|tile/.+)")

# What the go command says when a module, version or repository isn't there, unlike a network or a password that fails.
_GONE = re.compile(
    r"unknown revision|no matching versions|not found|\b404\b|\b410 Gone|unrecognized import path|does not exist|does not appear to be a git repository"
    r"|invalid version|missing go\.mod|could not read Username|terminal prompts disabled"
)

# One character of a class in a pattern of Go's path.Match, and one piece of such a pattern.
_GLOB_CHAR = r"(?:\\.|[^\\\]-])"
_GLOB_PIECE = re.compile(rf"\*|\?|\[(?P<no>\^?)(?P<set>(?:{_GLOB_CHAR}(?:-{_GLOB_CHAR})?)+)\]|\\.|[^\\\[*?]", re.DOTALL)

T = t.TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One entry of GOPROXY: ``kind`` is url, direct or off; ``any_error``: the next entry is asked after any error (``|``)."""

    kind: str
    url: str = ""
    any_error: bool = False

    @property
    def name(self) -> str:
        """How to show it: never with credentials."""
        return public_url(self.url) if self.kind == "url" else self.kind


DIRECT = Entry("direct")


def parse_chain(value: str) -> list[Entry]:
    """Read a GOPROXY value. What follows ``direct`` or ``off`` is ignored, as Go ignores it.

    :raises SpecInvalid: an entry is no http, https or file URL, or there is none. It's named by its number, since it may hold a password.
    """
    chain: list[Entry] = []
    for text, separator in re.findall(r"([^,|]*)([,|]?)", value):
        text = text.strip()
        if not text:
            continue
        if text in ("direct", "off"):
            chain.append(Entry(text))
            break
        if re.search(r"[.:/]", text) and ":/" not in text and not text.startswith("/"):
            text = "https://" + text
        chain.append(Entry("url", _checked(text, len(chain) + 1).rstrip("/"), separator == "|"))
    if not chain:
        raise SpecInvalid("GOPROXY has no entries", subject="GOPROXY", expected="a list of URLs, direct or off", hint="see go help goproxy")
    return chain


def _checked(url: str, number: int) -> str:
    fault = url_fault(url)
    hint = ENCODE if fault else "see go help goproxy"
    if not fault:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https", "file"):
            fault = "it must be an https, http or file URL"
        elif parts.scheme == "file" and (parts.netloc or parts.query or parts.fragment):
            fault = "a file URL here has a path and nothing else"
    if fault:
        raise SpecInvalid(f"GOPROXY entry {number}: {fault}", subject="GOPROXY", expected="an https, http or file URL", hint=hint)
    return url


def _glob(pattern: str) -> t.Optional[t.Pattern[str]]:
    """A pattern of Go's path.Match as a regular expression; None when it's malformed."""
    expression = ""
    rest = pattern
    while rest:
        piece = _GLOB_PIECE.match(rest)
        if not piece:
            return None
        text = piece.group()
        if text in ("*", "?"):
            expression += "[^/]*" if text == "*" else "[^/]"
        elif piece.group("set"):
            ranges = re.findall(f"({_GLOB_CHAR})(?:-({_GLOB_CHAR}))?", piece.group("set"), re.DOTALL)
            inside = "".join("-".join(re.escape(char[-1]) for char in pair if char) for pair in ranges)
            expression += f"[{piece.group('no')}{inside}]"
        else:
            expression += re.escape(text[-1])
        rest = rest[piece.end() :]
    try:
        return re.compile(expression, re.DOTALL)
    except re.error:
        return None


def matches(patterns: str, module: str) -> bool:
    """Whether a module path falls under GOPRIVATE, GONOPROXY or GONOSUMDB: a comma-separated list of globs, each
    matched against as many leading path elements as it has itself (golang.org/x/mod/module.MatchPrefixPatterns).
    """
    elements = module.split("/")
    for pattern in patterns.split(","):
        if pattern.endswith("/"):
            pattern = pattern[:-1]
        count = pattern.count("/") + 1
        glob = _glob(pattern)
        if glob and glob.fullmatch("/".join(elements[:count])):
            return True
    return False


class Direct(t.Protocol):
    """What fetches from version control, as GOPROXY=direct does."""

    def file(self, module: str, version: str, ext: str) -> str:
        """The path of one file (info, mod or zip) of an exact version; FetchFailed when there is none."""

    def query(self, module: str, what: str) -> bytes:
        """What a proxy answers to ``@v/list``, ``@latest`` or ``@v/<query>.info``; FetchFailed when there is none."""


def _query_of(what: str) -> str:
    """The version or branch that ``@v/<query>.info`` asks for; ``latest`` for ``@latest``; empty for ``@v/list``.

    :raises SpecInvalid: a proxy is never asked that.
    """
    if what == "@v/list":
        return ""
    if what == "@latest":
        return "latest"
    match = re.fullmatch(r"@v/(.+)\.info", what)
    if not match:
        raise SpecInvalid(f"{what!r} is not something to ask a module proxy", subject=what, expected="@v/list, @latest or @v/<query>.info")
    return unescape_version(match.group(1))


def _info_fault(content: bytes, version: str = "") -> str:
    """Why this is no .info file (of that version); empty when it is."""
    try:
        info = json.loads(content)
        found = info["Version"]
    except (ValueError, KeyError, TypeError):
        return "not a version's .info, " + repr(content[:60].decode("utf-8", "replace"))
    return f"the .info of {found}" if version and found != version else ""


def _file_fault(head: bytes, ext: str, version: str) -> str:
    """Why a file that came with status 200 can't be meant: login pages and error pages do. Hashes are proved elsewhere.

    :param head: all of it when it's small, as each .info is; else its beginning.
    """
    if ext == "info":
        return _info_fault(head, version)
    if ext == "zip" and not head.startswith(b"PK"):
        return "not a zip, " + repr(head[:60].decode("utf-8", "replace"))
    if ext == "mod" and head.lstrip().startswith(b"<"):
        return "not a go.mod, " + repr(head[:60].decode("utf-8", "replace"))
    return ""


def _nonsense(label: str, fault: str) -> NotFetched:
    answer = f"the answer is {scrub(fault)}"
    return NotFetched(f"{label}: {answer}", subject=label, answer=answer[:ANSWER], hint="look at that URL in a browser: it may be a page to log in")


class Upstream:
    """Fetches as a GOPROXY chain says. Thread-safe; what is asked twice is fetched twice.

    :param chain: from parse_chain.
    :param noproxy_patterns: GONOPROXY (which is GOPRIVATE where it isn't set).
    :param direct: asked where Go would ask version control.
    :param sumdb_url: the checksum database's own URL, for when no proxy has it; None when there is none to ask.
    :param sumdb_explicit: GOSUMDB itself says that URL: then, as with Go, no proxy is asked for the database.
    :raises SpecInvalid: the database's URL can't be meant.
    """

    def __init__(
        self,
        chain: t.Sequence[Entry],
        noproxy_patterns: str,
        fetcher: Fetcher,
        direct: Direct,
        sumdb_url: t.Optional[str] = None,
        sumdb_explicit: bool = False,
    ) -> None:
        fault = url_fault(sumdb_url or "")
        if fault:
            raise SpecInvalid(f"the URL in GOSUMDB can't be meant: {fault}", subject="GOSUMDB", hint=ENCODE)
        self._chain = tuple(chain)
        self._noproxy = noproxy_patterns
        self._fetcher = fetcher
        self._direct = direct
        self._sumdb_url = sumdb_url
        self._sumdb_explicit = sumdb_explicit
        self._sumdb_bases: Flights[str, str] = Flights()

    def fetch(self, module: str, version: str, ext: str, dest: str, on_bytes: t.Optional[t.Callable[[int], None]] = None) -> Downloaded:
        """Get one file of an exact version to ``dest``, which appears whole or not at all.

        :param ext: info, mod or zip.
        :param on_bytes: as for ``Fetcher.download``; hears nothing of what version control gives.
        :raises FetchFailed: nothing had it; ``details`` says what each entry answered.
        :raises SpecInvalid: Go would not take that path or version.
        """
        path = proxy_path(module, version, ext)

        def from_url(base: str) -> Downloaded:
            url = under(base, path)
            return self._fetcher.download(url, dest, on_bytes, _no_nonsense(url, ext, version), ext == "zip")

        return self._walk(module, _label(module, version, ext), from_url, lambda: self._from_direct(module, version, ext, dest))

    def begin(
        self,
        module: str,
        version: str,
        ext: str,
        dest: str,
        then: t.Callable[[Outcome], None],
        on_bytes: t.Callable[[int], None],
        stop: threading.Event,
        pool: concurrent.futures.Executor,
    ) -> None:
        """``fetch``, but nobody waits for it, as ``Fetcher.begin``.

        :param pool: threads for what takes its time, which is version control.
        :raises SpecInvalid: Go would not take that path or version.
        """
        path = proxy_path(module, version, ext)
        entries = self._entries(module)
        said: list[tuple[Entry, FetchFailed]] = []

        def ask() -> None:
            entry = entries[len(said)]
            if entry.kind == "url":
                url = under(entry.url, path)
                self._fetcher.begin(url, dest, answered, on_bytes, _no_nonsense(url, ext, version), ext == "zip", stop)
            elif entry.kind == "off":
                answered(_off())
            else:
                pool.submit(ask_direct)

        def ask_direct() -> None:
            try:
                outcome: Outcome = self._from_direct(module, version, ext, dest)
            except BaseException as exc:  # pylint: disable=broad-except  # whoever waits must hear of it
                outcome = exc
            answered(outcome)

        def answered(outcome: Outcome) -> None:
            if isinstance(outcome, FetchFailed):
                said.append((entries[len(said)], outcome))
                if _goes_on(*said[-1]) and len(said) < len(entries) and not stop.is_set():
                    ask()
                    return
                outcome = _none_had(_label(module, version, ext), said)
            then(outcome)

        ask()

    def _from_direct(self, module: str, version: str, ext: str, dest: str) -> Downloaded:
        source = self._direct.file(module, version, ext)
        beside = dest + ".new"
        os.makedirs(os.path.dirname(dest), exist_ok=True)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            link_or_copy(source, beside)
            downloaded = Downloaded(*sha256_of(beside))
            os.rename(beside, dest)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
        return downloaded

    def query(self, module: str, what: str) -> bytes:
        """The answer to ``@v/list``, ``@latest`` or ``@v/<branch or query>.info`` (as they stand in URLs: escaped).

        :raises FetchFailed: nothing had it; ``details`` says what each entry answered.
        :raises SpecInvalid: Go would not ask that.
        """
        query = _query_of(what)
        path = f"{escape_path(module)}/{what}"

        def from_url(base: str) -> bytes:
            content = self._fetcher.get(under(base, path))
            fault = _info_fault(content) if query else ("not a list of versions" if content.lstrip().startswith(b"<") else "")
            if fault:
                raise _nonsense(public_url(under(base, path)), fault)
            return content

        return self._walk(module, f"{module}@{query}" if query else f"the versions of {module}", from_url, lambda: self._direct.query(module, what))

    def sumdb(self, path: str, patient: bool = False) -> bytes:
        """The checksum database's answer to ``<name>/supported``, ``<name>/latest``, ``<name>/lookup/M@V`` or
        ``<name>/tile/…``: from the first proxy that serves it, else from the database itself.
        From nowhere but the database's own URL, where GOSUMDB says that.

        :param patient: as for ``Fetcher.get``.
        :raises FetchFailed: it could not be had.
        :raises SpecInvalid: the database is never asked that.
        """
        match = _SUMDB.fullmatch(path)
        if not match or any(element in ("", ".", "..") for element in path.split("/")):
            raise SpecInvalid(f"{path!r} is not something to ask a checksum database", subject=path)
        name, what = match.group("name"), match.group("what")
        base = self._sumdb_bases.once(name, lambda: self._find_sumdb(name))
        return b"" if what == "supported" else self._fetcher.get(under(base, what), patient=patient)

    def _find_sumdb(self, name: str) -> str:
        """Where the database's files are: below a proxy's URL or at its own.

        A proxy that fails otherwise than by 404 makes it unavailable, as for Go: to go around it could break a site's rules.
        """
        said: list[tuple[Entry, FetchFailed]] = []
        for entry in () if self._sumdb_explicit else self._chain:
            if entry.kind != "url":
                break
            base = under(entry.url, f"sumdb/{name}")
            try:
                self._fetcher.get(under(base, "supported"))
                return base
            except NotFetched as exc:
                said.append((entry, exc))
                if not entry.any_error and exc.status not in ABSENT:
                    raise _none_had(f"checksum database {name}", said) from exc
        if self._sumdb_url:
            return self._sumdb_url.rstrip("/")
        said.append((DIRECT, NotFetched("its own URL is not known", status=404, answer="its own URL is not known")))
        raise _none_had(f"checksum database {name}", said)

    def _entries(self, module: str) -> tuple[Entry, ...]:
        return (DIRECT,) if matches(self._noproxy, module) else self._chain

    def _walk(self, module: str, label: str, from_url: t.Callable[[str], T], from_direct: t.Callable[[], T]) -> T:
        said: list[tuple[Entry, FetchFailed]] = []
        for entry in self._entries(module):
            try:
                if entry.kind == "off":
                    raise _off()
                return from_direct() if entry.kind == "direct" else from_url(entry.url)
            except FetchFailed as exc:
                said.append((entry, exc))
                if not _goes_on(entry, exc):
                    break
        raise _none_had(label, said) from said[-1][1]


def _goes_on(entry: Entry, failure: FetchFailed) -> bool:
    """Whether Go would ask the next entry after this one failed."""
    return entry.any_error or getattr(failure, "status", None) in ABSENT


def _off() -> NotFetched:
    return NotFetched("GOPROXY says off: no further place is asked", status=404, answer="off: no further place is asked")


def _label(module: str, version: str, ext: str) -> str:
    return f"{module}@{version} (.{ext})"


def _no_nonsense(url: str, ext: str, version: str) -> t.Callable[[Downloaded], None]:
    """Refuses what came from ``url`` and can't be meant."""

    def check(downloaded: Downloaded) -> None:
        fault = _file_fault(downloaded.head, ext, version)
        if fault:
            raise _nonsense(public_url(url), fault)

    return check


def under(base: str, path: str) -> str:
    """A URL's path made longer, whatever follows it. What Go escapes, stays; what no URL may hold, is encoded."""
    parts = urllib.parse.urlsplit(base)
    joined = parts.path.rstrip("/") + "/" + urllib.parse.quote(path, safe="/@!+~=$&:,")
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, joined, parts.query, ""))


def _none_had(label: str, said: t.Sequence[tuple[Entry, FetchFailed]]) -> NotFetched:
    """One error for the whole chain. Its status is the first that isn't "not here", because that one may be mendable."""
    details = []
    words = []
    statuses = []
    for entry, exc in said:
        status = getattr(exc, "status", None)
        answer = getattr(exc, "answer", "") or exc.message
        statuses.append(status)
        served = status is not None and entry.kind == "url" and not entry.url.startswith("file:")
        # Here and not as the error's own hint: it may be one of many that are told in one sentence.
        hint = f" ({exc.hint})" if exc.hint else ""
        words.append((f"{entry.name} said {status} {answer}".rstrip() if served else f"{entry.name}: {answer}") + hint)
        details.append({"entry": entry.name, "status": status, "answer": answer, "subject": label})
    telling = next((index for index, status in enumerate(statuses) if status not in ABSENT), 0)
    return NotFetched(
        f"{label} can't be had: {'; '.join(words)}",
        status=statuses[telling],
        answer=str(details[telling]["answer"]),
        attempts=max(getattr(exc, "attempts", 1) for _entry, exc in said),
        subject=label,
        details=details,
    )


class DirectGo:
    """Version control, by way of the go command with GOPROXY=direct. Thread-safe; each thing is asked once, one at a time per module.

    :param go_binary: the go command.
    :param env: the part of its environment that is chosen; of ours, it gets what isn't Go's on top. GOSUMDB, GONOSUMDB and GOPRIVATE in it
        count, since go proves what it downloads, and GOAUTH.
    :param cache_dir: GOMODCACHE for it, which it fills; files live there as long as it does.
    :param timeout: seconds for one module.
    """

    def __init__(self, go_binary: str, env: t.Mapping[str, str], cache_dir: str, timeout: float = 1800) -> None:
        self._go = go_binary
        self._env = {
            **whole_environment(),
            **env,
            "GOPROXY": "direct",
            "GOMODCACHE": os.path.abspath(cache_dir),
            "GOFLAGS": "-modcacherw",
            "GO111MODULE": "on",
            "GOWORK": "off",
        }
        self._timeout = timeout
        self._git: Flights[str, dict[str, str]] = Flights()
        self._versions: Flights[tuple[str, str], t.Mapping[str, t.Any]] = Flights()
        self._listed: Flights[tuple[str, str], t.Mapping[str, t.Any]] = Flights()
        self._lock = threading.Lock()
        self._modules: dict[str, threading.Lock] = {}

    def file(self, module: str, version: str, ext: str) -> str:
        """The path, in the module cache, of one file of an exact version.

        :raises NotFetched: version control could not give it; status 404 when it isn't there at all.
        :raises SpecInvalid: no path or version that Go takes.
        """
        check_module(module)
        if not is_exact(version) or ext not in EXTENSIONS:
            raise SpecInvalid(f"{module}@{version} (.{ext}) is not a file of an exact version", subject=f"{module}@{version}")
        answer = self._versions.once((module, version), lambda: self._ask(module, version, ["mod", "download", "-json", f"{module}@{version}"]))
        return str(answer[{"info": "Info", "mod": "GoMod", "zip": "Zip"}[ext]])

    def query(self, module: str, what: str) -> bytes:
        """What a proxy would answer to ``@v/list``, ``@latest`` or ``@v/<query>.info``.

        Retracted versions are in it, as with a proxy: it's the client that leaves them out.

        :raises NotFetched: version control could not give it; status 404 when it isn't there at all.
        """
        check_module(module)
        query = _query_of(what)
        version = query or "latest"
        options = ["list", "-m", "-json", "-retracted"] + ([] if query else ["-versions"])
        answer = self._listed.once((module, what), lambda: self._ask(module, version, [*options, f"{module}@{version}"]))
        if not query:
            return "".join(f"{one}\n" for one in answer.get("Versions") or ()).encode()
        return json.dumps({key: answer[key] for key in ("Version", "Time", "Origin") if key in answer}).encode()

    def _ask(self, module: str, version: str, argv: t.Sequence[str]) -> t.Mapping[str, t.Any]:
        with self._lock:
            one_at_a_time = self._modules.setdefault(module, threading.Lock())
        # A directory of its own: a go.mod above the current one would take part.
        with one_at_a_time, tempfile.TemporaryDirectory() as nowhere:
            try:
                env = self._git.once("", lambda: without_passwords_in_arguments(self._env))
                finished = run([self._go, *argv], env=env, cwd=nowhere, timeout=self._timeout, check=False, what=f"go {argv[0]}")
            except (CommandFailed, ToolMissing) as exc:
                raise NotFetched(f"{module}@{version}: {exc.message}", answer=exc.message, subject=f"{module}@{version}", hint=exc.hint) from exc
        answer, error = _read_answer(finished)
        if "no secure protocol found" in error:
            error += self._said_by_git(module, env)
        if error:
            raise NotFetched(
                f"{module}@{version} can't be had from version control: {error}",
                status=404 if _GONE.search(error) else None,
                answer=error[:ANSWER],
                subject=f"{module}@{version}",
                hint=advice(error) or ("" if _GONE.search(error) else "check the network and git's credentials: git ls-remote must work without questions"),
            )
        return answer

    def _said_by_git(self, module: str, env: t.Mapping[str, str]) -> str:
        """For a path with .git in it, go tries one protocol after another and keeps to itself why none worked."""
        repository = re.match(r"(.+?)\.git(?:/|$)", module)
        if not repository:
            return ""
        env = {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes", **env, "GIT_TERMINAL_PROMPT": "0"}
        try:
            asked = run(["git", "ls-remote", "-q", "--", f"https://{repository[1]}"], env=env, cwd="/", timeout=PATIENCE, check=False)
        except (CommandFailed, ToolMissing) as exc:
            return f": {exc.message}"
        return f": {scrub(asked.stderr)}" if asked.status else ""


def _read_answer(finished: Finished) -> tuple[dict[str, t.Any], str]:
    """What ``go mod download -json`` or ``go list -m -json`` said of one module, and its error on one line."""
    try:
        answer = json.loads(finished.stdout)
    except ValueError:
        answer = {}
    error = answer.get("Error", "")
    if isinstance(error, dict):
        error = error.get("Err", "")
    if not error and (finished.status != 0 or not answer):
        error = finished.stderr or f"go ended with status {finished.status}"
    return answer, scrub(str(error))
