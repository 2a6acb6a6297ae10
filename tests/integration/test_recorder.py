# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The go command asks our recording proxy, which gets what it needs from this machine's GOPROXY or from a git repository."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import http.client
import json
import os
import pathlib
import subprocess
import typing as t
import urllib.parse
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher, NotFetched
from ansible_collections.airgap.golang.plugins.module_utils._base.flight import Flights
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import proxy_path
from ansible_collections.airgap.golang.plugins.module_utils._go.goproxy import DirectGo, Upstream, parse_chain
from ansible_collections.airgap.golang.plugins.module_utils._go.recorder import RecordingProxy
from ansible_collections.airgap.golang.tests.support.private_git import ADDRESS, MODULE, VERSION, machine_settings, make_private_git

TOML = ("github.com/BurntSushi/toml", "v1.2.0")
QUOTE = ("rsc.io/quote", "v1.5.2")
SAMPLER = ("rsc.io/sampler", "v1.3.0")
TEXT = ("golang.org/x/text", "v0.0.0-20170915032832-14c0d48ead0c")
GO_MOD = f"module example.com/try\n\ngo 1.21\n\nrequire (\n\t{TOML[0]} {TOML[1]}\n\t{QUOTE[0]} {QUOTE[1]}\n)\n"


class Shelf:
    """The smallest store: files in a directory, each fetched once; what ``refuse`` names isn't."""

    def __init__(self, upstream: Upstream, directory: pathlib.Path, refuse: t.Optional[t.Mapping[tuple[str, str, str], FetchFailed]] = None) -> None:
        self.upstream = upstream
        self.directory = directory
        self.refuse = refuse or {}
        self.flights: Flights[tuple[str, str, str], str] = Flights()
        self.fetched: list[tuple[str, str, str]] = []

    def ensure(self, module: str, version: str, ext: str) -> str:
        key = (module, version, ext)

        def make() -> str:
            if key in self.refuse:
                raise self.refuse[key]
            path = self.directory / proxy_path(*key)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.upstream.fetch(*key, str(path))
            self.fetched.append(key)
            return str(path)

        return self.flights.once(key, make)

    def query(self, module: str, what: str) -> bytes:
        return self.upstream.query(module, what)

    def sumdb(self, path: str) -> bytes:
        return self.upstream.sumdb(path)


class NoDirect:
    """For chains whose ``direct`` must not be reached."""

    def file(self, module: str, version: str, ext: str) -> str:
        raise NotFetched(f"{module}@{version}: nobody was to ask version control", status=404, answer="nobody was to ask version control")

    def query(self, module: str, what: str) -> bytes:
        raise NotFetched(f"{module}: nobody was to ask version control", status=404, answer="nobody was to ask version control")


def asking(proxy: RecordingProxy) -> dict[str, str]:
    """What a go command needs in its environment so that it asks there, for private modules too."""
    return {"GOPROXY": proxy.url, "GONOPROXY": "none"}


