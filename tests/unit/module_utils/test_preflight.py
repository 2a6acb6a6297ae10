# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prerequisites that aren't met, each for real: programs, modules, mounts, accounts, clocks; by the code that runs on hosts."""

from __future__ import annotations

import json
import pathlib
import platform
import subprocess
import sys
import time
import typing as t

import pytest
import yaml

from ansible_collections.airgap.golang.plugins.module_utils import preflight as verb

ROOT = pathlib.Path(__file__).resolve().parents[3]
DECLARED = yaml.safe_load((ROOT / "meta" / "prerequisites.yml").read_text())["prerequisites"]


def entry(name: str, level: str = "error", places: t.Sequence[str] = ("host",), verbs: t.Sequence[str] = ("deploy",), **check: t.Any) -> dict[str, t.Any]:
    return {"name": name, "places": list(places), "check": check, "verbs": list(verbs), "level": level, "reason": f"Why {name}.", "hint": "mend it"}


def find(*prerequisites: dict[str, t.Any], **here: t.Any) -> dict[str, verb.Finding]:
    found = verb.preflight(prerequisites, verb.Here(**{"place": "host", **here}))
    return {finding.name: finding for finding in found}


def test_all_that_is_missing_is_found_at_once_errors_first() -> None:
    found = verb.preflight(
        [
            entry("clock", "warning", clock=300),
            entry("python", python="3.99"),
            entry("fine", python="3.8"),
            entry("program", command="no-such-program"),
            entry("there", command="sh"),
            entry("module", module="no_such_module", minimum="1.0"),
            entry("old module", module="yaml", distribution="PyYAML", minimum="99"),
            entry("new module", module="yaml", distribution="PyYAML", minimum="5.1"),
            entry("account", account="user"),
            entry("signatures", signatures=True),
        ],
        verb.Here("host", user="no-such-user", now=time.time() - 4000),
    )
    names = [finding.name for finding in found]
    # Nobody but root chooses whom to build as.
    assert [name for name in names if name != "account"] == ["python", "program", "module", "old module", "clock"]
    python = found[0]
    assert (python.needed, python.found, python.why, python.hint) == ("Python 3.99 or newer", platform.python_version(), "Why python.", "mend it")
    assert "+4000 s" in found[-1].found and "no_such_module 1.0 or newer" in found[-3 if "account" not in names else -4].needed


def test_what_other_places_and_verbs_need_is_not_looked_at() -> None:
    missing = [entry("a", places=["offline"], command="no-such-program"), entry("b", verbs=["request", "rollback"], command="no-such-program")]
    assert list(find(*missing)) == ["b"]
    assert list(find(*missing, verbs=("deploy",))) == [] and list(find(*missing, verbs=("deploy", "rollback"))) == ["b"]
    assert list(find(*missing, place="offline")) == ["a"]


def test_hints_are_of_this_machines_family(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = {key: value for key, value in entry("git", command="no-such-program").items() if key != "hint"}
    bare["packages"] = {"debian": ["git-deb"], "redhat": ["git-rpm"]}
    hints = {}
    for name, content in (("debian", "ID=ubuntu\nID_LIKE=debian\n"), ("redhat", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'), ("other", "ID=alpine\n")):
        (tmp_path / name).write_text(content)
        family = verb._family(str(tmp_path / name))
        monkeypatch.setattr(verb, "_family", lambda family=family: family)
        hints[name] = find(bare)["git"].hint
        monkeypatch.undo()
    assert hints == {"debian": "apt-get install git-deb", "redhat": "dnf install git-rpm", "other": "apt-get install git-deb or dnf install git-rpm"}
    assert find({**bare, "pip": "git>=1"})["git"].hint.startswith("pip install 'git>=1'")


# As root in a mount namespace, or as one's own root by a user namespace.
IN_MOUNTS = """
set -e
mkdir -p "$1/noexec" "$1/small" "$1/readonly"
mount -t tmpfs -o noexec tmpfs "$1/noexec"
mount -t tmpfs -o size=1m,nr_inodes=50 tmpfs "$1/small"
mount -t tmpfs -o ro tmpfs "$1/readonly"
exec "$2" -c "$3" "$1"
"""
LOOK = """
import json, sys
from ansible_collections.airgap.golang.plugins.module_utils import preflight as verb
top = sys.argv[1]
checks = [{"executable": "root"}, {"writable": "link_dir"}, {"room": "tools_dir", "bytes": 2000000, "inodes": 10}, {"room": "dest", "bytes": 10, "inodes": 100},
          {"room": "depot", "bytes": 10, "inodes": 10}, {"executable": "depot"}, {"writable": "depot"}]
entries = [{"name": json.dumps(check), "places": ["host"], "check": check, "verbs": ["deploy"], "level": "error", "reason": ""} for check in checks]
places = {"root": "noexec/a/b", "link_dir": "readonly/bin", "tools_dir": "small/x", "dest": "small", "depot": "new/depot"}
here = verb.Here("host", directories={name: f"{top}/{path}" for name, path in places.items()})
print(json.dumps([[finding.name, finding.found] for finding in verb.preflight(entries, here)]))
"""


def test_directories_are_looked_at_where_they_would_be_made(tmp_path: pathlib.Path) -> None:
    command = ["unshare", "-rm", "sh", "-c", IN_MOUNTS, "sh", str(tmp_path), sys.executable, LOOK]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT / ".build"), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(done.stdout))
    assert [json.loads(name) for name in found] == [
        {"executable": "root"},
        {"writable": "link_dir"},
        {"room": "tools_dir", "bytes": 2000000, "inodes": 10},
        {"room": "dest", "bytes": 10, "inodes": 100},
    ]
    assert f"{tmp_path}/noexec is mounted noexec" in found['{"executable": "root"}']
    assert f"{tmp_path}/readonly" in found['{"writable": "link_dir"}']
    assert not (tmp_path / "new").exists()


def test_this_machine_has_what_a_connected_side_needs(tmp_path: pathlib.Path) -> None:
    """Tests run with everything; so what is found here is either wrongly declared or wrongly looked at."""
    for place in ("offline", "connected"):
        found = verb.preflight(DECLARED, verb.Here(place, directories={"depot": str(tmp_path / "depot"), "dest": str(tmp_path)}))
        assert [finding for finding in found if finding.level == "error"] == []
