# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a project's files ask for beyond a carried tree. The files are read by real Go; the tree is empty files, and a small zip."""

from __future__ import annotations

import pathlib
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._go import gowords
from ansible_collections.airgap.golang.plugins.module_utils._go.command import GoCommand, find_go
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import proxy_path
from ansible_collections.airgap.golang.plugins.module_utils._go.missing import CarriedTree, Missing, entry_of, read_project

H1 = "h1:" + "A" * 43 + "="
PLATFORM = "linux/amd64"


def carry(root: pathlib.Path, *versions: str) -> CarriedTree:
    for at in versions:
        module, version = at.split("@")
        for ext in ("info", "mod", "zip"):
            path = root / proxy_path(module, version, ext)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return CarriedTree(str(root))


def project(directory: pathlib.Path, gomod: str, sums: str = "") -> str:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "go.mod").write_text(f"module app.example/{directory.name}\n\n{gomod}\n")
    (directory / "go.sum").write_text("".join(f"{line} {H1}\n" for line in sums.splitlines()))
    return str(directory)


def found(tree: CarriedTree, directory: str, whole: bool = False) -> dict[str, str]:
    missing = Missing(tree, PLATFORM)
    missing.by_files(read_project(directory, GoCommand(find_go())), "1.26.8", whole)
    return {f"{path}@{version}": closure for (path, version), (closure, _why) in missing.modules.items()}


def test_go_sum_tells_a_zip_from_a_go_mod(tmp_path: pathlib.Path) -> None:
    sums = "a.example/a v1.0.0\na.example/a v1.0.0/go.mod\nb.example/b v1.2.0/go.mod\nc.example/c v1.0.0\nc.example/c v1.0.0/go.mod"
    directory = project(tmp_path / "p", "go 1.26\n\nrequire a.example/a v1.0.0\nrequire c.example/c v1.0.0", sums)
    tree = carry(tmp_path / "tree", "c.example/c@v1.0.0")
    assert found(tree, directory) == {"a.example/a@v1.0.0": "itself", "b.example/b@v1.2.0": "gomod"}
    assert found(tree, directory, whole=True) == {"a.example/a@v1.0.0": "itself"}


def test_lines_that_go_sum_kept_of_earlier_versions_are_not_asked_for(tmp_path: pathlib.Path) -> None:
    sums = "a.example/a v1.0.0\na.example/a v1.1.0\na.example/a v1.2.0\nb.example/b v1.9.0\nb.example/b v1.10.0"
    directory = project(tmp_path / "p", "go 1.26\n\nrequire a.example/a v1.1.0", sums)
    assert found(carry(tmp_path / "tree"), directory) == {"a.example/a@v1.1.0": "itself", "b.example/b@v1.10.0": "itself"}


def test_replaces_decide_what_is_needed(tmp_path: pathlib.Path) -> None:
    project(tmp_path / "near", "go 1.26")
    requires = "".join(f"require {name}.example/{name} v1.0.0\n" for name in "abc")
    replaces = "replace a.example/a => ../near\nreplace b.example/b v1.0.0 => fork.example/b v1.5.0\nreplace c.example/c => c.example/c v1.7.0\n"
    directory = project(tmp_path / "p", f"go 1.26\n\n{requires}{replaces}")
    assert found(carry(tmp_path / "tree"), directory) == {"fork.example/b@v1.5.0": "packages", "c.example/c@v1.7.0": "packages"}


def test_a_workspace_is_all_its_modules(tmp_path: pathlib.Path) -> None:
    project(tmp_path / "one", "go 1.26\n\nrequire a.example/a v1.0.0\nrequire app.example/two v1.0.0", "a.example/a v1.0.0")
    project(tmp_path / "two", "go 1.26\n\nrequire a.example/a v1.3.0", "a.example/a v1.3.0")
    (tmp_path / "go.work").write_text("go 1.26\n\nuse ./one\nuse ./two\n")
    assert found(carry(tmp_path / "tree"), str(tmp_path)) == {"a.example/a@v1.3.0": "itself"}
    (tmp_path / "go.work").write_text("go 1.26\n\nuse ./three\n")
    with pytest.raises(SpecInvalid, match="three has no go.mod"):
        read_project(str(tmp_path), GoCommand(find_go()))


@pytest.mark.parametrize(
    ("lines", "carried", "expected"),
    [
        ("go 1.27.3", "", {"1.27.3": {PLATFORM: "go.mod asks for it"}}),
        ("go 1.27", "", {"1.27.0": {PLATFORM: "go.mod asks for it"}}),
        ("go 1.26.0\n\ntoolchain go1.27.3", "", {"1.27.3": {PLATFORM: "go.mod asks for it"}}),
        ("go 1.27.3", "1.27.4", {}),
        ("go 1.26.8", "", {}),
    ],
)
def test_only_a_newer_toolchain_than_all_here_is_missing(tmp_path: pathlib.Path, lines: str, carried: str, expected: dict[str, dict[str, str]]) -> None:
    tree = carry(tmp_path / "tree", *([f"golang.org/toolchain@v0.0.1-go{carried}.linux-amd64"] if carried else []))
    missing = Missing(tree, PLATFORM)
    missing.by_files(read_project(project(tmp_path / "p", lines), GoCommand(find_go())), "1.26.8", True)
    assert missing.toolchains == expected


def test_what_has_come_since_go_complained_is_not_asked_for(tmp_path: pathlib.Path) -> None:
    text = "go: {0}@v1.0.0: reading file:///tree/{0}/@v/v1.0.0.zip: no such file or directory\n"
    missing = Missing(carry(tmp_path / "tree", "a.example/a@v1.0.0"), PLATFORM)
    missing.by_words(gowords.read(text.format("a.example/a") + text.format("b.example/b")))
    assert (missing.modules, missing.not_understood) == ({("b.example/b", "v1.0.0"): ("packages", "go could not get its zip")}, {})


def test_a_package_is_carried_when_some_module_has_its_files(tmp_path: pathlib.Path) -> None:
    tree = carry(tmp_path / "tree", "a.example/a@v1.0.0")
    with zipfile.ZipFile(tmp_path / "tree" / "a.example/a/@v/v1.0.0.zip", "w") as archive:
        archive.writestr("a.example/a@v1.0.0/go.mod", "")
        archive.writestr("a.example/a@v1.0.0/sub/x.go", "")
    assert [tree.provides(path) for path in ("a.example/a/sub", "a.example/a", "a.example/a/su", "other")] == [True, False, False, False]
    assert (tree.provides("a.example/a/sub", "v1.0.0"), tree.provides("a.example/a/sub", "v2.0.0")) == (True, False)


def test_a_module_is_written_as_a_spec_has_it() -> None:
    beside = {"b.example/b": "v1.0.0", "a.example/a": "v1.0.0"}
    assert entry_of("a.example/a", "v1.1.0", "packages", {"a.example/a": "v1.0.0"}) == "a.example/a@v1.1.0"
    assert entry_of("a.example/a", "v1.1.0", "packages", beside) == {"module": "a.example/a@v1.1.0", "closure": "packages", "beside": ["b.example/b@v1.0.0"]}
    assert entry_of("a.example/a", "v1.1.0", "gomod", beside) == {"module": "a.example/a@v1.1.0", "closure": "gomod"}
