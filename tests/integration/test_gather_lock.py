# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gather with a lock: loose versions are pinned, drift and what goes beyond are refused, and with it no network is needed."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed, ModuleRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go import source
from ansible_collections.airgap.golang.plugins.module_utils._go.command import GoCommand
from ansible_collections.airgap.golang.tests.support.gathering import Site, config_modules, make_spec, path_project
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy

LOOSE = ["github.com/google/go-cmp@<v0.6.0", {"module": "github.com/google/uuid@v1.5"}]


@pytest.fixture
def depot(connected: Site) -> Depot:
    return connected.depot()


@pytest.fixture
def lock(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "airgap.lock.json"


def test_a_lock_is_written_kept_and_enough(connected: Site, depot: Depot, lock: pathlib.Path) -> None:
    spec = make_spec(modules=LOOSE)
    outcome = connected.gather(depot, spec, lock=str(lock))
    assert {("github.com/google/go-cmp", "v0.5.9"), ("github.com/google/uuid", "v1.5.0")} <= set(config_modules(outcome))
    assert outcome.lock and "added github.com/google/uuid v1.5.0 (BSD-3-Clause)" in outcome.lock.words
    document = json.loads(lock.read_text())
    assert document["pins"] == {"module github.com/google/go-cmp@<v0.6.0": "v0.5.9", "module github.com/google/uuid@v1.5": "v1.5.0"}
    assert document["content"]["modules"]["github.com/google/go-cmp@v0.5.9"]["h1"].startswith("h1:")
    # With the lock an unchanged spec needs no network, frozen or not.
    before, content = len(connected.proxy.asked), lock.read_bytes()
    for frozen in (False, True):
        again = connected.gather(depot, spec, lock=str(lock), frozen=frozen, goproxy="off")
        assert (again.changed, again.generation and again.generation.ref) == (False, outcome.generation and outcome.generation.ref)
        assert again.lock and not again.lock.words
    assert (len(connected.proxy.asked), lock.read_bytes()) == (before, content)
    # What moves is fetched alone, and the lock's difference is told in words.
    moved = connected.gather(depot, make_spec(modules=["github.com/google/go-cmp@v0.6.0", LOOSE[1]]), lock=str(lock))
    assert moved.changed and moved.lock and "moved up github.com/google/go-cmp v0.5.9 → v0.6.0 (BSD-3-Clause)" in moved.lock.words
    assert [path for path in connected.proxy.asked[before:] if path.endswith(".zip")] == ["/github.com/google/go-cmp/@v/v0.6.0.zip"]


def test_frozen_refuses_what_the_lock_does_not_have(connected: Site, depot: Depot, lock: pathlib.Path) -> None:
    with pytest.raises(ModuleRefused) as caught:
        connected.gather(depot, make_spec(modules=LOOSE), lock=str(lock), frozen=True)
    assert caught.value.code == "lock_frozen" and "github.com/google/go-cmp@<v0.6.0" in caught.value.message
    connected.gather(depot, make_spec(modules=LOOSE[:1]), lock=str(lock))
    content = lock.read_bytes()
    for modules in (LOOSE, [LOOSE[0], "github.com/google/uuid@v1.6.0"]):
        with pytest.raises(ModuleRefused) as caught:
            connected.gather(depot, make_spec(modules=modules), lock=str(lock), frozen=True)
        assert caught.value.code == "lock_frozen" and "github.com/google/uuid" in caught.value.message
    assert (lock.read_bytes(), len(depot.index())) == (content, 1)
    with pytest.raises(SpecInvalid, match="contradict"):
        connected.gather(depot, make_spec(modules=LOOSE), lock=str(lock), frozen=True, upgrade=True)


def test_upgrade_moves_a_pin_that_the_lock_would_keep(connected: Site, depot: Depot, lock: pathlib.Path) -> None:
    spec = make_spec(modules=["github.com/google/go-cmp@latest"])
    connected.gather(depot, spec, lock=str(lock))
    document = json.loads(lock.read_text())
    ((pin, newest),) = document["pins"].items()
    document["pins"][pin] = "v0.5.9"
    lock.write_text(json.dumps(document))
    assert ("github.com/google/go-cmp", "v0.5.9") in config_modules(connected.gather(depot, spec, lock=str(lock)))
    upgraded = connected.gather(depot, spec, lock=str(lock), upgrade=True)
    assert ("github.com/google/go-cmp", newest) in config_modules(upgraded) and json.loads(lock.read_text())["pins"][pin] == newest


def test_what_is_fetched_and_is_not_what_the_lock_says_fails_like_a_wrong_hash(connected: Site, depot: Depot, lock: pathlib.Path) -> None:
    spec = make_spec(modules=["github.com/google/uuid@v1.6.0"])
    connected.gather(depot, spec, lock=str(lock))
    wrong = "h1:" + "A" * 43 + "="
    document = json.loads(lock.read_text())
    right = document["content"]["modules"]["github.com/google/uuid@v1.6.0"]["h1"]
    document["content"]["modules"]["github.com/google/uuid@v1.6.0"]["h1"] = wrong
    lock.write_text(json.dumps(document))
    for other in (depot, connected.depot()):
        with pytest.raises(ModuleRefused) as caught:
            connected.gather(other, spec, lock=str(lock))
        assert (caught.value.code, caught.value.expected, caught.value.found) == ("lock_mismatch", wrong, right)
        assert "the lock says" in caught.value.message or "github.com/google/uuid@v1.6.0" in caught.value.message
    assert json.loads(lock.read_text()) == document


def test_a_package_can_be_asked_for_where_its_module_is_not_known(connected: Site, depot: Depot) -> None:
    """As a request file does that knows no more than what a program imports."""
    outcome = connected.gather(depot, make_spec(modules=["golang.org/x/text/language@v0.3.0", "github.com/google/go-cmp/cmp@<v0.6.0"]))
    carried = config_modules(outcome)
    assert carried[("golang.org/x/text", "v0.3.0")]["zip"] and carried[("github.com/google/go-cmp", "v0.5.9")]["zip"]
    assert connected.rehearse(depot).changed


def test_all_loose_versions_that_cannot_be_had_are_named(connected: Site, depot: Depot) -> None:
    loose = ["github.com/google/uuid@v9", "github.com/google/go-cmp@nobranch"]
    with ModuleProxy(connected.directory / "answers") as proxy, pytest.raises(FetchFailed, match="2 loose versions can't be resolved") as caught:
        connected.gather(depot, make_spec(modules=loose), goproxy=proxy.url)
    assert "github.com/google/uuid@v9" in str(caught.value) and "github.com/google/go-cmp@nobranch" in str(caught.value)


def test_who_asks_for_no_release_keeps_the_one_of_the_lock(connected: Site, depot: Depot, lock: pathlib.Path) -> None:
    """A spec without toolchains gets the go command's own, which the lock pins; a rerun pins it too."""
    spec = make_spec(toolchains=[], modules=LOOSE[1:])
    first = connected.gather(depot, spec, lock=str(lock))
    content = lock.read_bytes()
    assert first.generation and json.loads(content)["pins"]["toolchain"] == first.generation.config["toolchains"][0]["version"]
    for frozen in (False, True):
        assert not connected.gather(depot, spec, lock=str(lock), frozen=frozen, goproxy="off").changed
    assert lock.read_bytes() == content


def test_a_newer_go_command_is_a_change_where_its_release_is_carried(
    connected: Site, depot: Depot, lock: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(toolchains=[], modules=LOOSE[1:])
    with monkeypatch.context() as older:
        older.setattr(GoCommand, "version", property(lambda go: "1.26.5"))
        connected.gather(depot, spec, lock=str(lock))
    # With the lock it's the pinned one still.
    assert not connected.gather(depot, spec, lock=str(lock), goproxy="off").changed
    moved = connected.gather(depot, spec, lock=str(lock), upgrade=True)
    assert moved.changed and moved.generation
    (carried,) = moved.generation.config["toolchains"]
    document = json.loads(lock.read_text())
    assert document["pins"]["toolchain"] == carried["version"] != "1.26.5" and "1.26.5" not in json.dumps(document["content"]["toolchains"])


def test_a_source_that_changes_meanwhile_is_refused(
    connected: Site, depot: Depot, plant: pathlib.Path, lock: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the lock and the generation say of it was found before it was copied."""
    spec = make_spec(projects=[path_project(plant)])
    copy = source.copy_directory

    def edit_and_copy(*arguments: t.Any) -> None:
        (plant / "main.go").write_text("package main\n\nfunc main() { panic(1) }\n")
        copy(*arguments)

    monkeypatch.setattr(source, "copy_directory", edit_and_copy)
    with pytest.raises(SpecInvalid) as caught:
        connected.gather(depot, spec, lock=str(lock))
    assert caught.value.code == "file_changed" and str(plant) in caught.value.message and depot.index() == {}
