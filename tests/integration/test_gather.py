# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project with a private module, a loose module and a tool: gathered, rehearsed, and used by a machine without any network."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import gather as gather_verb
from ansible_collections.airgap.golang.plugins.module_utils import rehearse as rehearse_verb
from ansible_collections.airgap.golang.plugins.module_utils._content import spec as specs
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.plugins.module_utils._go.h1 import zip_h1
from ansible_collections.airgap.golang.tests.support.gathering import (
    GO,
    STRINGER,
    Offline,
    Site,
    check_tree,
    config_modules,
    make_spec,
    path_project,
    sha256,
)
from ansible_collections.airgap.golang.tests.support.private_git import MODULE, VERSION, make_plant

# A module that the plant does not use, with requirements of its own.
COBRA = "github.com/spf13/cobra@v1.8.0"

BUILDS = [{"package": "./cmd/plantd", "output": "bin/plantd"}, {"package": "./cmd/plantctl", "output": "bin/plantctl"}]


@dataclasses.dataclass
class Carried:
    """A depot with one sealed generation."""

    depot: Depot
    plant: pathlib.Path
    spec: specs.Spec
    gathered: gather_verb.Outcome
    rehearsed: rehearse_verb.Outcome
    tree: str
    goroot: str


def plant_spec(plant: pathlib.Path) -> specs.Spec:
    return make_spec(projects=[path_project(plant, builds=BUILDS)], modules=[COBRA], tools=[STRINGER])


@pytest.fixture(scope="module")
def carried(connected: Site, tmp_path_factory: pytest.TempPathFactory) -> Carried:
    plant = make_plant(tmp_path_factory.mktemp("carried") / "plant")
    spec = plant_spec(plant)
    depot = connected.depot()
    gathered = connected.gather(depot, spec)
    rehearsed = connected.rehearse(depot)
    assert rehearsed.generation
    goroot = toolchain.directory(os.path.join(depot.path, "cache", "toolchains"), GO, rehearsed.generation.config["toolchains"][0]["platform"])
    return Carried(depot, plant, spec, gathered, rehearsed, depot.tree(rehearsed.generation.ref), goroot)


@pytest.fixture
def offline(carried: Carried, tmp_path: pathlib.Path) -> Offline:
    # Compiled packages are known by their contents, so sharing them proves no less.
    return Offline(tmp_path / "offline", carried.tree, carried.goroot, GONOSUMDB="git.corp.example", GOCACHE=f"{carried.depot.path}/cache/go-build")


def test_the_generation_is_sealed_and_whole(carried: Carried) -> None:
    generation = carried.rehearsed.generation
    assert generation and carried.gathered.changed and carried.rehearsed.changed
    assert (str(generation.ref), generation.ref.sealed, generation.config["seal"]["isolation"]) == ("000001", True, carried.rehearsed.isolation)
    assert carried.gathered.warnings == []
    assert set(carried.gathered.phases) == {"resolve", "fetch", "check", "store"}
    # Some versions have .info alone: go list names them, and no graph reads their go.mod.
    files = sum(1 for ext in ("zip", "mod", "info") for _file in pathlib.Path(carried.tree, "proxy").rglob(f"@v/*.{ext}"))
    assert files > sum(3 if entry["zip"] else 2 for entry in config_modules(carried.gathered).values())
    assert (carried.gathered.fetched["complete"], carried.gathered.fetched["files"]) == (True, files)
    assert os.listdir(os.path.join(carried.depot.path, "trees")) == ["000001"]
    assert os.listdir(carried.depot.staging) == []
    check_tree(carried.tree)


def test_the_private_module_is_carried_as_go_sum_knows_it(carried: Carried) -> None:
    sums = dict(line.rsplit(" ", 1) for line in (carried.plant / "go.sum").read_text().splitlines())
    entry = config_modules(carried.gathered)[(MODULE, VERSION)]
    assert (entry["h1"], entry["verified"], entry["public"]) == (sums[f"{MODULE} {VERSION}"], "go.sum", False)
    assert entry["required_by"] == ["project plant"]
    assert zip_h1(f"{carried.tree}/proxy/{MODULE}/@v/{VERSION}.zip") == entry["h1"]
    assert carried.gathered.generation and carried.gathered.generation.config["go"]["nosumdb"] == "git.corp.example"


def test_every_public_module_has_a_proved_record(carried: Carried) -> None:
    modules = config_modules(carried.gathered)
    assert [version for version, entry in modules.items() if not entry["public"]] == [(MODULE, VERSION)]
    assert {entry["verified"] for entry in modules.values()} == {"go.sum", "sumdb"}


def test_both_binaries_are_recorded_and_no_local_path_is(carried: Carried) -> None:
    generation = carried.rehearsed.generation
    assert generation
    recorded = {build["output"]: build["sha256"] for build in generation.config["projects"][0]["builds"]}
    assert recorded == {build["output"]: build["sha256"] for build in carried.rehearsed.builds}
    assert sorted(recorded) == ["bin/plantctl", "bin/plantd"] and all(len(digest) == 64 for digest in recorded.values())
    evidence = pathlib.Path(carried.tree, "evidence", "rehearsal.json").read_text()
    for document in (evidence, json.dumps(generation.config)):
        assert carried.depot.path not in document and str(carried.plant.parent) not in document


