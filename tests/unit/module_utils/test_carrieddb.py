# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checksum database that travels: who has to vouch for what it doesn't know, and whose modules it's asked about."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import pathlib
import typing as t
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Downloaded, NotFetched
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._content.earlier import EarlierGenerations
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.plugins.module_utils._go import carrieddb, gosum
from ansible_collections.airgap.golang.plugins.module_utils._go.carrieddb import CarriedDatabase, Earlier
from ansible_collections.airgap.golang.plugins.module_utils._go.store import ModuleStore
from ansible_collections.airgap.golang.tests.support.small_generation import LOOSE, make_generation
from ansible_collections.airgap.golang.tests.support.toy_database import NAME, Absent, Log, Signer, h1, record
from ansible_collections.airgap.golang.tests.support.upstream import Fetching

KNOWN, HIDDEN = ("a.example/known", "v1.0.0"), ("b.example/hidden", "v1.2.3")
ZIP_LINE, MOD_LINE = HIDDEN, (HIDDEN[0], HIDDEN[1] + "/go.mod")


class LyingProxy(Fetching):
    """It has a zip and a go.mod of every version, whatever is in them, and says that the database doesn't know ``HIDDEN``."""

    def __init__(self, log: Log) -> None:
        self._database = log.serve()

    def fetch(self, module: str, version: str, ext: str, dest: str, on_bytes: t.Callable[[int], None]) -> Downloaded:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(f"{module}@{version}/evil.go", "package evil\n")
        content = packed.getvalue() if ext == "zip" else f"module {module}\n".encode()
        pathlib.Path(dest).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(dest).write_bytes(content)
        on_bytes(len(content))
        return Downloaded(hashlib.sha256(content).hexdigest(), len(content))

    def query(self, module: str, what: str) -> bytes:
        raise NotFetched(f"{module} {what}", status=404)

    def sumdb(self, path: str, patient: bool = False) -> bytes:
        try:
            return self._database(path[len(NAME) + 1 :])
        except Absent as exc:
            raise NotFetched(f"{path}: not here", status=404) from exc


class Site:
    """A store that gets everything from such a proxy, and the database's key."""

    def __init__(self, directory: pathlib.Path, hashers: concurrent.futures.Executor) -> None:
        signer = Signer()
        log = Log(signer, [record(*KNOWN, h1("zip"), h1("mod")), record("c.example/other", "v1.0.0", h1("c"), h1("d"))])
        self.directory = directory
        self.key = signer.key
        self.store = ModuleStore(str(directory / "fetch"), LyingProxy(log), lambda key: None, hashers, Reporter().stage("test"), 2)

    def get(self, *exts: str) -> None:
        self.store.prefetch((*HIDDEN, ext) for ext in exts)
        self.store.settle()

    def carry(self, sums: t.Mapping[gosum.Key, str]) -> CarriedDatabase:
        versions = {KNOWN, HIDDEN}
        return carrieddb.carry(self.store, versions, sums, self.key, "", str(self.directory / "sumdb"), lambda name: Earlier(), 2, Reporter())


@pytest.fixture
def site(tmp_path: pathlib.Path) -> t.Iterator[Site]:
    with concurrent.futures.ThreadPoolExecutor(1) as hashers:
        one = Site(tmp_path, hashers)
        yield one
        one.store.close()


def test_the_hash_of_a_go_mod_vouches_for_no_zip(site: Site) -> None:
    site.get("mod", "zip")
    with pytest.raises(FetchFailed, match="does not have b.example/hidden@v1.2.3") as failed:
        site.carry({MOD_LINE: h1("mod")})
    assert "GOPRIVATE" in failed.value.hint


def test_nor_for_one_that_comes_later(site: Site) -> None:
    """The database is asked while the go command still says what it needs."""
    site.get("mod")
    sums = {MOD_LINE: h1("mod")}
    database = site.carry(sums)
    carrieddb.refuse_unvouched(site.store, sums, database)
    site.get("zip")
    with pytest.raises(FetchFailed, match="does not have b.example/hidden@v1.2.3"):
        carrieddb.refuse_unvouched(site.store, sums, database)


@pytest.mark.parametrize(("exts", "lines"), [(["mod"], [MOD_LINE]), (["mod", "zip"], [MOD_LINE, ZIP_LINE]), ([], [ZIP_LINE])])
def test_go_sum_vouches_for_what_it_has_the_hashes_of(site: Site, exts: list[str], lines: list[gosum.Key]) -> None:
    site.get(*exts)
    sums = {line: h1("any") for line in lines}
    database = site.carry(sums)
    carrieddb.refuse_unvouched(site.store, sums, database)
    assert list(database.records) == [KNOWN]
    (warning,) = database.warnings
    assert "doesn't know b.example/hidden@v1.2.3: go.sum alone vouches" in warning


def test_what_no_go_sum_knows_is_refused(site: Site) -> None:
    with pytest.raises(FetchFailed, match="does not have b.example/hidden@v1.2.3"):
        site.carry({KNOWN: h1("zip")})


def test_a_database_is_asked_about_its_own_modules(work: pathlib.Path) -> None:
    """Those of a company's database are nothing that the public one should hear of, and it would know none of them."""
    depot = Depot(str(work / "depot"))
    made = make_generation(depot, 1, sealed=False)
    head = {"name": "sum.example", "size": 7, "older": [5, 7]}
    modules = [{**module, "public": (module["path"], module["version"]) == LOOSE} for module in made.config["modules"]]
    config = oci.canonical({**made.config, "generation": 2, "modules": modules, "go": {**made.config["go"], "sumdb": head}})
    with depot.locked():
        depot.admit(Ref(2, False), oci.Manifest(oci.digest_of(config), len(config), made.manifest.layers).encode(), config, "0" * 32)
    earlier = EarlierGenerations(depot)
    assert earlier.database("sum.golang.org") == Earlier()
    known = earlier.database("sum.example")
    assert (known.heads, known.public) == ((5, 7), {LOOSE})
    assert known.directory and pathlib.Path(known.directory, "latest").exists()
