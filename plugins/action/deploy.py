# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's half of airgap.golang.deploy: probe the host, send what it lacks, let it admit."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.airgap.golang.plugins.module_utils._base.answers import refused_by_system
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, HostRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot.incoming import Request
from ansible_collections.airgap.golang.plugins.module_utils.deliver import Sender, offer
from ansible_collections.airgap.golang.plugins.plugin_utils.live import trace_id

display = Display()

# What the probe says about the difference; the host can't say it any more when it's gone.
DIFFERENCE = ("previous", "transferred", "bytes", "inodes", "modules", "diff")


class ActionModule(ActionBase):
    """See the module."""

    TRANSFERS_FILES = True

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[dict[str, t.Any]] = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            depot, probe = offer(str(self._task.args.get("depot") or ""), self._task.args.get("generation"))
            probe = dataclasses.replace(probe, user=self._account())
            result.update(self._ask(probe, variables))
            missing = result.pop("missing", {})
            incoming = str(result.pop("incoming", ""))
            if result.get("failed") or not missing:
                return result
            reporter = Reporter(lambda line: display.display(f"  {line}"))
            stage = reporter.stage(f"deliver to {variables.get('inventory_hostname', 'the host')}: part", 0, sum(missing.values()))
            parts = Sender(lambda path, name: self._put(path, incoming, name), stage).send(depot, missing)
            difference = {name: result[name] for name in DIFFERENCE}
            result.update(self._ask(dataclasses.replace(probe, step="admit", incoming=incoming, parts=parts), variables))
            if not result.get("failed"):
                result.update(difference)
        except AirgapError as exc:
            result.update(failed=True, msg=exc.sentence(), failure=exc.failure())
        except OSError as exc:
            refused = refused_by_system(exc)
            result.update(failed=True, msg=refused.sentence(), failure=refused.failure())
        return result

    def _ask(self, request: Request, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        arguments = {"trace_id": trace_id(), **self._task.args, "request": request.pack()}
        answer: dict[str, t.Any] = self._execute_module(module_args=arguments, task_vars=task_vars)
        # The request has the whole manifest in it; nobody wants to read that in a log.
        answer.get("invocation", {}).get("module_args", {}).pop("request", None)
        return answer

    def _account(self) -> str:
        """Whom files arrive as, where that differs from who modules run as; "" where it doesn't."""
        if not self._connection.become:
            return ""
        if self._connection.transport == "local":
            return str(os.geteuid())
        user = self._get_remote_user()
        if user:
            return str(user)
        # ssh takes it from its own configuration then.
        answer = self._low_level_execute_command("id -u", sudoable=False)
        return str(answer.get("stdout", "")).strip()

    def _put(self, path: str, incoming: str, name: str) -> None:
        dest = self._connection._shell.join_path(incoming, name)
        try:
            self._connection.put_file(path, dest)
            if self._is_become_unprivileged():
                # The account that modules run as must be able to read it.
                self._remote_chmod([dest], "a+r")
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as exc:
            raise HostRefused(
                f"{name} can't be put into {incoming} on the host: {exc}",
                code="transfer_failed",
                subject=name,
                found=str(exc),
                hint="make sure that there is room, and that no other deploy to this host began meanwhile; then run it again",
            ) from None
