# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's half of airgap.golang.modcache: say which manifests are right, send the blobs that a host can't mend itself."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.airgap.golang.plugins.module_utils._base.answers import refused_by_system
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils.deliver import open_depot
from ansible_collections.airgap.golang.plugins.module_utils.repair import Request, offered_by
from ansible_collections.airgap.golang.plugins.plugin_utils.delivery import DeliveringAction

# What was found can't be told any more once it's right.
DIFFERENCE = ("findings", "total", "summary", "checked", "unproved", "bytes", "seconds", "diff")

# The manifest, then what it names, then what only the right config names.
DELIVERIES = 3


class ActionModule(DeliveringAction):
    """See the module."""

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[dict[str, t.Any]] = None) -> dict[str, t.Any]:
        # Not DeliveringAction's: a depot is needed only where there is something to send.
        result: dict[str, t.Any] = super(DeliveringAction, self).run(tmp, task_vars)
        variables = task_vars or {}
        path = str(self._task.args.get("depot") or "")
        try:
            depot = open_depot(path) if path else None
            request = Request("probe", offered_by(depot) if depot is not None else {}, user=self.account() if depot is not None else "")
            result.update(self._mend(depot, request, variables))
        except AirgapError as exc:
            result.update(failed=True, msg=exc.sentence(), failure=exc.failure())
        except OSError as exc:
            refused = refused_by_system(exc)
            result.update(failed=True, msg=refused.sentence(), failure=refused.failure())
        return result

    def _mend(self, depot: t.Optional[Depot], request: Request, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        result = self._ask(request, task_vars)
        first = {name: result[name] for name in DIFFERENCE if name in result}
        transferred = 0
        for _number in range(DELIVERIES):
            missing = result.pop("missing", {})
            incoming = str(result.pop("incoming", ""))
            if result.get("failed") or not missing or depot is None:
                break
            parts = self.send(depot, missing, incoming, str(task_vars.get("inventory_hostname", "the host")))
            transferred += sum(missing.values())
            result.update(self._ask(dataclasses.replace(request, step="admit", incoming=incoming, parts=parts, missing=missing), task_vars))
            result.update(changed=True, transferred=transferred)
        if not result.get("failed"):
            result.update(first)
        return result
