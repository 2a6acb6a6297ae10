# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, tools and accounts, and what a deploy says: with toolchains of some bytes, where only Ansible, the kernel and we have a say."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.deployed_depot import playbook
from ansible_collections.airgap.golang.tests.support.deploying import DEPLOY, IS_ROOT, changed, executions, failure, variables
from ansible_collections.airgap.golang.tests.support.small_generation import OTHER, PLATFORM, make_generation


def parts_here(root: pathlib.Path) -> list[str]:
    return sorted(json.loads((root / "current" / "state.json").read_text())["parts"])


def role(name: str, **given: t.Any) -> list[dict[str, t.Any]]:
    return [{"name": "The role", "ansible.builtin.include_role": {"name": f"airgap.golang.{name}"}, "vars": given}]


BRING = {
    "toolchain": "Bring the toolchain to the host",
    "modcache": "Bring the modules to the host",
    "goenv": "Bring the settings to the host",
    "project": "Bring the projects to the host",
    "tools": "Bring the tools to the host",
    "depot": "Bring the whole generation to the host",
}


@pytest.mark.parametrize("name", BRING)
def test_each_role_alone_in_a_foreign_playbook(small: pathlib.Path, tooled: pathlib.Path, work: pathlib.Path, name: str) -> None:
    root = work / "root"
    depot = tooled if name == "tools" else small
    given = {"airgap_golang_depot": str(depot), "airgap_golang_root": str(root)}
    mine = {"toolchain": {"toolchain_link_dir": str(work / "bin")}, "tools": {"tools_dir": str(work / "bin")}}.get(name, {})
    become = {"ansible_become": True, "ansible_become_method": "su"} if IS_ROOT and name in ("toolchain", "depot") else {}
    asked = {**mine, "project_build_check": True} if name == "project" else mine
    assert changed(playbook(work / "ansible", role(name, **asked), given, "--check", host_vars=become)) == 1
    assert not root.exists(), "check mode builds nothing of what isn't there"
    ran = playbook(work / "ansible", role(name, **mine) * 2, given, host_vars=become)
    assert changed(ran) == 1, "the second time there's nothing to do"
    assert parts_here(root) == [name]
    answer = ran.results[BRING[name]]
    kinds = {"toolchain": {"toolchain"}, "modcache": {"toolchain", "module"}, "goenv": set(), "project": {"source", "vendor"}, "tools": {"tool", "extra"}}
    layers = Depot(str(depot)).latest().manifest.layers  # type: ignore[union-attr]
    mine_too = [layer for layer in layers if layer.platform != OTHER]
    wanted = {layer.digest: layer.size for layer in mine_too if name == "depot" or layer.kind in {"index", "sumdb", "evidence", *kinds[name]}}
    assert answer["transferred"] == sum(wanted.values())
    if name == "toolchain":
        assert subprocess.run([str(work / "bin" / "go")], stdout=subprocess.PIPE, text=True, check=True, env={}).stdout.startswith("go1.27.3 ")
    if name == "tools":
        assert said_by(work / "bin") == {tool: f"{tool} 2 {PLATFORM}\n" for tool in ("vet", "stray")}
    if name == "goenv":
        assert "GOSUMDB=sum.golang.org" in (root / "current" / "go.env").read_text()


def said_by(links: pathlib.Path) -> dict[str, str]:
    return {path.name: subprocess.run([path], stdout=subprocess.PIPE, text=True, check=True, env={}).stdout for path in links.iterdir()}


