# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completions and man pages of a tool: printed by itself in the rehearsal, carried, linked on a host, and gone again; with real Go and bash."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import BuildFailed
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go.toolchain import host_platform
from ansible_collections.airgap.golang.tests.support.deployed_depot import playbook
from ansible_collections.airgap.golang.tests.support.gathering import Site, make_spec
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy, published

# It needs the runtime and package os alone. Where it runs is said by "there", which no completion may have.
GREET = """package main

import "os"

func main() {
    switch last := os.Args[len(os.Args)-1]; last {
    case "bash":
        os.Stdout.WriteString("complete -W 'hello goodbye' greet\\n")
    case "zsh":
        os.Stdout.WriteString("#compdef greet\\n_arguments '1:word:(hello goodbye)'\\n")
    case "man":
        os.Stdout.WriteString(".TH GREET 1\\n.SH NAME\\ngreet \\\\- greet\\n")
    case "there":
        os.Stdout.WriteString("complete -C " + os.Args[0] + " greet\\n")
    case "fail":
        os.Stderr.WriteString("no such word\\n")
        os.Exit(3)
    }
}
"""
FILES = {
    "go.mod": "module greet.example/greet\n\ngo 1.21\n",
    "main.go": GREET,
    "docs/greet.conf.5": ".TH GREET.CONF 5\n",
    **{f"cmd/{name}/main.go": "package main\n\nfunc main() { println(1) }\n" for name in ("wave", "nod", "bow")},
}


@pytest.fixture
def site(connected: Site, tmp_path: pathlib.Path) -> t.Iterator[Site]:
    """A site whose proxy has greet, which no database knows."""
    (tmp_path / "config" / "go").mkdir(parents=True)
    (tmp_path / "config" / "go" / "env").write_text("GONOSUMDB=*.example\n")
    with ModuleProxy(connected.directory / "answers") as proxy:
        proxy.answers.update(published("greet.example/greet", "v1.0.0", FILES))
        yield dataclasses.replace(connected, proxy=proxy, goprivate="", environment={**connected.environment, "XDG_CONFIG_HOME": str(tmp_path / "config")})


def greet(**more: t.Any) -> dict[str, t.Any]:
    return {"package": "greet.example/greet@v1.0.0", "platforms": [host_platform()], **more}


def sealed(site: Site, depot: Depot, *tools: dict[str, t.Any]) -> dict[str, t.Any]:
    """The config of the generation that these tools become."""
    site.gather(depot, make_spec(tools=list(tools)))
    generation = site.rehearse(depot).generation
    assert generation
    return generation.config


def bash(script: str) -> str:
    return subprocess.run(["bash", "--norc", "-c", script], text=True, capture_output=True, check=True).stdout


def test_from_the_spec_to_a_shell(site: Site, tmp_path: pathlib.Path) -> None:
    depot = site.depot()
    (plain,) = sealed(site, depot, greet())["tools"]
    assert "extras" not in plain
    (told,) = sealed(site, depot, greet(completions=["zsh", "bash"], man=["docs/greet.conf.5"]))["tools"]
    (binary,) = told["binaries"]
    assert told["extras"] == {"program": "greet", "completions": ["bash", "zsh"], "man": ["greet.conf.5"]}

    share, root = tmp_path / "share", tmp_path / "root"
    places = {"tools_dir": str(tmp_path / "bin"), "tools_man": True, "tools_man_dir": str(share / "man")}
    given = {"airgap_golang_depot": depot.path, "airgap_golang_root": str(root), "deploy_become": False}
    # What is left out is where other programs' are.
    completions = {"tools_completions": True, "tools_completions_dirs": {"bash": str(share / "bash"), "zsh": str(share / "zsh")}}

    def below() -> list[str]:
        return sorted(str(path.relative_to(share)) for path in share.rglob("*") if path.is_symlink())

    def role(*roles: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        include = {"name": "The role", "ansible.builtin.include_role": {"name": "airgap.golang.tools"}}
        return [{**include, "vars": {**places, **given}} for given in roles]

    def run(name: t.Union[str, list[dict[str, t.Any]]], changed: int) -> dict[str, dict[str, t.Any]]:
        ran = playbook(tmp_path / "ansible", name, given)
        assert ran.status == 0 and f"changed={changed} " in ran.output, ran.output
        return ran.results

    told_first = run(role({"tools_generation": 1, **completions}, completions, completions), 2)
    assert told_first["Bring the tools to the host"]["transferred"] < 10 << 20, "no toolchain came"
    assert hashlib.sha256((tmp_path / "bin" / "greet").read_bytes()).hexdigest() == binary["sha256"]
    assert bash(f"{tmp_path}/bin/greet man").startswith(".TH GREET 1\n"), "a program that runs on a host which has nothing else"
    assert below() == ["bash/greet", "man/man5/greet.conf.5", "zsh/_greet"]
    assert bash(f"source {share}/bash/greet; complete -p greet") == "complete -W 'hello goodbye' greet\n"
    assert (share / "zsh" / "_greet").read_text().startswith("#compdef greet\n")
    assert (share / "man" / "man5" / "greet.conf.5").read_text() == FILES["docs/greet.conf.5"]
    run("rollback", 1)
    assert below() == [], "nothing came with the tool then"
    run(role({}), 1)
    assert below() == ["man/man5/greet.conf.5"]
    run("uninstall", 1)
    assert not any(path.exists() for path in (share, root, tmp_path / "bin"))


def test_what_cannot_be_made_is_named(site: Site) -> None:
    """All of it, for each tool; nothing is sealed."""
    depot = site.depot()
    wrong = greet(completions=["bash", "fish"], completion_command=["completion", "{shell}", "fail"], man=["docs/greet.conf.5", "docs/greet.1"])
    silent = {**greet(completions=["fish"], man_command=["man"]), "package": "greet.example/greet/cmd/wave@v1.0.0"}
    twice = [{**greet(man=["docs/greet.conf.5"]), "package": f"greet.example/greet/cmd/{name}@v1.0.0"} for name in ("nod", "bow")]
    site.gather(depot, make_spec(tools=[wrong, silent, *twice]))
    with pytest.raises(BuildFailed) as refusal:
        site.rehearse(depot)
    said = refusal.value.message
    for words in (
        "'greet completion bash fail' failed with status 3: no such word",
        "'greet completion fish fail' failed with status 3",
        "greet.example/greet@v1.0.0 has no file docs/greet.1",
        "'wave completion fish' printed nothing but, to stderr: 1",
        "'wave man' printed nothing",
        "nod and bow both have a man page greet.conf.5",
    ):
        assert words in said
    assert said.count("greet.conf.5") == 1 and not any(ref.sealed for ref in depot.index())


def test_a_page_is_printed_and_no_path_of_this_machine_is(site: Site) -> None:
    depot = site.depot()
    (told,) = sealed(site, depot, greet(man_command=["man"], completions=["bash"], completion_command=["bash"]))["tools"]
    assert told["extras"] == {"program": "greet", "completions": ["bash"], "man": ["greet.1"]}
    page = pathlib.Path(depot.path, "current", "tools", "share", "greet", "man", "greet.1")
    assert page.read_text().startswith(".TH GREET 1\n") and page.stat().st_mode & 0o777 == 0o444
    site.gather(depot, make_spec(tools=[greet(completions=["bash"], completion_command=["there"])]))
    with pytest.raises(BuildFailed, match="'greet there' printed a path that it has only here"):
        site.rehearse(depot)
