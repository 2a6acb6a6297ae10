# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gather is killed, at any moment: nothing half-made can be seen, its helpers are gone, and the next one finishes the work."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.tests.support.gathering import UUID, Site, check_tree, make_spec, path_project
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy
from ansible_collections.airgap.golang.tests.support.private_git import make_plant

LAST_ZIP = "/github.com/google/uuid/@v/v1.6.0.zip"


class Moment(t.NamedTuple):
    """When to kill: when the proxy holds back the answer to this request, and a file (a glob below the depot) has come to be."""

    file: str
    request: str = ""


MOMENTS = {
    "fetch": Moment("staging/fetch/tree/proxy/golang.org/toolchain/@v/*.zip", LAST_ZIP),
    "snapshot": Moment("staging/.gather.*/sumdb", "/sumdb/sum.golang.org/tile/"),
    "probe": Moment("staging/.gather.*/online/modcache/github.com"),
    "blobs": Moment("blobs/sha256/*"),
    "tree": Moment("trees/*"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_gather_leaves_nothing_and_the_next_one_finishes(connected: Site, tmp_path: pathlib.Path, moment: str) -> None:
    depot = connected.depot()
    builds = [{"package": "./cmd/plantctl", "output": "bin/plantctl"}]
    parts = {"projects": [path_project(make_plant(tmp_path / "plant"), builds=builds)], "modules": [UUID]}
    file, request = MOMENTS[moment]
    reached, killed = threading.Event(), threading.Event()

    def hold_back(path: str) -> None:
        # Toolchains have records too, and are verified before there is a tree.
        if request and path.startswith(request) and not killed.is_set() and (path == LAST_ZIP or exists(depot, file)):
            reached.set()
            killed.wait(60)

    with ModuleProxy(connected.directory / "answers") as proxy:
        proxy.on_request = hold_back
        process = connected.start(depot, parts, goproxy=proxy.url)
        while process.poll() is None and not (exists(depot, file) and (reached.is_set() or not request)):
            time.sleep(0.001)
        process.kill()
        _out, said = process.communicate()
        killed.set()
        assert process.returncode == -9, said
        # From a tree's name to the index it's milliseconds, so that the kill may come when all was done.
        was_done = moment == "tree" and depot.index() != {}
        assert was_done or (depot.index() == {} and not os.path.lexists(os.path.join(depot.path, "current")))
        wait_for_helpers(depot)
        staged = {path.name for path in pathlib.Path(depot.path).rglob("*.zip")}
        proxy.asked.clear()
        outcome = connected.gather(depot, make_spec(**parts), goproxy=proxy.url)
        assert outcome.changed is not was_done and outcome.generation and outcome.generation.ref.number == 1
        assert not staged & {os.path.basename(path) for path in proxy.zips()}
        assert proxy.zips() == ([LAST_ZIP] if moment == "fetch" else [])
    check_tree(os.path.join(depot.path, "current"))
    assert os.listdir(depot.staging) in ([], ["fetch"] if was_done else []) and os.listdir(os.path.join(depot.path, "trees")) == ["000001-unsealed"]
    # A line is written before what it tells of: of the one that was killed it may stand there, and nothing else.
    assert [entry["generation"] for entry in depot.audit.entries()] in (["000001-unsealed"], ["000001-unsealed"] * (2 if moment == "tree" else 1))


def test_a_killed_rehearsal_leaves_the_generation_as_it_was_and_the_next_one_seals_it(connected: Site, tmp_path: pathlib.Path) -> None:
    depot = connected.depot()
    connected.gather(depot, make_spec(projects=[path_project(make_plant(tmp_path / "plant"))]))
    index = pathlib.Path(depot.path, "index.json").read_bytes()
    for moment in ("staging/.rehearse.*/offline/modcache/github.com", "staging/.rehearse.*/builds/plant"):
        argv = [sys.executable, "-m", "ansible_collections.airgap.golang.plugins.modules.rehearse"]
        process = subprocess.Popen(argv, env=connected.shell(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin
        json.dump({"ANSIBLE_MODULE_ARGS": {"depot": depot.path, "_ansible_remote_tmp": str(tmp_path)}}, process.stdin)
        process.stdin.close()
        while process.poll() is None and not exists(depot, moment):
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert process.returncode == -9 and pathlib.Path(depot.path, "index.json").read_bytes() == index
        wait_for_helpers(depot)
    assert connected.rehearse(depot).changed
    check_tree(os.path.join(depot.path, "current"))
    assert os.listdir(depot.staging) == [] and os.listdir(os.path.join(depot.path, "trees")) == ["000001"]


def exists(depot: Depot, pattern: str) -> bool:
    return any(pathlib.Path(depot.path).glob(pattern))


def wait_for_helpers(depot: Depot) -> None:
    """Whoever still has the depot's lock file open holds up the next gather."""
    lock = os.path.realpath(os.path.join(depot.path, ".lock"))
    end = time.monotonic() + 30
    while time.monotonic() < end and any(holds(pid, lock) for pid in filter(str.isdigit, os.listdir("/proc"))):
        time.sleep(0.01)
    assert not any(holds(pid, lock) for pid in filter(str.isdigit, os.listdir("/proc"))), "a helper outlives its gather and keeps the depot locked"


def holds(pid: str, path: str) -> bool:
    try:
        return any(os.path.realpath(f"/proc/{pid}/fd/{number}") == path for number in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def test_what_a_killed_gather_fetched_is_carried_like_what_comes_now(connected: Site) -> None:
    """Also what nobody but the go command asks for: it must not read past us what is lying there."""
    spec = make_spec(modules=["rsc.io/quote@v1.5.2"])
    first, second = connected.depot(), connected.depot()
    whole = connected.gather(first, spec).generation
    shutil.copytree(os.path.join(first.tree(Ref(1, False)), "proxy"), os.path.join(second.staging, "fetch", "tree", "proxy"))
    outcome = connected.gather(second, spec)
    assert whole and outcome.generation and outcome.fetched["files"] == 0
    assert outcome.generation.config["modules"] == whole.config["modules"]
    check_tree(os.path.join(second.path, "current"))
