# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs: what of them can be shown, what goes on the wire, and the credentials in them.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import base64
import re
import urllib.parse


def public_url(url: str) -> str:
    """A URL that can be shown: without user name, password, query string and fragment."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def scrub(text: str) -> str:
    """Foreign text that can be shown: on one line, printable, and without user names and passwords in its URLs."""
    text = re.sub(r"://[^/\s?#]*@", "://", text)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def basic_header(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode("ascii")


def userinfo_header(url: str) -> str:
    """The Authorization header that a URL's own user name and password make; empty without."""
    parts = urllib.parse.urlsplit(url)
    if not parts.netloc.rpartition("@")[1]:
        return ""
    return basic_header(urllib.parse.unquote(parts.username or ""), urllib.parse.unquote(parts.password or ""))


def bare_url(url: str) -> str:
    """A URL as it goes on the wire: without user name, password and fragment."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))


def is_url(url: str) -> bool:
    """Whether a URL's parts can be told: a port, for instance, is a number."""
    try:
        origin_of(url)
    except ValueError:
        return False
    return True


def origin_of(url: str) -> tuple[str, str, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def scheme_of(url: str) -> str:
    return urllib.parse.urlsplit(url).scheme.lower()
