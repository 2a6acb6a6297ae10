# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vendor directories: what real ``go mod vendor`` writes has no findings, and whatever is done to it afterwards is named."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import forensics, repair
from ansible_collections.airgap.golang.plugins.module_utils._base.accounts import account_of
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._go.vendorcheck import parse_modules
from ansible_collections.airgap.golang.plugins.module_utils._go.vendorrules import embedded, patterns, should_build
from ansible_collections.airgap.golang.tests.support.bad_disk import lost_sector
from ansible_collections.airgap.golang.tests.support.file_proxy import add_module, go

# Whose projects are where they can be given away.
OTHER = account_of("nobody" if os.geteuid() == 0 else "")

# One of everything that the rules speak of.
RICH: dict[str, bytes] = {
    "LICENSE": b"free\n",
    "README.md": b"# rich\n",
    "rich.go": b'package rich\n\nimport (\n\t_ "embed"\n\n\t_ "example.com/rich/inner/deep"\n)\n\n'
    b'//go:embed data/a.txt "data/with space.txt" tree\nvar _ string\n\nvar X int\n',
    "rich_test.go": b'package rich\n\nimport _ "embed"\n\n//go:embed testdata/t.txt\nvar _ string\n',
    "testdata/t.txt": b"only tests embed it\n",
    "data/a.txt": b"a\n",
    "data/with space.txt": b"b\n",
    "data/c.txt": b"no pattern means it\n",
    "tree/x": b"x\n",
    "tree/.hidden": b"hidden\n",
    "tree/sub/_no": b"hidden too\n",
    "tree/sub/yes": b"y\n",
    "native.c": b"#include \"native.h\"\n",
    "native.h": b"int native;\n",
    "asm_amd64.s": b"// asm\n",
    "api.proto": b"syntax = \"proto3\";\n",
    "generate.go": b"//go:build ignore\n\npackage main\n\nfunc main() {}\n",
    "old_ignore.go": b"// +build ignore\n\npackage main\n\nfunc main() {}\n",
    "windows.go": b"//go:build windows && !cgo\n\npackage rich\n",
    "inner/LICENSE.md": b"freer\n",
    "inner/inner.go": b"package inner\n",
    "inner/deep/deep.go": b"package deep\n\nimport _ \"embed\"\n\n//go:embed all:assets *.tmpl\nvar _ string\n",
    "inner/deep/page.tmpl": b"<html>\n",
    "inner/deep/assets/.keep": b"",
    "inner/deep/assets/app.js": b"1\n",
    "unused/unused.go": b"package unused\n",
}
OLD: dict[str, bytes] = {"old.go": b"package old\n", "COPYING": b"free\n"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[pathlib.Path, pathlib.Path, pathlib.Path]]:
    """(GOPROXY, GOMODCACHE, a project that vendors two modules, one of them in place of another)."""
    top = tmp_path_factory.mktemp("vendor")
    proxy, cache, project = top / "proxy", top / "cache", top / "project"
    add_module(proxy, "example.com/rich", "v1.2.0", RICH)
    # A fork must call itself by the name that it's used under.
    add_module(proxy, "example.com/fork", "v1.0.1", {**OLD, "go.mod": b"module example.com/old\n\ngo 1.21\n"})
    add_module(proxy, "example.com/old", "v1.0.0", OLD)
    project.mkdir()
    (project / "go.mod").write_text(
        "module example.com/project\n\ngo 1.22\n\nrequire (\n\texample.com/old v1.0.0\n\texample.com/rich v1.2.0 // why not\n)\n\n"
        "replace example.com/old => example.com/fork v1.0.1\n"
    )
    (project / "main.go").write_text('package main\n\nimport (\n\t_ "example.com/old"\n\t_ "example.com/rich"\n)\n\nfunc main() {}\n')
    go(proxy, cache, project, "mod", "tidy")
    go(proxy, cache, project, "mod", "vendor")
    yield proxy, cache, project
    remove_tree(str(top))


@pytest.fixture
def project(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path]) -> t.Iterator[pathlib.Path]:
    """The project with its vendor directory as go writes it."""
    proxy, cache, project = made
    yield project
    remove_tree(str(project / "vendor"))
    go(proxy, cache, project, "mod", "vendor")


def findings(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], project: pathlib.Path) -> list[tuple[str, str]]:
    found = forensics.examine_vendor([str(project)], [str(made[1])], 2)
    assert found.unproved == []
    return [(finding.problem, os.path.relpath(finding.path, project / "vendor")) for finding in found.findings]


def test_what_go_wrote_has_no_findings(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], project: pathlib.Path) -> None:
    names = {str(path.relative_to(project / "vendor")) for path in (project / "vendor").rglob("*") if path.is_file()}
    # The fixture has what it's for.
    assert {"example.com/rich/native.h", "example.com/rich/tree/sub/yes", "example.com/rich/inner/LICENSE.md", "example.com/old/old.go"} <= names
    assert not {"example.com/rich/generate.go", "example.com/rich/testdata/t.txt", "example.com/rich/data/c.txt"} & names
    assert findings(made, project) == []


