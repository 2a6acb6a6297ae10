# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a fleet in which something is wrong with most hosts: deploy and verify by ansible-playbook, their reports, policies, hooks and reruns.

The hosts are directories of this machine, and one is an address where nobody answers; their toolchains are some bytes.
"""

from __future__ import annotations

import dataclasses
import html.parser
import http.server
import json
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time
import typing as t
from xml.etree import ElementTree

import jsonschema
import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.deployed_depot import Ran, playbook
from ansible_collections.airgap.golang.tests.support.small_generation import LOOSE, make_generation

SCHEMA = json.loads((pathlib.Path(__file__).resolve().parents[2] / "docs" / "schemas" / "fleet.v1.json").read_text())
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
GONE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-o BatchMode=yes -o ConnectTimeout=5"}
HOOK = 'cat >>"$0"'


@dataclasses.dataclass
class Fleet:
    """Hosts by name, and what was said of them last."""

    top: pathlib.Path
    names: tuple[str, ...]

    def root(self, name: str) -> pathlib.Path:
        return self.top / name

    def hosts(self) -> dict[str, dict[str, t.Any]]:
        found = {}
        for name in self.names:
            links = str(self.top / f"{name}-bin")
            found[name] = {"airgap_golang_root": str(self.root(name)), "deploy_link_dir": links, "deploy_tools_dir": links, **HERE}
        return {**found, "gone": {**found["gone"], **GONE}} if "gone" in found else found

    def run(self, name: str, *options: str, prefix: t.Sequence[str] = (), **more: t.Any) -> Ran:
        given = {"airgap_golang_depot": str(self.top / "depot"), "deploy_become": False, "verify_become": False, **more}
        return playbook(self.top / "ansible", name, given, *options, hosts=self.hosts(), prefix=prefix)

    def deploy(self, *options: str, **more: t.Any) -> Ran:
        return self.run("deploy", *options, **more)

    def verify(self, *options: str, **more: t.Any) -> Ran:
        """The report of all verifies is in one directory."""
        return self.run("verify", *options, verify_report_dir=str(self.top / "report"), verify_scratch_dir=str(self.top / "scratch"), **more)

    def report(self, journey: str = "verify") -> dict[str, t.Any]:
        document: dict[str, t.Any] = json.loads((self.top / "report" / f"{journey}.json").read_text())
        jsonschema.Draft202012Validator(SCHEMA).validate(document)
        return document

    def records(self, path: str) -> list[dict[str, t.Any]]:
        found = [json.loads(line) for line in (self.top / path).read_text().splitlines()]
        validator = jsonschema.Draft202012Validator({"$defs": SCHEMA["$defs"], "$ref": "#/$defs/record", "unevaluatedProperties": False})
        for record in found:
            validator.validate(record)
        return found


def recap(ran: Ran) -> dict[str, dict[str, int]]:
    lines = ran.output.partition("PLAY RECAP")[2].splitlines()[1:]
    return {
        name.strip(): {word: int(count) for word, _equals, count in (pair.partition("=") for pair in facts.split())}
        for name, colon, facts in (line.partition(" : ") for line in lines)
        if colon
    }


def failed(ran: Ran) -> set[str]:
    return {name for name, facts in recap(ran).items() if facts["failed"]}


def make_fleet(prefix: str, *names: str) -> Fleet:
    """Not below pytest's own directory, which other users may not enter."""
    top = pathlib.Path(tempfile.mkdtemp(prefix=f"airgap-golang-{prefix}-"))
    top.chmod(0o755)
    (top / "scratch").mkdir()
    depot = Depot(str(top / "depot"))
    make_generation(depot, 1, builds=True)
    make_generation(depot, 2, builds=True, modules={LOOSE: {"loose.go": b"package loose\n"}, ("example.com/newer", "v1.1.0"): {"newer.go": b"package newer\n"}})
    return Fleet(top, names)


