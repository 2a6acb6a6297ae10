# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy and a git server behind passwords: these are used, and nobody gets to see them."""

from __future__ import annotations

import json
import os
import pathlib
import re
import typing as t

import pytest

from ansible_collections.airgap.golang.tests.support.gathering import UUID, Site, make_spec
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy
from ansible_collections.airgap.golang.tests.support.private_servers import HttpsGit, make_certificate
from ansible_collections.airgap.golang.tests.support.scripted_server import basic
from ansible_collections.airgap.golang.tests.support.watching import watched_arguments

PASSWORD = "hunter2-is-not-it"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return make_certificate(tmp_path_factory.mktemp("certificate") / "proxy.pem")


def everything_written(directory: str) -> t.Iterator[tuple[str, bytes]]:
    for parent, _names, files in os.walk(directory):
        for name in files:
            path = os.path.join(parent, name)
            if not path.endswith(".zip"):
                yield path, pathlib.Path(path).read_bytes()


def test_a_proxys_password_stays_secret(connected: Site, certificate: pathlib.Path) -> None:
    depot = connected.depot()
    with ModuleProxy(connected.directory / "answers", f"gopher:{PASSWORD}", certificate) as proxy, watched_arguments() as arguments:
        assert PASSWORD in proxy.url
        params = {"depot": depot.path, "name": "test", "toolchains": [{"version": "1.26.8"}], "goproxy": proxy.url}
        trust = {"SSL_CERT_FILE": str(certificate)}
        good = connected.module("gather", {**params, "modules": [UUID]}, **trust)
        assert good.get("changed"), good
        bad = connected.module("gather", {**params, "modules": ["github.com/google/uuid@v1.6.99"]}, **trust)
        assert "github.com/google/uuid@v1.6.99" in bad["msg"] and proxy.zips()
        assert not connected.module("gather", {**params, "modules": [UUID]}, **trust)["changed"]
        denied = connected.module("gather", {**params, "goproxy": proxy.url.replace(PASSWORD, PASSWORD + "0"), "modules": ["rsc.io/quote@v1.5.2"]}, **trust)
        assert "401" in denied["msg"]
    assert any(re.match(r"\S*\bgo (list|mod|version|env) ", argument) for argument in arguments), "no go command was seen: the watch is blind"
    assert [argument for argument in arguments if PASSWORD in argument] == []
    for answer in (good, bad, denied):
        assert PASSWORD not in json.dumps(answer)
    assert [path for path, content in everything_written(depot.path) if PASSWORD.encode() in content] == []
    assert PASSWORD not in pathlib.Path(depot.path, "audit.jsonl").read_text()


def test_a_git_servers_password_stays_secret(connected: Site) -> None:
    depot = connected.depot()
    with HttpsGit(connected.directory / "git", None, basic(f"gopher:{PASSWORD}")) as server, watched_arguments() as arguments:
        url = f"http://gopher:{PASSWORD}@{server.address}/telemetry.git"
        params = {"depot": depot.path, "name": "test", "toolchains": [{"version": "1.26.8"}], "goproxy": connected.proxy.url}
        good = connected.module("gather", {**params, "projects": [{"name": "telemetry", "source": {"git": url, "ref": "v1.0.0"}}]})
        bad = connected.module("gather", {**params, "projects": [{"name": "telemetry", "source": {"git": url, "ref": "v9"}}]})
    assert good.get("changed"), good
    assert server.authorized and "no such branch or tag" in bad["msg"]
    assert any("ls-remote" in argument for argument in arguments), "git was not seen: the watch is blind"
    assert [argument for argument in arguments if PASSWORD in argument] == []
    assert PASSWORD not in json.dumps([good, bad])
    assert [path for path, content in everything_written(depot.path) if PASSWORD.encode() in content] == []


def test_a_spec_never_holds_a_password() -> None:
    spec = make_spec(projects=[{"name": "p", "source": {"git": f"https://gopher:{PASSWORD}@git.corp.example/p.git", "ref": "main"}}])
    assert PASSWORD not in json.dumps(spec.normal()) and spec.normal()["projects"][0]["git"] == "https://git.corp.example/p.git"
