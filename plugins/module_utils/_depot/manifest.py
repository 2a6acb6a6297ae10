# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A generation's manifest: an OCI image manifest (image-spec v1.1) whose layers are the generation's blobs.

https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md. A layer is either one file of the tree (its title
is the path there) or a tar of small files (unpacked below the path in the ``unpack`` annotation).

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing as t

from .._base.errors import DepotDamaged
from .._base.ustar import safe_name

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
ARTIFACT_TYPE = "application/vnd.airgap.golang.generation.v1"
CONFIG_TYPE = "application/vnd.airgap.golang.generation.v1+json"
ZIP_TYPE = "application/zip"
FILE_TYPE = "application/octet-stream"
TAR_TYPE = "application/vnd.airgap.golang.tree.v1.tar"
TAR_GZIP_TYPE = "application/vnd.airgap.golang.tree.v1.tar+gzip"

TITLE = "org.opencontainers.image.title"
REF_NAME = "org.opencontainers.image.ref.name"
CREATED = "org.opencontainers.image.created"
KIND = "airgap.golang.kind"
UNPACK = "airgap.golang.unpack"
PLATFORM = "airgap.golang.platform"
PROJECT = "airgap.golang.project"

# What a layer is for, and the part of the tree it belongs in; a host takes the kinds that its parts need.
PLACES: t.Mapping[str, str] = {
    "index": "proxy",
    "sumdb": "proxy",
    "module": "proxy",
    "toolchain": "proxy",
    "source": "projects",
    "vendor": "projects",
    "file": "files",
    "tool": "tools",
    "extra": "tools",
    "evidence": "evidence",
}
KINDS = tuple(PLACES)

# Programs: their files in a tree can be executed.
EXECUTABLE = ("tool",)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def canonical(document: t.Any) -> bytes:
    """JSON in the one form that we hash: sorted keys, no spaces, UTF-8."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclasses.dataclass(frozen=True)
class Layer:
    """One blob of a generation: what it is (``kind``) and where it belongs in the tree.

    ``title``: the tree path of a file layer, a display name of a tar layer. ``unpack``: the tree directory of a tar
    layer (empty for a file). ``platform`` (os/arch) and ``project``: set where only some hosts want it.
    """

    digest: str
    size: int
    media_type: str
    title: str
    kind: str
    unpack: str = ""
    platform: str = ""
    project: str = ""

    @property
    def hex(self) -> str:
        return self.digest.split(":", 1)[1]

    def to_dict(self) -> dict[str, t.Any]:
        annotations = {TITLE: self.title, KIND: self.kind}
        for key, value in ((UNPACK, self.unpack), (PLATFORM, self.platform), (PROJECT, self.project)):
            if value:
                annotations[key] = value
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, "annotations": annotations}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A parsed manifest: the config's digest and size in bytes, and the layers."""

    config: str
    config_size: int
    layers: tuple[Layer, ...]

    def encode(self) -> bytes:
        return canonical(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "artifactType": ARTIFACT_TYPE,
                "config": {"mediaType": CONFIG_TYPE, "digest": self.config, "size": self.config_size},
                "layers": [layer.to_dict() for layer in self.layers],
            }
        )

    def blobs(self) -> dict[str, int]:
        """Every blob the generation needs beside the manifest itself: digest → size in bytes."""
        found = {layer.digest: layer.size for layer in self.layers}
        found[self.config] = self.config_size
        return found


def parse(content: bytes, where: str) -> Manifest:
    """:raises DepotDamaged: it isn't a generation's manifest, or it names unsafe or contradictory things."""

    def refuse(why: str) -> DepotDamaged:
        return DepotDamaged(f"{where}: {why}", code="manifest_invalid", subject=where, hint="it isn't a manifest that airgap.golang writes")

    try:
        document = json.loads(content.decode("utf-8"))
        if document["schemaVersion"] != 2 or document["artifactType"] != ARTIFACT_TYPE or document["config"]["mediaType"] != CONFIG_TYPE:
            raise refuse("this manifest is of another kind or a newer version")
        layers = []
        for entry in document["layers"]:
            notes = entry["annotations"]
            layer = Layer(
                digest=str(entry["digest"]),
                size=int(entry["size"]),
                media_type=str(entry["mediaType"]),
                title=safe_name(str(notes[TITLE]), where),
                kind=str(notes[KIND]),
                unpack=safe_name(str(notes[UNPACK]), where) if UNPACK in notes else "",
                platform=str(notes.get(PLATFORM, "")),
                project=str(notes.get(PROJECT, "")),
            )
            if not _DIGEST.fullmatch(layer.digest) or layer.size < 0 or layer.kind not in KINDS:
                raise refuse(f"the layer {layer.title} can't be meant")
            if not f"{layer.unpack or layer.title}/".startswith(PLACES[layer.kind] + "/"):
                raise refuse(f"the layer {layer.title} is of the kind {layer.kind}, which doesn't belong there")
            layers.append(layer)
        parsed = Manifest(str(document["config"]["digest"]), int(document["config"]["size"]), tuple(layers))
        if parsed.encode() != content:
            raise refuse("it isn't in the one form that we write")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise refuse(f"it can't be read ({type(exc).__name__}: {exc})") from None
    if not _DIGEST.fullmatch(parsed.config) or parsed.config_size < 0:
        raise refuse("its config can't be meant")
    titles = [layer.title for layer in layers]
    if len(set(titles)) != len(titles):
        raise refuse("two layers claim the same place")
    if len({layer.digest for layer in layers}) != len({(layer.digest, layer.size) for layer in layers}):
        raise refuse("one blob has two sizes")
    return parsed
