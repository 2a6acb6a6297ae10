# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The go command, in a network namespace with nothing in it and GOSUMDB on, proves modules with a snapshot of the public database."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest
import urllib3

from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import NotFetched
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import proxy_path
from ansible_collections.airgap.golang.plugins.module_utils._go.gosum import parse
from ansible_collections.airgap.golang.plugins.module_utils._go.snapshotcheck import Record
from ansible_collections.airgap.golang.plugins.module_utils._go.sumdb import Snapshot, parse_gosumdb
from ansible_collections.airgap.golang.plugins.module_utils._go.tlog import edge, parse_head
from ansible_collections.airgap.golang.tests.support.record_database import LATER_HEAD, LATER_SIZE, OLD_HEAD, OLD_SIZE

DATABASE = parse_gosumdb("sum.golang.org")

UUID = ("github.com/google/uuid", "v1.6.0")
TOML = ("github.com/BurntSushi/toml", "v1.5.0")
QUOTE = ("rsc.io/quote", "v1.5.2")
TOOL = ("rsc.io/2fa", "v1.2.0")
OF_TOOL = ("github.com/atotto/clipboard", "v0.1.2")
TOOLCHAIN = ("golang.org/toolchain", "v0.0.1-go1.27.3.linux-amd64")
MODULES = [
    UUID,
    TOML,
    QUOTE,
    ("rsc.io/sampler", "v1.3.0"),
    ("golang.org/x/text", "v0.0.0-20170915032832-14c0d48ead0c"),
    ("gopkg.in/yaml.v3", "v3.0.1"),
    ("gopkg.in/check.v1", "v0.0.0-20161208181325-20d25e280405"),
    ("golang.org/toolchain", "v0.0.1-go1.26.8.linux-amd64"),
]
WITH_ZIP = [UUID, TOML]
OLD_MODULES = [UUID, QUOTE]


class Network:
    """The first proxy of GOPROXY."""

    def __init__(self) -> None:
        chain = subprocess.run(["go", "env", "GOPROXY"], text=True, capture_output=True, check=True, timeout=60).stdout.strip()
        self._base = chain.replace("|", ",").split(",")[0].rstrip("/")
        self._pool = urllib3.PoolManager(maxsize=16)

    def get(self, path: str) -> bytes:
        response = self._pool.request("GET", f"{self._base}/{path}", retries=urllib3.Retry(total=4, backoff_factor=0.5), timeout=60)
        if response.status != 200:
            raise NotFetched(f"{path}: {response.status}", status=response.status)
        return response.data

    def database(self, path: str) -> bytes:
        return self.get(f"sumdb/{DATABASE.name}/{path}")

    def database_then(self, path: str, head: bytes = OLD_HEAD) -> bytes:
        """What the database would have said when ``head`` was its latest."""
        if path == "latest":
            return head
        answer = self.database(path)
        return answer[: answer.index(b"\n\n") + 2] + head if path.startswith("lookup/") else answer


