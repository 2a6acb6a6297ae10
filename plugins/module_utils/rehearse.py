# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearse: do without a network, from the generation's tree alone, what hosts will do with it; seal what passed.

Every project is listed, built, vetted and tested as far as its scope promises, then vendored, and its binaries are built from that.
Loose modules are imported by a new project, tools are installed, toolchains are switched to.

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
from ._content import layers
from ._content.carried import cached_modules
from ._content.make_extras import Maker
from ._depot import manifest as oci
from ._depot.audit import now
from ._depot.depot import Depot
from ._depot.generation import Generation, Ref
from ._go import closure, proof, runs, source, toolchain
from ._go.build import Build, run_build
from ._go.command import GoCommand
from ._go.modcache import ModuleCache

EVIDENCE = "evidence/rehearsal.json"


@dataclasses.dataclass
class Outcome:
    """``builds``: one record a build, with the binary's SHA-256; ``isolation``: how the network was kept out."""

    changed: bool
    generation: t.Optional[Generation]
    isolation: str
    builds: list[dict[str, t.Any]]
    warnings: list[str] = dataclasses.field(default_factory=list)


def rehearse(depot: Depot, number: t.Optional[int], trace_id: str, timeout: float, reporter: Reporter, check: bool = False) -> Outcome:
    """Rehearse a generation (the latest by default) and seal it. A sealed one stays as it is.

    :param timeout: seconds for one build.
    :raises CommandFailed, ProjectDirty, BuildFailed: something doesn't work; all of it is named, and nothing is sealed.
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
            return _Rehearsal(depot, generation, scratch, timeout, reporter).run(trace_id)
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


class _Rehearsal:
    """One run. Attributes are what the steps hand on."""

    def __init__(self, depot: Depot, generation: Generation, scratch: str, timeout: float, reporter: Reporter) -> None:
        self.depot = depot
        self.generation = generation
        self.config = generation.config
        self.tree = depot.tree(generation.ref)
        self.scratch = scratch
        self.timeout = timeout
        self.reporter = reporter
        self.isolation = sandbox.choose(None)
        self.platform = toolchain.host_platform()
        self.gocache = os.path.join(depot.path, "cache", "go-build")
        self.cache = ModuleCache(os.path.join(depot.path, "cache", "toolchains"))
        self.refusals: list[AirgapError] = []
        self.warnings: list[str] = []
        self.layers: list[oci.Layer] = []
        self.builds: list[dict[str, t.Any]] = []
        self.tidy: dict[str, bool] = {}
        self.binaries: dict[tuple[str, str], list[dict[str, t.Any]]] = {}
        self.extras: dict[tuple[str, str], dict[str, t.Any]] = {}
        self.pages: dict[str, str] = {}

    def run(self, trace_id: str) -> Outcome:
        network = self.isolation.prove()
        self._unpack_toolchains()
        loose = [entry for entry in self.config["spec"]["modules"] if entry["closure"] == "packages"]
        steps = len(self.config["projects"]) + len(loose) + len(self.config["tools"]) + len(self.toolchains)
        stage = self.reporter.stage("rehearse: without a network", steps)
        for version in self.toolchains:
            self._attempt(self._switch, version)
            stage.advance(1, note=f"go{version}")
        for project in self.config["projects"]:
            self._attempt(self._project, project)
            stage.advance(1, note=f"project {project['name']}")
        for entry in loose:
            self._attempt(self._module, entry)
            stage.advance(1, note=f"module {entry['path']}@{entry['version']}")
        for entry in self.config["tools"]:
            self._attempt(self._tool, entry)
            stage.advance(1, note=f"tool {entry['package']}")
        self._refuse()
        return Outcome(True, self._seal(network, trace_id), self.isolation.method, self.builds, self.warnings)

    def _attempt(self, step: t.Callable[[t.Any], None], thing: t.Any) -> None:
        """Whatever fails, the others are tried too."""
        try:
            step(thing)
        except AirgapError as exc:
            self.refusals.append(exc)

    def _refuse(self) -> None:
        if len(self.refusals) == 1:
            raise self.refusals[0]
        if self.refusals:
            raise BuildFailed(
                f"the rehearsal of generation {self.generation.ref} failed: {'; '.join(refusal.message for refusal in self.refusals)}",
                subject=", ".join(refusal.subject for refusal in self.refusals),
                found=self.refusals[0].found,
                hint="the generation stays unsealed: mend the projects or the spec and gather again",
                details=[refusal.failure() for refusal in self.refusals],
            )

    # -- go commands

    @property
    def toolchains(self) -> list[str]:
        """The versions that are carried for this machine's platform."""
        return [str(entry["version"]) for entry in self.config["toolchains"] if entry["platform"] == self.platform]

    def _unpack_toolchains(self) -> None:
        """Those that projects are built with, and the newest, which serves all else."""
        needs_go = bool(self.config["projects"] or self.config["tools"] or self.config["spec"]["modules"] or self.toolchains)
        needed = {str(project["toolchain"]) for project in self.config["projects"]}
        absent = needed - set(self.toolchains)
        if absent or (needs_go and not self.toolchains):
            raise BuildFailed(
                f"generation {self.generation.ref} carries no toolchain {', '.join(sorted(absent)) or 'at all'}, which this control node needs to rehearse",
                subject=str(self.generation.ref),
                hint=f"gather on a control node of this platform, or add {self.platform} to the toolchains' platforms",
            )
        wanted = {toolchain.module_version(version, self.platform) for version in needed | {toolchain.choose("", self.toolchains)}}
        modules = [module for module in cached_modules(self.generation, self.tree) if module.path == toolchain.MODULE and module.version in wanted]
        self.cache.install(modules, stage=self.reporter.stage("rehearse: toolchains"))

    def _goroot(self, version: str) -> str:
        return self.cache.directory(toolchain.MODULE, toolchain.module_version(version, self.platform))

    def _go(self, version: str) -> GoCommand:
        goos, goarch = self.platform.split("/")
        settings = {
            "GOVERSION": "go" + version,
            "GOHOSTOS": goos,
            "GOHOSTARCH": goarch,
            "GOSUMDB": str(self.config["go"]["gosumdb"]) or "off",
            "GONOSUMDB": str(self.config["go"]["nosumdb"]),
        }
        return GoCommand(os.path.join(self._goroot(version), "bin", "go"), settings)

    def _offline(self, go: GoCommand) -> closure.Run:
        return runs.without_network(go, self.isolation, os.path.join(self.tree, "proxy"), os.path.join(self.scratch, "offline"), self.gocache)

    def _own(self, *names: str) -> str:
        path = os.path.join(self.scratch, *names)
        os.makedirs(path, exist_ok=True)
        return path

    # -- what must work

    def _switch(self, version: str) -> None:
        """The newest toolchain switches to each other one: the checksum database vouches for it, without a network."""
        newest = toolchain.choose("", self.toolchains)
        if version != newest and self.config["go"]["sumdb"]:
            self._offline(self._go(newest))(["version"], self._own("switch"), {"GOTOOLCHAIN": "go" + version})

    def _project(self, project: t.Mapping[str, t.Any]) -> None:
        name, version = str(project["name"]), str(project["toolchain"])
        top = os.path.join(self.scratch, "projects", name)
        source.copy_directory(os.path.join(self.tree, "projects", name), top)
        directory = os.path.normpath(os.path.join(top, str(project["directory"])))
        builds = [Build.from_dict(build) for build in project["builds"]]
        go = self._go(version)
        layout = closure.read_project(f"project {name}", directory, top, go)
        root = closure.Root("project", f"project {name}", directory, go, scope=str(project["scope"]), layout=layout, builds=tuple(builds))
        root.dirty_is_error = project["dirty"] == "error"
        self.tidy[name] = proof.prove_project(
            root, self._offline(go), project["env"], project["tags"], bool(project["run_tests"]), os.path.join(self.scratch, "work", name)
        )
        if not builds:
            root.warnings.append(f"{root.label} has no main package and no builds: its packages are compiled, no binary is made")
        self.warnings += root.warnings
        self._build(project, directory, builds)
        vendored = layers.vendor_layer(self.depot, name, top, directory, self.scratch)
        self.layers += [vendored] if vendored else []
        remove_tree(top)

    def _build(self, project: t.Mapping[str, t.Any], directory: str, builds: t.Sequence[Build]) -> None:
        name = str(project["name"])
        failures: list[dict[str, t.Any]] = []
        for build in builds:
            own = self._own("builds", name, build.output.replace("/", "-"))
            try:
                record = run_build(
                    self.isolation,
                    self._goroot(str(project["toolchain"])),
                    directory,
                    build,
                    os.path.join(own, "binary"),
                    own,
                    gocache=self.gocache,
                    timeout=self.timeout,
                    workspace=bool(project["workspace"]),
                    top=os.path.join(self.scratch, "projects", name),
                )
            except AirgapError as exc:
                failures.append({"project": name, "output": build.output, "said": exc.message})
            else:
                self.builds.append(
                    {
                        "project": name,
                        **build.to_dict(),
                        "sha256": record.sha256,
                        "size": record.size,
                        "seconds": round(record.seconds, 3),
                        # As anybody could run it: where this machine has things is nobody's business.
                        "argv": list(build.command) or ["go", *record.argv[1:-2], build.output, build.package],
                        "go": record.go_version,
                    }
                )
            remove_tree(own)
        if failures:
            lines = "; ".join(f"{failure['project']} {failure['output']}: {failure['said']}" for failure in failures)
            raise BuildFailed(
                f"the rehearsal of generation {self.generation.ref} failed: {lines}",
                subject=", ".join(f"{failure['project']} {failure['output']}" for failure in failures),
                found=str(failures[0]["said"]),
                hint="the generation stays unsealed: mend the project or the spec and gather again",
                details=failures,
            )

    def _module(self, entry: t.Mapping[str, t.Any]) -> None:
        go = self._go(toolchain.choose("", self.toolchains))
        target = f"{entry['path']}@{entry['version']}"
        beside = tuple((str(path), str(version)) for path, version in entry["beside"])
        directory = os.path.join(self._own("probes"), str(len(os.listdir(self._own("probes")))))
        proof.prove_module(closure.Root("module", f"module {target}", directory, go, target=target, beside=beside), self._offline(go))

    def _tool(self, entry: t.Mapping[str, t.Any]) -> None:
        go = self._go(toolchain.choose("", self.toolchains))
        key = (str(entry["package"]), str(entry["version"]))
        root = closure.Root("tool", f"tool {'@'.join(key)}", "", go, target="@".join(key))
        run = self._offline(go)
        number = str(len(os.listdir(self._own("tools"))))
        proof.prove_tool(root, run, self._own("tools", number))

        def build(platform: str) -> str:
            return proof.build_tool(root, run, platform, self._own("tools", number, platform.replace("/", "-")))

        built = {platform: build(platform) for platform in entry["platforms"]}
        if any(entry.get(asked) for asked in ("completions", "man", "man_command")):
            # The same for all platforms: who prints them is this machine's own.
            self._extras(entry, built.get(self.platform) or build(self.platform), self._own("extras", number))
        for platform, binary in built.items():
            layer = layers.tool_layer(self.depot, binary, platform)
            self.layers.append(layer)
            made = {"platform": platform, "name": os.path.basename(layer.title), "sha256": layer.hex, "size": layer.size}
            self.binaries.setdefault(key, []).append(made)

    def _extras(self, entry: t.Mapping[str, t.Any], binary: str, scratch: str) -> None:
        program = os.path.basename(binary)
        files = Maker(self.generation, entry, binary, self.tree, self.isolation, scratch, self.timeout).make()
        pages = sorted(os.path.basename(name) for name in files if name.startswith("man/"))
        for page in pages:
            other = self.pages.setdefault(page, program)
            if other != program:
                raise BuildFailed(f"{other} and {program} both have a man page {page}", subject=page, hint="name it for one of these tools only")
        self.layers.append(layers.extras_layer(self.depot, program, files, scratch))
        self.extras[str(entry["package"]), str(entry["version"])] = {
            "program": program,
            "completions": sorted(os.path.basename(name) for name in files if name.startswith("completions/")),
            "man": pages,
        }

    def _made(self, tool: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """A tool's entry in the sealed config."""
        key = (str(tool["package"]), str(tool["version"]))
        extras = {"extras": self.extras[key]} if key in self.extras else {}
        return {**tool, "binaries": self.binaries.get(key, []), **extras}

    # -- seal

    def _seal(self, network: str, trace_id: str) -> Generation:
        """Admit the generation again under its sealed name, with what the rehearsal made and its record inside."""
        path = os.path.join(self.scratch, "rehearsal.json")
        record = {
            "generation": self.generation.ref.number,
            "rehearsed": self.generation.digest,
            "time": now(),
            "isolation": self.isolation.method,
            "network": network,
            "builds": self.builds,
        }
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(record, stream, indent=1, sort_keys=True)
            stream.write("\n")
        sha256, size = sha256_of(path)
        self.depot.blobs.adopt(path, "sha256:" + sha256, size, move=True)
        evidence = oci.Layer("sha256:" + sha256, size, "application/json", EVIDENCE, "evidence")
        by_output = {(build["project"], build["output"]): build for build in self.builds}
        config = dict(self.config)
        config["seal"] = {"time": record["time"], "isolation": self.isolation.method, "evidence": EVIDENCE, "builds": self.builds}
        config["projects"] = [
            dict(
                project,
                tidy=self.tidy[project["name"]],
                builds=[dict(build, **{key: by_output[project["name"], build["output"]][key] for key in ("sha256", "size")}) for build in project["builds"]],
            )
            for project in self.config["projects"]
        ]
        config["tools"] = [self._made(tool) for tool in self.config["tools"]]
        encoded = oci.canonical(config)
        manifest = oci.Manifest(oci.digest_of(encoded), len(encoded), (*self.generation.manifest.layers, *self.layers, evidence)).encode()
        # Before anything is synced to disk: 10^5 unpacked files that nobody needs again.
        remove_tree(os.path.join(self.scratch, "offline"))
        return self.depot.admit(
            Ref(self.generation.ref.number, True),
            manifest,
            encoded,
            trace_id,
            replaces=self.generation.ref,
            facts={"by": "rehearse", "isolation": self.isolation.method},
        )
