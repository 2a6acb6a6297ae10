# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's defaults, its argument specification and its README say the same."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

ROLES = pathlib.Path(__file__).resolve().parents[2] / "roles"
SHARED = "airgap_golang_"


def complaints(role: pathlib.Path) -> list[str]:
    """One sentence for each thing that isn't so: every variable is specified, named after its role, and in the README.

    Every default is an option of the ``main`` entry point, and every option is required or has a default. What all roles share has
    its default where it's used, since a role's defaults may only have names of its own. Names with two
    underscores in front are the role's own and no part of the contract.
    """
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    options = specs["main"].get("options", {})
    defaults_file = role / "defaults" / "main.yml"
    defaults = (yaml.safe_load(defaults_file.read_text(encoding="utf-8")) if defaults_file.is_file() else None) or {}
    defaults = {name: value for name, value in defaults.items() if not name.startswith("__")}
    readme_file = role / "README.md"
    readme = readme_file.read_text(encoding="utf-8") if readme_file.is_file() else ""
    found = [] if readme else ["README.md is missing"]
    found += [f"{name} has a default, but argument_specs.yml doesn't know it" for name in sorted(set(defaults) - set(options))]
    for name, option in options.items():
        shared = name.startswith(SHARED)
        if shared and not option.get("required") and "default" not in option:
            found.append(f"{name} is shared and not required, so argument_specs.yml must say its default")
        if name not in defaults and not option.get("required") and not shared:
            found.append(f"{name} is in argument_specs.yml, not required, and has no default in defaults/main.yml")
        if name in defaults and option.get("required"):
            found.append(f"{name} is required, so its default can't ever be used")
        if "default" in option and not shared and option["default"] != defaults.get(name):
            found.append(f"{name} is {option['default']!r} in argument_specs.yml and {defaults.get(name)!r} in defaults/main.yml")
        if not option.get("description"):
            found.append(f"{name} has no description")
        if readme and not re.search(rf"\b{re.escape(name)}\b", readme):
            found.append(f"{name} is not in README.md")
    for name in sorted({*defaults, *options}):
        if not name.startswith((f"{role.name}_", SHARED)):
            found.append(f"{name} begins neither with {role.name}_ nor with {SHARED}")
    return found


def test_every_role_agrees_with_itself() -> None:
    found = {role.name: complaints(role) for role in sorted(ROLES.glob("*")) if role.is_dir()}
    assert {name: sentences for name, sentences in found.items() if sentences} == {}


def write_role(directory: pathlib.Path, defaults: str, options: str, readme: str) -> pathlib.Path:
    for name in ("defaults", "meta"):
        (directory / "toolchain" / name).mkdir(parents=True)
    (directory / "toolchain" / "defaults" / "main.yml").write_text(defaults)
    (directory / "toolchain" / "meta" / "argument_specs.yml").write_text(f"argument_specs: {{main: {{options: {{{options}}}}}}}\n")
    if readme:
        (directory / "toolchain" / "README.md").write_text(readme)
    return directory / "toolchain"


def test_a_sound_role_passes(tmp_path: pathlib.Path) -> None:
    role = write_role(
        tmp_path,
        "toolchain_version: ''\n",
        "toolchain_version: {description: v, default: ''}, toolchain_src: {description: s, required: true}, "
        "airgap_golang_root: {description: r, default: /opt}",
        "`toolchain_version`, `toolchain_src`, `airgap_golang_root`",
    )
    assert complaints(role) == []


@pytest.mark.parametrize(
    ("defaults", "options", "readme", "complaint"),
    [
        ("{}", "", "", "README.md is missing"),
        ("toolchain_a: 1", "", "toolchain_a", "doesn't know it"),
        ("{}", "toolchain_a: {description: a}", "toolchain_a", "has no default in"),
        ("toolchain_a: 1", "toolchain_a: {description: a, required: true}", "toolchain_a", "can't ever be used"),
        ("toolchain_a: 1", "toolchain_a: {description: a, default: 2}", "toolchain_a", "is 2 in argument_specs.yml and 1 in"),
        ("toolchain_a: 1", "toolchain_a: {}", "toolchain_a", "has no description"),
        ("toolchain_a: 1", "toolchain_a: {description: a}", "toolchain_ab", "is not in README.md"),
        ("version: 1", "version: {description: a}", "version", "begins neither with"),
        ("{}", "airgap_golang_root: {description: a}", "airgap_golang_root", "must say its default"),
    ],
)
def test_a_difference_is_found(tmp_path: pathlib.Path, defaults: str, options: str, readme: str, complaint: str) -> None:
    (sentence,) = complaints(write_role(tmp_path, defaults, options, readme))
    assert complaint in sentence
