# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources from the spec to the tree: a gather of files alone, its rehearsal, its bundle's way to another depot, and reruns."""

from __future__ import annotations

import hashlib
import os
import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import bundle as bundle_verb
from ansible_collections.airgap.golang.plugins.module_utils import receive as receive_verb
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._content import resources
from ansible_collections.airgap.golang.plugins.module_utils._content.earlier import EarlierGenerations
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.file_server import FileServer
from ansible_collections.airgap.golang.tests.support.gathering import Site, assert_untouched, check_tree, make_spec
from ansible_collections.airgap.golang.tests.support.private_git import ADDRESS, VERSION
from ansible_collections.airgap.golang.tests.support.small_generation import bring

LOGO = b"<svg/>" * 1000
WRONG = "ab" * 32


@pytest.fixture
def server() -> t.Iterator[FileServer]:
    with FileServer() as server:
        server.files["/logo.svg"] = LOGO
        yield server


@pytest.fixture
def assets(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path / "assets"
    (top / "css").mkdir(parents=True)
    (top / "css" / "site.css").write_text("body {}")
    (top / "build.sh").write_text("#!/bin/sh\n")
    (top / "build.sh").chmod(0o755)
    return top


def entries(tmp_path: pathlib.Path, assets: pathlib.Path, server: FileServer) -> list[dict[str, str]]:
    (tmp_path / "schema.sql").write_text("create table machines;")
    return [
        {"source": str(tmp_path / "schema.sql"), "dest": "sql/schema.sql"},
        {"source": server.url("/logo.svg"), "dest": "web/logo.svg", "sha256": hashlib.sha256(LOGO).hexdigest()},
        {"source": str(assets), "dest": "web/assets"},
        {"git": ADDRESS, "ref": VERSION, "dest": "git/tag"},
        {"git": ADDRESS, "ref": "main", "dest": "git/branch"},
    ]


def only_files(files: list[dict[str, str]]) -> t.Any:
    return make_spec(toolchains=[], files=files)


def test_a_spec_of_files_alone(connected: Site, tmp_path: pathlib.Path, assets: pathlib.Path, server: FileServer) -> None:
    depot = connected.depot()
    files = entries(tmp_path, assets, server)
    before = len(connected.proxy.asked)
    first = connected.gather(depot, only_files(files))
    assert first.changed and first.generation
    assert len(connected.proxy.asked) == before, "nothing of Go's is asked for"
    assert first.generation.config["toolchains"] == []
    config = {entry["dest"]: entry for entry in first.generation.config["files"]}
    assert {dest: entry["kind"] for dest, entry in config.items()} == {
        "git/branch": "git",
        "git/tag": "git",
        "sql/schema.sql": "file",
        "web/assets": "directory",
        "web/logo.svg": "file",
    }
    assert len(config["git/tag"]["commit"]) == 40 and len(config["web/assets"]["digest"]) == 64
    assert str(tmp_path) not in str(first.generation.config)

    assert connected.rehearse(depot).changed
    sealed = depot.latest()
    assert sealed and sealed.ref.sealed
    tree = pathlib.Path(depot.tree(sealed.ref))
    check_tree(str(tree))
    assert (tree / "files/web/logo.svg").read_bytes() == LOGO
    assert (tree / "files/sql/schema.sql").read_text() == "create table machines;"
    assert (tree / "files/web/assets/css/site.css").read_text() == "body {}"
    assert os.stat(tree / "files/web/assets/build.sh").st_mode & 0o777 == 0o555
    assert (tree / "files/git/tag/go.mod").read_text() == (tree / "files/git/branch/go.mod").read_text()
    assert not (tree / "files/git/tag/.git").exists()

    asked = len(server.asked)
    server.files.clear()
    again = connected.gather(depot, only_files(files))
    assert (again.changed, len(server.asked)) == (False, asked), "an unchanged spec asks nothing"

    (assets / "css" / "site.css").write_text("body {color: red}")
    server.files["/logo.svg"] = LOGO
    second = connected.gather(depot, only_files(files))
    assert second.changed and second.generation
    was, now = ({layer.title: layer.digest for layer in outcome.generation.manifest.layers} for outcome in (first, second) if outcome.generation)
    assert {title for title in now if now[title] != was.get(title)} == {"files/web/assets"}
    check_tree(depot.tree(second.generation.ref))

    # Its bundle is proved and admitted on the other side.
    connected.rehearse(depot)
    (tmp_path / "outbox").mkdir()
    options = bundle_verb.Options(dest=str(tmp_path / "outbox") + "/", allow_unsigned=True)
    written = bundle_verb.bundle(depot, options, Reporter())
    offline = Depot(str(tmp_path / "offline"))
    received = receive_verb.receive(offline, receive_verb.Options(path=written.path, allow_unsigned=True), Reporter())
    check_tree(offline.tree(received.generation.ref))
    assert (tmp_path / "offline/current/files/web/assets/css/site.css").read_text() == "body {color: red}"
    # And a host that asks for the whole depot has the files, though there is nothing of Go's.
    bring(offline, Host(str(tmp_path / "host")), Wish(("depot",)))
    assert (tmp_path / "host/current/files/web/assets/css/site.css").read_text() == "body {color: red}"
    assert os.access(tmp_path / "host/current/files/web/assets/build.sh", os.X_OK)


def test_what_the_depot_has_is_taken_from_there(connected: Site, tmp_path: pathlib.Path, assets: pathlib.Path, server: FileServer) -> None:
    depot = connected.depot()
    spec = only_files(entries(tmp_path, assets, server))
    connected.gather(depot, spec)
    with connected.at_home():
        found = resources.find(spec.files)
        server.files.clear()
        held = EarlierGenerations(depot).resource
        assert {os.path.dirname(entry.path) for entry in resources.take(found, str(tmp_path / "taken"), held).values()} == {depot.blobs.directory}
        assert resources.take(found, str(tmp_path / "taken"), held)["git/tag"].commit == found["git/tag"].commit
        (assets / "more").touch()
        again = resources.take({**found, **resources.find([spec.files[2]])}, str(tmp_path / "taken"), held)
    assert [dest for dest, entry in again.items() if os.path.dirname(entry.path) != depot.blobs.directory] == ["web/assets"]


def test_all_that_is_missing_is_named_at_once(connected: Site, tmp_path: pathlib.Path, assets: pathlib.Path, server: FileServer) -> None:
    depot = connected.depot()
    files = [
        *entries(tmp_path, assets, server),
        {"source": str(tmp_path / "absent"), "dest": "absent"},
        {"source": server.url("/absent"), "dest": "url", "sha256": WRONG},
        {"source": server.url("/logo.svg"), "dest": "wrong", "sha256": WRONG},
        {"git": ADDRESS, "ref": "v9", "dest": "ref"},
    ]
    with pytest.raises(FetchFailed) as caught:
        connected.gather(depot, only_files(files))
    assert {entry["file"]: entry["code"] for entry in caught.value.details} == {
        "absent": "file_missing",
        "ref": "fetch_failed",
        "url": "fetch_failed",
        "wrong": "file_refused",
    }
    assert_untouched(depot)


def test_places_that_overlap_are_refused_before_they_travel(connected: Site, tmp_path: pathlib.Path, assets: pathlib.Path, server: FileServer) -> None:
    depot = connected.depot()
    files = [*entries(tmp_path, assets, server), {"source": str(tmp_path / "schema.sql"), "dest": "web/assets/css/site.css"}]
    with pytest.raises(SpecInvalid, match="both claim files/web/assets/css/site.css"):
        connected.gather(depot, only_files(files))
    assert_untouched(depot)


def test_what_is_missing_is_named_with_the_modules_that_are(connected: Site, tmp_path: pathlib.Path, server: FileServer) -> None:
    depot = connected.depot()
    files = [
        {"source": str(tmp_path / "absent"), "dest": "absent"},
        {"source": server.url("/absent"), "dest": "url", "sha256": WRONG},
        {"source": server.url("/logo.svg"), "dest": "wrong", "sha256": WRONG},
    ]
    spec = make_spec(modules=[{"module": "rsc.io/quote@v9.9.9", "closure": "gomod"}], files=files)
    with pytest.raises(FetchFailed) as caught:
        connected.gather(depot, spec)
    assert [entry.get("module") or entry["file"] for entry in caught.value.details] == ["rsc.io/quote", "absent", "url", "wrong"]
    for name in ("rsc.io/quote@v9.9.9", "absent", "url", "wrong"):
        assert name in caught.value.message
    with pytest.raises(FetchFailed) as checked:
        connected.gather(depot, spec, check=True)
    assert {"absent", "url"} <= {entry.get("file") for entry in checked.value.details}
    assert_untouched(depot)


def test_only_what_is_new_is_fetched(connected: Site, tmp_path: pathlib.Path, assets: pathlib.Path, server: FileServer) -> None:
    depot = connected.depot()
    files = entries(tmp_path, assets, server)
    checked = connected.gather(depot, only_files(files), check=True)
    # Both refs are one commit, whose size can't be asked for.
    assert checked.fetched == {"files": 2, "bytes": len(LOGO), "complete": False}
    first = connected.gather(depot, only_files(files))
    assert first.fetched["files"] == 2
    asked = len(server.asked)
    server.files.clear()
    (assets / "css" / "site.css").write_text("body {color: red}")
    assert connected.gather(depot, only_files(files), check=True).fetched == {"files": 0, "bytes": 0, "complete": True}
    second = connected.gather(depot, only_files(files))
    assert second.changed and second.fetched == {"files": 0, "bytes": 0, "complete": True}
    assert len(server.asked) == asked, "what the depot has isn't asked for"
