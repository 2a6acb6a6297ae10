# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The go command's settings: which names there are, which of them a file of settings can set, and what their values look like.

Names and their limits are those of Go 1.27: ``internal/cfg`` (KnownEnv), ``cmd/go/internal/envcmd`` (checkEnvWrite) and
``go help environment``. Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import difflib
import os
import re
import typing as t

from .._base.errors import SpecInvalid
from .._base.urls import scrub

#: What the go command reads from its files of settings.
NAMES = frozenset(
    [
        "AR", "CC", "CGO_CFLAGS", "CGO_CFLAGS_ALLOW", "CGO_CFLAGS_DISALLOW", "CGO_CPPFLAGS", "CGO_CPPFLAGS_ALLOW",
        "CGO_CPPFLAGS_DISALLOW", "CGO_CXXFLAGS", "CGO_CXXFLAGS_ALLOW", "CGO_CXXFLAGS_DISALLOW", "CGO_ENABLED", "CGO_FFLAGS",
        "CGO_FFLAGS_ALLOW", "CGO_FFLAGS_DISALLOW", "CGO_LDFLAGS", "CGO_LDFLAGS_ALLOW", "CGO_LDFLAGS_DISALLOW", "CXX", "FC", "GCCGO",
        "GO111MODULE", "GO386", "GOAMD64", "GOARCH", "GOARM", "GOARM64", "GOAUTH", "GOBIN", "GOCACHE", "GOCACHEPROG", "GOEXPERIMENT",
        "GOFIPS140", "GOFLAGS", "GOINSECURE", "GOMIPS", "GOMIPS64", "GOMODCACHE", "GONOPROXY", "GONOSUMDB", "GOOS", "GOPATH", "GOPPC64",
        "GOPRIVATE", "GOPROXY", "GORISCV64", "GOSUMDB", "GOTMPDIR", "GOTOOLCHAIN", "GOVCS", "GOWASM", "GOWORK", "GO_EXTLINK_ENABLED",
        "PKG_CONFIG",
    ]
)

#: It's no setting of the go command's, but a file of each user's (golang.org/x/telemetry, the mode file).
TELEMETRY = "GOTELEMETRY"

_READ_ONLY = "go env only reports it"
_ENVIRONMENT = "go takes it from the process environment alone"

#: Names that Go documents and that no file can set, with the reason.
NOT_BY_FILE: t.Mapping[str, str] = {
    **dict.fromkeys(("GOEXE", "GOGCCFLAGS", "GOHOSTARCH", "GOHOSTOS", "GOMOD", "GOTELEMETRYDIR", "GOTOOLDIR", "GOVERSION"), _READ_ONLY),
    **dict.fromkeys(("GOENV", "GOCOVERDIR", "GCCGOTOOLDIR", "GIT_ALLOW_PROTOCOL"), _ENVIRONMENT),
    "GODEBUG": _ENVIRONMENT + ", or from the godebug lines of go.mod",
    "GOROOT": "it would tie go to one release and break the switch to others",
}

_WORDS: t.Mapping[str, tuple[str, ...]] = {
    "GO111MODULE": ("on", "off", "auto"),
    "CGO_ENABLED": ("0", "1"),
    "GO_EXTLINK_ENABLED": ("0", "1"),
    TELEMETRY: ("off", "local", "on"),
}
_ABSOLUTE = ("GOPATH", "GOMODCACHE", "GOCACHE", "GOTMPDIR", "GOBIN")
_PATTERNS = ("GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE")
_RELEASE = r"(?:local|(?:[^\s+]+-)?go1[^\s+]*)"
_CREDENTIALS = re.compile(r"://([^/\s?#|,]+)@")
_KNOWN_ENV = re.compile(r"^const KnownEnv = `\n((?:\t[A-Z][A-Z0-9_]*\n)+)`$", re.MULTILINE)


def known_to(goroot: str) -> frozenset[str]:
    """The names that the go command of a GOROOT knows, by its own source; none where that can't be read.

    So that a newer Go than those named here can have its own settings.
    """
    try:
        with open(os.path.join(goroot, "src", "internal", "cfg", "cfg.go"), encoding="utf-8") as stream:
            found = _KNOWN_ENV.search(stream.read())
    except (OSError, ValueError):
        return frozenset()
    return frozenset(found.group(1).split()) if found else frozenset()


def credentials(text: str) -> list[str]:
    """User names and passwords in the URLs of settings, which no file can have: for keeping the refused out of logs."""
    return _CREDENTIALS.findall(text)


def require(settings: t.Mapping[str, str], known: t.Callable[[], frozenset[str]] = frozenset, telemetry: str = "") -> None:
    """All settings have names that a file can set, and values that the go command takes.

    :param known: what else a go command at hand knows (``known_to``); asked only for names that aren't known here.
    :param telemetry: why GOTELEMETRY can't be set where this is for; "" where it can.
    :raises SpecInvalid: some haven't; ``details`` has each of them.
    """
    wrong = []
    for name in sorted(settings):
        complaint = _wrong_name(name, known, telemetry)
        if complaint is None:
            expected = _wrong_value(name, settings[name])
            # What is wrong with a value may be that it has a secret in it.
            complaint = (f"{name} can't be {scrub(settings[name])!r}", expected) if expected else None
        if complaint is not None:
            wrong.append({"subject": name, "message": complaint[0], "hint": complaint[1]})
    if wrong:
        raise SpecInvalid(
            "; ".join(f"{entry['message']}: {entry['hint']}" for entry in wrong), subject=wrong[0]["subject"], code="setting_invalid", details=wrong
        )


