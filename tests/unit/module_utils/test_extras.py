# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes with prebuilt tools: completions and man pages on hosts, and how the rehearsal makes them."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import forensics, uninstall
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.plugins.module_utils._host.switch import rollback_diff, switch_to
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.looking import snapshot
from ansible_collections.airgap.golang.tests.support.small_generation import bring, make_generation

TOOLS = Wish(("tools",), tools_dir="")


@pytest.fixture
def host(work: pathlib.Path) -> Host:
    return Host(str(work / "root"))


@pytest.fixture
def documented(work: pathlib.Path) -> Depot:
    """000001 has the tools fix and vet, 000002 vet and stray; completions and pages come with fix and vet in 000001, with stray in 000002."""
    made = Depot(str(work / "documented"))
    make_generation(made, 1, tools=("fix", "vet"), extras={"fix": ["completions/bash", "completions/zsh", "man/fix.1"], "vet": ["man/vet.conf.5"]})
    make_generation(made, 2, tools=("vet", "stray"), extras={"stray": ["completions/fish", "man/stray.1"]})
    return made


def told_below(top: pathlib.Path) -> dict[str, str]:
    """What each file below it says, links followed."""
    return {str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()}


def extras_below(top: pathlib.Path, *names: str) -> dict[str, str]:
    return {name: str(top / name) for name in names or ("bash", "zsh", "fish", "man")}


def test_what_comes_with_tools_comes_and_goes_like_them(documented: Depot, host: Host, work: pathlib.Path) -> None:
    share = work / "share"
    wish = dataclasses.replace(TOOLS, extras=extras_below(share))
    plan = bring(documented, host, wish, 1)
    first = {
        "bash/fix": "completions/bash of fix 1\n",
        "zsh/_fix": "completions/zsh of fix 1\n",
        "man/man1/fix.1": "man/fix.1 of fix 1\n",
        "man/man5/vet.conf.5": "man/vet.conf.5 of vet 1\n",
    }
    assert told_below(share) == first and (str(share / "zsh" / "_fix"), "", f"{host.root}/current/share/fix/completions/zsh") in plan.changes
    assert os.stat(share / "bash" / "fix").st_mode & 0o777 == 0o444
    before = snapshot(str(work))
    assert bring(documented, host, wish, 1).changes == [] and snapshot(str(work)) == before
    (share / "bash" / "mine").write_text("mine")
    one = host.current()

    bring(documented, host, Wish(("goenv",)), 2)
    second = {"fish/stray.fish": "completions/fish of stray 2\n", "man/man1/stray.1": "man/stray.1 of stray 2\n", "bash/mine": "mine"}
    assert told_below(share) == second, "they move along with other parts"
    assert f"{share}/bash/fix: " in rollback_diff(host, one)["after"] and f"{share}/fish/stray.fish: " in rollback_diff(host, one)["before"]
    switch_to(host, one, host.current(), "")
    assert told_below(share) == {**first, "bash/mine": "mine"}

    bring(documented, host, dataclasses.replace(wish, extras=extras_below(share, "man")), 1)
    assert sorted(told_below(share)) == ["bash/mine", "man/man1/fix.1", "man/man5/vet.conf.5"]
    (share / "bash" / "mine").unlink()
    uninstall.carry_out(host, uninstall.plan(host, ("tools",)), "")
    assert not share.exists() and not os.path.exists(host.root), "it was the last part"


def test_only_what_comes_with_named_tools(documented: Depot, host: Host, work: pathlib.Path) -> None:
    wish = dataclasses.replace(TOOLS, tools=("vet",), extras=extras_below(work / "share", "bash", "man"))
    plan = bring(documented, host, wish, 1)
    assert [layer.title for layer in plan.layers if layer.kind == "extra"] == ["tools/vet.extras.tar.gz"]
    assert sorted(told_below(work / "share")) == ["man/man5/vet.conf.5"]
    plan = bring(documented, host, dataclasses.replace(TOOLS, extras=extras_below(work / "share")), 2, keep=1)
    assert sorted(told_below(work / "share")) == ["fish/stray.fish", "man/man1/stray.1"]
    assert not os.path.exists(os.path.join(host.depot.path, "trees", "000001")), "the older one's are pruned with it"
    bring(documented, host, TOOLS, 2)
    assert told_below(work / "share") == {} and "extras" not in host.state(host.current())["parts"]["tools"]


def test_a_page_of_somebody_elses_stays(documented: Depot, host: Host, work: pathlib.Path) -> None:
    page = work / "share" / "man" / "man1" / "fix.1"
    page.parent.mkdir(parents=True)
    page.write_text("mine")
    wish = dataclasses.replace(TOOLS, extras=extras_below(work / "share"))
    before = snapshot(str(work))
    with pytest.raises(HostRefused) as refusal:
        bring(documented, host, wish, 1)
    assert (refusal.value.code, refusal.value.subject) == ("in_the_way", str(page)) and snapshot(str(work)) == before
    with pytest.raises(SpecInvalid, match="isn't an absolute path"):
        bring(documented, host, dataclasses.replace(wish, extras={"zsh": "site-functions"}), 1)
    with pytest.raises(SpecInvalid) as twice:
        bring(documented, host, dataclasses.replace(TOOLS, tools_dir=str(work / "one"), extras={"bash": str(work / "one")}), 1)
    assert twice.value.subject == str(work / "one" / "fix")


def test_what_comes_with_tools_is_examined(documented: Depot, host: Host, work: pathlib.Path) -> None:
    bring(documented, host, dataclasses.replace(TOOLS, extras=extras_below(work / "share")), 1)
    assert forensics.examine(host, tuple(forensics.WHAT), False, 1, {}).findings == []
    (work / "share" / "bash" / "fix").unlink()
    tree = pathlib.Path(host.depot.tree(Ref(1, True)), "tools", "share", "fix", "man", "fix.1")
    tree.unlink()
    found = forensics.examine(host, tuple(forensics.WHAT), False, 1, {}).findings
    assert {(finding.problem, finding.path) for finding in found} >= {("missing", str(work / "share" / "bash" / "fix")), ("missing", str(tree))}
