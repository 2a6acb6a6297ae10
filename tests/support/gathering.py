# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connected side for tests: depots that share caches, gathers from specs, and a machine that has a gathered tree and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import secrets
import subprocess
import sys
import typing as t
import unittest.mock

from ansible_collections.airgap.golang.plugins.module_utils import gather as gather_verb
from ansible_collections.airgap.golang.plugins.module_utils import rehearse as rehearse_verb
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._content import spec as specs
from ansible_collections.airgap.golang.plugins.module_utils._content import specreader
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy

GO = "1.26.8"
GO_SETTINGS = ("GOFLAGS", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOPROXY", "GOSUMDB", "GOENV", "GOWORK")
UUID = "github.com/google/uuid@v1.6.0"
STRINGER = "golang.org/x/tools/cmd/stringer@v0.52.0"


def make_spec(**parts: t.Any) -> specs.Spec:
    """A spec with one toolchain, which every depot of a Site has in its cache."""
    return specreader.parse({"name": "test", "toolchains": [{"version": GO}], **parts})


def path_project(path: pathlib.Path, name: str = "plant", **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "source": {"path": str(path)}, **more}


def module_project(at: str, name: str = "project", **more: t.Any) -> dict[str, t.Any]:
    module, version = at.split("@")
    return {"name": name, "source": {"module": module, "version": version}, **more}


@dataclasses.dataclass
class Site:
    """A connected control node. All depots have one cache of toolchains and compiled packages.

    ``proxy``: its module proxy. ``environment``: what git and go find there.
    """

    directory: pathlib.Path
    proxy: ModuleProxy
    environment: dict[str, str]
    goprivate: str = ""

    def depot(self) -> Depot:
        """A new depot."""
        path = self.directory / "depots" / secrets.token_hex(4)
        path.mkdir(parents=True)
        (self.directory / "cache").mkdir(exist_ok=True)
        (path / "cache").symlink_to(self.directory / "cache")
        return Depot(str(path))

    def branch(self, depot: Depot) -> Depot:
        """A copy of a depot, to change."""
        copy = self.depot()
        for name in ("oci-layout", "index.json", "audit.jsonl", "blobs", "trees", "current"):
            subprocess.run(["cp", "-al" if name in ("blobs", "trees") else "-a", os.path.join(depot.path, name), copy.path], check=True)
        return copy

    def gather(self, depot: Depot, spec: specs.Spec, **options: t.Any) -> gather_verb.Outcome:
        chosen = {"goproxy": self.proxy.url, "goprivate": self.goprivate, **options}
        with self.at_home():
            return gather_verb.gather(spec, depot, gather_verb.Options(**chosen), Reporter())

    def start(self, depot: Depot, spec: t.Mapping[str, t.Any], **options: t.Any) -> subprocess.Popen[str]:
        """The same in a process of its own (gather_alone), which has all that it needs to begin."""
        given = {"spec": spec, "depot": depot.path, "options": {"goproxy": self.proxy.url, "goprivate": self.goprivate, **options}}
        argv = [sys.executable, "-m", "ansible_collections.airgap.golang.tests.support.gather_alone"]
        process = subprocess.Popen(argv, env=self.shell(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stdin: t.Any = process.stdin
        json.dump(given, stdin)
        stdin.close()
        # communicate() would flush it.
        process.stdin = None
        return process

    def module(self, name: str, params: t.Mapping[str, t.Any], check: bool = False, **environment: str) -> dict[str, t.Any]:
        """What one of the collection's modules answers, as Ansible runs it."""
        arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(self.directory)}
        argv = [sys.executable, "-m", f"ansible_collections.airgap.golang.plugins.modules.{name}"]
        finished = subprocess.run(
            argv,
            env={**self.shell(), **environment},
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            text=True,
            capture_output=True,
            timeout=1800,
            check=False,
        )
        assert finished.stderr == "" and finished.stdout, finished.stderr
        answer: dict[str, t.Any] = json.loads(finished.stdout)
        return answer

    def shell(self) -> dict[str, str]:
        """The whole environment of a program on this node."""
        environment = {**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(sys.path), "ANSIBLE_DEBUG": ""}
        return {name: value for name, value in environment.items() if name not in GO_SETTINGS}

    def rehearse(self, depot: Depot) -> rehearse_verb.Outcome:
        with self.at_home():
            return rehearse_verb.rehearse(depot, None, "", 1800, Reporter())

    @contextlib.contextmanager
    def at_home(self) -> t.Iterator[None]:
        """This process as one of this node."""
        with unittest.mock.patch.dict(os.environ, self.environment):
            for name in GO_SETTINGS:
                os.environ.pop(name, None)
            yield


@dataclasses.dataclass
class Caddy:
    """A depot with a sealed generation of a big project. ``gathered``: what gather_alone printed. ``goroot``: the Go that built it."""

    depot: Depot
    gathered: dict[str, t.Any]
    rehearsed: rehearse_verb.Outcome
    tree: str
    goroot: str


def assert_untouched(depot: Depot) -> None:
    """Nothing was admitted: no generation, no tree, no current, and nothing half-made but fetched files to resume from."""
    assert depot.index() == {}
    assert not os.path.lexists(os.path.join(depot.path, "current"))
    assert os.listdir(os.path.join(depot.path, "trees")) == []
    assert set(os.listdir(depot.staging)) <= {"fetch"}


def check_tree(tree: str) -> None:
    """A tree is what its SHA256SUMS say, by coreutils."""
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=tree, check=True, timeout=300)


def config_modules(outcome: t.Any) -> dict[tuple[str, str], dict[str, t.Any]]:
    return {(entry["path"], entry["version"]): entry for entry in outcome.generation.config["modules"]}


class Offline:
    """A machine without a network, with Go and a tree: its GOMODCACHE and GOPATH begin empty.

    :param goroot: the Go that is installed there.
    """

    def __init__(self, directory: pathlib.Path, tree: str, goroot: str, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._go = os.path.join(goroot, "bin", "go")
        self._directory = directory
        self._environment = {
            "PATH": f"{goroot}/bin:/usr/bin:/bin",
            "HOME": str(directory / "home"),
            "GOENV": "off",
            "GOTOOLCHAIN": "local",
            "GOSUMDB": "sum.golang.org",
            "GOPROXY": f"file://{tree}/proxy",
            "GOPATH": str(directory / "gopath"),
            "GOMODCACHE": str(directory / "modcache"),
            "GOFLAGS": "-modcacherw -trimpath",
            "CGO_ENABLED": "0",
            **settings,
        }

    def go(self, *arguments: str, cwd: pathlib.Path | None = None, fails: bool = False) -> str:
        finished = subprocess.run(
            ["unshare", "-rn", self._go, *arguments],
            cwd=cwd or self._directory,
            env=self._environment,
            text=True,
            capture_output=True,
            timeout=600,
            check=False,
        )
        assert (finished.returncode != 0) == fails, finished.stderr
        return finished.stderr if fails else finished.stdout

    def new_module(self, name: str, *imports: str) -> pathlib.Path:
        """A user's new module, with a program that imports these packages."""
        directory = self._directory / name
        directory.mkdir()
        (directory / "main.go").write_text("package main\n\n" + "".join(f"import _ {json.dumps(path)}\n" for path in imports) + "\nfunc main() {}\n")
        self.go("mod", "init", f"{name}.example/{name}", cwd=directory)
        return directory


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
