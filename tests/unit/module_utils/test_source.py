# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources: which files of a directory travel, when two are the same, and how git is asked."""

from __future__ import annotations

import os
import pathlib
import subprocess
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed, ModuleRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._go import source


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path / "source"
    for name in ("go.mod", "b.go", "docs/a.md", "docs/deep/b.md", "scripts/run.sh", ".git/config", "sub/.git", ".gitignore"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (top / "scripts" / "run.sh").chmod(0o755)
    return top


def names(top: pathlib.Path, *exclude: str) -> list[str]:
    return [file.name for file in source.walk(str(top), exclude)]


def test_files_come_in_order_and_without_version_control(tree: pathlib.Path) -> None:
    assert names(tree) == [".gitignore", "b.go", "docs/a.md", "docs/deep/b.md", "go.mod", "scripts/run.sh"]
    assert [file.name for file in source.walk(str(tree)) if file.executable] == ["scripts/run.sh"]


@pytest.mark.parametrize(
    ("exclude", "left_out"),
    [
        (["docs"], {"docs/a.md", "docs/deep/b.md"}),
        (["*.md"], {"docs/a.md", "docs/deep/b.md"}),
        (["docs/deep"], {"docs/deep/b.md"}),
        (["scripts/*", ".git*"], {"scripts/run.sh", ".gitignore"}),
        (["DOCS"], set()),
    ],
)
def test_globs_leave_out_files_and_directories(tree: pathlib.Path, exclude: list[str], left_out: set[str]) -> None:
    assert set(names(tree)) - set(names(tree, *exclude)) == left_out


def test_links_that_stay_below_are_followed(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tree / "link.go").symlink_to("b.go")
    (tree / "more").symlink_to("docs")
    (tree / "docs" / "up").symlink_to("..")
    (tree / "docs" / "again").symlink_to("../docs")
    assert "link.go" in names(tree) and "more/deep/b.md" in names(tree)
    source.copy_directory(str(tree), str(tmp_path / "copy"), [])
    assert (tmp_path / "copy" / "link.go").read_text() == "b.go" and not (tmp_path / "copy" / "link.go").is_symlink()
    assert not any("/up/" in name or "/again/" in name for name in names(tree))


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "nowhere", "../source-beside/x"])
def test_links_that_lead_away_are_refused(tree: pathlib.Path, tmp_path: pathlib.Path, target: str) -> None:
    (tmp_path / "outside").write_text("")
    (tmp_path / "source-beside").mkdir()
    (tmp_path / "source-beside" / "x").write_text("")
    (tree / "link").symlink_to(target)
    with pytest.raises(SpecInvalid) as caught:
        names(tree)
    assert (caught.value.subject, caught.value.found) == (str(tree / "link"), target)
    assert "link" not in names(tree, "link")


def test_pipes_are_refused(tree: pathlib.Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(SpecInvalid, match="neither a file nor a directory"):
        names(tree)


def test_the_digest_is_of_names_contents_and_exec_bits_alone(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    first = source.digest(str(tree))
    os.utime(tree / "b.go", (0, 0))
    (tree / ".git" / "config").write_text("changed")
    source.copy_directory(str(tree), str(tmp_path / "copy"), [])
    assert source.digest(str(tree)) == first == source.digest(str(tmp_path / "copy"))
    (tree / "b.go").chmod(0o755)
    second = source.digest(str(tree))
    (tree / "b.go").write_text("other")
    third = source.digest(str(tree))
    (tree / "b.go").rename(tree / "c.go")
    assert len({first, second, third, source.digest(str(tree))}) == 4
    assert source.digest(str(tree), ["c.go"]) == source.digest(str(tree), ["c.*"]) != source.digest(str(tree))


def test_a_copy_is_writable_and_keeps_exec_bits(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tree / "go.mod").chmod(0o444)
    source.copy_directory(str(tree), str(tmp_path / "copy"), ["docs"])
    assert not (tmp_path / "copy" / "docs").exists()
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "copy" / "go.mod", tmp_path / "copy" / "scripts" / "run.sh")} == {
        "go.mod": "0o644",
        "run.sh": "0o755",
    }


def test_a_missing_directory_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SpecInvalid, match="there is no directory"):
        source.copy_directory(str(tmp_path / "nowhere"), str(tmp_path / "copy"), [])


def test_packed_files_are_named_from_the_top(tree: pathlib.Path) -> None:
    (tree / "sub" / "vendor").mkdir()
    (tree / "sub" / "vendor" / "modules.txt").write_text("")
    (tree / "sub" / "vendored.go").write_text("")
    assert {"sub/vendored.go", "sub/vendor/modules.txt"} < {file.name for file in source.packed_files(str(tree), ".")}
    assert [file.name for file in source.packed_files(str(tree), "sub/vendor")] == ["sub/vendor/modules.txt"]


