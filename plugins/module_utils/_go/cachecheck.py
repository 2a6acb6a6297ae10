# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a GOMODCACHE holds against the hashes that it must have: unpacked modules, zips, go.mod files, marks, and what nobody asked for.

An unpacked module is hashed as ``go mod verify`` does it (golang.org/x/mod/sumdb/dirhash, HashDir). Only when that h1 isn't the right
one is the zip looked into, for the names of the files that differ. Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from .._base.errors import ModuleRefused
from .._base.findings import Comparison, Finding, Found, Known, Mend, Want, hash_file, look, take_stock
from .escape import escape_path, escape_version
from .h1 import Summary, gomod_h1_of, zip_h1
from .modcache import ModuleCache, version_list
from .modzip import WHOLE, ModuleZip
from .toolchain import MODULE as TOOLCHAIN
from .unpacked import STOCK_ENV, file_mode, placed

# What go itself, and we, keep beside the modules: locks, the checksum database's client state, clones.
_OWN = frozenset({"cache/lock", "cache/airgap", "cache/vcs", "cache/download/sumdb"})
# What go may leave beside a version's files (cmd/go/internal/modfetch, cache.go).
_LEAVINGS = frozenset({"lock", "partial"})


@dataclasses.dataclass(frozen=True)
class Checked:
    """One module version and what its files must be.

    ``h1``: the zip's and the directory's; ``gomod_h1``; ``zip_sha256``, ``info_sha256``: hex. What is "" isn't known, and isn't checked.
    ``zip``: whether more than its go.mod is to be here; ``source``: a zip to look into, "" for none;
    ``mend``: what sets this version right.
    """

    path: str
    version: str
    h1: str
    gomod_h1: str
    zip_sha256: str = ""
    info_sha256: str = ""
    zip: bool = True
    source: str = ""
    mend: Mend = ()

    @property
    def name(self) -> str:
        return f"{self.path}@{self.version}"

    @property
    def kind(self) -> str:
        return "toolchain" if self.path == TOOLCHAIN else "modcache"


@dataclasses.dataclass(frozen=True)
class Rights:
    """Who must own everything; ``exact``: whether modes are to be those that we give, else only that nobody but the owner may write."""

    owner: int
    exact: bool = True


