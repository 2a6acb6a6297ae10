# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build check with a real toolchain, a real vendored project and a host's settings that would spoil it, through Ansible."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import pwd
import subprocess
import sys
import tempfile
import typing as t
from xml.etree import ElementTree

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import build_check
from ansible_collections.airgap.golang.plugins.module_utils._base import sandbox
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import BuildFailed, HostRefused, NotSealed, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._go import build as go_build
from ansible_collections.airgap.golang.plugins.module_utils._go import toolchain
from ansible_collections.airgap.golang.plugins.module_utils._go.modcache import CachedModule, ModuleCache

PLATFORM = toolchain.host_platform()
OTHER = "linux/arm64" if PLATFORM != "linux/arm64" else "linux/amd64"

MAIN = (
    "package main\n"
    "\n"
    "import (\n"
    "\t\"fmt\"\n"
    "\t\"rsc.io/quote\"\n"
    ")\n"
    "\n"
    "var version = \"none\"\n"
    "\n"
    "func main() { fmt.Println(version, spoiled, quote.Go()) }\n"
)

#: What a host's administrator may set, and what must not reach a build that is to be the rehearsal's.
SETTINGS = {
    "GOPROXY": "https://proxy.invalid",
    "GOSUMDB": "sum.golang.org",
    "GOTOOLCHAIN": "auto",
    "GOFLAGS": "-tags=spoiled",
    "GOAMD64": "v3",
    "GOARM64": "v8.2",
    "CGO_ENABLED": "1",
    "CC": "/nowhere/cc",
    "GOFIPS140": "latest",
    "GOOS": "plan9",
    "GOARCH": "386",
}


