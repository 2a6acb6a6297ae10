# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run on a fleet says of one host: its record; and the file of records, to which each host's line is added as it finishes.

Everything that comes from a host is data: it's cut to a bounded size and loses credentials in URLs here, and is escaped where it's shown.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import typing as t

from .._base.errors import AirgapError
from .._base.urls import scrub

SCHEMA = 1

#: What can be wrong with a host, the worst first: Ansible can't reach it; a step couldn't be done; what is on its disk isn't what was
#: admitted; a build gives another binary or none; it isn't as it's wished to be; it had no turn.
UNREACHABLE, FAILED, DAMAGED, DIFFERS, DRIFT, NOT_TRIED = PROBLEMS = ("unreachable", "failed", "damaged", "differs", "drift", "not_tried")

#: The steps of a journey, by the argument that has a step's result.
STEPS = {"deployed": "deploy", "drifted": "drift", "examined": "forensics", "built": "builds"}

Json = t.Dict[str, t.Any]

# What newer releases of Ansible put before a module's own words.
_ANSIBLES = re.compile(r"^((Task|Module|Action) failed: )+")

# A record is one line of a file and some rows of a page, whatever a host answers.
_TEXT = 4000
_LINES = 200


def make(journey: str, host: str, address: str, trace_id: str, results: t.Mapping[str, t.Any], failed_task: str = "") -> t.Optional[Json]:
    """A host's record by the results of its steps, as the modules returned them and Ansible registered them.

    :param results: by the names in STEPS; and ``failure``: the result with which the host left its steps. A step that was
        skipped, or that has no result, wasn't checked.
    :param failed_task: which task that was.
    :return: None when no step was tried.
    """
    tried = {name: result for name, result in results.items() if isinstance(result, dict) and result and not result.get("skipped")}
    if not tried:
        return None
    bad = [(name, result) for name, result in tried.items() if _is_bad(result)]
    if "failure" in tried:
        # The step that it's of has the same result.
        bad = [("failure", {**tried["failure"], "failed": True})]
    failures = [_failure(STEPS.get(name, ""), failed_task if name == "failure" else "", result) for name, result in bad]
    good = {name: result for name, result in tried.items() if not _is_bad(result)}
    # A build that isn't the rehearsal's fails the task, and says what it found all the same.
    built = good.get("built") or next((result for result in tried.values() if isinstance(result.get("builds"), list)), {})
    deployed = good.get("deployed", {})
    record: Json = {
        "schema": SCHEMA,
        "journey": journey,
        "host": host,
        "address": _text(address, 300),
        "when": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "trace_id": trace_id,
        "changed": any(bool(result.get("changed")) for name, result in good.items() if name in ("deployed", "built")),
        "state": _state(deployed, good.get("drifted", {}), built),
        "drift": _drift(good.get("drifted", {})),
        "forensics": _forensics(good.get("examined", {})),
        "builds": _builds(built),
        "failures": failures,
    }
    record["problems"] = problems(record)
    return record


def not_tried(journey: str, host: str, why: str) -> Json:
    """The record of a host that had no turn."""
    empty: Json = {"schema": SCHEMA, "journey": journey, "host": host, "address": "", "when": "", "trace_id": "", "changed": False}
    empty.update(state=_state({}, {}, {}), drift=_drift({}), forensics=_forensics({}), builds=_builds({}))
    failure = {"step": "", "task": "", "unreachable": False, "message": why, "code": NOT_TRIED, "subject": "", "hint": ""}
    return {**empty, "failures": [failure], "problems": [NOT_TRIED]}


def problems(record: t.Mapping[str, t.Any]) -> list[str]:
    """The words of PROBLEMS that a record gives reason for, the worst first."""
    builds = record["builds"]["builds"]
    found = {
        UNREACHABLE: any(failure["unreachable"] for failure in record["failures"]),
        FAILED: any(not failure["unreachable"] for failure in record["failures"]),
        DAMAGED: record["forensics"]["total"] > 0 or any(build["installed"] == "changed" for build in builds),
        DIFFERS: any(build["status"] in ("differs", "failed", "mismatch") for build in builds),
        DRIFT: bool(record["drift"]["before"] or record["drift"]["after"]),
    }
    return [word for word in PROBLEMS if found.get(word)]


def reason(record: t.Mapping[str, t.Any]) -> str:
    """The last line of what went wrong with a host, with the next step; "" when nothing did."""
    for failure in record["failures"]:
        # Where a failed command says several lines, the last is what ended it.
        return str(failure["message"]).strip().rpartition("\n")[2]
    said = []
    if record["forensics"]["total"]:
        said.append(f"{_things(record['forensics']['total'])} on its disk not as admitted; airgap.golang.modcache with state=repaired mends that")
    said += [build["message"] for build in record["builds"]["builds"] if build["status"] in ("differs", "failed", "mismatch")][:1]
    said += [f"{build['path']} was changed after it was built; deploy again" for build in record["builds"]["builds"] if build["installed"] == "changed"][:1]
    if DRIFT in record["problems"]:
        lines = len({*record["drift"]["before"], *record["drift"]["after"]})
        said.append(f"{_things(lines)} other than wished; deploy with --check --diff shows what")
    return "; ".join(" ".join(sentence.split()) for sentence in said)


