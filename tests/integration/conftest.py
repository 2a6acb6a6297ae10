# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests that gather share: one connected side, so that a toolchain is fetched and the standard library compiled once."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.tests.support.gathering import Caddy, Site, module_project
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy
from ansible_collections.airgap.golang.tests.support.private_git import make_private_git


@pytest.fixture(scope="session")
def connected(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    """A connected control node whose git and go know the private module (see private_git)."""
    directory = tmp_path_factory.mktemp("connected")
    environment = make_private_git(directory / "git")
    goprivate = environment.pop("GOPRIVATE")
    (directory / "answers").mkdir()
    with ModuleProxy(directory / "answers") as proxy:
        yield Site(directory, proxy, environment, goprivate)
    subprocess.run(["rm", "-rf", directory], check=True)


@pytest.fixture(scope="session")
def caddy(connected: Site) -> Caddy:
    """Caddy, gathered from this machine's own proxy and rehearsed; for whatever wants to try itself on something big."""
    depot = connected.depot()
    project = module_project("github.com/caddyserver/caddy/v2@v2.11.9", "caddy", builds=[{"package": "./cmd/caddy", "output": "bin/caddy"}])
    process = connected.start(depot, {"projects": [project], "toolchains": []}, goproxy=connected.environment["GOPROXY"])
    out, said = process.communicate(timeout=1800)
    assert process.returncode == 0, said
    rehearsed = connected.rehearse(depot)
    assert rehearsed.generation
    (carried,) = rehearsed.generation.config["toolchains"]
    goroot = toolchain.directory(os.path.join(depot.path, "cache", "toolchains"), carried["version"], carried["platform"])
    return Caddy(depot, json.loads(out), rehearsed, depot.tree(rehearsed.generation.ref), goroot)
