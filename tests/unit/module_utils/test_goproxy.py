# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GOPROXY chains against file trees and servers on this machine, and Go's pattern rules."""

from __future__ import annotations

import concurrent.futures
import http.server
import io
import json
import pathlib
import queue
import threading
import typing as t
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Downloaded, Fetcher, NotFetched, Outcome
from ansible_collections.airgap.golang.plugins.module_utils._base.files import sha256_of
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import escape_path, proxy_path
from ansible_collections.airgap.golang.plugins.module_utils._go.estimate import Estimate, Expected
from ansible_collections.airgap.golang.plugins.module_utils._go.goproxy import Entry, Upstream, matches, parse_chain

MODULE = "example.com/Some/lib"
VERSION = "v1.2.3"
SUMDB = "sum.example.org"


@pytest.mark.parametrize(
    ("value", "chain"),
    [
        ("https://a.example,direct", [Entry("url", "https://a.example"), Entry("direct")]),
        ("https://a.example|https://b.example/go/,off", [Entry("url", "https://a.example", True), Entry("url", "https://b.example/go"), Entry("off")]),
        (" a.example/go , direct ", [Entry("url", "https://a.example/go"), Entry("direct")]),
        ("direct,https://ignored.example", [Entry("direct")]),
        ("off|https://ignored.example", [Entry("off")]),
        (",file:///srv/proxy,", [Entry("url", "file:///srv/proxy")]),
        ("http://user:pw@a.example:3000|direct", [Entry("url", "http://user:pw@a.example:3000", True), Entry("direct")]),
    ],
)
def test_chains(value: str, chain: list[Entry]) -> None:
    assert parse_chain(value) == chain


def test_names_have_no_credentials() -> None:
    (entry,) = parse_chain("https://user:hunter2@a.example:8443/go?key=hunter2")
    assert entry.name == "https://a.example:8443/go"


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", ",", "ftp://a.example", "word", "/srv/proxy", "file://host/srv", "file:///srv?x", "https://", "https:/a.example"),
        *("https://user:hunter2@[bad", "https://user:hunter2@a.example:80a", "https://a.example:0"),
        # A password with what ends a host, or the list's own entry.
        *("https://bob:a/hunter2@a.example", "https://bob:a#hunter2@a.example", "https://bob:a?hunter2@a.example", "https://bob:8/hunter2@a.example/go"),
        *("https://bob:a,hunter2@a.example", "https://bob:8|hunter2@a.example:b", "bob:a/hunter2@a.example", "ftp://bob:a/hunter2@a.example"),
    ],
)
def test_chains_that_are_none(value: str) -> None:
    with pytest.raises(SpecInvalid) as failed:
        parse_chain(value)
    assert "GOPROXY" in failed.value.message and "hunter2" not in repr((failed.value.message, failed.value.failure()))
    assert failed.value.hint


def test_an_entry_that_is_none_is_told_by_its_number() -> None:
    with pytest.raises(SpecInvalid, match="GOPROXY entry 2: its host and port can't be told") as failed:
        parse_chain("https://a.example,https://bob:a/b@b.example,direct")
    assert "%2F" in failed.value.hint


