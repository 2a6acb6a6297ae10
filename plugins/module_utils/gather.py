# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gather: from a spec to an unsealed generation, on the connected side.

Phases: *resolve* (what the spec means now; is the latest generation that already?), *fetch* (sources, toolchains, module
files as go.sum and the go command name them, hashed as they come), *check* (every h1 against go.sum and the checksum database,
whose snapshot is made), *store* (blobs, manifest). That it all works without a network is shown by the rehearsal.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import tempfile
import threading
import time
import typing as t

from . import lock_diff
from ._base.errors import AirgapError, CommandFailed, FetchFailed, SpecInvalid
from ._base.fetch import Fetcher
from ._base.files import remove_tree, write_atomically
from ._base.pool import worker_processes
from ._base.progress import Reporter
from ._content import begun, layers, loose, resources
from ._content import kit as kits
from ._content import lock as locks
from ._content import spec as specs
from ._content.earlier import EarlierGenerations
from ._depot import manifest as oci
from ._depot.depot import Depot
from ._depot.generation import SCHEMA, Generation
from ._go import archive, carrieddb, closure, goroots, gosum, hashcheck, proof, proxytree, queries, runs, source, sumdb, toolchain
from ._go.command import GoCommand, find_go
from ._go.estimate import Estimate, Expected
from ._go.goauth import GoAuth
from ._go.goproxy import DirectGo, Upstream, parse_chain
from ._go.recorder import RecordingProxy
from ._go.store import ModuleStore

#: Fetching and the go command's questions follow each other, and hashing only has to be done at the end: it takes what they leave.
_STAND_BACK = 5


@dataclasses.dataclass
class Options:
    """How to gather. ``goproxy``, ``goprivate``, ``gosumdb``: like go's own, empty for the user's settings.

    ``lock``: the lock's path, "" for none; ``frozen``: refuse what goes beyond it; ``upgrade``: resolve anew what it pins;
    ``partial``: only some of the spec's projects are in the spec. ``vulndb``: a copy of the vulnerability database, "" for none.
    """

    go_binary: str = ""
    goproxy: str = ""
    goprivate: str = ""
    gosumdb: str = ""
    connections: int = 32
    check: bool = False
    trace_id: str = ""
    lock: str = ""
    frozen: bool = False
    upgrade: bool = False
    partial: bool = False
    vulndb: str = ""


@dataclasses.dataclass
class Outcome:
    """What gather did: ``changed``, the generation (None in check mode), warnings, seconds by phase, what moved.

    ``lock``: the difference to the lock that was there, None where there is no lock to keep.
    """

    changed: bool
    generation: t.Optional[Generation]
    warnings: list[str]
    phases: dict[str, float]
    fetched: dict[str, t.Any]
    lock: t.Optional[lock_diff.Compared] = None


def gather(spec: specs.Spec, depot: Depot, options: Options, reporter: Reporter) -> Outcome:
    """Make the depot's next generation from ``spec``, unless the latest one already is that.

    :raises FetchFailed: module files that can't be had, all of them named.
    :raises ModuleRefused: hashes that don't fit, all of them named.
    :raises ProjectDirty, SpecInvalid, CommandFailed, ToolMissing: as their names say.
    """
    if options.connections < 1:
        raise SpecInvalid(f"connections is {options.connections}", subject="connections", found=str(options.connections), expected="1 or more")
    with contextlib.ExitStack() as stack:
        if options.check:
            work = stack.enter_context(tempfile.TemporaryDirectory(prefix="airgap-golang-check-"))
        else:
            stack.enter_context(depot.locked())
            begun.rescue(depot)
            depot.sweep(begun.FETCH)
            work = depot.scratch("gather")
            stack.callback(remove_tree, work)
        return _Gathering(spec, depot, options, reporter, work, stack).run()


def _user_go(options: Options) -> GoCommand:
    """The go command to start with, and the user's settings where the options say nothing else."""
    go = GoCommand(find_go(options.go_binary))
    for name, value in (("GOPROXY", options.goproxy), ("GOSUMDB", options.gosumdb)):
        if value:
            go.settings[name] = value
    if options.goprivate:
        go.settings.update(GOPRIVATE=options.goprivate, GONOPROXY="", GONOSUMDB="")
    return go


