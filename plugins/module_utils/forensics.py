# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove again what is on a host's disk, against the manifests of its generations: blobs, trees, projects, toolchains, module cache, links.

``examine`` changes nothing; what it finds is what ``mend`` sets right. Files are read by several processes, each file once.
Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import time
import typing as t

from ._base.errors import AirgapError, HostRefused, ModuleRefused, ProjectDirty, SpecInvalid
from ._base.findings import Finding, Known
from ._base.workers import in_processes
from ._depot.check import BlobSeen, LayerSeen, TreeCheck, blob_findings, held_layers, look_at_blob, look_at_layer, stray_blobs
from ._depot.generation import Generation, Ref
from ._depot.manifest import Layer
from ._go import foreigncache, gosum
from ._go.cachecheck import CacheCheck, Checked, Rights
from ._go.escape import proxy_path
from ._go.modcache import ModuleCache
from ._go.vendorcheck import check_vendor
from ._host.check import directory_findings, link_findings
from ._host.history import generation_directories
from ._host.place import Place
from ._host.references import needs_here, needs_of

#: What can be examined of a host, and the kinds of findings about it.
WHAT: t.Mapping[str, tuple[str, ...]] = {
    "blobs": ("blob",),
    "trees": ("tree",),
    "projects": ("project", "vendor"),
    "toolchains": ("toolchain",),
    "modcache": ("modcache",),
    "links": ("link",),
}

#: How many findings an answer lists.
LISTED = 200

#: What a control node knows of its generations: name → (manifest's digest, its size in bytes).
Offered = t.Mapping[str, t.Tuple[str, int]]


@dataclasses.dataclass
class Examination:
    """What was found. ``checked``: kind → how many blobs, trees, projects, modules and so on; ``unproved``: path@version of vendored modules
    without a zip to compare with; ``bytes`` were read in ``seconds``."""

    findings: list[Finding]
    checked: dict[str, int]
    unproved: list[str]
    bytes: int
    seconds: float

    def answer(self) -> dict[str, t.Any]:
        """As the module returns it."""
        summary = collections.Counter(finding.problem for finding in self.findings)
        return {
            "findings": [finding.public() for finding in self.findings[:LISTED]],
            "total": len(self.findings),
            "summary": dict(sorted(summary.items())),
            "checked": self.checked,
            "unproved": self.unproved,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 2),
        }


class _Held(t.NamedTuple):
    """What the states of one generation's directories want of it."""

    generation: Generation
    layers: list[Layer]
    modules: set[tuple[str, str]]


