# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook preflight: every host's findings at once, in the words that a deploy would refuse with, and a Python that is too old for all else."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.deployed_depot import Ran, playbook
from ansible_collections.airgap.golang.tests.support.small_generation import make_generation


@pytest.fixture
def depot(tmp_path: pathlib.Path) -> Depot:
    depot = Depot(str(tmp_path / "depot"))
    make_generation(depot, 1)
    return depot


def variables(tmp_path: pathlib.Path, depot: Depot, **more: t.Any) -> dict[str, t.Any]:
    return {
        "airgap_golang_depot": depot.path,
        "airgap_golang_root": str(tmp_path / "root"),
        "deploy_become": False,
        "deploy_link_dir": str(tmp_path / "bin"),
        "deploy_tools_dir": "",
        **more,
    }


def findings(ran: Ran) -> list[dict[str, t.Any]]:
    (result,) = [result for name, result in ran.results.items() if name.endswith("Look at what this machine must have")]
    return t.cast("list[dict[str, t.Any]]", result["findings"])


def test_a_host_that_has_all_passes_and_stays_as_it_is(depot: Depot, tmp_path: pathlib.Path) -> None:
    for options in ((), ("--check",)):
        ran = playbook(tmp_path / "work", "preflight", variables(tmp_path, depot), "--limit", "here", *options)
        assert ran.status == 0 and "changed=0 " in ran.output, ran.output
        assert [finding for finding in findings(ran) if finding["level"] == "error"] == []
    assert not (tmp_path / "root").exists() and not (tmp_path / "bin").exists()


def test_what_deploy_would_refuse_is_found_with_its_figures(depot: Depot, tmp_path: pathlib.Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").write_text("another's")
    (tmp_path / "root").mkdir()
    full = f'mount -t tmpfs -o size=4k,mode=0755 tmpfs {tmp_path}/root && exec "$@"'
    prefix = ("unshare", "-rm", "sh", "-c", full, "sh")
    given = variables(tmp_path, depot, deploy_link_dir="")
    refused = playbook(tmp_path / "work", "deploy", given, prefix=prefix)
    asked = playbook(tmp_path / "work", "preflight", given, "--limit", "here", prefix=prefix)
    assert (refused.status, asked.status) == (2, 2)
    (reason,) = [result["failure"] for result in refused.results.values() if result.get("failure")]
    (finding,) = [finding for finding in findings(asked) if finding["level"] == "error"]
    assert (finding["name"], finding["needed"], finding["hint"]) == (reason["code"], reason["expected"], reason["hint"]) and reason["code"] == "no_space"
    assert f"generation 000001 needs {reason['expected']} more" in finding["found"]

    # A link that isn't ours, an account that isn't there, and a depot without generations: each is said.
    in_the_way = playbook(tmp_path / "work", "preflight", variables(tmp_path, depot, deploy_build_user="no-such-user"), "--limit", "here")
    assert {"in_the_way", "build user"} <= {finding["name"] for finding in findings(in_the_way)}
    empty = playbook(tmp_path / "work", "preflight", variables(tmp_path, Depot(str(tmp_path / "nothing"))), "--limit", "here")
    assert [finding["name"] for finding in findings(empty) if finding["level"] == "error"] == ["depot"]


def test_a_python_that_ansible_cannot_use_is_a_finding_too(depot: Depot, tmp_path: pathlib.Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho python /usr/bin/python3 3.6.8\n")
    old.chmod(0o755)
    ran = playbook(tmp_path / "work", "preflight", variables(tmp_path, depot), "--limit", "here", host_vars={"ansible_python_interpreter": str(old)})
    (finding,) = findings(ran)
    assert ran.status == 2 and (finding["name"], finding["needed"], finding["found"]) == ("python", "Python 3.8 or newer", "/usr/bin/python3 3.6.8")
    assert "apt-get install python3 or dnf install python3" in finding["hint"] and "ansible_python_interpreter" in finding["hint"]
    none = playbook(tmp_path / "work", "preflight", variables(tmp_path, depot), "--limit", "here", host_vars={"ansible_python_interpreter": "/no/python"})
    assert [finding["found"] for finding in findings(none)] == ["none (/no/python)"]
