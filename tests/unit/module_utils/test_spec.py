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
from ansible_collections.airgap.golang.plugins.module_utils._content import spec, specreader


def parse(**parts: t.Any) -> spec.Spec:
    return specreader.parse({"name": "platform", **parts}, "linux/arm64")


def project(**more: t.Any) -> dict[str, t.Any]:
    return {"name": "yq", "source": {"module": "github.com/mikefarah/yq/v4", "version": "v4.54.2"}, **more}


def tool(**more: t.Any) -> dict[str, t.Any]:
    return {"package": "rsc.io/quote/cmd@v1", "platforms": ["linux/amd64"], **more}


def test_what_comes_with_a_tool() -> None:
    """Also: a spec that asks for none of it stays the one that it was."""
    given = {"completions": ["zsh", "bash", "zsh"], "completion_command": ["--completion={shell}"], "man": ["docs/quote.1", "quote.conf.5.gz"]}
    (read,) = parse(tools=[tool(**given)]).tools
    assert (read.completions, read.completion_command, read.man) == (("zsh", "bash"), ("--completion={shell}",), ("docs/quote.1", "quote.conf.5.gz"))
    plain, prints = parse(tools=[tool(), tool(completions=["bash"], completion_command=["complete"], man_command=["--man"])]).normal()["tools"]
    assert plain == {"package": "rsc.io/quote/cmd", "version": "v1", "platforms": ("linux/amd64",)}
    assert prints == {**plain, "completions": ["bash"], "completion_command": ["complete"], "man_command": ["--man"]}


def test_a_whole_spec_is_read() -> None:
    read = parse(
        toolchains=[{"version": "go1.26.8", "platforms": ["linux/amd64", "linux/arm64"]}, {"version": "1.27"}],
        projects=[project(builds=[{"output": "bin/yq"}, {"output": "bin/yq.exe", "platform": "windows/amd64"}], toolchain="go1.27")],
        modules=["github.com/gin-gonic/gin@v1.12.0", {"module": "rsc.io/quote@latest"}, {"module": "rsc.io/quote@v1.5.2", "closure": "gomod"}],
        tools=["golang.org/x/vuln/cmd/govulncheck@v1.9.0", {"package": "rsc.io/quote/cmd@v1", "platforms": ["linux/amd64"]}],
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
    assert read.modules == (
        spec.LooseModule("github.com/gin-gonic/gin", "v1.12.0"),
        spec.LooseModule("rsc.io/quote", "latest"),
        spec.LooseModule("rsc.io/quote", "v1.5.2", "gomod"),
    )
    assert read.tools == (spec.Tool("golang.org/x/vuln/cmd/govulncheck", "v1.9.0"), spec.Tool("rsc.io/quote/cmd", "v1", ("linux/amd64",)))
    assert read.files == (spec.CarriedFile("assets/logo.svg", "web/logo.svg", "ab" * 32),)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"name": "a/b", "modules": ["rsc.io/quote@v1.5.2"]}, "the bundle name 'a/b'"),
        ({}, "it asks for nothing"),
        ({"modules": ["rsc.io/quote@-x"]}, "'rsc.io/quote@-x' is not path@version"),
        ({"modules": [{"module": "rsc.io/quote@latest", "closure": "itself"}]}, "'latest' isn't an exact version"),
        ({"modules": [{"module": "rsc.io/quote@v1.5.2", "closure": "some"}]}, "closure is 'some'"),
        ({"modules": [{"module": "rsc.io/quote@v1.5.2", "beside": ["rsc.io/sampler@main"]}]}, "beside has rsc.io/sampler@main"),
        ({"modules": [{"modul": "rsc.io/quote@v1.5.2"}]}, "it has unknown keys: modul"),
        ({"modules": [7]}, "module 7: it names no module"),
        ({"modules": ["rsc.io/quote"]}, "no version"),
        ({"tools": [{"package": "rsc.io/quote/cmd@v1", "platforms": ["linux"]}]}, "'linux' isn't a platform"),
        ({"tools": [{"package": "rsc.io/quote/cmd@v1", "prebuilt": True}]}, "it has unknown keys: prebuilt"),
        ({"tools": [tool(platforms=[], completions=["bash"])]}, "it has no platforms"),
        ({"tools": [tool(completions="bash")]}, "its completions is no list"),
        ({"tools": [tool(completions=["csh"])]}, "'csh' in its completions is no shell"),
        ({"tools": [tool(completion_command=["complete"])]}, "a completion_command and no completions"),
        ({"tools": [tool(completions=["bash", "zsh"], completion_command=["complete"])]}, "the same for all shells"),
        ({"tools": [tool(man=["a.1"], man_command=["man"])]}, "both man and man_command"),
        ({"tools": [tool(man=["../a.1"])]}, "'../a.1' in man is no man page"),
        ({"tools": [tool(man=["/a.1"])]}, "'/a.1' in man is no man page"),
        ({"tools": [tool(man=["docs/a.md"])]}, "'docs/a.md' in man is no man page"),
        ({"tools": [tool(man=["a/b.1", "c/b.1"])]}, "two pages in man are called b.1"),
        ({"toolchains": [{"version": "1.26.8", "source": "go.tar.gz"}]}, "its source has no sha256"),
        ({"toolchains": [{"version": "1.26.8", "source": "a", "sha256": "ab" * 32, "platforms": ["linux/amd64", "linux/arm64"]}]}, "has one platform, not 2"),
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
        ({"projects": [project(source={"module": "rsc.io/quote", "version": "-x"})]}, "'-x' is no version"),
        ({"projects": [project(scope="most")]}, "scope is 'most'"),
        ({"projects": [project(scope="build", run_tests=True)]}, "run_tests needs what tests need"),
        ({"projects": [project(env={"PATH": "/evil"})]}, "PATH isn't a setting that a build may choose"),
        ({"projects": [project(environments={"prod": {"source": {}}})], "environment": "prod"}, "it can't override source"),
        ({"projects": [project(environments={"prod": {}})], "environment": "staging"}, "environment staging: no project knows it"),
        ({"projects": [project()], "only": ["jq"]}, "only jq: no project is called so"),
        ({"requests": [{"bundle_modules": "rsc.io/quote@v1.5.2"}]}, "request 1: it isn't a request file"),
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
        ({"files": [{"dest": "b"}]}, "file b: it has no source, or two"),
        ({"files": [{"git": "https://git.example/x", "dest": "b"}]}, "file b: it has no source, or two"),
        ({"files": [{"source": "https://files.example/x", "dest": "b"}]}, "its source is a URL and it has no sha256"),
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


