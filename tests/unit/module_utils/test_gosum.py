# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""go.sum files: what they say, what is wrong with them, and whether several agree."""

from __future__ import annotations

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import ModuleRefused, ProjectDirty
from ansible_collections.airgap.golang.plugins.module_utils._go.gosum import merge, parse

ZIP = "h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y="
MOD = "h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0="
QUOTE = f"rsc.io/quote v1.5.2 {ZIP}\nrsc.io/quote v1.5.2/go.mod {MOD}\n"


def test_zips_and_gomods_are_told_apart() -> None:
    assert parse(QUOTE, "go.sum") == {("rsc.io/quote", "v1.5.2"): ZIP, ("rsc.io/quote", "v1.5.2/go.mod"): MOD}


def test_what_go_passes_over_is_passed_over() -> None:
    more = "\n  \nrsc.io/old v1.0.0/go.mod h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=\nrsc.io/new v1.0.0 h2:later\n"
    assert parse(QUOTE + more + QUOTE, "go.sum") == parse(QUOTE, "go.sum")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("rsc.io/quote v1.5.2", "2 fields"),
        (f"rsc.io/quote v1.5.2 {ZIP} more", "4 fields"),
        (f"rsc.io/quote 1.5.2 {ZIP}", "for a version"),
        (f"rsc.io/quote v1.5.2 {ZIP[:-4]}", "is no h1"),
        ("<<<<<<< HEAD", "2 fields"),
    ],
)
def test_a_bad_line_is_named(line: str, complaint: str) -> None:
    with pytest.raises(ProjectDirty, match=r"^app/go\.sum:3 .*" + complaint) as caught:
        parse(QUOTE + line + "\n", "app/go.sum")
    assert caught.value.details[0]["line"] == 3


def test_all_bad_lines_are_told_at_once() -> None:
    with pytest.raises(ProjectDirty) as caught:
        parse("a\n" + QUOTE + "b\n", "go.sum")
    assert [entry["line"] for entry in caught.value.details] == [1, 4]


def test_a_file_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ModuleRefused, match=r"go\.sum:1.*go\.sum:3"):
        parse(QUOTE + f"rsc.io/quote v1.5.2 {MOD}\n", "go.sum")


def test_files_that_agree_become_one() -> None:
    other = parse(f"rsc.io/sampler v1.3.0 {MOD}\nrsc.io/quote v1.5.2 {ZIP}\n", "go.work.sum")
    assert merge({"go.sum": parse(QUOTE, "go.sum"), "go.work.sum": other}) == {**parse(QUOTE, "go.sum"), **other}


def test_files_that_contradict_each_other_are_named() -> None:
    sums = {"a/go.sum": parse(QUOTE, ""), "b/go.sum": {("rsc.io/quote", "v1.5.2"): MOD, ("rsc.io/quote", "v1.5.2/go.mod"): ZIP}}
    with pytest.raises(ModuleRefused, match="a/go.sum.*b/go.sum") as caught:
        merge(sums)
    assert (caught.value.expected, caught.value.found) == (ZIP, MOD)
    assert [entry["files"] for entry in caught.value.details] == [["a/go.sum", "b/go.sum"]] * 2