@dataclasses.dataclass
class Site:
    directory: pathlib.Path
    environment: dict[str, str]
    upstream: Upstream

    def go(self, proxy: RecordingProxy, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        project = self.directory / "try"
        if not project.exists():
            project.mkdir()
            (project / "go.mod").write_text(GO_MOD)
        finished = subprocess.run(
            ["go", *arguments],
            cwd=project,
            env={**self.environment, **asking(proxy)},
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert not check or finished.returncode == 0, finished.stderr
        return finished


@pytest.fixture
def site(tmp_path: pathlib.Path) -> t.Iterator[Site]:
    environment = {
        **os.environ,
        "GOPATH": str(tmp_path / "gopath"),
        "GOMODCACHE": str(tmp_path / "modcache"),
        "GOFLAGS": "-modcacherw -mod=mod",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
        "GOPRIVATE": "",
        "GONOSUMDB": "",
        "GOSUMDB": "sum.golang.org",
    }
    with Fetcher() as fetcher:
        yield Site(tmp_path, environment, Upstream(parse_chain(machine_settings("GOPROXY")["GOPROXY"]), "", fetcher, NoDirect()))


def files(*versions: tuple[str, str], ext: str) -> set[tuple[str, str, str]]:
    return {(module, version, ext) for module, version in versions}


def test_go_says_which_modules_are_needed(site: Site) -> None:
    shelf = Shelf(site.upstream, site.directory / "shelf")
    with RecordingProxy(shelf) as proxy:
        listed = site.go(proxy, "list", "-m", "-f", "{{.Path}} {{.Version}}", "all").stdout
        assert set(listed.splitlines()) >= {" ".join(version) for version in (TOML, QUOTE, SAMPLER, TEXT)}
        graph = proxy.asked
        assert {key for key in graph if key[2] == "mod"} == files(TOML, QUOTE, SAMPLER, TEXT, ext="mod")
        assert not {key for key in graph if key[2] == "zip"}

        site.go(proxy, "mod", "download", "-json", "all")
        asked = proxy.asked
        assert {key for key in asked if key[2] == "zip"} == files(TOML, QUOTE, SAMPLER, TEXT, ext="zip")
        assert asked == set(shelf.fetched) and len(shelf.fetched) == len(asked)
        assert proxy.failures == {}

        # The checksum database came through too: go wrote a go.sum, and keeps the head that it saw.
        assert f"{TOML[0]} {TOML[1]} h1:" in (site.directory / "try" / "go.sum").read_text()
        assert (site.directory / "gopath" / "pkg" / "sumdb" / "sum.golang.org" / "latest").read_text().startswith("go.sum database tree\n")
    zips = sorted((site.directory / "shelf").rglob("*.zip"))
    assert len(zips) == 4 and all(zipfile.is_zipfile(path) for path in zips)


def test_queries_go_upstream_and_are_no_files(site: Site) -> None:
    with RecordingProxy(Shelf(site.upstream, site.directory / "shelf")) as proxy:
        versions = json.loads(site.go(proxy, "list", "-m", "-versions", "-json", TOML[0]).stdout)["Versions"]
        assert TOML[1] in versions
        latest = json.loads(site.go(proxy, "list", "-m", "-json", f"{SAMPLER[0]}@v1.3").stdout)["Version"]
        assert latest.startswith("v1.3.")
        # A version that can't be this path's: the proxy says what it is really called, and that is what gets asked.
        called = json.loads(site.go(proxy, "list", "-m", "-json", "github.com/russross/blackfriday@v2.0.0").stdout)["Version"]
        assert called == "v2.0.0+incompatible"
        assert not any(version == "v2.0.0" for _module, version, _ext in proxy.asked)
        assert proxy.failures == {}


def test_a_refusal_reaches_the_person_who_runs_go(site: Site) -> None:
    refused = (SAMPLER[0], SAMPLER[1], "zip")
    words = NotFetched("rsc.io/sampler@v1.3.0: blocked by the licence policy of this site", status=403, answer="blocked")
    with RecordingProxy(Shelf(site.upstream, site.directory / "shelf", {refused: words})) as proxy:
        finished = site.go(proxy, "mod", "download", "all", check=False)
        assert finished.returncode == 1
        assert "403 Forbidden" in finished.stderr
        assert "blocked by the licence policy of this site" in finished.stderr
        assert proxy.failures == {refused: words}
        assert refused not in proxy.asked


@pytest.mark.parametrize(("status", "answered"), [(404, 404), (410, 410), (403, 403), (500, 502), (None, 502)])
def test_statuses_are_passed_on(site: Site, status: t.Optional[int], answered: int) -> None:
    failure = NotFetched("the words", status=status, hint="the step")
    with RecordingProxy(Shelf(site.upstream, site.directory, {(*TOML, "mod"): failure})) as proxy:
        assert ask(proxy, f"{secret(proxy)}/{proxy_path(*TOML, 'mod')}") == (answered, b"the words; the step\n")


def secret(proxy: RecordingProxy) -> str:
    return urllib.parse.urlsplit(proxy.url).path


def ask(proxy: RecordingProxy, path: str) -> tuple[int, bytes]:
    parts = urllib.parse.urlsplit(proxy.url)
    assert parts.hostname == "127.0.0.1"
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 0, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_without_the_token_there_is_nothing(site: Site) -> None:
    shelf = Shelf(site.upstream, site.directory / "shelf")
    with RecordingProxy(shelf) as proxy:
        path = proxy_path(*TOML, "mod")
        assert ask(proxy, f"{secret(proxy)}/{path}")[0] == 200
        for wrong in (f"/{path}", f"/{'x' * (len(secret(proxy)) - 1)}/{path}", f"{secret(proxy)}", "/"):
            assert ask(proxy, wrong)[0] == 404
        for outside in ("../../../etc/passwd/@v/v1.0.0.mod", "github.com/x/y/@v/..%2f..%2fv1.0.0.mod", "sumdb/../latest", "github.com/x/y/@v/list/more"):
            assert ask(proxy, f"{secret(proxy)}/{outside}")[0] == 404
        assert proxy.asked == {(*TOML, "mod")}


def test_a_store_that_breaks_ends_the_context(site: Site) -> None:
    class Broken(Shelf):
        def ensure(self, module: str, version: str, ext: str) -> str:
            raise ZeroDivisionError(module)

    def use() -> None:
        with RecordingProxy(Broken(site.upstream, site.directory)) as proxy, pytest.raises(http.client.HTTPException):
            ask(proxy, f"{secret(proxy)}/{proxy_path(*TOML, 'mod')}")

    with pytest.raises(ZeroDivisionError):
        use()


@pytest.fixture
def direct(tmp_path: pathlib.Path) -> DirectGo:
    environment = {**os.environ, **make_private_git(tmp_path / "git"), "GOTOOLCHAIN": "local", "GOPATH": str(tmp_path / "gopath")}
    return DirectGo("go", environment, str(tmp_path / "direct"))


def test_version_control_by_the_go_command(direct: DirectGo, tmp_path: pathlib.Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(lambda ext: direct.file(MODULE, VERSION, ext), ("info", "mod", "zip")))
    assert json.loads(pathlib.Path(paths[0]).read_text())["Version"] == VERSION
    assert pathlib.Path(paths[1]).read_text().startswith(f"module {MODULE}\n")
    assert f"{MODULE}@{VERSION}/go.mod" in zipfile.ZipFile(paths[2]).namelist()
    assert all(path.startswith(str(tmp_path / "direct")) for path in paths)


def test_version_control_answers_as_a_proxy(direct: DirectGo) -> None:
    assert direct.query(MODULE, "@v/list") == f"{VERSION}\n".encode()
    latest = json.loads(direct.query(MODULE, "@latest"))
    assert (latest["Version"], latest["Time"], latest["Origin"]["URL"]) == (VERSION, "2026-01-02T03:04:05Z", ADDRESS)
    assert json.loads(direct.query(MODULE, "@v/main.info"))["Version"] == VERSION


def test_version_control_without_it(direct: DirectGo) -> None:
    with pytest.raises(NotFetched) as absent:
        direct.file(MODULE, "v1.99.0", "zip")
    assert absent.value.status == 404
    assert f"{MODULE}@v1.99.0" in absent.value.message and "unknown revision" in absent.value.answer
    with pytest.raises(NotFetched) as unknown:
        direct.query(MODULE, "@v/no-such-branch.info")
    assert unknown.value.status == 404


def test_a_private_module_goes_through_the_recorder_by_git(direct: DirectGo, tmp_path: pathlib.Path) -> None:
    with Fetcher() as fetcher:
        # A chain that has nothing: what arrives came from git, because the pattern says so.
        upstream = Upstream(parse_chain("off"), "git.corp.example", fetcher, direct)
        with RecordingProxy(Shelf(upstream, tmp_path / "shelf")) as proxy:
            environment = {
                **os.environ,
                "GOMODCACHE": str(tmp_path / "modcache"),
                "GOFLAGS": "-modcacherw",
                "GOPRIVATE": "git.corp.example",
                **asking(proxy),
            }
            finished = subprocess.run(
                ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"],
                cwd=tmp_path,
                env=environment,
                text=True,
                capture_output=True,
                timeout=300,
                check=False,
            )
            assert finished.returncode == 0, finished.stderr + finished.stdout
            assert proxy.asked == {(MODULE, VERSION, ext) for ext in ("info", "mod", "zip")}
            refused = subprocess.run(
                ["go", "mod", "download", "example.com/x@v1.0.0"], cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
            )
            assert refused.returncode == 1 and "off: no further place is asked" in refused.stderr
