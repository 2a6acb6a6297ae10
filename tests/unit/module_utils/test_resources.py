# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources of every kind: what they are, what is taken, and how all that can't be had is told at once."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, FetchFailed, ModuleRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher
from ansible_collections.airgap.golang.plugins.module_utils._base.ustar import unpack_tree
from ansible_collections.airgap.golang.plugins.module_utils._content import resources
from ansible_collections.airgap.golang.plugins.module_utils._content.spec import CarriedFile
from ansible_collections.airgap.golang.plugins.module_utils._go import source
from ansible_collections.airgap.golang.tests.support.file_server import FileServer

WRONG = "ab" * 32


@pytest.fixture
def server() -> t.Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def assets(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path / "assets"
    for name in ("index.html", "css/site.css", "bin/run", "bin.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (top / "bin" / "run").chmod(0o755)
    (top / "index.htm").symlink_to("index.html")
    return top


def make_repository(directory: pathlib.Path) -> str:
    """A repository with a tag v1 and a branch main that went on; its address."""
    directory.mkdir()
    author = {f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=directory, env={**os.environ, **author}, check=True, capture_output=True)

    git("init", "--quiet", "--initial-branch=main")
    (directory / "schema.sql").write_text("one")
    git("add", "--all")
    git("commit", "--quiet", "--no-gpg-sign", "--message=one")
    git("tag", "v1")
    (directory / "schema.sql").write_text("two")
    git("commit", "--quiet", "--no-gpg-sign", "--all", "--message=two")
    return f"file://{directory}"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unpacked(taken: resources.Taken, dest: pathlib.Path) -> dict[str, tuple[str, bool]]:
    with open(taken.path, "rb") as stream:
        names = [name for name, _sha256 in unpack_tree(stream, str(dest), "it")]
    return {name: ((dest / name).read_text(), os.access(dest / name, os.X_OK)) for name in names}


def test_every_kind_is_taken(tmp_path: pathlib.Path, assets: pathlib.Path, server: FileServer) -> None:
    server.files["/logo.svg"] = b"logo"
    (tmp_path / "plain").write_bytes(b"plain")
    repository = make_repository(tmp_path / "migrations")
    found = resources.find(
        [
            CarriedFile(str(tmp_path / "plain"), "plain"),
            CarriedFile(f"file://{tmp_path}/plain", "by/url", sha(b"plain")),
            CarriedFile(server.url("/logo.svg"), "web/logo.svg", sha(b"logo")),
            CarriedFile(str(assets), "web/assets"),
            CarriedFile(repository, "sql/tag", ref="v1"),
            CarriedFile(repository, "sql/branch", ref="main"),
        ]
    )
    assert server.asked == [], "a URL's bytes are known by its sha256"
    assert [entry.kind for entry in found.values()] == ["file", "file", "file", "directory", "git", "git"]
    assert all(len(entry.sha256) == 64 and entry.failure is None for entry in found.values())
    taken = resources.take(found, str(tmp_path / "taken"))
    for dest, content in (("plain", b"plain"), ("by/url", b"plain"), ("web/logo.svg", b"logo")):
        assert pathlib.Path(taken[dest].path).read_bytes() == content
        assert (taken[dest].sha256, taken[dest].size, taken[dest].kind) == (sha(content), len(content), "file")
    assert unpacked(taken["web/assets"], tmp_path / "1") == {
        "bin.txt": ("bin.txt", False),
        "bin/run": ("bin/run", True),
        "css/site.css": ("css/site.css", False),
        "index.htm": ("index.html", False),
        "index.html": ("index.html", False),
    }
    assert taken["web/assets"].digest == source.digest(str(assets)) and not taken["web/assets"].commit
    assert unpacked(taken["sql/tag"], tmp_path / "2") == {"schema.sql": ("one", False)}
    assert unpacked(taken["sql/branch"], tmp_path / "3") == {"schema.sql": ("two", False)}
    assert taken["sql/tag"].commit == found["sql/tag"].commit != taken["sql/branch"].commit
    assert all(sha(pathlib.Path(entry.path).read_bytes()) == entry.sha256 for entry in taken.values())
    assert not [name for name in os.listdir(tmp_path / "taken") if name.endswith(".files")]


def test_a_directory_is_the_same_blob_each_time_and_another_when_a_file_changes(tmp_path: pathlib.Path, assets: pathlib.Path) -> None:
    def blob(name: str) -> str:
        return resources.take(resources.find([CarriedFile(str(assets), "a")]), str(tmp_path / name))["a"].sha256

    first = blob("1")
    (assets / "index.html").touch()
    assert blob("2") == first
    (assets / "css" / "site.css").chmod(0o755)
    assert blob("3") != first


def test_a_directory_can_be_pinned_by_its_digest(assets: pathlib.Path) -> None:
    digest = source.digest(str(assets))
    assert resources.find([CarriedFile(str(assets), "a", digest)])["a"].failure is None
    failure = resources.find([CarriedFile(str(assets), "a", WRONG)])["a"].failure
    assert isinstance(failure, ModuleRefused) and (failure.code, failure.expected, failure.found) == ("file_refused", WRONG, digest)


def test_all_that_cannot_be_had_is_named_after_all_was_tried(tmp_path: pathlib.Path, server: FileServer) -> None:
    server.files.update({"/good": b"good", "/changed": b"changed"})
    (tmp_path / "plain").write_bytes(b"plain")
    files = [
        CarriedFile(str(tmp_path / "absent"), "absent"),
        CarriedFile(str(tmp_path / "plain"), "plain", WRONG),
        CarriedFile(server.url("/nowhere?token=hunter2"), "nowhere", WRONG),
        CarriedFile(server.url("/changed").replace("//", "//user:hunter2@"), "secret", WRONG),
        CarriedFile(server.url("/changed"), "changed", WRONG),
        CarriedFile(f"file://{tmp_path}/no-repository", "git", ref="v1"),
        CarriedFile(server.url("/good"), "good", sha(b"good")),
    ]
    with pytest.raises(FetchFailed) as caught:
        resources.take(resources.find(files), str(tmp_path / "taken"))
    assert {entry["file"]: entry["code"] for entry in caught.value.details} == {
        "absent": "file_missing",
        "plain": "file_refused",
        "nowhere": "fetch_failed",
        "secret": "fetch_failed",
        "changed": "file_refused",
        "git": "fetch_failed",
    }
    (changed,) = (entry for entry in caught.value.details if entry["file"] == "changed")
    assert (changed["expected"], changed["found"]) == (WRONG, sha(b"changed"))
    assert ("GET", "/good") in server.asked
    assert "hunter2" not in str(caught.value.failure()) + caught.value.sentence()
    assert {name.split("-")[1] for name in os.listdir(tmp_path / "taken")} == {sha(b"good")}, "what is wrong isn't kept"


def test_one_failure_keeps_its_own_code_and_words(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FetchFailed, match="1 resource can't be had: a: there is no file or directory") as caught:
        resources.take(resources.find([CarriedFile(str(tmp_path / "absent"), "a")]), str(tmp_path / "taken"))
    assert (caught.value.code, caught.value.hint) == ("file_missing", "files come from the connected control node")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda top: (top / "out").symlink_to("/etc/hostname"), "which isn't below"),
        (lambda top: (top / "dangling").symlink_to("nothing"), "which isn't below"),
        (lambda top: (top / "back\\slash").touch(), "whose name can't be carried"),
        (lambda top: os.mkfifo(top / "pipe"), "neither a file nor a directory"),
        (lambda top: subprocess.run("rm -r *", shell=True, cwd=top, check=True), "has no files"),
    ],
)
def test_directories_that_cannot_be_carried(assets: pathlib.Path, spoil: t.Callable[[pathlib.Path], t.Any], words: str) -> None:
    spoil(assets)
    failure = resources.find([CarriedFile(str(assets), "a")])["a"].failure
    assert isinstance(failure, SpecInvalid) and words in failure.message


