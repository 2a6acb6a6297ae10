# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private modules from real git servers, over HTTPS with a CA of their own and over SSH: gathered, and used without any network."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time
import typing as t

import pytest

from ansible_collections.airgap.golang.tests.support.gathering import UUID, Site, path_project
from ansible_collections.airgap.golang.tests.support.private_git import MODULE, VERSION, make_plant
from ansible_collections.airgap.golang.tests.support.private_servers import HttpsGit, SshGit, Tunnel, make_certificate
from ansible_collections.airgap.golang.tests.support.private_site import GAUGE, HOST, NEWER, RELAY, PrivateSite
from ansible_collections.airgap.golang.tests.support.scripted_server import basic

PAIR = "gopher:hunter2-is-not-it"

#: Seconds within which a refusal has to be told; it takes about two here.
SOON = 60


@pytest.fixture
def site(connected: Site, tmp_path: pathlib.Path) -> PrivateSite:
    return PrivateSite(connected, tmp_path)


@pytest.fixture
def https(site: PrivateSite, tmp_path: pathlib.Path) -> t.Iterator[HttpsGit]:
    """A git server behind basic authentication, whose CA the site's user trusts."""
    certificate = make_certificate(tmp_path / "server.pem", HOST, "corp.example")
    site.environment.update(SSL_CERT_FILE=str(certificate), GIT_SSL_CAINFO=str(certificate))
    with HttpsGit(site.root, certificate, basic(PAIR)) as server:
        yield server


@pytest.fixture
def ssh(tmp_path: pathlib.Path) -> t.Iterator[SshGit]:
    with SshGit(tmp_path / "ssh") as server:
        yield server


def entries(site: PrivateSite, depot: t.Any) -> dict[str, dict[str, t.Any]]:
    return {f"{entry['path']}@{entry['version']}": entry for entry in depot.latest().config["modules"]}


def test_https_with_a_ca_of_its_own_and_netrc(site: PrivateSite, https: HttpsGit, tmp_path: pathlib.Path) -> None:
    site.netrc(PAIR)
    site.leads(https.url + "/")
    app = site.app(tmp_path / "app")
    https.authorized.clear()
    depot = site.depot()
    answer = site.gathers(depot, projects=[path_project(app, "app")])
    assert answer.get("changed"), answer
    assert {path.split("/")[1] for path in https.authorized} == {"gauge", "relay"}
    carried = entries(site, depot)
    private = {name: (bool(entry["zip"]), entry["public"]) for name, entry in carried.items() if name.startswith(HOST)}
    assert private == {f"{RELAY}@{VERSION}": (True, False), f"{GAUGE}@{VERSION}": (False, False), f"{GAUGE}@{NEWER}": (True, False)}
    offline = site.offline(depot, tmp_path / "offline")
    offline.go("mod", "download", cwd=app)
    offline.go("mod", "verify", cwd=app)
    assert offline.go("mod", "tidy", "-diff", cwd=app) == ""
    # Of the older one there is the go.mod alone: the graph can be read, and no list offers it.
    assert f"{RELAY}@{VERSION} {GAUGE}@{VERSION}\n" in offline.go("mod", "graph", cwd=app)
    assert offline.go("list", "-m", "-versions", GAUGE, cwd=app) == f"{GAUGE} {NEWER}\n"
    assert offline.go("list", "-m", f"{GAUGE}@latest", cwd=app) == f"{GAUGE} {NEWER}\n"
    assert json.loads(offline.go("mod", "download", "-json", f"{RELAY}@latest"))["Version"] == "v1.0.0"
    offline.go("build", "-o", str(tmp_path / "binary"), ".", cwd=app)


def test_ssh_with_a_key_and_a_known_host(site: PrivateSite, ssh: SshGit, tmp_path: pathlib.Path) -> None:
    site.environment["GIT_SSH_COMMAND"] = ssh.ssh_command()
    site.leads(f"ssh://{HOST}{site.root}/")
    depot = site.depot()
    plant = make_plant(tmp_path / "plant")
    source = {"git": f"ssh://{HOST}{site.root}/relay.git", "ref": VERSION}
    answer = site.gathers(depot, projects=[path_project(plant), {"name": "relay", "source": source}], modules=[f"{MODULE}@{VERSION}"])
    assert answer.get("changed"), answer
    offline = site.offline(depot, tmp_path / "offline")
    offline.go("mod", "verify", cwd=plant)
    offline.go("build", "-o", str(tmp_path / "binaries") + os.sep, "./cmd/...", cwd=plant)
    # The repository has a newer one.
    user = offline.new_module("user", MODULE)
    offline.go("get", f"{MODULE}@latest", cwd=user)
    offline.go("build", "-o", str(tmp_path / "user-binary"), ".", cwd=user)
    assert offline.go("list", "-m", "-versions", MODULE, cwd=user) == f"{MODULE} {VERSION}\n"
    assert NEWER in offline.go("get", f"{MODULE}@{NEWER}", cwd=user, fails=True)
    # Without GONOSUMDB, the database is asked and knows nothing of it: Go's safety is on.
    careful = site.offline(depot, tmp_path / "careful", GONOSUMDB="")
    assert "sum.golang.org" in careful.go("get", f"{MODULE}@{VERSION}", cwd=careful.new_module("user", MODULE), fails=True)


