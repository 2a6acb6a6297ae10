# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request file's round trip: what fails offline with real Go is requested there, gathered, and passes offline from the new tree."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.tests.support.deployed_depot import playbook
from ansible_collections.airgap.golang.tests.support.gathering import GO, STRINGER, UUID, Offline, Site, make_spec

NEWER = "1.27.3"
QUOTE = "rsc.io/quote@v1.5.2"
TOOL = STRINGER
COBRA = "github.com/spf13/cobra v1.8.0"
PLATFORM = toolchain.host_platform()


@dataclasses.dataclass
class Air:
    """An offline side: projects that ask for more than ``tree`` has, and what the host has Go by."""

    site: Site
    tree: str
    goroot: str
    gocache: str
    projects: pathlib.Path

    def offline(self, name: str, tree: str = "", **settings: str) -> Offline:
        return Offline(self.projects.parent / name, tree or self.tree, self.goroot, GOCACHE=self.gocache, **settings)

    def request(self, fails: bool = False, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        """The module's answer, in a network namespace without interfaces."""
        given = {"proxy": f"{self.tree}/proxy", "go_binary": f"{self.goroot}/bin/go", "root": "/nonexistent", **params}
        arguments = {**given, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(self.projects)}
        finished = subprocess.run(
            ["unshare", "-rn", sys.executable, "-m", "ansible_collections.airgap.golang.plugins.modules.request"],
            env=self.site.shell(),
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            text=True,
            capture_output=True,
            timeout=600,
            check=False,
        )
        assert finished.stderr == "" and finished.stdout, finished.stderr
        answer: dict[str, t.Any] = json.loads(finished.stdout)
        assert bool(answer.get("failed")) == fails, answer
        return answer


def write(directory: pathlib.Path, gomod: str, *imports: str) -> pathlib.Path:
    directory.mkdir(parents=True)
    (directory / "go.mod").write_text(f"module app.example/{directory.name}\n\n{gomod}\n")
    (directory / "main.go").write_text("package main\n\n" + "".join(f"import _ {json.dumps(path)}\n" for path in imports) + "\nfunc main() {}\n")
    return directory


@pytest.fixture(scope="module")
def air(connected: Site, tmp_path_factory: pytest.TempPathFactory) -> Air:
    depot = connected.depot()
    gathered = connected.gather(depot, make_spec(modules=[UUID]))
    goroot = toolchain.directory(os.path.join(depot.path, "cache", "toolchains"), GO, PLATFORM)
    projects = tmp_path_factory.mktemp("air") / "projects"
    uuid = UUID.replace("@", " ")
    summed = write(projects / "summed", f"go 1.26.0\n\nrequire {uuid}\nrequire {QUOTE.replace('@', ' ')}", "github.com/google/uuid", "rsc.io/quote")
    environment = {**connected.shell(), "GOPROXY": connected.proxy.url, "GOMODCACHE": str(projects.parent / "connected"), "GOFLAGS": "-modcacherw"}
    subprocess.run([f"{goroot}/bin/go", "mod", "tidy"], cwd=summed, env=environment, check=True, timeout=300)
    write(projects / "unsummed", f"go 1.26.0\n\nrequire {uuid}\nrequire {COBRA}", "github.com/google/uuid", "github.com/spf13/cobra")
    write(projects / "newer", f"go {NEWER}")
    assert gathered.generation
    return Air(connected, depot.tree(gathered.generation.ref), goroot, f"{depot.path}/cache/go-build", projects)


@pytest.fixture(scope="module")
def requested(air: Air) -> dict[str, dict[str, t.Any]]:
    """The commands fail offline, and the documents that are made of that."""
    before = air.offline("before")
    before.go("build", "./...", cwd=air.projects / "summed", fails=True)
    before.go("mod", "tidy", cwd=air.projects / "unsummed", fails=True)
    air.offline("before", GOTOOLCHAIN="auto").go("build", ".", cwd=air.projects / "newer", fails=True)
    said = before.go("install", TOOL, fails=True)
    kept = {path: path.read_bytes() for path in air.projects.glob("*/*")}
    answers = {name: air.request(project=str(air.projects / name))["request"] for name in ("summed", "unsummed", "newer")}
    answers["tool"] = air.request(output=said)["request"]
    assert {path: path.read_bytes() for path in air.projects.glob("*/*")} == kept
    return answers


def test_go_sum_decides_what_is_missing_of_a_tidy_project(requested: dict[str, dict[str, t.Any]]) -> None:
    modules = requested["summed"]["bundle_modules"]
    assert modules == [
        {"module": "golang.org/x/text@v0.0.0-20170915032832-14c0d48ead0c", "closure": "itself"},
        {"module": QUOTE, "closure": "itself"},
        {"module": "rsc.io/sampler@v1.3.0", "closure": "itself"},
    ]
    about = requested["summed"]["airgap_golang_request"]
    assert (about["schema"], about["project"], about["asked_by"][QUOTE]) == (1, "summed", "go.sum lists it")


def test_what_go_sum_does_not_know_is_asked_for_with_all_that_it_needs_there(requested: dict[str, dict[str, t.Any]]) -> None:
    assert requested["unsummed"]["bundle_modules"] == [{"module": COBRA.replace(" ", "@"), "closure": "packages", "beside": [UUID]}]


def test_a_newer_toolchain_and_a_tool(requested: dict[str, dict[str, t.Any]]) -> None:
    assert requested["newer"]["bundle_toolchains"] == [{"version": NEWER, "platforms": [PLATFORM]}]
    assert requested["newer"]["bundle_modules"] == []
    assert (requested["tool"]["bundle_tools"], requested["tool"]["bundle_modules"]) == ([TOOL], [])


def test_what_was_requested_makes_the_same_commands_pass(air: Air, requested: dict[str, dict[str, t.Any]], tmp_path: pathlib.Path) -> None:
    depot = air.site.depot()
    gathered = air.site.gather(depot, make_spec(modules=[UUID], requests=list(requested.values())))
    assert gathered.generation
    tree = depot.tree(gathered.generation.ref)
    after = air.offline("after", tree)
    after.go("build", "./...", cwd=air.projects / "summed")
    after.go("install", TOOL)
    air.offline("after", tree, GOTOOLCHAIN="auto").go("build", "-o", str(tmp_path / "newer"), ".", cwd=air.projects / "newer")
    unsummed = air.projects / "unsummed"
    after.go("mod", "tidy", cwd=unsummed)
    after.go("build", "./...", cwd=unsummed)
    for project in ("summed", "unsummed", "newer"):
        assert air.request(project=str(air.projects / project), proxy=f"{tree}/proxy")["missing"]["total"] == 0


def test_nothing_of_the_machine_is_in_a_request(air: Air, requested: dict[str, dict[str, t.Any]]) -> None:
    text = json.dumps(requested)
    assert str(air.projects) not in text and air.tree not in text and "file:" not in text


def test_imports_that_nobody_has_are_named_beside_what_go_mod_misses(air: Air, tmp_path: pathlib.Path) -> None:
    project = write(tmp_path / "imports", f"go {NEWER}\n\nrequire {COBRA}", "github.com/spf13/cobra", "rsc.io/quote", "github.com/google/uuid")
    answer = air.request(project=str(project))
    assert [entry if isinstance(entry, str) else entry["module"] for entry in answer["request"]["bundle_modules"]] == [
        COBRA.replace(" ", "@"),
        "rsc.io/quote@latest",
    ]
    assert answer["missing"] == {"modules": 2, "toolchains": 1, "tools": 0, "total": 3}


def test_a_workspace(air: Air, tmp_path: pathlib.Path) -> None:
    top = tmp_path / "workspace"
    write(top / "one", f"go 1.26.0\n\nrequire {UUID.replace('@', ' ')}", "github.com/google/uuid")
    write(top / "two", f"go 1.26.0\n\nrequire {COBRA}", "github.com/spf13/cobra")
    (top / "go.work").write_text("go 1.26.0\n\nuse (\n\t./one\n\t./two\n)\n")
    kept = sorted(path.name for path in top.rglob("*"))
    assert air.request(project=str(top))["request"]["bundle_modules"] == [{"module": COBRA.replace(" ", "@"), "closure": "packages", "beside": [UUID]}]
    assert sorted(path.name for path in top.rglob("*")) == kept


def test_a_vendored_project_misses_nothing_until_go_mod_asks_for_more(air: Air, tmp_path: pathlib.Path) -> None:
    project = write(tmp_path / "vendored", f"go 1.26.0\n\nrequire {QUOTE.replace('@', ' ')}", "rsc.io/quote")
    environment = {**air.site.shell(), "GOPROXY": air.site.proxy.url, "GOMODCACHE": str(tmp_path / "modcache"), "GOFLAGS": "-modcacherw"}
    for verb in ("tidy", "vendor"):
        subprocess.run([f"{air.goroot}/bin/go", "mod", verb], cwd=project, env=environment, check=True, timeout=300)
    assert air.request(project=str(project))["missing"]["total"] == 0
    with (project / "go.mod").open("a") as stream:
        stream.write(f"\nrequire {COBRA}\n")
    said = air.offline("vendored").go("build", ".", cwd=project, fails=True)
    assert "inconsistent vendoring" in said
    answer = air.request(project=str(project), output=said)
    assert answer["request"]["airgap_golang_request"]["asked_by"]["github.com/spf13/cobra@v1.8.0"] == "go.mod requires it, and go.sum doesn't know it"
    assert answer["not_understood"] == []


def test_what_only_a_person_can_mend_is_said(air: Air, tmp_path: pathlib.Path) -> None:
    project = write(tmp_path / "wrong", "go 1.26.0", "nosuch/pkg")
    answer = air.request(project=str(project), fails=True)
    assert answer["failure"]["code"] == "not_understood" and "package nosuch/pkg is not in std" in answer["msg"]
    assert air.request(fails=True)["failure"]["code"] == "spec_invalid"
    assert air.request(fails=True, project=str(project), proxy=None)["failure"]["hint"].startswith("deploy one first")


def test_the_file_is_written_once_and_not_in_check_mode(air: Air, requested: dict[str, dict[str, t.Any]], tmp_path: pathlib.Path) -> None:
    given = {"project": str(air.projects / "newer"), "dest": str(tmp_path / "request.json")}
    checked = air.request(check=True, **given)
    assert checked["changed"] and not (tmp_path / "request.json").exists()
    ran = air.request(**given)
    assert (ran["changed"], ran["diff"]) == (True, checked["diff"]) and '"1.27.3"' in ran["diff"]["after"]
    assert json.loads((tmp_path / "request.json").read_text()) == ran["request"] == requested["newer"]
    assert not air.request(**given)["changed"]
    # Nothing missing: what was asked for before is left alone.
    assert not air.request(**{**given, "project": str(write(tmp_path / "plain", "go 1.26.0"))})["changed"]
    assert (tmp_path / "request.json").exists()


def test_the_playbook_brings_the_file_to_the_control_node(air: Air, requested: dict[str, dict[str, t.Any]], tmp_path: pathlib.Path) -> None:
    variables = {
        "request_project": str(air.projects / "newer"),
        "request_proxy": f"{air.tree}/proxy",
        "request_go_binary": f"{air.goroot}/bin/go",
        # As seen from where ansible-playbook is started.
        "request_dest": "out.json",
    }
    written = tmp_path / "work" / "out.json"
    recaps = []
    for options in (("--check", "--diff"), (), ()):
        ran = playbook(tmp_path / "work", "request", variables, *options, prefix=["unshare", "-rn"])
        assert ran.status == 0, ran.output
        recaps.append((ran.output.count("changed: [here"), written.exists()))
    assert recaps == [(1, False), (1, True), (0, True)]
    assert json.loads(written.read_text()) == requested["newer"]
    # Byte for byte what the module itself writes.
    assert not air.request(project=variables["request_project"], dest=str(written))["changed"]
