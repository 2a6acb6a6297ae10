# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request file: what an offline project, or go's error output, misses, as a spec for the next gather.

It's made to be carried out: no source, no directories of the host, nothing but names of modules, tools and releases.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import typing as t

from ._base.errors import AirgapError, SpecInvalid, ToolMissing
from ._base.files import remove_tree, write_atomically
from ._base.urls import scrub
from ._go import gowords, toolchain
from ._go.command import GoCommand
from ._go.missing import CarriedTree, Missing, Project, Questions, entry_of, read_project

SCHEMA = 1


class NothingUnderstood(AirgapError):
    """Go failed, and nothing that it says is about anything that could be carried."""

    code = "not_understood"


@dataclasses.dataclass(frozen=True)
class Options:
    """``project``: a directory with go.mod or go.work; ``output``: what go printed; ``output_file``: the same in a file; at least
    one is given. ``proxy``: the carried GOPROXY tree, "" for the active generation's in ``root``. ``go_binary``: a go command, "" for
    the one in ``root`` or on PATH. ``dest``: the file to write, "" for none. ``timeout``: seconds for one go command."""

    root: str
    project: str = ""
    output: str = ""
    output_file: str = ""
    proxy: str = ""
    go_binary: str = ""
    dest: str = ""
    timeout: int = 1800


def request(options: Options, check_mode: bool = False) -> dict[str, t.Any]:
    """Find out what is missing, and write it to ``dest`` unless that says so already.

    Returns the module's answer: ``changed``, ``request``, ``missing`` (counts), ``not_understood``, ``dest`` and ``diff``. When nothing
    is missing, ``dest`` stays as it is.

    :raises SpecInvalid: there is nothing to read, or a place that was named isn't there.
    :raises ToolMissing: a project can't be read without a go command.
    :raises NothingUnderstood: nothing is known to be missing, and go complains of something else.
    """
    missing = _find(options)
    document = _document(missing[0], missing[1])
    counts = {what: len(document[f"bundle_{what}"]) for what in ("modules", "toolchains", "tools")}
    total = sum(counts.values())
    strange = [scrub(line) for line in missing[0].not_understood]
    if strange and not total:
        raise NothingUnderstood(
            f"go's words name nothing that could be carried: {strange[0]}",
            subject=strange[0],
            found="\n".join(strange[:50]),
            hint="if it isn't a mistake in the project, add what it needs to bundle_modules, bundle_toolchains or bundle_tools by hand, and file an issue",
            details=[{"line": line} for line in strange[:200]],
        )
    after = (json.dumps(document, indent=4, sort_keys=True) + "\n").encode() if total else b""
    before = b""
    if options.dest and os.path.exists(options.dest):
        with open(options.dest, "rb") as stream:
            before = stream.read()
    changed = bool(options.dest and total and before != after)
    if changed and not check_mode:
        write_atomically(options.dest, after)
    texts = {"before": before.decode("utf-8", "replace"), "after": (after if changed else before).decode("utf-8", "replace")}
    return {
        "changed": changed,
        "request": document,
        "missing": {**counts, "total": total},
        "not_understood": strange,
        "dest": options.dest,
        "diff": {**texts, "before_header": options.dest, "after_header": options.dest},
    }


def _find(options: Options) -> tuple[Missing, t.Optional[Project]]:
    said = options.output
    if options.output_file:
        with open(options.output_file, encoding="utf-8", errors="replace") as stream:
            said += "\n" + stream.read()
    if not options.project and not said.strip():
        raise SpecInvalid("there is nothing to read", subject="request", hint="give project, output or output_file")
    tree = _tree(options)
    missing = Missing(tree, toolchain.host_platform())
    project = None
    if options.project:
        if tree is None:
            raise SpecInvalid(
                f"{options.root} has no active generation, so nobody knows what is carried",
                subject=options.root,
                hint="deploy one first, or let proxy name the carried GOPROXY tree, such as current/proxy in a depot",
            )
        project = _project(options, tree, missing)
    missing.by_words(gowords.read(said), project)
    return missing, project


def _tree(options: Options) -> t.Optional[CarriedTree]:
    path = options.proxy or os.path.join(options.root, "current", "proxy")
    if os.path.isdir(path):
        return CarriedTree(path)
    if options.proxy:
        raise SpecInvalid(f"{path} isn't a directory", subject=path, hint="proxy must name the carried GOPROXY tree, such as current/proxy in a depot")
    return None


def _project(options: Options, tree: CarriedTree, missing: Missing) -> Project:
    go = GoCommand(_go(options))
    project = read_project(os.path.abspath(options.project), go)
    scratch = tempfile.mkdtemp(prefix="airgap-golang-request-")
    try:
        questions = Questions(project, go, tree, scratch, options.timeout)
        vendored = questions.is_vendored()
        missing.by_files(project, go.version, vendored or questions.graph_is_whole(), vendored)
        if not vendored:
            missing.by_words(questions.builds(), project)
    finally:
        remove_tree(scratch)
    return project


def _go(options: Options) -> str:
    candidates = [options.go_binary] if options.go_binary else [os.path.join(options.root, "current", "bin", "go"), shutil.which("go") or ""]
    for candidate in candidates:
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise ToolMissing(
        f"there is no go command to read {options.project} with",
        subject=candidates[0],
        hint="deploy a toolchain to this host, let go_binary name one, or give go's error output instead of the project",
    )


def _document(missing: Missing, project: t.Optional[Project]) -> dict[str, t.Any]:
    """The request: entries as a spec has them, sorted, and why each is in it."""
    asked_by = {}
    modules = []
    # A replace by another version of the same module is what is in force there; one by another module can't be required.
    beside = {path: new[1] for path, new in project.selected.items() if new[0] == path} if project else {}
    for (path, version), (closure, why) in sorted(missing.modules.items()):
        modules.append(entry_of(path, version, closure, beside))
        asked_by[f"{path}@{version}"] = why
    toolchains = []
    for version, platforms in sorted(missing.toolchains.items(), key=lambda item: toolchain.version_key(item[0])):
        toolchains.append({"version": version, "platforms": sorted(platforms)})
        asked_by[f"go{version}"] = "; ".join(sorted(set(platforms.values())))
    for (path, version), why in missing.tools.items():
        asked_by[f"{path}@{version}"] = why
    return {
        "airgap_golang_request": {"schema": SCHEMA, "project": os.path.basename(project.top) if project else "", "asked_by": asked_by},
        "bundle_modules": modules,
        "bundle_toolchains": toolchains,
        "bundle_tools": sorted(f"{path}@{version}" for path, version in missing.tools),
    }
