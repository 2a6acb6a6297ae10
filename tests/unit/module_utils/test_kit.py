# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kits: which wheels a target needs, by real pip from a directory; the lock's pins; the collection's tarball; the program; its bundle."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import typing as t
import zipfile

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import control_node
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, BundleDamaged, FetchFailed, HostRefused, ModuleRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._content import collection, kit, lock, specreader, wheels
from ansible_collections.airgap.golang.plugins.module_utils._content.resources import Resource
from ansible_collections.airgap.golang.plugins.module_utils._content.spec import Kit
from ansible_collections.airgap.golang.plugins.module_utils._depot import bundle as form
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go.toolchain import host_platform
from ansible_collections.airgap.golang.tests.support.receiving import receive, refused
from ansible_collections.airgap.golang.tests.support.small_depot import Composer, SmallSite, write_bundle

COLLECTION = pathlib.Path(__file__).resolve().parents[3]
HERE = wheels.Target(f"{sys.version_info.major}.{sys.version_info.minor}", "linux/amd64")


def parse(**entry: t.Any) -> t.Optional[Kit]:
    return specreader.parse({"name": "platform", "kit": {"collection": "/c.tar.gz", **entry}, "modules": ["rsc.io/quote@v1.5.2"]}, "linux/arm64").kit


def test_a_kit_of_a_spec_is_read() -> None:
    assert parse(pythons=["3.11", 3.13, "3.11"], ansible_core=">=2.17, <2.20") == Kit(("3.11", "3.13"), ("linux/arm64",), ">=2.17,<2.20", "/c.tar.gz")
    assert parse() is None and parse(pythons=[]) is None
    only = specreader.parse({"name": "platform", "kit": {"collection": "/c.tar.gz", "pythons": ["3.11"]}}, "linux/arm64")
    assert only.normal()["kit"] == {"pythons": ("3.11",), "platforms": ("linux/arm64",), "ansible_core": ""}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"pythons": ["3"]}, "'3' isn't a Python"),
        ({"pythons": ["3.11"], "ansible_core": "--index-url=x"}, "its ansible_core is '--index-url=x'"),
        ({"pythons": ["3.11"], "platforms": ["linux"]}, "'linux' isn't a platform"),
        ({"ansible_core": "==2.19.*"}, "it names no pythons"),
        ({"pythons": ["3.11"], "collection": ""}, "it has no collection"),
    ],
)
def test_what_is_no_kit_is_refused(entry: dict[str, t.Any], words: str) -> None:
    with pytest.raises(SpecInvalid, match=words):
        parse(**entry)
    with pytest.raises(SpecInvalid, match="this place is the kit's"):
        specreader.parse({"name": "a", "kit": {"pythons": ["3.11"], "collection": "/c"}, "files": [{"source": "/a", "dest": "kit/a"}]})


# -- wheels


