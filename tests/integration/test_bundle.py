# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles across the gap: what is written, what travels, what is admitted."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import bundle as bundle_verb
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot import bundle as form
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._depot.generation import Ref
from ansible_collections.airgap.golang.tests.support.depots import listing, prove_whole, times
from ansible_collections.airgap.golang.tests.support.receiving import make_bundle, pieces, receive, refused
from ansible_collections.airgap.golang.tests.support.small_depot import (
    PRINCIPAL,
    UUID,
    Composer,
    SmallSite,
    write_bundle,
)

# -- what arrives whole


@pytest.mark.parametrize("signed", [True, False])
def test_a_bundle_is_admitted_once(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path, signed: bool) -> None:
    path = small_site.first_bundle if signed else write_bundle(small_site.depot, small_site.first, tmp_path / "unsigned.tar")
    allowed = small_site.allowed_signers if signed else None
    before = times(pathlib.Path(depot.path))
    planned = receive(depot, path, allowed, check=True)
    assert times(pathlib.Path(depot.path)) == before
    outcome = receive(depot, path, allowed)
    assert outcome == planned
    assert (outcome.changed, outcome.signer) == (True, PRINCIPAL if signed else "")
    assert (outcome.new_blobs, outcome.new_bytes) == (6, sum(layer.size for layer in small_site.first.manifest.layers))
    assert prove_whole(depot)["000001"] == small_site.first.digest
    assert json.loads(pathlib.Path(outcome.receipt).read_text())["generations"] == prove_whole(depot)
    tree = pathlib.Path(depot.tree(Ref(1, True)))
    assert (tree / "proxy" / "github.com" / "google" / "uuid" / "@v" / "list").read_text() == "v1.6.0\n"
    assert listing(tree) == listing(pathlib.Path(small_site.depot.tree(Ref(1, True))))
    before = times(pathlib.Path(depot.path))
    again = receive(depot, path, allowed)
    assert (again.changed, again.new_blobs, again.generation) == (False, 0, outcome.generation)
    assert times(pathlib.Path(depot.path)) == before