@pytest.mark.parametrize(
    "name",
    ["native.h", "native.c", "asm_amd64.s", "api.proto", "data/with space.txt", "tree/sub/yes", "inner/deep/assets/.keep", "LICENSE", "windows.go"],
)
def test_a_file_that_the_zip_has_is_missed_and_comes_back(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], project: pathlib.Path, name: str) -> None:
    (project / "vendor/example.com/rich" / name).unlink()
    assert findings(made, project) == [("missing", f"example.com/rich/{name}")]
    repair.mend_vendor(repair.plan(None, forensics.examine_vendor([str(project)], [str(made[1])], 2)))
    assert findings(made, project) == []
    assert (project / "vendor/example.com/rich" / name).read_bytes() == RICH[name]


def test_what_was_changed_or_added_is_named(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], project: pathlib.Path) -> None:
    vendor = project / "vendor/example.com"
    (vendor / "rich/native.h").write_bytes(b"int naive;\n")
    (vendor / "rich/backdoor.go").write_bytes(b"package rich\n")
    (vendor / "unknown").mkdir()
    (vendor / "unknown/unknown.go").write_bytes(b"package unknown\n")
    (vendor / "old/COPYING").unlink()
    (vendor / "old/COPYING").symlink_to("/etc/passwd")
    assert findings(made, project) == [
        ("changed", "example.com/old/COPYING"),
        ("stray", "example.com/rich/backdoor.go"),
        ("changed", "example.com/rich/native.h"),
        ("stray", "example.com/unknown"),
    ]
    repair.mend_vendor(repair.plan(None, forensics.examine_vendor([str(project)], [str(made[1])], 2)))
    assert findings(made, project) == []


def test_a_file_that_the_disk_has_lost_comes_back(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], project: pathlib.Path) -> None:
    with lost_sector(project / "vendor/example.com/rich/native.h"):
        assert findings(made, project) == [("changed", "example.com/rich/native.h")]
        repair.mend_vendor(repair.plan(None, forensics.examine_vendor([str(project)], [str(made[1])], 2)))
        assert findings(made, project) == []


@pytest.fixture
def theirs(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path]) -> t.Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """(the project as another account's where we can give it away, a directory of ours), where others may go."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-vendor-"))
    top.chmod(0o755)
    shutil.copytree(made[2], top / "project")
    (top / "ours").mkdir()
    give_away(top / "project")
    yield top / "project", top / "ours"
    remove_tree(str(top))


def give_away(project: pathlib.Path) -> None:
    for path in (project, *project.rglob("*")):
        os.chown(path, OTHER.uid, -1, follow_symlinks=False)


def test_a_link_in_a_directory_s_place_goes_before_anything_is_written(
    made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], theirs: tuple[pathlib.Path, pathlib.Path]
) -> None:
    """And what is written belongs to the project's owner."""
    project, ours = theirs
    below = project / "vendor/example.com"
    remove_tree(str(below))
    below.symlink_to(ours)
    give_away(project)
    assert ("changed", "example.com") in findings(made, project)
    repair.mend_vendor(repair.plan(None, forensics.examine_vendor([str(project)], [str(made[1])], 2)))
    assert (list(ours.iterdir()), findings(made, project)) == ([], [])
    assert {path.lstat().st_uid for path in project.rglob("*")} == {OTHER.uid}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights that the owner lacks")
@pytest.mark.parametrize("name", ["", "example.com/rich"])
def test_a_link_that_is_planted_during_a_repair_leads_no_farther_than_its_owner_goes(
    made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], theirs: tuple[pathlib.Path, pathlib.Path], name: str
) -> None:
    project, ours = theirs
    (project / "vendor/example.com/rich/native.h").unlink()
    (project / "vendor/example.com/rich/stray.go").touch()
    for inner in (ours, ours / "example.com/rich"):
        inner.mkdir(parents=True, exist_ok=True)
        (inner / "stray.go").touch()
    planned = repair.plan(None, forensics.examine_vendor([str(project)], [str(made[1])], 2))
    remove_tree(str(project / "vendor" / name))
    (project / "vendor" / name).symlink_to(ours)
    before = sorted(ours.rglob("*"))
    with pytest.raises(PermissionError):
        repair.mend_vendor(planned)
    assert (sorted(ours.rglob("*")), os.geteuid()) == (before, 0)


def test_a_vendor_directory_that_is_a_link_is_left(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], theirs: tuple[pathlib.Path, pathlib.Path]) -> None:
    project, ours = theirs
    remove_tree(str(ours))
    (project / "vendor").rename(ours)
    (ours / "example.com/rich/native.h").unlink()
    (project / "vendor").symlink_to(ours)
    (found,) = forensics.examine_vendor([str(project)], [str(made[1])], 2).findings
    assert (found.problem, found.path, found.expected, found.found) == ("changed", str(project / "vendor"), "a directory", f"a link to {ours}")
    assert found.mend == ()


