# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who imports whom below plugins/, read from the source without running it, and which imports break the rules."""

from __future__ import annotations

import ast
import pathlib
import sys
import typing as t

COLLECTION = ("ansible_collections", "airgap", "golang", "plugins")
BELOW_VERBS = {"_base", "_go", "_depot", "_content", "_fleet", "_host", "_policy"}
BELOW_PLUGINS = {*BELOW_VERBS, "verb"}
CONTROL_NODE = {*BELOW_PLUGINS, "plugin_utils"}

# Which rooms a file of a room may import from. The rooms that aren't named here are control-node plugins.
MAY_IMPORT = {
    "_base": {"_base"},
    "_go": {"_base", "_go"},
    "_depot": {"_base", "_depot"},
    "_content": {"_base", "_go", "_depot", "_content"},
    "_fleet": {"_base", "_fleet"},
    "_host": {"_base", "_go", "_depot", "_content", "_host"},
    "_policy": {"_base", "_go", "_depot", "_content", "_policy"},
    "verb": BELOW_PLUGINS,
    "modules": BELOW_PLUGINS,
    "plugin_utils": CONTROL_NODE,
    "doc_fragments": set[str](),
}
HOST_MODULES = ("host", "build_check", "deploy", "generation", "uninstall", "verify", "request", "preflight", "goenv", "modcache", "layout", "upload")
NEWER_THAN_PYTHON_3_8 = {"graphlib", "tomllib", "zoneinfo"}


class Import(t.NamedTuple):
    """One imported thing: ``inner`` is its dotted path below plugins/, or () where ``outer`` is another package's name."""

    line: int
    inner: tuple[str, ...]
    outer: str


def room_of(parts: t.Sequence[str]) -> str:
    """The room of a file or dotted path below plugins/: ``_go`` for module_utils/_go/h1, ``verb`` for module_utils/gather."""
    if parts[0] != "module_utils" or len(parts) == 1:
        return parts[0]
    return parts[1] if parts[1].startswith("_") else "verb"


def imports_of(plugins: pathlib.Path, path: pathlib.Path) -> t.Iterator[Import]:
    """Each import in a file, those inside functions too; not those for type checkers alone."""
    package = (*COLLECTION, *path.relative_to(plugins).parts[:-1])
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in running_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield classified(node.lineno, tuple(alias.name.split(".")))
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            start = (*package[: len(package) - node.level + 1], *module) if node.level else module
            for alias in node.names:
                yield classified(node.lineno, (*start, alias.name))


def running_nodes(node: ast.AST) -> t.Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield other
                yield from running_nodes(other)
            continue
        yield child
        yield from running_nodes(child)


def classified(line: int, name: tuple[str, ...]) -> Import:
    if name[: len(COLLECTION)] == COLLECTION:
        return Import(line, name[len(COLLECTION) :], "")
    return Import(line, (), ".".join(name))


def wrong_arrows(plugins: pathlib.Path) -> list[str]:
    """One sentence for each import that goes up or sideways."""
    wrong = []
    for path in sorted(plugins.rglob("*.py")):
        parts = path.relative_to(plugins).with_suffix("").parts
        allowed = MAY_IMPORT.get(room_of(parts), CONTROL_NODE)
        for found in imports_of(plugins, path):
            if found.inner and room_of(found.inner) not in allowed:
                wrong.append(f"{path.relative_to(plugins)}:{found.line}: {room_of(parts)} must not import {'.'.join(found.inner)}")
    return wrong


def file_of(plugins: pathlib.Path, inner: tuple[str, ...]) -> pathlib.Path | None:
    """The file that ``import`` would read; the last part may be a name inside it."""
    for parts in (inner, inner[:-1]):
        for candidate in (plugins.joinpath(*parts).with_suffix(".py"), plugins.joinpath(*parts, "__init__.py")):
            if candidate.is_file():
                return candidate
    return None


def host_modules(plugins: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in sorted(plugins.glob("modules/*.py")) if path.stem.startswith(HOST_MODULES)]


def foreign_on_hosts(plugins: pathlib.Path) -> list[str]:
    """One sentence for each import, in a file that a host's module reaches, of what a host with Python 3.8 alone lacks."""
    wrong = []
    waiting = host_modules(plugins)
    came_from = {path: path.stem for path in waiting}
    while waiting:
        path = waiting.pop()
        for found in imports_of(plugins, path):
            if found.inner:
                target = file_of(plugins, found.inner)
                if target is not None and target not in came_from:
                    came_from[target] = f"{came_from[path]} > {target.stem}"
                    waiting.append(target)
                continue
            top = found.outer.split(".")[0]
            standard = top in sys.stdlib_module_names and top not in NEWER_THAN_PYTHON_3_8
            if not standard and not found.outer.startswith("ansible.module_utils."):
                wrong.append(f"{path.relative_to(plugins)}:{found.line}: a host has no {found.outer} (reached by {came_from[path]})")
    return sorted(wrong)
