# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Advisories by versions, from databases made up in the published layout. A real one: tests/integration/test_lock_diff.py."""

from __future__ import annotations

import json
import pathlib
import typing as t
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._policy import advisories
from ansible_collections.airgap.golang.plugins.module_utils._policy.advisories import Advisories

TEXT = "golang.org/x/text"


def affected(module: str, *events: dict[str, str], kind: str = "SEMVER") -> dict[str, t.Any]:
    return {"package": {"name": module, "ecosystem": "Go"}, "ranges": [{"type": kind, "events": list(events)}]}


def make(directory: pathlib.Path, entries: dict[str, dict[str, t.Any]]) -> pathlib.Path:
    """A database of these: id to the rest of the entry."""
    (directory / "index").mkdir(parents=True)
    (directory / "ID").mkdir()
    index: dict[str, list[dict[str, str]]] = {}
    for name, entry in entries.items():
        (directory / "ID" / f"{name}.json").write_text(json.dumps({"id": name, **entry}))
        for each in entry["affected"]:
            vulns = index.setdefault(each["package"]["name"], [])
            if {"id": name} not in vulns:
                vulns.append({"id": name})
    (directory / "index" / "modules.json").write_text(json.dumps([{"path": path, "vulns": vulns} for path, vulns in index.items()]))
    return directory


