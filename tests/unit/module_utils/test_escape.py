# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Escaping, validity and exactness as golang.org/x/mod/module and semver have them (cases from their own tests)."""

from __future__ import annotations

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._go import escape


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [
        ("github.com/BurntSushi/toml", "github.com/!burnt!sushi/toml"),
        ("github.com/GoogleCloudPlatform/omega", "github.com/!google!cloud!platform/omega"),
        ("ascii.com/abcdefghijklmnopqrstuvwxyz.-/~_0123456789", "ascii.com/abcdefghijklmnopqrstuvwxyz.-/~_0123456789"),
        ("gopkg.in/yaml.v2", "gopkg.in/yaml.v2"),
        ("gopkg.in/user/pkg.v0-unstable", "gopkg.in/user/pkg.v0-unstable"),
        ("example.com/a/v2", "example.com/a/v2"),
        ("example.com/av2", "example.com/av2"),
        ("golang.org/toolchain", "golang.org/toolchain"),
        ("git.example.internal/lib.git", "git.example.internal/lib.git"),
    ],
)
def test_paths_there_and_back(plain: str, escaped: str) -> None:
    assert escape.escape_path(plain) == escaped
    assert escape.unescape_path(escaped) == plain


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x.com",
        "x.com/../y",
        "x.com/./y",
        "x.com/.../y",
        "x.com//y",
        "x.com/y/",
        "x.com/.git",
        "x.com/y.",
        "-x.com/y",
        "nodot/y",
        "UPPER.com/y",
        "x_y.com/z",
        "x.com/a b",
        "x.com/a\\b",
        "x.com/a:b",
        "x.com/a!b",
        "x.com/a@b",
        "x.com/a+b",
        "x.com/a\nb",
        "x.com/a\x00",
        "x.com/é",
        "x.com/con",
        "x.com/COM1.txt/y",
        "x.com/name~1",
        "x.com/y/v1",
        "x.com/y/v0",
        "x.com/y/v02",
        "x.com/y/v2.1",
        "gopkg.in/yaml",
        "gopkg.in/yaml.v02",
        "x.com\n",
    ],
)
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(SpecInvalid):
        escape.escape_path(path)
    with pytest.raises(SpecInvalid):
        escape.proxy_path(path, "v1.0.0", "zip")


@pytest.mark.parametrize(
    "escaped", ["github.com/BurntSushi/toml", "github.com/!Burnt", "github.com/a!", "github.com/!!a", "github.com/!1", "!x.com/y", "x.com/!../y"]
)
def test_escaped_paths_that_are_none(escaped: str) -> None:
    with pytest.raises(SpecInvalid):
        escape.unescape_path(escaped)


def test_versions_there_and_back() -> None:
    for plain, escaped in (("v1.2.3-RC1", "v1.2.3-!r!c1"), ("v2.0.0+incompatible", "v2.0.0+incompatible"), ("main", "main"), (".hidden", ".hidden")):
        assert escape.escape_version(plain) == escaped
        assert escape.unescape_version(escaped) == plain
    for bad in ("", ".", "..", "v1/../..", "feature/x", "v1.", "a\\b", "a!b", "a:b", "a\x00", "é", "nul"):
        with pytest.raises(SpecInvalid):
            escape.escape_version(bad)
    with pytest.raises(SpecInvalid):
        escape.unescape_version("v1.2.3-RC1")


def test_proxy_path() -> None:
    assert escape.proxy_path("github.com/BurntSushi/toml", "v1.2.3", "zip") == "github.com/!burnt!sushi/toml/@v/v1.2.3.zip"
    assert escape.proxy_path("golang.org/toolchain", "v0.0.1-go1.27.3.linux-amd64", "mod") == "golang.org/toolchain/@v/v0.0.1-go1.27.3.linux-amd64.mod"
    with pytest.raises(SpecInvalid, match="no 'exe' file"):
        escape.proxy_path("x.com/y", "v1.0.0", "exe")


@pytest.mark.parametrize(
    ("version", "exact"),
    [
        ("v1.2.3", True),
        ("v0.0.0-20170915032832-14c0d48ead0c", True),
        ("v1.2.4-0.20170915032832-14c0d48ead0c", True),
        ("v2.0.0+incompatible", True),
        ("v2.0.1-0.20170915032832-14c0d48ead0c+incompatible", True),
        ("v0.0.1-go1.27.3.linux-amd64", True),
        ("v1.0.0-0a", True),
        ("v1.0.0--", True),
        ("v1.2", False),
        ("v1", False),
        ("1.2.3", False),
        ("v01.2.3", False),
        ("v1.2.3-01", False),
        ("v1.2.3-", False),
        ("v1.2.3-a..b", False),
        ("v1.2.3+meta", False),
        ("v1.2.3\n", False),
        ("latest", False),
        ("main", False),
        ("14c0d48ead0c", False),
        (">=v1.2.3", False),
        ("", False),
    ],
)
def test_exact_versions(version: str, exact: bool) -> None:
    assert escape.is_exact(version) is exact


@pytest.mark.parametrize(
    ("module", "version", "fits"),
    [
        ("x.com/y", "v0.1.0", True),
        ("x.com/y", "v1.1.0", True),
        ("x.com/y", "v2.0.0", False),
        ("x.com/y", "v2.0.0+incompatible", True),
        ("x.com/y/v2", "v2.3.0", True),
        ("x.com/y/v2", "v3.0.0", False),
        ("x.com/y/v20", "v2.0.0", False),
        ("gopkg.in/yaml.v2", "v2.2.1", True),
        ("gopkg.in/yaml.v2", "v3.0.0", False),
        ("gopkg.in/check.v1", "v0.0.0-20161208181325-20d25e280405", True),
        ("gopkg.in/u/p.v1-unstable", "v1.0.0", True),
        ("x.com/y", "latest", False),
    ],
)
def test_majors(module: str, version: str, fits: bool) -> None:
    assert escape.matches_major(module, version) is fits


def test_path_at_version() -> None:
    assert escape.parse_at("golang.org/x/vuln/cmd/govulncheck@v1.9.0") == ("golang.org/x/vuln/cmd/govulncheck", "v1.9.0")
    assert escape.parse_at("example.com/c++/x@feature/y") == ("example.com/c++/x", "feature/y")
    for bad in (
        "",
        "x.com/y",
        "x.com/y@",
        "@v1.0.0",
        "x.com/y@v1@v2",
        "x.com/../y@v1",
        "-x.com/y@v1",
        "x.com/y@ v1",
        "x.com/y@-v",
        "fmt@v1",
        "https://x.com/y@v1",
    ):
        with pytest.raises(SpecInvalid, match="is not path@version"):
            escape.parse_at(bad)