def test_tools_by_the_playbooks(tooled: pathlib.Path, work: pathlib.Path) -> None:
    """Deploy, deploy again, upgrade, and back: links come and go, and say so beforehand."""
    root, links, share = work / "root", work / "root-tools", work / "share"
    places = {"deploy_tools_completions_dirs": {"bash": str(share)}, "deploy_tools_man_dir": str(share)}
    first = variables(tooled, root, deploy_generation=1, deploy_tools=["fix"], deploy_tools_completions=True, deploy_tools_man=True, **places)
    check = playbook(work / "ansible", "deploy", first, "--check", "--diff")
    assert changed(check) == 1 and f"+{links}/fix: {root}/current/tools/fix" in check.output and not links.exists()
    assert changed(playbook(work / "ansible", "deploy", first)) == 2
    assert list(said_by(links)) == ["fix"]
    assert {path.name: path.read_text() for path in share.rglob("fix*")} == {"fix": "completions/bash of fix 1\n", "fix.1": "man/fix.1 of fix 1\n"}
    again = playbook(work / "ansible", "deploy", first, "-vvv")
    assert changed(again) == 0 and executions(again) == 1
    assert changed(playbook(work / "ansible", "deploy", variables(tooled, root))) == 2
    assert said_by(links) == {tool: f"{tool} 2 {PLATFORM}\n" for tool in ("vet", "stray")} and not list(share.rglob("*fix*")), "nobody asked for them now"
    check = playbook(work / "ansible", "rollback", variables(tooled, root), "--check", "--diff")
    assert changed(check) == 1 and f"+{links}/fix: " in check.output and f"-{links}/stray: " in check.output
    assert sorted(said_by(links)) == ["stray", "vet"]
    assert changed(playbook(work / "ansible", "rollback", variables(tooled, root))) == 1
    assert said_by(links) == {"fix": f"fix 1 {PLATFORM}\n"}
    (links / "stray").write_text("mine")
    why = failure(playbook(work / "ansible", "deploy", variables(tooled, root)))
    assert (why["code"], why["subject"]) == ("in_the_way", str(links / "stray"))
    why = failure(playbook(work / "ansible", "deploy", variables(tooled, root, deploy_tools=["fix"])))
    assert (why["code"], why["subject"]) == ("spec_invalid", "fix")


def test_roles_add_up_and_move_together(small: pathlib.Path, work: pathlib.Path) -> None:
    root = work / "root"
    given = {"airgap_golang_depot": str(small), "airgap_golang_root": str(root), "toolchain_link_dir": ""}
    at_first = [
        *role("toolchain", toolchain_generation=1),
        *role("project", project_generation=1, project_names=["hello"]),
        *role("goenv", goenv_generation="1", goenv_settings={"GOPROXY": "off"}),
    ]
    assert changed(playbook(work / "ansible", at_first * 2, given)) == 3, "roles at one generation undo each other's work"
    assert parts_here(root) == ["goenv", "project", "toolchain"] and os.readlink(root / "current").startswith("generations/000001-")
    assert changed(playbook(work / "ansible", role("modcache"), given)) == 1
    assert parts_here(root) == ["goenv", "modcache", "project", "toolchain"] and os.readlink(root / "current").startswith("generations/000002-")
    assert "GOPROXY=off" in (root / "current" / "go.env").read_text()
    assert "hello 2" in (root / "current" / "projects" / "hello" / "main.go").read_text()
    ran = playbook(work / "ansible", role("modcache", modcache_generation="newest"), given)
    assert ran.status != 0 and "modcache_generation" in ran.output and parts_here(root) == ["goenv", "modcache", "project", "toolchain"]


def test_something_in_the_way(small: pathlib.Path, work: pathlib.Path) -> None:
    root = work / "root"
    links = pathlib.Path(str(root) + "-bin")
    links.mkdir()
    (links / "go").write_text("mine")
    for options in (("--check",), ()):
        ran = playbook(work / "ansible", "deploy", variables(small, root), *options)
        assert failure(ran)["code"] == "in_the_way" and not root.exists()
    assert changed(playbook(work / "ansible", "deploy", variables(small, root, deploy_link_dir=""))) == 2
    assert (links / "go").read_text() == "mine"


def as_nobody(work: pathlib.Path) -> list[str]:
    """In front of a command: without privileges, in a home of its own."""
    if not IS_ROOT:
        return []
    (work / "ansible").mkdir()
    subprocess.run(["chown", "-R", "nobody", str(work)], check=True)
    # He may read what we may: Ansible can be installed where others can't look.
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *reading, "env", f"HOME={work}"]


def test_an_unprivileged_user_deploys_for_himself(small: pathlib.Path, work: pathlib.Path) -> None:
    (work / "bin").mkdir()
    prefix = as_nobody(work)
    tasks = [{"name": DEPLOY, "airgap.golang.deploy": {"depot": str(small), "root": str(work / "root"), "link_dir": "{{ bin }}"}}]
    why = failure(playbook(work / "ansible", tasks, {"bin": "/proc/sys"}, prefix=prefix))
    assert why["code"] == "not_writable" and why["subject"] == "/proc/sys"
    assert not (work / "root").exists()
    assert changed(playbook(work / "ansible", tasks, {"bin": str(work / "bin")}, prefix=prefix)) == 1
    assert changed(playbook(work / "ansible", tasks, {"bin": str(work / "bin")}, prefix=prefix)) == 0
    assert subprocess.run([str(work / "bin" / "go")], stdout=subprocess.PIPE, text=True, check=True, env={}).stdout.startswith("go1.27.3 ")


