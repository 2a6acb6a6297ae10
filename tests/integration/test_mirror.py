# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A generation served to others: what a mirror gives out and what it doesn't, and real builds through each kind of it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shlex
import ssl
import subprocess
import tempfile
import time
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.tests.support.deployed_depot import LOOSE, TOOLCHAINS, Ran, playbook, sealed_depot
from ansible_collections.airgap.golang.tests.support.file_server import FileServer
from ansible_collections.airgap.golang.tests.support.serving import Client, ask, free_port, served
from ansible_collections.airgap.golang.tests.support.small_generation import PLATFORM

IMMUTABLE = "public, max-age=31536000, immutable"


class Mirror:
    """A host with the whole of generation 2, and the role's servers on it, each on a port of its own."""

    def __init__(self, top: pathlib.Path, caddy: pathlib.Path) -> None:
        self.top = top
        self.caddy = caddy
        self.depot = sealed_depot()
        self.root = top / "root"
        self.goroot = toolchain.directory(str(self.depot / "cache" / "toolchains"), TOOLCHAINS[0], PLATFORM)
        self.ports: dict[str, int] = {}
        self.ran: dict[str, Ran] = {}

    def play(self, name: str, *options: str, **variables: t.Any) -> Ran:
        """Run the role by its playbook; each ``name`` has directories and a port of its own."""
        port = self.ports.setdefault(name, free_port())
        here = self.top / name
        given = {
            "airgap_golang_depot": str(self.depot),
            "airgap_golang_root": str(self.root),
            "mirror_become": False,
            "mirror_manage_service": False,
            "mirror_nginx_reload": False,
            "mirror_port": port,
            "mirror_names": ["localhost"],
            "mirror_unit_dir": str(here),
            "mirror_config_dir": str(here / "config"),
            "mirror_state_dir": str(here / "state"),
            "mirror_log_dir": str(here / "log"),
            "mirror_nginx_config": str(here / "mirror.conf"),
            "mirror_nginx_command": ["nginx", "-c", str(here / "nginx.conf"), "-p", str(here)],
            "mirror_nginx_group": "root",
            **variables,
        }
        here.mkdir(exist_ok=True)
        self.ran[name] = playbook(self.top / "ansible" / name, "mirror", given, *options)
        return self.ran[name]

    def url(self, name: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def client(self, name: str, **settings: str) -> Client:
        return Client(self.top / "clients" / name, self.goroot, self.top / "build-cache", **settings)


def changed(ran: Ran) -> int:
    recap = re.search(r"^here +: .*\bchanged=(\d+) .*\bfailed=(\d+)", ran.output, re.MULTILINE)
    assert recap and ran.status == 0 and recap.group(2) == "0", ran.output
    return int(recap.group(1))


@pytest.fixture(scope="module")
def mirror(caddy_program: pathlib.Path) -> t.Iterator[Mirror]:
    top = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-mirror-"))
    top.chmod(0o755)
    try:
        yield Mirror(top, caddy_program)
    finally:
        remove_tree(str(top))


@contextlib.contextmanager
def running(mirror: Mirror, name: str) -> t.Iterator[str]:
    """Run what the unit of ``name`` says, without systemd; its base URL."""
    unit = (mirror.top / name / "airgap-mirror.service").read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    settings = [word for line in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE) for word in shlex.split(line)]
    env = dict(setting.split("=", 1) for setting in settings)
    with served(shlex.split(start), mirror.ports[name], mirror.top / name / "server.log", env):
        yield mirror.url(name)


@pytest.fixture(scope="module")
def by_caddy(mirror: Mirror) -> t.Iterator[str]:
    """The base URL of a mirror by Caddy over plain HTTP."""
    mirror.play("caddy", mirror_program=str(mirror.caddy))
    assert changed(mirror.ran["caddy"]) > 0
    with running(mirror, "caddy") as url:
        yield url


MAIN_CONFIG = """daemon off;
pid nginx.pid;
error_log nginx-error.log;
{user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    types {{ application/octet-stream zip; }}
    {body}
}}
"""


