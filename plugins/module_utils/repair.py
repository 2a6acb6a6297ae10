# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set right what an examination found, and nothing else: from the host's own blobs, and blobs from the control node's depot.

What is made again is made beside its place, and takes it by one rename or exchange, so that a build that is running has the old or the
new. After each round everything is examined again; what is left then is for a person.
Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import stat
import typing as t
import zlib

from ._base.accounts import account_of, acting_as, owner_of
from ._base.errors import AirgapError, DepotDamaged, HostRefused
from ._base.files import copy_stream, link_or_copy, remove_tree, replacing, symlink_atomically, sync_filesystem, temporary_sibling
from ._base.findings import Finding, Mend, look
from ._base.progress import megabytes
from ._content.carried import cached_modules
from ._depot.check import held_layers
from ._depot.depot import Depot
from ._depot.generation import Generation, Ref
from ._depot.incoming import ARRIVING, INCOMING, open_incoming, take_blobs
from ._depot.manifest import EXECUTABLE
from ._depot.tree import SUMS, lay_out
from ._go.modcache import CachedModule
from ._go.vendorcheck import mend_files
from ._host.check import mend_directory
from ._host.place import Place
from .forensics import LISTED, Examination

# What one round makes right the next can see: documents, then blobs, then what is made of them.
_ROUNDS = 4


@dataclasses.dataclass(frozen=True)
class Request:
    """What the control node says to a host.

    ``step``: probe or admit. ``offered``: what its depot has, generation → (manifest's digest, its size in bytes). ``user``: the account of
    the connection, "" when modules run as that. ``incoming`` and ``parts``: where it has put how many parts, with the blobs ``missing``
    (digest → size in bytes).
    """

    step: str
    offered: t.Mapping[str, tuple[str, int]]
    user: str = ""
    incoming: str = ""
    parts: int = 0
    missing: t.Mapping[str, int] = dataclasses.field(default_factory=dict)

    def pack(self) -> str:
        """One word, so that it's one argument."""
        return base64.b64encode(zlib.compress(json.dumps(dataclasses.asdict(self)).encode())).decode()

    @classmethod
    def unpack(cls, text: str) -> Request:
        found = json.loads(zlib.decompress(base64.b64decode(text)).decode())
        return cls(**{**found, "offered": {ref: (str(digest), int(size)) for ref, (digest, size) in found["offered"].items()}})


def offered_by(depot: Depot) -> dict[str, tuple[str, int]]:
    """What a control node's depot has, for ``Request``."""
    return {str(ref): (digest, depot.manifest_size(ref)) for ref, digest in depot.index().items()}


class Copy(t.NamedTuple):
    """A file of a tree that is a blob as well. ``program``: it can be executed, which a blob can't, so the two are never names of one file."""

    path: str
    program: bool


@dataclasses.dataclass
class Repair:
    """What is to be done about findings. ``fetch``: digest → bytes of blobs that only the control node can give; ``adopt``: digest → where
    this host has that blob otherwise; ``mends``: the rest, by their verbs; ``left``: what nobody but a person should touch."""

    fetch: dict[str, int]
    adopt: dict[str, Copy]
    mends: dict[str, list[tuple[str, ...]]]
    left: list[Finding]
    mended: list[Finding]

    @property
    def changed(self) -> bool:
        return bool(self.mended)

    def diff(self) -> dict[str, str]:
        """Before and after, one line for each thing that is set right."""
        shown = self.mended[:LISTED]
        more = f"and {len(self.mended) - LISTED} more\n" if len(self.mended) > LISTED else ""
        before = "".join(f"{finding.path}: {finding.problem}{f' ({finding.found})' if finding.found else ''}\n" for finding in shown)
        after = "".join(f"{finding.path}: {finding.expected or 'as it was carried'}\n" for finding in shown if finding.problem != "stray")
        room = f"transfer: {len(self.fetch)} blobs, {megabytes(sum(self.fetch.values()))}\n" if self.fetch else ""
        return {"before": before + more, "after": room + after + more}


def plan(depot: t.Optional[Depot], examination: Examination) -> Repair:
    """What is to be done about an examination's findings.

    :param depot: the host's.
    """
    repair = Repair({}, {}, {}, [], [])
    for finding in examination.findings:
        if not finding.mend:
            repair.left.append(finding)
            continue
        repair.mended.append(finding)
        verb, things = finding.mend[0], finding.mend[1:]
        beside = verb == "module" and "/cache/download/" in finding.path
        if finding.problem == "changed" and (beside or verb in ("layer", "blob", "sums", "list")):
            found, _read = look(finding.path, {}, hashed=False)
            if found is not None and found.kind != "file":
                repair.mends.setdefault("remove", []).append((finding.path,))
        if verb != "blob":
            doing = repair.mends.setdefault(verb, [])
            if things not in doing:
                doing.append(things)
        elif depot is not None:
            copy = _other_copy(depot, things[0])
            if copy is not None:
                repair.adopt[things[0]] = copy
            else:
                repair.fetch[things[0]] = int(things[1])
    return repair


