# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured on: one real project, depots that hold it, and the module cache that a person would carry instead.

Below .build/bench, made once for one state of the code::

    seed/      a depot with the toolchain alone: both sides of a race begin with Go installed
    full/      seed and the project, gathered, rehearsed and sealed; its build cache is warm
    source/    the project as `go mod download` unpacks it
    modcache/  a GOMODCACHE with the same module versions as full/, the toolchain's too
    offline/   the depot that has received full/'s bundle
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import secrets
import shutil
import subprocess
import sys
import typing as t

import figures
import measuring

ROOT = pathlib.Path(__file__).resolve().parents[1]
BENCH = ROOT / ".build" / "bench"
LOGS = BENCH / "logs"
TRASH = BENCH / "trash"
MODULE, VERSION = "github.com/caddyserver/caddy/v2", "v2.11.9"
GO = "1.26.8"
TOOLCHAIN = "golang.org/toolchain"
PACKAGE = "./cmd/caddy"
MODULES = "ansible_collections.airgap.golang.plugins.modules"
# What our builds are made with; the other side's get the same, so that one build cache serves both.
BUILD = ("build", "-trimpath", "-buildvcs=false")
# Settings of the caller's that would change what is measured; the proxy's and the checksum database's stay.
FOREIGN = ("ANSIBLE_", "PYTHON", "VIRTUAL_ENV", "AIRGAP_", "GOROOT", "GOPATH", "GOMODCACHE", "GOCACHE", "GOFLAGS", "GOENV", "GOTOOLCHAIN", "GOWORK")


