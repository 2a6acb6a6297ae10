# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and values of settings, compared with what the go command at hand knows, takes and refuses."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
import subprocess

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._go import envnames

DOCUMENTED = {*envnames.NAMES, *envnames.NOT_BY_FILE, envnames.TELEMETRY}


@functools.lru_cache(maxsize=None)
def command() -> str:
    """The go command itself: what is on PATH may be a program that sets GOROOT for it."""
    return os.path.join(subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip(), "bin", "go")


def go(work: pathlib.Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), "GOTOOLCHAIN": "local", **env}
    return subprocess.run([command(), *arguments], env=environment, cwd=work, capture_output=True, text=True, check=False)


def goroot(work: pathlib.Path) -> str:
    return go(work, "env", "GOROOT").stdout.strip()


def test_these_are_the_names_that_go_knows(tmp_path: pathlib.Path) -> None:
    known = envnames.known_to(goroot(tmp_path))
    # GOWORK is in the list too, though go env -w refuses it; files can set it (see below).
    assert known - set(envnames.NOT_BY_FILE) == envnames.NAMES
    helped = re.findall(r"^\t([A-Z][A-Z0-9_]+(?:, [A-Z][A-Z0-9_]+)*)$", go(tmp_path, "help", "environment").stdout, re.MULTILINE)
    names = {name for line in helped for name in line.split(", ")}
    assert len(names) > 60 and names <= DOCUMENTED
    # GOGCCFLAGS and all that; what isn't Go's is left out.
    assert set(json.loads(go(tmp_path, "env", "-json").stdout)) <= DOCUMENTED


def test_what_go_refuses_to_set_is_refused(tmp_path: pathlib.Path) -> None:
    for name in sorted({*DOCUMENTED, "GOPROXI", "FOO"}):
        file = tmp_path / "env"
        file.unlink(missing_ok=True)
        value = {"GOOS": "linux", "GOARCH": "arm64"}.get(name, "")
        done = go(tmp_path, "env", "-w", f"{name}={value}", GOENV=str(file))
        refused = done.returncode != 0
        if name == "GOWORK":
            assert refused, done.stderr
        elif name != "GOROOT":
            # GOROOT can be set up to Go 1.26, and then breaks the go command.
            assert refused == (name not in envnames.NAMES), done.stderr


