# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three parts that are measured, each beside what a person does without the collection."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import sys
import tempfile
import typing as t

import measuring
import workload
from measuring import Ran, alternating, median
from workload import BENCH, LOGS, ROOT, Workload

ROUNDS = 3
MEMORY_LIMIT = 150.0
WORK = BENCH / "work"
Figure = t.Dict[str, t.Any]
Figures = t.Dict[str, t.List[Figure]]


def timed(name: str, ours: t.Iterable[float], theirs: t.Iterable[float], goal: float | None, note: str = "") -> Figure:
    """A row of seconds: medians of all rounds, and how many times faster we are."""
    ours, theirs = list(ours), list(theirs)
    rounds = {"ours_rounds": [round(value, 3) for value in ours], "theirs_rounds": [round(value, 3) for value in theirs]}
    times = {"ours_s": round(median(ours), 3), "theirs_s": round(median(theirs), 3)}
    return {"name": name, **times, **judged(median(theirs) / median(ours), goal), "note": note, **rounds}


def sized(name: str, ours: int, theirs: int, goal: float | None, note: str = "") -> Figure:
    """A row of MB."""
    return {"name": name, "ours_mb": round(ours / 1e6, 1), "theirs_mb": round(theirs / 1e6, 1), **judged(theirs / ours, goal), "note": note}


def judged(ratio: float, goal: float | None) -> Figure:
    return {"ratio": round(ratio, 3), "goal": goal, "met": None if goal is None else ratio >= goal}


def peak(name: str, megabytes: float) -> Figure:
    """A row of memory: the largest single Python process."""
    return {"name": name, "mb": round(megabytes, 1), "limit": MEMORY_LIMIT, "met": 0 < megabytes <= MEMORY_LIMIT}


# -- gather


@dataclasses.dataclass(frozen=True)
class ByHand:
    """Seconds of `go mod download` alone and of all steps, and how many zips the former brought."""

    download: float
    whole: float
    zips: int


@dataclasses.dataclass(frozen=True)
class Gathered:
    """Seconds of our gather and rehearsal, and the gather's answer, with its seconds by phase."""

    whole: float
    answer: dict[str, t.Any]

    @property
    def fetch(self) -> float:
        """What `go mod download` does: up to the last hash; the checksum database is in it too."""
        return float(sum(self.answer["phases"][name] for name in ("resolve", "fetch", "check")))

    def __str__(self) -> str:
        return f"{self.whole:.1f} s, {json.dumps(self.answer['phases'])}"


def gather(work: Workload) -> Figures:
    """Cold depot against cold GOMODCACHE. Both have Go, and both share one warm GOCACHE: compiling costs both the same."""
    gocache = work.full / "cache" / "go-build"

    def ours(number: int) -> Gathered:
        depot = WORK / f"depot-{number}"
        workload.copy(work.seed, depot)
        (depot / "cache").mkdir(exist_ok=True)
        (depot / "cache" / "go-build").symlink_to(gocache)
        ran, answer = work.gather(depot)
        proved, _answer = work.module("rehearse", depot)
        return Gathered(ran.seconds + proved.seconds, answer)

    def theirs(number: int) -> ByHand:
        place = WORK / f"by-hand-{number}"
        workload.copy(work.source, place / "source")
        environment = work.go_environment(place / "modcache", gocache)

        def go(*arguments: str) -> float:
            return measuring.run([work.go, *arguments], LOGS / "by-hand.log", env=environment, cwd=place / "source").seconds

        download = go("mod", "download")
        zips = sum(1 for _path in (place / "modcache" / "cache" / "download").rglob("*.zip"))
        others = [go("mod", "verify"), go("mod", "tidy", "-diff"), go("mod", "vendor")]
        others.append(go(*workload.BUILD, "-o", str(place / "caddy"), workload.PACKAGE))
        return ByHand(download, download + sum(others), zips)

    sides: list[measuring.Side[Gathered | ByHand]] = [("gather", ours), ("by hand", theirs)]
    mine, hand = alternating(ROUNDS, *sides, say=work.say)
    runs = t.cast("list[Gathered]", mine)
    hands = t.cast("list[ByHand]", hand)
    answer = runs[0].answer
    what = (
        f"ours: module graph, {answer['fetched']['files']} files with {answer['fetched']['bytes'] / 1e6:.0f} MB"
        f" ({answer['generation']['modules'] - 1} zips), h1 against go.sum, checksum database; theirs: {hands[0].zips} zips, unpacked"
    )
    all_steps = "ours also has the checksum database's snapshot, packing, vetting, compiled tests, and no network; warm GOCACHE on both sides"
    by_hand = "`go mod download`, `verify`, `tidy -diff`, `vendor`, `go build`"
    return {
        "figures": [
            timed("fetch and verify the modules, against `go mod download`", [run.fetch for run in runs], [run.download for run in hands], 3.0, what),
            timed(f"gather and rehearse, against {by_hand}", [run.whole for run in runs], [run.whole for run in hands], None, all_steps),
        ],
        "memory": [peak("gather", work.peaks["gather"]), peak("rehearse", work.peaks["rehearse"])],
    }


