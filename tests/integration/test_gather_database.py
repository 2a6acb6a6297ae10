# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gather whose checksum database is lied about, by whoever stands between: refused, with what that means, and nothing is admitted."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go.sumdb import DEFAULT_KEY
from ansible_collections.airgap.golang.plugins.module_utils._go.tlog import parse_head
from ansible_collections.airgap.golang.tests.support.gathering import GO, UUID, Site, assert_untouched, config_modules, make_spec, path_project
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy
from ansible_collections.airgap.golang.tests.support.private_git import MODULE, VERSION
from ansible_collections.airgap.golang.tests.support.receiving import receive
from ansible_collections.airgap.golang.tests.support.small_depot import write_bundle
from ansible_collections.airgap.golang.tests.support.toy_database import NAME, Absent, Log, Signer, h1, record

DATABASE = "/sumdb/sum.golang.org/"
LOOKUP = f"{DATABASE}lookup/{UUID}"
TOOLCHAIN = f"golang.org/toolchain@v0.0.1-go{GO}.linux-amd64"
ERRORS = "github.com/pkg/errors@v0.9.1"
# What a user who takes up the latter makes the go command look at.
BEFORE = "github.com/pkg/errors@v0.8.1-0.20171018195549-f15c970de5b7"


@pytest.fixture
def depot(connected: Site) -> Depot:
    return connected.depot()


def refused(connected: Site, depot: Depot, plant: pathlib.Path, proxy: ModuleProxy, **options: t.Any) -> ModuleRefused:
    with pytest.raises(ModuleRefused) as caught:
        connected.gather(depot, make_spec(projects=[path_project(plant)]), goproxy=proxy.url, **options)
    assert caught.value.hint
    return caught.value


def test_a_forged_lookup_is_refused(connected: Site, depot: Depot, plant: pathlib.Path, proxy: ModuleProxy) -> None:
    answer = proxy.answer(LOOKUP)[1]
    proxy.answers[LOOKUP] = (200, answer.replace(answer[answer.index(b"h1:") :][:47], h1("evil").encode()))
    failure = refused(connected, depot, plant, proxy)
    assert UUID in failure.subject and "isn't record" in failure.message and "what stands between here and the database" in failure.hint
    assert_untouched(depot)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_forged_tile_is_refused(connected: Site, depot: Depot, plant: pathlib.Path, proxy: ModuleProxy, level: int) -> None:
    forged: list[str] = []

    def forge(path: str) -> None:
        if path.startswith(f"{DATABASE}tile/8/{level}/") and ".p/" not in path and not forged:
            forged.append(path)
            right = proxy.answer(path)[1]
            proxy.answers[path] = (200, right[:-1] + bytes([right[-1] ^ 1]))

    proxy.on_request = forge
    failure = refused(connected, depot, plant, proxy)
    assert failure.subject == forged[0][len("/sumdb/") :] and "doesn't hash to what the head" in failure.message
    assert_untouched(depot)


def test_a_head_by_another_key_is_refused(connected: Site, depot: Depot, plant: pathlib.Path, proxy: ModuleProxy) -> None:
    right = parse_head(proxy.answer(DATABASE + "latest")[1], DEFAULT_KEY)
    proxy.answers[DATABASE + "latest"] = (200, Signer("sum.golang.org").head(right.size, right.hash))
    failure = refused(connected, depot, plant, proxy)
    assert failure.subject == "the latest head of sum.golang.org" and "isn't signed by sum.golang.org" in failure.message
    assert_untouched(depot)


def serve(proxy: ModuleProxy, log: Log, size: int) -> None:
    """Let the proxy have a private database as it is with so many records."""
    fetch = log.serve(size)

    def answer(path: str) -> None:
        below = f"/sumdb/{NAME}/"
        if path == below + "supported":
            proxy.answers[path] = (200, b"")
        elif path.startswith(below):
            try:
                proxy.answers[path] = (200, fetch(path[len(below) :]))
            except Absent:
                proxy.answers[path] = (404, b"")

    proxy.on_request = answer


