# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a raw repository is sent, in which order, and what its answers mean."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import upload as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import DepotDamaged, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._base.uploads import Item, Server, Uploader, UploadFailed
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.put_server import PutServer
from ansible_collections.airgap.golang.tests.support.small_generation import make_generation

NEWER = {("example.com/loose", "v1.0.0"): {"loose.go": b"package loose\n"}, ("example.com/Newer", "v1.1.0"): {"newer.go": b"package newer\n"}}


@pytest.fixture
def server() -> t.Iterator[PutServer]:
    with PutServer() as made:
        yield made


@pytest.fixture
def depot(tmp_path: pathlib.Path) -> Depot:
    made = Depot(str(tmp_path / "depot"))
    make_generation(made, 1)
    return made


def item(name: str, content: bytes, fixed: bool = True) -> Item:
    return Item(name, len(content), hashlib.sha256(content).hexdigest(), fixed, content=content)


def uploader(server: PutServer, **more: t.Any) -> Uploader:
    return Uploader(Server(server.url("/repo"), **{"connections": 1, **more}), pause=lambda seconds: None)


def upload(depot: Depot, server: PutServer, *contents: str, check: bool = False, number: t.Optional[int] = None, connections: int = 4) -> verb.Outcome:
    options = verb.Options(Server(server.url("/repo/"), connections=connections), contents or ("proxy",), number, check)
    return verb.upload(depot, options, Reporter())


def below(top: str) -> dict[str, bytes]:
    return {os.path.relpath(path, top): path.read_bytes() for path in pathlib.Path(top).rglob("*") if path.is_file()}


def test_the_tree_and_the_blobs_arrive_whole(depot: Depot, server: PutServer) -> None:
    generation = depot.latest()
    assert generation is not None
    checked = upload(depot, server, "proxy", "depot", check=True)
    assert not server.put() and checked.changed
    done = upload(depot, server, "proxy", "depot")
    assert [entry.target for entry in done.sent] == [entry.target for entry in checked.sent] and done.bytes == checked.bytes
    wanted = {f"/repo/{name}": content for name, content in below(os.path.join(depot.tree(generation.ref), "proxy")).items()}
    for digest in [*generation.manifest.blobs(), generation.digest]:
        wanted[f"/repo/depot/blobs/sha256/{digest[7:]}"] = depot.blobs.read(digest)
    wanted["/repo/depot/oci-layout"] = pathlib.Path(depot.path, "oci-layout").read_bytes()
    wanted["/repo/depot/index.json"] = pathlib.Path(depot.path, "index.json").read_bytes()
    assert server.files == wanted
    assert 1 < server.connections <= 8, "each upload has four"
    assert [entry["event"] for entry in depot.audit.entries()] == ["admit", "upload"]


def test_again_nothing_is_sent(depot: Depot, server: PutServer) -> None:
    upload(depot, server, "proxy", "depot")
    before = len(server.put())
    again = upload(depot, server, "proxy", "depot")
    assert not again.changed and again.present == before == len(server.put())
    assert [entry["event"] for entry in depot.audit.entries()] == ["admit", "upload"]


def test_a_next_generation_is_a_difference(depot: Depot, server: PutServer) -> None:
    upload(depot, server, "proxy", "depot")
    make_generation(depot, 2, modules=NEWER)
    before = len(server.put())
    done = upload(depot, server, "proxy", "depot")
    new = {path.replace("/repo/", "", 1) for path in server.put()[before:]}
    assert new == {entry.target for entry in done.sent}
    assert {"example.com/!newer/@v/v1.1.0.zip", "example.com/!newer/@v/v1.1.0.mod", "example.com/!newer/@v/v1.1.0.info", "depot/index.json"} <= new
    assert not any(name.startswith("example.com/loose/") for name in new)
    # As long as the old one and not the same.
    assert "sumdb/sum.example/latest" in new and server.files["/repo/sumdb/sum.example/latest"] == b"2"
    assert list(json.loads(server.files["/repo/depot/index.json"])["manifests"][0]["annotations"].values()).count("000002") == 1
    assert upload(depot, server, number=1, check=True).changed


