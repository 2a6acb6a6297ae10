# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host pulls blobs from mirrors that are slow to come, break off, lie, know nothing, or aren't there: figures are bytes on the wire."""

from __future__ import annotations

import hashlib
import os
import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import accept, deliver
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.httpget import Access
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.manifest import Layer
from ansible_collections.airgap.golang.plugins.module_utils._depot.pull import ATTEMPTS, Mirrors
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.blob_server import BlobServer, private_ca
from ansible_collections.airgap.golang.tests.support.small_generation import ALL_PARTS, make_generation

WISH = Wish(ALL_PARTS, goenv="GOFLAGS=-mod=mod\n")


@pytest.fixture
def blobs(tmp_path: pathlib.Path) -> dict[str, int]:
    """Three blobs in a directory ``served``: digest → size."""
    directory = tmp_path / "served" / "blobs" / "sha256"
    directory.mkdir(parents=True)
    found = {}
    for size in (1, 70_000, 3_000_000):
        content = os.urandom(size)
        name = hashlib.sha256(content).hexdigest()
        (directory / name).write_bytes(content)
        found["sha256:" + name] = size
    return found


@pytest.fixture
def server(tmp_path: pathlib.Path, blobs: dict[str, int]) -> t.Iterator[BlobServer]:
    with BlobServer(str(tmp_path / "served")) as running:
        yield running


@pytest.fixture
def arriving(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "arriving"
    path.mkdir()
    return path


def mirrors(*servers: t.Union[BlobServer, str], **access: t.Any) -> Mirrors:
    urls = [entry if isinstance(entry, str) else entry.url for entry in servers]
    return Mirrors(urls, Access(**access), sleep=lambda seconds: None)


def whole(arriving: pathlib.Path, blobs: t.Mapping[str, int]) -> bool:
    return {"sha256:" + hashlib.sha256(path.read_bytes()).hexdigest(): path.stat().st_size for path in arriving.iterdir()} == dict(blobs)


def largest(blobs: t.Mapping[str, int]) -> str:
    return max(blobs, key=lambda digest: blobs[digest])


def path_of(digest: str) -> str:
    return "/depot/blobs/sha256/" + digest[7:]


def test_all_come_over_few_connections(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path) -> None:
    many = server.top + "/blobs/sha256/"
    for number in range(60):
        content = str(number).encode()
        name = hashlib.sha256(content).hexdigest()
        pathlib.Path(many + name).write_bytes(content)
        blobs["sha256:" + name] = len(content)
    assert mirrors(server, agent="tester/1").pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
    assert server.sent == sum(blobs.values()) and server.connections <= 4 and len(server.asked) == len(blobs)
    assert {agent for _path, _first, agent in server.asked} == {"tester/1"}


def test_what_broke_off_goes_on_where_it_was(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path) -> None:
    big = largest(blobs)
    server.cut = lambda path, before: 1_000_000 if path == path_of(big) and before < 2 else -1
    assert mirrors(server).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
    assert [first for path, first, _agent in server.asked if path == path_of(big)] == [0, 1_000_000, 2_000_000]
    assert server.sent == sum(blobs.values()), "something came twice"


def test_a_later_run_goes_on_where_a_killed_one_was(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path) -> None:
    big = largest(blobs)
    content = pathlib.Path(server.top, "blobs/sha256", big[7:]).read_bytes()
    (arriving / big[7:]).write_bytes(content[:1_234_567])
    assert mirrors(server).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
    assert server.sent == sum(blobs.values()) - 1_234_567


@pytest.mark.parametrize("extra", [b"", b"too long"])
def test_a_wrong_beginning_is_fetched_anew(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path, extra: bytes) -> None:
    big = largest(blobs)
    (arriving / big[7:]).write_bytes(bytes(1000) if not extra else bytes(blobs[big]) + extra)
    assert mirrors(server).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)


