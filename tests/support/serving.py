# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that tests start on loopback, what they answer, and a go command whose only network is loopback."""

from __future__ import annotations

import contextlib
import http.client
import os
import pathlib
import socket
import ssl
import subprocess
import time
import typing as t
import urllib.parse

from ansible_collections.airgap.golang.tests.support.deployed_depot import MAIN


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(argv: t.Sequence[str], port: int, log: pathlib.Path, env: t.Optional[t.Mapping[str, str]] = None) -> t.Iterator[subprocess.Popen[bytes]]:
    """Run a server that stays in the foreground until the body ends; the body begins when it answers on ``port``."""
    with log.open("ab") as stream:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env={**os.environ, **(env or {})})
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None and time.monotonic() < deadline, f"{argv}: {log.read_text()}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(30)


class Answer(t.NamedTuple):
    """``headers`` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, method: str = "GET", context: t.Optional[ssl.SSLContext] = None, **headers: str) -> Answer:
    """One request with exactly this path: nothing in it is cleaned up. Redirects aren't followed."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=30, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, parts.path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


class Client:
    """Somebody who has a go command, empty caches and a project that imports a module without having a go.sum.

    :param goroot: the toolchain.
    :param build_cache: a GOCACHE that may be shared, since its entries don't depend on where modules come from.
    """

    def __init__(self, top: pathlib.Path, goroot: str, build_cache: pathlib.Path, **settings: str) -> None:
        self.top = top
        self.project = top / "project"
        self.project.mkdir(parents=True)
        (self.project / "go.mod").write_text("module example.com/hello\n\ngo 1.26.0\n")
        (self.project / "main.go").write_text(MAIN)
        self.go_binary = os.path.join(goroot, "bin", "go")
        # Whatever leaves this machine goes to a port where nobody listens; loopback needs no proxy, says Go.
        nowhere = f"http://127.0.0.1:{free_port()}"
        self.env = {
            "HOME": str(top),
            "PATH": "/usr/bin:/bin",
            "GOENV": "off",
            "GOPATH": str(top / "go"),
            "GOCACHE": str(build_cache),
            "GOFLAGS": "-modcacherw",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
            "HTTPS_PROXY": nowhere,
            "HTTP_PROXY": nowhere,
            **settings,
        }

    def go(self, *arguments: str, check: bool = True, settings: t.Optional[t.Mapping[str, str]] = None) -> subprocess.CompletedProcess[str]:
        argv = [self.go_binary, *arguments]
        done = subprocess.run(argv, cwd=self.project, env={**self.env, **(settings or {})}, capture_output=True, text=True, check=False, timeout=300)
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def build(self, **settings: str) -> str:
        """Resolve, download, check and build from nothing; what the program says."""
        self.go("mod", "tidy", settings=settings)
        self.go("build", "-o", str(self.top / "hello"), ".", settings=settings)
        return subprocess.run([self.top / "hello"], check=True, capture_output=True, text=True).stderr

    def asked_database(self) -> bool:
        """Whether it has proofs from the checksum database, which it keeps."""
        return (self.top / "go" / "pkg" / "sumdb" / "sum.golang.org" / "latest").is_file()
