# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a project, a loose module or a tool needs: asked of the go command, and proved by it without a network.

A ``Root`` is one thing that must work offline. ``steps`` are the go commands that have to pass for it; run through a
RecordingProxy they tell which module files are needed, and run in a sandbox against the finished tree they prove it.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from .._base.errors import AirgapError, CommandFailed, FetchFailed, ProjectDirty, SpecInvalid
from .._base.process import Finished
from . import gosum
from .command import GoCommand
from .toolchain import version_key

#: Runs one go command in a directory, with these variables on top of the phase's environment.
Run = t.Callable[[t.Sequence[str], str, t.Mapping[str, str]], Finished]

# `go mod tidy -diff` came with this release.
TIDY_DIFF = version_key("1.23")


@dataclasses.dataclass
class Root:
    """One thing that must work offline.

    ``label``: "project yq". ``directory``: where its go.mod or go.work is. ``go``: the go command that serves it.
    ``asked``: the Go version that it asks for, "" for any. ``sums``: what its go.sum files say. ``target``: a tool's
    package or a loose module, with @version. ``dirty_is_error``: whether an untidy go.mod stops the gather.
    """

    kind: str
    label: str
    directory: str
    go: GoCommand
    asked: str = ""
    target: str = ""
    workspace: bool = False
    dirty_is_error: bool = True
    sums: dict[gosum.Key, str] = dataclasses.field(default_factory=dict)
    modules: tuple[str, ...] = ()
    warnings: list[str] = dataclasses.field(default_factory=list)
    untidy: bool = False

    @property
    def gowork(self) -> str:
        return os.path.join(self.directory, "go.work") if self.workspace else "off"

    def ask(self, run: Run) -> None:
        """Let the go command look for all that this root needs: a project's module graph, a module's or tool's closure.

        A loose module gets its probe in ``directory``, and with it ``modules`` and ``sums``.

        :raises CommandFailed: naming the command and what go said.
        :raises ProjectDirty: the graph can't be read because go.mod or go.sum is untidy.
        """
        if self.kind == "project":
            try:
                run(["list", "-m", "-json", "all"], self.directory, {"GOWORK": self.gowork, "GOFLAGS": "-mod=readonly"})
            except CommandFailed:
                for directory in self.modules:
                    self._tidy(run, directory)
                raise
            return
        if self.kind == "module":
            make_probe(self.directory, self.target, self.go, run)
            _top, _workspace, modules, self.sums = read_project(self.label, self.directory, self.directory, self.go)
            self.modules = tuple(modules)
        self.steps(run, self.directory)

    def steps(self, run: Run, scratch: str) -> None:
        """Run all that has to pass offline for this root.

        :raises AirgapError: naming the command and what go said.
        """
        if self.kind == "tool":
            run(["install", "-trimpath", self.target], scratch, {"GOBIN": os.path.join(scratch, "bin")})
            return
        for verb in ("download", "verify"):
            run(["mod", verb], self.directory, {"GOWORK": self.gowork})
        for directory in self.modules:
            self._tidy(run, directory)
        run(["list", "-m", "all"], self.directory, {"GOWORK": self.gowork, "GOFLAGS": "-mod=readonly -modcacherw"})
        if self.kind == "module":
            run(["list", "-deps", "./..."], self.directory, {"GOFLAGS": "-mod=readonly -modcacherw"})

    def _tidy(self, run: Run, directory: str) -> None:
        """``go mod tidy -diff``: would go write another go.mod or go.sum?"""
        if self.workspace:
            # tidy doesn't know workspaces: a module that finds its siblings only through go.work can't be tidied alone.
            alone = _try(run, ["list", "-deps", "-test", "./..."], directory, {"GOFLAGS": "-mod=readonly -modcacherw"})
            if alone is not None:
                self.warnings.append(f"{self.label}: {os.path.relpath(directory, self.directory)} only builds inside go.work, so go mod tidy can't judge it")
                return
        if version_key(self.go.version) >= TIDY_DIFF:
            dirty = _try(run, ["mod", "tidy", "-diff"], directory, {})
            if dirty is None:
                return
            # go exits with 1 for a difference and for a failure; only a difference is printed as a patch.
            if not dirty.details:
                raise dirty
            patch = str(dirty.details[0]["stdout"])
        else:
            patch = _tidy_and_compare(run, directory)
            if not patch:
                return
        refusal = ProjectDirty(
            f"{self.label}: go.mod or go.sum isn't what go mod tidy would write: {_changes(patch)}",
            subject=self.label,
            found=patch[:2000],
            hint="run 'go mod tidy' with the same Go version and commit the result, or set dirty: warn for this project",
        )
        if self.dirty_is_error:
            raise refusal
        self.untidy = True
        self.warnings.append(refusal.message)


def _try(run: Run, argv: t.Sequence[str], directory: str, more: t.Mapping[str, str]) -> t.Optional[CommandFailed]:
    try:
        run(argv, directory, more)
    except CommandFailed as exc:
        return exc
    return None


