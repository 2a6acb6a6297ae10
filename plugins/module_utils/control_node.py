# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make this machine a control node out of a kit: ansible-core and this collection, proved, without a network and without pip.

It travels as a program (a zip that ``python3`` runs) in bundles that carry a kit, so: standard library, Python 3.8.

    DEST/
      installs/2.19.14-1a2b3c4d/    a virtual environment, made in its place because it can't be moved; installation.json is written last
      current -> installs/2.19.14-1a2b3c4d

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import shlex
import shutil
import sys
import typing as t

from ._base import process
from ._base.errors import AirgapError, BundleDamaged, CommandFailed, HostRefused, SignatureRefused
from ._base.files import locked, remove_tree, sha256_of, symlink_atomically, sync_filesystem, write_atomically
from ._depot.bundle import INSTALLER, KIT_PLACE, Reader
from ._go.toolchain import host_platform

DEST = "/opt/airgap-control"
DOCUMENT = "kit.json"
DONE = "installation.json"

_VERSION = "import platform, sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2], platform.python_version(), sys.executable)"


@dataclasses.dataclass(frozen=True)
class Python:
    """An interpreter: its path, its first two numbers (3.11), all of them (3.11.2)."""

    path: str
    version: str
    full: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """``directory``: the active installation. ``collection``: the collection's version."""

    changed: bool
    directory: str
    ansible_core: str
    collection: str
    python: str


class Kit:
    """A kit whose files are in ``directory``; each is proved against kit.json before it's used.

    :raises BundleDamaged: it isn't whole.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        path = os.path.join(directory, DOCUMENT)
        try:
            with open(path, "rb") as stream:
                content = stream.read()
            self.document = json.loads(content)
            self.digest = hashlib.sha256(content).hexdigest()
            if self.document["schema"] != 1:
                raise ValueError(f"its schema is {self.document['schema']!r}")
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise BundleDamaged(f"the kit in {directory} can't be read: {exc}", subject=path, hint="take it out of its bundle again") from None

    def target(self, python: Python, platform: str) -> t.Optional[t.Mapping[str, t.Any]]:
        """What the kit has for a Python here; None for nothing."""
        return next((entry for entry in self.document["targets"] if (entry["python"], entry["platform"]) == (python.version, platform)), None)

    def prove(self, files: t.Mapping[str, str]) -> None:
        """:raises BundleDamaged: one of these files isn't what its SHA-256 says."""
        for name, expected in files.items():
            path = os.path.join(self.directory, name)
            found = sha256_of(path)[0] if os.path.isfile(path) else "nothing"
            if found != expected:
                hint = "nothing was installed; copy the bundle again from its source"
                raise BundleDamaged(f"{name} of the kit isn't what it should be", subject=name, expected=expected, found=found, hint=hint)


def unpack(bundle: str, directory: str, allowed_signers: str, unsigned_ok: bool) -> None:
    """Take the kit out of a bundle, whose signature is proved first, and each file as it comes.

    :raises SignatureRefused, BundleDamaged: as receive does.
    :raises HostRefused: it carries no kit.
    """
    with open(bundle, "rb") as stream:
        reader = Reader(stream, bundle, allowed_signers, unsigned_ok)
        head = reader.head()
        places: dict[str, list[str]] = {}
        for layer in head.generation.manifest.layers:
            if layer.title.startswith(KIT_PLACE):
                places.setdefault(layer.digest, []).append(layer.title[len(KIT_PLACE) :])
        if not places or not set(places) <= set(head.carried):
            why = "carries no kit" if not places else "leaves the kit out, since its receiver has it"
            hint = (
                "on the connected side, set bundle_kit" if not places else "run files/kit/install of that depot's tree, or ask for a bundle without bundle_base"
            )
            raise HostRefused(f"bundle {bundle} {why}", code="no_kit", subject=bundle, hint=hint)
        for layer, member in reader.blobs(head):
            if layer.digest not in places:
                continue
            first, *others = [os.path.join(directory, name) for name in places.pop(layer.digest)]
            os.makedirs(os.path.dirname(first), exist_ok=True)
            digest = hashlib.sha256()
            with open(first, "wb") as writer:
                for chunk in member.chunks():
                    digest.update(chunk)
                    writer.write(chunk)
            reader.arrived(layer, digest.hexdigest())
            for other in others:
                os.makedirs(os.path.dirname(other), exist_ok=True)
                shutil.copyfile(first, other)
            if not places:
                break


