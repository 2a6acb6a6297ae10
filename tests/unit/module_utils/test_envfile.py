# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of settings: read as the go command reads them, changed without a trace elsewhere."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._go.envfile import EnvFile, ModeFile

UGLY = "# GOPROXY=a\nGOFLAGS=-x=1\n GOPRIVATE=no\n\nGOFLAGS=-y='a b' # c\nGOINSECURE\nGONOPROXY=\nlower=1\nGOVCS=a=b"


def test_it_is_read_as_go_reads_it(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "env"
    file.write_text(UGLY)
    names = ["GOFLAGS", "GOPRIVATE", "GOINSECURE", "GONOPROXY", "GOVCS"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GOENV": str(file)}
    said = subprocess.run(["go", "env", *names], env=environment, capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[:-1] == [EnvFile().get(UGLY, name) or "" for name in names] == ["-y='a b' # c", "", "", "", "a=b"]
    assert EnvFile().get(UGLY, "GONOPROXY") == "" and EnvFile().get(UGLY, "GOPRIVATE") is None


def test_a_change_is_one_line() -> None:
    file = EnvFile()
    changed = file.put(UGLY, "GOFLAGS", "-z")
    assert changed == UGLY.replace("-y='a b' # c", "-z")
    assert file.put(changed, "GOFLAGS", "-y='a b' # c") == UGLY
    added = file.put(UGLY, "GOPROXY", "off")
    assert added == UGLY + "\nGOPROXY=off\n"
    assert file.put(added, "GOPROXY", None) == UGLY + "\n"
    assert file.put("", "GOPROXY", "off") == "GOPROXY=off\n" and file.put("GOPROXY=off\n", "GOPROXY", None) == ""
    assert file.get(file.put(UGLY, "GOFLAGS", None), "GOFLAGS") is None


def test_lines_of_a_shell() -> None:
    file = EnvFile("export ")
    content = "use go\nGOENV=/no\n"
    assert file.get(content, "GOENV") is None
    assert file.put(content, "GOENV", "/yes") == content + "export GOENV=/yes\n"


@pytest.mark.parametrize(("content", "value"), [("", None), ("off 2026-01-31", "off 2026-01-31"), ("on\n", "on\n")])
def test_the_telemetry_mode(content: str, value: str) -> None:
    file = ModeFile()
    assert file.get(content, "GOTELEMETRY") == value
    assert file.put("local", "GOTELEMETRY", value) == content
    assert file.same("off 2026-01-31", "off 2026-02-01") and file.same("off\n", "off 2026-02-01") and not file.same("on 2026-01-31", "off 2026-01-31")
