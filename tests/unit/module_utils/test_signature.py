# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures, by the real ssh-keygen."""

from __future__ import annotations

import base64
import pathlib

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import signature
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import SignatureRefused, SpecInvalid
from ansible_collections.airgap.golang.tests.support.small_depot import allow, make_key

MESSAGE = b"what is signed\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    directory = tmp_path_factory.mktemp("keys")
    return {name: make_key(directory, name, kind) for name, kind in (("good", "ed25519"), ("other", "ed25519"), ("ecdsa", "ecdsa"))}


@pytest.fixture(scope="module")
def signed(keys: dict[str, pathlib.Path]) -> bytes:
    return signature.sign(MESSAGE, str(keys["good"]))


@pytest.fixture
def allowed(tmp_path: pathlib.Path, keys: dict[str, pathlib.Path]) -> str:
    return str(allow(tmp_path / "allowed", ("somebody@airgap.example", keys["ecdsa"]), ("releases@airgap.example", keys["good"])))


def test_the_signer_is_named(signed: bytes, allowed: str) -> None:
    assert signature.verify(MESSAGE, signed, allowed, "it") == "releases@airgap.example"
    signature.check_unknown(MESSAGE, signed, "it")


def test_another_kind_of_key(keys: dict[str, pathlib.Path], allowed: str) -> None:
    assert signature.verify(MESSAGE, signature.sign(MESSAGE, str(keys["ecdsa"])), allowed, "it") == "somebody@airgap.example"


def test_a_stranger_is_refused(keys: dict[str, pathlib.Path], allowed: str) -> None:
    with pytest.raises(SignatureRefused) as refusal:
        signature.verify(MESSAGE, signature.sign(MESSAGE, str(keys["other"])), allowed, "bundle x")
    assert (refusal.value.code, refusal.value.subject) == ("unknown_signer", "bundle x")


def test_another_message_is_refused(signed: bytes, allowed: str) -> None:
    for check in (lambda: signature.verify(b"another", signed, allowed, "it"), lambda: signature.check_unknown(b"another", signed, "it")):
        with pytest.raises(SignatureRefused) as refusal:
            check()
        assert refusal.value.code == "signature_mismatch"


def test_a_signature_for_something_else_is_refused(keys: dict[str, pathlib.Path], allowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same key signs git commits: those signatures have another namespace."""
    with monkeypatch.context() as patched:
        patched.setattr(signature, "NAMESPACE", "git")
        made_for_git = signature.sign(MESSAGE, str(keys["good"]))
    with pytest.raises(SignatureRefused):
        signature.verify(MESSAGE, made_for_git, allowed, "it")


def test_a_key_that_may_sign_other_things_alone_is_refused(signed: bytes, keys: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    public = keys["good"].with_name("good.pub").read_text()
    narrow = tmp_path / "narrow"
    narrow.write_text(f'me namespaces="git" {public}')
    with pytest.raises(SignatureRefused):
        signature.verify(MESSAGE, signed, str(narrow), "it")
    narrow.write_text(f'old valid-before="20200101" {public}')
    with pytest.raises(SignatureRefused):
        signature.verify(MESSAGE, signed, str(narrow), "it")
    narrow.write_text(f'old valid-before="20200101" {public}releases namespaces="airgap.golang" {public}')
    assert signature.verify(MESSAGE, signed, str(narrow), "it") == "releases"


def armour(encoded: bytes, width: int = 70) -> bytes:
    lines = b"\n".join(encoded[at : at + width] for at in range(0, len(encoded), width))
    return b"-----BEGIN SSH SIGNATURE-----\n" + lines + b"\n-----END SSH SIGNATURE-----\n"


def test_the_armour_has_one_form(signed: bytes, allowed: str) -> None:
    """ssh-keygen itself takes each of these, so a bundle could change unseen."""
    encoded = b"".join(signed.split(b"\n")[1:-2])
    assert armour(encoded) == signed
    for other in (signed + b"\n", signed[:-1] + b"x", signed.replace(b"\n", b"\r\n"), armour(encoded, 64), signed[:-1], signed.replace(b"\n", b"\v\n", 3)):
        for check in (lambda: signature.verify(MESSAGE, other, allowed, "it"), lambda: signature.check_unknown(MESSAGE, other, "it")):  # noqa: B023
            with pytest.raises(SignatureRefused):
                check()


def test_unused_bits_of_the_armour_are_zero(keys: dict[str, pathlib.Path], allowed: str) -> None:
    ecdsa = signature.sign(MESSAGE, str(keys["ecdsa"]))
    while b"=\n---" not in ecdsa:
        ecdsa = signature.sign(MESSAGE, str(keys["ecdsa"]))
    encoded = b"".join(ecdsa.split(b"\n")[1:-2])
    last = len(encoded.rstrip(b"=")) - 1
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = bytearray(encoded)
    changed[last] = alphabet[alphabet.index(encoded[last]) + 1]
    assert base64.b64decode(bytes(changed)) == base64.b64decode(encoded)
    with pytest.raises(SignatureRefused):
        signature.verify(MESSAGE, armour(bytes(changed)), allowed, "it")


@pytest.mark.parametrize("garbage", [b"", b"x", b"-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n", b"\xff" * 100])
def test_garbage_is_refused(garbage: bytes, allowed: str) -> None:
    with pytest.raises(SignatureRefused):
        signature.verify(MESSAGE, garbage, allowed, "it")


def test_the_signing_key_is_told_from_others(signed: bytes, keys: dict[str, pathlib.Path]) -> None:
    assert signature.is_by(MESSAGE, signed, str(keys["good"]))
    assert signature.is_by(MESSAGE, signed, str(keys["good"]) + ".pub")
    assert not signature.is_by(MESSAGE, signed, str(keys["other"]))
    assert not signature.is_by(b"another", signed, str(keys["good"]))
    assert not signature.is_by(MESSAGE, signed, str(keys["good"]) + ".gone")


def test_a_key_that_cannot_be_used_is_named(tmp_path: pathlib.Path, signed: bytes) -> None:
    with pytest.raises(SpecInvalid) as absent:
        signature.sign(MESSAGE, str(tmp_path / "none"))
    assert absent.value.subject == str(tmp_path / "none")
    broken = tmp_path / "broken"
    broken.write_text("no key\n")
    broken.chmod(0o600)
    with pytest.raises(SpecInvalid) as unusable:
        signature.sign(MESSAGE, str(broken))
    assert unusable.value.found
    with pytest.raises(SpecInvalid):
        signature.verify(MESSAGE, signed, str(tmp_path / "none"), "it")
