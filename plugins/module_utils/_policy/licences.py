# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The licence of a module: the SPDX identifiers of the licence files at the root of its zip.

The texts to compare with are those of the Python package identify, and the distance is ukkonen's (``identify[license]`` brings both), which
the connected side may have. identify's own ``license_id`` doesn't know the BSD text that Go and most Go modules use: it compares titles
and bullets too.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import re
import typing as t

from .._base.errors import ModuleRefused
from .._go.modzip import ModuleZip

_NAME = re.compile(r"(LICEN[CS]E|COPYING)([._-][^/]*)?", re.IGNORECASE)

# The longest texts known (GPL, and Apache's with all notices) have 35 to 60 kB; to compare costs more than the length.
_MAX_SIZE = 1 << 17
_MAX_FILES = 8

# A text may differ from the known one by this part of its length.
_TOLERANCE = 0.05

# What is another in each copy of the same licence, or may be left out of it.
_APPENDIX = re.compile(r"end of terms and conditions.*", re.DOTALL)
_OWN_LINES = re.compile(
    r"(?m)^\W*(copyright\b(?!\W+(notice|holder|owner|law|licen|interest|statement|and|or)\w*)|\(c\)|©|all rights reserved).*$"
    r"|^\W*(the )?[a-z0-9 .-]{0,40}licen[sc]e\b[a-z0-9 .,():\"-]{0,20}$"
)
_MARKERS = re.compile(r"(?m)^\s*(\(?[0-9a-z]{1,2}[.)]|[*•-])\s+")
_HOLDER = re.compile(r"neither the names? of .{1,120}? nor the names")
_HOLDERS = re.compile(r"copyright (owners?|holders?) (or|and) contributors")


def _essence(text: str) -> str:
    """A licence's words."""
    text = _OWN_LINES.sub("", _APPENDIX.sub("", text.lower()))
    words = " ".join(re.findall(r"[a-z0-9]+", _MARKERS.sub(" ", text)))
    return _HOLDERS.sub("copyright holders", _HOLDER.sub("neither the name of the holder nor the names", words))


class Recogniser:
    """Tells a licence by its text.

    :raises ImportError: ``identify[license]`` isn't installed.
    """

    def __init__(self) -> None:
        self._distance: t.Callable[[str, str, int], int] = importlib.import_module("ukkonen").distance
        texts = importlib.import_module("identify.vendor.licenses").LICENSES
        self._known = [(str(name), _essence(text)) for name, text in texts]

    def __call__(self, text: str) -> str:
        """The SPDX identifier of the nearest text, "" where none is near."""
        essence = _essence(text)
        limit = math.ceil(len(essence) * _TOLERANCE)
        near = [(self._distance(essence, known, limit), name) for name, known in self._known if abs(len(known) - len(essence)) < limit]
        distance, name = min(near, default=(limit, ""))
        return name if distance < limit else ""


def of_zip(path: str, module: str, version: str, recognise: t.Callable[[str], str]) -> str:
    """The identifiers, with commas between where there are several; "" when no licence file is known.

    :raises ModuleRefused: it's no module zip.
    """
    found: set[str] = set()
    with ModuleZip(path) as archive:
        at_root = [(name, member) for name, member in archive.files_below(f"{module}@{version}/") if _NAME.fullmatch(name) and member.size <= _MAX_SIZE]
        for _name, member in sorted(at_root)[:_MAX_FILES]:
            found.add(recognise(b"".join(archive.chunks(member)).decode("utf-8", "replace")))
    return ", ".join(sorted(found - {""}))


class Licences:
    """Licences of module versions of which the zips are at hand; asked twice, looked up once.

    ``warnings``: one, when licences were asked for and can't be told.

    :param zip_of: (module, version) to the zip's path, None where there is none.
    """

    def __init__(self, zip_of: t.Callable[[str, str], t.Optional[str]]) -> None:
        self._zip_of = zip_of
        self._recognise: t.Optional[Recogniser] = None
        with contextlib.suppress(ImportError):
            self._recognise = Recogniser()
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
