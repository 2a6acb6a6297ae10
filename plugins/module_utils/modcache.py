# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of airgap.golang.modcache: which examination is asked for, whether it's followed by a repair, and the answer.

Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from ._base.errors import HostRefused, SpecInvalid
from ._base.files import write_atomically
from ._base.findings import Finding
from ._host.place import Place, require_writable
from .forensics import LISTED, Examination, examine, examine_cache, examine_vendor
from .repair import Repair, Request, mend, mend_vendor, open_delivery, plan, receive_blobs, require_source


@dataclasses.dataclass(frozen=True)
class Options:
    """The module's options; ``request``: None where there's no action plugin before it."""

    repaired: bool
    root: str
    what: tuple[str, ...]
    every: bool
    depot: str
    path: str
    gosum: tuple[str, ...]
    vendor: tuple[str, ...]
    fail_on_findings: bool
    report: str
    workers: int
    request: t.Optional[Request]
    trace_id: str

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any]) -> Options:
        """:raises SpecInvalid: options that can't be meant together."""
        if params["state"] == "repaired" and params["path"] and not params["vendor"]:
            raise SpecInvalid(
                f"{params['path']} isn't ours: it's examined, never changed",
                subject="path",
                hint="use state: verified; what go put there it can fetch again, after `go clean -modcache`",
            )
        if params["gosum"] and not params["path"]:
            raise SpecInvalid("gosum says what the modules in path must be, and there is no path", subject="gosum", hint="set path, or leave gosum out")
        return cls(
            repaired=params["state"] == "repaired",
            root=params["root"],
            what=tuple(params["what"]),
            every=params["generations"] == "all",
            depot=params["depot"] or "",
            path=params["path"] or "",
            gosum=tuple(params["gosum"]),
            vendor=tuple(params["vendor"]),
            fail_on_findings=params["fail_on_findings"],
            report=params["report"] or "",
            workers=params["workers"] or max(1, min(8, os.cpu_count() or 2)),
            request=Request.unpack(params["request"]) if params["request"] else None,
            trace_id=params["trace_id"],
        )


def run(options: Options, check_mode: bool) -> dict[str, t.Any]:
    """What the module answers; with ``failure`` in it where it has failed."""
    if options.path or options.vendor:
        return _elsewhere(options, check_mode)
    place = Place(options.root)
    request = options.request or Request("probe", {})

    def examined() -> Examination:
        return examine(place, options.what, options.every, options.workers, request.offered)

    if not os.path.isdir(place.root):
        raise HostRefused(f"there is no {place.root}", code="no_generation", subject=place.root, hint="deploy a generation first")
    if request.step == "admit":
        receive_blobs(place, request)
    examination = examined()
    if not options.repaired:
        return _answer(options, examination, examination.findings, False, check_mode)
    repair = plan(place.depot, examination)
    diff = repair.diff()
    answer: dict[str, t.Any] = {"diff": diff, "transferred": sum(repair.fetch.values())}
    left = repair.left
    if repair.mended and not check_mode:
        require_source(repair, options.depot)
        require_writable(place.root, "the account that deployed it")
        if not repair.fetch:
            _first, repair = mend(place, examination, examined, options.workers, options.trace_id)
            left = repair.left
        if repair.fetch:
            answer.update(missing=repair.fetch, incoming=open_delivery(place, request.user))
    # Before blobs have come it's too early to fail for what is left.
    failing = [] if "missing" in answer else left
    return {**_answer(options, examination, failing, bool(diff["before"]), check_mode), **answer, "left": _public(left)}


def _elsewhere(options: Options, check_mode: bool) -> dict[str, t.Any]:
    """What isn't ours: a cache, vendor directories, or both."""
    found = [examine_cache(options.path, options.gosum, options.workers)] if options.path else []
    caches = [options.path, os.path.join(options.root, "modcache")]
    repair = Repair({}, {}, {}, [], [])
    if options.vendor:
        vendored = examine_vendor(options.vendor, [path for path in caches if path], options.workers)
        found.append(vendored)
        repair = plan(None, vendored)
        if options.repaired and repair.mended and not check_mode:
            mend_vendor(repair)
            repair.left = examine_vendor(options.vendor, [path for path in caches if path], options.workers).findings
    examination = Examination(
        [finding for one in found for finding in one.findings],
        {kind: number for one in found for kind, number in one.checked.items()},
        [name for one in found for name in one.unproved],
        sum(one.bytes for one in found),
        sum(one.seconds for one in found),
    )
    if not options.repaired:
        return _answer(options, examination, examination.findings, False, check_mode)
    left = [finding for finding in examination.findings if finding.kind != "vendor"] + repair.left
    answer = _answer(options, examination, left, repair.changed, check_mode)
    return {**answer, "diff": repair.diff(), "transferred": 0, "left": _public(left)}


def _public(findings: t.Sequence[Finding]) -> list[dict[str, str]]:
    return [finding.public() for finding in findings[:LISTED]]


def _answer(options: Options, examination: Examination, failing: t.Sequence[Finding], changed: bool, check_mode: bool) -> dict[str, t.Any]:
    """:param failing: what makes it a failure, where findings do."""
    answer = {"changed": changed, **examination.answer()}
    if options.report and not check_mode:
        document = {**answer, "findings": [finding.public() for finding in examination.findings]}
        write_atomically(options.report, json.dumps(document, indent=1, sort_keys=True).encode() + b"\n", 0o644)
    if options.fail_on_findings and failing:
        first = failing[0]
        told = HostRefused(
            f"{len(failing)} findings, the first of them: {first.path} is {_WORDS[first.problem]}",
            code="findings",
            subject=first.path,
            expected=first.expected,
            found=first.found,
            hint="look at findings; state: repaired sets right what can be",
        )
        answer.update(failed=True, msg=told.sentence(), failure=told.failure())
    return answer


_WORDS = {"changed": "changed", "missing": "missing", "stray": "not to be there", "mode": "of another mode", "owner": "another one's"}
