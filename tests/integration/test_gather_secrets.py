# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy and a git server behind passwords: these are used, and nobody gets to see them."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import os
import pathlib
import re
import subprocess
import threading
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.airgap.golang.tests.support.gathering import UUID, Site, make_spec
from ansible_collections.airgap.golang.tests.support.module_proxy import ModuleProxy
from ansible_collections.airgap.golang.tests.support.watching import watched_arguments

PASSWORD = "hunter2-is-not-it"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A key and a certificate for 127.0.0.1, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "proxy.corp.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "proxy.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


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


class _Git(http.server.BaseHTTPRequestHandler):
    """git's smart protocol by git's own http-backend, for those who know the password."""

    root: str
    authorized: list[str]

    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        import base64

        wanted = "Basic " + base64.b64encode(f"gopher:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        self.authorized.append(self.path)
        path, _mark, query = self.path.partition("?")
        environment = {
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "PATH": os.environ["PATH"],
        }
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True, timeout=60, check=True).stdout
        head, _gap, content = answer.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().split("\r\n"):
            name, _colon, value = line.partition(": ")
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET


def test_a_git_servers_password_stays_secret(connected: Site) -> None:
    depot = connected.depot()
    authorized: list[str] = []
    handler = type("Handler", (_Git,), {"root": str(connected.directory / "git"), "authorized": authorized})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        url = f"http://gopher:{PASSWORD}@127.0.0.1:{server.server_address[1]}/telemetry.git"
        project = {"name": "telemetry", "source": {"git": url, "ref": "v1.0.0"}}
        params = {"depot": depot.path, "name": "test", "toolchains": [{"version": "1.26.8"}], "goproxy": connected.proxy.url}
        with watched_arguments() as arguments:
            good = connected.module("gather", {**params, "projects": [project]})
            bad = connected.module("gather", {**params, "projects": [{"name": "telemetry", "source": {"git": url, "ref": "v9"}}]})
    finally:
        server.shutdown()
        server.server_close()
    assert good.get("changed"), good
    assert authorized and "no such branch or tag" in bad["msg"]
    assert any("ls-remote" in argument for argument in arguments), "git was not seen: the watch is blind"
    assert [argument for argument in arguments if PASSWORD in argument] == []
    assert PASSWORD not in json.dumps([good, bad])
    assert [path for path, content in everything_written(depot.path) if PASSWORD.encode() in content] == []


def test_a_spec_never_holds_a_password() -> None:
    spec = make_spec(projects=[{"name": "p", "source": {"git": f"https://gopher:{PASSWORD}@git.corp.example/p.git", "ref": "main"}}])
    assert PASSWORD not in json.dumps(spec.normal()) and spec.normal()["projects"][0]["git"] == "https://git.corp.example/p.git"