def test_what_changes_after_it_was_found_is_refused(tmp_path: pathlib.Path, assets: pathlib.Path) -> None:
    (tmp_path / "plain").write_bytes(b"plain")
    found = resources.find([CarriedFile(str(tmp_path / "plain"), "plain"), CarriedFile(str(assets), "assets")])
    (tmp_path / "plain").write_bytes(b"other")
    (assets / "more").touch()
    with pytest.raises(FetchFailed) as caught:
        resources.take(found, str(tmp_path / "taken"))
    assert [entry["code"] for entry in caught.value.details] == ["file_changed", "file_changed"]


def test_what_is_held_or_was_fetched_before_is_not_fetched_again(tmp_path: pathlib.Path, server: FileServer) -> None:
    server.files.update({"/held": b"held", "/twice": b"twice", "/same": b"twice"})
    held = resources.Taken("/somewhere/blob", sha(b"held"), 4)
    found = resources.find(
        [
            CarriedFile(server.url("/held"), "held", sha(b"held")),
            CarriedFile(server.url("/twice"), "one", sha(b"twice")),
            CarriedFile(server.url("/twice"), "two", sha(b"twice")),
            CarriedFile(server.url("/same"), "same", sha(b"twice")),
        ]
    )

    def take() -> dict[str, resources.Taken]:
        return resources.take(found, str(tmp_path / "taken"), lambda entry: held if entry.sha256 == held.sha256 else None)

    assert take()["held"] == held
    assert sorted(server.asked) == [("GET", "/same"), ("GET", "/twice")]
    (damaged, _whole) = sorted((tmp_path / "taken").iterdir())
    assert take()["one"].sha256 == sha(b"twice") and len(server.asked) == 2
    damaged.write_bytes(b"zeros")
    assert pathlib.Path(take()["one"].path).read_bytes() == b"twice" and len(server.asked) == 3