def test_goauth_s_command_serves_go_s_own_requests(site: PrivateSite, https: HttpsGit, tmp_path: pathlib.Path) -> None:
    """A path that only the company's server can lead to a repository; it wants a header to say so."""
    site.netrc(PAIR)
    site.leads(https.url + "/")
    module = "corp.example/events"
    site.vanity("events", module)
    https.imports = f'<html><head><meta name="go-import" content="{module} git https://{HOST}/events.git"></head></html>'
    https.imports_allowed = {"Bearer " + PAIR}
    helper = tmp_path / "bin" / "corp-login"
    helper.parent.mkdir()
    helper.write_text('#!/bin/sh\nprintf "https://corp.example\\n\\nAuthorization: Bearer %s\\n\\n" "$CORP_TOKEN"\n')
    helper.chmod(0o755)
    with Tunnel(https.address) as tunnel:
        environment = {"HTTPS_PROXY": tunnel.url, "CORP_TOKEN": PAIR, "GOAUTH": f"netrc; '{helper}'"}
        spec = {"goprivate": f"*.example,{HOST}", "modules": [f"{module}@v1.0.0"]}
        refused = site.gathers(site.depot(), environment={**environment, "GOAUTH": "netrc"}, **spec)
        assert refused["failed"] and f"{module}@v1.0.0" in refused["msg"]
        depot = site.depot()
        answer = site.gathers(depot, environment=environment, **spec)
    assert answer.get("changed"), answer
    assert "corp.example:443" in tunnel.asked
    assert entries(site, depot)[f"{module}@v1.0.0"]["zip"]
    offline = site.offline(depot, tmp_path / "offline", GONOSUMDB="corp.example")
    offline.go("get", f"{module}@latest", cwd=offline.new_module("user", module))


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("fault", "said", "hint"),
    [
        ("no password", "could not read Username", "~/.netrc"),
        ("wrong password", "could not read Username", "~/.netrc"),
        ("unknown CA", "certificate", "GIT_SSL_CAINFO"),
        ("unknown host key", "Host key verification failed", "known_hosts"),
        ("unknown key", "Permission denied", "ssh-agent"),
        ("not private", f"sum.golang.org/lookup/{MODULE}", "GOPRIVATE"),
    ],
)
def test_what_refuses_is_told_at_once_with_what_to_do(
    site: PrivateSite, https: HttpsGit, ssh: SshGit, tmp_path: pathlib.Path, fault: str, said: str, hint: str, check: bool
) -> None:
    site.leads(f"ssh://{HOST}{site.root}/" if "key" in fault else https.url + "/")
    site.environment["GIT_SSH_COMMAND"] = ssh.ssh_command(
        key=make_key(tmp_path) if fault == "unknown key" else None, known_hosts=tmp_path / "nobody" if fault == "unknown host key" else None
    )
    if fault != "no password":
        site.netrc(PAIR + "0" if fault == "wrong password" else PAIR)
    if fault == "unknown CA":
        site.environment["GIT_SSL_CAINFO"] = str(make_certificate(tmp_path / "other.pem"))
    spec: dict[str, t.Any] = {"modules": [f"{MODULE}@{VERSION}", UUID]}
    if fault == "not private":
        spec.update(goprivate="", goproxy="direct")
    began = time.monotonic()
    answer = site.gathers(site.depot(), check, environment={"GIT_TERMINAL_PROMPT": "1"} if fault == "no password" else {}, **spec)
    assert time.monotonic() - began < SOON
    assert answer.get("failed") and MODULE in answer["msg"] and said in answer["msg"], answer["msg"]
    assert hint in answer["msg"] and PAIR.split(":")[1] not in json.dumps(answer), answer["msg"]


@pytest.mark.parametrize(
    ("fault", "said", "hint"), [("wrong password", "could not read Username", "~/.netrc"), ("unknown CA", "certificate", "GIT_SSL_CAINFO")]
)
def test_a_project_s_repository_that_refuses(site: PrivateSite, https: HttpsGit, tmp_path: pathlib.Path, fault: str, said: str, hint: str) -> None:
    if fault == "unknown CA":
        site.environment["GIT_SSL_CAINFO"] = str(make_certificate(tmp_path / "other.pem"))
    url = f"https://{PAIR}0@{https.address}/relay.git"
    answer = site.gathers(site.depot(), projects=[{"name": "relay", "source": {"git": url, "ref": VERSION}}])
    assert answer.get("failed") and f"{https.address}/relay.git" in answer["msg"] and said in answer["msg"] and hint in answer["msg"], answer
    assert PAIR.split(":")[1] not in json.dumps({key: value for key, value in answer.items() if key != "invocation"})


def make_key(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, timeout=60)
    return path
