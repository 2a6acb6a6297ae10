# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting a project's source into a directory of our own: from a directory, from git, from a module zip.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import shutil
import typing as t

from .._base import process
from .._base.errors import CommandFailed, FetchFailed, SpecInvalid
from .._base.files import sha256_of
from .._base.urls import scrub
from .advice import advice
from .codec import FASTEST
from .command import whole_environment
from .gitconfig import add_config, split_userinfo, without_passwords_in_arguments
from .modzip import WHOLE, ModuleZip

VERSION_CONTROL = (".git", ".hg", ".svn", ".bzr", "_darcs")
_REQUIREMENTS = ("go.mod", "go.sum", "go.work", "go.work.sum")


class SourceFile(t.NamedTuple):
    """A file of a source: its path below the source, where it is, whether it can be executed."""

    name: str
    path: str
    executable: bool


def walk(root: str, exclude: t.Sequence[str] = (), skip: t.Sequence[str] = VERSION_CONTROL) -> t.Iterator[SourceFile]:
    """The regular files below ``root`` in sorted order; links are followed where they stay below it.

    :param exclude: globs on the path below the source (fnmatch), which leave out files and whole directories.
    :raises SpecInvalid: it's no directory, a link leads outside, or there is something that is neither file nor directory.
    """
    top = os.path.realpath(root)
    if not os.path.isdir(top):
        raise SpecInvalid(f"there is no directory {root}", subject=root, hint="source.path is a directory on the connected control node")

    def below(directory: str, prefix: str, ancestors: tuple[str, ...]) -> t.Iterator[SourceFile]:
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            name, path, relative = entry.name, entry.path, prefix + entry.name
            if name in skip or any(fnmatch.fnmatchcase(relative, pattern) for pattern in exclude):
                continue
            if entry.is_symlink() and not _leads_below(path, top):
                raise SpecInvalid(
                    f"{path} is a link to {os.readlink(path)}, which isn't below {root}",
                    subject=path,
                    found=os.readlink(path),
                    hint="what it points to would be missing on the hosts: let source.path name the common parent, or exclude the link",
                )
            if entry.is_dir():
                real = os.path.realpath(path) if entry.is_symlink() else os.path.join(ancestors[-1], entry.name)
                if real not in ancestors:
                    yield from below(path, relative + "/", (*ancestors, real))
            elif entry.is_file():
                yield SourceFile(relative, path, bool(entry.stat().st_mode & 0o100))
            else:
                raise SpecInvalid(f"{path} is neither a file nor a directory", subject=path, hint="exclude it")

    yield from below(root, "", (top,))


def _leads_below(link: str, top: str) -> bool:
    """Whether a link's end is there, and below ``top``."""
    real = os.path.realpath(link)
    return (real + "/").startswith(top + "/") and os.path.exists(real)


