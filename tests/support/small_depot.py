# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small depot with two sealed generations of real modules, and no toolchain: for tests of what depots and bundles do.

The fixture ``small_site`` (tests/conftest.py) is made once a session, and is to be copied before it's changed.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import typing as t
import zipfile

from ansible_collections.airgap.golang.plugins.module_utils._base import signature
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._base.ustar import Entry, pack_tree
from ansible_collections.airgap.golang.plugins.module_utils._depot import bundle as form
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import SCHEMA, Generation, Ref
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import proxy_path
from ansible_collections.airgap.golang.plugins.module_utils._go.h1 import gomod_h1, zip_h1
from ansible_collections.airgap.golang.plugins.module_utils._go.proxytree import write_lists

UUID = ("github.com/google/uuid", "v1.6.0")
ERRORS = ("github.com/pkg/errors", "v0.9.1")
SEMVER = ("github.com/Masterminds/semver/v3", "v3.2.1")
PRINCIPAL = "releases@airgap.example"
LONG = "internal/" + "a-directory-with-a-long-name/" * 5 + "data.txt"
SOURCE = {
    "go.mod": b"module airgap.example/hello\n\ngo 1.21\n\nrequire github.com/google/uuid v1.6.0\n",
    "main.go": b'package main\n\nimport "github.com/google/uuid"\n\nfunc main() { println(uuid.Nil.String()) }\n',
    LONG: b"a name that a tar header's hundred bytes don't hold\n",
}


class Fetched(t.NamedTuple):
    """One module version from this machine's GOPROXY, as files."""

    path: str
    version: str
    zip: pathlib.Path
    info: pathlib.Path
    mod: pathlib.Path


