# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scope promises works without a network, and what it doesn't promise isn't carried; workspaces, tools and toolchains alike."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import gather as gather_verb
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import BuildFailed, CommandFailed, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.tests.support.gathering import (
    GO,
    STRINGER,
    UUID,
    Offline,
    Site,
    check_tree,
    config_modules,
    make_spec,
    module_project,
    path_project,
)
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy, published
from ansible_collections.airgap.golang.tests.support.private_git import FIXTURES

NEWER_GO = "1.27.3"

BUILD = {"github.com/spf13/cobra@v1.8.0", "github.com/spf13/pflag@v1.0.5", "gopkg.in/yaml.v3@v3.0.1"}
# mousetrap is for Windows; check.v1 is what yaml's own tests need.
TEST = BUILD | {"github.com/google/go-cmp@v0.6.0", "github.com/inconshreveable/mousetrap@v1.1.0"}
ALL = TEST | {"gopkg.in/check.v1@v0.0.0-20161208181325-20d25e280405"}


@pytest.fixture
def depot(connected: Site) -> Depot:
    return connected.depot()


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    shutil.copytree(FIXTURES / "projects" / "scopes", tmp_path / "scopes")
    return tmp_path / "scopes"


def zips(outcome: gather_verb.Outcome) -> set[str]:
    """path@version of what is carried with a zip, but for toolchains."""
    return {f"{path}@{version}" for (path, version), entry in config_modules(outcome).items() if entry["zip"] and path != toolchain.MODULE}


def offline(connected: Site, depot: Depot, tmp_path: pathlib.Path, version: str = GO, **settings: str) -> Offline:
    """A machine that has what the depot's newest generation has, beside a Go of ``version``; compiled packages are shared."""
    goroot = toolchain.directory(os.path.join(depot.path, "cache", "toolchains"), version, toolchain.host_platform())
    return Offline(tmp_path / "offline", os.path.join(depot.path, "current"), goroot, GOCACHE=f"{depot.path}/cache/go-build", **settings)


def write(directory: pathlib.Path, files: t.Mapping[str, str]) -> pathlib.Path:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(content)
    return directory


