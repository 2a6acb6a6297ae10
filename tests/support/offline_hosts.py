# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real offline hosts (tests/hosts) for tests that do to them what happens to machines, and playbook runs against them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

from ansible_collections.airgap.golang.tests.support.deployed_depot import ansible_environment

HOSTS = pathlib.Path(__file__).resolve().parents[1] / "hosts" / "hosts"
ROOT = "/opt/airgap-golang"
DEPLOY = "Deploy"


def hosts(*arguments: str) -> str:
    return subprocess.run([sys.executable, str(HOSTS), *arguments], check=True, capture_output=True, text=True, timeout=600).stdout


def wait_until(what: str, ask: t.Callable[[], t.Any], seconds: float = 180) -> t.Any:
    """The first true answer."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not after {seconds} s")
        time.sleep(0.01)


@dataclasses.dataclass
class Deployed:
    """How a run of ansible-playbook ended: status, what it printed, the deploy's result ({} if there is none)."""

    status: int
    output: str
    result: dict[str, t.Any]


class Run:
    """A deploy to one host, on its way.

    :param work: a path that is in the arguments of all its processes.
    """

    def __init__(self, process: subprocess.Popen[str], results: pathlib.Path, work: str) -> None:
        self.process = process
        self._results = results
        self._work = work

    def kill(self) -> None:
        """ansible-playbook, its workers, which have sessions of their own, and the ssh that stays behind to share its connection."""
        # One that is just being started by another is seen the next time.
        while self._kill() + self._kill():
            time.sleep(0.01)

    def _kill(self) -> int:
        found = 0
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if self._work in pathlib.Path(f"/proc/{name}/cmdline").read_text(errors="replace"):
                    os.kill(int(name), signal.SIGKILL)
                    found += 1
        return found

    def end(self) -> Deployed:
        output, _none = self.process.communicate(timeout=120)
        lines = self._results.read_text(encoding="utf-8").splitlines() if self._results.exists() else []
        told = []
        for line in lines:
            # The last line of a run that was killed may be cut.
            with contextlib.suppress(ValueError):
                told.append(json.loads(line))
        found = [entry["result"] for entry in told if entry["task"] == DEPLOY]
        return Deployed(self.process.returncode, output, found[-1] if found else {})


class OfflineHost:
    """One host. Its files can be looked at from outside, without it."""

    def __init__(self, name: str, work: pathlib.Path) -> None:
        self.name = name
        self.work = work / name
        self.work.mkdir(parents=True, exist_ok=True)
        self._number = 0
        self._pid = 0

    @property
    def pid(self) -> int:
        """Its init, as this machine counts."""
        # To ask podman takes a while, and this is asked often.
        if not (self._pid and os.path.exists(f"/proc/{self._pid}/ns/pid")):
            self._pid = int(subprocess.run(["podman", "inspect", "-f", "{{.State.Pid}}", self.name], check=True, capture_output=True, text=True).stdout)
        return self._pid

    def outside(self, path: str = ROOT) -> str:
        """Where this machine sees a path of the host; links that are absolute lead astray there."""
        return f"/proc/{self.pid}/root{path}"

    def sh(self, script: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A script run by the host's root."""
        done = subprocess.run(["podman", "exec", self.name, "sh", "-ec", script], capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done

    def quiet(self) -> bool:
        """Whether nothing that came over SSH runs any more, nor is about to: sshd alone is left, and waits for a while."""
        end = time.monotonic() + 0.3
        while len(self.pythons("python3", "sudo", "sh", "sshd")) == 1:
            if time.monotonic() > end:
                return True
            time.sleep(0.03)
        return False

    def pythons(self, *names: str) -> list[int]:
        """The host's python processes (modules, while one runs), or those whose names begin with one of ``names``."""
        namespace = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if pathlib.Path(f"/proc/{name}/comm").read_text().startswith(names or ("python3",)) and os.readlink(f"/proc/{name}/ns/pid") == namespace:
                        found.append(int(name))
        return found

    def begin(self, depot: str, generation: int, *, user: str = "ansible", host_vars: t.Optional[t.Mapping[str, t.Any]] = None, **options: t.Any) -> Run:
        """Start a deploy of a generation, the module alone.

        :param user: whom Ansible connects as.
        :param options: of the module, in place of what is usual.
        """
        self._number += 1
        work = self.work / f"{self._number:04d}"
        work.mkdir()
        known = json.loads(hosts("inventory", self.name))
        known["all"]["hosts"][self.name].update({"ansible_user": user, **(host_vars or {})})
        (work / "inventory.json").write_text(json.dumps(known))
        task = {"name": DEPLOY, "airgap.golang.deploy": {"depot": depot, "generation": generation, "root": ROOT, **options}}
        play = {"name": "Site", "hosts": "all", "gather_facts": False, "become": user != "root", "tasks": [task]}
        (work / "site.yml").write_text(json.dumps([play]))
        programs = os.path.dirname(sys.executable)
        more = {
            "RESULTS_OF": str(work / "results.json"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_HOME": str(self.work / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.work / "cp"),
        }
        process = subprocess.Popen(
            [os.path.join(programs, "ansible-playbook"), str(work / "site.yml"), "-i", str(work / "inventory.json")],
            env=ansible_environment(work, programs, more),
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return Run(process, work / "results.json", f"{self.work}/")

    def deploy(self, depot: str, generation: int, **options: t.Any) -> Deployed:
        return self.begin(depot, generation, **options).end()