@pytest.mark.parametrize(
    ("patterns", "module", "hit"),
    [
        # golang.org/x/mod/module.TestMatchPrefixPatterns
        ("*/quote", "rsc.io/quote", True),
        ("*/quo*", "rsc.io/quote", True),
        ("*/quo??", "rsc.io/quote", True),
        ("*/*", "rsc.io/quote", True),
        ("*", "rsc.io/quote", True),
        ("rsc.io", "rsc.io/quote", True),
        ("*.io", "rsc.io/quote", True),
        ("rsc.io/", "rsc.io/quote", True),
        ("rsc", "rsc.io/quote", False),
        ("rsc*", "rsc.io/quote", True),
        ("rsc.io", "rsc.io/quote/v3", True),
        ("*/quote", "rsc.io/quote/v3", True),
        ("*/quote/", "rsc.io/quote/v3", True),
        ("*/quote/*", "rsc.io/quote/v3", True),
        ("*/quote/*/", "rsc.io/quote/v3", True),
        ("*/v3", "rsc.io/quote/v3", False),
        ("*/*/v3", "rsc.io/quote/v3", True),
        ("*/*/*", "rsc.io/quote/v3", True),
        ("*/*/*/", "rsc.io/quote/v3", True),
        ("*/*/*", "rsc.io/quote", False),
        ("*/*/*/", "rsc.io/quote", False),
        ("*/*/*,,", "rsc.io/quote", False),
        ("*/*/*,,*/quote", "rsc.io/quote", True),
        (",,*/quote", "rsc.io/quote", True),
        # path.Match
        ("rsc.i[m-p]", "rsc.io", True),
        ("rsc.i[^m-p]", "rsc.io", False),
        ("rsc.i[^a-c]", "rsc.io", True),
        ("rsc.i[xo]", "rsc.io/quote", True),
        ("rsc.i[\\o]", "rsc.io", True),
        ("rsc\\.io", "rsc.io", True),
        ("rsc.i[-o]", "rsc.io", False),
        ("rsc.i[o", "rsc.io", False),
        ("rsc.i[]o]", "rsc.io", False),
        ("rsc.i\\", "rsc.io", False),
        ("[a-", "rsc.io", False),
        ("rsc?io", "rscxio", True),
        ("rsc.io", "rscxio", False),
        ("r[s&&t]c.io", "r&c.io", True),
        ("(rsc|x).io", "rsc.io", False),
        ("*.corp.example.com,rsc.io/private", "git.corp.example.com/x", True),
        ("*.corp.example.com,rsc.io/private", "rsc.io/private/x", True),
        ("*.corp.example.com,rsc.io/private", "rsc.io/privateer", False),
        ("", "rsc.io/quote", False),
        ("none", "rsc.io/quote", False),
    ],
)
def test_patterns(patterns: str, module: str, hit: bool) -> None:
    assert matches(patterns, module) is hit


class Tree:
    """A GOPROXY as plain files."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.url = directory.as_uri()

    def put(self, path: str, content: bytes) -> None:
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def publish(self, module: str, version: str, word: str) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as writer:
            writer.writestr(f"{module}@{version}/word.txt", word)
        self.put(proxy_path(module, version, "zip"), archive.getvalue())
        self.put(proxy_path(module, version, "mod"), f"module {module} // {word}\n".encode())
        self.put(proxy_path(module, version, "info"), json.dumps({"Version": version, "Word": word}).encode())
        self.put(f"{escape_path(module)}/@v/list", f"{version}\n".encode())
        self.put(f"{escape_path(module)}/@latest", json.dumps({"Version": version, "Word": word}).encode())


class Versions:
    """Stands for version control: files of a tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.asked: list[str] = []

    def file(self, module: str, version: str, ext: str) -> str:
        self.asked.append(f"{module}@{version}.{ext}")
        path = self.tree.directory / proxy_path(module, version, ext)
        if not path.exists():
            raise NotFetched(f"{module}@{version}: unknown revision", status=404, answer=f"unknown revision {version}")
        return str(path)

    def query(self, module: str, what: str) -> bytes:
        self.asked.append(f"{module} {what}")
        return (self.tree.directory / escape_path(module) / what).read_bytes()


class Saying(http.server.ThreadingHTTPServer):
    """A server that says the same to everything, or serves a tree."""

    daemon_threads = True

    def __init__(self, status: int, words: bytes, tree: t.Optional[Tree] = None) -> None:
        super().__init__(("127.0.0.1", 0), SayingHandler)
        self.status, self.words, self.tree = status, words, tree
        self.paths: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/go"


class SayingHandler(http.server.BaseHTTPRequestHandler):
    server: Saying

    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        status, words = self.server.status, self.server.words
        if self.server.tree:
            file = self.server.tree.directory / self.path[len("/go/") :]
            if file.is_file():
                status, words = 200, file.read_bytes()
        self.send_response(status)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(words)

    do_HEAD = do_GET


