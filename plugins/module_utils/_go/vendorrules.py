# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``go mod vendor`` copies of a module: which files of a package's directory, which embedded ones, which licences above it.

The rules are those of cmd/go/internal/modcmd/vendor.go, with the build constraints of cmd/go/internal/imports (all tags are set, but
``ignore``) and the patterns of cmd/go/internal/load (resolveEmbed).

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import re
import typing as t

_METADATA = ("AUTHORS", "CONTRIBUTORS", "COPYLEFT", "COPYING", "COPYRIGHT", "LEGAL", "LICENSE", "NOTICE", "PATENTS")
_VERSION_CONTROL = frozenset({".bzr", ".git", ".hg", ".svn"})

_GO_BUILD = re.compile(rb"//go:build(?:[ \t](.*))?\Z")
_PLUS_BUILD = re.compile(rb"//[ \t]*\+build(?:[ \t](.*))?\Z")
_TAG = re.compile(r"[\w.]+\Z")
_TOKEN = re.compile(r"\s*(\(|\)|&&|\|\||!|[\w.]+)")
_IMPORTS_EMBED = re.compile(rb'^[ \t]*(?:import[ \t]+(?:\([ \t]*)?)?(?:[\w.]+[ \t]+)?"embed"', re.MULTILINE)
_EMBED = re.compile(rb"^[ \t]*//go:embed[ \t]+(.*?)[ \t\r]*$", re.MULTILINE)
_ARGUMENT = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`|[^\s"`]\S*')

Read = t.Callable[[str], bytes]


def copied(directory: str, files: t.AbstractSet[str], read: Read, old_gomod: bool = False, test_embeds: bool = False) -> set[str]:
    """The files of a module that are vendored for the package in its ``directory`` ("" for the root), by their paths in the module.

    :param files: all paths of the module.
    :param read: a file's content.
    :param old_gomod: whether the main module is older than go 1.17: go.mod and go.sum are copied then.
    :param test_embeds: whether it's older than go 1.22: what tests embed is copied then.
    """
    prefix = f"{directory}/" if directory else ""
    here = sorted(name[len(prefix) :] for name in files if name.startswith(prefix) and "/" not in name[len(prefix) :])
    found = {prefix + name for name in here if _is_copied(name, prefix, read, old_gomod)}
    above = directory
    while above:
        above = above.rpartition("/")[0]
        start = f"{above}/" if above else ""
        found.update(name for name in files if name.startswith(start) and "/" not in name[len(start) :] and name[len(start) :].startswith(_METADATA))
    for name in here:
        if name.endswith(".go") and not name.startswith(("_", ".")) and (test_embeds or not name.endswith("_test.go")):
            found.update(embedded(prefix, patterns(read(prefix + name)), files))
    return found


def _is_copied(name: str, prefix: str, read: Read, old_gomod: bool) -> bool:
    if name.endswith("_test.go") or (name in ("go.mod", "go.sum") and not old_gomod):
        return False
    return not name.endswith(".go") or should_build(read(prefix + name))


def should_build(content: bytes) -> bool:
    """Whether a Go file is built under any tags at all: all but those that say ``ignore``."""
    go_build: t.Optional[bytes] = None
    # Where +build lines count: among the comments at the top that end with a blank line.
    plus: list[bytes] = []
    pending: list[bytes] = []
    ended = in_comment = False
    for raw in content.split(b"\n"):
        line = raw.strip()
        if not line and not ended:
            plus += pending
            pending = []
            continue
        if not line.startswith(b"//"):
            ended = True
        elif not ended:
            pending.append(line)
        if not in_comment and _GO_BUILD.match(line):
            if go_build is not None:
                return False
            go_build = line
        in_comment, text = _after_comments(line, in_comment)
        if text:
            break
    if go_build is not None:
        match = _GO_BUILD.match(go_build)
        return _holds((match.group(1) if match else b"") or b"")
    return all(_plus_holds(line) for line in plus)


def _after_comments(line: bytes, in_comment: bool) -> tuple[bool, bytes]:
    """(whether a comment is open at the line's end, the text that is no comment)."""
    while line:
        if in_comment:
            end = line.find(b"*/")
            if end < 0:
                return True, b""
            line, in_comment = line[end + 2 :].strip(), False
        elif line.startswith(b"//"):
            return False, b""
        elif line.startswith(b"/*"):
            line, in_comment = line[2:], True
        else:
            return False, line
    return in_comment, b""