def test_a_file_can_set_gowork_but_not_telemetry(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "env"
    file.write_text("GOWORK=off\nGOTELEMETRY=on\nGOEXE=.exe\nGOROOT=/nowhere\n")
    (tmp_path / "go.work").write_text("go 1.26\n")
    assert go(tmp_path, "env", GOENV=str(file)).returncode != 0, "GOROOT breaks nothing any more"
    file.write_text(file.read_text().replace("GOROOT=/nowhere\n", ""))
    assert go(tmp_path, "env", "GOWORK", "GOTELEMETRY", "GOEXE", GOENV=str(file)).stdout == "off\nlocal\n\n"


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("GO111MODULE", "maybe", "off"),
        ("GOPATH", "go", "/a:/b"),
        ("GOPATH", "~/go", "/home/a/go"),
        ("GOMODCACHE", "cache", "/var/cache/go"),
        ("GOTMPDIR", "tmp", "/var/tmp"),
        ("CC", "../gcc", "gcc -m64"),
        ("CC", '"gcc', "'/a b/gcc' -m64"),
    ],
)
def test_values_that_go_refuses_are_refused(tmp_path: pathlib.Path, name: str, wrong: str, right: str) -> None:
    assert go(tmp_path, "env", "-w", f"{name}={wrong}").returncode != 0
    with pytest.raises(SpecInvalid, match=name):
        envnames.require({name: wrong})
    envnames.require({name: right})
    assert go(tmp_path, "env", "-w", f"{name}={right}").returncode == 0


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("GOFLAGS", "mod=vendor", "-mod=mod -trimpath"),
        ("GOFLAGS", "-", "--mod=mod"),
        ("GOFLAGS", "-mod mod", "'-tags=a b'"),
        ("GOTOOLCHAIN", "1.26.8", "go1.26.8+path"),
        ("GOTOOLCHAIN", "auto+go1.26.8", "local+auto"),
        ("GOTOOLCHAIN", "go1.26.8+local", "path"),
        ("GOPROXY", "none", "off"),
        ("GOPROXY", "/srv/proxy", "file:///srv/proxy,off"),
        ("GOPROXY", "ftp://go.example", "https://go.example|go.example:8080/x,direct"),
        ("GOSUMDB", "sum.example", "off"),
        ("GOSUMDB", "sum.golang.org https://sum.example more", "sum.golang.org https://sum.example"),
        ("GOVCS", "git", "example.com:git,*:off"),
        ("GOWORK", "../go.work", "off"),
        ("GOCACHE", "cache", "{work}/cache"),
    ],
)
def test_values_that_make_go_fail_are_refused(tmp_path: pathlib.Path, name: str, wrong: str, right: str) -> None:
    """go env -w takes these, and other commands fail then."""
    right = right.format(work=tmp_path)
    (tmp_path / "go.mod").write_text("module example.com/m\n\ngo 1.24\n\nrequire example.com/v v1.0.0\n")
    base = {"GOPROXY": "off", "GOSUMDB": "sum.golang.org", "GOVCS": "", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOMODCACHE": str(tmp_path / "modcache")}
    command = {"GOCACHE": ["build", "unsafe"], "GOVCS": ["list", "-m", "github.com/a/b@latest"]}.get(name, ["list", "-m", "example.com/v@latest"])
    if name == "GOVCS":
        base.update(GOPROXY="direct", GONOSUMDB="*")
    if name == "GOSUMDB":
        proxy = tmp_path / "proxy" / "example.com" / "v" / "@v"
        proxy.mkdir(parents=True)
        (proxy / "v1.0.0.mod").write_text("module example.com/v\n")
        (proxy / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
        base.update(GOPROXY=f"file://{tmp_path}/proxy")
        command = ["mod", "graph"]
    said = []
    for value in (wrong, right):
        done = subprocess.run(
            ["go", *command],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **base, name: value},
            capture_output=True,
            text=True,
            check=False,
        )
        said.append(done.stderr)
    complaint = {
        "GOFLAGS": r"parsing \$GOFLAGS|non-flag",
        "GOTOOLCHAIN": "invalid GOTOOLCHAIN",
        "GOPROXY": "invalid proxy URL|unsupported scheme|missing scheme|is not a|not supported",
        "GOSUMDB": "invalid GOSUMDB|malformed verifier",
        "GOVCS": "malformed entry in GOVCS",
        "GOWORK": "GOWORK",
        "GOCACHE": "GOCACHE",
    }[name]
    assert re.search(complaint, said[0]), said
    assert not re.search(complaint, said[1]), said
    with pytest.raises(SpecInvalid, match=name):
        envnames.require({name: wrong})
    envnames.require({name: right})


@pytest.mark.parametrize("value", ["a\nGOPROXY=direct", "a\0", "a\rb", "\udc80", "https://me:secret@go.example", "x https://token@go.example"])
def test_no_setting_can_be_that(value: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        envnames.require({"GOAUTH": value})
    assert "secret" not in caught.value.sentence() and "token" not in caught.value.sentence()


@pytest.mark.parametrize("name", ["GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE"])
def test_patterns_are_no_urls(name: str) -> None:
    for wrong in ("https://git.example", "a.example, b.example"):
        with pytest.raises(SpecInvalid, match=name):
            envnames.require({name: wrong})
    envnames.require({name: "*.example,git.example/x"})


def test_every_wrong_setting_is_named_with_what_helps() -> None:
    with pytest.raises(SpecInvalid) as caught:
        envnames.require({"GOPROXI": "off", "GOVERSION": "go1.2", "GODEBUG": "x=1", "CGO_ENABLED": "off", "GOPROXY": "off", "XYZ": ""}, telemetry="no")
    assert [entry["subject"] for entry in caught.value.details] == ["CGO_ENABLED", "GODEBUG", "GOPROXI", "GOVERSION", "XYZ"]
    said = caught.value.sentence()
    for part in ("do you mean GOPROXY?", "go env only reports it", "godebug lines of go.mod", "0, 1 (in quotes)", "go has no setting XYZ"):
        assert part in said
    with pytest.raises(SpecInvalid, match="for each user"):
        envnames.require({"GOTELEMETRY": "off"}, telemetry="for each user")
    envnames.require({"GOTELEMETRY": "off", "GOPROXY": "", "GOVCS": ""})


def test_a_newer_go_knows_more(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "src" / "internal" / "cfg" / "cfg.go"
    path.parent.mkdir(parents=True)
    source = pathlib.Path(goroot(tmp_path), "src", "internal", "cfg", "cfg.go").read_text()
    path.write_text(source.replace("\tGOAMD64\n", "\tGOALIEN\n\tGOAMD64\n"))
    asked = []

    def known() -> frozenset[str]:
        asked.append(True)
        return envnames.known_to(str(tmp_path))

    envnames.require({"GOFLAGS": ""}, known)
    assert not asked
    envnames.require({"GOALIEN": "1"}, known)
    with pytest.raises(SpecInvalid, match="GOALIEM"):
        envnames.require({"GOALIEM": "1"}, known)
    assert envnames.known_to(str(tmp_path / "nowhere")) == frozenset()
