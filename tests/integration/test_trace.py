# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trace callback, with a real ansible-playbook: every outcome that a task can have, and what must never be written."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import typing as t

import pytest

COLLECTIONS = pathlib.Path(__file__).resolve().parents[2] / ".build"
PARENT_ID = "0af7651916cd43dd8448eb211c80319c"

INVENTORY = """\
all:
  hosts:
    here:
      ansible_connection: local
      ansible_host: 127.0.0.1
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
    gone:
      ansible_connection: ssh
      ansible_host: 127.0.0.2
      ansible_port: 1
      ansible_ssh_common_args: -o BatchMode=yes -o ConnectTimeout=5
"""

PLAYBOOK = """\
- name: Outcomes
  hosts: here
  gather_facts: false
  tasks:
    - name: Fine
      ansible.builtin.command: {argv: [printenv, AIRGAP_GOLANG_TRACE_ID]}
      register: printed
      changed_when: true
    - name: Fine without a change
      ansible.builtin.assert: {that: printed.stdout | length == 32}
    - name: Rescued
      block:
        - name: Refused
          refuse:
            argument: argument-canary
      rescue:
        - name: To the rescue
          ansible.builtin.debug: {msg: rescued}
    - name: Skipped
      ansible.builtin.debug: {msg: never}
      when: false
    - name: Looped
      ansible.builtin.assert: {that: item.good, fail_msg: "{{ item.name }} is bad"}
      loop:
        - {name: one, good: true}
        - {name: two, good: false}
      loop_control: {label: "{{ item.name }}"}
      ignore_errors: true
    - name: Hidden
      ansible.builtin.assert: {that: false, fail_msg: hidden-canary}
      no_log: true
      ignore_errors: true
    - name: Hidden loop
      ansible.builtin.debug: {msg: "{{ item }}"}
      loop: [looped-canary]
      no_log: true
    - name: In a worker
      ansible.builtin.fail: {msg: "worker has {{ lookup('ansible.builtin.env', 'AIRGAP_GOLANG_TRACE_ID') }}"}
      ignore_errors: true
    - name: With a handler
      ansible.builtin.command: {argv: ["true"]}
      changed_when: true
      notify: Handled
    - name: With output
      vars: {airgap_golang_trace_output: true}
      block:
        - name: Spoke
          ansible.builtin.command:
            argv: [sh, -c, 'echo said https://user:said-canary@proxy.example/x; echo warned >&2']
          changed_when: false
        - name: Spoke at length
          # The cut is inside of a URL's password.
          ansible.builtin.command:
            argv: [sh, -c, 'echo "begin https://user:length-canary@h/"; head -c 4080 /dev/zero | tr "\\0" a; printf \u00e9']
          changed_when: false
        - name: Spoke of a secret
          ansible.builtin.command: {argv: [echo, spoken-canary]}
          changed_when: false
          no_log: true
        - name: Spoke in a loop
          ansible.builtin.command: {argv: [echo, "{{ item }}"]}
          changed_when: false
          loop: [one, two]
        - name: Spoke and failed
          ansible.builtin.command: {argv: [sh, -c, 'echo before the end; exit 3']}
          changed_when: false
          ignore_errors: true
    - name: Spoke outside
      ansible.builtin.command: {argv: [echo, outside-canary]}
      changed_when: false
  handlers:
    - name: Handled
      ansible.builtin.debug: {msg: handled}

- name: Nobody there
  hosts: gone
  gather_facts: false
  tasks:
    - name: Unreachable
      ansible.builtin.ping:
"""

REFUSE = """\
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule(argument_spec={"argument": {"type": "str"}})
module.fail_json(
    msg="fetch of https://user:url-canary@proxy.example/x failed",
    failure={"code": "fetch_failed", "subject": "https://url-canary@proxy.example/x", "details": [{"n": 1}]},
)
"""


class Run(t.NamedTuple):
    lines: list[dict[str, t.Any]]
    text: str
    finished: subprocess.CompletedProcess[str]

    def of(self, task: str, status: str = "") -> list[dict[str, t.Any]]:
        return [line for line in self.lines if line["task"] == task and (not status or line["status"] == status)]

    def end(self, task: str) -> dict[str, t.Any]:
        (line,) = (line for line in self.of(task) if line["status"] != "STARTED" and line["item"] is None)
        return line


def play(directory: pathlib.Path, **more: str) -> subprocess.CompletedProcess[str]:
    (directory / "inventory.yml").write_text(INVENTORY)
    (directory / "play.yml").write_text(PLAYBOOK)
    (directory / "library").mkdir(exist_ok=True)
    (directory / "library" / "refuse.py").write_text(REFUSE)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "AIRGAP_", "TRACE"))}
    environment.update(
        ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
        ANSIBLE_CALLBACKS_ENABLED="airgap.golang.trace",
        ANSIBLE_LOCAL_TEMP=str(directory / "tmp"),
        ANSIBLE_SSH_CONTROL_PATH_DIR=str(directory / "cp"),
        **more,
    )
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    command = [program, "-i", "inventory.yml", "play.yml"]
    return subprocess.run(command, cwd=directory, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("trace")
    finished = play(directory, TRACEPARENT=f"00-{PARENT_ID}-b7ad6b7169203331-01")
    assert finished.returncode == 4, finished.stdout  # 4: a host was unreachable, which is the play's last word
    text = (directory / "airgap-golang-trace.jsonl").read_text()
    return Run([json.loads(line) for line in text.splitlines()], text, finished)


def test_every_line_has_every_field(run: Run) -> None:
    for line in run.lines:
        assert {"timestamp", "trace_id", "node_ip", "host", "play", "task", "action", "item", "status", "changed", "duration", "error"} <= set(line)
        assert line["status"] in ("STARTED", "DONE", "FAILED")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])
        assert (line["error"] is not None) == (line["status"] == "FAILED")
        assert (line["duration"] is None) == (line["status"] == "STARTED")
    stamps = [datetime.datetime.fromisoformat(line["timestamp"]) for line in run.lines]
    assert stamps == sorted(stamps)