class World:
    def __init__(self, directory: pathlib.Path, fetcher: Fetcher) -> None:
        self.directory = directory
        self.fetcher = fetcher
        self.full = Tree(directory / "full")
        self.full.publish(MODULE, VERSION, "full")
        self.empty = Tree(directory / "empty")
        vcs = Tree(directory / "vcs")
        vcs.publish(MODULE, VERSION, "vcs")
        self.vcs = Versions(vcs)
        self.servers: list[Saying] = []

    def saying(self, status: int, words: bytes = b"words", tree: t.Optional[Tree] = None) -> Saying:
        server = Saying(status, words, tree)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.servers.append(server)
        return server

    def upstream(self, goproxy: str, noproxy: str = "", sumdb_url: t.Optional[str] = None, explicit: bool = False) -> Upstream:
        return Upstream(parse_chain(goproxy), noproxy, self.fetcher, self.vcs, sumdb_url, explicit)

    def begun(self, upstream: Upstream, ext: str, dest: pathlib.Path, version: str = VERSION) -> Downloaded:
        """The way that nobody waits for; its error is raised."""
        outcomes: queue.Queue[Outcome] = queue.Queue()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            upstream.begin(MODULE, version, ext, str(dest), outcomes.put, lambda size: None, threading.Event(), pool)
            outcome = outcomes.get(timeout=60)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def word(self, upstream: Upstream) -> str:
        """Which place the .info came from; every kind of file must agree."""
        words = set()
        for ext in ("info", "mod", "zip"):
            dest = self.directory / f"got.{ext}"
            dest.unlink(missing_ok=True)
            downloaded = self.begun(upstream, ext, dest)
            assert (downloaded.sha256, downloaded.size) == sha256_of(str(dest))
            assert downloaded == upstream.fetch(MODULE, VERSION, ext, str(dest))
            content = zipfile.ZipFile(dest).read(f"{MODULE}@{VERSION}/word.txt") if ext == "zip" else dest.read_bytes()
            words.add(next(word for word in ("full", "vcs") if word.encode() in content))
        (word,) = words
        return word


