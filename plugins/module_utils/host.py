# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's whole state, as one thing: plan what differs from what is wanted, take in what is missing, switch by one rename.

``plan`` is what check mode, diff, ``changed`` and the real run all go by; ``admit`` carries a plan out. Code that runs
on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pwd
import re
import secrets
import shlex
import typing as t

from ._base.errors import DepotDamaged, HostRefused
from ._base.files import remove_tree, symlink_atomically, sync_filesystem, temporary_sibling
from ._base.progress import megabytes
from ._content.carried import cached_modules, needed_layers
from ._content.wish import Wish, carried_toolchains, differences, wished_state
from ._depot import manifest as oci
from ._depot.depot import Depot
from ._depot.generation import Generation, Ref, parse_config
from ._depot.incoming import take_blobs
from ._go import toolchain
from ._go.modcache import STOCK_ENV, CachedModule, ModuleCache

_DIRECTORY = re.compile(r"([0-9]{6,})(-unsealed)?-[0-9a-f]{8}")
_LEFT_BEHIND = re.compile(r"\.(.*)\.[0-9a-f]{16}\.tmp")

# What isn't known of a tar layer before it's unpacked: sources shrink to a sixth, and a file of them has some 6 kB.
_GZIPPED = 6
_FILE = 6000

# The go that users call. A go command needs somewhere for its build cache, which it derives from HOME; jobs that start
# with an empty environment, and system accounts, have no usable one.
_WRAPPER = """\
#!/bin/sh
# go of {name}, by airgap.golang
go={go}
if [ -n "${{GOCACHE-}}${{XDG_CACHE_HOME-}}" ] || {{ [ -n "${{HOME-}}" ] && [ -w "$HOME" ]; }}; then
  exec "$go" "$@"
fi
HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
export HOME
if [ -n "$HOME" ] && [ -w "$HOME" ]; then
  exec "$go" "$@"
fi
HOME=$(mktemp -d) || exit 1
"$go" "$@"
status=$?
chmod -R u+w "$HOME"
rm -rf "$HOME"
exit "$status"
"""


@dataclasses.dataclass
class Plan:
    """What differs. ``current``: the directory that is active now; ``state``: the document of the wished state, which names
    its directory; ``missing``: digest → size of the blobs that aren't here."""

    generation: Generation
    current: str
    state: dict[str, t.Any]
    layers: list[oci.Layer]
    missing: dict[str, int]
    unpack: list[CachedModule]
    links: dict[str, str]
    changes: list[tuple[str, str, str]]
    bytes: int
    inodes: int

    @property
    def changed(self) -> bool:
        return bool(self.changes)

    def diff(self) -> dict[str, str]:
        """Before and after, one line for each thing that differs."""
        before = "".join(f"{what}: {was}\n" for what, was, _will in self.changes if was)
        after = "".join(f"{what}: {will}\n" for what, _was, will in self.changes if will)
        return {"before": before, "after": after}


def read_generation(ref: str, manifest: str, config: str) -> Generation:
    """The generation that the control node speaks of.

    :raises DepotDamaged: the documents contradict each other.
    """
    hint = "on the control node, receive the generation again into an empty depot"
    encoded = manifest.encode("utf-8")
    parsed = oci.parse(encoded, ref)
    if oci.digest_of(config.encode("utf-8")) != parsed.config:
        raise DepotDamaged(f"{ref}: the config isn't the one that the manifest names", subject=ref, hint=hint)
    document = parse_config(config.encode("utf-8"), ref)
    # The host's depot keeps them as they are written here.
    if parsed.encode() != encoded or oci.digest_of(oci.canonical(document)) != parsed.config:
        raise DepotDamaged(f"{ref}: its manifest or config has another form than we write", subject=ref, hint=hint)
    return Generation(Ref.parse(ref), oci.digest_of(encoded), parsed, document)


