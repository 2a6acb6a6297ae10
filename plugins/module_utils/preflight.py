# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight: what a host or a control node lacks of what meta/prerequisites.yml lists, all of it at once; nothing is changed.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import pwd
import re
import shutil
import sys
import time
import typing as t

from ._base import process, sandbox
from ._base.errors import AirgapError
from ._base.progress import megabytes
from ._content.wish import Wish
from ._depot.generation import Generation
from ._go.command import GoCommand, find_go
from ._host.place import existing, require_writable
from .host import Host

PLACES = ("host", "offline", "connected")

Prerequisite = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Here:
    """Where to look. ``place``: of PLACES. ``verbs``: those that will be used, none for all. ``directories``: by the names that
    prerequisites use (root, link_dir, tools_dir, depot, dest); those that are "" aren't looked at. ``user``: the build check's.
    ``go_binary``: the go command to start with, "" for the one that is found. ``now``: the control node's time, seconds since 1970.
    ``generation``: what is to come to this host, None where it isn't known.
    """

    place: str
    verbs: tuple[str, ...] = ()
    directories: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    user: str = "nobody"
    go_binary: str = ""
    now: t.Optional[float] = None
    generation: t.Optional[Generation] = None


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that isn't as it must be (level error) or should be (warning): what is needed, what was found, why, what to do."""

    name: str
    needed: str
    found: str
    why: str
    hint: str
    level: str

    def sentence(self) -> str:
        return f"{self.name}: needed is {self.needed}, found was {self.found}. {self.why}" + (f" To do: {self.hint}" if self.hint else "")


class _Lacking(Exception):
    """A check's answer that it isn't fulfilled: ``needed``, ``found``, and the hint where the check knows a better one."""

    def __init__(self, needed: str, found: str, hint: str = "") -> None:
        super().__init__(found)
        self.needed, self.found, self.hint = needed, found, hint


def preflight(prerequisites: t.Iterable[Prerequisite], here: Here) -> list[Finding]:
    """Look at all of them that concern this place and these verbs; errors come first."""
    findings: list[Finding] = []
    plan_known = here.place == "host" and here.generation is not None
    for entry in prerequisites:
        if here.place not in entry["places"] or (here.verbs and not set(here.verbs) & set(entry["verbs"])):
            continue
        if plan_known and "room" in entry["check"]:
            # The generation's own figures say it better.
            continue
        try:
            _look(entry["check"], here)
        except _Lacking as exc:
            hint = exc.hint or _hint(entry)
            findings.append(Finding(str(entry["name"]), exc.needed, exc.found, str(entry["reason"]), hint, str(entry["level"])))
    if plan_known and (not here.verbs or "deploy" in here.verbs):
        findings += _of_generation(here, {finding.name for finding in findings})
    return sorted(findings, key=lambda finding: finding.level != "error")


def _look(check: Prerequisite, here: Here) -> None:
    for kind, value in check.items():
        if kind in _CHECKS:
            _CHECKS[kind](value, check, here)
            return
    raise ValueError(f"{dict(check)!r} is no check")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", text.split("+")[0])[:3])


def _require_version(what: str, minimum: str, found: str) -> None:
    if _version(found) < _version(minimum):
        raise _Lacking(f"{what} {minimum} or newer", found)


def _python(minimum: str, check: Prerequisite, here: Here) -> None:
    _require_version("Python", minimum, platform.python_version())


def _command(name: str, check: Prerequisite, here: Here) -> None:
    if shutil.which(name) is None:
        raise _Lacking(f"the program {name}", f"none on PATH ({os.environ.get('PATH', 'which is not set')})")


def _module(name: str, check: Prerequisite, here: Here) -> None:
    minimum = str(check.get("minimum", ""))
    needed = f"the Python module {name}" + (f" {minimum} or newer" if minimum else "")
    if importlib.util.find_spec(name) is None:
        raise _Lacking(needed, f"none that {sys.executable} finds")
    try:
        version = importlib.metadata.version(str(check.get("distribution", name)))
    except importlib.metadata.PackageNotFoundError:
        # A distribution's package may come without metadata; that it's there is known.
        return
    if minimum and _version(version) < _version(minimum):
        raise _Lacking(needed, version)


def _go(minimum: str, check: Prerequisite, here: Here) -> None:
    try:
        version = GoCommand(find_go(here.go_binary)).version
    except AirgapError as exc:
        raise _Lacking(f"go {minimum} or newer", exc.message, exc.hint) from None
    _require_version("go", minimum, version)


def _signatures(value: bool, check: Prerequisite, here: Here) -> None:
    needed = "ssh-keygen with -Y (OpenSSH 8.2 or newer)"
    try:
        asked = process.run(["ssh-keygen", "-Y", "find-principals", "-s", os.devnull, "-f", os.devnull], timeout=60, check=False)
    except AirgapError:
        raise _Lacking(needed, "no ssh-keygen on PATH") from None
    if re.search(r"unknown option|illegal option|usage:", asked.stderr, re.IGNORECASE):
        raise _Lacking(needed, "an older one")


def _network_namespaces(value: bool, check: Prerequisite, here: Here) -> None:
    user = here.user if here.place == "host" else None
    try:
        isolation = sandbox.choose(user)
    except AirgapError:
        # The account isn't there, which is a finding of its own.
        isolation = sandbox.choose(None)
    if isolation.method == "environment":
        raise _Lacking("a network namespace", isolation.proof)