ENTRIES = {
    "GO-2021-0113": {"affected": [affected(TEXT, {"introduced": "0"}, {"fixed": "0.3.7"})]},
    "GO-2022-1059": {"affected": [affected(TEXT, {"introduced": "0"}, {"fixed": "0.3.8"})], "withdrawn": "2023-01-01T00:00:00Z"},
    "GO-2023-0001": {"affected": [affected(TEXT, {"introduced": "0.3.0"}, {"fixed": "0.3.2"}, {"introduced": "0.3.5-rc.1"}, {"fixed": "0.3.6"})]},
    "GO-2023-0002": {"affected": [affected(TEXT, {"fixed": "0.3.3"}, {"introduced": "0.3.2"}), affected(TEXT, {"introduced": "0.9.0"})]},
    "GO-2023-0003": {"affected": [affected("a.io/x", {"introduced": "1.0.0"}, {"last_affected": "1.2.0"}), affected("a.io/y", {"introduced": "0"})]},
    "GO-2023-0004": {"affected": [{"package": {"name": "a.io/z", "ecosystem": "Go"}}]},
    "GO-2023-0005": {"affected": [affected("a.io/incompatible", {"introduced": "0"}, {"fixed": "2.1.0+incompatible"})]},
    "GO-2023-0006": {
        "affected": [
            affected("stdlib", {"introduced": "0"}, {"fixed": "1.20.5"}, {"introduced": "1.21.0-0"}, {"fixed": "1.21.3"}),
        ]
    },
    "GO-2023-0007": {"affected": [affected("toolchain", {"introduced": "1.21.0-0"}, {"fixed": "1.21.0-rc.3"})]},
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return make(tmp_path_factory.mktemp("vulndb") / "db", ENTRIES)


@pytest.mark.parametrize(
    ("module", "version", "ids"),
    [
        (TEXT, "v0.3.0-rc.1", ["0113"]),
        (TEXT, "v0.3.0", ["0113", "0001"]),
        (TEXT, "v0.3.2", ["0113", "0002"]),
        (TEXT, "v0.3.3", ["0113"]),
        (TEXT, "v0.3.5-rc.1", ["0113", "0001"]),
        (TEXT, "v0.3.6", ["0113"]),
        (TEXT, "v0.3.7-0.20210101000000-abcdefabcdef", ["0113"]),
        (TEXT, "v0.3.7", []),
        (TEXT, "v0.9.0", ["0002"]),
        ("a.io/x", "v0.9.9", []),
        ("a.io/x", "v1.2.0", ["0003"]),
        ("a.io/x", "v1.2.1", []),
        ("a.io/y", "v7.0.0", ["0003"]),
        ("a.io/z", "v0.0.1", ["0004"]),
        ("a.io/incompatible", "v2.0.9+incompatible", ["0005"]),
        ("a.io/incompatible", "v2.1.0+incompatible", []),
        ("golang.org/x", "v0.3.0", []),
        ("toolchain", "1.20", ["0006"]),
        ("toolchain", "1.20.5", []),
        ("toolchain", "1.21rc2", ["0006", "0007"]),
        ("toolchain", "1.21rc3", ["0006"]),
        ("toolchain", "1.21.3", []),
    ],
)
def test_ranges_decide(directory: pathlib.Path, module: str, version: str, ids: list[str]) -> None:
    with Advisories(str(directory)) as known:
        assert sorted(name[-4:] for name in known(module, version)) == sorted(ids)


def test_a_zip_is_the_same_as_its_directory(directory: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(tmp_path / "vulndb.zip", "w") as archive:
        for file in directory.rglob("*.json"):
            archive.write(file, file.relative_to(directory))
    with Advisories(str(directory)) as one, Advisories(str(tmp_path / "vulndb.zip")) as other:
        for version in ("v0.3.0", "v0.3.2", "v0.3.7"):
            assert one(TEXT, version) == other(TEXT, version)


def test_only_entries_about_what_is_asked_are_read(directory: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = make(tmp_path / "db", ENTRIES)
    (copy / "ID" / "GO-2023-0003.json").write_text("{")
    with Advisories(str(copy)) as known:
        assert known(TEXT, "v0.3.0")
        with pytest.raises(SpecInvalid, match=r"ID/GO-2023-0003\.json"):
            known("a.io/x", "v1.0.0")


numbers = st.integers(0, 5)
some_versions = st.tuples(numbers, numbers, numbers)


@given(st.lists(some_versions, min_size=1, max_size=6, unique=True), some_versions, st.randoms())
@settings(max_examples=200, deadline=None)
def test_a_version_is_affected_between_introduced_and_fixed(bounds: list[tuple[int, int, int]], version: tuple[int, int, int], shuffler: t.Any) -> None:
    ordered = sorted(bounds)
    events = [{"introduced" if index % 2 == 0 else "fixed": ".".join(map(str, bound))} for index, bound in enumerate(ordered)]
    shuffler.shuffle(events)
    ranges = advisories._events_of(affected(TEXT, *events))
    assert ranges is not None
    inside = sum(bound <= version for bound in ordered) % 2 == 1
    assert advisories._within(advisories._event_key(".".join(map(str, version))), ranges[0]) == inside


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("index/modules.json", "<html>", "index/modules.json"),
        ("index/modules.json", '{"path": 1}', "index/modules.json"),
        ("index/modules.json", '[{"path": "golang.org/x/text", "vulns": [{"id": "../../etc/passwd"}]}]', "isn't an advisory's identifier"),
        ("ID/GO-2021-0113.json", "[]", "ID/GO-2021-0113.json"),
        ("ID/GO-2021-0113.json", json.dumps({"affected": [affected(TEXT, {"introduced": "one"})]}), "'vone' isn't a canonical version"),
        ("ID/GO-2021-0113.json", " " * ((4 << 20) + 1), "bytes"),
    ],
)
def test_what_is_no_database_is_refused_by_name(tmp_path: pathlib.Path, file: str, content: str, words: str) -> None:
    directory = make(tmp_path / "db", ENTRIES)
    (directory / file).write_text(content)
    with pytest.raises(SpecInvalid) as refused, Advisories(str(directory)) as known:
        known(TEXT, "v0.3.0")
    assert refused.value.code == "vulndb_damaged" and words in refused.value.message


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_neither_directory_nor_zip(tmp_path: pathlib.Path, content: bytes | None) -> None:
    if content:
        (tmp_path / "vulndb.zip").write_bytes(content)
    with pytest.raises(SpecInvalid, match="neither a directory nor a zip"):
        Advisories(str(tmp_path / "vulndb.zip"))
    with pytest.raises(SpecInvalid, match=r"index/modules\.json"):
        Advisories(str(tmp_path))
