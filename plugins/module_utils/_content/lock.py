# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock: the exact selection that a spec resolved to, with the hash of all that is carried. Committed beside the spec.

A JSON document, sorted, one line an entry, so that git's differences are small and merges rarely meet. Its schema is
docs/schemas/lock.v1.json. It names no path of the machine that wrote it, and no credentials.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
import typing as t

from .._base.errors import ModuleRefused, SpecInvalid
from .._base.files import write_atomically
from .._base.urls import public_url, scrub
from .._go import gosum
from .._go.escape import is_exact
from .._go.store import Version
from .spec import Spec

SCHEMA = 1

#: The pin of the Go release that those get who ask for none.
TOOLCHAIN = "toolchain"

_H1 = re.compile(r"h1:[A-Za-z0-9+/]{43}=")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RELEASE = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?((rc|beta)[0-9]+)? [a-z0-9]+/[a-z0-9]+")


class Sums(t.NamedTuple):
    """A module version's hashes. ``h1``: of its zip, "" where go.mod alone is carried."""

    h1: str
    gomod_h1: str


@dataclasses.dataclass(frozen=True)
class Lock:
    """What is locked.

    ``pins``: what each loose thing of the spec means ("module rsc.io/quote@latest": "v1.5.2"); loose.py names them.
    ``modules``: the hashes of every version that is carried. ``toolchains``: (version, os/arch). ``projects``: by name, where each came from,
    with its commit or its digest. ``files``: by their path below the tree's files/, the hex SHA-256.
    """

    pins: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    modules: t.Mapping[Version, Sums] = dataclasses.field(default_factory=dict)
    toolchains: frozenset[tuple[str, str]] = frozenset()
    projects: t.Mapping[str, t.Mapping[str, str]] = dataclasses.field(default_factory=dict)
    files: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    def sums(self) -> dict[gosum.Key, str]:
        """The modules' hashes as a go.sum has them."""
        sums: dict[gosum.Key, str] = {}
        for (module, version), entry in self.modules.items():
            if entry.h1:
                sums[(module, version)] = entry.h1
            if entry.gomod_h1:
                sums[(module, version + "/go.mod")] = entry.gomod_h1
        return sums


