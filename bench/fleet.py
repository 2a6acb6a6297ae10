#!/usr/bin/env python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures a fleet: deploys, rollbacks and pulls on many SSH hosts, beside `ansible -m ping` and `ansible.builtin.copy` on the same ones.

    bench/fleet.py                            # 30 hosts, 10 forks; the outcome is printed and put into .build/bench/fleet.json
    bench/fleet.py --hosts 50 --forks 25
    bench/fleet.py --hosts 3 --forks 3        # where all hosts share one disk and two cores, large deliveries measure those

The generation has modules of 170 MB (or --megabytes) and toolchains of some bytes: of Go nothing is measured here. Both sides have the same forks, the same
connection and, so that the CPU isn't what is measured, ssh without compression. Needs what tests/hosts/hosts needs, root
included, nginx and ansible-playbook (`make bench` brings the latter).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

import measuring

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / ".build"
PLACE = BUILD / "bench" / "fleet"
HOSTS = ROOT / "tests" / "hosts" / "hosts"
sys.path.insert(0, str(BUILD))

# The largest modules have six tenths of it.
LARGE, SMALL = 5, 200
DEPLOY = """\
- name: Deploy
  hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: Deploy
      airgap.golang.deploy:
        depot: "{{ depot }}"
        root: "{{ root }}"
        generation: "{{ generation }}"
        parts: "{{ parts }}"
        goenv: "GOFLAGS=-mod=mod"
        link_dir: ""
        tools_dir: ""
        transfer: "{{ transfer | default('push') }}"
        mirrors: "{{ mirrors | default([]) }}"
"""
NGINX = """\
daemon off; master_process off; pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  server {{ listen {address}:{port}; location /depot/ {{ alias {depot}/; }} }} }}
"""
PORT = 18080
INOTIFY = 8

started = time.monotonic()


def say(line: str) -> None:
    print(f"{time.monotonic() - started:7.1f} s  {line}", flush=True)


@dataclasses.dataclass(frozen=True)
class Run:
    """Seconds by the clock, and of the control node's CPU; output; MB of the largest Python process on the control node."""

    seconds: float
    cpu: float
    output: str
    peak: float