def write_nginx(here: pathlib.Path, body: str) -> list[str]:
    """An nginx of our own in the foreground: its command."""
    here.mkdir(exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    (here / "nginx.conf").write_text(MAIN_CONFIG.format(user=user, body=body))
    return ["nginx", "-c", str(here / "nginx.conf"), "-p", str(here)]


@pytest.fixture(scope="module")
def by_nginx(mirror: Mirror) -> t.Iterator[str]:
    """The base URL of a mirror by nginx."""
    argv = write_nginx(mirror.top / "nginx", "include mirror.conf;")
    (mirror.top / "nginx" / "mirror.conf").touch()
    mirror.play("nginx", mirror_server="nginx", mirror_access_log=False)
    assert changed(mirror.ran["nginx"]) > 0
    with served(argv, mirror.ports["nginx"], mirror.top / "nginx" / "log"):
        yield mirror.url("nginx")


@pytest.fixture(params=["caddy", "nginx"])
def base(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"by_{request.param}")
    return found


def test_it_serves_the_proxy_and_says_what_may_be_kept(mirror: Mirror, base: str) -> None:
    proxy = mirror.root / "current" / "proxy"
    for name, kept in {
        "github.com/google/uuid/@v/v1.6.0.zip": IMMUTABLE,
        "github.com/google/uuid/@v/v1.6.0.mod": IMMUTABLE,
        "github.com/google/uuid/@v/v1.6.0.info": IMMUTABLE,
        "github.com/google/uuid/@v/list": "no-cache",
        "github.com/google/uuid/@latest": "no-cache",
        "sumdb/sum.golang.org/latest": "no-cache",
        "sumdb/sum.golang.org/supported": "no-cache",
        "sumdb/sum.golang.org/lookup/github.com/google/uuid@v1.6.0": "no-cache",
    }.items():
        answer = ask(f"{base}/{name}")
        assert (answer.status, answer.body, answer.headers["cache-control"]) == (200, (proxy / name).read_bytes(), kept), name
    assert ask(f"{base}/healthz").status == 200
    assert ask(f"{base}/github.com/google/uuid/@v/v1.5.0.info").status == 404


def test_it_serves_blobs_in_ranges(mirror: Mirror, base: str) -> None:
    store = mirror.root / "depot" / "blobs" / "sha256"
    largest = max(store.iterdir(), key=lambda path: path.stat().st_size)
    url = f"{base}/depot/blobs/sha256/{largest.name}"
    whole, part = ask(url), ask(url, Range="bytes=1000-1999")
    assert hashlib.sha256(whole.body).hexdigest() == largest.name and whole.headers["cache-control"] == IMMUTABLE
    assert part.status == 206 and part.body == whole.body[1000:2000]
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(whole.body)}"
    index = ask(f"{base}/depot/index.json")
    assert index.headers["cache-control"] == "no-cache" and index.headers["content-type"].startswith("application/json")
    (entry,) = json.loads(index.body)["manifests"]
    manifest = json.loads(ask(f"{base}/depot/blobs/sha256/{entry['digest'][7:]}").body)
    for blob in [manifest["config"], *manifest["layers"]]:
        head = ask(f"{base}/depot/blobs/sha256/{blob['digest'][7:]}", "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, str(blob["size"]))
    assert json.loads(ask(f"{base}/depot/oci-layout").body) == {"imageLayoutVersion": "1.0.0"}


def test_nothing_else_can_be_reached(mirror: Mirror, base: str) -> None:
    blob = next((mirror.root / "depot" / "blobs" / "sha256").iterdir()).name
    for path in (
        "/",
        "/sumdb/",
        "/github.com/google/uuid/@v/",
        "/depot",
        "/depot/",
        "/depot/audit.jsonl",
        "/depot/receipt.json",
        "/depot/blobs/",
        "/depot/blobs/sha256/",
        f"/depot/blobs/sha256/{blob[:63]}",
        f"/depot/blobs/sha256/{blob.upper()}x",
        "/depot/trees/000002/SHA256SUMS",
        "/depot/.lock",
        "/../depot/audit.jsonl",
        "/depot/../../current/state.json",
        "/..%2fstate.json",
        "/%2e%2e/state.json",
        "/%2e%2e/%2e%2e/depot/audit.jsonl",
        "/depot/blobs/sha256/../../audit.jsonl",
        "/depot/blobs/sha256/..%2f..%2faudit.jsonl",
        "/state.json",
        "/current/state.json",
        "/generation.json",
    ):
        answer = ask(base + path)
        assert answer.status in (400, 404) or (answer.status in (301, 308) and ask(base + answer.headers["location"]).status == 404), (path, answer)
        assert b"trace_id" not in answer.body and b"href" not in answer.body, path
    for method in ("PUT", "POST", "DELETE"):
        assert ask(f"{base}/github.com/google/uuid/@v/list", method).status in (404, 405)


def test_again_nothing_changes(mirror: Mirror, by_caddy: str, by_nginx: str) -> None:
    assert changed(mirror.play("caddy", "--check", "--diff", mirror_program=str(mirror.caddy))) == 0
    assert changed(mirror.play("caddy", mirror_program=str(mirror.caddy))) == 0
    assert changed(mirror.play("nginx", mirror_server="nginx", mirror_access_log=False)) == 0


def test_a_build_with_the_database_on(mirror: Mirror, base: str) -> None:
    client = mirror.client(base.rpartition(":")[2], GOPROXY=base)
    assert client.build() == "hello\n"
    assert client.asked_database()
    client.go("get", f"{LOOSE.partition('@')[0]}@latest")
    assert LOOSE.replace("@", " ") in (client.project / "go.mod").read_text()


def test_a_toolchain_comes_from_the_mirror(mirror: Mirror, by_caddy: str) -> None:
    client = mirror.client("toolchain", GOPROXY=by_caddy, GOTOOLCHAIN="auto")
    (client.project / "go.mod").write_text(f"module example.com/hello\n\ngo {TOOLCHAINS[1]}\n")
    assert client.go("version").stdout.startswith(f"go version go{TOOLCHAINS[1]} ")
    refused = mirror.client("no database", GOPROXY=by_caddy, GOTOOLCHAIN=f"go{TOOLCHAINS[1]}", GOSUMDB="off").go("version", check=False)
    assert "checksum database disabled" in refused.stderr


# -- who may read


@pytest.fixture(scope="module")
def private(mirror: Mirror) -> t.Iterator[str]:
    """The base URL of a mirror by Caddy with a certificate of its own CA and a user "reader" whose password is "hunter2"."""
    hashed = subprocess.run([mirror.caddy, "hash-password"], input="hunter2\n", capture_output=True, text=True, check=True).stdout.strip()
    mirror.play("private", "--diff", "-vvv", mirror_program=str(mirror.caddy), mirror_tls="internal", mirror_users={"reader": hashed})
    assert changed(mirror.ran["private"]) > 0 and hashed in (mirror.top / "private" / "config" / "Caddyfile").read_text()
    assert hashed[7:] not in mirror.ran["private"].output
    with running(mirror, "private"):
        url = f"https://localhost:{mirror.ports['private']}"
        deadline = time.monotonic() + 20
        # It answers before it has given itself a certificate.
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                ask(f"{url}/healthz", context=trusted(mirror))
                break
            time.sleep(0.05)
        yield url


def authority(mirror: Mirror) -> pathlib.Path:
    return mirror.top / "private" / "state" / "pki" / "authorities" / "local" / "root.crt"


def trusted(mirror: Mirror) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority(mirror)))


