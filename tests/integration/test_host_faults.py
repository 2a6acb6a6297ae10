# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to machines, done to real offline hosts over SSH: after each, a host is in the state before or after, and the
next run makes it right."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import typing as t
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._content.carried import cached_modules
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.plugins.module_utils._go.modcache import ModuleCache
from ansible_collections.airgap.golang.tests.support.offline_hosts import ROOT, OfflineHost, Run, hosts, wait_until
from ansible_collections.airgap.golang.tests.support.small_generation import make_generation

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("podman") is None, reason="its hosts are containers that need root")

#: For each of two hosts.
KILLS = 52
SEED = 20261126


@pytest.fixture(scope="module")
def work() -> t.Iterator[pathlib.Path]:
    path = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-faults-"))
    path.chmod(0o755)
    yield path
    remove_tree(str(path))


@pytest.fixture(scope="module")
def depot(work: pathlib.Path) -> str:
    """Two generations of some MB and some hundred files, so that there's something to be killed in."""
    depot = Depot(str(work / "depot"))
    rng = random.Random(SEED)
    for number, toolchains in ((1, ("1.26.8",)), (2, ("1.26.8", "1.27.3"))):
        modules = {
            (f"example.com/m{index}", f"v1.{number}.0"): {f"d{at % 4}/f{at}.go": rng.randbytes(4000 + 100 * at) for at in range(12)} for index in range(30)
        }
        make_generation(depot, number, toolchains=toolchains, modules=modules, projects=("hello", f"only{number}"))
    return depot.path


@pytest.fixture(scope="module")
def machines(work: pathlib.Path) -> t.Iterator[list[OfflineHost]]:
    names = ["fault-one", "fault-two"]
    hosts("up", *names)
    yield [OfflineHost(name, work) for name in names]
    hosts("down", *names)


@pytest.fixture
def host(machines: list[OfflineHost]) -> t.Iterator[OfflineHost]:
    """A host with nothing of ours."""
    (host, _other) = machines
    clean(host)
    yield host
    clean(host)


def clean(host: OfflineHost) -> None:
    host.sh(f"while mountpoint -q {ROOT}; do umount {ROOT}; done; rm -rf {ROOT} /usr/local/bin/go /usr/local/bin/gofmt")


def goenv(number: int) -> str:
    """Settings that no other run has, so that each run has something to do."""
    return f"GOFLAGS=-tags=run{number}\n"


class Truth:
    """What a host really has, seen from outside."""

    def __init__(self, host: OfflineHost, root: str = "") -> None:
        self.root = root or host.outside()
        self.depot = Depot(os.path.join(self.root, "depot"))

    def current(self) -> str:
        try:
            return os.path.basename(os.readlink(os.path.join(self.root, "current")))
        except FileNotFoundError:
            return ""

    def settings(self) -> str:
        path = os.path.join(self.root, "current", "go.env")
        return pathlib.Path(path).read_text() if os.path.exists(path) else ""

    def require_whole(self) -> None:
        """Everything that has its name is what its name says, and what is active is complete."""
        for ref, digest in self.depot.index().items() if self.depot.exists() else ():
            generation = self.depot.generation(ref)
            assert generation.digest == digest
            for layer in generation.manifest.layers:
                if self.depot.blobs.has(layer.digest, layer.size):
                    content = pathlib.Path(self.depot.blobs.path(layer.digest)).read_bytes()
                    assert hashlib.sha256(content).hexdigest() == layer.hex, layer.title
            self._require_modules(ref)
        current = self.current()
        for at, directories, files in os.walk(os.path.join(self.root, "generations", current)) if current else ():
            for name in directories + files:
                # The go of bin/ is a script; all else leads somewhere inside of ROOT by relative links.
                assert os.path.exists(os.path.join(at, name)), os.path.join(at, name)

    def _require_modules(self, ref: Ref) -> None:
        """Of the modules that are marked, and so trusted, each file is right."""
        cache = ModuleCache(os.path.join(self.root, "modcache"), "")
        generation = self.depot.generation(ref)
        for module in cached_modules(generation, self.depot.tree(ref)):
            if module.zip and module.path.startswith("example.com") and not cache.missing([module]):
                prefix = f"{module.path}@{module.version}/"
                with zipfile.ZipFile(module.zip) as archive:
                    for name in archive.namelist():
                        path = os.path.join(cache.directory(module.path, module.version), name[len(prefix) :])
                        assert pathlib.Path(path).read_bytes() == archive.read(name), path