def _wrong_name(name: str, known: t.Callable[[], frozenset[str]], telemetry: str) -> t.Optional[tuple[str, str]]:
    if name == TELEMETRY:
        return (f"{name} can't be set here", telemetry) if telemetry else None
    if name in NOT_BY_FILE:
        return f"{name} can't be set", NOT_BY_FILE[name]
    if name in NAMES or name in known():
        return None
    close = difflib.get_close_matches(name.upper(), sorted({*NAMES, TELEMETRY}), 1, 0.6)
    return f"go has no setting {name}", f"do you mean {close[0]}?" if close else "see `go help environment`"


def _wrong_value(name: str, value: str) -> str:
    """What a value has to be, where it isn't; empty where it's right. Every setting may be empty: then it's Go's own default."""
    if any(char in value for char in "\0\n\r\v") or not _is_text(value):
        return "one line of text"
    if _CREDENTIALS.search(value):
        return "without user name and password, since others read it too: give them in ~/.netrc or by GOAUTH (go help goauth)"
    if not value:
        return ""
    if name in _WORDS:
        return "" if value in _WORDS[name] else ", ".join(_WORDS[name]) + " (in quotes)"
    if name in _ABSOLUTE:
        return "" if all(map(os.path.isabs, value.split(os.pathsep if name == "GOPATH" else "\0"))) else "an absolute path"
    if name in _PATTERNS:
        return "comma-separated patterns of module paths, without spaces and without https://" if re.search(r"\s|://", value) else ""
    check = _CHECKS.get(name)
    return check(value) if check else ""


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _work(value: str) -> str:
    return "" if value in ("off", "auto") or os.path.isabs(value) else "off, auto, or the absolute path of a go.work"


def _toolchain(value: str) -> str:
    """By cmd/go/internal/toolchain."""
    right = re.fullmatch(rf"auto|path|{_RELEASE}(?:\+(?:auto|path))?", value)
    return "" if right else "auto, local, path, or a release such as go1.26.8 or go1.26.8+auto"


def _proxies(value: str) -> str:
    """By cmd/go/internal/modfetch: a single word is one of its own, a path has to be a URL, all else is taken for https."""
    for entry in filter(None, (entry.strip() for entry in re.split(r"[,|]", value))):
        plain = entry in ("off", "direct") or (re.search(r"[.:/]", entry) and not entry.startswith("/") and not re.search(r"\s", entry))
        if not plain or ("://" in entry and not re.match(r"(https?|file)://", entry)):
            return "URLs (https://, http:// or file://), off or direct, with ',' or '|' between them"
    return ""


def _database(value: str) -> str:
    """By cmd/go/internal/modfetch: a name that go knows the key of, or a key, and where it's reached."""
    fields = value.split()
    known = bool(fields) and fields[0] in ("sum.golang.org", "sum.golang.google.cn")
    right = value == "off" or (len(fields) in (1, 2) and (known or re.fullmatch(r"[^\s+]+\+[0-9a-fA-F]{8}\+[A-Za-z0-9+/=]+", fields[0])))
    return "" if right else "off, sum.golang.org, or a database's key (name+hash+key), and its URL behind that where it has another one"


def _vcs(value: str) -> str:
    entries = [entry.strip().partition(":") for entry in value.split(",")]
    right = all(pattern.strip() and all(name.strip() for name in names.split("|")) for pattern, _colon, names in entries)
    return "" if right else "pattern:vcs, as in github.com:git,*:off (go help vcs)"


def _flags(value: str) -> str:
    words = _quoted(value)
    right = words is not None and all(re.match(r"--?[^-=]", word) for word in words)
    return "" if right else "flags with their values behind '=', spaces between them, as in -mod=vendor -trimpath"


def _compiler(value: str) -> str:
    words = _quoted(value)
    right = words and (os.path.isabs(words[0]) or "/" not in words[0])
    return "" if right else "a program's name or absolute path, and its arguments"


def _quoted(value: str) -> t.Optional[list[str]]:
    """Words as cmd/internal/quoted splits them: a word that begins with a quote goes to the next one like it; None where that lacks."""
    words = []
    rest = value.strip()
    while rest:
        match = re.match(r"'([^']*)'|\"([^\"]*)\"|([^\s'\"]\S*)", rest)
        if match is None:
            return None
        words.append(next(group for group in match.groups() if group is not None))
        rest = rest[match.end() :].lstrip()
    return words


_CHECKS: t.Mapping[str, t.Callable[[str], str]] = {
    "GOWORK": _work,
    "GOTOOLCHAIN": _toolchain,
    "GOPROXY": _proxies,
    "GOSUMDB": _database,
    "GOVCS": _vcs,
    "GOFLAGS": _flags,
    "CC": _compiler,
    "CXX": _compiler,
}
