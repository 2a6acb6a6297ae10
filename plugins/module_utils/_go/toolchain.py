# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Toolchains as modules: golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64, and which of several a go.mod gets.

https://go.dev/doc/toolchain.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import fnmatch
import os
import platform as this_machine
import re
import typing as t

from .._base.errors import HostRefused, SpecInvalid

MODULE = "golang.org/toolchain"

#: How hosts' machine names (uname -m) are called by Go.
_ARCHITECTURES = {
    "aarch64": "arm64",
    "amd64": "amd64",
    "arm64": "arm64",
    "armv6l": "arm",
    "armv7l": "arm",
    "armv8l": "arm",
    "i386": "386",
    "i686": "386",
    "loongarch64": "loong64",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
    "x86_64": "amd64",
}

# Before this release a go line was no requirement, and no toolchain is chosen by it.
FIRST = "1.21"

_VERSION = re.compile(r"(?:go)?(\d+)\.(\d+)(?:\.(\d+))?(?:(rc|beta)(\d+))?(?:[ +-].*)?")


def version_key(version: str) -> tuple[int, int, int, int, int]:
    """Sorts Go versions as Go does: 1.27 < 1.27rc1 < 1.27.0 < 1.27.1. The ``go`` prefix may be there.

    :raises ValueError: it isn't a Go version.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} isn't a Go version")
    major, minor, patch, kind, number = match.groups()
    if kind:
        return int(major), int(minor), -1, {"beta": 0, "rc": 1}[kind], int(number)
    return int(major), int(minor), int(patch) if patch else -2, 0, 0


def module_version(version: str, platform: str) -> str:
    """``v0.0.1-go1.26.8.linux-amd64`` for (1.26.8, linux/amd64)."""
    return f"v0.0.1-go{version}.{platform.replace('/', '-')}"


def directory(modcache: str, version: str, platform: str) -> str:
    """Where GOMODCACHE has the unpacked toolchain, which is a GOROOT."""
    return f"{modcache}/{MODULE}@{module_version(version, platform)}"


def asked_by(gomod: t.Mapping[str, t.Any]) -> str:
    """The Go version that a go.mod or go.work (as ``go mod edit -json`` gives it) asks for; "" for none before 1.21."""
    toolchain = str(gomod.get("Toolchain") or "")
    go = str(gomod.get("Go") or "")
    candidates = [go] if go else []
    if toolchain.startswith("go"):
        candidates.append(toolchain[2:].split("-", maxsplit=1)[0])
    asked = max(candidates, key=version_key, default="")
    if not asked or version_key(asked) < version_key(FIRST):
        return ""
    return asked + ".0" if re.fullmatch(r"\d+\.\d+", asked) else asked


def choose(asked: str, carried: t.Iterable[str]) -> str:
    """The lowest carried version that is at least ``asked``; the highest when nothing is asked; "" when none will do."""
    versions = sorted(set(carried), key=version_key)
    if not asked:
        return versions[-1] if versions else ""
    return next((version for version in versions if version_key(version) >= version_key(asked)), "")


def to_carry(
    named: t.Mapping[str, t.Collection[str]], asked: t.Mapping[str, str], targets: t.Collection[str], own_version: str, own_platform: str
) -> list[tuple[str, str]]:
    """Which toolchains a set needs, as (version, platform), sorted; each version also for the platform that gathers.

    :param named: version to platforms, as the spec has it. Empty: what is asked for decides.
    :param asked: label ("project yq") to the version that its go.mod asks for, "" for any.
    :param targets: the platforms, where ``named`` is empty.
    :param own_version: what a set has that asks for nothing.
    :raises SpecInvalid: something asks for a newer version than all that are named.
    """
    chosen = {version: set(platforms) for version, platforms in named.items()}
    if not chosen and asked:
        # Projects decide; a set of modules and tools alone gets what those ask for.
        deciding = [label for label in asked if label.startswith("project ")] or list(asked)
        for version in {asked[label] or own_version for label in deciding}:
            chosen[version] = set(targets)
    newest = choose("", chosen)
    for label, version in asked.items():
        if not choose(version, chosen):
            raise SpecInvalid(
                f"{label} asks for go{version}; the newest toolchain here is go{newest}",
                code="toolchain_too_old",
                subject=label,
                expected=f"go{version} or newer",
                found=f"go{newest}",
                hint=f"add {{version: '{version}'}} to the toolchains",
            )
    return sorted((version, platform) for version, platforms in chosen.items() for platform in {*platforms, own_platform})


def is_program(name: str) -> bool:
    """Whether the go command makes this file of a toolchain executable: zips carry no exec bits.

    (cmd/go/internal/toolchain, Exec.)
    """
    if name.startswith(("bin/", "pkg/tool/")):
        return True
    return name.startswith("lib/") and fnmatch.fnmatchcase(os.path.basename(name), "go_?*_?*_exec")


def make_executable(goroot: str) -> None:
    """Give a toolchain that the go command has unpacked, but not yet switched to, its exec bits."""
    for top in ("bin", "pkg/tool", "lib"):
        for directory, _names, files in os.walk(os.path.join(goroot, top)):
            for file in files:
                path = os.path.join(directory, file)
                if is_program(os.path.relpath(path, goroot)) and not os.stat(path).st_mode & 0o100:
                    os.chmod(path, 0o755)


def host_platform() -> str:
    """This machine as ``os/arch``, in Go's words.

    :raises HostRefused: Go has no name for it.
    """
    machine = this_machine.machine().lower()
    if machine not in _ARCHITECTURES:
        raise HostRefused(f"Go has no toolchain for {machine}", subject=machine, expected=", ".join(sorted(_ARCHITECTURES)), found=machine)
    return f"{this_machine.system().lower()}/{_ARCHITECTURES[machine]}"
