# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of airgap.golang.fleet_record: a module for each of a thousand hosts would be a process more for each."""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.airgap.golang.plugins.module_utils._base.answers import refused_by_system
from ansible_collections.airgap.golang.plugins.module_utils._fleet import records
from ansible_collections.airgap.golang.plugins.plugin_utils.live import trace_id


class ActionModule(ActionBase):
    """See the module."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[dict[str, t.Any]] = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        steps = {name: {"type": "dict"} for name in (*records.STEPS, "failure")}
        _ignored, arguments = self.validate_argument_spec(
            {
                "journey": {"type": "str", "required": True, "choices": ["deploy", "verify"]},
                "path": {"type": "path"},
                "failed_task": {"type": "str", "default": ""},
                **steps,
            }
        )
        name = str(variables.get("inventory_hostname", ""))
        results = {step: arguments[step] for step in steps if arguments[step]}
        address = str(variables.get("ansible_host") or name)
        # Older releases of Ansible hand out what isn't templated yet.
        address = name if "{{" in address else address
        record = records.make(arguments["journey"], name, address, trace_id(), results, arguments["failed_task"])
        result.update(changed=False, record=record or {})
        if record and arguments["path"] and not self._task.check_mode:
            path = os.path.join(os.getcwd(), arguments["path"])
            try:
                records.append(path, record)
            except OSError as exc:
                # What became of the host matters more; the report has it from the result.
                result["warnings"] = [f"{name}: its record can't be added: {refused_by_system(exc).sentence()}"]
        return result