def test_a_server_without_ranges_sends_it_from_the_beginning(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path) -> None:
    big = largest(blobs)
    server.ranges = False
    server.cut = lambda path, before: 1_000_000 if path == path_of(big) and before < 1 else -1
    assert mirrors(server).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
    assert server.sent == sum(blobs.values()) + 1_000_000


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path) -> None:
    big = largest(blobs)
    server.ranges = False
    server.cut = lambda path, before: blobs[big] // 2
    server.fail = lambda path, before: 404 if before > 20 else 0
    waits: list[float] = []
    failed = Mirrors([server.url], Access(), sleep=waits.append).pull({big: blobs[big]}, str(arriving))
    assert "too early" in failed[big], "it went on for ever"
    assert len(server.asked) == 1 + ATTEMPTS and len(waits) == ATTEMPTS - 1, "the first time more came than ever, and then never again"
    assert (arriving / big[7:]).stat().st_size == blobs[big] // 2, "what came is thrown away"


def test_a_server_without_ranges_that_breaks_off_later_each_time_is_asked_on(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path) -> None:
    server.ranges = False
    server.cut = lambda path, before: 300_000 * (before + 1) if path == path_of(largest(blobs)) and before < 2 * ATTEMPTS else -1
    assert mirrors(server).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)


def test_a_wrong_beginning_is_fetched_anew_however_often_it_breaks_off(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path) -> None:
    big = largest(blobs)
    (arriving / big[7:]).write_bytes(bytes(blobs[big] - 1000))
    # The rest comes in two pieces, the whole in ten.
    server.cut = lambda path, before: -1 if path != path_of(big) or before == 1 else 300_000 if before else 500
    assert mirrors(server).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)


def test_a_busy_server_is_asked_again_and_not_for_ever(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path) -> None:
    server.fail = lambda path, before: 503 if before < ATTEMPTS - 1 else 0
    assert mirrors(server).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
    big = largest(blobs)
    (arriving / big[7:]).unlink()
    server.asked.clear()
    server.fail = lambda path, before: 503
    failed = mirrors(server).pull({big: blobs[big]}, str(arriving))
    assert len(server.asked) == ATTEMPTS and "503" in failed[big]


def test_a_mirror_that_lies_is_found_out_and_the_next_one_asked(
    server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    big = largest(blobs)
    lies = tmp_path / "lies" / "blobs" / "sha256"
    lies.mkdir(parents=True)
    (lies / big[7:]).write_bytes(os.urandom(blobs[big]))
    with BlobServer(str(tmp_path / "lies")) as liar:
        assert mirrors(liar, server).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
        assert len([path for path, _first, _agent in liar.asked if path == path_of(big)]) == 1
        (arriving / big[7:]).unlink()
        failed = mirrors(liar).pull(blobs, str(arriving))
    assert list(failed) == [big] and "isn't what its name says" in failed[big]
    assert (arriving / big[7:]).stat().st_size == 0, "something unproved stayed"


@pytest.mark.parametrize("cuts", [1, 20])
def test_a_mirror_that_lies_and_breaks_off_is_found_out(
    server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path, tmp_path: pathlib.Path, cuts: int
) -> None:
    big = largest(blobs)
    half = blobs[big] // 2
    pathlib.Path(server.top, "blobs/sha256", big[7:]).write_bytes(os.urandom(blobs[big]))
    server.cut = lambda path, before: half if before % 2 == 0 and before < 2 * cuts else -1
    failed = mirrors(server).pull({big: blobs[big]}, str(arriving))
    assert "isn't what its name says" in failed[big] and (arriving / big[7:]).stat().st_size == 0
    assert [first for _path, first, _agent in server.asked] == ([0, half, 0] if cuts == 1 else [0, half, 0, half])


def test_a_mirror_that_is_not_there_is_asked_once(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path) -> None:
    waits: list[float] = []
    chosen = Mirrors(["http://127.0.0.1:1/depot", server.url], Access(), sleep=waits.append)
    assert chosen.pull(dict(list(blobs.items())[:1]), str(arriving)) == {}
    assert chosen.pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
    assert len(waits) == ATTEMPTS - 1, "it was asked again for another blob"


def test_basic_authentication(server: BlobServer, blobs: dict[str, int], arriving: pathlib.Path, tmp_path: pathlib.Path) -> None:
    server.login = "me:s3cret"
    refused = mirrors(server).pull(blobs, str(arriving))
    assert all("401" in why for why in refused.values()) and len(server.asked) <= 4
    with BlobServer(str(tmp_path / "served")) as other:
        digest = next(iter(blobs))
        server.moved[path_of(digest)] = other.url + path_of(digest)[len("/depot") :]
        other.login = server.login
        failed = mirrors(server, user="me", password="s3cret").pull(blobs, str(arriving))
        assert list(failed) == [digest], "the password went to another server"
        other.login = ""
        assert mirrors(server, user="me", password="s3cret").pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
    assert "s3cret" not in repr(Access(user="me", password="s3cret"))


def test_tls_by_a_private_ca(blobs: dict[str, int], arriving: pathlib.Path, tmp_path: pathlib.Path) -> None:
    ca, pair = private_ca(tmp_path / "ca")
    with BlobServer(str(tmp_path / "served"), tls=pair) as server:
        refused = mirrors(server).pull(blobs, str(arriving))
        assert all("certificate isn't trusted" in why for why in refused.values()) and not server.asked
        assert mirrors(server, ca=ca.read_text()).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
        assert mirrors(server, ca=str(ca)).pull(blobs, str(arriving)) == {}
        next(arriving.iterdir()).unlink()
        assert mirrors(server, ca="# Autorité d'Été, Ελλάδα\n" + ca.read_text()).pull(blobs, str(arriving)) == {} and whole(arriving, blobs)
    for nothing in ("nonsense", "Ελλάδα"):
        with pytest.raises(SpecInvalid, match="no certificates"):
            mirrors(server, ca=nothing).pull(blobs, str(arriving))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://mirror/depot",
        "mirror",
        "http://",
        "http://mirror:port/",
        "https://mirror/depot?x=1",
        "https://me:s3cret@mirror/",
        "https://[bad",
        "https://me:s3cret@[bad/",
        "https://me:s3cret/s3cret@mirror/",
        "https://[bad/depot?key=s3cret",
    ],
)
def test_a_mirror_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(SpecInvalid) as refusal:
        mirrors(url)
    assert "s3cret" not in str(refusal.value.failure()) + refusal.value.sentence()


