# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's receiving end of a delivery: what the control node says, and parts that it sends, each of them blobs to be proved.

A part is a file: one blob, named by its hex SHA-256, or a canonical tar of several, named ``pack-`` and 16 hex digits.
Below the depot's staging directory::

    incoming/<random>/   parts. It belongs to the account of the connection, which needn't be trusted: nothing there is followed
    arriving/<hex>       ours: blobs that are proved and wait for the others, or the beginning of one that is being pulled

A killed run leaves both; ``salvage`` takes in of them what is whole. Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import pwd
import re
import secrets
import stat
import typing as t
import zlib

from .._base import ustar
from .._base.errors import BundleDamaged, HostRefused
from .._base.files import CHUNK, remove_tree, sha256_of, sync_filesystem
from .depot import Depot

#: Bytes from which on a blob travels alone, and how many bytes of smaller ones travel as one part.
ALONE = 4 << 20
PACK = 32 << 20

INCOMING = "incoming"
ARRIVING = "arriving"

_BLOB = re.compile(r"[0-9a-f]{64}")
_PACK = re.compile(r"pack-[0-9a-f]{16}")
_AGAIN = "run the deploy again"


@dataclasses.dataclass(frozen=True)
class Request:
    """What the control node says to a host, beside what the user wishes.

    ``step``: probe or admit. ``digest``: of the generation's manifest. ``manifest`` and ``config``: its documents, as JSON
    text; both "" to a host that may have them, or can get them. ``user``: the account of the connection, "" when modules
    run as that. ``incoming`` and ``parts``: where it has put how many parts.
    """

    step: str
    ref: str
    digest: str
    manifest: str = ""
    config: str = ""
    user: str = ""
    incoming: str = ""
    parts: int = 0

    def pack(self) -> str:
        """One word: as many small arguments it would be in every log."""
        return base64.b64encode(zlib.compress(json.dumps(dataclasses.asdict(self)).encode())).decode()

    @classmethod
    def unpack(cls, text: str) -> Request:
        return cls(**json.loads(zlib.decompress(base64.b64decode(text)).decode()))


def part_name(digests: t.Sequence[str]) -> str:
    """What the part with these blobs is called."""
    if len(digests) == 1:
        return digests[0][7:]
    return "pack-" + hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def largest_part(missing: t.Mapping[str, int]) -> int:
    """The bytes of the largest part that these blobs (digest → size) can come in, at most."""
    return min(sum(missing.values()), max([PACK, *missing.values()]))


def open_incoming(depot: Depot, user: str) -> str:
    """Make a directory for what the control node sends, writable for the account that it connects as. Needs the depot's lock.

    :param user: that account's name or number; "" when it's the one that this runs as.
    :raises HostRefused: there's no such account.
    """
    uid, gid = _account(user)
    top = os.path.join(depot.staging, INCOMING)
    # Who may not list it can't find what is in it.
    os.makedirs(top, 0o711, exist_ok=True)
    path = os.path.join(top, secrets.token_hex(16))
    os.mkdir(path, 0o700)
    if os.geteuid() == 0:
        os.chown(path, uid, gid)
    elif uid != os.geteuid():
        os.chmod(path, 0o733)
    return path


def open_arriving(depot: Depot) -> str:
    """The directory where blobs wait until all have come. Needs the depot's lock."""
    path = os.path.join(depot.staging, ARRIVING)
    os.makedirs(path, 0o700, exist_ok=True)
    return path


def take_blobs(depot: Depot, missing: t.Mapping[str, int], incoming: str, parts: int) -> None:
    """Blobs from a delivery into the store: all of them, or none where one isn't right. Needs the depot's lock.

    :param missing: digest → size in bytes of all the blobs that were asked for.
    :param incoming: what ``open_incoming`` gave.
    :param parts: how many parts the control node has put there.
    :raises BundleDamaged: a part or blob is missing, is one too many, or isn't what its name says.
    """
    directory = os.path.join(depot.staging, INCOMING, os.path.basename(incoming))
    arriving = open_arriving(depot)
    pending = dict(missing)
    for path in _parts(directory, parts):
        for arrived in _read_part(path, arriving, pending):
            if not arrived.wanted:
                raise BundleDamaged(f"the delivery has {arrived.name}, which wasn't asked for", subject=arrived.name, hint=_AGAIN)
            if arrived.found != arrived.name:
                digest = "sha256:" + arrived.name
                found = "sha256:" + arrived.found if arrived.found else "another size"
                raise BundleDamaged(f"blob {digest} changed on its way here", subject=digest, expected=digest, found=found, hint=_AGAIN)
            del pending["sha256:" + arrived.name]
        # A host needs room for one part beside the blobs, not for all of them twice. One that was moved is gone already.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if pending:
        first = next(iter(pending))
        raise BundleDamaged(f"the delivery lacks {len(pending)} blobs, {first} among them", code="truncated", subject=first, hint=_AGAIN)
    take_arrived(depot, missing)


def take_arrived(depot: Depot, proved: t.Mapping[str, int]) -> None:
    """Blobs (digest → size) that lie proved in ``arriving`` into the store. Needs the depot's lock."""
    arriving = open_arriving(depot)
    # Later only a blob's size is looked at, so its content is on the disk before it has its name.
    sync_filesystem(arriving)
    for digest, size in proved.items():
        depot.blobs.adopt(os.path.join(arriving, digest[7:]), digest, size, move=True)


