# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearse: build each project from the generation's tree alone, without a network, and seal what passed.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from ._base import sandbox
from ._base.errors import AirgapError, BuildFailed, DepotDamaged
from ._base.files import remove_tree, sha256_of
from ._base.progress import Reporter
from ._content.carried import cached_modules
from ._depot import manifest as oci
from ._depot.audit import now
from ._depot.depot import Depot
from ._depot.generation import Generation, Ref
from ._go import toolchain
from ._go.build import Build, run_build
from ._go.modcache import ModuleCache

EVIDENCE = "evidence/rehearsal.json"


@dataclasses.dataclass
class Outcome:
    """``builds``: one record a build, with the binary's SHA-256; ``isolation``: how the network was kept out."""

    changed: bool
    generation: t.Optional[Generation]
    isolation: str
    builds: list[dict[str, t.Any]]


def rehearse(depot: Depot, number: t.Optional[int], trace_id: str, timeout: float, reporter: Reporter, check: bool = False) -> Outcome:
    """Rehearse a generation (the latest by default) and seal it. A sealed one stays as it is.

    :param timeout: seconds for one build.
    :raises BuildFailed: some builds failed; all of them are in ``details``, and nothing is sealed.
    """
    generation = _pick(depot, number)
    if generation.ref.sealed:
        return Outcome(False, generation, str(generation.config["seal"]["isolation"]), list(generation.config["seal"]["builds"]))
    if check:
        return Outcome(True, generation, sandbox.choose(None).method, [])
    with depot.locked():
        depot.sweep("fetch")
        scratch = depot.scratch("rehearse")
        try:
            isolation = sandbox.choose(None)
            proof = isolation.prove()
            builds = _build_all(depot, generation, isolation, scratch, timeout, reporter)
            sealed = _seal(depot, generation, isolation, proof, builds, scratch, trace_id)
            return Outcome(True, sealed, isolation.method, builds)
        finally:
            remove_tree(scratch)


def _pick(depot: Depot, number: t.Optional[int]) -> Generation:
    if number is None:
        latest = depot.latest()
        if latest is None:
            raise DepotDamaged(f"the depot {depot.path} has no generation", code="generation_missing", subject=depot.path, hint="gather one first")
        return latest
    sealed = Ref(number, True)
    return depot.generation(sealed if sealed in depot.index() else Ref(number, False))


def _build_all(depot: Depot, generation: Generation, isolation: sandbox.Isolation, scratch: str, timeout: float, reporter: Reporter) -> list[dict[str, t.Any]]:
    tree = depot.tree(generation.ref)
    cache = ModuleCache(os.path.join(depot.path, "cache", "rehearsal"))
    mine = toolchain.host_platform()
    needed = {toolchain.module_version(str(project["toolchain"]), mine) for project in generation.config["projects"]}
    wanted = [module for module in cached_modules(generation, tree) if module.path == toolchain.MODULE and module.version in needed]
    absent = needed - {module.version for module in wanted}
    if absent:
        raise BuildFailed(
            f"generation {generation.ref} carries no toolchain {', '.join(sorted(absent))}, which this control node needs to rehearse",
            subject=str(generation.ref),
            hint=f"gather on a control node of this platform, or add {mine} to the toolchains' platforms",
        )
    cache.install(wanted, stage=reporter.stage("rehearse: toolchains"))
    todo = [(project, Build.from_dict(build)) for project in generation.config["projects"] for build in project["builds"]]
    stage = reporter.stage("rehearse: builds", len(todo))
    records: list[dict[str, t.Any]] = []
    failures: list[dict[str, t.Any]] = []
    for number, (project, build) in enumerate(todo):
        name = str(project["name"])
        directory = os.path.normpath(os.path.join(tree, "projects", name, str(project["directory"])))
        own = os.path.join(scratch, str(number))
        os.makedirs(own)
        try:
            record = run_build(
                isolation,
                cache.directory(toolchain.MODULE, toolchain.module_version(str(project["toolchain"]), mine)),
                directory,
                build,
                os.path.join(own, "binary"),
                own,
                gocache=os.path.join(depot.path, "cache", "go-build"),
                timeout=timeout,
                workspace=bool(project["workspace"]),
            )
        except AirgapError as exc:
            failures.append({"project": name, "output": build.output, "said": exc.message})
        else:
            records.append(
                {
                    "project": name,
                    **build.to_dict(),
                    "sha256": record.sha256,
                    "size": record.size,
                    "seconds": round(record.seconds, 3),
                    # As anybody could run it: where this machine has things is nobody's business.
                    "argv": ["go", *record.argv[1:-2], build.output, build.package],
                    "go": record.go_version,
                }
            )
        remove_tree(own)
        stage.advance(1, note=f"{name}: {build.output}")
    if failures:
        lines = "; ".join(f"{failure['project']} {failure['output']}: {failure['said']}" for failure in failures)
        raise BuildFailed(
            f"the rehearsal of generation {generation.ref} failed: {lines}",
            subject=", ".join(f"{failure['project']} {failure['output']}" for failure in failures),
            found=str(failures[0]["said"]),
            hint="the generation stays unsealed: mend the project or the spec and gather again",
            details=failures,
        )
    return records


def _seal(
    depot: Depot, generation: Generation, isolation: sandbox.Isolation, proof: str, builds: list[dict[str, t.Any]], scratch: str, trace_id: str
) -> Generation:
    """Admit the generation again under its sealed name, with the rehearsal's record as evidence inside."""
    path = os.path.join(scratch, "rehearsal.json")
    record = {
        "generation": generation.ref.number,
        "rehearsed": generation.digest,
        "time": now(),
        "isolation": isolation.method,
        "network": proof,
        "builds": builds,
    }
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(record, stream, indent=1, sort_keys=True)
        stream.write("\n")
    sha256, size = sha256_of(path)
    depot.blobs.adopt(path, "sha256:" + sha256, size, move=True)
    evidence = oci.Layer("sha256:" + sha256, size, "application/json", EVIDENCE, "evidence")
    config = dict(generation.config)
    config["seal"] = {"time": record["time"], "isolation": isolation.method, "evidence": EVIDENCE, "builds": builds}
    by_output = {(build["project"], build["output"]): build for build in builds}
    config["projects"] = [
        dict(
            project,
            builds=[
                dict(build, sha256=by_output[project["name"], build["output"]]["sha256"], size=by_output[project["name"], build["output"]]["size"])
                for build in project["builds"]
            ],
        )
        for project in config["projects"]
    ]
    encoded = oci.canonical(config)
    manifest = oci.Manifest(oci.digest_of(encoded), len(encoded), (*generation.manifest.layers, evidence)).encode()
    return depot.admit(
        Ref(generation.ref.number, True), manifest, encoded, trace_id, replaces=generation.ref, facts={"by": "rehearse", "isolation": isolation.method}
    )
