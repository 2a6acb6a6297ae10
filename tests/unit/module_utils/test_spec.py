# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Specs as users write them: what they become, and what is refused with which words."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._content import spec


def parse(**parts: t.Any) -> spec.Spec:
    given = {"name": "platform", "toolchains": [], "projects": [], "modules": [], "tools": [], "files": [], "platform": "linux/arm64", **parts}
    return spec.parse(**given)


def project(**more: t.Any) -> dict[str, t.Any]:
    return {"name": "yq", "source": {"module": "github.com/mikefarah/yq/v4", "version": "v4.54.2"}, **more}


def test_a_whole_spec_is_read() -> None:
    read = parse(
        toolchains=[{"version": "go1.26.8", "platforms": ["linux/amd64", "linux/arm64"]}, {"version": "1.27"}],
        projects=[project(builds=[{"output": "bin/yq"}, {"output": "bin/yq.exe", "platform": "windows/amd64"}], toolchain="go1.27")],
        modules=["github.com/gin-gonic/gin@v1.12.0"],
        tools=["golang.org/x/vuln/cmd/govulncheck@v1.9.0"],
        files=[{"source": "assets/logo.svg", "dest": "web//logo.svg", "sha256": "AB" * 32}],
    )
    assert read.toolchains == (spec.Toolchain("1.26.8", ("linux/amd64", "linux/arm64")), spec.Toolchain("1.27.0", ("linux/arm64",)))
    (yq,) = read.projects
    assert (yq.name, yq.module, yq.version, yq.directory, yq.toolchain, yq.dirty, yq.exclude) == (
        "yq",
        "github.com/mikefarah/yq/v4",
        "v4.54.2",
        ".",
        "1.27.0",
        "error",
        (),
    )
    (plant,) = parse(projects=[project(source={"path": "/src/plant"}, exclude=["*.md"])]).projects
    assert (plant.path, plant.exclude) == ("/src/plant", ("*.md",))
    assert [(build.output, build.platform) for build in yq.builds] == [("bin/yq", "linux/arm64"), ("bin/yq.exe", "windows/amd64")]
    assert (read.modules, read.tools) == ((("github.com/gin-gonic/gin", "v1.12.0"),), (("golang.org/x/vuln/cmd/govulncheck", "v1.9.0"),))
    assert read.files == (spec.CarriedFile("assets/logo.svg", "web/logo.svg", "ab" * 32),)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"name": "a/b", "modules": ["rsc.io/quote@v1.5.2"]}, "the bundle name 'a/b'"),
        ({}, "it asks for nothing"),
        ({"modules": ["rsc.io/quote@latest"]}, "module rsc.io/quote@latest: 'latest' isn't an exact version"),
        ({"modules": ["rsc.io/quote"]}, "no version"),
        ({"tools": ["rsc.io/quote/cmd@v1"]}, "tool rsc.io/quote/cmd@v1: 'v1' isn't an exact version"),
        ({"toolchains": [{"version": 1.26}]}, ""),
        ({"toolchains": [{"version": "stable"}]}, "toolchain stable: it has no Go version"),
        ({"toolchains": [{"version": "1.26.8", "platforms": ["linux"]}]}, "'linux' isn't a platform"),
        ({"projects": [{"source": {"path": "/src"}}]}, "project (without a name): it has no name"),
        ({"projects": [project(name="../x")]}, "it has no name that can be a directory's"),
        ({"projects": [project(source={"path": "/src", "git": "x"})]}, "project yq: its source says git, path"),
        ({"projects": [project(source={"git": "https://git.example/x"})]}, "its source says git"),
        ({"projects": [project(source={})]}, "its source says nothing"),
        ({"projects": [project(source="/src")]}, "its source isn't a dictionary"),
        ({"projects": [project(source={"module": "nodot", "version": "v1.0.0"})]}, "is not a module path"),
        ({"projects": [project(source={"module": "rsc.io/quote", "version": "master"})]}, "'master' isn't an exact version"),
        ({"projects": [project(directory="../other")]}, "is outside of its source"),
        ({"projects": [project(directory="/etc")]}, "is outside of its source"),
        ({"projects": [project(exclude=["docs"])]}, "project yq: exclude is for sources that are a path"),
        ({"projects": [project(dirty="ignore")]}, "dirty is 'ignore'"),
        ({"projects": [project(toolchain="newest")]}, "its toolchain 'newest' isn't a Go version"),
        ({"projects": [project(builds=[{"output": "bin/a"}, {"output": "bin/a"}])]}, "two builds have the same output"),
        ({"projects": [project(builds=[{"output": "../a"}])]}, "../a"),
        ({"projects": [project(), project()]}, "project yq: it's in the spec twice"),
        ({"files": [{"source": "a", "dest": "../etc/passwd"}]}, "is outside of the tree"),
        ({"files": [{"source": "a", "dest": "/etc/passwd"}]}, "is outside of the tree"),
        ({"files": [{"source": "a", "dest": ""}]}, "is outside of the tree"),
        ({"files": [{"source": "a", "dest": "b", "sha256": "abc"}]}, "64 hexadecimal digits"),
        ({"files": [{"source": "a", "dest": "b"}, {"source": "c", "dest": "./b"}]}, "file b: it's in the spec twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(parts: dict[str, t.Any], words: str) -> None:
    if not words:
        # YAML reads 1.26 as a number, and it's a Go version all the same.
        assert parse(**parts).toolchains[0].version == "1.26.0"
        return
    with pytest.raises(SpecInvalid) as caught:
        parse(**parts)
    assert words in caught.value.sentence()


@pytest.mark.parametrize(("directory", "kept"), [("..data", "..data"), ("./a/../b", "b"), ("a/..", "."), ("", ".")])
def test_a_directory_below_the_source_is_kept(directory: str, kept: str) -> None:
    assert parse(projects=[project(directory=directory)]).projects[0].directory == kept


def test_a_refusal_never_shows_a_source() -> None:
    with pytest.raises(SpecInvalid) as caught:
        parse(projects=[{"source": {"git": "https://gopher:hunter2@git.example/x"}}])
    assert "hunter2" not in caught.value.sentence() + json.dumps(caught.value.failure())


def test_the_one_form_has_neither_credentials_nor_local_paths(tmp_path: pathlib.Path) -> None:
    normal = parse(
        projects=[
            project(name="a", source={"git": "https://gopher:hunter2@git.example/x.git", "ref": "main"}),
            project(name="b", source={"path": str(tmp_path / "plant")}),
        ],
        files=[{"source": str(tmp_path / "logo.svg"), "dest": "logo.svg"}],
    ).normal()
    text = json.dumps(normal)
    assert "hunter2" not in text and str(tmp_path) not in text
    assert (normal["projects"][0]["git"], normal["projects"][1]["path"], normal["files"][0]["source"]) == ("https://git.example/x.git", "plant", "logo.svg")


def test_a_path_is_where_its_user_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/gopher")
    assert parse(projects=[project(source={"path": "~/plant"})]).projects[0].path == "/home/gopher/plant"
    assert parse(projects=[project(source={"path": "plant"})]).projects[0].path == os.path.abspath("plant")


def test_passwords_are_found_where_users_put_them() -> None:
    sources = [{"source": {"git": "https://token@git.example/x"}}, {"source": {"git": "ssh://git@git.example/x"}}, {"source": {"path": "/src"}}, {}]
    assert spec.passwords("https://gopher:hunter%402@proxy.example|http://a:b@c,direct", sources) == {"hunter%402", "hunter@2", "b", "token"}
    assert spec.passwords(None, []) == set()


@pytest.mark.parametrize(("version", "full"), [("1.27", "1.27.0"), ("1.20", "1.20"), ("1.27rc1", "1.27rc1"), ("1.26.8", "1.26.8"), ("", "")])
def test_a_language_version_means_its_first_release(version: str, full: str) -> None:
    assert spec.full_version(version) == full