@pytest.fixture
def index(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """What pip finds in place of an index. ansible-core needs one thing on Python 3.10 alone, and one that only 3.99 would."""
    directory = tmp_path / "index"
    directory.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_REQUIRE_VIRTUALENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    wheel(directory, "pip", "26.0")
    wheel(directory, "ansible_core", "2.16.1", "Old_One>=1")
    wheel(directory, "ansible_core", "2.19.1", "Old_One>=1; python_version < '3.11'", "plain", "far; python_version >= '3.99'", python=">=3.10")
    wheel(directory, "ansible_core", "2.21.1", "plain", python=">=3.12")
    wheel(directory, "Old_One", "1.2")
    wheel(directory, "plain", "3.0", tag="cp310-abi3-manylinux_2_28_x86_64")
    wheel(directory, "plain", "4.0", tag="cp310-abi3-manylinux_2_35_x86_64")
    return directory


def wheel(directory: pathlib.Path, name: str, version: str, *requires: str, python: str = "", tag: str = "py3-none-any", more: str = "") -> pathlib.Path:
    path = directory / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {entry}" for entry in requires)]
    metadata += [f"Requires-Python: {python}"] if python else []
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test{more}\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_wheels_are_those_that_the_target_needs(index: pathlib.Path, tmp_path: pathlib.Path) -> None:
    found = {}
    for python in ("3.10", "3.11", "3.13"):
        (tmp_path / python).mkdir()
        chosen = wheels.resolve(["ansible-core", "pip"], wheels.Target(python, "linux/amd64"), str(tmp_path / python))
        assert sorted(os.listdir(tmp_path / python)) == [entry.file for entry in chosen]
        assert all(hashlib.sha256((tmp_path / python / entry.file).read_bytes()).hexdigest() == entry.sha256 for entry in chosen)
        found[python] = {(entry.project, entry.version) for entry in chosen}
    # pip looks at markers as this Python does, and at glibc and Requires-Python as the target.
    common = {("pip", "26.0"), ("plain", "3.0")}
    assert found == {
        "3.10": common | {("ansible-core", "2.19.1"), ("old-one", "1.2")},
        "3.11": common | {("ansible-core", "2.19.1")},
        "3.13": common | {("ansible-core", "2.21.1")},
    }


def test_a_target_that_lacks_a_wheel_is_named(index: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(FetchFailed, match="the kit for Python 3.11 on linux/arm64: .*No matching distribution found for plain"):
        wheels.resolve(["ansible-core==2.19.1"], wheels.Target("3.11", "linux/arm64"), str(tmp_path))
    with pytest.raises(SpecInvalid, match="a kit can't be for windows/amd64"):
        wheels.resolve(["ansible-core"], wheels.Target("3.11", "windows/amd64"), str(tmp_path))


# -- the kit and its lock


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> str:
    return collection.tarball(str(COLLECTION), str(tmp_path_factory.mktemp("tarball")))[0]


def prepare(tarball: str, directory: pathlib.Path, locked: t.Optional[lock.Lock] = None, **more: t.Any) -> kit.Prepared:
    return kit.prepare(Kit((HERE.python,), ("linux/amd64",), "<2.20", tarball), str(directory), locked, **more)


def nothing(_resource: Resource) -> None:
    return None


def locked_by(prepared: kit.Prepared) -> lock.Lock:
    """The lock of a generation that has this kit alone, written and read."""
    config = {"modules": [], "toolchains": [], "projects": [], "files": [{"dest": dest, "sha256": entry.sha256} for dest, entry in prepared.resources.items()]}
    return lock.parse(lock.encode(lock.from_generation(config, prepared.pins)).decode(), "lock")


def test_a_pinned_kit_asks_for_nothing_new(index: pathlib.Path, tarball: str, tmp_path: pathlib.Path) -> None:
    first = prepare(tarball, tmp_path / "first")
    assert first.expected(nothing).files == 3 and first.expected(nothing).complete
    assert first.fetch(nothing).bytes == sum(path.stat().st_size for path in (tmp_path / "first" / "wheels").iterdir())
    locked = locked_by(first)

    # A newer one doesn't come by itself; what is pinned is fetched when it's asked for, and not before.
    wheel(index, "ansible_core", "2.19.2")
    again = prepare(tarball, tmp_path / "again", locked, frozen=True)
    assert {dest: entry.sha256 for dest, entry in again.resources.items()} == {dest: entry.sha256 for dest, entry in first.resources.items()}
    assert os.listdir(tmp_path / "again" / "wheels") == [] and not again.expected(nothing).complete
    assert again.fetch(nothing).files == 3 and len(os.listdir(tmp_path / "again" / "wheels")) == 3
    held = prepare(tarball, tmp_path / "held", locked)
    assert held.fetch(lambda resource: t.cast(t.Any, resource)).files == 0 and os.listdir(tmp_path / "held" / "wheels") == []

    upgraded = prepare(tarball, tmp_path / "upgraded", locked, upgrade=True)
    assert "ansible_core-2.19.2-py3-none-any.whl" in upgraded.pins[f"kit ansible-core<2.20 for {HERE}"]


def test_frozen_without_a_pin_is_refused(index: pathlib.Path, tarball: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ModuleRefused) as refusal:
        prepare(tarball, tmp_path / "a", lock.Lock(), frozen=True)
    assert refusal.value.code == "lock_frozen" and str(HERE) in refusal.value.subject


def test_a_wheel_that_changed_after_it_was_locked_is_refused(index: pathlib.Path, tarball: str, tmp_path: pathlib.Path) -> None:
    locked = locked_by(prepare(tarball, tmp_path / "first"))
    wheel(index, "ansible_core", "2.19.1", "plain", more=" changed")
    again = prepare(tarball, tmp_path / "again", locked)
    again.fetch(nothing)
    (failure,) = [entry.failure for entry in again.resources.values() if entry.failure]
    assert failure.code == "lock_mismatch" and "HASHES" in failure.message


# -- the collection


def test_a_tarball_depends_on_the_files_alone(tarball: str, tmp_path: pathlib.Path) -> None:
    content = pathlib.Path(tarball).read_bytes()
    # As ansible-galaxy installs it, dates and all.
    env = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "installed"), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "ansible", "galaxy", "collection", "install", "--offline", "--force", "-p", str(tmp_path / "installed"), tarball]
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=300)
    installed = tmp_path / "installed" / "ansible_collections" / "airgap" / "golang"
    (installed / "notes.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    again, version = collection.tarball(str(installed), str(tmp_path / "out"))
    assert (pathlib.Path(again).read_bytes(), os.path.basename(again)) == (content, f"airgap-golang-{version}.tar.gz")
    (installed / "README.md").write_text("changed")
    with pytest.raises(SpecInvalid, match=r"README.md was changed after it was installed"):
        collection.tarball(str(installed), str(tmp_path / "out"))
    with pytest.raises(SpecInvalid, match="is no collection"):
        collection.tarball(str(tmp_path), str(tmp_path / "out"))


def test_the_order_of_a_file_system_does_not_matter() -> None:
    def members(*names: str) -> t.Any:
        listed = json.dumps({"files": [{"name": name} for name in names], "format": 1}).encode()
        manifest = {"file_manifest_file": {"chksum_sha256": hashlib.sha256(listed).hexdigest()}}
        return {"FILES.json": (listed, False), "MANIFEST.json": (json.dumps(manifest).encode(), False)}

    one, other = (collection._in_order(members(*names)) for names in (("a", "b", "c"), ("c", "a", "b")))
    assert one == other
    assert hashlib.sha256(one["FILES.json"][0] or b"").hexdigest() in (one["MANIFEST.json"][0] or b"").decode()


def old_python() -> str:
    """The oldest Python that is here and that hosts may have."""
    found = sorted((pathlib.Path.home() / ".pyenv" / "versions").glob("3.8.*/bin/python3.8"))
    return str(found[0]) if found else shutil.which("python3.8") or sys.executable


def test_the_program_is_whole_and_the_same_each_time(tarball: str, tmp_path: pathlib.Path) -> None:
    for name in ("a", "b"):
        collection.write_program(tarball, "control_node", str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    said = subprocess.run([old_python(), "-I", str(tmp_path / "a"), "--dest", str(tmp_path / "dest")], env=env, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (1, "") and "there is no kit.json beside install" in said.stderr
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    assert "meta/prerequisites.yml" in names and not [name for name in names if name.startswith(("tests", ".build"))]


# -- the bundle


KIT_FILES = {"kit/install": b"print('installer')\n", "kit/kit.json": b"{}", "web/logo.svg": b"<svg/>"}


@pytest.fixture
def composer(tmp_path: pathlib.Path) -> Composer:
    return Composer(Depot(str(tmp_path / "connected")), tmp_path / "scratch")


def test_the_installer_is_a_member_of_its_own(small_site: SmallSite, composer: Composer, tmp_path: pathlib.Path) -> None:
    generation = composer.admit(composer.compose(1, [], files=KIT_FILES))
    path = write_bundle(composer.depot, generation, tmp_path / "kit.tar", str(small_site.key))
    with tarfile.open(path) as archive:
        assert archive.getnames()[:5] == ["README", "SHA256SUMS", "SHA256SUMS.sig", "kit", "oci-layout"]
    subprocess.run(["tar", "-xf", str(path), "README", "SHA256SUMS", "kit"], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "-c", "--ignore-missing", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert (tmp_path / "kit").read_bytes() == KIT_FILES["kit/install"]
    assert "python3 kit small-000001.tar --allowed-signers" in (tmp_path / "README").read_text()
    assert receive(Depot(str(tmp_path / "offline")), path, small_site.allowed_signers).changed

    # A receiver who has a part of it already doesn't get the rest as a kit.
    small = [digest for digest in form.carried_blobs(generation, ()) if digest != f"sha256:{hashlib.sha256(b'{}').hexdigest()}"]
    partial = write_bundle(composer.depot, generation, tmp_path / "partial.tar", str(small_site.key), small)
    with tarfile.open(partial) as archive:
        assert "kit" not in archive.getnames()
    with pytest.raises(HostRefused, match="leaves the kit out, since its receiver has it"):
        control_node.unpack(str(partial), str(tmp_path / "unpacked"), str(small_site.allowed_signers), False)
    with pytest.raises(HostRefused, match="carries no kit"):
        control_node.unpack(str(small_site.first_bundle), str(tmp_path / "unpacked"), str(small_site.allowed_signers), False)
    control_node.unpack(str(path), str(tmp_path / "unpacked"), str(small_site.allowed_signers), False)
    assert sorted(os.listdir(tmp_path / "unpacked")) == ["install", "kit.json"]


@pytest.mark.parametrize("lie", ["another", "none"])
def test_an_installer_that_is_not_the_kits_is_refused(
    small_site: SmallSite, composer: Composer, depot: Depot, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    generation = composer.admit(composer.compose(1, [], files=KIT_FILES))
    wrong = "" if lie == "none" else "sha256:" + hashlib.sha256(KIT_FILES["web/logo.svg"]).hexdigest()
    # Whoever has the key can sign anything.
    with monkeypatch.context() as lying:
        lying.setattr(form, "installer_of", lambda generation, carried: wrong)
        path = write_bundle(composer.depot, generation, tmp_path / "lie.tar", str(small_site.key))
    assert "kit isn't the installer" in refused(depot, path, small_site.allowed_signers).message


@pytest.fixture
def depot(tmp_path: pathlib.Path) -> Depot:
    depot = Depot(str(tmp_path / "offline"))
    mine = Composer(depot, tmp_path / "offline-scratch")
    mine.admit(mine.compose(9, [], files={"a.txt": b"held before"}))
    return depot


# -- installing


PYTHON = control_node.Python("/usr/bin/python3", "3.11", "3.11.2")


def kit_at(directory: pathlib.Path, version: str, python: str = "3.11") -> control_node.Kit:
    directory.mkdir(exist_ok=True)
    for name in ("c.tar.gz", "r.txt", "w.whl"):
        (directory / name).write_text(name)
    sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("c.tar.gz", "r.txt", "w.whl")}
    target = {
        "python": python,
        "platform": host_platform(),
        "ansible_core": version,
        "pip": "w.whl",
        "requirements": {"file": "r.txt", "sha256": sums["r.txt"]},
        "wheels": {"w.whl": sums["w.whl"]},
    }
    document = {"schema": 1, "collection": {"file": "c.tar.gz", "sha256": sums["c.tar.gz"], "version": "0.1.0"}, "targets": [target]}
    (directory / "kit.json").write_text(json.dumps(document))
    return control_node.Kit(str(directory))


def test_an_upgrade_switches_at_once_and_keeps_the_one_before(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made is another matter, shown on hosts; here it's what becomes active when."""
    made: list[str] = []

    def make(kit: control_node.Kit, target: t.Any, directory: str, python: t.Any, say: t.Any) -> None:
        os.mkdir(directory)
        made.append(os.path.basename(directory))
        if target["ansible_core"] == "2.99":
            raise HostRefused("broken")
        pathlib.Path(directory, control_node.DONE).write_text("{}")

    monkeypatch.setattr(control_node, "_make", make)
    dest = tmp_path / "dest"
    installs = dest / "installs"

    def bring(version: str) -> bool:
        return control_node.install(kit_at(tmp_path / "kit", version), str(dest), PYTHON, lambda line: None).changed

    assert [bring("2.18"), bring("2.18"), bring("2.19")] == [True, False, True]
    assert os.readlink(dest / "current") == f"installs/{made[1]}" and sorted(os.listdir(installs)) == made
    with pytest.raises(HostRefused):
        bring("2.99")
    assert os.readlink(dest / "current") == f"installs/{made[1]}" and sorted(os.listdir(installs)) == made[:2]
    assert bring("2.20") and sorted(os.listdir(installs)) == [made[1], made[3]]
    # Back to the one before, which is there.
    assert bring("2.19") and len(made) == 4 and os.readlink(dest / "current") == f"installs/{made[1]}"
    # What a killed run left isn't whole, whatever it's called.
    (installs / made[3] / control_node.DONE).unlink()
    assert bring("2.20") and made[4:] == [made[3]]


def test_a_kit_is_proved_before_it_is_used(tmp_path: pathlib.Path) -> None:
    ours = kit_at(tmp_path / "kit", "2.19")
    (tmp_path / "kit" / "w.whl").write_text("other")
    with pytest.raises(BundleDamaged, match="w.whl of the kit isn't what it should be"):
        control_node.install(ours, str(tmp_path / "dest"), PYTHON, lambda line: None)
    assert os.listdir(tmp_path / "dest" / "installs") == []
    (tmp_path / "kit" / "kit.json").write_text("{")
    with pytest.raises(AirgapError, match="can't be read"):
        control_node.Kit(str(tmp_path / "kit"))


def test_a_python_that_the_kit_does_not_serve_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(HostRefused) as refusal:
        control_node.choose_python(kit_at(tmp_path / "kit", "2.19", "3.99"), "", host_platform())
    assert refusal.value.code == "no_python" and sys.executable in refusal.value.found and "Python 3.99" in refusal.value.expected
    own = control_node.choose_python(kit_at(tmp_path / "kit", "2.19", HERE.python), "", host_platform())
    assert own.version == HERE.python
