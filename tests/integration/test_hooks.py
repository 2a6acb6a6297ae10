# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks of the playbook bundle, with a spec of one file: in order, in the trace, in check mode, and when one fails."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

COLLECTIONS = pathlib.Path(__file__).resolve().parents[2] / ".build"

TASKS = """\
- name: Look at the gather
  ansible.builtin.debug:
    msg: "{{ bundle_gathered is changed }}, generation {{ bundle_gathered.generation.number | default('none', true) }}"
- name: Keep a secret
  ansible.builtin.command: {argv: [echo, hidden-canary]}
  changed_when: false
  no_log: true
"""


class Outbox:
    """A directory from which bundles are made; ``lines``: the trace of the last run."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.lines: list[dict[str, t.Any]] = []
        (directory / "outbox").mkdir()
        (directory / "hooks").mkdir()
        (directory / "hooks" / "after.yml").write_text(TASKS)

    def bundle(self, *arguments: str, **spec: t.Any) -> subprocess.CompletedProcess[str]:
        variables = {
            "airgap_golang_depot": str(self.directory / "depot"),
            "bundle_name": "made",
            "bundle_dest": str(self.directory / "outbox"),
            "bundle_allow_unsigned": True,
            "bundle_files": [{"source": "made.txt", "dest": "made.txt"}],
            **spec,
        }
        return self.run("-e", json.dumps(variables), *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "AIRGAP_", "TRACE"))}
        environment.update(
            ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS), ANSIBLE_CALLBACKS_ENABLED="airgap.golang.trace", ANSIBLE_LOCAL_TEMP=str(self.directory / "tmp")
        )
        trace = self.directory / "airgap-golang-trace.jsonl"
        trace.unlink(missing_ok=True)
        program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
        command = [program, "airgap.golang.bundle", *arguments]
        finished = subprocess.run(command, cwd=self.directory, env=environment, text=True, capture_output=True, timeout=300, check=False)
        self.lines = [json.loads(line) for line in trace.read_text().splitlines()]
        return finished

    def ends(self) -> dict[str, dict[str, t.Any]]:
        """The last line of each task, by its name without the role's, in order."""
        return {line["task"].rpartition(" : ")[2]: line for line in self.lines if line["status"] != "STARTED" and line["item"] is None}


@pytest.fixture
def outbox(tmp_path: pathlib.Path) -> Outbox:
    return Outbox(tmp_path)


MAKE = {
    "name": "make",
    "command": ["sh", "-c", 'cd ..; echo "made by $MAKER for $0" | tee made.txt; echo warned >&2; touch sub/stamp', "$HOME"],
    "chdir": "sub",
    "creates": "stamp",
    "environment": {"MAKER": "a hook"},
}


def test_hooks_run_around_the_gather_and_are_in_the_trace(outbox: Outbox) -> None:
    (outbox.directory / "sub").mkdir()
    after: list[dict[str, t.Any]] = [{"tasks": "hooks/after.yml"}, {"command": ["pwd", "-P"]}]

    (outbox.directory / "made.txt").write_text("made before")
    checked = outbox.bundle("--check", bundle_before=[MAKE, {"command": ["touch", "touched"]}], bundle_after=after[:1])
    assert checked.returncode == 0, checked.stdout
    assert outbox.ends()["Run the hook make"]["changed"] and outbox.ends()["Run the hook touch"]["skipped"]
    assert outbox.ends()["Look at the gather"]["output"] == {"msg": "True, generation none"}
    assert (outbox.directory / "made.txt").read_text() == "made before" and not (outbox.directory / "touched").exists()

    first = outbox.bundle(bundle_before=[MAKE], bundle_after=after)
    assert first.returncode == 0, first.stdout + first.stderr
    ends = outbox.ends()
    order = [name for name in ends if name.startswith(("Run the hook ", "Gather", "Look", "Keep", "Rehearse"))]
    assert [name.split()[0] for name in order] == ["Run", "Gather", "Look", "Keep", "Run", "Rehearse"]
    assert ends["Run the hook make"]["output"] == {"stdout": "made by a hook for $HOME", "stderr": "warned"}
    assert ends["Look at the gather"]["output"] == {"msg": "True, generation 1"}
    assert ends["Run the hook pwd"]["output"] == {"stdout": str(outbox.directory.resolve())}
    assert ends["Run the hook make"]["changed"] and ends["Run the hook pwd"]["changed"]
    assert "output" not in ends["Keep a secret"] and "canary" not in json.dumps(outbox.lines)
    assert (outbox.directory / "depot/current/files/made.txt").read_text() == "made by a hook for $HOME\n"

    again = outbox.bundle(bundle_before=[MAKE], bundle_after=after[:1])
    assert again.returncode == 0 and " changed=0 " in again.stdout, again.stdout
    assert outbox.ends()["Look at the gather"]["output"] == {"msg": "False, generation 1"}


def test_a_hook_that_fails_ends_the_play_with_its_output(outbox: Outbox) -> None:
    failed = outbox.bundle(bundle_before=[{"command": ["sh", "-c", "echo half done; echo broken >&2; exit 3"]}])
    assert failed.returncode == 2 and "half done" in failed.stdout and "broken" in failed.stdout
    (line,) = (line for line in outbox.lines if line["status"] == "FAILED")
    assert (line["error"], line["output"]["stdout"], line["output"]["stderr"]) == ("non-zero return code", "half done", "broken")
    assert not any("Gather" in line["task"] for line in outbox.lines)


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ({"name": "nothing"}, "one of the following is required: command, tasks found in bundle_after"),
        ({"command": ["true"], "tasks": "hooks/after.yml"}, "mutually exclusive: command|tasks found in bundle_after"),
        ({"command": ["true"], "shell": "sh"}, "bundle_after.shell"),
    ],
)
def test_what_is_no_hook_is_refused(outbox: Outbox, hook: dict[str, t.Any], words: str) -> None:
    refused = outbox.bundle(bundle_after=[hook])
    assert refused.returncode == 2 and words in refused.stdout
    assert not (outbox.directory / "depot").exists()


EXAMPLES = COLLECTIONS / "ansible_collections" / "airgap" / "golang" / "examples"


@pytest.mark.parametrize("example", ["airgap", "assets"])
def test_the_role_takes_the_examples(outbox: Outbox, example: str) -> None:
    """By its argument specs: no task has this tag."""
    finished = outbox.run("-e", f"@{EXAMPLES / example}.yml", "--tags", "none")
    assert finished.returncode == 0 and "Validating arguments" in finished.stdout, finished.stdout


def test_a_request_is_named_from_where_the_playbook_is_started(outbox: Outbox) -> None:
    (outbox.directory / "ask.json").write_text("{}")
    finished = outbox.bundle("--check", bundle_files=[], bundle_requests=["ask.json"])
    # It was read, and asks for nothing.
    assert "it asks for nothing" in finished.stdout, finished.stdout


def test_the_examples_hook_tells_the_log_of_a_new_generation(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = outbox.directory / "bin" / "logger"
    logger.parent.mkdir()
    logger.write_text(f'#!/bin/sh\necho "$@" >> {outbox.directory}/said\n')
    logger.chmod(0o755)
    monkeypatch.setenv("PATH", f"{logger.parent}{os.pathsep}{os.environ['PATH']}")
    (outbox.directory / "made.txt").write_text("made")
    for _time in range(2):
        finished = outbox.bundle(bundle_after=[{"tasks": str(EXAMPLES / "announce.yml")}])
        assert finished.returncode == 0, finished.stdout
    assert (outbox.directory / "said").read_text() == "--tag airgap generation 1\n"