def test_only_users_may_read(mirror: Mirror, private: str) -> None:
    context = trusted(mirror)
    right, wrong = ("Basic " + base64.b64encode(f"reader:{password}".encode()).decode() for password in ("hunter2", "hunter3"))
    blob = f"depot/blobs/sha256/{next((mirror.root / 'depot' / 'blobs' / 'sha256').iterdir()).name}"
    for path in ("golang.org/toolchain/@v/list", "depot/index.json", blob):
        assert ask(f"{private}/{path}", context=context).status == 401
        assert ask(f"{private}/{path}", context=context, Authorization=wrong).status == 401
        assert ask(f"{private}/{path}", context=context, Authorization=right).status == 200
    assert ask(f"{private}/healthz", context=context).status == 200
    client = mirror.client("private", GOPROXY=private, SSL_CERT_FILE=str(authority(mirror)))
    assert client.go("mod", "tidy", check=False).returncode != 0
    # Go compares the machine with the URL's host and port.
    (client.top / ".netrc").write_text(f"machine localhost:{mirror.ports['private']} login reader password hunter2\n")
    assert client.build() == "hello\n" and client.asked_database()


def test_the_log_says_who_asked_for_what(mirror: Mirror, private: str) -> None:
    log = mirror.top / "private" / "log" / "access.log"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(entry["request"]["uri"] == "/depot/index.json" and entry["status"] == 200 and entry["user_id"] == "reader" for entry in entries)
    assert "hunter2" not in log.read_text()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"mirror_users": {"reader": "$2y$05$" + "a" * 53}}, "mirror_users needs mirror_tls"),
        ({"mirror_users": {"reader": "hunter2"}, "mirror_tls": "internal"}, "must be a bcrypt hash"),
        ({}, "carries no caddy for"),
    ],
)
def test_what_cannot_be_is_refused_by_name(mirror: Mirror, by_caddy: str, variables: dict[str, t.Any], sentence: str) -> None:
    ran = mirror.play("refused", **variables)
    assert ran.status != 0 and sentence in ran.output and "hunter2" not in ran.output
    assert not (mirror.top / "refused" / "config" / "Caddyfile").exists()


