# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""airgap.golang.lock_diff with real module zips and the vulnerability database that govulncheck's own tests use."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._content import lock as locks
from ansible_collections.airgap.golang.plugins.module_utils._content.lock import Lock
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._policy.advisories import Advisories
from ansible_collections.airgap.golang.plugins.module_utils._policy.licences import Licences
from ansible_collections.airgap.golang.tests.support.gathering import Site
from ansible_collections.airgap.golang.tests.support.locking import modules
from ansible_collections.airgap.golang.tests.support.small_depot import UUID, Composer, SmallSite

TEXT = "golang.org/x/text"
VULN = "golang.org/x/vuln@v1.9.0"


def downloaded(site: Site, *ats: str) -> dict[tuple[str, str], dict[str, t.Any]]:
    """What ``go mod download -json`` says of these."""
    environment = {**site.shell(), "GOPROXY": site.proxy.url, "GOMODCACHE": str(site.directory / "vulndb-modcache"), "GOFLAGS": "-modcacherw"}
    found = {}
    for at in ats:
        finished = subprocess.run(
            ["go", "mod", "download", "-json", at], env=environment, cwd=site.directory, text=True, capture_output=True, check=True, timeout=300
        )
        module = json.loads(finished.stdout)
        found[(module["Path"], module["Version"])] = module
    return found


@pytest.fixture(scope="module")
def vulndb(connected: Site) -> pathlib.Path:
    module = next(iter(downloaded(connected, VULN).values()))
    return pathlib.Path(module["Dir"]) / "cmd" / "govulncheck" / "testdata" / "common" / "vulndb-v1"


def test_a_real_database_is_read(vulndb: pathlib.Path) -> None:
    with Advisories(str(vulndb)) as known:
        assert "GO-2021-0113" in known(TEXT, "v0.3.6")
        assert "GO-2021-0113" not in known(TEXT, "v0.3.7")
        for module in json.loads((vulndb / "index" / "modules.json").read_text()):
            if module["path"] not in ("stdlib", "toolchain"):
                # Whatever the entries say, they can be read.
                assert known(module["path"], "v0.0.0") <= {entry["id"] for entry in module["vulns"]}
    with Advisories(str(vulndb.parents[1] / "stdlib" / "vulndb-v1")) as known:
        assert [sorted(known("toolchain", version)) for version in ("1.18.5", "1.18.6", "1.19", "1.19.1")] == [["GO-2022-0969"], [], ["GO-2022-0969"], []]


def test_real_zips_have_licences(connected: Site) -> None:
    zips = {version: str(module["Zip"]) for version, module in downloaded(connected, VULN, UUID_AT, "rsc.io/sampler@v1.3.0").items()}
    licences = Licences(lambda module, version: zips.get((module, version)))
    assert [licences(*version) for version in zips] == ["BSD-3-Clause", "BSD-3-Clause", "BSD-3-Clause"]
    assert licences.warnings == []


UUID_AT = "@".join(UUID)


def diff(site: Site, directory: pathlib.Path, **params: t.Any) -> dict[str, t.Any]:
    return site.module("lock_diff", {"old": str(directory / "old"), "new": str(directory / "new"), **params})


def test_the_module_says_what_moved(connected: Site, vulndb: pathlib.Path, tmp_path: pathlib.Path, small_site: SmallSite) -> None:
    depot = Depot(str(tmp_path / "depot"))
    composer = Composer(depot, tmp_path / "scratch")
    composer.admit(composer.compose(1, [small_site.modules[UUID]]))
    locks.write(str(tmp_path / "old"), Lock(modules=modules(f"{TEXT}@v0.3.6")))
    locks.write(str(tmp_path / "new"), Lock({f"module {TEXT}@latest": "v0.3.7"}, modules(f"{TEXT}@v0.3.7", UUID_AT, gomods=["a.io/x@v1.0.0"])))
    answer = diff(connected, tmp_path, vulndb=str(vulndb), depot=depot.path)
    assert answer["changed"] and "warnings" not in answer
    assert answer["words"] == [
        f"added {UUID[0]} {UUID[1]} (BSD-3-Clause)",
        f"moved up {TEXT} v0.3.6 → v0.3.7, fixes GO-2021-0113",
        "added 1 module version as go.mod alone",
        f"pinned module {TEXT}@latest at v0.3.7",
    ]
    assert [change["kind"] for change in answer["changes"]] == ["added", "moved_up", "added", "added"]
    assert answer["diff"] == {"before": (tmp_path / "old").read_text(), "after": (tmp_path / "new").read_text()}


def test_the_same_lock_and_the_first_lock(connected: Site, tmp_path: pathlib.Path) -> None:
    locks.write(str(tmp_path / "new"), Lock(modules=modules("a.io/x@v1.0.0")))
    first = diff(connected, tmp_path)
    assert first["changed"] and first["words"] == ["added a.io/x v1.0.0"] and first["diff"]["before"] == ""
    (tmp_path / "old").write_bytes((tmp_path / "new").read_bytes())
    same = diff(connected, tmp_path)
    assert not same["changed"] and same["changes"] == []


@pytest.mark.parametrize(
    ("prepare", "params", "code", "words"),
    [
        (lambda directory: None, {}, "spec_invalid", "there is no lock"),
        (lambda directory: (directory / "new").write_text("<<<<<<< ours\n"), {}, "lock_damaged", "merge conflict"),
        (lambda directory: locks.write(str(directory / "new"), Lock()), {"depot": "nowhere"}, "spec_invalid", "there is no depot nowhere"),
        (lambda directory: locks.write(str(directory / "new"), Lock()), {"vulndb": "nowhere"}, "vulndb_damaged", "nowhere"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    connected: Site, tmp_path: pathlib.Path, prepare: t.Callable[[pathlib.Path], t.Any], params: dict[str, str], code: str, words: str
) -> None:
    prepare(tmp_path)
    answer = diff(connected, tmp_path, **params)
    assert answer["failed"] and answer["failure"]["code"] == code and words in answer["msg"]
