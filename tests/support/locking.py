# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks made up for tests."""

from __future__ import annotations

import base64
import hashlib
import typing as t

from ansible_collections.airgap.golang.plugins.module_utils._content.lock import Lock, Sums

COMMIT = "4489e403a86257823f6619b2be1cdf1da16d04fe"


def h1(text: str) -> str:
    """Some h1."""
    return "h1:" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sums(at: str, zipped: bool = True) -> Sums:
    return Sums(h1(at) if zipped else "", h1(at + "/go.mod"))


def modules(*ats: str, gomods: t.Sequence[str] = ()) -> dict[tuple[str, str], Sums]:
    """path@version to made-up hashes; of ``gomods`` go.mod alone is carried."""
    found = {}
    for at in (*ats, *gomods):
        path, _at, version = at.partition("@")
        found[(path, version)] = sums(at, at not in gomods)
    return found


def whole_lock() -> Lock:
    """One with everything that a lock can have."""
    return Lock(
        {"module rsc.io/quote@latest": "v1.5.2", "project plant git.corp.example/plant.git at main": COMMIT, "toolchain": "1.26.8"},
        modules("rsc.io/quote@v1.5.2", "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", gomods=["rsc.io/sampler@v1.3.0"]),
        frozenset({("1.26.8", "linux/amd64"), ("1.27rc1", "linux/arm64")}),
        {"plant": {"git": "git.corp.example/plant.git", "ref": "main", "commit": COMMIT}, "local": {"digest": sha256("local")}},
        {"web/logo.svg": sha256("logo")},
    )
