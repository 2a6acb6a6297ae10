# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between locks, as data and in words."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.airgap.golang.plugins.module_utils._content.lock import Lock
from ansible_collections.airgap.golang.plugins.module_utils._content.lockdiff import difference, words
from ansible_collections.airgap.golang.plugins.module_utils._go.proxytree import semver_key
from ansible_collections.airgap.golang.tests.support.locking import COMMIT, modules, sha256, sums, whole_lock


def said(old: t.Sequence[str], new: t.Sequence[str], **known: t.Any) -> list[str]:
    return words(difference(Lock(modules=modules(*old)), Lock(modules=modules(*new)), **known))


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ([], ["a.io/x@v1.0.0"], ["added a.io/x v1.0.0"]),
        (["a.io/x@v1.0.0"], [], ["removed a.io/x v1.0.0"]),
        (["a.io/x@v1.9.0"], ["a.io/x@v1.10.0"], ["moved up a.io/x v1.9.0 → v1.10.0"]),
        (["a.io/x@v1.0.0"], ["a.io/x@v1.0.0-rc.1"], ["moved down a.io/x v1.0.0 → v1.0.0-rc.1"]),
        (["a.io/x@v2.0.0"], ["a.io/x@v2.0.0+incompatible"], ["moved up a.io/x v2.0.0 → v2.0.0+incompatible"]),
        (["a.io/x@v1.0.0"], ["a.io/x@v1.0.0", "a.io/x@v1.1.0"], ["added a.io/x v1.1.0, beside v1.0.0"]),
        (["a.io/x@v1.0.0", "a.io/x@v1.1.0"], ["a.io/x@v1.1.0"], ["removed a.io/x v1.0.0, leaves v1.1.0"]),
        (["a.io/x@v1.0.0", "a.io/x@v1.2.0"], ["a.io/x@v1.1.0", "a.io/x@v1.2.0"], ["moved up a.io/x v1.0.0 → v1.1.0"]),
        (["a.io/x@v1.0.0", "a.io/x@v1.1.0"], ["a.io/x@v1.2.0", "a.io/x@v1.3.0"], ["moved up a.io/x v1.1.0 → v1.3.0", "moved up a.io/x v1.0.0 → v1.2.0"]),
        (["a.io/x@v1.0.0", "a.io/x@v1.1.0"], ["a.io/x@v1.2.0"], ["moved up a.io/x v1.1.0 → v1.2.0", "removed a.io/x v1.0.0, leaves v1.2.0"]),
        (["a.io/x@v1.0.0"], ["a.io/x/v2@v2.0.0"], ["removed a.io/x v1.0.0", "added a.io/x/v2 v2.0.0"]),
        (["b.io/x@v1.0.0", "a.io/x@v1.0.0"], ["a.io/x@v1.0.0", "b.io/x@v1.0.0"], []),
    ],
)
def test_modules_come_go_and_move(old: list[str], new: list[str], lines: list[str]) -> None:
    assert said(old, new) == lines


VERSIONS = ["v0.9.0", "v1.0.0-rc.1", "v1.0.0", "v1.0.1-0.20260102030405-4489e403a862", "v1.9.0", "v1.10.0"]
some_versions = st.frozensets(st.sampled_from(VERSIONS))


@given(some_versions, some_versions)
@settings(max_examples=200, deadline=None)
def test_every_version_that_went_or_came_is_told_once(old: frozenset[str], new: frozenset[str]) -> None:
    changes = difference(Lock(modules=modules(*(f"a.io/x@{version}" for version in old))), Lock(modules=modules(*(f"a.io/x@{version}" for version in new))))
    assert sorted(change.old for change in changes if change.old) == sorted(old - new)
    assert sorted(change.new for change in changes if change.new) == sorted(new - old)
    for change in changes:
        if change.kind.startswith("moved"):
            assert (semver_key(change.new) > semver_key(change.old)) == (change.kind == "moved_up")
        assert set(change.beside) == new - {change.new}


def test_go_mod_files_alone_are_counted() -> None:
    old = Lock(modules=modules("a.io/x@v1.0.0", gomods=["b.io/x@v1.0.0", "c.io/x@v1.0.0"]))
    new = Lock(modules=modules("a.io/x@v1.0.0", "b.io/x@v1.0.0", gomods=["d.io/x@v1.0.0", "e.io/x@v1.0.0"]))
    # What was carried as go.mod alone and is carried whole now, is added.
    assert words(difference(old, new)) == ["added b.io/x v1.0.0", "added 2 module versions as go.mod alone", "removed 1 module version as go.mod alone"]


LICENCES = {("golang.org/x/text", "v0.3.7"): "BSD-3-Clause", ("a.io/x", "v1.0.0"): "MIT", ("a.io/x", "v1.1.0"): "BUSL-1.1"}


