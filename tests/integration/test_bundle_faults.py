# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receiving and bundling under kills, full disks and as modules."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.tests.support.depots import killed_at, listing, prove_whole, times
from ansible_collections.airgap.golang.tests.support.receiving import make_bundle, receive, refused, run
from ansible_collections.airgap.golang.tests.support.small_depot import (
    PRINCIPAL,
    Composed,
    Composer,
    SmallSite,
    write_bundle,
)

COLLECTIONS = pathlib.Path(__file__).resolve().parents[2] / ".build"
MODULES = "ansible_collections.airgap.golang.plugins.modules"


# -- kills, full disks, memory


def settle(work: t.Callable[[], t.Any]) -> t.Any:
    """Do it as soon as what a kill left behind has let go of the lock."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return work()
        except AirgapError as exc:
            if exc.code != "locked" or time.monotonic() > deadline:
                raise
            threading.Event().wait(0.01)


def test_receiving_survives_a_kill_at_every_step(
    forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, remembered: None
) -> None:
    path = forge(10, files={"b.txt": b"b"}, source={"go.mod": b"module hello\n", "main.go": b"package main\n"})
    take = functools.partial(receive, path=path, allowed=small_site.allowed_signers)
    # Asked before the forks, so that each child finds ssh-keygen's answer.
    digest = take(depot, check=True).generation.digest
    old = prove_whole(depot)
    new = {**old, "000010": digest}
    step, seen = 0, set()
    while True:
        step += 1
        copy = Depot(str(shutil.copytree(depot.path, tmp_path / "copy", symlinks=True)))
        killed = killed_at(step, lambda: take(copy))  # noqa: B023
        found = prove_whole(copy)
        assert found in (old, new), step
        seen.add(len(found))
        killed_at(0, lambda: settle(lambda: take(copy)))  # noqa: B023
        assert prove_whole(copy) == new
        assert copy.is_current()
        assert json.loads((tmp_path / "copy" / "receipt.json").read_text())["generations"] == new
        untouched = times(tmp_path / "copy")
        assert not take(copy).changed
        assert times(tmp_path / "copy") == untouched
        shutil.rmtree(copy.path)
        if not killed:
            break
    assert (seen, step > 60) == ({len(old), len(new)}, True)


def start_module(name: str, **arguments: t.Any) -> subprocess.Popen[bytes]:
    """A module as Ansible runs it: a program that reads its arguments from stdin."""
    process = subprocess.Popen([sys.executable, "-m", f"{MODULES}.{name}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    process.stdin.close()
    process.stdin = None
    return process


def run_module(name: str, **arguments: t.Any) -> dict[str, t.Any]:
    out, err = start_module(name, **arguments).communicate(timeout=300)
    answer: dict[str, t.Any] = json.loads(out or b"{}")
    assert answer, err.decode()
    return answer


def big_file(directory: pathlib.Path, megabytes: int) -> pathlib.Path:
    path = directory / "big"
    with open(path, "wb") as stream:
        for _number in range(megabytes):
            stream.write(os.urandom(1 << 20))
    return path


def big_generation(composer: Composer, path: pathlib.Path, number: int) -> Composed:
    digest, size = hashlib.sha256(), path.stat().st_size
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    name = "sha256:" + digest.hexdigest()
    with composer.depot.locked():
        composer.depot.blobs.adopt(str(path), name, size, move=True)
    composer.edit_layers = lambda layers: layers.append(oci.Layer(name, size, oci.FILE_TYPE, "files/big", "file"))
    return composer.compose(number, [])


def test_a_real_kill_in_the_middle_of_a_blob(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path) -> None:
    composer = Composer(Depot(str(tmp_path / "big-depot")), tmp_path / "big-scratch")
    composed = big_generation(composer, big_file(tmp_path, 60), 10)
    path = write_bundle(composer.depot, composed.generation, tmp_path / "big.tar", str(small_site.key))
    arguments = {"depot": depot.path, "src": str(path), "allowed_signers": str(small_site.allowed_signers)}
    old = prove_whole(depot)
    staging, kills = pathlib.Path(depot.staging), 0
    for wanted in (1, 10 << 20, 30 << 20, 55 << 20):
        process = start_module("receive", **arguments)
        while process.poll() is None:
            size = 0
            for directory, _directories, names in os.walk(staging):
                with contextlib.suppress(FileNotFoundError):
                    size += sum(os.stat(os.path.join(directory, name)).st_size for name in names)
            if size >= wanted:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=60)
        if process.returncode == -signal.SIGKILL:
            kills += 1
            assert prove_whole(depot) == old
            assert list(staging.iterdir()) != []
        else:
            break
    assert kills > 0
    answer = settle(lambda: receive(depot, path, small_site.allowed_signers))
    assert answer.changed or kills < 4
    assert prove_whole(depot) == {**old, "000010": composed.generation.digest}
    assert list(staging.iterdir()) == []


@contextlib.contextmanager
def mounted(directory: pathlib.Path, megabytes: int) -> t.Iterator[t.Callable[[int], None]]:
    """A small file system at ``directory``; gives a function that changes its size."""
    directory.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory))
    try:
        yield lambda megabytes: t.cast(None, run("mount", "-o", f"remount,size={megabytes}m", str(directory)))
    finally:
        run("umount", str(directory))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    """Noticed before anything is written where the blobs don't fit; in the middle where the tree doesn't."""
    composer = Composer(Depot(str(tmp_path / "big-depot")), tmp_path / "big-scratch")
    source = {f"zeros-{number}": bytes(1 << 20) for number in range(8)}
    big = big_generation(composer, big_file(tmp_path, 4), 10)
    inflating = composer.compose(11, [], source=source)
    bundles = [write_bundle(composer.depot, one.generation, tmp_path / f"{one.generation.ref}.tar", str(small_site.key)) for one in (big, inflating)]
    with mounted(tmp_path / "disk", 3) as resize:
        depot = Depot(str(tmp_path / "disk" / "depot"))
        receive(depot, small_site.first_bundle, small_site.allowed_signers)
        old = prove_whole(depot)
        refusal = refused(depot, bundles[0], small_site.allowed_signers)
        assert (refusal.code, int(refusal.expected) > int(refusal.found)) == ("no_space", True)
        resize(9)
        receive(depot, bundles[0], small_site.allowed_signers)
        old = prove_whole(depot)
        before = listing(tmp_path / "disk")
        answer = run_module("receive", depot=depot.path, src=str(bundles[1]), allowed_signers=str(small_site.allowed_signers))
        assert (answer["failed"], answer["failure"]["code"]) == (True, "os_error")
        assert "make room" in answer["msg"]
        assert listing(tmp_path / "disk") == before
        assert prove_whole(depot) == old
        resize(30)
        assert receive(depot, bundles[1], small_site.allowed_signers).changed
        assert prove_whole(depot) == {**old, "000011": inflating.generation.digest}
        composer.admit(big)
        resize(15)
        for check in (True, False):
            with pytest.raises(AirgapError) as full:
                make_bundle(dataclasses.replace(small_site, depot=composer.depot), tmp_path / "disk" / "out", check=check)
            assert full.value.code == "no_space"
        assert not (tmp_path / "disk" / "out").exists()


MEASURED = """
import json, resource, runpy, sys
name = sys.argv.pop()
try:
    runpy.run_module(name, run_name="__main__")
