# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are full, kills, two at once, old Pythons, and the memory that a delivery takes."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.deployed_depot import playbook
from ansible_collections.airgap.golang.tests.support.deploying import DEPLOY, ROLLBACK, changed, directory, failure, variables
from ansible_collections.airgap.golang.tests.support.depots import held
from ansible_collections.airgap.golang.tests.support.mounts import in_mount_namespace, small_disk
from ansible_collections.airgap.golang.tests.support.small_generation import ALL_PARTS, bring, make_generation, probe, send


@pytest.mark.parametrize("options, what", [("size=1m", "bytes"), ("size=100m,nr_inodes=20", "inodes")])
def test_a_disk_that_is_too_small_is_refused_before_anything(work: pathlib.Path, options: str, what: str) -> None:
    depot = Depot(str(work / "depot"))
    files = {f"{number}.go": b"package big\n" for number in range(100)}
    make_generation(depot, 1, modules={("example.com/big", "v1.0.0"): {**files, "data": os.urandom(2 << 20)}})

    def scenario() -> None:
        with small_disk(work / "disk", options):
            root = work / "disk" / "root"
            for check in (("--check",), ()):
                ran = playbook(work / "ansible", "deploy", variables(work / "depot", root, deploy_link_dir=""), *check)
                why = failure(ran)
                assert why["code"] == "no_space" and why["subject"] == str(work / "disk")
                assert what in ran.results[DEPLOY]["msg"] and int(why["expected"]) > int(why["found"])
                assert os.listdir(work / "disk") == []

    in_mount_namespace(scenario)


@pytest.mark.parametrize("left", [0, 3 << 20, 10 << 20])
def test_a_disk_that_fills_up_in_the_middle(work: pathlib.Path, left: int) -> None:
    """``left``: how many bytes are free when the delivery has come: too few for its blobs, for what they unpack to, enough."""
    depot = Depot(str(work / "depot"))
    make_generation(depot, 1)
    make_generation(depot, 2, modules={("example.com/big", "v1.0.0"): {"data": os.urandom(1 << 20) + bytes(6 << 20)}})
    wish = Wish(ALL_PARTS, goenv="AR=1\n")

    def scenario() -> None:
        with small_disk(work / "disk", "size=40m"):
            host = Host(str(work / "disk" / "root"))
            bring(depot, host, wish, 1)
            before = host.current()
            plan = probe(depot, host, wish, 2)
            incoming, parts = send(depot, host, plan)
            filler = work / "disk" / "filler"
            found = os.statvfs(work / "disk")
            filler.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - left)))
            try:
                host.admit(plan, "", incoming, parts)
                ended = True
            except (AirgapError, OSError):
                ended = False
            assert ended == (left == 10 << 20), "the room that's left was meant to decide"
            if not ended:
                assert host.current() == before and "hello 1" in (work / "disk/root/current/projects/hello/main.go").read_text()
            filler.unlink()
            bring(depot, host, wish, 2)
            assert host.current().startswith("000002-") and not probe(depot, host, wish, 2).changed

    in_mount_namespace(scenario)


def waiting_for(condition: t.Callable[[], t.Any], process: subprocess.Popen[str]) -> t.Any:
    """What the condition gives, as soon as it gives something; an ended process will never make it true."""
    while True:
        ended = process.poll() is not None
        found = condition()
        if found:
            return found
        assert not ended, process.communicate()[0]
        time.sleep(0.01)


@pytest.fixture(scope="module")
def slow() -> t.Iterator[pathlib.Path]:
    """A depot whose second generation takes seconds to unpack: thousands of files."""
    path = directory("slow")
    depot = Depot(str(path))
    make_generation(depot, 1)
    files = {f"{number}.go": b"package many\n" for number in range(3000)}
    make_generation(depot, 2, modules={("example.com/many", f"v1.{number}.0"): files for number in range(3)})
    yield path
    remove_tree(str(path))