def test_a_block_that_nginx_refuses_leaves_the_one_before(mirror: Mirror, by_nginx: str) -> None:
    block = mirror.top / "nginx" / "mirror.conf"
    before = block.read_text()
    files = {"mirror_tls": "files", "mirror_tls_certificate": "/nowhere.pem", "mirror_tls_key": "/nowhere.key"}
    ran = mirror.play("nginx", mirror_server="nginx", mirror_access_log=False, **files)
    assert ran.status != 0 and "nginx refuses its configuration" in ran.output and "/nowhere.pem" in ran.output
    assert block.read_text() == before and sorted(path.name for path in block.parent.glob("mirror.conf*")) == ["mirror.conf"]


# -- chains of proxies


def test_a_chain_goes_on_where_a_mirror_has_nothing(mirror: Mirror, by_caddy: str) -> None:
    files = f"file://{mirror.root}/current/proxy"
    with FileServer() as empty:
        client = mirror.client("chain", GOPROXY=f"{empty.url('')},{files}")
        assert client.build() == "hello\n" and client.asked_database()
        assert ("GET", "/sumdb/sum.golang.org/supported") in empty.asked
    refused = mirror.client("off", GOPROXY=f"{by_caddy},off").go("get", "example.org/nobody/has@v1.0.0", check=False)
    assert "disabled by GOPROXY=off" in refused.stderr


def test_a_mirror_that_is_down_is_passed_over_by_a_bar_alone(mirror: Mirror) -> None:
    dead, files = f"http://127.0.0.1:{free_port()}", f"file://{mirror.root}/current/proxy"
    assert mirror.client("comma", GOPROXY=f"{dead},{files}").go("mod", "tidy", check=False).returncode != 0
    client = mirror.client("bar", GOPROXY=f"{dead}|{files}")
    assert client.build() == "hello\n" and client.asked_database()


def test_private_patterns_decide_who_is_asked(mirror: Mirror, by_caddy: str) -> None:
    private = mirror.client("goprivate", GOPROXY=by_caddy, GOPRIVATE="golang.org/x/*")
    assert private.go("mod", "tidy", check=False).returncode != 0, "GOPRIVATE doesn't pass the mirror by"
    assert private.build(GONOPROXY="none") == "hello\n" and not private.asked_database()
    unchecked = mirror.client("gonosumdb", GOPROXY=by_caddy, GONOSUMDB="golang.org/x/*")
    assert unchecked.build() == "hello\n" and not unchecked.asked_database()
    named = mirror.client("gosumdb", GOPROXY=by_caddy, GOSUMDB=f"sum.golang.org file://{mirror.root}/current/proxy/sumdb/sum.golang.org")
    assert named.build() == "hello\n" and named.asked_database()


# -- other servers


def check_other_server(mirror: Mirror, name: str, program: str) -> None:
    """Bring the role's files for it; its zips are the depot's own files."""
    mirror.play(name, mirror_server=name, mirror_program=program)
    assert changed(mirror.ran[name]) > 0
    layout = mirror.root / "layouts" / name / "current"
    zips = list(layout.rglob("*.zip"))
    assert len(zips) > 3 and all(path.stat().st_nlink > 2 for path in zips)
    assert changed(mirror.play(name, "--check", mirror_server=name, mirror_program=program)) == 0