class _Examiner:
    """One examination of a ROOT."""

    def __init__(self, place: Place, what: t.Collection[str], every: bool, workers: int, offered: Offered) -> None:
        self._place = place
        self._kinds = {kind for name in what for kind in WHAT[name]}
        self._every = every
        self._workers = workers
        self._offered = offered
        self._owner = os.lstat(place.root).st_uid
        self._findings: list[Finding] = []
        self._checked: t.Counter[str] = collections.Counter()
        self._read = 0
        self._blobs: dict[str, BlobSeen] = {}
        self._layers: dict[tuple[Ref, str], LayerSeen] = {}

    def run(self) -> Examination:
        started = time.monotonic()
        current = self._place.current()
        if not current:
            raise HostRefused(f"{self._place.root} has no active generation", code="no_generation", subject=self._place.root, hint="deploy one first")
        directories = generation_directories(self._place) if self._every else [current]
        states = {directory: self._place.state(directory) for directory in directories}
        held = self._generations(states)
        self._look_at_blobs(held)
        known = {seen.inode: seen.found.sha256 for seen in self._blobs.values() if seen.found is not None and seen.found.sha256}
        for one in held.values():
            self._tree(one, known)
        self._elsewhere(held)
        self._modules(held, known)
        if "link" in self._kinds:
            self._links(states, held)
        findings = sorted({finding for finding in self._findings if finding.kind in self._kinds}, key=lambda finding: finding.order)
        checked = {kind: number for kind, number in sorted(self._checked.items()) if kind in self._kinds}
        return Examination(findings, checked, [], self._read, time.monotonic() - started)

    # -- generations

    def _generations(self, states: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[Ref, _Held]:
        """Those of the states whose documents are right."""
        wanted: dict[Ref, list[t.Mapping[str, t.Any]]] = {}
        for state in states.values():
            wanted.setdefault(Ref.parse(str(state["generation"])), []).append(state)
        held = {}
        for ref, mine in sorted(wanted.items()):
            generation = self._generation(ref, str(mine[-1]["manifest"]))
            if generation is None:
                continue
            layers: dict[str, Layer] = {}
            modules: set[tuple[str, str]] = set()
            for state in mine:
                needs = needs_of(self._place, "", generation, state["parts"])
                layers.update((layer.title, layer) for layer in needs.layers)
                modules.update(needs.modules)
            held[ref] = _Held(generation, held_layers(self._place.depot, generation, layers.values()), modules)
        return held

    def _generation(self, ref: Ref, digest: str) -> t.Optional[Generation]:
        depot = self._place.depot
        index = os.path.join(depot.path, "index.json")
        found = depot.index().get(ref, "")
        expected, size = self._offered.get(str(ref), (digest, 0))
        for told in (digest, found):
            if told != expected:
                self._findings.append(Finding("blob", str(ref), index, "changed", expected, told or "nothing"))
                return None
        size = size or depot.manifest_size(ref)
        if not self._look(digest, size):
            return None
        try:
            generation = depot.generation(ref)
        except (AirgapError, OSError):
            # Its manifest is right, so it's the config.
            config, size = depot.config_of(ref)
            self._look(config, size)
            return None
        self._look(generation.manifest.config, generation.manifest.config_size)
        return generation

    def _look(self, digest: str, size: int) -> bool:
        """Whether a document's blob is right."""
        seen = look_at_blob(self._place.depot.blobs, digest)
        if digest not in self._blobs:
            self._count_blob(seen, size)
        return seen.right

    def _count_blob(self, seen: BlobSeen, size: int) -> None:
        self._blobs[seen.digest] = seen
        self._read += seen.size
        self._checked["blob"] += 1
        self._findings += blob_findings(self._place.depot.blobs, seen, size, self._owner)

    # -- blobs and trees

    def _look_at_blobs(self, held: t.Mapping[Ref, _Held]) -> None:
        """Each blob, and of tar layers the files that they became in each tree."""
        depot = self._place.depot
        layers: dict[str, list[tuple[Ref, Layer]]] = {}
        for ref, one in held.items():
            for layer in one.layers:
                layers.setdefault(layer.digest, []).append((ref, layer))
        digests = sorted(layers, key=lambda digest: (not layers[digest][0][1].unpack, -layers[digest][0][1].size))

        def work(index: int) -> tuple[BlobSeen, list[tuple[Ref, str, t.Optional[LayerSeen]]]]:
            seen = look_at_blob(depot.blobs, digests[index])
            unpacked = [(ref, layer) for ref, layer in layers[seen.digest] if layer.unpack and seen.right]
            return seen, [(ref, layer.title, look_at_layer(depot.blobs, layer, depot.tree(ref))) for ref, layer in unpacked]

        def finished(index: int, result: tuple[BlobSeen, list[tuple[Ref, str, t.Optional[LayerSeen]]]]) -> None:
            seen, trees = result
            self._count_blob(seen, layers[seen.digest][0][1].size)
            for ref, title, layer in trees:
                if layer is not None:
                    self._read += layer.read
                    self._layers[ref, title] = layer

        in_processes(work, range(len(digests)), self._workers, finished)
        self._findings += stray_blobs(depot.blobs)

    def _tree(self, one: _Held, known: Known) -> None:
        ref = one.generation.ref
        seen = {layer.title: self._layers[ref, layer.title] for layer in one.layers if (ref, layer.title) in self._layers}
        check = TreeCheck(self._place.depot, one.generation, one.layers, seen, known, self._owner)
        findings, read = check.findings()
        self._findings += findings
        self._read += read
        self._checked["tree"] += 1
        projects = {layer.project for layer in one.layers if layer.project}
        self._checked["project"] += len(projects)
        self._checked["vendor"] += sum(1 for layer in one.layers if layer.kind == "vendor")
        for name in sorted(projects):
            self._sums(one.generation, name)

    def _sums(self, generation: Generation, project: str) -> None:
        """A project's go.sum against the hashes that the generation's modules have."""
        entry = next(entry for entry in generation.config["projects"] if entry["name"] == project)
        path = os.path.join(self._place.depot.tree(generation.ref), "projects", project, str(entry.get("directory", ".")), "go.sum")
        path = os.path.normpath(path)
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                sums = gosum.parse(stream.read(), path)
        except (OSError, ProjectDirty, ModuleRefused):
            # One that isn't there or was changed has a finding as a file.
            return
        for module in generation.config["modules"]:
            for key, h1 in (((module["path"], module["version"]), module["h1"]), ((module["path"], f"{module['version']}/go.mod"), module["gomod_h1"])):
                if h1 and sums.get(key, h1) != h1:
                    self._findings.append(Finding("project", project, path, "changed", f"{' '.join(key)} {h1}", sums[key]))

    def _elsewhere(self, held: t.Mapping[Ref, _Held]) -> None:
        """Trees of generations that aren't examined, where they share a file with a blob that isn't right: it's the same file."""
        depot = self._place.depot
        wrong = {digest: seen for digest, seen in self._blobs.items() if not seen.right and seen.found is not None}
        for ref in depot.index() if wrong else ():
            if ref in held:
                continue
            try:
                layers = depot.generation(ref).manifest.layers
            except (AirgapError, OSError):
                continue
            for layer in layers:
                path = os.path.join(depot.tree(ref), layer.title)
                if layer.digest in wrong and not layer.unpack and os.path.exists(path) and os.path.samefile(path, depot.blobs.path(layer.digest)):
                    found = wrong[layer.digest].found
                    told = (found.sha256 or str(found)) if found is not None else ""
                    self._findings.append(Finding("tree", str(ref), path, "changed", layer.hex, told, ("layer", str(ref), layer.digest)))

    # -- module cache

    def _modules(self, held: t.Mapping[Ref, _Held], known: Known) -> None:
        check = CacheCheck(self._place.cache, Rights(self._owner), known)
        modules = [module for module in self._to_check(held) if module[1].kind in self._kinds]
        modules.sort(key=lambda module: -module[0])

        def finished(index: int, result: tuple[list[Finding], int]) -> None:
            self._checked[modules[index][1].kind] += 1
            self._findings += result[0]
            self._read += result[1]

        in_processes(lambda index: check.version(modules[index][1]), range(len(modules)), self._workers, finished)
        expected = self._expected() if "modcache" in self._kinds else None
        if expected is not None:
            self._findings += check.strays(expected)

    def _to_check(self, held: t.Mapping[Ref, _Held]) -> list[tuple[int, Checked]]:
        """(bytes unpacked, the module version) of each that the states want."""
        found: dict[tuple[str, str], tuple[int, Checked]] = {}
        for ref, one in held.items():
            index = {name: entry[0] for (other, _title), seen in self._layers.items() if other == ref for name, entry in seen.files.items()}
            for entry in one.generation.config["modules"]:
                key = (str(entry["path"]), str(entry["version"]))
                if key not in one.modules or (key in found and found[key][1].zip):
                    continue
                digest = f"sha256:{entry['zip']}"
                right = digest in self._blobs and self._blobs[digest].right
                checked = Checked(
                    *key,
                    h1=str(entry["h1"]),
                    gomod_h1=str(entry["gomod_h1"]),
                    zip_sha256=str(entry["zip"]),
                    info_sha256=index.get("proxy/" + proxy_path(*key, "info"), ""),
                    zip=bool(entry["zip"]),
                    source=self._place.depot.blobs.path(digest) if right else "",
                    mend=("module", str(ref), *key),
                )
                found[key] = (int(entry["unpacked"]), checked)
        return list(found.values())

    def _expected(self) -> t.Optional[set[tuple[str, str]]]:
        """Every module version that some generation directory here refers to; None where that can't be said."""
        try:
            return {key for directory in generation_directories(self._place) for key in needs_here(self._place, directory).modules}
        except (AirgapError, OSError):
            return None

    # -- links

    def _links(self, states: t.Mapping[str, t.Mapping[str, t.Any]], held: t.Mapping[Ref, _Held]) -> None:
        for directory, state in states.items():
            one = held.get(Ref.parse(str(state["generation"])))
            if one is None:
                continue
            findings, read = directory_findings(self._place, one.generation, directory, self._owner)
            self._findings += findings
            self._read += read
            self._checked["link"] += 1
        self._findings += link_findings(self._place, self._place.state(self._place.current()), self._owner)


def examine(place: Place, what: t.Collection[str], every: bool, workers: int, offered: Offered) -> Examination:
    """Examine a ROOT; changes nothing.

    :param what: names of ``WHAT``.
    :param every: whether all generations that are here are examined, not the active one alone.
    :param workers: processes that read.
    :raises HostRefused: nothing was deployed here, or its state can't be read.
    :raises DepotDamaged: the depot's index can't be read.
    """
    return _Examiner(place, what, every, workers, offered).run()


def examine_cache(path: str, sums: t.Sequence[str], workers: int) -> Examination:
    """Examine a GOMODCACHE that isn't ours; changes nothing.

    :param sums: go.sum files. What they don't know must be what its .ziphash says.
    :raises SpecInvalid: there's no GOMODCACHE, or a go.sum isn't there.
    :raises ModuleRefused, ProjectDirty: the go.sum files can't be read, or contradict each other.
    """
    started = time.monotonic()
    parsed = {}
    for name in sums:
        try:
            with open(name, encoding="utf-8", errors="replace") as stream:
                parsed[name] = gosum.parse(stream.read(), name)
        except OSError as exc:
            raise SpecInvalid(f"{name} can't be read: {exc.strerror}", subject=name, hint="name go.sum files of this host") from None
    cache = ModuleCache(path)
    modules = foreigncache.versions(cache, gosum.merge(parsed))
    check = CacheCheck(cache, Rights(-1, exact=False))
    findings: list[Finding] = []
    checked: t.Counter[str] = collections.Counter()
    read = 0

    def finished(index: int, result: tuple[list[Finding], int]) -> None:
        nonlocal read
        checked[modules[index].kind] += 1
        findings.extend(result[0])
        read += result[1]

    in_processes(lambda index: check.version(modules[index]), range(len(modules)), workers, finished)
    findings.sort(key=lambda finding: finding.order)
    return Examination(findings, dict(sorted(checked.items())), [], read, time.monotonic() - started)


def examine_vendor(projects: t.Sequence[str], caches: t.Sequence[str], workers: int) -> Examination:
    """Examine vendor directories that aren't ours, by the zips of these GOMODCACHEs.

    :raises SpecInvalid: one of the projects has none.
    """
    started = time.monotonic()
    stores = [ModuleCache(path) for path in caches]

    def zip_of(path: str, version: str) -> str:
        names = [store.download(path, version, "zip") for store in stores]
        return next((name for name in names if os.path.isfile(name)), "")

    seen = [check_vendor(os.path.normpath(project), zip_of, workers) for project in projects]
    findings = sorted((finding for one in seen for finding in one.findings), key=lambda finding: finding.order)
    unproved = sorted({name for one in seen for name in one.unproved})
    return Examination(findings, {"vendor": len(seen)}, unproved, sum(one.read for one in seen), time.monotonic() - started)
