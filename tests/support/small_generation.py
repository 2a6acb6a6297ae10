# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations of some kilobytes, whole in every respect but for what their toolchains can do, and their way to a host.

For tests that need dozens of deploys: of Go itself they prove nothing.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import shutil
import tempfile
import typing as t
import zipfile

from ansible_collections.airgap.golang.plugins.module_utils import deliver
from ansible_collections.airgap.golang.plugins.module_utils._base import ustar
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Generation, Ref
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import escape_path, proxy_path
from ansible_collections.airgap.golang.plugins.module_utils._go.h1 import gomod_h1, zip_h1
from ansible_collections.airgap.golang.plugins.module_utils._go.toolchain import host_platform
from ansible_collections.airgap.golang.plugins.module_utils.host import Host, Plan, read_generation

PLATFORM = host_platform()
OTHER = "linux/arm64" if PLATFORM != "linux/arm64" else "linux/amd64"
ALL_PARTS = ("toolchain", "modcache", "goenv", "project")
LOOSE = ("example.com/loose", "v1.0.0")


def source_of(project: str, number: int) -> bytes:
    """What a project's only file has, in generation ``number``."""
    return f"package main // {project} {number}\n".encode()


def copying(project: str, number: int) -> dict[str, t.Any]:
    """A build as a rehearsal records it, by a command that any host has."""
    content = source_of(project, number)
    command = ["sh", "-c", 'cat main.go >"$OUTPUT"']
    recorded = {"sha256": oci.digest_of(content)[7:], "size": len(content)}
    return {"package": ".", "output": f"bin/{project}", "platform": PLATFORM, "command": command, **recorded}


class Making:
    """One generation, put together file by file."""

    def __init__(self, depot: Depot) -> None:
        self.depot = depot
        self.layers: list[oci.Layer] = []
        self.modules: list[dict[str, t.Any]] = []
        self.index: dict[str, bytes] = {}

    def blob(self, content: bytes, title: str, kind: str, media_type: str, **more: str) -> oci.Layer:
        path = os.path.join(self.depot.scratch("small"), "blob")
        pathlib.Path(path).write_bytes(content)
        layer = oci.Layer(oci.digest_of(content), len(content), media_type, title, kind, **more)
        self.depot.blobs.adopt(path, layer.digest, layer.size, move=True)
        self.layers.append(layer)
        return layer

    def tree(self, files: t.Mapping[str, bytes], title: str, kind: str, unpack: str, compress: bool = True, project: str = "") -> None:
        stream = io.BytesIO()
        writer = ustar.Writer(stream)
        for name in sorted(files):
            writer.add_bytes(name, files[name])
        writer.close()
        content = gzip.compress(stream.getvalue(), mtime=0) if compress else stream.getvalue()
        self.blob(content, title, kind, oci.TAR_GZIP_TYPE if compress else oci.TAR_TYPE, unpack=unpack, project=project)

    def module(self, path: str, version: str, files: t.Mapping[str, bytes], kind: str = "module", platform: str = "") -> str:
        self.index[proxy_path(path, version, "mod")] = f"module {path}\n".encode()
        self.index[proxy_path(path, version, "info")] = json.dumps({"Version": version}).encode()
        gomod = gomod_h1(self.index[proxy_path(path, version, "mod")])
        if not files:
            nothing = {"zip": "", "size": 0, "h1": "", "unpacked": 0, "files": 0}
            self.modules.append({"path": path, "version": version, "gomod_h1": gomod, "public": False, **nothing})
            return ""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                archive.writestr(zipfile.ZipInfo(f"{path}@{version}/{name}", (1980, 1, 1, 0, 0, 0)), files[name])
        layer = self.blob(stream.getvalue(), "proxy/" + proxy_path(path, version, "zip"), kind, oci.ZIP_TYPE, platform=platform)
        self.modules.append(
            {
                "path": path,
                "version": version,
                "zip": layer.hex,
                "size": layer.size,
                "h1": zip_h1(self.depot.blobs.path(layer.digest)),
                "unpacked": sum(map(len, files.values())),
                "files": len(files),
                "gomod_h1": gomod,
                "public": False,
            }
        )
        return layer.hex

    def tool(self, name: str, platform: str, number: int, content: bytes = b"") -> dict[str, t.Any]:
        content = content or f"#!/bin/sh\necho {name} {number} {platform}\n".encode()
        layer = self.blob(content, f"tools/{platform.replace('/', '-')}/{name}", "tool", oci.FILE_TYPE, platform=platform)
        return {"platform": platform, "name": name, "sha256": layer.hex, "size": layer.size}


def _extras(name: str, files: t.Sequence[str]) -> dict[str, t.Any]:
    kinds = {kind: sorted(os.path.basename(file) for file in files if file.startswith(f"{kind}/")) for kind in ("completions", "man")}
    return {"extras": {"program": name, **kinds}} if files else {}