@pytest.fixture
def small() -> t.Iterator[Fleet]:
    fleet = make_fleet("few", "gone", "one", "two")
    yield fleet
    remove_tree(str(fleet.top))


@pytest.fixture(scope="module")
def fleet() -> t.Iterator[Fleet]:
    """After a deploy in two batches: ``older`` is a generation behind, ``blocked`` has something in the way, ``empty`` was left out, and
    what was carried to ``damaged`` and ``differs`` was changed since."""
    made = make_fleet("fleet", "fine", "older", "gone", "blocked", "damaged", "differs", "empty")
    try:
        behind = made.deploy("--limit", "older", deploy_generation=1)
        assert behind.status == 0, behind.output
        (made.top / "blocked-bin").mkdir()
        (made.top / "blocked-bin" / "go").write_text("somebody's own")
        yield made
    finally:
        remove_tree(str(made.top))


@pytest.fixture(scope="module")
def deployed(fleet: Fleet) -> Ran:
    hook = {"command": ["sh", "-c", HOOK, str(fleet.top / "hooked")]}
    places = {"deploy_record": str(fleet.top / "deploy.jsonl"), "deploy_report_dir": str(fleet.top / "report")}
    ran = fleet.deploy("--limit", "all:!older:!empty", deploy_serial=2, deploy_failed_hook=hook, **places)
    change(fleet.root("damaged"), "modcache/example.com/loose@*/loose.go")
    change(fleet.root("differs"), "depot/trees/000002/projects/hello/main.go")
    return ran


def change(root: pathlib.Path, pattern: str) -> None:
    (path,) = root.glob(pattern)
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(b"package worse\n")
    path.chmod(mode)


def test_a_bad_host_stops_no_other_and_is_summed_up(fleet: Fleet, deployed: Ran) -> None:
    assert deployed.status == 2 and failed(deployed) == {"gone", "blocked"}, deployed.output
    assert {name: (fleet.root(name) / "current").is_symlink() for name in ("fine", "damaged", "differs", "blocked")} == {
        "fine": True,
        "damaged": True,
        "differs": True,
        "blocked": False,
    }
    assert recap(deployed)["fine"]["changed"] >= 2
    assert "1 unreachable: gone" in deployed.output and "1 failed: blocked" in deployed.output
    assert "is there already and isn't ours; remove it" in deployed.output.partition("TASK [Sum up]")[2]
    assert [host["problems"] for host in fleet.report("deploy")["hosts"]] == [["unreachable"], ["failed"], [], [], []]


def test_the_hook_gets_the_record_of_each_host_that_failed(fleet: Fleet, deployed: Ran) -> None:
    hooked = {record["host"]: record for record in map(json.loads, (fleet.top / "hooked").read_text().splitlines())}
    assert hooked == {host["host"]: host for host in fleet.report("deploy")["hosts"] if host["failing"]}
    assert set(hooked) == {"gone", "blocked"}
    assert hooked["gone"]["failures"][0]["unreachable"] and hooked["blocked"]["failures"][0]["code"] == "in_the_way"
    assert hooked["blocked"]["failures"][0]["task"] == "Bring the host to the generation"
    (trace_id,) = {record["trace_id"] for record in fleet.records("deploy.jsonl")}
    assert len(trace_id) == 32 and {record["trace_id"] for record in hooked.values()} == {trace_id}
    done = {record["host"]: record["state"]["generation"] for record in fleet.records("deploy.jsonl") if not record["problems"]}
    assert done == {"fine": "000002", "damaged": "000002", "differs": "000002"}


@pytest.fixture(scope="module")
def verified(fleet: Fleet, deployed: Ran) -> Ran:
    before = {name: facts_below(fleet.root(name)) for name in fleet.names}
    ran = fleet.verify("--forks", "3", verify_serial=[1, 3], verify_throttle=2)
    assert {name: facts_below(fleet.root(name)) for name in fleet.names} == before, "verify changed a host"
    assert list((fleet.top / "scratch").iterdir()) == []
    return ran


