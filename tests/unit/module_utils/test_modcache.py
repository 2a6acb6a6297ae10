# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared GOMODCACHE: the same as go's own, safe against any zip, whole or not at all after a kill."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import typing as t
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import progress
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, DepotDamaged, HostRefused, ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._go import modcache
from ansible_collections.airgap.golang.plugins.module_utils._go.h1 import zip_h1
from ansible_collections.airgap.golang.plugins.module_utils._go.modcache import CachedModule, ModuleCache
from ansible_collections.airgap.golang.plugins.module_utils._go.toolchain import MODULE as TOOLCHAIN
from ansible_collections.airgap.golang.tests.support.depots import held

Contents = t.Mapping[str, bytes]


@pytest.fixture(autouse=True)
def removable(tmp_path: pathlib.Path) -> t.Iterator[None]:
    """pytest can't remove read-only directories."""
    yield
    remove_tree(str(tmp_path))


def put(directory: pathlib.Path, path: str, version: str, contents: t.Optional[Contents]) -> CachedModule:
    """A module version as files of a proxy tree; ``contents`` None: only its go.mod."""
    stem = directory / path.replace("/", "_")
    stem.mkdir(parents=True, exist_ok=True)
    info, mod, archive = (stem / f"{version}.{extension}" for extension in ("info", "mod", "zip"))
    info.write_text(json.dumps({"Version": version}))
    mod.write_text(f"module {path}\n")
    if contents is None:
        return CachedModule(path, version, "", "", str(info), str(mod))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in contents.items():
            writer.writestr(f"{path}@{version}/{name}", content)
    return CachedModule(path, version, zip_h1(str(archive)), str(archive), str(info), str(mod))


@pytest.fixture
def several(tmp_path: pathlib.Path) -> list[CachedModule]:
    proxy = tmp_path / "proxy"
    return [
        put(proxy, "example.com/One", "v1.2.0", {"go.mod": b"module example.com/One\n", "a/b/c.go": b"package c\n", "a/d.go": b"package a\n"}),
        put(proxy, "example.com/One", "v1.10.0", {"big.bin": os.urandom(3 << 20), "empty.go": b""}),
        put(proxy, "example.com/one/v2", "v2.0.0-RC1", {"x.go": b"package one\n"}),
        put(proxy, "example.com/two", "v0.1.0", None),
        put(
            proxy,
            TOOLCHAIN,
            "v0.0.1-go1.99.0.linux-amd64",
            {
                "VERSION": b"go1.99.0\n",
                "go.env": b"GOPROXY=stock\n",
                "bin/go": b"#!/bin/sh\n",
                "bin/gofmt": b"#!/bin/sh\n",
                "pkg/tool/linux_amd64/vet": b"#!/bin/sh\n",
                "pkg/include/x.h": b"",
                "lib/wasm/go_js_wasm_exec": b"#!/bin/sh\n",
                "lib/time/zoneinfo.zip": b"",
                "src/_go.mod": b"module std\n",
                "src/cmd/_go.mod": b"module cmd\n",
                "src/main.go": b"package main\n",
            },
        ),
    ]


