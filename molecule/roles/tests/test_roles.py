# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one role alone brings to a host, and what the roles are together."""

from __future__ import annotations

import json
import typing as t

UUID = "github.com/google/uuid@v1.6.0"


def names(host: t.Any, path: str) -> set[str]:
    """What a directory holds; nothing when there is none."""
    return set(host.run("ls -A %s", path).stdout.split())


def test_toolchain_alone(host: t.Any) -> None:
    root = "/opt/only-toolchain"
    version = host.check_output("env -i HOME=/root GOTOOLCHAIN=local %s/links/go version", root)
    assert version == "go version go1.26.8 linux/amd64"
    assert host.file(f"{root}/links/gofmt").is_symlink
    assert names(host, f"{root}/current/projects/") == set()
    assert not host.file(f"{root}/modcache/{UUID}").exists


def test_modcache_alone(host: t.Any) -> None:
    root = "/opt/only-modcache"
    assert host.file(f"{root}/modcache/{UUID}/go.mod").content_string.startswith("module github.com/google/uuid")
    assert host.file(f"{root}/modcache/cache/download/github.com/google/uuid/@v/v1.6.0.ziphash").content_string.startswith("h1:")
    assert names(host, f"{root}/current/projects/") == set()


def test_goenv_alone(host: t.Any) -> None:
    """There is no toolchain that it could apply to, so it is what a toolchain would be given that came later."""
    found = host.check_output("find /opt/only-goenv -name go.env -exec cat {} +")
    assert "GOPROXY=file:///opt/only-goenv/current/proxy\n" in found
    assert "GOSUMDB=sum.golang.org\n" in found


def test_project_alone(host: t.Any) -> None:
    root = "/opt/only-project"
    assert names(host, f"{root}/current/projects/") == {"yq"}
    assert {"go.mod", "go.sum", "vendor"} <= names(host, f"{root}/current/projects/yq")
    assert not host.file(f"{root}/current/bin/go").exists


def test_tools_alone(host: t.Any) -> None:
    """They need no Go, and no more than being called."""
    root = "/opt/only-tools"
    assert names(host, f"{root}/links") == names(host, f"{root}/current/tools/") == {"hello"}
    assert host.check_output("env -i %s/links/hello", root) == "Hello, world!"
    assert not host.file(f"{root}/current/bin/go").exists and names(host, f"{root}/modcache") == set()
    file = host.file(host.check_output("readlink -f %s/links/hello", root))
    assert (file.mode, file.user) == (0o555, "root")


def test_depot_alone(host: t.Any) -> None:
    tree = "/opt/only-depot/depot/current"
    assert {"proxy", "projects", "SHA256SUMS"} <= names(host, f"{tree}/")
    done = host.run("cd %s && sha256sum --quiet --strict -c SHA256SUMS", tree)
    assert done.rc == 0, done.stdout + done.stderr


def test_roles_together(host: t.Any) -> None:
    settings = {
        "GOFLAGS": "-trimpath",
        "GOMODCACHE": "/opt/airgap-golang/modcache",
        "GOPROXY": "file:///opt/airgap-golang/current/proxy",
        "GOSUMDB": "sum.golang.org",
        "GOTOOLCHAIN": "auto",
    }
    assert json.loads(host.check_output(f"env -i HOME=/root /usr/local/bin/go env -json {' '.join(settings)}")) == settings
    assert names(host, "/opt/airgap-golang/current/projects/") == {"yq"}
    assert host.check_output("su - builder -c 'hello'") == "Hello, world!"
    done = host.run("su - builder -c 'cd /opt/airgap-golang/current/projects/yq && go build -mod=vendor -buildvcs=false -o ~/yq . && ~/yq --version'")
    assert done.rc == 0, done.stderr
    assert "v4.54.2" in done.stdout
