# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The carried project builds for whoever calls, without a network, and what comes out is what was rehearsed."""

from __future__ import annotations

import typing as t

GO = "/usr/local/bin/go"
ROOT = "/opt/airgap-golang"
SOURCE = f"{ROOT}/current/projects/yq"


def rehearsed(report: dict[str, t.Any]) -> tuple[str, str]:
    """What the rehearsal on the connected side wrote down for the project's binary: the Go release, and the SHA-256."""
    (build,) = [build for build in report["builds"] if (build["project"], build["output"]) == ("yq", "bin/yq")]
    return str(build["toolchain"]), str(build["expected"])


def test_build(call: t.Callable[[str], str], report: dict[str, t.Any]) -> None:
    version, expected = rehearsed(report)
    out = "/tmp/built-by-test-$$"
    digest = call(
        f"cd {SOURCE} && GOTOOLCHAIN=go{version} CGO_ENABLED=0 {GO} build -mod=vendor -trimpath -buildvcs=false -o {out} . "
        f"&& {out} --version >/dev/null && /usr/bin/sha256sum <{out} && /bin/rm {out}"
    )
    assert digest.split()[0] == expected


def test_what_the_build_check_built(host: t.Any, report: dict[str, t.Any]) -> None:
    generation = host.check_output("readlink %s/current", ROOT).rpartition("/")[2].partition("-")[0]
    binary = host.file(f"{ROOT}/builds/{generation}/yq/bin/yq")
    assert binary.sha256sum == rehearsed(report)[1]
    assert report["isolation"]["method"] == "netns"
    assert report["isolation"]["proof"].startswith("proved: no route")
    assert host.check_output(f"echo '{{a: [1, 2]}}' | {binary.path} '.a[1]'") == "2"
    assert host.file(f"{ROOT}/builds/{generation}/report.xml").content_string.lstrip().startswith("<?xml")


def test_the_project_proves_itself_with_go_alone(builder: t.Any, scratch: str) -> None:
    """A copy that belongs to the user, and the module commands, which ask for more than a build does."""
    builder.check_output("cp -r %s/. %s && chmod -R u+w %s", SOURCE, scratch, scratch)
    for command in ("mod verify", "mod tidy -diff", "list -m -mod=readonly all", "mod download"):
        done = builder.run(f"cd {scratch} && {GO} {command}")
        assert done.rc == 0, f"go {command}: {done.stderr}"