def _other_copy(depot: Depot, digest: str) -> t.Optional[Copy]:
    """A file of a tree that is this blob; None where there is none."""
    for ref in sorted(depot.index()):
        try:
            layers = depot.generation(ref).manifest.layers
        except (AirgapError, OSError):
            continue
        for layer in layers:
            path = os.path.join(depot.tree(ref), layer.title)
            if layer.digest == digest and not layer.unpack:
                found, _read = look(path, {})
                if found is not None and "sha256:" + found.sha256 == digest:
                    return Copy(path, layer.kind in EXECUTABLE)
    return None


def require_source(repair: Repair, depot: str) -> None:
    """:raises DepotDamaged: blobs are needed that this host hasn't, and no depot was named that could give them."""
    if repair.fetch and not depot:
        first = next(iter(repair.fetch))
        raise DepotDamaged(
            f"{len(repair.fetch)} blobs are damaged or missing, {first} among them, and this host has no other copy",
            code="blobs_missing",
            subject=first,
            found=f"{sum(repair.fetch.values())} bytes in all",
            hint="name the control node's depot with the option depot; nothing was changed",
        )


def open_delivery(place: Place, user: str) -> str:
    """The directory that the control node is to send blobs to; ``user``: the account that it connects as, "" for this one."""
    with place.locked():
        place.sweep_locked(INCOMING, ARRIVING)
        return open_incoming(place.depot, user)


def receive_blobs(place: Place, request: Request) -> None:
    """Let the blobs of a delivery take the places of those that are wrong or missing. All of them are proved before the first does.

    :raises BundleDamaged: one of them isn't what its name says.
    """
    depot = place.depot
    with place.locked():
        aside = depot.scratch("replaced")
        moved = []
        try:
            for digest in request.missing:
                path = depot.blobs.path(digest)
                if os.path.lexists(path):
                    os.rename(path, os.path.join(aside, digest[7:]))
                    moved.append(digest)
            take_blobs(depot, request.missing, request.incoming, request.parts)
        except BaseException:
            for digest in moved:
                if not os.path.lexists(depot.blobs.path(digest)):
                    os.rename(os.path.join(aside, digest[7:]), depot.blobs.path(digest))
            raise
        finally:
            remove_tree(aside)
        sync_filesystem(depot.path)
        remove_tree(os.path.join(depot.staging, INCOMING, os.path.basename(request.incoming)))


def mend(place: Place, examination: Examination, again: t.Callable[[], Examination], workers: int, trace_id: str) -> tuple[Repair, Repair]:
    """Set right what is wrong, round after round, until only what ``Repair.left`` or ``fetch`` has remains.

    :param again: examines the same once more.
    :returns: what was done in the first round, and what there is to do after the last: nothing, but for blobs of the control node.
    :raises HostRefused: something goes wrong again as soon as it is right.
    """
    first = repair = plan(place.depot, examination)
    with place.locked():
        place.sweep_locked(INCOMING, ARRIVING)
        for _round in range(_ROUNDS):
            if not repair.mended or (repair.fetch and not repair.adopt):
                return first, repair
            _mend_round(place, repair, workers)
            place.depot.audit.append("repair", trace_id, findings=len(repair.mended))
            repair = plan(place.depot, again())
    if repair.mended and not repair.fetch:
        finding = repair.mended[0]
        raise HostRefused(
            f"{finding.path} is wrong again ({finding.problem}) right after it was set right",
            code="not_repaired",
            subject=finding.path,
            expected=finding.expected,
            found=finding.found,
            hint="find out what writes there, or whether the disk is failing; then run this again",
        )
    return first, repair


def _mend_round(place: Place, repair: Repair, workers: int) -> None:
    depot, mends = place.depot, repair.mends
    for (path,) in mends.get("remove", ()):
        _remove(place, path)
    if repair.adopt:
        for digest, copy in repair.adopt.items():
            beside = temporary_sibling(depot.blobs.path(digest))
            os.makedirs(depot.blobs.directory, exist_ok=True)
            if copy.program:
                with open(copy.path, "rb") as reader, replacing(beside, 0o444) as writer:
                    copy_stream(reader, writer)
            else:
                link_or_copy(copy.path, beside)
            depot.blobs.replace(beside, digest)
        # What is made of these is examined in the next round.
        return
    _mend_rights(place, mends)
    generations = _Generations(depot)
    afresh = {ref for (ref,) in mends.get("sums", ())}
    layers: dict[str, set[str]] = {ref: set() for ref in afresh}
    for ref, digest in mends.get("layer", ()):
        layers.setdefault(ref, set()).add(digest)
    for ref, digests in sorted(layers.items()):
        _mend_tree(depot, generations.get(ref), digests, ref in afresh, workers)
    modules = [generations.module(place, *thing) for thing in mends.get("module", ())]
    if modules:
        place.cache.restore(modules, workers)
    for (directory,) in mends.get("list", ()):
        place.cache.write_list(directory)
    for (directory,) in mends.get("directory", ()):
        mend_directory(place, generations.get(str(place.state(directory)["generation"])), directory)
    for path, target in mends.get("link", ()):
        _mend_link(place, path, target)
    sync_filesystem(place.root)


