# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was gathered to a generation, and from what was rehearsed to its sealed form: blobs, layers, the config document.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import typing as t

from .._base.files import sha256_of
from .._base.progress import Stage
from .._base.ustar import Entry, pack_tree
from .._depot import manifest as oci
from .._depot.audit import now
from .._depot.depot import Depot
from .._depot.generation import SCHEMA, Generation, Ref
from .._depot.tree import Begun, Ready
from .._go import gosum, source
from .._go.carrieddb import CarriedDatabase
from .._go.closure import Root
from .._go.escape import proxy_path
from .._go.hashcheck import verified_by
from .._go.store import ModuleStore, Version
from .._go.toolchain import MODULE, choose, module_version
from . import extras
from . import spec as specs
from .resources import Taken


class Packed(t.NamedTuple):
    """A tar layer in a file of its own, ``path``, which isn't a blob yet, and the layer's files, which are in the begun tree."""

    path: str
    layer: oci.Layer
    files: t.Sequence[Ready]


@dataclasses.dataclass(frozen=True)
class GatheredProject:
    """A project, its packed source, and the commit when that came from git."""

    project: specs.Project
    root: Root
    source: concurrent.futures.Future[Packed]
    commit: str = ""


@dataclasses.dataclass(frozen=True)
class Gathered:
    """All that becomes a generation.

    ``inputs``: the digest of what it follows from. ``tree``: a directory on the depot's file system that becomes the generation's tree: it has
    the files of ``store`` as its proxy/, and there lists and the checksum database, and the projects' sources and nothing else. ``packing``:
    what ``begin_packing`` gave for its proxy/. ``toolchains``: (version, os/arch). ``release``: that of those who ask for none, "" where
    nobody needs it. ``files``: by their path below the tree's files/.
    """

    spec: specs.Spec
    inputs: str
    store: ModuleStore
    tree: str
    packing: t.Sequence[concurrent.futures.Future[Packed]]
    toolchains: t.Sequence[tuple[str, str]]
    projects: t.Sequence[GatheredProject]
    files: t.Mapping[str, Taken]
    sums: t.Mapping[gosum.Key, str]
    database: CarriedDatabase
    nosumdb: str
    gosumdb: str
    release: str


class _Package(t.NamedTuple):
    """Small files that become one tar layer."""

    title: str
    kind: str
    unpack: str
    entries: t.Sequence[Entry]
    compress: bool
    project: str = ""


def begin_packing(
    proxy: str, lists: t.Sequence[str], store: ModuleStore, database: bool, work: str, pool: concurrent.futures.Executor
) -> list[concurrent.futures.Future[Packed]]:
    """Let the small files of the directory ``proxy`` become layers: those of ``store`` that are no zips, ``lists`` and the ``database``.

    :param work: a scratch directory on the depot's file system.
    :param pool: processes.
    """
    names = [*lists, *(proxy_path(*key) for key in store.files if key[2] != "zip")]
    small = [Entry(name, os.path.join(proxy, name)) for name in names]
    packages = [_Package("proxy.tar.gz", "index", "proxy", small, True)] if small else []
    if database:
        tiles = [Entry(file.name, file.path) for file in source.walk(os.path.join(proxy, "sumdb"))]
        packages.append(_Package("sumdb.tar", "sumdb", "proxy/sumdb", tiles, False))
    return [pool.submit(_pack, package, os.path.join(work, package.title)) for package in packages]


def admit(depot: Depot, gathered: Gathered, config: t.Mapping[str, t.Any], trace_id: str, stage: Stage) -> Generation:
    """Make the depot's next, unsealed generation. Needs the depot's lock.

    :param config: what ``document`` gave for its number.
    """
    layers = _zip_layers(depot, gathered, stage)
    packed = [packing.result() for packing in (*gathered.packing, *(entry.source for entry in gathered.projects))]
    layers += [_adopt(depot, one) for one in packed]
    for dest, file in sorted(gathered.files.items()):
        layers.append(_file_layer("files/" + dest, file))
        depot.blobs.adopt(file.path, layers[-1].digest, file.size)
    encoded = oci.canonical(config)
    manifest = oci.Manifest(oci.digest_of(encoded), len(encoded), tuple(layers)).encode()
    facts = {"by": "gather", "inputs": gathered.inputs}
    begun = Begun(gathered.tree, {one.layer.digest: one.files for one in packed})
    return depot.admit(Ref(int(config["generation"]), False), manifest, encoded, trace_id, facts=facts, stage=stage, begun=begun)


