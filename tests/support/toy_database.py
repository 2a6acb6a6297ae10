# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checksum database with records and a key of one's own; its hashes come from RFC 6962's definition and from nothing else."""

from __future__ import annotations

import base64
import hashlib
import typing as t

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import escape_path, escape_version
from ansible_collections.airgap.golang.plugins.module_utils._go.tlog import Tile

NAME = "sum.example.org"


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def h1(text: str) -> str:
    return "h1:" + base64.b64encode(sha256(text.encode())).decode()


def record(module: str, version: str, zip_h1: str, mod_h1: str) -> bytes:
    return f"{module} {version} {zip_h1}\n{module} {version}/go.mod {mod_h1}\n".encode()


class Absent(AirgapError):
    status = 404


class Signer:
    """:param seed: 32 bytes for a key that is the same each time."""

    def __init__(self, name: str = NAME, seed: bytes = b"") -> None:
        self.name = name
        self._private = Ed25519PrivateKey.from_private_bytes(seed) if seed else Ed25519PrivateKey.generate()
        public = b"\x01" + self._private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.key_hash = sha256(name.encode() + b"\n" + public)[:4]
        self.key = f"{name}+{self.key_hash.hex()}+{base64.b64encode(public).decode()}"

    def line(self, text: str) -> str:
        return f"— {self.name} {base64.b64encode(self.key_hash + self._private.sign(text.encode())).decode()}\n"

    def head(self, size: int, root: bytes) -> bytes:
        text = f"go.sum database tree\n{size}\n{base64.b64encode(root).decode()}\n"
        return f"{text}\n{self.line(text)}".encode()


class Log:
    """The records ``texts``, in their order; signs a head for whatever size is wanted."""

    def __init__(self, signer: Signer, texts: t.Sequence[bytes]) -> None:
        self.signer = signer
        self.hashes: dict[tuple[int, int], bytes] = {}
        self.texts = texts
        self.leaves = [sha256(b"\x00" + text) for text in texts]

    def mth(self, low: int, high: int) -> bytes:
        """RFC 6962 section 2.1, as it's written there; each range once."""
        if (low, high) not in self.hashes:
            self.hashes[low, high] = self._mth(low, high)
        return self.hashes[low, high]

    def _mth(self, low: int, high: int) -> bytes:
        if high - low == 1:
            return self.leaves[low]
        if high == low:
            return sha256(b"")
        split = 1
        while split * 2 < high - low:
            split *= 2
        return sha256(b"\x01" + self.mth(low, low + split) + self.mth(low + split, high))

    def root(self, size: int) -> bytes:
        return self.mth(0, size)

    def head(self, size: int) -> bytes:
        return self.signer.head(size, self.root(size))

    def tile(self, tile: Tile) -> bytes:
        step = 256**tile.level
        return b"".join(self.mth(n * step, (n + 1) * step) for n in range(tile.number * 256, tile.number * 256 + tile.width))

    def serve(self, size: int = -1) -> t.Callable[[str], bytes]:
        """What the database answers while it has ``size`` records (all, if negative): path to content."""
        size = len(self.texts) if size < 0 else size
        numbers = {}
        for number, text in enumerate(self.texts[:size]):
            module, version = text.decode().split(" ")[:2]
            numbers[f"lookup/{escape_path(module)}@{escape_version(version)}"] = number

        def fetch(path: str) -> bytes:
            if path == "latest":
                return self.head(size)
            if path.startswith("tile/"):
                tile = parse_path(path)
                if (tile.number * 256 + tile.width) * 256**tile.level > size:
                    raise Absent(f"{path}: 404")
                return self.tile(tile)
            if path not in numbers:
                raise Absent(f"{path}: 404")
            return b"%d\n%b\n%b" % (numbers[path], self.texts[numbers[path]], self.head(size))

        return fetch


def parse_path(path: str) -> Tile:
    place, _dot, width = path.partition(".p/")
    elements = place.split("/")
    assert elements[:2] == ["tile", "8"]
    return Tile(int(elements[2]), int("".join(element.lstrip("x") for element in elements[3:])), int(width or 256))