def test_a_new_depot_is_made_where_there_was_none(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    depot = Depot(str(tmp_path / "new" / "depot"))
    receive(depot, small_site.first_bundle, small_site.allowed_signers, check=True)
    assert not (tmp_path / "new").exists()
    receive(depot, small_site.first_bundle, small_site.allowed_signers)
    assert prove_whole(depot) == {"000001": small_site.first.digest}


def test_an_unsealed_generation_needs_leave(forge: t.Callable[..., pathlib.Path], small_site: SmallSite, depot: Depot) -> None:
    path = forge(sealed=False)
    assert refused(depot, path, small_site.allowed_signers).code == "not_sealed"
    assert receive(depot, path, small_site.allowed_signers, allow_unsealed=True).changed


# -- bundles of the difference


def test_only_what_the_receiver_lacks_travels(small_site: SmallSite, depot: Depot, tmp_path: pathlib.Path) -> None:
    said = receive(depot, small_site.first_bundle, small_site.allowed_signers).receipt
    outcome = make_bundle(small_site, tmp_path / "out", base=said)
    path = pathlib.Path(outcome.path)
    blobs = [name for name in pieces(path) if name.startswith(form.PREFIX)]
    shared = {layer.digest for layer in small_site.first.manifest.layers}
    new = {layer.digest for layer in small_site.second.manifest.layers} - shared
    assert {"sha256:" + name[len(form.PREFIX) :] for name in blobs[2:]} == new
    assert (outcome.carried, len(blobs), path.stat().st_size) == (len(new), len(new) + 2, outcome.size)
    assert path.stat().st_size < small_site.second_bundle.stat().st_size
    empty = Depot(str(tmp_path / "empty"))
    with empty.locked():
        pass
    refusal = refused(empty, path, small_site.allowed_signers)
    assert refusal.code == "blobs_missing"
    assert any(UUID[0] in entry["subject"] for entry in refusal.details)
    assert "receipt" in refusal.hint
    received = receive(depot, path, small_site.allowed_signers)
    assert (received.new_blobs, received.new_bytes) == (len(new), sum(layer.size for layer in small_site.second.manifest.layers if layer.digest in new))
    assert prove_whole(depot)["000002"] == small_site.second.digest
    # The same generation in another bundle changes nothing, and a base that has it all needs no blob at all.
    assert not receive(depot, small_site.second_bundle, small_site.allowed_signers).changed
    assert make_bundle(small_site, tmp_path / "none", base=received.receipt).carried == 0
    assert receive(Depot(str(shutil.copytree(depot.path, tmp_path / "copy", symlinks=True))), path, small_site.allowed_signers).changed is False


def test_a_bundle_heals_a_lost_blob(small_site: SmallSite, depot: Depot) -> None:
    receive(depot, small_site.first_bundle, small_site.allowed_signers)
    module = next(layer for layer in small_site.first.manifest.layers if layer.kind == "module")
    depot.blobs.discard([module.digest])
    assert receive(depot, small_site.first_bundle, small_site.allowed_signers).changed
    prove_whole(depot)
    assert os.path.samefile(depot.blobs.path(module.digest), os.path.join(depot.tree(Ref(1, True)), module.title))


# -- writing


def test_a_bundle_is_written_once(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    planned = make_bundle(small_site, tmp_path / "out", check=True)
    assert not (tmp_path / "out").exists()
    outcome = make_bundle(small_site, tmp_path / "out")
    assert outcome == planned
    path = pathlib.Path(outcome.path)
    assert (path.name, path.stat().st_size, outcome.generation) == ("small-000002.tar", outcome.size, small_site.second)
    assert path.read_bytes() == small_site.second_bundle.read_bytes()
    before = times(tmp_path / "out")
    again = make_bundle(small_site, tmp_path / "out")
    assert (again.changed, again.before, times(tmp_path / "out") == before) == (False, outcome.size, True)
    named = make_bundle(small_site, tmp_path / "other" / "name.tar", number=1)
    assert (named.path, named.generation) == (str(tmp_path / "other" / "name.tar"), small_site.first)
    assert make_bundle(small_site, tmp_path / "no-slash", number=1).path == str(tmp_path / "no-slash" / "small-000001.tar")


@pytest.mark.parametrize("change", ["cut", "grown", "other", "garbage", "another key", "unsigned", "base"])
def test_a_bundle_that_differs_is_written_anew(small_site: SmallSite, tmp_path: pathlib.Path, change: str) -> None:
    outcome = make_bundle(small_site, tmp_path, number=1)
    path = pathlib.Path(outcome.path)
    more: dict[str, t.Any] = {}
    if change == "cut":
        os.truncate(path, outcome.size - 1)
    elif change == "grown":
        path.write_bytes(path.read_bytes() + b"x")
    elif change == "other":
        shutil.copyfile(small_site.second_bundle, path)
    elif change == "garbage":
        path.write_bytes(b"garbage")
    elif change == "another key":
        more = {"signing_key": str(small_site.stranger)}
    elif change == "unsigned":
        more = {"signing_key": "", "allow_unsigned": True}
    else:
        (tmp_path / "receipt.json").write_text(json.dumps({"schema": 1, "generations": {"000001": small_site.first.digest}}))
        more = {"base": str(tmp_path / "receipt.json")}
    planned = make_bundle(small_site, tmp_path, number=1, check=True, **more)
    again = make_bundle(small_site, tmp_path, number=1, **more)
    assert again == planned
    assert (again.changed, path.stat().st_size) == (True, again.size)
    assert not make_bundle(small_site, tmp_path, number=1, **more).changed


def test_what_cannot_be_bundled_is_refused_in_check_mode_too(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    unsealed = Composer(Depot(str(tmp_path / "unsealed")), tmp_path / "scratch")
    unsealed.admit(unsealed.compose(1, [], sealed=False))
    damaged = Depot(str(shutil.copytree(small_site.depot.path, tmp_path / "damaged", symlinks=True)))
    damaged.blobs.discard([small_site.second.manifest.layers[0].digest])
    empty = Depot(str(tmp_path / "none"))
    key: dict[str, t.Any] = {"signing_key": str(small_site.key)}
    cases: list[tuple[Depot, str, dict[str, t.Any]]] = [
        (small_site.depot, "unsigned", {}),
        (small_site.depot, "spec_invalid", {"signing_key": str(tmp_path / "no-key")}),
        (small_site.depot, "spec_invalid", {**key, "base": str(tmp_path / "no-receipt")}),
        (small_site.depot, "generation_missing", {**key, "number": 7}),
        (unsealed.depot, "not_sealed", key),
        (damaged, "blobs_missing", key),
        (empty, "generation_missing", key),
    ]
    for depot, code, more in cases:
        for check in (True, False):
            with pytest.raises(AirgapError) as refusal:
                bundle_verb.bundle(depot, bundle_verb.Options(dest=str(tmp_path / "out") + "/", check=check, **more), Reporter())
            assert (refusal.value.code, bool(refusal.value.subject)) == (code, True)
    assert list(tmp_path.glob("out/*")) == []
    assert bundle_verb.bundle(unsealed.depot, bundle_verb.Options(dest=str(tmp_path / "out"), allow_unsealed=True, **key), Reporter()).changed


def test_a_changed_blob_never_leaves_the_depot(small_site: SmallSite, tmp_path: pathlib.Path) -> None:
    site = dataclasses.replace(small_site, depot=Depot(str(shutil.copytree(small_site.depot.path, tmp_path / "damaged", symlinks=True))))
    blob = pathlib.Path(site.depot.blobs.path(small_site.second.manifest.layers[0].digest))
    content = bytearray(blob.read_bytes())
    content[100] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    with pytest.raises(AirgapError) as refusal:
        make_bundle(site, tmp_path / "out")
    assert (refusal.value.code, refusal.value.subject) == ("blob_damaged", small_site.second.manifest.layers[0].digest)
    assert list((tmp_path / "out").iterdir()) == []
