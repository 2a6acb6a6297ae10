# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests share: where things are on a host, and the ways in which people and programs come to call go there."""

from __future__ import annotations

import json
import os
import shlex
import typing as t

import pytest
import testinfra
from testinfra.host import Host

ROOT = "/opt/airgap-golang"
HOME = "/home/builder"

Call = t.Callable[[str], str]


def ssh_config() -> str:
    """The file with which ssh finds the test hosts."""
    return os.path.join(os.path.dirname(__file__), "../../../.build/hosts/ssh_config")


@pytest.fixture
def builder(host: Host) -> Host:
    """The same host, as the user without any rights, over a connection of its own."""
    return testinfra.get_host(f"ssh://builder@{host.backend.hostname}", ssh_config=ssh_config())


@pytest.fixture
def report(host: Host) -> dict[str, t.Any]:
    """What the newest build check on the host says."""
    generation = os.path.basename(host.check_output("readlink %s/current", ROOT)).partition("-")[0]
    found: dict[str, t.Any] = json.loads(host.file(f"{ROOT}/builds/{generation}/report.json").content_string)
    return found


@pytest.fixture
def scratch(builder: Host) -> t.Iterator[str]:
    """An empty directory of the user's own, gone afterwards."""
    path = builder.check_output("mktemp -d")
    yield path
    builder.run("chmod -R u+w %s; rm -rf %s", path, path)


def by_ssh(host: Host, builder: Host, script: str) -> str:
    """As ``ssh builder@host '…'``: neither a login shell nor an interactive one."""
    return _checked(builder, script)


def by_login_shell(host: Host, builder: Host, script: str) -> str:
    """As typed after logging in."""
    return _checked(builder, f"bash -lc {shlex.quote(script)}")


def by_empty_environment(host: Host, builder: Host, script: str) -> str:
    """As in a wrapper that clears the environment: nothing but a home, which go needs for its build cache."""
    return _checked(builder, f"env -i HOME={HOME} /bin/sh -c {shlex.quote(script)}")


def by_cron(host: Host, builder: Host, script: str) -> str:
    """As cron calls with ``PATH=`` in the crontab: go is called by its full path, and finds nothing by name."""
    return _checked(builder, f"env -i HOME={HOME} LOGNAME=builder SHELL=/bin/sh PATH= /bin/sh -c {shlex.quote(script)}")


def by_su(host: Host, builder: Host, script: str) -> str:
    """As root's scripts call for a user; they aren't in root's home, which no user may read."""
    return _checked(host, f"cd / && su builder -c {shlex.quote(script)}")


def by_unit(host: Host, builder: Host, script: str) -> str:
    """As a systemd service with ``User=`` calls."""
    return _checked(host, f"systemd-run --quiet --wait --pipe --collect -p User=builder /bin/sh -c {shlex.quote(script)}")


def by_dynamic_unit(host: Host, builder: Host, script: str) -> str:
    """As a systemd service calls whose user exists only while it runs, and who has no home."""
    settings = "-p DynamicUser=yes -p CacheDirectory=golang -p Environment=GOCACHE=/var/cache/golang -p Environment=HOME=/tmp"
    return _checked(host, f"systemd-run --quiet --wait --pipe --collect {settings} /bin/sh -c {shlex.quote(script)}")


CALLERS = (by_ssh, by_login_shell, by_empty_environment, by_cron, by_su, by_unit, by_dynamic_unit)


@pytest.fixture(params=CALLERS, ids=lambda caller: caller.__name__)
def call(request: pytest.FixtureRequest, host: Host, builder: Host) -> Call:
    """Runs a shell script in one of the ways above, and gives its output."""

    def run(script: str) -> str:
        return str(request.param(host, builder, script))

    return run


def _checked(host: Host, command: str) -> str:
    done = host.run(command)
    assert done.rc == 0, f"{command}\n{done.stdout}{done.stderr}"
    return str(done.stdout)
