# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the active generation says is to be built on a host, which binaries that must give, and which of them are attested already.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import stat
import typing as t

from .._base.errors import DepotDamaged, HostRefused, NotSealed, SpecInvalid
from .._base.files import sha256_of
from .._go import toolchain
from .._go.build import Build

#: Of attestations, and of the reports of the build check.
SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Sealed:
    """What the active generation says, and the SHA-256 of the document that says it."""

    name: str
    number: int
    digest: str
    targets: t.Sequence[Target]

    def to_dict(self) -> dict[str, t.Any]:
        return {"name": self.name, "number": self.number, "digest": self.digest}


@dataclasses.dataclass(frozen=True)
class Target:
    """One binary to build here, and what it must be."""

    project: str
    build: Build
    expected: str
    goroot: str
    go: str
    source: str
    top: str
    workspace: bool
    path: str

    @property
    def attestation(self) -> str:
        return self.path + ".attestation.json"

    def result(self, status: str, **more: t.Any) -> dict[str, t.Any]:
        """The entry for RETURN's builds: all keys, whatever became of it."""
        return {
            "project": self.project,
            "output": self.build.output,
            "package": self.build.package,
            "platform": self.build.platform,
            "toolchain": self.go,
            "path": self.path,
            "attestation": self.attestation,
            "status": status,
            "expected": self.expected,
            "sha256": "",
            "size": 0,
            "seconds": 0.0,
            "message": "",
            **more,
        }


def read(root: str, projects: t.Sequence[str] = ()) -> Sealed:
    """What the active generation of ``root`` builds; of these projects, or of all.

    :raises HostRefused: there is no active generation here.
    :raises DepotDamaged: its document can't be read.
    :raises NotSealed: nothing was rehearsed that a build could be compared with.
    :raises SpecInvalid: a project that it doesn't have was asked for.
    """
    current = os.path.join(root, "current")
    path = os.path.join(current, "generation.json")
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        raise HostRefused(f"{root} has no active generation", subject=path, hint="deploy one to this host first") from None
    try:
        document = json.loads(content.decode("utf-8"))
        number = int(document["generation"])
        carried = {str(project["name"]): project for project in document["projects"]}
        missing = sorted(set(projects) - set(carried))
        if missing:
            raise SpecInvalid(
                f"generation {number:06d} has no project {', '.join(missing)}",
                subject=missing[0],
                expected=", ".join(sorted(carried)),
                found=", ".join(missing),
                hint=f"name some of {', '.join(sorted(carried)) or 'none: it carries no projects'}",
            )
        home = os.path.join(root, "builds", f"{number:06d}")
        targets = [
            _target(root, current, home, project, entry)
            for name, project in carried.items()
            if not projects or name in projects
            for entry in project["builds"]
        ]
        return Sealed(str(document["name"]), number, "sha256:" + hashlib.sha256(content).hexdigest(), targets)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise DepotDamaged(
            f"{path} can't be read ({type(exc).__name__}: {exc})",
            subject=path,
            found=str(exc),
            hint="deploy the generation again; if that changes nothing, remove its directory below generations/ first",
        ) from None


def _target(root: str, current: str, home: str, project: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> Target:
    name = str(project["name"])
    directory = os.path.normpath(str(project.get("directory") or "."))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or directory.startswith(("..", "/")):
        raise ValueError(f"project {name!r} with directory {directory!r} leads elsewhere")
    expected = str(entry.get("sha256") or "")
    if not expected:
        raise NotSealed(
            f"the rehearsal of project {name}, {entry.get('output')}, has not been: there is nothing to compare a build with",
            subject=name,
            hint="deploy a sealed generation; one that isn't can only be tried by hand",
        )
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise ValueError(f"project {name}: {expected!r} is no SHA-256")
    build = Build.from_dict(entry)
    version = str(project["toolchain"])
    return Target(
        project=name,
        build=build,
        expected=expected,
        goroot=toolchain.directory(os.path.join(root, "modcache"), version, toolchain.host_platform()),
        go=version,
        source=os.path.normpath(os.path.join(current, "projects", name, directory)),
        top=os.path.join(current, "projects", name),
        workspace=bool(project.get("workspace")),
        path=os.path.join(home, name, build.output),
    )


def attested(target: Target, generation: Sealed) -> t.Optional[dict[str, t.Any]]:
    """The attestation, when it, the binary and the rehearsal all say the same for this very generation; else None."""
    try:
        with open(target.attestation, encoding="utf-8") as stream:
            attestation = json.load(stream)
        if not isinstance(attestation, dict) or not stat.S_ISREG(os.lstat(target.path).st_mode):
            return None
    except (OSError, ValueError, RecursionError):
        return None
    said = (attestation.get("schema"), attestation.get("generation"), attestation.get("project"), attestation.get("build"), attestation.get("sha256"))
    if said != (SCHEMA, generation.to_dict(), target.project, target.build.to_dict(), target.expected):
        return None
    if stat.S_IMODE(os.lstat(target.path).st_mode) != 0o755 or sha256_of(target.path)[0] != target.expected:
        return None
    return attestation


def recorded(attestation: t.Optional[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    return {key: (attestation or {}).get(key, "") for key in ("sha256", "size", "seconds")}
