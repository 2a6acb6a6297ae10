# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connected node of a user who has private modules behind servers: a HOME of its own, and repositories that only these servers give out.

git.corp.example/telemetry.git has v1.0.0 and v1.1.0, and so has gauge.git. relay.git v1.0.0 requires gauge v1.0.0, the project ``app`` both of them,
and gauge v1.1.0. relay and gauge are as old as Go 1.16, when module graphs were not pruned: so the older gauge's go.mod is needed, and no more of it.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import typing as t

from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.tests.support.gathering import GO, Offline, Site
from ansible_collections.airgap.golang.tests.support.private_git import AUTHOR, MODULE, VERSION

HOST = "git.corp.example"
RELAY = "git.corp.example/relay.git"
GAUGE = "git.corp.example/gauge.git"
NEWER = "v1.1.0"


class PrivateSite(Site):
    """A Site with ``home`` (created, must be new) and ``root``, the directory with the repositories. Its go and git know no way to them yet.

    What version control gave to one depot, no other has in its cache.
    """

    def __init__(self, connected: Site, directory: pathlib.Path) -> None:
        self.home, self.root = directory / "home", directory / "repositories"
        self.home.mkdir()
        environment = {**connected.environment, "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / ".config")}
        super().__init__(connected.directory, connected.proxy, environment, connected.goprivate)
        self._make_repositories(directory)

    def depot(self) -> Depot:
        depot = super().depot()
        cache = pathlib.Path(depot.path, "cache")
        cache.unlink()
        cache.mkdir()
        for name in ("toolchains", "go-build"):
            (self.directory / "cache" / name).mkdir(exist_ok=True)
            (cache / name).symlink_to(self.directory / "cache" / name)
        return depot

    def gathers(self, depot: Depot, check: bool = False, environment: t.Mapping[str, str] | None = None, **spec: t.Any) -> dict[str, t.Any]:
        """What the module gather answers. ``environment``: the user's, on top of the site's."""
        params = {"depot": depot.path, "name": "test", "toolchains": [{"version": GO}], "goproxy": self.proxy.url, "goprivate": HOST, **spec}
        return self.module("gather", {name: value for name, value in params.items() if value}, check, **(environment or {}))

    def offline(self, depot: Depot, directory: pathlib.Path, **settings: str) -> Offline:
        """A machine that has the depot's newest tree, and asks the checksum database for all but the private modules."""
        generation = depot.latest()
        assert generation
        goroot = toolchain.directory(os.path.join(depot.path, "cache", "toolchains"), GO, generation.config["toolchains"][0]["platform"])
        known = {"GONOSUMDB": HOST, "GOCACHE": f"{depot.path}/cache/go-build", **settings}
        return Offline(directory, depot.tree(generation.ref), goroot, **known)

    def gitconfig(self, text: str) -> None:
        (self.home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n" + text)

    def leads(self, base: str, more: str = "") -> None:
        """git finds https://git.corp.example/ at ``base``."""
        self.gitconfig(f'[url "{base}"]\n\tinsteadOf = https://{HOST}/\n{more}')

    def netrc(self, *pairs: str) -> None:
        """What ~/.netrc has for 127.0.0.1: "user:password"."""
        (self.home / ".netrc").write_text("".join("machine 127.0.0.1 login {} password {}\n".format(*pair.split(":")) for pair in pairs))
        (self.home / ".netrc").chmod(0o600)

    def app(self, directory: pathlib.Path) -> pathlib.Path:
        """The project, with a go.sum that the go command wrote. ``leads`` must have been called."""
        directory.mkdir()
        (directory / "go.mod").write_text(f"module app.corp.example/app\n\ngo 1.26.0\n\nrequire (\n\t{GAUGE} {NEWER}\n\t{RELAY} {VERSION}\n)\n")
        (directory / "main.go").write_text(f'package main\n\nimport (\n\t_ "{GAUGE}"\n\t_ "{RELAY}"\n)\n\nfunc main() {{}}\n')
        self._tidy(directory)
        return directory

    def module_files(self, directory: pathlib.Path, versions: t.Sequence[str] = (VERSION, NEWER)) -> dict[str, tuple[int, bytes]]:
        """What a private proxy answers for telemetry: made by the go command, from the repository itself."""
        self.leads(f"file://{self.root}/")
        environment = {**self.shell(), "GOPRIVATE": HOST, "GOPROXY": "direct", "GOFLAGS": "-modcacherw", "GOMODCACHE": str(directory)}
        answers = {}
        for version in versions:
            subprocess.run(["go", "mod", "download", f"{MODULE}@{version}"], cwd=self.home, env=environment, check=True, timeout=300)
            for ext in ("info", "mod", "zip"):
                path = directory / "cache" / "download" / MODULE / "@v" / f"{version}.{ext}"
                answers[f"/{MODULE}/@v/{version}.{ext}"] = (200, path.read_bytes())
        answers[f"/{MODULE}/@v/list"] = (200, "".join(f"{version}\n" for version in versions).encode())
        answers[f"/{MODULE}/@latest"] = answers[f"/{MODULE}/@v/{versions[-1]}.info"]
        self.gitconfig("")
        return answers

    def vanity(self, name: str, module: str) -> None:
        """A repository ``name``.git with v1.0.0 of a module that is called otherwise."""
        work = self._new_module(self.root.parent, name, module)
        self._publish(work, f"{name}.git", VERSION)

    def _make_repositories(self, directory: pathlib.Path) -> None:
        self.gitconfig("")
        work = directory / "work"
        self._git("clone", "--quiet", str(self.directory / "git" / "telemetry.git"), str(work))
        with open(work / "telemetry.go", "a", encoding="utf-8") as stream:
            stream.write("\n// Events counts kinds of events.\nfunc (c *Counter) Events() int { return len(c.seen) }\n")
        self._publish(work, "telemetry.git", NEWER)
        gauge = self._new_module(directory, "gauge", GAUGE)
        self._publish(gauge, "gauge.git", VERSION, keep=True)
        (gauge / "more.go").write_text("package gauge\n\n// More is new.\nconst More = 1\n")
        self._publish(gauge, "gauge.git", NEWER)
        relay = self._new_module(directory, "relay", RELAY, f"\nrequire {GAUGE} {VERSION}\n", f'\nimport _ "{GAUGE}"\n')
        self.leads(f"file://{self.root}/")
        self._tidy(relay)
        self.gitconfig("")
        self._publish(relay, "relay.git", VERSION)

    def _new_module(self, directory: pathlib.Path, name: str, module: str, requires: str = "", imports: str = "") -> pathlib.Path:
        work = directory / name
        work.mkdir()
        self._git("init", "--quiet", "--initial-branch=main", str(work))
        (work / "go.mod").write_text(f"module {module}\n\ngo 1.16\n{requires}")
        (work / f"{name}.go").write_text(f"// Package {name} is private.\npackage {name}\n{imports}")
        return work

    def _tidy(self, directory: pathlib.Path) -> None:
        """Let go write go.mod and go.sum as a user's would, with a module cache of that user's."""
        environment = {**self.shell(), "GOPRIVATE": HOST, "GOPROXY": self.proxy.url, "GOFLAGS": "-modcacherw"}
        environment["GOMODCACHE"] = str(self.root.parent / "users-modcache")
        subprocess.run(["go", "mod", "tidy"], cwd=directory, env=environment, check=True, timeout=300)

    def _publish(self, work: pathlib.Path, name: str, version: str, keep: bool = False) -> None:
        at = str(work)
        self._git("-C", at, "add", "--all")
        self._git("-C", at, "commit", "--quiet", "--no-gpg-sign", f"--message={version}")
        self._git("-C", at, "tag", version)
        if not keep:
            self._git("clone", "--quiet", "--bare", at, str(self.root / name))
            shutil.rmtree(work)

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], env={**self.shell(), **AUTHOR}, check=True, capture_output=True, timeout=60)
