# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The licence of a module: the SPDX identifiers of the licence files at the root of its zip.

The texts are compared by the Python package identify (``identify[license]``), which the connected side may have.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import importlib
import os
import re
import tempfile
import typing as t

from .._base.errors import ModuleRefused
from .._go.modzip import ModuleZip

_NAME = re.compile(r"(LICEN[CS]E|COPYING)([._-][^/]*)?", re.IGNORECASE)

# The longest texts known (GPL, and Apache's with all notices) have 35 to 60 kB; to compare costs more than the length.
_MAX_SIZE = 1 << 17
_MAX_FILES = 8

Recogniser = t.Callable[[str], t.Optional[str]]


def recogniser() -> t.Optional[Recogniser]:
    """What tells a licence file's SPDX identifier; None where ``identify[license]`` isn't installed."""
    try:
        importlib.import_module("ukkonen")
        return t.cast(Recogniser, importlib.import_module("identify.identify").license_id)
    except ImportError:
        return None


def of_zip(path: str, module: str, version: str, recognise: Recogniser) -> str:
    """The identifiers, with commas between where there are several; "" when no licence file is known.

    :raises ModuleRefused: it's no module zip.
    """
    found: set[str] = set()
    with ModuleZip(path) as archive, tempfile.TemporaryDirectory(prefix="airgap-golang-licence-") as directory:
        at_root = [(name, member) for name, member in archive.files_below(f"{module}@{version}/") if _NAME.fullmatch(name) and member.size <= _MAX_SIZE]
        for _name, member in sorted(at_root)[:_MAX_FILES]:
            file = os.path.join(directory, "text")
            with open(file, "wb") as stream:
                stream.writelines(archive.chunks(member))
            try:
                found.add(recognise(file) or "")
            except UnicodeDecodeError:
                continue
    return ", ".join(sorted(found - {""}))


class Licences:
    """Licences of module versions of which the zips are at hand; asked twice, looked up once.

    ``warnings``: one, when licences were asked for and can't be told.

    :param zip_of: (module, version) to the zip's path, None where there is none.
    """

    def __init__(self, zip_of: t.Callable[[str, str], t.Optional[str]]) -> None:
        self._zip_of = zip_of
        self._recognise = recogniser()
        self._known: dict[tuple[str, str], str] = {}
        self.warnings: list[str] = []

    def __call__(self, module: str, version: str) -> str:
        if self._recognise is None:
            self.warnings = ["licences aren't shown: pip install 'identify[license]' on the connected side"]
            return ""
        if (module, version) not in self._known:
            path = self._zip_of(module, version)
            try:
                self._known[(module, version)] = of_zip(path, module, version, self._recognise) if path else ""
            except ModuleRefused:
                # Others refuse a damaged zip, and by name; here it just has no licence.
                self._known[(module, version)] = ""
        return self._known[(module, version)]
