# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the go command's error output says is missing. Lines that can't be understood are kept, never dropped.

The words are those of Go 1.21 to 1.27 (cmd/go/internal/modload, modfetch, toolchain).

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .toolchain import MODULE as TOOLCHAIN
from .toolchain import asked_by

#: What can be missing. A package: the module that has it isn't known.
MODULE, PACKAGE, TOOL, RELEASE = "module", "package", "tool", "toolchain"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One thing that go could not get.

    ``kind``: of the four above. ``path``: a module's or package's; a toolchain's platform, "" for the host's. ``version``: exact
    or a query; a Go version. ``why``: what go said of it, in a few words. ``file``: which of a module's files (info, mod,
    zip) was asked for, "" where go doesn't say.
    """

    kind: str
    path: str
    version: str
    why: str
    file: str = ""


@dataclasses.dataclass(frozen=True)
class Words:
    """What an output says: ``wanted``; ``unnamed``, lines that miss something which only the project's files can name; and
    ``not_understood``, which are all other lines that aren't known to say nothing."""

    wanted: tuple[Wanted, ...]
    unnamed: tuple[str, ...]
    not_understood: tuple[str, ...]


_PATH = r"[A-Za-z0-9][-._~+/A-Za-z0-9]*"
_AT = rf"(?P<path>{_PATH})@(?P<version>[^\s:@\"']+?)"
_COULD_NOT = (
    r"(?:invalid version: )?(?:verifying (?:module|go\.mod): \S+: )?"
    r"(?:reading |Get \\?\"|module lookup disabled by |unrecognized import path|dial tcp)"
)

_PROMPT = re.compile(r"(?:\S.*[$#%>] +|[$#%>] +)?go (?P<verb>[a-z]+)(?P<rest>(?: .*)?)")
_REQUIRES_GO = re.compile(r"(?P<what>\S+) requires go >= (?P<go>[0-9][0-9A-Za-z.]*)")
_NOT_AVAILABLE = re.compile(r"download go(?P<go>[0-9][0-9A-Za-z.]*) for (?P<platform>[a-z0-9]+/[a-z0-9]+): toolchain not available")
_TOOLCHAIN_FILE = re.compile(rf"{re.escape(TOOLCHAIN)}@v0\.0\.1-go(?P<go>[0-9][0-9A-Za-z.]*)\.(?P<os>[a-z0-9]+)-(?P<arch>[a-z0-9]+): {_COULD_NOT}")
_NO_MODULE = re.compile(rf"(?:no required module provides package|cannot find module providing package) (?P<path>{_PATH})(?=[;:]|$|\s)")
_NOT_IN_IT = re.compile(rf"module {_AT} found.*?, but does not contain package (?P<package>{_PATH})")
# go install and go run say which program they are about first, then what they looked for.
_TOOL = re.compile(rf"go: {_AT}: {_PATH}@[^\s:]+: {_COULD_NOT}")
_FILE = re.compile(rf"{_AT}(?: \(replaced by (?P<new>{_PATH})@(?P<newer>[^\s:)]+)\))?(?:/go\.mod)?: {_COULD_NOT}(?P<where>\S*)")
_VERSIONS = re.compile(rf"(?:(?P<asked>{_PATH})@(?P<query>[^\s:]+): )?module (?P<path>{_PATH}): {_COULD_NOT}")
_VENDOR = re.compile(rf"{_AT}: is explicitly required in go\.mod, but not marked as explicit in vendor/modules\.txt")
_NO_SUM = re.compile(rf"{_AT}: missing go\.sum entry")
_UNNAMED = re.compile(r"missing go\.sum entry|module lookup disabled by GOPROXY=off|updates to go\.mod needed")
_DOWNLOADING = re.compile(rf"go: downloading (?P<path>{_PATH}) (?P<version>v\S+)")

# What go says beside: progress, headings, chains of imports and requirements, what to do, and `go mod download -json`.
_NOISE = re.compile(
    r"go: (?:downloading|extracting|finding|found|added|upgraded|downgraded|removed|creating|to add module|inconsistent vendoring in) .*"
    r"|\s+(?:go (?:get|mod|work|install) .*|cd .*|To (?:ignore|sync) the vendor directory.*|\(.*\))"
    rf"|(?:go: )?\s*{_PATH}(?:@\S+)?(?: \([^)]*\))? (?:imports|requires|tested by|indirectly imports)"
    r"|# .*|(?:FAIL|ok|\?)\s.*|FAIL|exit status \d+|go: (?:warning: )?\S+ matched no packages"
    r"|\s*[{}]\s*|\s*\"(?:Path|Version|Query|Info|GoMod|Zip|Dir|Sum|GoModSum|Origin|Reuse)\":.*"
    r"|(?:go: )?updates to go\.mod needed.*"
)