def fetch_modules(directory: pathlib.Path, versions: t.Sequence[tuple[str, str]]) -> dict[tuple[str, str], Fetched]:
    """Have the go command download and prove these versions, below ``directory``."""
    directory.mkdir(parents=True)
    environment = {**os.environ, "GOMODCACHE": str(directory / "modcache"), "GOFLAGS": "-modcacherw", "GOWORK": "off"}
    argv = ["go", "mod", "download", "-json", *(f"{path}@{version}" for path, version in versions)]
    finished = subprocess.run(argv, cwd=directory, env=environment, text=True, capture_output=True, timeout=300, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {finished.stdout}{finished.stderr}")
    found = {}
    decoder, text = json.JSONDecoder(), finished.stdout.strip()
    while text:
        entry, end = decoder.raw_decode(text)
        text = text[end:].lstrip()
        files = (pathlib.Path(entry[key]) for key in ("Zip", "Info", "GoMod"))
        found[entry["Path"], entry["Version"]] = Fetched(entry["Path"], entry["Version"], *files)
    return found


class Composed(t.NamedTuple):
    """A generation whose blobs are in a depot's store, though it isn't admitted."""

    generation: Generation
    manifest: bytes
    config: bytes


@dataclasses.dataclass
class Composer:
    """Makes generations out of fetched modules in the form that gather gives them.

    ``edit_config``, ``edit_layers``: let a test lie before the digests are made.
    """

    depot: Depot
    scratch: pathlib.Path
    edit_config: t.Callable[[dict[str, t.Any]], None] = lambda config: None
    edit_layers: t.Callable[[list[oci.Layer]], None] = lambda layers: None

    def blob(self, content: bytes) -> tuple[str, int]:
        digest = oci.digest_of(content)
        with self.depot.locked():
            self.depot.blobs.put(digest, content)
        return digest, len(content)

    def tar(self, title: str, kind: str, unpack: str, files: t.Mapping[str, bytes], compress: bool, project: str = "") -> oci.Layer:
        """A tar layer that ``pack_tree`` packs."""
        directory = self.scratch / "pack" / title.replace("/", "_")
        entries = []
        for name, content in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            entries.append(Entry(name, str(path), name.endswith(".sh")))
        stream = io.BytesIO()
        pack_tree(stream, entries, compress)
        return self.raw(title, kind, unpack, stream.getvalue(), oci.TAR_GZIP_TYPE if compress else oci.TAR_TYPE, project)

    def raw(self, title: str, kind: str, unpack: str, content: bytes, media_type: str = oci.TAR_TYPE, project: str = "") -> oci.Layer:
        """A layer with whatever content."""
        digest, size = self.blob(content)
        return oci.Layer(digest, size, media_type, title, kind, unpack, project=project)

    def compose(
        self,
        number: int,
        modules: t.Sequence[Fetched],
        gomod_only: t.Sequence[Fetched] = (),
        files: t.Optional[t.Mapping[str, bytes]] = None,
        source: t.Optional[t.Mapping[str, bytes]] = None,
        vendor: t.Optional[t.Mapping[str, bytes]] = None,
        sealed: bool = True,
        name: str = "small",
    ) -> Composed:
        layers = []
        goproxy = self.scratch / f"proxy-{secrets.token_hex(4)}"
        keys = []
        for module in [*modules, *gomod_only]:
            for ext in ("info", "mod", "zip") if module in modules else ("info", "mod"):
                keys.append((module.path, module.version, ext))
                place = goproxy / proxy_path(*keys[-1])
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(getattr(module, ext), place)
        write_lists(str(goproxy), keys)
        small = (path for path in sorted(goproxy.rglob("*")) if path.is_file() and path.suffix != ".zip")
        proxy = {str(path.relative_to(goproxy)): path.read_bytes() for path in small}
        for module in modules:
            digest, size = self.blob(module.zip.read_bytes())
            layers.append(oci.Layer(digest, size, oci.ZIP_TYPE, "proxy/" + proxy_path(module.path, module.version, "zip"), "module"))
        layers.append(self.tar("proxy.tar.gz", "index", "proxy", proxy, True))
        projects = []
        if source is not None:
            layers.append(self.tar("projects/hello.source.tar.gz", "source", "projects/hello", source, True, "hello"))
            projects.append(_project_entry())
        if vendor is not None:
            layers.append(self.tar("projects/hello.vendor.tar.gz", "vendor", "projects/hello", vendor, True, "hello"))
        for dest, content in (files or {}).items():
            digest, size = self.blob(content)
            layers.append(oci.Layer(digest, size, oci.FILE_TYPE, "files/" + dest, "file"))
        if sealed:
            digest, size = self.blob(json.dumps({"generation": number, "isolation": "netns", "builds": []}, indent=1).encode() + b"\n")
            layers.append(oci.Layer(digest, size, "application/json", "evidence/rehearsal.json", "evidence"))
        config: dict[str, t.Any] = {
            "schema": SCHEMA,
            "name": name,
            "generation": number,
            "created": "2026-01-02T03:04:05Z",
            "inputs": oci.digest_of(b"inputs"),
            "spec": {"name": name},
            "go": {"nosumdb": "", "gosumdb": "sum.golang.org", "sumdb": {}},
            "toolchains": [],
            "modules": [_module_entry(module, True) for module in modules] + [_module_entry(module, False) for module in gomod_only],
            "projects": projects,
            "tools": [],
            "files": [
                {"dest": layer.title[len("files/") :], "sha256": layer.hex, "size": layer.size} for layer in layers if layer.kind == "file"
            ],
            "seal": {"time": "2026-01-02T03:04:05Z", "isolation": "netns", "evidence": "evidence/rehearsal.json", "builds": []} if sealed else None,
        }
        self.edit_config(config)
        self.edit_layers(layers)
        encoded = oci.canonical(config)
        manifest = oci.Manifest(oci.digest_of(encoded), len(encoded), tuple(layers))
        content = manifest.encode()
        for document in (encoded, content):
            self.blob(document)
        return Composed(Generation(Ref(config["generation"], sealed), oci.digest_of(content), manifest, config), content, encoded)

    def admit(self, composed: Composed) -> Generation:
        with self.depot.locked():
            return self.depot.admit(composed.generation.ref, composed.manifest, composed.config, "", facts={"by": "test"})


def _module_entry(module: Fetched, with_zip: bool) -> dict[str, t.Any]:
    entry: dict[str, t.Any] = {
        "path": module.path,
        "version": module.version,
        "zip": "",
        "size": 0,
        "h1": "",
        "files": 0,
        "unpacked": 0,
        "public": False,
        "gomod_h1": gomod_h1(module.mod.read_bytes()),
        "verified": "sumdb",
        "required_by": ["modules"],
    }
    if with_zip:
        with zipfile.ZipFile(module.zip) as archive:
            members = archive.infolist()
        content = module.zip.read_bytes()
        entry.update(
            zip=oci.digest_of(content)[7:],
            size=len(content),
            h1=zip_h1(str(module.zip)),
            files=len(members),
            unpacked=sum(member.file_size for member in members),
        )
    return entry


def _project_entry() -> dict[str, t.Any]:
    return {
        "name": "hello",
        "source": {"path": "hello"},
        "directory": ".",
        "workspace": False,
        "toolchain": "1.26.8",
        "asked": "1.21",
        "scope": "test",
        "dirty": "error",
        "run_tests": False,
        "env": {},
        "tags": [],
        "tidy": True,
        "builds": [],
    }


def vendored(module: Fetched) -> dict[str, bytes]:
    """A vendor directory with this one module, as `go mod vendor` lays it out."""
    prefix = f"{module.path}@{module.version}/"
    with zipfile.ZipFile(module.zip) as archive:
        names = [name for name in archive.namelist() if name.endswith(".go") and not name.endswith("_test.go")]
        files = {f"vendor/{module.path}/{name[len(prefix):]}": archive.read(name) for name in names}
    files["vendor/modules.txt"] = f"# {module.path} {module.version}\n## explicit\n{module.path}\n".encode()
    return files


def make_key(directory: pathlib.Path, name: str, kind: str = "ed25519") -> pathlib.Path:
    """A private key without a passphrase."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", str(path)], check=True, capture_output=True, timeout=60)
    return path


def allow(path: pathlib.Path, *signers: tuple[str, pathlib.Path]) -> pathlib.Path:
    """An allowed signers file for (principal, key)."""
    path.write_text("".join(f"{principal} {key.with_name(key.name + '.pub').read_text()}" for principal, key in signers))
    return path


def write_bundle(depot: Depot, generation: Generation, path: pathlib.Path, key: str = "", carried: t.Optional[t.Sequence[str]] = None) -> pathlib.Path:
    """Write a bundle of a generation whose blobs are in the store, be it admitted or not."""
    blobs = form.carried_blobs(generation, ()) if carried is None else carried
    armoured = signature.sign(form.preamble(depot, generation, blobs)[form.SUMS], key) if key else b""
    with open(path, "wb") as stream:
        form.write(depot, generation, blobs, stream, armoured, Reporter().stage(""))
    return path


@dataclasses.dataclass(frozen=True)
class SmallSite:
    """A connected side: a depot with the generations ``first`` and ``second``, keys, and signed full bundles of both."""

    directory: pathlib.Path
    depot: Depot
    first: Generation
    second: Generation
    modules: t.Mapping[tuple[str, str], Fetched]
    key: pathlib.Path
    stranger: pathlib.Path
    allowed_signers: pathlib.Path
    first_bundle: pathlib.Path
    second_bundle: pathlib.Path


def make_small_site(directory: pathlib.Path) -> SmallSite:
    modules = fetch_modules(directory / "fetched", [UUID, ERRORS, SEMVER])
    uuid, errors, semver = (modules[version] for version in (UUID, ERRORS, SEMVER))
    depot = Depot(str(directory / "depot"))
    composer = Composer(depot, directory / "scratch")
    common: dict[str, t.Any] = {"source": SOURCE, "vendor": vendored(uuid), "files": {"web/logo.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>\n"}}
    first = composer.admit(composer.compose(1, [uuid], [errors], **common))
    second = composer.admit(composer.compose(2, [semver, uuid, errors], **common))
    key, stranger = make_key(directory / "keys", "signing"), make_key(directory / "keys", "stranger")
    return SmallSite(
        directory,
        depot,
        first,
        second,
        modules,
        key,
        stranger,
        allow(directory / "keys" / "allowed_signers", (PRINCIPAL, key)),
        write_bundle(depot, first, directory / form.file_name(first), str(key)),
        write_bundle(depot, second, directory / form.file_name(second), str(key)),
    )