def read(path: str) -> t.Optional[Lock]:
    """The lock at ``path``; None when there is none.

    :raises SpecInvalid: ``lock_damaged``: it isn't one.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as exc:
        raise _damaged(path, f"it isn't text ({exc.reason})") from None
    return parse(text, path)


def write(path: str, lock: Lock) -> bool:
    """Write the lock where it differs; whether it did. The directory must be there; a file's mode stays, and a link stays a link.

    :raises SpecInvalid: there is no such directory.
    """
    target = os.path.realpath(path)
    if not os.path.isdir(os.path.dirname(target)):
        raise SpecInvalid(f"there is no directory {os.path.dirname(path)} for the lock", subject=path, hint="make it, or let lock name a file beside the spec")
    if not differs(path, lock):
        return False
    mode = stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else 0o644
    write_atomically(target, encode(lock), mode)
    return True


def differs(path: str, lock: Lock) -> bool:
    """Whether ``write`` would change the file."""
    try:
        with open(path, "rb") as stream:
            return stream.read() != encode(lock)
    except FileNotFoundError:
        return True


def encode(lock: Lock) -> bytes:
    modules = {f"{module}@{version}": {name: value for name, value in zip(("h1", "go.mod"), sums) if value} for (module, version), sums in lock.modules.items()}
    content: dict[str, t.Union[t.Mapping[str, t.Any], t.Sequence[str]]] = {
        "toolchains": sorted(f"{version} {platform}" for version, platform in lock.toolchains),
        "modules": modules,
        "projects": lock.projects,
        "files": lock.files,
    }
    sections = ",\n".join(f"    {json.dumps(name)}: {_lines(entries, 4)}" for name, entries in content.items())
    return f'{{\n  "schema": {SCHEMA},\n  "pins": {_lines(lock.pins, 2)},\n  "content": {{\n{sections}\n  }}\n}}\n'.encode()


def _lines(entries: t.Union[t.Mapping[str, t.Any], t.Sequence[str]], indent: int) -> str:
    """A JSON object or list with one line an entry."""
    if isinstance(entries, t.Mapping):
        brackets = "{}"
        lines = [f"{json.dumps(name)}: {json.dumps(entries[name], sort_keys=True)}" for name in sorted(entries)]
    else:
        brackets = "[]"
        lines = [json.dumps(entry) for entry in entries]
    if not lines:
        return brackets
    space = " " * indent
    return brackets[0] + "\n" + ",\n".join(f"{space}  {line}" for line in lines) + f"\n{space}" + brackets[1]


def parse(text: str, path: str) -> Lock:
    """:param path: the file's name, for messages.
    :raises SpecInvalid: ``lock_damaged``.
    """
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except ValueError as exc:
        conflict = re.search(r"(?m)^(<<<<<<<|=======|>>>>>>>)", text)
        raise _damaged(path, "git left a merge conflict in it" if conflict else f"it isn't JSON: {exc}") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise _damaged(path, f"its schema is {found!r}, and this collection reads {SCHEMA}")
    try:
        return _lock_of(document)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise _damaged(path, f"{type(exc).__name__}: {exc}") from None


def _once(pairs: t.Sequence[tuple[str, t.Any]]) -> dict[str, t.Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _value in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is in it twice")
    return document


def _lock_of(document: t.Mapping[str, t.Any]) -> Lock:
    if set(document) != {"schema", "pins", "content"} or set(document["content"]) != {"toolchains", "modules", "projects", "files"}:
        raise ValueError("it has other parts than pins and content with toolchains, modules, projects and files")
    content = document["content"]
    modules: dict[Version, Sums] = {}
    for name, sums in content["modules"].items():
        module, at, version = name.partition("@")
        if not (module and at and is_exact(version)) or not set(sums) <= {"h1", "go.mod"}:
            raise ValueError(f"{name!r}: {sums!r} isn't a module version")
        modules[(module, version)] = Sums(_fitting(_H1, sums["h1"]) if "h1" in sums else "", _fitting(_H1, sums["go.mod"]) if "go.mod" in sums else "")
    toolchains = [_fitting(_RELEASE, entry).split(" ") for entry in content["toolchains"]]
    return Lock(
        _texts(document["pins"]),
        modules,
        frozenset((version, platform) for version, platform in toolchains),
        {str(name): _texts(entry) for name, entry in content["projects"].items()},
        {str(name): _fitting(_SHA256, sha256) for name, sha256 in content["files"].items()},
    )


def _texts(entries: t.Mapping[str, t.Any]) -> dict[str, str]:
    for name, value in entries.items():
        if not isinstance(value, str):
            raise ValueError(f"{name!r} is {value!r}, not a text")
    return dict(entries)


def _fitting(pattern: t.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"{value!r} doesn't fit {pattern.pattern}")
    return value


def _damaged(path: str, why: str) -> SpecInvalid:
    return SpecInvalid(
        f"the lock {path} can't be read: {why}",
        code="lock_damaged",
        subject=path,
        found=why,
        hint="take it from version control again; or remove it, gather, and look at the difference before you commit it",
    )


def address(git: str) -> str:
    """A repository as a lock may name it: no credentials, and of one on this machine's disk only the name."""
    if git.startswith("file://") or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/]+:", git):
        return os.path.basename(git.rstrip("/"))
    return scrub(public_url(git)) if re.match(r"https?://", git) else scrub(git)


def from_generation(config: t.Mapping[str, t.Any], pins: t.Mapping[str, str], digests: t.Optional[t.Mapping[str, str]] = None) -> Lock:
    """The lock of a generation.

    :param config: its config document (docs/schemas/generation.v1.json).
    :param pins: what ``loose.resolve`` and ``loose.own_toolchain`` gave.
    :param digests: of the sources that are directories, by project name (``source.digest``).
    """
    projects = {}
    for project in config["projects"]:
        name = str(project["name"])
        # Where a directory is called something else, its content is no other.
        entry = {key: str(value) for key, value in project["source"].items() if key != "path"}
        if "git" in entry:
            entry["git"] = address(entry["git"])
        if digests and name in digests:
            entry["digest"] = digests[name]
        projects[name] = entry
    return Lock(
        dict(pins),
        {(str(module["path"]), str(module["version"])): Sums(str(module["h1"]), str(module["gomod_h1"])) for module in config["modules"]},
        frozenset((str(entry["version"]), str(entry["platform"])) for entry in config["toolchains"]),
        projects,
        {str(file["dest"]): str(file["sha256"]) for file in config["files"]},
    )