class Workload:
    """The depots and caches, and how to run our modules and go on them. ``peaks``: MB of the largest Python process of each module run."""

    def __init__(self, say: t.Callable[[str], None]) -> None:
        self.say = say
        self.seed, self.full, self.source = BENCH / "seed", BENCH / "full", BENCH / "source"
        self.modcache, self.offline, self.bundle = BENCH / "modcache", BENCH / "offline", BENCH / "bundle.tar"
        self.key = BENCH / "keys" / "signing_ed25519"
        self.signers = BENCH / "keys" / "allowed_signers"
        self.peaks: dict[str, float] = {}
        playbook = shutil.which("ansible-playbook")
        go = shutil.which("go")
        if playbook is None or go is None:
            raise measuring.BenchFailed(f"{'ansible-playbook' if playbook is None else 'go'} is not on PATH: make bench brings the former")
        self.playbook = playbook
        # What is on PATH can be a wrapper, whose time would be the other side's loss.
        settings = json.loads(subprocess.run([go, "env", "-json", "GOROOT", "GOPROXY"], check=True, capture_output=True, text=True, cwd="/").stdout)
        self.first_go = os.path.join(settings["GOROOT"], "bin", "go")
        self.goproxy = str(settings["GOPROXY"])
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        self.toolchain = f"v0.0.1-go{GO}.linux-{machine}"
        # Both sides run this go.
        self.go = str(self.full / "cache" / "toolchains" / f"{TOOLCHAIN}@{self.toolchain}" / "bin" / "go")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.environment.update(
            PYTHONPATH=str(ROOT / ".build"),
            # As on a host: Ansible sends sources.
            PYTHONDONTWRITEBYTECODE="1",
            ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".build"),
            ANSIBLE_HOME=str(BENCH / "ansible"),
            ANSIBLE_NOCOLOR="1",
            ANSIBLE_NOCOWS="1",
            ANSIBLE_LOCALHOST_WARNING="false",
            ANSIBLE_INVENTORY_UNPARSED_WARNING="false",
        )

    def prepare(self) -> None:
        """Make what isn't there yet, or was made by other code."""
        stamp = BENCH / "prepared"
        identity = f"{figures.code_hash(ROOT)} {MODULE}@{VERSION} {GO}"
        if stamp.is_file() and stamp.read_text("utf-8") == identity:
            return
        for path in (stamp, self.seed, self.full, self.source, self.modcache, self.offline, self.bundle, BENCH / "work"):
            discard(path)
        BENCH.mkdir(parents=True, exist_ok=True)
        link = ROOT / ".build" / "ansible_collections" / "airgap" / "golang"
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(ROOT)
        self.make_key()
        self.say(f"prepare: a depot with go{GO} alone")
        self.module("gather", self.seed, name="bench", toolchains=[{"version": GO}], go_binary=self.first_go)
        self.say(f"prepare: a depot with {MODULE}@{VERSION}, and its rehearsal (cold builds: minutes)")
        copy(self.seed, self.full)
        self.gather(self.full)
        self.module("rehearse", self.full)
        self.say("prepare: the same modules as a module cache")
        self.take_source()
        self.fill_modcache()
        stamp.write_text(identity, "utf-8")

    def make_key(self) -> None:
        if not self.key.exists():
            self.key.parent.mkdir(mode=0o700, exist_ok=True)
            measuring.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench@airgap.example", "-f", self.key], LOGS / "prepare.log")
            self.signers.write_text(f"bench@airgap.example {self.key.with_suffix('.pub').read_text('utf-8')}", "utf-8")

    def module(self, verb: str, depot: pathlib.Path, /, **arguments: t.Any) -> tuple[measuring.Ran, dict[str, t.Any]]:
        """Run a module of ours as Ansible would on the control node, but without Ansible's own time; (the run, its answer)."""
        arguments_file = BENCH / "arguments.json"
        arguments_file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"depot": str(depot), **arguments}}), "utf-8")
        python = os.path.join(os.path.dirname(self.playbook), "python")
        argv = [python if os.path.exists(python) else sys.executable, "-m", f"{MODULES}.{verb}", str(arguments_file)]
        ran = measuring.run(argv, LOGS / f"{verb}.log", env=self.environment, cwd=BENCH, watch=True)
        self.note_peak(verb, ran.peak)
        return ran, json.loads(ran.stdout)

    def note_peak(self, verb: str, peak: float) -> None:
        self.peaks[verb] = max(peak, self.peaks.get(verb, 0.0))

    def gather(self, depot: pathlib.Path) -> tuple[measuring.Ran, dict[str, t.Any]]:
        """The whole gather of the project."""
        source = {"module": MODULE, "version": VERSION}
        project = {"name": "caddy", "source": source, "scope": "all", "builds": [{"package": PACKAGE, "output": "bin/caddy"}]}
        return self.module("gather", depot, name="bench", toolchains=[{"version": GO}], projects=[project], go_binary=self.first_go)

    def receive(self, dest: pathlib.Path) -> measuring.Ran:
        ran, _answer = self.module("receive", dest, src=str(self.bundle), allowed_signers=str(self.signers))
        return ran

    def go_environment(self, modcache: pathlib.Path, gocache: pathlib.Path, **more: str) -> dict[str, str]:
        """What a person's own go command gets, free of this user's other settings but with this user's proxy."""
        chosen = {
            "GOENV": "off",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GOFLAGS": "",
            "GOPROXY": self.goproxy,
            "GOMODCACHE": str(modcache),
            "GOPATH": str(modcache.parent / "gopath"),
            "GOCACHE": str(gocache),
            "CGO_ENABLED": "0",
            "GOTELEMETRY": "off",
        }
        return {**self.environment, **chosen, **more}

    def take_source(self) -> None:
        """The project's source as the module proxy has it."""
        with_modules = BENCH / "work" / "source"
        environment = self.go_environment(with_modules, BENCH / "work" / "gocache", **self.from_depot())
        found = measuring.run([self.go, "mod", "download", "-json", f"{MODULE}@{VERSION}"], LOGS / "prepare.log", env=environment, cwd=BENCH)
        copy(pathlib.Path(json.loads(found.stdout)["Dir"]), self.source)
        measuring.run(["chmod", "-R", "u+w", self.source], LOGS / "prepare.log")
        discard(BENCH / "work")

    def from_depot(self) -> dict[str, str]:
        """Settings with which go takes modules, and the checksum database, from the full depot alone."""
        return {"GOPROXY": f"file://{self.full / 'current' / 'proxy'}"}

    def fill_modcache(self) -> None:
        """A GOMODCACHE with exactly the versions that the full depot carries, in the state that go leaves them in."""
        config = self.config()
        whole = [f"{module['path']}@{module['version']}" for module in config["modules"] if module["zip"]]
        environment = self.go_environment(self.modcache, BENCH / "work" / "gocache", **self.from_depot())
        log = LOGS / "prepare.log"
        measuring.run([self.go, "mod", "download", *whole], log, env=environment, cwd=BENCH)
        copy(self.source, BENCH / "work" / "source")
        # These read the go.mod files of versions that are carried without a zip.
        measuring.run([self.go, "mod", "tidy", "-diff"], log, env=environment, cwd=BENCH / "work" / "source")
        measuring.run([self.go, "list", "-m", "all"], log, env=environment, cwd=BENCH / "work" / "source")
        # go gives a toolchain its exec bits when it first switches to it.
        goroot = self.modcache / f"{TOOLCHAIN}@{self.toolchain}"
        for path in (*goroot.glob("bin/*"), *goroot.glob("pkg/tool/*/*")):
            path.chmod(0o755)
        discard(BENCH / "work")

    def config(self) -> dict[str, t.Any]:
        """The full depot's latest config: what it carries."""
        (tagged,) = [entry for entry in json.loads((self.full / "index.json").read_text("utf-8"))["manifests"] if "000002" in entry["annotations"].values()]
        manifest = json.loads(self.blob(tagged["digest"]).read_text("utf-8"))
        return t.cast("dict[str, t.Any]", json.loads(self.blob(manifest["config"]["digest"]).read_text("utf-8")))

    def blob(self, digest: str) -> pathlib.Path:
        return self.full / "blobs" / "sha256" / digest.partition(":")[2]

    def machine(self) -> str:
        """The machine and the versions, for the README."""
        with open("/proc/meminfo", encoding="ascii") as stream:
            memory = int(stream.readline().split()[1]) / (1 << 20)
        release = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
        code = "import ansible.release, platform; print(ansible.release.__version__, platform.python_version())"
        python = os.path.join(os.path.dirname(self.playbook), "python")
        versions = subprocess.run([python, "-c", code], text=True, capture_output=True, check=False, env=self.environment).stdout.split()
        ansible = f"ansible-core {versions[0]} with Python {versions[1]}" if versions else "ansible-core"
        return f"{os.cpu_count()} cores, {memory:.0f} GiB, {release}, go {GO}, {ansible}"


def copy(source: pathlib.Path, dest: pathlib.Path) -> None:
    """A copy of a tree with its modes, hard links among its files kept; nothing of it is shared with the original."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    measuring.run(["cp", "--archive", "--no-target-directory", source, dest], LOGS / "prepare.log")


def discard(path: pathlib.Path) -> None:
    """Take a file or tree away; it's removed when everything is measured, since many removals slow down what is made after them."""
    if os.path.lexists(path):
        TRASH.mkdir(parents=True, exist_ok=True)
        path.rename(TRASH / secrets.token_hex(8))


def empty_trash() -> None:
    """Remove what was discarded, read-only module caches included."""
    if TRASH.is_dir():
        subprocess.run(["chmod", "-R", "u+w", TRASH], check=True)
        shutil.rmtree(TRASH)
