# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened, when, where and for how long: one JSON object a line, for programs that watch a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: trace
type: aggregate
short_description: Write each task's start and end as a line of JSON
version_added: 0.1.0
author:
  - The airgap.golang authors (!UNKNOWN)
description:
  - Appends one JSON object a line to a file, while the run goes on, so that another program can follow it.
  - Every task gives a C(STARTED) line for each host, and a C(DONE) or C(FAILED) line at its end. A loop gives a C(DONE) or C(FAILED)
    line for each item before that.
  - The same trace ID is in every line. It is also put into the environment as E(AIRGAP_GOLANG_TRACE_ID), where the collection's
    plugins find it and write it into a depot's audit log.
  - A task's arguments are never written. The results of tasks with C(no_log) stay censored, and user names and passwords are
    taken out of URLs.
  - The fields are C(timestamp) (RFC 3339, UTC, with milliseconds), C(trace_id), C(node_ip) (C(ansible_host), or the host's name),
    C(host), C(play), C(task), C(action), C(item), C(status), C(changed), C(duration) (seconds), C(error) (one message) and
    C(failure) (what the collection's modules say about a failure, structured).
  - A task's output is written where its variable C(airgap_golang_trace_output) is true, as it is for the hooks of the role
    P(airgap.golang.bundle#role). Its line then has C(output), an object with what there is of C(stdout), C(stderr) and C(msg), of
    each the last 4 KiB. The variable can be set for a task, a block or an include; it must be a plain V(true).
  - A skipped task is C(DONE) with C(skipped) true. An unreachable host is C(FAILED) with C(unreachable) true. A failure that the
    task itself ignores is C(FAILED) with C(ignored) true.
requirements:
  - Enabling it, with C(callbacks_enabled = airgap.golang.trace) in C(ansible.cfg) or E(ANSIBLE_CALLBACKS_ENABLED).
options:
  path:
    description:
      - The file to append to. It is created when it is not there, readable for its owner only.
    type: path
    default: airgap-golang-trace.jsonl
    env:
      - name: AIRGAP_GOLANG_TRACE_PATH
    ini:
      - section: callback_airgap_golang_trace
        key: path
  trace_id:
    description:
      - The ID that all lines of the run bear.
      - When not given, it is the trace ID in the W3C C(TRACEPARENT) environment variable, or else 32 random hexadecimal digits.
    type: str
    env:
      - name: AIRGAP_GOLANG_TRACE_ID
"""

import datetime
import json
import os
import re
import secrets
import time
import typing as t

from ansible.plugins.callback import CallbackBase

URL_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s\"'<>]*@")
OUTPUT = 4096
TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def without_credentials(value: t.Any) -> t.Any:
    """A JSON-ready copy of ``value``, in which no URL has a user name or password."""
    if isinstance(value, str):
        return URL_CREDENTIALS.sub(r"\g<scheme>***@", value)
    if isinstance(value, t.Mapping):
        return {str(key): without_credentials(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_credentials(entry) for entry in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return without_credentials(str(value))


def last_of(text: str, size: int = OUTPUT) -> str:
    """The end of a text without credentials, ``size`` bytes of UTF-8 at most; one that was cut begins with an ellipsis."""
    # Before it is cut, as half a URL isn't recognized.
    encoded = str(without_credentials(text)).encode("utf-8", "replace")
    if len(encoded) <= size:
        return encoded.decode("utf-8")
    mark = "\u2026"
    return mark + encoded[len(mark.encode("utf-8")) - size :].decode("utf-8", "ignore")


def trace_id_of_parent(traceparent: str) -> str:
    """The trace ID in a W3C Trace Context header (https://www.w3.org/TR/trace-context/#traceparent-header); "" when there is none."""
    match = TRACEPARENT.fullmatch(traceparent.strip())
    if match is None or not match["trace_id"].strip("0"):
        return ""
    return match["trace_id"]


class CallbackModule(CallbackBase):
    """Ansible calls the ``v2_`` methods in its main process, one at a time."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "airgap.golang.trace"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, display: t.Any = None, options: t.Any = None) -> None:
        super().__init__(display=display, options=options)
        self._trace_id = ""
        self._stream: t.Optional[int] = None
        self._play: t.Any = None
        self._addresses: dict[str, str] = {}
        self._started: dict[tuple[str, str], float] = {}
        self._item_started: dict[tuple[str, str], float] = {}

    def set_options(self, task_keys: t.Any = None, var_options: t.Any = None, direct: t.Any = None) -> None:
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        self._trace_id = self.get_option("trace_id") or trace_id_of_parent(os.environ.get("TRACEPARENT", "")) or secrets.token_hex(16)

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        # Workers are forked after this, so action plugins (and what they run) find the ID in their environment.
        os.environ["AIRGAP_GOLANG_TRACE_ID"] = self._trace_id
        path = self.get_option("path")
        try:
            self._stream = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            self._give_up(path, exc)

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._play = play
        self._addresses = {}

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        key = (host.name, task._uuid)
        self._started[key] = self._item_started[key] = time.monotonic()
        self._write("STARTED", host, task)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._end("DONE", result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._end("DONE", result, skipped=True)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._end("FAILED", result, **({"ignored": True} if ignore_errors else {}))

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._end("FAILED", result, unreachable=True)

    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        self._end_item("DONE", result)

    def v2_runner_item_on_skipped(self, result: t.Any) -> None:
        self._end_item("DONE", result, skipped=True)

    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        self._end_item("FAILED", result)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        if self._stream is not None:
            os.close(self._stream)
            self._stream = None

    def _end(self, status: str, result: t.Any, **more: bool) -> None:
        key = (result._host.name, result._task._uuid)
        started = self._started.pop(key, None)
        self._item_started.pop(key, None)
        self._write(status, result._host, result._task, result=result._result, started=started, more=more)

    def _end_item(self, status: str, result: t.Any, **more: bool) -> None:
        key = (result._host.name, result._task._uuid)
        started = self._item_started.get(key)
        self._item_started[key] = time.monotonic()
        answer = result._result
        # no_log takes the label away as well; the line must still differ from the task's own.
        item = answer.get("_ansible_item_label", "(censored)")
        self._write(status, result._host, result._task, item=item, result=answer, started=started, more=more)

    def _write(
        self,
        status: str,
        host: t.Any,
        task: t.Any,
        *,
        item: t.Any = None,
        result: t.Optional[t.Mapping[str, t.Any]] = None,
        started: t.Optional[float] = None,
        more: t.Optional[t.Mapping[str, bool]] = None,
    ) -> None:
        if self._stream is None:
            return
        answer = result or {}
        line: dict[str, t.Any] = {
            "timestamp": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "trace_id": self._trace_id,
            "node_ip": self._address(host),
            "host": host.get_name(),
            "play": self._play.get_name() if self._play is not None else "",
            "task": task.get_name(),
            "action": getattr(task, "resolved_action", None) or task.action,
            "item": item,
            "status": status,
            "changed": None if result is None else bool(answer.get("changed", False)),
            "duration": None if started is None else round(time.monotonic() - started, 3),
            "error": self._error(answer) if status == "FAILED" else None,
        }
        if status == "FAILED" and isinstance(answer.get("failure"), t.Mapping):
            line["failure"] = answer["failure"]
        output = self._output(task, answer)
        if output:
            line["output"] = output
        line.update(more or {})
        text = json.dumps(without_credentials(line), ensure_ascii=False) + "\n"
        try:
            # One write(2) with O_APPEND: several runs can share the file, and a reader never sees half of somebody else's line.
            os.write(self._stream, text.encode("utf-8", "replace"))
        except OSError as exc:
            self._give_up(self.get_option("path"), exc)

    def _address(self, host: t.Any) -> str:
        """Where the host is reached: its ansible_host when that is known without templating, else its name; asked for once a play."""
        name: str = host.get_name()
        if name not in self._addresses:
            variables = self._play.get_variable_manager().get_vars(play=self._play, host=host) if self._play is not None else {}
            address = str(variables.get("ansible_host") or name)
            self._addresses[name] = name if "{{" in address else address
        return self._addresses[name]

    @staticmethod
    def _error(answer: t.Mapping[str, t.Any]) -> str:
        return str(answer.get("msg") or answer.get("censored") or "failed without a message")

    @staticmethod
    def _output(task: t.Any, answer: t.Mapping[str, t.Any]) -> dict[str, str]:
        """What a task said, where it is meant to be traced; a loop's items say it. Of a task with no_log, nothing is in the answer."""
        if task.no_log is True or "results" in answer or task.get_vars().get("airgap_golang_trace_output") is not True:
            return {}
        return {key: last_of(answer[key]) for key in ("stdout", "stderr", "msg") if isinstance(answer.get(key), str) and answer[key]}

    def _give_up(self, path: str, exc: OSError) -> None:
        self._display.warning(f"airgap.golang.trace: can't write {path} ({exc.strerror}): this run goes on without its trace")
        if self._stream is not None:
            os.close(self._stream)
            self._stream = None
