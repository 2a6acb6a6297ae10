# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Toolchains: Go's order of versions, what a go.mod asks for, what of it is chosen, and which files run."""

from __future__ import annotations

import os
import pathlib
import platform
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain


def test_versions_sort_as_go_sorts_them() -> None:
    ordered = ["1.20", "1.21", "1.21beta1", "1.21rc1", "1.21rc2", "1.21.0", "1.21.1", "1.21.10", "1.22", "1.26.8", "go1.27.0"]
    assert sorted(reversed(ordered), key=toolchain.version_key) == ordered
    assert toolchain.version_key("1.26.8 X:nocoverageredesign") == toolchain.version_key("go1.26.8")


@pytest.mark.parametrize("version", ["", "go", "1", "latest", "1.2.3.4", "1.26.8x"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="isn't a Go version"):
        toolchain.version_key(version)


@pytest.mark.parametrize(
    ("document", "asked"),
    [
        ({}, ""),
        ({"Go": "1.16"}, ""),
        ({"Go": "1.20.5"}, ""),
        ({"Go": "1.21"}, "1.21.0"),
        ({"Go": "1.26.0"}, "1.26.0"),
        ({"Go": "1.25", "Toolchain": "go1.26.8"}, "1.26.8"),
        ({"Go": "1.26.8", "Toolchain": "go1.24.0"}, "1.26.8"),
        ({"Go": "1.25.0", "Toolchain": "default"}, "1.25.0"),
        ({"Go": "1.25.0", "Toolchain": "go1.26.3-custom"}, "1.26.3"),
        ({"Go": "1.27rc1"}, "1.27rc1"),
    ],
)
def test_what_a_go_mod_asks_for(document: dict[str, str], asked: str) -> None:
    assert toolchain.asked_by(document) == asked


@pytest.mark.parametrize(
    ("asked", "carried", "chosen"),
    [
        ("", ["1.26.8", "1.27.3"], "1.27.3"),
        ("1.26.0", ["1.27.3", "1.26.8"], "1.26.8"),
        ("1.26.9", ["1.27.3", "1.26.8"], "1.27.3"),
        ("1.28.0", ["1.27.3", "1.26.8"], ""),
        ("", [], ""),
    ],
)
def test_the_lowest_that_will_do_is_chosen(asked: str, carried: list[str], chosen: str) -> None:
    assert toolchain.choose(asked, carried) == chosen


@pytest.mark.parametrize(
    ("named", "asked", "carried"),
    [
        # The spec's word, and always one that runs here.
        ({"1.26.8": ("linux/arm64",)}, {"project p": "1.26.0"}, [("1.26.8", "linux/amd64"), ("1.26.8", "linux/arm64")]),
        # Left out: what the projects ask for, and not what tools do.
        ({}, {"project p": "1.26.0", "project q": "1.25.1", "tool t": "1.25.0"}, [("1.25.1", "linux/amd64"), ("1.26.0", "linux/amd64")]),
        ({}, {"module m": "1.25.0"}, [("1.25.0", "linux/amd64")]),
        # Who asks for nothing gets the control node's own.
        ({}, {"project p": ""}, [("1.24.4", "linux/amd64")]),
        ({}, {}, []),
    ],
)
def test_which_toolchains_are_carried(named: dict[str, t.Sequence[str]], asked: dict[str, str], carried: list[tuple[str, str]]) -> None:
    assert toolchain.to_carry(named, asked, {"linux/amd64"}, "1.24.4", "linux/amd64") == carried


def test_builds_platforms_come_along() -> None:
    assert toolchain.to_carry({}, {"project p": "1.26.0"}, {"darwin/arm64"}, "1.24.4", "linux/amd64") == [("1.26.0", "darwin/arm64"), ("1.26.0", "linux/amd64")]


def test_a_tool_that_asks_for_more_than_the_projects_is_refused() -> None:
    with pytest.raises(SpecInvalid) as caught:
        toolchain.to_carry({}, {"project p": "1.25.0", "tool t": "1.26.0"}, {"linux/amd64"}, "1.24.4", "linux/amd64")
    assert (caught.value.code, caught.value.subject, caught.value.expected, caught.value.found) == (
        "toolchain_too_old",
        "tool t",
        "go1.26.0 or newer",
        "go1.25.0",
    )


def test_names() -> None:
    assert toolchain.module_version("1.26.8", "linux/amd64") == "v0.0.1-go1.26.8.linux-amd64"
    assert toolchain.directory("/cache", "1.26.8", "linux/amd64") == "/cache/golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64"


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("ARMv8l", "arm"), ("riscv64", "riscv64"), ("s390x", "s390x")])
def test_machines_have_gos_names(monkeypatch: pytest.MonkeyPatch, machine: str, arch: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert toolchain.host_platform() == f"linux/{arch}"


def test_a_machine_without_go_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "alpha")
    with pytest.raises(HostRefused, match="Go has no toolchain for alpha"):
        toolchain.host_platform()


def test_programs_and_only_those_become_executable(tmp_path: pathlib.Path) -> None:
    expected = {"bin/go": True, "pkg/tool/linux_amd64/compile": True, "lib/wasm/go_js_wasm_exec": True, "lib/time/zoneinfo.zip": False, "src/bin/x.go": False}
    for name in expected:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644)
    toolchain.make_executable(str(tmp_path))
    assert {name: os.access(tmp_path / name, os.X_OK) for name in expected} == expected
