# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build check: a host builds the active generation's projects itself, without a network, and gets the rehearsal's binaries.

Each binary that came out right has an attestation beside it; it's not built again until the generation, the binary or the
attestation changes. ``compare`` builds all of them anew, says what came out, and leaves the host as it is.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import glob
import hashlib
import json
import os
import socket
import stat
import subprocess
import tempfile
import typing as t

from ._base import junit
from ._base.errors import AirgapError, BuildFailed, HostRefused
from ._base.files import CHUNK, locked, remove_tree, replacing, sha256_of, write_atomically
from ._base.sandbox import Isolation, choose
from ._go import toolchain
from ._go.build import BuildRecord, run_build
from ._host.builds import SCHEMA, Sealed, Target, attested, read, recorded
from ._host.place import Place

#: What can become of a build: it was right already; it came out right now; it gave another binary; it gave none; and in
#: check mode: it is to be built.
ATTESTED, BUILT, MISMATCH, FAILED, WOULD_BUILD = "attested", "built", "mismatch", "failed", "would_build"

#: What can become of a build that is only compared; the last is FAILED too. And what is of it under its place below builds/.
IDENTICAL, DIFFERS = "identical", "differs"
INSTALLED, CHANGED, ABSENT = "attested", "changed", "absent"


@dataclasses.dataclass(frozen=True)
class Options:
    """``projects``: names, empty for all; ``user``: who builds when we are root; ``report_dir``: "" for the builds' own;
    ``timeout``: seconds for each build; ``scratch_dir``: where ``compare`` builds, a directory that is there."""

    root: str
    projects: t.Sequence[str] = ()
    user: str = "nobody"
    force: bool = False
    report_dir: str = ""
    timeout: int = 1800
    scratch_dir: str = "/var/tmp"


def check(options: Options, check_mode: bool = False) -> dict[str, t.Any]:
    """Build what isn't attested, compare, install, report.

    Returns the module's answer: ``changed``, ``generation``, ``isolation``, ``builds``, ``summary``, ``reports``, ``diff``,
    and ``failure`` (with ``msg``) when a build failed or gave another binary, after all have been tried.

    :raises HostRefused: there is no active generation here, or others can change what is.
    :raises DepotDamaged: its document can't be read.
    :raises NotSealed: nothing was rehearsed that a build could be compared with.
    :raises SpecInvalid: a project that it doesn't have was asked for.
    """
    Place(options.root).require_own()
    generation = read(options.root, options.projects)
    home = os.path.join(options.root, "builds", f"{generation.number:06d}")
    report_dir = os.path.abspath(options.report_dir or home)
    reports = {"json": os.path.join(report_dir, "report.json"), "junit": os.path.join(report_dir, "report.xml")}
    held = [None if options.force else attested(target, generation) for target in generation.targets]
    todo = [target for target, attestation in zip(generation.targets, held) if attestation is None]
    unreported = not all(os.path.isfile(path) for path in reports.values())
    answer: dict[str, t.Any] = {
        "changed": bool(todo) or unreported,
        "generation": generation.to_dict(),
        "isolation": {},
        "reports": reports,
        "diff": _difference(todo),
    }
    if check_mode:
        results = {target.path: target.result(WOULD_BUILD) for target in todo}
    elif todo:
        results, answer["isolation"] = _build_all(options, generation, todo)
    else:
        results = {}
    builds = [results.get(target.path) or target.result(ATTESTED, **recorded(attestation)) for target, attestation in zip(generation.targets, held)]
    answer["builds"] = builds
    answer["summary"] = _count(builds, (ATTESTED, BUILT, MISMATCH, FAILED, WOULD_BUILD))
    if not check_mode and answer["changed"]:
        _write_reports(reports, answer)
    bad = [build for build in builds if build["status"] in (MISMATCH, FAILED)]
    if bad:
        error = _failure(bad, len(builds), reports["json"])
        answer["msg"] = error.sentence()
        answer["failure"] = error.failure()
    return answer


def compare(options: Options) -> dict[str, t.Any]:
    """Build all of it in a scratch directory, and say what came out; nothing is installed, and what is installed isn't trusted.

    Returns the module's answer: ``generation``, ``state``, ``isolation``, ``builds``, ``summary``. What differs or fails is an answer, no error.

    :raises: as ``check``; and HostRefused when the state of what is active can't be read.
    """
    generation = read(options.root, options.projects)
    state = _state(options.root)
    isolation = choose(options.user)
    results = []
    with _scratch(options.scratch_dir, isolation) as scratch:
        gocache = _private(os.path.join(scratch, "gocache"), isolation)
        for number, target in enumerate(generation.targets):
            mine = _private(os.path.join(scratch, str(number)), isolation)
            results.append({**_compare_one(options, target, isolation, mine, gocache), "installed": _installed(target, generation)})
            remove_tree(mine)
    return {
        "changed": False,
        "generation": generation.to_dict(),
        "state": state,
        "isolation": _isolation(isolation) if results else {},
        "builds": results,
        "summary": _count(results, (IDENTICAL, DIFFERS, FAILED)),
        "reports": {},
    }


