# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs that hosts share on the control node, and deliveries that break off: what has come whole doesn't come again."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pathlib
import pwd
import shutil
import threading
import types
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import accept, deliver
from ansible_collections.airgap.golang.plugins.module_utils._base import ustar
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import DepotDamaged, HostRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot import incoming as receiving
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.incoming import PACK, largest_part
from ansible_collections.airgap.golang.plugins.module_utils.host import Host
from ansible_collections.airgap.golang.tests.support.bad_disk import UNREADABLE
from ansible_collections.airgap.golang.tests.support.small_generation import ALL_PARTS, make_generation

WISH = Wish(ALL_PARTS, goenv="GOFLAGS=-mod=mod\n")
NOBODY = pwd.getpwnam("nobody")


class Cut(Exception):
    """The line is dead."""


class Site:
    """A depot, a host, and a line between them."""

    def __init__(self, top: pathlib.Path) -> None:
        self.depot = Depot(str(top / "depot"))
        make_generation(self.depot, 1, modules={(f"example.com/m{number}", "v1.0.0"): {"a.go": os.urandom(5000)} for number in range(6)})
        self.host = Host(str(top / "root"))
        self.packs = deliver.Packs(str(top / "packs"))

    def ask(self, step: str = "probe", incoming: str = "", parts: int = 0) -> dict[str, t.Any]:
        request = deliver.with_documents(*deliver.offer(self.depot.path, None))
        asked = receiving.Request(step, request.ref, request.digest, request.manifest, request.config, "", incoming, parts)
        return accept.answer(self.host, asked, WISH, accept.Way(), 0, False, "7" * 32)

    def send(self, told: t.Mapping[str, t.Any], cut_after: int = -1) -> int:
        """:param cut_after: after so many parts the line is cut."""
        sent: list[str] = []

        def put(path: str, name: str) -> None:
            if len(sent) == cut_after:
                raise Cut
            sent.append(name)
            shutil.copyfile(path, os.path.join(told["incoming"], name))

        return deliver.Sender(put, Reporter().stage("deliver"), self.packs).send(self.depot, told["missing"])

    def finish(self, told: t.Mapping[str, t.Any]) -> None:
        self.ask("admit", told["incoming"], self.send(told))
        assert self.host.current().startswith("000001-") and os.listdir(self.host.depot.staging) == []


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "ALONE", 0)