def start(work: pathlib.Path, depot: pathlib.Path, root: pathlib.Path, connection: str = "local") -> subprocess.Popen[str]:
    """A deploy that was begun."""
    program = (
        "import pathlib, sys\n"
        "from ansible_collections.airgap.golang.tests.support.deployed_depot import playbook\n"
        "ran = playbook(pathlib.Path(sys.argv[1]), 'deploy', {'airgap_golang_depot': sys.argv[2], 'airgap_golang_root': sys.argv[3],\n"
        "    'deploy_become': False, 'deploy_link_dir': '', 'deploy_tools_dir': sys.argv[3] + '-tools'},\n"
        "    host_vars={'ansible_connection': sys.argv[4]})\n"
        "print(ran.output); sys.exit(ran.status)\n"
    )
    argv = [sys.executable, "-c", program, str(work), str(depot), str(root), connection]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_all(mark: str) -> int:
    """Kill every process that has this in its environment; how many there were."""
    killed = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mark.encode() in pathlib.Path("/proc", pid, "environ").read_bytes():
                os.kill(int(pid), signal.SIGKILL)
                killed += 1
    return killed


def test_the_control_node_is_killed_while_it_sends(work: pathlib.Path) -> None:
    """The next run sends the rest alone, in figures."""
    depot, root = Depot(str(work / "depot")), work / "root"
    make_generation(depot, 1, modules={(f"example.com/big{number}", "v1.0.0"): {"data": os.urandom(5 << 20)} for number in range(4)})
    sizes = {path.name: path.stat().st_size for path in (work / "depot" / "blobs" / "sha256").iterdir()}

    def arrived() -> dict[str, int]:
        """The large blobs that are there whole, and how many bytes."""
        found = {path.name: path.stat().st_size for path in (root / "depot" / "staging").glob("incoming/*/*") if path.name in sizes}
        return {name: size for name, size in found.items() if size == sizes[name]}

    process = start(work / "ansible", work / "depot", root, "slow")
    waiting_for(lambda: len(arrived()) >= 2, process)
    # Ansible's workers have sessions of their own.
    while kill_all(f"RESULTS_OF={work}/"):
        pass
    process.wait()
    came = arrived()
    assert 2 <= len(came) < 4 and not (root / "current").is_symlink()
    checked = playbook(work / "ansible", "deploy", variables(work / "depot", root), "--check").results[DEPLOY]
    ran = playbook(work / "ansible", "deploy", variables(work / "depot", root))
    assert changed(ran) == 2
    small = checked["transferred"] - sum(size for size in sizes.values() if size > 5 << 20)
    assert 0 < small < 1 << 20, "packs come first, so they were whole too"
    assert ran.results[DEPLOY]["transferred"] == checked["transferred"] - sum(came.values()) - small
    assert os.listdir(root / "depot" / "staging") == [] and not list((work / "ansible" / "ansible" / "tmp").glob("*/airgap-golang-delivery"))


def test_the_module_is_killed_while_it_unpacks(slow: pathlib.Path, work: pathlib.Path) -> None:
    root = work / "root"
    assert changed(playbook(work / "ansible", "deploy", variables(slow, root, deploy_generation=1, deploy_link_dir=""))) == 2
    first = os.readlink(root / "current")
    process = start(work / "ansible", slow, root)
    waiting_for(lambda: list((root / "modcache" / "cache" / "airgap" / "staging").glob("*/*.go")), process)
    # The lock's holder is the module.
    holder = int((root / "depot" / ".lock").read_text())
    assert os.getpgid(holder) != os.getpgid(0)
    os.kill(holder, signal.SIGKILL)
    output = process.communicate()[0]
    assert process.returncode != 0 and "failed=1" in output, output
    host = Host(str(root))
    assert os.readlink(root / "current") == first and held(host.cache.root)
    for path, version in held(host.cache.root):
        mark = pathlib.Path(host.cache.root, "cache", "download", path, "@v", f"{version}.ziphash")
        if mark.exists() and path == "example.com/many":
            assert len(os.listdir(host.cache.directory(path, version))) == 3000
    ran = playbook(work / "ansible", "deploy", variables(slow, root, deploy_link_dir=""))
    assert changed(ran) == 2 and ran.results[DEPLOY]["transferred"] == 0, "what had been proved was sent again"
    for number in range(3):
        assert len(os.listdir(host.cache.directory("example.com/many", f"v1.{number}.0"))) == 3000
    assert os.readlink(root / "current").startswith("generations/000002-")


