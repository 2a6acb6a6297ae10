# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gather refuses, with real modules, proxies and git: everything that's wrong is named at once, and nothing is admitted."""

from __future__ import annotations

import io
import os
import pathlib
import re
import typing as t
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import (
    AirgapError,
    BuildFailed,
    CommandFailed,
    FetchFailed,
    ModuleRefused,
    ProjectDirty,
    SpecInvalid,
)
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.gathering import (
    UUID,
    Site,
    assert_untouched,
    config_modules,
    make_spec,
    module_project,
    path_project,
)
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy
from ansible_collections.airgap.golang.tests.support.private_git import MODULE, VERSION, make_plant

E = t.TypeVar("E", bound=AirgapError)

UUID_FILE = "/github.com/google/uuid/@v/v1.6.0"


@pytest.fixture
def depot(connected: Site) -> Depot:
    return connected.depot()


def refused(kind: type[E], connected: Site, depot: Depot, options: t.Mapping[str, t.Any] | None = None, **parts: t.Any) -> E:
    with pytest.raises(kind) as caught:
        connected.gather(depot, make_spec(**parts), **(options or {}))
    assert_untouched(depot)
    return caught.value


def test_a_module_that_the_proxy_refuses_is_named_with_what_requires_it(connected: Site, depot: Depot, proxy: ModuleProxy) -> None:
    cobra, version = "github.com/cpuguy83/go-md2man/v2", "v2.0.3"
    proxy.answers[f"/{cobra}/@v/{version}.zip"] = (403, b"not for you")
    project = module_project("github.com/spf13/cobra@v1.8.0", "cobra")
    failure = refused(FetchFailed, connected, depot, {"goproxy": proxy.url}, projects=[project])
    assert [(entry["module"], entry["version"], entry["status"]) for entry in failure.details] == [(cobra, version, 403)]
    assert failure.details[0]["required_by"] == ["project cobra", "github.com/spf13/cobra@v1.8.0"]
    assert f"{cobra}@{version} (required by project cobra" in failure.message and "said 403 not for you" in failure.message


def test_replaces_that_a_published_module_lacks_are_refused(connected: Site, depot: Depot) -> None:
    failure = refused(SpecInvalid, connected, depot, projects=[module_project("github.com/hashicorp/terraform@v1.13.3")], toolchains=[])
    assert failure.code == "replace_outside" and "go.mod replaces github.com/hashicorp/terraform/" in failure.message


