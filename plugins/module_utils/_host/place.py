# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ROOT on a host: where everything of ours is, and what it says about itself.

The layout is in docs/design.md.
Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import re
import stat
import typing as t

from .._base.errors import DepotDamaged, HostRefused
from .._base.files import remove_tree, sync_directory, temporary_sibling, write_atomically
from .._content.carried import cached_modules
from .._depot import manifest as oci
from .._depot.depot import Depot
from .._depot.generation import Generation, Ref
from .._go import toolchain
from .._go.modcache import CachedModule, ModuleCache

#: The note of directories that an uninstall removes, below ROOT.
MADE = "made.json"

# What a state is (``wish.wished_state`` makes it), in the terms of ``_require_form``; a part, and extras, may be absent.
_PATH = re.compile("(/.*)?", re.DOTALL)
_STATE = {"generation": str, "manifest": str, "parts": {str: dict}}
_PARTS = {
    "toolchain": {"version": str, "dir": _PATH},
    "goenv": {"given": str, "content": str},
    "project": {"all": bool, "names": [str]},
    "tools": {"all": bool, "programs": {str: str}, "dir": _PATH},
}
_EXTRAS = {"dirs": {str: _PATH}, "files": {str: [str]}}

_LEFT_BEHIND = re.compile(r"\.(.*)\.[0-9a-f]{16}\.tmp")


class Place:
    """One host's ROOT."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.depot = Depot(os.path.join(self.root, "depot"))
        self.cache = ModuleCache(os.path.join(self.root, "modcache"), os.path.join(self.root, "current", "go.env"))
        self.platform = toolchain.host_platform()

    def current(self) -> str:
        """The active generation's directory name; "" for none."""
        try:
            return os.path.basename(os.readlink(os.path.join(self.root, "current")))
        except OSError:
            return ""

    def state(self, directory: str) -> dict[str, t.Any]:
        """The state document of a generation directory; empty for "".

        :raises HostRefused: it can't be read, so nobody knows what this host has.
        """
        if not directory:
            return {}
        path = os.path.join(self.root, "generations", directory, "state.json")
        try:
            with open(path, encoding="utf-8") as stream:
                document = t.cast("dict[str, t.Any]", json.load(stream))
            _require_form(document, _STATE, "it")
            Ref.parse(document["generation"])
            for name, part in document["parts"].items():
                _require_form(part, _PARTS.get(name, dict), name)
                _require_form(part.get("extras", {"dirs": {}, "files": {}}), _EXTRAS, f"extras of {name}")
            return document
        except (OSError, ValueError, RecursionError, DepotDamaged) as exc:
            raise HostRefused(
                f"{path} can't be read ({type(exc).__name__}: {exc}), so what this host has isn't known",
                code="state_damaged",
                subject=path,
                hint=f"remove {os.path.join(self.root, 'current')}, then deploy all parts that this host shall have",
            ) from None

    def require_own(self) -> None:
        """See to it that nobody else can put anything where everybody's toolchain and modules come from.

        :raises HostRefused: a directory of ours belongs to another account, can be written by others, or is a link.
        """
        names = ("", "depot", "depot/blobs", "depot/blobs/sha256", "depot/trees", "depot/staging", "modcache", "generations", "builds")
        for path in (os.path.join(self.root, name) if name else self.root for name in names):
            try:
                found = os.lstat(path)
                if path == self.root and stat.S_ISLNK(found.st_mode) and found.st_uid in (0, os.geteuid()):
                    # Whoever runs this host may have put ROOT elsewhere.
                    found = os.stat(path)
            except FileNotFoundError:
                continue
            wrong = ""
            if not stat.S_ISDIR(found.st_mode):
                wrong = "is no directory" if not stat.S_ISLNK(found.st_mode) else f"is a link of {_owner(found.st_uid)}'s to {os.readlink(path)}"
            elif found.st_uid != os.geteuid() and os.geteuid() == 0:
                wrong = f"belongs to {_owner(found.st_uid)}, who could change what others build with"
            elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                wrong = "can be written by " + ("everybody" if found.st_mode & stat.S_IWOTH else "its group")
            if wrong:
                raise HostRefused(
                    f"{path} {wrong}",
                    code="not_ours",
                    subject=path,
                    expected=f"a directory of {_owner(os.geteuid())}'s that nobody else can write",
                    found=f"{stat.filemode(found.st_mode)} {_owner(found.st_uid)}",
                    hint="find out who did that; if what is in it can be trusted, which the module modcache proves, chown and chmod it, "
                    "else move it away and deploy again",
                )

    def goroot(self, version: str) -> str:
        """Where a toolchain for this host is unpacked."""
        return self.cache.directory(toolchain.MODULE, toolchain.module_version(version, self.platform))

    def goroot_prefix(self) -> str:
        """What the real path of every program of our toolchains begins with."""
        return os.path.join(os.path.realpath(self.cache.root), *os.path.split(toolchain.MODULE)) + "@"

    def wanted_modules(self, generation: Generation, parts: t.Mapping[str, t.Any]) -> list[CachedModule]:
        """The module versions of a generation that these parts of a state want in the module cache."""
        mine = {toolchain.module_version(str(entry["version"]), self.platform): str(entry["version"]) for entry in generation.config["toolchains"]}
        wanted = []
        for module in cached_modules(generation, self.depot.tree(generation.ref)):
            if module.path != toolchain.MODULE:
                if "modcache" in parts:
                    wanted.append(module)
            elif module.version in mine and ("modcache" in parts or mine[module.version] == parts.get("toolchain", {}).get("version")):
                wanted.append(module)
        return wanted

    def sweep(self, *kept: str) -> None:
        """Remove what killed runs left, where there's anything of ours yet: it takes room. The entries ``kept`` of staging stay."""
        if self.depot.exists():
            with self.depot.locked():
                self.sweep_locked(*kept)

    def sweep_locked(self, *kept: str) -> None:
        """As ``sweep``, for who holds the depot's lock."""
        self.depot.sweep(*kept)
        self.sweep_names()

    def sweep_names(self) -> None:
        """Remove what killed runs left beside the depot, whose deliveries may be on their way."""
        for directory in (self.root, os.path.join(self.root, "generations"), os.path.join(self.root, "builds")):
            remove_left_behind(directory)

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """Make ROOT if there is none, and be its only writer.

        :raises HostRefused: as ``require_own``.
        """
        if not os.path.isdir(self.root):
            self._make()
        self.require_own()
        with self.depot.locked():
            yield

    def _make(self) -> None:
        """ROOT and what lacks above it, by one rename, with the note of what that was: an uninstall leaves none of it."""
        while not os.path.isdir(self.root):
            made = absent_directories(self.root)
            top = made[0]
            parent = os.open(os.path.dirname(top), os.O_RDONLY | os.O_DIRECTORY)
            try:
                # Another ROOT may be about to come below the same directory: what it makes beside is no leftover of a kill.
                fcntl.flock(parent, fcntl.LOCK_EX)
                if not os.path.lexists(top):
                    remove_left_behind(os.path.dirname(top), os.path.basename(top))
                    beside = temporary_sibling(top)
                    inside = beside + self.root[len(top) :]
                    os.makedirs(inside, 0o755)
                    _write_made(inside, made)
                    os.rename(beside, top)
                    sync_directory(os.path.dirname(top))
                elif not os.path.isdir(top):
                    raise HostRefused(
                        f"{top} is no directory", code="in_the_way", subject=top, expected="a directory, or nothing", hint="remove it, or choose another root"
                    )
            finally:
                os.close(parent)

    def left_beside(self) -> list[str]:
        """Where there's no ROOT: what a run left that was killed as it made it or removed it; the next ``locked`` removes that."""
        lacking = absent_directories(self.root)
        # Where we may not look, we have made nothing.
        with contextlib.suppress(PermissionError):
            return left_behind(*os.path.split(lacking[0])) if lacking else []
        return []

    def made(self) -> list[str]:
        """Directories outside of ROOT, and ROOT itself, that weren't there before us; what is above comes first."""
        try:
            with open(os.path.join(self.root, MADE), encoding="utf-8") as stream:
                found = t.cast("list[str]", json.load(stream))
            _require_form(found, [_PATH], "it")
            return found
        except (FileNotFoundError, ValueError, RecursionError):
            return []

    def make_outside(self, path: str) -> None:
        """Make a directory outside of ROOT, and note beforehand what lacked."""
        lacking = absent_directories(path)
        if lacking:
            known = self.made()
            _write_made(self.root, known + [entry for entry in lacking if entry not in known])
            os.makedirs(path, exist_ok=True)


