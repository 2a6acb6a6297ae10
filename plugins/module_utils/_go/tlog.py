# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transparency log, as its readers see it: the signed head, and which tiles of hashes prove what under it.

A log is a Merkle tree over numbered records, as in RFC 6962 section 2.1: a record hashes with a zero byte before it, two
subtrees hash together with a one byte before them, and a tree of any size is the fold of its complete subtrees, whose sizes
are the bits of its size. Its *head*, the size and the hash over all, is published as a signed note.

Hashes are served in tiles. Tile N of level L has up to 256 neighbouring hashes, each of a subtree with 256^L records, the
first of them that of subtree 256*N. So a full tile adds up to one hash of a tile one level up, and only the last tile of a level
can have fewer than 256 hashes. Those last tiles, the *edge*, have nothing above them and fold to the head's hash. Whatever is to be
proved, the proof is the edge, and all tiles from the one in question up to the edge.

Defined by golang.org/x/mod/sumdb: tlog for the tree (the go command reads what TileHashReader asks for) and the head's text, note
for signatures. Explained at https://research.swtch.com/tlog.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import typing as t

from .._base.errors import ModuleRefused, SpecInvalid, ToolMissing

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    HAVE_CRYPTOGRAPHY = True
except ImportError:
    HAVE_CRYPTOGRAPHY = False

HASH_SIZE = 32
HEIGHT = 8
FULL = 1 << HEIGHT

_NODE = hashlib.sha256(b"\x01")

#: What no note and no record may hold.
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")
_ED25519 = b"\x01"
_SIGNATURE = re.compile("— (?P<name>[^ +]+) (?P<signature>[0-9A-Za-z+/]+=*)")
_TREE = re.compile(r"go\.sum database tree\n(?P<size>0|[1-9][0-9]{0,17})\n(?P<hash>[0-9A-Za-z+/]{43}=)\n")


class Tile(t.NamedTuple):
    """A tile's place, and how many hashes it has: 256 (full) or fewer."""

    level: int
    number: int
    width: int

    @property
    def path(self) -> str:
        """Where the database serves it: ``tile/8/0/x123/456`` for level 0, number 123456; ``….p/7`` when it has but 7 hashes."""
        digits = f"{self.number % 1000:03d}"
        rest = self.number // 1000
        while rest:
            digits = f"x{rest % 1000:03d}/{digits}"
            rest //= 1000
        return f"tile/{HEIGHT}/{self.level}/{digits}" + ("" if self.width == FULL else f".p/{self.width}")

    @property
    def filled(self) -> Tile:
        """The same place once the log has grown past it."""
        return self._replace(width=FULL)

    @property
    def bytes(self) -> int:
        """How long its data is."""
        return self.width * HASH_SIZE


def record_hash(text: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + text).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def hash_in(data: bytes, position: int) -> bytes:
    """The hash at a position of a tile's data."""
    return data[position * HASH_SIZE : (position + 1) * HASH_SIZE]


def subtree_hash(data: bytes) -> bytes:
    """What a run of hashes adds up to, when their number is a power of two."""
    # Thousands of tiles pass here, and a prepared state is a sixth cheaper than ``node_hash``.
    while len(data) > HASH_SIZE:
        row = []
        for start in range(0, len(data), 2 * HASH_SIZE):
            node = _NODE.copy()
            node.update(data[start : start + 2 * HASH_SIZE])
            row.append(node.digest())
        data = b"".join(row)
    return data