def test_the_vendored_source_gives_the_recorded_binary_anywhere(carried: Carried, tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "elsewhere"
    subprocess.run(["cp", "-a", f"{carried.tree}/projects/plant", copy], check=True)
    assert (copy / "vendor" / MODULE / "telemetry.go").is_file() and (copy / "internal" / "plant" / "machines.go").is_file()
    offline = Offline(tmp_path / "offline", "/nowhere", carried.goroot, GOFLAGS="")
    offline.go("build", "-mod=vendor", "-trimpath", "-buildvcs=false", "-o", str(tmp_path / "plantctl"), "./cmd/plantctl", cwd=copy)
    recorded = {build["output"]: build["sha256"] for build in carried.rehearsed.builds}
    assert sha256(tmp_path / "plantctl") == recorded["bin/plantctl"]
    assert "oven-2: running" in subprocess.run([tmp_path / "plantctl"], text=True, capture_output=True, check=True, timeout=60).stdout


def test_a_second_gather_changes_nothing_and_asks_for_nothing(carried: Carried, connected: Site) -> None:
    index = pathlib.Path(carried.depot.path, "index.json").read_bytes()
    before = len(connected.proxy.asked)
    outcome = connected.gather(carried.depot, carried.spec)
    assert (outcome.changed, outcome.fetched["files"], len(connected.proxy.asked)) == (False, 0, before)
    assert outcome.generation and outcome.generation.ref.sealed
    assert pathlib.Path(carried.depot.path, "index.json").read_bytes() == index
    again = connected.rehearse(carried.depot)
    assert (again.changed, again.builds) == (False, carried.rehearsed.builds)


def test_a_changed_source_is_a_second_generation_that_fetches_nothing(carried: Carried, connected: Site, tmp_path: pathlib.Path) -> None:
    depot = connected.branch(carried.depot)
    plant = make_plant(tmp_path / "plant")
    page = plant / "web" / "index.html"
    page.write_text(page.read_text().replace("Plant", "Works"))
    before = len(connected.proxy.zips())
    outcome = connected.gather(depot, plant_spec(plant))
    assert (outcome.changed, outcome.fetched["files"], len(connected.proxy.zips())) == (True, 0, before)
    assert outcome.generation and carried.gathered.generation
    assert str(outcome.generation.ref) == "000002-unsealed"
    layers = {layer.title: layer.digest for layer in outcome.generation.manifest.layers}
    changed = {title for title, digest in layers.items() if digest not in carried.gathered.generation.manifest.blobs()}
    assert changed == {"projects/plant.source.tar.gz"}
    sealed = connected.rehearse(depot)
    assert sealed.generation and os.readlink(os.path.join(depot.path, "current")) == "trees/000002"
    first = {build["output"]: build["sha256"] for build in carried.rehearsed.builds}
    second = {build["output"]: build["sha256"] for build in sealed.builds}
    assert (first["bin/plantctl"] == second["bin/plantctl"], first["bin/plantd"] == second["bin/plantd"]) == (True, False)


def test_another_depot_gives_the_same_module_blobs_and_binaries(carried: Carried, connected: Site) -> None:
    depot = connected.depot()
    spec = make_spec(projects=[path_project(carried.plant, builds=BUILDS)])
    outcome = connected.gather(depot, spec)
    rehearsed = connected.rehearse(depot)
    assert [build["sha256"] for build in rehearsed.builds] == [build["sha256"] for build in carried.rehearsed.builds]
    assert outcome.generation and carried.gathered.generation
    zips = {layer.digest for layer in outcome.generation.manifest.layers if layer.kind in ("module", "toolchain", "source", "vendor")}
    assert zips <= set(carried.gathered.generation.manifest.blobs())


def test_the_project_works_with_the_tree_as_its_proxy(carried: Carried, offline: Offline, tmp_path: pathlib.Path) -> None:
    plant = make_plant(tmp_path / "plant")
    offline.go("mod", "download", cwd=plant)
    assert offline.go("mod", "tidy", "-diff", cwd=plant) == ""
    assert f"{MODULE} {VERSION}" in offline.go("list", "-m", "all", cwd=plant)
    offline.go("build", "./...", cwd=plant)
    offline.go("mod", "verify", cwd=plant)


def test_a_new_module_that_imports_the_loose_one_tidies_and_builds(offline: Offline) -> None:
    fresh = offline.new_module("fresh", "github.com/spf13/cobra", "github.com/spf13/cobra/doc")
    offline.go("mod", "tidy", cwd=fresh)
    assert "github.com/spf13/cobra v1.8.0 h1:" in (fresh / "go.sum").read_text()
    offline.go("build", "./...", cwd=fresh)


def test_versions_and_latest_are_those_that_are_carried(offline: Offline) -> None:
    fresh = offline.new_module("latest", "github.com/google/uuid")
    assert offline.go("list", "-m", "-versions", "github.com/google/uuid", cwd=fresh) == "github.com/google/uuid v1.6.0\n"
    offline.go("get", "github.com/google/uuid@latest", cwd=fresh)
    assert "github.com/google/uuid v1.6.0" in (fresh / "go.mod").read_text()
    assert "v1.5.0" in offline.go("get", "github.com/google/uuid@v1.5.0", cwd=fresh, fails=True)


def test_the_tool_installs_by_version_and_by_latest(offline: Offline, tmp_path: pathlib.Path) -> None:
    for query in (STRINGER.rpartition("@")[2], "latest"):
        offline.go("install", f"{STRINGER.rpartition('@')[0]}@{query}")
        program = tmp_path / "offline" / "gopath" / "bin" / "stringer"
        assert program.is_file()
        program.unlink()
