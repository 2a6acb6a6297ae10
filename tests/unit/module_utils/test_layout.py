# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A GOPROXY tree as Athens and goproxy have it on disk: which names, whole or not at all, and nothing of ours lost on the way."""

from __future__ import annotations

import errno
import os
import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import layout as verb
from ansible_collections.airgap.golang.plugins.module_utils._base import files
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._go.proxylayouts import places

TREE = {
    "github.com/!burnt!sushi/toml/@v/list": "v1.5.0\n",
    "github.com/!burnt!sushi/toml/@latest": "{}",
    "github.com/!burnt!sushi/toml/@v/v1.5.0.info": "info",
    "github.com/!burnt!sushi/toml/@v/v1.5.0.mod": "mod",
    "github.com/!burnt!sushi/toml/@v/v1.5.0.zip": "zip",
    "github.com/!burnt!sushi/toml/@v/v1.6.0-!r!c1.mod": "graph",
    "github.com/!burnt!sushi/toml/v2/@v/v2.0.0.info": "deep",
    "golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-amd64.zip": "toolchain",
    "golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-amd64.mod": "toolchain mod",
    "golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-amd64.info": "toolchain info",
    "sumdb/sum.golang.org/supported": "",
    "sumdb/sum.golang.org/lookup/github.com/!burnt!sushi/toml@v1.5.0": "record",
}
ATHENS = {
    "storage/github.com/BurntSushi/toml/v1.5.0/source.zip": "zip",
    "storage/github.com/BurntSushi/toml/v1.5.0/go.mod": "mod",
    "storage/github.com/BurntSushi/toml/v1.5.0/v1.5.0.info": "info",
    "graph/github.com/BurntSushi/toml/v1.6.0-RC1/go.mod": "graph",
    "graph/github.com/BurntSushi/toml/v2/v2.0.0/v2.0.0.info": "deep",
    "storage/golang.org/toolchain/v0.0.1-go1.26.8.linux-amd64/source.zip": "toolchain",
    "storage/golang.org/toolchain/v0.0.1-go1.26.8.linux-amd64/go.mod": "toolchain mod",
    "storage/golang.org/toolchain/v0.0.1-go1.26.8.linux-amd64/v0.0.1-go1.26.8.linux-amd64.info": "toolchain info",
}


def write(top: pathlib.Path, tree: t.Mapping[str, str]) -> pathlib.Path:
    for name, content in tree.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)
    return top


@pytest.fixture
def src(tmp_path: pathlib.Path) -> pathlib.Path:
    """As a host has it: a directory of links into the tree."""
    tree = write(tmp_path / "tree", TREE)
    proxy = tmp_path / "proxy"
    proxy.mkdir()
    for name in os.listdir(tree):
        (proxy / name).symlink_to(tree / name)
    return proxy


def bring(src: pathlib.Path, dest: pathlib.Path, form: str = "athens", database: str = "") -> verb.Plan:
    made = verb.plan(str(src), str(dest), form, database)
    if made.changed:
        verb.carry_out(made)
    assert not verb.plan(str(src), str(dest), form, database).changed
    return made


def found(dest: pathlib.Path) -> dict[str, str]:
    """The files below ``current``, links to directories not followed."""
    top = dest / "current"
    return {
        os.path.relpath(os.path.join(at, name), top): pathlib.Path(at, name).read_text()
        for at, _directories, names in os.walk(top)
        for name in names
    }