def private_log(proxy: ModuleProxy, signer: Signer, salt: str = "") -> Log:
    """A log of one's own that agrees with the public one about a few modules."""
    texts = [record(f"example.org/m{n}", "v1.0.0", h1(f"{salt}zip{n}"), h1(f"{salt}mod{n}")) for n in range(600)]
    for number, version in enumerate((UUID, TOOLCHAIN, ERRORS, BEFORE), 5):
        texts[number] = proxy.answer(f"{DATABASE}lookup/{version}")[1].partition(b"\n")[2].partition(b"\n\n")[0] + b"\n"
    return Log(signer, texts)


def test_a_head_that_does_not_extend_the_last_one_is_refused(connected: Site, depot: Depot, plant: pathlib.Path, proxy: ModuleProxy) -> None:
    signer = Signer()
    log = private_log(proxy, signer)
    serve(proxy, log, 300)
    spec = {"projects": [path_project(plant)]}
    first = connected.gather(depot, make_spec(**spec), goproxy=proxy.url, gosumdb=signer.key)
    assert first.generation and first.generation.config["go"]["sumdb"] == {"name": NAME, "size": 300, "older": [300]}

    serve(proxy, private_log(proxy, signer, "other"), 500)
    with pytest.raises(ModuleRefused, match="has two histories") as caught:
        connected.gather(depot, make_spec(modules=[ERRORS], **spec), goproxy=proxy.url, gosumdb=signer.key)
    assert (caught.value.subject, caught.value.expected) == (f"checksum database {NAME}", log.root(300).hex())
    assert "somebody lies" in caught.value.hint
    assert [str(ref) for ref in depot.index()] == ["000001-unsealed"]

    proxy.answers.clear()
    serve(proxy, log, 500)
    second = connected.gather(depot, make_spec(modules=[ERRORS], **spec), goproxy=proxy.url, gosumdb=signer.key)
    assert second.generation and second.generation.config["go"]["sumdb"] == {"name": NAME, "size": 500, "older": [300, 500]}


def test_what_no_record_vouches_for_is_named(connected: Site, depot: Depot, plant: pathlib.Path) -> None:
    outcome = connected.gather(depot, make_spec(projects=[path_project(plant)]))
    assert outcome.generation
    assert outcome.generation.summary()["unproved"] == [f"{MODULE}@{VERSION}"]
    assert [entry["public"] for entry in config_modules(outcome).values()].count(False) == 1


def test_what_was_gathered_is_proved_again_where_it_arrives(connected: Site, depot: Depot, plant: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The public database, by its built-in key; the second generation's snapshot leads on from the first's."""
    offline = Depot(str(tmp_path / "offline"))
    for number, modules in enumerate(([], [ERRORS]), 1):
        generation = connected.gather(depot, make_spec(projects=[path_project(plant)], modules=modules)).generation
        assert generation and generation.ref.number == number
        path = write_bundle(depot, generation, tmp_path / f"{number}.tar")
        assert receive(offline, path, None, allow_unsealed=True, check=True).changed
        outcome = receive(offline, path, None, allow_unsealed=True)
        assert outcome.changed
        assert outcome.generation.unproved() == [f"{MODULE}@{VERSION}"]


def test_a_go_sum_line_of_what_is_not_carried_is_compared_too(connected: Site, depot: Depot, plant: pathlib.Path, proxy: ModuleProxy) -> None:
    """Only the go.mod of quote's dependency is needed, and the line of its zip is wrong."""
    wrong = h1("evil")
    with (plant / "go.sum").open("a") as stream:
        stream.write(f"rsc.io/quote v1.5.2 {wrong}\nrsc.io/quote v1.5.2/go.mod h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=\n")
    failure = refused(connected, depot, plant, proxy)
    assert (failure.subject, failure.found) == ("rsc.io/quote@v1.5.2", wrong)
    assert failure.expected == "h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y="
    assert_untouched(depot)
