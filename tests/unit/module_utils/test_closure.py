# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a project's own files say of its closure; the go command is only asked to parse them."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import CommandFailed, FetchFailed, ProjectDirty, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import NotFetched
from ansible_collections.airgap.golang.plugins.module_utils._base.process import Finished
from ansible_collections.airgap.golang.plugins.module_utils._go import closure, runs
from ansible_collections.airgap.golang.plugins.module_utils._go.command import GoCommand, find_go
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import check_module
from ansible_collections.airgap.golang.tests.support import file_proxy

H1 = "h1:" + "A" * 43 + "="


@pytest.fixture(scope="module")
def go() -> GoCommand:
    return GoCommand(find_go())


def write(directory: pathlib.Path, **files: str) -> pathlib.Path:
    """Files by name; ``__`` is a slash and ``_`` a dot."""
    for name, content in files.items():
        path = directory / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


def read(directory: pathlib.Path, go: GoCommand, below: str = ".") -> closure.Layout:
    return closure.read_project("project p", str(directory / below) if below != "." else str(directory), str(directory), go)


def test_a_module_is_read(tmp_path: pathlib.Path, go: GoCommand) -> None:
    # What this go command is too old for is still read.
    write(tmp_path, go_mod="module p.example/p\n\ngo 1.99.0\n\nfuture v1\n".replace("future v1\n", ""), go_sum=f"rsc.io/quote v1.5.2 {H1}\n")
    layout = read(tmp_path, go)
    assert (layout.top["Go"], layout.workspace, layout.modules, layout.sums) == ("1.99.0", False, (str(tmp_path),), {("rsc.io/quote", "v1.5.2"): H1})
    assert (layout.required, layout.lists_all, layout.tools) == ({}, True, False)


@pytest.mark.parametrize(("line", "lists_all"), [("go 1.17", True), ("go 1.16", False), ("", False)])
def test_what_a_go_mod_lists_depends_on_its_go_line(tmp_path: pathlib.Path, go: GoCommand, line: str, lists_all: bool) -> None:
    layout = read(write(tmp_path, go_mod=f"module p.example/p\n\n{line}\n\nrequire rsc.io/quote v1.5.2\n\ntool rsc.io/quote/buggy\n"), go)
    assert (layout.required, layout.lists_all, layout.tools) == ({"rsc.io/quote": "v1.5.2"}, lists_all, True)


def test_a_scope_hints_at_what_can_be_fetched_ahead(tmp_path: pathlib.Path, go: GoCommand) -> None:
    sums = "".join(f"{name}.example/x v1.0.0{suffix} {H1}\n" for name in "ab" for suffix in ("", "/go.mod")) + f"c.example/x v1.0.0/go.mod {H1}\n"
    write(tmp_path, go_mod="module p.example/p\n\ngo 1.24.0\n\nrequire a.example/x v1.0.0\n", go_sum=sums)
    everything = {(f"{name}.example/x", "v1.0.0") for name in "abc"}
    for scope, zips in (("build", ""), ("test", "a"), ("all", "ab")):
        root = closure.Root("project", "project p", str(tmp_path), go, scope=scope, layout=read(tmp_path, go))
        assert root.hints() == ({(f"{name}.example/x", "v1.0.0") for name in zips}, everything)


#: Of all platforms one, of all tags one, of all levels of amd64 one needs a module each; and what no build imports doesn't compile for Windows.
MANY_SIDED = {
    "go.mod": "module p.example/p\n\ngo 1.21\n",
    "main.go": "package main\n\nfunc main() {}\n",
    "main_windows.go": 'package main\n\nimport _ "windows.example/w"\n',
    "tagged.go": '//go:build fancy\n\npackage main\n\nimport _ "tag.example/t"\n',
    "level.go": '//go:build amd64.v3\n\npackage main\n\nimport _ "level.example/l"\n',
    "unused/unused.go": 'package unused\n\nimport _ "linux.example/x"\n',
}


