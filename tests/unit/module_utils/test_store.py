# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of module files: what it fetches, what it finds again, and how it names what can't be had."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import io
import json
import os
import pathlib
import threading
import typing as t
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed, ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Downloaded, NotFetched
from ansible_collections.airgap.golang.plugins.module_utils._base.pool import worker_processes
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._go import hashcheck
from ansible_collections.airgap.golang.plugins.module_utils._go.h1 import gomod_h1
from ansible_collections.airgap.golang.plugins.module_utils._go.store import BiggestFirst, Held, Key, ModuleStore, Zip, look_into
from ansible_collections.airgap.golang.tests.support.upstream import Fetching

A, B = ("a.example/a", "v1.0.0"), ("b.example/b", "v1.2.3")


def zip_of(module: str, version: str, content: str = "package x\n") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"{module}@{version}/go.mod", f"module {module}\n")
        archive.writestr(f"{module}@{version}/x.go", content)
    return made.getvalue()


class Upstream(Fetching):
    """A proxy in memory; what it lacks is 404."""

    def __init__(self) -> None:
        self.files: dict[Key, bytes] = {}
        self.asked: list[Key] = []
        self.gate = threading.Event()
        self.gate.set()
        for module, version in (A, B):
            requires = 'require "b.example/b" v1.2.3\n' if (module, version) == A else ""
            self.files[(module, version, "info")] = json.dumps({"Version": version}).encode()
            self.files[(module, version, "mod")] = f"module {module}\n\n{requires}".encode()
            self.files[(module, version, "zip")] = zip_of(module, version)

    def fetch(self, module: str, version: str, ext: str, dest: str, on_bytes: t.Callable[[int], None]) -> Downloaded:
        self.gate.wait(30)
        self.asked.append((module, version, ext))
        if (module, version, ext) not in self.files:
            raise NotFetched(f"{module}@{version} (.{ext}) isn't here", status=404)
        content = self.files[(module, version, ext)]
        pathlib.Path(dest).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(dest).write_bytes(content)
        on_bytes(len(content) - 1)
        return Downloaded(hashlib.sha256(content).hexdigest(), len(content))

    def query(self, module: str, what: str) -> bytes:
        return f"{module} {what}".encode()

    def sumdb(self, path: str, patient: bool = False) -> bytes:
        return path.encode()


@pytest.fixture(scope="module")
def hashers() -> t.Iterator[concurrent.futures.Executor]:
    with worker_processes() as pool:
        yield pool


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


Opened = t.Callable[..., ModuleStore]


@pytest.fixture
def opened(tmp_path: pathlib.Path, upstream: Upstream, hashers: concurrent.futures.Executor) -> t.Iterator[Opened]:
    """Opens a store on one directory, as one run after the other does."""
    with contextlib.ExitStack() as stack:

        def make(held: t.Mapping[Key, Held] | None = None) -> ModuleStore:
            store = ModuleStore(str(tmp_path / "fetch"), upstream, (held or {}).get, hashers, Reporter().stage("test"), 4)
            stack.callback(store.close)
            return store

        yield make


def every(*versions: tuple[str, str]) -> list[Key]:
    return [(*version, ext) for version in versions for ext in ("zip", "mod", "info")]


def test_what_is_begun_is_fetched_once(opened: Opened, upstream: Upstream) -> None:
    store = opened()
    store.prefetch(every(A))
    store.prefetch(every(A))
    path = store.ensure(*A, "zip")
    store.settle()
    assert sorted(upstream.asked) == sorted(every(A))
    assert pathlib.Path(path).read_bytes() == upstream.files[(*A, "zip")] and path.endswith("a.example/a/@v/v1.0.0.zip")
    assert (store.fetched_files, store.fetched_bytes) == (3, sum(len(upstream.files[key]) for key in every(A)))
    assert store.versions() == ([A], [])
    inside = store.zip(*A)
    assert (inside.files, inside.unpacked, inside) == (2, len("module a.example/a\n") + len("package x\n"), look_into(path))
    assert store.gomod_h1(*A) == gomod_h1(upstream.files[(*A, "mod")])


def test_what_is_spare_elsewhere_is_moved(opened: Opened, upstream: Upstream, tmp_path: pathlib.Path) -> None:
    spare = tmp_path / "spare"
    spare.write_bytes(upstream.files[(*A, "zip")])
    store = opened({(*A, "zip"): Held(str(spare), spare=True)})
    store.prefetch(every(A))
    store.settle()
    assert sorted(upstream.asked) == [(*A, "info"), (*A, "mod")] and not spare.exists()
    path = store.files[(*A, "zip")].path
    assert store.files[(*A, "zip")].sha256 == hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() and store.zip(*A) == look_into(path)


