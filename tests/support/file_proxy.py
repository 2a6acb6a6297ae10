# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A GOPROXY of modules that are made for a test, as files, and the go command that uses it alone."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import typing as t
import zipfile

from ansible_collections.airgap.golang.plugins.module_utils._go.escape import proxy_path


def add_module(proxy: pathlib.Path, module: str, version: str, files: t.Mapping[str, bytes]) -> None:
    """Put a module version into the proxy; it gets a go.mod where ``files`` has none."""
    content = {"go.mod": f"module {module}\n\ngo 1.21\n".encode(), **files}
    for extension in ("info", "mod", "zip"):
        path = proxy / proxy_path(module, version, extension)
        path.parent.mkdir(parents=True, exist_ok=True)
        if extension == "info":
            path.write_text(json.dumps({"Version": version, "Time": "2026-01-02T03:04:05Z"}))
        elif extension == "mod":
            path.write_bytes(content["go.mod"])
        else:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in content.items():
                    archive.writestr(f"{module}@{version}/{name}", data)


def go(proxy: pathlib.Path, cache: pathlib.Path, directory: pathlib.Path, *arguments: str) -> str:
    """Run the go command in ``directory`` with this GOPROXY and GOMODCACHE; its standard output."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GO") or name in ("GOROOT", "GOCACHE")},
        "GOPROXY": f"file://{proxy}",
        "GOMODCACHE": str(cache),
        "GOSUMDB": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=mod" if arguments[:2] != ("mod", "vendor") else "",
    }
    done = subprocess.run(["go", *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
