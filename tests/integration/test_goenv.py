# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role goenv in all its scopes, by ansible-playbook, and what real Go makes of it for somebody without rights, environment and network."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.deployed_depot import OLD, Ran, playbook, sealed_depot
from ansible_collections.airgap.golang.tests.support.file_server import FileServer
from ansible_collections.airgap.golang.tests.support.small_generation import bring

IS_ROOT = os.geteuid() == 0
SYSTEM, OTHER = "Bring the settings to the host", "Set what one user or project shall have"
DROP = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if IS_ROOT else []
# Somebody who may read what we may: Ansible can be installed where others can't look.
READING = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"] if IS_ROOT else []
UNPLUG = ["unshare", "--net"] if IS_ROOT else ["unshare", "-rn"]


class Site:
    """A host with real Go, and the home directory of somebody there."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.root = top / "root"
        bring(Depot(str(sealed_depot())), Host(str(self.root)), Wish(("toolchain", "modcache", "goenv"), goenv="GOTOOLCHAIN=local"), 1)
        self.home = self.own("home")

    def own(self, name: str, **files: str) -> pathlib.Path:
        """A directory, with files in it, that belongs to somebody without rights."""
        path = self.top / name
        path.mkdir()
        for file, content in files.items():
            (path / file.replace("_", ".")).write_text(content)
        if IS_ROOT:
            subprocess.run(["chown", "-R", "nobody:nogroup", path], check=True)
        return path

    def role(self, *options: str, unprivileged: bool = False, **variables: t.Any) -> Ran:
        given = {"airgap_golang_depot": str(sealed_depot()), "airgap_golang_root": str(self.root), "goenv_generation": 1, **variables}
        tasks = [{"name": "Settings", "ansible.builtin.import_role": {"name": "airgap.golang.goenv"}}]
        if not unprivileged:
            return playbook(self.top / "ansible", tasks, given, *options)
        work = self.home / "ansible"
        if not work.exists():
            self.own("home/ansible")
        env = {"HOME": str(self.home), "XDG_CONFIG_HOME": ""}
        # The files of the play are written by us, and Ansible's own by them.
        return playbook(work, tasks, given, *options, prefix=[*DROP, *READING], env=env)

    def go(self, *arguments: str, cwd: t.Optional[pathlib.Path] = None, network: bool = False, before: str = "", **env: str) -> str:
        """What go says to somebody with an empty environment; ``before``: shell words to be run in front of it."""
        shell = ["sh", "-c", before + ' exec "$@"', "sh"]
        environment = [f"HOME={self.home}", f"PATH={os.environ['PATH']}", *(f"{name}={value}" for name, value in env.items())]
        argv = [*([] if network else UNPLUG), *DROP, "env", "-i", *environment, *shell, str(self.root / "current" / "bin" / "go"), *arguments]
        done = subprocess.run(argv, cwd=cwd or self.home, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def env(self, *names: str, **more: t.Any) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.go("env", "-json", *names, **more))
        return found


@pytest.fixture(scope="module")
def site() -> t.Iterator[Site]:
    path = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-goenv-"))
    path.chmod(0o755)
    yield Site(path)
    remove_tree(str(path))


def names_below(top: pathlib.Path) -> dict[str, t.Any]:
    return {str(path): (path.read_bytes() if path.is_file() else "", path.lstat().st_mode, path.lstat().st_uid) for path in sorted(top.rglob("*"))}


def changed(ran: Ran) -> bool:
    assert ran.status == 0, ran.output
    return " changed=1 " in ran.output


def told(ran: Ran, task: str = OTHER) -> dict[str, t.Any]:
    assert task in ran.results, ran.output
    return ran.results[task]


def test_the_system_with_mirrors(site: Site) -> None:
    """Everything comes from a mirror that has it, the checksum database's records too; else from the host; else it's an error at once."""
    proxy = sealed_depot() / "trees" / "000001" / "proxy"
    with FileServer() as empty, FileServer() as full:
        full.files.update({f"/{path.relative_to(proxy)}": path.read_bytes() for path in proxy.rglob("*") if path.is_file() and "toolchain" not in str(path)})
        chain = f"{empty.url('')},{full.url('')}|file://{site.root}/current/proxy,off"
        variables = {"goenv_mirrors": [empty.url(""), full.url("|")], "goenv_proxy_off": True, "goenv_settings": {"GOWORK": False, "GOTOOLCHAIN": None}}
        assert changed(site.role(**variables)) and not changed(site.role("--check", **variables))
        wanted = {"GOPROXY": chain, "GOWORK": "off", "GOSUMDB": "sum.golang.org"}
        assert site.env(*wanted) == wanted
        path, version = OLD.split("@")
        site.go("mod", "download", OLD, network=True, GOMODCACHE=str(site.home / "fresh"), GOFLAGS="-modcacherw")
        for server in (empty, full):
            assert ("GET", f"/{path}/@v/{version}.zip") in server.asked
        assert ("GET", f"/sumdb/sum.golang.org/lookup/{OLD}") in full.asked
        # With no mirror to be reached, '|' leads on to the host's own.
        site.go("mod", "download", OLD, GOPROXY=chain.split(",", 1)[1], GOMODCACHE=str(site.home / "other"), GOFLAGS="-modcacherw")
        argv = [*DROP, "env", "-i", f"HOME={site.home}", str(site.root / "current" / "bin" / "go"), "list", "-m", "example.com/nothing@latest"]
        refused = subprocess.run(argv, cwd=site.home, capture_output=True, text=True, check=False)
        assert refused.returncode != 0 and "module lookup disabled by GOPROXY=off" in refused.stderr


def test_what_go_would_not_take_is_refused_by_name(site: Site) -> None:
    before = os.readlink(site.root / "current")
    settings = {"GOPROXI": "off", "GOVERSION": "go1.2", "GOFLAGS": "mod=vendor", "GOTELEMETRY": "no"}
    settings["GOPROXY"] = "https://me:sesame@go.example"
    for scope, task in (("system", SYSTEM), ("user", OTHER)):
        ran = site.role("-vvv", goenv_scope=scope, goenv_settings=settings)
        failure = told(ran, task)["failure"]
        assert failure["code"] == "setting_invalid" and {entry["subject"] for entry in failure["details"]} == set(settings)
        assert "sesame" not in ran.output
    assert os.readlink(site.root / "current") == before
    failure = told(site.role(goenv_scope="project", goenv_project=str(site.home), goenv_settings={"GOTELEMETRY": "off"}))["failure"]
    assert "scope user" in failure["details"][0]["hint"] and not (site.home / "go.env").exists()
    assert "project" in told(site.role(goenv_scope="project"))["msg"]


def test_one_user_by_themselves(site: Site) -> None:
    """Without any right; what was there comes back."""
    file = site.home / ".config" / "go" / "env"
    site.go("env", "-w", "GOFLAGS=-v", "GOPRIVATE=git.example")
    before, other = file.read_bytes(), site.env("GOPROXY", "GOTELEMETRY")
    assert other["GOTELEMETRY"] == "local"
    local = {name for name in names_below(site.home) if "/telemetry/local/" in name}
    variables = {
        "goenv_scope": "user",
        "goenv_settings": {"GOFLAGS": "-tags=mine", "GOTELEMETRY": False, "GO111MODULE": True, "GOTOOLCHAIN": None},
        "goenv_proxy_off": True,
    }
    runs = [site.role(*options, unprivileged=True, **variables) for options in (("--check", "--diff"), ("--diff",), ())]
    assert [changed(ran) for ran in runs] == [True, True, False]
    assert told(runs[0])["diff"] == told(runs[1])["diff"] and "+GOFLAGS=-tags=mine" in runs[0].output and "GOPRIVATE" not in runs[0].output
    wanted = {
        "GOFLAGS": "-tags=mine",
        "GOPRIVATE": "git.example",
        "GOTELEMETRY": "off",
        "GO111MODULE": "on",
        "GOPROXY": f"file://{site.root}/current/proxy,off",
    }
    assert site.env(*wanted) == wanted and b"GOTOOLCHAIN" not in file.read_bytes()
    # Go writes no counters any more, and users may go on with its own commands.
    site.go("version")
    assert {name for name in names_below(site.home) if "/telemetry/local/" in name} == local
    site.go("env", "-w", "GOVCS=*:off")
    gone = site.role(unprivileged=True, goenv_scope="user", goenv_state="absent")
    assert changed(gone) and told(gone)["kept"] == []
    assert file.read_bytes() == before + b"GOVCS=*:off\n"
    assert site.env("GOPROXY", "GOTELEMETRY") == other


def test_one_project(site: Site) -> None:
    """Inside of it and nowhere else, whoever's it is."""
    project = site.own(
        "plant",
        go_mod="module example.com/plant\n\ngo 1.26\n",
        main_go='package main\n\nfunc main() { println("plain") }\n',
        tagged_go='//go:build plant\n\npackage main\n\nfunc init() { println("tagged") }\n',
        go_env="GOPRIVATE=git.example",
    )
    names = ("GOFLAGS", "GOPRIVATE", "GOPROXY")
    before, outside = names_below(project), site.env(*names)
    variables = {"goenv_scope": "project", "goenv_project": str(project), "goenv_direnv": True, "goenv_settings": {"GOFLAGS": "-tags=plant"}}
    assert [changed(site.role(*options, **variables)) for options in (("--check",), (), ())] == [True, True, False]
    assert {path.stat().st_uid for path in project.iterdir()} == {project.stat().st_uid}
    wanted = {"GOFLAGS": "-tags=plant", "GOPRIVATE": "git.example", "GOPROXY": f"file://{site.root}/current/proxy"}
    source = ". ./.envrc;"
    assert site.env(*wanted, cwd=project, before=source) == wanted
    assert site.env(*wanted, GOENV=str(project / "go.env")) == wanted
    assert site.env(*wanted) == outside
    for expected, words in (("tagged\nplain\n", source), ("plain\n", "")):
        site.go("build", "-o", str(site.home / "plant"), ".", cwd=project, before=words)
        assert subprocess.run([site.home / "plant"], capture_output=True, text=True, check=True).stderr == expected
    assert changed(site.role(goenv_scope="project", goenv_project=str(project), goenv_state="absent"))
    assert names_below(project) == before
