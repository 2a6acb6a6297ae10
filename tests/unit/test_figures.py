# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's figures are those that were measured, on code that is at most 30 commits old.

Every commit to plugins/module_utils counts, nothing else does: documentation and tests don't make figures stale, and a
measurement isn't asked for with each mend. The measured code is named by a hash over its files, which is looked for on
disk and then in the last commits, so a date or a commit that somebody typed proves nothing here.
"""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import typing as t

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 30

specification = importlib.util.spec_from_file_location("airgap_golang_figures", ROOT / "bench" / "figures.py")
assert specification is not None and specification.loader is not None
figures = importlib.util.module_from_spec(specification)
specification.loader.exec_module(figures)


def complaint(root: pathlib.Path) -> str:
    """What is wrong with the figures of the checkout ``root``; "" when nothing is."""
    readme = root / "README.md"
    shown = figures.shown(readme.read_text(encoding="utf-8")) if readme.is_file() else None
    measured = figures.load(root)
    if measured is None:
        return "" if shown is None else "the README shows figures, but there is no bench/figures.json"
    if shown is None:
        return f"the README doesn't show the figures: it lacks {figures.BEGIN} and {figures.END}"
    if shown.strip() != figures.table(measured).strip():
        return "the README's figures are not those of bench/figures.json: run bench again"
    for figure in measured["figures"]:
        if abs(figure["ratio"] - figure["theirs_s"] / figure["ours_s"]) > 0.1 * figure["ratio"]:
            return f"{figure['name']}: the ratio is not theirs_s through ours_s"
    if figures.age(root, measured["code"], LIMIT) is None:
        shallow = figures.git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
        why = ", or the clone is too shallow to tell" if shallow else ""
        return f"the figures were measured on code that is more than {LIMIT} commits old{why}: run bench again"
    return ""


def test_the_readme_shows_figures_of_this_code() -> None:
    assert complaint(ROOT) == ""


class Checkout:
    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.code = root / "plugins" / "module_utils" / "gather.py"
        self.code.parent.mkdir(parents=True)
        (root / "bench").mkdir()
        self.git("init", "--quiet")
        self.commit(0)

    def git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True, timeout=60)

    def commit(self, number: int) -> None:
        self.code.write_text(f"{number}\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", str(number))

    def measure(self) -> dict[str, t.Any]:
        figure = {"name": "deliver", "ours_s": 2.0, "theirs_s": 30.0, "ratio": 15.0, "goal": 10.0}
        measured = {"code": figures.code_hash(self.root), "measured": "2026-01-02", "machine": "two cores", "figures": [figure]}
        self.show(measured, measured)
        return measured

    def show(self, stored: dict[str, t.Any], shown: dict[str, t.Any]) -> None:
        (self.root / "bench" / "figures.json").write_text(figures.json.dumps(stored))
        (self.root / "README.md").write_text(figures.with_table(f"# It\n{figures.BEGIN}\nold\n{figures.END}\nthe end\n", shown))


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> Checkout:
    return Checkout(tmp_path)


def test_fresh_figures_pass(checkout: Checkout) -> None:
    assert complaint(checkout.root) == ""
    checkout.code.write_text("not committed yet\n")
    checkout.measure()
    assert complaint(checkout.root) == ""
    assert (checkout.root / "README.md").read_text().endswith("\nthe end\n")


def test_figures_may_be_thirty_commits_old_and_no_more(checkout: Checkout) -> None:
    measured = checkout.measure()
    for number in range(1, LIMIT + 1):
        checkout.commit(number)
    assert complaint(checkout.root) == ""
    assert figures.age(checkout.root, measured["code"], LIMIT) == LIMIT
    (checkout.root / "notes").write_text("no code\n")
    checkout.git("add", "notes")
    checkout.git("commit", "--quiet", "--message", "notes")
    assert complaint(checkout.root) == ""
    checkout.commit(LIMIT + 1)
    assert "more than 30 commits old" in complaint(checkout.root)


def test_code_that_never_was_is_refused(checkout: Checkout) -> None:
    measured = checkout.measure()
    checkout.show({**measured, "code": "0" * 64}, measured)
    assert "more than 30 commits old" in complaint(checkout.root)


def test_a_typed_figure_is_refused(checkout: Checkout) -> None:
    measured = checkout.measure()
    better = {**measured, "figures": [{**measured["figures"][0], "ours_s": 1.0}]}
    checkout.show(measured, better)
    assert "not those of bench/figures.json" in complaint(checkout.root)
    checkout.show(better, better)
    assert "the ratio is not" in complaint(checkout.root)


def test_figures_without_a_measurement_are_refused(checkout: Checkout) -> None:
    checkout.measure()
    (checkout.root / "bench" / "figures.json").unlink()
    assert "no bench/figures.json" in complaint(checkout.root)