finally:
    # getrusage's own figure of a process begins with what its parent had.
    with open("/proc/self/status") as stream:
        ours = next(int(line.split()[1]) for line in stream if line.startswith("VmHWM:"))
    peaks = [ours, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]
    print(json.dumps(peaks), file=sys.stderr)
"""


def test_memory_does_not_grow_with_the_bundle(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    composer = Composer(Depot(str(tmp_path / "big-depot")), tmp_path / "big-scratch")
    composed = big_generation(composer, big_file(tmp_path, 400), 10)
    composer.admit(composed)
    signed = {"signing_key": str(small_site.key), "dest": str(tmp_path / "big.tar")}
    taken = {"src": str(tmp_path / "big.tar"), "allowed_signers": str(small_site.allowed_signers)}
    for name, arguments in (("bundle", {"depot": composer.depot.path, **signed}), ("receive", {"depot": str(tmp_path / "offline"), **taken})):
        finished = subprocess.run(
            [sys.executable, "-c", MEASURED, f"{MODULES}.{name}"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode(),
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout
        assert json.loads(finished.stdout)["changed"]
        # In KiB, ours and that of the hungriest child.
        assert max(json.loads(finished.stderr.splitlines()[-1])) < 150 << 10
    assert (tmp_path / "big.tar").stat().st_size > 400 << 20
    assert os.stat(tmp_path / "offline" / "current" / "files" / "big").st_nlink == 2


# -- as modules

PLAYBOOK = """\
- name: Across the gap
  hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - name: What bundling would do
      airgap.golang.bundle: &bundle {depot: "{{ connected }}", dest: "{{ out }}/", signing_key: "{{ key }}", generation: 1}
      check_mode: true
      diff: true
      register: bundle_planned
    - name: Bundle
      airgap.golang.bundle: *bundle
      diff: true
      register: bundle_done
    - name: Bundle again
      airgap.golang.bundle: *bundle
      register: bundle_again
    - name: What receiving would do
      airgap.golang.receive: &receive {depot: "{{ offline }}", src: "{{ bundle_done.path }}", allowed_signers: "{{ allowed }}"}
      check_mode: true
      diff: true
      register: receive_planned
    - name: That nothing was done
      ansible.builtin.stat: {path: "{{ offline }}"}
      register: receive_untouched
    - name: Receive
      airgap.golang.receive: *receive
      diff: true
      register: receive_done
    - name: Receive again
      airgap.golang.receive: *receive
      register: receive_again
    - name: Refused
      block:
        - name: By nobody who may sign
          airgap.golang.receive: {depot: "{{ offline }}", src: "{{ bundle_done.path }}"}
      rescue:
        - name: Keep the results
          ansible.builtin.copy:
            dest: "{{ out }}/results.json"
            mode: "0600"
            content: >-
              {{ {"bundle": [bundle_planned, bundle_done, bundle_again], "receive": [receive_planned, receive_done, receive_again],
                  "untouched": not receive_untouched.stat.exists, "refused": ansible_failed_result} | to_json }}