def test_no_mirror_is_refused() -> None:
    with pytest.raises(SpecInvalid, match="no mirror"):
        mirrors()


# -- a whole host


class Site:
    def __init__(self, top: pathlib.Path) -> None:
        self.depot = Depot(str(top / "depot"))
        make_generation(self.depot, 1)
        self.host = Host(str(top / "root"))

    def ask(self, way: accept.Way, check: bool = False, documents: bool = False) -> dict[str, t.Any]:
        depot, request = deliver.offer(self.depot.path, None)
        request = deliver.with_documents(depot, request) if documents else request
        return accept.answer(self.host, request, WISH, way, 0, check, "7" * 32)

    def largest(self) -> Layer:
        """The largest blob that the host needs."""
        latest = self.depot.latest()
        assert latest is not None
        return max(self.host.plan(latest, WISH).layers, key=lambda layer: layer.size)


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


def test_one_request_with_a_digest_is_all_that_a_pulling_host_needs(site: Site) -> None:
    with BlobServer(site.depot.path) as server:
        checked = site.ask(accept.Way("pull", mirrors(server)), check=True)
        assert not os.path.exists(site.host.root) and checked["transferred"] > 0
        told = site.ask(accept.Way("pull", mirrors(server)))
        assert told["changed"] and told["pulled"] == told["transferred"] == checked["transferred"] and "missing" not in told
        assert site.host.current().startswith("000001-") and os.listdir(site.host.depot.staging) == []
        asked = len(server.asked)
        again = site.ask(accept.Way("pull", mirrors(server)))
        assert not again["changed"] and len(server.asked) == asked, "an unchanged host asked the mirror"


def test_without_documents_a_push_says_so(site: Site) -> None:
    assert site.ask(accept.Way()) == {"changed": False, "unknown": True}


