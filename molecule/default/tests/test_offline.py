# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts are what the other tests take them for: no route out, no name server, no Go but ours."""

from __future__ import annotations

import typing as t

import pytest

CONNECT = """
import errno, socket
try:
    socket.create_connection(("192.0.2.1", 443), 5)
except OSError as exc:
    print(errno.errorcode.get(exc.errno))
"""
LOOK_UP = """
import socket
try:
    print(socket.getaddrinfo("golang.example", 443))
except socket.gaierror:
    print("refused")
"""


@pytest.mark.parametrize(("program", "answer"), [(CONNECT, "ENETUNREACH"), (LOOK_UP, "refused")], ids=["connect", "look up"])
def test_no_network(host: t.Any, builder: t.Any, program: str, answer: str) -> None:
    for user in (host, builder):
        assert user.check_output("timeout 5 python3 -c %s", program) == answer


def test_no_default_route(host: t.Any) -> None:
    routes = [line.split() for line in host.check_output("cat /proc/net/route").splitlines()[1:]]
    assert [route[1] for route in routes if route[1] == "00000000"] == []


def test_no_compiler(host: t.Any) -> None:
    assert host.run("command -v gcc cc git").stdout == ""