def licence(module: str, version: str) -> str:
    return LICENCES.get((module, version), "")


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ([], ["golang.org/x/text@v0.3.7"], ["added golang.org/x/text v0.3.7 (BSD-3-Clause)"]),
        (["golang.org/x/text@v0.3.7"], [], ["removed golang.org/x/text v0.3.7 (BSD-3-Clause)"]),
        (["a.io/x@v1.0.0"], ["a.io/x@v1.1.0"], ["moved up a.io/x v1.0.0 → v1.1.0 (BUSL-1.1, was MIT)"]),
        (["a.io/x@v1.0.0"], ["a.io/x@v1.2.0"], ["moved up a.io/x v1.0.0 → v1.2.0 (unknown, was MIT)"]),
        (["a.io/x@v0.9.0"], ["a.io/x@v1.0.0"], ["moved up a.io/x v0.9.0 → v1.0.0 (MIT)"]),
    ],
)
def test_licences_are_told_and_changes_of_them(old: list[str], new: list[str], lines: list[str]) -> None:
    assert said(old, new, licence=licence) == lines


def advisories(module: str, version: str) -> t.Collection[str]:
    if module == "toolchain":
        return {"GO-2026-0001"} if version == "1.26.8" else ()
    return {"v1.0.0": {"GO-2021-0113", "GO-2021-0002"}, "v1.1.0": {"GO-2021-0002"}, "v1.3.0": {"GO-2022-1059"}}.get(version, ())


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (["a.io/x@v1.0.0"], ["a.io/x@v1.1.0"], ["moved up a.io/x v1.0.0 → v1.1.0, fixes GO-2021-0113"]),
        (["a.io/x@v1.2.0"], ["a.io/x@v1.0.0"], ["moved down a.io/x v1.2.0 → v1.0.0, brings GO-2021-0002, GO-2021-0113"]),
        (["a.io/x@v1.1.0"], ["a.io/x@v1.3.0"], ["moved up a.io/x v1.1.0 → v1.3.0, fixes GO-2021-0002, brings GO-2022-1059"]),
        ([], ["a.io/x@v1.3.0"], ["added a.io/x v1.3.0, brings GO-2022-1059"]),
        # What another version still has isn't fixed, and what another had already isn't brought.
        (["a.io/x@v1.0.0", "a.io/x@v1.1.0"], ["a.io/x@v1.1.0"], ["removed a.io/x v1.0.0, leaves v1.1.0, fixes GO-2021-0113"]),
        (["a.io/x@v1.0.0"], ["a.io/x@v1.0.0", "a.io/x@v1.1.0"], ["added a.io/x v1.1.0, beside v1.0.0"]),
    ],
)
def test_advisories_are_fixed_and_brought(old: list[str], new: list[str], lines: list[str]) -> None:
    assert said(old, new, advisories=advisories) == lines


def test_everything_else_is_told() -> None:
    old = whole_lock()
    new = dataclasses.replace(
        old,
        pins={"module rsc.io/quote@latest": "v1.5.3", "tool a.io/cmd@v1": "v1.0.0"},
        modules={**old.modules, ("rsc.io/quote", "v1.5.2"): sums("evil")},
        toolchains=frozenset({("1.26.9", "linux/amd64"), ("1.27.0", "linux/arm64"), ("1.27.0", "linux/amd64")}),
        projects={"plant": {"git": "git.corp.example/plant.git", "ref": "main", "commit": "f" * 40}, "yq": {"module": "a.io/yq", "version": "v4.0.0"}},
        files={"web/logo.svg": sha256("other"), "new.txt": sha256("new")},
    )
    hashes = [f"{new.modules[('rsc.io/quote', 'v1.5.2')][index]} in place of {old.modules[('rsc.io/quote', 'v1.5.2')][index]}" for index in (0, 1)]
    assert words(difference(old, new, advisories=advisories)) == [
        f"changed rsc.io/quote@v1.5.2: the same version has another hash, {hashes[0]}",
        f"changed rsc.io/quote@v1.5.2/go.mod: the same version has another hash, {hashes[1]}",
        "moved up toolchain go1.26.8 → go1.27.0 for linux/amd64, fixes GO-2026-0001",
        "added toolchain go1.26.9 for linux/amd64, beside go1.27.0",
        "moved up toolchain go1.27rc1 → go1.27.0 for linux/arm64",
        f"removed project local {sha256('local')[:12]}",
        f"changed project plant {COMMIT[:12]} → ffffffffffff",
        "added project yq v4.0.0",
        f"added file new.txt {sha256('new')[:12]}",
        f"changed file web/logo.svg {sha256('logo')[:12]} → {sha256('other')[:12]}",
        "pinned module rsc.io/quote@latest at v1.5.3, was v1.5.2",
        f"no longer pinned project plant git.corp.example/plant.git at main (was {COMMIT[:12]})",
        "pinned tool a.io/cmd@v1 at v1.0.0",
        "no longer pinned toolchain (was 1.26.8)",
    ]


def test_nothing_is_asked_about_what_stays() -> None:
    def nobody(module: str, version: str) -> t.NoReturn:
        raise AssertionError(module)

    assert difference(whole_lock(), whole_lock(), nobody, nobody) == []


def test_changes_are_plain_data() -> None:
    (change,) = difference(Lock(modules=modules("a.io/x@v1.0.0")), Lock(modules=modules("a.io/x@v1.1.0")), licence, advisories)
    assert change.to_dict() == {
        "kind": "moved_up",
        "what": "module",
        "name": "a.io/x",
        "old": "v1.0.0",
        "new": "v1.1.0",
        "beside": [],
        "count": 1,
        "licence": "BUSL-1.1",
        "old_licence": "MIT",
        "fixes": ["GO-2021-0113"],
        "brings": [],
    }