def left_behind(depot: Depot) -> bool:
    """Whether a delivery that didn't end left anything."""
    return any(os.path.isdir(os.path.join(depot.staging, name)) and os.listdir(os.path.join(depot.staging, name)) for name in (INCOMING, ARRIVING))


def salvage(depot: Depot, missing: t.Mapping[str, int]) -> None:
    """Take in what a delivery that didn't end has brought whole: proved blobs alone, of those that are ``missing`` (digest → size).

    What can't be used is passed over; nobody's run fails for that. Needs the depot's lock.
    """
    arriving = open_arriving(depot)
    pending, proved = dict(missing), {}
    for name in os.listdir(arriving):
        path, digest = os.path.join(arriving, name), "sha256:" + name
        try:
            if digest in pending and os.stat(path).st_size == pending[digest] and sha256_of(path)[0] == name:
                proved[digest] = pending.pop(digest)
        except OSError:
            # Who brings it again would have to read it.
            with contextlib.suppress(OSError):
                os.unlink(path)
    top = os.path.join(depot.staging, INCOMING)
    for directory in os.listdir(top) if os.path.isdir(top) else ():
        for name in sorted(os.listdir(os.path.join(top, directory))):
            path = os.path.join(top, directory, name)
            # Its end is missing, it's no file, somebody else's, or there's no more room.
            with contextlib.suppress(BundleDamaged, OSError):
                for arrived in _read_part(path, arriving, pending):
                    digest = "sha256:" + arrived.name
                    if arrived.wanted and arrived.found == arrived.name:
                        proved[digest] = pending.pop(digest)
            # The next part needs its room.
            with contextlib.suppress(OSError):
                os.unlink(path)
    take_arrived(depot, proved)
    remove_tree(top)


def _account(user: str) -> tuple[int, int]:
    """(uid, gid) of a name or number; our own for ""."""
    if not user:
        return os.geteuid(), os.getegid()
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        raise HostRefused(f"this host doesn't know the account {user}, which the connection uses", subject=user, hint="set ansible_user") from None
    return entry.pw_uid, entry.pw_gid


def _parts(directory: str, count: int) -> list[str]:
    """The paths of a delivery's parts.

    :raises BundleDamaged: there is another number of them, or something else.
    """
    there = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    strange = [name for name in there if not _BLOB.fullmatch(name) and not _PACK.fullmatch(name)]
    if strange or not count or len(there) != count:
        what = f"has an unknown {strange[0]}" if strange else f"has {len(there)} parts of {count}"
        raise BundleDamaged(
            f"the delivery {what}",
            code="truncated",
            subject=strange[0] if strange else directory,
            expected=f"{count} parts",
            found=", ".join(there),
            hint=f"{_AGAIN}; of two that run at the same time the later one takes over",
        )
    return [os.path.join(directory, name) for name in there]


class _Arrived(t.NamedTuple):
    """A blob of a part: its name there, whether it was missing, and the hex SHA-256 of what came ("" for another size)."""

    name: str
    wanted: bool
    found: str = ""


def _read_part(path: str, arriving: str, missing: t.Mapping[str, int]) -> t.Iterator[_Arrived]:
    """The blobs of a part; those that were ``missing`` (digest → size) and are what they're called lie in ``arriving`` then.

    :raises BundleDamaged: the part isn't one, or ends too early; what came before can be used.
    """
    name = os.path.basename(path)
    with _open_part(path) as stream:
        if _PACK.fullmatch(name):
            for member in ustar.members(stream, "the delivery"):
                wanted = missing.get("sha256:" + member.name) == member.size
                yield _Arrived(member.name, wanted, _write(member.chunks(), os.path.join(arriving, member.name)) if wanted else "")
            return
        facts = os.fstat(stream.fileno())
        dest = os.path.join(arriving, name)
        if missing.get("sha256:" + name) != facts.st_size:
            yield _Arrived(name, "sha256:" + name in missing)
        elif facts.st_uid == os.geteuid() == os.stat(os.path.dirname(path)).st_uid and facts.st_nlink == 1:
            # Nobody else can change it any more, so it needn't be copied.
            seen = hashlib.sha256()
            for chunk in _chunks(stream):
                seen.update(chunk)
            if seen.hexdigest() == name:
                os.rename(path, dest)
            yield _Arrived(name, True, seen.hexdigest())
        else:
            yield _Arrived(name, True, _write(_chunks(stream), dest))


def _chunks(stream: t.IO[bytes]) -> t.Iterator[bytes]:
    return iter(lambda: stream.read(CHUNK), b"")


def _write(chunks: t.Iterable[bytes], path: str) -> str:
    """Write a blob to ``path``, which doesn't stay when it's not what its name says; its hex SHA-256."""
    seen = hashlib.sha256()
    try:
        with open(path, "wb") as writer:
            for chunk in chunks:
                seen.update(chunk)
                writer.write(chunk)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise
    if seen.hexdigest() != os.path.basename(path):
        os.unlink(path)
    return seen.hexdigest()


def _open_part(path: str) -> t.IO[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        if exc.errno != errno.ELOOP:
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb", buffering=CHUNK)
        os.close(descriptor)
    name = os.path.basename(path)
    raise BundleDamaged(
        f"{name} of the delivery is no regular file",
        code="unsafe_member",
        subject=name,
        found="a link" if os.path.islink(path) else "another kind of file",
        hint="find out who put it there, then run the deploy again",
    )