def test_a_module_zip_becomes_a_source(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "v1.0.0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("example.com/m@v1.0.0/go.mod", "module example.com/m\n")
        archive.writestr("example.com/m@v1.0.0/a/a.go", "package a\n" * 200000)
        archive.writestr("example.com/m@v1.0.0/a/.git/config", "")
    source.extract_zip(str(path), "example.com/m", "v1.0.0", str(tmp_path / "dest"))
    assert (tmp_path / "dest" / "a" / "a.go").read_text() == "package a\n" * 200000
    assert sorted(path.name for path in (tmp_path / "dest").rglob("*")) == ["a", "a.go", "go.mod"]
    with pytest.raises(ModuleRefused):
        source.extract_zip(str(path), "example.com/m", "v1.0.1", str(tmp_path / "other"))


def test_what_a_zipped_source_requires_comes_out_first(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "v1.0.0.zip"
    names = ["go.mod", "a.go", "go/go.work", "go/go.work.sum", "go/go.mod.go", "go/vendor/modules.txt", "go/vendor/x/go.mod", "vendor/x.go", "vendored/go.sum"]
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"example.com/m@v1.0.0/{name}", name)
    zipped = source.ZippedSource(str(path), "example.com/m", "v1.0.0", "go")
    dest = tmp_path / "dest"

    def out() -> set[str]:
        return {file.relative_to(dest).as_posix() for file in dest.rglob("*") if file.is_file()}

    zipped.extract_requirements(str(dest))
    assert out() == {"go.mod", "go/go.work", "go/go.work.sum", "vendored/go.sum"}
    zipped.extract_rest(str(dest))
    assert out() == {name for name in names if not name.startswith("go/vendor/")}


@pytest.fixture
def repository(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    work = tmp_path / "work"
    work.mkdir()

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.example", *arguments], cwd=work, check=True, capture_output=True)

    git("init", "--quiet", "--initial-branch=main")
    for content in ("one", "two"):
        (work / "file").write_text(content)
        git("add", "--all")
        git("commit", "--quiet", "--no-gpg-sign", f"--message={content}")
        git("tag", *(["--no-sign", "--annotate", "--message=x"] if content == "one" else []), f"v-{content}")
    git("branch", "feature/main", "v-one")
    return f"file://{work}"


@pytest.mark.parametrize(("ref", "content"), [("main", "two"), ("v-one", "one"), ("v-two", "two"), ("feature/main", "one"), ("refs/tags/v-one", "one")])
def test_git_refs_mean_commits(repository: str, tmp_path: pathlib.Path, ref: str, content: str) -> None:
    commit = source.git_commit(repository, ref)
    # A tag object has a hash of its own, which is not the commit's.
    meant = subprocess.run(["git", "rev-parse", f"v-{content}^{{commit}}"], cwd=tmp_path / "work", text=True, capture_output=True, check=True).stdout.strip()
    assert commit == meant == source.git_commit(repository, commit)
    source.clone(repository, ref, commit, str(tmp_path / "clone"))
    assert (tmp_path / "clone" / "file").read_text() == content


@pytest.mark.parametrize("ref", ["v9", "mai", "ain", "--upload-pack=touch /tmp/x"])
def test_refs_that_are_none_are_refused(repository: str, ref: str) -> None:
    with pytest.raises(FetchFailed) as caught:
        source.git_commit(repository, ref)
    assert ref in caught.value.message


def test_a_commit_that_is_nowhere_is_refused(repository: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(FetchFailed, match="can't be had"):
        source.clone(repository, "x", "0" * 40, str(tmp_path / "clone"))


def test_submodules_may_be_beside_the_repository(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    # Since git 2.38.1 a submodule's files may not come from this machine, unless that is said.
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file")

    def git(name: str, *arguments: str) -> None:
        argv = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-C", str(tmp_path / name), *arguments]
        subprocess.run(argv, check=True, capture_output=True)

    for name, submodules in (("deep", []), ("lib", ["deep"]), ("app", ["lib"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        git(name, "init", "--quiet", "--initial-branch=main")
        # What git's own submodule command takes for a place beside the origin's.
        git(name, "remote", "add", "origin", f"file://{tmp_path}/{name}")
        for submodule in submodules:
            git(name, "submodule", "--quiet", "add", f"../{submodule}", f"sub/{submodule}")
        git(name, "add", "--all")
        git(name, "commit", "--quiet", "--no-gpg-sign", "--message=x")
    url = f"file://{tmp_path}/app"
    dest = tmp_path / "clone" / "app"
    source.clone(url, "main", source.git_commit(url, "main"), str(dest))
    assert [(dest / path).read_text() for path in ("file", "sub/lib/file", "sub/lib/sub/deep/file")] == ["app", "lib", "deep"]


def test_gits_words_are_shown_without_passwords(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FetchFailed) as caught:
        source.git_commit(f"https://gopher:hunter2@127.0.0.1:1{tmp_path}", "main")
    assert "hunter2" not in caught.value.sentence() and "127.0.0.1" in caught.value.message


def test_credentials_leave_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    url, environment = source.split_credentials("https://gopher:hunter%402@git.example:8443/a.git")
    assert url == "https://git.example:8443/a.git"
    assert environment == {
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_2": "http.https://git.example:8443/.extraHeader",
        "GIT_CONFIG_VALUE_2": "Authorization: Basic Z29waGVyOmh1bnRlckAy",
    }
    for plain in ("https://git.example/a.git", "ssh://git@git.example/a.git", "git@git.example:a.git", "/srv/a.git"):
        assert source.split_credentials(plain) == (plain, {})