@contextlib.contextmanager
def _kept(path: str) -> t.Iterator[None]:
    """Afterwards the file is what it was, or isn't there if it wasn't."""
    content = None
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as stream:
        content = stream.read()
    try:
        yield
    finally:
        if content is None:
            remove_tree(path)
        else:
            write_atomically(path, content)


class _Gathering:
    """One run. Attributes are what the phases hand on."""

    def __init__(self, spec: specs.Spec, depot: Depot, options: Options, reporter: Reporter, work: str, stack: contextlib.ExitStack) -> None:
        self.spec = spec
        self.depot = depot
        self.options = options
        self.reporter = reporter
        self.work = work
        self.stack = stack
        self.warnings: list[str] = []
        self.phases: dict[str, float] = {}
        self.go = _user_go(options)
        self.cache = os.path.join(work if options.check else depot.path, "cache")
        self.sumdb = os.path.join(work, "sumdb")
        self.projects: list[tuple[specs.Project, closure.Root]] = []
        self.packing: dict[str, concurrent.futures.Future[layers.Packed]] = {}
        self.loose: list[closure.Root] = []
        self.carried_toolchains: list[tuple[str, str]] = []
        self.one_at_a_time = threading.Lock()
        self.lock: t.Optional[locks.Lock] = None
        self.pins: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self.kit: t.Optional[kits.Prepared] = None
        self.earlier: t.Optional[EarlierGenerations] = None
        self.opened = False

    @contextlib.contextmanager
    def _phase(self, name: str) -> t.Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = round(self.phases.get(name, 0.0) + time.monotonic() - started, 3)

    @property
    def roots(self) -> list[closure.Root]:
        return [root for _project, root in self.projects] + self.loose

    @property
    def gosumdb(self) -> str:
        return self.go.settings.get("GOSUMDB") or "off"

    def run(self) -> Outcome:
        with self._phase("resolve"):
            self.lock = locks.read(self.options.lock) if self.options.lock else None
            self.resolved = loose.resolve(self.spec, self.lock, self._answer, self.options.frozen, self.options.upgrade)
            self.spec = self.resolved.spec
            self.pins.update(self.resolved.pins)
            if self.options.frozen:
                locks.refuse_none(self.lock)
            found = resources.find(self.spec.files, self.resolved.file_commits)
            if self.spec.kit:
                self.kit = kits.prepare(self.spec.kit, os.path.join(self.work, "kit"), self.lock, self.options.frozen, self.options.upgrade)
                self.pins.update(self.kit.pins)
                found.update(self.kit.resources)
            inputs = self._inputs(found)
        latest = self._unchanged(inputs)
        if latest is not None:
            nothing = {"files": 0, "bytes": 0, "complete": True}
            now = self._locked(latest.config)
            return Outcome(self._lock_changes(now), latest, self.warnings, self.phases, nothing, self._keep(now))
        with self._phase("fetch"):
            self._open_store()
            wheels = self._take_wheels(found)
            taking = self._begin_resources(found)
            with taking.told_together():
                self._take_sources()
                self._choose_toolchains()
                if not self.options.check:
                    self._ask()
            if self.options.check:
                return Outcome(True, None, self.warnings, self.phases, self._would_fetch(taking.moved(), wheels))
        with self._phase("check"):
            sums = self._sums()
            database = self._database(sums)
            packing = self._begin_packing(database)
            self._check(sums)
            hashcheck.check_records(self.store, database.records)
            carrieddb.refuse_unvouched(self.store, sums, database)
        with self._phase("store"):
            gathered = self._gathered(inputs, taking.settle(), packing, sums, database)
            document = layers.document(gathered, self.depot.next_number())
            now = self._locked(document)
            generation = layers.admit(self.depot, gathered, document, self.options.trace_id, self.reporter.stage("gather: store"))
            remove_tree(self.fetched)
        self.warnings += database.warnings
        moved = taking.moved()
        files, size = (sum(counts) for counts in ((self.store.fetched_files, moved.files, wheels.files), (self.store.fetched_bytes, moved.bytes, wheels.bytes)))
        fetched = {"files": files, "bytes": size, "complete": True}
        return Outcome(True, generation, self.warnings, self.phases, fetched, self._keep(now))

    def _begin_packing(self, database: carrieddb.CarriedDatabase) -> list[concurrent.futures.Future[layers.Packed]]:
        """What small files become one layer each, while the last zips are looked into: nothing is named before all is proved."""
        if database.head:
            os.rename(self.sumdb, os.path.join(self.tree.proxy, "sumdb"))
        with contextlib.suppress(OSError):
            # A generation of files alone has none.
            os.rmdir(self.tree.proxy)
        lists = proxytree.write_lists(self.tree.proxy, sorted(self.store.files))
        return layers.begin_packing(self.tree.proxy, lists, self.store, bool(database.head), self.work, self.processes)

    def _gathered(
        self,
        inputs: str,
        files: t.Mapping[str, resources.Taken],
        packing: t.Sequence[concurrent.futures.Future[layers.Packed]],
        sums: t.Mapping[gosum.Key, str],
        database: carrieddb.CarriedDatabase,
    ) -> layers.Gathered:
        return layers.Gathered(
            spec=self.spec,
            inputs=inputs,
            store=self.store,
            tree=self.tree.path,
            packing=packing,
            toolchains=self.carried_toolchains,
            projects=[
                layers.GatheredProject(project, root, self.packing[project.name], self.resolved.commits.get(project.name, ""))
                for project, root in self.projects
            ],
            files=files,
            sums=sums,
            database=database,
            nosumdb=self.go.nosumdb,
            gosumdb=carrieddb.without_url(self.gosumdb),
            release=self.pins.get(locks.TOOLCHAIN, ""),
        )

    # -- resolve

    def _answer(self, questions: t.Sequence[queries.Question]) -> dict[queries.Question, str]:
        """What loose versions mean now, by the go command's rules."""
        self._open_store()
        with RecordingProxy(self.store) as proxy:
            answers = queries.answer(questions, self.go, self._online(self.go, proxy.url), os.path.join(self.work, "queries"))
        return {question: version for question, (_module, version) in answers.items()}

    def _inputs(self, files: t.Mapping[str, resources.Resource]) -> str:
        """One digest of all that the generation follows from."""
        self.digests = {project.name: source.digest(project.path, project.exclude) for project in self.spec.projects if project.path}
        facts: dict[str, t.Any] = {
            "schema": SCHEMA,
            "spec": self.spec.normal(),
            "commits": dict(self.resolved.commits),
            "sources": self.digests,
            "files": {dest: file.sha256 for dest, file in files.items()},
            "nosumdb": self.go.nosumdb,
            "gosumdb": self.go.settings.get("GOSUMDB", ""),
        }
        return oci.digest_of(oci.canonical(facts))

    def _unchanged(self, inputs: str) -> t.Optional[Generation]:
        """The latest generation, where it's what a gather would make."""
        latest = self.depot.latest()
        if latest is None or latest.config.get("inputs") != inputs or self.depot.blobs.missing(latest.manifest.blobs()):
            return None
        # Where nobody needs the go command's own release, another one changes nothing.
        release = str(latest.config["go"].get("release", ""))
        if release and release != loose.own_release(self.lock, self.go.version, self.options.upgrade):
            return None
        if release:
            self.pins[locks.TOOLCHAIN] = release
        return latest

    # -- the lock

    def _locked(self, config: t.Mapping[str, t.Any]) -> t.Optional[locks.Lock]:
        """The lock of what was gathered; None where none is kept.

        :raises ModuleRefused: it isn't what the lock says, or goes beyond it where that is refused.
        """
        if not self.options.lock and not self.options.frozen:
            return None
        now = locks.from_generation(config, self.pins, self.digests)
        if self.lock:
            locks.refuse_drift(self.lock, now, self.spec, self.options.upgrade)
        if self.options.frozen:
            locks.refuse_beyond(locks.refuse_none(self.lock), now, self.options.partial)
        return locks.joined(self.lock, now) if self.options.partial else now

    def _lock_changes(self, now: t.Optional[locks.Lock]) -> bool:
        return now is not None and not self.options.frozen and locks.differs(self.options.lock, now)

    def _keep(self, now: t.Optional[locks.Lock]) -> t.Optional[lock_diff.Compared]:
        """Write the lock where it may change, and say how it differs."""
        if now is None:
            return None
        compared = lock_diff.compare(self.lock, now, self.options.vulndb, self._zip_of)
        self.warnings += compared.warnings
        if not (self.options.frozen or self.options.check):
            locks.write(self.options.lock, now)
        return compared

    def _zip_of(self, module: str, version: str) -> t.Optional[str]:
        """Where a module's zip is, to look for its licence."""
        key = (module, version, "zip")
        stored = self.store.files.get(key) if self.opened else None
        if stored:
            return self.depot.blobs.path("sha256:" + stored.sha256)
        held = self._earlier().held(key)
        return held.path if held else None

    # -- fetch

    def _earlier(self) -> EarlierGenerations:
        if self.earlier is None:
            self.earlier = EarlierGenerations(self.depot)
            self.warnings += self.earlier.warnings
        return self.earlier

    def _open_store(self) -> None:
        """Once; what asks for loose versions may be the first to need it."""
        if self.opened:
            return
        self.opened = True
        earlier = self._earlier()
        self.processes = self.stack.enter_context(worker_processes(_STAND_BACK))
        # Before the fetcher, whose end is that of a snapshot which nobody waits for any more.
        self.snapshots = self.stack.enter_context(concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="snapshot"))
        settings = self.go.settings
        self.fetcher = fetcher = self.stack.enter_context(Fetcher(connections=self.options.connections, authorize=GoAuth(settings.get("GOAUTH", ""))))
        of_direct = {name: settings[name] for name in ("GOINSECURE", "GOVCS", "GOAUTH") if settings.get(name)}
        direct = DirectGo(self.go.binary, self.go.environment(self.work, "direct", **of_direct), os.path.join(self.cache, "direct"))
        name, _key, url = sumdb.parse_gosumdb(self.gosumdb)
        chain = parse_chain(settings["GOPROXY"])
        noproxy = settings.get("GONOPROXY") or settings.get("GOPRIVATE", "")
        upstream = Upstream(chain, noproxy, fetcher, direct, url or (f"https://{name}" if name else None), bool(url))
        self.fetched = os.path.join(self.work if self.options.check else self.depot.staging, begun.FETCH)
        self.tree = tree = begun.BegunTree(self.fetched)
        stage = self.reporter.stage("gather: module files")
        self.store = ModuleStore(tree.proxy, upstream, lambda key: tree.left(key) or earlier.held(key), self.processes, stage, self.options.connections)
        self.stack.callback(self.store.close)
        if self.options.check:
            self.estimate = Estimate(chain, noproxy, fetcher, self.options.connections)
            self.stack.callback(self.estimate.close)

    def _begin_resources(self, found: t.Mapping[str, resources.Resource]) -> resources.Taking:
        pool = self.stack.enter_context(concurrent.futures.ThreadPoolExecutor(4, thread_name_prefix="resource"))
        directory = os.path.join(self.fetched, "files")
        stage = self.reporter.stage("gather: resources")
        return resources.begin(found, directory, pool, self.fetcher, self._earlier().resource, stage, self.options.check)

    def _take_wheels(self, found: dict[str, resources.Resource]) -> Expected:
        """The kit's, where there is one: what of it is fetched, or would be in check mode."""
        if self.kit is None:
            return Expected(0, 0, True)
        if self.options.check:
            # What pip was asked about can be had; its wheels aren't there to be looked at.
            for dest in self.kit.resources:
                del found[dest]
            return self.kit.expected(self._earlier().resource)
        fetched = self.kit.fetch(self._earlier().resource)
        found.update(self.kit.resources)
        return fetched

    def _take_sources(self) -> None:
        """Bring what each root is known by, and begin to fetch what that names."""
        for project in self.spec.projects:
            self._take_project(project)
        for entry in self.spec.modules:
            self._take_module(entry)
        for tool in self.spec.tools:
            self._take_tool(tool)

    def _take_project(self, project: specs.Project) -> None:
        """Copy a project to where we may write, and begin to fetch what its go.sum names."""
        label = f"project {project.name}"
        dest = self.tree.project(project.name)
        zipped: t.Optional[source.ZippedSource] = None
        if project.path:
            source.copy_directory(project.path, dest, project.exclude)
            if source.digest(dest) != self.digests[project.name]:
                # What the generation follows from, and the lock, have the digest of what was there at the beginning.
                raise SpecInvalid(f"{project.path} changed while it was gathered", code="file_changed", subject=project.path, hint="run it again")
        elif project.git:
            clone = os.path.join(self.work, "clones", project.name)
            source.clone(project.git, project.ref, self.resolved.commits[project.name], clone)
            source.copy_directory(clone, dest)
        else:
            version = (project.module, project.version)
            self.store.require([version], label)
            self._begin([version], [version])
            zipped = source.ZippedSource(self._had(*version, "zip"), *version, project.directory)
            zipped.extract_requirements(dest)
        directory = os.path.normpath(os.path.join(dest, project.directory))
        remove_tree(os.path.join(directory, "vendor"))
        layout = closure.read_project(label, directory, dest, self.go)
        root = closure.Root(
            "project",
            label,
            directory,
            self.go,
            asked=project.toolchain or toolchain.asked_by(layout.top),
            scope=project.scope,
            dirty_is_error=project.dirty == "error",
            layout=layout,
            builds=project.builds,
            platforms=tuple(project.platforms or sorted({name for entry in self.spec.toolchains for name in entry.platforms}) or [self.go.platform]),
            tags=project.tags,
            env=project.env,
        )
        zips, mods = root.hints()
        self.store.require(zips | mods, label)
        self._begin(zips, mods)
        if not self.options.check:
            self.packing[project.name] = self.processes.submit(layers.pack_source, project.name, dest, self.work, zipped)
        self.projects.append((project, root))

    def _take_module(self, entry: specs.LooseModule) -> None:
        label = f"module {entry.path}@{entry.version}"
        # A package's path is as good as its module's, where all that is importable is carried.
        path = closure.module_of(entry.path, entry.version, self.store.ensure) if entry.closure == "packages" else entry.path
        version = (path, entry.version)
        self.store.require([version], label)
        self._begin([] if entry.closure == "gomod" else [version], [version])
        if entry.closure == "packages":
            asked = toolchain.asked_by(self.go.edit_json(self._had(*version, "mod")))
            self.loose.append(closure.Root("module", label, self._probe(), self.go, asked=asked, target="@".join(version), beside=entry.beside))

    def _take_tool(self, tool: specs.Tool) -> None:
        label = f"tool {tool.package}@{tool.version}"
        version = (closure.module_of(tool.package, tool.version, self.store.ensure), tool.version)
        self.store.require([version], label)
        self._begin([version], [version])
        asked = toolchain.asked_by(self.go.edit_json(self._had(*version, "mod")))
        target = f"{tool.package}@{tool.version}"
        platforms = tuple(sorted({self.go.platform, *tool.platforms}))
        self.loose.append(closure.Root("tool", label, self._probe(), self.go, asked=asked, target=target, platforms=platforms))

    def _probe(self) -> str:
        return os.path.join(self.work, "probes", str(len(self.loose)))

    def _begin(self, zips: t.Iterable[tuple[str, str]], mods: t.Iterable[tuple[str, str]]) -> None:
        """Begin to fetch these versions; in check mode, to ask for their sizes."""
        # The go command reads a whole graph's go.mod files before it wants the first .info.
        keys = [(*version, ext) for ext, versions in (("zip", zips), ("mod", mods), ("info", mods)) for version in sorted(versions)]
        if self.options.check:
            self.estimate.add(key for key in keys if self._earlier().held(key) is None)
        else:
            self.store.prefetch(keys)

    def _had(self, module: str, version: str, ext: str) -> str:
        """A file that the fetching can't go on without; if it can't be had, the error says what requires it."""
        try:
            return self.store.ensure(module, version, ext)
        except FetchFailed:
            self.store.prefetch([(module, version, ext)])
            self.store.settle()
            return self.store.ensure(module, version, ext)

    def _choose_toolchains(self) -> None:
        """Decide which toolchains are carried, by what the spec names and what was asked for so far."""
        named: dict[str, set[str]] = {}
        for entry in self.spec.toolchains:
            named.setdefault(entry.version, set()).update(entry.platforms)
        targets = {build.platform for project in self.spec.projects for build in project.builds}
        targets.update(platform for project in self.spec.projects for platform in project.platforms)
        targets.update(platform for tool in self.spec.tools for platform in tool.platforms)
        asked = {root.label: root.asked for root in self.roots}
        own = self._pin_toolchain(asked)
        self.carried_toolchains = toolchain.to_carry(named, asked, targets or {self.go.platform}, own, self.go.platform)
        versions = [(toolchain.MODULE, toolchain.module_version(version, platform)) for version, platform in self.carried_toolchains]
        self.store.require(versions, "the toolchains")
        archives = {(entry.version, entry.platforms[0]): entry.archive for entry in self.spec.toolchains if entry.archive}
        if self.options.check:
            brought = [(toolchain.MODULE, toolchain.module_version(*pair)) for pair in archives]
            versions = [version for version in versions if version not in brought]
        else:
            directory = os.path.join(self.fetched, "archives")
            for pair, brings in archives.items():
                archive.supply(self.store, brings.source, brings.sha256, *pair, directory, self.fetcher, self.gosumdb)
        self._begin(versions, versions)

    def _pin_toolchain(self, asked: t.Mapping[str, str]) -> str:
        """The release for those who ask for none; where nothing else decides, the lock pins it."""
        own, pins = loose.own_toolchain(self.spec, asked, self.lock, self.go.version, self.options.upgrade)
        self.pins.update(pins)
        return own

    def _would_fetch(self, *others: Expected) -> dict[str, t.Any]:
        """Check mode: how many files and bytes a run would fetch, as far as go.sum names them; sizes are asked of the proxy."""
        for root in self.loose:
            self.warnings.append(f"{root.label}: check mode doesn't download, so what it requires isn't counted")
        expected, failures = self.estimate.total()
        if failures:
            raise self.store.not_had(failures)
        return {
            "files": expected.files + sum(other.files for other in others),
            "bytes": expected.bytes + sum(other.bytes for other in others),
            "complete": expected.complete and all(other.complete for other in others) and not self.loose,
        }

    def _ask(self) -> None:
        """Ask the go command for the projects' module graphs and the closures of modules and tools."""
        if not self.loose:
            # The rest of what is needed isn't known before it's asked for; of projects all is, or nearly so.
            self._begin_snapshot()
        with self._failures_explained():
            # Projects' graphs are read side by side; what a loose module or a tool needs is fetched by go commands that are busy themselves.
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
                for asked in [pool.submit(self._ask_project, *pair) for pair in self.projects]:
                    asked.result()
            for root in self.loose:
                self._ask_root(root)
            for project, root in self.projects:
                if not root.builds:
                    self.packing[project.name].result()
                    with _kept(os.path.join(root.directory, "go.work.sum")):
                        packages = closure.main_packages(self._online(root.go, ""), root)
                    root.builds = tuple(proof.default_builds(packages, project.name, root.platforms, project.env, project.flags, project.tags))
        self.processes.submit(remove_tree, os.path.join(self.work, "online"))
        if self.loose:
            self._begin_snapshot()
        self._settle()

    def _begin_snapshot(self) -> None:
        """While files still come, the database can be asked about them."""
        self.versions = self.store.expected()
        self.snapshot = self.snapshots.submit(self._take_snapshot, self.versions, self._sums())

    def _ask_project(self, project: specs.Project, root: closure.Root) -> None:
        if root.reads_sources or root.files.workspace:
            # Who packs a source is who brings the last of its files; and a workspace's go.work.sum is written by go, whatever -mod says.
            self.packing[project.name].result()
        with _kept(os.path.join(root.directory, "go.work.sum")):
            self._ask_root(root)

    def _ask_root(self, root: closure.Root) -> None:
        """Ask with the go command that will serve it; where that turns out to be too old, with the one that go names."""
        while True:
            root.go = self._go_for(root)
            with RecordingProxy(self.store) as proxy:
                try:
                    zips, mods = root.ask(self._online(root.go, proxy.url))
                    break
                except CommandFailed as exc:
                    newer = closure.too_old_for(exc)
                    if not newer or toolchain.version_key(newer) <= toolchain.version_key(root.go.version):
                        with self.one_at_a_time:
                            self._note_failures(proxy, exc)
                        raise CommandFailed(
                            f"{root.label}: with the network, {exc.message}", code=exc.code, subject=root.label, found=exc.found, hint=exc.hint
                        ) from None
                finally:
                    self.store.require({(module, version) for module, version, _ext in proxy.asked}, root.label)
            with self.one_at_a_time:
                root.asked = newer
                if root.kind != "project":
                    remove_tree(root.directory)
                self._choose_toolchains()
        self.store.require(zips | mods, root.label)
        with self.one_at_a_time:
            self._begin(zips, mods | zips)

    def _go_for(self, root: closure.Root) -> GoCommand:
        """A project's graph is the same by any go command that is new enough; packages are looked at with the one that is carried."""
        new_enough = toolchain.version_key(root.asked or toolchain.FIRST) <= toolchain.version_key(self.go.version)
        if root.kind == "project" and root.scope != "build" and new_enough:
            return self.go
        version = toolchain.choose(root.asked, [version for version, _platform in self.carried_toolchains])
        unpacked = os.path.join(self.cache, "toolchains")
        with self.one_at_a_time:
            goroots.obtain(self.go, self.store, [(version, self.go.platform)], unpacked, os.path.join(self.work, "toolchains"))
        return self.go.at(toolchain.directory(unpacked, version, self.go.platform), version)

    def _online(self, go: GoCommand, proxy_url: str) -> closure.Run:
        return runs.through_proxy(go, self.store.directory, proxy_url, os.path.join(self.work, "online"), os.path.join(self.cache, "go-build"))

    def _note_failures(self, proxy: RecordingProxy, failure: CommandFailed) -> None:
        """Files that the go command missed are to be named like those that were fetched ahead.

        Only those: to find a package's module it asks for paths that are none.
        """
        self.store.prefetch(key for key in proxy.failures if f"{key[0]}@{key[1]}" in failure.message)

    @contextlib.contextmanager
    def _failures_explained(self) -> t.Iterator[None]:
        """When a go command fails, what can't be had or has a wrong hash is told first: all of it, and by whom it's required."""
        try:
            yield
        except AirgapError:
            self.store.settle()
            hashcheck.check_sums(self.store, self._sums())
            raise

    def _settle(self) -> None:
        """Wait for what was begun; of every version with a zip or go.mod both go.mod and .info are carried too.

        Of versions that the graph was pruned of, ``go list -m`` wants the .info alone.
        """
        self.store.settle()
        self.store.prefetch([(module, version, ext) for module, version, had in list(self.store.files) if had != "info" for ext in ("mod", "info")])
        self.store.settle()

    # -- check

    def _sums(self) -> dict[gosum.Key, str]:
        return gosum.merge({root.label: root.sums for root in self.roots})

    def _check(self, sums: t.Mapping[gosum.Key, str]) -> None:
        hashcheck.check_sums(self.store, sums)
        if self.lock:
            hashcheck.check_sums(self.store, self.lock.sums(), "the lock", "lock_mismatch")

    def _take_snapshot(self, versions: t.Collection[closure.Version], sums: t.Mapping[gosum.Key, str]) -> carrieddb.CarriedDatabase:
        return carrieddb.carry(
            self.store, versions, sums, self.gosumdb, self.go.nosumdb, self.sumdb, self._earlier().database, self.options.connections, self.reporter
        )

    def _database(self, sums: t.Mapping[gosum.Key, str]) -> carrieddb.CarriedDatabase:
        """The snapshot of the checksum database."""
        try:
            database = self.snapshot.result()
            return database if self.store.expected() == self.versions else self._take_snapshot(self.store.expected(), sums)
        except AirgapError:
            # What is wrong with what came is told before what the database doesn't say.
            self._check(sums)
            raise