def digest(root: str, exclude: t.Sequence[str] = ()) -> str:
    """One hex SHA-256 over the names, exec bits and contents of a directory's files."""
    total = hashlib.sha256()
    for name, path, executable in walk(root, exclude):
        total.update(f"{sha256_of(path)[0]} {int(executable)} {name}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def copy_directory(root: str, dest: str, exclude: t.Sequence[str] = ()) -> None:
    """Copy a source, so that vendoring never writes into the user's directory."""
    for name, path, executable in walk(root, exclude):
        target = os.path.join(dest, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, target)
        os.chmod(target, 0o755 if executable else 0o644)


def _git(argv: t.Sequence[str], what: str, cwd: t.Optional[str] = None, credentials: t.Optional[t.Mapping[str, str]] = None) -> str:
    # A question for a password would hang where nobody can answer.
    environment = dict(whole_environment(), GIT_TERMINAL_PROMPT="0", **(credentials or {}))
    environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    return process.run(["git", *argv], cwd=cwd, env=without_passwords_in_arguments(environment), timeout=1800, what=what).stdout


def split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """An http(s) URL without its user name and password, and the environment that gives them to git.

    In a URL they'd be in argv, for every user of this machine to see, and in git's own messages.
    """
    bare, setting = split_userinfo(url)
    if not setting[0]:
        return url, {}
    added = add_config({"GIT_CONFIG_COUNT": os.environ.get("GIT_CONFIG_COUNT", "")}, [setting])
    return bare, added


def git_commit(url: str, ref: str) -> str:
    """The commit (40 hex digits) that a branch, tag or commit means now.

    :raises FetchFailed: the repository has no such ref, or doesn't answer.
    """
    if re.fullmatch(r"[0-9a-f]{40}", ref):
        return ref
    bare, credentials = split_credentials(url)
    try:
        answer = _git(["ls-remote", "--", bare, ref, f"{ref}^{{}}"], "git ls-remote", credentials=credentials)
    except CommandFailed as exc:
        raise _not_had(url, ref, exc.found or exc.message) from None
    found: dict[str, str] = {}
    for line in answer.splitlines():
        commit, _tab, name = line.partition("\t")
        found[name] = commit
    # An annotated tag's own line is the tag object; the ^{} line is the commit.
    for name in (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}", f"{ref}^{{}}", ref):
        if name in found:
            return found[name]
    raise _not_had(url, ref, "no such branch or tag")


def clone(url: str, ref: str, commit: str, dest: str) -> None:
    """Check a commit out, submodules included, without history where the server allows it.

    :raises FetchFailed: the repository doesn't have it, or doesn't answer.
    """
    os.makedirs(dest, exist_ok=True)
    bare, credentials = split_credentials(url)
    try:
        _git(["init", "-q"], "git init", dest)
        # Submodules' relative URLs mean places beside the origin's.
        _git(["remote", "add", "--", "origin", bare], "git remote add", dest)
        try:
            _git(["fetch", "-q", "--depth", "1", "--", bare, commit], "git fetch", dest, credentials)
        except CommandFailed:
            # Not every server gives out single commits.
            _git(["fetch", "-q", "--tags", "--", bare, "+refs/heads/*:refs/remotes/origin/*"], "git fetch", dest, credentials)
        _git(["-c", "advice.detachedHead=false", "checkout", "-q", "--detach", commit], "git checkout", dest)
        if os.path.exists(os.path.join(dest, ".gitmodules")):
            _git(["submodule", "update", "-q", "--init", "--recursive", "--depth", "1"], "git submodule update", dest, credentials)
    except CommandFailed as exc:
        raise _not_had(url, ref, exc.found or exc.message) from None


def _not_had(url: str, ref: str, why: str) -> FetchFailed:
    shown, words = scrub(url), scrub(why)
    hint = advice(words) or "check the address, the ref and git's credentials"
    return FetchFailed(f"{shown} at {ref} can't be had: {words}", subject=shown, found=words, hint=hint)


def extract_zip(path: str, module: str, version: str, dest: str, wanted: t.Callable[[str], bool] = lambda name: True) -> None:
    """A module zip's files below ``dest``, without the ``module@version/`` in front of their names; version control's, if there are any, stay out.

    :param wanted: tells by that name which of them.
    :raises ModuleRefused: a member is not what a module zip may hold.
    """
    made: set[str] = set()
    with ModuleZip(path, FASTEST) as archive:
        for name, member in archive.files_below(f"{module}@{version}/"):
            if any(part in VERSION_CONTROL for part in name.split("/")) or not wanted(name):
                continue
            target = os.path.join(dest, name)
            parent = os.path.dirname(target)
            if parent not in made:
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            with open(target, "xb", buffering=0) as stream:
                for chunk in archive.chunks(member) if member.size > WHOLE else [archive.content(member)]:
                    stream.write(chunk)


class ZippedSource(t.NamedTuple):
    """The source that a module zip at ``path`` has: in ``directory`` of it is the go.mod or go.work whose vendor directory isn't wanted.

    What it requires comes out first, so that fetching that needn't wait for thousands of files.
    """

    path: str
    module: str
    version: str
    directory: str

    def extract_requirements(self, dest: str) -> None:
        """:raises ModuleRefused: as ``extract_zip``."""
        extract_zip(self.path, self.module, self.version, dest, lambda name: self._is_requirement(name) and not self._is_vendored(name))

    def extract_rest(self, dest: str) -> None:
        """:raises ModuleRefused: as ``extract_zip``."""
        extract_zip(self.path, self.module, self.version, dest, lambda name: not (self._is_requirement(name) or self._is_vendored(name)))

    @staticmethod
    def _is_requirement(name: str) -> bool:
        return name.rsplit("/", 1)[-1] in _REQUIREMENTS

    def _is_vendored(self, name: str) -> bool:
        return name.startswith(os.path.normpath(os.path.join(self.directory, "vendor")) + "/")


def packed_files(root: str, below: str) -> t.Iterator[SourceFile]:
    """The files below ``root/below``, named relative to ``root``."""
    prefix = "" if below == "." else os.path.normpath(below) + "/"
    for file in walk(os.path.join(root, prefix), skip=VERSION_CONTROL):
        yield SourceFile(prefix + file.name, file.path, file.executable)
