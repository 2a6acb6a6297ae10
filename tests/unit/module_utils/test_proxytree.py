# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of a GOPROXY tree: only what is carried, in semver's order, with the @latest that go would choose."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._go import proxytree
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import proxy_path

PSEUDO = [
    "v0.0.0-20170915032832-14c0d48ead0c",
    "v1.2.4-0.20190102030405-abcdefabcdef",
    "v1.2.4-pre.0.20190102030405-abcdefabcdef",
    "v2.0.1-0.20190102030405-abcdefabcdef+incompatible",
]


def test_versions_sort_by_semvers_precedence() -> None:
    ordered = [
        "v0.9.0",
        "v1.0.0-alpha",
        "v1.0.0-alpha.1",
        "v1.0.0-alpha.beta",
        "v1.0.0-beta",
        "v1.0.0-beta.2",
        "v1.0.0-beta.11",
        "v1.0.0-rc.1",
        "v1.0.0",
        "v1.2.0",
        "v1.10.0",
    ]
    assert sorted(reversed(ordered), key=proxytree.semver_key) == ordered


@pytest.mark.parametrize("version", ["", "v1", "v1.2", "1.2.3", "master"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="isn't a canonical version"):
        proxytree.semver_key(version)


@pytest.mark.parametrize("version", PSEUDO)
def test_pseudo_versions_are_known(version: str) -> None:
    assert proxytree.is_pseudo(version)


@pytest.mark.parametrize("version", ["v1.2.3", "v1.2.3-20190102030405-abcdefabcdef", "v1.2.3-rc.1", "v2.0.0+incompatible", "v0.0.1-go1.26.8.linux-amd64"])
def test_others_are_not(version: str) -> None:
    assert not proxytree.is_pseudo(version)


def tree(tmp_path: pathlib.Path, *carried: str, mods: tuple[str, ...] = ()) -> dict[str, str]:
    """The contents of a tree with these versions of one module, those in ``mods`` without a zip, by their names below the module's."""
    top = tmp_path / "github.com" / "!burnt!sushi" / "toml"
    (top / "@v").mkdir(parents=True)
    files = [
        ("github.com/BurntSushi/toml", version, ext)
        for version in [*carried, *mods]
        for ext in (("info", "mod", "zip") if version in carried else ("info", "mod"))
    ]
    for _module, version, ext in files:
        (top / "@v" / f"{version}.{ext}").write_text(json.dumps({"Version": version}))
    added = proxytree.write_lists(str(tmp_path), files)
    contents = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert set(contents) - {proxy_path(*key) for key in files} == set(added)
    return {str(pathlib.Path(name).relative_to("github.com/!burnt!sushi/toml")): content for name, content in contents.items()}


@pytest.mark.parametrize(
    ("carried", "listed", "latest"),
    [
        (["v1.10.0", "v1.9.0"], ["v1.9.0", "v1.10.0"], "v1.10.0"),
        (["v1.9.0", "v1.10.0-rc.1"], ["v1.9.0", "v1.10.0-rc.1"], "v1.9.0"),
        (["v1.10.0-rc.1", "v1.10.0-rc.2"], ["v1.10.0-rc.1", "v1.10.0-rc.2"], "v1.10.0-rc.2"),
        ([PSEUDO[0]], [], PSEUDO[0]),
        (["v0.1.0", PSEUDO[1]], ["v0.1.0"], "v0.1.0"),
        (["v2.0.0+incompatible", "v1.0.0"], ["v1.0.0", "v2.0.0+incompatible"], "v2.0.0+incompatible"),
    ],
)
def test_the_list_and_latest(tmp_path: pathlib.Path, carried: list[str], listed: list[str], latest: str) -> None:
    contents = tree(tmp_path, *carried)
    assert contents["@v/list"].split() == listed
    assert json.loads(contents["@latest"]) == {"Version": latest}
    assert {f"@v/{version}.{ext}" for version in carried for ext in ("info", "mod", "zip")} == set(contents) - {"@v/list", "@latest"}


def test_what_has_go_mod_alone_is_there_but_not_listed(tmp_path: pathlib.Path) -> None:
    contents = tree(tmp_path, "v1.0.0", mods=("v1.1.0",))
    assert contents["@v/list"] == "v1.0.0\n"
    assert "@v/v1.1.0.mod" in contents and "@v/v1.1.0.zip" not in contents