def facts_below(top: pathlib.Path) -> dict[str, tuple[int, int, int]]:
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns, path.lstat().st_mode) for path in top.rglob("*")}


def test_verify_says_of_each_host_what_it_has_and_what_is_wrong(fleet: Fleet, verified: Ran) -> None:
    document = fleet.report()
    hosts = {host["host"]: host for host in document["hosts"]}
    assert {name: host["problems"] for name, host in hosts.items()} == {
        "gone": ["unreachable"],
        "blocked": ["failed"],
        "empty": ["failed", "drift"],
        "damaged": ["damaged"],
        "differs": ["damaged", "differs"],
        "older": ["drift"],
        "fine": [],
    }
    # What needs attention first is first.
    assert list(hosts)[0] == "gone" and list(hosts)[-1] == "fine"
    fine = hosts["fine"]
    assert fine["state"]["generation"] == "000002" and fine["state"]["toolchain"] == "1.26.8"
    assert fine["state"]["parts"] == ["goenv", "modcache", "project", "toolchain", "tools"]
    assert fine["drift"] == {"checked": True, "wished": "000002", "before": [], "after": []}
    assert fine["forensics"]["checked"] and fine["forensics"]["things"] > 0
    assert [(build["status"], build["installed"]) for build in fine["builds"]["builds"]] == [("identical", "attested")]
    assert hosts["older"]["state"]["generation"] == "000001" and hosts["older"]["drift"]["wished"] == "000002"
    assert any(line.startswith("current: 000001-") for line in hosts["older"]["drift"]["before"])
    (finding,) = hosts["damaged"]["forensics"]["findings"]
    assert finding["problem"] == "changed" and finding["path"].endswith("example.com/loose@v1.0.0/loose.go")
    assert [build["status"] for build in hosts["differs"]["builds"]["builds"]] == ["differs"]
    assert hosts["gone"]["reason"].startswith("Failed to connect") and "deploy" in hosts["empty"]["reason"]
    assert document["summary"] == {
        **{"hosts": 7, "ok": 1, "unreachable": 1, "failed": 2, "damaged": 2, "differs": 1, "drift": 2, "not_tried": 0},
        **{"changed": 0, "failing": 6, "earlier": 0},
    }


def test_verify_fails_those_that_the_policy_names(fleet: Fleet, verified: Ran) -> None:
    assert verified.status == 2 and failed(verified) == set(fleet.names) - {"fine"}
    assert "1 of 7 hosts are as they should be" in verified.output and "2 damaged: damaged, differs" in verified.output


