# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kit: this collection, ansible-core's wheels, and a program that makes a control node of them where there never was a network.

    files/kit/
      install                              python3 install: the program (see control_node.py), a zip of this collection's own code
      kit.json                             what is here, with every hash; the program goes by it
      requirements-3.11-linux-amd64.txt    what pip installs for this Python on this platform, with hashes
      wheels/*.whl
      airgap-golang-0.1.0.tar.gz           the collection

Each of them is a resource like any other, so that depots, bundles and locks need to know nothing more.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from .._base.errors import AirgapError, ModuleRefused
from .._base.files import sha256_of, write_atomically
from .._depot.bundle import INSTALLER, KIT_PLACE
from .._depot.manifest import canonical
from .._go.estimate import Expected
from . import collection
from .lock import Lock
from .resources import Held, Resource
from .spec import CarriedFile, Kit
from .specreader import KIT_DEST
from .wheels import Target, Wheel, download, is_name, resolve

SCHEMA = 1
DOCUMENT = "kit.json"


@dataclasses.dataclass
class Prepared:
    """A kit as the spec means it now. ``resources``: its files by dest; wheels that the lock pins aren't there before ``fetch``.

    ``pins``: for the lock, what each target's ansible-core comes to.
    """

    directory: str
    wheels: dict[Target, list[Wheel]]
    resources: dict[str, Resource]
    pins: dict[str, str]

    def fetch(self, held: Held) -> Expected:
        """Get the wheels that aren't held; what can't be had becomes its resource's failure, to be told with all others'."""
        expected = self.expected(held)
        for target, wheels in self.wheels.items():
            absent = [wheel for wheel in wheels if self._is_new(wheel, held) and not os.path.exists(self._path(wheel))]
            if not absent:
                continue
            try:
                download(absent, target, os.path.join(self.directory, "wheels"))
            except AirgapError as exc:
                # One of them says it for all.
                failed = [self.resources.pop(_dest(f"wheels/{wheel.file}")) for wheel in absent][0]
                self.resources[failed.file.dest] = dataclasses.replace(failed, failure=exc)
        return expected if expected.complete else self.expected(held)

    def expected(self, held: Held) -> Expected:
        """What ``fetch`` would get. Of what the lock pins, the size isn't known before."""
        new = {self._path(wheel) for wheels in self.wheels.values() for wheel in wheels if self._is_new(wheel, held)}
        there = [path for path in new if os.path.exists(path)]
        return Expected(len(new), sum(os.stat(path).st_size for path in there), len(new) == len(there))

    def _is_new(self, wheel: Wheel, held: Held) -> bool:
        resource = self.resources.get(_dest(f"wheels/{wheel.file}"))
        return resource is not None and held(resource) is None

    def _path(self, wheel: Wheel) -> str:
        return os.path.join(self.directory, "wheels", wheel.file)


def prepare(kit: Kit, directory: str, lock: t.Optional[Lock], frozen: bool = False, upgrade: bool = False) -> Prepared:
    """Decide what the kit is made of: by the lock's pins, else by asking pip. Where all is pinned, no network is needed.

    :param directory: a scratch directory, in which its small files are made.
    :raises ModuleRefused: ``lock_frozen``: the lock doesn't pin it, and frozen.
    :raises FetchFailed, SpecInvalid, ToolMissing: as their names say.
    """
    os.makedirs(os.path.join(directory, "wheels"), exist_ok=True)
    wheels: dict[Target, list[Wheel]] = {}
    pins: dict[str, str] = {}
    for target in [Target(python, platform) for platform in kit.platforms for python in kit.pythons]:
        pin = f"kit ansible-core{kit.ansible_core} for {target}"
        pinned = None if upgrade or lock is None else _pinned(lock, pin)
        if pinned is None and frozen:
            raise _unpinned(pin)
        wheels[target] = resolve([f"ansible-core{kit.ansible_core}", "pip"], target, os.path.join(directory, "wheels")) if pinned is None else pinned
        pins[pin] = " ".join(wheel.file for wheel in wheels[target])
    resources: dict[str, Resource] = {}
    for wheel in sorted({wheel for chosen in wheels.values() for wheel in chosen}):
        _add(resources, os.path.join(directory, "wheels", wheel.file), f"wheels/{wheel.file}", wheel.sha256)
    _add_own_files(resources, directory, kit, wheels)
    return Prepared(directory, wheels, resources, pins)


def _dest(name: str) -> str:
    return f"{KIT_DEST}/{name}"


def _add(resources: dict[str, Resource], path: str, name: str, sha256: str = "") -> str:
    sha256 = sha256 or sha256_of(path)[0]
    resources[_dest(name)] = Resource(CarriedFile(path, _dest(name), sha256), "file", sha256)
    return sha256


def _add_own_files(resources: dict[str, Resource], directory: str, kit: Kit, wheels: t.Mapping[Target, t.Sequence[Wheel]]) -> None:
    """The collection, the program, the requirements and kit.json."""
    tarball, version = collection.tarball(kit.collection, directory)
    targets = []
    for target, chosen in wheels.items():
        name = f"requirements-{target.python}-{target.platform.replace('/', '-')}.txt"
        # pip itself is run from its wheel, and not installed.
        lines = "".join(wheel.requirement() for wheel in chosen if wheel.project != "pip").encode()
        write_atomically(os.path.join(directory, name), lines)
        _add(resources, os.path.join(directory, name), name)
        targets.append(
            {
                "python": target.python,
                "platform": target.platform,
                "ansible_core": next(wheel.version for wheel in chosen if wheel.project == "ansible-core"),
                "pip": next(f"wheels/{wheel.file}" for wheel in chosen if wheel.project == "pip"),
                "requirements": {"file": name, "sha256": hashlib.sha256(lines).hexdigest()},
                "wheels": {f"wheels/{wheel.file}": wheel.sha256 for wheel in chosen},
            }
        )
    carried = os.path.basename(tarball)
    document = {
        "schema": SCHEMA,
        "collection": {"file": carried, "sha256": _add(resources, tarball, carried), "version": version},
        "targets": targets,
    }
    write_atomically(os.path.join(directory, DOCUMENT), canonical(document) + b"\n")
    _add(resources, os.path.join(directory, DOCUMENT), DOCUMENT)
    installer = os.path.join(directory, INSTALLER[len(KIT_PLACE) :])
    collection.write_program(tarball, "control_node", installer)
    _add(resources, installer, INSTALLER[len(KIT_PLACE) :])


def _pinned(lock: Lock, pin: str) -> t.Optional[list[Wheel]]:
    """What the lock says; None where it doesn't say it, or not with all hashes."""
    files = lock.pins.get(pin, "").split()
    hashes = [lock.files.get(_dest(f"wheels/{file}"), "") for file in files]
    if not files or not all(hashes) or not all(is_name(file) for file in files):
        return None
    chosen = [Wheel(file, sha256) for file, sha256 in zip(files, hashes)]
    return chosen if {"ansible-core", "pip"} <= {wheel.project for wheel in chosen} else None


def _unpinned(pin: str) -> ModuleRefused:
    return ModuleRefused(
        f"nothing pins {pin}, and frozen",
        code="lock_frozen",
        subject=pin,
        expected="a pin and the wheels' hashes in the lock",
        found="none",
        hint="gather once without frozen, look at the lock's difference, and commit it",
        details=[{"what": pin, "why": "not in the lock", "expected": "", "found": ""}],
    )