class CacheCheck:
    """The examination of one GOMODCACHE.

    :param known: files whose SHA-256 is known already.
    """

    def __init__(self, cache: ModuleCache, rights: Rights, known: t.Optional[Known] = None) -> None:
        self._cache = cache
        self._rights = rights
        self._known = known or {}

    def version(self, module: Checked) -> tuple[list[Finding], int]:
        """One module version: its files below cache/download, and its directory. Returns the findings and how many bytes were read."""
        findings, read = self._files(module)
        if module.zip:
            more, size = self._directory(module)
            findings += more
            read += size
        return findings, read

    # -- below cache/download

    def _files(self, module: Checked) -> tuple[list[Finding], int]:
        where = os.path.dirname(self._cache.download(module.path, module.version, "mod"))
        files = {"mod": Want("", 0o444)}
        if module.info_sha256:
            files["info"] = Want(module.info_sha256, 0o444)
        if module.zip:
            files["zip"] = Want(module.zip_sha256, 0o444)
            files["ziphash"] = Want("", 0o644)
            if module.path == TOOLCHAIN and self._rights.exact:
                files["lock"] = Want("", 0o644)
        stem = escape_version(module.version)
        stock: dict[str, Found] = {}
        read = 0
        for extension, want in files.items():
            found, size = look(os.path.join(where, f"{stem}.{extension}"), self._known, bool(want.sha256))
            read += size
            if found is not None:
                stock[f"{stem}.{extension}"] = found
        wanted = {f"{stem}.{extension}": want for extension, want in files.items() if self._rights.exact or f"{stem}.{extension}" in stock}
        findings = self._compared(module, where, wanted, stock)
        if not any(finding.problem in ("missing", "changed") and finding.path.endswith(".mod") for finding in findings):
            findings += self._gomod(module)
        if module.zip:
            findings += self._mark(module)
            if not module.zip_sha256 and stock.get(f"{stem}.zip", Found("", "", 0, 0)).kind == "file":
                path = os.path.join(where, f"{stem}.zip")
                found_h1 = _h1_of_zip(path)
                read += os.stat(path).st_size
                if module.h1 and found_h1 != module.h1:
                    findings.append(Finding(module.kind, module.name, path, "changed", module.h1, found_h1, module.mend))
        return findings, read

    def _gomod(self, module: Checked) -> list[Finding]:
        path = self._cache.download(module.path, module.version, "mod")
        try:
            sha256 = hash_file(path)
        except FileNotFoundError:
            return []
        found = gomod_h1_of(sha256) if sha256 else "can't be read"
        if not module.gomod_h1 or found == module.gomod_h1:
            return []
        return [Finding(module.kind, module.name, path, "changed", module.gomod_h1, found, module.mend)]

    def _mark(self, module: Checked) -> list[Finding]:
        path = self._cache.download(module.path, module.version, "ziphash")
        if not os.path.isfile(path) or os.path.islink(path):
            # Where it's no mark of ours its absence means that go will fetch the module again.
            return []
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                found = stream.read(200).strip()
        except OSError:
            found = "can't be read"
        return [Finding(module.kind, module.name, path, "changed", module.h1, found, module.mend)] if module.h1 and found != module.h1 else []

    # -- the unpacked module

    def _directory(self, module: Checked) -> tuple[list[Finding], int]:
        top = self._cache.directory(module.path, module.version)
        found, _size = look(top, {})
        if found is None:
            if not self._rights.exact and not os.path.exists(self._cache.download(module.path, module.version, "zip")):
                return [], 0
            return ([Finding(module.kind, module.name, top, "missing", mend=module.mend)] if self._rights.exact else []), 0
        if found.kind != "directory":
            return [Finding(module.kind, module.name, top, "changed", "a directory", str(found), module.mend)], 0
        stock, read = take_stock(top, self._known)
        toolchain = module.path == TOOLCHAIN
        env = toolchain and bool(self._cache.go_env_target)
        own = {"": found}
        if module.h1 and _h1_of_stock(module, stock, env) != module.h1:
            return self._named(module, top, stock, own, env), read
        made = {name: Want(stock[name].sha256, file_mode(name, toolchain)) for name in stock if stock[name].kind == "file"}
        return self._compared(module, top, {**made, **self._env(env)}, stock, own), read

    def _env(self, env: bool) -> dict[str, Want]:
        return {"go.env": Want("", target=self._cache.go_env_target)} if env else {}

    def _named(self, module: Checked, top: str, stock: t.Mapping[str, Found], own: t.Mapping[str, Found], env: bool) -> list[Finding]:
        """Which files of a module aren't as its zip has them."""
        try:
            # A zip that was changed along with the directory would bear it out.
            if not module.source or (not module.zip_sha256 and _h1_of_zip(module.source) != module.h1):
                raise ModuleRefused("there is no zip that is right")
            wanted = self._of_zip(module, env)
        except (ModuleRefused, OSError):
            return [Finding(module.kind, module.name, top, "changed", module.h1, _h1_of_stock(module, stock, env), module.mend)]
        return self._compared(module, top, {**wanted, **self._env(env)}, stock, own)

    def _of_zip(self, module: Checked, env: bool) -> dict[str, Want]:
        with ModuleZip(module.source) as archive:
            files = placed(archive.files_below(f"{module.name}/"), module.path == TOOLCHAIN, env)
            wanted = {}
            for file in files:
                if file.member.size <= WHOLE:
                    sha256 = hashlib.sha256(archive.content(file.member)).hexdigest()
                else:
                    seen = hashlib.sha256()
                    for chunk in archive.chunks(file.member):
                        seen.update(chunk)
                    sha256 = seen.hexdigest()
                wanted[file.name] = Want(sha256, file.mode)
            return wanted

    def _compared(
        self, module: Checked, top: str, wanted: t.Mapping[str, Want], stock: t.Mapping[str, Found], own: t.Optional[t.Mapping[str, Found]] = None
    ) -> list[Finding]:
        whole = own is not None
        comparison = Comparison(
            top,
            self._rights.owner,
            label=lambda _name: (module.kind, module.name),
            mend=lambda _name: module.mend,
            stray=lambda name: ("remove", os.path.join(top, name)) if module.mend else (),
            directory_mode=0o555 if whole else None,
            rights=self._rights.exact,
        )
        found = comparison.differences(wanted, {**stock, **(own or {})})
        return found if self._rights.exact else found + self._writable(module, comparison, {**stock, **(own or {})})

    def _writable(self, module: Checked, comparison: Comparison, stock: t.Mapping[str, Found]) -> list[Finding]:
        return [
            Finding(module.kind, module.name, comparison.path(name), "mode", "not writable for others", f"{found.mode:04o}")
            for name, found in stock.items()
            if found.kind in ("file", "directory") and found.mode & 0o002
        ]

    # -- what nobody asked for

    def strays(self, expected: t.Iterable[tuple[str, str]]) -> list[Finding]:
        """What is in the cache and belongs to none of the ``expected`` (path, version); and what isn't a directory but should be.

        Whole modules that nobody asked for aren't ours to remove: prune does that, or a person.
        """
        directories: set[str] = set()
        stems: dict[str, set[str]] = {}
        for path, version in expected:
            directories.add(f"{escape_path(path)}@{escape_version(version)}")
            stems.setdefault(f"cache/download/{escape_path(path)}/@v", set()).add(escape_version(version))
        parents: set[str] = {""}
        for name in (*directories, *(f"{directory}/x" for directory in (*stems, "cache/download"))):
            while name:
                name = name.rpartition("/")[0]
                parents.add(name)
        findings: list[Finding] = []
        self._below("", parents, directories, stems, findings)
        return findings

    def _below(
        self, directory: str, parents: t.AbstractSet[str], directories: t.AbstractSet[str], stems: t.Mapping[str, set[str]], findings: list[Finding]
    ) -> None:
        at = os.path.join(self._cache.root, directory)
        if not os.path.isdir(at):
            return
        names = sorted(os.listdir(at))
        versions = stems.get(directory)
        if versions is not None:
            findings += self._list(directory, at, names)
        for name in names:
            relative = f"{directory}/{name}" if directory else name
            if relative in directories or relative in _OWN:
                continue
            found, _size = look(os.path.join(at, name), {}, hashed=False)
            if found is None:
                continue
            if relative in parents:
                findings += self._parent(relative, found)
                if found.kind == "directory":
                    self._below(relative, parents, directories, stems, findings)
            elif versions is None or not _belongs(name, versions):
                subject = relative[len("cache/download/") :] if relative.startswith("cache/download/") else relative
                findings.append(Finding("modcache", subject, os.path.join(at, name), "stray", found="" if found.kind == "file" else str(found)))

    def _parent(self, name: str, found: Found) -> list[Finding]:
        path = os.path.join(self._cache.root, name)
        if found.kind != "directory":
            return [Finding("modcache", name, path, "changed", "a directory", str(found), ("remove", path))]
        findings = []
        if found.mode & 0o022:
            findings.append(Finding("modcache", name, path, "mode", "0755", f"{found.mode:04o}", ("mode", path, "755")))
        if found.uid != self._rights.owner:
            findings.append(Finding("modcache", name, path, "owner", str(self._rights.owner), str(found.uid), ("owner", path, str(self._rights.owner))))
        return findings

    def _list(self, directory: str, at: str, names: t.Sequence[str]) -> list[Finding]:
        subject = directory[len("cache/download/") : -len("/@v")]
        path = os.path.join(at, "list")
        found, _size = look(path, {})
        want = hashlib.sha256(version_list(names)).hexdigest()
        if found is None:
            return [Finding("modcache", subject, path, "missing", mend=("list", at))]
        if found.sha256 != want:
            return [Finding("modcache", subject, path, "changed", want, found.sha256 or str(found), ("list", at))]
        return []