class Host:
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
            if not isinstance(document["parts"], dict):
                raise TypeError("its parts are none")
            return document
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise HostRefused(
                f"{path} can't be read ({type(exc).__name__}: {exc}), so what this host has isn't known",
                code="state_damaged",
                subject=path,
                hint=f"remove {os.path.join(self.root, 'current')}, then deploy all parts that this host shall have",
            ) from None

    # -- plan

    def plan(self, generation: Generation, wish: Wish) -> Plan:
        """Compare what is with what is wished; changes nothing.

        :raises SpecInvalid: the generation doesn't carry what is asked for.
        :raises HostRefused: something that isn't ours is in the way, or what is here can't be read.
        :raises DepotDamaged: this host has another generation of that number.
        """
        current = self.current()
        before = self.state(current)
        state = wished_state(generation, wish, before, self.platform)
        parts = state["parts"]
        names = parts.get("project", {}).get("names")
        layers = needed_layers(generation, parts, self.platform, names)
        missing = {layer.digest: layer.size for layer in layers if not self.depot.blobs.has(layer.digest, layer.size)}
        to_lay_out = self._to_lay_out(generation, layers)
        known = self._known(generation)
        changes: list[tuple[str, str, str]] = []
        if missing:
            changes.append(("depot", "", f"{len(missing)} blobs, {megabytes(sum(missing.values()))}, of generation {generation.ref}"))
        elif to_lay_out or not known:
            changes.append(("depot", "", f"tree of generation {generation.ref}"))
        unpack = self.cache.missing(self._wanted_modules(generation, parts))
        if unpack:
            changes.append(("modcache", "", f"{len(unpack)} modules"))
        directory = directory_name(generation, state)
        if not os.path.isdir(os.path.join(self.root, "generations", directory)):
            changes.append(("generation", "", f"{directory} with {', '.join(sorted(parts))}"))
        if current != directory:
            changes.append(("current", current, directory))
            changes += differences(before, state)
        links = self._links(wish)
        for path, target in links.items():
            found = os.readlink(path) if os.path.islink(path) else ""
            if found != target:
                changes.append((path, found, target))
        entries = {(str(entry["path"]), str(entry["version"])): entry for entry in generation.config["modules"]}
        whole = [entries[module.path, module.version] for module in unpack if module.zip]
        tars = [layer for layer in to_lay_out if layer.unpack]
        unpacked = sum(layer.size * (_GZIPPED if layer.media_type == oci.TAR_GZIP_TYPE else 1) for layer in tars)
        files = sum(int(entry["files"]) for entry in whole)
        size = sum(missing.values()) + unpacked + sum(int(entry["unpacked"]) for entry in whole)
        # Go's own sources have a directory for every eight files.
        inodes = len(missing) + unpacked // _FILE + files + files // 8
        if size:
            changes.insert(0, ("room", "", f"{megabytes(size)}, {inodes} inodes"))
        return Plan(
            generation=generation,
            current=current,
            state=state,
            layers=layers,
            missing=missing,
            unpack=unpack,
            links=links,
            changes=changes,
            bytes=size,
            inodes=inodes,
        )

    def _known(self, generation: Generation) -> bool:
        """Whether the host's depot has the generation.

        :raises DepotDamaged: it has another one of that name.
        """
        held = self.depot.index().get(generation.ref)
        if held not in (None, generation.digest):
            raise DepotDamaged(
                f"{self.depot.path} has another generation {generation.ref}",
                code="generation_conflict",
                subject=str(generation.ref),
                expected=str(held),
                found=generation.digest,
                hint="two depots gave the same number: let this host follow one of them, or give it another airgap_golang_root",
            )
        return held is not None

    def _wanted_modules(self, generation: Generation, parts: t.Mapping[str, t.Any]) -> list[CachedModule]:
        mine = {toolchain.module_version(str(entry["version"]), self.platform): str(entry["version"]) for entry in generation.config["toolchains"]}
        wanted = []
        for module in cached_modules(generation, self.depot.tree(generation.ref)):
            if module.path != toolchain.MODULE:
                if "modcache" in parts:
                    wanted.append(module)
            elif module.version in mine and ("modcache" in parts or mine[module.version] == parts.get("toolchain", {}).get("version")):
                wanted.append(module)
        return wanted

    def _to_lay_out(self, generation: Generation, layers: t.Sequence[oci.Layer]) -> list[oci.Layer]:
        """Those that the generation's tree lacks."""
        tree = self.depot.tree(generation.ref)
        return [layer for layer in layers if not os.path.exists(os.path.join(tree, ".layers", layer.hex) if layer.unpack else os.path.join(tree, layer.title))]

    def _links(self, wish: Wish) -> dict[str, str]:
        """The links outside of ROOT, refused where they'd replace what isn't ours. Who asks for other parts has no say in them."""
        if "toolchain" not in wish.parts or not wish.link_dir:
            return {}
        links = {os.path.join(wish.link_dir, name): os.path.join(self.root, "current", "bin", name) for name in ("go", "gofmt")}
        for path in links:
            if os.path.lexists(path) and not (os.path.islink(path) and os.readlink(path).startswith(self.root + "/")):
                raise HostRefused(
                    f"{path} is there already and isn't ours",
                    code="in_the_way",
                    subject=path,
                    found=os.readlink(path) if os.path.islink(path) else "a file",
                    hint="remove it, or choose another link_dir (an empty one for no links)",
                )
        return links

    # -- take in

    def sweep(self) -> None:
        """Remove what killed runs left, where there's anything of ours yet: it takes room."""
        if self.depot.exists():
            with self.depot.locked():
                self._sweep()

    def _sweep(self) -> None:
        self.depot.sweep()
        _remove_left_behind(self.root)
        _remove_left_behind(os.path.join(self.root, "generations"))

    def check_place(self, plan: Plan) -> None:
        """Find out beforehand what would stop ``admit``.

        :raises HostRefused: a directory can't be written, or the file system can't hold what would come, in bytes or inodes.
        """
        places = [(self.root, "another airgap_golang_root")]
        places += [(os.path.dirname(path), "another link_dir (an empty one for no links)") for path in plan.links if _astray(path, plan)]
        for path, other in places:
            at = _existing(path)
            if not os.access(at, os.W_OK | os.X_OK):
                name = pwd.getpwuid(os.geteuid()).pw_name
                raise HostRefused(f"{name} can't write to {at}", code="not_writable", subject=at, found=name, hint=f"use become, or {other}")
        at = _existing(self.root)
        found = os.statvfs(at)
        # The last block of a file is half empty, on average.
        needed = {"bytes": plan.bytes + plan.inodes * found.f_frsize // 2, "inodes": plan.inodes if found.f_files else 0}
        free = {"bytes": found.f_bavail * found.f_frsize, "inodes": found.f_favail}
        for what, number in needed.items():
            if number > free[what]:
                raise HostRefused(
                    f"{at} has {free[what]} {what} free; generation {plan.generation.ref} needs {number} more",
                    code="no_space",
                    subject=at,
                    expected=str(number),
                    found=str(free[what]),
                    hint="make room, or let airgap_golang_root be on a larger file system",
                )

    def open_incoming(self, user: str) -> str:
        """Make a directory for what the control node sends, writable for the account that it connects as.

        If an earlier run is still sending, that one fails by name, and this one goes on: nobody can tell it from a dead one.

        :param user: that account's name or number; "" when it's the one that this runs as.
        """
        with self.depot.locked():
            uid, gid = _account(user)
            self._sweep()
            top = os.path.join(self.depot.staging, "incoming")
            # Who may not list it can't find what is in it.
            os.mkdir(top, 0o711)
            path = os.path.join(top, secrets.token_hex(16))
            os.mkdir(path, 0o700)
            if os.geteuid() == 0:
                os.chown(path, uid, gid)
            elif uid != os.geteuid():
                os.chmod(path, 0o733)
        return path

    def admit(self, plan: Plan, trace_id: str, incoming: str = "", parts: int = 0) -> None:
        """Carry out a plan: blobs out of ``incoming``, tree, module cache, generation directory, then the switch.

        Every step can be killed; what is half done is neither named nor trusted, and a rerun finishes it.

        :param incoming: what ``open_incoming`` gave.
        :param parts: how many parts the control node has put there.
        :raises BundleDamaged, DepotDamaged, ModuleRefused: what came isn't what the manifest says.
        :raises HostRefused: another run changed this host after the plan was made.
        """
        workers = max(2, min(8, os.cpu_count() or 2))
        with self.depot.locked():
            self._require_current(plan.current)
            if plan.missing:
                self._take_blobs(plan.missing, incoming, parts)
            self.depot.admit(
                plan.generation.ref,
                plan.generation.manifest.encode(),
                oci.canonical(plan.generation.config),
                trace_id,
                layers=plan.layers,
                facts={"by": "deliver"},
                workers=workers,
            )
            self._sweep()
            modules = self._wanted_modules(plan.generation, plan.state["parts"])
            if self.cache.missing(modules):
                self.cache.install(modules, workers)
            self._advance_database()
            directory = self._make_directory(plan)
            self._switch(directory, trace_id)
            for path, target in plan.links.items():
                if _astray(path, plan):
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    _remove_left_behind(os.path.dirname(path), os.path.basename(path))
                    symlink_atomically(target, path)

    def _require_current(self, expected: str) -> None:
        found = self.current()
        if found != expected:
            raise HostRefused(
                f"another run made {found or 'nothing'} active in {self.root} meanwhile",
                code="changed_meanwhile",
                subject=self.root,
                expected=expected,
                found=found,
                hint="run this again",
            )

    def _take_blobs(self, missing: t.Mapping[str, int], incoming: str, parts: int) -> None:
        """Blobs from the delivery into the store: all of them, or none where one isn't right."""
        staging = self.depot.scratch("blobs")
        take_blobs(os.path.join(self.depot.staging, "incoming", os.path.basename(incoming)), parts, missing, staging)
        # Later only a blob's size is looked at, so its content is on the disk before it has its name.
        sync_filesystem(staging)
        for digest, size in missing.items():
            self.depot.blobs.adopt(os.path.join(staging, digest[7:]), digest, size, move=True)
        remove_tree(staging)

    def _make_directory(self, plan: Plan) -> str:
        """The generation's directory: links and settings, made beside and renamed; what is there already is complete."""
        name = directory_name(plan.generation, plan.state)
        path = os.path.join(self.root, "generations", name)
        if os.path.isdir(path):
            return name
        parts = plan.state["parts"]
        tree = os.path.join("..", "..", "depot", "trees", str(plan.generation.ref))
        os.makedirs(os.path.join(self.root, "generations"), exist_ok=True)
        beside = temporary_sibling(path)
        os.mkdir(beside, 0o755)
        self._make_proxy(plan.generation, os.path.join(beside, "proxy"))
        if "project" in parts:
            # One link each: a tree gains projects while a state that lacks them is active.
            os.mkdir(os.path.join(beside, "projects"), 0o755)
            for project in parts["project"]["names"]:
                os.symlink(os.path.join("..", tree, "projects", project), os.path.join(beside, "projects", project))
        if "depot" in parts:
            for below in os.listdir(self.depot.tree(plan.generation.ref)):
                if below in ("files", "evidence"):
                    os.symlink(os.path.join(tree, below), os.path.join(beside, below))
        if "toolchain" in parts:
            goroot = self._goroot(parts["toolchain"]["version"])
            os.symlink(os.path.join("..", "..", os.path.relpath(goroot, self.root)), os.path.join(beside, "go"))
            os.mkdir(os.path.join(beside, "bin"), 0o755)
            go = shlex.quote(os.path.join(goroot, "bin", "go"))
            _write(os.path.join(beside, "bin", "go"), _WRAPPER.format(name=name, go=go).encode(), 0o755)
            os.symlink(os.path.join("..", "go", "bin", "gofmt"), os.path.join(beside, "bin", "gofmt"))
        _write(os.path.join(beside, "go.env"), self._settings(plan), 0o444)
        _write(os.path.join(beside, "generation.json"), oci.canonical(plan.generation.config), 0o444)
        _write(os.path.join(beside, "state.json"), json.dumps(plan.state, indent=1, sort_keys=True).encode() + b"\n", 0o444)
        sync_filesystem(beside)
        os.rename(beside, path)
        return name

    def _goroot(self, version: str) -> str:
        return self.cache.directory(toolchain.MODULE, toolchain.module_version(version, self.platform))

    def _settings(self, plan: Plan) -> bytes:
        """What go.env says: what was asked for, else what the newest toolchain here came with."""
        parts = plan.state["parts"]
        if "goenv" in parts:
            return str(parts["goenv"]["content"]).encode()
        version = str(parts.get("toolchain", {}).get("version", ""))
        if not version and "modcache" in parts:
            version = toolchain.choose("", carried_toolchains(plan.generation, self.platform))
        if not version:
            return b""
        with open(os.path.join(self._goroot(version), STOCK_ENV), "rb") as stream:
            return stream.read()

    def _make_proxy(self, generation: Generation, path: str) -> None:
        """The GOPROXY of a generation: its tree, with the newest checksum database that this host has had.

        A go command that has seen a newer signed head refuses an older one, so the database never goes back with a
        rollback; newer ones have the records of all earlier generations.
        """
        os.mkdir(path, 0o755)
        tree = os.path.join(self.depot.tree(generation.ref), "proxy")
        # A generation of files alone has none.
        for name in sorted(os.listdir(tree)) if os.path.isdir(tree) else ():
            target = os.path.join(self.root, "sumdb") if name == "sumdb" else os.path.join(tree, name)
            os.symlink(os.path.join("..", "..", "..", os.path.relpath(target, self.root)), os.path.join(path, name))

    def _advance_database(self) -> None:
        """Point ROOT/sumdb at the newest generation's snapshot."""
        for ref in sorted(self.depot.index(), reverse=True):
            tree = os.path.join(self.depot.tree(ref), "proxy", "sumdb")
            if os.path.isdir(tree):
                link, target = os.path.join(self.root, "sumdb"), os.path.relpath(tree, self.root)
                if not (os.path.islink(link) and os.readlink(link) == target):
                    symlink_atomically(target, link)
                return

    def _switch(self, directory: str, trace_id: str) -> None:
        """Let ``current`` mean ``directory``: the one rename that users see."""
        if self.current() == directory:
            return
        sync_filesystem(self.root)
        self.depot.audit.append("activate", trace_id, generation=directory, before=self.current())
        symlink_atomically(os.path.join("generations", directory), os.path.join(self.root, "current"))

    # -- roll back

    def rollback_target(self, number: t.Optional[int]) -> str:
        """The directory to go back to: the generation before the active one, or the one with ``number``.

        :raises HostRefused: there is none, or it isn't whole.
        """
        current = self.current()
        if not current:
            raise HostRefused(f"{self.root} has no active generation", code="no_generation", subject=self.root, hint="deploy one first")
        there: dict[int, list[str]] = {}
        for name in os.listdir(os.path.join(self.root, "generations")):
            match = _DIRECTORY.fullmatch(name)
            if match:
                there.setdefault(int(match.group(1)), []).append(name)
        active = int(current.split("-")[0])
        candidates = [number] if number is not None else [earlier for earlier in there if earlier < active]
        chosen = max((entry for entry in candidates if entry in there), default=None)
        if chosen is None:
            raise HostRefused(
                f"{self.root} has no generation {'before ' + current if number is None else number}",
                code="no_generation",
                subject=self.root,
                found=", ".join(f"{known:06d}" for known in sorted(there)),
                hint="only what was deployed here can be gone back to",
            )
        if number == active:
            return current
        target = max(there[chosen], key=self._last_used)
        self._require_whole(target)
        return target

    def _last_used(self, directory: str) -> tuple[int, float, str]:
        """Sorts generation directories by when they were active last."""
        try:
            used = [str(entry["generation"]) for entry in self.depot.audit.entries() if entry["event"] == "activate"]
        except DepotDamaged:
            # Whoever must go back now has no time for that.
            used = []
        last = max((number for number, name in enumerate(used) if name == directory), default=-1)
        return last, os.stat(os.path.join(self.root, "generations", directory)).st_mtime, directory

    def _require_whole(self, directory: str) -> None:
        self.state(directory)
        top = os.path.join(self.root, "generations", directory)
        for at, names, files in os.walk(top):
            for name in sorted(names + files):
                path = os.path.join(at, name)
                if not os.path.exists(path):
                    raise HostRefused(
                        f"the generation {directory} isn't whole: {path} leads nowhere",
                        code="no_generation",
                        subject=directory,
                        found=os.readlink(path),
                        hint="deploy it again",
                    )

    def switch_to(self, directory: str, before: str, trace_id: str) -> None:
        """Roll back from ``before``.

        :raises HostRefused: another generation is active by now.
        """
        with self.depot.locked():
            self._require_current(before)
            self._switch(directory, trace_id)


def directory_name(generation: Generation, state: t.Mapping[str, t.Any]) -> str:
    """``000007-1a2b3c4d``: the generation, and eight digits of the SHA-256 over the state it is to have here."""
    return f"{generation.ref}-{hashlib.sha256(oci.canonical(state)).hexdigest()[:8]}"


def _write(path: str, content: bytes, mode: int) -> None:
    with open(path, "wb") as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), mode)


def _astray(path: str, plan: Plan) -> bool:
    """Whether a link outside of ROOT leads elsewhere than planned."""
    return not (os.path.islink(path) and os.readlink(path) == plan.links[path])


def _account(user: str) -> tuple[int, int]:
    """(uid, gid) of a name or number; our own for ""."""
    if not user:
        return os.geteuid(), os.getegid()
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        raise HostRefused(f"this host doesn't know the account {user}, which the connection uses", subject=user, hint="set ansible_user") from None
    return entry.pw_uid, entry.pw_gid


def _existing(path: str) -> str:
    """The directory itself, or the nearest above it that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _remove_left_behind(directory: str, name: str = "") -> None:
    """Remove what has a name by ``temporary_sibling`` (of the file ``name``, "" for any): only a kill leaves that."""
    if os.path.isdir(directory):
        for entry in os.listdir(directory):
            match = _LEFT_BEHIND.fullmatch(entry)
            if match and name in ("", match.group(1)):
                remove_tree(os.path.join(directory, entry))