def _state(root: str) -> dict[str, t.Any]:
    """What is active: directory, platform, the names of its parts, and the toolchain that users call; "" for none."""
    place = Place(root)
    current = place.current()
    parts = place.state(current)["parts"] if current else {}
    version = str(parts.get("toolchain", {}).get("version", ""))
    return {"current": current, "platform": place.platform, "parts": sorted(parts), "toolchain": version}


def _compare_one(options: Options, target: Target, isolation: Isolation, scratch: str, gocache: str) -> dict[str, t.Any]:
    try:
        record = _run(options, target, isolation, os.path.join(scratch, "out"), scratch, gocache)
    except AirgapError as exc:
        return target.result(FAILED, message=exc.sentence())
    found = {"sha256": record.sha256, "size": record.size, "seconds": record.seconds}
    if record.sha256 != target.expected:
        return target.result(DIFFERS, message=_other(target, record.sha256), **found)
    return target.result(IDENTICAL, **found)


def _installed(target: Target, generation: Sealed) -> str:
    if attested(target, generation) is not None:
        return INSTALLED
    return CHANGED if os.path.lexists(target.path) else ABSENT


def _count(builds: t.Sequence[t.Mapping[str, t.Any]], statuses: t.Sequence[str]) -> dict[str, int]:
    return {status: sum(1 for build in builds if build["status"] == status) for status in statuses}


def _isolation(isolation: Isolation) -> dict[str, t.Any]:
    return {"method": isolation.method, "proof": isolation.proof, "user": isolation.user}


def _difference(todo: t.Sequence[Target]) -> dict[str, t.Any]:
    before = {}
    for target in todo:
        before[target.path] = sha256_of(target.path)[0] if os.path.isfile(target.path) else ""
    return {"before": before, "after": {target.path: target.expected for target in todo}}


def _build_all(options: Options, generation: Sealed, todo: t.Sequence[Target]) -> tuple[dict[str, dict[str, t.Any]], dict[str, t.Any]]:
    """Results by path, and the isolation they were built in."""
    builds = os.path.join(options.root, "builds")
    _directories(builds)
    results = {}
    with locked(os.path.join(builds, ".lock")):
        for left in glob.glob(os.path.join(glob.escape(builds), ".scratch-*")):
            remove_tree(left)
        isolation = choose(options.user)
        with _scratch(builds, isolation) as scratch:
            gocache = _private(os.path.join(scratch, "gocache"), isolation)
            for number, target in enumerate(todo):
                mine = _private(os.path.join(scratch, str(number)), isolation)
                results[target.path] = _build_one(options, generation, target, isolation, mine, gocache)
                remove_tree(mine)
    return results, _isolation(isolation)


@contextlib.contextmanager
def _scratch(directory: str, isolation: Isolation) -> t.Iterator[str]:
    """A directory for builds that is gone afterwards. Who builds may enter it and no more; what they write is in directories of their own below."""
    path = tempfile.mkdtemp(prefix=".scratch-", dir=directory)
    try:
        os.chmod(path, 0o711)
        yield path
    finally:
        remove_tree(path)


def _run(options: Options, target: Target, isolation: Isolation, out: str, scratch: str, gocache: str) -> BuildRecord:
    """:raises HostRefused: the toolchain or the source isn't here.
    :raises BuildFailed, CommandFailed: the build gave nothing, or couldn't be run: no room, no program, a toolchain that is damaged.
    """
    _require(target)
    try:
        return run_build(isolation, target.goroot, target.source, target.build, out, scratch, gocache, options.timeout, target.workspace, target.top)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as exc:
        raise BuildFailed(
            f"{target.project} {target.build.output}: its build couldn't be run in {scratch}: {type(exc).__name__}: {exc}",
            subject=target.build.output,
            found=str(exc),
            hint=f"see that there is room, that {isolation.user} may start processes, and that the generation is whole: modcache with state=verified says so",
        ) from exc


def _build_one(options: Options, generation: Sealed, target: Target, isolation: Isolation, scratch: str, gocache: str) -> dict[str, t.Any]:
    # What was attested is in doubt from here on.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target.attestation)
    out = os.path.join(scratch, "out")
    try:
        record = _run(options, target, isolation, out, scratch, gocache)
        sha256, size = _install(target, out, isolation.uid)
    except AirgapError as exc:
        return target.result(FAILED, message=exc.sentence())
    except OSError as exc:
        return target.result(FAILED, message=f"{target.project} {target.build.output}: the binary can't be brought to {target.path}: {exc}")
    found = {"sha256": sha256, "size": size, "seconds": record.seconds}
    if sha256 != target.expected:
        return target.result(MISMATCH, message=_other(target, sha256), **found)
    write_atomically(target.attestation, _json(_attestation(generation, target, isolation, record, found)))
    return target.result(BUILT, **found)


