# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock as a file, from a generation, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import stat
import typing as t

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import ModuleRefused, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._content import lock as locks
from ansible_collections.airgap.golang.plugins.module_utils._content import specreader
from ansible_collections.airgap.golang.plugins.module_utils._content.lock import Lock, Sums
from ansible_collections.airgap.golang.tests.support.locking import COMMIT, h1, modules, sha256, whole_lock

SCHEMAS = pathlib.Path(__file__).resolve().parents[3] / "docs" / "schemas"
VALIDATOR = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "lock.v1.json").read_text()))

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789./-_é", min_size=1, max_size=20)
versions = st.from_regex(r"v[0-9]\.[1-9]\.[1-9](-rc\.[1-9])?(\+incompatible)?", fullmatch=True)
hashes = words.map(h1)
digests = words.map(sha256)
any_lock = st.builds(
    Lock,
    st.dictionaries(words.map(lambda word: "module " + word + "@latest"), words),
    st.dictionaries(st.tuples(words, versions), st.builds(Sums, hashes | st.just(""), hashes | st.just(""))),
    st.frozensets(st.tuples(st.sampled_from(["1.26.8", "1.27rc1", "1.21.0"]), st.sampled_from(["linux/amd64", "linux/arm64"]))),
    st.dictionaries(words, st.fixed_dictionaries({"digest": digests})),
    st.dictionaries(words, digests),
)


@given(any_lock)
@settings(max_examples=150, deadline=None)
def test_any_lock_is_read_as_it_was_written_and_fits_its_schema(lock: Lock) -> None:
    text = locks.encode(lock).decode()
    assert locks.parse(text, "lock") == lock
    VALIDATOR.validate(json.loads(text))


@given(any_lock, any_lock)
@settings(max_examples=100, deadline=None)
def test_what_is_joined_has_all_of_the_new_and_the_rest_of_the_old(old: Lock, new: Lock) -> None:
    joined = locks.joined(old, new)
    assert locks.joined(joined, new) == joined
    locks.refuse_beyond(joined, new, partial=True)
    assert set(old.modules) | set(new.modules) == set(joined.modules)
    assert all(joined.modules[version] == sums for version, sums in new.modules.items())
    assert locks.joined(None, new) == new


def test_one_more_module_is_one_more_line() -> None:
    lock = whole_lock()
    more = dataclasses.replace(lock, modules={**lock.modules, **modules("golang.org/x/text@v0.3.7")})
    before, after = (locks.encode(each).decode().splitlines() for each in (lock, more))
    assert len(after) == len(before) + 1
    (line,) = set(after) - set(before)
    assert line.strip() == f'"golang.org/x/text@v0.3.7": {{"go.mod": "{h1("golang.org/x/text@v0.3.7/go.mod")}", "h1": "{h1("golang.org/x/text@v0.3.7")}"}},'
    assert list(json.loads("\n".join(after))["content"]["modules"]) == sorted(f"{path}@{version}" for path, version in more.modules)


def test_the_file_is_written_whole_once_and_keeps_its_mode(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "airgap.lock"
    assert locks.read(str(path)) is None and locks.differs(str(path), whole_lock())
    assert locks.write(str(path), whole_lock())
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o664)
    inode = path.stat().st_ino
    assert not locks.write(str(path), whole_lock()) and path.stat().st_ino == inode
    assert locks.write(str(path), Lock()) and stat.S_IMODE(path.stat().st_mode) == 0o664
    assert locks.read(str(path)) == Lock()
    assert os.listdir(tmp_path) == ["airgap.lock"]


def test_a_link_stays_a_link(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "lock").symlink_to("real/lock")
    assert locks.write(str(tmp_path / "lock"), whole_lock())
    assert (tmp_path / "lock").is_symlink() and locks.read(str(tmp_path / "real" / "lock")) == whole_lock()


def test_a_directory_that_is_not_there_is_not_made(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SpecInvalid, match=r"no directory .*/nowhere for the lock"):
        locks.write(str(tmp_path / "nowhere" / "lock"), whole_lock())


