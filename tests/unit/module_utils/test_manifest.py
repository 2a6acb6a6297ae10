# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests and config documents: the one form, and everything that must not be in them."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, DepotDamaged
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Generation, Ref, parse_config

A, B, C = (oci.digest_of(content) for content in (b"a", b"b", b"c"))
ZIP = oci.Layer(A, 1, oci.ZIP_TYPE, "proxy/example.org/m/@v/v1.0.0.zip", "module")
TAR = oci.Layer(B, 1, oci.TAR_TYPE, "projects/p.source.tar", "source", "projects/p", project="p")
TOOLCHAIN = oci.Layer(C, 0, oci.ZIP_TYPE, "proxy/golang.org/toolchain/@v/x.zip", "toolchain", platform="linux/amd64")


def manifest(*layers: oci.Layer, **more: t.Any) -> bytes:
    document = json.loads(oci.Manifest(C, 2, layers).encode())
    document.update(more)
    return oci.canonical(document)


def test_it_comes_back_as_it_was() -> None:
    parsed = oci.parse(manifest(ZIP, TAR, TOOLCHAIN), "m")
    assert parsed == oci.Manifest(C, 2, (ZIP, TAR, TOOLCHAIN))
    assert parsed.blobs() == {A: 1, B: 1, C: 2}
    assert parsed.encode() == manifest(ZIP, TAR, TOOLCHAIN)


def layer(**more: t.Any) -> bytes:
    """A manifest of one layer that differs from ``ZIP`` in this: a name's field, or an annotation's with dots in it."""
    document = json.loads(manifest(ZIP))
    for name, value in more.items():
        target, key = (document["layers"][0]["annotations"], name.replace("__", ".")) if "__" in name else (document["layers"][0], name)
        if value is None:
            del target[key]
        else:
            target[key] = value
    return oci.canonical(document)


TITLE, KIND, UNPACK = (name.replace(".", "__") for name in (oci.TITLE, oci.KIND, oci.UNPACK))

BAD = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "null": b"null",
    "not UTF-8": b"\xff",
    "nested deeply": b"[" * 100000,
    "another schema": manifest(ZIP, schemaVersion=3),
    "another artifact": manifest(ZIP, artifactType="application/vnd.example"),
    "another config": manifest(ZIP, config={"mediaType": "x", "digest": C, "size": 2}),
    "config of no digest": manifest(ZIP, config={"mediaType": oci.CONFIG_TYPE, "digest": "sha256:../../x", "size": 2}),
    "config of negative size": manifest(ZIP, config={"mediaType": oci.CONFIG_TYPE, "digest": C, "size": -1}),
    "another media type": manifest(ZIP, mediaType="application/json"),
    "an extra field": manifest(ZIP, subject={"digest": A}),
    "layers that are none": manifest(ZIP, layers={"a": 1}),
    "spaces": json.dumps(json.loads(manifest(ZIP))).encode(),
    "a byte more": manifest(ZIP) + b"\n",
    "size as text": layer(size="1"),
    "size as truth": layer(size=True),
    "negative size": layer(size=-1),
    "short digest": layer(digest=A[:-1]),
    "upper-case digest": layer(digest=A.upper()),
    "another hash": layer(digest="sha512:" + "0" * 128),
    "path for a digest": layer(digest="sha256:../../../../etc/passwd"),
    "no title": layer(**{TITLE: None}),
    "absolute": layer(**{TITLE: "/etc/passwd"}),
    "dotdot": layer(**{TITLE: "../../x"}),
    "dotdot inside": layer(**{TITLE: "proxy/../../x"}),
    "dot": layer(**{TITLE: "./proxy/x"}),
    "empty title": layer(**{TITLE: ""}),
    "directory": layer(**{TITLE: "proxy/x/"}),
    "newline": layer(**{TITLE: "proxy/x\nfoo"}),
    "lone surrogate": layer(**{TITLE: "proxy/x"}).replace(b"proxy/x", b"proxy/\\ud800"),
    "over our sums": layer(**{TITLE: "SHA256SUMS"}),
    "over our notes": layer(**{TITLE: ".layers/" + "0" * 64}),
    "outside of its part": layer(**{TITLE: "files/x.zip"}),
    "outside by prefix": layer(**{TITLE: "proxyx/y.zip"}),
    "unknown kind": layer(**{KIND: "virus"}),
    "evil unpack": layer(**{UNPACK: "../x"}),
    "unpack elsewhere": layer(**{UNPACK: "files"}),
    "empty unpack": layer(**{UNPACK: ""}),
    "unknown annotation": layer(**{"org__example": "x"}),
    "same place twice": manifest(ZIP, oci.Layer(B, 1, oci.ZIP_TYPE, ZIP.title, "module")),
    "two sizes": manifest(ZIP, oci.Layer(A, 2, oci.ZIP_TYPE, "proxy/y.zip", "module")),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_what_we_would_not_write_is_refused(content: bytes) -> None:
    with pytest.raises(AirgapError) as refusal:
        oci.parse(content, "bundle x")
    assert "bundle x" in refusal.value.message