@pytest.fixture
def many_sided(tmp_path: pathlib.Path) -> pathlib.Path:
    """A command that needs other modules for other builds; its GOPROXY is ``proxy`` beside it."""
    for module, file in (("windows.example/w", "w.go"), ("tag.example/t", "t.go"), ("level.example/l", "l.go"), ("linux.example/x", "x_linux.go")):
        file_proxy.add_module(tmp_path / "proxy", module, "v1.0.0", {file: f"package {file[0]}\n".encode()})
        path = tmp_path / "proxy" / module / "@v" / "list"
        path.write_text("v1.0.0\n")
    for name, content in MANY_SIDED.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    file_proxy.go(tmp_path / "proxy", tmp_path / "cache", tmp_path / "project", "mod", "tidy", "-modcacherw")
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"platforms": ("linux/amd64",)}, []),
        ({"platforms": ("linux/amd64", "windows/amd64")}, ["windows.example/w"]),
        ({"platforms": ("linux/amd64",), "tags": ("fancy",)}, ["tag.example/t"]),
        ({"platforms": ("linux/amd64",), "env": {"GOAMD64": "v3"}}, ["level.example/l"]),
        ({"platforms": ("windows/amd64",), "tags": ("fancy",), "env": {"GOAMD64": "v3"}}, ["level.example/l", "tag.example/t", "windows.example/w"]),
    ],
    ids=",".join,
)
def test_builds_that_no_spec_names_need_what_they_will_need(many_sided: pathlib.Path, settings: dict[str, t.Any], needed: list[str]) -> None:
    go = GoCommand(find_go())
    go.settings["GOSUMDB"] = "off"
    run = runs.through_proxy(go, str(many_sided.parent / "proxy"), "", str(many_sided.parent / "go"), str(many_sided.parent / "go-build"))
    root = closure.Root("project", "project p", str(many_sided), go, scope="build", layout=read(many_sided, go), **settings)
    assert root.ask(run)[0] == {(module, "v1.0.0") for module in needed}


def test_what_is_selected_is_what_replaces() -> None:
    listed = [
        {"Path": "p.example/p", "Main": True},
        {"Path": "a.example/a", "Version": "v1.0.0"},
        {"Path": "b.example/b", "Version": "v1.0.0", "Replace": {"Path": "fork.example/b", "Version": "v1.0.1"}},
        {"Path": "c.example/c", "Version": "v1.0.0", "Replace": {"Path": "../c"}},
    ]
    assert closure.selected_versions(listed) == {"a.example/a": ("a.example/a", "v1.0.0"), "b.example/b": ("fork.example/b", "v1.0.1")}


@pytest.mark.parametrize(
    ("said", "newest"),
    [
        ("go: go.mod requires go >= 1.27.3 (running go 1.26.8; GOTOOLCHAIN=local)", "1.27.3"),
        ("go: a@v1 requires go >= 1.27 (running go 1.26.8)\ngo: b@v1 requires go >= 1.28rc1 (running go 1.26.8)", "1.28rc1"),
        ("go: a@v1 requires go >= 1.27 (running go 1.26.8)", "1.27.0"),
        ("something else", ""),
    ],
)
def test_a_go_command_that_is_too_old_says_what_it_should_be(said: str, newest: str) -> None:
    assert closure.too_old_for(CommandFailed(f"go list failed: {said}")) == newest


@pytest.mark.parametrize("said", ["rsc.io/quote@v1.5.2: missing go.sum entry for go.mod file", "updates to go.mod needed; to update it"])
def test_a_graph_that_cannot_be_read_for_untidiness_says_so(tmp_path: pathlib.Path, go: GoCommand, said: str) -> None:
    def run(argv: t.Sequence[str], cwd: str, more: t.Mapping[str, str]) -> Finished:
        raise CommandFailed(f"go list failed: {said}")

    write(tmp_path, go_mod="module p.example/p\n")
    with pytest.raises(ProjectDirty):
        closure.Root("project", "project p", str(tmp_path), go, layout=read(tmp_path, go)).ask(run)


def test_a_workspace_has_the_sums_of_all_its_modules(tmp_path: pathlib.Path, go: GoCommand) -> None:
    write(
        tmp_path,
        go_work="go 1.24.0\n\nuse (\n\t./a\n\t./b\n)\n",
        go_work_sum=f"c.example/c v1.0.0/go.mod {H1}\n",
        a__go_mod="module a.example/a\n\ngo 1.23.0\n",
        a__go_sum=f"a.example/x v1.0.0 {H1}\n",
        b__go_mod="module b.example/b\n\ngo 1.24.0\n",
    )
    layout = read(tmp_path, go)
    assert (layout.top["Go"], layout.workspace, layout.modules) == ("1.24.0", True, (str(tmp_path / "a"), str(tmp_path / "b")))
    assert set(layout.sums) == {("a.example/x", "v1.0.0"), ("c.example/c", "v1.0.0/go.mod")}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_go_sum_in_another_encoding_is_refused_by_its_line(tmp_path: pathlib.Path, go: GoCommand, encoding: str) -> None:
    """As an editor on Windows leaves it behind."""
    write(tmp_path, go_mod="module p.example/p\n")
    (tmp_path / "go.sum").write_text(f"rsc.io/quote v1.5.2 {H1}\n", encoding=encoding)
    with pytest.raises(ProjectDirty) as refused:
        read(tmp_path, go)
    assert refused.value.subject == "go.sum:1" and refused.value.hint


def test_a_replaced_directory_within_the_source_brings_its_sums(tmp_path: pathlib.Path, go: GoCommand) -> None:
    write(
        tmp_path,
        app__go_mod="module a.example/a\n\ngo 1.24.0\n\nreplace b.example/b => ../lib\n\nreplace c.example/c => d.example/d v1.0.0\n",
        lib__go_mod="module b.example/b\n",
        lib__go_sum=f"x.example/x v1.0.0 {H1}\n",
    )
    assert set(read(tmp_path, go, "app").sums) == {("x.example/x", "v1.0.0")}


