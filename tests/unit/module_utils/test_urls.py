# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs: what of them is shown, and which of them can't be meant."""

from __future__ import annotations

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.urls import public_url, scrub, url_fault

#: With a password that has what ends a host (ter2 is always behind it), or with no host that can be told.
UNSOUND = [
    *("https://bob:hun/ter2@proxy.example/go", "https://bob:hun?ter2@proxy.example/go", "https://bob:hun#ter2@proxy.example/go"),
    # What stands before the character may pass for a port, a host, or user and password.
    *("https://bob:12/ter2@proxy.example/go", "https://token/ter2@proxy.example/go", "https://to.ken#ter2@proxy.example", "HTTPS://bob:1@2/ter2@proxy.example"),
    *("https://proxy.example:80ter2/x", "https://[::ter2/x", "http://[ter2", "https://:ter2@/x", "https:///ter2", "https://ter2:0/x"),
]


@pytest.mark.parametrize("url", UNSOUND)
def test_what_cannot_be_meant_is_said_without_it(url: str) -> None:
    assert url_fault(url)
    assert "ter2" not in url_fault(url)


@pytest.mark.parametrize(
    "url",
    [
        *("https://proxy.example", "http://127.0.0.1:8080/go", "https://bob:hun%2Fter2@proxy.example:8443/go", "https://[::1]:8443/x", "HTTP://LOCALHOST/x"),
        # An @ that is a path's own.
        *("https://cdn.example/npm/@scope/pkg@1.2.3/x.js", "https://proxy.example/rsc.io/quote/@v/v1.5.2.zip", "https://files.example/x?to=a@b"),
        *("https://bob:pw@proxy.example:8443/rsc.io/quote/@v/v1.5.2.zip", "http://127.0.0.1:8080/rsc.io/quote/@v/v1.5.2.zip"),
        # Neither http nor https.
        *("ssh://git@git.example/~bob@home/x.git", "file:///srv/@proxy", "git@git.example:x.git", "/srv/a@b", ""),
    ],
)
def test_what_can_be_meant(url: str) -> None:
    assert url_fault(url) == ""


def test_a_url_is_shown_without_secrets() -> None:
    assert public_url("https://bob:ter2@proxy.example:8443/go?key=ter2#ter2") == "https://proxy.example:8443/go"
    for url in ("https://bob:hun/ter2@proxy.example", "https://[ter2/x"):
        assert public_url(url) == "https://..."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://bob:ter2@a.example/x\nand", "at https://a.example/x and"),
        ("at https://bob:hun/ter2@a.example/x and", "at https://a.example/x and"),
        ("at https://bob:hun#t?er2@a.example/x,http://bob:1x/ter2@b.example|direct", "at https://a.example/x,http://b.example|direct"),
        # What isn't a password.
        ("https://a.example:8443/m/@v/list, http://[::1]:80/m/@v/list", "https://a.example:8443/m/@v/list, http://[::1]:80/m/@v/list"),
        ("https://a.example:8443,https://b.example/m/@v/list", "https://a.example:8443,https://b.example/m/@v/list"),
        ("ssh://a.example:group/x@v1", "ssh://a.example:group/x@v1"),
    ],
)
def test_foreign_text_is_shown_without_passwords(text: str, shown: str) -> None:
    assert scrub(text) == shown
