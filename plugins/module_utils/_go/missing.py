# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a project asks for and a carried GOPROXY tree lacks: by go.mod, go.work and go.sum, and by what the go command says.

go.sum knows what a project's author had: a zip that it lists is needed as it is. What go.mod requires and go.sum doesn't
know is new, and nobody here can say what it will need in turn; so all that it needs is asked for, beside the rest of go.mod.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import typing as t
import urllib.parse
import zipfile

from .._base import process
from .._base.errors import SpecInvalid
from . import gosum, gowords
from .command import GoCommand, passed_environment
from .escape import escape_path, is_exact, proxy_path, unescape_version
from .proxytree import semver_key
from .toolchain import MODULE as TOOLCHAIN
from .toolchain import asked_by, choose, module_version

At = t.Tuple[str, str]

#: Closures of a request, from the smallest: go.mod and .info alone, a version's own files, all that whoever imports it needs.
GOMOD, ITSELF, PACKAGES = "gomod", "itself", "packages"
_SIZES = (GOMOD, ITSELF, PACKAGES)

# Bytes of go's words that are read; a project can miss hundreds of modules.
_WORDS = 4 << 20


class CarriedTree:
    """A GOPROXY as files: what is in it."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.url = "file://" + urllib.parse.quote(self.root)

    def has(self, module: str, version: str, ext: str) -> bool:
        try:
            return os.path.exists(os.path.join(self.root, proxy_path(module, version, ext)))
        except SpecInvalid:
            return False

    def versions(self, module: str) -> list[str]:
        """The versions with zips."""
        try:
            names = os.listdir(os.path.join(self.root, escape_path(module), "@v"))
            return [unescape_version(name[:-4]) for name in names if name.endswith(".zip")]
        except (FileNotFoundError, NotADirectoryError, SpecInvalid):
            return []

    def provides(self, package: str, version: str = "") -> bool:
        """Whether a carried module, at ``version`` ("" for any), has Go files of this package."""
        module = package
        while "." in module.split("/", maxsplit=1)[0]:
            for carried in self.versions(module):
                if version in ("", carried) and self._contains(module, carried, package):
                    return True
            if "/" not in module:
                return False
            module = module.rsplit("/", 1)[0]
        return False

    def _contains(self, module: str, version: str, package: str) -> bool:
        directory = f"{module}@{version}{package[len(module) :]}/"
        try:
            with zipfile.ZipFile(os.path.join(self.root, proxy_path(module, version, "zip"))) as archive:
                return any(name.startswith(directory) and name.endswith(".go") and "/" not in name[len(directory) :] for name in archive.namelist())
        except (OSError, zipfile.BadZipFile):
            return False

    def toolchains(self, platform: str) -> list[str]:
        """The Go releases for a platform."""
        before, after = module_version("|", platform).split("|")
        return [version[len(before) : -len(after)] for version in self.versions(TOOLCHAIN) if version.startswith(before) and version.endswith(after)]


@dataclasses.dataclass
class Project:
    """What a project's files say.

    ``top``: its go.mod's or go.work's directory. ``documents``: go.work and each go.mod, as ``go mod edit -json`` has them, by
    path. ``selected``: each required module's path to what it is after replaces: (path, version); not those that are
    directories. ``sums``: all its go.sum files.
    """

    top: str
    workspace: bool
    documents: dict[str, dict[str, t.Any]]
    selected: dict[str, At]
    sums: dict[gosum.Key, str]

    @property
    def required(self) -> dict[str, str]:
        """What is needed: module path to version."""
        return dict(self.selected.values())

    @property
    def members(self) -> list[str]:
        """The directories with the go.mod files of its main modules."""
        return [os.path.dirname(path) for path in self.documents if os.path.basename(path) == "go.mod"]

    def asked(self) -> dict[str, str]:
        """File name to the Go version that it asks for, where it asks."""
        found = {os.path.relpath(path, self.top): asked_by(document) for path, document in self.documents.items()}
        return {name: version for name, version in found.items() if version}


def read_project(directory: str, go: GoCommand) -> Project:
    """Read go.mod, go.work and the go.sum files of the project in ``directory``.

    :raises SpecInvalid: there is neither go.mod nor go.work.
    :raises CommandFailed: the go command can't read one.
    :raises ProjectDirty, ModuleRefused: a go.sum is malformed, or two disagree.
    """
    work = os.path.join(directory, "go.work")
    workspace = os.path.isfile(work)
    documents = {work: go.edit_json(work, workspace=True)} if workspace else {}
    uses = [str(use["DiskPath"]) for use in documents[work].get("Use") or []] if workspace else ["."]
    sums = [(directory, "go.work.sum")]
    for use in uses:
        member = os.path.normpath(os.path.join(directory, use))
        file = os.path.join(member, "go.mod")
        if not os.path.isfile(file):
            raise SpecInvalid(
                f"{member} has no go.mod", subject=member, hint="let project name the directory on this host that has the project's go.mod or go.work"
            )
        documents[file] = go.edit_json(file)
        sums.append((member, "go.sum"))
    read = {os.path.join(*place): _sums_of(os.path.join(*place)) for place in sums}
    return Project(directory, workspace, documents, _select(documents), gosum.merge(read))


def _sums_of(path: str) -> dict[gosum.Key, str]:
    try:
        with open(path, encoding="utf-8") as stream:
            return gosum.parse(stream.read(), path)
    except FileNotFoundError:
        return {}


def _select(documents: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, At]:
    """Of several members' requirements the highest, with the replaces applied."""
    replaces: dict[At, At] = {}
    own = set()
    selected: dict[str, str] = {}
    # go.work is the first, and its replaces win.
    for document in reversed(list(documents.values())):
        for replace in document.get("Replace") or []:
            old, new = replace["Old"], replace["New"]
            replaces[old["Path"], old.get("Version", "")] = (new["Path"], new.get("Version", ""))
        own.add(str((document.get("Module") or {}).get("Path")))
        for require in document.get("Require") or []:
            path, version = str(require["Path"]), str(require["Version"])
            if is_exact(version) and (path not in selected or semver_key(version) > semver_key(selected[path])):
                selected[path] = version
    after = {path: replaces.get((path, version)) or replaces.get((path, "")) or (path, version) for path, version in selected.items() if path not in own}
    return {path: new for path, new in after.items() if new[1]}