def test_athens_has_real_names_and_lists_no_version_without_a_zip(src: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dest = tmp_path / "layouts" / "athens"
    made = bring(src, dest)
    assert found(dest) == ATHENS
    listed = dest / "current" / "storage" / "github.com" / "BurntSushi" / "toml"
    assert {entry.name: entry.is_symlink() for entry in os.scandir(listed)} == {"v1.5.0": False, "v1.6.0-RC1": True, "v2": False}
    assert (listed / "v1.6.0-RC1" / "go.mod").read_text() == "graph" and (listed / "v2" / "v2.0.0" / "v2.0.0.info").read_text() == "deep"
    assert made.storage == str(dest / "current" / "storage")


def test_goproxy_has_the_protocols_names_and_a_database_of_its_own(src: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dest = tmp_path / "goproxy"
    for name in ("database", "other"):
        (tmp_path / name).mkdir()
    bring(src, dest, "goproxy", str(tmp_path / "database"))
    assert found(dest) == {f"cache/{name}": content for name, content in TREE.items() if not name.startswith("sumdb/")}
    assert os.readlink(dest / "current" / "cache" / "sumdb") == str(tmp_path / "database")
    assert bring(src, dest, "goproxy", str(tmp_path / "other")).replaced == ["cache/sumdb"]


def test_files_are_links_and_an_unchanged_layout_is_not_touched(src: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dest = tmp_path / "athens"
    bring(src, dest)
    zip_file = dest / "current" / "storage" / "github.com" / "BurntSushi" / "toml" / "v1.5.0" / "source.zip"
    assert zip_file.samefile(src / "github.com" / "!burnt!sushi" / "toml" / "@v" / "v1.5.0.zip")
    before = os.readlink(dest / "current"), os.stat(dest).st_mtime_ns
    assert not bring(src, dest).changed and (os.readlink(dest / "current"), os.stat(dest).st_mtime_ns) == before


def test_another_generation_takes_over_as_a_whole(src: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dest = tmp_path / "athens"
    bring(src, dest)
    first = os.readlink(dest / "current")
    toml = src / "github.com" / "!burnt!sushi" / "toml" / "@v"
    (toml / "v1.5.0.zip").unlink()
    (toml / "v1.5.0.zip").write_text("another zip")
    (toml / "v1.6.0-!r!c1.mod").unlink()
    write(src, {"example.com/new/@v/v1.0.0.zip": "new"})
    made = verb.plan(str(src), str(dest), "athens")
    assert (made.added, made.replaced) == (["storage/example.com/new/v1.0.0/source.zip"], ["storage/github.com/BurntSushi/toml/v1.5.0/source.zip"])
    assert made.removed == ["graph/github.com/BurntSushi/toml/v1.6.0-RC1/go.mod", "storage/github.com/BurntSushi/toml/v1.6.0-RC1"]
    assert os.readlink(dest / "current") == first and found(dest) == ATHENS, "planning changed something"
    diff = made.diff()
    assert diff["before"].splitlines() == sorted([*made.removed, *made.replaced]) and diff["after"].splitlines() == sorted([*made.added, *made.replaced])
    bring(src, dest)
    wanted = {**ATHENS, "storage/github.com/BurntSushi/toml/v1.5.0/source.zip": "another zip", "storage/example.com/new/v1.0.0/source.zip": "new"}
    del wanted["graph/github.com/BurntSushi/toml/v1.6.0-RC1/go.mod"]
    assert found(dest) == wanted
    assert sorted(os.listdir(dest)) == sorted([".lock", "current", os.readlink(dest / "current")])


def test_what_a_kill_leaves_goes_with_the_next_run(src: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dest = tmp_path / "athens"
    bring(src, dest)
    for name in ("0123456789abcdef", ".fedcba9876543210.0123456789abcdef.tmp"):
        write(dest / name, {"storage/x": "half"})
    assert verb.plan(str(src), str(dest), "athens").leftovers == [".fedcba9876543210.0123456789abcdef.tmp", "0123456789abcdef"]
    bring(src, dest)
    assert sorted(os.listdir(dest)) == sorted([".lock", "current", os.readlink(dest / "current")])


def test_where_links_cannot_be_files_are_copied_once(src: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, dest: str) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), dest)

    monkeypatch.setattr(files.os, "link", refuse)
    dest = tmp_path / "athens"
    bring(src, dest)
    assert found(dest) == ATHENS


def test_absent_takes_all_of_it_and_nothing_else(src: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dest = tmp_path / "goproxy"
    database = write(tmp_path / "database", {"kept": "kept"})
    bring(src, dest, "goproxy", str(database))
    made = verb.plan_absent(str(dest))
    assert made.changed and dest.exists()
    verb.carry_out(made)
    assert not dest.exists() and (database / "kept").exists() and (tmp_path / "tree" / "golang.org").exists()
    assert not verb.plan_absent(str(dest)).changed


@pytest.mark.parametrize("name", ["notes.txt", "storage/x"])
def test_what_is_not_ours_is_refused(src: pathlib.Path, tmp_path: pathlib.Path, name: str) -> None:
    dest = tmp_path / "athens"
    write(dest, {name: "somebody's"})
    for refused in (lambda: verb.plan(str(src), str(dest), "athens"), lambda: verb.plan_absent(str(dest))):
        with pytest.raises(HostRefused, match="isn't ours"):
            refused()
    with pytest.raises(HostRefused, match="isn't a GOPROXY tree"):
        verb.plan(str(src / "nowhere"), str(tmp_path / "other"), "athens")


@pytest.mark.parametrize("name", ["x.com/../../@v/v1.0.0.zip", "/etc/@v/v1.0.0.zip", "x.com/@v/...zip", "x.com/UP/@v/v1.0.0.zip"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(SpecInvalid):
        places("athens", [name])
