# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""h1 of zips and go.mod files, against the go command's own values."""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import subprocess
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._go.h1 import gomod_h1, zip_h1


@pytest.mark.parametrize("module", ["rsc.io/quote@v1.5.2", "github.com/BurntSushi/toml@v1.4.0"])
def test_the_same_as_go(module: str) -> None:
    told = json.loads(subprocess.run(["go", "mod", "download", "-json", module], check=True, stdout=subprocess.PIPE).stdout)
    assert zip_h1(told["Zip"]) == told["Sum"]
    assert gomod_h1(pathlib.Path(told["GoMod"]).read_bytes()) == told["GoModSum"]


def test_an_empty_gomod_has_the_hash_that_go_knows_it_by() -> None:
    assert gomod_h1(b"") == "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="


def test_names_are_sorted_as_bytes_and_big_members_are_streamed(tmp_path: pathlib.Path) -> None:
    members = {"m@v1/é.go": b"a", "m@v1/z.go": b"b", "m@v1/Z.go": b"", "m@v1/big": bytes(range(256)) * 10000, "m@v1/stored": b"s" * 99}
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, compress_type=zipfile.ZIP_STORED if name.endswith("stored") else None)
    lines = sorted((name.encode(), hashlib.sha256(content).hexdigest().encode()) for name, content in members.items())
    text = b"".join(digest + b"  " + name + b"\n" for name, digest in lines)
    assert zip_h1(str(path)) == "h1:" + base64.b64encode(hashlib.sha256(text).digest()).decode()


def test_a_damaged_zip_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("m@v1/a.go", b"package a and more")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"package", b"packaGe"))
    with pytest.raises(ModuleRefused, match=r"m\.zip: m@v1/a\.go can't be unpacked"):
        zip_h1(str(path))
    path.write_bytes(content[:40])
    with pytest.raises(ModuleRefused, match=r"m\.zip is not a zip"):
        zip_h1(str(path))


def test_a_newline_in_a_name_has_no_h1(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m@v1/a\nb.go", b"")
    with pytest.raises(ModuleRefused, match="newline"):
        zip_h1(str(path))
