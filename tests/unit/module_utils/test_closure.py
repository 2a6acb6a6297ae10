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
from ansible_collections.airgap.golang.plugins.module_utils._go import closure
from ansible_collections.airgap.golang.plugins.module_utils._go.command import GoCommand, find_go

H1 = "h1:" + "A" * 43 + "="
DONE = Finished(0, "", "")


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


def read(directory: pathlib.Path, go: GoCommand, below: str = ".") -> tuple[dict[str, t.Any], bool, list[str], dict[tuple[str, str], str]]:
    return closure.read_project("project p", str(directory / below) if below != "." else str(directory), str(directory), go)


def test_a_module_is_read(tmp_path: pathlib.Path, go: GoCommand) -> None:
    # What this go command is too old for is still read.
    write(tmp_path, go_mod="module p.example/p\n\ngo 1.99.0\n\nfuture v1\n".replace("future v1\n", ""), go_sum=f"rsc.io/quote v1.5.2 {H1}\n")
    top, workspace, modules, sums = read(tmp_path, go)
    assert (top["Go"], workspace, modules, sums) == ("1.99.0", False, [str(tmp_path)], {("rsc.io/quote", "v1.5.2"): H1})


def test_a_workspace_has_the_sums_of_all_its_modules(tmp_path: pathlib.Path, go: GoCommand) -> None:
    write(
        tmp_path,
        go_work="go 1.24.0\n\nuse (\n\t./a\n\t./b\n)\n",
        go_work_sum=f"c.example/c v1.0.0/go.mod {H1}\n",
        a__go_mod="module a.example/a\n\ngo 1.23.0\n",
        a__go_sum=f"a.example/x v1.0.0 {H1}\n",
        b__go_mod="module b.example/b\n\ngo 1.24.0\n",
    )
    top, workspace, modules, sums = read(tmp_path, go)
    assert (top["Go"], workspace, modules) == ("1.24.0", True, [str(tmp_path / "a"), str(tmp_path / "b")])
    assert set(sums) == {("a.example/x", "v1.0.0"), ("c.example/c", "v1.0.0/go.mod")}


def test_a_replaced_directory_within_the_source_brings_its_sums(tmp_path: pathlib.Path, go: GoCommand) -> None:
    write(
        tmp_path,
        app__go_mod="module a.example/a\n\ngo 1.24.0\n\nreplace b.example/b => ../lib\n\nreplace c.example/c => d.example/d v1.0.0\n",
        lib__go_mod="module b.example/b\n",
        lib__go_sum=f"x.example/x v1.0.0 {H1}\n",
    )
    assert set(read(tmp_path, go, "app")[3]) == {("x.example/x", "v1.0.0")}


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


def test_a_package_of_no_module_is_refused_with_the_telling_answer() -> None:
    with pytest.raises(FetchFailed, match="a.example/b/c/d is not here"):
        closure.module_of("a.example/b/c/d", "v1.0.0", Known().ensure)
    with pytest.raises(FetchFailed) as caught:
        closure.module_of("a.example/b/c/d", "v1.0.0", Known(otherwise=403).ensure)
    assert getattr(caught.value, "status", None) == 403


class Script:
    """Answers go commands: CommandFailed with this stdout for those that begin so."""

    def __init__(self, *failing: str, stdout: str = "", files: t.Callable[[], None] = lambda: None) -> None:
        self.ran: list[str] = []
        self._failing = failing
        self._stdout = stdout
        self._files = files

    def __call__(self, argv: t.Sequence[str], cwd: str, more: t.Mapping[str, str]) -> Finished:
        self.ran.append(" ".join(argv))
        if self.ran[-1] == "mod tidy":
            self._files()
        if self.ran[-1].startswith(self._failing or ("nothing",)):
            raise CommandFailed("said no", details=[{"stdout": self._stdout}] if self._stdout else None)
        return DONE


PATCH = (
    "diff current/go.mod tidy/go.mod\n--- current/go.mod\n+++ tidy/go.mod\n"
    "@@ -1,3 +1,2 @@\n module p\n-require  rsc.io/quote   v1.5.2\n+require a.example/a v1.0.0\n-x\n-y\n"
)


def root(go: GoCommand, directory: pathlib.Path, **more: t.Any) -> closure.Root:
    return closure.Root("project", "project p", str(directory), go, modules=(str(directory),), **more)


def test_an_untidy_project_is_an_error_that_shows_the_change(go: GoCommand, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ProjectDirty) as caught:
        root(go, tmp_path).steps(Script("mod tidy", stdout=PATCH), str(tmp_path))
    assert "-require rsc.io/quote v1.5.2; +require a.example/a v1.0.0; -x and 1 more lines" in caught.value.message


def test_or_a_warning(go: GoCommand, tmp_path: pathlib.Path) -> None:
    warned = root(go, tmp_path, dirty_is_error=False)
    warned.steps(Script("mod tidy", stdout=PATCH), str(tmp_path))
    assert warned.untidy and len(warned.warnings) == 1


def test_a_tidy_that_failed_is_no_difference(go: GoCommand, tmp_path: pathlib.Path) -> None:
    with pytest.raises(CommandFailed, match="said no"):
        root(go, tmp_path, dirty_is_error=False).steps(Script("mod tidy"), str(tmp_path))


def test_a_graph_that_cannot_be_read_for_untidiness_says_so(go: GoCommand, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ProjectDirty):
        root(go, tmp_path).ask(Script("list", "mod tidy", stdout=PATCH))
    with pytest.raises(CommandFailed):
        root(go, tmp_path).ask(Script("list"))


def test_gos_before_1_23_tidy_a_file_that_is_put_back(go: GoCommand, tmp_path: pathlib.Path) -> None:
    write(tmp_path, go_mod="module p\n\nrequire a v1\n", go_sum="")
    older = GoCommand(go.binary, dict(go.settings, GOVERSION="go1.22.5"))
    script = Script(files=lambda: (tmp_path / "go.mod").write_text("module p\n") and None)
    with pytest.raises(ProjectDirty, match="-require a v1"):
        root(older, tmp_path).steps(script, str(tmp_path))
    assert (tmp_path / "go.mod").read_text() == "module p\n\nrequire a v1\n" and "mod tidy" in script.ran


def test_a_workspaces_module_that_needs_its_siblings_is_not_tidied(go: GoCommand, tmp_path: pathlib.Path) -> None:
    script = Script("list -deps")
    alone = root(go, tmp_path, workspace=True)
    alone.steps(script, str(tmp_path))
    assert not any(command.startswith("mod tidy") for command in script.ran) and "only builds inside go.work" in alone.warnings[0]
