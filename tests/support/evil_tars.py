# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tars with one member each that must never get in."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile

from ansible_collections.airgap.golang.plugins.module_utils._base import ustar

# Where the escaping ones would write.
OUTSIDE = os.path.join(tempfile.gettempdir(), "airgap-golang-escaped")
TARGET = "/".join([".."] * 30) + OUTSIDE

KINDS = [
    "dotdot", "hidden dotdot", "absolute", "backslash", "control", "dot", "longdots", "pax", "long form of a short name", "mode", "owner", "time",
    "negative size", "symlink", "hardlink", "device", "block device", "fifo", "directory", "sparse", "contiguous", "old",
]  # fmt: skip


def evil(kind: str) -> bytes:
    """A tar by Python's tarfile with one member that must not get in."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT if kind == "pax" else tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("evil")
        info.mode = 0o644
        content = b"evil"
        if kind == "dotdot":
            info.name = TARGET
        elif kind == "hidden dotdot":
            info.name = "a/../b"
        elif kind == "absolute":
            info.name = OUTSIDE
        elif kind == "backslash":
            info.name = "a\\b"
        elif kind == "control":
            info.name = "a\nb"
        elif kind == "dot":
            info.name = "./a"
        elif kind == "longdots":
            info.name = "../" * 40 + "x"
        elif kind == "pax":
            info.pax_headers = {"path": TARGET}
        elif kind == "long form of a short name":
            header = tarfile.TarInfo._create_gnu_long_header("evil", tarfile.GNUTYPE_LONGNAME, "utf-8", "strict")  # type: ignore[attr-defined]
            return bytes(header + ustar.header("evil", 0) + ustar.END)
        elif kind == "mode":
            info.mode = 0o4755
        elif kind == "owner":
            info.uid = 1
        elif kind == "time":
            info.mtime = 1
        elif kind == "negative size":
            return ustar.header("evil", -1024) + ustar.END
        else:
            info.type = {
                "symlink": tarfile.SYMTYPE,
                "hardlink": tarfile.LNKTYPE,
                "device": tarfile.CHRTYPE,
                "block device": tarfile.BLKTYPE,
                "fifo": tarfile.FIFOTYPE,
                "directory": tarfile.DIRTYPE,
                "sparse": tarfile.GNUTYPE_SPARSE,
                "contiguous": tarfile.CONTTYPE,
                "old": tarfile.AREGTYPE,
            }[kind]
            if kind in ("symlink", "hardlink"):
                info.linkname = "/etc/passwd"
            content = b"" if kind in ("symlink", "hardlink", "device", "block device", "fifo", "directory") else content
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    data = stream.getvalue()
    # tarfile pads to 10 KiB; the end marks alone would be refused for that.
    return data[: (len(data.rstrip(b"\0")) + 511) // 512 * 512] + ustar.END
