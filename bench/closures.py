# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two more parts: the gather of a large project against what the network and the go command take, and of many projects against one."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import measuring
import parts
import workload
from measuring import Ran, alternating
from workload import BENCH, LOGS, Workload

LARGE, LARGE_VERSION = "github.com/anchore/syft", "v1.57.0"
CONNECTIONS = 16
PROJECTS = 50


@dataclasses.dataclass(frozen=True)
class Twice:
    """Seconds of a cold run, and of the same again."""

    cold: float
    again: float


def large(work: Workload) -> parts.Figures:
    """The whole gather, cold, with the checksum database; `go mod download`; and curl for exactly the files that the gather carries."""
    project = {"name": "large", "source": {"module": LARGE, "version": LARGE_VERSION}, "builds": [{"package": "./cmd/syft", "output": "bin/syft"}]}
    source = parts.WORK / "large-source"
    take_source(work, source)
    lists: list[pathlib.Path] = []
    counts: list[dict[str, t.Any]] = []

    def ours(number: int) -> Twice:
        depot = parts.WORK / f"large-{number}"
        workload.copy(work.seed, depot)
        given = {"name": "bench", "toolchains": [{"version": workload.GO}], "projects": [project], "go_binary": work.go}
        cold, answer = work.module("gather", depot, **given)
        again, unchanged = work.module("gather", depot, **given)
        if unchanged["changed"]:
            raise measuring.BenchFailed("the second gather changed something")
        if not lists:
            counts.append(answer["fetched"])
            lists.append(curl_list(work, depot))
        return Twice(cold.seconds, again.seconds)

    def by_hand(number: int) -> Twice:
        place = parts.WORK / f"large-by-hand-{number}"
        workload.copy(source, place / "source")
        environment = work.go_environment(place / "modcache", place / "gocache")
        runs = [measuring.run([work.go, "mod", "download"], LOGS / "large.log", env=environment, cwd=place / "source") for _time in range(2)]
        return Twice(runs[0].seconds, runs[1].seconds)

    def connections(number: int) -> Ran:
        place = parts.WORK / f"large-curl-{number}"
        place.mkdir(parents=True)
        argv = ["curl", "--silent", "--fail", "--parallel", "--parallel-max", str(CONNECTIONS), "--config", lists[0]]
        return measuring.run(argv, LOGS / "large.log", cwd=place)

    sides: list[measuring.Side[t.Any]] = [("gather", ours), ("go mod download", by_hand), (f"curl, {CONNECTIONS} at once", connections)]
    mine, hand, curl = alternating(parts.ROUNDS, *sides, say=work.say)
    what = f"{LARGE}@{LARGE_VERSION}: {counts[0]['files']} files with {counts[0]['bytes'] / 1e6:.0f} MB, hashed, compared with go.sum and the checksum database"
    return {
        "figures": [
            parts.timed("gather a large project, against `go mod download`", [run.cold for run in mine], [run.cold for run in hand], 4.0, what),
            parts.timed(
                f"gather it, against {CONNECTIONS} connections that fetch the same files", [run.cold for run in mine], [run.seconds for run in curl], 0.33, what
            ),
            parts.timed("gather it again, nothing changed, against `go mod download` again", [run.again for run in mine], [run.again for run in hand], None),
        ],
        "memory": [parts.peak("gather of the large project", work.peaks["gather"])],
    }


def take_source(work: Workload, dest: pathlib.Path) -> None:
    environment = work.go_environment(parts.WORK / "source-modcache", parts.WORK / "source-gocache")
    found = measuring.run([work.go, "mod", "download", "-json", f"{LARGE}@{LARGE_VERSION}"], LOGS / "large.log", env=environment, cwd=BENCH)
    workload.copy(pathlib.Path(json.loads(found.stdout)["Dir"]), dest)
    measuring.run(["chmod", "-R", "u+w", dest], LOGS / "large.log")


def curl_list(work: Workload, depot: pathlib.Path) -> pathlib.Path:
    """A configuration for curl that fetches every module file of the depot's latest tree from where the gather had it."""
    base = work.goproxy.replace("|", ",").split(",")[0].rstrip("/")
    tree = (depot / "current" / "proxy").resolve()
    lines = []
    for path in sorted(tree.rglob("@v/*")):
        name = path.relative_to(tree).as_posix()
        if path.suffix in (".zip", ".mod", ".info") and not name.startswith(workload.TOOLCHAIN):
            lines.append(f'url = "{base}/{name}"\noutput = "{len(lines)}"\n')
    config = parts.WORK / "curl.config"
    config.write_text("".join(lines), "utf-8")
    return config


def many(work: Workload) -> parts.Figures:
    """Many projects with one set of requirements against one project that has them: modules are fetched and stored once."""
    made = []
    for number in range(PROJECTS):
        project = parts.WORK / "projects" / str(number)
        project.mkdir(parents=True)
        for name in ("go.mod", "go.sum"):
            content = (work.source / name).read_text("utf-8")
            (project / name).write_text(content.replace(f"module {workload.MODULE}\n", f"module project{number}.example/project\n", 1), "utf-8")
        (project / "main.go").write_text("package main\n\nfunc main() {}\n", "utf-8")
        made.append({"name": f"project-{number}", "source": {"path": str(project)}, "builds": [{"output": "bin/project"}]})

    def gather(count: int) -> t.Callable[[int], Ran]:
        def run(number: int) -> Ran:
            depot = parts.WORK / f"many-{count}-{number}"
            workload.copy(work.seed, depot)
            given = {"name": "bench", "toolchains": [{"version": workload.GO}], "projects": made[:count], "go_binary": work.first_go}
            return work.module("gather", depot, **given)[0]

        return run

    mine, one = alternating(parts.ROUNDS, (f"{PROJECTS} projects", gather(PROJECTS)), ("one project", gather(1)), say=work.say)
    what = "the same requirements in each; blobs are shared"
    name = f"gather {PROJECTS} projects that share their modules, against gathering one of them"
    rows = [parts.timed(name, parts.seconds(mine), parts.seconds(one), None, what)]
    return {"figures": rows, "memory": [parts.peak(f"gather of {PROJECTS} projects", work.peaks["gather"])]}
