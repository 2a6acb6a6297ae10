# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kit's way to hosts that never had a network: they become control nodes, receive the bundle that it came in, and deploy to themselves."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._content import lock
from ansible_collections.airgap.golang.tests.support.gathering import GO, Site
from ansible_collections.airgap.golang.tests.support.small_depot import PRINCIPAL

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTS = ROOT / "tests" / "hosts" / "hosts"
BOOKWORM, TRIXIE = "kit-bookworm", "kit-trixie"
BUNDLE = "platform-000001.tar"
PLAYBOOK = "/opt/airgap-control/current/bin/ansible-playbook"
RECEIVE = f"{PLAYBOOK} airgap.golang.receive -e receive_bundle=/root/{BUNDLE} -e receive_allowed_signers=/root/allowed -e airgap_golang_depot=/srv/depot"
DEPLOY = f"{PLAYBOOK} airgap.golang.deploy -i here, -c local -e ansible_python_interpreter=/usr/bin/python3 -e airgap_golang_depot=/srv/depot"


class Hosts:
    """Offline hosts. Each has Python and ssh-keygen, and neither pip nor ensurepip."""

    def __init__(self, *names: str) -> None:
        self.names = [name.partition("=")[0] for name in names]
        self._hosts("down", *self.names)
        self._hosts("up", *names)

    def _hosts(self, *arguments: str) -> None:
        subprocess.run([sys.executable, str(HOSTS), *arguments], check=True, stdout=subprocess.DEVNULL, timeout=300)

    def down(self) -> None:
        self._hosts("down", *self.names)

    def copy(self, name: str, *files: pathlib.Path) -> None:
        subprocess.run(["scp", "-q", "-F", self._config, *map(str, files), f"root@{name}:/root/"], check=True, timeout=300)

    def run(self, name: str, command: str, status: int = 0) -> str:
        done = subprocess.run(["ssh", "-F", self._config, f"root@{name}", command], text=True, capture_output=True, timeout=600, check=False)
        assert done.returncode == status, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    @property
    def _config(self) -> str:
        return str(ROOT / ".build" / "hosts" / "ssh_config")


@pytest.fixture(scope="module")
def hosts() -> t.Iterator[Hosts]:
    if os.geteuid() != 0 or not os.path.exists("/etc/debian_version"):
        pytest.skip("the test hosts are containers that need root on Debian or Ubuntu")
    hosts = Hosts(BOOKWORM, f"{TRIXIE}=trixie")
    yield hosts
    hosts.down()


