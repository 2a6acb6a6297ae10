# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release archives become module files, the same each time; what isn't the archive that was meant, or isn't one, is refused by name."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import io
import json
import os
import pathlib
import tarfile
import tracemalloc
import typing as t
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, FetchFailed, ModuleRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._go import archive
from ansible_collections.airgap.golang.plugins.module_utils._go.command import find_go
from ansible_collections.airgap.golang.plugins.module_utils._go.goproxy import DirectGo, Upstream
from ansible_collections.airgap.golang.plugins.module_utils._go.h1 import zip_h1
from ansible_collections.airgap.golang.plugins.module_utils._go.store import Held, Key, ModuleStore
from ansible_collections.airgap.golang.tests.support.release_archives import sha256, small_release, write_tar, write_zip

LINUX, WINDOWS = "linux/amd64", "windows/amd64"


@pytest.fixture(scope="module")
def fetcher() -> t.Iterator[Fetcher]:
    with Fetcher() as made:
        yield made


def obtain(fetcher: Fetcher, path: pathlib.Path, digest: str = "", version: str = "1.26.8", platform: str = LINUX) -> archive.Files:
    out = path.parent / "out"
    try:
        return archive.obtain(str(path), digest or sha256(path), version, platform, str(out), fetcher)
    except AirgapError:
        assert not out.exists() or os.listdir(out) == [], "what was refused is still there"
        raise


@pytest.mark.parametrize("platform", [LINUX, WINDOWS])
def test_the_module_files(fetcher: Fetcher, tmp_path: pathlib.Path, platform: str) -> None:
    path = tmp_path / "release"
    write = write_tar if platform == LINUX else write_zip
    digest = write(path, small_release(platform=platform))
    files = obtain(fetcher, path, digest.upper(), platform=platform)
    number = f"v0.0.1-go1.26.8.{platform.replace('/', '-')}"
    prefix = f"golang.org/toolchain@{number}/"
    suffix = ".exe" if platform == WINDOWS else ""
    with zipfile.ZipFile(files.zip) as module:
        names = {name[len(prefix) :] for name in module.namelist() if name.startswith(prefix)}
        assert names == {
            "VERSION",
            f"bin/go{suffix}",
            "go.env",
            f"pkg/tool/{platform.replace('/', '_')}/compile{suffix}",
            "src/cmd/_go.mod",
            "src/_go.mod",
            "src/notgo.mod",
        }
        assert len(module.namelist()) == len(names)
        assert module.read(prefix + "src/_go.mod") == b"module std\n"
        for info in module.infolist():
            assert (info.date_time, info.extra, info.flag_bits) == ((1980, 1, 1, 0, 0, 0), b"", 0), info
    assert zip_h1(files.zip) == files.h1
    assert pathlib.Path(files.mod).read_bytes() == b"module golang.org/toolchain\n"
    assert json.loads(pathlib.Path(files.info).read_text()) == {"Version": number, "Time": "2026-08-28T16:20:06Z"}
    assert sorted(os.listdir(tmp_path / "out")) == [f"{number}.{ext}" for ext in ("info", "mod", "zip")], "the archive is gone when it's read"
    before = pathlib.Path(files.zip).read_bytes()
    assert obtain(fetcher, path, platform=platform) == files and pathlib.Path(files.zip).read_bytes() == before