@pytest.mark.parametrize(
    "url",
    [
        *("https://bob:hun/ter2@site.example/x", "https://bob:hun#ter2@site.example/x", "https://bob:hun?ter2@site.example/x"),
        "https://bob:1/ter2@site.example/x",
        *("https://site.example:80ter2/x", "https://[::ter2/x", "https://[ter2", "http:///ter2"),
    ],
)
def test_urls_that_cannot_be_meant_are_refused_unseen(url: str) -> None:
    """Also: whoever shows the parameters of the call knows what to leave out."""
    entries: list[tuple[str, dict[str, t.Any]]] = [
        ("project yq: the URL that is its source", {"projects": [project(source={"git": url, "ref": "main"})]}),
        ("file b: the URL that is its source", {"files": [{"source": url, "dest": "b", "sha256": "ab" * 32}]}),
        ("file b: the URL that is its git", {"files": [{"git": url, "ref": "main", "dest": "b"}]}),
        ("toolchain 1.26.8: the URL that is its source", {"toolchains": [{"version": "1.26.8", "source": url, "sha256": "ab" * 32}]}),
        ("toolchain (without a version)", {"toolchains": [{"source": url, "sha256": "ab" * 32}]}),
    ]
    for words, parts in entries:
        with pytest.raises(SpecInvalid) as caught:
            parse(**parts)
        assert words in caught.value.message and caught.value.hint
        assert "ter2" not in caught.value.sentence() + json.dumps(caught.value.failure())
        assert url in specreader.passwords(parts)


