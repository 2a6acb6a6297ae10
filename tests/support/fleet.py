# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as modules return them, for records and reports of fleets that nobody has at hand.

``python fleet.py COUNT DIRECTORY`` writes the report on such a fleet, to be looked at.
"""

from __future__ import annotations

import sys
import typing as t

from ansible_collections.airgap.golang.plugins.module_utils import fleet_report
from ansible_collections.airgap.golang.plugins.module_utils._fleet import records

Results = t.Dict[str, t.Dict[str, t.Any]]

TRACE = "7" * 32
#: What somebody may call a host, or let go say, who wants more than to be read.
EVIL = "<script>alert('x')</script>\"&'><img src=x onerror=alert(1)>"


def build(status: str = "identical", **more: t.Any) -> dict[str, t.Any]:
    found = {
        "project": "billing",
        "output": "bin/billing",
        "platform": "linux/amd64",
        "toolchain": "1.26.8",
        "path": "/opt/airgap-golang/builds/000007/billing/bin/billing",
        "status": status,
        "installed": "attested",
        "expected": "a" * 64,
        "sha256": "" if status == "failed" else ("a" if status == "identical" else "b") * 64,
        "seconds": 12.3,
        "message": "",
    }
    return {**found, **more}


def verified(**more: t.Any) -> Results:
    """Of a host that is as it should be; ``more`` replaces steps."""
    state = {"current": "000007-5b0f1c9e", "platform": "linux/amd64", "parts": ["goenv", "modcache", "project", "toolchain"], "toolchain": "1.26.8"}
    found: Results = {
        "drifted": {"changed": False, "generation": "000007", "previous": "000007-5b0f1c9e", "platform": "linux/amd64", "diff": {"before": "", "after": ""}},
        "examined": {"changed": False, "checked": {"blob": 44, "modcache": 38, "toolchain": 1}, "total": 0, "summary": {}, "findings": []},
        "built": {"changed": False, "state": state, "generation": {"number": 7}, "isolation": {"method": "netns"}, "builds": [build()]},
    }
    return {**found, **more}


def drifted() -> Results:
    diff = {"before": "current: 000006-0c7d1f3a\ntoolchain: 1.26.7\n", "after": "current: 000007-5b0f1c9e\ntoolchain: 1.26.8\n"}
    wished = {"changed": True, "generation": "000007", "previous": "000006-0c7d1f3a", "platform": "linux/amd64", "diff": diff}
    state = {**verified()["built"]["state"], "current": "000006-0c7d1f3a", "toolchain": "1.26.7"}
    return verified(drifted=wished, built={**verified()["built"], "state": state})


def damaged() -> Results:
    text = "golang.org/x/text@v0.29.0"
    top = f"/opt/airgap-golang/modcache/{text}"
    findings = [
        {"kind": "modcache", "subject": text, "path": f"{top}/unicode/norm/tables.go", "problem": "changed", "expected": "c" * 64, "found": "d" * 64},
        {"kind": "modcache", "subject": text, "path": f"{top}/backdoor.go", "problem": "stray", "expected": "", "found": "e" * 64},
    ]
    return verified(examined={"checked": {"blob": 44, "modcache": 38, "toolchain": 1}, "total": 2, "summary": {"changed": 1, "stray": 1}, "findings": findings})


def differing() -> Results:
    message = "billing bin/billing: built here it has another SHA-256 than at the rehearsal; compare `go version -m` of both binaries"
    broken = build("failed", output="bin/report", message="go build: exit status 1\n# example.com/billing\n./main.go:7:2: undefined: fmt.Prntln")
    return verified(built={**verified()["built"], "builds": [build("differs", message=message), broken, build(output="bin/other")]})


def unreachable(message: str = "Failed to connect to the host via ssh: ssh: connect to host 10.0.4.17 port 22: Connection timed out") -> Results:
    return {"drifted": {"unreachable": True, "changed": False, "msg": f"Task failed: {message}"}}


def failed(message: str = "/opt has 1048576 bytes free; generation 000007 needs 402653184 more; make room") -> Results:
    return {"drifted": {"failed": True, "msg": message, "failure": {"code": "no_space", "subject": "/opt", "hint": "make room"}}}


def record(host: str, results: t.Mapping[str, t.Any], journey: str = "verify") -> records.Json:
    made = records.make(journey, host, f"10.0.4.{len(host)}", TRACE, results)
    assert made is not None
    return made


def fleet(count: int) -> list[records.Json]:
    """That many hosts, of which a few have each problem, and one has a name with which somebody wants more."""
    kinds = {2: drifted, 3: damaged, 5: differing, 7: unreachable, 11: failed}
    every = max(1, count // 60)
    made = []
    for number in range(count - 1):
        turn, rest = divmod(number, every)
        kind = kinds.get(turn % 12, verified) if rest == 0 else verified
        made.append(record(f"build{number:04d}.example", kind()))
    return [*made, record(f"evil {EVIL}", failed(EVIL))]


if __name__ == "__main__":
    fresh = fleet(int(sys.argv[1]))
    options = fleet_report.Options("verify", [entry["host"] for entry in fresh], dest=sys.argv[2], fail_on=records.PROBLEMS)
    print("\n".join(fleet_report.report(options, fresh, TRACE)["lines"]))
