# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running other programs: argument lists, LC_ALL=C, a time limit, the end of stderr kept for the error.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import signal
import subprocess
import tempfile
import typing as t

from .errors import CommandFailed, ToolMissing

TAIL = 4000

# sys/prctl.h
_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True)
class Finished:
    """How a program ended: exit status (negative: the signal), stdout, stderr (both text, stderr's end only)."""

    status: int
    stdout: str
    stderr: str


def dying_with_parent() -> t.Callable[[], None]:
    """What a child calls before its work (``preexec``): it is killed when we are, so that it doesn't go on writing where a next run clears up."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def enter() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return enter


def run(
    argv: t.Sequence[str],
    *,
    env: t.Optional[t.Mapping[str, str]] = None,
    cwd: t.Optional[str] = None,
    stdin: t.Optional[bytes] = None,
    timeout: float = 3600,
    check: bool = True,
    what: str = "",
    preexec: t.Optional[t.Callable[[], None]] = None,
    tail: int = TAIL,
    locale: str = "C",
    leave_nothing: bool = False,
) -> Finished:
    """Run ``argv`` to its end, in a process group of its own, which is killed whole at the time limit.

    :param env: the complete environment (LC_ALL is added); None inherits ours.
    :param locale: ansible's own commands want a C.UTF-8.
    :param timeout: seconds.
    :param check: raise CommandFailed on a non-zero status.
    :param tail: how much of the end of stderr to keep, in bytes.
    :param what: how to call the action in an error; the program's name otherwise.
    :param leave_nothing: kill the group when the program has ended, too: what it left running in the background.
    :raises ToolMissing: there is no such program.
    :raises CommandFailed: it failed (with ``check``) or took too long.
    """
    environment = dict(os.environ if env is None else env)
    environment["LC_ALL"] = locale
    label = what or os.path.basename(argv[0])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            # pylint: disable-next=subprocess-popen-preexec-fn  # entering namespaces has no other hook
            process = subprocess.Popen(
                list(argv),
                env=environment,
                cwd=cwd,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=preexec,
            )
        except FileNotFoundError:
            raise ToolMissing(
                f"{argv[0]} is not here", subject=argv[0], hint=f"install it, or put it on PATH ({environment.get('PATH', 'PATH is not set')})"
            ) from None
        try:
            process.communicate(stdin, timeout=timeout)
        except BaseException as exc:
            _kill_group(process.pid)
            process.wait()
            if not isinstance(exc, subprocess.TimeoutExpired):
                raise
            raise CommandFailed(f"{label} took longer than {timeout:.0f} s", code="timeout", subject=label, hint="raise the time limit") from None
        if leave_nothing:
            _kill_group(process.pid)
        size = err.seek(0, os.SEEK_END)
        err.seek(max(0, size - tail))
        stderr = err.read().decode("utf-8", "replace")
        out.seek(0)
        finished = Finished(process.returncode, out.read().decode("utf-8", "replace"), stderr)
    if check and finished.status != 0:
        raise CommandFailed(
            f"{label} failed with status {finished.status}: {finished.stderr.strip() or finished.stdout.strip()[-TAIL:]}",
            subject=label,
            found=finished.stderr.strip(),
            details=[{"stdout": finished.stdout[-TAIL:]}] if finished.stdout.strip() else None,
        )
    return finished


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