def _file_layer(place: str, file: Taken) -> oci.Layer:
    """A resource's layer. Its title is its place, a directory's too: dests are unique, names made from them may not be."""
    if file.kind == "file":
        return oci.Layer("sha256:" + file.sha256, file.size, oci.FILE_TYPE, place, "file")
    return oci.Layer("sha256:" + file.sha256, file.size, oci.TAR_GZIP_TYPE, place, "file", place)


def _zip_layers(depot: Depot, gathered: Gathered, stage: Stage) -> list[oci.Layer]:
    platforms = {(MODULE, module_version(version, platform)): platform for version, platform in gathered.toolchains}
    layers = []
    for module, version in gathered.store.versions()[0]:
        stored = gathered.store.files[(module, version, "zip")]
        platform = platforms.get((module, version), "")
        title = "proxy/" + proxy_path(module, version, "zip")
        layers.append(oci.Layer("sha256:" + stored.sha256, stored.size, oci.ZIP_TYPE, title, "toolchain" if platform else "module", platform=platform))
        depot.blobs.adopt(stored.path, layers[-1].digest, stored.size)
        stage.advance(1, stored.size)
    return layers


def pack_source(name: str, top: str, work: str, rest: t.Optional[source.ZippedSource] = None) -> Packed:
    """The source of project ``name``, which is in directory ``top``, packed below directory ``work``.

    :param rest: where what isn't yet in ``top`` is.
    :raises ModuleRefused: that is not what a module zip may hold.
    """
    if rest is not None:
        rest.extract_rest(top)
    files = [Entry(*file) for file in source.packed_files(top, ".")]
    return _pack(_Package(f"projects/{name}.source.tar.gz", "source", f"projects/{name}", files, True, name), os.path.join(work, f"{name}.source.tar"))


def vendor_layer(depot: Depot, name: str, top: str, directory: str, work: str) -> t.Optional[oci.Layer]:
    """What the rehearsal vendored for project ``name``, apart from its source, so that a change of one leaves the other's blob alone.

    :param top: the project's source. ``directory``: where its vendor directory is.
    :returns: None where there is nothing to vendor.
    """
    vendor = os.path.relpath(os.path.join(directory, "vendor"), top)
    if not os.path.isdir(os.path.join(top, vendor)):
        return None
    vendored = [Entry(*file) for file in source.packed_files(top, vendor)]
    package = _Package(f"projects/{name}.vendor.tar.gz", "vendor", f"projects/{name}", vendored, True, name)
    return _adopt(depot, _pack(package, os.path.join(work, f"{name}.vendor.tar")))


def tool_layer(depot: Depot, binary: str, platform: str) -> oci.Layer:
    """A prebuilt tool for ``platform`` (os/arch), called as its file is."""
    sha256, size = sha256_of(binary)
    title = f"tools/{platform.replace('/', '-')}/{os.path.basename(binary)}"
    layer = oci.Layer("sha256:" + sha256, size, oci.FILE_TYPE, title, "tool", platform=platform)
    depot.blobs.adopt(binary, layer.digest, size, move=True)
    return layer


def extras_layer(depot: Depot, program: str, files: t.Mapping[str, str], work: str) -> oci.Layer:
    """What comes with the tool ``program``, the same for all platforms.

    :param files: by their names below the tool's directory, where they are.
    """
    entries = [Entry(name, path) for name, path in sorted(files.items())]
    package = _Package(f"tools/{program}.extras.tar.gz", "extra", f"{extras.PLACE}/{program}", entries, True)
    return _adopt(depot, _pack(package, os.path.join(work, f"{program}.extras.tar")))


