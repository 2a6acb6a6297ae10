# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go release archives: small ones in their form, and an official one put together again out of the proxy's toolchain."""

from __future__ import annotations

import gzip
import hashlib
import io
import pathlib
import tarfile
import typing as t
import zipfile

# What an archive has and the module hasn't.
ONLY_IN_ARCHIVES = {"api/go1.txt": b"pkg fmt\n", "doc/README.md": b"doc\n", "misc/go.mod": b"module misc\n", "test/a.go": b"package a\n"}


def small_release(version: str = "1.26.8", platform: str = "linux/amd64") -> dict[str, bytes]:
    """What a release has, in some bytes, by name below go/."""
    suffix = ".exe" if platform.startswith("windows/") else ""
    return {
        "VERSION": f"go{version}\ntime 2026-08-28T16:20:06Z\n".encode(),
        **ONLY_IN_ARCHIVES,
        f"bin/go{suffix}": b"the go command\n",
        "go.env": b"GOTOOLCHAIN=auto\n",
        f"pkg/tool/{platform.replace('/', '_')}/compile{suffix}": b"the compiler\n",
        "src/cmd/go.mod": b"module cmd\n",
        "src/go.mod": b"module std\n",
        "src/notgo.mod": b"no go.mod\n",
    }


def write_tar(path: pathlib.Path, files: t.Mapping[str, bytes], *, top: str = "go/", extra: t.Sequence[tarfile.TarInfo] = ()) -> str:
    """Write a .tar.gz with directories, ``extra`` (without content) after the files; its SHA-256."""
    with gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        directories: set[str] = set()
        for name, content in files.items():
            for parent in reversed(pathlib.PurePosixPath(top + name).parents[:-1]):
                if str(parent) not in directories:
                    directories.add(str(parent))
                    entry = tarfile.TarInfo(str(parent))
                    entry.type = tarfile.DIRTYPE
                    archive.addfile(entry)
            entry = tarfile.TarInfo(top + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in extra:
            archive.addfile(entry, io.BytesIO(b"\0" * entry.size))
    return sha256(path)


def write_zip(path: pathlib.Path, files: t.Mapping[str, bytes]) -> str:
    """Write a .zip as releases for Windows are; its SHA-256."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo("go/" + name), content)
    return sha256(path)


def official_archive(toolchain: str, prefix: str, path: pathlib.Path) -> str:
    """Undo what makes a module zip of a release: put go.mod files back, and add what modules haven't. Its SHA-256."""
    with zipfile.ZipFile(toolchain) as archive, gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) as stream:
        release = tarfile.open(fileobj=stream, mode="w|")  # noqa: SIM115 - closed below
        for name, content in ONLY_IN_ARCHIVES.items():
            entry = tarfile.TarInfo("go/" + name)
            entry.size = len(content)
            release.addfile(entry, io.BytesIO(content))
        for info in archive.infolist():
            name = info.filename[len(prefix) :]
            entry = tarfile.TarInfo("go/" + (name[: -len("_go.mod")] + "go.mod" if name.endswith("/_go.mod") else name))
            entry.size = info.file_size
            with archive.open(info) as reader:
                release.addfile(entry, reader)
        release.close()
    return sha256(path)


def sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