def tree(root: t.Union[str, pathlib.Path]) -> dict[str, t.Any]:
    """Every name below with its mode and contents, so that two caches can be compared; not what is ours alone."""
    found: dict[str, t.Any] = {}
    for directory, names, files in os.walk(root):
        if os.path.basename(directory) == "cache":
            names[:] = [name for name in names if name != "airgap"]
        for name in names + files:
            path = os.path.join(directory, name)
            facts = os.lstat(path)
            content: t.Any = None
            if stat.S_ISLNK(facts.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(facts.st_mode):
                content = pathlib.Path(path).read_bytes()
            found[os.path.relpath(path, root)] = (oct(facts.st_mode), content)
    return found


def test_the_same_as_gos_own(tmp_path: pathlib.Path) -> None:
    """rsc.io/quote with what it needs, by go itself and by us from go's download directory."""
    own = tmp_path / "own"
    env = {**os.environ, "GOMODCACHE": str(own), "GOFLAGS": ""}
    project = tmp_path / "project"
    project.mkdir()
    (project / "go.mod").write_text("module example.com/p\n\ngo 1.21\n\nrequire (\n\trsc.io/quote v1.5.2\n\tgithub.com/BurntSushi/toml v1.4.0\n)\n")
    told = subprocess.run(
        ["go", "mod", "download", "-json", "rsc.io/quote@v1.5.2", "github.com/BurntSushi/toml@v1.4.0"], cwd=project, env=env, check=True, stdout=subprocess.PIPE
    )
    decoder = json.JSONDecoder()
    text = told.stdout.decode().strip()
    wanted = []
    while text:
        entry, end = decoder.raw_decode(text)
        text = text[end:].strip()
        wanted.append(CachedModule(entry["Path"], entry["Version"], entry["Sum"], entry["Zip"], entry["Info"], entry["GoMod"]))
    assert len(wanted) == 2
    ours = tmp_path / "ours"
    assert ModuleCache(str(ours)).install(wanted) == wanted
    theirs = {
        name: entry for name, entry in tree(own).items() if not name.startswith("cache/download/sumdb") and not name.endswith(".lock") and name != "cache/lock"
    }
    assert tree(ours) == theirs
    remove_tree(str(own))
    (project / "p.go").write_text('package p\n\nimport _ "github.com/BurntSushi/toml"\n')
    offline = {**env, "GOMODCACHE": str(ours), "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GONOSUMDB": "*"}
    subprocess.run(["go", "list", "github.com/BurntSushi/toml"], cwd=project, env=offline, check=True)
    assert not any(name.endswith(".ziphash") and entry[1] == b"" for name, entry in tree(ours).items())


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_a_whole_cache(tmp_path: pathlib.Path, several: list[CachedModule], workers: int) -> None:
    before = os.umask(0o077)
    try:
        cache = ModuleCache(str(tmp_path / "cache"))
        lines: list[str] = []
        clock = iter(range(0, 10000, 3))
        reporter = progress.Reporter(lines.append, clock=lambda: float(next(clock)))
        assert cache.missing(several) == several
        assert cache.install(several, workers, reporter.stage("cache")) == several
    finally:
        os.umask(before)
    assert lines[-1].startswith("cache 5 of 5")
    assert cache.missing(several) == [] == cache.install(several)
    found = tree(cache.root)
    assert found["example.com/!one@v1.2.0/a/b/c.go"] == ("0o100444", b"package c\n")
    assert found["example.com/!one@v1.2.0/a"] == found["example.com/!one@v1.2.0"] == ("0o40555", None)
    assert found["example.com"][0] == found["cache/download"][0] == "0o40755"
    assert found["example.com/one/v2@v2.0.0-!r!c1/x.go"][1] == b"package one\n"
    assert found["cache/download/example.com/!one/@v/list"] == ("0o100644", b"v1.2.0\nv1.10.0\n")
    assert found["cache/download/example.com/!one/@v/v1.2.0.ziphash"][1] == several[0].h1.encode()
    assert "cache/download/example.com/two/@v/v0.1.0.mod" in found
    assert "example.com/two@v0.1.0" not in found
    assert os.path.samefile(several[1].zip, cache.root + "/cache/download/example.com/!one/@v/v1.10.0.zip")
    assert not os.path.exists(os.path.join(cache.root, "cache", "airgap", "staging"))
    assert held(cache.root) == sorted((module.path, module.version) for module in several)


def test_a_toolchain_is_ready_to_run(tmp_path: pathlib.Path, several: list[CachedModule]) -> None:
    target = str(tmp_path / "go.env")
    cache = ModuleCache(str(tmp_path / "cache"), target)
    cache.install(several)
    goroot = cache.directory(several[4].path, several[4].version)
    found = tree(goroot)
    assert sorted(name for name, (mode, _content) in found.items() if mode == "0o100555") == [
        "bin/go",
        "bin/gofmt",
        "lib/wasm/go_js_wasm_exec",
        "pkg/tool/linux_amd64/vet",
    ]
    assert found["src/go.mod"] == found["src/_go.mod"] == ("0o100444", b"module std\n")
    assert found["src/cmd/go.mod"][1] == b"module cmd\n"
    assert found["go.env"][1] == target
    assert found["go.env.stock"][1] == b"GOPROXY=stock\n"
    assert os.path.exists(os.path.join(cache.root, "cache/download/golang.org/toolchain/@v/v0.0.1-go1.99.0.linux-amd64.lock"))


def test_a_toolchains_settings_can_be_led_elsewhere_later(tmp_path: pathlib.Path, several: list[CachedModule]) -> None:
    root = str(tmp_path / "cache")
    ModuleCache(root).install(several)
    goroot = pathlib.Path(ModuleCache(root).directory(several[4].path, several[4].version))
    assert (goroot / "go.env").read_bytes() == b"GOPROXY=stock\n"
    for target in ("/first/go.env", "/second/go.env"):
        led = ModuleCache(root, target)
        assert led.missing(several) == [several[4]] == led.install(several)
        assert os.readlink(goroot / "go.env") == target
        assert (goroot / "go.env.stock").read_bytes() == b"GOPROXY=stock\n"
        assert stat.S_IMODE(goroot.stat().st_mode) == 0o555
        assert led.missing(several) == []


def test_what_is_lost_is_brought_back(tmp_path: pathlib.Path, several: list[CachedModule]) -> None:
    cache = ModuleCache(str(tmp_path / "cache"))
    cache.install(several)
    whole = tree(cache.root)
    remove_tree(cache.directory(several[0].path, several[0].version))
    mark = pathlib.Path(cache.root, "cache/download/example.com/one/v2/@v/v2.0.0-!r!c1.ziphash")
    mark.write_bytes(b"")
    assert cache.missing(several) == [several[0], several[2]] == cache.install(several)
    assert tree(cache.root) == whole


def test_a_version_can_gain_its_zip_later(tmp_path: pathlib.Path, several: list[CachedModule]) -> None:
    cache = ModuleCache(str(tmp_path / "cache"))
    module = several[0]
    bare = CachedModule(module.path, module.version, "", "", module.info, module.mod)
    assert cache.install([bare]) == [bare]
    assert cache.install([bare, module, bare]) == [module]
    assert cache.missing([bare, module]) == []


def test_copies_where_links_fail(tmp_path: pathlib.Path, several: list[CachedModule], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_args: t.Any, **_more: t.Any) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", no_links)
    cache = ModuleCache(str(tmp_path / "cache"))
    cache.install(several)
    copy = pathlib.Path(cache.root, "cache/download/example.com/!one/@v/v1.10.0.zip")
    assert copy.read_bytes() == pathlib.Path(several[1].zip).read_bytes()
    assert not os.path.samefile(copy, several[1].zip)


def member(name: str, mode: int = 0, **more: t.Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    for key, value in more.items():
        setattr(info, key, value)
    return info


P = "example.com/evil@v1.0.0/"


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([member("example.com/other@v1.0.0/a.go")], "other@v1.0.0/a.go is not below"),
        ([member("/etc/passwd")], "/etc/passwd is not below"),
        ([member(P + "../../x")], r"\.\./x has a name"),
        ([member(P + "a/../b")], "has a name that is unclean"),
        ([member(P + "/abs")], "has a name that is unclean"),
        ([member(P + "a//b")], "has a name that is unclean"),
        ([member(P + "./a")], "has a name that is unclean"),
        ([member(P + "..\\x")], "has a name that is unclean"),
        ([member(P + "a\nb")], "has a name that is unclean"),
        ([member(P + "a"), member(P + "a")], "is in the zip twice"),
        ([member(P + "a"), member(P + "a/b")], "a/b has a, which is a file"),
        ([member(P + "a/b"), member(P + "a")], "is a file and a directory at once"),
        ([member(P + "a"), member(P + "a/")], "which is a file"),
        ([member(P + "link", stat.S_IFLNK | 0o777)], "link is no regular file"),
        ([member(P + "null", stat.S_IFCHR | 0o666)], "null is no regular file"),
        ([member(P + "pipe", stat.S_IFIFO | 0o666)], "pipe is no regular file"),
        ([member(P + "file", stat.S_IFDIR | 0o755)], "file is no regular file"),
    ],
)
def test_evil_zips_are_refused(tmp_path: pathlib.Path, members: t.Sequence[zipfile.ZipInfo], complaint: str) -> None:
    evil = put(tmp_path / "proxy", "example.com/evil", "v1.0.0", {})
    with zipfile.ZipFile(evil.zip, "w") as writer:
        writer.writestr(P + "innocent.go", b"package evil\n")
        for info in members:
            if info.filename in writer.NameToInfo:
                with pytest.warns(UserWarning, match="Duplicate name"):
                    writer.writestr(info, b"evil")
            else:
                writer.writestr(info, b"" if info.filename.endswith("/") else b"evil")
    refused(tmp_path, evil, complaint)


