# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules are asked about for a package's path. More of the go command's answers: tests/integration/test_loose.py."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed
from ansible_collections.airgap.golang.plugins.module_utils._go import queries, runs
from ansible_collections.airgap.golang.plugins.module_utils._go.command import GoCommand, find_go
from ansible_collections.airgap.golang.plugins.module_utils._go.queries import Question
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy, published


@pytest.fixture
def answer(tmp_path: pathlib.Path) -> t.Iterator[t.Callable[..., dict[Question, tuple[str, str]]]]:
    """Has questions answered from a proxy that has the module a.example, and no other."""
    go = GoCommand(find_go())
    go.settings["GOSUMDB"] = "off"
    with ModuleProxy(tmp_path / "cache") as proxy:
        proxy.elsewhere = 404
        proxy.answers.update(published("a.example", "v1.2.0", {"go.mod": "module a.example\n", "cmd/x/main.go": "package main\n\nfunc main() {}\n"}))
        run = runs.through_proxy(go, str(tmp_path / "nothing"), proxy.url, str(tmp_path / "go"), str(tmp_path / "go-build"))
        yield lambda *questions: queries.answer(questions, go, run, str(tmp_path / "queries"))


def test_a_host_alone_can_be_the_module(answer: t.Callable[..., dict[Question, tuple[str, str]]]) -> None:
    questions = [
        Question("module", "a.example", "latest"),
        Question("either", "a.example", "latest"),
        Question("either", "a.example/cmd", "v1"),
        Question("package", "a.example/cmd/x", "latest"),
    ]
    assert answer(*questions) == dict.fromkeys(questions, ("a.example", "v1.2.0"))


def test_a_package_of_no_module_is_named_by_its_longest_path(answer: t.Callable[..., dict[Question, tuple[str, str]]]) -> None:
    with pytest.raises(FetchFailed, match=r"b\.example/cmd/x@latest: .*b\.example/cmd/x.*404 Not Found"):
        answer(Question("package", "b.example/cmd/x", "latest"))
    with pytest.raises(FetchFailed, match=r"module a\.example@v1\.2\.0 has no package a\.example/cmd/y"):
        answer(Question("package", "a.example/cmd/y", "latest"))
