# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which module files a project, a loose module or a tool needs: asked of the go command, with the network.

A ``Root`` is one thing that must work offline. Its ``ask`` finds what it needs, without unpacking anything where go.mod and
go.sum tell; proof.py then shows without a network that it was right.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import typing as t

from .._base.errors import CommandFailed, FetchFailed, ProjectDirty, SpecInvalid
from .._base.process import Finished
from . import gosum
from .build import Build
from .command import GoCommand, json_stream
from .escape import check_module
from .toolchain import version_key

#: Runs one go command in a directory, with these variables on top of the phase's environment.
Run = t.Callable[[t.Sequence[str], str, t.Mapping[str, str]], Finished]

Version = t.Tuple[str, str]

READONLY = "-mod=readonly -modcacherw"

# From this release on, a go.mod lists every module that has a package which its own packages and their tests need
# (https://go.dev/ref/mod#graph-pruning).
_LISTS_ALL = version_key("1.17")

# What a go command says that would have to change go.mod or go.sum (cmd/go/internal/modload).
_UNTIDY = re.compile(r"missing go\.sum entry|updates to go\.(mod|sum|work) needed")

# What a go command says that is too old (cmd/go/internal/gover, TooNewError).
_TOO_OLD = re.compile(r"requires go >= ([0-9][0-9a-z.]*) \(running go")


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a project's own files say.

    ``top``: its go.work, or else its go.mod, as the go command parses it. ``modules``: the directories of its modules.
    ``sums``: its go.sum files together. ``required``: what its go.mod files require, path to version. ``lists_all``: whether they
    list all that builds and tests need. ``tools``: whether there are tool lines.
    """

    top: t.Mapping[str, t.Any]
    workspace: bool
    modules: tuple[str, ...]
    sums: t.Mapping[gosum.Key, str]
    required: t.Mapping[str, str]
    lists_all: bool
    tools: bool


@dataclasses.dataclass
class Root:
    """One thing that must work offline.

    ``kind``: project, module or tool. ``label``: "project yq". ``directory``: where its go.mod or go.work is, or shall be. ``go``: the go
    command that serves it. ``asked``: the Go version that it asks for, "" for any. ``target``: a tool's package or a loose module,
    with @version. ``platforms``: what a tool is built for, or a project that names no builds, with ``tags`` and the settings ``env`` then.
    ``scope``: build, test or all. ``beside``: what else is required where a loose module will be used.
    """

    kind: str
    label: str
    directory: str
    go: GoCommand
    asked: str = ""
    target: str = ""
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    scope: str = "test"
    dirty_is_error: bool = True
    beside: tuple[Version, ...] = ()
    layout: t.Optional[Layout] = None
    builds: tuple[Build, ...] = ()
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def files(self) -> Layout:
        if self.layout is None:
            raise RuntimeError(f"{self.label} has no layout yet")
        return self.layout

    @property
    def sums(self) -> t.Mapping[gosum.Key, str]:
        return self.layout.sums if self.layout else {}

    @property
    def reads_sources(self) -> bool:
        """Whether ``ask`` looks at a project's packages, and not at go.mod, go.sum and go.work alone."""
        return self.kind == "project" and (self.scope == "build" or (self.scope == "all" and not self.dirty_is_error))

    @property
    def where(self) -> dict[str, str]:
        """The environment in which go sees this root as its users do."""
        workspace = self.layout is not None and self.layout.workspace
        return {"GOWORK": os.path.join(self.directory, "go.work") if workspace else "off", "GOFLAGS": READONLY}

    def ask(self, run: Run) -> tuple[set[Version], set[Version]]:
        """(versions whose zips it needs, versions of which it needs at least go.mod), beyond what ``run``'s proxy is asked for.

        A loose module gets its probe in ``directory``, and with it a layout.

        :raises CommandFailed: naming the command and what go said.
        :raises ProjectDirty: go.mod and go.sum don't say enough for any go command.
        """
        if self.kind == "tool":
            for platform in self.platforms:
                run(["install", "-n", "-trimpath", self.target], self.directory, platform_environment(platform))
            return set(), set()
        if self.kind == "module":
            make_probe(self.directory, self.target, self.beside, self.go, run)
            self.layout = read_project(self.label, self.directory, self.directory, self.go)
            run(["mod", "download"], self.directory, {})
            return set(), wanted_files(self.sums)[1]
        try:
            listed = list(json_stream(run(["list", "-m", "-json", "all"], self.directory, self.where).stdout))
        except CommandFailed as exc:
            if not _UNTIDY.search(exc.message):
                raise
            raise ProjectDirty(
                f"{self.label}: its go.mod and go.sum don't agree, so no go command that only reads them works: {exc.found}",
                subject=self.label,
                found=exc.found,
                hint="run 'go mod tidy' (in a workspace also 'go work sync') and commit the result",
            ) from None
        zips, mods = wanted_files(self.sums)
        selected = selected_versions(listed)
        if self.scope == "build":
            return self._needed_by_builds(run), mods
        needed = zips.intersection(selected.values())
        if self.files.lists_all:
            needed = {selected[path] for path in self.files.required if path in selected}
        if self.scope == "all":
            needed |= zips
            if not self.dirty_is_error:
                # What tidy would change it may have to look for, beyond what go.sum knows.
                for directory in self.files.modules:
                    attempt(run, ["mod", "tidy", "-diff"], directory, {})
        return needed, mods | needed

    def _needed_by_builds(self, run: Run) -> set[Version]:
        """The modules that have packages of the builds, for each platform and tag, and those of the tools that go.mod names."""
        wanted: set[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...], tuple[str, ...]]]
        wanted = {(build.platform, tuple(build.tags), tuple(sorted(build.env.items())), (build.package,)) for build in self.builds}
        if not wanted:
            # What builds will be made of; a library has none. Other packages need not even compile for each of the platforms.
            packages = tuple(main_packages(run, self) or self.patterns())
            wanted = {(platform, self.tags, tuple(sorted(self.env.items())), packages) for platform in self.platforms or (self.go.platform,)}
        if self.files.tools:
            wanted.add((self.go.platform, (), (), ("tool",)))
        needed: set[Version] = set()
        for platform, tags, env, packages in sorted(wanted):
            argv = ["list", "-deps", "-json=Module", *(["-tags=" + ",".join(tags)] if tags else []), *packages]
            answer = run(argv, self.directory, {**self.where, **platform_environment(platform), **dict(env)})
            needed.update(selected_versions(entry["Module"] for entry in json_stream(answer.stdout) if entry.get("Module")).values())
        return needed

    def hints(self) -> tuple[set[Version], set[Version]]:
        """(zips, go.mods) that a project needs with certainty or nearly so, by its own files: what can be fetched before anybody asks."""
        zips, mods = wanted_files(self.sums)
        if self.scope == "all":
            return zips, mods
        if self.scope == "build" or not self.files.lists_all:
            return set(), mods
        return zips.intersection(self.files.required.items()), mods

    def patterns(self) -> list[str]:
        """What ``./...`` is, for all modules of the project."""
        below = [os.path.relpath(module, self.directory) for module in self.files.modules]
        return ["./..." if path == "." else f"./{path}/..." for path in below]


