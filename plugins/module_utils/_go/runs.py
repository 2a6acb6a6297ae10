# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ways in which a gather runs go commands: with our recording proxy as their only source, and without any network.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .._base import process
from .._base.errors import CommandFailed
from .._base.process import Finished
from .._base.sandbox import Isolation
from .carrieddb import without_url
from .closure import Run
from .command import GoCommand

#: Seconds for one go command; a build of a big project on a small machine is among them.
PATIENCE = 7200.0

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def through_proxy(go: GoCommand, fetched: str, proxy_url: str, scratch: str, gocache: str) -> Run:
    """Go commands that get modules from the directory ``fetched``, and what that lacks from the proxy at ``proxy_url`` ("" for none).

    GOMODCACHE and GOPATH are in ``scratch``.
    """
    goproxy = f"file://{fetched}" + (f",{proxy_url}" if proxy_url else "")

    def run(argv: t.Sequence[str], cwd: str, more: t.Mapping[str, str]) -> Finished:
        os.makedirs(cwd, exist_ok=True)
        environment = go.environment(scratch, goproxy, GOCACHE=gocache, **more)
        return process.run([go.binary, *argv], cwd=cwd, env=environment, timeout=PATIENCE, what=_name(argv), preexec=process.dying_with_parent())

    return run


def without_network(go: GoCommand, isolation: Isolation, proxytree: str, scratch: str, gocache: str) -> Run:
    """Go commands in ``isolation`` that get modules from the directory ``proxytree`` alone."""
    gosumdb = without_url(go.settings.get("GOSUMDB") or "off")

    def run(argv: t.Sequence[str], cwd: str, more: t.Mapping[str, str]) -> Finished:
        os.makedirs(cwd, exist_ok=True)
        environment = go.environment(scratch, "file://" + proxytree, **{"GOCACHE": gocache, "GOSUMDB": gosumdb, **more})
        command = [go.binary, *argv]
        if isolation.method == "environment":
            # Where the kernel isolates nothing, isolation would turn GOPROXY off: the tree is the only source all the same.
            environment = {name: value for name, value in environment.items() if name.lower() not in _PROXIES}
            return process.run(command, cwd=cwd, env=environment, timeout=PATIENCE, what=_name(argv))
        finished = isolation.run(command, environment, cwd, PATIENCE)
        if finished.status != 0:
            said = finished.stderr.strip() or finished.stdout.strip()[-process.TAIL :]
            raise CommandFailed(
                f"{_name(argv)} failed with status {finished.status}: {said}",
                subject=_name(argv),
                found=said,
                details=[{"stdout": finished.stdout}] if finished.stdout.strip() else None,
            )
        return finished

    return run


def _name(argv: t.Sequence[str]) -> str:
    return "go " + " ".join(argv[:2])
