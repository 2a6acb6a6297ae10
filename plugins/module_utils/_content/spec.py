# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A spec: what to carry. How users write it is read by specreader.py.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .._base.urls import public_url, scrub
from .._go.build import Build

#: How much of a project must work offline, from what builds need to all that the go command can do with it.
SCOPES = ("build", "test", "all")

_URL = re.compile(r"(https?|file)://", re.IGNORECASE)

#: What is carried for a loose module: all that a project needs that starts to import it, its own files, its go.mod alone.
CLOSURES = ("packages", "itself", "gomod")

#: Those that a tool's completions can be carried for.
SHELLS = ("bash", "zsh", "fish")

#: How a tool is asked for its completions where the spec says nothing else: as https://github.com/spf13/cobra has it.
COMPLETION_COMMAND = ("completion", "{shell}")


@dataclasses.dataclass(frozen=True)
class Archive:
    """An official Go release archive (go1.26.8.linux-amd64.tar.gz): a path or URL, and its hex SHA-256."""

    source: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Toolchain:
    """A Go release for some platforms (``os/arch``); from ``archive``, which has one platform, or from the proxy."""

    version: str
    platforms: tuple[str, ...]
    archive: t.Optional[Archive] = None


@dataclasses.dataclass(frozen=True)
class Project:
    """A project to carry with its vendor directory.

    Exactly one of ``path``, ``git`` (with ``ref``) and ``module`` (with ``version``) is set. ``directory`` is where
    its go.mod or go.work is below the source. ``builds`` may be empty: every main package then, for ``platforms``.
    ``scope``: of SCOPES. ``run_tests``: the rehearsal runs the project's tests; else it compiles them.
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
    scope: str = "test"
    run_tests: bool = False
    exclude: tuple[str, ...] = ()
    builds: tuple[Build, ...] = ()
    platforms: tuple[str, ...] = ()
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def origin(self) -> dict[str, str]:
        """Where it came from, as manifests say it: no credentials."""
        if self.git:
            return {"git": scrub(self.git), "ref": self.ref}
        if self.module:
            return {"module": self.module, "version": self.version}
        return {"path": os.path.basename(os.path.abspath(self.path))}


@dataclasses.dataclass(frozen=True)
class LooseModule:
    """A module for code that isn't written yet.

    ``version``: exact, or what ``go get`` takes. ``closure``: of CLOSURES. ``beside``: (path, version) of other
    requirements that are in force where it will be used, so that the versions are those that are selected there.
    """

    path: str
    version: str
    closure: str = "packages"
    beside: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Tool:
    """A program, for ``go install``. ``version``: exact, or what ``go install`` takes. ``platforms``: those it's prebuilt for.

    What comes with a prebuilt one: ``completions`` (of SHELLS), which the program prints when it's called with ``completion_command``, where
    {shell} stands for the shell; ``man``: files of its module that are man pages; or ``man_command``, with which it prints its one page.
    """

    package: str
    version: str
    platforms: tuple[str, ...] = ()
    completions: tuple[str, ...] = ()
    completion_command: tuple[str, ...] = ()
    man: tuple[str, ...] = ()
    man_command: tuple[str, ...] = ()

    def extras(self) -> dict[str, list[str]]:
        """What comes with the program, as the config document says it: only what is asked for."""
        asked = {name: list(getattr(self, name)) for name in ("completions", "completion_command", "man", "man_command")}
        return {name: value for name, value in asked.items() if value}


@dataclasses.dataclass(frozen=True)
class CarriedFile:
    """A resource: ``dest`` is its path below the tree's files/.

    ``source``: a file, a directory or a URL; or the address of a git repository, when ``ref`` is set. ``sha256`` (hex) is what
    a file must be; a URL's is always given.
    """

    source: str
    dest: str
    sha256: str = ""
    ref: str = ""

    @property
    def is_url(self) -> bool:
        return not self.ref and _URL.match(self.source) is not None

    def origin(self) -> str:
        """Where it came from, as manifests say it: no credentials, no local directories."""
        if self.ref:
            return scrub(self.source)
        if self.is_url:
            return public_url(self.source)
        return os.path.basename(os.path.abspath(self.source))


@dataclasses.dataclass(frozen=True)
class Kit:
    """What makes a machine that never had a network a control node: this collection, and ansible-core for some Pythons on some platforms.

    ``pythons``: such as 3.11. ``platforms``: os/arch. ``ansible_core``: a version specifier, as pip takes it behind the name; "" for the
    newest that each Python can have. ``collection``: the collection's directory, or a tarball of it.
    """

    pythons: tuple[str, ...]
    platforms: tuple[str, ...]
    ansible_core: str = ""
    collection: str = ""


@dataclasses.dataclass(frozen=True)
class Spec:
    """Everything that a generation is to carry."""

    name: str
    toolchains: tuple[Toolchain, ...] = ()
    projects: tuple[Project, ...] = ()
    modules: tuple[LooseModule, ...] = ()
    tools: tuple[Tool, ...] = ()
    files: tuple[CarriedFile, ...] = ()
    kit: t.Optional[Kit] = None

    def normal(self) -> dict[str, t.Any]:
        """The spec in one form, for the config document and for telling whether it changed."""
        document = dataclasses.asdict(self)
        for entry, project in zip(document["projects"], self.projects):
            entry["builds"] = [build.to_dict() for build in project.builds]
            entry["git"] = project.origin().get("git", "")
            entry["path"] = project.origin().get("path", "")
            entry["env"] = dict(project.env)
        for entry, file in zip(document["files"], self.files):
            entry["source"] = file.origin()
        document["tools"] = [{"package": tool.package, "version": tool.version, "platforms": tool.platforms, **tool.extras()} for tool in self.tools]
        for entry in document["toolchains"]:
            # The archive's bytes are proved by its hash; where they were is nobody's business.
            entry["archive"] = entry["archive"]["sha256"] if entry["archive"] else ""
        kit = document.pop("kit")
        if kit:
            # The collection is known by the hash of what is carried of it.
            document["kit"] = {name: value for name, value in kit.items() if name != "collection"}
        return document
