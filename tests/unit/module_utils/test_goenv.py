# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One user's or project's settings: set beside others', recorded, and taken back."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import goenv
from ansible_collections.airgap.golang.plugins.module_utils._base import accounts
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils.goenv import RECORD, Options

FOREIGN = "# mine\nGOPRIVATE=git.example\nGOFLAGS=-v\n"


def state_of(top: pathlib.Path) -> dict[str, t.Any]:
    """Everything below a directory: a file's content and mode, a link's target, None for a directory."""
    found: dict[str, t.Any] = {}
    for path in sorted(top.rglob("*")):
        found[str(path.relative_to(top))] = os.readlink(path) if path.is_symlink() else None if path.is_dir() else (path.read_bytes(), path.stat().st_mode)
    return found


class Home:
    """A home directory, and the module's steps for whom it belongs to."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.file = top / ".config" / "go" / "env"
        self.mode = top / ".config" / "go" / "telemetry" / "mode"

    def options(self, present: bool = True, **settings: str) -> Options:
        return Options(present, settings, config_dir=str(self.top / ".config"))

    def run(self, options: Options) -> goenv.Plan:
        place = goenv.locate(options)
        before = state_of(self.top)
        made = goenv.plan(place, options)
        assert state_of(self.top) == before, "a plan changed something"
        if made.changed:
            goenv.apply(made)
            again = goenv.plan(place, options)
            assert not again.changed and again.diff() == [], "a second run would change something"
        return made

    def present(self, **settings: str) -> goenv.Plan:
        return self.run(self.options(**settings))

    def absent(self) -> goenv.Plan:
        return self.run(self.options(present=False))

    def foreign(self, content: str = FOREIGN) -> None:
        self.file.parent.mkdir(parents=True)
        self.file.write_text(content)


@pytest.fixture
def home(tmp_path: pathlib.Path) -> Home:
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


def test_from_nothing_to_nothing(home: Home) -> None:
    made = home.present(GOFLAGS="-mod=vendor", GOTELEMETRY="off", GOPROXY="")
    assert home.file.read_text() == "GOFLAGS=-mod=vendor\nGOPROXY=\n" and home.mode.read_text().startswith("off 20")
    assert (home.file.parent / RECORD).stat().st_mode & 0o777 == 0o600
    assert made.diff()[0]["before"] == "" and made.diff()[0]["after"] == "GOFLAGS=-mod=vendor\nGOPROXY=\n"
    assert home.absent().changed and state_of(home.top) == {}
    assert not home.absent().changed


@pytest.mark.parametrize("content", [FOREIGN, FOREIGN[:-1], "", "GOFLAGS=-a\nGOFLAGS=-b", "\n\n# \udc80\n"])
def test_what_was_there_comes_back(home: Home, content: str) -> None:
    home.foreign("")
    home.file.write_bytes(content.encode("utf-8", "surrogateescape"))
    home.file.chmod(0o640)
    home.mode.parent.mkdir()
    home.mode.write_text("on 2026-01-31\n")
    before = state_of(home.top)
    home.present(GOFLAGS="-mod=vendor", GOPROXY="off", GOTELEMETRY="local")
    assert home.file.stat().st_mode & 0o777 == 0o640
    home.present(GOFLAGS="-mod=mod", GOTELEMETRY="off")
    home.present(GOFLAGS="-mod=vendor")
    assert home.mode.read_text() == "on 2026-01-31\n"
    home.absent()
    assert state_of(home.top) == before


def test_others_settings_are_kept(home: Home) -> None:
    home.foreign()
    home.present(GOPROXY="off", GOFLAGS="-x")
    assert home.file.read_text() == FOREIGN.replace("-v", "-x") + "GOPROXY=off\n"
    # Somebody sets more, and one of ours.
    home.file.write_text(home.file.read_text().replace("GOPROXY=off", "GOPROXY=direct") + "GOVCS=*:off\n")
    made = home.absent()
    assert made.kept == ["GOPROXY"] and home.file.read_text() == FOREIGN + "GOPROXY=direct\nGOVCS=*:off\n"


def test_what_somebody_set_in_between_comes_back(home: Home) -> None:
    home.foreign()
    home.present(GOFLAGS="-x")
    home.file.write_text(FOREIGN.replace("-v", "-theirs"))
    home.present(GOFLAGS="-x")
    home.absent()
    assert home.file.read_text() == FOREIGN.replace("-v", "-theirs")


def test_what_is_so_already_is_not_ours(home: Home) -> None:
    home.foreign()
    assert not home.present(GOFLAGS="-v").changed
    home.present(GOFLAGS="-v", GOPROXY="off")
    home.absent()
    assert home.file.read_text() == FOREIGN


def test_a_file_that_others_use_by_now_stays(home: Home) -> None:
    home.present(GOPROXY="off")
    with home.file.open("a") as stream:
        stream.write("GOVCS=*:off\n")
    (home.file.parent / "telemetry").mkdir()
    home.absent()
    assert state_of(home.top).keys() == {".config", ".config/go", ".config/go/env", ".config/go/telemetry"}
    assert home.file.read_text() == "GOVCS=*:off\n"


def test_a_project(tmp_path: pathlib.Path) -> None:
    project = Home(tmp_path / "a project")
    project.top.mkdir()
    (project.top / ".envrc").write_text("layout go")
    before = state_of(project.top)
    options = Options(True, {"GOFLAGS": "-tags=x"}, project=str(project.top), direnv=True)
    project.run(options)
    assert (project.top / "go.env").read_text() == "GOFLAGS=-tags=x\n"
    assert (project.top / ".envrc").read_text() == f"layout go\nexport GOENV='{project.top}/go.env'\n"
    project.run(dataclasses.replace(options, direnv=False))
    assert (project.top / ".envrc").read_text() == "layout go"
    with pytest.raises(SpecInvalid, match="scope user"):
        project.run(dataclasses.replace(options, settings={"GOTELEMETRY": "off"}))
    project.run(dataclasses.replace(options, present=False))
    assert state_of(project.top) == before


def test_a_link_stays_one(home: Home) -> None:
    dotfiles = home.top / "dotfiles"
    dotfiles.write_text(FOREIGN)
    home.file.parent.mkdir(parents=True)
    home.file.symlink_to(dotfiles)
    before = state_of(home.top)
    home.present(GOPROXY="off")
    assert home.file.is_symlink() and dotfiles.read_text() == FOREIGN + "GOPROXY=off\n"
    home.absent()
    assert state_of(home.top) == before


class Killed(BaseException):
    pass


@pytest.mark.parametrize("present", [True, False])
def test_a_kill_at_any_step_leaves_all_that_is_needed(home: Home, monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    """Whatever a killed run did, the next one makes it right, and absent brings back what was there before all of them."""
    home.foreign()
    home.mode.parent.mkdir()
    before = state_of(home.top)
    steps = [0]

    def stepping(real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def step(*arguments: t.Any, **more: t.Any) -> t.Any:
            if steps[0] == 0:
                raise Killed
            steps[0] -= 1
            return real(*arguments, **more)

        return step

    for kill in range(12):
        steps[0] = 1000
        home.present(GOFLAGS="-first", GOPROXY="off", GOTELEMETRY="off")
        with monkeypatch.context() as patched:
            for name in ("rename", "unlink", "rmdir"):
                patched.setattr(os, name, stepping(getattr(os, name)))
            steps[0] = kill
            try:
                home.run(home.options(present, **({"GOFLAGS": "-second", "GOTELEMETRY": "local"} if present else {})))
                ended = True
            except Killed:
                ended = False
        steps[0] = 1000
        if kill % 2:
            home.present(GOFLAGS="-third", GOVCS="*:off")
            assert home.file.read_text().splitlines()[2:] == ["GOFLAGS=-third", "GOVCS=*:off"]
        made = home.absent()
        assert made.kept == [] and state_of(home.top) == before
        if ended:
            assert kill >= 3
            return
    raise AssertionError("it never ended")


def test_leftovers_of_a_kill_go(home: Home) -> None:
    home.foreign()
    left = home.file.parent / ".env.0123456789abcdef.tmp"
    left.write_text("half")
    home.present(GOPROXY="off")
    assert not left.exists()


def test_somebody_changes_the_file_meanwhile(home: Home) -> None:
    home.foreign()
    options = home.options(GOPROXY="off")
    made = goenv.plan(goenv.locate(options), options)
    home.file.write_text("GOVCS=*:off\n")
    with pytest.raises(HostRefused, match="changed meanwhile"):
        goenv.apply(made)
    assert home.file.read_text() == "GOVCS=*:off\n" and not (home.file.parent / RECORD).exists()


@pytest.mark.parametrize(
    "damage",
    [
        b"{",
        b"[" * 100_000,
        b"[]",
        b'{"schema": 2, "directories": [], "files": {}}',
        b'{"schema": 1, "directories": [], "files": {"env": {}}}',
        b'{"schema": 1, "directories": [], "files": {"env": {"existed": true, "newline": true, "settings": {"GOFLAGS": {"before": 1, "ours": []}}}}}',
    ],
    ids=["cut", "nested", "a list", "another schema", "a file of another form", "a setting of another form"],
)
def test_a_damaged_record_is_refused(home: Home, damage: bytes) -> None:
    home.present(GOPROXY="off")
    (home.file.parent / RECORD).write_bytes(damage)
    with pytest.raises(HostRefused) as caught:
        home.absent()
    assert caught.value.code == "state_damaged" and RECORD in caught.value.sentence()


def test_a_pipe_in_the_way_is_refused(home: Home) -> None:
    home.file.parent.mkdir(parents=True)
    os.mkfifo(home.file)
    with pytest.raises(HostRefused, match="is no file"):
        goenv.plan(goenv.locate(home.options()), home.options())


def test_where_go_looks(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home.top))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert goenv.locate(Options(True, {})).directory == str(home.top / ".config" / "go")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    assert goenv.locate(Options(True, {})).directory == "/elsewhere/go"
    me = accounts.account_of("")
    assert goenv.locate(Options(True, {}, user=me.name)).directory == os.path.join(me.home, ".config", "go")
    for options, message in (
        (Options(True, {}, config_dir="here"), "absolute"),
        (Options(True, {}, user="nobody-has-this-name"), "no account"),
        (Options(True, {}, project=str(home.top / "nothing")), "no directory"),
    ):
        with pytest.raises((SpecInvalid, HostRefused), match=message):
            goenv.locate(options)
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    with pytest.raises(HostRefused, match="would be here"):
        goenv.locate(Options(True, {}))


def test_a_newer_go_on_the_host_knows_more(home: Home) -> None:
    source = home.top.parent / "root" / "current" / "go" / "src" / "internal" / "cfg" / "cfg.go"
    source.parent.mkdir(parents=True)
    source.write_text("package cfg\n\nconst KnownEnv = `\n\tGOALIEN\n\tGOOS\n`\n")
    with pytest.raises(SpecInvalid, match="GOALIEN"):
        home.present(GOALIEN="1")
    home.run(dataclasses.replace(home.options(GOALIEN="1"), root=str(home.top.parent / "root")))
    assert home.file.read_text() == "GOALIEN=1\n"


def test_the_record_says_what_was(home: Home) -> None:
    home.foreign()
    home.present(GOFLAGS="-x", GOPROXY="off")
    record = json.loads((home.file.parent / RECORD).read_text())
    assert record["files"]["env"]["settings"] == {"GOFLAGS": {"before": "-v", "ours": ["-x"]}, "GOPROXY": {"before": None, "ours": ["off"]}}


@pytest.fixture
def open_to_all() -> t.Iterator[pathlib.Path]:
    """Not below pytest's own directory, which other users may not enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-goenv-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_root_goes_no_farther_than_the_user(open_to_all: pathlib.Path) -> None:
    """Links that a user has planted where root works for them lead to nothing that they couldn't do themselves."""
    account = accounts.account_of("nobody")
    if os.geteuid() != 0:
        with pytest.raises(HostRefused) as caught, accounts.acting_as(account):
            pass
        assert caught.value.code == "not_root"
        return
    config, secret, theirs = (open_to_all / name for name in ("config", "secret", "roots"))
    for path in (config, config / "go", theirs):
        path.mkdir()
    for path in (config, config / "go"):
        os.chown(path, account.uid, account.gid)
    secret.write_text("GOFLAGS=-secret\n")
    secret.chmod(0o600)
    (theirs / "env").write_text("GOFLAGS=-v\n")
    before = state_of(theirs)

    def run(**more: str) -> goenv.Place:
        options = Options(True, {"GOFLAGS": "-x"}, **(more or {"user": "nobody", "config_dir": str(config)}))
        place = goenv.locate(options)
        with accounts.acting_as(place.account):
            goenv.apply(goenv.plan(place, options))
        return place

    for link, target, refusal in (("go/env", secret, PermissionError), ("go/env", theirs / "env", HostRefused), ("go", theirs, HostRefused)):
        if link == "go":
            shutil.rmtree(config / "go")
        (config / link).symlink_to(target)
        with pytest.raises(refusal):
            run()
        assert os.geteuid() == 0
        assert not (config / "go" / goenv.RECORD).exists()
        (config / link).unlink()
    assert secret.read_text() == "GOFLAGS=-secret\n" and state_of(theirs) == before
    run()
    assert (config / "go" / "env").stat().st_uid == (config / "go" / goenv.RECORD).stat().st_uid == account.uid
    # A project below what others own isn't the place that it seems to be.
    (config / "project").symlink_to(theirs)
    with pytest.raises(HostRefused) as refused:
        run(project=str(config / "project"))
    assert refused.value.code == "not_safe" and state_of(theirs) == before
    (config / "real").mkdir()
    os.chown(config / "real", account.uid, account.gid)
    assert run(project=str(config / "real")).account.name == "nobody" and (config / "real" / "go.env").stat().st_uid == account.uid
    assert run(project=str(theirs)).account.uid == 0
    theirs.parent.chmod(0o777)
    with pytest.raises(HostRefused):
        run(project=str(theirs))
