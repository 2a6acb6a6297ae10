# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Relative paths mean what they mean to who types them."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.airgap.golang.plugins.plugin_utils.live import from_here


def test_relative_paths_begin_where_the_user_is(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "depot": "depot",
        "dest": "outbox/",
        "src": "/media/disc/p.tar",
        "base": "~/receipt.json",
        "signing_key": "$HOME/key",
        "allowed_signers": None,
        "name": "platform",
        "files": [{"source": "assets/logo.svg", "dest": "web/logo.svg"}, "nonsense"],
        "projects": [{"name": "p", "source": {"path": "src"}}, {"name": "q", "source": {"git": "g", "ref": "r"}}, {"name": "r"}, 7],
    }
    assert from_here(given) == {
        **given,
        "depot": f"{tmp_path}/depot",
        "dest": f"{tmp_path}/outbox/",
        "files": [{"source": f"{tmp_path}/assets/logo.svg", "dest": "web/logo.svg"}, "nonsense"],
        "projects": [{"name": "p", "source": {"path": f"{tmp_path}/src"}}, {"name": "q", "source": {"git": "g", "ref": "r"}}, {"name": "r"}, 7],
    }