def edited(edit: t.Callable[[dict[str, t.Any]], t.Any]) -> str:
    document = json.loads(locks.encode(whole_lock()))
    edit(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "isn't JSON"),
        ("[]", "its schema is None"),
        ("{'schema': 1}", "isn't JSON"),
        ('{"schema": 2, "pins": {}, "content": {}}', "its schema is 2"),
        ('{"schema": 1, "pins": {}, "content": {}}', "other parts"),
        (locks.encode(whole_lock()).decode().replace('  "pins"', "<<<<<<< ours\n=======\n>>>>>>> theirs\n"), "merge conflict"),
        (locks.encode(whole_lock()).decode().replace('"toolchain":', '"module rsc.io/quote@latest":'), "'module rsc.io/quote@latest' is in it twice"),
        (edited(lambda lock: lock.update(more=1)), "other parts"),
        (edited(lambda lock: lock["pins"].update(toolchain=1.26)), "'toolchain' is 1.26, not a text"),
        (edited(lambda lock: lock.update(pins=[])), "AttributeError"),
        (edited(lambda lock: lock["content"]["modules"].update({"rsc.io/quote": {}})), "'rsc.io/quote'"),
        (edited(lambda lock: lock["content"]["modules"].update({"rsc.io/quote@v1.0.0": {"h1": "h1:abc="}})), "'h1:abc='"),
        (edited(lambda lock: lock["content"]["modules"].update({"rsc.io/quote@v1.0.0": {"sha": ""}})), "isn't a module version"),
        (edited(lambda lock: lock["content"]["modules"].update({"rsc.io/quote@latest": {}})), "'rsc.io/quote@latest'"),
        (edited(lambda lock: lock["content"]["toolchains"].append("1.x linux/amd64")), "'1.x linux/amd64'"),
        (edited(lambda lock: lock["content"]["files"].update(x="ABC")), "'ABC'"),
        (edited(lambda lock: lock["content"]["toolchains"].append("1.26.8")), "'1.26.8'"),
        (edited(lambda lock: lock["content"]["projects"].update(x=1)), "AttributeError"),
    ],
)
def test_what_is_no_lock_is_refused_by_name(tmp_path: pathlib.Path, text: str, why: str) -> None:
    path = tmp_path / "airgap.lock"
    path.write_text(text)
    with pytest.raises(SpecInvalid) as refused:
        locks.read(str(path))
    assert refused.value.code == "lock_damaged" and refused.value.subject == str(path)
    assert why in refused.value.message and "version control" in refused.value.hint


def test_bytes_that_are_no_text_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "lock").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecInvalid, match="isn't text"):
        locks.read(str(tmp_path / "lock"))


def config(**more: t.Any) -> dict[str, t.Any]:
    return {
        "modules": [
            {"path": "rsc.io/quote", "version": "v1.5.2", "h1": h1("quote"), "gomod_h1": h1("mod"), "zip": sha256("zip"), "size": 1},
            {"path": "rsc.io/sampler", "version": "v1.3.0", "h1": "", "gomod_h1": h1("other"), "zip": "", "size": 0},
        ],
        "toolchains": [{"version": "1.26.8", "platform": "linux/amd64", "zip": sha256("toolchain")}],
        "projects": [
            {"name": "plant", "source": {"git": "/srv/secret/plant.git", "ref": "main", "commit": COMMIT}},
            {"name": "yq", "source": {"module": "github.com/mikefarah/yq/v4", "version": "v4.54.2"}},
            {"name": "local", "source": {"path": "checkout-4711"}},
        ],
        "files": [{"dest": "web/logo.svg", "sha256": sha256("logo"), "size": 4}],
        **more,
    }


def test_a_generation_becomes_a_lock_without_places_of_this_machine() -> None:
    lock = locks.from_generation(config(), {"module rsc.io/quote@latest": "v1.5.2"}, {"local": sha256("local")})
    assert lock == Lock(
        {"module rsc.io/quote@latest": "v1.5.2"},
        {("rsc.io/quote", "v1.5.2"): Sums(h1("quote"), h1("mod")), ("rsc.io/sampler", "v1.3.0"): Sums("", h1("other"))},
        frozenset({("1.26.8", "linux/amd64")}),
        {
            "plant": {"git": "plant.git", "ref": "main", "commit": COMMIT},
            "yq": {"module": "github.com/mikefarah/yq/v4", "version": "v4.54.2"},
            "local": {"digest": sha256("local")},
        },
        {"web/logo.svg": sha256("logo")},
    )
    text = locks.encode(lock).decode()
    assert "/srv" not in text and "checkout-4711" not in text
    VALIDATOR.validate(json.loads(text))
    assert lock.sums() == {
        ("rsc.io/quote", "v1.5.2"): h1("quote"),
        ("rsc.io/quote", "v1.5.2/go.mod"): h1("mod"),
        ("rsc.io/sampler", "v1.3.0/go.mod"): h1("other"),
    }


@pytest.mark.parametrize(
    ("git", "shown"),
    [
        ("https://user:hunter2@git.corp.example/plant.git?token=hunter2", "https://git.corp.example/plant.git"),
        ("ssh://git:hunter2@git.corp.example/plant.git", "ssh://git.corp.example/plant.git"),
        ("git@git.corp.example:team/plant.git", "git@git.corp.example:team/plant.git"),
        ("/home/me/src/plant/", "plant"),
        ("../plant.git", "plant.git"),
        ("file:///home/me/plant.git", "plant.git"),
    ],
)
def test_addresses_hold_no_secrets_and_no_places(git: str, shown: str) -> None:
    assert locks.address(git) == shown


