# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A company's private git server, without a server: the module git.corp.example/telemetry.git in a repository on disk.

git maps the address that the go command asks for to that repository, by ``insteadOf`` in a HOME of its own.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
MODULE = "git.corp.example/telemetry.git"
VERSION = "v1.0.0"
ADDRESS = "https://git.corp.example/telemetry"

# Fixed, so that the commit is the same each time: the tag's date is what `go list -m -json` shows.
WHEN = "2026-01-02T03:04:05Z"
AUTHOR = {
    "GIT_AUTHOR_NAME": "telemetry",
    "GIT_AUTHOR_EMAIL": "telemetry@corp.example",
    "GIT_AUTHOR_DATE": WHEN,
    "GIT_COMMITTER_NAME": "telemetry",
    "GIT_COMMITTER_EMAIL": "telemetry@corp.example",
    "GIT_COMMITTER_DATE": WHEN,
}


def make_private_git(directory: pathlib.Path) -> dict[str, str]:
    """Build the repository and a HOME below ``directory`` (created, must be new).

    :return: what to put into the environment of go and git: HOME, GOPRIVATE, this machine's GOPROXY and GOCACHE, and
        the variables that keep git from the machine's own configuration and from asking for passwords. GOMODCACHE and
        GOPATH are not in it: without them they are below that HOME, and empty.
    """
    directory = directory.resolve()
    work, home, bare = directory / "work", directory / "home", directory / "telemetry.git"
    home.mkdir(parents=True)
    shutil.copytree(FIXTURES / "projects" / "telemetry", work)
    environment = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GOPRIVATE": "git.corp.example",
        **machine_settings("GOPROXY", "GOCACHE"),
    }
    # Local file access, also where the checkout's owner is another than the one who runs the test.
    (home / ".gitconfig").write_text(f'[url "file://{bare}"]\n\tinsteadOf = {ADDRESS}\n[safe]\n\tdirectory = *\n')

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=work, env={**os.environ, **AUTHOR, **environment}, check=True, capture_output=True, timeout=60)

    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("-c", "core.autocrlf=false", "commit", "--quiet", "--no-gpg-sign", "--message=telemetry")
    git("tag", VERSION)
    git("clone", "--quiet", "--bare", ".", str(bare))
    shutil.rmtree(work)
    return environment


def machine_settings(*names: str) -> dict[str, str]:
    """These Go settings as they are here, where a HOME of its own would hide what ``go env -w`` set."""
    finished = subprocess.run(["go", "env", "-json", *names], check=True, capture_output=True, timeout=60)
    settings: dict[str, str] = json.loads(finished.stdout)
    return settings


def make_plant(directory: pathlib.Path) -> pathlib.Path:
    """A copy of the project ``plant``, which uses the private module, in the new directory ``directory``."""
    shutil.copytree(FIXTURES / "projects" / "plant", directory)
    return directory
