# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do when version control refuses, by what git, ssh and the go command say then.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import re

# In this order: ssh says "Permission denied" after it has said why, and git adds "could not read from remote repository" to everything.
_ADVICE = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (
            r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED|host key is known",
            "the SSH server's host key is unknown, or another than before: compare its fingerprint with what its operators say, then add it to "
            "known_hosts (ssh-keyscan prints it)",
        ),
        (
            r"Permission denied \(|Too many authentication failures",
            "the SSH server takes none of the keys that are offered: let ~/.ssh/config, ssh-agent or GIT_SSH_COMMAND offer one that it knows; nobody can be "
            "asked for a passphrase here, so a key that has one must be in the agent",
        ),
        (
            r"x509: |certificate (verify|verification|problem)|self[- ]signed certificate|SSL certificate",
            "the server's certificate isn't trusted: name the file of your private CA in SSL_CERT_FILE for go, and in GIT_SSL_CAINFO (or git's "
            "http.sslCAInfo) for git",
        ),
        (
            r"could not read (Username|Password)|terminal prompts disabled|Authentication failed|error: 40[13]\b|\b401 Unauthorized|\b403 Forbidden",
            "if it's private, give the credentials without a question: in ~/.netrc, by a credential helper of git, by GOAUTH for go's own requests "
            "(go help goauth), or let an insteadOf rule of git lead to SSH",
        ),
        (
            r"/lookup/",
            "it's the checksum database that doesn't answer: if the module is private, let GOPRIVATE or GONOSUMDB cover it (go help private)",
        ),
    )
)


def advice(said: str) -> str:
    """The next step after a refusal that has these words; empty when they say nothing that is known."""
    text = " ".join(said.split())
    return next((hint for pattern, hint in _ADVICE if pattern.search(text)), "")
