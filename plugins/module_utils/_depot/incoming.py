# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's receiving end of a delivery: what the control node says, and numbered parts, read as one tar of proved blobs.

What the parts lie in belongs to the account of the connection, which needn't be trusted: nothing there is followed.
Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import base64
import dataclasses
import errno
import hashlib
import json
import os
import stat
import typing as t
import zlib

from .._base import ustar
from .._base.errors import BundleDamaged
from .._base.files import CHUNK

_AGAIN = "run the deploy again"


@dataclasses.dataclass(frozen=True)
class Request:
    """What the control node says to a host, beside what the user wishes.

    ``step``: probe or admit. ``manifest`` and ``config``: the generation's documents, as JSON text. ``user``: the account
    of the connection, "" when modules run as that. ``incoming`` and ``parts``: where it has put how many parts.
    """

    step: str
    ref: str
    manifest: str
    config: str
    user: str = ""
    incoming: str = ""
    parts: int = 0

    def pack(self) -> str:
        """One word: as many small arguments it would be in every log."""
        return base64.b64encode(zlib.compress(json.dumps(dataclasses.asdict(self)).encode())).decode()

    @classmethod
    def unpack(cls, text: str) -> Request:
        return cls(**json.loads(zlib.decompress(base64.b64decode(text)).decode()))


def part_name(number: int) -> str:
    """What the control node calls the parts of a delivery, counted from 1."""
    return f"part-{number:06d}"


def take_blobs(directory: str, parts: int, missing: t.Mapping[str, int], dest: str) -> None:
    """Write the blobs of a delivery to ``dest``, named by their hex SHA-256.

    :param parts: how many parts the control node has put into ``directory``.
    :param missing: digest → size in bytes of all the blobs that were asked for.
    :raises BundleDamaged: a part or blob is missing, is one too many, or isn't what its name says.
    """
    pending = dict(missing)
    with _Parts(directory, parts) as stream:
        for member in ustar.members(t.cast("t.IO[bytes]", stream), "the delivery"):
            digest = "sha256:" + member.name
            if pending.pop(digest, -1) != member.size:
                raise BundleDamaged(f"the delivery has {member.name}, which wasn't asked for", subject=member.name, hint=_AGAIN)
            seen = hashlib.sha256()
            with open(os.path.join(dest, member.name), "wb") as writer:
                for chunk in member.chunks():
                    seen.update(chunk)
                    writer.write(chunk)
            if seen.hexdigest() != member.name:
                raise BundleDamaged(
                    f"blob {digest} changed on its way here", subject=digest, expected=digest, found="sha256:" + seen.hexdigest(), hint=_AGAIN
                )
    if pending:
        first = next(iter(pending))
        raise BundleDamaged(f"the delivery lacks {len(pending)} blobs, {first} among them", code="truncated", subject=first, hint=_AGAIN)


class _Parts:
    """The parts of a delivery, read as one stream; each is removed when it's used up.

    So a host needs room for one part beside the blobs, not for all of them twice.
    """

    def __init__(self, directory: str, count: int) -> None:
        names = [part_name(number) for number in range(1, count + 1)]
        there = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
        wrong = sorted(set(names).symmetric_difference(there))
        if wrong or not names:
            subject = wrong[0] if wrong else directory
            raise BundleDamaged(
                f"the delivery {'has an unknown' if subject in there else 'lacks'} {subject}",
                code="truncated",
                subject=subject,
                expected=f"{count} parts",
                found=", ".join(there),
                hint=f"{_AGAIN}; of two that run at the same time the later one takes over",
            )
        self._paths = [os.path.join(directory, name) for name in names]
        self._open: t.Optional[t.IO[bytes]] = None

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            if self._open is None:
                if not self._paths:
                    break
                self._open = _open_part(self._paths[0])
            chunk = self._open.read(size - len(found))
            if chunk:
                found += chunk
            else:
                self._open.close()
                self._open = None
                os.unlink(self._paths.pop(0))
        return found


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