def test_a_replace_that_leads_out_of_the_source_is_refused(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    outside = plant.parent / "telemetry"
    outside.mkdir()
    (outside / "go.mod").write_text(f"module {MODULE}\n")
    with (plant / "go.mod").open("a") as stream:
        stream.write(f"\nreplace {MODULE} => ../telemetry\n")
    failure = refused(SpecInvalid, connected, depot, projects=[path_project(plant)])
    assert (failure.code, failure.subject, failure.found) == ("replace_outside", "project plant", "../telemetry")


def test_an_untidy_project_is_refused_and_says_how(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    with (plant / "go.mod").open("a") as stream:
        stream.write("\nrequire rsc.io/quote v1.5.2\n")
    failure = refused(ProjectDirty, connected, depot, projects=[path_project(plant)])
    assert failure.subject == "project plant" and "rsc.io/quote" in failure.message and "go mod tidy" in failure.hint


def test_an_untidy_project_can_be_carried_with_a_warning(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    with (plant / "go.sum").open("a") as stream:
        stream.write("rsc.io/quote v1.5.2/go.mod h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=\n")
    connected.gather(depot, make_spec(projects=[path_project(plant, dirty="warn", scope="all")]))
    outcome = connected.rehearse(depot)
    assert [("go mod tidy" in warning and "rsc.io/quote" in warning) for warning in outcome.warnings] == [True]
    assert outcome.generation and outcome.generation.config["projects"][0]["tidy"] is False
    assert config_modules(outcome)[("rsc.io/quote", "v1.5.2")]["zip"] == ""


def test_a_zip_that_is_not_go_sums_is_refused_with_both_hashes(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    right = re.search(r"github.com/google/uuid v1.6.0 (h1:\S+)", (plant / "go.sum").read_text())
    assert right
    wrong = "h1:" + "A" * 43 + "="
    (plant / "go.sum").write_text((plant / "go.sum").read_text().replace(right.group(1), wrong))
    failure = refused(ModuleRefused, connected, depot, projects=[path_project(plant)])
    assert (failure.subject, failure.expected, failure.found) == (UUID, wrong, right.group(1))
    assert failure.details[0]["required_by"] == ["project plant"] and "required by project plant" in failure.message


def test_a_go_mod_that_is_not_go_sums_is_refused(connected: Site, depot: Depot, plant: pathlib.Path, proxy: ModuleProxy) -> None:
    proxy.answers[UUID_FILE + ".mod"] = (200, b"module github.com/google/uuid\n\n// changed\n")
    failure = refused(ModuleRefused, connected, depot, {"goproxy": proxy.url}, projects=[path_project(plant)])
    assert (failure.subject, failure.expected) == (UUID + "/go.mod", "h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=")


def test_a_tampered_zip_is_refused_and_a_rerun_fetches_it_anew(connected: Site, depot: Depot, plant: pathlib.Path, proxy: ModuleProxy) -> None:
    proxy.answers[UUID_FILE + ".zip"] = (200, tampered(proxy.answer(UUID_FILE + ".zip")[1]))
    failure = refused(ModuleRefused, connected, depot, {"goproxy": proxy.url}, projects=[path_project(plant)])
    assert (failure.subject, failure.expected) == (UUID, "h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=")
    del proxy.answers[UUID_FILE + ".zip"]
    proxy.asked.clear()
    assert connected.gather(depot, make_spec(projects=[path_project(plant)]), goproxy=proxy.url).changed
    assert proxy.zips() == [UUID_FILE + ".zip"]


@pytest.mark.parametrize("damage", ["truncated", "garbage"])
def test_a_broken_zip_is_refused_by_name(connected: Site, depot: Depot, plant: pathlib.Path, proxy: ModuleProxy, damage: str) -> None:
    content = proxy.answer(UUID_FILE + ".zip")[1]
    proxy.answers[UUID_FILE + ".zip"] = (200, content[:-200] if damage == "truncated" else b"PK\3\4" + bytes(5000))
    failure = refused(ModuleRefused, connected, depot, {"goproxy": proxy.url}, projects=[path_project(plant)])
    assert failure.subject == UUID and failure.details[0]["required_by"] == ["project plant"]


def test_a_loose_module_that_the_database_knows_otherwise_is_refused(connected: Site, depot: Depot, proxy: ModuleProxy) -> None:
    proxy.answers[UUID_FILE + ".zip"] = (200, tampered(proxy.answer(UUID_FILE + ".zip")[1]))
    failure = refused(AirgapError, connected, depot, {"goproxy": proxy.url}, modules=[UUID])
    assert "github.com/google/uuid@v1.6.0" in failure.message and "SECURITY ERROR" in failure.message


def tampered(content: bytes) -> bytes:
    """The zip with one more line in a file: a sound zip with another h1."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info) + (b"\n// and more\n" if info.filename.endswith("/uuid.go") else b""))
    return changed.getvalue()


def test_all_that_a_proxy_lacks_is_named_at_once(connected: Site, depot: Depot, tmp_path: pathlib.Path) -> None:
    """A file:// GOPROXY that has the toolchain and one module, but not the three that the project names beside it."""
    site = tmp_path / "proxy"
    for path in ["/golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-amd64", "/rsc.io/quote/@v/v1.5.2"]:
        for ext in ("zip", "mod", "info"):
            file = site / (path[1:] + "." + ext)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(connected.proxy.answer(f"{path}.{ext}")[1])
    project = tmp_path / "project"
    project.mkdir()
    wanted = ["golang.org/x/text v0.0.0-20170915032832-14c0d48ead0c", "rsc.io/quote v1.5.2", "rsc.io/sampler v1.3.0", "example.com/nowhere v1.0.0"]
    (project / "go.mod").write_text("module p.example/p\n\ngo 1.26.0\n\nrequire (\n" + "".join(f"\t{line}\n" for line in wanted) + ")\n")
    (project / "go.sum").write_text("".join(f"{line} h1:{'A' * 43}=\n{line}/go.mod h1:{'A' * 43}=\n" for line in wanted))
    failure = refused(FetchFailed, connected, depot, {"goproxy": f"file://{site}"}, projects=[path_project(project)])
    named = {(entry["module"], entry["version"]): entry for entry in failure.details}
    assert set(named) == {tuple(line.split()) for line in wanted if not line.startswith("rsc.io/quote")}
    assert named[("rsc.io/sampler", "v1.3.0")]["required_by"] == ["project plant", "rsc.io/quote@v1.5.2"]


def test_goproxy_off_is_said_to_be_off(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    failure = refused(FetchFailed, connected, depot, {"goproxy": "off"}, projects=[path_project(plant)])
    # The private one comes from git, which GOPROXY has no say about.
    assert {entry["module"] for entry in failure.details} == {"github.com/google/uuid", "golang.org/toolchain"}
    assert "off" in failure.message


def test_a_toolchain_that_does_not_exist_is_refused_by_name(connected: Site, depot: Depot) -> None:
    failure = refused(FetchFailed, connected, depot, modules=[UUID], toolchains=[{"version": "1.26.8"}, {"version": "1.26.8", "platforms": ["linux/z80"]}])
    assert [(entry["module"], entry["version"]) for entry in failure.details] == [("golang.org/toolchain", "v0.0.1-go1.26.8.linux-z80")]
    assert failure.details[0]["required_by"] == ["the toolchains"]


def test_a_toolchain_older_than_the_project_asks_for_is_refused(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    failure = refused(SpecInvalid, connected, depot, projects=[path_project(plant)], toolchains=[{"version": "1.25.1"}])
    assert (failure.code, failure.subject, failure.expected) == ("toolchain_too_old", "project plant", "go1.26.0 or newer")


def test_a_git_ref_that_does_not_exist_is_refused(connected: Site, depot: Depot) -> None:
    source = {"git": f"file://{connected.directory}/git/telemetry.git", "ref": "v9.9.9"}
    failure = refused(FetchFailed, connected, depot, projects=[{"name": "telemetry", "source": source}])
    assert "v9.9.9" in failure.message and "no such branch or tag" in failure.message


def test_a_project_from_git_is_carried_by_its_commit(connected: Site, depot: Depot) -> None:
    source = {"git": f"file://{connected.directory}/git/telemetry.git", "ref": VERSION}
    outcome = connected.gather(depot, make_spec(projects=[{"name": "telemetry", "source": source}]))
    assert outcome.generation
    assert outcome.generation.config["projects"][0]["source"]["commit"] == "4489e403a86257823f6619b2be1cdf1da16d04fe"
    rehearsed = connected.rehearse(depot)
    assert rehearsed.warnings == ["project telemetry has no main package and no builds: its packages are compiled, no binary is made"]


def test_a_project_that_does_not_compile_is_refused(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    (plant / "cmd" / "plantd" / "more.go").write_text("package main\n\nvar x int = `text`\n")
    connected.gather(depot, make_spec(projects=[path_project(plant)]))
    failure = not_sealed(CommandFailed, connected, depot)
    assert failure.message.startswith("project plant: without a network, go build") and "more.go:3" in failure.message


def test_a_build_that_fails_in_the_rehearsal_leaves_the_generation_unsealed(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    (plant / "cmd" / "plantctl" / "page.html").write_text("page")
    (plant / "cmd" / "plantctl" / "page.go").write_text('package main\n\nimport _ "embed"\n\n//go:embed page.html\nvar page string\n')
    builds = [{"package": "./cmd/plantctl", "output": "bin/plantctl"}]
    connected.gather(depot, make_spec(projects=[path_project(plant, builds=builds)]))
    os.unlink(os.path.join(depot.path, "trees", "000001-unsealed", "projects", "plant", "cmd", "plantctl", "page.html"))
    failure = not_sealed(CommandFailed, connected, depot)
    assert "project plant" in failure.subject and "page.html" in failure.message


def test_all_that_fails_in_the_rehearsal_is_named(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    (plant / "cmd" / "plantd" / "more.go").write_text("package main\n\nvar x int = `text`\n")
    untidy = make_plant(plant.parent / "untidy")
    with (untidy / "go.sum").open("a") as stream:
        stream.write("rsc.io/quote v1.5.2/go.mod h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=\n")
    # Of the scope test nobody has promised that go mod tidy has nothing to say.
    projects = [path_project(plant), path_project(untidy, "untidy", scope="all"), path_project(untidy, "fine")]
    connected.gather(depot, make_spec(projects=projects))
    failure = not_sealed(BuildFailed, connected, depot)
    assert failure.subject == "project plant, project untidy"
    assert [entry["code"] for entry in failure.details] == ["command_failed", "project_dirty"]


def not_sealed(kind: type[E], connected: Site, depot: Depot) -> E:
    before = pathlib.Path(depot.path, "index.json").read_bytes()
    with pytest.raises(kind) as caught:
        connected.rehearse(depot)
    assert pathlib.Path(depot.path, "index.json").read_bytes() == before
    assert os.listdir(depot.staging) == []
    return caught.value


def test_what_a_project_links_to_must_travel(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    (plant / "notes").symlink_to("/etc/hostname")
    failure = refused(SpecInvalid, connected, depot, projects=[path_project(plant)])
    assert failure.found == "/etc/hostname"


def test_a_workspace_with_a_module_of_its_own_is_carried(connected: Site, depot: Depot, tmp_path: pathlib.Path) -> None:
    """Two modules, one of which is published nowhere: the other finds it only through go.work."""
    work = tmp_path / "work"
    for name, content in {
        "go.work": "go 1.26.0\n\nuse (\n\t./app\n\t./lib\n)\n",
        "app/go.mod": "module app.example/app\n\ngo 1.26.0\n\nrequire github.com/google/uuid v1.6.0\n",
        "app/main.go": 'package main\n\nimport (\n\t"github.com/google/uuid"\n\t"lib.example/lib"\n)\n\nfunc main() { println(lib.Name(), uuid.Nil[0]) }\n',
        "lib/go.mod": "module lib.example/lib\n\ngo 1.26.0\n",
        "lib/lib.go": 'package lib\n\n// Name is who this is.\nfunc Name() string { return "lib" }\n',
    }.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(content)
    (work / "app" / "go.sum").write_text("".join(line for line in (pathlib.Path(make_plant(tmp_path / "plant")) / "go.sum").open() if "uuid" in line))
    outcome = connected.gather(depot, make_spec(projects=[path_project(work, "work", scope="all")]))
    assert outcome.generation and outcome.generation.config["projects"][0]["workspace"]
    rehearsed = connected.rehearse(depot)
    assert rehearsed.warnings == ["project work: app only builds inside go.work, so go mod tidy can't judge it"]
    assert [build["output"] for build in rehearsed.builds] == ["bin/app"]
    tree = os.path.join(depot.path, "current", "projects", "work")
    assert "github.com/google/uuid" in pathlib.Path(tree, "vendor", "modules.txt").read_text()
    assert {module for module, _version in config_modules(outcome)} == {"github.com/google/uuid", "golang.org/toolchain"}