class Missing:
    """What is asked for and isn't carried, each with why; what was read and says nothing that could be carried.

    :param tree: what is carried; None where nobody knows.
    :param platform: of the toolchains that are asked for without one.
    """

    def __init__(self, tree: t.Optional[CarriedTree], platform: str) -> None:
        self.modules: dict[At, tuple[str, str]] = {}
        self.toolchains: dict[str, dict[str, str]] = {}
        self.tools: dict[At, str] = {}
        self.not_understood: dict[str, None] = {}
        self._tree = tree
        self._platform = platform

    def add_module(self, path: str, version: str, closure: str, why: str) -> None:
        known = self.modules.get((path, version))
        if known is None or _SIZES.index(closure) > _SIZES.index(known[0]):
            self.modules[path, version] = (closure, why)

    def add_toolchain(self, version: str, platform: str, why: str) -> None:
        platform = platform or self._platform
        if not (self._tree and self._tree.has(TOOLCHAIN, module_version(version, platform), "zip")):
            self.toolchains.setdefault(version, {}).setdefault(platform, why)

    def by_files(self, project: Project, own_version: str, graph_is_whole: bool, vendored: bool = False) -> None:
        """What the project's files name.

        :param own_version: the Go release that is installed here.
        :param graph_is_whole: the go command could read all go.mod files that it wants; others in go.sum are left over.
        :param vendored: its modules are in its vendor directory.
        """
        tree = self._tree
        if tree is None:
            raise AssertionError("files are compared with a tree")
        for name, version in project.asked().items():
            if not choose(version, [own_version, *tree.toolchains(self._platform)]):
                self.add_toolchain(version, "", f"{name} asks for it")
        if vendored:
            return
        zips: dict[str, list[str]] = {}
        for path, version in project.sums:
            if not version.endswith("/go.mod") and is_exact(version):
                zips.setdefault(path, []).append(version)
        for path, version in project.required.items():
            if version not in zips.get(path, []) and (path, version + "/go.mod") not in project.sums and not tree.has(path, version, "zip"):
                self.add_module(path, version, PACKAGES, "go.mod requires it, and go.sum doesn't know it")
        for path, versions in zips.items():
            # go.sum keeps lines of versions that were used before.
            version = max(versions, key=semver_key)
            if not project.workspace and path in project.required:
                version = project.required[path]
            if version in versions and not all(tree.has(path, version, ext) for ext in ("info", "mod", "zip")):
                self.add_module(path, version, ITSELF, "go.sum lists it")
        for path, version in project.sums if not graph_is_whole else ():
            version = version[: -len("/go.mod")] if version.endswith("/go.mod") else ""
            if version and not tree.has(path, version, "mod"):
                self.add_module(path, version, GOMOD, "go.sum lists its go.mod")

    def by_words(self, words: gowords.Words, project: t.Optional[Project] = None) -> None:
        """What the go command says."""
        for line in words.not_understood + (() if project else words.unnamed):
            self.not_understood[line] = None
        for wanted in words.wanted:
            if wanted.kind == gowords.RELEASE:
                self.add_toolchain(wanted.version, wanted.path, wanted.why)
            elif wanted.kind == gowords.TOOL:
                self.tools.setdefault((wanted.path, wanted.version), wanted.why)
            elif wanted.kind == gowords.PACKAGE:
                self._package(wanted, project)
            elif not self._is_here(wanted):
                self.add_module(wanted.path, wanted.version, self._closure(wanted, project), wanted.why)

    def _package(self, wanted: gowords.Wanted, project: t.Optional[Project]) -> None:
        exact = wanted.version if is_exact(wanted.version) else ""
        for path, new in project.selected.items() if project else ():
            if (wanted.path + "/").startswith(path + "/") and self.modules.get(new, (GOMOD,))[0] != GOMOD:
                # Its module is required by go.mod, and asked for already.
                return
        if not (self._tree and self._tree.provides(wanted.path, exact)) or wanted.why.startswith("go looked for"):
            self.add_module(wanted.path, wanted.version, PACKAGES, wanted.why)

    def _is_here(self, wanted: gowords.Wanted) -> bool:
        """An old output may speak of what has come since."""
        files = (wanted.file,) if wanted.file else ("info", "mod", "zip")
        return self._tree is not None and is_exact(wanted.version) and all(self._tree.has(wanted.path, wanted.version, file) for file in files)

    @staticmethod
    def _closure(wanted: gowords.Wanted, project: t.Optional[Project]) -> str:
        """What go.sum lists was there when the project was written, with all that it needs; anything else is new."""
        sums = project.sums if project else {}
        if (wanted.path, wanted.version) in sums:
            return ITSELF
        if (wanted.path, wanted.version + "/go.mod") in sums and wanted.file != "zip":
            return GOMOD
        return PACKAGES