def test_junit_and_page_are_what_their_readers_take(fleet: Fleet, verified: Ran) -> None:
    suites = {suite.get("hostname"): suite for suite in ElementTree.parse(fleet.top / "report" / "verify.xml").getroot()}
    assert set(suites) == set(fleet.names)
    assert {name: (suite.get("errors"), suite.get("failures")) for name, suite in suites.items()} == {
        "gone": ("1", "0"),
        "blocked": ("1", "0"),
        "empty": ("1", "1"),
        "damaged": ("0", "1"),
        "differs": ("0", "2"),
        "older": ("0", "1"),
        "fine": ("0", "0"),
    }
    for suite in suites.values():
        assert len(suite.findall("testcase")) == int(suite.get("tests", ""))

    class Tags(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.seen: list[str] = []

        def handle_starttag(self, tag: str, attrs: t.Any) -> None:
            self.seen.append(tag)
            if tag not in ("meta", "br"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    page = (fleet.top / "report" / "verify.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.open == [] and not {"script", "img", "link", "iframe"} & set(tags.seen)
    assert "http" not in page.replace("http-equiv", "") and all(f">{name}<" in page for name in fleet.names)


def test_a_limited_verify_in_check_mode_renews_its_hosts_and_keeps_the_others(fleet: Fleet, verified: Ran) -> None:
    ran = fleet.verify("--check", "--limit", "fine,older", verify_fail_on="failed,damaged")
    assert ran.status == 0 and set(recap(ran)) == {"fine", "older"}, ran.output
    hosts = {host["host"]: host for host in fleet.report()["hosts"]}
    assert {name for name, host in hosts.items() if host["earlier"]} == set(fleet.names) - {"fine", "older"}
    assert hosts["older"]["problems"] == ["drift"] and not hosts["older"]["failing"] and not hosts["gone"]["failing"]

    again = fleet.verify("--tags", "report")
    assert again.status == 0 and fleet.report()["summary"]["earlier"] == 7, again.output
    assert "Bring the host to the generation" not in again.output


def test_a_rerun_takes_up_what_is_left(fleet: Fleet, deployed: Ran) -> None:
    (fleet.top / "blocked-bin" / "go").unlink()
    record = str(fleet.top / "deploy.jsonl")
    ran = fleet.deploy("--limit", "all:!older:!empty", deploy_record=record, deploy_resume=True)
    assert failed(ran) == {"gone"} and recap(ran)["blocked"]["changed"] >= 1, ran.output
    assert recap(ran)["differs"]["ok"] == 0, "a host that was done was asked again"
    assert "4 of 5 hosts are as they should be" in ran.output
    assert fleet.records("deploy.jsonl")[-1]["host"] in ("blocked", "gone")


def test_a_run_that_is_killed_has_recorded_the_hosts_that_were_done(small: Fleet) -> None:
    small.names = ("one", "two")
    record = small.top / "deploy.jsonl"
    pid = small.top / "pid"
    prefix = ["sh", "-c", f'echo $$ >{pid}; exec "$@"', "sh"]
    thread = threading.Thread(target=small.deploy, kwargs={"deploy_serial": 1, "deploy_record": str(record), "prefix": prefix})
    thread.start()
    until = time.monotonic() + 300
    while not record.exists() or not record.read_bytes().endswith(b"\n"):
        assert time.monotonic() < until and thread.is_alive()
        time.sleep(0.02)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    thread.join()
    assert [entry["host"] for entry in small.records("deploy.jsonl")] == ["one"]
    with open(record, "ab") as stream:
        stream.write(b'{"schema": 1, "journey": "depl')

    rerun = small.deploy(deploy_record=str(record), deploy_resume=True)
    assert rerun.status == 0 and recap(rerun)["one"]["ok"] <= 3 and (small.root("two") / "current").is_symlink(), rerun.output
    assert "2 of 2 hosts are as they should be" in rerun.output


def test_too_many_failures_end_the_batches(small: Fleet) -> None:
    ran = small.deploy(deploy_serial=1, deploy_max_fail_percentage=50)
    assert failed(ran) == {"gone", "one", "two"} and "2 not tried: one, two" in ran.output, ran.output
    assert not small.root("one").exists()


class Receiver(http.server.BaseHTTPRequestHandler):
    bodies: t.ClassVar[list[tuple[str, str, dict[str, t.Any]]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append((self.path, self.headers["Authorization"], json.loads(body)))
        self.send_response(500 if "refuse" in self.path else 204)
        self.end_headers()

    def log_message(self, *args: t.Any) -> None:
        pass


@pytest.mark.parametrize("path", ["take", "refuse"])
def test_a_webhook_gets_it_too_and_its_failure_hides_nothing(small: Fleet, path: str) -> None:
    Receiver.bodies.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hook = {"url": f"http://127.0.0.1:{server.server_port}/{path}/canary-in-url", "headers": {"Authorization": "canary-in-header"}}
        ran = small.deploy("--limit", "gone", "-vv", deploy_failed_hook=hook)
        server.shutdown()
    ((where, authorization, record),) = Receiver.bodies
    assert where == f"/{path}/canary-in-url" and authorization == "canary-in-header" and record["host"] == "gone"
    assert ran.status == 2 and failed(ran) == {"gone"} and "unreachable: Failed to connect" in ran.output
    assert ("its hook failed too" in ran.output) == (path == "refuse")
    assert "canary" not in ran.output