def test_pull_fails_by_name_and_keeps_what_came(site: Site, tmp_path: pathlib.Path) -> None:
    victim = site.largest()
    with BlobServer(site.depot.path) as server:
        server.cut = lambda path, before: 100 if victim.hex in path and not before else -1
        server.fail = lambda path, before: 404 if victim.hex in path and before else 0
        with pytest.raises(FetchFailed) as refusal:
            site.ask(accept.Way("pull", mirrors(server)))
        server.cut = lambda path, before: -1
        assert refusal.value.subject == victim.digest and "404" in refusal.value.found and server.url in refusal.value.sentence()
        assert site.host.current() == ""
        server.fail = lambda path, before: 0
        server.asked.clear()
        told = site.ask(accept.Way("pull", mirrors(server)))
        assert told["pulled"] == victim.size and site.host.current().startswith("000001-")
        assert [first for path, first, _agent in server.asked if victim.hex in path] == [100], "what had come of it was thrown away"
        assert [path for path, _first, _agent in server.asked if victim.hex not in path] == [
            path_of(digest) for digest in (site.depot.latest().digest, site.depot.latest().manifest.config)  # type: ignore[union-attr]
        ]


def test_auto_asks_for_the_rest(site: Site, tmp_path: pathlib.Path) -> None:
    generation = site.depot.latest()
    assert generation is not None
    victim = max(generation.manifest.layers, key=lambda layer: layer.size)
    with BlobServer(site.depot.path) as server:
        server.fail = lambda path, before: 404 if victim.hex in path else 0
        told = site.ask(accept.Way("auto", mirrors(server)))
    assert told["missing"] == {victim.digest: victim.size} and told["pulled"] == told["transferred"] - victim.size


@pytest.mark.parametrize(
    "location",
    [
        "http://a..b/",
        "https://.b/",
        "http://[",
        "//[bad/",
        "http://me:s3cret@[bad/?key=s3cret",
        "http://me:s3cret@mirror:port/?key=s3cret",
        "http://a b/",
        "/dépôt",
        "/depot/a blob",
        "",
    ],
)
def test_a_mirror_that_leads_nowhere_fails_for_that_blob_alone(site: Site, location: str) -> None:
    victim = site.largest()
    with BlobServer(site.depot.path) as server:
        server.moved[path_of(victim.digest)] = location
        with pytest.raises(FetchFailed) as refusal:
            site.ask(accept.Way("pull", mirrors(server)))
        assert refusal.value.subject == victim.digest and "s3cret" not in str(refusal.value.failure()) + refusal.value.sentence()
        server.asked.clear()
        told = site.ask(accept.Way("auto", mirrors(server)))
    assert told["missing"] == {victim.digest: victim.size}
    assert [path for path, _first, _agent in server.asked].count(path_of(victim.digest)) <= 1 or not location, "it was tried again, which is of no use"


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 206 \r\nContent-Range: bytes " + b"9" * 5000 + b"-9/*", b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n-5"],
)
def test_a_mirror_that_talks_nonsense_fails_for_that_blob_alone(site: Site, answer: bytes) -> None:
    victim = site.largest()
    with BlobServer(site.depot.path) as server:
        server.raw[path_of(victim.digest)] = answer + b"\r\n\r\n"
        told = site.ask(accept.Way("auto", mirrors(server)))
    assert told["missing"] == {victim.digest: victim.size}


def test_auto_pushes_all_when_a_mirror_leads_nowhere_from_its_documents_on(site: Site) -> None:
    latest = site.depot.latest()
    assert latest is not None
    with BlobServer(site.depot.path) as server:
        server.moved[path_of(latest.digest)] = "http://a..b/"
        assert site.ask(accept.Way("auto", mirrors(server))) == {"changed": False, "unknown": True}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/depot", "https://mirror..example.com/depot", "http://a mirror/depot"])
def test_auto_pushes_all_when_no_mirror_is_there(site: Site, url: str) -> None:
    away = mirrors(url)
    assert site.ask(accept.Way("auto", away)) == {"changed": False, "unknown": True}
    told = site.ask(accept.Way("auto", away), documents=True)
    assert told["pulled"] == 0 and sum(told["missing"].values()) == told["transferred"]


def test_a_mirror_with_another_manifest_is_found_out(site: Site, tmp_path: pathlib.Path) -> None:
    generation = site.depot.latest()
    assert generation is not None
    with BlobServer(site.depot.path) as server:
        server.cut = lambda path, before: 100 if generation.digest[7:] in path else -1
        with pytest.raises(FetchFailed, match="too early"):
            site.ask(accept.Way("pull", mirrors(server)))
    assert not os.path.exists(site.host.root)