class Fleet:
    """Hosts, an inventory of them, and how to run Ansible on all at once."""

    def __init__(self, names: t.Sequence[str], forks: int) -> None:
        self.names = list(names)
        self.forks = forks
        self.inventory = PLACE / "inventory.json"
        self.sockets = tempfile.mkdtemp(prefix="airgap-fleet-")
        programs = os.path.dirname(shutil.which("ansible-playbook") or "")
        if not programs:
            raise measuring.BenchFailed("ansible-playbook is not on PATH: make bench brings it")
        self.programs = programs
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AIRGAP_"))}
        self.environment = {
            **kept,
            "ANSIBLE_COLLECTIONS_PATH": str(BUILD),
            "ANSIBLE_HOME": str(PLACE / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": self.sockets,
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=120s",
            "ANSIBLE_FORKS": str(forks),
        }

    def up(self) -> None:
        limit = int(pathlib.Path("/proc/sys/fs/inotify/max_user_instances").read_text())
        if limit < INOTIFY * len(self.names):
            raise measuring.BenchFailed(f"each host's systemd needs inotify instances: sysctl -w fs.inotify.max_user_instances={2 * INOTIFY * len(self.names)}")
        subprocess.run([sys.executable, HOSTS, "up", *self.names, "--deadline", "600"], check=True, stdout=subprocess.DEVNULL)
        self.inventory.write_text(subprocess.run([sys.executable, HOSTS, "inventory", *self.names], check=True, stdout=subprocess.PIPE, text=True).stdout)

    def down(self) -> None:
        subprocess.run([sys.executable, HOSTS, "down", *self.names], check=True, stdout=subprocess.DEVNULL)
        # ssh's shared connections end when they like, and take their sockets along.
        shutil.rmtree(self.sockets, ignore_errors=True)

    def run(self, *arguments: str) -> Run:
        """Run one of Ansible's programs on all hosts."""
        program, *rest = arguments
        argv = [os.path.join(self.programs, program), "-i", str(self.inventory), *rest]
        mark = f"fleet-{os.getpid()}"

        def ours(pid: str) -> bool:
            return f"{measuring.MARK}={mark}".encode() in pathlib.Path("/proc", pid, "environ").read_bytes()

        began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        with measuring.Watcher(ours) as watcher:
            done = subprocess.run(
                argv, env={**self.environment, measuring.MARK: mark}, cwd=PLACE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
        seconds = time.monotonic() - began
        if done.returncode:
            (PLACE / "failed.log").write_text(done.stdout)
            raise measuring.BenchFailed(f"{' '.join(argv)} ended with status {done.returncode}: {done.stdout[-1500:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Run(seconds, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime, done.stdout, watcher.peak)

    def ping(self) -> Run:
        return self.run("ansible", "all", "-m", "ansible.builtin.ping")

    def rollback(self, root: str) -> Run:
        return self.run("ansible", "all", "-b", "-m", "airgap.golang.generation", "-a", f"state=previous root={root}")

    def deploy(self, *options: str, **variables: t.Any) -> Run:
        playbook = PLACE / "deploy.yml"
        playbook.write_text(DEPLOY)
        return self.run("ansible-playbook", str(playbook), "-e", json.dumps(variables), *options)

    def everywhere(self, script: str) -> None:
        """Something that isn't measured, on every host."""
        self.run("ansible", "all", "-b", "-m", "ansible.builtin.raw", "-a", script)

    # -- what the control node sends and gets

    def _netns(self, name: str, *argv: str) -> str:
        pid = subprocess.run(["podman", "inspect", "-f", "{{.State.Pid}}", name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        return subprocess.run(["nsenter", "-t", pid, "-n", *argv], check=True, stdout=subprocess.PIPE, text=True).stdout

    def count_ssh(self) -> None:
        """Let each host's kernel count the bytes of its SSH traffic, from now on."""
        for name in self.names:
            for chain, port in (("INPUT", "--dport"), ("OUTPUT", "--sport")):
                self._netns(name, "iptables", "-I", chain, "-p", "tcp", port, "22")

    def ssh_bytes(self) -> list[int]:
        """By host, bytes in both directions since ``count_ssh``, packet headers included."""
        found = []
        for name in self.names:
            listed = self._netns(name, "iptables", "-L", "-v", "-x", "-n")
            found.append(sum(int(line.split()[1]) for line in listed.splitlines() if re.search(r"[ds]pt:22\b", line)))
        return found


def make_depot(depot_path: pathlib.Path, count: int, megabytes: int) -> list[int]:
    """A depot whose first generation has so many MB, and each of the others one module more; the bytes of each."""
    from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
    from ansible_collections.airgap.golang.tests.support.small_generation import make_generation

    depot = Depot(str(depot_path))
    modules = {}
    for what, number, share in (("large", LARGE, 0.6), ("small", SMALL, 0.4)):
        size = int(megabytes * 1e6 * share / number)
        for index in range(number):
            modules[f"example.com/{what}{index}", "v1.0.0"] = {"data.bin": os.urandom(size), "a.go": b"package a\n"}
    sizes = []
    for number in range(1, count + 1):
        if number > 1:
            modules[f"example.com/added{number}", "v1.0.0"] = {"a.go": os.urandom(20_000)}
        generation = make_generation(depot, number, modules=modules)
        sizes.append(sum(generation.manifest.blobs().values()))
    return sizes


@contextlib.contextmanager
def mirror(depot: pathlib.Path, address: str) -> t.Iterator[str]:
    """nginx with the depot below /depot/; its URL as hosts see it."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    with tempfile.TemporaryDirectory(prefix="airgap-fleet-nginx-") as place:
        configuration = pathlib.Path(place, "nginx.conf")
        configuration.write_text(NGINX.format(place=place, address=address, port=PORT, depot=depot))
        process = subprocess.Popen([nginx, "-c", str(configuration), "-p", place])
        try:
            yield f"http://{address}:{PORT}/depot"
        finally:
            process.terminate()
            process.wait()


def round_trips(output: str, host_count: int) -> float:
    """Commands and copies per host, as -vvv names them."""
    return len(re.findall(r"(?:SSH: EXEC ssh|SSH: EXEC sftp|SSH: EXEC scp)", output)) / host_count


def measure(fleet: Fleet, rounds: int, megabytes: int) -> dict[str, t.Any]:
    depot = PLACE / "depot"
    sizes = make_depot(depot, 2 * rounds + 1, megabytes)
    first_size = sizes[0]
    say(f"a depot with {first_size / 1e6:.1f} MB in its first generation")
    archive = PLACE / "copied.bin"
    with archive.open("wb") as stream:
        for path in sorted((depot / "blobs" / "sha256").iterdir()):
            if stream.tell() + path.stat().st_size <= first_size:
                stream.write(path.read_bytes())
    found: dict[str, t.Any] = {"hosts": len(fleet.names), "forks": fleet.forks, "bytes": first_size, "copied_bytes": archive.stat().st_size}
    fleet.ping()
    memory: dict[str, float] = {}
    given = {"depot": str(depot), "parts": ["depot"]}

    # The first deploy: alternating, then what was made goes, since all hosts share one disk.
    copied = fleet.run("ansible", "all", "-b", "-m", "ansible.builtin.copy", "-a", f"src={archive} dest=/opt/copied.bin mode=0644")
    fleet.everywhere("rm -f /opt/copied.bin")
    say(f"ansible.builtin.copy: {copied.seconds:.1f} s")
    delivered = fleet.deploy(generation=1, root="/opt/delivered", **given)
    fleet.everywhere("rm -rf /opt/delivered")
    say(f"first deploy, the depot without unpacking: {delivered.seconds:.1f} s")
    found["first"] = {"copy_s": copied.seconds, "deploy_s": delivered.seconds, "ratio": delivered.seconds / copied.seconds, "goal": 1.3}
    memory["copy"], memory["first deploy"] = copied.peak, delivered.peak

    # The same by pull; this fleet is what the rest is measured on.
    address = re.sub(r"[0-9]+$", "1", json.loads(fleet.inventory.read_text())["all"]["hosts"][fleet.names[0]]["ansible_host"])
    fleet.count_ssh()
    before = fleet.ssh_bytes()
    with mirror(depot, address) as url:
        pulled = fleet.deploy(generation=1, root="/opt/fleet", transfer="pull", mirrors=[url], **given)
    moved = [after - was for after, was in zip(fleet.ssh_bytes(), before)]
    say(f"first deploy by pull: {pulled.seconds:.1f} s, control node's bytes a host: {statistics.mean(moved):.0f}")
    found["pull"] = {"seconds": pulled.seconds, "bytes_a_host": max(moved), "goal": 1_000_000}
    memory["first deploy by pull"] = pulled.peak

    # What is small: each beside a ping.
    settled = {**given, "root": "/opt/fleet"}
    sides: dict[str, list[float]] = {"ping": [], "unchanged": [], "one module": [], "rollback": []}
    for number in range(rounds):
        generation = 2 * number + 1
        sides["ping"].append(fleet.ping().seconds)
        sides["unchanged"].append(fleet.deploy(generation=generation, **settled).seconds)
        sides["one module"].append(fleet.deploy(generation=generation + 1, **settled).seconds)
        sides["rollback"].append(fleet.rollback("/opt/fleet").seconds)
        sides["ping"].append(fleet.ping().seconds)
        fleet.deploy(generation=generation + 2, **settled)
        say(", ".join(f"{name} {times[-1]:.1f} s" for name, times in sides.items()))
    middle = {name: statistics.median(times) for name, times in sides.items()}
    found["times"] = {name: {"seconds": middle[name], "ratio": middle[name] / middle["ping"], "all": times} for name, times in sides.items()}
    last = 2 * rounds + 1
    trips = fleet.run("ansible", "all", "-m", "ansible.builtin.ping", "-vvv")
    before = fleet.ssh_bytes()
    unchanged = fleet.deploy("-vvv", generation=last, **settled)
    found["unchanged"] = {
        "tasks": 1,
        "modules": len(re.findall(r"^Using module file", unchanged.output, re.MULTILINE)) / len(fleet.names),
        "round_trips": round_trips(unchanged.output, len(fleet.names)),
        "round_trips_of_ping": round_trips(trips.output, len(fleet.names)),
        "bytes_a_host": max(after - was for after, was in zip(fleet.ssh_bytes(), before)),
        "cpu_s_a_host": unchanged.cpu / len(fleet.names),
    }
    found["memory_mb"] = {name: round(value, 1) for name, value in memory.items()}
    return found


def shown(found: t.Mapping[str, t.Any]) -> str:
    times, first, goals = found["times"], found["first"], {"unchanged": 2.0, "one module": 3.0, "rollback": 2.0}
    lines = [f"{found['hosts']} hosts, {found['forks']} forks, {found['bytes'] / 1e6:.0f} MB"]
    lines.append(f"{'ansible -m ping':44} {times['ping']['seconds']:8.2f} s")
    for name, goal in goals.items():
        lines.append(f"{name:44} {times[name]['seconds']:8.2f} s {times[name]['ratio']:6.2f} of a ping (goal: {goal:g})")
    facts, pull = found["unchanged"], found["pull"]
    lines.append(f"{'ansible.builtin.copy':44} {first['copy_s']:8.2f} s")
    lines.append(f"{'first deploy':44} {first['deploy_s']:8.2f} s {first['ratio']:6.2f} of the copy (goal: {first['goal']:g})")
    lines.append(f"{'first deploy by pull':44} {pull['seconds']:8.2f} s, at most {pull['bytes_a_host'] / 1e3:.0f} kB a host by SSH (goal: 1000)")
    lines.append(
        f"an unchanged deploy: {facts['tasks']} task, {facts['modules']:g} module, {facts['round_trips']:g} round trips"
        f" (a ping: {facts['round_trips_of_ping']:g}), {facts['bytes_a_host'] / 1e3:.0f} kB and {facts['cpu_s_a_host']:.2f} s of the control node's CPU a host"
    )
    lines.append("the control node's largest process: " + ", ".join(f"{name} {value:.0f} MB" for name, value in found["memory_mb"].items()) + " (goal: 80)")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=30, metavar="N", help="how many hosts (%(default)s)")
    parser.add_argument("--forks", type=int, default=10, metavar="N", help="Ansible's forks, on both sides (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often what is small is run (%(default)s); medians count")
    parser.add_argument("--megabytes", type=int, default=170, metavar="MB", help="of the generation that is first deployed (%(default)s)")
    parser.add_argument("--prefix", default="fleet", help="what the hosts' names begin with (%(default)s)")
    options = parser.parse_args()
    if PLACE.exists():
        shutil.rmtree(PLACE)
    PLACE.mkdir(parents=True)
    try:
        fleet = Fleet([f"{options.prefix}-{number}" for number in range(1, options.hosts + 1)], options.forks)
        try:
            fleet.up()
            say(f"{options.hosts} hosts are up")
            found = measure(fleet, options.rounds, options.megabytes)
        finally:
            fleet.down()
    except measuring.BenchFailed as failed:
        print(f"fleet: {failed}", file=sys.stderr)
        return 1
    (BUILD / "bench" / "fleet.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    shutil.rmtree(PLACE)
    print("\n" + shown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