def _pack(package: _Package, path: str) -> Packed:
    with open(path, "wb") as stream:
        names = pack_tree(stream, package.entries, package.compress)
    sha256, size = sha256_of(path)
    media_type = oci.TAR_GZIP_TYPE if package.compress else oci.TAR_TYPE
    layer = oci.Layer("sha256:" + sha256, size, media_type, package.title, package.kind, package.unpack, project=package.project)
    return Packed(path, layer, [Ready(name, digest, entry.executable) for (name, digest), entry in zip(names, sorted(package.entries))])


def _adopt(depot: Depot, packed: Packed) -> oci.Layer:
    depot.blobs.adopt(packed.path, packed.layer.digest, packed.layer.size, move=True)
    return packed.layer


def document(gathered: Gathered, number: int) -> dict[str, t.Any]:
    """The config document; its schema is docs/schemas/generation.v1.json."""
    zips, mods = gathered.store.versions()
    return {
        "schema": SCHEMA,
        "name": gathered.spec.name,
        "generation": number,
        "created": now(),
        "inputs": gathered.inputs,
        "spec": gathered.spec.normal(),
        "go": {"nosumdb": gathered.nosumdb, "gosumdb": gathered.gosumdb, "sumdb": dict(gathered.database.head), "release": gathered.release},
        "toolchains": [
            {"version": version, "platform": platform, "zip": gathered.store.files[(MODULE, module_version(version, platform), "zip")].sha256}
            for version, platform in gathered.toolchains
        ],
        "modules": [_module_entry(gathered, version, True) for version in zips] + [_module_entry(gathered, version, False) for version in mods],
        "projects": [_project_entry(gathered, entry) for entry in gathered.projects],
        "tools": [{"package": tool.package, "version": tool.version, "platforms": list(tool.platforms), **tool.extras()} for tool in gathered.spec.tools],
        "files": [_file_entry(dest, file) for dest, file in sorted(gathered.files.items())],
        "seal": None,
    }


def _file_entry(dest: str, file: Taken) -> dict[str, t.Any]:
    entry: dict[str, t.Any] = {"dest": dest, "kind": file.kind, "sha256": file.sha256, "size": file.size}
    if file.kind == "directory":
        entry["digest"] = file.digest
    elif file.kind == "git":
        entry["commit"] = file.commit
    return entry


def _module_entry(gathered: Gathered, version: Version, zipped: bool) -> dict[str, t.Any]:
    module, number = version
    store = gathered.store
    entry: dict[str, t.Any] = {
        "path": module,
        "version": number,
        "zip": "",
        "size": 0,
        "h1": "",
        "files": 0,
        "unpacked": 0,
        "public": version in gathered.database.records,
        "gomod_h1": store.gomod_h1(module, number),
        "verified": verified_by(version, zipped, gathered.sums, gathered.database.records),
        "required_by": store.required_by(version),
    }
    if zipped:
        stored, inside = store.files[(module, number, "zip")], store.zip(module, number)
        entry.update(zip=stored.sha256, size=stored.size, h1=inside.h1, files=inside.files, unpacked=inside.unpacked)
    return entry


def _project_entry(gathered: Gathered, entry: GatheredProject) -> dict[str, t.Any]:
    origin = entry.project.origin()
    if entry.commit:
        origin["commit"] = entry.commit
    return {
        "name": entry.project.name,
        "source": origin,
        "directory": entry.project.directory,
        "workspace": entry.root.files.workspace,
        "toolchain": choose(entry.root.asked, [version for version, _platform in gathered.toolchains]),
        "asked": entry.root.asked,
        "scope": entry.project.scope,
        "dirty": entry.project.dirty,
        "run_tests": entry.project.run_tests,
        "env": dict(entry.project.env),
        "tags": list(entry.project.tags),
        "builds": [build.to_dict() for build in entry.root.builds],
    }