def ask_python(path: str) -> t.Optional[Python]:
    """What an interpreter is; None for none, or not CPython."""
    try:
        name, version, full, executable = process.run([path, "-I", "-c", _VERSION], timeout=60).stdout.strip().split(" ", 3)
    except (AirgapError, ValueError, OSError):
        return None
    return Python(executable, version, full) if name == "cpython" else None


def choose_python(kit: Kit, asked: str, platform: str) -> Python:
    """The interpreter to install for: the one that was asked for, or this one, or the newest on PATH that the kit serves.

    :raises HostRefused: there is none.
    """
    versions = sorted({str(entry["python"]) for entry in kit.document["targets"]}, key=lambda version: [int(part) for part in version.split(".")], reverse=True)
    candidates = [asked] if asked else [sys.executable, *(f"python{version}" for version in versions), "/usr/bin/python3"]
    pythons = [python for python in map(ask_python, candidates) if python]
    for python in pythons:
        if kit.target(python, platform):
            return python
    carried = ", ".join(f"Python {entry['python']} on {entry['platform']}" for entry in kit.document["targets"])
    found = ", ".join(dict.fromkeys(f"{python.path} is {python.full}" for python in pythons)) or "no Python"
    raise HostRefused(
        f"the kit is for {carried}; this machine is {platform}, and {found}",
        code="no_python",
        subject=asked or "python3",
        expected=carried,
        found=found,
        hint="name another with --python, install one of those from the distribution, or add this one to bundle_kit's pythons on the connected side",
    )


def install(kit: Kit, dest: str, python: Python, say: t.Callable[[str], None]) -> Outcome:
    """Bring ``dest`` to the kit; what is active stays so until all of the new one is there and has shown that it works. Needs dest's lock.

    :raises BundleDamaged: a file isn't what kit.json says.
    :raises CommandFailed: something can't be installed; nothing was changed.
    """
    target = kit.target(python, host_platform())
    if target is None:
        raise AssertionError("choose_python asked")
    collection = kit.document["collection"]
    key = hashlib.sha256(f"{kit.digest}\n{python.path}\n{python.version}\n".encode()).hexdigest()[:8]
    name = f"{target['ansible_core']}-{key}"
    installs, current = os.path.join(dest, "installs"), os.path.join(dest, "current")
    directory = os.path.join(installs, name)
    os.makedirs(installs, exist_ok=True)
    before = os.path.basename(os.readlink(current)) if os.path.islink(current) else ""
    for entry in os.listdir(installs):
        # Of a run that was killed.
        if not os.path.isfile(os.path.join(installs, entry, DONE)):
            remove_tree(os.path.join(installs, entry))
    changed = before != name
    if not os.path.isdir(directory):
        changed = True
        kit.prove({collection["file"]: collection["sha256"], target["requirements"]["file"]: target["requirements"]["sha256"], **target["wheels"]})
        try:
            _make(kit, target, directory, python, say)
        except BaseException:
            remove_tree(directory)
            raise
    if changed:
        symlink_atomically(os.path.join("installs", name), current)
        for entry in os.listdir(installs):
            # What runs now may be of the one before.
            if entry not in (name, before):
                remove_tree(os.path.join(installs, entry))
    return Outcome(changed, directory, str(target["ansible_core"]), str(collection["version"]), python.full)


