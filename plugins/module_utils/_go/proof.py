# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that something works offline: the go commands that its users will run, without a network, on what is carried.

What a project's scope promises is written down here once, as the commands that must pass.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .._base.errors import CommandFailed, ProjectDirty
from .build import Build
from .closure import READONLY, Root, Run, attempt, make_probe, platform_environment
from .toolchain import version_key

# `go mod tidy -diff` came with this release.
_TIDY_DIFF = version_key("1.23")


def prove_project(root: Root, run: Run, env: t.Mapping[str, str], tags: t.Sequence[str], run_tests: bool, scratch: str) -> bool:
    """Run what the project's scope promises, then vendor it in place; whether its go.mod and go.sum are tidy (False where nobody looked).

    :param env: the project's build settings. ``tags``: its build tags.
    :param run_tests: run its tests; otherwise they are compiled, all but linked.
    :raises CommandFailed: naming the root, the command and what go said.
    :raises ProjectDirty: its go.mod or go.sum isn't tidy, its scope promises ``go mod tidy``, and that is an error.
    """
    where = {**root.where, "CGO_ENABLED": "0", **env}
    tagged = ["-tags=" + ",".join(tags)] if tags else []
    tidy = False
    try:
        run(["list", "-m", "all"], root.directory, where)
        if root.scope != "build":
            _prove_packages(root, run, where, tagged, run_tests)
        if root.files.tools:
            run(["build", *tagged, "-o", os.path.join(_made(scratch, "tools"), ""), "tool"], root.directory, where)
        if root.scope == "all":
            # Each module is to be judged, so that all of their warnings are there.
            judged = [_is_tidy(root, run, directory) for directory in root.files.modules]
            tidy = all(judged)
            run(["list", "-deps", "-test", "-f", "{{.ImportPath}}", "all"], root.directory, where)
            if root.files.required:
                run(["mod", "why", "-m", *sorted(root.files.required)], root.directory, where)
        _vendor(root, run)
    except CommandFailed as exc:
        raise _said_by_go(exc, root) from None
    return tidy


def _prove_packages(root: Root, run: Run, where: t.Mapping[str, str], tagged: t.Sequence[str], run_tests: bool) -> None:
    if root.files.lists_all and not root.files.workspace:
        run(["mod", "download"], root.directory, where)
        run(["mod", "verify"], root.directory, where)
    # What editors and update bots ask: versions there are, as far as they're carried.
    run(["list", "-m", "-u", "-f", "{{.Path}}", "all"], root.directory, where)
    run(["build", *tagged, *root.patterns()], root.directory, where)
    # With -json, what vet finds in the code is no failure: that is between the project and its authors.
    run(["vet", "-json", *tagged, *root.patterns()], root.directory, where)
    if run_tests:
        run(["test", *tagged, *root.patterns()], root.directory, where)
    else:
        run(["list", "-test", "-export", "-f", "{{.ImportPath}}", *tagged, *root.patterns()], root.directory, where)


def _vendor(root: Root, run: Run) -> None:
    """What only tests need may be absent where the scope is ``build``: the builds themselves show that the rest is there."""
    argv = ["work" if root.files.workspace else "mod", "vendor", *(["-e"] if root.scope == "build" else [])]
    run(argv, root.directory, {"GOWORK": root.where["GOWORK"]})


def prove_module(root: Root, run: Run) -> None:
    """A new project that imports all of a loose module can be made, tidied and listed; its directory is made for that.

    :raises CommandFailed: naming the root, the command and what go said.
    """
    try:
        make_probe(root.directory, root.target, root.beside, root.go, run)
        run(["list", "-m", "all"], root.directory, {"GOFLAGS": READONLY if not root.beside else "-mod=mod -modcacherw"})
        if not root.beside:
            for argv in (["mod", "download"], ["mod", "verify"], ["list", "-deps", "./..."]):
                run(argv, root.directory, {})
    except CommandFailed as exc:
        raise _said_by_go(exc, root) from None


