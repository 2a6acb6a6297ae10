# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records and reports of fleets: what counts as which problem, who fails, what is escaped, and what files survive."""

from __future__ import annotations

import json
import multiprocessing
import pathlib
import typing as t
from xml.etree import ElementTree

import jsonschema
import pytest

from ansible_collections.airgap.golang.plugins.module_utils import fleet_report
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._fleet import page, records
from ansible_collections.airgap.golang.plugins.module_utils.fleet_report import Options
from ansible_collections.airgap.golang.tests.support import fleet as toy

SCHEMA = json.loads((pathlib.Path(__file__).resolve().parents[3] / "docs" / "schemas" / "fleet.v1.json").read_text())


def answer(fresh: t.Sequence[records.Json], dest: str = "", **options: t.Any) -> dict[str, t.Any]:
    given = {"hosts": [entry["host"] for entry in fresh], "fail_on": records.PROBLEMS, **options}
    return fleet_report.report(Options("verify", dest=dest, **given), fresh, toy.TRACE)


@pytest.mark.parametrize(
    ("results", "problems", "words"),
    [
        (toy.verified(), [], ""),
        (toy.drifted(), ["drift"], "4 things other than wished"),
        (toy.damaged(), ["damaged"], "2 things on its disk"),
        (toy.differing(), ["differs"], "another SHA-256"),
        (toy.unreachable(), ["unreachable"], "Failed to connect to the host via ssh: ssh: connect to host 10.0.4.17"),
        (toy.failed(), ["failed"], "/opt has 1048576 bytes free"),
        (toy.verified(built={"builds": [toy.build(installed="changed")]}), ["damaged"], "was changed after it was built"),
        (toy.verified(built={"failed": True, "builds": [toy.build("mismatch", message="another binary")], "msg": "1 of 1"}), ["failed", "differs"], "1 of 1"),
        ({**toy.drifted(), "examined": toy.damaged()["examined"], "built": toy.differing()["built"]}, ["damaged", "differs", "drift"], "2 things"),
    ],
)
def test_a_records_problems(results: toy.Results, problems: list[str], words: str) -> None:
    record = toy.record("one", results)
    assert record["problems"] == problems and records.reason(record).startswith(words) or words in records.reason(record)


def test_the_result_that_a_host_left_with_is_told_once() -> None:
    bad = {"failed": True, "msg": "Module failed: no", "failure": {"code": "in_the_way", "hint": "remove it"}}
    record = records.make("deploy", "one", "one", toy.TRACE, {"deployed": bad, "failure": bad}, "Bring it there")
    assert record is not None
    (failure,) = record["failures"]
    assert (failure["task"], failure["message"], failure["code"], failure["hint"]) == ("Bring it there", "no", "in_the_way", "remove it")


def test_what_was_not_tried_makes_no_record() -> None:
    assert records.make("verify", "one", "one", toy.TRACE, {"drifted": {"skipped": True, "changed": False}, "built": {}}) is None


def test_no_credentials_and_no_endless_texts_are_kept() -> None:
    record = toy.record("one", toy.failed("fetch of https://user:canary@proxy.example/x failed\n" * 1000))
    assert "canary" not in json.dumps(record) and "proxy.example" in record["failures"][0]["message"]
    assert len(json.dumps(record)) < 10000
    many = toy.verified(examined={"checked": 1, "total": 5000, "findings": [{"path": "x" * 9000, "problem": "changed"}] * 5000})
    assert len(toy.record("one", many)["forensics"]["findings"]) == 200 and toy.record("one", many)["forensics"]["total"] == 5000


def test_lines_of_many_writers_are_whole_and_the_last_counts(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "new" / "records.jsonl")
    with multiprocessing.get_context("fork").Pool(8) as pool:
        pool.starmap(records.append, [(path, toy.record(f"host{number}", toy.damaged())) for number in range(200)])
    assert len(records.read(path, "verify")) == 200 and records.read(path, "deploy") == {}
    records.append(path, toy.record("host7", toy.verified()))
    with open(path, "a", encoding="utf-8") as stream:
        stream.write('{"schema": 1, "journey": "verify", "host": "host8", "probl')
    held = records.read(path, "verify")
    assert held["host7"]["problems"] == [] and held["host8"]["problems"] == ["damaged"]
    assert pathlib.Path(path).stat().st_mode & 0o777 == 0o600