def edge(size: int) -> list[Tile]:
    """The tiles, lowest level first, that fold to the hash of a tree of ``size`` records. Empty for an empty tree."""
    tiles = []
    level = 0
    while size >> (HEIGHT * level) > 0:
        subtrees = size >> (HEIGHT * level)
        if subtrees % FULL:
            tiles.append(Tile(level, subtrees // FULL, subtrees % FULL))
        level += 1
    return tiles


def tree_hash(size: int, read: t.Callable[[Tile], bytes]) -> bytes:
    """The hash of a tree of ``size`` records.

    :param read: gives the data of an edge tile of that size; more hashes than the tile's width are fine (a larger tree's tile).
    """
    right = b""
    for tile in edge(size):
        data = read(tile)
        end = tile.width
        while end:
            start = end & (end - 1)
            left = subtree_hash(data[start * HASH_SIZE : end * HASH_SIZE])
            right = node_hash(left, right) if right else left
            end = start
    return right or hashlib.sha256(b"").digest()


def tile_of(size: int, level: int, number: int) -> Tile:
    """A place's tile, as wide as a tree of ``size`` records makes it.

    :raises ValueError: that tree has no such tile.
    """
    width = min(FULL, (size >> (HEIGHT * level)) - number * FULL)
    if width <= 0 or number < 0:
        raise ValueError(f"a tree of {size} records has no tile {number} at level {level}")
    return Tile(level, number, width)


def parent(size: int, tile: Tile) -> Tile:
    """The tile that has a full tile's hash, at position ``tile.number % 256``."""
    return tile_of(size, tile.level + 1, tile.number // FULL)


def tiles_for(size: int, records: t.Iterable[int] = (), older: t.Iterable[int] = ()) -> set[Tile]:
    """All tiles that a client reads to prove things under the head of a tree of ``size`` records.

    :param records: numbers of the records to prove.
    :param older: sizes, none over ``size``, of the trees to be shown as this one's beginnings.
    :raises ValueError: a record or an older tree is beyond this tree.
    """
    needed = set(edge(size))
    ends = [tile_of(size, 0, record // FULL) for record in records]
    for before in older:
        if before > size:
            raise ValueError(f"a tree of {before} records is no beginning of one of {size}")
        ends += [tile_of(size, tile.level, tile.number) for tile in edge(before)]
    for tile in ends:
        while tile not in needed:
            needed.add(tile)
            # What isn't full is in the edge, so this goes up no further than there.
            tile = parent(size, tile)
    return needed


def cuts_for(size: int, older: t.Iterable[int]) -> dict[Tile, list[Tile]]:
    """The beginnings of a tree's edge tiles that a client reads which remembers an older head.

    It first folds that head from its own edge. Where the tree has filled a tile since, it makes do with the full one; of one that
    merely grew it wants the old width.

    :param older: as for ``tiles_for``, which has the tiles that these are cut from.
    :returns: tile of the tree of ``size`` records, to narrower tiles of the same place.
    """
    cuts: dict[Tile, list[Tile]] = {}
    for tile in sorted({tile for before in older for tile in edge(before)}):
        grown = tile_of(size, tile.level, tile.number)
        if tile.width < grown.width < FULL:
            cuts.setdefault(grown, []).append(tile)
    return cuts


class Head(t.NamedTuple):
    """A log's state, signed: its size in records, the hash over them (32 bytes), and the note that says so."""

    size: int
    hash: bytes
    note: bytes


def parse_head(note: bytes, key: str, subject: str = "signed tree head") -> Head:
    """Read a signed head and verify its signature.

    :param key: ``name+hash+key``.
    :param subject: how to call it in an error.
    :raises ModuleRefused: it's malformed, or not signed with this key.
    :raises SpecInvalid: the key is malformed.
    :raises ToolMissing: there is no Ed25519 here.
    """
    name, key_hash, public = read_key(key)
    text, blank, signatures = note.rpartition(b"\n\n")
    text += b"\n"
    try:
        tree = _TREE.match(text.decode("utf-8"))
        lines = [_SIGNATURE.fullmatch(line) for line in signatures.decode("utf-8").split("\n")[:-1]]
    except UnicodeDecodeError:
        tree, lines = None, []
    if not blank or not signatures.endswith(b"\n") or CONTROL.search(note) or tree is None or len(lines) > 100:
        raise refused(subject, "is no signed tree head", found=repr(note[:80]))
    verified = False
    for line in lines:
        encoded = line.group("signature") if line else ""
        try:
            signature = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            signature = b""
        # In one form only, so that no bit can change unseen: base64's last digit has some that say nothing.
        if line is None or len(signature) < 5 or base64.b64encode(signature).decode() != encoded:
            raise refused(subject, "has a malformed signature", found=repr(note[:80]))
        if line.group("name") == name and signature[:4] == key_hash:
            if not _signed(public, signature[4:], text):
                raise refused(subject, f"has a wrong signature of {name}", expected=key)
            verified = True
    if not verified:
        raise refused(subject, f"isn't signed by {name}", expected=key)
    return Head(int(tree.group("size")), base64.b64decode(tree.group("hash")), note)


def read_key(key: str) -> tuple[str, bytes, bytes]:
    """(name, 4 bytes of key hash, 32 bytes of Ed25519 key) of ``name+hash+key``, where hash is in hex and key in base64."""
    name, _plus, rest = key.partition("+")
    hexed, _plus, encoded = rest.partition("+")
    try:
        public = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        public = b""
    expected = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    elements = name.split("/")
    if not re.fullmatch(r"[-._~:0-9A-Za-z/]+", name) or any(element in ("", ".", "..") for element in elements):
        fault = f"{name!r} is no name (host or host/path)"
    elif len(public) != 33 or public[:1] != _ED25519 or not re.fullmatch(r"[0-9A-Fa-f]{8}", hexed):
        fault = "it has no Ed25519 key"
    elif bytes.fromhex(hexed) != expected:
        fault = f"its hash is {hexed}, not {expected.hex()}"
    else:
        return name, expected, public[1:]
    raise SpecInvalid(
        f"{key!r} is no checksum database that is known, and no key of one: {fault}",
        subject="GOSUMDB",
        expected="name+hash+key",
        found=key,
        hint="check GOSUMDB",
    )


def need_signatures() -> None:
    """:raises ToolMissing: there is no Ed25519 here."""
    if not HAVE_CRYPTOGRAPHY:
        raise ToolMissing(
            "the Python library cryptography is not here; the checksum database's signatures can't be verified",
            subject="cryptography",
            hint="install it for the Python that runs this: ansible-core needs it too, so its environment has it; else python3-cryptography or pip",
        )


def _signed(public: bytes, signature: bytes, text: bytes) -> bool:
    need_signatures()
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except InvalidSignature:
        return False
    except UnsupportedAlgorithm as exc:
        raise ToolMissing(
            "the Python library cryptography has no Ed25519 on this machine; the checksum database's signatures can't be verified",
            subject="cryptography",
            found=str(exc),
            hint="a FIPS mode may forbid it: do this on a machine that allows Ed25519",
        ) from exc
    return True


def refused(subject: str, what: str, *, expected: str = "", found: str = "", hint: str = "", details: t.Sequence[t.Mapping[str, t.Any]] = ()) -> ModuleRefused:
    return ModuleRefused(
        f"{subject} {what}",
        subject=subject,
        expected=expected,
        found=found,
        hint=hint or "try again; if it stays so, what stands between here and the database changes its answers",
        details=details,
    )
