# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A spec: what to carry, as users write it, checked and given one form.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
import urllib.parse

from .._base.errors import SpecInvalid
from .._base.urls import scrub
from .._go.build import Build
from .._go.escape import check_module, is_exact, parse_at
from .._go.toolchain import host_platform

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_GO_VERSION = re.compile(r"1\.[0-9]+(\.[0-9]+)?((rc|beta)[0-9]+)?")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+")


def _refuse(where: str, why: str, hint: str = "") -> SpecInvalid:
    return SpecInvalid(f"{where}: {why}", subject=where, hint=hint)


@dataclasses.dataclass(frozen=True)
class Toolchain:
    """A Go release for some platforms (``os/arch``)."""

    version: str
    platforms: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Project:
    """A project to carry with its vendor directory.

    Exactly one of ``path``, ``git`` (with ``ref``) and ``module`` (with ``version``) is set. ``directory`` is where
    its go.mod or go.work is below the source. ``builds`` may be empty: every main package then.
    """

    name: str
    path: str = ""
    git: str = ""
    ref: str = ""
    module: str = ""
    version: str = ""
    directory: str = "."
    toolchain: str = ""
    dirty: str = "error"
    exclude: tuple[str, ...] = ()
    builds: tuple[Build, ...] = ()

    def origin(self) -> dict[str, str]:
        """Where it came from, as manifests say it: no credentials."""
        if self.git:
            return {"git": scrub(self.git), "ref": self.ref}
        if self.module:
            return {"module": self.module, "version": self.version}
        return {"path": os.path.basename(os.path.abspath(self.path))}


@dataclasses.dataclass(frozen=True)
class CarriedFile:
    """A resource file: ``dest`` is its path below the tree's files/; ``sha256`` (hex) is what it must be, if given."""

    source: str
    dest: str
    sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Spec:
    """Everything that a generation is to carry. ``modules``: (path, version); ``tools``: (package path, version)."""

    name: str
    toolchains: tuple[Toolchain, ...]
    projects: tuple[Project, ...]
    modules: tuple[tuple[str, str], ...]
    tools: tuple[tuple[str, str], ...]
    files: tuple[CarriedFile, ...]

    def normal(self) -> dict[str, t.Any]:
        """The spec in one form, for the config document and for telling whether it changed."""
        document = dataclasses.asdict(self)
        for entry, project in zip(document["projects"], self.projects):
            entry["builds"] = [build.to_dict() for build in project.builds]
            entry["git"] = project.origin().get("git", "")
            entry["path"] = project.origin().get("path", "")
        for entry in document["files"]:
            entry["source"] = os.path.basename(entry["source"])
        return document


def parse(
    name: str,
    toolchains: t.Sequence[t.Mapping[str, t.Any]],
    projects: t.Sequence[t.Mapping[str, t.Any]],
    modules: t.Sequence[str],
    tools: t.Sequence[str],
    files: t.Sequence[t.Mapping[str, t.Any]],
    platform: str = "",
) -> Spec:
    """Check what a user wrote.

    :param platform: os/arch where the spec names none; this machine's by default.
    :raises SpecInvalid: naming the entry, and how it's meant.
    """
    if not _NAME.fullmatch(name):
        raise _refuse(f"the bundle name {name!r}", "it becomes a file name: letters, digits, '.', '_' and '-', starting with a letter or digit")
    platform = platform or host_platform()
    parsed = Spec(
        name=name,
        toolchains=tuple(_toolchain(entry, platform) for entry in toolchains),
        projects=tuple(_project(entry, platform) for entry in projects),
        modules=tuple(_exact(text, "module") for text in modules),
        tools=tuple(_exact(text, "tool") for text in tools),
        files=tuple(_file(entry) for entry in files),
    )
    for what, names in (("project", [project.name for project in parsed.projects]), ("file", [file.dest for file in parsed.files])):
        for twice in sorted({entry for entry in names if names.count(entry) > 1}):
            raise _refuse(f"{what} {twice}", "it's in the spec twice", "give each its own name")
    if not (parsed.toolchains or parsed.projects or parsed.modules or parsed.tools or parsed.files):
        raise _refuse(f"the spec {name}", "it asks for nothing", "name toolchains, projects, modules, tools or files")
    return parsed


def passwords(goproxy: t.Optional[str], projects: t.Sequence[t.Mapping[str, t.Any]]) -> set[str]:
    """The passwords (or tokens) in the URLs that a user gave: never to be shown."""
    urls = re.split(r"[,|]", goproxy or "") + [str((entry.get("source") or {}).get("git") or "") for entry in projects]
    found: set[str] = set()
    for url in urls:
        userinfo = re.match(r"\s*https?://([^/\s?#]*)@", url)
        if userinfo:
            user, colon, password = userinfo.group(1).partition(":")
            secret = password if colon else user
            found.update((secret, urllib.parse.unquote(secret)))
    return found - {""}