@pytest.mark.parametrize("target", ["../lib", "/srv/lib", "./nothing", "../source-beside"])
def test_a_replaced_directory_that_does_not_travel_is_refused(tmp_path: pathlib.Path, go: GoCommand, target: str) -> None:
    write(tmp_path / "lib", go_mod="module b.example/b\n")
    write(tmp_path / "source-beside", go_mod="module b.example/b\n")
    project = write(tmp_path / "source", go_mod=f"module a.example/a\n\nreplace b.example/b => {target}\n")
    with pytest.raises(SpecInvalid) as caught:
        read(project, go)
    assert (caught.value.code, caught.value.found) == ("replace_outside", target)
    assert f"go.mod replaces b.example/b by {target}" in caught.value.message


def test_a_workspace_that_replaces_outside_is_refused(tmp_path: pathlib.Path, go: GoCommand) -> None:
    project = write(tmp_path / "source", go_work="go 1.24.0\n\nuse ./a\n\nreplace b.example/b => ../lib\n", a__go_mod="module a.example/a\n")
    with pytest.raises(SpecInvalid, match=r"go\.work replaces b\.example/b"):
        read(project, go)


@pytest.mark.parametrize("files", [{}, {"go_work": "go 1.24.0\n\nuse ./a\n"}])
def test_without_a_go_mod_it_is_no_project(tmp_path: pathlib.Path, go: GoCommand, files: dict[str, str]) -> None:
    with pytest.raises(SpecInvalid, match=r"project p has no go\.mod"):
        read(write(tmp_path, **files), go)


def test_a_go_mod_that_is_none_is_refused(tmp_path: pathlib.Path, go: GoCommand) -> None:
    with pytest.raises(CommandFailed, match="unknown directive"):
        read(write(tmp_path, go_mod="modul x\n"), go)


def test_go_sum_names_zips_and_go_mods() -> None:
    zips, mods = closure.wanted_files({("a", "v1.0.0"): H1, ("a", "v1.0.0/go.mod"): H1, ("b", "v1.0.0/go.mod"): H1})
    assert (zips, mods) == ({("a", "v1.0.0")}, {("a", "v1.0.0"), ("b", "v1.0.0")})


class Known:
    """Stands for a store that has the go.mod files of these modules."""

    def __init__(self, *modules: str, otherwise: int = 404) -> None:
        self._modules = modules
        self._otherwise = otherwise

    def ensure(self, module: str, version: str, ext: str) -> str:
        if module in self._modules:
            return "path"
        raise NotFetched(f"{module} is not here", status=403 if self._otherwise == 403 and module.count("/") == 2 else 404)


def test_the_longest_module_that_is_there_has_the_package() -> None:
    known = Known("golang.org/x/tools", "golang.org/x/tools/gopls")
    assert closure.module_of("golang.org/x/tools/gopls", "v0.20.0", known.ensure) == "golang.org/x/tools/gopls"
    assert closure.module_of("golang.org/x/tools/cmd/stringer", "v0.20.0", known.ensure) == "golang.org/x/tools"


def test_a_host_alone_can_be_a_module() -> None:
    known = Known("a.example")
    for package in ("a.example", "a.example/x", "a.example/cmd/x"):
        assert closure.module_of(package, "v1.0.0", known.ensure) == "a.example"
    with pytest.raises(FetchFailed, match="b.example is not here"):
        closure.module_of("b.example", "v1.0.0", known.ensure)


def test_prefixes_that_are_no_modules_are_passed_over() -> None:
    class Strict(Known):
        def ensure(self, module: str, version: str, ext: str) -> str:
            # As the store, which has no place for what isn't a module's path.
            return super().ensure(check_module(module), version, ext)

    known = Strict("gopkg.in/x.v1", "a.example/b")
    assert closure.module_of("gopkg.in/x.v1/cmd/x", "v1.0.0", known.ensure) == "gopkg.in/x.v1"
    assert closure.module_of("a.example/b/v1/cmd+x", "v1.0.0", known.ensure) == "a.example/b"
    with pytest.raises(SpecInvalid, match="A.example/x@v1.0.0: no prefix") as refused:
        closure.module_of("A.example/x", "v1.0.0", known.ensure)
    assert refused.value.hint


def test_a_package_of_no_module_is_refused_with_the_telling_answer() -> None:
    with pytest.raises(FetchFailed, match="a.example/b/c/d is not here"):
        closure.module_of("a.example/b/c/d", "v1.0.0", Known().ensure)
    with pytest.raises(FetchFailed) as caught:
        closure.module_of("a.example/b/c/d", "v1.0.0", Known(otherwise=403).ensure)
    assert getattr(caught.value, "status", None) == 403
