# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write each task's result as a line of JSON to the file that RESULTS_OF names, for tests."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results_of
type: aggregate
short_description: Write each task's result as a line of JSON
description: For tests.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results_of"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, result: t.Any) -> None:
        with open(os.environ["RESULTS_OF"], "a", encoding="utf-8") as stream:
            entry = {"task": result._task.get_name().rpartition(" : ")[2], "host": result._host.get_name(), "result": result._result}
            stream.write(json.dumps(entry, default=str) + "\n")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._write(result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._write(result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._write(result)