def test_a_file_of_something_else_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").write_text("web1\nweb2\n")
    with pytest.raises(AirgapError, match="holds no records of verify"):
        records.read(str(tmp_path / "other"), "verify")
    assert records.read(str(tmp_path / "none"), "verify") == {}


def test_the_policy_is_for_this_runs_hosts(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "records.jsonl")
    records.append(path, toy.record("elsewhere", toy.failed()))
    records.append(path, toy.record("left", toy.verified()))
    fresh = [toy.record("fine", toy.verified()), toy.record("bad", toy.drifted())]
    given: dict[str, t.Any] = {"hosts": ["fine", "bad", "late"], "others": ["elsewhere", "unknown"], "record": path}
    found = answer(fresh, **given)
    assert set(found["failing"]) == {"bad", "late"} and set(found["hosts"]) == {"fine", "bad", "late", "elsewhere"}
    assert found["failing"]["bad"]["why"].startswith("drifted: 4 things other")
    assert found["failing"]["late"]["why"] == "not tried: it had no turn in this run"
    assert found["failing"]["late"]["record"]["problems"] == ["not_tried"]
    assert found["lines"][0] == "verify: 1 of 4 hosts are as they should be; generations 000006, 000007"
    assert set(answer(fresh, **given, fail_on=["failed"])["failing"]) == set()
    assert set(answer(fresh, **given, fail_on=["drift"])["failing"]) == {"bad"}


def test_a_thousand_names_are_no_sentence() -> None:
    fresh = [toy.record(f"host{number}", toy.failed()) for number in range(1000)]
    lines = answer(fresh)["lines"]
    assert lines[1].startswith("1000 failed: host0, ") and lines[1].endswith(" and 980 more") and len(lines) == 22


def test_reports_are_valid_escaped_and_sorted(tmp_path: pathlib.Path) -> None:
    dest = tmp_path / "reports"
    fresh = toy.fleet(13)
    reports = answer(fresh, str(dest))["reports"]
    document = json.loads(pathlib.Path(reports["json"]).read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    worst = [host["problems"][0] if host["problems"] else "" for host in document["hosts"]]
    assert worst == ["unreachable", "failed", "failed", "damaged", "differs", "drift", *[""] * 7]

    text = pathlib.Path(reports["html"]).read_text()
    assert "<script" not in text and "<img" not in text and "onerror=alert(1)&gt;" in text
    assert text.count("<tr>") == 2 + 13
    suites = ElementTree.parse(reports["junit"]).getroot()
    assert (suites.get("tests"), suites.get("errors"), suites.get("failures")) == (str(len(suites.findall("*/testcase"))), "3", "4")
    assert any(toy.EVIL in (suite.get("name") or "") for suite in suites)


def test_control_characters_of_a_message_do_not_spoil_the_xml() -> None:
    record = toy.record("one", toy.verified(built={"builds": [toy.build("failed", message="bell \x07 and \x1b[31mred\ud800")]}))
    record["builds"]["builds"][0]["message"] = "bell \x07 and \x1b[31mred"
    entry = {**record, "earlier": False, "failing": True, "reason": records.reason(record)}
    ElementTree.fromstring(fleet_report.junit.encode([fleet_report._suite(entry)]))


def test_a_report_is_a_change_when_it_says_something_new(tmp_path: pathlib.Path) -> None:
    dest = str(tmp_path)
    assert answer([toy.record("one", toy.verified())], dest)["changed"]
    later = {**toy.record("one", toy.verified()), "when": "2031-01-01T00:00:00Z"}
    assert not answer([later], dest)["changed"]
    assert answer([toy.record("one", toy.drifted())], dest)["changed"]
    options = Options("verify", ["one"], dest=str(tmp_path / "none"))
    assert fleet_report.report(options, [], toy.TRACE, check_mode=True)["changed"] and not (tmp_path / "none").exists()


def test_a_large_fleet_that_is_well_is_folded(tmp_path: pathlib.Path) -> None:
    fresh = [toy.record(f"host{number}", toy.verified()) for number in range(100)]
    answer(fresh, str(tmp_path))
    text = (tmp_path / "verify.html").read_text()
    assert "All of 100 hosts are as they should be." in text and '<details class="all">' in text
    document = json.loads((tmp_path / "verify.json").read_text())
    assert "Our builders" in page.render(document, "Our builders")
