# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private modules through a company's module proxy behind credentials: netrc, a token in its URL, a header by GOAUTH; and which patterns cover them."""

from __future__ import annotations

import contextlib
import json
import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.tests.support.gathering import Site, path_project
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy
from ansible_collections.airgap.golang.tests.support.private_git import MODULE, VERSION, make_plant
from ansible_collections.airgap.golang.tests.support.private_servers import make_certificate
from ansible_collections.airgap.golang.tests.support.private_site import HOST, NEWER, PrivateSite

TOKEN = "hunter2-is-not-it"
PAIR = "gopher:" + TOKEN


@pytest.fixture
def site(connected: Site, tmp_path: pathlib.Path) -> PrivateSite:
    return PrivateSite(connected, tmp_path)


@pytest.fixture
def answers(site: PrivateSite, tmp_path: pathlib.Path) -> dict[str, tuple[int, bytes]]:
    """What the company's proxy has of the private module. No other way leads to it."""
    return site.module_files(tmp_path / "modcache")


@contextlib.contextmanager
def company_proxy(site: PrivateSite, answers: t.Mapping[str, tuple[int, bytes]], **wants: str) -> t.Iterator[ModuleProxy]:
    certificate = make_certificate(site.home / "proxy.pem")
    site.environment["SSL_CERT_FILE"] = str(certificate)
    with ModuleProxy(site.directory / "answers", certificate=certificate, **wants) as proxy:
        proxy.answers.update(answers)
        yield proxy


def asked_for(proxy: ModuleProxy) -> list[str]:
    return [path for path in proxy.asked if HOST in path]


def helper(directory: pathlib.Path, script: str) -> str:
    """A GOAUTH command; TOKEN is in a file of the user's."""
    (directory / "token").write_text(TOKEN)
    path = directory / "corp login"
    path.write_text("#!/bin/sh\n" + script.replace("$TOKEN", f'$(cat "{directory}/token")'))
    path.chmod(0o755)
    return f"'{path}' --quiet"


@pytest.mark.parametrize("way", ["netrc", "url", "goauth", "goauth, when refused", "git credential"])
def test_a_proxy_behind_credentials(site: PrivateSite, answers: dict[str, tuple[int, bytes]], tmp_path: pathlib.Path, way: str) -> None:
    depot = site.depot()
    plant = make_plant(tmp_path / "plant")
    wants = {"authorization": "Bearer " + TOKEN} if "goauth" in way else {"credentials": PAIR}
    with company_proxy(site, answers, **wants) as proxy:
        bare = proxy.url.replace(PAIR + "@", "")
        environment: dict[str, str] = {}
        if way == "netrc":
            site.netrc(PAIR)
        elif way == "goauth":
            environment["GOAUTH"] = helper(site.home, f"printf '{bare}\\n\\nAuthorization: Bearer %s\\n\\n' \"$TOKEN\"\n") + ";netrc"
        elif way == "goauth, when refused":
            # With a URL as its last argument and the answer on standard input.
            environment["GOAUTH"] = helper(
                site.home,
                "grep -q '^HTTP/1.1 401 Unauthorized$' || exit 0\n"
                f"case \"$2\" in {bare}/*) printf '{bare}/\\n\\nAuthorization: Bearer %s\\n\\n' \"$TOKEN\" ;; esac\n",
            )
        elif way == "git credential":
            (site.home / "store").write_text(proxy.url + "\n")
            site.gitconfig(f"[credential]\n\thelper = store --file={site.home}/store\n")
            environment["GOAUTH"] = f"git {site.home}"
        spec: dict[str, t.Any] = {"projects": [path_project(plant)], "modules": [f"{MODULE}@{VERSION}"]}
        # What GOPRIVATE covers would be asked of version control: this is for proxies that serve it, and a database that needn't know.
        answer = site.gathers(depot, environment={**environment, "GONOSUMDB": HOST}, goproxy=proxy.url if way == "url" else bare, goprivate="", **spec)
        assert answer.get("changed"), answer
    assert asked_for(proxy) and not any("/sumdb/" in path for path in asked_for(proxy))
    assert not [path for path in site.proxy.asked if HOST in path]
    offline = site.offline(depot, tmp_path / "offline")
    offline.go("mod", "verify", cwd=plant)
    user = offline.new_module("user", MODULE)
    offline.go("get", f"{MODULE}@latest", cwd=user)
    assert offline.go("list", "-m", "-versions", MODULE, cwd=user) == f"{MODULE} {VERSION}\n"
    assert TOKEN not in json.dumps({key: value for key, value in answer.items() if key != "invocation"})


