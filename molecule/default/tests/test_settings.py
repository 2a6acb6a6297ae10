# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever calls go on a host, and however: the settings are ours, also for the toolchain that it switches to."""

from __future__ import annotations

import json
import typing as t

import pytest

GO = "/usr/local/bin/go"
ROOT = "/opt/airgap-golang"
CARRIED = ("1.26.8", "1.27.3")
SETTINGS = {
    "GOPROXY": f"file://{ROOT}/current/proxy",
    "GOMODCACHE": f"{ROOT}/modcache",
    "GOSUMDB": "sum.golang.org",
    "GOTOOLCHAIN": "auto",
}


def test_settings(call: t.Callable[[str], str]) -> None:
    assert json.loads(call(f"{GO} env -json {' '.join(SETTINGS)}")) == SETTINGS


@pytest.mark.parametrize("version", CARRIED)
def test_settings_after_a_switch_that_was_asked_for(call: t.Callable[[str], str], version: str) -> None:
    found = json.loads(call(f"export GOTOOLCHAIN=go{version}; {GO} env -json GOVERSION {' '.join(SETTINGS)}"))
    assert found == dict(SETTINGS, GOVERSION=f"go{version}", GOTOOLCHAIN=f"go{version}")


def test_settings_after_a_switch_that_go_mod_asks_for(call: t.Callable[[str], str]) -> None:
    newest = CARRIED[-1]
    # No command but the shell's own and go: one of the callers has no PATH.
    script = f"""
        dir=/tmp/switch-$$ && /bin/mkdir $dir && cd $dir
        echo 'module switch.example' >go.mod && echo 'go {newest}' >>go.mod
        {GO} env -json GOVERSION {" ".join(SETTINGS)}; status=$?
        /bin/rm -r $dir; exit $status
    """
    assert json.loads(call(script)) == dict(SETTINGS, GOVERSION=f"go{newest}")


def test_go_is_found_by_name_without_a_login_shell(builder: t.Any) -> None:
    assert builder.check_output("command -v go gofmt").split() == [GO, f"{GO}fmt"]


def test_gofmt(builder: t.Any) -> None:
    assert builder.check_output("printf 'package  x\\n' | gofmt") == "package x"