def _tidy_and_compare(run: Run, directory: str) -> str:
    """What ``go mod tidy`` of a Go before 1.23 changes, as removed and added lines; the files are put back."""
    before: dict[str, bytes] = {}
    for name in ("go.mod", "go.sum"):
        path = os.path.join(directory, name)
        if os.path.exists(path):
            with open(path, "rb") as stream:
                before[name] = stream.read()
    run(["mod", "tidy"], directory, {})
    changes = []
    for name in ("go.mod", "go.sum"):
        path = os.path.join(directory, name)
        after = b""
        if os.path.exists(path):
            with open(path, "rb") as stream:
                after = stream.read()
        was = before.get(name, b"")
        if after != was:
            old, new = was.decode("utf-8", "replace").splitlines(), after.decode("utf-8", "replace").splitlines()
            changes += [f"-{line}" for line in old if line not in new] + [f"+{line}" for line in new if line not in old]
            with open(path, "wb") as stream:
                stream.write(was)
    return "\n".join(changes)


def _changes(patch: str) -> str:
    lines = [line for line in patch.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    shown = "; ".join(" ".join(line.split()) for line in lines[:3])
    return shown + (f" and {len(lines) - 3} more lines" if len(lines) > 3 else "")


def read_project(label: str, directory: str, source: str, go: GoCommand) -> tuple[dict[str, t.Any], bool, list[str], dict[gosum.Key, str]]:
    """What a project's own files say: (its go.mod or go.work, whether it's a workspace, module directories, sums).

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
    for module in modules:
        file = os.path.join(module, "go.mod")
        if not os.path.exists(file):
            raise SpecInvalid(
                f"{label} has no go.mod in {os.path.relpath(module, source)}",
                subject=label,
                hint="let directory name where its go.mod or go.work is, below the source",
            )
        document = go.edit_json(file)
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
    return top, workspace, modules, gosum.merge(sums)


def _sums_of(directory: str, source: str, name: str = "go.sum") -> dict[str, dict[gosum.Key, str]]:
    path = os.path.join(directory, name)
    if not os.path.exists(path):
        return {}
    shown = os.path.relpath(path, source)
    with open(path, encoding="utf-8") as stream:
        return {shown: gosum.parse(stream.read(), shown)}


def make_probe(directory: str, target: str, go: GoCommand, run: Run) -> None:
    """A module of our own that imports every importable package of ``target`` (module@version), tidied.

    Its closure is what a user's project needs that starts to import the module: tests of its packages, all platforms.
    """
    os.makedirs(directory)
    module = target.rsplit("@", 1)[0]
    with open(os.path.join(directory, "go.mod"), "w", encoding="utf-8") as stream:
        stream.write(f"module airgap.invalid/probe\n\ngo {go.version}\n")
    run(["get", target], directory, {"GOFLAGS": "-mod=mod -modcacherw"})
    listed = run(
        ["list", "-e", "-f", '{{if and (ne .Name "main") .Name}}{{.ImportPath}}{{end}}', f"{module}/..."], directory, {"GOFLAGS": "-mod=mod -modcacherw"}
    )
    packages = [path for path in listed.stdout.split() if "internal" not in path.split("/")]
    with open(os.path.join(directory, "probe.go"), "w", encoding="utf-8") as stream:
        stream.write("package probe\n\n" + "".join(f"import _ {json.dumps(path)}\n" for path in packages))
    run(["mod", "tidy"], directory, {})
    if not packages:
        # Nothing to import (commands alone): the module and its graph are what can be carried for it.
        run(["get", target], directory, {"GOFLAGS": "-mod=mod -modcacherw"})


def main_packages(run: Run, root: Root) -> list[str]:
    """The project's commands, as package patterns relative to its directory (``./cmd/x``)."""
    patterns = [os.path.join(".", os.path.relpath(module, root.directory), "...") for module in root.modules]
    argv = ["list", "-f", '{{if eq .Name "main"}}{{.Dir}}{{end}}', *patterns]
    answer = run(argv, root.directory, {"GOWORK": root.gowork, "GOFLAGS": "-mod=readonly -modcacherw"})
    top = os.path.realpath(root.directory)
    relatives = [os.path.relpath(os.path.realpath(path), top) for path in answer.stdout.splitlines() if path]
    return ["." if relative == "." else "./" + relative for relative in relatives]


def module_of(package: str, version: str, ensure: t.Callable[[str, str, str], str]) -> str:
    """The module that has a package: the longest prefix of its path of which ``ensure`` has the go.mod at this version.

    :raises FetchFailed: there is none.
    """
    path = package
    refusals = []
    while "/" in path:
        try:
            ensure(path, version, "mod")
            return path
        except FetchFailed as exc:
            refusals.append(exc)
            path = path.rsplit("/", 1)[0]
    # A refusal that isn't "not here" may be mendable.
    raise next((refusal for refusal in refusals if getattr(refusal, "status", None) not in (404, 410)), refusals[0])


def wanted_files(sums: t.Mapping[gosum.Key, str]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(versions of which zips are needed, versions of which at least go.mod is) by go.sum's two kinds of lines.

    A hint for fetching ahead; the proof is what decides.
    """
    zips = {(module, version) for module, version in sums if not version.endswith("/go.mod")}
    mods = {(module, version[: -len("/go.mod")]) for module, version in sums if version.endswith("/go.mod")}
    return zips, mods | zips


def said_by_go(failure: AirgapError, root: Root, step: str) -> AirgapError:
    """The error of a step, with the root's name in front."""
    return CommandFailed(
        f"{root.label}: go {step}: {failure.message}", code=failure.code, subject=root.label, found=failure.found, hint=failure.hint, details=failure.details
    )