def _account(option: str, check: Prerequisite, here: Here) -> None:
    if os.geteuid() != 0:
        return
    try:
        if here.user.isdigit():
            pwd.getpwuid(int(here.user))
        else:
            pwd.getpwnam(here.user)
    except KeyError:
        raise _Lacking(f"the account {here.user}", "none of that name") from None


def _directory(option: str, here: Here) -> str:
    path = here.directories.get(option, "")
    return os.path.abspath(os.path.expanduser(path)) if path else ""


def _writable(option: str, check: Prerequisite, here: Here) -> None:
    path = _directory(option, here)
    if not path:
        return
    try:
        require_writable(path, "choose another directory")
    except AirgapError as exc:
        raise _Lacking(f"{path}, to be written", exc.message, exc.hint) from None
    if os.statvfs(existing(path)).f_flag & os.ST_RDONLY:
        raise _Lacking(f"{path}, to be written", f"a file system that is read-only, for {existing(path)}")


def _executable(option: str, check: Prerequisite, here: Here) -> None:
    path = _directory(option, here)
    if path and os.statvfs(existing(path)).f_flag & os.ST_NOEXEC:
        hint = "choose a directory on another file system, or mount this one without noexec"
        raise _Lacking(f"{path}, to run programs from", f"{existing(path)} is mounted noexec", hint)


def _room(option: str, check: Prerequisite, here: Here) -> None:
    path = _directory(option, here)
    if not path:
        return
    there = os.statvfs(existing(path))
    free, inodes = there.f_bavail * there.f_frsize, there.f_favail
    if free < check["bytes"] or (there.f_files and inodes < check["inodes"]):
        hint = "make room, or choose a directory on a larger file system"
        raise _Lacking(f"{megabytes(check['bytes'])} and {check['inodes']} inodes free for {path}", f"{megabytes(free)} and {inodes} inodes", hint)


def _clock(seconds: int, check: Prerequisite, here: Here) -> None:
    if here.now is not None and abs(time.time() - here.now) > seconds:
        raise _Lacking(f"at most {seconds} s from the control node's clock", f"{time.time() - here.now:+.0f} s")


def _builds(value: bool, check: Prerequisite, here: Here) -> None:
    """What builds of the generation call that are for this host's platform."""
    if here.generation is None:
        return
    own = Host(here.directories["root"]).platform
    missing: dict[str, list[str]] = {}
    for project in here.generation.config["projects"]:
        for build in project["builds"]:
            if build["platform"] != own:
                continue
            programs = [str(build["command"][0])] if build.get("command") else []
            if str(build["env"].get("CGO_ENABLED", "0")) == "1":
                programs.append(str(build["env"].get("CC", "gcc")).split()[0])
            for program in programs:
                # One with a slash is in the project itself.
                if "/" not in program and program != "go" and shutil.which(program) is None:
                    missing.setdefault(program, []).append(f"{project['name']} {build['output']}")
    if missing:
        raise _Lacking(", ".join(f"{program} (for {', '.join(builds)})" for program, builds in sorted(missing.items())), "none of these on PATH")


_CHECKS: t.Mapping[str, t.Callable[[t.Any, Prerequisite, Here], None]] = {
    "python": _python,
    "command": _command,
    "module": _module,
    "go": _go,
    "signatures": _signatures,
    "network_namespaces": _network_namespaces,
    "account": _account,
    "writable": _writable,
    "executable": _executable,
    "room": _room,
    "clock": _clock,
    "builds": _builds,
}

#: The kinds of checks that prerequisites can ask for.
KINDS = tuple(_CHECKS)

_NOT_WRITABLE = "not_writable"


def _of_generation(here: Here, already: t.Collection[str]) -> list[Finding]:
    """What deploy itself would refuse, by its own code and figures."""
    if here.generation is None:
        raise AssertionError("asked where a generation is named alone")
    why = f"That is what deploy needs to bring generation {here.generation.ref} here."
    refusals: list[AirgapError] = []
    try:
        host = Host(here.directories["root"])
        wish = Wish(
            ("toolchain", "modcache", "goenv", "project", "tools"),
            link_dir=here.directories.get("link_dir", ""),
            tools_dir=here.directories.get("tools_dir", ""),
        )
        plan = host.plan(here.generation, wish)
        if plan.changed:
            refusals += host.what_stops(plan)
    except AirgapError as exc:
        refusals.append(exc)
    return [
        Finding(exc.code, exc.expected or "that it can be deployed", exc.message, why, exc.hint, "error")
        for exc in refusals
        # The same as the declared ones say of root and the links' directories.
        if not (exc.code == _NOT_WRITABLE and {"root", "links", "links of tools"} & set(already))
    ]


def _hint(entry: Prerequisite) -> str:
    if entry.get("hint"):
        return str(entry["hint"])
    if entry.get("pip"):
        return f"pip install '{entry['pip']}', or all of the collection's requirements.txt"
    packages = entry.get("packages") or {}
    commands = {"debian": "apt-get install", "redhat": "dnf install"}
    family = _family()
    chosen = {family: packages[family]} if family in packages else packages
    return " or ".join(f"{commands[name]} {' '.join(names)}" for name, names in chosen.items())


def _family(path: str = "/etc/os-release") -> str:
    """debian, redhat, or "" for another: https://www.freedesktop.org/software/systemd/man/latest/os-release.html."""
    try:
        with open(path, encoding="utf-8") as stream:
            words = set(re.findall(r"[a-z]+", " ".join(line.partition("=")[2] for line in stream if line.startswith(("ID=", "ID_LIKE=")))))
    except OSError:
        return ""
    return "debian" if {"debian", "ubuntu"} & words else "redhat" if {"rhel", "fedora", "centos"} & words else ""
