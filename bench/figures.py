# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, on which code, and how the README shows it.

bench/figures.json::

    {"code": "<code_hash() of the code that was measured>",
     "measured": "2026-11-23",
     "machine": "2 cores, Debian 12, ...",
     "figures": [{"name": "...", "ours_s": 1.2, "theirs_s": 14.0, "ratio": 11.7, "goal": 10.0}],
     "sizes": [{"name": "...", "ours_mb": 307.0, "theirs_mb": 533.0, "ratio": 1.74, "goal": 1.54}],
     "memory": [{"name": "...", "mb": 84.0, "limit": 150.0}]}

``ours_s`` and ``theirs_s`` are seconds, ``ratio`` is theirs through ours, ``goal`` is the smallest ratio that we want, null for a row that
is only there to compare. Sizes are MB (10^6 bytes), memory is that of the largest single process of ours. The latter two lists may be left out.
The README shows them between the lines ``<!-- figures -->`` and ``<!-- /figures -->``, as `table` writes them.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import subprocess
import typing as t

CODE = "plugins/module_utils"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def git(root: pathlib.Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, text=True, capture_output=True, check=True, timeout=60).stdout


def hash_of(entries: t.Iterable[tuple[str, str]]) -> str:
    """SHA-256 (hex) of the sorted lines "<path> <git blob id>"."""
    return hashlib.sha256("".join(f"{path} {blob}\n" for path, blob in sorted(entries)).encode()).hexdigest()


def code_hash(root: pathlib.Path) -> str:
    """The hash of the Python files below plugins/module_utils, as they are on disk now."""
    paths = sorted((root / CODE).rglob("*.py"))
    contents = [path.read_bytes() for path in paths]
    blobs = [hashlib.sha1(b"blob %d\0%s" % (len(content), content), usedforsecurity=False).hexdigest() for content in contents]
    return hash_of((path.relative_to(root).as_posix(), blob) for path, blob in zip(paths, blobs))


def committed_hash(root: pathlib.Path, commit: str) -> str:
    """The same hash, of what a commit holds."""
    rows = (line.split("\t") for line in git(root, "ls-tree", "-r", "--full-tree", commit, CODE).splitlines())
    return hash_of((path, head.split()[2]) for head, path in rows if path.endswith(".py"))


def age(root: pathlib.Path, code: str, limit: int) -> int | None:
    """How many commits to the code are younger than the measured one: 0 for the code on disk, None for more than ``limit``."""
    if code == code_hash(root):
        return 0
    for count, commit in enumerate(git(root, "log", f"--max-count={limit + 1}", "--format=%H", "--", CODE).split()):
        if code == committed_hash(root, commit):
            return count
    return None


def load(root: pathlib.Path) -> dict[str, t.Any] | None:
    path = root / "bench" / "figures.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def table(measured: t.Mapping[str, t.Any]) -> str:
    """The README's lines between the markers."""
    rows = [_row(figure, f"{figure['ours_s']:.1f} s", f"{figure['theirs_s']:.1f} s") for figure in measured["figures"]]
    rows += [_row(size, f"{size['ours_mb']:.0f} MB", f"{size['theirs_mb']:.0f} MB") for size in measured.get("sizes", [])]
    lines = ["| | airgap.golang | the usual way | ratio | goal |", "|---|---:|---:|---:|---:|", *rows, ""]
    if measured.get("memory"):
        lines += ["| our largest process | memory | at most |", "|---|---:|---:|"]
        lines += [f"| {peak['name']} | {peak['mb']:.0f} MB | {peak['limit']:.0f} MB |" for peak in measured["memory"]]
        lines.append("")
    return "\n".join([*lines, f"Measured {measured['measured']} on {measured['machine']}.", ""])


def _row(figure: t.Mapping[str, t.Any], ours: str, theirs: str) -> str:
    goal = "–" if figure["goal"] is None else f"{figure['goal']:g}×"
    return f"| {figure['name']} | {ours} | {theirs} | {figure['ratio']:.1f}× | {goal} |"


def shown(readme: str) -> str | None:
    """What stands between the README's markers; None where it has none."""
    if BEGIN not in readme or END not in readme:
        return None
    return readme.split(BEGIN, 1)[1].split(END, 1)[0].strip() + "\n"


def with_table(readme: str, measured: t.Mapping[str, t.Any]) -> str:
    """The README with new figures between its markers."""
    before, rest = readme.split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{table(measured)}\n{END}{rest.split(END, 1)[1]}"
