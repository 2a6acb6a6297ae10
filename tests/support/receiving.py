# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receiving in tests, and seeing that a refusal left everything as it was."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import bundle as bundle_verb
from ansible_collections.airgap.golang.plugins.module_utils import receive as receive_verb
from ansible_collections.airgap.golang.plugins.module_utils._base import ustar
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.depots import listing
from ansible_collections.airgap.golang.tests.support.small_depot import SmallSite


def receive(depot: Depot, path: pathlib.Path, allowed: t.Optional[pathlib.Path], **more: t.Any) -> receive_verb.Outcome:
    options = receive_verb.Options(str(path), str(allowed or ""), allow_unsigned=allowed is None, **more)
    return receive_verb.receive(depot, options, Reporter())


def refused(depot: Depot, path: pathlib.Path, allowed: t.Optional[pathlib.Path], **more: t.Any) -> AirgapError:
    """The refusal, after seeing that it names something and that the depot is as it was; check mode must have said the same."""
    before = listing(pathlib.Path(depot.path))
    said = []
    for check in (True, False):
        with pytest.raises(AirgapError) as refusal:
            receive(depot, path, allowed, check=check, **more)
        assert refusal.value.subject
        assert refusal.value.hint
        said.append((refusal.value.code, refusal.value.message))
    assert said[0][0] == said[1][0]
    assert listing(pathlib.Path(depot.path)) == before
    return refusal.value


def make_bundle(site: SmallSite, dest: pathlib.Path, **more: t.Any) -> bundle_verb.Outcome:
    options = bundle_verb.Options(**{"dest": str(dest), "signing_key": str(site.key), **more})
    return bundle_verb.bundle(site.depot, options, Reporter())


def pieces(path: pathlib.Path) -> dict[str, bytes]:
    with open(path, "rb") as stream:
        return {member.name: member.read() for member in ustar.members(stream, path.name)}


def run(*argv: str, cwd: t.Optional[pathlib.Path] = None, stdin: t.Optional[bytes] = None) -> bytes:
    finished = subprocess.run(argv, cwd=cwd, input=stdin, capture_output=True, timeout=120, check=False)
    assert finished.returncode == 0, f"{argv}: {finished.stderr.decode()}"
    return finished.stdout
