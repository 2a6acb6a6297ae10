# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet report: the hosts' records, together and judged by a policy, as JSON, as JUnit XML and as a page.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import typing as t

from ._base import junit
from ._base.files import write_atomically
from ._fleet import page, records
from ._fleet.records import DAMAGED, DIFFERS, DRIFT, FAILED, NOT_TRIED, PROBLEMS, UNREACHABLE, Json
from .deliver import offer

SCHEMA = 1

# Nobody reads a thousand names in a sentence.
_NAMES = 20

_WORDS = {
    UNREACHABLE: "unreachable",
    FAILED: "failed",
    DAMAGED: "damaged",
    DIFFERS: "with builds that differ",
    DRIFT: "drifted",
    NOT_TRIED: "not tried",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """``hosts``: the names of this run's hosts; ``others``: of hosts that are shown when ``record`` knows them; ``record``: the file of
    records, "" for none; ``dest``: the directory for the reports, "" for none; ``fail_on``: which problems fail a host; ``depot`` and
    ``generation``: what hosts are to be at, for ``done``; ``title``: the page's headline; ``not_tried``: why there's no record."""

    journey: str
    hosts: t.Sequence[str]
    others: t.Sequence[str] = ()
    record: str = ""
    dest: str = ""
    fail_on: t.Sequence[str] = (UNREACHABLE, FAILED, NOT_TRIED)
    depot: str = ""
    generation: t.Optional[int] = None
    title: str = ""
    not_tried: str = "it had no turn in this run"


def report(options: Options, fresh: t.Sequence[Json], trace_id: str, check_mode: bool = False) -> dict[str, t.Any]:
    """Put the records together, judge them, write the reports.

    A host's record is this run's, else the last in the file, else one that says that it had no turn. The policy is for the hosts of this
    run: those of ``fresh``, and those that had no turn.

    :param fresh: this run's records.
    :return: the module's answer: ``changed``, ``summary``, ``hosts`` (name → its problems), ``failing`` (name → why, and its record),
        ``lines`` and ``reports``.
    :raises AirgapError: the file of records isn't one.
    :raises OSError: a report can't be written.
    """
    earlier = records.read(options.record, options.journey) if options.record else {}
    this_run = {str(record["host"]): record for record in fresh}
    entries = []
    for name in dict.fromkeys([*options.hosts, *this_run, *(name for name in options.others if name in earlier)]):
        record = this_run.get(name) or earlier.get(name) or records.not_tried(options.journey, name, options.not_tried)
        is_earlier = name not in this_run and name in earlier
        failing = not is_earlier and any(problem in options.fail_on for problem in record["problems"])
        entries.append({**record, "earlier": is_earlier, "failing": failing, "reason": records.reason(record)})
    entries.sort(key=_attention)
    document: Json = {
        "schema": SCHEMA,
        "journey": options.journey,
        "when": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "trace_id": trace_id,
        "fail_on": [problem for problem in PROBLEMS if problem in options.fail_on],
        "summary": _summary(entries),
        "hosts": entries,
    }
    answer = {
        "changed": False,
        "summary": document["summary"],
        "hosts": {entry["host"]: entry["problems"] for entry in entries},
        "failing": {
            entry["host"]: {"why": f"{_words(entry['problems'])}: {entry['reason']}", "record": entry} for entry in entries if entry["failing"]
        },
        "lines": _lines(options.journey, entries),
        "reports": {},
    }
    if options.dest:
        paths = {kind: os.path.join(options.dest, f"{options.journey}.{ending}") for kind, ending in (("json", "json"), ("junit", "xml"), ("html", "html"))}
        answer["reports"] = paths
        answer["changed"] = _lasting(_held(paths["json"])) != _lasting(document) or not all(map(os.path.isfile, paths.values()))
        if not check_mode:
            os.makedirs(options.dest, exist_ok=True)
            write_atomically(paths["json"], (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
            write_atomically(paths["junit"], junit.encode([_suite(entry) for entry in entries]))
            write_atomically(paths["html"], page.render(document, options.title).encode("utf-8", "replace"))
    return answer


def done(options: Options) -> list[str]:
    """The hosts that the file of records says are at the generation that they are to have, with nothing wrong.

    :raises SpecInvalid, DepotDamaged: there's no such generation in the depot.
    """
    _depot, wished = offer(options.depot, options.generation)
    held = records.read(options.record, options.journey)
    return sorted(name for name, record in held.items() if not record["problems"] and record["state"]["generation"] == wished.ref)


def _attention(entry: t.Mapping[str, t.Any]) -> tuple[bool, int, str]:
    """Sorts by what needs attention first."""
    worst = min((PROBLEMS.index(problem) for problem in entry["problems"]), default=len(PROBLEMS))
    return not entry["failing"], worst, str(entry["host"])


def _summary(entries: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, int]:
    """A host counts for each of its problems."""
    counts = {problem: sum(1 for entry in entries if problem in entry["problems"]) for problem in PROBLEMS}
    fine = sum(1 for entry in entries if not entry["problems"])
    marks = {mark: sum(1 for entry in entries if entry[mark]) for mark in ("changed", "failing", "earlier")}
    return {"hosts": len(entries), "ok": fine, **counts, **marks}


def _lines(journey: str, entries: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The sum for the terminal: how many of how many, then by name what is wrong."""
    generations = sorted({entry["state"]["generation"] for entry in entries if entry["state"]["generation"]})
    fine = [entry for entry in entries if not entry["problems"]]
    lines = [f"{journey}: {len(fine)} of {len(entries)} hosts are as they should be" + (f"; generations {', '.join(generations)}" if generations else "")]
    for problem in PROBLEMS:
        names = [entry["host"] for entry in entries if problem in entry["problems"]]
        if names:
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            lines.append(f"{len(names)} {_WORDS[problem]}: {', '.join(names[:_NAMES])}{more}")
    lines += [f"{entry['host']}: {entry['reason'][:300]}" for entry in entries if entry["failing"]][:_NAMES]
    return lines


def _words(problems: t.Sequence[str]) -> str:
    return ", ".join(_WORDS[problem] for problem in problems)


def _held(path: str) -> Json:
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
        return document if isinstance(document, dict) else {}
    except (OSError, ValueError):
        return {}


def _lasting(value: t.Any) -> t.Any:
    """What a report says, times and the run's name aside."""
    if isinstance(value, dict):
        return {key: _lasting(entry) for key, entry in value.items() if key not in ("when", "trace_id", "seconds", "earlier")}
    return [_lasting(entry) for entry in value] if isinstance(value, list) else value


def _suite(entry: Json) -> junit.Suite:
    """A host as a testsuite: whether it's reached and its steps could be done, then each step's findings."""
    host = str(entry["host"])
    journey = str(entry["journey"])
    bad = entry["failures"][0] if entry["failures"] else None
    untried = NOT_TRIED in entry["problems"]
    steps = [
        junit.Case(
            host,
            "reached, and every step done",
            problem=entry["problems"][0] if bad and not untried else "",
            error=True,
            message="\n".join(failure["message"] for failure in entry["failures"]),
            skipped=entry["reason"] if untried else "",
            output=f"generation {entry['state']['generation'] or 'none'} {entry['state']['platform']}".strip(),
        )
    ]
    if journey == "verify":
        drift = entry["drift"]
        lines = [f"- {line}" for line in drift["before"]] + [f"+ {line}" for line in drift["after"]]
        drifted = DRIFT if lines else ""
        steps.append(junit.Case(host, "as wished", problem=drifted, message="\n".join(lines), skipped=_unchecked(drift)))
        forensics = entry["forensics"]
        told = "\n".join(" ".join(f"{name}={value}" for name, value in finding.items()) for finding in forensics["findings"])
        damaged = DAMAGED if forensics["total"] else ""
        steps.append(
            junit.Case(
                host, "files as they were admitted", problem=damaged, message=f"{forensics['total']} findings\n{told}", skipped=_unchecked(forensics)
            )
        )
    for build in entry["builds"]["builds"]:
        wrong = build["status"] if build["status"] in ("differs", "failed", "mismatch") else "changed" if build["installed"] == "changed" else ""
        message = build["message"] or f"{build['path']} was changed after it was built"
        name = f"build {build['project']} {build['output']} {build['platform']}"
        output = f"{build['status']} sha256:{build['sha256']} expected sha256:{build['expected']}"
        steps.append(junit.Case(host, name, build["seconds"], problem=wrong, message=message, output=output))
    return junit.Suite(f"{journey} {host}", host, entry["when"], steps)


def _unchecked(step: t.Mapping[str, t.Any]) -> str:
    return "" if step["checked"] else "not checked"
