# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins share: progress lines while a module runs, and the run's trace id.

Note that this plugin util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

TRACE_ID = "AIRGAP_GOLANG_TRACE_ID"

# Options that are paths on the control node.
PATHS = ("depot", "dest", "src", "base", "signing_key", "allowed_signers", "go_binary", "lock", "vulndb", "ca_path")


def trace_id() -> str:
    """32 hex digits that are the same for all tasks of one ansible-playbook run.

    The trace callback exports the run's id; without it, the id follows from the process that all our workers come from.
    """
    given = os.environ.get(TRACE_ID)
    if given:
        return given
    return hashlib.sha256(run_identity().encode()).hexdigest()[:32]


def run_identity() -> str:
    """The process that all workers of this ansible-playbook come from: ``<boot id> <pid> <when it started>``."""
    return _identity(os.getppid())


def is_running(identity: str) -> bool:
    """Whether the process with this ``run_identity`` is still there.

    :raises ValueError: it isn't one.
    """
    _boot, pid, _started = identity.split()
    try:
        return _identity(int(pid)) == identity
    except (FileNotFoundError, ProcessLookupError):
        return False


def _identity(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        started = stream.read().rsplit(")", 1)[1].split()[19]
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        boot = stream.read().strip()
    return f"{boot} {pid} {started}"


def from_here(arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Arguments with relative paths made absolute, as seen from where ansible-playbook was started.

    Ansible runs modules in the directory of the playbook, which for ours is somewhere inside the collection.
    """

    def absolute(value: t.Any) -> t.Any:
        # What begins with a variable or a user's home is for the module to expand.
        relative = isinstance(value, str) and value and not value.startswith(("/", "~", "$")) and "://" not in value
        return os.path.join(os.getcwd(), value) if relative else value

    def below(entry: t.Any, name: str, change: t.Callable[[t.Any], t.Any] = absolute) -> t.Any:
        return {**entry, name: change(entry[name])} if isinstance(entry, dict) and name in entry else entry

    found = {name: absolute(value) if name in PATHS else value for name, value in arguments.items()}
    if isinstance(found.get("receipts"), list):
        found["receipts"] = [absolute(path) for path in found["receipts"]]
    for name in ("files", "toolchains"):
        if isinstance(found.get(name), list):
            found[name] = [below(entry, "source") for entry in found[name]]
    if "kit" in found:
        found["kit"] = below(found["kit"], "collection")
    if isinstance(found.get("projects"), list):
        found["projects"] = [below(entry, "source", lambda source: below(source, "path")) for entry in found["projects"]]
    return found


@contextlib.contextmanager
def following(path: str, show: t.Callable[[str], None]) -> t.Iterator[None]:
    """Show each whole line that is appended to ``path`` while the body runs."""
    ended = threading.Event()

    def follow() -> None:
        with open(path, encoding="utf-8") as stream:
            held = ""
            last = False
            while True:
                chunk = stream.readline()
                if chunk:
                    held += chunk
                    if held.endswith("\n"):
                        show(held.rstrip("\n"))
                        held = ""
                elif last:
                    return
                else:
                    last = ended.wait(0.2)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class TracedAction(ActionBase):
    """Run the module of the same name with the run's trace id; ``depot`` may be relative to where ansible-playbook was started."""

    TRANSFERS_FILES = False

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[dict[str, t.Any]] = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        arguments = {"trace_id": trace_id(), **self._task.args}
        if self._connection.transport == "local":
            arguments = from_here(arguments)
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result


class LiveAction(ActionBase):
    """Run the module of the same name; where it runs on the control node, show its progress while it does."""

    TRANSFERS_FILES = False

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[dict[str, t.Any]] = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        del tmp
        arguments = dict(self._task.args)
        arguments.setdefault("trace_id", trace_id())
        if self._connection.transport != "local" or "progress_file" in arguments:
            # Elsewhere the lines can't be followed while the module runs.
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            return result
        arguments = from_here(arguments)
        with tempfile.TemporaryDirectory(prefix="airgap-golang-") as scratch:
            path = os.path.join(scratch, "progress")
            with open(path, "w", encoding="utf-8"):
                # The module may run as another user by become; lines are all that it can add here.
                os.chmod(path, 0o666)
                os.chmod(scratch, 0o711)
            with following(path, lambda line: display.display(f"  {line}")):
                result.update(self._execute_module(module_args={**arguments, "progress_file": path}, task_vars=task_vars))
        return result