# These are there or they aren't: the public module proxy doesn't have them for everybody, and Athens takes minutes to build.
if os.environ.get("AIRGAP_GOLANG_GOPROXY"):

    def test_goproxy(mirror: Mirror) -> None:
        program = os.environ["AIRGAP_GOLANG_GOPROXY"]
        check_other_server(mirror, "goproxy", program)
        client = mirror.client("goproxy", GOPROXY=mirror.url("goproxy"))
        with running(mirror, "goproxy") as url:
            assert ask(f"{url}/github.com/google/uuid/@v/list").body == b"v1.6.0\n"
            assert client.build() == "hello\n" and client.asked_database()
            client.go("get", f"{LOOSE.partition('@')[0]}@latest")
        assert changed(mirror.play("goproxy", mirror_server="goproxy", mirror_program=program)) == 0, "serving changed what is served"


if os.environ.get("AIRGAP_GOLANG_ATHENS"):

    def test_athens(mirror: Mirror) -> None:
        program = os.environ["AIRGAP_GOLANG_ATHENS"]
        check_other_server(mirror, "athens", program)
        with running(mirror, "athens") as url:
            assert ask(f"{url}/github.com/google/uuid/@v/list").body == b"v1.6.0"
            assert ask(f"{url}/healthz").status == 200
            assert ask(f"{url}/sumdb/sum.golang.org/supported").status == 404
            alone = mirror.client("athens alone", GOPROXY=url)
            assert alone.go("mod", "tidy", check=False).returncode != 0, "it has a database after all"
            files = f"{mirror.root}/current/proxy"
            chained = mirror.client("athens chain", GOPROXY=f"{url},file://{files}")
            assert chained.build() == "hello\n" and chained.asked_database()
            named = mirror.client("athens", GOPROXY=f"{url},off", GOSUMDB=f"sum.golang.org file://{files}/sumdb/sum.golang.org")
            assert named.build() == "hello\n" and named.asked_database()
        assert changed(mirror.play("athens", mirror_server="athens", mirror_program=program)) == 0


def test_a_raw_repository_by_put(mirror: Mirror, tmp_path: pathlib.Path) -> None:
    """nginx takes PUT as WebDAV servers do, and wants a password; the whole of it goes there and a build comes out."""
    port = free_port()
    hashed = subprocess.run(["openssl", "passwd", "-apr1", "hunter2"], check=True, capture_output=True, text=True).stdout.strip()
    here = tmp_path / "dav"
    body = f"""server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            root files;
            dav_methods PUT;
            create_full_put_path on;
            limit_except GET HEAD {{ auth_basic "raw"; auth_basic_user_file users; }}
        }}
    }}"""
    argv = write_nginx(here, body)
    (here / "users").write_text(f"publisher:{hashed}\n")
    (here / "files").mkdir()
    url = f"http://127.0.0.1:{port}/go-raw"

    def upload(*options: str, **more: t.Any) -> Ran:
        given = {"depot": str(mirror.depot), "url": url, "contents": ["proxy", "depot"], "url_username": "publisher", "url_password": "hunter2", **more}
        ran = playbook(tmp_path / "ansible", [{"name": "Upload", "airgap.golang.upload": given}], {}, *options)
        assert "hunter2" not in ran.output
        return ran

    with served(argv, port, here / "log"):
        assert changed(upload("--check", "--diff")) == 1 and list((here / "files").iterdir()) == []
        refused = upload(url_password="wrong")
        assert refused.status != 0 and refused.results["Upload"]["failure"]["code"] == "upload_failed" and "401" in refused.output
        done = upload("-vvv")
        assert changed(done) == 1 and done.results["Upload"]["present"] == 0
        assert done.results["Upload"]["sent"] == sum(1 for path in (here / "files").rglob("*") if path.is_file())
        again = upload()
        assert changed(again) == 0 and again.results["Upload"]["present"] == done.results["Upload"]["sent"]
        client = mirror.client("raw", GOPROXY=url)
        assert client.build() == "hello\n" and client.asked_database()
        client.go("get", f"{LOOSE.partition('@')[0]}@latest")
    wanted = Depot(str(mirror.depot)).index()
    index = json.loads((here / "files" / "go-raw" / "depot" / "index.json").read_text())
    assert [entry["digest"] for entry in index["manifests"]] == [wanted[max(wanted)]]
