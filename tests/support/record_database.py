# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record the part of the public checksum database that tests/fixtures/sumdb/ has: see the README there.

    PYTHONPATH=.build python -m ansible_collections.airgap.golang.tests.support.record_database
"""

from __future__ import annotations

import base64
import json
import pathlib
import tempfile
import typing as t
import urllib.request

from ansible_collections.airgap.golang.plugins.module_utils._go.snapshotcheck import files_below
from ansible_collections.airgap.golang.plugins.module_utils._go.sumdb import DEFAULT_KEY, Snapshot
from ansible_collections.airgap.golang.tests.support.module_proxy import upstream

RECORDED = pathlib.Path(__file__).parents[1] / "fixtures" / "sumdb" / "recorded.json"

QUOTE = ("rsc.io/quote", "v1.5.2")
SAMPLER = ("rsc.io/sampler", "v1.3.0")

# Heads that the database signed in the past; the second is what lookups of long-known modules end in.
OLD_HEAD = """go.sum database tree
51929436
mQw+jf8Ko94JweSoG8190LvpV8myM/RNeAJ9TYKnia8=

— sum.golang.org Az3grkpNqcZOcvUPGEii+HGw4Omo/J/g+pjjn1+rGRhg6mVhwZBlloAIY+YYfBmHnOZbau4dxH0uzFPHVnZnnD3Sfg4=
""".encode()
OLD_SIZE = 51929436
LATER_HEAD = """go.sum database tree
66398721
5oXTdOltbW8oy+WAHSPYkUE7FskIY/5ZJCYGy+buJ3g=

— sum.golang.org Az3grkwAPWdf0j0QaqFdZ3Hg/pDusO9we04GR+upDAujfj+kau8VzeyO7Xqw0j0qZNnwMvwiV98DluG2iyB8t4v4WQU=
""".encode()
LATER_SIZE = 66398721


def load() -> dict[str, bytes]:
    """The recorded snapshot's files, by their path below sumdb/sum.golang.org."""
    recorded: t.Mapping[str, str] = json.loads(RECORDED.read_text())
    return {path: base64.b64decode(content) for path, content in recorded.items()}


def main() -> None:
    def fetch(path: str) -> bytes:
        with urllib.request.urlopen(f"{upstream()}/sumdb/sum.golang.org/{path}", timeout=60) as response:
            return t.cast(bytes, response.read())

    with tempfile.TemporaryDirectory() as directory:
        Snapshot(directory, DEFAULT_KEY, fetch).build([QUOTE, SAMPLER], [OLD_SIZE])
        files = {path: base64.b64encode(content).decode() for path, content in files_below(directory)}
    RECORDED.write_text(json.dumps(files, indent=1) + "\n")


if __name__ == "__main__":
    main()