@pytest.fixture
def world(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[World]:
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    with Fetcher(attempts=2, pause=lambda seconds: 0.0) as fetcher:
        one = World(tmp_path, fetcher)
        yield one
        for server in one.servers:
            server.shutdown()
            server.server_close()


@pytest.mark.parametrize("status", [404, 410])
def test_a_comma_goes_on_after_not_here(world: World, status: int) -> None:
    server = world.saying(status)
    assert world.word(world.upstream(f"{server.url},{world.full.url},off")) == "full"
    assert server.paths[0] == "/go/example.com/!some/lib/@v/v1.2.3.info"
    assert world.word(world.upstream(f"{server.url},{world.empty.url},direct")) == "vcs"


@pytest.mark.parametrize("status", [401, 403, 500, 502])
def test_a_comma_stops_at_another_error(world: World, status: int) -> None:
    server = world.saying(status, b"no licence\nfor this module")
    with pytest.raises(NotFetched) as failed:
        world.word(world.upstream(f"{world.empty.url},{server.url},{world.full.url},direct"))
    error = failed.value
    assert (error.status, error.answer, error.subject) == (status, "no licence for this module", f"{MODULE}@{VERSION} (.info)")
    hint = " (if it needs credentials, put them into the netrc file, or let GOAUTH give them (go help goauth))" if status in (401, 403) else ""
    said = f"{world.empty.url}: No such file or directory; {server.url} said {status} no licence for this module{hint}"
    assert error.message == f"{MODULE}@{VERSION} (.info) can't be had: {said}"
    assert error.details == [
        {"entry": world.empty.url, "status": 404, "answer": "No such file or directory", "subject": error.subject},
        {"entry": server.url, "status": status, "answer": "no licence for this module", "subject": error.subject},
    ]
    assert world.vcs.asked == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_bar_goes_on_after_any_error(world: World, status: int) -> None:
    server = world.saying(status)
    assert world.word(world.upstream(f"{server.url}|{world.full.url}")) == "full"
    assert world.word(world.upstream(f"{server.url}|direct")) == "vcs"
    assert world.word(world.upstream(f"http://127.0.0.1:1|{server.url}|direct")) == "vcs"


def test_the_way_that_nobody_waits_for_says_the_same(world: World) -> None:
    broken, absent = world.saying(500, b"broken"), world.saying(404)
    for chain in (f"{broken.url}|{world.empty.url},direct", f"{absent.url},{broken.url},direct", f"{world.empty.url},off", f"{absent.url}"):
        told = []
        for ask in (world.upstream(chain).fetch, None):
            with pytest.raises(NotFetched) as failed:
                if ask:
                    ask(MODULE, "v9.9.9+incompatible", "zip", str(world.directory / "x"))
                else:
                    world.begun(world.upstream(chain), "zip", world.directory / "x", "v9.9.9+incompatible")
            told.append((failed.value.message, failed.value.failure(), failed.value.status, failed.value.answer, failed.value.attempts))
        assert told[0] == told[1]


def test_off(world: World) -> None:
    with pytest.raises(NotFetched, match="off: no further place is asked") as failed:
        world.word(world.upstream(f"{world.empty.url},off"))
    assert [entry["entry"] for entry in failed.value.details] == [world.empty.url, "off"]
    assert failed.value.status == 404 and world.vcs.asked == []


def test_what_nobody_has(world: World) -> None:
    server = world.saying(500, b"broken")
    with pytest.raises(NotFetched) as failed:
        world.upstream(f"{server.url}|{world.empty.url},direct").fetch(MODULE, "v9.9.9+incompatible", "zip", str(world.directory / "x"))
    # The one that may be mended counts, not those that plainly haven't got it.
    assert failed.value.status == 500 and failed.value.attempts == 2
    assert [entry["entry"] for entry in failed.value.details] == [server.url, world.empty.url, "direct"]
    assert failed.value.details[-1]["answer"] == "unknown revision v9.9.9+incompatible"
    with pytest.raises(NotFetched) as absent:
        world.upstream(f"{world.empty.url},direct").fetch(MODULE, "v9.9.9+incompatible", "zip", str(world.directory / "x"))
    assert absent.value.status == 404
    assert sorted(path.name for path in world.directory.iterdir()) == ["empty", "full", "vcs"]


def test_private_modules_never_reach_a_proxy(world: World) -> None:
    server = world.saying(404, tree=world.full)
    private = world.upstream(f"{server.url},off", "example.com/Some")
    assert world.word(private) == "vcs"
    assert b"vcs" in private.query(MODULE, "@latest")
    assert server.paths == [] and len(world.vcs.asked) == 7
    assert world.word(world.upstream(f"{server.url},off", "example.com/Other")) == "full"


def test_queries(world: World) -> None:
    server = world.saying(404)
    world.full.put("example.com/!some/lib/@v/!main.info", b'{"Version": "v1.2.4-0.20260101000000-abcdefabcdef"}')
    upstream = world.upstream(f"{server.url},{world.full.url}")
    assert upstream.query(MODULE, "@v/list") == f"{VERSION}\n".encode()
    assert json.loads(upstream.query(MODULE, "@latest"))["Version"] == VERSION
    assert json.loads(upstream.query(MODULE, "@v/!main.info"))["Version"].startswith("v1.2.4-0.")
    with pytest.raises(NotFetched, match=f"the versions of {MODULE.lower()}x can't be had") as absent:
        upstream.query(MODULE.lower() + "x", "@v/list")
    assert absent.value.status == 404
    for bad in ("@v/../../x.info", "@v/list2", "@v/x.zip", "", "@v/Main.info", "../@latest"):
        with pytest.raises(SpecInvalid):
            upstream.query(MODULE, bad)
    with pytest.raises(SpecInvalid):
        upstream.query("../x", "@latest")


def test_login_pages_are_no_modules(world: World) -> None:
    server = world.saying(200, b"<!DOCTYPE html><title>Please log in</title>")
    for ext in ("info", "mod", "zip"):
        with pytest.raises(NotFetched, match=r"the answer is not a.*DOCTYPE") as failed:
            world.upstream(f"{server.url},{world.full.url}").fetch(MODULE, VERSION, ext, str(world.directory / "x"))
        assert failed.value.status is None and "log in" in failed.value.message
    for what in ("@v/list", "@latest", "@v/main.info"):
        with pytest.raises(NotFetched, match="the answer is not a"):
            world.upstream(server.url).query(MODULE, what)
    assert sorted(path.name for path in world.directory.iterdir()) == ["empty", "full", "vcs"]
    assert world.word(world.upstream(f"{server.url}|{world.full.url}")) == "full"
    world.full.put(proxy_path(MODULE, VERSION, "info"), b'{"Version": "v1.2.4"}')
    with pytest.raises(NotFetched, match=r"the \.info of v1\.2\.4"):
        world.upstream(world.full.url).fetch(MODULE, VERSION, "info", str(world.directory / "x"))


def test_what_was_there_gets_replaced(world: World) -> None:
    dest = world.directory / "x"
    for chain, word in ((world.full.url, b"full"), ("direct", b"vcs")):
        dest.write_bytes(b"old")
        world.upstream(chain).fetch(MODULE, VERSION, "mod", str(dest))
        assert word in dest.read_bytes()


def test_a_path_below_a_query_string(world: World) -> None:
    server = world.saying(404, tree=world.full)
    with pytest.raises(NotFetched):
        world.upstream(f"{server.url}/?key=hunter2").fetch(MODULE, VERSION, "mod", str(world.directory / "x"))
    assert server.paths == ["/go/example.com/!some/lib/@v/v1.2.3.mod?key=hunter2"]


def test_the_checksum_database_below_a_query_string(world: World) -> None:
    proxy, database = world.saying(200, b"head"), world.saying(200, b"past the proxy")
    assert world.upstream(f"{proxy.url}?sig=hunter2,direct", sumdb_url=database.url).sumdb(f"{SUMDB}/latest") == b"head"
    assert proxy.paths == [f"/go/sumdb/{SUMDB}/supported?sig=hunter2", f"/go/sumdb/{SUMDB}/latest?sig=hunter2"]
    assert database.paths == []


def test_sizes_below_a_query_string(world: World) -> None:
    server = world.saying(200, b"12345")
    estimate = Estimate(parse_chain(f"{server.url}/?sig=hunter2"), "", world.fetcher, 2)
    try:
        estimate.add([(MODULE, VERSION, "zip"), (MODULE, VERSION, "mod")])
        assert estimate.total() == (Expected(2, 5, True), {})
    finally:
        estimate.close()
    assert server.paths == ["/go/example.com/!some/lib/@v/v1.2.3.zip?sig=hunter2"]


def test_the_checksum_database_by_way_of_a_proxy(world: World) -> None:
    world.full.put(f"sumdb/{SUMDB}/supported", b"")
    world.full.put(f"sumdb/{SUMDB}/lookup/example.com/!some/lib@v1.2.3", b"record")
    world.full.put(f"sumdb/{SUMDB}/tile/8/0/x001/234.p/5", b"tile")
    without, with_it = world.saying(404), world.saying(404, tree=world.full)
    upstream = world.upstream(f"{without.url},{with_it.url},direct", sumdb_url="http://127.0.0.1:1")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(upstream.sumdb, [f"{SUMDB}/supported"] * 4)) == [b""] * 4
    assert upstream.sumdb(f"{SUMDB}/lookup/example.com/!some/lib@v1.2.3") == b"record"
    assert upstream.sumdb(f"{SUMDB}/tile/8/0/x001/234.p/5") == b"tile"
    # Where it is was found out once.
    assert without.paths == [f"/go/sumdb/{SUMDB}/supported"]
    assert with_it.paths.count(f"/go/sumdb/{SUMDB}/supported") == 1
    with pytest.raises(NotFetched) as absent:
        upstream.sumdb(f"{SUMDB}/lookup/example.com/!some/lib@v9.9.9")
    assert absent.value.status == 404
    for bad in (f"{SUMDB}/../latest", f"{SUMDB}/tile/../../x", f"{SUMDB}/other", "latest", "/latest", ""):
        with pytest.raises(SpecInvalid):
            upstream.sumdb(bad)


