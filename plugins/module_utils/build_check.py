# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build check: a host builds the active generation's projects itself, without a network, and gets the rehearsal's binaries.

Each binary that came out right has an attestation beside it; it's not built again until the generation, the binary or the
attestation changes.

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
import re
import socket
import stat
import tempfile
import typing as t
from xml.etree import ElementTree

from ._base.errors import AirgapError, BuildFailed, DepotDamaged, HostRefused, NotSealed, SpecInvalid
from ._base.files import CHUNK, locked, remove_tree, replacing, sha256_of, write_atomically
from ._base.sandbox import Isolation, choose
from ._go import toolchain
from ._go.build import Build, BuildRecord, run_build

SCHEMA = 1

#: What can become of a build: it was right already; it came out right now; it gave another binary; it gave none; and in
#: check mode: it is to be built.
ATTESTED, BUILT, MISMATCH, FAILED, WOULD_BUILD = "attested", "built", "mismatch", "failed", "would_build"

# What XML 1.0 can't hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclasses.dataclass(frozen=True)
class Options:
    """``projects``: names, empty for all; ``user``: who builds when we are root; ``report_dir``: "" for the builds' own;
    ``timeout``: seconds for each build."""

    root: str
    projects: t.Sequence[str] = ()
    user: str = "nobody"
    force: bool = False
    report_dir: str = ""
    timeout: int = 1800


@dataclasses.dataclass(frozen=True)
class _Generation:
    """What the active generation says, and the SHA-256 of the document that says it."""

    name: str
    number: int
    digest: str
    targets: t.Sequence[_Target]

    def to_dict(self) -> dict[str, t.Any]:
        return {"name": self.name, "number": self.number, "digest": self.digest}


@dataclasses.dataclass(frozen=True)
class _Target:
    """One binary to build here, and what it must be."""

    project: str
    build: Build
    expected: str
    goroot: str
    go: str
    source: str
    top: str
    workspace: bool
    path: str

    @property
    def attestation(self) -> str:
        return self.path + ".attestation.json"

    def result(self, status: str, **more: t.Any) -> dict[str, t.Any]:
        """The entry for RETURN's builds: all keys, whatever became of it."""
        return {
            "project": self.project,
            "output": self.build.output,
            "package": self.build.package,
            "platform": self.build.platform,
            "toolchain": self.go,
            "path": self.path,
            "attestation": self.attestation,
            "status": status,
            "expected": self.expected,
            "sha256": "",
            "size": 0,
            "seconds": 0.0,
            "message": "",
            **more,
        }


def check(options: Options, check_mode: bool = False) -> dict[str, t.Any]:
    """Build what isn't attested, compare, install, report.

    Returns the module's answer: ``changed``, ``generation``, ``isolation``, ``builds``, ``summary``, ``reports``, ``diff``,
    and ``failure`` (with ``msg``) when a build failed or gave another binary, after all have been tried.

    :raises HostRefused: there is no active generation here.
    :raises DepotDamaged: its document can't be read.
    :raises NotSealed: nothing was rehearsed that a build could be compared with.
    :raises SpecInvalid: a project that it doesn't have was asked for.
    """
    generation = _read(options)
    home = os.path.join(options.root, "builds", f"{generation.number:06d}")
    report_dir = os.path.abspath(options.report_dir or home)
    reports = {"json": os.path.join(report_dir, "report.json"), "junit": os.path.join(report_dir, "report.xml")}
    held = [None if options.force else _attested(target, generation) for target in generation.targets]
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
    builds = [results.get(target.path) or target.result(ATTESTED, **_recorded(attestation)) for target, attestation in zip(generation.targets, held)]
    answer["builds"] = builds
    answer["summary"] = {status: sum(1 for build in builds if build["status"] == status) for status in (ATTESTED, BUILT, MISMATCH, FAILED, WOULD_BUILD)}
    if not check_mode and answer["changed"]:
        _write_reports(reports, answer)
    bad = [build for build in builds if build["status"] in (MISMATCH, FAILED)]
    if bad:
        error = _failure(bad, len(builds), reports["json"])
        answer["msg"] = error.sentence()
        answer["failure"] = error.failure()
    return answer