def _belongs(name: str, stems: t.AbstractSet[str]) -> bool:
    if name == "list":
        return True
    stem, _dot, extension = name.rpartition(".")
    return stem in stems and (extension in _LEAVINGS or extension in ("info", "mod", "zip", "ziphash"))


def _h1_of_stock(module: Checked, stock: t.Mapping[str, Found], env: bool) -> str:
    """The h1 of what is in a module's directory; "" where there is what no module has."""
    summary = Summary()
    toolchain = module.path == TOOLCHAIN
    filled = {""}
    for name, found in stock.items():
        if found.kind == "directory":
            continue
        above = name
        while above:
            above = above.rpartition("/")[0]
            filled.add(above)
        if env and name == "go.env" and found.kind == "link":
            continue
        if found.kind != "file":
            return ""
        if toolchain and os.path.basename(name) == "go.mod":
            # The copy that go makes of _go.mod isn't in the zip.
            twin = stock.get(name[: -len("go.mod")] + "_go.mod")
            if twin is not None and twin.kind == "file":
                if twin.sha256 != found.sha256:
                    return ""
                continue
        raw = "go.env" if env and name == STOCK_ENV else name
        summary.add(f"{module.name}/{raw}".encode("utf-8", "surrogateescape"), found.sha256)
    if any(found.kind == "directory" and name not in filled for name, found in stock.items()):
        # An empty directory has no line in an h1.
        return ""
    return summary.h1()


def _h1_of_zip(path: str) -> str:
    try:
        return zip_h1(path)
    except (ModuleRefused, OSError) as exc:
        return f"no zip that can be read ({exc})"
