# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A GOMODCACHE that real go filled, examined read-only: nothing is wrong with it until something is done to it."""

from __future__ import annotations

import os
import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import forensics, modcache
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.files import exchange, remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._base.findings import hash_file
from ansible_collections.airgap.golang.tests.support.bad_disk import UNREADABLE, lost_sector
from ansible_collections.airgap.golang.tests.support.depots import times
from ansible_collections.airgap.golang.tests.support.file_proxy import add_module, go

MODULES = {
    ("example.com/Upper", "v1.0.0"): {"upper.go": b"package upper\n", "inner/inner.go": b"package inner\n", "big": b"x" * 3_000_000},
    ("example.com/lower", "v0.2.0"): {"lower.go": b"package lower\n"},
}
LOWER = "example.com/lower@v0.2.0"
UPPER = "example.com/!upper@v1.0.0"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[pathlib.Path]:
    """A directory with a go.sum and the cache that go made for it."""
    top = tmp_path_factory.mktemp("cache")
    for (path, version), files in MODULES.items():
        add_module(top / "proxy", path, version, files)
    project = top / "project"
    project.mkdir()
    (project / "go.mod").write_text("module example.com/project\n\ngo 1.21\n\nrequire (\n\texample.com/Upper v1.0.0\n\texample.com/lower v0.2.0\n)\n")
    (project / "main.go").write_text('package main\n\nimport (\n\t_ "example.com/Upper"\n\t_ "example.com/lower"\n)\n\nfunc main() {}\n')
    go(top / "proxy", top / "modcache", project, "mod", "tidy")
    yield top
    remove_tree(str(top))


@pytest.fixture
def cache(filled: pathlib.Path, tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    copy = tmp_path / "modcache"
    shutil.copytree(filled / "modcache", copy, symlinks=True)
    yield copy
    remove_tree(str(copy))


def findings(cache: pathlib.Path, *gosum: pathlib.Path) -> list[tuple[str, str]]:
    before = times(cache)
    found = forensics.examine_cache(str(cache), [str(path) for path in gosum], 2)
    assert times(cache) == before
    assert found.checked == {"modcache": 2}
    return [(finding.problem, os.path.relpath(finding.path, cache)) for finding in found.findings]


def writable(path: pathlib.Path) -> pathlib.Path:
    for place in (path.parent, path):
        if place.exists():
            place.chmod(place.stat().st_mode | 0o200)
    return path


def test_what_go_filled_has_no_findings(filled: pathlib.Path, cache: pathlib.Path) -> None:
    assert findings(cache) == findings(cache, filled / "project/go.sum") == []


def test_each_change_is_named(filled: pathlib.Path, cache: pathlib.Path) -> None:
    writable(cache / UPPER / "inner/inner.go").write_bytes(b"package outer\n")
    writable(cache / UPPER / "extra.go").write_bytes(b"package upper\n")
    writable(cache / LOWER / "lower.go").unlink()
    (cache / LOWER).chmod(0o777)
    expected = [
        ("stray", f"{UPPER}/extra.go"),
        ("changed", f"{UPPER}/inner/inner.go"),
        ("mode", LOWER),
        ("missing", f"{LOWER}/lower.go"),
    ]
    assert sorted(findings(cache)) == sorted(findings(cache, filled / "project/go.sum")) == sorted(expected)


def test_zip_mark_and_gomod(filled: pathlib.Path, cache: pathlib.Path) -> None:
    download = cache / "cache/download/example.com"
    mark = writable(download / "lower/@v/v0.2.0.ziphash")
    mark.write_text(mark.read_text().translate(str.maketrans("abc", "bca")))
    archive = writable(download / "!upper/@v/v1.0.0.zip")
    os.truncate(archive, archive.stat().st_size - 9)
    writable(download / "!upper/@v/v1.0.0.mod").write_text("module example.com/Upper\n\ngo 1.26\n")
    names = ["!upper/@v/v1.0.0.mod", "!upper/@v/v1.0.0.zip", "lower/@v/v0.2.0.ziphash"]
    assert sorted(findings(cache, filled / "project/go.sum")) == [("changed", f"cache/download/example.com/{name}") for name in names]
    # Without go.sum the mark is all there is to compare with, so the two that follow from it are wrong; a go.mod has none.
    without = {("changed", f"cache/download/example.com/{name}") for name in ("!upper/@v/v1.0.0.zip", "lower/@v/v0.2.0.zip")}
    assert set(findings(cache)) == {*without, ("changed", LOWER)}


@pytest.mark.parametrize("name", [f"{LOWER}/lower.go", "cache/download/example.com/lower/@v/v0.2.0.mod"])
def test_a_file_that_the_disk_has_lost_is_named(filled: pathlib.Path, cache: pathlib.Path, name: str) -> None:
    """And the others are examined all the same."""
    with lost_sector(cache / name):
        found = forensics.examine_cache(str(cache), [str(filled / "project/go.sum")], 2)
    assert [(finding.problem, finding.path, finding.found) for finding in found.findings] == [("changed", str(cache / name), "can't be read")]
    assert found.checked == {"modcache": 2}


def test_what_the_kernel_cannot_read_has_no_hash() -> None:
    assert hash_file(UNREADABLE) == ""


def test_what_cannot_be_meant(filled: pathlib.Path, cache: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SpecInvalid, match="no GOMODCACHE"):
        forensics.examine_cache(str(tmp_path), [], 1)
    with pytest.raises(SpecInvalid, match=r"go\.sum can't be read"):
        forensics.examine_cache(str(cache), [str(tmp_path / "go.sum")], 1)
    params: dict[str, t.Any] = {"state": "repaired", "path": str(cache), "vendor": [], "gosum": []}
    with pytest.raises(SpecInvalid, match="examined, never changed"):
        modcache.Options.of(params)
    with pytest.raises(SpecInvalid, match="there is no path"):
        modcache.Options.of({**params, "state": "verified", "path": "", "gosum": ["go.sum"]})


@pytest.mark.parametrize("atomic", [True, False])
def test_exchange_of_directories(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, atomic: bool) -> None:
    if not atomic:
        monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    exchange(str(tmp_path / "new"), str(tmp_path / "old"))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["new", "new/old", "old", "old/new"]
    exchange(str(tmp_path / "new"), str(tmp_path / "absent"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["absent", "old"]
