# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a spec is loose, which pins are used, and what frozen and upgrade mean. The answers themselves: tests/integration/test_loose.py."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed, ModuleRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._content import loose, specreader
from ansible_collections.airgap.golang.plugins.module_utils._content.lock import Lock
from ansible_collections.airgap.golang.plugins.module_utils._go.queries import Question
from ansible_collections.airgap.golang.tests.support.locking import COMMIT

GIT = "https://token:hunter2@git.corp.example/plant.git"
PINS = {
    "module rsc.io/quote@latest": "v1.5.1",
    "tool golang.org/x/tools/cmd/stringer@upgrade": "v0.50.0",
    "project yq github.com/mikefarah/yq/v4@v4.54": "v4.54.2",
    "project plant https://git.corp.example/plant.git at main": COMMIT,
    "file web https://git.corp.example/plant.git at main": COMMIT,
}


def spec(**parts: t.Any) -> t.Any:
    whole = {
        "modules": ["rsc.io/quote@latest", "rsc.io/sampler@v1.3.0"],
        "tools": ["golang.org/x/tools/cmd/stringer@upgrade", "golang.org/x/vuln/cmd/govulncheck@v1.9.0"],
        "projects": [
            {"name": "yq", "source": {"module": "github.com/mikefarah/yq/v4", "version": "v4.54"}},
            {"name": "plant", "source": {"git": GIT, "ref": "main"}},
            {"name": "here", "source": {"path": "/src/here"}},
        ],
        "files": [{"git": GIT, "ref": "main", "dest": "web"}, {"source": "logo.svg", "dest": "logo.svg"}],
    }
    return specreader.parse({"name": "test", **(parts or whole)})


class Network:
    """Answers everything with one version and one commit. ``asked``: what it was asked."""

    def __init__(self) -> None:
        self.asked: list[t.Any] = []

    def ask(self, questions: t.Sequence[Question]) -> dict[Question, str]:
        self.asked += questions
        return dict.fromkeys(questions, "v9.9.9")

    def commit_of(self, git: str, ref: str) -> str:
        self.asked.append((git, ref))
        return "f" * 40


@pytest.fixture
def network() -> Network:
    return Network()


def test_without_a_lock_everything_loose_is_asked_once(network: Network) -> None:
    resolved = loose.resolve(spec(), None, network.ask, commit_of=network.commit_of)
    assert network.asked == [
        Question("either", "rsc.io/quote", "latest"),
        Question("module", "github.com/mikefarah/yq/v4", "v4.54"),
        Question("package", "golang.org/x/tools/cmd/stringer", "upgrade"),
        (GIT, "main"),
    ]
    assert set(resolved.pins) == set(PINS)
    assert [module.version for module in resolved.spec.modules] == ["v9.9.9", "v1.3.0"]
    assert [tool.version for tool in resolved.spec.tools] == ["v9.9.9", "v1.9.0"]
    assert [project.version for project in resolved.spec.projects] == ["v9.9.9", "", ""]
    assert (resolved.commits, resolved.file_commits) == ({"plant": "f" * 40}, {"web": "f" * 40})
    assert "hunter2" not in str(resolved.pins)


@pytest.mark.parametrize("frozen", [False, True])
def test_pins_are_used_and_nothing_is_asked(network: Network, frozen: bool) -> None:
    resolved = loose.resolve(spec(), Lock(PINS), network.ask, frozen, commit_of=network.commit_of)
    assert network.asked == [] and resolved.pins == PINS
    assert [module.version for module in resolved.spec.modules] == ["v1.5.1", "v1.3.0"]
    assert resolved.commits == {"plant": COMMIT}


def test_only_what_is_new_is_asked_and_stale_pins_go(network: Network) -> None:
    pins = {name: pin for name, pin in PINS.items() if not name.startswith("tool ")}
    resolved = loose.resolve(spec(), Lock({**pins, "module rsc.io/gone@latest": "v1.0.0"}), network.ask, commit_of=network.commit_of)
    assert network.asked == [Question("package", "golang.org/x/tools/cmd/stringer", "upgrade")]
    assert resolved.pins == {**pins, "tool golang.org/x/tools/cmd/stringer@upgrade": "v9.9.9"}


