# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A generation's directory on a host: links into its tree and to its toolchain, settings, the document of its state.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import json
import os
import shlex
import typing as t

from .._base.files import sync_filesystem, temporary_sibling
from .._content.extras import PLACE
from .._content.wish import carried_toolchains
from .._depot import manifest as oci
from .._depot.generation import Generation
from .._go import toolchain
from .._go.escape import escape_path
from .._go.unpacked import STOCK_ENV
from .place import Place, directory_name

# The go that users call. A go command needs somewhere for its build cache, which it derives from HOME; jobs that start
# with an empty environment, and system accounts, have no usable one.
_WRAPPER = """\
#!/bin/sh
# go of {name}, by airgap.golang
go={go}
if [ -n "${{GOCACHE-}}${{XDG_CACHE_HOME-}}" ] || {{ [ -n "${{HOME-}}" ] && [ -w "$HOME" ]; }}; then
  exec "$go" "$@"
fi
HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
export HOME
if [ -n "$HOME" ] && [ -w "$HOME" ]; then
  exec "$go" "$@"
fi
HOME=$(mktemp -d) || exit 1
"$go" "$@"
status=$?
chmod -R u+w "$HOME"
rm -rf "$HOME"
exit "$status"
"""


def make_directory(place: Place, generation: Generation, state: t.Mapping[str, t.Any]) -> str:
    """The generation's directory: links and settings, made beside and renamed; what is there already is complete."""
    name = directory_name(generation, state)
    path = os.path.join(place.root, "generations", name)
    if os.path.isdir(path):
        return name
    os.makedirs(os.path.join(place.root, "generations"), exist_ok=True)
    beside = temporary_sibling(path)
    fill_directory(place, generation, state, beside)
    sync_filesystem(beside)
    os.rename(beside, path)
    return name


def fill_directory(place: Place, generation: Generation, state: t.Mapping[str, t.Any], beside: str) -> None:
    """Make ``beside``, and in it all that a generation's directory has. Its links are as they must be below ROOT/generations."""
    parts = state["parts"]
    tree = os.path.join("..", "..", "depot", "trees", str(generation.ref))
    name = directory_name(generation, state)
    os.mkdir(beside, 0o755)
    _make_proxy(place, generation, os.path.join(beside, "proxy"))
    if "project" in parts:
        # One link each: a tree gains projects while a state that lacks them is active.
        os.mkdir(os.path.join(beside, "projects"), 0o755)
        for project in parts["project"]["names"]:
            os.symlink(os.path.join("..", tree, "projects", project), os.path.join(beside, "projects", project))
    if "tools" in parts:
        os.mkdir(os.path.join(beside, "tools"), 0o755)
        for program in parts["tools"]["programs"]:
            target = os.path.join("..", tree, "tools", place.platform.replace("/", "-"), program)
            os.symlink(target, os.path.join(beside, "tools", program))
        with_extras = parts["tools"].get("extras", {}).get("files", {})
        if with_extras:
            os.mkdir(os.path.join(beside, "share"), 0o755)
            for program in with_extras:
                os.symlink(os.path.join("..", tree, PLACE, program), os.path.join(beside, "share", program))
    if "depot" in parts:
        for below in sorted({(layer.unpack or layer.title).split("/")[0] for layer in generation.manifest.layers}.intersection(("files", "evidence"))):
            os.symlink(os.path.join(tree, below), os.path.join(beside, below))
    if "toolchain" in parts:
        goroot = place.goroot(parts["toolchain"]["version"])
        os.symlink(os.path.join("..", "..", os.path.relpath(goroot, place.root)), os.path.join(beside, "go"))
        os.mkdir(os.path.join(beside, "bin"), 0o755)
        go = shlex.quote(os.path.join(goroot, "bin", "go"))
        _write(os.path.join(beside, "bin", "go"), _WRAPPER.format(name=name, go=go).encode(), 0o755)
        os.symlink(os.path.join("..", "go", "bin", "gofmt"), os.path.join(beside, "bin", "gofmt"))
    _write(os.path.join(beside, "go.env"), _settings(place, generation, state), 0o444)
    _write(os.path.join(beside, "generation.json"), oci.canonical(generation.config), 0o444)
    _write(os.path.join(beside, "state.json"), json.dumps(state, indent=1, sort_keys=True).encode() + b"\n", 0o444)


def _settings(place: Place, generation: Generation, state: t.Mapping[str, t.Any]) -> bytes:
    """What go.env says: what was asked for, else what the newest toolchain here came with."""
    parts = state["parts"]
    if "goenv" in parts:
        return str(parts["goenv"]["content"]).encode()
    version = str(parts.get("toolchain", {}).get("version", ""))
    if not version and "modcache" in parts:
        version = toolchain.choose("", carried_toolchains(generation, place.platform))
    if not version:
        return b""
    with open(os.path.join(place.goroot(version), STOCK_ENV), "rb") as stream:
        return stream.read()


def _make_proxy(place: Place, generation: Generation, path: str) -> None:
    """The GOPROXY of a generation: its tree, with the newest checksum database that this host has had.

    A go command that has seen a newer signed head refuses an older one, so the database never goes back with a
    rollback; newer ones have the records of all earlier generations.
    """
    os.mkdir(path, 0o755)
    tree = os.path.join(place.depot.tree(generation.ref), "proxy")
    names = {escape_path(str(module["path"])).split("/")[0] for module in generation.config["modules"]}
    names.update("sumdb" for layer in generation.manifest.layers if layer.kind == "sumdb")
    for name in sorted(names):
        target = os.path.join(place.root, "sumdb") if name == "sumdb" else os.path.join(tree, name)
        os.symlink(os.path.join("..", "..", "..", os.path.relpath(target, place.root)), os.path.join(path, name))


def _write(path: str, content: bytes, mode: int) -> None:
    with open(path, "wb") as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), mode)