def make_generation(
    depot: Depot,
    number: int,
    *,
    toolchains: t.Sequence[str] = ("1.26.8",),
    platforms: t.Sequence[str] = (PLATFORM,),
    modules: t.Optional[t.Mapping[tuple[str, str], t.Mapping[str, bytes]]] = None,
    projects: t.Sequence[str] = ("hello",),
    tools: t.Sequence[str] = (),
    nosumdb: str = "",
    sealed: bool = True,
    builds: bool = False,
    programs: t.Optional[t.Mapping[str, bytes]] = None,
    lists: bool = False,
    extras: t.Optional[t.Mapping[str, t.Sequence[str]]] = None,
) -> Generation:
    """Admit a generation with these into ``depot``; modules: the loose one, if None; without files, of a version goes the go.mod alone.
    ``builds``: each project has a build, which copies its source.

    Its toolchains' ``go`` is a script that says its version and arguments; each tool, prebuilt for each platform, one that says its name
    and the generation's number, or the program that ``programs`` has under its name. With ``lists`` each module has its list.
    ``extras``: by a tool's name what comes with it, as completions/bash and man/fix.1; each file says whose it is, and of which generation.
    """
    carried = {LOOSE: {"loose.go": b"package loose\n"}} if modules is None else modules
    with depot.locked():
        making = Making(depot)
        zips = {}
        for version in toolchains:
            for platform in platforms:
                files = {
                    "VERSION": f"go{version}\n".encode(),
                    "go.env": b"GOTOOLCHAIN=stock\n",
                    "bin/go": f'#!/bin/sh\necho go{version} {platform} "$@"\n'.encode(),
                    "bin/gofmt": b"#!/bin/sh\nexec cat\n",
                    "src/fmt/print.go": f"package fmt // {version}\n".encode(),
                }
                zips[version, platform] = making.module(toolchain.MODULE, toolchain.module_version(version, platform), files, "toolchain", platform)
        for (path, version), content in carried.items():
            making.module(path, version, content)
        for entry in making.modules if lists else ():
            making.index[f"{escape_path(entry['path'])}/@v/list"] = f"{entry['version']}\n".encode()
        making.tree(making.index, "proxy.tar.gz", "index", "proxy")
        making.tree({"sum.example/latest": str(number).encode()}, "sumdb.tar", "sumdb", "proxy/sumdb", compress=False)
        for name in projects:
            source: dict[str, bytes] = {"main.go": source_of(name, number)}
            for kind, content in {"source": source, "vendor": {"vendor/modules.txt": b"# none\n"}}.items():
                making.tree(content, f"projects/{name}.{kind}.tar.gz", kind, f"projects/{name}", project=name)
        built = [making.tool(name, platform, number, (programs or {}).get(name, b"")) for name in tools for platform in platforms]
        for name, names in (extras or {}).items():
            said = {file: f"{file} of {name} {number}\n".encode() for file in names}
            making.tree(said, f"tools/{name}.extras.tar.gz", "extra", f"tools/share/{name}")
        making.blob(json.dumps({"generation": number}).encode(), "evidence/small.json", "evidence", "application/json")
        config = {
            "schema": 1,
            "name": "small",
            "created": "2026-01-02T03:04:05Z",
            "generation": number,
            "spec": {"name": "small", "modules": []},
            "toolchains": [{"version": version, "platform": platform, "zip": zips[version, platform]} for version, platform in zips],
            "modules": making.modules,
            "projects": [
                {"name": name, "directory": ".", "toolchain": toolchains[-1], "workspace": False, "builds": [copying(name, number)] if builds else []}
                for name in projects
            ],
            "tools": [
                {
                    "package": f"example.com/{name}",
                    "version": f"v1.{number}.0",
                    "platforms": list(platforms),
                    "binaries": [binary for binary in built if binary["name"] == name],
                    **_extras(name, (extras or {}).get(name, ())),
                }
                for name in tools
            ],
            "files": [],
            "go": {"nosumdb": nosumdb, "gosumdb": "off", "sumdb": {}},
        }
        encoded = oci.canonical(config)
        manifest = oci.Manifest(oci.digest_of(encoded), len(encoded), tuple(making.layers)).encode()
        generation = depot.admit(Ref(number, sealed), manifest, encoded, "0" * 32)
        depot.sweep()
        return generation


def probe(depot: Depot, host: Host, wish: Wish, number: t.Optional[int] = None, keep: int = 0) -> Plan:
    """What the host says to an offer."""
    request = deliver.with_documents(*deliver.offer(depot.path, number))
    return host.plan(read_generation(request.ref, request.manifest, request.config), wish, keep)


def send(depot: Depot, host: Host, plan: Plan) -> tuple[str, int]:
    """Put what the plan lacks on the host; returns the directory and how many parts are there."""
    if not plan.missing:
        return "", 0
    incoming = host.open_incoming("", plan.generation)
    stage = Reporter().stage("deliver")
    with tempfile.TemporaryDirectory() as packs:
        sender = deliver.Sender(lambda path, name: t.cast(None, shutil.copyfile(path, os.path.join(incoming, name))), stage, deliver.Packs(packs))
        return incoming, sender.send(depot, plan.missing)


def bring(depot: Depot, host: Host, wish: Wish, number: t.Optional[int] = None, keep: int = 0, after: bool = False) -> Plan:
    """A whole deploy, step by step what the action plugin and the module do. Returns the plan that was first made, or with ``after`` the one carried out."""
    plan = last = probe(depot, host, wish, number, keep)
    if plan.changed:
        host.sweep()
        host.check_place(plan)
        incoming, parts = send(depot, host, plan)
        last = probe(depot, host, wish, number, keep)
        host.admit(last, "1" * 32, incoming, parts)
    return last if after else plan
