#!/usr/bin/env python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches what one project's go.sum names, in turns: by curl with 16 connections, by a cold `go mod download`, and by our store, hashes
included. Prints medians, ratios, CPU seconds and our largest process.

    bench/fetching.py                                          # three rounds
    bench/fetching.py --rounds 1 --module github.com/mikefarah/yq/v4@v4.54.2

curl gets the zips alone, go the zips and .info and .mod of the module graph, and the store zips, .mod and .info of all that go.sum names.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
import zipfile

import measuring
import workload

MODULE = "github.com/anchore/syft@v1.57.0"
CONNECTIONS = 16


class Ran(t.NamedTuple):
    """Wall clock and CPU seconds, MB on disk, the MB of the largest Python process, and what it said."""

    seconds: float
    cpu: float
    moved: float
    peak: float
    said: str

    def __str__(self) -> str:
        peak = f", {self.peak:.0f} MB in the largest process" if self.peak else ""
        return f"{self.seconds:.2f} s, {self.cpu:.2f} s of CPU, {self.moved:.0f} MB{peak}" + (f" ({self.said})" if self.said else "")


def measured(argv: t.Sequence[str], into: pathlib.Path, log: pathlib.Path, watch: bool = False, **more: t.Any) -> Ran:
    """Run a program that fills the directory ``into``, which is removed afterwards."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = measuring.run(argv, log, watch=watch, **more)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    moved = sum(path.stat().st_size for path in into.rglob("*") if path.is_file()) / 1e6
    subprocess.run(["chmod", "-R", "u+w", into], check=True)
    shutil.rmtree(into)
    return Ran(ran.seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, moved, ran.peak, ran.stdout.strip())


class Sides:
    """What is compared; each fetches the same into a fresh directory below ``scratch``."""

    def __init__(self, scratch: pathlib.Path, module: str) -> None:
        self._scratch = scratch
        self._into = scratch / "into"
        self._log = scratch / "log"
        told = json.loads(subprocess.run(["go", "mod", "download", "-json", module], check=True, stdout=subprocess.PIPE).stdout)
        project = scratch / "project"
        project.mkdir()
        with zipfile.ZipFile(told["Zip"]) as archive:
            for name in ("go.mod", "go.sum"):
                (project / name).write_bytes(archive.read(f"{module}/{name}"))
        self._project = project
        chain = subprocess.run(["go", "env", "GOPROXY"], check=True, stdout=subprocess.PIPE, text=True).stdout
        base = chain.strip().replace("|", ",").split(",")[0].rstrip("/")
        lines = []
        for number, (path, version) in enumerate(sorted(wanted(project)[0])):
            lines += [f'url = "{base}/{proxy_path(path, version)}"', f'output = "{self._into}/{number}.zip"']
        (scratch / "curl").write_text("\n".join(lines) + "\n")

    def curl(self, _round: int) -> Ran:
        self._into.mkdir()
        argv = ["curl", "--silent", "--fail", "--parallel", "--parallel-immediate", "--parallel-max", str(CONNECTIONS), "--config", str(self._scratch / "curl")]
        return measured(argv, self._into, self._log)

    def go(self, _round: int) -> Ran:
        environment = {**os.environ, "GOMODCACHE": str(self._into), "GOFLAGS": "-mod=mod"}
        return measured(["go", "mod", "download"], self._into, self._log, env=environment, cwd=self._project)

    def ours(self, _round: int) -> Ran:
        argv = [sys.executable, __file__, "--into", str(self._into), "--project", str(self._project)]
        return measured(argv, self._into, self._log, watch=True)


def wanted(project: pathlib.Path) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(versions whose zips a go.sum names, all that it names)."""
    zips, every = set(), set()
    for line in (project / "go.sum").read_text().splitlines():
        module, version, _h1 = line.split()
        every.add((module, version[: -len("/go.mod")] if version.endswith("/go.mod") else version))
        if not version.endswith("/go.mod"):
            zips.add((module, version))
    return zips, every


def proxy_path(module: str, version: str) -> str:
    return "".join(f"!{char.lower()}" if char.isupper() else char for char in f"{module}/@v/{version}.zip")


def fetch(into: str, project: pathlib.Path) -> None:
    """What a gather does first: get it all, and look into every zip."""
    sys.path.insert(0, str(workload.ROOT / ".build"))
    from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher
    from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
    from ansible_collections.airgap.golang.plugins.module_utils._go import goproxy, gosum, hashcheck
    from ansible_collections.airgap.golang.plugins.module_utils._go.store import ModuleStore, hasher_processes

    def direct(*_: object) -> t.Any:
        raise measuring.BenchFailed("this bench fetches public modules alone")

    chain = goproxy.parse_chain(subprocess.run(["go", "env", "GOPROXY"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    zips, every = wanted(project)
    keys = [(*version, "zip") for version in sorted(zips)] + [(*version, ext) for version in sorted(every) for ext in ("mod", "info")]
    sums = gosum.parse((project / "go.sum").read_text(), "go.sum")
    started = time.monotonic()
    with hasher_processes() as hashers, Fetcher(connections=CONNECTIONS) as fetcher:
        upstream = goproxy.Upstream(chain, "", fetcher, t.cast(goproxy.Direct, direct))
        store = ModuleStore(into, upstream, lambda key: None, hashers, Reporter().stage("bench"), CONNECTIONS)
        store.prefetch(keys)
        begun = time.monotonic()
        store.settle()
        fetched = time.monotonic()
        hashcheck.check_sums(store, sums)
        store.close()
    ended = time.monotonic()
    print(f"begun in {begun - started:.2f} s, fetched after {fetched - started:.2f} s, hashed after {ended - started:.2f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--module", default=MODULE, help="module@version with a go.sum (default: %(default)s)")
    parser.add_argument("--only", choices=("curl", "go", "ours"), action="append")
    parser.add_argument("--into", help=argparse.SUPPRESS)
    parser.add_argument("--project", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.into:
        fetch(options.into, options.project)
        return 0
    with tempfile.TemporaryDirectory(prefix="fetching-") as scratch:
        sides = Sides(pathlib.Path(scratch), options.module)
        chosen = [(name, getattr(sides, name)) for name in options.only or ("curl", "go", "ours")]
        results = dict(zip([name for name, _side in chosen], measuring.alternating(options.rounds, *chosen, say=print)))
    seconds = {name: measuring.median(one.seconds for one in its) for name, its in results.items()}
    for name, its in results.items():
        cpu, peak = measuring.median(one.cpu for one in its), max(one.peak for one in its)
        print(f"{name:5} {seconds[name]:7.2f} s {cpu:7.2f} s of CPU" + (f", largest process {peak:.0f} MB" if peak else ""))
    for name in ("go", "curl"):
        if name in seconds and "ours" in seconds:
            print(f"ours against {name}: {seconds[name] / seconds['ours']:.2f} times as fast")
    return 0


if __name__ == "__main__":
    sys.exit(main())