"""


def test_the_modules_tell_the_truth_before_and_after(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    (tmp_path / "out").mkdir()
    variables = {
        "connected": small_site.depot.path,
        "offline": str(tmp_path / "offline"),
        "out": str(tmp_path / "out"),
        "key": str(small_site.key),
        "allowed": str(small_site.allowed_signers),
    }
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_HOME": str(tmp_path / "home")}
    finished = subprocess.run(
        [str(pathlib.Path(sys.executable).with_name("ansible-playbook")), "play.yml", "-e", json.dumps(variables)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    for planned, done, again in (results["bundle"], results["receive"]):
        assert (planned["changed"], done["changed"], again["changed"]) == (True, True, False)
        # Of a file that's there Ansible tells owner and mode as well.
        assert planned == {key: done[key] for key in planned}
        assert done["diff"]["before"] != done["diff"]["after"]
        assert again["generation"] == done["generation"] == small_site.first.summary()
    bundled, received = results["bundle"][1], results["receive"][1]
    assert (bundled["size"], bundled["signed"], bundled["carried"]) == (os.stat(bundled["path"]).st_size, True, 6)
    assert (received["signer"], received["new_blobs"]) == (PRINCIPAL, 6)
    assert received["diff"] == {"before": "", "after": "000001\n"}
    assert results["untouched"]
    assert (results["refused"]["failure"]["code"], results["refused"]["failed"]) == ("unsigned", True)
    assert prove_whole(Depot(str(tmp_path / "offline"))) == {"000001": small_site.first.digest}


def test_a_module_warns_of_what_it_took_on_trust(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    composer = Composer(Depot(str(tmp_path / "unsealed")), tmp_path / "scratch")
    composer.admit(composer.compose(1, [], sealed=False))
    leave = {"allow_unsigned": True, "allow_unsealed": True}
    bundled = run_module("bundle", depot=composer.depot.path, dest=str(tmp_path / "out"), **leave)
    assert [words in json.dumps(bundled["warnings"]) for words in ("NOT SIGNED", "NOT SEALED")] == [True, True]
    received = run_module("receive", depot=str(tmp_path / "offline"), src=bundled["path"], **leave)
    assert (received["changed"], received["signer"]) == (True, "")
    assert [words in json.dumps(received["warnings"]) for words in ("WAS NOT CHECKED", "NOT SEALED")] == [True, True]