def read(text: str) -> Words:
    """Understand what go printed; shell prompts with the commands (``$ go install x@v``) may be there, and help."""
    typed: set[tuple[str, str]] = set()
    downloading: list[Wanted] = []
    wanted: dict[Wanted, None] = {}
    unnamed: dict[str, None] = {}
    strange: dict[str, None] = {}
    nameless = False
    for raw in text.splitlines():
        line = raw.rstrip()
        prompt = _PROMPT.fullmatch(line) if not raw[:1].isspace() else None
        if prompt:
            typed.update((prompt["verb"], word) for word in prompt["rest"].split() if not word.startswith("-"))
            continue
        found = _understand(line)
        if found:
            wanted[found] = None
            continue
        started = _DOWNLOADING.fullmatch(line)
        if started:
            downloading.append(Wanted(MODULE, started["path"], started["version"], "go could not download it"))
        if not line.strip() or _NOISE.fullmatch(line):
            continue
        if _UNNAMED.search(line):
            nameless = nameless or "GOPROXY=off" in line
            unnamed[line.strip()] = None
        else:
            strange[line.strip()] = None
    if nameless and downloading:
        # With GOPROXY=off go names what it begins to download, and then only the line of the import.
        wanted.update(dict.fromkeys(downloading))
        unnamed = {line: None for line in unnamed if "GOPROXY=off" not in line}
    return Words(tuple(dict.fromkeys(_as_typed(entry, typed) for entry in wanted)), tuple(unnamed), tuple(strange))


def _understand(line: str) -> t.Optional[Wanted]:
    """What one line says is missing; None when it says nothing, or nothing with a name."""
    match = _NOT_AVAILABLE.search(line)
    if match:
        return _release(match["go"], match["platform"], "go could not switch to it")
    match = _TOOLCHAIN_FILE.search(line)
    if match:
        return _release(match["go"], f"{match['os']}/{match['arch']}", "go could not switch to it")
    match = _REQUIRES_GO.search(line)
    if match:
        return _release(match["go"], "", f"{match['what'].rsplit('/', 1)[-1] if match['what'].startswith(('/', '.')) else match['what']} requires it")
    match = _NO_MODULE.search(line)
    if match and _has_domain(match["path"]):
        return Wanted(PACKAGE, match["path"], "latest", "no module that is required or carried has this package")
    match = _NOT_IN_IT.search(line)
    if match and match["version"] == "latest":
        return Wanted(PACKAGE, match["package"], "latest", f"the newest {match['path']} that is carried doesn't contain it")
    match = _TOOL.match(line)
    if match and _has_domain(match["path"]):
        return Wanted(TOOL, match["path"], match["version"], "go could not install it")
    match = _VERSIONS.search(line)
    if match and _has_domain(match["path"]):
        query = match["query"] or "latest"
        return Wanted(PACKAGE, match["asked"] or match["path"], query, f"go looked for its {query} version")
    match = _FILE.search(line)
    if match and _has_domain(match["path"]):
        path, version = (match["new"], match["newer"]) if match["new"] else (match["path"], match["version"])
        file = re.search(r"\.(info|mod|zip)\W*$", match["where"])
        return Wanted(MODULE, path, version, f"go could not get its {file[1] if file else 'files'}", file[1] if file else "")
    match = _VENDOR.search(line)
    if match:
        return Wanted(MODULE, match["path"], match["version"], "go.mod requires it, and the vendor directory hasn't got it")
    match = _NO_SUM.search(line)
    if match and _has_domain(match["path"]):
        return Wanted(MODULE, match["path"], match["version"], "go.sum has no line for it")
    return None


def _release(version: str, platform: str, why: str) -> Wanted:
    # "1.29" is the language; its first release is asked for.
    return Wanted(RELEASE, platform, asked_by({"Go": version}) or version, why)


def _has_domain(path: str) -> bool:
    """Whether it can be a module's: the standard library's paths have no dot in their first element."""
    return "." in path.split("/", maxsplit=1)[0]


def _as_typed(entry: Wanted, typed: set[tuple[str, str]]) -> Wanted:
    """Go's words for ``go get x@latest`` and ``go install x@latest`` are the same; the command tells which it was."""
    at = f"{entry.path}@{entry.version}"
    if entry.kind in (MODULE, PACKAGE):
        if ("install", at) in typed or ("run", at) in typed:
            return dataclasses.replace(entry, kind=TOOL, why="go could not install it")
        if entry.kind == MODULE and ("get", at) in typed:
            # Something new, whatever go.sum knows of it.
            return dataclasses.replace(entry, kind=PACKAGE, why="go could not get it")
    return entry
