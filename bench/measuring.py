# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a program takes, and how large the Python processes get that it starts, here or in a test host."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import secrets
import signal
import statistics
import subprocess
import threading
import time
import typing as t

LIMIT = 3600
MARK = "AIRGAP_BENCH_RUN"
INTERVAL = 0.05


class BenchFailed(Exception):
    """Something that was to be measured failed; the text says what, and where its output is."""


@dataclasses.dataclass(frozen=True)
class Ran:
    """One program's run: seconds by the wall clock, its stdout, and the MB (10^6 bytes) of its largest Python process (0: not watched)."""

    seconds: float
    stdout: str
    peak: float = 0.0

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s"


class Watcher:
    """Looks at the high-water marks (VmHWM) of new Python processes for which ``belongs`` is true.

    getrusage would do for a process that we start ourselves, but counts what that started as well: the compiler isn't ours.
    """

    def __init__(self, belongs: t.Callable[[str], bool]) -> None:
        self._belongs = belongs
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0.0

    def __enter__(self) -> Watcher:
        # Everything that runs before is somebody else's.
        self._others = set(processes())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            for pid in processes():
                if pid not in self._others:
                    # It may have ended by now, or not be what it was a moment ago.
                    with contextlib.suppress(OSError):
                        if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("python") and self._belongs(pid):
                            self.peak = max(self.peak, high_water_mark(pid))


def processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def high_water_mark(pid: str) -> float:
    """The most memory that a process has had, in MB; 0 for one that has ended."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
        for line in stream:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def in_namespace_of(init: int) -> t.Callable[[str], bool]:
    """Whether a process lives in the container whose first process is ``init``."""
    namespace = os.readlink(f"/proc/{init}/ns/pid")
    return lambda pid: os.readlink(f"/proc/{pid}/ns/pid") == namespace


def run(
    argv: t.Sequence[str | os.PathLike[str]], log: pathlib.Path, *, env: t.Mapping[str, str] | None = None, cwd: pathlib.Path | None = None, watch: bool = False
) -> Ran:
    """Run a program to its end, its stderr into ``log``.

    :param watch: note the largest of the Python processes that it starts.
    :raises BenchFailed: it failed or took over an hour.
    """
    mark = secrets.token_hex(8)
    environment = dict(os.environ if env is None else env, LC_ALL="C.UTF-8")
    environment[MARK] = mark

    def marked(pid: str) -> bool:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return f"{MARK}={mark}".encode() in stream.read()

    watcher = Watcher(marked) if watch else contextlib.nullcontext()
    log.parent.mkdir(parents=True, exist_ok=True)
    with watcher, log.open("ab") as stream:
        stream.write(f"$ {' '.join(map(str, argv))}\n".encode())
        stream.flush()
        # Everything is written now, so that no run pays for the one before.
        os.sync()
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                argv, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stream, text=True, start_new_session=True
            )
        except FileNotFoundError:
            raise BenchFailed(f"{argv[0]} is not here") from None
        try:
            stdout, _err = process.communicate(timeout=LIMIT)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        seconds = time.monotonic() - started
        stream.write(stdout.encode())
    if process.returncode != 0:
        said = log.read_bytes()[-1500:].decode("utf-8", "replace")
        raise BenchFailed(f"{' '.join(map(str, argv))} ended with status {process.returncode}: {said}\nall of it is in {log}")
    return Ran(seconds, stdout, watcher.peak if isinstance(watcher, Watcher) else 0.0)


T = t.TypeVar("T")
Side = t.Tuple[str, t.Callable[[int], T]]


def alternating(rounds: int, *sides: Side[T], say: t.Callable[[str], None]) -> list[list[T]]:
    """Run all (name, function of the round) ``rounds`` times, in turn, every other round in reverse order; the results by side."""
    results: list[list[T]] = [[] for _side in sides]
    for number in range(rounds):
        order = list(zip(sides, results))
        for (name, side), its_results in reversed(order) if number % 2 else order:
            its_results.append(side(number))
            say(f"round {number + 1} of {rounds}, {name}: {its_results[-1]}")
    return results


def median(values: t.Iterable[float]) -> float:
    return float(statistics.median(values))
