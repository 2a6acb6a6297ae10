# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blob store: a name is a promise about the content."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import DepotDamaged
from ansible_collections.airgap.golang.plugins.module_utils._base.files import temporary_sibling
from ansible_collections.airgap.golang.plugins.module_utils._depot.blobs import BlobStore, is_temporary
from ansible_collections.airgap.golang.plugins.module_utils._depot.manifest import digest_of

CONTENT = b"what a blob holds"
DIGEST = digest_of(CONTENT)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> BlobStore:
    store = BlobStore(str(tmp_path / "depot"))
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    assert store.adopt(str(source), DIGEST, len(CONTENT))
    return store


def test_a_blob_is_read_back(store: BlobStore) -> None:
    assert store.read(DIGEST) == CONTENT
    assert b"".join(store.chunks(DIGEST)) == CONTENT
    assert oct(os.stat(store.path(DIGEST)).st_mode & 0o777) == "0o444"
    assert os.listdir(store.directory) == [DIGEST[7:]]


def test_a_second_one_is_not_taken(store: BlobStore, tmp_path: pathlib.Path) -> None:
    inode = os.stat(store.path(DIGEST)).st_ino
    again = tmp_path / "again"
    again.write_bytes(CONTENT)
    assert not store.adopt(str(again), DIGEST, len(CONTENT), move=True)
    assert not store.put(DIGEST, CONTENT)
    assert (again.exists(), os.stat(store.path(DIGEST)).st_ino) == (True, inode)


def test_moving_takes_the_file_away(tmp_path: pathlib.Path) -> None:
    store = BlobStore(str(tmp_path / "depot"))
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    assert store.adopt(str(source), DIGEST, len(CONTENT), move=True)
    assert (source.exists(), store.read(DIGEST)) == (False, CONTENT)


def test_what_is_missing(store: BlobStore) -> None:
    other = digest_of(b"other")
    assert store.missing({DIGEST: len(CONTENT), other: 5}) == [other]
    assert store.missing({DIGEST: len(CONTENT) + 1}) == [DIGEST]
    with pytest.raises(DepotDamaged) as absent:
        store.read(other)
    assert absent.value.subject == other
    with pytest.raises(DepotDamaged):
        list(store.chunks(other))
    store.discard([DIGEST, other])
    assert store.missing({DIGEST: len(CONTENT)}) == [DIGEST]


def test_a_truncated_blob_is_taken_anew(store: BlobStore, tmp_path: pathlib.Path) -> None:
    os.chmod(store.path(DIGEST), 0o644)
    os.truncate(store.path(DIGEST), 3)
    again = tmp_path / "again"
    again.write_bytes(CONTENT)
    assert store.adopt(str(again), DIGEST, len(CONTENT))
    assert store.read(DIGEST) == CONTENT


def test_a_changed_blob_is_refused(store: BlobStore) -> None:
    os.chmod(store.path(DIGEST), 0o644)
    pathlib.Path(store.path(DIGEST)).write_bytes(CONTENT.upper())
    uses: list[t.Callable[[], bytes]] = [lambda: store.read(DIGEST), lambda: b"".join(store.chunks(DIGEST))]
    for use in uses:
        with pytest.raises(DepotDamaged) as refusal:
            use()
        assert (refusal.value.code, refusal.value.subject) == ("blob_damaged", DIGEST)
        assert refusal.value.expected != refusal.value.found


@pytest.mark.parametrize("digest", ["", "sha256", "sha256:", "sha256:../../../etc/passwd", "sha512:" + "0" * 128, DIGEST + "\n", DIGEST.upper()])
def test_what_is_no_digest_never_becomes_a_path(store: BlobStore, digest: str) -> None:
    uses: list[t.Callable[[str], object]] = [store.path, store.read, lambda name: list(store.chunks(name)), lambda name: store.has(name, 1)]
    for use in uses:
        with pytest.raises(DepotDamaged):
            use(digest)


def test_temporary_names_are_known() -> None:
    assert all(is_temporary(os.path.basename(temporary_sibling(f"/d/{name}"))) for name in ("a", "x" * 200, ".hidden", DIGEST[7:]))
    assert not any(is_temporary(name) for name in ("a", ".gitignore", "x.tmp", ".a.tmp", DIGEST[7:]))
