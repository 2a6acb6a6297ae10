# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures as OpenSSH makes them: ``ssh-keygen -Y sign`` and ``-Y verify`` with an allowed signers file.

Format and file: ssh-keygen(1), ALLOWED SIGNERS; https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import tempfile

from . import process
from .errors import CommandFailed, SignatureRefused, SpecInvalid

NAMESPACE = "airgap.golang"

_ARMOUR = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n")
_LINE = 70


def sign(message: bytes, key: str) -> bytes:
    """The armoured signature of ``message``.

    :param key: path of a private key, or of a public key whose private half is in ssh-agent or a token.
    :raises SpecInvalid: there is no such key, or it can't be used without a question.
    """
    if not os.path.exists(key):
        raise SpecInvalid(f"the signing key {key} isn't there", subject=key, hint="make one with ssh-keygen -t ed25519, or name another")
    with tempfile.TemporaryDirectory() as scratch:
        subject = os.path.join(scratch, "message")
        with open(subject, "wb") as stream:
            stream.write(message)
        try:
            process.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", NAMESPACE, subject], timeout=120, what="ssh-keygen -Y sign")
        except CommandFailed as exc:
            raise SpecInvalid(
                f"the key {key} can't sign: {exc.found}",
                subject=key,
                found=exc.found,
                hint="a key with a passphrase must be in ssh-agent; then name its .pub file",
            ) from None
        with open(subject + ".sig", "rb") as stream:
            return stream.read()


def verify(message: bytes, signature: bytes, allowed_signers: str, subject: str) -> str:
    """Who signed ``message``: the principal from the allowed signers file.

    :param subject: how to call the signed thing in a refusal.
    :raises SignatureRefused: the signature is another message's, or by nobody in the file.
    :raises SpecInvalid: there is no allowed signers file.
    """
    if not os.path.isfile(allowed_signers):
        raise SpecInvalid(
            f"the allowed signers file {allowed_signers} isn't there",
            subject=allowed_signers,
            hint="it holds lines like 'releases@example.com ssh-ed25519 AAAA…' (ssh-keygen(1), ALLOWED SIGNERS)",
        )
    _check_armour(signature, subject)
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "signature")
        with open(path, "wb") as stream:
            stream.write(signature)
        found = process.run(["ssh-keygen", "-Y", "find-principals", "-s", path, "-f", allowed_signers], timeout=60, check=False)
        principals = [name.strip() for line in found.stdout.splitlines() for name in line.split(",") if name.strip()] if found.status == 0 else []
        if not principals:
            raise SignatureRefused(
                f"{subject} is signed by a key that {allowed_signers} doesn't list",
                code="unknown_signer",
                subject=subject,
                expected=f"a signer in {allowed_signers}",
                found=found.stderr.strip(),
                hint="if the signer is to be trusted, add the public key there; else ask where the file comes from",
            )
        # One key can stand for several principals, with other options (namespaces, dates) each.
        for principal in principals:
            checked = process.run(
                ["ssh-keygen", "-Y", "verify", "-f", allowed_signers, "-I", principal, "-n", NAMESPACE, "-s", path], stdin=message, timeout=60, check=False
            )
            if checked.status == 0:
                return principal
        raise SignatureRefused(
            f"the signature of {subject} by {principals[0]} doesn't fit what it signs",
            code="signature_mismatch",
            subject=subject,
            expected=f"a valid signature by {principals[0]}",
            found=(checked.stderr.strip() or checked.stdout.strip()),
            hint="the copy is damaged or was changed: copy it again, and ask if it happens twice",
        )


def check_unknown(message: bytes, signature: bytes, subject: str) -> None:
    """Whether a signature fits its message, whoever made it: for users who chose not to ask who.

    :raises SignatureRefused: it doesn't.
    """
    _check_armour(signature, subject)
    checked = _check(message, signature)
    if checked.status != 0:
        raise SignatureRefused(
            f"the signature of {subject} doesn't fit what it signs",
            code="signature_mismatch",
            subject=subject,
            found=checked.stderr.strip(),
            hint="the copy is damaged or was changed: copy it again, and ask if it happens twice",
        )


def is_by(message: bytes, signature: bytes, key: str) -> bool:
    """Whether ``key`` (as in ``sign``) made this signature of ``message``."""
    shown = process.run(["ssh-keygen", "-l", "-f", key], timeout=60, check=False)
    checked = _check(message, signature)
    if shown.status != 0 or checked.status != 0:
        return False
    return shown.stdout.split()[1] == checked.stdout.split()[-1]


def _check(message: bytes, signature: bytes) -> process.Finished:
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "signature")
        with open(path, "wb") as stream:
            stream.write(signature)
        return process.run(["ssh-keygen", "-Y", "check-novalidate", "-n", NAMESPACE, "-s", path], stdin=message, timeout=60, check=False)


def _check_armour(signature: bytes, subject: str) -> None:
    """ssh-keygen reads over what stands behind the armour and between its lines; we take the one form that it writes."""
    match = _ARMOUR.fullmatch(signature)
    try:
        blob = base64.b64decode(match.group(1)) if match else b""
    except binascii.Error:
        blob = b""
    encoded = base64.b64encode(blob)
    lines = b"\n".join(encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE))
    if match is None or lines != match.group(1):
        raise SignatureRefused(
            f"the signature of {subject} is not in the form that ssh-keygen writes",
            code="signature_mismatch",
            subject=subject,
            hint="the copy is damaged or was changed: copy it again, and ask if it happens twice",
        )