def test_the_second_of_two_is_refused_by_the_lock(slow: pathlib.Path, work: pathlib.Path) -> None:
    root = work / "root"
    process = start(work / "first", slow, root)
    waiting_for(lambda: list((root / "modcache" / "cache" / "airgap" / "staging").glob("*/*.go")), process)
    holder = int((root / "depot" / ".lock").read_text())
    os.kill(holder, signal.SIGSTOP)
    try:
        ran = playbook(work / "second", "deploy", variables(slow, root, deploy_link_dir=""))
    finally:
        os.kill(holder, signal.SIGCONT)
    why = failure(ran)
    assert (why["code"], why["subject"], why["found"]) == ("locked", str(root / "depot"), str(holder))
    output = process.communicate()[0]
    assert process.returncode == 0 and "changed=2" in output, output
    assert changed(playbook(work / "second", "deploy", variables(slow, root, deploy_link_dir=""))) == 0


def pythons() -> list[str]:
    """Interpreters of hosts: the system's, and 3.8 where there is one."""
    versions = pathlib.Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv")), "versions")
    found: dict[str, str] = {}
    for path in ["/usr/bin/python3", *map(str, versions.glob("3.8.*/bin/python3.8")), shutil.which("python3.8") or ""]:
        if not os.access(path, os.X_OK):
            continue
        told = subprocess.run([path, "-c", "import sys; print(sys.version_info[:2])"], stdout=subprocess.PIPE, text=True, check=False)
        if told.returncode == 0:
            found.setdefault(told.stdout, path)
    return list(found.values())


@pytest.mark.parametrize("python", pythons())
def test_with_the_hosts_own_python(small: pathlib.Path, work: pathlib.Path, python: str) -> None:
    bring = {"depot": str(small), "root": str(work / "root"), "link_dir": str(work / "bin")}
    numbers = (1, 1, 2, 2)
    tasks: list[dict[str, t.Any]] = [{"name": f"Deploy {number}", "airgap.golang.deploy": {**bring, "generation": number}} for number in numbers]
    tasks.append({"name": "Check", "airgap.golang.build_check": {"root": bring["root"]}})
    tasks.append({"name": ROLLBACK, "airgap.golang.generation": {"root": bring["root"], "state": "previous"}})
    ran = playbook(work / "ansible", tasks, {}, host_vars={"ansible_python_interpreter": python})
    assert changed(ran) == 4
    assert os.readlink(work / "root" / "current").startswith("generations/000001-")


def test_memory_does_not_grow_with_the_delivery(work: pathlib.Path) -> None:
    """The module's peak, by an interpreter that notes what its child has used; 200 MB come."""
    depot = Depot(str(work / "depot"))
    blobs = {("example.com/big", f"v1.{number}.0"): {"data": os.urandom(100 << 20)} for number in range(2)}
    make_generation(depot, 1, modules=blobs)
    del blobs
    wrapper = work / "python"
    peaks = work / "peaks"
    wrapper.write_text(
        f"#!{sys.executable}\nimport os, resource, subprocess, sys\n"
        f"status = subprocess.call([{sys.executable!r}, *sys.argv[1:]])\n"
        f"open({str(peaks)!r}, 'a').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) + '\\n')\nsys.exit(status)\n"
    )
    wrapper.chmod(0o755)
    ran = playbook(work / "ansible", "deploy", variables(work / "depot", work / "root"), host_vars={"ansible_python_interpreter": str(wrapper)})
    assert changed(ran) == 2 and ran.results[DEPLOY]["transferred"] > 200 << 20
    kilobytes = [int(line) for line in peaks.read_text().split()]
    assert len(kilobytes) >= 2 and max(kilobytes) <= 150_000, kilobytes