class Built(t.NamedTuple):
    directory: pathlib.Path
    size: int
    records: dict[tuple[str, str], Record]


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def built(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Built:
    directory = tmp_path_factory.mktemp("snapshot") / "now"
    snapshot = Snapshot(str(directory), DATABASE.key, network.database)
    records = snapshot.build(MODULES, older_sizes=[OLD_SIZE])
    return Built(directory, snapshot.tree_size, records)


@pytest.fixture(scope="module")
def built_then(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Built:
    directory = tmp_path_factory.mktemp("snapshot") / "then"
    snapshot = Snapshot(str(directory), DATABASE.key, network.database_then)
    records = snapshot.build(OLD_MODULES)
    return Built(directory, snapshot.tree_size, records)


@pytest.fixture(scope="module")
def generations(network: Network, tmp_path_factory: pytest.TempPathFactory) -> list[Built]:
    """Three snapshots in a row, as three gathers make them: each has what the one before had, and leads on from all of them."""
    place = tmp_path_factory.mktemp("generations")
    later = functools.partial(network.database_then, head=LATER_HEAD)
    made: list[Built] = []
    for fetch, modules in (
        (network.database_then, OLD_MODULES),
        (later, [*OLD_MODULES, TOML]),
        (network.database, [*OLD_MODULES, TOML, TOOL, OF_TOOL, TOOLCHAIN]),
    ):
        previous = str(made[-1].directory) if made else None
        snapshot = Snapshot(str(place / str(len(made))), DATABASE.key, fetch, previous=previous)
        records = snapshot.build(modules, [one.size for one in made])
        made.append(Built(place / str(len(made)), snapshot.tree_size, records))
    assert [one.size for one in made[:2]] == [OLD_SIZE, LATER_SIZE]
    return made


@pytest.fixture(scope="module")
def third(modules: pathlib.Path, network: Network, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """``modules``, and a tool and a toolchain in full."""
    root = tmp_path_factory.mktemp("third") / "proxy"
    shutil.copytree(modules, root)
    for module in (TOOL, OF_TOOL, TOOLCHAIN):
        for ext in ("info", "mod", "zip"):
            path = root / proxy_path(*module, ext)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(network.get(proxy_path(*module, ext)))
    (root / TOOL[0] / "@v" / "list").write_text(f"{TOOL[1]}\n")
    return root


@pytest.fixture(scope="module")
def modules(network: Network, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A GOPROXY tree without a database: go.mod files of all, zips of two."""
    root = tmp_path_factory.mktemp("proxy")
    for module in MODULES:
        for ext in ("info", "mod", "zip") if module in WITH_ZIP else ("info", "mod"):
            path = proxy_path(*module, ext)
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(network.get(path))
    return root


class Host:
    """A machine that has a go command, a home directory, and files; no network, and nothing cached."""

    def __init__(self, directory: pathlib.Path, modules: pathlib.Path) -> None:
        self.proxy = directory / "proxy"
        self.gopath = directory / "gopath"
        self.modcache = directory / "modcache"
        self.project = directory / "project"
        shutil.copytree(modules, self.proxy)
        self.project.mkdir()
        # Not for what the tests are about: compiled packages, for all of them.
        self.gocache = modules.parent / "gocache"
        self.database = self.proxy / "sumdb" / DATABASE.name

    def receive(self, snapshot: pathlib.Path) -> None:
        shutil.rmtree(self.database, ignore_errors=True)
        shutil.copytree(snapshot, self.database)

    def go(self, *arguments: str, toolchain: str = "local") -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.gopath.parent),
            "LC_ALL": "C",
            "GOENV": "off",
            "GOCACHE": str(self.gocache),
            "GOPATH": str(self.gopath),
            "GOMODCACHE": str(self.modcache),
            "GOPROXY": self.proxy.as_uri(),
            "GOSUMDB": DATABASE.name,
            "GONOSUMDB": "",
            "GOPRIVATE": "",
            "GONOPROXY": "",
            "GOFLAGS": "-mod=mod -modcacherw",
            "GOTOOLCHAIN": toolchain,
            "GOWORK": "off",
        }
        return subprocess.run(
            ["unshare", "--map-root-user", "--net", "go", *arguments],
            cwd=self.project,
            env=environment,
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )

    def download(self, *wanted: tuple[str, str]) -> subprocess.CompletedProcess[str]:
        """Into an empty module cache, for a go.mod without a go.sum."""
        shutil.rmtree(self.modcache, ignore_errors=True)
        (self.project / "go.sum").unlink(missing_ok=True)
        requires = "".join(f"require {module} {version}\n" for module, version in wanted)
        (self.project / "go.mod").write_text(f"module example.org/project\n\ngo 1.21\n\n{requires}")
        return self.go("mod", "download", "-json", "all")

    def sums(self) -> dict[tuple[str, str], str]:
        return parse((self.project / "go.sum").read_text(), "go.sum")

    def known_head(self) -> int:
        """The size of the head that the go command remembers."""
        return parse_head((self.gopath / "pkg" / "sumdb" / DATABASE.name / "latest").read_bytes(), DATABASE.key).size


@pytest.fixture
def host(tmp_path: pathlib.Path, modules: pathlib.Path) -> Host:
    return Host(tmp_path, modules)


def test_modules_are_proved_without_a_network(host: Host, built: Built) -> None:
    host.receive(built.directory)
    finished = host.download(UUID, TOML)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    expected = {}
    for module, version in (UUID, TOML):
        expected[(module, version)] = built.records[(module, version)].lines["zip"]
        expected[(module, version + "/go.mod")] = built.records[(module, version)].lines["mod"]
    assert host.sums() == expected
    assert host.known_head() == built.size


def test_every_go_mod_of_a_graph_is_proved(host: Host, built: Built) -> None:
    host.receive(built.directory)
    graph = [module for module in MODULES if not module[0].endswith("toolchain")]
    (host.project / "go.mod").write_text(f"module example.org/project\n\ngo 1.16\n\nrequire {QUOTE[0]} {QUOTE[1]}\nrequire gopkg.in/yaml.v3 v3.0.1\n")
    finished = host.go("list", "-m", "-json", "all")
    assert finished.returncode == 0, finished.stderr
    listed = {(module, version) for module, version in graph if json.dumps(module) in finished.stdout}
    assert listed == set(graph) - set(WITH_ZIP)
    assert host.sums() == {(module, version + "/go.mod"): built.records[(module, version)].lines["mod"] for module, version in listed}


def test_the_client_read_all_that_the_snapshot_has(host: Host, built: Built, network: Network, tmp_path: pathlib.Path) -> None:
    alone = tmp_path / "alone"
    Snapshot(str(alone), DATABASE.key, network.database, previous=str(built.directory)).build([UUID, TOML])
    host.receive(alone)
    assert host.download(UUID, TOML).returncode == 0
    cached = host.modcache / "cache" / "download" / "sumdb" / DATABASE.name
    carried = {path.relative_to(alone) for path in alone.rglob("*") if path.is_file()}
    read = {path.relative_to(cached) for path in cached.rglob("*") if path.is_file()}
    assert read == carried - {pathlib.Path("latest"), pathlib.Path("supported")}


def test_without_the_snapshot_it_fails(host: Host) -> None:
    assert host.download(UUID, TOML).returncode != 0


def flip(path: pathlib.Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["edge", "level 1", "level 0"])
def test_a_flipped_bit_in_a_tile_is_noticed(host: Host, built: Built, kind: str) -> None:
    host.receive(built.directory)
    number = built.records[TOML].id // 256
    if kind == "edge":
        path = host.database / edge(built.size)[-1].path
    elif kind == "level 0":
        path = host.database / "tile" / "8" / "0" / f"x{number // 1000:03d}" / f"{number % 1000:03d}"
    else:
        path = host.database / "tile" / "8" / "1" / f"{number // 256:03d}"
    flip(path, -1)
    finished = host.download(UUID, TOML)
    assert finished.returncode != 0
    assert "downloaded inconsistent tile" in finished.stdout + finished.stderr


def test_a_flipped_bit_in_a_lookup_is_noticed(host: Host, built: Built) -> None:
    host.receive(built.directory)
    path = host.database / "lookup" / "github.com" / "!burnt!sushi" / "toml@v1.5.0"
    flip(path, path.read_bytes().index(b"h1:") + 10)
    finished = host.download(UUID, TOML)
    assert finished.returncode != 0
    assert "cannot authenticate record data" in finished.stdout + finished.stderr


def test_a_zip_that_is_not_the_databases_is_noticed(host: Host, built: Built) -> None:
    host.receive(built.directory)
    shutil.copy(host.proxy / proxy_path("gopkg.in/yaml.v3", "v3.0.1", "mod"), host.proxy / proxy_path(*UUID, "mod"))
    finished = host.download(UUID, TOML)
    assert finished.returncode != 0
    assert "checksum mismatch" in finished.stdout + finished.stderr


def test_a_host_that_knows_an_older_head_takes_the_newer(host: Host, built: Built, built_then: Built) -> None:
    host.receive(built_then.directory)
    assert host.download(UUID).returncode == 0
    assert host.known_head() == built_then.size == OLD_SIZE

    host.receive(built.directory)
    finished = host.download(UUID, TOML)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert host.known_head() == built.size > OLD_SIZE
    # It remembers that one now, and the tiles that it read before are gone with the module cache.
    assert host.download(TOML).returncode == 0


@pytest.mark.parametrize("seen", [0, 1], ids=["first", "second"])
def test_a_host_of_any_generation_takes_the_last(tmp_path: pathlib.Path, third: pathlib.Path, generations: list[Built], seen: int) -> None:
    """Modules, a tool and a toolchain, each asked for with nothing but the head that is remembered."""
    host = Host(tmp_path, third)
    host.receive(generations[seen].directory)
    assert host.download(UUID).returncode == 0
    assert host.known_head() == generations[seen].size
    remembered, kept = host.gopath / "pkg", tmp_path / "kept"
    shutil.copytree(remembered, kept)
    host.receive(generations[2].directory)
    for ask in (
        lambda: host.download(UUID, TOML),
        lambda: host.go("install", "@".join(TOOL)),
        lambda: host.go("version", toolchain="go1.27.3"),
    ):
        shutil.rmtree(host.modcache, ignore_errors=True)
        shutil.rmtree(remembered, ignore_errors=True)
        shutil.copytree(kept, remembered)
        finished = ask()
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert host.known_head() == generations[2].size > LATER_SIZE
    assert finished.stdout.startswith("go version go1.27.3 ")
    assert (host.gopath / "bin" / "2fa").exists()


def test_a_host_that_knows_an_older_head_refuses_one_that_is_not_tied_to_it(
    host: Host, built: Built, built_then: Built, network: Network, tmp_path: pathlib.Path
) -> None:
    host.receive(built_then.directory)
    assert host.download(UUID).returncode == 0
    untied = tmp_path / "untied"
    Snapshot(str(untied), DATABASE.key, network.database, previous=str(built.directory)).build(MODULES)
    host.receive(untied)
    finished = host.download(UUID, TOML)
    assert finished.returncode != 0
    assert f"checking tree#{OLD_SIZE}" in finished.stdout + finished.stderr


def test_a_host_does_not_go_back_to_an_older_head(host: Host, built: Built, built_then: Built) -> None:
    host.receive(built.directory)
    assert host.download(UUID).returncode == 0
    host.receive(built_then.directory)
    finished = host.download(UUID)
    assert finished.returncode != 0
    assert f"checking tree#{built.size}" in finished.stdout + finished.stderr


def test_the_next_snapshot_reuses_the_one_before(built: Built, built_then: Built, network: Network, tmp_path: pathlib.Path) -> None:
    def nothing(path: str) -> bytes:
        raise AssertionError(f"{path} was fetched")

    again = tmp_path / "again"
    Snapshot(str(again), DATABASE.key, nothing, previous=str(built.directory)).build(MODULES, older_sizes=[OLD_SIZE, built.size])
    same = subprocess.run(["diff", "-r", str(built.directory), str(again)], text=True, capture_output=True, check=False, timeout=60)
    assert (same.returncode, same.stdout) == (0, "")

    asked: list[str] = []

    def counted(path: str) -> bytes:
        asked.append(path)
        return network.database(path)

    grown = Snapshot(str(tmp_path / "grown"), DATABASE.key, counted, previous=str(built_then.directory))
    records = grown.build(MODULES, older_sizes=[OLD_SIZE])
    assert grown.tree_size >= built.size
    assert records == built.records
    assert len([path for path in asked if path.startswith("lookup/")]) == len(MODULES) - len(OLD_MODULES)
