# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment leaves on a host: read-only for users, and nothing touched that isn't its own."""

from __future__ import annotations

import typing as t

import pytest

ROOT = "/opt/airgap-golang"
UNCHANGED = {
    "/etc": "755 root root",
    "/home": "755 root root",
    "/opt": "755 root root",
    "/root": "700 root root",
    "/tmp": "1777 root root",
    "/usr": "755 root root",
    "/usr/local": "755 root root",
    "/usr/local/bin": "755 root root",
    "/var": "755 root root",
}


def test_permissions_of_the_system_are_unchanged(host: t.Any) -> None:
    found = {path: host.check_output("stat -c '%%a %%U %%G' %s", path) for path in UNCHANGED}
    assert found == UNCHANGED


def test_nothing_else_was_written(host: t.Any) -> None:
    """Everything below /etc and /usr that changed since sshd started, which is before anybody could log in."""
    changed = host.check_output("find /etc /usr -xdev -newer /run/sshd.pid").split()
    assert sorted(changed) == ["/usr/local/bin", "/usr/local/bin/go", "/usr/local/bin/gofmt", "/usr/local/bin/hello"]


def test_links(host: t.Any) -> None:
    for tool in ("go", "gofmt"):
        assert host.check_output("readlink /usr/local/bin/%s", tool) == f"{ROOT}/current/bin/{tool}"
        assert host.check_output("readlink -f /usr/local/bin/%s", tool).startswith(f"{ROOT}/")
    assert host.check_output("readlink /usr/local/bin/hello") == f"{ROOT}/current/tools/hello"
    assert host.check_output("env -i /usr/local/bin/hello") == "Hello, world!"


def test_all_of_it_is_roots(host: t.Any) -> None:
    assert host.check_output("find %s ! -user root", ROOT) == ""


def test_nothing_is_writable_for_others(host: t.Any) -> None:
    assert host.check_output("find %s ! -type l -perm /022", ROOT) == ""


@pytest.mark.parametrize("place", ["", "modcache", "modcache/cache/download", "current/", "current/projects/yq", "current/proxy", "depot", "builds"])
def test_a_user_writes_nowhere(builder: t.Any, place: str) -> None:
    done = builder.run("touch %s/%s/written-by-a-user", ROOT, place)
    assert done.rc != 0
    assert "Permission denied" in done.stderr, done.stderr


def test_a_user_reads_everything_that_go_needs(builder: t.Any) -> None:
    for place in ("modcache", "current/", "current/proxy/", "current/projects/"):
        # cache/airgap is the deployment's own record of what it unpacked, below a name that go leaves alone.
        unreadable = builder.check_output("find %s/%s -path '*/cache/airgap' -prune -o '(' ! -readable -o -type d ! -executable ')' -print", ROOT, place)
        assert unreadable == ""


def test_a_user_cannot_clean_the_cache(host: t.Any, builder: t.Any) -> None:
    before = host.check_output("find %s/modcache | wc -l", ROOT)
    assert int(before) > 1000
    builder.run("/usr/local/bin/go clean -modcache")
    assert host.check_output("find %s/modcache | wc -l", ROOT) == before
