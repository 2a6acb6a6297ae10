# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Licences of module zips, by the texts that identify knows."""

from __future__ import annotations

import pathlib
import re
import sys
import zipfile

import pytest
from identify.vendor.licenses import LICENSES

from ansible_collections.airgap.golang.plugins.module_utils._policy import licences

TEXTS = dict(LICENSES)

# The BSD text as Go has it: no title, stars for numbers, a holder's name.
GO = re.sub(r"(?m)^\s*[123]\.", "   *", TEXTS["BSD-3-Clause"].partition("All rights reserved.")[2]).replace("the copyright holder nor", "Google LLC nor")
AT = ("a.io/x", "v1.0.0")


def make_zip(path: pathlib.Path, files: dict[str, bytes | str]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"go.mod": "module a.io/x\n", **files}.items():
            archive.writestr(f"a.io/x@v1.0.0/{name}", content)
    return str(path)


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        ({"LICENSE": TEXTS["MIT"]}, "MIT"),
        ({"License.txt": "Copyright (c) 2026 The Authors\n\n" + TEXTS["BSD-3-Clause"]}, "BSD-3-Clause"),
        ({"LICENCE.md": TEXTS["Apache-2.0"]}, "Apache-2.0"),
        ({"COPYING": TEXTS["GPL-3.0"]}, "GPL-3.0"),
        ({"LICENSE-MIT": TEXTS["MIT"], "LICENSE-APACHE": TEXTS["Apache-2.0"]}, "Apache-2.0, MIT"),
        ({"LICENSE": "all rights reserved"}, ""),
        ({"LICENSE": "all rights reserved", "COPYING": TEXTS["MIT"]}, "MIT"),
        ({"vendored/LICENSE": TEXTS["MIT"], "licenser.go": TEXTS["MIT"], "LICENSES": TEXTS["MIT"]}, ""),
        ({"LICENSE": b"\xff\xfe\x00"}, ""),
        ({"LICENSE": ""}, ""),
        ({"LICENSE": GO}, "BSD-3-Clause"),
        ({"LICENSE": TEXTS["Apache-2.0"].partition("APPENDIX")[0]}, "Apache-2.0"),
        ({"LICENSE": TEXTS["MIT"].replace("MIT License", "The MIT License (MIT)")}, "MIT"),
        ({"LICENSE": TEXTS["MIT"] + "\n" + TEXTS["BSD-2-Clause"]}, ""),
        ({"LICENSE": TEXTS["MIT"] + " " * (1 << 18)}, ""),
        ({}, ""),
    ],
)
def test_the_licence_is_that_of_the_files_at_the_root(tmp_path: pathlib.Path, files: dict[str, bytes | str], licence: str) -> None:
    path = make_zip(tmp_path / "x.zip", files)
    assert licences.Licences(lambda module, version: path)(*AT) == licence


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_known_text_is_told_from_all_others(name: str) -> None:
    assert licences.Recogniser()(TEXTS[name]) == name


def test_a_zip_is_looked_into_once(tmp_path: pathlib.Path) -> None:
    path = make_zip(tmp_path / "x.zip", {"LICENSE": TEXTS["MIT"]})
    known = licences.Licences(lambda module, version: path)
    assert known(*AT) == "MIT"
    (tmp_path / "x.zip").unlink()
    assert known(*AT) == "MIT" and known.warnings == []


def test_what_is_not_here_or_damaged_has_no_licence(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    assert licences.Licences(lambda module, version: str(tmp_path / "x.zip"))(*AT) == ""
    assert licences.Licences(lambda module, version: None)(*AT) == ""


@pytest.mark.parametrize("missing", ["ukkonen", "identify.vendor.licenses"])
def test_without_the_package_it_is_said_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    # What Python does for a package that isn't installed.
    monkeypatch.setitem(sys.modules, missing, None)
    known = licences.Licences(lambda module, version: make_zip(tmp_path / "x.zip", {"LICENSE": TEXTS["MIT"]}))
    assert known.warnings == []
    assert (known(*AT), known(*AT)) == ("", "")
    (warning,) = known.warnings
    assert "identify[license]" in warning