def test_become_another_unprivileged_user(small: pathlib.Path, work: pathlib.Path) -> None:
    """The connection's account puts the parts, with a private umask, where the other one takes them."""
    if not IS_ROOT:
        # Nobody else can be become without a password: what remains is who is refused.
        with pytest.raises(HostRefused, match="nosuchaccount"):
            Host(str(work / "root")).open_incoming("nosuchaccount")
        return
    (work / "host").mkdir()
    shutil.chown(work / "host", "nobody")
    become = {"ansible_become": True, "ansible_become_method": "su", "ansible_become_user": "nobody", "ansible_become_flags": "-s /bin/sh"}
    become.update(ansible_python_interpreter="/usr/bin/python3", ansible_remote_tmp="/tmp")
    tasks = [{"name": DEPLOY, "airgap.golang.deploy": {"depot": str(small), "root": str(work / "host" / "root"), "link_dir": ""}}]
    before = os.umask(0o077)
    try:
        assert changed(playbook(work / "ansible", tasks, {}, host_vars=become)) == 1
    finally:
        os.umask(before)
    assert (work / "host" / "root" / "depot" / "oci-layout").owner() == "nobody"
    assert os.listdir(work / "host" / "root" / "depot" / "staging") == []


def test_the_request_is_in_no_log(small: pathlib.Path, work: pathlib.Path) -> None:
    ran = playbook(work / "ansible", "deploy", variables(small, work / "root"), "-vvv")
    assert changed(ran) == 2 and executions(ran) == 2
    generation = Depot(str(small)).latest()
    assert generation is not None
    assert "request" not in ran.results[DEPLOY]["invocation"]["module_args"]
    for word in (generation.manifest.layers[0].digest, "artifactType", "eJ"):
        assert word not in ran.output, word
    # Nor is any other word hidden, as values of no_log options are.
    assert not re.search(r"VALUE_SPECIFIED_IN_NO_LOG|[^*]\*{8}[^*]", ran.output)
    assert ran.results[DEPLOY]["generation"] == "000002"


def test_one_trace_id_for_a_run(work: pathlib.Path) -> None:
    """In the control node's depot and in the host's, with and without the callback that makes the id."""
    depot, root = work / "depot", work / "root"
    seal = {"name": "Seal", "airgap.golang.rehearse": {"depot": str(depot)}}
    bring = {"name": DEPLOY, "airgap.golang.deploy": {"depot": str(depot), "root": str(root), "parts": ["goenv"]}}

    def run(number: int, **env: str) -> tuple[set[str], int]:
        # With nothing in it that a rehearsal would need Go for.
        make_generation(Depot(str(depot)), number, toolchains=(), modules={}, projects=(), sealed=False)
        before = [len(Depot(str(path)).audit.entries()) for path in (depot, root / "depot")]
        assert changed(playbook(work / "ansible", [seal, bring], {}, env=env)) == 2
        new = [Depot(str(path)).audit.entries()[count:] for path, count in zip((depot, root / "depot"), before)]
        return {str(entry["trace_id"]) for entries in new for entry in entries}, sum(map(len, new))

    (found,), lines = run(1)
    assert re.fullmatch("[0-9a-f]{32}", found) and lines == 3
    trace = work / "trace.jsonl"
    (other,), lines = run(2, ANSIBLE_CALLBACKS_ENABLED="results_of,airgap.golang.trace", AIRGAP_GOLANG_TRACE_PATH=str(trace))
    assert {json.loads(line)["trace_id"] for line in trace.read_text().splitlines()} == {other} != {found}
    assert lines == 3


def test_progress_lines_come_while_it_sends(work: pathlib.Path) -> None:
    depot = Depot(str(work / "depot"))
    make_generation(depot, 1, modules={("example.com/big", "v1.0.0"): {"big.go": os.urandom(66 << 20)}})
    ran = playbook(work / "ansible", "deploy", variables(work / "depot", work / "root"), host_vars={"ansible_connection": "slow"})
    assert changed(ran) == 2
    total = f"{ran.results[DEPLOY]['transferred'] / 1e6:.1f}"
    lines = re.findall(rf"^  deliver to here: part 2 of 2, {total} MB of {total} MB, [0-9.]+ MB/s$", ran.output, re.MULTILINE)
    assert len(lines) == 1, ran.output
    assert ran.output.index(lines[0]) < ran.output.index("changed: [here]")
