# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports point down only, and what runs on hosts needs the standard library alone."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.airgap.golang.tests.support.imports import foreign_on_hosts, host_modules, wrong_arrows

PLUGINS = pathlib.Path(__file__).resolve().parents[2] / "plugins"
ROOT = "ansible_collections.airgap.golang.plugins"


def test_arrows_point_down() -> None:
    assert wrong_arrows(PLUGINS) == []


def test_hosts_need_the_standard_library_alone() -> None:
    assert host_modules(PLUGINS) or not list(PLUGINS.glob("modules/*.py")), "no host module was found: HOST_MODULES is out of date"
    assert foreign_on_hosts(PLUGINS) == []


def tiny(directory: pathlib.Path, **more: str) -> pathlib.Path:
    """A package whose arrows all point down; ``more`` replaces files (``__`` for a slash)."""
    files = {
        "module_utils___base__files": "import os\n",
        "module_utils___go__h1": "from .._base.files import x\nfrom . import zip\n",
        "module_utils___go__zip": "",
        "module_utils___depot__tree": "from .._base import files\n",
        "module_utils___content__wish": "from .._go.h1 import digest\nfrom .._depot import tree\n",
        "module_utils___host__place": "from .._content import wish\nfrom . import links\n",
        "module_utils___host__links": "",
        "module_utils___policy__gates": "from .._go.h1 import digest\nfrom .._depot import tree\n",
        "module_utils__gather": "from ._go.h1 import digest\nfrom . import admit\n",
        "module_utils__admit": "from ._depot import tree\n",
        "module_utils__fetch": "import urllib3\n",
        "modules__host": f"from {ROOT}.module_utils.admit import admit\nfrom ansible.module_utils.basic import AnsibleModule\n",
        "modules__gather": f"from {ROOT}.module_utils.fetch import fetch\n",
        "action__host": f"from {ROOT}.plugin_utils import live\nfrom ansible.plugins.action import ActionBase\n",
        "plugin_utils__live": f"import {ROOT}.module_utils.fetch\n",
        **more,
    }
    for name, content in files.items():
        path = directory / (name.replace("___", "/_").replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


def test_a_sound_package_passes(tmp_path: pathlib.Path) -> None:
    plugins = tiny(tmp_path)
    assert (wrong_arrows(plugins), foreign_on_hosts(plugins)) == ([], [])


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("module_utils___base__files", "from .._go import h1\n", "_base must not import module_utils._go.h1"),
        ("module_utils___base__files", "def late():\n    from ..gather import gather\n", "_base must not import module_utils.gather.gather"),
        ("module_utils___go__h1", "from .._depot.tree import lay_out\n", "_go must not import module_utils._depot.tree.lay_out"),
        ("module_utils___go__h1", "from .. import _depot\n", "_go must not import module_utils._depot"),
        ("module_utils___depot__tree", "from .._go.h1 import digest\n", "_depot must not import module_utils._go.h1.digest"),
        ("module_utils___depot__tree", "if os.name:\n    from .._policy import gates\n", "_depot must not import module_utils._policy.gates"),
        ("module_utils___go__h1", "from .._content import wish\n", "_go must not import module_utils._content.wish"),
        ("module_utils___content__wish", "from ..gather import gather\n", "_content must not import module_utils.gather.gather"),
        ("module_utils___content__wish", "from .._host import place\n", "_content must not import module_utils._host.place"),
        ("module_utils___policy__gates", "from .._host.place import x\n", "_policy must not import module_utils._host.place.x"),
        ("module_utils___host__links", "from ..host import Host\n", "_host must not import module_utils.host.Host"),
        ("module_utils__gather", f"import {ROOT}.modules.host\n", "verb must not import modules.host"),
        ("modules__gather", f"from {ROOT}.action import host\n", "modules must not import action.host"),
        ("modules__gather", f"from {ROOT}.plugin_utils.live import x\n", "modules must not import plugin_utils.live.x"),
        ("callback__trace", f"from {ROOT}.action.host import x\n", "callback must not import action.host.x"),
    ],
)
def test_an_arrow_up_or_sideways_is_found(tmp_path: pathlib.Path, name: str, content: str, complaint: str) -> None:
    (sentence,) = wrong_arrows(tiny(tmp_path, **{name: content}))
    assert sentence.endswith(complaint)


def test_imports_for_type_checkers_alone_do_not_count(tmp_path: pathlib.Path) -> None:
    assert wrong_arrows(tiny(tmp_path, module_utils___base__files="import typing as t\nif t.TYPE_CHECKING:\n    from .._go import h1\n")) == []


@pytest.mark.parametrize("name", ["module_utils___base__files", "module_utils___depot__tree", "module_utils__admit", "modules__host"])
@pytest.mark.parametrize("outer", ["urllib3", "yaml", "ansible.plugins.action", "tomllib"])
def test_a_library_that_hosts_lack_is_found(tmp_path: pathlib.Path, name: str, outer: str) -> None:
    plugins = tiny(tmp_path)
    path = plugins / (name.replace("___", "/_").replace("__", "/") + ".py")
    path.write_text(f"{path.read_text()}def late():\n    import {outer}\n")
    (sentence,) = foreign_on_hosts(plugins)
    assert f"a host has no {outer} (reached by host" in sentence