def _read(options: Options) -> _Generation:
    current = os.path.join(options.root, "current")
    path = os.path.join(current, "generation.json")
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        raise HostRefused(f"{options.root} has no active generation", subject=path, hint="deploy one to this host first") from None
    try:
        document = json.loads(content.decode("utf-8"))
        number = int(document["generation"])
        projects = {str(project["name"]): project for project in document["projects"]}
        missing = sorted(set(options.projects) - set(projects))
        if missing:
            raise SpecInvalid(
                f"generation {number:06d} has no project {', '.join(missing)}",
                subject=missing[0],
                expected=", ".join(sorted(projects)),
                found=", ".join(missing),
            )
        home = os.path.join(options.root, "builds", f"{number:06d}")
        targets = [
            _target(options.root, current, home, project, entry)
            for name, project in projects.items()
            if not options.projects or name in options.projects
            for entry in project["builds"]
        ]
        return _Generation(str(document["name"]), number, "sha256:" + hashlib.sha256(content).hexdigest(), targets)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise DepotDamaged(
            f"{path} can't be read ({type(exc).__name__}: {exc})",
            subject=path,
            found=str(exc),
            hint="deploy the generation again; if that changes nothing, remove its directory below generations/ first",
        ) from None


def _target(root: str, current: str, home: str, project: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> _Target:
    name = str(project["name"])
    directory = os.path.normpath(str(project.get("directory") or "."))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or directory.startswith(("..", "/")):
        raise ValueError(f"project {name!r} with directory {directory!r} leads elsewhere")
    expected = str(entry.get("sha256") or "")
    if not expected:
        raise NotSealed(
            f"the rehearsal of project {name}, {entry.get('output')}, has not been: there is nothing to compare a build with",
            subject=name,
            hint="deploy a sealed generation; one that isn't can only be tried by hand",
        )
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise ValueError(f"project {name}: {expected!r} is no SHA-256")
    build = Build.from_dict(entry)
    version = str(project["toolchain"])
    return _Target(
        project=name,
        build=build,
        expected=expected,
        goroot=toolchain.directory(os.path.join(root, "modcache"), version, toolchain.host_platform()),
        go=version,
        source=os.path.normpath(os.path.join(current, "projects", name, directory)),
        top=os.path.join(current, "projects", name),
        workspace=bool(project.get("workspace")),
        path=os.path.join(home, name, build.output),
    )


def _attested(target: _Target, generation: _Generation) -> t.Optional[dict[str, t.Any]]:
    """The attestation, when it, the binary and the rehearsal all say the same for this very generation; else None."""
    try:
        with open(target.attestation, encoding="utf-8") as stream:
            attestation = json.load(stream)
        if not isinstance(attestation, dict) or not stat.S_ISREG(os.lstat(target.path).st_mode):
            return None
    except (OSError, ValueError):
        return None
    said = (attestation.get("schema"), attestation.get("generation"), attestation.get("project"), attestation.get("build"), attestation.get("sha256"))
    if said != (SCHEMA, generation.to_dict(), target.project, target.build.to_dict(), target.expected):
        return None
    if stat.S_IMODE(os.lstat(target.path).st_mode) != 0o755 or sha256_of(target.path)[0] != target.expected:
        return None
    return attestation


def _recorded(attestation: t.Optional[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    return {key: (attestation or {}).get(key, "") for key in ("sha256", "size", "seconds")}


def _difference(todo: t.Sequence[_Target]) -> dict[str, t.Any]:
    before = {}
    for target in todo:
        before[target.path] = sha256_of(target.path)[0] if os.path.isfile(target.path) else ""
    return {"before": before, "after": {target.path: target.expected for target in todo}}


def _build_all(options: Options, generation: _Generation, todo: t.Sequence[_Target]) -> tuple[dict[str, dict[str, t.Any]], dict[str, t.Any]]:
    """Results by path, and the isolation they were built in."""
    builds = os.path.join(options.root, "builds")
    _directories(builds)
    results = {}
    with locked(os.path.join(builds, ".lock")):
        for left in glob.glob(os.path.join(glob.escape(builds), ".scratch-*")):
            remove_tree(left)
        isolation = choose(options.user)
        # The user may enter it and no more; what they write is in directories of their own below.
        scratch = tempfile.mkdtemp(prefix=".scratch-", dir=builds)
        try:
            os.chmod(scratch, 0o711)
            gocache = _private(os.path.join(scratch, "gocache"), isolation)
            for number, target in enumerate(todo):
                mine = _private(os.path.join(scratch, str(number)), isolation)
                results[target.path] = _build_one(options, generation, target, isolation, mine, gocache)
                remove_tree(mine)
        finally:
            remove_tree(scratch)
    return results, {"method": isolation.method, "proof": isolation.proof, "user": isolation.user}


def _build_one(options: Options, generation: _Generation, target: _Target, isolation: Isolation, scratch: str, gocache: str) -> dict[str, t.Any]:
    # What was attested is in doubt from here on.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target.attestation)
    out = os.path.join(scratch, "out")
    try:
        _require(target)
        record = run_build(isolation, target.goroot, target.source, target.build, out, scratch, gocache, options.timeout, target.workspace, target.top)
        sha256, size = _install(target, out, isolation.uid)
    except AirgapError as exc:
        return target.result(FAILED, message=exc.sentence())
    except OSError as exc:
        return target.result(FAILED, message=f"{target.project} {target.build.output}: the binary can't be brought to {target.path}: {exc}")
    found = {"sha256": sha256, "size": size, "seconds": record.seconds}
    if sha256 != target.expected:
        return target.result(
            MISMATCH,
            message=(
                f"{target.project} {target.build.output}: built here it has SHA-256 {sha256}, at the rehearsal it had {target.expected}; "
                "check the generation's tree with `sha256sum -c SHA256SUMS`, then compare `go version -m` of both binaries"
            ),
            **found,
        )
    write_atomically(target.attestation, _json(_attestation(generation, target, isolation, record, found)))
    return target.result(BUILT, **found)


def _require(target: _Target) -> None:
    """The toolchain and the source are here.

    :raises HostRefused: one isn't.
    """
    for what, path, there in (
        (f"its toolchain go{target.go}", target.goroot, os.path.isfile(os.path.join(target.goroot, "bin", "go"))),
        ("its source", target.source, os.path.isdir(target.source)),
    ):
        if not there:
            raise HostRefused(f"{target.project}: {what} is not in {path}", subject=path, hint="deploy this generation to the host again")


def _install(target: _Target, out: str, uid: int) -> tuple[str, int]:
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


def _attestation(generation: _Generation, target: _Target, isolation: Isolation, record: BuildRecord, found: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
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
    write_atomically(reports["junit"], junit(answer["generation"], answer["builds"], when, socket.gethostname()))


def junit(generation: t.Mapping[str, t.Any], builds: t.Sequence[t.Mapping[str, t.Any]], when: str, host: str) -> bytes:
    """The results as JUnit XML, one testcase for each build, as CI systems read it."""
    failures = [build for build in builds if build["status"] in (MISMATCH, FAILED)]
    suite = ElementTree.Element(
        "testsuite",
        name=f"build check of {generation['name']} {generation['number']:06d}",
        tests=str(len(builds)),
        failures=str(len(failures)),
        errors="0",
        skipped="0",
        time=f"{sum(build['seconds'] for build in builds):.3f}",
        timestamp=when.rstrip("Z"),
        hostname=host,
    )
    for build in builds:
        name = f"{build['output']} {build['platform']}"
        case = ElementTree.SubElement(suite, "testcase", classname=build["project"], name=name, time=f"{build['seconds']:.3f}")
        if build in failures:
            text = _NOT_XML.sub("?", build["message"])
            ElementTree.SubElement(case, "failure", type=build["status"], message=text.partition("\n")[0][:300]).text = text
        output = f"{build['status']} sha256:{build['sha256']} expected sha256:{build['expected']} go{build['toolchain']}"
        ElementTree.SubElement(case, "system-out").text = output
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    content: bytes = ElementTree.tostring(suites, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + content + b"\n"


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