def test_modules_txt_and_go_mod_must_agree(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], project: pathlib.Path) -> None:
    before = (project / "go.mod").read_text()
    (project / "go.mod").write_text(before.replace("rich v1.2.0", "rich v1.3.0"))
    try:
        (found,) = forensics.examine_vendor([str(project)], [str(made[1])], 2).findings
    finally:
        (project / "go.mod").write_text(before)
    assert (found.problem, found.expected, found.found, found.mend) == ("changed", "example.com/rich v1.3.0", "example.com/rich v1.2.0", ())


def test_a_zip_that_go_sum_does_not_know_proves_nothing(made: tuple[pathlib.Path, pathlib.Path, pathlib.Path], project: pathlib.Path) -> None:
    before = (project / "go.sum").read_text()
    (project / "go.sum").write_text(before.replace("example.com/rich v1.2.0 h1:", "example.com/rich v1.2.0 h1:A")[:-1])
    (project / "vendor/example.com/rich/native.h").unlink()
    try:
        found = forensics.examine_vendor([str(project)], [str(made[1])], 2)
    finally:
        (project / "go.sum").write_text(before)
    assert (found.findings, "example.com/rich@v1.2.0" in found.unproved) == ([], True)


def test_no_vendor_directory_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / "go.mod").write_text("module x\n")
    with pytest.raises(SpecInvalid, match="no go.mod with a vendor directory"):
        forensics.examine_vendor([str(tmp_path)], [], 1)


def test_missing_modules_txt_is_a_finding(tmp_path: pathlib.Path) -> None:
    (tmp_path / "go.mod").write_text("module x\n")
    (tmp_path / "vendor").mkdir()
    (found,) = forensics.examine_vendor([str(tmp_path)], [], 1).findings
    assert (found.problem, found.path) == ("missing", str(tmp_path / "vendor/modules.txt"))


def test_modules_txt_is_read_as_go_reads_it() -> None:
    text = "## workspace\n# a.b/c v1.0.0 => ./local\n## explicit; go 1.20\na.b/c\n"
    text += "# d.e/f v2.0.0+incompatible => g.h/i v1.1.1\nd.e/f/x\nd.e/f\n# d.e/f => g.h/i v1.1.1\n"
    modules, workspace = parse_modules(text)
    assert workspace
    assert [(module.path, module.version, module.source, module.explicit, module.packages) for module in modules] == [
        ("a.b/c", "v1.0.0", ("./local", ""), True, ["a.b/c"]),
        ("d.e/f", "v2.0.0+incompatible", ("g.h/i", "v1.1.1"), False, ["d.e/f/x", "d.e/f"]),
        ("d.e/f", "", ("g.h/i", "v1.1.1"), False, []),
    ]


@pytest.mark.parametrize(
    ("content", "built"),
    [
        (b"package x\n", True),
        (b"//go:build ignore\npackage x\n", False),
        (b"//go:build !ignore\npackage x\n", True),
        (b"//go:build linux && ignore\npackage x\n", False),
        (b"//go:build linux || ignore\npackage x\n", True),
        (b"//go:build !(linux && ignore)\npackage x\n", True),
        (b"//go:build linux &&\npackage x\n", False),
        (b"// a\n\n// +build ignore\n\npackage x\n", False),
        (b"// +build ignore\npackage x\n", True),
        (b"// +build !linux,!ignore windows\n\npackage x\n", True),
        (b"/* a\n//go:build ignore\n*/\npackage x\n", True),
        (b"package x\n\n//go:build ignore\n", True),
        (b"//go:build a\n//go:build b\npackage x\n", False),
        (b"//go:builder ignore\npackage x\n", True),
    ],
)
def test_build_constraints(content: bytes, built: bool) -> None:
    assert should_build(content) is built


def test_patterns_of_embed() -> None:
    content = b'package x\n\nimport "embed"\n\n//go:embed a b/*.txt\n//go:embed "c d" `e f`\nvar x embed.FS\n'
    assert patterns(content) == ["a", "b/*.txt", "c d", "e f"]
    assert patterns(b"package x\n\n//go:embed a\nvar x string\n") == []
    files = frozenset({"p/b/x.txt", "p/b/y.go", "p/b/sub/z.txt", "p/[x].txt", "p/t/.git/config", "p/t/u", "q/b/x.txt"})
    assert embedded("p/", ["b/*.txt"], files) == {"p/b/x.txt"}
    assert embedded("p/", ["b"], files) == {"p/b/x.txt", "p/b/y.go", "p/b/sub/z.txt"}
    assert embedded("p/", ["\\[x].txt", "all:t"], files) == {"p/[x].txt", "p/t/u"}
    assert embedded("p/", ["b/[^x].go", "["], files) == {"p/b/y.go"}