# -- bundle


def bundle(work: Workload) -> Figures:
    """The module against `tar czf` of a GOMODCACHE with the same versions, the toolchain's included on both sides."""

    def ours(_number: int) -> Ran:
        return write_bundle(work)

    def everything(_number: int) -> Ran:
        return tar(work, ".", archive_path())

    def zips_alone(_number: int) -> Ran:
        return tar(work, "cache/download", WORK / "download.tar.gz")

    sides = [("bundle", ours), ("tar of all", everything), ("tar of cache/download", zips_alone)]
    mine, whole, download = alternating(ROUNDS, *sides, say=work.say)
    sizes = [path.stat().st_size for path in (work.bundle, archive_path(), WORK / "download.tar.gz")]
    carried = work.config()
    versions = sum(1 for module in carried["modules"] if module["zip"])
    what = f"{versions} module zips with go{workload.GO}'s on both sides; ours also has the project, its vendor directory and the checksum database"
    alone = "what somebody carries who knows that GOPROXY can be a directory"
    return {
        "figures": [
            timed("write the bundle, against `tar czf` of GOMODCACHE", seconds(mine), seconds(whole), 10.0, what),
            timed("write the bundle, against `tar czf` of its cache/download alone", seconds(mine), seconds(download), None, alone),
        ],
        "sizes": [
            sized("size of the bundle, against `tar czf` of GOMODCACHE", sizes[0], sizes[1], round(1 / 0.65, 2), what),
            sized("size of the bundle, against `tar czf` of its cache/download alone", sizes[0], sizes[2], None, alone),
        ],
        "memory": [peak("bundle", work.peaks["bundle"])],
    }


def seconds(runs: t.Iterable[Ran]) -> list[float]:
    return [run.seconds for run in runs]


def archive_path() -> pathlib.Path:
    return BENCH / "modcache.tar.gz"


def write_bundle(work: Workload) -> Ran:
    """A signed bundle, anew."""
    work.bundle.unlink(missing_ok=True)
    return work.module("bundle", work.full, dest=str(work.bundle), signing_key=str(work.key))[0]


def tar(work: Workload, what: str, dest: pathlib.Path) -> Ran:
    dest.parent.mkdir(parents=True, exist_ok=True)
    dest.unlink(missing_ok=True)
    return measuring.run(["tar", "-czf", dest, "-C", work.modcache, what], LOGS / "tar.log")


# -- deploy

OURS = """\
- name: Ours
  hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: Render the settings
      ansible.builtin.include_role:
        name: airgap.golang.goenv
        tasks_from: content
        public: true
    - name: Deploy
      airgap.golang.deploy:
        depot: "{{ bench_depot }}"
        goenv: "{{ __goenv_content }}"
"""
THEIRS = """\
- name: Theirs
  hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: Copy
      ansible.builtin.copy:
        src: "{{ bench_archive }}"
        dest: /var/tmp/modcache.tar.gz
        mode: "0644"
    - name: Make the directory
      ansible.builtin.file:
        path: /opt/modcache
        state: directory
        mode: "0755"
    - name: Unpack
      ansible.builtin.unarchive:
        src: /var/tmp/modcache.tar.gz
        dest: /opt/modcache
        remote_src: true
"""


@dataclasses.dataclass(frozen=True)
class Delivery:
    """Seconds on a fresh host, and again with nothing changed; MB of the largest process on the host and here."""

    fresh: float
    again: float
    there: float = 0.0
    here: float = 0.0


def deploy(work: Workload) -> Figures:
    """A fresh host each time. Ours also lays out the project, the proxy tree and the settings."""
    if not work.bundle.is_file():
        write_bundle(work)
    if not archive_path().is_file():
        tar(work, ".", archive_path())
    workload.discard(work.offline)
    received = work.receive(work.offline)
    work.say(f"received in {received.seconds:.1f} s")

    hosts = contextlib.ExitStack()

    def ours(number: int) -> Delivery:
        host = hosts.enter_context(Host(f"bench-ours-{number}", work))
        delivery = host.play(OURS, {"bench_depot": str(work.offline)})
        if number == 0:
            host.prove("/usr/local/bin/go mod verify")
        return delivery

    def theirs(number: int) -> Delivery:
        host = hosts.enter_context(Host(f"bench-theirs-{number}", work))
        delivery = host.play(THEIRS, {"bench_archive": str(archive_path())})
        if number == 0:
            host.prove(f"GOMODCACHE=/opt/modcache GOPROXY=off GOTOOLCHAIN=local /opt/modcache/{workload.TOOLCHAIN}@{work.toolchain}/bin/go mod verify")
        return delivery

    def rsync(number: int) -> Delivery:
        host = hosts.enter_context(Host(f"bench-rsync-{number}", work))
        path = host.bring_rsync()
        return Delivery(host.rsync(path), host.rsync(path))

    sides: list[measuring.Side[Delivery]] = [("deploy", ours), ("copy and unarchive", theirs)]
    if shutil.which("rsync"):
        sides.append(("rsync", rsync))
    else:
        work.say("rsync is not on PATH, so it is left out: apt-get install rsync")
    with hosts:
        mine, usual, *others = alternating(ROUNDS, *sides, say=work.say)
    fresh, again = [run.fresh for run in mine], [run.again for run in mine]
    what = "the whole ansible-playbook over SSH to a fresh host, module cache unpacked; ours also lays out the project, proxy tree and settings"
    rows = [
        timed("deploy to a fresh host, against Ansible's copy and unarchive of that tar.gz", fresh, [run.fresh for run in usual], 2.0, what),
        timed("deploy again, nothing changed, against the same", again, [run.again for run in usual], 10.0),
    ]
    plain = "rsync --archive of the unpacked GOMODCACHE on a local network without limits, nothing verified"
    for side in others:
        rows.append(timed("deploy to a fresh host, against rsync of GOMODCACHE", fresh, [run.fresh for run in side], None, plain))
        rows.append(timed("deploy again, nothing changed, against the same rsync", again, [run.again for run in side], None))
    return {
        "figures": rows,
        "memory": [
            peak("receive", work.peaks["receive"]),
            peak("deploy, on the host", max(run.there for run in mine)),
            peak("deploy, ansible-playbook and its workers on the control node", max(run.here for run in mine)),
        ],
    }