def _toolchain(entry: t.Mapping[str, t.Any], platform: str) -> Toolchain:
    version = str(entry.get("version") or "")
    version = version[2:] if version.startswith("go") else version
    where = f"toolchain {version or entry}"
    if not _GO_VERSION.fullmatch(version):
        raise _refuse(where, "it has no Go version", "write the whole version and quote it: version: '1.26.8'")
    platforms = tuple(entry.get("platforms") or [platform])
    for name in platforms:
        if not _PLATFORM.fullmatch(name):
            raise _refuse(where, f"{name!r} isn't a platform", "write os/arch, such as linux/amd64")
    return Toolchain(full_version(version), platforms)


def full_version(version: str) -> str:
    """``1.27`` is the language; its first release is ``1.27.0`` (since Go 1.21)."""
    match = re.fullmatch(r"1\.([0-9]+)", version)
    return version + ".0" if match and int(match.group(1)) >= 21 else version


def _project(entry: t.Mapping[str, t.Any], platform: str) -> Project:
    name = str(entry.get("name") or "")
    # Not the whole entry: its source may hold a password.
    where = f"project {name or '(without a name)'}"
    if not _NAME.fullmatch(name):
        raise _refuse(where, "it has no name that can be a directory's", "letters, digits, '.', '_' and '-'")
    if not isinstance(entry.get("source") or {}, dict):
        raise _refuse(where, "its source isn't a dictionary", "it must be {path}, {git, ref} or {module, version}")
    source = {str(key): str(value) for key, value in (entry.get("source") or {}).items() if value}
    if set(source) not in ({"path"}, {"git", "ref"}, {"module", "version"}):
        raise _refuse(where, f"its source says {', '.join(sorted(source)) or 'nothing'}", "it must be {path}, {git, ref} or {module, version}")
    if "version" in source and not is_exact(source["version"]):
        raise _refuse(where, f"{source['version']!r} isn't an exact version", "write the version itself: what 'latest' means changes")
    if "module" in source:
        check_module(source["module"])
    if "path" in source:
        source["path"] = os.path.abspath(os.path.expanduser(source["path"]))
    if entry.get("exclude") and "path" not in source:
        raise _refuse(where, "exclude is for sources that are a path", "what git or a module has is carried as it is")
    directory = os.path.normpath(str(entry.get("directory") or "."))
    if directory.split("/")[0] in ("..", ""):
        raise _refuse(where, f"its directory {directory} is outside of its source", "let source.path name the common parent")
    dirty = str(entry.get("dirty") or "error")
    if dirty not in ("error", "warn"):
        raise _refuse(where, f"dirty is {dirty!r}", "it must be error or warn")
    toolchain = str(entry.get("toolchain") or "")
    toolchain = toolchain[2:] if toolchain.startswith("go") else toolchain
    if toolchain and not _GO_VERSION.fullmatch(toolchain):
        raise _refuse(where, f"its toolchain {toolchain!r} isn't a Go version", "write the whole version and quote it: toolchain: '1.26.8'")
    builds = tuple(Build.from_dict(dict(build, platform=build.get("platform") or platform)) for build in entry.get("builds") or [])
    outputs = [build.output for build in builds]
    if len(set(outputs)) != len(outputs):
        raise _refuse(where, "two builds have the same output", "give each its own output")
    return Project(
        name=name,
        directory=directory,
        dirty=dirty,
        toolchain=full_version(toolchain),
        exclude=tuple(entry.get("exclude") or ()),
        builds=builds,
        **source,
    )


def _exact(text: str, what: str) -> tuple[str, str]:
    path, version = parse_at(text)
    if not is_exact(version):
        raise _refuse(f"{what} {text}", f"{version!r} isn't an exact version", "write the version itself: what 'latest' means changes")
    return path, version


def _file(entry: t.Mapping[str, t.Any]) -> CarriedFile:
    dest = os.path.normpath(str(entry.get("dest") or ""))
    where = f"file {entry.get('source')}"
    if not entry.get("source") or dest.split("/")[0] in ("..", ".", ""):
        raise _refuse(where, f"it has no source, or its dest {dest!r} is outside of the tree", "dest is a path below the tree's files/")
    sha256 = str(entry.get("sha256") or "").lower()
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise _refuse(where, "its sha256 isn't 64 hexadecimal digits")
    return CarriedFile(str(entry["source"]), dest, sha256)