def directory_name(generation: Generation, state: t.Mapping[str, t.Any]) -> str:
    """``000007-1a2b3c4d``: the generation, and eight digits of the SHA-256 over the state it is to have here."""
    return f"{generation.ref}-{hashlib.sha256(oci.canonical(state)).hexdigest()[:8]}"


def _require_form(found: t.Any, form: t.Any, what: str) -> None:
    """See to it that ``found`` is as we write it.

    :param form: a type; a pattern for a text; [the form of each entry]; {str: the form of each value}; or the forms of the keys that must be there.
    :param what: it's called so in the error.
    :raises ValueError: it has another form.
    """
    if isinstance(form, re.Pattern):
        fits = isinstance(found, str) and form.fullmatch(found) is not None
    else:
        fits = isinstance(found, form if isinstance(form, type) else type(form))
    if not fits:
        raise ValueError(f"{what} has another form")
    if isinstance(form, list):
        for entry in found:
            _require_form(entry, form[0], what)
    elif isinstance(form, dict):
        for key in found if str in form else form:
            if key not in found:
                raise ValueError(f"{what} has no {key}")
            _require_form(found[key], form.get(str, form.get(key)), f"{key} of {what}")


def absent_directories(path: str) -> list[str]:
    """``path`` and the directories above it that aren't there, from the top."""
    found: list[str] = []
    while not os.path.isdir(path):
        found.insert(0, path)
        path = os.path.dirname(path)
    return found


def _write_made(root: str, made: t.Sequence[str]) -> None:
    write_atomically(os.path.join(root, MADE), json.dumps(list(made), indent=1).encode() + b"\n")


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def require_writable(path: str, other: str) -> None:
    """:raises HostRefused: nothing can be put into ``path``, or where it would be made; ``other`` is the hint's way out."""
    at = existing(path)
    if not os.access(at, os.W_OK | os.X_OK):
        name = _owner(os.geteuid())
        raise HostRefused(f"{name} can't write to {at}", code="not_writable", subject=at, found=name, hint=f"use become, or {other}")


def existing(path: str) -> str:
    """The directory itself, or the nearest above it that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def is_left_behind(name: str) -> bool:
    """Whether a file has a name by ``temporary_sibling``."""
    return _LEFT_BEHIND.fullmatch(name) is not None


def left_behind(directory: str, name: str = "") -> list[str]:
    """What has a name by ``temporary_sibling`` (of the file ``name``, "" for any): only a kill leaves that."""
    entries = os.listdir(directory) if os.path.isdir(directory) else []
    matches = filter(None, map(_LEFT_BEHIND.fullmatch, entries))
    return [os.path.join(directory, match.group()) for match in matches if name in ("", match.group(1))]


def remove_left_behind(directory: str, name: str = "") -> None:
    """Remove what ``left_behind`` finds."""
    for path in left_behind(directory, name):
        remove_tree(path)
