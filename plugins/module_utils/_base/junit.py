# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JUnit XML, as CI systems read it: testsuites, their testcases, what failed and what had an error.

There's no standard; the attributes are those that Jenkins' and GitLab's readers take (https://github.com/testmoapp/junitxml).

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from xml.etree import ElementTree

# What XML 1.0 can't hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Readers show the attribute as a headline; the element has the whole text.
_HEADLINE = 300


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing that was tried. ``problem``: a word for what is wrong, "" for nothing; ``error``: it couldn't even be tried;
    ``skipped``: why it wasn't tried, "" if it was."""

    classname: str
    name: str
    seconds: float = 0.0
    problem: str = ""
    error: bool = False
    message: str = ""
    skipped: str = ""
    output: str = ""


@dataclasses.dataclass(frozen=True)
class Suite:
    """``when``: as 2026-01-02T03:04:05Z, the ISO 8601 of readers has no zone."""

    name: str
    host: str
    when: str
    cases: t.Sequence[Case]


def encode(suites: t.Sequence[Suite]) -> bytes:
    """The document. Characters that XML can't hold become question marks."""
    top = ElementTree.Element("testsuites", _totals([case for suite in suites for case in suite.cases]))
    for suite in suites:
        attributes = {"name": _text(suite.name), **_totals(suite.cases), "timestamp": suite.when.rstrip("Z"), "hostname": _text(suite.host)}
        element = ElementTree.SubElement(top, "testsuite", attributes)
        for case in suite.cases:
            _add(element, case)
    content: bytes = ElementTree.tostring(top, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + content + b"\n"


def _totals(cases: t.Sequence[Case]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(sum(1 for case in cases if case.problem and not case.error)),
        "errors": str(sum(1 for case in cases if case.problem and case.error)),
        "skipped": str(sum(1 for case in cases if case.skipped)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }


def _add(suite: ElementTree.Element, case: Case) -> None:
    attributes = {"classname": _text(case.classname), "name": _text(case.name), "time": f"{case.seconds:.3f}"}
    element = ElementTree.SubElement(suite, "testcase", attributes)
    if case.problem:
        text = _text(case.message)
        attributes = {"type": case.problem, "message": text.partition("\n")[0][:_HEADLINE]}
        ElementTree.SubElement(element, "error" if case.error else "failure", attributes).text = text
    elif case.skipped:
        ElementTree.SubElement(element, "skipped", message=_text(case.skipped))
    if case.output:
        ElementTree.SubElement(element, "system-out").text = _text(case.output)


def _text(text: str) -> str:
    return _NOT_XML.sub("?", text)
