# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python wheels for machines other than this one: pip decides which and gets them; that nothing is missing there is checked here.

pip's configuration (index, proxy, certificates, credentials) is the user's own. Wheels are named as
https://packaging.python.org/en/latest/specifications/binary-distribution-format/ says.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import email.parser
import os
import re
import sys
import tempfile
import typing as t
import zipfile

from .._base import process
from .._base.errors import CommandFailed, FetchFailed, SpecInvalid, ToolMissing
from .._base.files import sha256_of
from .._base.urls import scrub

# pip's words for platforms. Wheels for an older glibc run with a newer one; 2.28 is that of RHEL 8 and Debian 10.
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "ppc64le": "ppc64le", "s390x": "s390x"}
_GLIBC = range(17, 29)

_NAME = re.compile(r"[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-[0-9][A-Za-z0-9_.]*)?-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+\.whl")
_ROUNDS = 5


class Wheel(t.NamedTuple):
    """A wheel: its file's name, which says project and version too, and the file's hex SHA-256."""

    file: str
    sha256: str

    @property
    def project(self) -> str:
        """In the one form that names are compared in: lower case, with dashes."""
        return canonical(self.file.split("-")[0])

    @property
    def version(self) -> str:
        return self.file.split("-")[1]

    def requirement(self) -> str:
        """A line for ``pip --require-hashes -r``."""
        return f"{self.project}=={self.version} --hash=sha256:{self.sha256}\n"


class Target(t.NamedTuple):
    """A Python (3.11) on a platform (linux/amd64)."""

    python: str
    platform: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.platform}"

    def machine(self) -> str:
        """What ``uname -m`` says there.

        :raises SpecInvalid: there are no wheels for such a platform.
        """
        system, _slash, architecture = self.platform.partition("/")
        if system != "linux" or architecture not in _MACHINES:
            known = ", ".join(f"linux/{name}" for name in _MACHINES)
            raise SpecInvalid(f"a kit can't be for {self.platform}", subject=self.platform, expected=known, hint=f"there are wheels for {known}")
        return _MACHINES[architecture]

    def options(self) -> list[str]:
        """pip's options for it."""
        machine = self.machine()
        tags = [f"manylinux_2_{minor}_{machine}" for minor in reversed(_GLIBC)] + [f"manylinux2014_{machine}"]
        return ["--python-version", self.python, "--implementation", "cp", *(f"--platform={tag}" for tag in tags)]


def canonical(name: str) -> str:
    """https://packaging.python.org/en/latest/specifications/name-normalization/"""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_name(file: str) -> bool:
    """Whether a text that came from elsewhere is a wheel's file name."""
    return _NAME.fullmatch(file) is not None


def resolve(wanted: t.Sequence[str], target: Target, directory: str) -> list[Wheel]:
    """Get the wheels that ``wanted`` (requirements as pip takes them) and all that they need come to on ``target``, into ``directory``.

    pip chooses; but it looks at environment markers with the eyes of the Python that it runs in
    (https://github.com/pypa/pip/issues/11664), so what the target needs beside that is asked for until nothing is missing.

    :raises FetchFailed: there is no such set of wheels.
    :raises ToolMissing: there is no pip.
    """
    asked = list(wanted)
    for _round in range(_ROUNDS):
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            # Not pip install --dry-run, which would be content with a report: it asks whether ansible-core runs on the Python of pip's own.
            _pip(["download", "--dest", scratch, "--only-binary=:all:", *target.options(), *asked], target)
            found = {canonical(name.split("-")[0]): os.path.join(scratch, name) for name in os.listdir(scratch)}
            needed, missing = _needed(wanted, {name: requirements_of(path) for name, path in found.items()}, target)
            if not missing:
                for name in needed:
                    os.replace(found[name], os.path.join(directory, os.path.basename(found[name])))
                return sorted(_wheel(os.path.join(directory, os.path.basename(found[name]))) for name in needed)
        asked += missing
    raise FetchFailed(f"the kit for {target} isn't complete: {', '.join(missing)} can't be had", subject=str(target), hint="name another ansible_core for it")


def download(wheels: t.Sequence[Wheel], target: Target, directory: str) -> None:
    """Get these wheels; pip proves each against its hash.

    :raises FetchFailed: one can't be had, or is another than it was.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as requirements:
        requirements.writelines(wheel.requirement() for wheel in wheels)
        requirements.flush()
        _pip(["download", "--no-deps", "--require-hashes", "--dest", directory, "-r", requirements.name, "--only-binary=:all:", *target.options()], target)
    absent = [wheel.file for wheel in wheels if not os.path.isfile(os.path.join(directory, wheel.file))]
    if absent:
        raise FetchFailed(f"the index has no {', '.join(absent)} any more", subject=", ".join(absent), hint="let the lock be made anew: bundle_upgrade")


def requirements_of(path: str) -> list[str]:
    """A wheel's Requires-Dist: https://packaging.python.org/en/latest/specifications/core-metadata/.

    :raises FetchFailed: it isn't a wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            return email.parser.BytesParser().parsebytes(archive.read(name), headersonly=True).get_all("Requires-Dist") or []
    except (ValueError, zipfile.BadZipFile) as exc:
        raise FetchFailed(f"{os.path.basename(path)} is no wheel: {exc}", subject=os.path.basename(path)) from None


def _pip(arguments: t.Sequence[str], target: Target) -> None:
    try:
        process.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments], what="pip")
    except CommandFailed as exc:
        if "No module named pip" in exc.found:
            raise ToolMissing(f"{sys.executable} has no pip, which gets the kit's wheels", subject="pip", hint="install it (python3 -m ensurepip)") from None
        said = scrub(exc.found)
        raise FetchFailed(
            f"the kit for {target}: {said}",
            code="lock_mismatch" if "DO NOT MATCH THE HASHES" in said else "fetch_failed",
            subject=str(target),
            found=said,
            hint="pip's own configuration says where it looks; its ansible-core must be one that this Python can have",
        ) from None


def _wheel(path: str) -> Wheel:
    return Wheel(os.path.basename(path), sha256_of(path)[0])


def _needed(wanted: t.Sequence[str], found: t.Mapping[str, t.Sequence[str]], target: Target) -> tuple[set[str], list[str]]:
    """The names that ``target`` needs, of those that were found (with what each requires), and the requirements of which nothing was."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        raise ToolMissing("the Python module packaging is not here", subject="packaging", hint="it comes with ansible-core: pip install packaging") from None
    there = {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": target.machine(),
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "linux",
        "extra": "",
    }
    needed: set[str] = set()
    missing: list[str] = []
    waiting = [Requirement(text) for text in wanted]
    while waiting:
        requirement = waiting.pop()
        name = canonical(requirement.name)
        if name in needed or (requirement.marker and not requirement.marker.evaluate(there)):
            continue
        if name not in found:
            missing.append(f"{requirement.name}{requirement.specifier}")
            continue
        needed.add(name)
        waiting += [Requirement(text) for text in found[name]]
    return needed, missing
