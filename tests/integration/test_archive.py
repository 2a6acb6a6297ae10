# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An official release archive in place of the proxy's toolchain: the checksum database and the go command take it, and no other."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Downloaded, Fetcher, NotFetched
from ansible_collections.airgap.golang.plugins.module_utils._base.pool import worker_processes
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._go import archive, goroots, toolchain
from ansible_collections.airgap.golang.plugins.module_utils._go.command import GoCommand, find_go
from ansible_collections.airgap.golang.plugins.module_utils._go.goproxy import DirectGo, Upstream, parse_chain
from ansible_collections.airgap.golang.plugins.module_utils._go.store import ModuleStore
from ansible_collections.airgap.golang.tests.support.release_archives import official_archive, small_release, write_tar
from ansible_collections.airgap.golang.tests.support.small_depot import fetch_modules

VERSION = "1.26.8"


class DatabaseOnly:
    """This machine's proxy, which has the checksum database and no toolchains."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def fetch(self, module: str, version: str, ext: str, dest: str, on_bytes: t.Callable[[int], None]) -> Downloaded:
        raise NotFetched(f"{module}@{version} (.{ext}) was asked for", status=404)

    def query(self, module: str, what: str) -> bytes:
        return self._upstream.query(module, what)

    def sumdb(self, path: str, patient: bool = False) -> bytes:
        return self._upstream.sumdb(path, patient)


@pytest.fixture(scope="module")
def go() -> GoCommand:
    return GoCommand(find_go())


@pytest.fixture
def fetcher() -> t.Iterator[Fetcher]:
    with Fetcher() as made:
        yield made


@pytest.fixture
def store(go: GoCommand, fetcher: Fetcher, tmp_path: pathlib.Path) -> t.Iterator[ModuleStore]:
    direct = DirectGo(go.binary, go.environment(str(tmp_path / "direct"), "direct"), str(tmp_path / "direct" / "cache"))
    upstream = DatabaseOnly(Upstream(parse_chain(go.settings["GOPROXY"]), "", fetcher, direct))
    with worker_processes() as hashers:
        made = ModuleStore(str(tmp_path / "store"), upstream, lambda key: None, hashers, Reporter().stage("test"), 4)
        yield made
        made.close()


def test_an_official_archive_is_as_good_as_the_proxys(go: GoCommand, fetcher: Fetcher, store: ModuleStore, tmp_path: pathlib.Path) -> None:
    number = toolchain.module_version(VERSION, go.platform)
    module = (toolchain.MODULE, number)
    proxys = fetch_modules(tmp_path / "proxy", [module])[module]
    path = tmp_path / "release"
    sha256 = official_archive(str(proxys.zip), f"{toolchain.MODULE}@{number}/", path)
    arguments = (str(path), sha256, VERSION, go.platform, str(tmp_path / "work"), fetcher, go.settings["GOSUMDB"])
    archive.supply(store, *arguments)
    assert store.zip(*module).h1 == (proxys.zip.parent / f"{number}.ziphash").read_text()
    for ext in ("mod", "info"):
        had, theirs = pathlib.Path(store.files[(*module, ext)].path).read_text(), getattr(proxys, ext).read_text()
        # The proxy's time is when it had the toolchain first.
        assert had.split("Time")[0] == theirs.split("Time")[0]
    # Nobody needs it again.
    path.unlink()
    archive.supply(store, *arguments)

    modcache = tmp_path / "modcache"
    try:
        goroots.obtain(go, store, [(VERSION, go.platform)], str(modcache), str(tmp_path / "scratch"))
        binary = os.path.join(toolchain.directory(str(modcache), VERSION, go.platform), "bin", "go")
        told = subprocess.run([binary, "version"], stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "GOTOOLCHAIN": "local"})
        assert told.stdout == f"go version go{VERSION} {go.platform}\n"
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(modcache)], check=True)


def test_the_database_refuses_what_is_not_official(go: GoCommand, fetcher: Fetcher, store: ModuleStore, tmp_path: pathlib.Path) -> None:
    """The right form, version and platform, and the SHA-256 that the spec gives: it's a changed archive all the same."""
    path = tmp_path / "release"
    sha256 = write_tar(path, small_release(VERSION, go.platform))
    with pytest.raises(ModuleRefused, match="isn't the official") as refusal:
        archive.supply(store, str(path), sha256, VERSION, go.platform, str(tmp_path / "work"), fetcher, go.settings["GOSUMDB"])
    assert (refusal.value.code, refusal.value.subject) == ("archive_refused", str(path))
    assert refusal.value.expected.startswith("h1:") and refusal.value.found.startswith("h1:") and refusal.value.expected != refusal.value.found
    assert store.files == {} and not store.has((toolchain.MODULE, toolchain.module_version(VERSION, go.platform), "zip"))