def joined(lock: t.Optional[Lock], now: Lock) -> Lock:
    """``now``, and what the lock has for the parts of the spec that weren't gathered this time (``bundle_only``)."""
    if lock is None:
        return now
    return Lock(
        {**lock.pins, **now.pins},
        {**lock.modules, **now.modules},
        lock.toolchains | now.toolchains,
        {**lock.projects, **now.projects},
        {**lock.files, **now.files},
    )


class _Difference(t.NamedTuple):
    what: str
    expected: str
    found: str


def refuse_drift(lock: Lock, now: Lock, spec: Spec, upgrade: bool = False) -> None:
    """Refuse what has the same name in both and isn't the same: like a wrong hash, since it is one.

    Module versions always; files that the spec doesn't name by a hash or a commit, and pins, unless ``upgrade`` asks for what is new.

    :raises ModuleRefused: ``lock_mismatch``; all of it is in ``details``.
    """
    wrong = []
    expected, found = lock.sums(), now.sums()
    for module, version in sorted(set(expected) & set(found)):
        wrong.append(_Difference(f"{module}@{version}", expected[(module, version)], found[(module, version)]))
    if not upgrade:
        loose = [file.dest for file in spec.files if not file.sha256 and not file.ref]
        for dest in sorted(set(lock.files) & set(now.files)):
            if any(dest == entry or dest.startswith(entry + "/") for entry in loose):
                wrong.append(_Difference(f"files/{dest}", lock.files[dest], now.files[dest]))
        wrong += [_Difference(name, lock.pins[name], now.pins[name]) for name in sorted(set(lock.pins) & set(now.pins))]
    wrong = [entry for entry in wrong if entry.expected != entry.found]
    if wrong:
        shown = "; ".join(f"{entry.what} is {entry.found}, and the lock says {entry.expected}" for entry in wrong)
        raise ModuleRefused(
            f"{len(wrong)} thing{'s aren' if len(wrong) > 1 else ' isn'}'t what the lock says: {shown}",
            code="lock_mismatch",
            subject=", ".join(entry.what for entry in wrong),
            expected=wrong[0].expected,
            found=wrong[0].found,
            hint="somebody changed it after it was locked: find out who and why; if it's meant, take its line out of the lock and gather again",
            details=[entry._asdict() for entry in wrong],
        )


def refuse_none(lock: t.Optional[Lock]) -> Lock:
    """For a frozen gather, before it does anything: the lock.

    :raises ModuleRefused: ``lock_frozen``; there is none.
    """
    if lock is None:
        raise ModuleRefused("there is no lock, and frozen", code="lock_frozen", subject="lock", hint="gather once without frozen, and commit the lock")
    return lock


def refuse_beyond(lock: Lock, now: Lock, partial: bool = False) -> None:
    """For a frozen gather: refuse whatever the lock and what was gathered don't have alike.

    A lock with what is no longer needed is refused too. It would otherwise never be seen in CI, and its next honest difference would be
    mixed with old ones.

    :param partial: a part of the spec was gathered (``bundle_only``): what else the lock has is needed by the rest.
    :raises ModuleRefused: ``lock_frozen``; all of it is in ``details``.
    """
    expected, found = _flat(lock), _flat(now)
    details = [
        {
            "what": name,
            "why": "not in the lock" if name not in expected else "no longer needed" if name not in found else "changed",
            "expected": expected.get(name, ""),
            "found": found.get(name, ""),
        }
        for name in sorted(set(expected) | set(found))
        if expected.get(name) != found.get(name) and (name in found or not partial)
    ]
    if details:
        raise ModuleRefused(
            f"{len(details)} difference{'s' if len(details) > 1 else ''} to the lock, and frozen: "
            + "; ".join(f"{entry['what']}: {entry['why']}" for entry in details),
            code="lock_frozen",
            subject=", ".join(entry["what"] for entry in details),
            expected=details[0]["expected"],
            found=details[0]["found"],
            hint="gather without frozen, look at the lock's difference, and commit it",
            details=details,
        )


def _flat(lock: Lock) -> dict[str, str]:
    """Everything in a lock, by a name for messages."""
    flat = dict(lock.pins)
    flat.update((f"{module}@{version}", hashed) for (module, version), hashed in lock.sums().items())
    flat.update((f"toolchain {version} {platform}", "carried") for version, platform in lock.toolchains)
    flat.update((f"project {name}", json.dumps(entry, sort_keys=True)) for name, entry in lock.projects.items())
    flat.update((f"files/{dest}", sha256) for dest, sha256 in lock.files.items())
    return flat