def foreign(path: str) -> None:
    """Let it belong to another account, as with become."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)


# -- what breaks off


@pytest.mark.parametrize("mine", [True, False])
def test_after_part_k_of_n_the_rest_is_sent(site: Site, alone: None, mine: bool) -> None:
    told = site.ask()
    count = len(told["missing"])
    with pytest.raises(Cut):
        site.send(told, cut_after=4)
    came = os.listdir(told["incoming"])
    assert len(came) == 4 < count
    if not mine:
        for name in came:
            foreign(os.path.join(told["incoming"], name))
    again = site.ask()
    assert set(again["missing"]) == set(told["missing"]) - {"sha256:" + name for name in came}
    assert again["transferred"] == told["transferred"] - sum(told["missing"]["sha256:" + name] for name in came)
    assert again["incoming"] != told["incoming"] and not os.path.exists(told["incoming"])
    site.finish(again)


def test_of_a_pack_that_broke_off_the_whole_blobs_are_kept(site: Site) -> None:
    told = site.ask()
    assert site.send(told) == 1
    (name,) = os.listdir(told["incoming"])
    path = os.path.join(told["incoming"], name)
    with open(path, "rb") as stream:
        sizes = {member.name: member.size for member in ustar.members(stream, "it")}
    *whole, last = sizes
    os.truncate(path, sum(512 + size + -size % 512 for size in sizes.values()) - -sizes[last] % 512 - 1)
    again = site.ask()
    assert set(again["missing"]) == {"sha256:" + last} and whole
    site.finish(again)


def test_of_an_admission_that_was_killed_the_proved_blobs_are_kept(site: Site, alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose parts are used up already: they wait in ``arriving``."""
    told = site.ask()
    parts = site.send(told)
    monkeypatch.setattr(receiving, "sync_filesystem", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        site.ask("admit", told["incoming"], parts)
    monkeypatch.undo()
    assert os.listdir(told["incoming"]) == []
    again = site.ask()
    assert "missing" not in again and again["transferred"] == 0 and site.host.current().startswith("000001-")


def test_what_is_wrong_or_strange_is_not_salvaged(site: Site, alone: None) -> None:
    told = site.ask()
    secret = os.path.join(os.path.dirname(site.host.root), "secret")
    sizes = sorted(told["missing"].items(), key=lambda entry: entry[1])
    site.send(told)
    paths = [os.path.join(told["incoming"], digest[7:]) for digest, _size in sizes]
    flipped, linked, fifo, directory, doubled, *_others = paths
    with open(flipped, "r+b") as stream:
        stream.write(b"?")
    shutil.move(linked, secret)
    os.symlink(secret, linked)
    os.unlink(fifo)
    os.mkfifo(fifo)
    os.unlink(directory)
    os.mkdir(directory)
    with open(doubled, "ab") as stream:
        stream.write(b"more")
    pathlib.Path(told["incoming"], "pack-" + "0" * 16).write_bytes(b"no tar")
    pathlib.Path(told["incoming"], "odd").write_bytes(b"odd")
    again = site.ask()
    assert set(again["missing"]) == {"sha256:" + os.path.basename(path) for path in (flipped, linked, fifo, directory, doubled)}
    assert os.path.exists(secret)
    site.finish(again)


def test_what_the_disk_has_lost_of_what_came_stands_in_no_delivery_s_way(site: Site) -> None:
    arriving = receiving.open_arriving(site.host.depot)
    os.symlink(UNREADABLE, os.path.join(arriving, "0" * 64))
    receiving.salvage(site.host.depot, {"sha256:" + "0" * 64: os.stat(UNREADABLE).st_size})
    assert os.listdir(arriving) == []
    site.finish(site.ask())


def test_check_mode_salvages_nothing(site: Site, alone: None) -> None:
    told = site.ask()
    site.send(told)
    request = deliver.with_documents(*deliver.offer(site.depot.path, None))
    accept.answer(site.host, request, WISH, accept.Way(), 0, True, "")
    assert len(os.listdir(told["incoming"])) == len(told["missing"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_part_of_somebody_elses_is_copied_before_it_is_trusted(site: Site, alone: None) -> None:
    """Whoever owns it can still write to it."""
    told = site.ask()
    parts = site.send(told)
    open_files = {}
    for name in os.listdir(told["incoming"]):
        foreign(os.path.join(told["incoming"], name))
        open_files[name] = open(os.path.join(told["incoming"], name), "r+b")  # noqa: SIM115 - closed below
    site.ask("admit", told["incoming"], parts)
    for stream in open_files.values():
        stream.write(b"changed")
        stream.close()
    for digest in told["missing"]:
        for _chunk in site.host.depot.blobs.chunks(digest):
            continue


# -- room


def test_the_room_for_parts_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = site.host.plan(site.depot.latest(), WISH)  # type: ignore[arg-type]
    # Of which nothing needs to be unpacked.
    plan = dataclasses.replace(plan, bytes=sum(plan.missing.values()))
    enough = 2 * plan.bytes + plan.inodes * 4096 // 2

    def free(size: int) -> None:
        monkeypatch.setattr(os, "statvfs", lambda path: types.SimpleNamespace(f_frsize=4096, f_bavail=size / 4096, f_files=0, f_favail=0))

    free(enough)
    site.host.check_place(plan)
    free(enough - 1)
    with pytest.raises(HostRefused) as refusal:
        site.host.check_place(plan)
    assert refusal.value.code == "no_space" and refusal.value.expected == str(enough)


def test_the_largest_part() -> None:
    assert largest_part({"a": 5, "b": 7}) == 12
    assert largest_part({"a": PACK, "b": 7}) == PACK
    assert largest_part({"a": 3 * PACK, "b": PACK}) == 3 * PACK
    assert largest_part({}) == 0


# -- packs


def test_parts_are_as_full_as_they_may_be() -> None:
    sizes = {"sha256:" + f"{number:064x}": size for number, size in enumerate([deliver.ALONE - 1] * 9 + [deliver.ALONE, 1])}
    parts = deliver.parts_of(sizes)
    assert [sum(sizes[digest] for digest in part) for part in parts] == [8 * (deliver.ALONE - 1), deliver.ALONE, deliver.ALONE]
    assert sorted(digest for part in parts for digest in part) == sorted(sizes)


def test_hosts_with_one_need_share_one_pack(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    told = site.ask()
    writes = []
    write = deliver.Packs._write
    monkeypatch.setattr(deliver.Packs, "_write", lambda self, *arguments: (writes.append(1), write(self, *arguments)))
    meeting = threading.Barrier(4, timeout=30)
    late = threading.local()
    flock = fcntl.flock
    seen = set()

    def all_look_at_once(lock: t.Any, how: int) -> None:
        """Each finds that there is none before anybody makes it."""
        flock(lock, how)
        if how == fcntl.LOCK_SH and not hasattr(late, "looked"):
            late.looked = True
            meeting.wait()

    monkeypatch.setattr(fcntl, "flock", all_look_at_once)

    def host() -> None:
        with deliver.Packs(site.packs.directory).held(site.depot, told["missing"]) as path:
            meeting.wait()
            seen.add((path, os.stat(path).st_ino))

    threads = [threading.Thread(target=host) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1 and len(writes) == 1


def test_packs_take_bounded_room_and_none_goes_while_it_is_sent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "KEPT_PACKS", 2)
    missing = list(site.ask()["missing"].items())
    needs = [dict(missing[number : number + 2]) for number in range(5)]

    def there() -> list[str]:
        return [name for name in os.listdir(site.packs.directory) if not name.endswith(".lock")]

    with site.packs.held(site.depot, needs[0]) as first:
        for need in needs[1:]:
            with site.packs.held(site.depot, need):
                assert os.path.exists(first) and len(there()) <= 2
    assert len(there()) == 2


def test_a_damaged_blob_of_ours_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    told = site.ask()
    victim = next(iter(told["missing"]))
    path = site.depot.blobs.path(victim)
    os.chmod(path, 0o644)
    with open(path, "r+b") as stream:
        stream.write(b"?")
    with pytest.raises(DepotDamaged) as refusal:
        site.send(told)
    assert refusal.value.subject == victim and [name for name in os.listdir(site.packs.directory) if not name.endswith(".lock")] == []
    monkeypatch.setattr(deliver, "ALONE", 0)
    site.send(told)
    with pytest.raises(DepotDamaged) as refusal:
        deliver.blame(site.depot, told["missing"])
    assert refusal.value.subject == victim
    os.unlink(path)
    with pytest.raises(DepotDamaged, match="1 blobs that the host lacks"):
        site.send(told)