@pytest.mark.parametrize("way", ["none", "wrong", "a helper that fails", "a helper that says nonsense"])
def test_a_proxy_that_refuses_says_what_to_do(site: PrivateSite, answers: dict[str, tuple[int, bytes]], way: str) -> None:
    with company_proxy(site, answers, authorization="Bearer " + TOKEN) as proxy:
        environment = {"GONOSUMDB": HOST}
        if way == "wrong":
            site.netrc(PAIR)
        elif "helper" in way:
            environment["GOAUTH"] = helper(site.home, 'echo "$TOKEN"; echo "$TOKEN" >&2; exit ' + ("3" if "fails" in way else "0"))
        answer = site.gathers(site.depot(), environment=environment, goproxy=proxy.url, goprivate="", modules=[f"{MODULE}@{VERSION}"])
    hint = {"a helper that fails": "it ended with status 3", "a helper that says nonsense": "its answer can't be read"}.get(way, "netrc")
    assert answer.get("failed") and f"{MODULE}@{VERSION}" in answer["msg"] and "401" in answer["msg"] and hint in answer["msg"], answer
    assert TOKEN not in json.dumps(answer)


def test_goauth_off_sends_nothing(site: PrivateSite, answers: dict[str, tuple[int, bytes]]) -> None:
    site.netrc(PAIR)
    with company_proxy(site, answers, credentials=PAIR) as proxy:
        bare = proxy.url.replace(PAIR + "@", "")
        answer = site.gathers(site.depot(), environment={"GOAUTH": "off", "GONOSUMDB": HOST}, goproxy=bare, goprivate="", modules=[f"{MODULE}@{VERSION}"])
    assert answer.get("failed") and "401" in answer["msg"], answer


@pytest.mark.parametrize(
    ("settings", "by_proxy", "by_git"),
    [
        ({"GOPRIVATE": HOST}, False, True),
        ({"GOPRIVATE": "*.corp.example"}, False, True),
        ({"GOPRIVATE": f"other.example,{HOST}/tele*"}, False, True),
        ({"GOPRIVATE": HOST, "GONOPROXY": "none"}, True, False),
        ({"GONOSUMDB": "*.corp.example"}, True, False),
        ({"GONOPROXY": HOST, "GONOSUMDB": f"{HOST}/*.git"}, False, True),
        ({"GOPRIVATE": "*.example", "GONOSUMDB": HOST}, False, True),
    ],
)
def test_patterns(site: PrivateSite, answers: dict[str, tuple[int, bytes]], settings: dict[str, str], by_proxy: bool, by_git: bool) -> None:
    """Only one of the two ways leads to the module; check mode takes it, and asks the database for nothing."""
    site.leads(f"file://{site.root}/" if by_git else "file:///nowhere/")
    with company_proxy(site, answers if by_proxy else {}, credentials=PAIR) as proxy:
        answer = site.gathers(site.depot(), True, environment=settings, goproxy=proxy.url, goprivate="", modules=[f"{MODULE}@{VERSION}"])
        assert answer.get("changed"), answer
    assert bool(asked_for(proxy)) == by_proxy and not any("/sumdb/" in path for path in asked_for(proxy))


def test_what_no_pattern_covers_is_asked_of_the_database(site: PrivateSite, answers: dict[str, tuple[int, bytes]]) -> None:
    with company_proxy(site, answers, credentials=PAIR) as proxy:
        answer = site.gathers(site.depot(), environment={}, goproxy=proxy.url, goprivate="", modules=[f"{MODULE}@{VERSION}"])
    assert answer.get("failed") and f"{MODULE}@{VERSION}" in answer["msg"], answer
    assert any("/sumdb/" in path and "/lookup/" in path for path in asked_for(proxy))
    assert TOKEN not in json.dumps(answer) and NEWER not in answer["msg"]