def test_check_mode_counts_and_takes_nothing(tmp_path: pathlib.Path, assets: pathlib.Path, server: FileServer) -> None:
    server.files.update({"/a": b"12345", "/signed": b"678"})
    repository = make_repository(tmp_path / "repository")

    def begin(files: list[CarriedFile], check: bool) -> resources.Taking:
        with Fetcher() as fetcher, concurrent.futures.ThreadPoolExecutor(2) as pool:
            return resources.begin(resources.find(files), str(tmp_path / "taken"), pool, fetcher, check=check)

    local = [CarriedFile(server.url("/a"), "a", sha(b"12345")), CarriedFile(server.url("/a"), "b", sha(b"12345")), CarriedFile(str(assets), "c")]
    check = begin(local, True)
    assert check.settle() == {} and not (tmp_path / "taken").exists()
    moved = check.moved()
    assert (moved.files, moved.bytes, moved.complete) == (1, 5, True)
    assert server.asked == [("HEAD", "/a")]
    assert begin(local, False).moved() == moved
    server.statuses["/signed"] = 403
    unknown = begin([*local, CarriedFile(repository, "git", ref="v1"), CarriedFile(server.url("/signed"), "signed", WRONG)], True)
    assert unknown.settle() == {}
    assert (unknown.moved().files, unknown.moved().bytes, unknown.moved().complete) == (3, 5, False)
    with pytest.raises(FetchFailed, match="nowhere"):
        begin([CarriedFile(server.url("/nowhere"), "x", WRONG)], True).settle()


@pytest.mark.parametrize("error", [FetchFailed("no m@v1", subject="m@v1", details=[{"module": "m"}], hint="h"), ModuleRefused("bad m@v1", subject="m@v1")])
def test_other_failures_are_told_together(tmp_path: pathlib.Path, error: AirgapError) -> None:
    found = resources.find([CarriedFile(str(tmp_path / "absent"), "web/absent")])
    before = len(error.details)
    with Fetcher() as fetcher, concurrent.futures.ThreadPoolExecutor(2) as pool:
        taking = resources.begin(found, str(tmp_path / "taken"), pool, fetcher)
        with pytest.raises(type(error), match=r"m@v1; 1 resource can't be had: web/absent: there is no") as caught, taking.told_together():
            raise error
        assert caught.value is error and error.code == type(error).code and error.subject == "m@v1, web/absent"
        assert [entry["file"] for entry in error.details[before:]] == ["web/absent"]
        with pytest.raises(FetchFailed, match="web/absent"), taking.told_together():
            pass
        with pytest.raises(SpecInvalid, match="^something else$"), taking.told_together():
            raise SpecInvalid("something else")


@pytest.mark.parametrize(
    ("dest", "place"), [("web/index.html", "web/index.html"), ("web/css", "web/css"), ("web/index.html/more", "web/index.html"), ("web/fonts/a", "")]
)
def test_two_resources_cannot_claim_one_place(tmp_path: pathlib.Path, assets: pathlib.Path, dest: str, place: str) -> None:
    (tmp_path / "plain").touch()
    found = resources.find([CarriedFile(str(assets), "web"), CarriedFile(str(tmp_path / "plain"), dest), CarriedFile(str(assets), "website")])
    if not place:
        assert set(resources.take(found, str(tmp_path / "taken"))) == {"web", dest, "website"}
        return
    with pytest.raises(SpecInvalid, match=f"both claim files/{place}$") as caught:
        resources.take(found, str(tmp_path / "taken"))
    assert caught.value.code == "files_overlap"
