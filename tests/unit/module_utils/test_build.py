# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build may ask for, and the environment that it gets."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._go.build import Build, build_environment

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