@dataclasses.dataclass
class Host:
    """A ROOT as deploy leaves it, and what the module says about it."""

    root: pathlib.Path
    document: dict[str, t.Any]

    def write(self) -> None:
        (self.root / "current" / "generation.json").write_text(json.dumps(self.document))

    def module(self, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        collections = str(next(parent.parent for parent in pathlib.Path(build_check.__file__).parents if parent.name == "ansible_collections"))
        argv = ["ansible", "localhost", "-m", "airgap.golang.build_check", "-a", json.dumps({"root": str(self.root), **options})]
        env = {
            **os.environ,
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(self.root / ".ansible"),
            "ANSIBLE_REMOTE_TEMP": str(self.root / ".ansible"),
        }
        done = subprocess.run([*argv, *(["--check"] if check else [])], env=env, capture_output=True, text=True, check=False)
        head, _arrow, body = done.stdout.partition("localhost | ")[2].partition(" => ")
        assert body, done.stdout + done.stderr
        answer: dict[str, t.Any] = json.JSONDecoder().raw_decode(body)[0]
        assert ("FAILED" in head) == (done.returncode != 0)
        answer["failed"] = done.returncode != 0
        return answer

    def difference(self) -> dict[str, str]:
        """What --diff would show as coming, having shown something else as there."""
        diff = build_check.check(build_check.Options(str(self.root)), check_mode=True)["diff"]
        assert all(diff["before"][path] != sha256 for path, sha256 in diff["after"].items())
        after: dict[str, str] = diff["after"]
        return after

    def path(self, output: str) -> pathlib.Path:
        return self.root / "builds" / "000007" / "greeter" / output


def go(*argv: str, cwd: pathlib.Path) -> str:
    env = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    return subprocess.run(["go", *argv], cwd=cwd, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def version() -> str:
    return go("env", "GOVERSION", cwd=pathlib.Path("/")).strip()[2:]


@pytest.fixture(scope="module")
def prepared(version: str) -> t.Iterator[Host]:
    """The root, with the rehearsal's hashes; not below pytest's own directory, which other users may not enter."""
    root = pathlib.Path(tempfile.mkdtemp())
    root.chmod(0o755)
    try:
        module = f"{toolchain.MODULE}@{toolchain.module_version(version, PLATFORM)}"
        told = json.loads(go("mod", "download", "-json", module, cwd=pathlib.Path("/")))
        cached = CachedModule(told["Path"], told["Version"], told["Sum"], told["Zip"], "", told["GoMod"])
        current = root / "generations" / "000007"
        project = current / "projects" / "greeter" / "app"
        project.mkdir(parents=True)
        (root / "current").symlink_to("generations/000007")
        ModuleCache(str(root / "modcache"), str(root / "current" / "go.env")).install([cached])
        parts = {"toolchain": {"version": version, "dir": ""}, "project": {"all": True, "names": ["greeter"]}}
        (current / "state.json").write_text(json.dumps({"generation": "000007", "manifest": "sha256:" + "0" * 64, "parts": parts}))
        (current / "go.env").write_text("".join(f"{name}={value}\n" for name, value in SETTINGS.items()))
        (project / "go.mod").write_text("module example.com/greeter\n\ngo 1.21\n\nrequire rsc.io/quote v1.5.2\n")
        (project / "main.go").write_text(MAIN)
        (project / "plain.go").write_text("//go:build !spoiled\n\npackage main\n\nconst spoiled = false\n")
        (project / "spoiled.go").write_text("//go:build spoiled\n\npackage main\n\nconst spoiled = true\n")
        go("mod", "tidy", cwd=project)
        go("mod", "vendor", cwd=project)
        builds = [
            {"package": ".", "output": "bin/greeter", "platform": PLATFORM, "flags": ["-ldflags=-s -w -X main.version=1.2.3"]},
            {"package": ".", "output": "bin/greeter-other", "platform": OTHER, "tags": ["extra"]},
        ]
        host = Host(
            root,
            {
                "name": "platform",
                "generation": 7,
                "projects": [{"name": "greeter", "directory": "app", "toolchain": version, "workspace": False, "builds": builds}],
            },
        )
        rehearse(host, cached, project)
        host.write()
        yield host
    finally:
        remove_tree(str(root))


def rehearse(host: Host, cached: CachedModule, project: pathlib.Path) -> None:
    """With the same toolchain elsewhere, its own go.env in it, as whoever we are, from a copy of the source."""
    elsewhere = pathlib.Path(tempfile.mkdtemp())
    try:
        cache = ModuleCache(str(elsewhere / "modcache"))
        cache.install([cached])
        source = elsewhere / "somewhere" / "else"
        subprocess.run(["cp", "-r", str(project.parent), str(source.parent)], check=True)
        for number, build in enumerate(host.document["projects"][0]["builds"]):
            scratch = elsewhere / str(number)
            scratch.mkdir()
            record = go_build.run_build(
                sandbox.choose(),
                cache.directory(cached.path, cached.version),
                str(source.parent / "app"),
                go_build.Build.from_dict(build),
                str(scratch / "out"),
                str(scratch),
                gocache=str(elsewhere / "gocache"),
            )
            build.update(sha256=record.sha256, size=record.size)
            assert record.go_version == "go" + host.document["projects"][0]["toolchain"]
    finally:
        remove_tree(str(elsewhere))


@pytest.fixture
def host(prepared: Host) -> t.Iterator[Host]:
    """Each test gets the root with nothing built, and what it changed in the document is undone."""
    remove_tree(str(prepared.root / "builds"))
    yield Host(prepared.root, json.loads(json.dumps(prepared.document)))
    prepared.write()


def test_built_attested_and_built_again(host: Host) -> None:
    expected = {build["output"]: build["sha256"] for build in host.document["projects"][0]["builds"]}

    foretold = host.module(check=True)
    assert foretold["changed"] and {build["status"] for build in foretold["builds"]} == {"would_build"}
    assert not (host.root / "builds").exists()

    built = host.module()
    assert built["changed"] and not built["failed"]
    assert {build["output"]: build["sha256"] for build in built["builds"]} == expected
    assert built["summary"] == {"attested": 0, "built": 2, "mismatch": 0, "failed": 0, "would_build": 0}
    assert built["isolation"]["method"] in ("netns", "bwrap") and built["isolation"]["proof"] == "proved: no route (ENETUNREACH)"
    assert built["isolation"]["user"] == ("nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    binary = host.path("bin/greeter")
    assert binary.stat().st_mode & 0o7777 == 0o755 and binary.stat().st_uid == os.geteuid()
    assert (
        subprocess.run([str(binary)], check=True, stdout=subprocess.PIPE, text=True).stdout
        == "1.2.3 false Don't communicate by sharing memory, share memory by communicating.\n"
    )
    attestation = json.loads(host.path("bin/greeter.attestation.json").read_text())
    assert attestation["sha256"] == attestation["expected"] == expected["bin/greeter"]
    assert attestation["user"] == built["isolation"]["user"]
    assert (host.root / "builds" / "000007" / "report.json").exists()
    suite = ElementTree.parse(built["reports"]["junit"]).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")
    assert sorted(path.name for path in (host.root / "builds").iterdir()) == [".lock", "000007"]

    before = binary.stat()
    again = host.module()
    assert not again["changed"] and {build["status"] for build in again["builds"]} == {"attested"}
    assert binary.stat().st_ino == before.st_ino
    assert host.difference() == {}
    assert not host.module(check=True)["changed"]

    binary.write_bytes(binary.read_bytes() + b"tampered")
    assert host.difference() == {str(binary): expected["bin/greeter"]}
    mended = host.module()
    assert [build["status"] for build in mended["builds"]] == ["built", "attested"]

    host.document["note"] = "another document is another generation"
    host.write()
    assert host.module(check=True)["summary"]["would_build"] == 2


def everything_below(top: pathlib.Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in sorted(top.rglob("*")) if ".ansible" not in path.parts}


def test_comparing_says_what_came_out_and_leaves_the_host_as_it_is(host: Host, version: str) -> None:
    """Before anything is built, after, and when what is installed, sealed or there to build was changed; in check mode too."""
    scratch = host.root / "scratch"
    scratch.mkdir(exist_ok=True)
    options = {"compare_only": True, "scratch_dir": str(scratch)}
    before = everything_below(host.root)
    fresh = host.module(**options)
    assert not fresh["changed"] and not fresh["failed"]
    assert fresh["summary"] == {"identical": 2, "differs": 0, "failed": 0} and fresh["reports"] == {}
    assert [build["sha256"] for build in fresh["builds"]] == [build["expected"] for build in fresh["builds"]]
    assert {build["installed"] for build in fresh["builds"]} == {"absent"} and not (host.root / "builds").exists()
    assert fresh["isolation"]["proof"].startswith("proved")
    assert fresh["state"] == {"current": "000007", "platform": PLATFORM, "parts": ["project", "toolchain"], "toolchain": version}
    assert {name: facts for name, facts in everything_below(host.root).items() if name != str(scratch)} == {
        name: facts for name, facts in before.items() if name != str(scratch)
    }

    assert host.module()["summary"]["built"] == 2
    binary = host.path("bin/greeter")
    binary.write_bytes(b"tampered")
    builds = host.document["projects"][0]["builds"]
    builds += [{**builds[0], "output": "bin/wrong", "sha256": "0" * 64}, {**builds[0], "output": "bin/broken", "package": "./absent"}]
    host.write()
    before = everything_below(host.root / "builds")
    answer = host.module(check=True, **options)
    assert not answer["changed"] and not answer["failed"] and "failure" not in answer
    assert [build["status"] for build in answer["builds"]] == ["identical", "identical", "differs", "failed"]
    # Another document is another generation, so no attestation is of it.
    assert [build["installed"] for build in answer["builds"]] == ["changed", "changed", "absent", "absent"]
    assert answer["builds"][2]["sha256"] == builds[0]["sha256"] and "absent" in answer["builds"][3]["message"]
    assert everything_below(host.root / "builds") == before and binary.read_bytes() == b"tampered"
    assert list(scratch.iterdir()) == []


def test_what_is_wrong_fails_after_all_were_tried(host: Host) -> None:
    """One hash that isn't the binary's, one package that doesn't compile, and one that is right: all three are told."""
    builds = host.document["projects"][0]["builds"]
    wrong = {**builds[0], "output": "bin/wrong", "sha256": "0" * 64}
    broken = {**builds[0], "output": "bin/broken", "package": "./absent"}
    host.document["projects"][0]["builds"] = [wrong, broken, builds[0]]
    host.write()
    answer = host.module(report_dir=str(host.root / "builds" / "reports"))
    assert answer["failed"] and answer["changed"]
    assert [build["status"] for build in answer["builds"]] == ["mismatch", "failed", "built"]
    assert answer["builds"][0]["sha256"] == builds[0]["sha256"]
    assert answer["failure"]["code"] == "build_failed"
    assert [detail["output"] for detail in answer["failure"]["details"]] == ["bin/wrong", "bin/broken"]
    assert "2 of 3 builds" in answer["msg"]
    assert "absent" in answer["builds"][1]["message"]
    assert not host.path("bin/wrong").exists() and not host.path("bin/wrong.attestation.json").exists() and not host.path("bin/broken").exists()
    suite = ElementTree.parse(str(host.root / "builds" / "reports" / "report.xml")).getroot()[0]
    failures = suite.findall("testcase/failure")
    assert suite.get("failures") == "2" and [failure.get("type") for failure in failures] == ["mismatch", "failed"]
    assert "absent" in (failures[1].text or "")
    report = json.loads((host.root / "builds" / "reports" / "report.json").read_text())
    assert report["summary"]["failed"] == report["summary"]["mismatch"] == 1

    rerun = host.module(report_dir=str(host.root / "builds" / "reports"))
    assert rerun["failed"] and [build["status"] for build in rerun["builds"]] == ["mismatch", "failed", "attested"]


def test_what_cannot_even_be_run_is_a_build_that_failed(host: Host, version: str) -> None:
    """A script that names nothing to run it, a program below a file, a toolchain that is damaged: the builds after it are tried all the same."""
    project = host.root / "current" / "projects" / "greeter" / "app"
    script = project / "build.sh"
    script.write_text("true\n")
    script.chmod(0o755)
    builds = host.document["projects"][0]["builds"]
    no_program = {**builds[0], "output": "bin/script", "flags": [], "command": ["./build.sh"]}
    no_directory = {**builds[0], "output": "bin/below", "flags": [], "command": ["./main.go/tool"]}
    host.document["projects"][0]["builds"] = [no_program, no_directory, builds[0]]
    host.write()
    try:
        compared = build_check.compare(build_check.Options(str(host.root)))["builds"]
        built = build_check.check(build_check.Options(str(host.root)))["builds"]
    finally:
        script.unlink()
    assert [build["status"] for build in compared] == ["failed", "failed", "identical"]
    assert [build["status"] for build in built] == ["failed", "failed", "built"]
    for first, second, _good in (compared, built):
        assert "./build.sh in" in first["message"] and "#!/bin/sh" in first["message"]
        assert "greeter bin/below: its build couldn't be run" in second["message"] and "NotADirectoryError" in second["message"]

    damaged = pathlib.Path(toolchain.directory(str(host.root / "modcache"), version, PLATFORM)) / "VERSION"
    before, mode = damaged.read_bytes(), damaged.stat().st_mode
    host.document["projects"][0]["builds"] = [builds[0]]
    host.write()
    damaged.chmod(0o644)
    damaged.write_bytes(b"\xff" + before)
    try:
        compared = build_check.compare(build_check.Options(str(host.root)))["builds"]
        built = build_check.check(build_check.Options(str(host.root), force=True))["builds"]
    finally:
        damaged.write_bytes(before)
        damaged.chmod(mode)
    assert [build["status"] for build in compared + built] == ["failed", "failed"]
    assert all("UnicodeDecodeError" in build["message"] for build in compared + built)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_a_root_of_somebody_elses_gets_nothing_from_us(host: Host) -> None:
    """Whoever it belongs to says where builds/ leads, and which file comes to be there; comparing writes nothing there."""
    nobody = pwd.getpwnam("nobody")
    (host.root / "elsewhere").mkdir()
    (host.root / "builds").symlink_to("elsewhere")
    os.chown(host.root, nobody.pw_uid, nobody.pw_gid)
    before = everything_below(host.root)
    try:
        for check in (False, True):
            with pytest.raises(HostRefused, match="belongs to nobody") as refused:
                build_check.check(build_check.Options(str(host.root)), check)
            assert (refused.value.code, refused.value.subject) == ("not_ours", str(host.root))
        assert build_check.compare(build_check.Options(str(host.root)))["summary"]["identical"] == 2
        assert everything_below(host.root) == before
    finally:
        os.chown(host.root, 0, 0)
        (host.root / "builds").unlink()
        (host.root / "elsewhere").rmdir()


def test_a_build_reaches_no_network_and_sees_no_environment(host: Host, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its vendor directory gone, go has nowhere to get the module from."""
    monkeypatch.setenv("GOPROXY", "https://proxy.invalid")
    monkeypatch.setenv("GOFLAGS", "-tags=spoiled")
    vendor = host.root / "current" / "projects" / "greeter" / "app" / "vendor"
    away = vendor.with_name("away")
    vendor.rename(away)
    try:
        answer = build_check.check(build_check.Options(str(host.root)))
        assert [build["status"] for build in answer["builds"]] == ["failed", "failed"]
        assert "vendor" in answer["builds"][0]["message"]
    finally:
        away.rename(vendor)
    answer = build_check.check(build_check.Options(str(host.root)))
    assert answer["summary"]["built"] == 2, answer


def test_a_build_that_hangs_is_ended(host: Host) -> None:
    answer = build_check.check(build_check.Options(str(host.root), timeout=0))
    assert {build["status"] for build in answer["builds"]} == {"failed"}
    assert "took longer" in answer["builds"][0]["message"]


def test_settings_that_cannot_be_overridden_are_refused(host: Host, version: str) -> None:
    settings = host.root / "current" / "go.env"
    before = settings.read_text()
    settings.write_text(before + "GOEXPERIMENT=nogreenteagc\n")
    try:
        answer = build_check.check(build_check.Options(str(host.root)))
    finally:
        settings.write_text(before)
    assert "sets GOEXPERIMENT" in answer["failure"]["details"][0]["message"]


def test_what_a_killed_run_left_is_removed(host: Host) -> None:
    left = host.root / "builds" / ".scratch-left" / "deep"
    left.mkdir(parents=True)
    left.chmod(0o500)
    build_check.check(build_check.Options(str(host.root), timeout=0))
    assert not left.parent.exists()


def test_a_host_without_a_toolchain_or_generation_is_told_so(host: Host, tmp_path: pathlib.Path) -> None:
    host.document["projects"][0]["toolchain"] = "1.20.99"
    host.write()
    answer = build_check.check(build_check.Options(str(host.root)))
    assert "its toolchain go1.20.99 is not in" in answer["failure"]["details"][0]["message"]
    with pytest.raises(HostRefused, match="no active generation"):
        build_check.check(build_check.Options(str(tmp_path)))
    with pytest.raises(SpecInvalid, match="no project nonesuch"):
        build_check.check(build_check.Options(str(host.root), projects=["nonesuch"]))


def test_an_unsealed_generation_has_nothing_to_compare_with(host: Host) -> None:
    del host.document["projects"][0]["builds"][0]["sha256"]
    host.write()
    with pytest.raises(NotSealed, match="the rehearsal of project .* has not been"):
        build_check.check(build_check.Options(str(host.root)))


def test_a_workspace_is_built_by_its_go_work(prepared: Host, version: str) -> None:
    """go work vendor beside go.work, built from a module's directory below it."""
    top = pathlib.Path(tempfile.mkdtemp())
    try:
        for name, body in (
            ("lib", 'package lib\n\nconst Word = "shared"\n'),
            ("app", 'package main\n\nimport "example.com/lib"\n\nfunc main() { println(lib.Word) }\n'),
        ):
            (top / name).mkdir()
            (top / name / "go.mod").write_text(f"module example.com/{name}\n\ngo 1.22\n")
            (top / name / f"{name}.go").write_text(body)
        (top / "go.work").write_text("go 1.22\n\nuse (\n\t./app\n\t./lib\n)\n")
        subprocess.run(["go", "work", "vendor"], cwd=top, env={**os.environ, "GOFLAGS": "", "GOTOOLCHAIN": "local"}, check=True)
        goroot = toolchain.directory(str(prepared.root / "modcache"), version, PLATFORM)
        target = go_build.Build(".", "app", PLATFORM)
        scratch = top / "scratch"
        scratch.mkdir()
        go_build.run_build(sandbox.choose(), goroot, str(top / "app"), target, str(scratch / "out"), str(scratch), workspace=True)
        assert subprocess.run([str(scratch / "out")], check=True, stderr=subprocess.PIPE, text=True).stderr == "shared\n"
        with pytest.raises(BuildFailed, match="example.com/lib"):
            go_build.run_build(sandbox.choose(), goroot, str(top / "app"), target, str(scratch / "out"), str(scratch))
    finally:
        remove_tree(str(top))
