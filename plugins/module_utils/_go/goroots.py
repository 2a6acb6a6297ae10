# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Toolchains to work with on the connected side: verified and unpacked by the go command, which no set of its own vouches for.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t

from .._base import process
from .._base.errors import CommandFailed, ModuleRefused
from . import toolchain
from .command import GoCommand, json_stream
from .escape import proxy_path
from .recorder import RecordingProxy
from .store import ModuleStore


def obtain(go: GoCommand, store: ModuleStore, wanted: t.Sequence[tuple[str, str]], modcache: str, scratch: str) -> None:
    """Have ``go`` download each toolchain (version, platform) into ``modcache`` and verify it with the checksum database.

    What an earlier run left there whole, of the same bytes as ``store`` has, stays.

    :raises FetchFailed: a toolchain can't be had.
    :raises ModuleRefused: the go command refuses one.
    """
    versions = {toolchain.module_version(*pair): pair for pair in wanted}
    for version in versions:
        for ext in ("zip", "mod", "info"):
            store.ensure(toolchain.MODULE, version, ext)
    new = [version for version, pair in versions.items() if not _is_whole(store, modcache, version, pair)]
    if new:
        with RecordingProxy(store) as proxy:
            _download(go, proxy, new, modcache, scratch)
    for version, pair in versions.items():
        if not _is_whole(store, modcache, version, pair):
            raise ModuleRefused(
                f"the go command unpacked other bytes for {toolchain.MODULE}@{version} than were fetched",
                subject=f"{toolchain.MODULE}@{version}",
                expected=store.zip(toolchain.MODULE, version).h1,
                hint=f"remove {modcache} and run it again",
            )
        toolchain.make_executable(toolchain.directory(modcache, *pair))


def _is_whole(store: ModuleStore, modcache: str, version: str, pair: tuple[str, str]) -> bool:
    """Whether ``modcache`` has it unpacked to the end (cmd/go/internal/modfetch, DownloadDir), from the zip that ``store`` has."""
    base = os.path.join(modcache, "cache", "download", proxy_path(toolchain.MODULE, version, "zip")[: -len("zip")])
    if os.path.exists(base + "partial") or not os.path.isdir(toolchain.directory(modcache, *pair)):
        return False
    try:
        with open(base + "ziphash", encoding="ascii") as stream:
            return stream.read().strip() == store.zip(toolchain.MODULE, version).h1
    except FileNotFoundError:
        return False


def _download(go: GoCommand, proxy: RecordingProxy, versions: t.Sequence[str], modcache: str, scratch: str) -> None:
    empty = os.path.join(scratch, "empty")
    os.makedirs(empty, exist_ok=True)
    answer = process.run(
        [go.binary, "mod", "download", "-json", *(f"{toolchain.MODULE}@{version}" for version in versions)],
        cwd=empty,
        env=go.environment(scratch, proxy.url, GOMODCACHE=modcache),
        check=False,
        what="go mod download -json",
    )
    refused = [
        {"module": str(entry["Path"]), "version": str(entry["Version"]), "said": str(entry["Error"])}
        for entry in json_stream(answer.stdout)
        if entry.get("Error")
    ]
    if refused:
        lines = "; ".join(f"{entry['module']}@{entry['version']}: {entry['said']}" for entry in refused)
        raise ModuleRefused(
            f"the go command refuses {lines}",
            subject=f"{refused[0]['module']}@{refused[0]['version']}",
            found=refused[0]["said"],
            hint="toolchains are always verified with the checksum database: GOSUMDB must not be off, and the proxy or the database reachable",
            details=refused,
        )
    if answer.status != 0:
        raise CommandFailed(f"go mod download failed: {answer.stderr.strip()}", subject="go mod download", found=answer.stderr.strip())