def attempt(run: Run, argv: t.Sequence[str], directory: str, more: t.Mapping[str, str]) -> t.Optional[CommandFailed]:
    """How a command that may fail failed; None when it didn't."""
    try:
        run(argv, directory, more)
    except CommandFailed as exc:
        return exc
    return None


def platform_environment(platform: str) -> dict[str, str]:
    goos, goarch = platform.split("/")
    return {"GOOS": goos, "GOARCH": goarch, "CGO_ENABLED": "0"}


def selected_versions(listed: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, Version]:
    """What the go command selected, by the path that is required: replacements in place of what they replace, directories left out."""
    selected = {}
    for module in listed:
        used = module.get("Replace") or module
        if used.get("Version") and not module.get("Main"):
            selected[str(module["Path"])] = (str(used["Path"]), str(used["Version"]))
    return selected


def too_old_for(failure: CommandFailed) -> str:
    """The newest Go version that a failed go command says it should have been; "" when that isn't why it failed."""
    asked = _TOO_OLD.findall(f"{failure.message}\n{failure.found}")
    newest = max(asked, key=version_key, default="")
    return newest + ".0" if re.fullmatch(r"1\.\d+", newest) else newest


def read_project(label: str, directory: str, source: str, go: GoCommand) -> Layout:
    """What a project's own files say.

    :param source: the top of what travels; nothing a go.mod replaces may be outside of it.
    :raises SpecInvalid: there is no go.mod, or a replaced directory doesn't travel.
    """
    work = os.path.join(directory, "go.work")
    workspace = os.path.exists(work)
    if workspace:
        top = go.edit_json(work, workspace=True)
        modules = [os.path.normpath(os.path.join(directory, str(use["DiskPath"]))) for use in top.get("Use") or []]
    else:
        modules = [directory]
        top = {}
    sums: dict[str, dict[gosum.Key, str]] = {}
    replaced = [(work, top)] if workspace else []
    documents = []
    for module in modules:
        file = os.path.join(module, "go.mod")
        if not os.path.exists(file):
            raise SpecInvalid(
                f"{label} has no go.mod in {os.path.relpath(module, source)}",
                subject=label,
                hint="let directory name where its go.mod or go.work is, below the source",
            )
        document = go.edit_json(file)
        documents.append(document)
        replaced.append((file, document))
        if not workspace:
            top = document
    for file, document in replaced:
        for replace in document.get("Replace") or []:
            if not replace["New"].get("Version"):
                old, new = str(replace["Old"]["Path"]), str(replace["New"]["Path"])
                target = os.path.normpath(os.path.join(os.path.dirname(file), new))
                if not (target + "/").startswith(os.path.normpath(source) + "/") or not os.path.exists(os.path.join(target, "go.mod")):
                    raise SpecInvalid(
                        f"{label}: {os.path.relpath(file, source)} replaces {old} by {new}, which isn't part of its source",
                        code="replace_outside",
                        subject=label,
                        found=new,
                        hint="a published module can't be built with such a replace: take the project from git or from a directory that holds it",
                    )
                if target not in modules:
                    sums.update(_sums_of(target, source))
    for module in modules:
        sums.update(_sums_of(module, source))
    if workspace:
        sums.update(_sums_of(directory, source, "go.work.sum"))
    return Layout(
        top=top,
        workspace=workspace,
        modules=tuple(modules),
        sums=gosum.merge(sums),
        required={str(entry["Path"]): str(entry["Version"]) for document in documents for entry in document.get("Require") or []},
        lists_all=all(version_key(str(document.get("Go") or "1.16")) >= _LISTS_ALL for document in documents),
        tools=any(document.get("Tool") for document in documents),
    )


