# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New work can start on a host: a module that isn't any carried project's, with the checksum database on."""

from __future__ import annotations

import typing as t

GO = "/usr/local/bin/go"
MAIN = (
    "package main\n"
    "\n"
    "import (\n"
    "\t\"fmt\"\n"
    "\n"
    "\t\"github.com/google/uuid\"\n"
    "\t\"rsc.io/quote\"\n"
    ")\n"
    "\n"
    "func main() {\n"
    "\tfmt.Println(uuid.Nil, quote.Glass())\n"
    "}\n"
)


def go(builder: t.Any, directory: str, command: str) -> str:
    done = builder.run(f"cd {directory} && {GO} {command}")
    assert done.rc == 0, f"go {command}: {done.stderr}"
    return str(done.stdout)


def test_a_new_module(builder: t.Any, scratch: str) -> None:
    go(builder, scratch, "mod init new.example")
    builder.check_output("printf %%s %s >%s/main.go", MAIN, scratch)
    go(builder, scratch, "get github.com/google/uuid@v1.6.0")
    go(builder, scratch, "get rsc.io/quote@latest")
    go(builder, scratch, "mod tidy")
    assert "github.com/google/uuid v1.6.0 h1:" in builder.check_output("cat %s/go.sum", scratch)
    assert go(builder, scratch, "run .").startswith("00000000-0000-0000-0000-000000000000 I can eat glass")
    go(builder, scratch, "mod verify")


def test_a_changed_module_is_refused(builder: t.Any, scratch: str) -> None:
    """Go's own safety is on: a proxy whose zip isn't what the checksum database says is found out."""
    for part in ("sumdb", "github.com/google/uuid"):
        builder.check_output("mkdir -p %s/proxy/%s && cp -r /opt/airgap-golang/current/proxy/%s/. %s/proxy/%s", scratch, part, part, scratch, part)
    builder.check_output("chmod -R u+w %s/proxy && echo '// more' >>%s/proxy/github.com/google/uuid/@v/v1.6.0.mod", scratch, scratch)
    go(builder, scratch, "mod init new.example")
    done = builder.run(f"cd {scratch} && GOMODCACHE={scratch}/modcache GOPROXY=file://{scratch}/proxy {GO} get github.com/google/uuid@v1.6.0")
    assert done.rc != 0
    assert "checksum mismatch" in done.stderr, done.stderr


def test_what_is_not_carried_is_named(builder: t.Any, scratch: str) -> None:
    go(builder, scratch, "mod init new.example")
    done = builder.run(f"cd {scratch} && {GO} get github.com/google/uuid@v1.5.0")
    assert done.rc != 0
    assert "github.com/google/uuid@v1.5.0" in done.stderr, done.stderr
