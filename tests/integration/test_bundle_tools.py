# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles and depots in the hands of other programs: with nothing of ours installed."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import subprocess
import threading
import time
import typing as t
import urllib.request

from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.tests.support.receiving import run
from ansible_collections.airgap.golang.tests.support.small_depot import PRINCIPAL, SmallSite


def test_an_auditor_checks_it_with_what_every_unix_has(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    """The README's own lines."""
    place = tmp_path / "bundle"
    place.mkdir()
    run("tar", "-xf", str(small_site.first_bundle), "-C", str(place))
    readme = (place / "README").read_text()
    assert small_site.first.digest in readme
    lines = [line.strip() for line in readme.splitlines() if line.startswith("  ssh-keygen") or line.startswith("  sha256sum")]
    assert len(lines) == 3
    for line in lines:
        command = line.replace("ALLOWED_SIGNERS", str(small_site.allowed_signers)).replace("PRINCIPAL", PRINCIPAL)
        run("sh", "-ec", command, cwd=place)
    run("sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS", cwd=place)
    listed = {line[66:] for line in (place / "SHA256SUMS").read_text().splitlines()}
    assert listed | {"SHA256SUMS", "SHA256SUMS.sig"} == {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert json.loads(run("skopeo", "inspect", "--raw", f"oci:{place}:000001")) == json.loads(small_site.first.manifest.encode())


def test_a_tree_checks_itself(small_site: SmallSite) -> None:
    run("sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS", cwd=pathlib.Path(small_site.depot.tree(Ref(1, True))))


def test_oci_tools_read_depots_and_bundles(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    for source in (f"oci:{small_site.depot.path}:000001", f"oci-archive:{small_site.first_bundle}:000001"):
        assert oci.digest_of(run("skopeo", "inspect", "--raw", source)) == small_site.first.digest
    copy = "skopeo", "--insecure-policy", "copy", "--quiet"
    run(*copy, f"oci:{small_site.depot.path}:000001", f"oci:{tmp_path / 'other'}:000001")
    other = Depot(str(tmp_path / "other"))
    assert other.generation(Ref(1, True)).digest == small_site.first.digest
    assert other.blobs.missing(small_site.first.manifest.blobs()) == []
    run(*copy, f"oci-archive:{small_site.first_bundle}:000001", f"dir:{tmp_path / 'dir'}")
    assert oci.digest_of((tmp_path / "dir" / "manifest.json").read_bytes()) == small_site.first.digest


@contextlib.contextmanager
def registry(directory: pathlib.Path) -> t.Iterator[str]:
    """Debian's docker-registry on a free port of the loopback interface: its host:port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    directory.mkdir()
    settings = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(directory / "data")}}, "http": {"addr": address}}
    (directory / "config.yml").write_text(json.dumps(settings))
    with open(directory / "log", "wb") as log, subprocess.Popen(
        ["docker-registry", "serve", str(directory / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    ) as server:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, (directory / "log").read_text()
                    assert time.monotonic() < deadline, (directory / "log").read_text()
                    threading.Event().wait(0.05)
            yield address
        finally:
            server.terminate()


def test_a_stock_registry_carries_generations(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    copy = "skopeo", "--insecure-policy", "copy", "--quiet"
    with registry(tmp_path / "registry") as address:
        remote = f"docker://{address}/site/small:000001"
        run(*copy, "--dest-tls-verify=false", f"oci:{small_site.depot.path}:000001", remote)
        assert oci.digest_of(run("skopeo", "inspect", "--raw", "--tls-verify=false", remote)) == small_site.first.digest
        run(*copy, "--src-tls-verify=false", remote, f"oci:{tmp_path / 'pulled'}:000001")
    pulled = Depot(str(tmp_path / "pulled"))
    assert pulled.generation(Ref(1, True)) == small_site.first
    for digest in small_site.first.manifest.blobs():
        assert b"".join(pulled.blobs.chunks(digest)) == b"".join(small_site.depot.blobs.chunks(digest))