def _sums_of(directory: str, source: str, name: str = "go.sum") -> dict[str, dict[gosum.Key, str]]:
    path = os.path.join(directory, name)
    if not os.path.exists(path):
        return {}
    shown = os.path.relpath(path, source)
    # A file in another encoding (UTF-16, from an editor) then has malformed lines, which are named.
    with open(path, encoding="utf-8", errors="replace") as stream:
        return {shown: gosum.parse(stream.read(), shown)}


def make_probe(directory: str, target: str, beside: t.Sequence[Version], go: GoCommand, run: Run) -> None:
    """A module of our own that imports every importable package of ``target`` (module@version).

    Its closure is what a user's project needs that starts to import the module: tests of its packages, all platforms. With
    requirements ``beside`` it the versions are those which are selected then, and it's left untidied, since tidy would drop what it doesn't import.
    """
    os.makedirs(directory)
    changing = {"GOFLAGS": "-mod=mod -modcacherw"}
    module = target.rsplit("@", 1)[0]
    with open(os.path.join(directory, "go.mod"), "w", encoding="utf-8") as stream:
        stream.write(f"module airgap.invalid/probe\n\ngo {go.version}\n\n" + "".join(f"require {path} {version}\n" for path, version in beside))
    run(["get", target], directory, changing)
    listed = run(["list", "-e", "-f", '{{if and (ne .Name "main") .Name}}{{.ImportPath}}{{end}}', f"{module}/..."], directory, changing)
    packages = [path for path in listed.stdout.split() if "internal" not in path.split("/")]
    with open(os.path.join(directory, "probe.go"), "w", encoding="utf-8") as stream:
        stream.write("package probe\n\n" + "".join(f"import _ {json.dumps(path)}\n" for path in packages))
    if beside:
        run(["list", "-deps", "-test", "all"], directory, changing)
        return
    run(["mod", "tidy"], directory, {})
    if not packages:
        # Nothing to import (commands alone): the module and its graph are what can be carried for it.
        run(["get", target], directory, changing)


def main_packages(run: Run, root: Root) -> list[str]:
    """The project's commands, as package patterns relative to its directory (``./cmd/x``). What they import is not looked at."""
    argv = ["list", "-find", "-f", '{{if eq .Name "main"}}{{.Dir}}{{end}}', *root.patterns()]
    answer = run(argv, root.directory, root.where)
    top = os.path.realpath(root.directory)
    relatives = [os.path.relpath(os.path.realpath(path), top) for path in answer.stdout.splitlines() if path]
    return ["." if relative == "." else "./" + relative for relative in relatives]


def possible_modules(package: str) -> list[str]:
    """The prefixes of a package's path, itself included, that may be its module's path: the longest first."""
    elements = package.split("/")
    prefixes = ["/".join(elements[:count]) for count in range(len(elements), 0, -1)]
    return [path for path in prefixes if _is_module(path)]


def _is_module(path: str) -> bool:
    try:
        check_module(path)
    except SpecInvalid:
        return False
    return True


def module_of(package: str, version: str, ensure: t.Callable[[str, str, str], str]) -> str:
    """The module that has a package: the longest prefix of its path of which ``ensure`` has the go.mod at this version.

    :raises FetchFailed: there is none.
    :raises SpecInvalid: no prefix of the path can be a module's.
    """
    refusals = []
    for path in possible_modules(package):
        try:
            ensure(path, version, "mod")
            return path
        except FetchFailed as exc:
            refusals.append(exc)
    if not refusals:
        raise SpecInvalid(
            f"{package}@{version}: no prefix of its path can be a module's",
            subject=f"{package}@{version}",
            found=package,
            hint="check the path: its first element is a host's name, in lower case",
        )
    # A refusal that isn't "not here" may be mendable.
    raise next((refusal for refusal in refusals if getattr(refusal, "status", None) not in (404, 410)), refusals[0])


def wanted_files(sums: t.Mapping[gosum.Key, str]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(versions of which zips are needed, versions of which at least go.mod is) by go.sum's two kinds of lines.

    A hint for fetching ahead; the proof is what decides.
    """
    zips = {(module, version) for module, version in sums if not version.endswith("/go.mod")}
    mods = {(module, version[: -len("/go.mod")]) for module, version in sums if version.endswith("/go.mod")}
    return zips, mods | zips
