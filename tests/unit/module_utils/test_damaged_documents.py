# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's disk says of itself and isn't as we wrote it: every verb refuses it by name, and nothing ends in a traceback."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import generation as verb
from ansible_collections.airgap.golang.plugins.module_utils import uninstall
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, HostRefused
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._host.builds import read
from ansible_collections.airgap.golang.plugins.module_utils._host.switch import rollback_target
from ansible_collections.airgap.golang.plugins.module_utils.forensics import WHAT, examine
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.looking import facts
from ansible_collections.airgap.golang.tests.support.small_generation import bring, make_generation, probe

NESTED = "[" * 100_000


@pytest.fixture
def wish(work: pathlib.Path) -> Wish:
    own = {"bash": str(work / "bash"), "man": str(work / "man")}
    return Wish(("toolchain", "modcache", "goenv", "project", "tools"), goenv="AR=1\n", tools_dir=str(work / "bin"), extras=own)


@pytest.fixture
def depot(work: pathlib.Path) -> Depot:
    made = Depot(str(work / "depot"))
    for number in (1, 2, 3):
        make_generation(made, number, tools=("fix",), extras={"fix": ["completions/bash", "man/fix.1"]})
    return made


@pytest.fixture
def host(work: pathlib.Path, depot: Depot, wish: Wish) -> Host:
    """000001 was active before 000002."""
    made = Host(str(work / "root"))
    for number in (1, 2):
        bring(depot, made, wish, number)
    return made


def without(*keys: str) -> t.Callable[[dict[str, t.Any]], t.Any]:
    """What a state becomes when the last of these keys is gone."""
    return replaced(*keys, by=None)


def replaced(*keys: str, by: t.Any) -> t.Callable[[dict[str, t.Any]], t.Any]:
    """What a state becomes when it has something else there; nothing, for None."""

    def change(state: dict[str, t.Any]) -> dict[str, t.Any]:
        at = state
        for key in keys[:-1]:
            at = at[key]
        assert keys[-1] in at
        at[keys[-1]] = by
        if by is None:
            del at[keys[-1]]
        return state

    return change


DAMAGES: dict[str, t.Callable[[dict[str, t.Any]], t.Any]] = {
    "null": lambda _state: None,
    "a list": lambda state: [state],
    "a text": lambda _state: "generation manifest parts",
    "no generation": without("generation"),
    "no manifest": without("manifest"),
    "no parts": without("parts"),
    "a generation that is a number": replaced("generation", by=2),
    "a manifest that is a list": replaced("manifest", by=[]),
    "parts that are a list": replaced("parts", by=["toolchain"]),
    **{f"{name} that is a text": replaced("parts", name, by="it") for name in ("toolchain", "modcache", "goenv", "project", "tools")},
    **{f"{name} without anything": replaced("parts", name, by={}) for name in ("toolchain", "goenv", "project", "tools")},
    "no directory of go": without("parts", "toolchain", "dir"),
    "a directory of tools that is relative": replaced("parts", "tools", "dir", by="usr/local/bin"),
    "projects that are a number": replaced("parts", "project", "names", by=3),
    "projects that are numbers": replaced("parts", "project", "names", by=[3]),
    "tools that are a list": replaced("parts", "tools", "programs", by=["fix"]),
    "extras that are a text": replaced("parts", "tools", "extras", by="bash"),
    "extras without directories": without("parts", "tools", "extras", "dirs"),
    "extras without files": without("parts", "tools", "extras", "files"),
    "extras whose files are a text": replaced("parts", "tools", "extras", "files", "fix", by=1),
    "a generation without a number": replaced("generation", by="two"),
}


def damage(host: Host, directory: str, to: t.Callable[[dict[str, t.Any]], t.Any]) -> None:
    path = pathlib.Path(host.root, "generations", directory, "state.json")
    path.chmod(0o644)
    path.write_text(json.dumps(to(json.loads(path.read_text()))))


