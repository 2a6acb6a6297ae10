# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build of one project is, and how it's run: the same at the rehearsal and on hosts, so that the binaries are the same.

With -trimpath and -buildvcs=false a Go binary depends on the toolchain, the source with its vendor directory, the target
and the settings named here, and on nothing else of the machine (https://go.dev/blog/rebuild).

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import time
import typing as t

from .._base.errors import BuildFailed, HostRefused, SpecInvalid
from .._base.files import remove_tree, sha256_of, temporary_sibling
from .._base.sandbox import Isolation

#: What a spec may set for a build; all else is the same for every build.
SETTINGS = frozenset(["CGO_ENABLED", "GO386", "GOAMD64", "GOARM", "GOARM64", "GOEXPERIMENT", "GOMIPS", "GOMIPS64", "GOPPC64", "GORISCV64", "GOWASM"])

#: Flags of ``go build`` that a spec may give. Not those that choose other sources, programs or places than the generation's.
FLAGS = frozenset(
    ["asan", "asmflags", "buildmode", "cover", "covermode", "coverpkg", "gcflags", "installsuffix", "ldflags", "linkshared", "msan", "pgo", "race"]
)

# Go takes what the environment leaves out or empty from $GOROOT/go.env, where a host's settings are. So all that decides
# what a binary is gets said, with Go's own defaults ("go help environment"; internal/buildcfg).
_TARGET_DEFAULTS = {
    "386": {"GO386": "sse2"},
    "amd64": {"GOAMD64": "v1"},
    "arm": {"GOARM": "7"},
    "arm64": {"GOARM64": "v8.0"},
    "mips": {"GOMIPS": "hardfloat"},
    "mipsle": {"GOMIPS": "hardfloat"},
    "mips64": {"GOMIPS64": "hardfloat"},
    "mips64le": {"GOMIPS64": "hardfloat"},
    "ppc64": {"GOPPC64": "power8"},
    "ppc64le": {"GOPPC64": "power8"},
    "riscv64": {"GORISCV64": "rva20u64"},
}
_CGO_DEFAULTS = {
    "CC": "gcc",
    "CXX": "g++",
    "AR": "ar",
    "FC": "gfortran",
    "PKG_CONFIG": "pkg-config",
    "CGO_CFLAGS": "-O2 -g",
    "CGO_CXXFLAGS": "-O2 -g",
    "CGO_FFLAGS": "-O2 -g",
    "CGO_LDFLAGS": "-O2 -g",
}

# These decide too, but their default is empty, which can't be said by the environment.
_UNSAYABLE = ("GOEXPERIMENT", "GOWASM", "GO_EXTLINK_ENABLED", "CGO_CPPFLAGS", "GCCGO")

# What a generation's document has beside a build's definition: what the rehearsal found.
_RECORDED = frozenset(["sha256", "size"])

_END = 3000


@dataclasses.dataclass(frozen=True)
class Build:
    """One binary of a project: ``package`` (as given to go build), ``output`` (relative path), ``platform`` (``os/arch``),
    ``env`` (of SETTINGS), ``flags`` (whole arguments, such as ``-ldflags=-s -w``), ``tags``.

    ``command``: arguments of a program to run in place of go build, in a writable copy of the project; it leaves the binary where
    $OUTPUT says. The go that it finds builds from vendor with the settings, tags and platform of this build.
    """

    package: str
    output: str
    platform: str
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    flags: t.Sequence[str] = ()
    tags: t.Sequence[str] = ()
    command: t.Sequence[str] = ()

    @classmethod
    def from_dict(cls, entry: t.Mapping[str, t.Any]) -> Build:
        """From a spec's or a generation's entry; what is left out or null gets its default (package ``.``, platform linux/amd64).

        :raises SpecInvalid: it has unknown keys, or can't be meant.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(entry) - names - _RECORDED)
        where = f"build {entry.get('output') or dict(entry)}"
        if unknown:
            known = ", ".join(sorted(names))
            raise SpecInvalid(
                f"{where} has unknown keys: {', '.join(unknown)}", subject=where, expected=known, found=", ".join(unknown), hint=f"a build may have {known}"
            )
        for key, kind in (("env", dict), ("flags", (list, tuple)), ("tags", (list, tuple)), ("command", (list, tuple))):
            if entry.get(key) is not None and not isinstance(entry[key], kind):
                wanted = "a dictionary" if key == "env" else "a list"
                raise SpecInvalid(f"{where}: {key} is {entry[key]!r}", subject=where, expected=wanted, hint=f"write {wanted}")
        return cls(
            package=str(entry.get("package") or "."),
            output=str(entry.get("output") or ""),
            platform=str(entry.get("platform") or "linux/amd64"),
            env={str(name): str(value) for name, value in (entry.get("env") or {}).items()},
            flags=tuple(str(flag) for flag in entry.get("flags") or ()),
            tags=tuple(str(tag) for tag in entry.get("tags") or ()),
            command=tuple(str(argument) for argument in entry.get("command") or ()),
        ).validated()

    def to_dict(self) -> dict[str, t.Any]:
        """JSON types only; ``from_dict`` takes it back."""
        return {
            "package": self.package,
            "output": self.output,
            "platform": self.platform,
            "env": dict(self.env),
            "flags": list(self.flags),
            "tags": list(self.tags),
            "command": list(self.command),
        }

    def validated(self) -> Build:
        """Itself.

        :raises SpecInvalid: an output outside of its directory, a setting or flag that isn't a build's to choose, a bad platform.
        """
        where = f"build {self.output or self.package}"

        def refuse(why: str, expected: str = "", found: str = "") -> SpecInvalid:
            return SpecInvalid(f"{where}: {why}", subject=where, expected=expected, found=found)

        parts = self.output.split("/")
        if not re.fullmatch(r"[A-Za-z0-9._+/-]+", self.output) or any(part in ("", ".", "..") for part in parts) or parts[-1].startswith((".", "-")):
            raise refuse(f"its output {self.output!r} is no relative path of plain names", "such as bin/tool", self.output)
        if not re.fullmatch(r"[^\s\x00-\x1f-][^\s\x00-\x1f]*", self.package) or "@" in self.package or self.package.endswith("..."):
            raise refuse(f"its package is {self.package!r}", "one package's path, such as . or ./cmd/tool", self.package)
        if not re.fullmatch(r"[a-z0-9]+/[a-z0-9]+", self.platform):
            raise refuse(f"its platform is {self.platform!r}", "os/arch, such as linux/amd64", self.platform)
        for name, value in self.env.items():
            if name not in SETTINGS:
                raise refuse(f"{name} isn't a setting that a build may choose", ", ".join(sorted(SETTINGS)), name)
            if not re.fullmatch(r"[A-Za-z0-9.,_-]+", value):
                raise refuse(f"{name} is {value!r}", "letters, digits, '.', ',', '_' and '-'", value)
        if self.env.get("CGO_ENABLED", "0") not in ("0", "1"):
            raise refuse("CGO_ENABLED is neither 0 nor 1", "0 or 1, in quotes", self.env["CGO_ENABLED"])
        for flag in self.flags:
            match = re.fullmatch(r"--?([a-z]+)(=[^\x00-\x1f]*)?", flag)
            if match is None or match.group(1) not in FLAGS:
                raise refuse(f"{flag!r} isn't a flag that a build may choose", "-name=value as one entry, of " + ", ".join(sorted(FLAGS)), flag)
        for tag in self.tags:
            if not re.fullmatch(r"[A-Za-z0-9_.]+", tag):
                raise refuse(f"{tag!r} is no build tag", "letters, digits, '_' and '.'", tag)
        if self.command and (self.package != "." or self.flags):
            raise refuse("its command decides what is built, so it can't have a package or flags", "command, or package and flags")
        if any("\0" in argument for argument in self.command) or (self.command and not self.command[0]):
            raise refuse("its command can't be run", "a program and its arguments, as a list")
        return self


@dataclasses.dataclass(frozen=True)
class BuildRecord:
    """What came out: ``sha256`` (hex) and ``size`` (bytes) of the binary, ``seconds`` it took, ``argv`` of the go command,
    ``go_version`` (such as go1.26.8)."""

    sha256: str
    size: int
    seconds: float
    argv: t.Sequence[str]
    go_version: str


def build_environment(goroot: str, scratch: str, build: Build, extra: t.Optional[t.Mapping[str, str]] = None) -> dict[str, str]:
    """The complete environment of a build: nothing of the caller's, nothing of the user's, nothing from $GOROOT/go.env.

    :param scratch: a directory that the building user owns; all that go writes goes below it.
    :param extra: GOCACHE and GOWORK, where they are other than ``scratch``'s own and ``off``.
    :raises HostRefused: $GOROOT/go.env has settings that would change the binary and can't be overridden.
    """
    goos, goarch = build.platform.split("/")
    environment = {
        "PATH": f"{goroot}/bin:/usr/bin:/bin",
        "HOME": os.path.join(scratch, "home"),
        "TMPDIR": os.path.join(scratch, "tmp"),
        "GOPATH": os.path.join(scratch, "gopath"),
        "GOCACHE": os.path.join(scratch, "gocache"),
        "GOMODCACHE": os.path.join(scratch, "gopath", "pkg", "mod"),
        "GOENV": "off",
        "GO111MODULE": "on",
        "GOFLAGS": "-mod=vendor",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFIPS140": "off",
        "GOOS": goos,
        "GOARCH": goarch,
        "CGO_ENABLED": "0",
        **_TARGET_DEFAULTS.get(goarch, {}),
        **build.env,
        **(extra or {}),
    }
    if environment["CGO_ENABLED"] == "1":
        environment.update(_CGO_DEFAULTS)
    _refuse_settings(goroot, environment)
    return environment


def run_build(
    isolation: Isolation,
    goroot: str,
    directory: str,
    build: Build,
    dest: str,
    scratch: str,
    gocache: t.Optional[str] = None,
    timeout: float = 1800,
    workspace: bool = False,
    top: t.Optional[str] = None,
) -> BuildRecord:
    """Run ``go build``, or the build's own command, on the vendored source in ``directory`` and leave the binary at ``dest``.

    :param isolation: who builds, and without what (``sandbox.choose``).
    :param scratch: a directory that the isolation's user owns, in one of ours; ``dest`` is somewhere that user can write.
    :param gocache: a build cache to use in place of one in ``scratch``.
    :param timeout: seconds.
    :param top: the project's directory, where that is above ``directory``.
    :param workspace: build by the go.work that is at ``directory`` or the nearest above it, not by go.mod alone.
    :raises BuildFailed: the build failed or took too long; ``found`` is the end of what go said.
    """
    extra = {}
    if gocache:
        extra["GOCACHE"] = gocache
    if workspace:
        extra["GOWORK"] = _workspace_file(directory)
    environment = build_environment(goroot, scratch, build, extra)
    for name in ("HOME", "TMPDIR"):
        if not os.path.lexists(environment[name]):
            with _given(environment[name], scratch, isolation) as beside:
                os.mkdir(beside, 0o700)
    tags = ["-tags=" + ",".join(build.tags)] if build.tags else []
    argv = [os.path.join(goroot, "bin", "go"), "build", "-mod=vendor", "-trimpath", "-buildvcs=false", *build.flags, *tags, "-o", dest, build.package]
    if build.command:
        argv = list(build.command)
        environment.update(OUTPUT=dest, GOFLAGS=" ".join(["-mod=vendor", "-trimpath", "-buildvcs=false", *tags]))
        source = os.path.join(scratch, "source")
        with _given(source, scratch, isolation) as beside:
            shutil.copytree(top or directory, beside, symlinks=True)
        directory = os.path.normpath(os.path.join(source, os.path.relpath(directory, top or directory)))
    started = time.monotonic()
    finished = isolation.run(argv, environment, directory, timeout)
    if finished.status != 0:
        said = (finished.stderr.strip() or finished.stdout.strip())[-_END:]
        ending = f"ended by signal {-finished.status}" if finished.status < 0 else f"failed with status {finished.status}"
        raise BuildFailed(
            f"{'go build' if not build.command else build.command[0]} of {build.output} for {build.platform} in {directory} {ending}: {said}",
            subject=build.output,
            found=said,
            hint=f"as {isolation.user}, {isolation.proof}; see what go said",
        )
    if not os.path.isfile(dest) or os.path.islink(dest):
        raise BuildFailed(
            f"{argv[0]} of {build.output} ended well and left no file at $OUTPUT",
            subject=build.output,
            found=(finished.stderr.strip() or finished.stdout.strip())[-_END:],
            hint='let the command write the binary there: go build -o "$OUTPUT" ./cmd/tool',
        )
    digest, size = sha256_of(dest)
    return BuildRecord(digest, size, round(time.monotonic() - started, 3), argv, go_version(goroot))


@contextlib.contextmanager
def _given(dest: str, scratch: str, isolation: Isolation) -> t.Iterator[str]:
    """Where to make a directory that comes to ``dest``, in ``scratch``, with all that is in it: writable, and the isolation's user's.

    It's made beside, where that user can't enter: an earlier build may have left something running, and whoever owns a directory can put
    a link in a name's place between two looks at it.
    """
    closed = temporary_sibling(scratch)
    os.mkdir(closed, 0o700)
    try:
        beside = os.path.join(closed, os.path.basename(dest))
        yield beside
        for path, directories, names in os.walk(beside, topdown=False):
            for name in [*directories, *names, "."]:
                one = os.path.join(path, name)
                os.chown(one, isolation.uid, isolation.gid, follow_symlinks=False)
                if not os.path.islink(one):
                    os.chmod(one, os.stat(one).st_mode | 0o200)
        os.rename(beside, dest)
    finally:
        remove_tree(closed)


def go_version(goroot: str) -> str:
    """Which Go a GOROOT is: the first line of its VERSION file."""
    with open(os.path.join(goroot, "VERSION"), encoding="utf-8") as stream:
        return stream.readline().strip()


def _workspace_file(directory: str) -> str:
    above = os.path.abspath(directory)
    while True:
        candidate = os.path.join(above, "go.work")
        if os.path.isfile(candidate):
            return candidate
        if above == "/":
            raise BuildFailed(f"{directory} is said to be in a workspace, but neither it nor a directory above has a go.work", subject=directory)
        above = os.path.dirname(above)


def _refuse_settings(goroot: str, environment: t.Mapping[str, str]) -> None:
    path = os.path.join(goroot, "go.env")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as stream:
        lines = [line.strip() for line in stream]
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and value and name in _UNSAYABLE and not environment.get(name):
            raise HostRefused(
                f"{path} sets {name}, which changes every binary that is built here",
                code="settings_change_builds",
                subject=path,
                found=line,
                hint=f"take {name} out of the hosts' settings, and give it in the env of the builds that need it",
            )