def _other(target: Target, sha256: str) -> str:
    return (
        f"{target.project} {target.build.output}: built here it has SHA-256 {sha256}, at the rehearsal it had {target.expected}; "
        "check the generation's tree with `sha256sum -c SHA256SUMS`, then compare `go version -m` of both binaries"
    )


def _require(target: Target) -> None:
    """The toolchain and the source are here.

    :raises HostRefused: one isn't.
    """
    for what, path, there in (
        (f"its toolchain go{target.go}", target.goroot, os.path.isfile(os.path.join(target.goroot, "bin", "go"))),
        ("its source", target.source, os.path.isdir(target.source)),
    ):
        if not there:
            raise HostRefused(f"{target.project}: {what} is not in {path}", subject=path, hint="deploy this generation to the host again")


def _install(target: Target, out: str, uid: int) -> tuple[str, int]:
    """Bring the binary to its place when it's the expected one; returns (SHA-256 in hex, size) of what was built.

    The builder owns ``out`` and could change it at any time: what is hashed is the copy, while it's made.
    """
    descriptor = os.open(out, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as reader:
        facts = os.fstat(reader.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != uid:
            raise BuildFailed(f"{target.build.output}: the build left something that is no file of its own", subject=target.build.output)
        _directories(os.path.dirname(target.path))
        digest = hashlib.sha256()
        size = 0
        with contextlib.suppress(_Unwanted), replacing(target.path, 0o755) as writer:
            for chunk in iter(lambda: reader.read(CHUNK), b""):
                digest.update(chunk)
                size += len(chunk)
                writer.write(chunk)
            if digest.hexdigest() != target.expected:
                raise _Unwanted
    return digest.hexdigest(), size


class _Unwanted(Exception):
    """Leaves a file that is being replaced as it was."""


def _attestation(generation: Sealed, target: Target, isolation: Isolation, record: BuildRecord, found: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "schema": SCHEMA,
        "generation": generation.to_dict(),
        "project": target.project,
        "build": target.build.to_dict(),
        "toolchain": record.go_version,
        "host": socket.gethostname(),
        "host_platform": toolchain.host_platform(),
        "when": _now(),
        "isolation": {"method": isolation.method, "proof": isolation.proof},
        "user": isolation.user,
        "argv": list(record.argv),
        "expected": target.expected,
        **found,
    }


def _failure(bad: t.Sequence[t.Mapping[str, t.Any]], count: int, report: str) -> BuildFailed:
    names = ", ".join(f"{build['project']} {build['output']} ({build['status']})" for build in bad)
    return BuildFailed(
        f"{len(bad)} of {count} builds did not give the rehearsal's binary: {names}: {bad[0]['message']}",
        subject=f"{bad[0]['project']} {bad[0]['output']}",
        expected=bad[0]["expected"],
        found=bad[0]["sha256"],
        hint=f"the whole result is in {report}",
        details=[{key: build[key] for key in ("project", "output", "status", "expected", "sha256", "message")} for build in bad],
    )


def _write_reports(reports: t.Mapping[str, str], answer: t.Mapping[str, t.Any]) -> None:
    for path in reports.values():
        _directories(os.path.dirname(path))
    when = _now()
    document = {"schema": SCHEMA, "host": socket.gethostname(), "when": when}
    document.update((key, answer[key]) for key in ("generation", "isolation", "summary", "builds"))
    write_atomically(reports["json"], _json(document))
    write_atomically(reports["junit"], _junit(answer["generation"], answer["builds"], when))


def _junit(generation: t.Mapping[str, t.Any], builds: t.Sequence[t.Mapping[str, t.Any]], when: str) -> bytes:
    """One testcase for each build."""
    cases = [
        junit.Case(
            classname=build["project"],
            name=f"{build['output']} {build['platform']}",
            seconds=build["seconds"],
            problem=build["status"] if build["status"] in (MISMATCH, FAILED) else "",
            message=build["message"],
            output=f"{build['status']} sha256:{build['sha256']} expected sha256:{build['expected']} go{build['toolchain']}",
        )
        for build in builds
    ]
    name = f"build check of {generation['name']} {generation['number']:06d}"
    return junit.encode([junit.Suite(name, socket.gethostname(), when, cases)])


def _private(path: str, isolation: Isolation) -> str:
    os.mkdir(path, 0o700)
    os.chown(path, isolation.uid, isolation.gid)
    return path


def _directories(path: str) -> None:
    """Make a directory and what is missing above it, open to readers whatever the umask."""
    if not os.path.isdir(path):
        _directories(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)


def _json(document: t.Mapping[str, t.Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