def require_before_or_after(host: OfflineHost, before: tuple[str, str], settings: str, root: str = "") -> str:
    """Which of the two it is, "before" or "after"; fails where it's neither."""
    truth = Truth(host, root)
    truth.require_whole()
    now = truth.current(), truth.settings()
    assert now == before or (now[1] == settings and now[0] != before[0]), (now, before, settings)
    return "before" if now == before else "after"


def state(host: OfflineHost) -> tuple[str, str]:
    truth = Truth(host)
    return truth.current(), truth.settings()


def require_right(host: OfflineHost, depot: str, number: int, **options: t.Any) -> None:
    """The next run makes it right, and the one after it finds nothing to do."""
    done = host.deploy(depot, number, **options)
    assert done.status == 0, done.output
    Truth(host).require_whole()
    again = host.deploy(depot, number, **options)
    assert again.status == 0 and again.result["changed"] is False, again.output
    assert host.sh("/usr/local/bin/go version").stdout.startswith("go1.2")


# ---- kills


def kill_at_random(host: OfflineHost, run: Run, rng: random.Random, typical: float) -> str:
    """Kill one of the two at a random moment; what was killed, or "late" when the run had ended by then.

    :param typical: how many seconds a run takes.
    """
    if rng.random() < 0.4:
        # From its start to its end.
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(timeout=rng.uniform(0.1, 0.95) * typical)
            return "late"
        return "ansible-playbook"
    # Of the module's runs, the probe and the admission, one or the other.
    delay = rng.uniform(0, 0.1) * typical
    for _run in range(rng.choice((1, 2, 2, 2))):
        wait_until("a module runs", lambda: host.pythons() or run.process.poll() is not None)
        started = time.monotonic()
        found = host.pythons()
        while found and time.monotonic() < started + (delay if _run else 0.02):
            time.sleep(0.005)
            found = host.pythons()
        if run.process.poll() is not None:
            return "late"
        if not _run:
            wait_until("the probe ends", lambda: not host.pythons() or run.process.poll() is not None)
    found = host.pythons()
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return "module" if found else "late"


def kills(host: OfflineHost, depot: str, seed: int) -> collections.Counter[str]:
    rng = random.Random(seed)
    counted: collections.Counter[str] = collections.Counter()
    started = time.monotonic()
    require_right(host, depot, 1, goenv=goenv(0))
    typical = (time.monotonic() - started) / 2
    number = 0
    while counted["killed"] < KILLS:
        number += 1
        assert number < 4 * KILLS, counted
        if rng.random() < 0.12:
            # As on a new host.
            clean(host)
        before, wish = state(host), goenv(number)
        run = host.begin(depot, rng.choice((1, 2)), goenv=wish)
        killed = kill_at_random(host, run, rng, typical)
        run.kill()
        run.end()
        # What ansible-playbook started on the host may go on to its end.
        wait_until("the host's module ends", host.quiet)
        counted[killed] += 1
        if killed != "late":
            counted["killed"] += 1
            counted[require_before_or_after(host, before, wish)] += 1
        if number % 15 == 0:
            require_right(host, depot, rng.choice((1, 2)), goenv=goenv(number))
    require_right(host, depot, 2, goenv=goenv(0))
    return counted


def test_killed_at_random_moments(machines: list[OfflineHost], depot: str, capsys: pytest.CaptureFixture[str]) -> None:
    for host in machines:
        clean(host)
    with concurrent.futures.ThreadPoolExecutor(len(machines)) as pool:
        told = sum(pool.map(lambda host: kills(host, depot, SEED + machines.index(host)), machines), collections.Counter())
    with capsys.disabled():
        print(
            f"\nfaults: {told['killed']} kills (seed {SEED}), {told['module']} of the host's module, {told['ansible-playbook']} of ansible-playbook: "
            f"{told['before']} hosts in the state before, {told['after']} in the state after"
        )
    assert told["killed"] >= 100 and told["module"] >= 30 and told["ansible-playbook"] >= 20
    assert told["before"] and told["after"]


# ---- power cuts


