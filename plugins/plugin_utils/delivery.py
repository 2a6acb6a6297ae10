# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What action plugins that deliver share: ask the host what it lacks, send that, let the host take it in.

The module of the same name is the host's half. To a request with the step ``probe`` it answers with ``missing`` (digest → size)
and ``incoming`` (the directory to send to), or without both where it's done already; the step ``admit`` says how many parts were sent.
To a request without the generation's documents it may answer with ``unknown``: it's asked again then, with them.

Note that this plugin util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import shutil
import typing as t

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.airgap.golang.plugins.module_utils._base.answers import refused_by_system
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, HostRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.incoming import Request
from ansible_collections.airgap.golang.plugins.module_utils.deliver import Packs, Sender, blame, offer, with_documents
from ansible_collections.airgap.golang.plugins.plugin_utils.live import is_running, run_identity, trace_id

display = Display()

# With a manifest of at most so many bytes, some 250 layers, the documents go along at once: another round trip takes longer than they do.
FEW = 64 << 10

RUN_DIRECTORY = "airgap-golang-delivery"


class DeliveringAction(ActionBase):
    """Probe the host, send what it lacks, let it admit. A subclass says what is told of the probe."""

    TRANSFERS_FILES = True

    #: Names in the probe's answer that describe the difference; the host can't tell it any more when it's gone.
    DIFFERENCE: tuple[str, ...] = ()

    def offer(self) -> tuple[Depot, Request]:
        """The control node's depot, and the first request.

        :raises AirgapError: there is no such depot or generation.
        """
        return offer(str(self._task.args.get("depot") or ""), self._task.args.get("generation"))

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[dict[str, t.Any]] = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        try:
            depot, probe = self.offer()
            result.update(self.deliver(depot, dataclasses.replace(probe, user=self.account()), task_vars or {}))
        except AirgapError as exc:
            result.update(failed=True, msg=exc.sentence(), failure=exc.failure())
        except OSError as exc:
            refused = refused_by_system(exc)
            result.update(failed=True, msg=refused.sentence(), failure=refused.failure())
        return result

    def deliver(self, depot: Depot, probe: Request, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """The whole dance; the answer of the last module that was run, with the probe's account of the difference."""
        result = self.ask(depot, probe, task_vars)
        missing = result.pop("missing", {})
        incoming = str(result.pop("incoming", ""))
        if result.get("failed") or not missing:
            return result
        parts = self.send(depot, missing, incoming, str(task_vars.get("inventory_hostname", "the host")))
        difference = {name: result[name] for name in self.DIFFERENCE}
        result.update(self.ask(depot, dataclasses.replace(probe, step="admit", incoming=incoming, parts=parts), task_vars))
        if result.get("failed"):
            if result.get("failure", {}).get("code") == "bundle_damaged":
                blame(depot, missing)
        else:
            result.update(difference)
        return result

    def ask(self, depot: Depot, request: Request, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module of the task's name on the host with this request, and again with the documents where it needs them; its answer."""
        unknown = run_directory() / f"unknown-{request.digest[7:]}"
        pushing = request.step == "probe" and self._task.args.get("transfer", "push") == "push"
        # What one host of this run had never heard of, the next ones haven't either.
        if pushing and (unknown.exists() or depot.blobs.has_at_most(request.digest, FEW)):
            request = with_documents(depot, request)
        answer = self._ask(request, task_vars)
        if answer.pop("unknown", False):
            unknown.touch()
            answer = self._ask(with_documents(depot, request), task_vars)
        return answer

    def _ask(self, request: Request, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        arguments = {"trace_id": trace_id(), **self._task.args, "request": request.pack()}
        answer: dict[str, t.Any] = self._execute_module(module_args=arguments, task_vars=task_vars)
        # It may have the whole manifest in it; nobody wants to read that in a log.
        answer.get("invocation", {}).get("module_args", {}).pop("request", None)
        return answer

    def send(self, depot: Depot, missing: t.Mapping[str, int], incoming: str, host: str) -> int:
        """Send these blobs (digest → size) to the directory ``incoming``, with progress lines that name the ``host``.

        :return: how many parts they were.
        """
        reporter = Reporter(lambda line: display.display(f"  {line}"))
        stage = reporter.stage(f"deliver to {host}: part", 0, sum(missing.values()))
        sent: list[str] = []

        def put(path: str, name: str) -> None:
            sent.append(self._put(path, incoming, name))

        parts = Sender(put, stage, Packs(str(run_directory()))).send(depot, missing)
        if self._is_become_unprivileged():
            # The account that modules run as must be able to read them.
            self._remote_chmod(sent, "a+r")
        return parts

    def account(self) -> str:
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

    def _put(self, path: str, incoming: str, name: str) -> str:
        """Copy a file to the host; its path there."""
        dest = str(self._connection._shell.join_path(incoming, name))
        try:
            self._connection.put_file(path, dest)
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
        return dest


def run_directory() -> pathlib.Path:
    """A directory that all processes of this ansible-playbook share, for what they needn't make or find out twice.

    Ansible removes it with its own when the run ends; what killed runs left goes when the next one begins.
    """
    own = pathlib.Path(constants.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]  # constants are set at run time
    path = own / RUN_DIRECTORY
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / "run").write_text(run_identity(), "utf-8")
        for other in own.parent.glob(f"*/{RUN_DIRECTORY}"):
            remove_dead(other)
    return path


def remove_dead(path: pathlib.Path) -> None:
    """Remove another run's directory, if that run has ended. One that can't be told, or is being sent from, stays."""
    with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
        if is_running((path / "run").read_text("utf-8")):
            return
        # A run in another container looks dead from here.
        for name in path.glob("*.lock"):
            fcntl.flock(stack.enter_context(name.open("r+")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another fork may be removing it too; what one of them leaves, the next run takes.
        shutil.rmtree(path, ignore_errors=True)