def test_each_kind_has_its_place() -> None:
    for kind, place in oci.PLACES.items():
        one = oci.Layer(A, 1, oci.TAR_TYPE, f"{place}/x", kind)
        assert oci.parse(manifest(one), "m").layers == (one,)


CONFIG: dict[str, t.Any] = {
    "schema": 1,
    "name": "small",
    "generation": 7,
    "created": "2026-01-02T03:04:05Z",
    "go": {},
    "toolchains": [{"version": "1.26.8", "platform": "linux/amd64", "zip": "0" * 64}],
    "modules": [
        {"path": "example.org/m", "version": "v1.0.0", "zip": A[7:], "h1": "h1:x", "gomod_h1": "h1:y", "public": True},
        {"path": "example.org/n", "version": "v1", "zip": "", "h1": "", "gomod_h1": "h1:z", "public": False},
    ],
    "projects": [{"name": "p"}],
    "tools": [],
    "files": [],
    "seal": None,
}


def test_a_config_is_read() -> None:
    document = parse_config(oci.canonical(CONFIG), "m")
    assert document == CONFIG
    summary = Generation(Ref(7, False), A, oci.Manifest(C, 2, (ZIP, TAR)), document).summary()
    assert summary == {
        "name": "small",
        "generation": "000007-unsealed",
        "number": 7,
        "sealed": False,
        "digest": A,
        "blobs": 3,
        "bytes": 4,
        "modules": 1,
        "gomod_only": 1,
        "toolchains": ["go1.26.8 linux/amd64"],
        "projects": ["p"],
        "unproved": ["example.org/n@v1"],
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), None),
        (("name",), 1),
        (("name",), "../../x"),
        (("name",), ""),
        (("generation",), "7"),
        (("generation",), True),
        (("created",), None),
        (("created",), 5),
        (("go",), []),
        (("modules",), {}),
        (("modules",), None),
        (("modules", 0), "x"),
        (("modules", 0, "h1"), None),
        (("modules", 0, "zip"), 5),
        (("modules", 0, "gomod_h1"), None),
        (("modules", 0, "public"), None),
        (("modules", 0, "public"), 1),
        (("go", "sumdb"), "x"),
        (("go", "sumdb"), {"name": "sum.golang.org"}),
        (("go", "sumdb"), {"name": "sum.golang.org", "size": 7, "older": [True]}),
        (("go", "sumdb"), {"name": "sum.golang.org", "size": "7", "older": []}),
        (("toolchains", 0, "platform"), None),
        (("projects", 0, "name"), "a/../../b"),
        (("projects", 0, "name"), ".."),
        (("projects", 0), []),
        (("seal",), "yes"),
        (("tools",), "x"),
        (("files",), None),
    ],
)
def test_a_config_of_another_shape_is_refused(path: tuple[t.Any, ...], value: t.Any) -> None:
    document = copy.deepcopy(CONFIG)
    target: t.Any = document
    for key in path[:-1]:
        target = target[key]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    with pytest.raises(DepotDamaged) as refusal:
        parse_config(oci.canonical(document), "bundle x")
    assert refusal.value.code == "config_invalid"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"5", b"\xff", b"[" * 100000])
def test_garbage_is_no_config(content: bytes) -> None:
    with pytest.raises(DepotDamaged):
        parse_config(content, "bundle x")


def test_a_later_schema_says_so() -> None:
    with pytest.raises(DepotDamaged, match="has schema 2; this release reads 1"):
        parse_config(oci.canonical({"schema": 2}), "bundle x")


@pytest.mark.parametrize(("text", "ref"), [("000007", Ref(7, True)), ("000007-unsealed", Ref(7, False)), ("1234567", Ref(1234567, True))])
def test_a_generations_name(text: str, ref: Ref) -> None:
    assert Ref.parse(text) == ref
    assert str(ref) == text


@pytest.mark.parametrize("text", ["", "7", "00007", "000007-sealed", "../000007", "000007\n", "-00007", "٠٠٠٠٠٧", "9" * 5000])
def test_what_is_no_generations_name(text: str) -> None:
    with pytest.raises(DepotDamaged):
        Ref.parse(text)


def test_generations_sort_by_number_and_the_sealed_one_last() -> None:
    refs = [Ref(10, False), Ref(9, True), Ref(10, True), Ref(9, False)]
    assert [str(ref) for ref in sorted(refs)] == ["000009-unsealed", "000009", "000010-unsealed", "000010"]