def test_by_url(fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    digest = write_tar(tmp_path / "release", small_release())
    url = (tmp_path / "release").as_uri()
    assert archive.obtain(url, digest, "1.26.8", LINUX, str(tmp_path / "out"), fetcher).h1 == obtain(fetcher, tmp_path / "release").h1
    with pytest.raises(FetchFailed, match="absent"):
        archive.obtain(url.replace("release", "absent"), digest, "1.26.8", LINUX, str(tmp_path / "out"), fetcher)
    with pytest.raises(SpecInvalid, match="there is no archive .*absent"):
        archive.obtain(str(tmp_path / "absent"), digest, "1.26.8", LINUX, str(tmp_path / "out"), fetcher)


def test_another_sha256_is_refused_before_it_is_read(fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    (tmp_path / "release").write_bytes(b"no archive at all")
    with pytest.raises(ModuleRefused, match="another SHA-256") as refusal:
        obtain(fetcher, tmp_path / "release", "0" * 64)
    assert refusal.value.code == "archive_refused" and refusal.value.subject == str(tmp_path / "release")
    assert (refusal.value.expected, refusal.value.found) == ("0" * 64, sha256(tmp_path / "release"))


@pytest.mark.parametrize(
    "files, expected, found",
    [
        (small_release("1.26.7"), "go1.26.8", "go1.26.7"),
        (small_release(platform="linux/arm64"), "linux/amd64", "linux/arm64"),
        ({name: content for name, content in small_release().items() if not name.startswith(("bin/", "pkg/"))}, "go/bin/go", ""),
        ({name: content for name, content in small_release().items() if name != "VERSION"}, "go/VERSION", ""),
    ],
    ids=["version", "platform", "source", "no version"],
)
def test_another_release_is_refused(fetcher: Fetcher, tmp_path: pathlib.Path, files: dict[str, bytes], expected: str, found: str) -> None:
    write_tar(tmp_path / "release", files)
    with pytest.raises(ModuleRefused) as refusal:
        obtain(fetcher, tmp_path / "release")
    assert (refusal.value.code, refusal.value.expected, refusal.value.found) == ("archive_refused", expected, found)
    assert refusal.value.subject.startswith(str(tmp_path / "release"))


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0, pax: t.Optional[dict[str, str]] = None) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    made.pax_headers = pax or {}
    return made


@pytest.mark.parametrize(
    "extra, complaint",
    [
        (entry("go/link", tarfile.SYMTYPE, "bin/go"), "neither a plain file nor a directory"),
        (entry("go/link", tarfile.LNKTYPE, "go/bin/go"), "neither a plain file nor a directory"),
        (entry("go/pipe", tarfile.FIFOTYPE), "neither a plain file nor a directory"),
        (entry("go/device", tarfile.BLKTYPE), "neither a plain file nor a directory"),
        (entry("go/odd", b"Z"), "neither a plain file nor a directory"),
        (entry("go/../../etc/passwd"), "leads elsewhere"),
        (entry("/go/bin/x"), "leads elsewhere"),
        (entry("go//x"), "leads elsewhere"),
        (entry("go/a\\b"), "leads elsewhere"),
        (entry("go/a\nb"), "leads elsewhere"),
        (entry("go/\udcff"), "leads elsewhere"),
        (entry("other/x"), "not below go/"),
        (entry("go/go.env"), "in it twice"),
        (entry("go/long", pax={"comment": "x" * 100_000}), "header of 1000"),
        (entry("go/sparse", pax={"GNU.sparse.size": "4", "GNU.sparse.map": "0,4"}), "neither a plain file nor a directory"),
        (entry("go/sparse", pax={"size": "-5"}), "negative size"),
    ],
    ids=lambda value: repr(value.name) if isinstance(value, tarfile.TarInfo) else "",
)
def test_what_no_release_has_is_refused(fetcher: Fetcher, tmp_path: pathlib.Path, extra: tarfile.TarInfo, complaint: str) -> None:
    write_tar(tmp_path / "release", small_release(), extra=[extra])
    with pytest.raises(ModuleRefused, match=complaint):
        obtain(fetcher, tmp_path / "release")


def test_what_no_zip_for_windows_has_is_refused(fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "release"
    for name, mode, complaint in (("go/link", 0o120777, "neither"), ("go/../x", 0o100644, "leads elsewhere"), ("x", 0o100644, "not below go/")):
        write_zip(path, small_release(platform=WINDOWS))
        with zipfile.ZipFile(path, "a") as added:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            added.writestr(info, b"x")
        with pytest.raises(ModuleRefused, match=complaint):
            obtain(fetcher, path, platform=WINDOWS)
    write_zip(path, small_release(platform=WINDOWS))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as whole:
        offset = whole.getinfo("go/src/go.mod").header_offset
    content[offset + 30 + len("go/src/go.mod") + 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ModuleRefused, match="can't be unpacked"):
        obtain(fetcher, path, platform=WINDOWS)


def test_a_cut_or_spoiled_archive_is_refused_even_when_its_sha256_is_given(fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "release"
    write_tar(path, small_release())
    whole = path.read_bytes()
    for harmed in (whole[:200], whole[: len(whole) // 2], whole[:-1], whole[:-8] + b"\0" * 4 + whole[-4:], b"", b"\x1f\x8b" + b"x" * 50, b"MZ"):
        path.write_bytes(harmed)
        with pytest.raises(ModuleRefused, match="can't be unpacked|neither a .tar.gz nor a .zip"):
            obtain(fetcher, path)
    tar = gzip.decompress(whole)
    for cut in (600, len(tar) // 2 // 512 * 512 + 100):
        path.write_bytes(gzip.compress(tar[:cut]))
        with pytest.raises(ModuleRefused):
            obtain(fetcher, path)


def test_bounds(fetcher: Fetcher, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "release"
    files = small_release()
    for name, bound in (("MAX_BYTES", sum(map(len, files.values())) - 1), ("MAX_FILES", len(files) - 1), ("MAX_UNPACKED", 40)):
        write_tar(path, files)
        with monkeypatch.context() as patched:
            patched.setattr(archive, name, bound)
            with pytest.raises(ModuleRefused, match="over"):
                obtain(fetcher, path)
    # Ones that unpack to more than anybody has room for: what is left out of the module counts too, and what follows the tar's end.
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    write_tar(path, files, extra=[entry("go/test/bomb", size=2 << 20)])
    with pytest.raises(ModuleRefused, match="over"):
        obtain(fetcher, path)
    write_tar(path, files)
    tail = io.BytesIO()
    with gzip.GzipFile(fileobj=tail, mode="wb") as stream:
        stream.write(b"\0" * (3 << 20))
    path.write_bytes(path.read_bytes() + tail.getvalue())
    with pytest.raises(ModuleRefused, match="after its end"):
        obtain(fetcher, path)


def test_memory_does_not_grow_with_the_archive(fetcher: Fetcher, tmp_path: pathlib.Path) -> None:
    write_tar(tmp_path / "release", {**small_release(), "pkg/tool/linux_amd64/link": bytes(64 << 20), "test/big": bytes(64 << 20)})
    tracemalloc.start()
    try:
        obtain(fetcher, tmp_path / "release")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


NUMBER = "v0.0.1-go1.26.8.linux-amd64"


@contextlib.contextmanager
def made_store(directory: pathlib.Path, fetcher: Fetcher, held: t.Callable[[Key], t.Optional[Held]] = lambda key: None) -> t.Iterator[ModuleStore]:
    """A gather's store, which no proxy fills."""
    with concurrent.futures.ThreadPoolExecutor(1) as hashers:
        upstream = Upstream([], "", fetcher, DirectGo(find_go(), {}, str(directory / "direct")))
        store = ModuleStore(str(directory), upstream, held, hashers, Reporter().stage("test"), 1)
        yield store
        store.close()


@pytest.mark.parametrize("spare", [False, True], ids=["earlier generation", "killed run"])
def test_without_a_database_the_spec_decides_which_archive_a_toolchain_is_of(fetcher: Fetcher, tmp_path: pathlib.Path, spare: bool) -> None:
    """One version, two archives: what was made of the first isn't carried beside the SHA-256 of the second."""
    rest = ("1.26.8", LINUX, str(tmp_path / "work"), fetcher)
    first, second = tmp_path / "first", tmp_path / "second"
    first_sha256 = write_tar(first, small_release())
    second_sha256 = write_tar(second, {**small_release(), "src/mended.go": b"package src\n"})
    with made_store(tmp_path / "earlier", fetcher) as earlier:
        archive.supply(earlier, str(first), first_sha256, *rest, "off")
        had = earlier.zip("golang.org/toolchain", NUMBER).h1
    with made_store(tmp_path / "store", fetcher, lambda key: Held(earlier.files[key].path, spare=spare)) as store:
        archive.supply(store, str(second), second_sha256, *rest, "off")
        assert store.zip("golang.org/toolchain", NUMBER).h1 == zip_h1(store.files[("golang.org/toolchain", NUMBER, "zip")].path) != had
        # What this run has taken in it needs no second time.
        second.unlink()
        archive.supply(store, str(second), second_sha256, *rest, "off")
    # Where a database will vouch for it, an archive needn't be at hand again.
    with made_store(tmp_path / "other", fetcher, lambda key: Held(earlier.files[key].path)) as store:
        archive.supply(store, str(second), second_sha256, *rest, "sum.golang.org")