def test_one_trace_id_runs_through_and_reaches_the_workers(run: Run) -> None:
    assert {line["trace_id"] for line in run.lines} == {PARENT_ID}
    assert run.end("In a worker")["error"] == f"worker has {PARENT_ID}"
    assert run.end("Fine without a change")["status"] == "DONE"


def test_each_task_starts_once_and_ends_once(run: Run) -> None:
    tasks = {line["task"] for line in run.lines}
    assert len(tasks) == 18, sorted(tasks)
    for task in tasks:
        assert len(run.of(task, "STARTED")) == 1, task
        assert run.end(task)["duration"] >= 0


def test_done_says_whether_it_changed(run: Run) -> None:
    assert (run.end("Fine")["status"], run.end("Fine")["changed"]) == ("DONE", True)
    assert run.end("Fine without a change")["changed"] is False
    assert run.end("Fine")["action"] == "ansible.builtin.command"
    assert (run.end("Fine")["node_ip"], run.end("Fine")["host"], run.end("Fine")["play"]) == ("127.0.0.1", "here", "Outcomes")
    assert run.end("Handled")["status"] == "DONE"


def test_a_failure_carries_its_structure_without_credentials(run: Run) -> None:
    line = run.end("Refused")
    assert line["status"] == "FAILED"
    assert line["error"] == "fetch of https://***@proxy.example/x failed"
    assert line["failure"] == {"code": "fetch_failed", "subject": "https://***@proxy.example/x", "details": [{"n": 1}]}
    assert run.end("To the rescue")["status"] == "DONE"


def test_skipped_and_ignored_are_marked(run: Run) -> None:
    assert (run.end("Skipped")["status"], run.end("Skipped")["skipped"]) == ("DONE", True)
    assert (run.end("Looped")["status"], run.end("Looped")["ignored"]) == ("FAILED", True)


def test_a_loop_has_one_line_for_each_item(run: Run) -> None:
    items = [(line["item"], line["status"], line["error"]) for line in run.of("Looped") if line["item"] is not None]
    assert items == [("one", "DONE", None), ("two", "FAILED", "two is bad")]


def test_no_log_stays_censored(run: Run) -> None:
    assert "no_log" in run.end("Hidden")["error"]
    assert [line["item"] for line in run.of("Hidden loop") if line["item"] is not None] == ["(censored)"]
    assert "canary" in run.finished.stdout  # the default callback shows the URL as it is, so the canaries were really in play
    assert "canary" not in run.text


def test_output_is_written_where_it_is_asked_for(run: Run) -> None:
    assert run.end("Spoke")["output"] == {"stdout": "said https://***@proxy.example/x", "stderr": "warned"}
    assert run.end("Spoke and failed")["output"] == {"stdout": "before the end", "msg": "non-zero return code"}
    assert [line["output"]["stdout"] for line in run.of("Spoke in a loop") if line["item"] is not None] == ["one", "two"]
    long = run.end("Spoke at length")["output"]["stdout"]
    assert len(long.encode()) == 4096 and long.startswith("\u2026") and long.endswith("a\u00e9")
    assert {line["task"] for line in run.lines if "output" in line} == {"Spoke", "Spoke at length", "Spoke in a loop", "Spoke and failed"}


def test_an_unreachable_host_has_failed(run: Run) -> None:
    line = run.end("Unreachable")
    assert (line["status"], line["unreachable"], line["node_ip"], line["play"]) == ("FAILED", True, "127.0.0.2", "Nobody there")
    assert "onnect" in line["error"]


def test_path_and_id_can_be_chosen_and_lines_are_appended(tmp_path: pathlib.Path) -> None:
    trace = tmp_path / "elsewhere.jsonl"
    trace.write_text('{"before": true}\n')
    play(tmp_path, AIRGAP_GOLANG_TRACE_PATH=str(trace), AIRGAP_GOLANG_TRACE_ID="f" * 32, TRACEPARENT=f"00-{PARENT_ID}-b7ad6b7169203331-01")
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert lines[0] == {"before": True}
    assert {line["trace_id"] for line in lines[1:]} == {"f" * 32}


def test_a_trace_that_cannot_be_written_is_said_and_stops_nothing(tmp_path: pathlib.Path) -> None:
    finished = play(tmp_path, AIRGAP_GOLANG_TRACE_PATH=str(tmp_path / "missing" / "trace.jsonl"))
    assert finished.returncode == 4
    assert "this run goes on without its trace" in " ".join(finished.stdout.split())