class Connected(t.NamedTuple):
    """A connected side that makes bundles with a kit by the playbook."""

    directory: pathlib.Path
    site: Site
    depot: str

    def bundle(self, *options: str, **more: t.Any) -> str:
        variables = {
            "airgap_golang_depot": self.depot,
            "bundle_name": "platform",
            "bundle_dest": str(self.directory),
            "bundle_signing_key": str(self.directory / "key"),
            "bundle_lock": str(self.directory / "airgap.lock"),
            "bundle_goproxy": self.site.proxy.url,
            "bundle_toolchains": [{"version": GO}],
            "bundle_projects": [{"name": "hello", "source": {"path": str(self.directory / "hello")}, "builds": [{"output": "bin/hello"}]}],
            "bundle_kit": {"pythons": ["3.11", "3.13"]},
            **more,
        }
        environment = {**self.site.shell(), "PYTHONPATH": "", "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build"), "ANSIBLE_HOME": str(self.directory / "ansible")}
        command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "airgap.golang.bundle", "-e", json.dumps(variables), *options]
        done = subprocess.run(command, cwd=self.directory, env=environment, text=True, capture_output=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def side(connected: Site, tmp_path_factory: pytest.TempPathFactory) -> Connected:
    directory = tmp_path_factory.mktemp("kit")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "key")], check=True)
    (directory / "allowed").write_text(f"{PRINCIPAL} {(directory / 'key.pub').read_text()}")
    (directory / "hello").mkdir()
    (directory / "hello" / "go.mod").write_text("module example.com/hello\n\ngo 1.26.0\n")
    (directory / "hello" / "main.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    side = Connected(directory, connected, connected.depot().path)
    side.bundle()
    return side


def test_a_host_without_a_network_becomes_a_control_node(side: Connected, hosts: Hosts) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for journey in [pool.submit(bookworm, side, hosts), pool.submit(trixie, side, hosts)]:
            journey.result()


def bookworm(side: Connected, hosts: Hosts) -> None:
    hosts.copy(BOOKWORM, side.directory / BUNDLE, side.directory / "allowed")
    hosts.run(BOOKWORM, "python3 -c 'import ensurepip'", status=1)
    # As the bundle's README says it.
    hosts.run(BOOKWORM, f"tar -xf {BUNDLE} README SHA256SUMS SHA256SUMS.sig kit")
    lines = [line.strip() for line in hosts.run(BOOKWORM, "cat README").splitlines()]
    steps = lines[lines.index(f"tar -xf {BUNDLE} README SHA256SUMS SHA256SUMS.sig kit") :]
    check, sums, install = (line.replace("ALLOWED_SIGNERS", "allowed").replace("PRINCIPAL", PRINCIPAL) for line in steps[1:4])
    hosts.run(BOOKWORM, check)
    assert "kit: OK" in hosts.run(BOOKWORM, sums)
    # Killed when it's about to install ansible-core: nothing is active.
    killed = f"sh -c {shlex.quote(install + ' 2>&1')} | (grep -q 'installing ansible-core' && kill -9 $(cat /opt/airgap-control/.lock))"
    hosts.run(BOOKWORM, killed)
    hosts.run(BOOKWORM, "test ! -e /opt/airgap-control/current && test -d /opt/airgap-control/installs/*")
    assert RECEIVE.split(" -e airgap_golang_depot", maxsplit=1)[0] in hosts.run(BOOKWORM, install)
    hosts.run(BOOKWORM, "test $(ls /opt/airgap-control/installs | wc -l) = 1 && test ! -e /opt/airgap-control/staging")

    assert " changed=1 " in hosts.run(BOOKWORM, RECEIVE)
    first = hosts.run(BOOKWORM, DEPLOY)
    assert " changed=2 " in first, first
    assert "hello" in hosts.run(BOOKWORM, "/opt/airgap-golang/builds/000001/hello/bin/hello")
    assert " changed=0 " in hosts.run(BOOKWORM, DEPLOY)
    assert " changed=0 " in hosts.run(BOOKWORM, RECEIVE)
    assert hosts.run(BOOKWORM, f"{install} 2>/dev/null").startswith("There already: ")
    assert "There already" in hosts.run(BOOKWORM, "python3 /srv/depot/current/files/kit/install"), "later kits come with what is received"


def trixie(side: Connected, hosts: Hosts) -> None:
    hosts.copy(TRIXIE, side.directory / BUNDLE, side.directory / "allowed")
    install = f"tar -xf {BUNDLE} kit && python3 kit {BUNDLE} --allowed-signers allowed"
    # A bit of ansible-core's wheel that fell over.
    pinned = lock.read(str(side.directory / "airgap.lock"))
    assert pinned
    wheel = next(sha256 for name, sha256 in pinned.files.items() if "ansible_core-2.2" in name)
    found = f"$(grep -abo {wheel} {BUNDLE} | tail -1 | cut -d: -f1)"
    hosts.run(TRIXIE, f"cp {BUNDLE} good && printf x | dd of={BUNDLE} bs=1 seek=$(({found} + 1000)) conv=notrunc status=none")
    assert f"sha256:{wheel}" in hosts.run(TRIXIE, install, status=1)
    hosts.run(TRIXIE, "echo 'somebody ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dXo3WwR0wWq8cJ0x0bJm2cO0c0oGk0n5mJ9pX3o0F' > others")
    assert "is signed by a key that others doesn't list" in hosts.run(TRIXIE, "python3 kit good --allowed-signers others", status=1)
    assert "can't be checked without an allowed signers file" in hosts.run(TRIXIE, "python3 kit good", status=1)
    hosts.run(TRIXIE, "test ! -e /opt/airgap-control/current")
    hosts.run(TRIXIE, f"mv good {BUNDLE} && {install}")
    hosts.run(TRIXIE, RECEIVE)


def test_what_the_lock_pins_needs_no_index(side: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = lock.read(str(side.directory / "airgap.lock"))
    assert locked and set(locked.pins) == {f"kit ansible-core for Python {python} on linux/amd64" for python in ("3.11", "3.13")}
    carried = {name.split("/")[-1].split("-")[0] for name in locked.files if name.endswith(".whl")}
    assert {"ansible_core", "cryptography", "cffi", "jinja2", "markupsafe", "pyyaml", "packaging", "resolvelib", "pip"} <= carried
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    assert " changed=0 " in side.bundle(bundle_frozen=True)
