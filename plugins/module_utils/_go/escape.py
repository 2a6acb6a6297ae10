# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How module paths and versions are written in proxy URLs and in GOMODCACHE, and which of them are valid.

The rules are those of golang.org/x/mod/module (CheckPath, EscapePath, EscapeVersion, CanonicalVersion) and
golang.org/x/mod/semver. What passes here can be joined to a directory: no empty, dot or dot-dot elements.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import functools
import re
import typing as t

from .._base.errors import SpecInvalid

_MODULE = re.compile(r"[-._~0-9A-Za-z]+")
_IMPORT = re.compile(r"[-._~+0-9A-Za-z]+")
# Go allows any Unicode letter in a version first and then fails to escape it; so ASCII is what remains.
_VERSION = re.compile(r"[-#$%&()+,.=@\[\]^_{}~ 0-9A-Za-z]+")
_FIRST = re.compile(r"[-.0-9a-z]+")
_WINDOWS = frozenset(["con", "prn", "aux", "nul"] + [f"{name}{digit}" for name in ("com", "lpt") for digit in range(1, 10)])
_SHORT_NAME = re.compile(r".*~[0-9]+", re.DOTALL)
_MAJOR = re.compile(r"(?P<prefix>.+)(?P<major>/v[0-9.]+)", re.DOTALL)
_GOPKG = re.compile(r"gopkg\.in/.*[^/]*?(?P<major>\.v(?:0|[1-9][0-9]*)(?:-unstable)?)", re.DOTALL)

_NUMBER = r"(?:0|[1-9][0-9]*)"
_LABEL = rf"(?:{_NUMBER}|[0-9]*[-A-Za-z][-0-9A-Za-z]*)"
_EXACT = re.compile(rf"v(?P<major>{_NUMBER})\.{_NUMBER}\.{_NUMBER}(?:-{_LABEL}(?:\.{_LABEL})*)?(?P<build>\+incompatible)?")

EXTENSIONS = ("info", "mod", "zip")


def _element_fault(element: str, allowed: t.Pattern[str], *, leading_dot: bool, short_names: bool) -> str:
    """What is wrong with one path element; empty when nothing is."""
    if not element:
        return "empty path element"
    if not element.strip("."):
        return f"path element {element!r}"
    if element.startswith(".") and not leading_dot:
        return f"leading dot in {element!r}"
    if element.endswith("."):
        return f"trailing dot in {element!r}"
    if not allowed.fullmatch(element):
        return f"invalid character in {element!r}"
    short = element.split(".", 1)[0]
    if short.lower() in _WINDOWS:
        return f"{short!r} is a reserved file name on Windows"
    if not short_names and _SHORT_NAME.fullmatch(short):
        return f"trailing tilde and digits in {element!r}"
    return ""


def _path_fault(path: str, allowed: t.Pattern[str], *, leading_dot: bool) -> str:
    if not path:
        return "empty"
    if path.startswith("-"):
        return "leading dash"
    for element in path.split("/"):
        fault = _element_fault(element, allowed, leading_dot=leading_dot, short_names=False)
        if fault:
            return fault
    return ""


def _module_fault(module: str) -> str:
    fault = _path_fault(module, _MODULE, leading_dot=False)
    if fault:
        return fault
    first = module.split("/", 1)[0]
    if "." not in first:
        return f"no dot in the first path element {first!r}"
    if not _FIRST.fullmatch(first):
        return f"invalid character in the first path element {first!r}"
    if _path_major(module) is None:
        return "invalid major version at the end"
    return ""


def _path_major(module: str) -> t.Optional[str]:
    """The path's major version as it's written, ``/v2`` or ``.v2``; empty for none; None when it's not a valid one."""
    if module.startswith("gopkg.in/"):
        match = _GOPKG.fullmatch(module)
        return match.group("major") if match else None
    match = _MAJOR.fullmatch(module)
    if not match:
        return ""
    major = match.group("major")
    return None if "." in major or major[2] == "0" or major == "/v1" else major


