# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A generation: its name in a depot, and its config document, which says what its blobs are.

The document's schema is docs/schemas/generation.v1.json.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from .._base.errors import DepotDamaged
from .manifest import Manifest

SCHEMA = 1

_BRING_AGAIN = "receive the generation's bundle again, or gather it again"

_REF = re.compile(r"([0-9]{6,18})(-unsealed)?")
# As the spec has them: they become names of files and directories.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclasses.dataclass(frozen=True, order=True)
class Ref:
    """A generation's name: ``000007``, or ``000007-unsealed`` until its rehearsal has passed."""

    number: int
    sealed: bool

    def __str__(self) -> str:
        return f"{self.number:06d}" + ("" if self.sealed else "-unsealed")

    @classmethod
    def parse(cls, text: str) -> Ref:
        """:raises DepotDamaged: it isn't a generation's name."""
        match = _REF.fullmatch(text)
        if match is None:
            raise DepotDamaged(f"{text!r} isn't a generation's name", subject=text, expected="six digits, such as 000007")
        return cls(int(match.group(1)), match.group(2) is None)


@dataclasses.dataclass(frozen=True)
class Generation:
    """A generation as a depot or a bundle has it. ``digest`` is its identity."""

    ref: Ref
    digest: str
    manifest: Manifest
    config: dict[str, t.Any]

    @property
    def name(self) -> str:
        return str(self.config["name"])

    def summary(self) -> dict[str, t.Any]:
        """What modules return about it."""
        return {
            "name": self.name,
            "generation": str(self.ref),
            "number": self.ref.number,
            "sealed": self.ref.sealed,
            "digest": self.digest,
            "blobs": len(self.manifest.blobs()),
            "bytes": sum(self.manifest.blobs().values()),
            "modules": sum(1 for module in self.config["modules"] if module["zip"]),
            "gomod_only": sum(1 for module in self.config["modules"] if not module["zip"]),
            "toolchains": [f"go{toolchain['version']} {toolchain['platform']}" for toolchain in self.config["toolchains"]],
            "projects": [project["name"] for project in self.config["projects"]],
            "unproved": self.unproved(),
        }

    def unproved(self) -> list[str]:
        """``path@version`` of what the carried checksum database has no record of, toolchains too: go.sum or the fetching vouched for it."""
        return sorted(f"{module['path']}@{module['version']}" for module in self.config["modules"] if not module["public"])


def parse_config(content: bytes, where: str) -> dict[str, t.Any]:
    """The config document. What programs here read of it has the types that the schema gives.

    :raises DepotDamaged: it isn't one, or one of a later schema.
    """
    try:
        document = json.loads(content.decode("utf-8"))
        schema = document["schema"]
        faults = _faults(document) if schema == SCHEMA else []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise DepotDamaged(
            f"{where}: the generation's config can't be read ({type(exc).__name__}: {exc})", code="config_invalid", subject=where, hint=_BRING_AGAIN
        ) from None
    if schema != SCHEMA:
        raise DepotDamaged(
            f"{where}: the generation's config has schema {schema}; this release reads {SCHEMA}",
            code="config_invalid",
            subject=where,
            expected=str(SCHEMA),
            found=str(schema),
            hint="install the collection's release that wrote it, or a later one",
        )
    if faults:
        raise DepotDamaged(f"{where}: the generation's config can't be meant: {faults[0]}", code="config_invalid", subject=faults[0], hint=_BRING_AGAIN)
    return t.cast("dict[str, t.Any]", document)


def _faults(document: t.Mapping[str, t.Any]) -> list[str]:
    """The paths of what has another type than it should; names that become file names must be fit for it."""
    shapes: list[tuple[str, t.Any, type]] = [
        *((key, document[key], str) for key in ("name", "created")),
        *((key, document[key], list) for key in ("toolchains", "modules", "projects", "tools", "files")),
        ("generation", document["generation"], int),
        ("go", document["go"], dict),
        ("go/sumdb", document["go"].get("sumdb", {}), dict),
    ]
    database = document["go"].get("sumdb")
    if database:
        shapes += [("go/sumdb/name", database["name"], str), ("go/sumdb/size", database["size"], int), ("go/sumdb/older", database["older"], list)]
        shapes += [(f"go/sumdb/older/{number}", size, int) for number, size in enumerate(database["older"])]
    keys_of = {
        "toolchains": ("version", "platform", "zip"),
        "modules": ("path", "version", "zip", "h1", "gomod_h1"),
        "projects": ("name",),
        "tools": ("package", "version"),
    }
    for what, keys in keys_of.items():
        shapes += [(f"{what}/{number}/{key}", entry[key], str) for number, entry in enumerate(document[what]) for key in keys]
    binaries = [
        (f"tools/{number}/binaries/{place}", binary)
        for number, entry in enumerate(document["tools"])
        for place, binary in enumerate(entry.get("binaries", []))
    ]
    shapes += [(f"{path}/{key}", binary[key], str) for path, binary in binaries for key in ("platform", "name", "sha256")]
    shapes += [(f"modules/{number}/public", module["public"], bool) for number, module in enumerate(document["modules"])]
    faults = [path for path, value, wanted in shapes if not isinstance(value, wanted) or isinstance(value, bool) is not (wanted is bool)]
    names = [("name", document["name"]), *((f"projects/{number}/name", entry["name"]) for number, entry in enumerate(document["projects"]))]
    names += [(f"{path}/name", binary["name"]) for path, binary in binaries]
    faults += [path for path, name in names if not _NAME.fullmatch(str(name))]
    if not isinstance(document.get("seal"), (dict, type(None))):
        faults.append("seal")
    return faults
