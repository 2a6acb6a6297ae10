# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How ROOT comes to be, and who may write there."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import stat
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import generation, modcache, uninstall
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import HostRefused
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._host.place import Place, require_writable
from ansible_collections.airgap.golang.plugins.module_utils._host.switch import rollback_diff, rollback_target, switch_to
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.looking import snapshot
from ansible_collections.airgap.golang.tests.support.small_generation import ALL_PARTS, bring, make_generation, probe

WISH = Wish(ALL_PARTS, goenv="AR=1\n")


def lock_once_all_are_here(root: str, here: multiprocessing.synchronize.Barrier) -> None:
    here.wait(30)
    with Place(root).locked():
        pass


def test_roots_with_one_new_parent_come_at_once(work: pathlib.Path) -> None:
    for number in range(25):
        here = multiprocessing.Barrier(4)
        roots = [work / f"new{number}" / "below" / f"root{each}" for each in range(4)]
        processes = [multiprocessing.Process(target=lock_once_all_are_here, args=(str(root), here)) for root in roots]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0, 0, 0]
        assert all(root.is_dir() for root in roots)
        made = sorted(path for root in roots for path in Place(str(root)).made())
        # Whatever is new is noted by exactly one of them, each ROOT by its own.
        assert set(map(str, roots)) <= set(made)
    assert [name for name in os.listdir(work) if name.endswith(".tmp")] == []


@pytest.mark.parametrize("mode, who", [(0o777, "everybody"), (0o775, "its group")])
@pytest.mark.parametrize("name", ["", "depot", "modcache", "generations"])
def test_what_others_can_write_is_refused(work: pathlib.Path, name: str, mode: int, who: str) -> None:
    root = work / "root"
    (root / name).mkdir(parents=True)
    place = Place(str(root))
    place.require_own()
    path = root / name
    path.chmod(mode)
    with pytest.raises(HostRefused, match=f"can be written by {who}") as refused:
        place.require_own()
    assert (refused.value.code, refused.value.subject) == ("not_ours", str(path))
    path.chmod(0o755)
    if name:
        # A link among our own directories; ROOT itself may be one, if it's the administrator's.
        path.rename(work / "elsewhere")
        path.symlink_to(work / "elsewhere")
        with pytest.raises(HostRefused, match="is a link"):
            place.require_own()
    elif os.geteuid() == 0:
        os.chown(path, 12345, 12345)
        with pytest.raises(HostRefused, match="belongs to 12345"):
            place.require_own()
    assert stat.S_ISDIR(os.stat(path).st_mode)


def mended(host: Host) -> dict[str, t.Any]:
    given = {"state": "repaired", "root": host.root, "what": ["modcache"], "generations": "active", "gosum": [], "vendor": [], "fail_on_findings": False}
    absent = dict.fromkeys(("depot", "path", "report", "request"))
    return modcache.run(modcache.Options.of({**given, **absent, "workers": 1, "trace_id": ""}), check_mode=False)


@pytest.mark.parametrize("name", ["", "depot"])
@pytest.mark.parametrize("how", ["of another account", "for a group"])
def test_each_verb_leaves_what_others_can_change_alone(work: pathlib.Path, how: str, name: str) -> None:
    if how == "of another account" and os.geteuid() != 0:
        pytest.skip("only root can give directories away")
    depot, host = Depot(str(work / "depot")), Host(str(work / "root"))
    for number in (1, 2, 3):
        make_generation(depot, number)
    for number in (1, 2):
        bring(depot, host, WISH, number)
    loose = pathlib.Path(host.root, "modcache", "example.com", "loose@v1.0.0", "loose.go")
    loose.chmod(0o644)
    loose.write_text("worse")
    first, second = rollback_target(host, 1), host.current()
    path = os.path.join(host.root, name) if name else host.root
    if how == "of another account":
        os.chown(path, 12345, 12345)
    else:
        os.chmod(path, 0o775)
    before = snapshot(str(work))
    attempts: dict[str, t.Callable[[], t.Any]] = {
        "deploy": lambda: probe(depot, host, WISH, 3),
        "roll back": lambda: switch_to(host, first, second, ""),
        "roll back, in check mode": lambda: rollback_diff(host, first),
        "prune": lambda: generation.pruned(host, 1, "", check_mode=False),
        "prune, in check mode": lambda: generation.pruned(host, 1, "", check_mode=True),
        "uninstall": lambda: uninstall.plan(host, ["toolchain"]),
        "uninstall all": lambda: uninstall.plan(host, ALL_PARTS),
        "repair": lambda: mended(host),
        "open a delivery": lambda: host.open_incoming("", depot.generation(max(depot.index()))),
    }
    for verb, attempt in attempts.items():
        with pytest.raises(HostRefused) as refused:
            attempt()
        assert (refused.value.code, refused.value.subject) == ("not_ours", path), verb
        assert snapshot(str(work)) == before, verb
    os.chown(path, os.geteuid(), os.getegid())
    os.chmod(path, 0o755)
    assert mended(host)["changed"] and loose.read_text() != "worse"


class Module:
    """As far as answers go by it."""

    params: t.Mapping[str, t.Any] = {}

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn:
        raise AssertionError(msg, kwargs)


def test_what_a_deploy_makes_the_next_one_takes(work: pathlib.Path) -> None:
    """Of an account too whose files its group may write by default, in a home directory that the group may write."""
    depot, host = Depot(str(work / "depot")), Host(str(work / "home" / "root"))
    for number in (1, 2):
        make_generation(depot, number)
    (work / "home").mkdir()
    (work / "home").chmod(0o2775)
    before = os.umask(0o002)
    try:
        for number in (1, 2):
            with failing(Module()):
                bring(depot, host, WISH, number)
            os.umask(0o002)
    finally:
        os.umask(before)
    assert host.current().startswith("000002-")


def refuse_without_a_name(uid: int) -> None:
    os.setuid(uid)
    with pytest.raises(HostRefused) as refused:
        require_writable("/usr", "another root")
    assert refused.value.found == str(uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an account that has no entry")
def test_an_account_without_an_entry_is_called_by_its_number() -> None:
    process = multiprocessing.Process(target=refuse_without_a_name, args=(12345,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
