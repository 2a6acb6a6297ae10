# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole gathers through a proxy that fails in every way: what can mend is survived, what can't is named, and the depot stays whole."""

from __future__ import annotations

import functools
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import gather as gather_verb
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher
from ansible_collections.airgap.golang.tests.support.gathering import Site, assert_untouched, config_modules, make_spec, path_project
from ansible_collections.airgap.golang.tests.support.module_proxy import Mishap, ModuleProxy
from ansible_collections.airgap.golang.tests.support.private_git import make_plant

QUOTE, SAMPLER = "/rsc.io/quote/@v/v1.5.2", "/rsc.io/sampler/@v/v1.3.0"
UUID_FILE = "/github.com/google/uuid/@v/v1.6.0"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lets gathers take silence for a failure after two seconds, and go on at once where they would wait; what they would have waited."""
    noted: list[float] = []

    def pause(seconds: float) -> float:
        noted.append(seconds)
        return 0.0

    monkeypatch.setattr(gather_verb, "Fetcher", functools.partial(Fetcher, attempts=3, read_timeout=2, pause=pause))
    return noted


@pytest.fixture
def proxy(connected: Site) -> t.Iterator[ModuleProxy]:
    with ModuleProxy(connected.directory / "answers") as own:
        # Upstream may take longer than our patience.
        for file in (QUOTE, SAMPLER, UUID_FILE, "/golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-amd64"):
            for ext in ("zip", "mod", "info"):
                own.answer(f"{file}.{ext}")
        yield own


def test_what_can_mend_is_survived(connected: Site, proxy: ModuleProxy, waits: list[float]) -> None:
    proxy.mishaps = {
        f"{QUOTE}.mod": [Mishap(500), Mishap(500)],
        f"{QUOTE}.info": [Mishap(429, {"Retry-After": "7"})],
        f"{QUOTE}.zip": [Mishap(half=True)],
        f"{SAMPLER}.mod": [Mishap(silent=True)],
        f"{SAMPLER}.zip": [Mishap(302, {"Location": f"/elsewhere{SAMPLER}.zip"})],
    }
    proxy.answers[f"/elsewhere{SAMPLER}.zip"] = proxy.answer(f"{SAMPLER}.zip")
    outcome = connected.gather(connected.depot(), make_spec(modules=["rsc.io/quote@v1.5.2"]), goproxy=proxy.url)
    assert outcome.changed and {("rsc.io/quote", "v1.5.2"), ("rsc.io/sampler", "v1.3.0")} <= set(config_modules(outcome))
    assert not any(proxy.mishaps.values())
    assert 7 in waits and len(waits) >= 5


@pytest.mark.parametrize(
    ("mishap", "said", "status"),
    [
        (Mishap(500), "said 500", 500),
        (Mishap(429, {"Retry-After": "1"}), "said 429", 429),
        (Mishap(half=True), "bytes", None),
        (Mishap(silent=True), "timed out: nothing came for 2 seconds", None),
        (Mishap(302, {"Location": "ftp://127.0.0.1/"}), "redirects from http to ftp:", 302),
        (Mishap(403), "said 403", 403),
    ],
)
def test_what_does_not_mend_is_named(
    connected: Site, proxy: ModuleProxy, tmp_path: pathlib.Path, waits: list[float], mishap: Mishap, said: str, status: int | None
) -> None:
    depot = connected.depot()
    proxy.mishaps[f"{UUID_FILE}.zip"] = [mishap] * 100
    with pytest.raises(FetchFailed) as failed:
        connected.gather(depot, make_spec(projects=[path_project(make_plant(tmp_path / "plant"))]), goproxy=proxy.url)
    assert_untouched(depot)
    (entry,) = failed.value.details
    assert (entry["module"], entry["version"], entry["required_by"], entry["status"]) == ("github.com/google/uuid", "v1.6.0", ["project plant"], status)
    assert said in failed.value.message
    assert len(waits) == (0 if status in (302, 403) else 2)


def test_a_certificate_that_is_not_trusted_is_named(connected: Site, tmp_path: pathlib.Path, waits: list[float]) -> None:
    pair = tmp_path / "pair.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2"]
    subprocess.run([*made, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pair, "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    with pair.open("ab") as stream:
        stream.write((tmp_path / "cert.pem").read_bytes())
    depot = connected.depot()
    with ModuleProxy(connected.directory / "answers", certificate=pair) as proxy, pytest.raises(FetchFailed) as failed:
        connected.gather(depot, make_spec(projects=[path_project(make_plant(tmp_path / "plant"))]), goproxy=proxy.url)
    assert_untouched(depot)
    assert "github.com/google/uuid" in {entry["module"] for entry in failed.value.details}
    assert "certificate is not trusted" in failed.value.message and waits == []