class Questions:
    """The go command, asked about a project with a carried tree as its only source. It writes to ``scratch`` alone.

    Nothing here is proved or kept: checksums are not looked at, and no toolchain is switched to.
    """

    def __init__(self, project: Project, go: GoCommand, tree: CarriedTree, scratch: str, timeout: float) -> None:
        self._project = project
        self._go = go
        self._timeout = timeout
        self._scratch = scratch
        self._tree = tree
        self._options: list[str] = []
        self._environment = {
            **passed_environment(),
            "HOME": os.path.join(scratch, "home"),
            "TMPDIR": scratch,
            "GOENV": "off",
            "GO111MODULE": "on",
            "GOTOOLCHAIN": "local",
            "GOPROXY": tree.url,
            "GONOPROXY": "none",
            "GOSUMDB": "off",
            "GOPATH": os.path.join(scratch, "gopath"),
            "GOMODCACHE": os.path.join(scratch, "modcache"),
            "GOCACHE": os.path.join(scratch, "gocache"),
            "GOTELEMETRY": "off",
            "GOFLAGS": "-modcacherw",
            "GOWORK": "off",
        }
        os.makedirs(self._environment["HOME"])
        if project.workspace:
            self._environment["GOWORK"] = self._copy_work()
        else:
            self._options = ["-modfile=" + self._copy_mod("whole")]

    def _copy_mod(self, name: str, drop: t.Sequence[str] = ()) -> str:
        """go.mod and go.sum beside each other, for go to write to: asking for no newer Go than the one that reads it."""
        directory = os.path.join(self._scratch, name)
        os.mkdir(directory)
        for file in ("go.mod", "go.sum"):
            path = os.path.join(self._project.top, file)
            if os.path.exists(path):
                shutil.copyfile(path, os.path.join(directory, file))
        edits = ["-droprequire=" + path for path in drop]
        if any(choose(version, [self._go.version]) == "" for version in self._project.asked().values()):
            edits += ["-go=" + self._go.version, "-toolchain=none"]
        copy = os.path.join(directory, "go.mod")
        if edits:
            self._run(["mod", "edit", *edits, copy], "/")
        return copy

    def _copy_work(self) -> str:
        """go.work with whole paths, so that it can be elsewhere: go writes go.work.sum beside it."""
        top = self._project.top
        document = self._project.documents[os.path.join(top, "go.work")]
        lines = [f"go {document['Go']}"] if document.get("Go") else []
        lines += [f"use {json.dumps(member)}" for member in self._project.members]
        for replace in document.get("Replace") or []:
            old, new = replace["Old"], replace["New"]
            target = new["Path"] if new.get("Version") else json.dumps(os.path.normpath(os.path.join(top, new["Path"])))
            lines.append(f"replace {old['Path']} {old.get('Version', '')} => {target} {new.get('Version', '')}")
        copy = os.path.join(self._scratch, "go.work")
        with open(copy, "w", encoding="utf-8") as stream:
            stream.writelines(line + "\n" for line in lines)
        sums = os.path.join(top, "go.work.sum")
        if os.path.exists(sums):
            shutil.copyfile(sums, copy + ".sum")
        return copy

    def is_vendored(self) -> bool:
        """Whether a vendor directory has all that builds and tests need."""
        return os.path.exists(os.path.join(self._project.top, "vendor", "modules.txt")) and not self._list("vendor")

    def graph_is_whole(self) -> bool:
        """Whether the go.mod files of all that it requires, directly or not, are carried."""
        if not all(self._tree.has(*new, "mod") for new in self._project.selected.values()):
            return False
        return self._run([*("mod", "graph"), *self._options], self._project.top).status == 0

    def builds(self) -> gowords.Words:
        """What go says of all packages, tests and tools of the project, as it is; then let loose on copies of go.mod and go.sum."""
        absent = [path for path, new in self._project.selected.items() if not self._tree.has(*new, "mod")]
        if absent and not self._project.workspace:
            # Where go can't read one requirement it says nothing of the imports; without them it says what else there is.
            self._options = ["-modfile=" + self._copy_mod("readable", absent)]
        said = self._list("readonly")
        # What go could mend by itself from the tree, isn't missing; it's let try where there is one go.mod.
        if said and not self._project.workspace:
            said = self._list("mod")
        return gowords.read(said)

    def _list(self, mode: str) -> str:
        said = ""
        for path, document in self._project.documents.items():
            if os.path.basename(path) == "go.mod":
                patterns = ["./..."] + (["tool"] if document.get("Tool") else [])
                argv = ["list", "-deps", "-test", "-buildvcs=false", "-mod=" + mode, *self._options, *patterns]
                finished = self._run(argv, os.path.dirname(path))
                said += finished.stderr if finished.status else ""
        return said

    def _run(self, argv: t.Sequence[str], cwd: str) -> process.Finished:
        return process.run([self._go.binary, *argv], env=self._environment, cwd=cwd, timeout=self._timeout, check=False, what="go " + argv[0], tail=_WORDS)


def entry_of(path: str, version: str, closure: str, beside: t.Mapping[str, str]) -> t.Union[str, dict[str, t.Any]]:
    """A module as a spec has it; ``beside`` are the requirements of the project that it's for."""
    others = sorted(f"{other}@{at}" for other, at in beside.items() if other != path)
    if closure == PACKAGES and not others:
        return f"{path}@{version}"
    entry: dict[str, t.Any] = {"module": f"{path}@{version}", "closure": closure}
    if closure == PACKAGES:
        entry["beside"] = others
    return entry
