# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A company's real servers on loopback: git over HTTPS by git's own http-backend, git over SSH by a real sshd, and the tunnel that finds them by name."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import http.server
import ipaddress
import os
import pathlib
import select
import shutil
import socket
import ssl
import subprocess
import threading
import types
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_certificate(path: pathlib.Path, *names: str) -> pathlib.Path:
    """A key and a self-signed certificate for 127.0.0.1 and ``names``, good for an hour, in one PEM file. It's its own CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server.corp.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class _Served:
    """A context manager around a server in threads."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler], **attributes: t.Any) -> None:
        self._server = _Server(("127.0.0.1", 0), type("Handler", (handler,), {**attributes, "site": self}))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> t.Any:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: types.TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Clients that don't trust the certificate are part of the tests."""


class HttpsGit(_Served):
    """Repositories below ``root`` over git's smart protocol, for those who send one of the Authorization headers in ``allowed`` (empty: all).

    ``authorized``, ``refused``: the paths of requests. ``imports``: the HTML that ``?go-get=1`` is answered with, which wants a
    header in ``imports_allowed``.

    :param certificate: a PEM file with key and certificate; None for plain http.
    """

    def __init__(self, root: pathlib.Path, certificate: pathlib.Path | None, *allowed: str) -> None:
        super().__init__(_Git)
        self.root = root
        self.allowed = set(allowed)
        self.authorized: list[str] = []
        self.refused: list[str] = []
        self.imports = ""
        self.imports_allowed: set[str] = set()
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake is the thread's: a client that doesn't trust us must not hold the others up.
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
            self.scheme = "https"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"


class _Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Say nothing."""

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Git(_Quiet):
    site: HttpsGit

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        path, _mark, query = self.path.partition("?")
        imports = query == "go-get=1"
        allowed = self.site.imports_allowed if imports else self.site.allowed
        if allowed and self.headers.get("Authorization") not in allowed:
            self.site.refused.append(self.path)
            self.say(401, b"who are you?", WWW_Authenticate='Basic realm="git"')
            return
        self.site.authorized.append(self.path)
        if imports:
            self.say(200 if self.site.imports else 404, self.site.imports.encode(), Content_Type="text/html")
            return
        environment = {
            "GIT_PROJECT_ROOT": str(self.site.root),
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
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.say(int(headers.pop("Status", "200").split()[0]), content, **headers)

    do_POST = do_GET


class Tunnel(_Served):
    """An HTTPS_PROXY that leads every host name to ``target``; ``asked``: the names."""

    def __init__(self, target: str) -> None:
        super().__init__(_Connect)
        self.target = target
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{self.address}"


class _Connect(_Quiet):
    site: Tunnel

    def do_CONNECT(self) -> None:  # pylint: disable=invalid-name
        self.site.asked.append(self.path)
        host, port = self.site.target.split(":")
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            while True:
                for ready in select.select(list(ends), [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        self.close_connection = True
                        return
                    ends[ready].sendall(data)


class SshGit:
    """A context manager: an sshd for the user that runs the tests, on a port of 127.0.0.1, and what ssh needs to trust and be trusted.

    ``key``: the client's private key, without a passphrase. ``known_hosts``: a file that knows the server by its alias git.corp.example.
    """

    ALIAS = "git.corp.example"

    def __init__(self, directory: pathlib.Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.key, self._host_key = directory / "client", directory / "host"
        for path in (self.key, self._host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path], check=True, timeout=60)
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text(f"{self.ALIAS} {self._host_key.with_suffix('.pub').read_text()}")
        shutil.copy(self.key.with_suffix(".pub"), directory / "authorized_keys")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.said: list[str] = []

    def ssh_command(self, key: pathlib.Path | None = None, known_hosts: pathlib.Path | None = None) -> str:
        """A GIT_SSH_COMMAND with a configuration of its own: ssh looks for ~/.ssh by the account, not by HOME."""
        config = self._directory / f"config-{len(list(self._directory.iterdir()))}"
        config.write_text(
            f"Host {self.ALIAS}\n  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n  HostKeyAlias {self.ALIAS}\n"
            f"  IdentityFile {key or self.key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {known_hosts or self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )
        return f"ssh -F {config}"

    def __enter__(self) -> SshGit:
        if os.geteuid() == 0:
            # sshd as root insists on it; the service makes it where there is one.
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = self._directory / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self._host_key}\nAuthorizedKeysFile {self._directory}/authorized_keys\nPidFile none\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        )
        sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin") or "sshd"
        self._process = subprocess.Popen([sshd, "-D", "-e", "-f", config], stderr=subprocess.PIPE, text=True)
        stderr: t.Any = self._process.stderr
        for line in stderr:
            self.said.append(line)
            if "Server listening" in line:
                break
        else:
            raise AssertionError(f"sshd doesn't start: {self.said}")
        threading.Thread(target=lambda: self.said.extend(stderr), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: types.TracebackType | None) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
