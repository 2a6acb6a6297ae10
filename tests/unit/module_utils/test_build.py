# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build may ask for, the environment that it gets, and what is left of it."""

from __future__ import annotations

import os
import pathlib
import tempfile
import time
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import sandbox
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._go.build import Build, BuildRecord, build_environment, run_build

GOOD: dict[str, t.Any] = {
    "package": "./cmd/tool",
    "output": "bin/tool",
    "platform": "linux/arm64",
    "env": {"CGO_ENABLED": "0", "GOARM64": "v8.0"},
    "flags": ["-ldflags=-s -w -X main.v=1", "-race"],
    "tags": ["netgo", "osusergo"],
    "command": [],
}


def test_there_and_back() -> None:
    assert Build.from_dict(GOOD).to_dict() == GOOD
    assert Build.from_dict({**GOOD, "sha256": "ab", "size": 1}).to_dict() == GOOD
    assert Build.from_dict({"output": "tool", "package": None, "env": None, "tags": None}) == Build(".", "tool", "linux/amd64", {}, (), ())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"output": "../tool"}, "output"),
        ({"output": "/tool"}, "output"),
        ({"output": "a//b"}, "output"),
        ({"output": ""}, "output"),
        ({"output": "bin/-x"}, "output"),
        ({"package": "-toolexec=x"}, "package"),
        ({"package": "./..."}, "package"),
        ({"package": "example.com/tool@v1"}, "package"),
        ({"platform": "linux"}, "platform"),
        ({"env": {"CC": "gcc"}}, "CC isn't a setting"),
        ({"env": {"GOFLAGS": "-mod=mod"}}, "GOFLAGS isn't a setting"),
        ({"env": {"GOAMD64": "v3 x"}}, "GOAMD64 is"),
        ({"env": {"CGO_ENABLED": "yes"}}, "neither 0 nor 1"),
        ({"env": ["GOAMD64=v3"]}, "env is"),
        ({"flags": ["-toolexec=/bin/sh"]}, "toolexec"),
        ({"flags": ["-mod=mod"]}, "-mod=mod"),
        ({"flags": ["-o=/etc/passwd"]}, "-o=/etc/passwd"),
        ({"flags": ["./other"]}, "./other"),
        ({"flags": "-race"}, "flags is"),
        ({"tags": ["a,b"]}, "a,b"),
        ({"flag": []}, "unknown keys: flag"),
        ({"command": "make all"}, "command is"),
        ({"command": ["make"]}, "can't have a package or flags"),
        ({"command": [""], "package": ".", "flags": []}, "can't be run"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, t.Any], complaint: str) -> None:
    with pytest.raises(SpecInvalid, match=complaint):
        Build.from_dict({**GOOD, **change})


def test_nothing_of_ours_reaches_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAK", "1")
    environment = build_environment("/g", "/s", Build.from_dict(GOOD), {"GOCACHE": "/c"})
    assert "LEAK" not in environment
    assert environment["PATH"] == "/g/bin:/usr/bin:/bin"
    assert (environment["GOPROXY"], environment["GOTOOLCHAIN"], environment["GOENV"], environment["GOWORK"]) == ("off", "local", "off", "off")
    assert (environment["GOOS"], environment["GOARCH"], environment["GOCACHE"]) == ("linux", "arm64", "/c")
    assert all(environment[name].startswith("/s/") for name in ("HOME", "TMPDIR", "GOPATH", "GOMODCACHE"))
    assert all(environment.values()), "go takes an empty one from go.env"


@pytest.mark.parametrize("setting", ["GOEXPERIMENT=rangefunc", "CGO_CPPFLAGS=-DX", "GO_EXTLINK_ENABLED=1"])
def test_settings_that_cannot_be_overridden(tmp_path: pathlib.Path, setting: str) -> None:
    (tmp_path / "go.env").write_text(f"# words\nGOPROXY=off\n{setting}\n")
    with pytest.raises(HostRefused, match=setting.partition("=")[0]):
        build_environment(str(tmp_path), "/s", Build(".", "x", "linux/amd64"))
    asked = Build(".", "x", "linux/amd64", {"GOEXPERIMENT": "none"})
    if setting.startswith("GOEXPERIMENT"):
        assert build_environment(str(tmp_path), "/s", asked)["GOEXPERIMENT"] == "none"


class Site:
    """A toolchain of which nothing is run, a project with files and links of every mode, and the builders' scratch directory in one of ours."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.isolation = sandbox.choose("nobody")
        self.scratch = top / "builds" / "0"
        for directory in (top / "go", top / "project" / "deep" / "deeper", self.scratch):
            directory.mkdir(parents=True)
        top.chmod(0o755)
        self.scratch.chmod(0o700)
        os.chown(self.scratch, self.isolation.uid, self.isolation.gid)
        (top / "go" / "VERSION").write_text("go1.99\n")
        (top / "project" / "deep" / "deeper" / "file").write_text("content")
        (top / "project" / "deep" / "deeper" / "file").chmod(0o444)
        (top / "project" / "deep" / "link").symlink_to("/etc/passwd")
        (top / "project" / "deep" / "away").symlink_to("deeper")
        (top / "project" / "deep" / "deeper").chmod(0o555)

    def build(self, script: str) -> BuildRecord:
        build = Build(".", "tool", "linux/amd64", command=("sh", "-c", script))
        directory = str(self.top / "project" / "deep")
        return run_build(self.isolation, str(self.top / "go"), directory, build, str(self.scratch / "out"), str(self.scratch), top=str(self.top / "project"))


@pytest.fixture
def site() -> t.Iterator[Site]:
    # Not below pytest's own directory, which other users may not enter.
    top = pathlib.Path(tempfile.mkdtemp())
    try:
        yield Site(top)
    finally:
        remove_tree(str(top))


def test_a_command_works_in_a_copy_that_it_can_write(site: Site) -> None:
    script = 'rm link && echo more >> deeper/file && touch "$HOME/a" "$TMPDIR/b" ../new && cat away/file > "$OUTPUT"'
    assert site.build(script).size == len("contentmore\n")
    assert (site.top / "project" / "deep" / "deeper" / "file").read_text() == "content" and (site.top / "project" / "deep" / "link").is_symlink()
    assert {path.lstat().st_uid for path in site.scratch.rglob("*")} == {site.isolation.uid}
    assert os.listdir(site.top / "builds") == ["0"]


def test_what_a_build_leaves_in_the_background_ends_with_it(site: Site) -> None:
    site.build('sleep 657 & echo binary > "$OUTPUT"')
    end = time.monotonic() + 60
    while (left := running(["sleep", "657"])) and time.monotonic() < end:
        time.sleep(0.01)
    assert not left


def running(wanted: t.Sequence[str]) -> list[str]:
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_text().split("\0")[:-1] == wanted:
                found.append(process.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_nothing_is_given_away_where_the_builder_can_put_links(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def chown(path: str, uid: int, gid: int, **how: t.Any) -> None:
        above = pathlib.Path(os.path.normpath(path)).parent
        given.append(path)
        assert uid == site.isolation.uid and uid not in {directory.stat().st_uid for directory in (above, *above.parents)}, path
        real(path, uid, gid, **how)

    real = os.chown
    monkeypatch.setattr(os, "chown", chown)
    site.build('echo binary > "$OUTPUT"')
    assert len(given) > 5