def test_a_list_comes_after_what_it_names(tmp_path: pathlib.Path, server: PutServer) -> None:
    depot = Depot(str(tmp_path / "depot"))
    generation = make_generation(depot, 1)
    tree = pathlib.Path(depot.tree(generation.ref))
    lists = {"proxy/example.com/loose/@v/list": b"v1.0.0\n", "proxy/example.com/loose/@latest": b"{}", "proxy/sumdb/sum.example/tile/8/0/000": b"t"}
    sums = tree / "SHA256SUMS"
    sums.chmod(0o644)
    with sums.open("a") as stream:
        for name, content in lists.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(content)
            stream.write(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    upload(depot, server, "proxy", "depot")
    order = server.put()
    place = {path: number for number, path in enumerate(order)}
    last = {"/repo/example.com/loose/@v/list", "/repo/example.com/loose/@latest", "/repo/depot/index.json"}
    assert set(order[-3:]) == last
    assert place["/repo/example.com/loose/@v/v1.0.0.zip"] < place["/repo/example.com/loose/@v/v1.0.0.info"]
    assert place["/repo/sumdb/sum.example/tile/8/0/000"] < place["/repo/sumdb/sum.example/latest"]


def test_what_speaks_of_others_is_kept_back_when_they_fail(depot: Depot, server: PutServer) -> None:
    zip_path = "/repo/example.com/loose/@v/v1.0.0.zip"
    server.faults["PUT", zip_path] = [400]
    with pytest.raises(UploadFailed) as refused:
        upload(depot, server, "proxy", "depot")
    failure = refused.value.failure()
    assert [entry["subject"] for entry in failure["details"]] == ["example.com/loose/@v/v1.0.0.zip"] and "400: no" in failure["found"]
    assert not any(path.endswith((".info", "index.json")) or "sumdb" in path for path in server.put())
    before = set(server.files)
    done = upload(depot, server, "proxy", "depot")
    assert not before & {f"/repo/{entry.target}" for entry in done.sent} and zip_path in server.files


@pytest.mark.parametrize("fault", [0, 429, 500, 503])
def test_what_may_pass_is_tried_again(server: PutServer, fault: int) -> None:
    for method in ("HEAD", "PUT"):
        server.faults[method, "/repo/a"] = [fault] * 4
    given = item("a", b"content")
    made = uploader(server)
    assert made.missing([given]) == [given]
    made.send([given])
    assert server.files == {"/repo/a": b"content"}
    server.faults["PUT", "/repo/a"] = [fault] * 5
    with pytest.raises(UploadFailed):
        made.send([given])


def test_a_refusal_ends_it_at_once(server: PutServer) -> None:
    server.authorization = "Bearer right"
    items = [item(str(number), b"x" * 3_000_000) for number in range(20)]
    with pytest.raises(UploadFailed, match="401: it wants other credentials"):
        uploader(server, authorization="Bearer wrong").send(items)
    assert len(server.asked) == 1
    uploader(server, authorization="Bearer right").send(items[:1])
    assert len(server.files["/repo/0"]) == 3_000_000


def test_content_is_known_by_size_and_by_the_servers_checksum(server: PutServer) -> None:
    right, wrong = item("a", b"right"), b"wrong"
    sha1 = {content: {"ETag": '"{SHA1{' + hashlib.sha1(content).hexdigest() + '}}"'} for content in (b"right", wrong)}
    made = uploader(server)

    def missing(there: bytes, fixed: bool = True, headers: t.Optional[dict[str, str]] = None) -> bool:
        server.files["/repo/a"] = there
        server.headers["/repo/a"] = headers or {}
        return bool(made.missing([Item(right.target, right.size, right.sha256, fixed, content=right.content)]))

    assert missing(b"longer") and not missing(wrong) and not missing(b"right")
    assert missing(wrong, fixed=False) and not missing(b"right", fixed=False)
    assert missing(wrong, headers={"X-Checksum-Sha256": hashlib.sha256(wrong).hexdigest()})
    assert not missing(b"right", headers={"X-Checksum-Sha256": right.sha256.upper()})
    assert missing(wrong, headers=sha1[wrong]) and not missing(wrong, headers=sha1[b"right"])
    asked = len(server.asked)
    assert not missing(b"right", fixed=False, headers={"X-Checksum-Sha256": right.sha256}) and server.asked[asked:] == [("HEAD", "/repo/a")]


def test_a_server_that_does_not_know_head_gets_everything(server: PutServer) -> None:
    server.files["/repo/a"] = b"content"
    server.faults["HEAD", "/repo/a"] = [405]
    given = item("a", b"content")
    assert uploader(server).missing([given]) == [given]


def test_an_untrusted_certificate_is_named(tmp_path: pathlib.Path) -> None:
    certificate = tmp_path / "server.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *subject]
    subprocess.run([*command, "-keyout", certificate, "-out", tmp_path / "ca.pem"], check=True, capture_output=True)
    with certificate.open("ab") as stream:
        stream.write((tmp_path / "ca.pem").read_bytes())
    given = item("a", b"content")
    with PutServer(certificate) as server:
        with pytest.raises(UploadFailed, match="certificate isn't trusted"):
            uploader(server).send([given])
        uploader(server, ca_path=str(tmp_path / "ca.pem")).send([given])
        uploader(server, validate_certs=False).send([item("b", b"content")])
        assert set(server.files) == {"/repo/a", "/repo/b"}


@pytest.mark.parametrize("url", ["ftp://host/x", "https://", "https://host:port/", "host/repo", "http://user:hunter2@host/"])
def test_an_address_that_cannot_be_meant(url: str) -> None:
    with pytest.raises(SpecInvalid) as refused:
        Uploader(Server(url))
    assert "hunter2" not in refused.value.sentence()


def test_only_what_is_sealed_and_whole_travels(tmp_path: pathlib.Path, server: PutServer) -> None:
    depot = Depot(str(tmp_path / "depot"))
    make_generation(depot, 1, sealed=False)
    with pytest.raises(DepotDamaged, match="no sealed generation"):
        upload(depot, server)
    generation = make_generation(depot, 2)
    os.unlink(os.path.join(depot.tree(generation.ref), "proxy", "example.com", "loose", "@v", "v1.0.0.mod"))
    with pytest.raises(DepotDamaged, match="isn't whole"):
        upload(depot, server)
    assert server.asked == []
