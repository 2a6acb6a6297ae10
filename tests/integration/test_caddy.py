# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project of the size that people have: 220 module zips and 500 go.mod files more, from this machine's own proxy."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

from ansible_collections.airgap.golang.tests.support.gathering import Caddy, Offline, check_tree


def test_it_is_gathered_whole(caddy: Caddy) -> None:
    generation = caddy.gathered["generation"]
    assert generation["modules"] > 200 and generation["gomod_only"] > 100
    assert caddy.gathered["warnings"] == []
    check_tree(caddy.tree)


def test_memory_does_not_grow_with_it(caddy: Caddy) -> None:
    assert caddy.gathered["peak_kib"] <= 150 * 1024, caddy.gathered


def test_its_rehearsal_sealed_it(caddy: Caddy) -> None:
    (build,) = caddy.rehearsed.builds
    assert caddy.rehearsed.generation and caddy.rehearsed.generation.ref.sealed
    assert (build["output"], len(build["sha256"])) == ("bin/caddy", 64) and build["size"] > 10_000_000


def test_the_tree_serves_the_project_without_a_network(caddy: Caddy, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "caddy"
    subprocess.run(["cp", "-a", os.path.join(caddy.tree, "projects", "caddy"), source], check=True)
    subprocess.run(["rm", "-rf", source / "vendor"], check=True)
    offline = Offline(tmp_path / "offline", caddy.tree, caddy.goroot, GOCACHE=os.path.join(caddy.depot.path, "cache", "go-build"))
    offline.go("mod", "download", cwd=source)
    assert offline.go("mod", "tidy", "-diff", cwd=source) == ""
    listed = json.loads(offline.go("list", "-m", "-json", "go.uber.org/zap", cwd=source))
    assert listed["Path"] == "go.uber.org/zap"
    assert len(offline.go("list", "-m", "all", cwd=source).splitlines()) > 200