def check_module(module: str) -> str:
    """The module path itself, when it's one that Go takes.

    :raises SpecInvalid: it isn't (golang.org/x/mod/module.CheckPath).
    """
    fault = _module_fault(module)
    if fault:
        raise SpecInvalid(f"{module!r} is not a module path: {fault}", subject=module, found=fault)
    return module


def _check_version(version: str) -> str:
    fault = _element_fault(version, _VERSION, leading_dot=True, short_names=True)
    if fault:
        raise SpecInvalid(f"{version!r} is not a version that Go takes: {fault}", subject=version, found=fault)
    return version


def _escape(text: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "!" + match.group().lower(), text)


def _unescape(text: str) -> str:
    if not re.fullmatch(r"(?:[^!A-Z]|![a-z])*", text, re.DOTALL):
        raise SpecInvalid(
            f"{text!r} is not an escaped path or version", subject=text, found=text, hint="upper-case letters are written as ! and the lower-case letter"
        )
    return re.sub(r"!([a-z])", lambda match: match.group(1).upper(), text)


@functools.lru_cache(maxsize=4096)
def escape_path(module: str) -> str:
    """``github.com/BurntSushi/toml`` as ``github.com/!burnt!sushi/toml``.

    :raises SpecInvalid: not a module path.
    """
    return _escape(check_module(module))


def unescape_path(escaped: str) -> str:
    """The other way round.

    :raises SpecInvalid: not an escaped module path.
    """
    return check_module(_unescape(escaped))


@functools.lru_cache(maxsize=4096)
def escape_version(version: str) -> str:
    """A version (or a query that can be a file name, such as a branch without slashes) as it's written in URLs.

    :raises SpecInvalid: it can't be one element of a path.
    """
    return _escape(_check_version(version))


def unescape_version(escaped: str) -> str:
    """The other way round.

    :raises SpecInvalid: not an escaped version.
    """
    return _check_version(_unescape(escaped))


def proxy_path(module: str, version: str, ext: str) -> str:
    """Where a GOPROXY has one file of a version: ``github.com/!burnt!sushi/toml/@v/v1.2.3.zip``.

    :param ext: ``info``, ``mod`` or ``zip``.
    :raises SpecInvalid: a path or version that Go would not take.
    """
    if ext not in EXTENSIONS:
        raise SpecInvalid(f"a module version has no {ext!r} file", subject=f"{module}@{version}", expected=", ".join(EXTENSIONS), found=ext)
    return f"{escape_path(module)}/@v/{escape_version(version)}.{ext}"


def is_exact(version: str) -> bool:
    """Whether this names one version for good: canonical semver, pseudo-versions and +incompatible included, not a query."""
    return _EXACT.fullmatch(version) is not None


def matches_major(module: str, version: str) -> bool:
    """Whether an exact version can be one of this module path's (golang.org/x/mod/module.MatchPathMajor).

    ``v2.0.0`` of a path without ``/v2`` can't: a proxy answers it with ``v2.0.0+incompatible``.
    """
    match = _EXACT.fullmatch(version)
    path_major = _path_major(module)
    if not match or path_major is None:
        return False
    if path_major.endswith("-unstable"):
        path_major = path_major[: -len("-unstable")]
    if not path_major:
        return match.group("major") in ("0", "1") or bool(match.group("build"))
    if path_major == ".v1" and version.startswith("v0.0.0-"):
        return True
    return "v" + match.group("major") == path_major[1:]


def parse_at(text: str) -> tuple[str, str]:
    """Split ``path@version`` as it's written for go get: a module's or package's path, and a version or query.

    :raises SpecInvalid: one of the two is missing or can't be meant.
    """
    path, at, version = text.partition("@")
    fault = ""
    if not at or not version:
        fault = "no version"
    elif re.search(r"[\s@\x00-\x1f\x7f]", version) or version.startswith("-"):
        fault = f"version {version!r}"
    else:
        fault = _path_fault(path, _IMPORT, leading_dot=True)
        if not fault and "." not in path.split("/", 1)[0]:
            fault = "no dot in the first path element"
    if fault:
        raise SpecInvalid(f"{text!r} is not path@version: {fault}", subject=text, expected="path@version, for example golang.org/x/text@v0.3.0", found=text)
    return path, version