def _make(kit: Kit, target: t.Mapping[str, t.Any], directory: str, python: Python, say: t.Callable[[str], None]) -> None:
    say(f"making a virtual environment with {python.path} ({python.full})")
    # Nothing of the caller's reaches in: no pip configuration, no other packages, no home.
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": directory, "PIP_CONFIG_FILE": os.devnull, "ANSIBLE_HOME": f"{directory}/tmp"}
    # Debian has no ensurepip without python3-venv; the kit brings pip.
    process.run([python.path, "-I", "-m", "venv", "--without-pip", directory], env=env, timeout=300, what="python3 -m venv")
    own = os.path.join(directory, "bin", "python")
    say(f"installing ansible-core {target['ansible_core']}")
    pip = [own, os.path.join(kit.directory, target["pip"], "pip"), "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
    wheels = ["--find-links", os.path.join(kit.directory, "wheels"), "--requirement", os.path.join(kit.directory, target["requirements"]["file"])]
    try:
        process.run([*pip, "install", "--no-index", "--no-deps", "--require-hashes", "--no-warn-script-location", *wheels], env=env, what="pip install")
    except CommandFailed as exc:
        hint = "the kit's wheels are for glibc 2.28 or newer" if "not a supported wheel" in exc.found or "No matching distribution" in exc.found else ""
        raise CommandFailed(exc.message, subject=exc.subject, found=exc.found, hint=hint) from None
    say(f"installing airgap.golang {kit.document['collection']['version']}")
    site = process.run([own, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], env=env).stdout.strip()
    tarball = os.path.join(kit.directory, kit.document["collection"]["file"])
    galaxy = [own, os.path.join(directory, "bin", "ansible-galaxy"), "collection", "install", "--offline", "--no-deps", "--force", "-p", site, tarball]
    process.run(galaxy, env=env, timeout=600, what="ansible-galaxy collection install", locale="C.UTF-8")
    # A control node that can't find its own playbooks would be none.
    playbook = [own, os.path.join(directory, "bin", "ansible-playbook"), "-i", "localhost,", "--syntax-check", "airgap.golang.receive"]
    process.run(playbook, env=env, timeout=300, what="ansible-playbook --syntax-check airgap.golang.receive", locale="C.UTF-8")
    remove_tree(os.path.join(directory, "tmp"))
    facts = {"ansible_core": target["ansible_core"], "collection": kit.document["collection"], "kit": kit.digest, "python": dataclasses.asdict(python)}
    sync_filesystem(directory)
    write_atomically(os.path.join(directory, DONE), json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n")


def _next_step(options: argparse.Namespace, outcome: Outcome) -> str:
    words = [os.path.join(options.dest, "current", "bin", "ansible-playbook")]
    if options.bundle:
        words += ["airgap.golang.receive", "-e", f"receive_bundle={os.path.abspath(options.bundle)}"]
        signers = os.path.abspath(options.allowed_signers) if options.allowed_signers else ""
        words += ["-e", f"receive_allowed_signers={signers}" if signers else "receive_allow_unsigned=true"]
        words += ["-e", "airgap_golang_depot=/srv/airgap/depot"]
    else:
        words += ["airgap.golang.deploy", "-i", "inventory"]
    return (
        f"{'Installed' if outcome.changed else 'There already'}: ansible-core {outcome.ansible_core} and airgap.golang {outcome.collection}, "
        f"with Python {outcome.python}, in {outcome.directory}\n"
        f"Next:  {' '.join(map(shlex.quote, words))}"
    )


def _options(arguments: t.Optional[t.Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kit", description="Make this machine a control node: ansible-core and airgap.golang, without a network.")
    parser.add_argument("bundle", nargs="?", default="", help="the bundle that carries the kit; left out, the directory that this program is in")
    parser.add_argument("--dest", default=DEST, metavar="DIR", help="where to install (%(default)s); run it again to upgrade")
    parser.add_argument("--python", default="", help="the Python to use; left out, this one, or one on PATH that the kit has wheels for")
    proof = parser.add_mutually_exclusive_group()
    proof.add_argument("--allowed-signers", default="", metavar="FILE", help="who may have signed the bundle, as ssh-keygen reads it")
    proof.add_argument("--allow-unsigned", action="store_true", help="don't ask who signed it")
    options = parser.parse_args(arguments)
    options.dest = os.path.abspath(options.dest)
    return options


def main(arguments: t.Optional[t.Sequence[str]] = None) -> int:
    """The program ``kit``. Says what it does on standard error, and the next step on standard output; the exit status is 0 or 1."""
    options = _options(arguments)
    os.umask(0o022)
    try:
        sys.stdout.write(f"{_next_step(options, _run(options))}\n")
    except AirgapError as exc:
        _say(exc.sentence())
        return 1
    except OSError as exc:
        _say(f"{exc}; nothing half-made is in use")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"kit: {line}\n")
    sys.stderr.flush()


def _run(options: argparse.Namespace) -> Outcome:
    os.makedirs(options.dest, exist_ok=True)
    with locked(os.path.join(options.dest, ".lock")), contextlib.ExitStack() as stack:
        here = os.path.dirname(os.path.abspath(sys.argv[0]))
        if options.bundle:
            here = os.path.join(options.dest, "staging")
            remove_tree(here)
            os.mkdir(here, 0o700)
            stack.callback(remove_tree, here)
            _say(f"proving {options.bundle}")
            try:
                unpack(options.bundle, here, options.allowed_signers, options.allow_unsigned)
            except SignatureRefused as exc:
                if exc.code == "unsigned":
                    # Here there is no playbook yet, whose variables are named elsewhere.
                    exc.hint = "name --allowed-signers FILE; or, if you know otherwise where this bundle comes from, --allow-unsigned"
                raise
        elif not os.path.isfile(os.path.join(here, DOCUMENT)):
            raise HostRefused(f"there is no {DOCUMENT} beside {INSTALLER[len(KIT_PLACE) :]} in {here}", subject=here, hint="name the bundle")
        kit = Kit(here)
        return install(kit, options.dest, choose_python(kit, options.python, host_platform()), _say)
