# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""meta/prerequisites.yml is in its schema's form, and all else that says what is needed agrees with it."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import jsonschema
import pytest
import yaml

from ansible_collections.airgap.golang.plugins.module_utils.preflight import KINDS, PLACES

ROOT = pathlib.Path(__file__).resolve().parents[2]
Entry = t.Dict[str, t.Any]


def document() -> Entry:
    return t.cast(Entry, yaml.safe_load((ROOT / "meta" / "prerequisites.yml").read_text()))


def entries(place: str) -> list[Entry]:
    return [entry for entry in document()["prerequisites"] if place in entry["places"]]


def lines(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]


def minimum(place: str, kind: str) -> str:
    (found,) = [str(entry["check"].get("minimum", entry["check"][kind])) for entry in entries(place) if kind in entry["check"]]
    return found


def test_it_is_in_its_schemas_form() -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "prerequisites.v1.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document())
    for entry in document()["prerequisites"]:
        assert sum(kind in entry["check"] for kind in KINDS) == 1, entry["name"]
        verbs = [verb for verb in entry["verbs"] if not (ROOT / "plugins" / "modules" / f"{verb}.py").is_file()]
        assert verbs == [], f"{entry['name']} is said to be needed by what is no module"
        assert entry.get("hint") or entry.get("packages") or entry.get("pip") or {"writable", "executable", "room"} & set(entry["check"]), entry["name"]
    for place in PLACES:
        names = [entry["name"] for entry in entries(place)]
        assert len(names) == len(set(names)), place


@pytest.mark.parametrize("wrong", [{"level": "note"}, {"places": []}, {"check": {"command": "a", "what": "b"}}, {"check": {"room": "depot"}}, {"more": 1}])
def test_the_schema_refuses_other_forms(wrong: Entry) -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "prerequisites.v1.json").read_text())
    changed = document()
    changed["prerequisites"][0].update(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(changed)


def test_the_connected_sides_requirements_agree() -> None:
    assert sorted(entry["pip"] for entry in entries("connected") if "pip" in entry) == sorted(lines("meta/ee-requirements.txt"))
    assert lines("requirements.txt") == ["-r meta/ee-requirements.txt"]
    for entry in entries("connected"):
        if "pip" in entry:
            assert entry["pip"].endswith(">=" + entry["check"].get("minimum", entry["check"].get("go", ""))), entry["name"]
    environment = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text())
    assert environment["dependencies"] == {"python": "meta/ee-requirements.txt", "system": "meta/ee-bindep.txt"}


def test_the_connected_sides_packages_agree() -> None:
    bindep: dict[str, set[str]] = {"debian": set(), "redhat": set()}
    for line in lines("meta/ee-bindep.txt"):
        name, _space, selector = line.partition(" ")
        for platform, family in (("dpkg", "debian"), ("rpm", "redhat")):
            if f"platform:{platform}" in selector:
                bindep[family].add(name)
    declared = {family: {name for entry in entries("connected") for name in entry.get("packages", {}).get(family, [])} for family in bindep}
    assert declared == bindep


def test_versions_agree() -> None:
    (core,) = [entry["check"]["minimum"] for entry in entries("connected") if entry["name"] == "ansible-core"]
    assert yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["requires_ansible"] == f">={core}"
    for role in (ROOT / "roles").glob("*/meta/main.yml"):
        assert core.startswith(yaml.safe_load(role.read_text())["galaxy_info"]["min_ansible_version"]), role
    readme = (ROOT / "README.md").read_text()
    assert re.findall(r"Hosts need Python ([0-9.]+) ", readme) == [minimum("host", "python")]
    for path in (ROOT / "tests" / "run", ROOT / "docs" / "design.md", *(ROOT / "roles").glob("*/README.md")):
        assert set(re.findall(r"Python (3\.[0-9]+)(?! or newer)\b", path.read_text())) <= {minimum("host", "python"), "3.11"}, path
    assert f'HOST_PYTHON = "{minimum("host", "python")}"' in (ROOT / "tests" / "run").read_text()


def test_ci_installs_what_is_declared() -> None:
    (listed,) = re.findall(r"needed=\((.*?)\)", (ROOT / ".ci" / "run").read_text(), re.DOTALL)
    pairs = dict(pair.split(":") for pair in listed.split())
    commands = {entry["check"].get("command", "ssh-keygen"): entry["packages"]["debian"] for entry in entries("connected") if "packages" in entry}
    assert {command: [pairs.get(command)] for command in commands} == commands