@pytest.mark.parametrize("name", DAMAGES)
def test_the_state_of_what_is_active(depot: Depot, host: Host, wish: Wish, name: str) -> None:
    damage(host, host.current(), DAMAGES[name])
    before = facts(host.root)
    attempts: list[t.Callable[[], t.Any]] = [
        lambda: examine(host, list(WHAT), True, 1, {}),
        lambda: examine(host, list(WHAT), False, 1, {}),
        lambda: probe(depot, host, wish, 3),
        lambda: probe(depot, host, Wish(("modcache",)), 3),
        lambda: uninstall.plan(host, ["toolchain"]),
        lambda: uninstall.plan(host, list(wish.parts)),
        lambda: verb.pruned(host, 1, "", check_mode=True),
    ]
    for attempt in attempts:
        with pytest.raises(HostRefused) as refusal:
            attempt()
        assert refusal.value.code == "state_damaged" and refusal.value.hint
    assert [entry["number"] for entry in verb.listed(host)] == [1, 2]
    assert facts(host.root) == before


@pytest.mark.parametrize("name", DAMAGES)
def test_an_older_state_keeps_no_deploy_from_coming(depot: Depot, host: Host, wish: Wish, name: str) -> None:
    first = rollback_target(host, 1)
    damage(host, first, DAMAGES[name])
    # A prune was killed, so that there may be something to do though all three stay.
    pathlib.Path(host.root, "generations", ".pruning").touch()
    done = bring(depot, host, wish, 3, 3, after=True)
    assert host.current().startswith("000003-") and done.unpruned.startswith(f"nothing was pruned: {host.root}/generations/{first}/state.json")
    assert [(entry["number"], entry["parts"] == []) for entry in verb.listed(host)] == [(1, True), (2, False), (3, False)]
    assert f"generation {first}" in verb.pruned(host, 2, "", check_mode=False)["removed"]


def test_what_comes_with_a_tool_and_has_no_place_gets_no_link(depot: Depot, host: Host, wish: Wish, work: pathlib.Path) -> None:
    damage(host, host.current(), without("parts", "tools", "extras", "dirs", "bash"))
    assert (str(work / "bash" / "fix"), f"{host.root}/current/share/fix/completions/bash", "") in uninstall.plan(host, ["tools"]).changes
    assert bring(depot, host, wish, 3).changed and (work / "bash" / "fix").exists()


@pytest.mark.parametrize("content", [NESTED, "\x00", "{", '{"generation": "000002"'], ids=["nested", "zero", "cut", "cut later"])
def test_what_is_no_document(depot: Depot, host: Host, wish: Wish, content: str) -> None:
    path = pathlib.Path(host.root, "current", "state.json")
    path.chmod(0o644)
    path.write_text(content)
    for attempt in (lambda: probe(depot, host, wish, 3), lambda: uninstall.plan(host, list(wish.parts)), lambda: examine(host, list(WHAT), False, 1, {})):
        with pytest.raises(HostRefused) as refusal:
            attempt()
        assert refusal.value.code == "state_damaged" and refusal.value.subject == os.path.join(host.root, "generations", host.current(), "state.json")
    generation = pathlib.Path(host.root, "current", "generation.json")
    generation.chmod(0o644)
    generation.write_text(content)
    with pytest.raises(AirgapError):
        read(host.root)


@pytest.mark.parametrize("content", ["null", "7", '"abc"', '{"a": 1}', "[1]", '["relative"]', NESTED, "[", ""])
def test_a_note_of_directories_that_nobody_can_follow(depot: Depot, host: Host, wish: Wish, content: str) -> None:
    """Then ROOT stays, and what isn't known to be ours."""
    pathlib.Path(host.root, "made.json").write_text(content)
    assert host.made() == []
    removal = uninstall.plan(host, list(wish.parts))
    uninstall.carry_out(host, removal, "")
    assert os.listdir(host.root) == []
    bring(depot, host, wish, 3)
    assert not probe(depot, host, wish, 3).changed
