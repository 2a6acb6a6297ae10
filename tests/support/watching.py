# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking for secrets: in what all processes are called with, and in every file, archives unpacked."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import os
import pathlib
import tarfile
import threading
import typing as t
import urllib.parse
import zipfile
import zlib


@contextlib.contextmanager
def watched_arguments() -> t.Iterator[set[str]]:
    """The arguments of all processes of this machine that live while the context does, as far as they're seen."""
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as stream:
                    seen.add(stream.read().replace(b"\0", b" ").decode("utf-8", "replace"))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def forms(secret: str) -> set[bytes]:
    """A secret as it is, percent-encoded, and in base64 wherever it begins in what is encoded."""
    plain = secret.encode()
    found = {plain, urllib.parse.quote(secret, safe="").encode(), "".join(f"%{byte:02x}" for byte in plain).encode()}
    for before in range(3):
        # The characters that other bytes take part in are cut off.
        whole = base64.b64encode(b"\0" * before + plain)
        inner = whole[-(-before * 8 // 6) : len(plain + b"\0" * before) * 8 // 6]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def everything(path: pathlib.Path) -> t.Iterator[tuple[str, bytes]]:
    """(name, content) of every file at or below ``path``; what tars, zips and gzips hold too."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and not file.is_symlink():
            yield str(file), b""
            yield from _inside(str(file), file.read_bytes())


def _inside(name: str, content: bytes) -> t.Iterator[tuple[str, bytes]]:
    yield name, content
    if content[:2] == b"PK":
        with contextlib.suppress(zipfile.BadZipFile, RuntimeError, NotImplementedError), zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield from _inside(f"{name}!{member}", archive.read(member))
    elif content[:2] == b"\x1f\x8b":
        with contextlib.suppress(OSError, EOFError, zlib.error):
            yield from _inside(f"{name}!", gzip.decompress(content))
    elif content[257:262] == b"ustar":
        with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for entry in archive:
                stream = archive.extractfile(entry) if entry.isfile() else None
                if stream:
                    yield from _inside(f"{name}!{entry.name}", stream.read())


def found(secrets: t.Mapping[str, str], names_and_contents: t.Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """(which secret, where) for every secret that is seen in any form."""
    wanted = [(label, form) for label, secret in secrets.items() for form in forms(secret)]
    seen: list[tuple[str, str]] = []
    for name, content in names_and_contents:
        named = name.encode("utf-8", "surrogateescape")
        seen += [(label, name) for label, form in wanted if form in content or form in named]
    return seen
