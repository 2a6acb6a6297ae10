# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests share: one connected side, so that a toolchain is fetched and the standard library compiled once; depots that receive."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import signature
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.tests.support.gathering import Caddy, Offline, Site, module_project
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy
from ansible_collections.airgap.golang.tests.support.private_git import make_plant, make_private_git
from ansible_collections.airgap.golang.tests.support.small_depot import UUID, Composer, SmallSite, write_bundle


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


@pytest.fixture
def proxy(connected: Site) -> t.Iterator[ModuleProxy]:
    """A proxy of a test's own, to lie with, in front of the connected side's."""
    with ModuleProxy(connected.directory / "answers") as own:
        yield own


@pytest.fixture
def plant(tmp_path: pathlib.Path) -> pathlib.Path:
    """A project that needs the private module."""
    return make_plant(tmp_path / "plant")


@pytest.fixture(scope="session")
def caddy(connected: Site) -> Caddy:
    """Caddy, gathered from this machine's own proxy and rehearsed; for whatever wants to try itself on something big."""
    depot = connected.depot()
    project = module_project("github.com/caddyserver/caddy/v2@v2.11.9", "caddy", scope="all", builds=[{"package": "./cmd/caddy", "output": "bin/caddy"}])
    process = connected.start(depot, {"projects": [project], "toolchains": []}, goproxy=connected.environment["GOPROXY"])
    out, said = process.communicate(timeout=1800)
    assert process.returncode == 0, said
    rehearsed = connected.rehearse(depot)
    assert rehearsed.generation
    (carried,) = rehearsed.generation.config["toolchains"]
    goroot = toolchain.directory(os.path.join(depot.path, "cache", "toolchains"), carried["version"], carried["platform"])
    return Caddy(depot, json.loads(out), rehearsed, depot.tree(rehearsed.generation.ref), goroot)


@pytest.fixture
def depot(small_site: SmallSite, tmp_path: pathlib.Path) -> Depot:
    """An offline depot that holds another generation already."""
    depot = Depot(str(tmp_path / "offline"))
    composer = Composer(depot, tmp_path / "scratch")
    composer.admit(composer.compose(9, [], files={"a.txt": b"held before"}))
    return depot


@pytest.fixture
def forge(small_site: SmallSite, tmp_path: pathlib.Path) -> t.Callable[..., pathlib.Path]:
    """Makes signed bundles whose insides lie, by somebody who has the key."""

    def make(
        number: int = 1,
        edit_config: t.Callable[[dict[str, t.Any]], None] = lambda config: None,
        edit_layers: t.Callable[[Composer, list[oci.Layer]], None] = lambda composer, layers: None,
        key: t.Optional[pathlib.Path] = small_site.key,
        **more: t.Any,
    ) -> pathlib.Path:
        composer = Composer(Depot(str(tmp_path / "forge")), tmp_path / "forge-scratch", edit_config)
        composer.edit_layers = functools.partial(edit_layers, composer)
        composed = composer.compose(number, more.pop("modules", [small_site.modules[UUID]]), **more)
        return write_bundle(composer.depot, composed.generation, tmp_path / "forged.tar", str(key or ""))

    return make


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """ssh-keygen is asked once about each sums and signature: most flips are elsewhere, and its answer is the same each time."""
    monkeypatch.setattr(signature, "verify", functools.lru_cache(maxsize=None)(signature.verify))


@pytest.fixture(scope="session")
def caddy_program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A caddy that runs: the one that AIRGAP_GOLANG_CADDY names, else built from the vendored sources of ``caddy``, whose rehearsal
    left the compiled packages."""
    named = os.environ.get("AIRGAP_GOLANG_CADDY")
    if named:
        return pathlib.Path(named)
    gathered: Caddy = request.getfixturevalue("caddy")
    source = tmp_path_factory.mktemp("caddy")
    subprocess.run(["cp", "-a", os.path.join(gathered.tree, "projects", "caddy", "."), source / "src"], check=True)
    offline = Offline(source / "offline", gathered.tree, gathered.goroot, GOCACHE=os.path.join(gathered.depot.path, "cache", "go-build"))
    offline.go("build", "-mod=vendor", "-trimpath", "-buildvcs=false", "-o", str(source / "caddy"), "./cmd/caddy", cwd=source / "src")
    return source / "caddy"
