# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes with a prebuilt tool: completions for shells, man pages. How they lie in a tree, and where they belong on a host.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import re
import typing as t

from .._depot.generation import Generation

#: In a tree, a tool's are in this directory, in one of its own: completions/<shell>, man/<page>.
PLACE = "tools/share"

#: How shells look for a program's completions by its name: https://github.com/scop/bash-completion#faq,
#: https://fishshell.com/docs/current/completions.html#where-to-put-completions, https://zsh.sourceforge.io/Doc/Release/Completion-System.html.
_FILES: t.Mapping[str, str] = {"bash": "{}", "zsh": "_{}", "fish": "{}.fish"}

# man-pages(7): the name, a dot, the section's digit, maybe with letters behind it.
_PAGE = re.compile(r"[^\s/]+\.([1-9])[a-z]*(\.gz)?")


def is_page(name: str) -> bool:
    """Whether a file's name is that of a man page, such as tool.1 or tool-config.5.gz."""
    return _PAGE.fullmatch(name) is not None


def carried_extras(generation: Generation) -> dict[str, list[str]]:
    """What comes with a generation's tools: by the program's name, names below its directory in PLACE."""
    found = {}
    for tool in generation.config["tools"]:
        extras = tool.get("extras")
        if extras:
            found[str(extras["program"])] = [*(f"completions/{shell}" for shell in extras["completions"]), *(f"man/{page}" for page in extras["man"])]
    return found


def placed(program: str, name: str, directories: t.Mapping[str, str]) -> str:
    """Where a file belongs on a host.

    :param name: as ``carried_extras`` has it.
    :param directories: those of completions by the shell's name, and that of man pages as ``man``.
    :returns: "" where there's no directory for it.
    """
    kind, _slash, file = name.partition("/")
    top = directories.get("man" if kind == "man" else file, "")
    if not top:
        return ""
    page = _PAGE.fullmatch(file)
    return os.path.join(top, f"man{page.group(1)}", file) if kind == "man" and page else os.path.join(top, _FILES[file].format(program))