def spec(*files: dict[str, str]) -> t.Any:
    return specreader.parse({"name": "test", "modules": ["rsc.io/quote@latest"], "files": files})


LOGO = {"source": "logo.svg", "dest": "web/logo.svg"}


def test_what_is_the_same_passes() -> None:
    locks.refuse_drift(whole_lock(), whole_lock(), spec(LOGO))
    locks.refuse_beyond(whole_lock(), whole_lock())


def test_drift_is_refused_like_a_bad_hash_with_all_names() -> None:
    lock = whole_lock()
    now = dataclasses.replace(
        lock,
        pins={**lock.pins, "project plant git.corp.example/plant.git at main": "f" * 40, "toolchain": "1.26.9"},
        modules={("rsc.io/quote", "v1.5.2"): Sums(h1("evil"), h1("rsc.io/quote@v1.5.2/go.mod")), ("rsc.io/sampler", "v1.3.0"): Sums("", h1("evil"))},
        files={"web/logo.svg": sha256("other")},
    )
    with pytest.raises(ModuleRefused) as refused:
        locks.refuse_drift(lock, now, spec(LOGO))
    assert refused.value.code == "lock_mismatch"
    assert {entry["what"]: (entry["expected"], entry["found"]) for entry in refused.value.details} == {
        "rsc.io/quote@v1.5.2": (h1("rsc.io/quote@v1.5.2"), h1("evil")),
        "rsc.io/sampler@v1.3.0/go.mod": (h1("rsc.io/sampler@v1.3.0/go.mod"), h1("evil")),
        "files/web/logo.svg": (sha256("logo"), sha256("other")),
        "project plant git.corp.example/plant.git at main": (COMMIT, "f" * 40),
        "toolchain": ("1.26.8", "1.26.9"),
    }
    for entry in refused.value.details:
        assert entry["what"] in refused.value.message
    # To upgrade is to want new commits and files; a version's hash is the same for ever.
    with pytest.raises(ModuleRefused) as refused:
        locks.refuse_drift(lock, now, spec(LOGO), upgrade=True)
    assert [entry["what"] for entry in refused.value.details] == ["rsc.io/quote@v1.5.2", "rsc.io/sampler@v1.3.0/go.mod"]


@pytest.mark.parametrize(
    ("entry", "drifts"),
    [
        (LOGO, True),
        ({"source": "web", "dest": "web"}, True),
        ({"source": "web", "dest": "we"}, False),
        ({**LOGO, "sha256": sha256("other")}, False),
        ({"git": "https://git.corp.example/web.git", "ref": "v2", "dest": "web"}, False),
    ],
)
def test_a_file_drifts_where_the_spec_names_no_hash_or_commit(entry: dict[str, str], drifts: bool) -> None:
    lock, now = Lock(files={"web/logo.svg": sha256("logo")}), Lock(files={"web/logo.svg": sha256("other")})
    if not drifts:
        locks.refuse_drift(lock, now, spec(entry))
        return
    with pytest.raises(ModuleRefused):
        locks.refuse_drift(lock, now, spec(entry))


def test_new_and_gone_things_are_no_drift() -> None:
    locks.refuse_drift(whole_lock(), Lock(modules=modules("rsc.io/quote@v1.5.1")), spec(LOGO))
    locks.refuse_drift(Lock(modules=modules(gomods=["rsc.io/quote@v1.5.2"])), whole_lock(), spec(LOGO))


def test_frozen_refuses_what_is_new_changed_and_stale_by_name() -> None:
    lock = whole_lock()
    now = dataclasses.replace(
        lock,
        pins={name: pin for name, pin in lock.pins.items() if name != "toolchain"},
        modules={**lock.modules, **modules("rsc.io/sampler@v1.3.0")},
        toolchains=frozenset({("1.26.8", "linux/amd64")}),
        projects={**lock.projects, "local": {"digest": sha256("edited")}},
        files={**lock.files, "new.txt": sha256("new")},
    )
    with pytest.raises(ModuleRefused) as refused:
        locks.refuse_beyond(lock, now)
    assert refused.value.code == "lock_frozen"
    assert {entry["what"]: entry["why"] for entry in refused.value.details} == {
        "toolchain": "no longer needed",
        "toolchain 1.27rc1 linux/arm64": "no longer needed",
        "rsc.io/sampler@v1.3.0": "not in the lock",
        "project local": "changed",
        "files/new.txt": "not in the lock",
    }
    # Of a part of the spec nobody can say that the rest is stale.
    with pytest.raises(ModuleRefused) as refused:
        locks.refuse_beyond(lock, now, partial=True)
    assert {entry["what"] for entry in refused.value.details} == {"rsc.io/sampler@v1.3.0", "project local", "files/new.txt"}


def test_frozen_without_a_lock_is_refused() -> None:
    with pytest.raises(ModuleRefused, match="there is no lock"):
        locks.refuse_none(None)