@pytest.mark.parametrize("url", ["https://bob:a/hunter2@sum.example", "https://[hunter2", "https://bob:8#hunter2@sum.example"])
def test_a_checksum_database_whose_url_is_none(world: World, url: str) -> None:
    with pytest.raises(SpecInvalid, match="the URL in GOSUMDB can't be meant") as failed:
        world.upstream("direct", sumdb_url=url, explicit=True)
    assert "hunter2" not in failed.value.sentence() + repr(failed.value.failure())


def test_the_checksum_database_itself(world: World) -> None:
    database, without, broken = world.saying(200, b"head"), world.saying(404), world.saying(403, b"not by this proxy")
    for chain in (f"{without.url},direct", "direct", f"{without.url},off", f"{broken.url}|direct"):
        upstream = world.upstream(chain, sumdb_url=database.url + "/")
        assert upstream.sumdb(f"{SUMDB}/supported") == b""
        assert upstream.sumdb(f"{SUMDB}/latest") == b"head"
    assert set(database.paths) == {"/go/latest"}
    with pytest.raises(NotFetched, match="not by this proxy") as failed:
        world.upstream(f"{broken.url},direct", sumdb_url=database.url).sumdb(f"{SUMDB}/latest")
    assert failed.value.status == 403
    # Where GOSUMDB has a URL, no proxy hears of a module.
    broken.paths.clear()
    for chain in (f"{broken.url},direct", "off"):
        assert world.upstream(chain, sumdb_url=database.url, explicit=True).sumdb(f"{SUMDB}/latest") == b"head"
    assert broken.paths == []
    with pytest.raises(NotFetched, match="its own URL is not known"):
        world.upstream(f"{without.url},direct").sumdb(f"{SUMDB}/latest")