class Host:
    """A test host, fresh, that is there for the body alone."""

    def __init__(self, name: str, work: Workload) -> None:
        self.name = name
        self.work = work
        self.log = LOGS / f"{name}.log"
        self.ssh_config = ROOT / ".build" / "hosts" / "ssh_config"
        self._podman_environment = {**os.environ, "CONTAINERS_CONF": str(ROOT / "tests" / "hosts" / "containers.conf")}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Host:
        self._hosts("down", self.name)
        self._stack.callback(self._hosts, "down", self.name)
        try:
            self._hosts("up", self.name)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _hosts(self, *arguments: str) -> str:
        return measuring.run([sys.executable, ROOT / "tests" / "hosts" / "hosts", *arguments], self.log).stdout

    def _podman(self, *arguments: str | pathlib.Path) -> str:
        return measuring.run(["podman", *arguments], self.log, env=self._podman_environment).stdout

    def ssh(self, script: str) -> str:
        return measuring.run(["ssh", "-F", self.ssh_config, f"root@{self.name}", script], self.log).stdout

    def play(self, playbook: str, variables: t.Mapping[str, str]) -> Delivery:
        """Run a playbook on the fresh host, and then again."""
        place = WORK / self.name
        place.mkdir(parents=True, exist_ok=True)
        (place / "playbook.yml").write_text(playbook, "utf-8")
        (place / "inventory.json").write_text(self._hosts("inventory", self.name), "utf-8")
        # A socket of ssh's must not outlive its host, and has a short path.
        sockets = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="airgap-bench-"))
        environment = {**self.work.environment, "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets}
        argv: list[str | pathlib.Path] = [self.work.playbook, "-i", place / "inventory.json", "-e", json.dumps(variables), place / "playbook.yml"]
        init = int(self._podman("inspect", "--format", "{{.State.Pid}}", self.name))
        with measuring.Watcher(measuring.in_namespace_of(init)) as watcher:
            first, second = (measuring.run(argv, self.log, env=environment, cwd=place, watch=True) for _time in range(2))
        if "changed=0 " not in second.stdout:
            raise measuring.BenchFailed(f"the second run on {self.name} changed something; see {self.log}")
        return Delivery(first.seconds, second.seconds, watcher.peak, max(first.peak, second.peak))

    def prove(self, command: str) -> None:
        """The delivered module cache is whole, as the host's own go sees it."""
        self._podman("exec", self.name, "mkdir", "/var/tmp/project")
        for name in ("go.mod", "go.sum"):
            self._podman("cp", self.work.source / name, f"{self.name}:/var/tmp/project/{name}")
        said = self.ssh(f"cd /var/tmp/project && {command}")
        if "all modules verified" not in said:
            raise measuring.BenchFailed(f"go mod verify on {self.name} said: {said}")

    def bring_rsync(self) -> str:
        """This machine's rsync and its libraries, for a host that has no way to get its own; the command to call there."""
        program = shutil.which("rsync") or "rsync"
        place = "/usr/local/lib/rsync"
        self._podman("exec", self.name, "mkdir", "-p", place)
        self._podman("cp", program, f"{self.name}:{place}/rsync")
        for line in measuring.run(["ldd", program], self.log).stdout.splitlines():
            name, _arrow, rest = line.strip().partition(" => ")
            # The C library has to be the host's own.
            if rest and not name.startswith("libc."):
                self._podman("cp", os.path.realpath(rest.split()[0]), f"{self.name}:{place}/{name}")
        return f"env LD_LIBRARY_PATH={place} {place}/rsync"

    def rsync(self, path: str) -> float:
        target = f"root@{self.name}:/opt/modcache/"
        argv = ["rsync", "--archive", "-e", f"ssh -F {self.ssh_config}", f"--rsync-path={path}", f"{self.work.modcache}/", target]
        return measuring.run(argv, self.log).seconds
