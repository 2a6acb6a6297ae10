# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every secret that private modules take, in one journey by ansible-playbook: used, and nowhere to be seen after it or while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.airgap.golang.tests.support.gathering import GO, UUID, Site
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy
from ansible_collections.airgap.golang.tests.support.private_git import MODULE, VERSION
from ansible_collections.airgap.golang.tests.support.private_servers import HttpsGit, SshGit, make_certificate
from ansible_collections.airgap.golang.tests.support.private_site import GAUGE, HOST, RELAY, PrivateSite
from ansible_collections.airgap.golang.tests.support.scripted_server import basic
from ansible_collections.airgap.golang.tests.support.watching import everything, forms, found, watched_arguments

COLLECTIONS = pathlib.Path(__file__).resolve().parents[2] / ".build"

#: What each is for; the percent signs and slashes are there to be encoded.
SECRETS = {
    "netrc": "netrc%secret/0123456789",
    "insteadOf": "insteadof-secret-0123456789",
    "goproxy": "goproxy+secret/0123456789",
    "goauth": "goauth-secret-0123456789",
    "project": "project@secret/0123456789",
}

PLAY = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  roles:
    - role: airgap.golang.bundle
"""


class World:
    """A company: two git servers, one proxy with a token in its URL and one that wants GOAUTH's header; and a user who has all of it."""

    def __init__(self, site: PrivateSite, directory: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.site, self.directory = site, directory
        certificate = make_certificate(directory / "server.pem")
        answers = site.module_files(directory / "modcache")
        site.environment.update(SSL_CERT_FILE=str(certificate), GIT_SSL_CAINFO=str(certificate))
        quoted = {name: "".join(f"%{byte:02X}" if chr(byte) in "%/@+" else chr(byte) for byte in secret.encode()) for name, secret in SECRETS.items()}
        self.by_rule = stack.enter_context(HttpsGit(site.root, certificate, basic("rule:" + SECRETS["insteadOf"])))
        self.by_netrc = stack.enter_context(HttpsGit(site.root, certificate, basic("login:" + SECRETS["netrc"])))
        self.by_url = stack.enter_context(HttpsGit(site.root, certificate, basic("project:" + SECRETS["project"])))
        self.ssh = stack.enter_context(SshGit(directory / "ssh"))
        self.header = stack.enter_context(ModuleProxy(site.directory / "answers", certificate=certificate, authorization="Bearer " + SECRETS["goauth"]))
        self.token = stack.enter_context(ModuleProxy(site.directory / "answers", "token:" + SECRETS["goproxy"], certificate))
        # The first has nothing but the private module, so that everything else is asked of the second.
        self.header.answers.update(answers)
        self.header.elsewhere = 404
        self.goproxy = f"{self.header.url},{self.token.url.replace(SECRETS['goproxy'], quoted['goproxy'])}"
        site.gitconfig(
            f'[url "https://rule:{quoted["insteadOf"]}@{self.by_rule.address}/"]\n\tinsteadOf = https://{HOST}/\n'
            f'[url "ssh://{HOST}{site.root}/"]\n\tinsteadOf = https://ssh.{HOST}/\n'
        )
        (site.home / ".netrc").write_text(f"machine 127.0.0.1 login login password {SECRETS['netrc']}\n")
        helper = site.home / "login"
        (site.home / "token").write_text(SECRETS["goauth"])
        helper.write_text(f"#!/bin/sh\nprintf '{self.header.url}\\n\\nAuthorization: Bearer %s\\n\\n' \"$(cat {site.home}/token)\"\n")
        helper.chmod(0o755)
        site.environment.update(GOAUTH=f"{helper};netrc", GIT_SSH_COMMAND=self.ssh.ssh_command())
        sources = {
            "by-url": f"https://project:{quoted['project']}@{self.by_url.address}/relay.git",
            "by-netrc": f"https://{self.by_netrc.address}/relay.git",
            "by-ssh": f"ssh://{HOST}{site.root}/relay.git",
        }
        self.variables: dict[str, t.Any] = {
            "airgap_golang_depot": site.depot().path,
            "bundle_name": "private",
            "bundle_dest": str(directory / "outbox"),
            "bundle_allow_unsigned": True,
            "bundle_toolchains": [{"version": GO}],
            "bundle_projects": [{"name": name, "source": {"git": url, "ref": VERSION}} for name, url in sources.items()],
            "bundle_modules": [f"{RELAY}@{VERSION}", f"{MODULE}@{VERSION}", UUID],
            "bundle_goproxy": self.goproxy,
        }
        key = self.ssh.key.read_text().splitlines()
        self.secrets = {**SECRETS, "ssh key": key[2], "ssh key, again": key[3]}
        (directory / "outbox").mkdir()

    @property
    def depot(self) -> pathlib.Path:
        return pathlib.Path(self.variables["airgap_golang_depot"])

    def source(self, repository: str, ref: str) -> dict[str, str]:
        """A project's source on the server that wants the password of the project's URL."""
        url = str(self.variables["bundle_projects"][0]["source"]["git"])
        return {"git": url.replace("relay.git", repository), "ref": ref}

    def start(self, **variables: t.Any) -> subprocess.Popen[str]:
        """ansible-playbook, as verbose as people make it. Variables come from a file: in argv the secrets would be the user's own doing."""
        (self.directory / "play.yml").write_text(PLAY)
        (self.directory / "variables.json").write_text(json.dumps({**self.variables, **variables}))
        environment = {key: value for key, value in self.site.shell().items() if not key.startswith(("ANSIBLE_", "AIRGAP_"))}
        environment.update(
            ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
            ANSIBLE_CALLBACKS_ENABLED="airgap.golang.trace",
            ANSIBLE_LOCAL_TEMP=str(self.directory / "tmp"),
            # Asked of git by GONOPROXY: all but telemetry, which the proxy has.
            GONOPROXY=f"{RELAY},{GAUGE}",
            GONOSUMDB=HOST,
        )
        program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
        command = [program, "-vvv", "-i", "localhost,", "play.yml", "-e", "@variables.json"]
        return subprocess.Popen(command, cwd=self.directory, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def written(self) -> t.Iterator[tuple[str, bytes]]:
        """All files that a run leaves: depot, bundle, trace, temporary ones."""
        for name in ("outbox", "tmp", "airgap-golang-trace.jsonl"):
            if (self.directory / name).exists():
                yield from everything(self.directory / name)
        yield from everything(self.depot)


@pytest.fixture
def world(connected: Site, tmp_path: pathlib.Path) -> t.Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(PrivateSite(connected, tmp_path), tmp_path, stack)


def finish(process: subprocess.Popen[str]) -> str:
    said, _none = process.communicate(timeout=900)
    return said


def test_the_search_finds_what_it_looks_for(tmp_path: pathlib.Path) -> None:
    for number, form in enumerate(forms("a%secret/0123456789")):
        (tmp_path / str(number)).write_bytes(b"before" + form + b"after")
    assert len(found({"it": "a%secret/0123456789"}, everything(tmp_path))) >= len(list(tmp_path.iterdir()))
    subprocess.run(["tar", "-czf", tmp_path / "a.tar.gz", "-C", tmp_path, "0"], check=True)
    assert any("a.tar.gz!!0" in name for _label, name in found({"it": "a%secret/0123456789"}, everything(tmp_path)))


def test_no_secret_is_seen_anywhere(world: World) -> None:
    with watched_arguments() as arguments:
        said = finish(world.start())
        failed = [
            finish(world.start(**{"bundle_modules": [f"{MODULE}@v9.9.9"]})),
            finish(world.start(**{"bundle_goproxy": world.goproxy.replace("goproxy%2B", "wrong%2B"), "bundle_modules": ["rsc.io/quote@v1.5.2"]})),
            finish(world.start(**{"bundle_projects": [{**world.variables["bundle_projects"][0], "source": world.source("relay.git", "no-such-ref")}]})),
            finish(world.start(**{"bundle_projects": [{**world.variables["bundle_projects"][0], "source": world.source("absent.git", VERSION)}]})),
        ]
    assert "failed=0" in said, said[-3000:]
    assert all("failed=1" in words for words in failed)
    # Every one of them was needed.
    assert world.by_rule.authorized and world.by_netrc.authorized and world.by_url.authorized and any("Accepted publickey" in line for line in world.ssh.said)
    assert any(MODULE in path and path.endswith(".zip") for path in world.header.asked) and world.token.zips()
    assert any("ls-remote" in argument for argument in arguments) and any("mod download" in argument for argument in arguments), "the watch is blind"
    assert found(world.secrets, ((argument, b"") for argument in arguments)) == []
    assert found(world.secrets, (("ansible", words.encode()) for words in [said, *failed])) == []
    names = []

    def noted() -> t.Iterator[tuple[str, bytes]]:
        for name, content in world.written():
            names.append(name)
            yield name, content

    assert found(world.secrets, noted()) == []
    assert any("airgap-golang-trace" in name for name in names) and any(".tar!" in name for name in names), "the search is blind"
    assert any(name.endswith(f"!{RELAY}@{VERSION}/relay.go") for name in names)


def test_no_secret_stays_when_it_is_killed(world: World) -> None:
    process = world.start()
    while process.poll() is None and not list(world.depot.glob("staging/.gather.*/online")):
        time.sleep(0.01)
    assert process.poll() is None, finish(process)
    process.kill()
    finish(process)
    assert list(world.depot.glob("staging/*"))
    assert found(world.secrets, world.written()) == []
