# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project that other tests carry across the gap is sound by the go command's own word, private module included."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest

from ansible_collections.airgap.golang.tests.support.private_git import MODULE, VERSION, make_plant, make_private_git


class Site:
    def __init__(self, directory: pathlib.Path) -> None:
        self.environment = {**os.environ, **make_private_git(directory / "git"), "CGO_ENABLED": "0", "GOWORK": "off"}
        self.plant = make_plant(directory / "plant")

    def go(self, *arguments: str) -> str:
        finished = subprocess.run(["go", *arguments], cwd=self.plant, env=self.environment, text=True, capture_output=True, timeout=300, check=False)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


def test_go_mod_and_go_sum_are_what_go_would_write(site: Site) -> None:
    assert site.go("mod", "tidy", "-diff") == ""


def test_the_private_module_is_the_same_each_time(site: Site) -> None:
    module = json.loads(site.go("mod", "download", "-json", f"{MODULE}@{VERSION}"))
    assert f"{MODULE} {VERSION} {module['Sum']}\n" in (site.plant / "go.sum").read_text()
    origin = json.loads(pathlib.Path(module["Info"]).read_text())["Origin"]
    assert (origin["URL"], origin["Hash"]) == ("https://git.corp.example/telemetry", "4489e403a86257823f6619b2be1cdf1da16d04fe")


def test_the_generated_file_is_up_to_date(site: Site) -> None:
    generated = site.plant / "internal" / "plant" / "machines.go"
    before = generated.read_text()
    generated.unlink()
    site.go("generate", "./...")
    assert generated.read_text() == before


def test_it_builds_and_its_tests_pass(site: Site, tmp_path: pathlib.Path) -> None:
    site.go("vet", "./...")
    site.go("test", "./...")
    site.go("build", "-trimpath", "-buildvcs=false", "-o", str(tmp_path) + os.sep, "./cmd/...")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plantctl", "plantd"]
    assert "oven-2: running" in subprocess.run([tmp_path / "plantctl"], text=True, capture_output=True, check=True, timeout=60).stdout


def test_it_vendors(site: Site) -> None:
    site.go("mod", "vendor")
    assert (site.plant / "vendor" / "git.corp.example" / "telemetry.git" / "telemetry.go").is_file()
    site.go("build", "-mod=vendor", "./...")