def _match_tag(name: str, prefer: bool) -> bool:
    return bool(_TAG.match(name)) and name != "ignore" and prefer


def _holds(expression: bytes) -> bool:
    """A //go:build expression where each tag but ``ignore`` is both set and not (go/build/constraint's grammar)."""
    text = expression.decode("utf-8", "replace").strip()
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return False
        tokens.append(match.group(1))
        at = match.end()
    place = 0

    def either(prefer: bool) -> bool:
        nonlocal place
        value = both(prefer)
        while place < len(tokens) and tokens[place] == "||":
            place += 1
            value = both(prefer) or value
        return value

    def both(prefer: bool) -> bool:
        nonlocal place
        value = one(prefer)
        while place < len(tokens) and tokens[place] == "&&":
            place += 1
            value = one(prefer) and value
        return value

    def one(prefer: bool) -> bool:
        nonlocal place
        token = tokens[place]
        place += 1
        if token == "!":
            return not one(not prefer)
        if token == "(":
            value = either(prefer)
            if tokens[place] != ")":
                raise IndexError
            place += 1
            return value
        if token in (")", "&&", "||"):
            raise IndexError
        return _match_tag(token, prefer)

    try:
        value = either(True)
    except IndexError:
        return False
    return value and place == len(tokens)


def _plus_holds(line: bytes) -> bool:
    """A // +build line: options by spaces are alternatives, terms by commas must all hold."""
    match = _PLUS_BUILD.match(line)
    if match is None:
        return True
    options = (match.group(1) or b"").decode("utf-8", "replace").split()
    return any(all(not _match_tag(term[1:], False) if term.startswith("!") else _match_tag(term, True) for term in option.split(",")) for option in options)


def patterns(content: bytes) -> list[str]:
    """The patterns of a Go file's //go:embed lines; none in a file that doesn't import embed."""
    if b"//go:embed" not in content or not _IMPORTS_EMBED.search(content):
        return []
    found = []
    for match in _EMBED.finditer(content):
        for argument in _ARGUMENT.findall(match.group(1).decode("utf-8", "replace")):
            found.append(argument[1:-1] if argument[0] == "`" else re.sub(r"\\(.)", r"\1", argument[1:-1]) if argument[0] == '"' else argument)
    return found


def embedded(prefix: str, globs: t.Iterable[str], files: t.AbstractSet[str]) -> set[str]:
    """The files that patterns mean, seen from the package's directory (``prefix``: its path with a slash behind, "" for the root)."""
    found: set[str] = set()
    for glob in globs:
        whole = glob.startswith("all:")
        expression = _glob(glob[4:] if whole else glob)
        if expression is None:
            continue
        for name in files:
            if not name.startswith(prefix):
                continue
            parts = name[len(prefix) :].split("/")
            for depth in range(1, len(parts) + 1):
                if not expression.fullmatch("/".join(parts[:depth])):
                    continue
                hidden = any(part in _VERSION_CONTROL or (part[0] in "._" and not whole) for part in parts[depth:])
                if depth == len(parts) or not hidden:
                    found.add(name)
                break
    return found


def _glob(pattern: str) -> t.Optional[t.Pattern[str]]:
    """A pattern of path.Match as a regular expression; None for one that can't be meant."""
    out = ""
    at = 0
    while at < len(pattern):
        letter = pattern[at]
        at += 1
        if letter == "*":
            out += "[^/]*"
        elif letter == "?":
            out += "[^/]"
        elif letter == "\\":
            if at == len(pattern):
                return None
            out += re.escape(pattern[at])
            at += 1
        elif letter == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                return None
            inside = pattern[at:end]
            negated = inside.startswith("^")
            out += "(?!/)[" + ("^" if negated else "") + inside[negated:].replace("[", "\\[").replace("&", "\\&").replace("~", "\\~").replace("|", "\\|") + "]"
            at = end + 1
        else:
            out += re.escape(letter)
    try:
        return re.compile(out)
    except re.error:
        return None
