# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This collection as a tarball that ansible-galaxy installs, and a program made of some of its own files: the same bytes from the same files.

The tarball's form is ansible-galaxy's: https://docs.ansible.com/ansible/latest/dev_guide/collections_galaxy_meta.html. What is installed has
MANIFEST.json and FILES.json, a checkout has galaxy.yml.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import ast
import contextlib
import gzip
import hashlib
import io
import json
import os
import posixpath
import sys
import tarfile
import tempfile
import typing as t
import zipfile

from .._base import process
from .._base.errors import CommandFailed, DepotDamaged, SpecInvalid
from .._base.files import link_or_copy, replacing, write_atomically

_UTILS = "plugins/module_utils/"

#: The package that a program's files are in.
_PACKAGE = "airgap_golang"


def tarball(source: str, directory: str) -> tuple[str, str]:
    """Put the collection's tarball into ``directory``; (its path, the collection's version).

    :param source: a tarball, which stays as it is; or the directory of an installed collection or of a checkout.
    :raises SpecInvalid: it's none of these, or an installed collection was changed.
    """
    if os.path.isfile(source):
        members = _read(source)
        return _placed(members, source, directory)
    if os.path.isfile(os.path.join(source, "MANIFEST.json")):
        return _placed(_installed(source), "", directory)
    if not os.path.isfile(os.path.join(source, "galaxy.yml")):
        raise SpecInvalid(f"{source} is no collection", subject=source, hint="name the directory that has MANIFEST.json or galaxy.yml, or a tarball")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            # It knows what build_ignore leaves out.
            command = [sys.executable, "-m", "ansible", "galaxy", "collection", "build", "--output-path", scratch]
            env = {**os.environ, "ANSIBLE_LOCAL_TEMP": scratch}
            process.run(command, cwd=source, env=env, timeout=300, what="ansible-galaxy collection build", locale="C.UTF-8")
        except CommandFailed as exc:
            raise SpecInvalid(f"the collection in {source} can't be packed: {exc.found}", subject=source, found=exc.found) from None
        (built,) = [name for name in os.listdir(scratch) if name.endswith(".tar.gz")]
        return _placed(_read(os.path.join(scratch, built)), "", directory)


_Members = t.Dict[str, t.Tuple[t.Optional[bytes], bool]]


def _placed(members: _Members, as_it_is: str, directory: str) -> tuple[str, str]:
    try:
        info = json.loads(members["MANIFEST.json"][0] or b"")["collection_info"]
        name = f"{info['namespace']}-{info['name']}-{info['version']}.tar.gz"
    except (ValueError, KeyError, TypeError) as exc:
        raise SpecInvalid(f"the collection has no sound MANIFEST.json ({type(exc).__name__}: {exc})", subject=as_it_is) from None
    path = os.path.join(directory, name)
    if as_it_is:
        link_or_copy(as_it_is, path)
    else:
        _write(_in_order(members), path)
    return path, str(info["version"])


def _read(path: str) -> _Members:
    """A tarball's members: name to content (None: a directory) and whether it's executable."""
    members: _Members = {}
    try:
        with tarfile.open(path) as archive:
            for info in archive:
                stream = archive.extractfile(info) if info.isfile() else None
                members[info.name] = (stream.read() if stream else None, bool(info.mode & 0o100))
    except tarfile.TarError as exc:
        raise SpecInvalid(f"{path} is no tarball of a collection: {exc}", subject=path) from None
    return members


def _installed(directory: str) -> _Members:
    """What an installed collection was made from, by its FILES.json: what somebody put beside that stays here."""
    members: _Members = {}

    def take(name: str, expected: str) -> bytes:
        path = os.path.join(directory, name)
        try:
            with open(path, "rb") as stream:
                content = stream.read()
            executable = os.access(path, os.X_OK)
        except OSError as exc:
            raise SpecInvalid(f"the collection in {directory} isn't whole: {name}: {exc.strerror}", subject=path, hint="install it again") from None
        found = hashlib.sha256(content).hexdigest()
        if expected and found != expected:
            hint = "ansible-galaxy wouldn't install it so on the other side: install it again, or name a tarball"
            raise SpecInvalid(f"{path} was changed after it was installed", subject=path, expected=expected, found=found, hint=hint)
        members[name] = (content, executable)
        return content

    manifest = json.loads(take("MANIFEST.json", ""))
    for entry in json.loads(take("FILES.json", manifest["file_manifest_file"]["chksum_sha256"]))["files"]:
        if entry["name"] == ".":
            continue
        if entry["ftype"] == "dir":
            members[entry["name"]] = (None, True)
        else:
            take(entry["name"], entry["chksum_sha256"])
    return members


def _in_order(members: _Members) -> _Members:
    """FILES.json lists files as the file system did: in one order, so that two builds are the same."""
    listed = json.loads(members["FILES.json"][0] or b"")
    listed["files"].sort(key=lambda entry: str(entry["name"]))
    files = json.dumps(listed, indent=1, sort_keys=True).encode()
    manifest = json.loads(members["MANIFEST.json"][0] or b"")
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(files).hexdigest()
    return {**members, "FILES.json": (files, False), "MANIFEST.json": (json.dumps(manifest, indent=1, sort_keys=True).encode(), False)}


def _write(members: _Members, path: str) -> None:
    """A tar.gz in which nothing depends on when, by whom or where it was made."""
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(replacing(path))
        zipped = stack.enter_context(gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0))
        archive = stack.enter_context(tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT))
        # ansible-galaxy reads these two first.
        for name in sorted(members, key=lambda name: (name not in ("MANIFEST.json", "FILES.json"), name)):
            content, executable = members[name]
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.mode = 0o755 if executable or content is None else 0o644
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))


def write_program(path: str, verb: str, dest: str) -> None:
    """A zip that ``python3`` runs: the verb's ``main()``, out of the collection's tarball ``path``, with all files of it that it imports.

    Nothing in it is compressed or dated, so it's the same wherever it's made, and can be read.

    :raises DepotDamaged: the collection has no such verb.
    """
    members = _read(path)
    sources = {name[len(_UTILS) :]: content for name, (content, _executable) in members.items() if name.startswith(_UTILS) and content is not None}
    start = f"{verb}.py"
    if start not in sources:
        raise DepotDamaged(f"{path} has no {_UTILS}{start}", subject=path, hint="name the collection of this very version")
    chosen: dict[str, bytes] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in chosen:
            continue
        chosen[name] = sources[name]
        waiting += [found for found in _imports(name, sources[name]) if found in sources]
    packages = {"__init__.py", *(posixpath.join(posixpath.dirname(name), "__init__.py") for name in chosen)}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        main = f"import sys\n\nfrom {_PACKAGE}.{verb} import main\n\nsys.exit(main())\n".encode()
        files = {**dict.fromkeys(packages, b""), **chosen}
        for name, content in {"__main__.py": main, **{f"{_PACKAGE}/{name}": files[name] for name in sorted(files)}}.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    write_atomically(dest, stream.getvalue(), 0o755)


def _imports(name: str, source: bytes) -> t.Iterator[str]:
    """The files that a file's relative imports may mean."""
    package = name.split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = [*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else [])]
            yield "/".join(start) + ".py"
            yield from ("/".join([*start, alias.name]) + ".py" for alias in node.names)