def _mend_rights(place: Place, mends: t.Mapping[str, t.Sequence[tuple[str, ...]]]) -> None:
    """Owners first: who owns a directory can put something else in it."""
    for path, owner in mends.get("owner", ()):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _directory_of(place, path) as directory:
            os.chown(os.path.basename(path), int(owner), -1, dir_fd=directory, follow_symlinks=False)
    for path, mode in mends.get("mode", ()):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _directory_of(place, path) as directory:
            _change_mode_of(directory, os.path.basename(path), int(mode, 8))


class _Generations:
    """The generations of a depot, each read once."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._read: dict[str, Generation] = {}
        self._modules: dict[str, dict[tuple[str, str], CachedModule]] = {}

    def get(self, ref: str) -> Generation:
        if ref not in self._read:
            self._read[ref] = self._depot.generation(Ref.parse(ref))
        return self._read[ref]

    def module(self, place: Place, ref: str, path: str, version: str) -> CachedModule:
        if ref not in self._modules:
            generation = self.get(ref)
            found = cached_modules(generation, place.depot.tree(generation.ref))
            self._modules[ref] = {(module.path, module.version): module for module in found}
        return self._modules[ref][path, version]


def _mend_tree(depot: Depot, generation: Generation, digests: set[str], afresh: bool, workers: int) -> None:
    """Lay out these layers of a tree again; with ``afresh`` all, so that SHA256SUMS is written from nothing."""
    tree = depot.tree(generation.ref)
    sums = os.path.join(tree, SUMS)
    layers = [layer for layer in held_layers(depot, generation, ()) if layer.digest not in digests]
    layers += [layer for layer in generation.manifest.layers if layer.digest in digests]
    if afresh and os.path.lexists(sums):
        os.unlink(sums)
    lay_out(depot.blobs, layers, tree, workers=workers, again={layer.digest for layer in layers} if afresh else digests)


def _remove(place: Place, path: str) -> None:
    """Take something out of where it shouldn't be: away by one rename, then it goes."""
    name = os.path.basename(path)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), _directory_of(place, path) as directory:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        away = place.depot.scratch("away")
        with _writable(directory):
            if stat.S_ISDIR(found.st_mode):
                _change_mode_of(directory, name, 0o755)
            os.rename(name, os.path.join(away, "it"), src_dir_fd=directory)
        remove_tree(away)


@contextlib.contextmanager
def _directory_of(place: Place, path: str) -> t.Iterator[int]:
    """A descriptor of the directory that ``path`` is in, ROOT's or one below: no link is followed, whoever has put one there since it was examined.

    :raises FileNotFoundError, NotADirectoryError: a directory on the way isn't there any more, or is a link.
    """
    descriptor = os.open(place.root if path != place.root else os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        for name in os.path.relpath(path, place.root).split("/")[:-1]:
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _change_mode_of(directory: int, name: str, mode: int) -> None:
    """Change the mode of what has this name in a directory; a link, which it wasn't when it was examined, stays as it is."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
    try:
        if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
            _change_mode(descriptor, mode)
    finally:
        os.close(descriptor)


def _change_mode(descriptor: int, mode: int) -> None:
    # fchmod(2) takes none that was opened without the right to read, which our own file's mode may lack.
    os.chmod(f"/proc/self/fd/{descriptor}", mode)


@contextlib.contextmanager
def _writable(directory: int) -> t.Iterator[None]:
    """A directory of the module cache is read-only to its owner too."""
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    if mode & 0o200:
        yield
        return
    _change_mode(directory, mode | 0o200)
    try:
        yield
    finally:
        _change_mode(directory, mode)


def _mend_link(place: Place, path: str, target: str) -> None:
    if not target:
        if os.path.islink(path):
            os.unlink(path)
        return
    if os.path.isdir(path) and not os.path.islink(path):
        raise HostRefused(f"{path} is a directory; a link to {target} belongs there", subject=path, hint="look into it, move it away, and run this again")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    symlink_atomically(target, path)


def mend_vendor(repair: Repair) -> None:
    """Write files of vendor directories again from the modules' zips, and remove what modules.txt has no place for.

    Root does so with the rights of the account that a project belongs to: links that it has planted lead no farther than it can go itself,
    and what is written is its own.

    :raises HostRefused: others than a project's owner could put another directory in its place.
    """
    mends: dict[str, list[Mend]] = {}
    for finding in repair.mended:
        mends.setdefault(finding.subject, []).append(finding.mend)
    accounts = {project: owner_of(project) if os.geteuid() == 0 else account_of("") for project in mends}
    for project, account in accounts.items():
        zips: dict[str, dict[str, str]] = {}
        with acting_as(account):
            for verb, path, *origin in mends[project]:
                if verb == "remove":
                    remove_tree(path)
                else:
                    source, member = origin
                    zips.setdefault(source, {})[path] = member
        # What is below a link is missing where a directory should be, so nothing is written before the link is gone.
        for source, files in zips.items():
            mend_files(source, files, account)