class Disk:
    """An ext4 below a host's ROOT, of which copies can be had as they'd be after a power cut: what wasn't synced isn't in them.

    Its device's file lies in an XFS, which clones a file in one step, while it's written to.
    """

    def __init__(self, host: OfflineHost, top: pathlib.Path) -> None:
        self.host = host
        self.top = top
        self._image = top / "image"
        outer = top.with_name(top.name + ".xfs")
        self._outer = outer
        for path, size, format_ in ((outer, 2 << 30, ["mkfs.xfs", "-q", "-m", "reflink=1", str(outer)]),):
            with open(path, "wb") as stream:
                stream.truncate(size)
            subprocess.run(format_, check=True)
        top.mkdir()
        subprocess.run(["mount", "-o", "loop", str(outer), str(top)], check=True)
        with open(self._image, "wb") as stream:
            stream.truncate(192 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self._image)], check=True)
        self.attach(self._image)

    def _in_host(self, *argv: str) -> None:
        """With this machine's devices and rights, where the host sees its files."""
        subprocess.run(["nsenter", f"--mount=/proc/{self.host.pid}/ns/mnt", *argv], check=True)

    def attach(self, image: pathlib.Path) -> None:
        device = subprocess.run(["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True).stdout.strip()
        self.device = device
        number = os.stat(device).st_rdev
        self._in_host("mknod", "/dev/airgap-disk", "b", str(os.major(number)), str(os.minor(number)))
        self._in_host("mkdir", "-p", ROOT)
        self._in_host("mount", "-t", "ext4", "/dev/airgap-disk", ROOT)

    def detach(self) -> None:
        self._in_host("umount", ROOT)
        self._in_host("rm", "/dev/airgap-disk")
        subprocess.run(["losetup", "--detach", self.device], check=True)

    def clone(self, name: str) -> pathlib.Path:
        """The disk as it would be if the power were cut now."""
        path = self.top / name
        subprocess.run(["cp", "--reflink=always", str(self._image), str(path)], check=True)
        return path

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.detach()
        subprocess.run(["umount", str(self.top)], check=True)
        self._outer.unlink()


@pytest.fixture
def disk(host: OfflineHost, work: pathlib.Path) -> t.Iterator[Disk]:
    disk = Disk(host, work / "disk")
    yield disk
    disk.close()


def test_power_cuts_with_what_was_not_synced_lost(host: OfflineHost, disk: Disk, depot: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = goenv(1)
    assert host.deploy(depot, 1, goenv=first).status == 0
    before = state(host)
    cut = threading.Event()
    clones: list[pathlib.Path] = []

    def cut_power_now_and_then() -> None:
        while not cut.wait(0.05):
            clones.append(disk.clone(f"clone-{len(clones):03d}"))

    thread = threading.Thread(target=cut_power_now_and_then)
    run = host.begin(depot, 2, goenv=goenv(2))
    wait_until("a module runs", host.pythons)
    thread.start()
    done = run.end()
    clones.append(disk.clone("clone-end"))
    cut.set()
    thread.join()
    assert done.status == 0, done.output
    disk.detach()
    told: collections.Counter[str] = collections.Counter()
    # Some twelve of them, the last one among them.
    for clone in clones[:: -max(1, len(clones) // 12)]:
        disk.attach(clone)
        told[require_before_or_after(host, before, goenv(2))] += 1
        disk.detach()
    # The one from the middle goes on.
    disk.attach(clones[len(clones) // 2])
    require_right(host, depot, 2, goenv=goenv(2))
    with capsys.disabled():
        print(f"\nfaults: {sum(told.values())} power cuts in a deploy, unsynced writes lost: {told['before']} hosts in the state before, {told['after']} after")
    assert told["before"] >= 3


def test_the_hosts_power_is_cut_in_the_middle(machines: list[OfflineHost], depot: str, capsys: pytest.CaptureFixture[str]) -> None:
    (_other, host) = machines
    clean(host)
    assert host.deploy(depot, 1, goenv=goenv(1)).status == 0
    rng = random.Random(SEED)
    told: collections.Counter[str] = collections.Counter()
    for number in range(2, 6):
        before = state(host)
        run = host.begin(depot, 1 + number % 2, goenv=goenv(number))
        wait_until("a module runs", host.pythons)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(timeout=rng.uniform(0.2, 2))
        hosts("stop", host.name)
        run.end()
        hosts("start", host.name)
        hosts("wait", host.name)
        told[require_before_or_after(host, before, goenv(number))] += 1
    require_right(host, depot, 2, goenv=goenv(9))
    with capsys.disabled():
        print(f"\nfaults: {sum(told.values())} hosts switched off in a deploy: {told['before']} in the state before, {told['after']} after")


# ---- disks, clocks and rights


def refused(host: OfflineHost, depot: str, number: int, **options: t.Any) -> dict[str, t.Any]:
    """A deploy that fails, says why, and leaves the host as it is; its failure."""
    before = state(host)
    done = host.deploy(depot, number, **options)
    assert done.status != 0 and "failure" in done.result, done.output
    assert state(host) == before
    Truth(host).require_whole()
    failure: dict[str, t.Any] = done.result["failure"]
    assert failure["subject"] and failure["hint"], failure
    return failure


@pytest.mark.parametrize(("options", "fill"), [("size=24m", "head -c 18M /dev/zero"), ("size=64m,nr_inodes=1500", "seq 500")], ids=["bytes", "inodes"])
def test_a_full_disk(host: OfflineHost, depot: str, options: str, fill: str) -> None:
    host.sh(f"mkdir -p {ROOT} && mount -t tmpfs -o {options},mode=0755 none {ROOT}")
    assert host.deploy(depot, 1).status == 0
    if fill.startswith("seq"):
        host.sh(f"mkdir {ROOT}/filler && cd {ROOT}/filler && for n in $({fill}); do : >$n || exit 0; done")
    else:
        host.sh(f"{fill} >{ROOT}/filler || true")
    failure = refused(host, depot, 2)
    assert failure["code"] == "no_space" and int(failure["expected"]) > int(failure["found"]), failure
    assert host.sh("/usr/local/bin/go version").stdout.startswith("go1.26.8")
    host.sh(f"rm -rf {ROOT}/filler")
    host.sh(f"mount -o remount,size=256m,nr_inodes=20000 {ROOT}")
    require_right(host, depot, 2)


def test_a_disk_that_fills_up_while_it_is_written(host: OfflineHost, depot: str) -> None:
    """Others write too: what was free at the probe isn't any more at the end."""
    host.sh(f"mkdir -p {ROOT} && mount -t tmpfs -o size=64m,mode=0755 none {ROOT}")
    assert host.deploy(depot, 1).status == 0
    before = state(host)
    run = host.begin(depot, 2, goenv=goenv(2))
    wait_until("a module runs", host.pythons)
    wait_until("the probe ends", lambda: not host.pythons())
    host.sh(f"cat /dev/zero >{ROOT}/filler || true")
    done = run.end()
    assert done.status != 0 and "failure" in done.result, done.output
    assert state(host) == before
    Truth(host).require_whole()
    host.sh(f"rm {ROOT}/filler")
    require_right(host, depot, 2, goenv=goenv(2))


def test_a_read_only_file_system(host: OfflineHost, depot: str) -> None:
    host.sh(f"mkdir -p {ROOT} && mount -t tmpfs -o size=64m,mode=0755 none {ROOT}")
    assert host.deploy(depot, 1).status == 0
    host.sh(f"mount -o remount,ro {ROOT}")
    assert ROOT in refused(host, depot, 2)["subject"]
    unchanged = host.deploy(depot, 1)
    assert unchanged.status == 0 and unchanged.result["changed"] is False, unchanged.output
    host.sh(f"mount -o remount,rw {ROOT}")
    require_right(host, depot, 2)


@pytest.mark.parametrize("offset", ["-12y", "+9y"])
def test_a_clock_that_is_years_off(host: OfflineHost, depot: str, offset: str) -> None:
    """Deployed by one clock, switched and rolled back by another."""
    assert host.deploy(depot, 1).status == 0
    (library,) = pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    target = pathlib.Path(host.outside("/usr/local/lib/libfaketime.so.1"))
    shutil.copy(library, target)
    # sudo keeps no LD_PRELOAD; the interpreter is what Ansible starts.
    script = f'#!/bin/sh\nLD_PRELOAD=/usr/local/lib/libfaketime.so.1 FAKETIME="{offset}" exec /usr/bin/python3 "$@"\n'
    pathlib.Path(host.outside("/usr/local/bin/python-off")).write_text(script)
    host.sh("chmod 0755 /usr/local/bin/python-off")
    off = {"ansible_python_interpreter": "/usr/local/bin/python-off"}
    year = int(host.sh("/usr/local/bin/python-off -c 'import time; print(time.gmtime().tm_year)'").stdout)
    assert abs(year - time.gmtime().tm_year) > 5
    done = host.deploy(depot, 2, host_vars=off)
    assert done.status == 0 and done.result["previous"].startswith("000001"), done.output
    # The clock is right again; the generation before is still that.
    require_right(host, depot, 2)
    host.sh("rm /usr/local/bin/python-off /usr/local/lib/libfaketime.so.1")


@pytest.mark.parametrize("where", ["current-go", "depot/staging", "generations", "modcache", "ROOT"])
def test_a_link_planted_where_we_write(host: OfflineHost, depot: str, where: str) -> None:
    """By somebody who may; nothing is written where it leads."""
    victim = "/home/builder/victim"
    host.sh(f"rm -rf {victim} && mkdir {victim} && chown builder: {victim}")
    if where == "ROOT":
        host.sh(f"ln -s {victim} {ROOT} && chown -h builder: {ROOT}")
        path = ROOT
    elif where == "current-go":
        host.sh(f"touch {victim}/go && ln -s {victim}/go /usr/local/bin/go")
        path = "/usr/local/bin/go"
    else:
        assert host.deploy(depot, 1).status == 0
        path = f"{ROOT}/{where}"
        host.sh(f"rm -rf {path}.away && mv {path} {path}.away && ln -s {victim} {path}")
    done = host.deploy(depot, 2)
    assert done.status != 0 and done.result["failure"]["subject"] == path, done.output
    assert host.sh(f"find {victim} -mindepth 1 -not -name go; cat {victim}/* 2>/dev/null || true").stdout == ""
    host.sh(f"rm {path}; if [ -e {path}.away ]; then mv {path}.away {path}; fi")
    require_right(host, depot, 2)


def test_a_wrong_owner(host: OfflineHost, depot: str) -> None:
    assert host.deploy(depot, 1).status == 0
    for name in ("", "/modcache", "/generations"):
        host.sh(f"chown builder: {ROOT}{name}")
        failure = refused(host, depot, 2)
        assert failure["code"] == "not_ours" and failure["subject"] == ROOT + name and "builder" in failure["found"], failure
        host.sh(f"chown root: {ROOT}{name}")
    host.sh(f"chmod o+w {ROOT}/modcache")
    assert refused(host, depot, 2)["code"] == "not_ours"
    host.sh(f"chmod o-w {ROOT}/modcache")
    require_right(host, depot, 2)


@pytest.mark.parametrize("name", ["generations", "modcache/example.com", "depot/blobs/sha256"])
def test_the_kernel_says_no(host: OfflineHost, depot: str, name: str) -> None:
    """Root that may not everything, as under SELinux: EACCES where the rights look good."""
    assert host.deploy(depot, 1).status == 0
    script = "#!/bin/sh\nexec setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all /usr/bin/python3 \"$@\"\n"
    pathlib.Path(host.outside("/usr/local/bin/python-less")).write_text(script)
    host.sh(f"chmod 0755 /usr/local/bin/python-less && chmod 0555 {ROOT}/{name}")
    failure = refused(host, depot, 2, user="root", host_vars={"ansible_python_interpreter": "/usr/local/bin/python-less"})
    assert name in failure["subject"] + failure["found"], failure
    host.sh(f"chmod 0755 {ROOT}/{name} && rm /usr/local/bin/python-less")
    require_right(host, depot, 2)


def test_two_deploys_at_once(host: OfflineHost, depot: str) -> None:
    assert host.deploy(depot, 1, goenv=goenv(0)).status == 0
    wishes = {number: goenv(number) for number in (1, 2)}
    runs = [host.begin(depot, number, goenv=wish) for number, wish in wishes.items()]
    done = [run.end() for run in runs]
    Truth(host).require_whole()
    ended = [entry for entry in done if entry.status == 0]
    for entry in done:
        if entry.status:
            assert entry.result["failure"]["code"] in ("locked", "changed_meanwhile", "truncated", "transfer_failed"), entry.output
    assert ended and state(host)[1] in wishes.values()
    require_right(host, depot, 2, goenv=goenv(2))


def test_users_work_on_while_it_is_switched(host: OfflineHost, depot: str) -> None:
    assert host.deploy(depot, 1, goenv=goenv(0)).status == 0
    loop = "n=0; while [ ! -e /tmp/enough ]; do go version >/tmp/said || { echo failed after $n; exit 1; }; n=$((n+1)); done; echo $n"
    host.sh("rm -f /tmp/enough /tmp/said")
    user = subprocess.Popen(["podman", "exec", "-u", "builder", host.name, "sh", "-c", loop], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until("the user works", lambda: host.sh("test -s /tmp/said", check=False).returncode == 0)
    for number in range(1, 7):
        assert host.deploy(depot, 1 + number % 2, goenv=goenv(number)).status == 0
    host.sh("touch /tmp/enough")
    said, _none = user.communicate(timeout=60)
    assert user.returncode == 0 and int(said) > 20, said
    host.sh("rm -f /tmp/enough /tmp/said")
