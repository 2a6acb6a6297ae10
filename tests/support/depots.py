# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests ask of a depot: is it whole, has it changed; and how to kill what writes to it, at every step."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import signal
import sys
import traceback
import typing as t

from ansible_collections.airgap.golang.plugins.module_utils._base import files
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.manifest import Layer
from ansible_collections.airgap.golang.plugins.module_utils._depot.tree import note_path
from ansible_collections.airgap.golang.plugins.module_utils._go.escape import unescape_path, unescape_version

Shown = t.Dict[str, t.Tuple[str, str]]


def listing(directory: pathlib.Path) -> Shown:
    """Everything below a directory: path → (kind and mode, content's digest or link's target). The lock's file isn't content."""
    found: Shown = {}
    for path in sorted(directory.rglob("*")):
        name, mode = str(path.relative_to(directory)), oct(path.lstat().st_mode)
        if path.is_symlink():
            found[name] = (mode, os.readlink(path))
        elif path.is_dir():
            found[name] = (mode, "")
        elif path.name != ".lock":
            found[name] = (mode, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def held(modcache: str) -> list[tuple[str, str]]:
    """(module path, version) of every version that is here whole, or of which the go.mod is."""
    found = []
    download = os.path.join(modcache, "cache", "download")
    for directory, names, stored in os.walk(download):
        if os.path.basename(directory) != "@v":
            names[:] = [name for name in names if not (directory == download and name == "sumdb")]
            continue
        names[:] = []
        path = unescape_path(os.path.relpath(os.path.dirname(directory), download))
        found += [(path, unescape_version(name[: -len(".mod")])) for name in stored if name.endswith(".mod") and not name.startswith(".")]
    return sorted(found)


def times(directory: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Everything's inode and time of change in nanoseconds: equal when nothing was written, not even the same again."""
    return {str(path): (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in [directory, *directory.rglob("*")]}


def prove_whole(depot: Depot, held: t.Optional[t.Callable[[Layer], bool]] = None) -> dict[str, str]:
    """The depot's generations (name → digest), after proving that each listed one is whole: blobs, tree, ``current``, the audit log.

    :param held: which layers this depot holds; all of them by default.
    """
    refs = depot.index()
    for ref, digest in refs.items():
        generation = depot.generation(ref)
        assert generation.digest == digest
        layers = [layer for layer in generation.manifest.layers if held is None or held(layer)]
        for layer in layers:
            assert sum(len(chunk) for chunk in depot.blobs.chunks(layer.digest)) == layer.size
        tree = pathlib.Path(depot.tree(ref))
        sums = {line[66:]: line[:64] for line in (tree / "SHA256SUMS").read_text().splitlines()}
        here = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file() and ".layers" not in path.parts}
        assert here - {"SHA256SUMS"} == set(sums), here ^ set(sums)
        for name, sha256 in sums.items():
            assert hashlib.sha256((tree / name).read_bytes()).hexdigest() == sha256, name
        for layer in layers:
            assert os.path.exists(note_path(str(tree), layer)) if layer.unpack else sums[layer.title] == layer.hex
    current = pathlib.Path(depot.path) / "current"
    assert not current.is_symlink() or (current / "SHA256SUMS").is_file()
    depot.audit.entries()
    json.loads((pathlib.Path(depot.path) / "index.json").read_text())
    return {str(ref): digest for ref, digest in refs.items()}


# What changes names, plus the syncs: between two of these nothing that a reader trusts can change.
_STEPS = ("rename", "link", "symlink", "unlink", "rmdir", "mkdir", "chmod", "fchmod", "fsync", "open")


def killed_at(step: int, work: t.Callable[[], object]) -> bool:
    """Do ``work`` in a child that kills itself before its ``step``-th system call of those that change names (0: never); False: it ended first.

    The syncs are counted and left out: a kill doesn't lose what was written, so they'd only take time.
    """
    child = os.fork()
    if child == 0:
        try:
            _arm(step)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if step and os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, f"the work failed by itself with step {step} in view"
    return False


def _arm(step: int) -> None:
    left = [step]
    me = os.getpid()

    def counting(real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def call(*arguments: t.Any, **more: t.Any) -> t.Any:
            if os.getpid() == me:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(me, signal.SIGKILL)
            return real(*arguments, **more)

        return call

    for name in _STEPS:
        setattr(os, name, counting((lambda descriptor: None) if name == "fsync" else getattr(os, name)))
    synced = counting(lambda path: None)
    for module in list(sys.modules.values()):
        if getattr(module, "sync_filesystem", None) is files.sync_filesystem:
            module.sync_filesystem = synced  # type: ignore[attr-defined]
