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

#: The next step for whoever wrote a URL that ``url_fault`` finds fault with.
ENCODE = "percent-encode what a user name, a password or a path has of @ : / ? # (as %40 %3A %2F %3F %23)"


def public_url(url: str) -> str:
    """A URL that can be shown: without user name, password, query string and fragment; where its parts can't be told, the scheme alone."""
    if not is_url(url):
        return url.partition("//")[0] + "//..."
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def scrub(text: str) -> str:
    """Foreign text that can be shown: on one line, printable, and without user names and passwords in its URLs."""
    text = re.sub(r"://[^/\s?#]*@", "://", text)
    # Where a port is no number, a password has begun, and it has a character that nobody encoded.
    text = re.sub(r"(?i)(https?://)[^/\s?#@:\[,|]*:(?![0-9]*[/?#])[^\s@/?#,|]*[/?#][^\s,|]{0,200}@", r"\1", text)
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


def url_fault(url: str) -> str:
    """Why a URL can't be meant as it's written, in words that show nothing of it; empty when it can.

    What a password has of / ? # ends the host, so that the rest would be a path, which is shown: then an @ follows what looks like user and
    password. Behind a plain host name it can be a path's own, and where module proxies have it (/@v/).
    """
    if not is_url(url):
        return "its host and port can't be told"
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    if not parts.hostname:
        return "it has no host"
    if parts.port == 0:
        return "it has no port that can be"
    behind = parts.path.replace("/@v/", "/") + parts.query
    plain = "." in parts.netloc and not re.search("[:@]", parts.netloc)
    if "@" in parts.fragment or ("@" in behind and not plain):
        return "it has an @ behind its host, as if a password weren't percent-encoded"
    return ""


def origin_of(url: str) -> tuple[str, str, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def scheme_of(url: str) -> str:
    return urllib.parse.urlsplit(url).scheme.lower()