def refused(tmp_path: pathlib.Path, evil: CachedModule, complaint: str) -> None:
    """It's refused by name, and nothing of it is anywhere."""
    cache = ModuleCache(str(tmp_path / "cache"))
    with pytest.raises(ModuleRefused, match=complaint) as caught:
        cache.install([CachedModule(evil.path, evil.version, "", evil.zip, evil.info, evil.mod)])
    assert evil.zip in caught.value.subject
    assert sorted(os.listdir(tmp_path)) == ["cache", "proxy"]
    assert os.listdir(cache.root) == ["cache"] or os.listdir(os.path.join(cache.root, "example.com")) == []
    private = pathlib.Path(cache.root, "cache", "airgap")
    assert sorted(path.name for path in private.rglob("*")) in (["lock"], ["lock", "staging"])
    assert cache.missing([evil]) == [evil]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"file_size": (500 << 20) + 1}, "over Go's limit"),
        ({"file_size": 100 << 20}, "can't be unpacked"),
        ({"file_size": 3}, "can't be unpacked"),
        ({"CRC": 1}, "can't be unpacked"),
        ({"flag_bits": 1}, "is encrypted"),
        ({"compress_type": 97}, "can't be unpacked"),
    ],
)
def test_directories_that_lie_are_refused(tmp_path: pathlib.Path, change: dict[str, int], complaint: str) -> None:
    evil = put(tmp_path / "proxy", "example.com/evil", "v1.0.0", {})
    with zipfile.ZipFile(evil.zip, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr(P + "a.go", b"package evil\n" * 100000)
        for key, value in change.items():
            setattr(writer.filelist[0], key, value)
    refused(tmp_path, evil, complaint)


def test_a_zip_with_another_hash_is_refused_and_the_others_stay(tmp_path: pathlib.Path, several: list[CachedModule]) -> None:
    wrong = several[2]
    changed = CachedModule(wrong.path, wrong.version, several[0].h1, wrong.zip, wrong.info, wrong.mod)
    cache = ModuleCache(str(tmp_path / "cache"))
    with pytest.raises(ModuleRefused, match=r"is not the example\.com/one/v2@v2\.0\.0-RC1") as caught:
        cache.install([*several[:2], changed], workers=1)
    assert (caught.value.expected, caught.value.found) == (several[0].h1, wrong.h1)
    # The biggest comes first and was finished; what was not can be had by the next run.
    assert several[1] not in cache.missing(several)
    missing = cache.missing(several)
    assert cache.install(several) == missing
    assert cache.missing(several) == []


def test_a_module_that_is_here_with_another_hash_is_refused(tmp_path: pathlib.Path, several: list[CachedModule]) -> None:
    cache = ModuleCache(str(tmp_path / "cache"))
    cache.install(several)
    other = put(tmp_path / "other", several[0].path, several[0].version, {"go.mod": b"changed"})
    with pytest.raises(ModuleRefused, match="with another hash") as caught:
        cache.missing([other])
    assert (caught.value.expected, caught.value.found) == (other.h1, several[0].h1)


def test_a_file_that_is_not_there_is_named(tmp_path: pathlib.Path, several: list[CachedModule]) -> None:
    os.unlink(several[0].zip)
    with pytest.raises(DepotDamaged, match=r"example\.com/One@v1\.2\.0: .*v1\.2\.0\.zip is not there"):
        ModuleCache(str(tmp_path / "cache")).install(several)


def test_a_killed_worker_is_told(tmp_path: pathlib.Path, several: list[CachedModule], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModuleCache, "_unpack", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(HostRefused, match="was killed"):
        ModuleCache(str(tmp_path / "cache")).install(several)


def test_two_at_once_are_refused(tmp_path: pathlib.Path, several: list[CachedModule]) -> None:
    cache = ModuleCache(str(tmp_path / "cache"))
    with cache.exclusive(), pytest.raises(AirgapError, match="in use by process"):
        cache.install(several)


def killed_install(cache: ModuleCache, wanted: list[CachedModule], point: str, nth: int) -> None:
    """Install in a child that dies by SIGKILL when ``point`` is called for the nth time, in it or in one of its workers."""
    child = os.fork()
    if child == 0:
        top = os.getpid()
        owner: t.Any = ModuleCache if hasattr(ModuleCache, point) else modcache
        if point == "rename":
            owner = os
        real = getattr(owner, point)
        calls = 0

        def deadly(*args: t.Any, **more: t.Any) -> t.Any:
            nonlocal calls
            calls += 1
            if calls == nth:
                os.kill(top, signal.SIGKILL)
                # A worker outlives that by nothing: it's to die with its parent.
                signal.pause()
            return real(*args, **more)

        setattr(owner, point, deadly)
        try:
            cache.install(wanted, workers=1 if nth > 1 else 2)
        finally:
            os._exit(7)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, f"{point} was not called {nth} times"
    # Once we have the lock, none of its workers is left.
    with open(os.path.join(cache.root, "cache", "airgap", "lock"), "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        ("_unpack_file", 1),
        ("_unpack_file", 5),
        ("_unpack_file", 12),
        ("rename", 1),
        ("rename", 3),
        ("rename", 4),
        ("rename", 9),
        ("write_list", 1),
        ("sync_filesystem", 1),
        ("_put", 1),
        ("_put", 4),
        ("_put", 6),
        ("sync_filesystem", 2),
    ],
)
def test_killed_in_the_middle(tmp_path: pathlib.Path, several: list[CachedModule], point: str, nth: int) -> None:
    whole = ModuleCache(str(tmp_path / "whole"))
    whole.install(several)
    expected = tree(whole.root)
    cache = ModuleCache(str(tmp_path / "cache"))
    killed_install(cache, several, point, nth)
    half = tree(cache.root)
    for name, entry in half.items():
        if name.endswith(".ziphash"):
            path, _at, version = name[len("cache/download/") : -len(".ziphash")].rpartition("/@v/")
            inside = f"{path}@{version}"
            assert {key: value for key, value in half.items() if key.startswith(inside)} == {
                key: value for key, value in expected.items() if key.startswith(inside)
            }
        assert entry == expected.get(name) or name.endswith("/list"), f"{name} is not as it will be"
    missing = cache.missing(several)
    assert cache.install(several) == missing
    assert tree(cache.root) == expected
    private = pathlib.Path(cache.root, "cache", "airgap")
    assert sorted(path.name for path in private.rglob("*")) in (["lock"], ["lock", "staging"])


def test_a_full_disk_is_said_and_what_was_finished_stays(tmp_path: pathlib.Path, several: list[CachedModule]) -> None:
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(small)], check=True)
    try:
        cache = ModuleCache(str(small / "cache"))
        with pytest.raises(HostRefused, match="No space left") as caught:
            cache.install(several, workers=1)
        assert caught.value.code == "disk_full"
        assert not os.path.exists(os.path.join(cache.root, "cache", "airgap", "staging"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        assert cache.install(several)
        assert cache.missing(several) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