def test_what_an_earlier_generation_has_is_linked(opened: Opened, upstream: Upstream, tmp_path: pathlib.Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(upstream.files[(*A, "zip")])
    known = Zip("h1:known", 2, 29)
    store = opened({(*A, "zip"): Held(str(blob), hashlib.sha256(blob.read_bytes()).hexdigest(), known)})
    path = store.ensure(*A, "zip")
    assert os.path.samefile(path, blob) and store.zip(*A) == known
    assert (upstream.asked, store.fetched_files) == ([], 0)


def test_all_that_cannot_be_had_is_named_with_what_requires_it(opened: Opened, upstream: Upstream) -> None:
    for key in (*every(B), *every(("c.example/c", "v1.0.0"))):
        upstream.files.pop(key, None)
    store = opened()
    store.require([A, B], "project p")
    store.prefetch(every(A, B, ("c.example/c", "v1.0.0")))
    with pytest.raises(FetchFailed) as caught:
        store.settle()
    assert [(entry["module"], entry["status"], entry["required_by"]) for entry in caught.value.details] == [
        ("b.example/b", 404, ["project p", "a.example/a@v1.0.0"]),
        ("c.example/c", 404, []),
    ]
    assert "2 module versions can't be had: b.example/b@v1.2.3 (required by project p, a.example/a@v1.0.0)" in caught.value.message


def test_more_luck_the_second_time_counts(opened: Opened, upstream: Upstream) -> None:
    content = upstream.files.pop((*A, "mod"))
    store = opened()
    store.prefetch([(*A, "mod")])
    with pytest.raises(FetchFailed):
        store.settle()
    upstream.files[(*A, "mod")] = content
    store.ensure(*A, "mod")
    store.settle()


def test_closing_does_not_wait_for_what_has_not_begun(opened: Opened, upstream: Upstream) -> None:
    upstream.gate.clear()
    store = opened()
    store.prefetch((f"m{number}.example/m", "v1.0.0", "mod") for number in range(50))
    threading.Timer(0.05, upstream.gate.set).start()
    store.close()
    assert len(upstream.asked) < 50


def sums_of(upstream: Upstream, store: ModuleStore) -> dict[tuple[str, str], str]:
    return {A: store.zip(*A).h1, (A[0], A[1] + "/go.mod"): gomod_h1(upstream.files[(*A, "mod")])}


def test_right_hashes_pass(opened: Opened, upstream: Upstream) -> None:
    store = opened()
    store.prefetch(every(A))
    store.settle()
    hashcheck.check_sums(store, sums_of(upstream, store))
    hashcheck.check_sums(store, {})


def test_all_wrong_hashes_are_named_and_the_files_gone(opened: Opened, upstream: Upstream, tmp_path: pathlib.Path) -> None:
    store = opened()
    store.require([A], "project p")
    right = {(A[0], A[1] + "/go.mod"): gomod_h1(upstream.files[(*A, "mod")])}
    upstream.files[(*A, "mod")] = b"module other\n"
    store.prefetch(every(A, B))
    store.settle()
    wrong = "h1:" + "A" * 43 + "="
    with pytest.raises(ModuleRefused) as caught:
        hashcheck.check_sums(store, {**right, B: wrong})
    assert [(entry["what"], entry["expected"], entry["required_by"]) for entry in caught.value.details] == [
        ("a.example/a@v1.0.0/go.mod", right[(A[0], A[1] + "/go.mod")], ["project p"]),
        ("b.example/b@v1.2.3", wrong, []),
    ]
    assert sorted(path.name for path in (tmp_path / "fetch").rglob("*.*") if path.is_file()) == ["v1.0.0.info", "v1.0.0.zip", "v1.2.3.info", "v1.2.3.mod"]


def test_a_zip_that_is_none_is_refused_by_name(opened: Opened, upstream: Upstream) -> None:
    upstream.files[(*A, "zip")] = b"PK, but no zip"
    store = opened()
    store.prefetch(every(A))
    store.settle()
    with pytest.raises(ModuleRefused) as caught:
        hashcheck.check_sums(store, {})
    assert caught.value.subject == "a.example/a@v1.0.0" and "not a zip" in caught.value.message


def test_the_biggest_zip_that_waits_is_looked_into_first() -> None:
    """By processes that are busy with the first ones until we say so."""
    order: list[str] = []
    asked: list[concurrent.futures.Future[Zip]] = []

    class Hashers(concurrent.futures.Executor):
        def submit(self, work: t.Any, /, path: str) -> t.Any:  # type: ignore[override]
            order.append(path)
            asked.append(concurrent.futures.Future())
            return asked[-1]

    looks = BiggestFirst(Hashers())
    busy = [looks.look(f"first{number}", 1) for number in range(20)]
    begun = len(order)
    later = [looks.look(f"later{size}", size) for size in (5, 90, 70)]
    for number in range(3):
        asked[number].set_result(Zip("h1:x", 1, number))
    assert order[begun:] == ["later90", "later70", "later5"]
    assert busy[0].result(0) == Zip("h1:x", 1, 0) and not later[0].done()
    asked[begun].set_exception(ModuleRefused("not a zip"))
    with pytest.raises(ModuleRefused):
        later[1].result(0)
    looks.close()
    assert busy[-1].cancelled() and not later[2].cancelled()