def test_build_carries_what_builds_need(connected: Site, depot: Depot, project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    outcome = connected.gather(depot, make_spec(projects=[path_project(project, scope="build")]))
    assert zips(outcome) == BUILD
    assert [build["output"] for build in connected.rehearse(depot).builds] == ["bin/plant"]
    machine = offline(connected, depot, tmp_path)
    machine.go("build", "-o", str(tmp_path / "out"), ".", cwd=project)
    machine.go("list", "-m", "all", cwd=project)
    assert "go-cmp" in machine.go("vet", "./...", cwd=project, fails=True)
    vendored = pathlib.Path(depot.path, "current", "projects", "plant")
    machine.go("build", "-mod=vendor", "-o", str(tmp_path / "out"), ".", cwd=vendored)


def test_build_for_two_platforms_carries_both(connected: Site, depot: Depot, project: pathlib.Path) -> None:
    platforms = ["linux/amd64", "windows/amd64"]
    outcome = connected.gather(depot, make_spec(projects=[path_project(project, scope="build", builds=[{"output": "bin/{os}", "platforms": platforms}])]))
    assert zips(outcome) == BUILD | {"github.com/inconshreveable/mousetrap@v1.1.0"}
    assert [build["output"] for build in connected.rehearse(depot).builds] == ["bin/linux", "bin/windows"]
    # Builds that nobody wrote down need no less.
    other = connected.branch(depot)
    assert zips(connected.gather(other, make_spec(projects=[path_project(project, scope="build", platforms=platforms)]))) == zips(outcome)
    assert sorted(build["platform"] for build in connected.rehearse(other).builds) == platforms


def test_a_published_projects_packages_are_looked_at_where_that_is_needed(connected: Site, depot: Depot) -> None:
    """Of a module's zip what is required comes first; the scope build, and the search for commands, need all of it."""
    outcome = connected.gather(depot, make_spec(projects=[module_project("mvdan.cc/gofumpt@v0.7.0", "gofumpt", scope="build")]))
    needed = {"github.com/google/go-cmp@v0.6.0", "golang.org/x/mod@v0.14.0", "golang.org/x/sync@v0.6.0", "golang.org/x/tools@v0.17.0"}
    # Its scripts are tests, so that go-internal isn't there.
    assert zips(outcome) == needed | {"mvdan.cc/gofumpt@v0.7.0"}
    assert [build["output"] for build in connected.rehearse(depot).builds] == ["bin/gofumpt"]


def test_test_is_the_default_and_carries_what_the_projects_own_tests_need(
    connected: Site, depot: Depot, project: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    outcome = connected.gather(depot, make_spec(projects=[path_project(project)]))
    assert zips(outcome) == TEST
    connected.rehearse(depot)
    machine = offline(connected, depot, tmp_path)
    for command in ("build ./...", "vet ./...", "test ./...", "mod download", "mod verify", "mod graph", "list -m all", "list -m -u all", "mod vendor"):
        machine.go(*command.split(), cwd=project)
    shutil.rmtree(project / "vendor")
    assert "check.v1" in machine.go("mod", "tidy", cwd=project, fails=True)


def test_all_carries_what_tidy_and_the_tests_of_dependencies_need(connected: Site, depot: Depot, project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    outcome = connected.gather(depot, make_spec(projects=[path_project(project, scope="all", run_tests=True)]))
    assert zips(outcome) == ALL
    connected.rehearse(depot)
    machine = offline(connected, depot, tmp_path)
    for command in ("mod tidy -diff", "mod why -m gopkg.in/yaml.v3", "mod why gopkg.in/check.v1", "test gopkg.in/yaml.v3"):
        machine.go(*command.split(), cwd=project)
    # What the lists say is what is there, so queries end in versions that can be had.
    assert machine.go("list", "-m", "-versions", "github.com/google/go-cmp", cwd=project) == "github.com/google/go-cmp v0.6.0\n"
    machine.go("get", "-u", "./...", cwd=project)
    assert machine.go("mod", "tidy", "-diff", cwd=project) == ""


def test_tests_are_run_where_the_spec_says_so(connected: Site, depot: Depot, project: pathlib.Path) -> None:
    (project / "main_test.go").write_text('package main\n\nimport "testing"\n\nfunc TestBroken(t *testing.T) { t.Fatal("broken on purpose") }\n')
    # go-cmp isn't imported any more: with the scope test that's no fault.
    connected.gather(depot, make_spec(projects=[path_project(project, run_tests=True)]))
    with pytest.raises(CommandFailed, match="broken on purpose"):
        connected.rehearse(depot)
    other = connected.branch(depot)
    connected.gather(other, make_spec(projects=[path_project(project)]))
    assert connected.rehearse(other).changed


def test_tools_of_a_go_mod_run_offline(connected: Site, depot: Depot, tmp_path: pathlib.Path) -> None:
    """go.mod's tool lines bring modules of their own, and go tool builds them on the host."""
    project = write(tmp_path / "tooled", {"go.mod": "module tooled.example/tooled\n\ngo 1.26.0\n", "tooled.go": "package tooled\n"})
    environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    subprocess.run(["go", "get", "-tool", STRINGER], cwd=project, check=True, env=environment, capture_output=True)
    subprocess.run(["go", "mod", "tidy"], cwd=project, check=True, env=environment, capture_output=True)
    for scope in ("build", "test"):
        own = connected.branch(depot) if depot.index() else depot
        connected.gather(own, make_spec(projects=[path_project(project, scope=scope)]))
        connected.rehearse(own)
        machine = offline(connected, own, tmp_path / scope)
        assert "cmd/stringer" in machine.go("tool", cwd=project)
        machine.go("tool", "stringer", "-h", cwd=project)


def test_a_workspace_with_replaces_works_as_a_whole(connected: Site, depot: Depot, tmp_path: pathlib.Path) -> None:
    """Two modules and a third that go.work replaces; versions are those that the workspace selects, and go.work.sum has their sums."""
    work = write(
        tmp_path / "work",
        {
            "go.work": "go 1.26.0\n\nuse (\n\t./app\n\t./lib\n)\n\nreplace forked.example/quiet => ./quiet\n",
            "app/go.mod": "module app.example/app\n\ngo 1.26.0\n\nrequire (\n\tforked.example/quiet v1.0.0\n\tgithub.com/spf13/pflag v1.0.3\n)\n",
            "app/main.go": 'package main\n\nimport (\n\t"forked.example/quiet"\n\t"github.com/spf13/pflag"\n\t"lib.example/lib"\n)\n\n'
            "func main() { quiet.Be(); pflag.Parse(); lib.Use() }\n",
            "app/main_test.go": 'package main\n\nimport "testing"\n\nfunc TestMain2(t *testing.T) { main() }\n',
            "lib/go.mod": "module lib.example/lib\n\ngo 1.26.0\n\nrequire github.com/spf13/pflag v1.0.5\n",
            "lib/lib.go": 'package lib\n\nimport "github.com/spf13/pflag"\n\n// Use uses it.\nfunc Use() { pflag.Usage = nil }\n',
            "quiet/go.mod": "module forked.example/quiet\n\ngo 1.26.0\n",
            "quiet/quiet.go": "package quiet\n\n// Be is.\nfunc Be() {}\n",
        },
    )
    environment = {**os.environ, "GOFLAGS": "", "GOPATH": str(tmp_path / "gopath"), "GOWORK": str(work / "go.work")}
    (work / "lib" / "go.sum").write_text("")
    subprocess.run(["go", "mod", "tidy"], cwd=work / "lib", check=True, env={**environment, "GOWORK": "off"}, capture_output=True)
    subprocess.run(["go", "list", "-deps", "-test", "./app/...", "./lib/..."], cwd=work, check=True, env=environment, capture_output=True)
    subprocess.run(["chmod", "-R", "u+w", tmp_path / "gopath"], check=True)
    outcome = connected.gather(depot, make_spec(projects=[path_project(work, "work")]))
    assert zips(outcome) == {"github.com/spf13/pflag@v1.0.5"}
    assert [build["output"] for build in connected.rehearse(depot).builds] == ["bin/app"]
    machine = offline(connected, depot, tmp_path, GOWORK="auto", GOFLAGS="-modcacherw")
    for command in ("build ./app ./lib", "vet ./app/... ./lib/...", "test ./app/...", "list -m all", "work sync", "work vendor"):
        machine.go(*command.split(), cwd=work)
    vendored = pathlib.Path(depot.path, "current", "projects", "work")
    assert (vendored / "vendor" / "modules.txt").read_text().startswith("## workspace\n")


def test_a_workspaces_source_is_carried_as_it_is(connected: Site, depot: Depot, tmp_path: pathlib.Path) -> None:
    """Whatever -mod says, go writes a go.work.sum that isn't there: it's in no layer, and not in the tree."""
    files = {
        "go.work": "go 1.26.0\n\nuse (\n\t./app\n\t./lib\n)\n",
        "app/go.mod": "module app.example/app\n\ngo 1.26.0\n\nrequire github.com/spf13/cobra v1.8.0\n",
        "app/main.go": 'package main\n\nimport _ "github.com/spf13/cobra"\n\nfunc main() {}\n',
        "lib/go.mod": "module lib.example/lib\n\ngo 1.26.0\n\nrequire github.com/spf13/pflag v1.0.6\n",
        "lib/lib.go": 'package lib\n\nimport _ "github.com/spf13/pflag"\n',
    }
    work = write(tmp_path / "work", files)
    environment = {**os.environ, "GOFLAGS": "-modcacherw", "GOPATH": str(tmp_path / "gopath"), "GOWORK": "off"}
    # The other has no go.sum of its own.
    subprocess.run(["go", "mod", "tidy"], cwd=work / "lib", check=True, env=environment, capture_output=True)
    written = work / "go.work.sum"
    subprocess.run(["go", "list", "-m", "all"], cwd=work, check=True, env={**environment, "GOWORK": str(work / "go.work")}, capture_output=True)
    assert written.exists(), "go has nothing to write: this test shows nothing"
    written.unlink()
    outcome = connected.gather(depot, make_spec(projects=[path_project(work, "work")]))
    assert outcome.generation
    tree = pathlib.Path(depot.tree(outcome.generation.ref), "projects", "work")
    assert {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()} == {*files, "lib/go.sum"}
    check_tree(depot.tree(outcome.generation.ref))


@pytest.fixture
def newer(connected: Site, tmp_path: pathlib.Path) -> t.Iterator[Site]:
    """A site whose proxy has a module for an old Go that requires one for a newer Go than this site's; no database knows them."""
    (tmp_path / "config" / "go").mkdir(parents=True)
    (tmp_path / "config" / "go" / "env").write_text("GONOSUMDB=*.example\n")
    with ModuleProxy(connected.directory / "answers") as proxy:
        site = dataclasses.replace(connected, proxy=proxy, goprivate="", environment={**connected.environment, "XDG_CONFIG_HOME": str(tmp_path / "config")})
        proxy.answers.update(published("b.example/b", "v1.0.0", {"go.mod": f"module b.example/b\n\ngo {NEWER_GO}\n", "x.go": "package b\n"}))
        gomod = "module a.example/a\n\ngo 1.20\n\nrequire b.example/b v1.0.0\n"
        proxy.answers.update(published("a.example/a", "v1.0.0", {"go.mod": gomod, "x.go": 'package a\n\nimport _ "b.example/b"\n'}))
        yield site


def test_a_dependencys_go_line_brings_its_toolchain(newer: Site, depot: Depot) -> None:
    outcome = newer.gather(depot, make_spec(toolchains=[], modules=["a.example/a@v1.0.0"]))
    assert outcome.generation
    assert NEWER_GO in [entry["version"] for entry in outcome.generation.config["toolchains"]]
    assert newer.rehearse(depot).changed


def test_a_dependency_that_asks_for_more_than_is_named_is_refused(newer: Site, depot: Depot) -> None:
    with pytest.raises(SpecInvalid) as caught:
        newer.gather(depot, make_spec(modules=["a.example/a@v1.0.0"]))
    assert (caught.value.code, caught.value.expected, caught.value.found) == ("toolchain_too_old", f"go{NEWER_GO} or newer", f"go{GO}")


def test_go_switches_to_a_carried_toolchain_offline(connected: Site, depot: Depot, tmp_path: pathlib.Path) -> None:
    """The toolchain line of a project that was written on the offline side decides, and the checksum database vouches for it."""
    connected.gather(depot, make_spec(toolchains=[{"version": GO}, {"version": NEWER_GO}], modules=[UUID]))
    connected.rehearse(depot)
    gomod = f"module own.example/own\n\ngo 1.26.0\n\ntoolchain go{NEWER_GO}\n"
    project = write(tmp_path / "own", {"go.mod": gomod, "main.go": "package main\n\nfunc main() {}\n"})
    goroot = pathlib.Path(subprocess.run(["go", "env", "GOROOT"], text=True, capture_output=True, check=True, timeout=60).stdout.strip())
    machine = Offline(tmp_path / "offline", os.path.join(depot.path, "current"), str(goroot), GOTOOLCHAIN="auto", GOCACHE=f"{depot.path}/cache/go-build")
    assert machine.go("version", cwd=project).split()[2] == f"go{NEWER_GO}"
    machine.go("build", "-o", str(tmp_path / "out"), ".", cwd=project)


def test_a_loose_modules_closure_is_as_wide_as_asked(connected: Site, depot: Depot) -> None:
    modules = [
        {"module": "rsc.io/quote@v1.5.2", "closure": "itself"},
        {"module": "rsc.io/sampler@v1.3.0", "closure": "gomod"},
        {"module": "github.com/spf13/cobra@v1.8.0", "beside": ["github.com/spf13/pflag@v1.0.6"]},
    ]
    outcome = connected.gather(depot, make_spec(modules=modules))
    carried = config_modules(outcome)
    assert carried[("rsc.io/quote", "v1.5.2")]["zip"] and not carried[("rsc.io/sampler", "v1.3.0")]["zip"]
    # What is selected beside the other requirement, not what cobra itself asks for.
    assert [version for path, version in carried if path == "github.com/spf13/pflag" and carried[(path, version)]["zip"]] == ["v1.0.6"]
    assert connected.rehearse(depot).changed


def test_a_project_is_built_by_a_command_of_its_own(connected: Site, depot: Depot, project: pathlib.Path) -> None:
    """It may write into its directory, and the go that it calls builds from vendor, without a network."""
    (project / "release.sh").write_text('set -e\necho "package main" > generated.go\ngo env GOFLAGS GOPROXY > flags\ngo build -o "$OUTPUT" .\n')
    builds = [{"output": "bin/release", "command": ["sh", "release.sh"], "tags": ["netgo"]}]
    connected.gather(depot, make_spec(projects=[path_project(project, builds=builds, flags=["-race"])]))
    (build,) = connected.rehearse(depot).builds
    assert (build["output"], build["argv"]) == ("bin/release", ["sh", "release.sh"])
    (project / "release.sh").write_text("true\n")
    connected.gather(depot, make_spec(projects=[path_project(project, builds=builds)]))
    with pytest.raises(BuildFailed, match=r"left no file at \$OUTPUT"):
        connected.rehearse(depot)