def append(path: str, record: t.Mapping[str, t.Any]) -> None:
    """Add a record to the file, by one write of one line: runs and their workers may share it, and a kill leaves whole lines.

    :raises OSError: it can't be written.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    line = (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode("utf-8", "replace")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, line) != len(line):
            # What comes next must not continue half a line.
            os.write(descriptor, b"\n")
            raise OSError(28, "there's no room for the record", path)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: str, journey: str) -> dict[str, Json]:
    """Host → its last record of that journey; no file is no records. A line that isn't whole is left out: a full disk cut it.

    :raises AirgapError: what is there is no such file at all.
    """
    found: dict[str, Json] = {}
    bad = 0
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                record = json.loads(line)
                if record["schema"] != SCHEMA:
                    raise ValueError(f"schema {record['schema']}")
                if record["journey"] == journey:
                    # So that a record somebody wrote by hand can't break the report halfway.
                    record["problems"] = problems(record)
                    reason(record)
                    found[str(record["host"])] = record
            except (ValueError, KeyError, TypeError, AttributeError):
                bad += 1
    if bad and not found:
        raise AirgapError(
            f"{path} holds no records of {journey}: none of its {bad} lines can be read",
            code="record_damaged",
            subject=path,
            hint="name another file, or remove this one",
        )
    return found


def _is_bad(result: t.Mapping[str, t.Any]) -> bool:
    return bool(result.get("failed") or result.get("unreachable"))


def _failure(step: str, task: str, result: t.Mapping[str, t.Any]) -> Json:
    told = result.get("failure") if isinstance(result.get("failure"), dict) else {}
    message = _ANSIBLES.sub("", _text(result.get("msg") or result.get("censored") or "failed without a message"))
    if "MODULE FAILURE" in message:
        # Python's last words are in what the module wrote.
        message = _text(str(result.get("exception") or result.get("module_stderr") or result.get("module_stdout") or message).strip())
    return {
        "step": step,
        "task": _text(task, 300),
        "unreachable": bool(result.get("unreachable")),
        "message": message,
        **{name: _text(t.cast("Json", told).get(name, ""), 1000) for name in ("code", "subject", "hint")},
    }


def _state(deployed: t.Mapping[str, t.Any], drifted: t.Mapping[str, t.Any], built: t.Mapping[str, t.Any]) -> Json:
    """What is active on the host, by whichever step says it."""
    state = built.get("state") or {}
    current = _text(deployed.get("current") or state.get("current") or drifted.get("previous") or "", 60)
    return {
        "generation": current.rpartition("-")[0],
        "current": current,
        "platform": _text(deployed.get("platform") or state.get("platform") or drifted.get("platform") or "", 60),
        "parts": [_text(part, 60) for part in state.get("parts") or ()],
        "toolchain": _text(state.get("toolchain") or "", 60),
    }


def _drift(result: t.Mapping[str, t.Any]) -> Json:
    diff = result.get("diff") if result.get("changed") and isinstance(result.get("diff"), dict) else {}
    sides = [str(t.cast("Json", diff).get(side) or "").splitlines() for side in ("before", "after")]
    before, after = ([_text(line, 500) for line in side if line not in other][:_LINES] for side, other in (sides, sides[::-1]))
    return {"checked": bool(result), "wished": _text(result.get("generation") or "", 60), "before": before, "after": after}


def _forensics(result: t.Mapping[str, t.Any]) -> Json:
    findings = [finding for finding in result.get("findings") or () if isinstance(finding, dict)]
    return {
        "checked": bool(result),
        "things": _number(result.get("checked")),
        "total": _number(result.get("total")),
        "summary": {_text(word, 60): _number(count) for word, count in (result.get("summary") or {}).items()},
        "findings": [{_text(name, 60): _text(value, 500) for name, value in finding.items()} for finding in findings[:_LINES]],
    }


def _builds(result: t.Mapping[str, t.Any]) -> Json:
    builds = [build for build in result.get("builds") or () if isinstance(build, dict)]
    texts = ("project", "output", "platform", "toolchain", "path", "status", "installed", "expected", "sha256", "message")
    return {
        "checked": bool(result),
        "isolation": _text((result.get("isolation") or {}).get("method") or "", 60),
        "builds": [
            {**{name: _text(build.get(name, "")) for name in texts}, "seconds": float(build.get("seconds") or 0)} for build in builds
        ],
    }


def _things(count: int) -> str:
    return f"{count} thing{'' if count == 1 else 's'}"


def _number(value: t.Any) -> int:
    """A count, also where a module counts in a dictionary by kind."""
    if isinstance(value, dict):
        return sum(_number(entry) for entry in value.values())
    return value if isinstance(value, int) else 0


def _text(value: t.Any, size: int = _TEXT) -> str:
    """The end of a text, its lines without credentials and what can't be printed."""
    text = "\n".join(scrub(line) for line in str(value).splitlines())
    return text if len(text) <= size else "…" + text[-size:]
