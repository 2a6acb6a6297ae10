# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of one root: whatever must work offline is run without a network against exactly what will be carried.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .._base.errors import CommandFailed
from .build import Build
from .closure import Root, Run, main_packages, said_by_go


def prove(root: Root, run: Run, scratch: str) -> None:
    """Everything but a project's builds.

    :raises CommandFailed: naming the root, the command and what go said.
    :raises ProjectDirty: its go.mod or go.sum isn't tidy, and that is an error.
    """
    root.warnings.clear()
    try:
        root.steps(run, os.path.join(scratch, "work"))
    except CommandFailed as exc:
        raise said_by_go(exc, root, "without a network") from None


def prove_builds(root: Root, run: Run, scratch: str, builds: t.Sequence[Build], name: str, platforms: t.Sequence[str]) -> list[Build]:
    """Compile a project from its modules, then vendor it in place. Its builds: those given, or one for each main package.

    :param name: what a main package in the project's own directory makes.
    :param platforms: what main packages are built for, where the spec gives no builds.
    :raises CommandFailed: naming the root, the command and what go said.
    """
    where = {"GOWORK": root.gowork, "GOFLAGS": "-mod=readonly -modcacherw"}
    try:
        chosen = list(builds) or _default_builds(root, run, name, platforms)
        for build in chosen:
            goos, goarch = build.platform.split("/")
            argv = ["build", "-trimpath", "-buildvcs=false", *build.flags, *(["-tags=" + ",".join(build.tags)] if build.tags else [])]
            environment = {**where, "GOOS": goos, "GOARCH": goarch, "CGO_ENABLED": "0", **build.env}
            run([*argv, "-o", os.path.join(scratch, "binary"), build.package], root.directory, environment)
        if not chosen:
            root.warnings.append(f"{root.label} has no main package and no builds: its packages are compiled, no binary is made")
            for directory in root.modules:
                run(["build", "-trimpath", "./..."], directory, {**where, "CGO_ENABLED": "0"})
        run(["work" if root.workspace else "mod", "vendor"], root.directory, {"GOWORK": root.gowork})
    except CommandFailed as exc:
        raise said_by_go(exc, root, "without a network") from None
    return chosen


def _default_builds(root: Root, run: Run, name: str, platforms: t.Sequence[str]) -> list[Build]:
    packages = main_packages(run, root)
    names = [name if package == "." else os.path.basename(package) for package in packages]
    builds = []
    for package, short in zip(packages, names):
        binary = short if names.count(short) == 1 else package[2:].replace("/", "-") or name
        for platform in platforms:
            suffix = "" if len(platforms) == 1 else "-" + platform.replace("/", "-")
            builds.append(Build.from_dict({"package": package, "output": f"bin/{binary}{suffix}", "platform": platform}))
    return builds