def test_upgrade_asks_again_from_the_pins(network: Network) -> None:
    loose.resolve(spec(), Lock(PINS), network.ask, upgrade=True, commit_of=network.commit_of)
    assert Question("package", "golang.org/x/tools/cmd/stringer", "upgrade", "v0.50.0") in network.asked
    assert Question("either", "rsc.io/quote", "latest", "v1.5.1") in network.asked
    assert (GIT, "main") in network.asked


@pytest.mark.parametrize("lock", [None, Lock({"project yq github.com/mikefarah/yq/v4@v4.54": "v4.54.2"})])
def test_frozen_names_all_that_is_not_pinned_before_anything_is_asked(network: Network, lock: t.Optional[Lock]) -> None:
    with pytest.raises(ModuleRefused) as refused:
        loose.resolve(spec(), lock, network.ask, frozen=True, commit_of=network.commit_of)
    assert refused.value.code == "lock_frozen" and network.asked == []
    expected = [name for name in PINS if lock is None or not name.startswith("project yq")]
    assert sorted(entry["what"] for entry in refused.value.details) == sorted(expected)
    assert all(name in refused.value.message for name in expected)
    assert ("there is no lock" in refused.value.message) == (lock is None)


def test_frozen_and_upgrade_contradict(network: Network) -> None:
    with pytest.raises(SpecInvalid, match="contradict"):
        loose.resolve(spec(), Lock(PINS), network.ask, frozen=True, upgrade=True)


def test_an_exact_spec_needs_neither_lock_nor_network(network: Network) -> None:
    exact = spec(modules=["rsc.io/sampler@v1.3.0"], projects=[{"name": "plant", "source": {"git": GIT, "ref": COMMIT}}])
    resolved = loose.resolve(exact, None, network.ask, frozen=True, commit_of=network.commit_of)
    assert (resolved.spec, resolved.pins, resolved.commits, network.asked) == (exact, {}, {"plant": COMMIT}, [])


def test_failures_of_both_kinds_come_together(network: Network) -> None:
    def ask(questions: t.Sequence[Question]) -> dict[Question, str]:
        raise FetchFailed("no versions", subject="rsc.io/quote@latest", hint="mend the proxy", details=[{"what": "rsc.io/quote@latest"}])

    def commit_of(git: str, ref: str) -> str:
        raise FetchFailed("no such ref", subject="plant", found="gone", hint="mend git")

    with pytest.raises(FetchFailed) as failed:
        loose.resolve(spec(), None, ask, commit_of=commit_of)
    assert failed.value.message == "no versions; no such ref"
    assert failed.value.hint == "mend the proxy; mend git"
    assert [entry["what"] for entry in failed.value.details] == ["rsc.io/quote@latest", "plant"]


@pytest.mark.parametrize(
    ("toolchains", "asked", "lock", "upgrade", "chosen", "pinned"),
    [
        ([], {"module a.io/x": ""}, None, False, "1.26.8", True),
        ([], {"module a.io/x": ""}, Lock({"toolchain": "1.25.0"}), False, "1.25.0", True),
        ([], {"module a.io/x": ""}, Lock({"toolchain": "1.25.0"}), True, "1.26.8", True),
        ([], {"module a.io/x": "1.24.0"}, Lock({"toolchain": "1.25.0"}), False, "1.26.8", False),
        # Where there are projects, what modules ask for doesn't decide.
        ([], {"project a": "1.24.0", "module a.io/x": ""}, None, False, "1.26.8", False),
        ([], {"project a": "", "module a.io/x": "1.24.0"}, None, False, "1.26.8", True),
        ([{"version": "1.26.8"}], {"module a.io/x": ""}, Lock({"toolchain": "1.25.0"}), False, "1.26.8", False),
        ([], {}, None, False, "1.26.8", False),
    ],
)
def test_the_release_of_those_who_ask_for_none_is_pinned(
    toolchains: t.Any, asked: dict[str, str], lock: t.Optional[Lock], upgrade: bool, chosen: str, pinned: bool
) -> None:
    loosely = spec(toolchains=toolchains, modules=["rsc.io/sampler@v1.3.0"])
    assert loose.own_toolchain(loosely, asked, lock, "1.26.8", upgrade) == (chosen, {"toolchain": chosen} if pinned else {})