def test_gits_other_addresses_and_an_at_of_a_path_are_kept() -> None:
    for git in ("ssh://git@git.example/~bob@home/x.git", "git@git.example:x.git", "file:///srv/a@b.git", "/srv/a@b"):
        assert parse(projects=[project(source={"git": git, "ref": "main"})]).projects[0].git == git
    for url in ("https://cdn.example/npm/jquery@3.js", "https://bob:pw@proxy.example:8443/rsc.io/quote/@v/v1.5.2.zip"):
        assert parse(files=[{"source": url, "dest": "b", "sha256": "ab" * 32}]).files[0].source == url


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
    params = {
        "goproxy": "https://gopher:hunter%402@proxy.example|http://a:b@c,direct",
        "gosumdb": "sum.golang.org https://me:sums@sum.example",
        "projects": sources,
        "files": [{"source": "https://me:pass@files.example/x"}],
        "toolchains": [{"version": "1.26.8", "source": "https://t:secret@go.example/go.tar.gz"}],
    }
    assert specreader.passwords(params) == {"hunter%402", "hunter@2", "b", "token", "pass", "secret", "sums"}
    assert specreader.passwords({}) == set()


def test_a_goproxy_whose_passwords_end_nobody_knows_is_one_secret() -> None:
    for goproxy in ("https://bob:hun/ter2@proxy.example,direct", "https://bob:hun,ter2@proxy.example", "HTTPS://bob:hun/ter2@proxy.example"):
        assert goproxy in specreader.passwords({"goproxy": goproxy})
    assert "hun/ter2" in specreader.passwords({"goproxy": "https://bob:hun/ter2@proxy.example,direct"})
    assert specreader.passwords({"goproxy": "bob:hunter2@proxy.example,direct"}) == {"hunter2"}


def test_builds_take_from_their_project_what_they_leave_out() -> None:
    (read,) = parse(
        projects=[
            project(
                platforms=["linux/amd64", "linux/arm64"],
                env={"GOAMD64": "v2"},
                ldflags="-s -w",
                tags=["netgo"],
                builds=[{"output": "bin/yq-{os}-{arch}"}, {"output": "bin/plain", "platform": "linux/amd64", "flags": ["-race"], "tags": ["a"]}],
            )
        ]
    ).projects
    assert [(build.output, build.platform, build.env, build.flags, build.tags) for build in read.builds] == [
        ("bin/yq-linux-amd64", "linux/amd64", {"GOAMD64": "v2"}, ("-ldflags=-s -w",), ("netgo",)),
        ("bin/yq-linux-arm64", "linux/arm64", {"GOAMD64": "v2"}, ("-ldflags=-s -w",), ("netgo",)),
        ("bin/plain", "linux/amd64", {"GOAMD64": "v2"}, ("-race",), ("a",)),
    ]


def test_an_environment_overrides_how_a_project_is_built() -> None:
    table = [project(tags=["dev"], env={"GOAMD64": "v1"}, environments={"prod": {"tags": ["prod"], "env": {"GOARM": "7"}}, "dev": {}})]
    assert [parse(projects=table, environment=name).projects[0].tags for name in ("", "dev", "prod")] == [("dev",), ("dev",), ("prod",)]
    assert parse(projects=table, environment="prod").projects[0].env == {"GOAMD64": "v1", "GOARM": "7"}


def test_only_some_projects_are_taken_and_requests_are_added() -> None:
    read = parse(
        projects=[project(name="a"), project(name="b")],
        only=["b"],
        modules=["rsc.io/quote@v1.5.2"],
        requests=[{"bundle_modules": ["rsc.io/quote@v1.5.2", "rsc.io/sampler@v1.3.0"], "bundle_toolchains": [{"version": "1.27.3"}]}, {}],
    )
    assert [entry.name for entry in read.projects] == ["b"]
    assert [entry.path for entry in read.modules] == ["rsc.io/quote", "rsc.io/sampler"]
    assert [entry.version for entry in read.toolchains] == ["1.27.3"]


@pytest.mark.parametrize(("version", "full"), [("1.27", "1.27.0"), ("1.20", "1.20"), ("1.27rc1", "1.27rc1"), ("1.26.8", "1.26.8"), ("", "")])
def test_a_language_version_means_its_first_release(version: str, full: str) -> None:
    assert specreader.full_version(version) == full
