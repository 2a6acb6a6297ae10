# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's half of airgap.golang.fleet_report: relative paths and the trace id."""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.airgap.golang.plugins.plugin_utils.live import from_here, trace_id


class ActionModule(ActionBase):
    """See the module."""

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[dict[str, t.Any]] = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        arguments = from_here(self._task.args)
        if isinstance(arguments.get("record"), str) and arguments["record"]:
            arguments["record"] = os.path.join(os.getcwd(), os.path.expanduser(arguments["record"]))
        answer = self._execute_module(module_args={"trace_id": trace_id(), **arguments}, task_vars=task_vars)
        # The records are in its files; in the result they'd be a second time.
        answer.get("invocation", {}).get("module_args", {}).pop("records", None)
        result.update(answer)
        return result