def prove_tool(root: Root, run: Run, scratch: str) -> None:
    """The tool can be installed by its version.

    :raises CommandFailed: naming the root, the command and what go said.
    """
    try:
        run(["install", "-trimpath", root.target], scratch, {"GOBIN": os.path.join(scratch, "bin"), "CGO_ENABLED": "0"})
    except CommandFailed as exc:
        raise _said_by_go(exc, root) from None


def build_tool(root: Root, run: Run, platform: str, gopath: str) -> str:
    """Build the tool for ``platform`` (os/arch), static and without local paths; the path of the binary, below ``gopath``.

    :raises CommandFailed: naming the root, the command and what go said.
    """
    environment = {**platform_environment(platform), "GOPATH": gopath}
    try:
        # go refuses GOBIN for other platforms than its own, and has directories for them below GOPATH.
        run(["install", "-trimpath", "-buildvcs=false", root.target], _made(gopath, "work"), environment)
    except CommandFailed as exc:
        raise _said_by_go(exc, root) from None
    (binary,) = [os.path.join(top, name) for top, _directories, names in os.walk(os.path.join(gopath, "bin")) for name in names]
    return binary


def _is_tidy(root: Root, run: Run, directory: str) -> bool:
    """``go mod tidy -diff``: would go write another go.mod or go.sum?"""
    if root.files.workspace:
        # tidy doesn't know workspaces: a module that finds its siblings only through go.work can't be tidied alone.
        alone = attempt(run, ["list", "-deps", "-test", "./..."], directory, {"GOFLAGS": READONLY})
        if alone is not None:
            root.warnings.append(f"{root.label}: {os.path.relpath(directory, root.directory)} only builds inside go.work, so go mod tidy can't judge it")
            return True
    if version_key(root.go.version) >= _TIDY_DIFF:
        dirty = attempt(run, ["mod", "tidy", "-diff"], directory, {})
        if dirty is None:
            return True
        # go exits with 1 for a difference and for a failure; only a difference is printed as a patch.
        if not dirty.details:
            raise dirty
        patch = str(dirty.details[0]["stdout"])
    else:
        patch = _tidy_and_compare(run, directory)
        if not patch:
            return True
    refusal = ProjectDirty(
        f"{root.label}: go.mod or go.sum isn't what go mod tidy would write: {_changes(patch)}",
        subject=root.label,
        found=patch[:2000],
        hint="run 'go mod tidy' with the same Go version and commit the result, or set dirty: warn for this project",
    )
    if root.dirty_is_error:
        raise refusal
    root.warnings.append(refusal.message)
    return False


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


def default_builds(
    packages: t.Sequence[str], name: str, platforms: t.Sequence[str], env: t.Mapping[str, str], flags: t.Sequence[str], tags: t.Sequence[str]
) -> list[Build]:
    """One build for each main package and platform.

    :param packages: as main_packages gives them. ``name``: what a main package in the project's own directory makes.
    """
    names = [name if package == "." else os.path.basename(package) for package in packages]
    builds = []
    for package, short in zip(packages, names):
        binary = short if names.count(short) == 1 else package[2:].replace("/", "-") or name
        for platform in platforms:
            suffix = "" if len(platforms) == 1 else "-" + platform.replace("/", "-")
            entry = {"package": package, "output": f"bin/{binary}{suffix}", "platform": platform, "env": env, "flags": flags, "tags": tags}
            builds.append(Build.from_dict(entry))
    return builds


def _made(*parts: str) -> str:
    path = os.path.join(*parts)
    os.makedirs(path, exist_ok=True)
    return path


def _said_by_go(failure: CommandFailed, root: Root) -> CommandFailed:
    return CommandFailed(
        f"{root.label}: without a network, {failure.message}",
        code=failure.code,
        subject=root.label,
        found=failure.found,
        hint=failure.hint or "nothing is sealed: see what go said, mend the project or the spec, and gather again",
        details=failure.details,
    )
