# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of the user's git configuration, kept out of the arguments of the programs that git starts.

Where an insteadOf rule puts a password into a URL, git hands that URL to git-remote-https as an argument, for every user of the machine to see.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import string
import typing as t
import urllib.parse

from .._base import process
from .._base.urls import basic_header

# What a URL may go on with (RFC 3986, appendix A).
_FURTHER = string.ascii_letters + string.digits + "-._~:/?#[]@!$&'()*+,;=%"


def add_config(environment: t.Mapping[str, str], settings: t.Iterable[tuple[str, str]]) -> dict[str, str]:
    """An environment in which git has these settings on top (GIT_CONFIG_COUNT and its kin, see git-config(1))."""
    changed = dict(environment)
    try:
        count = int(changed.get("GIT_CONFIG_COUNT") or 0)
    except ValueError:
        count = 0
    for key, value in settings:
        changed[f"GIT_CONFIG_KEY_{count}"], changed[f"GIT_CONFIG_VALUE_{count}"] = key, value
        count += 1
    changed["GIT_CONFIG_COUNT"] = str(count)
    return changed


def split_userinfo(url: str) -> tuple[str, tuple[str, str]]:
    """An http(s) URL without its user name and password, and the setting that gives them to git: ("", "") where there are none."""
    parts = urllib.parse.urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at or parts.scheme not in ("http", "https"):
        return url, ("", "")
    user, _colon, password = userinfo.partition(":")
    bare = urllib.parse.urlunsplit((parts.scheme, host, parts.path, parts.query, parts.fragment))
    header = "Authorization: " + basic_header(urllib.parse.unquote(user), urllib.parse.unquote(password))
    return bare, (f"http.{parts.scheme}://{host}/.extraHeader", header)


def without_passwords_in_arguments(environment: t.Mapping[str, str]) -> dict[str, str]:
    """The environment for git in which the user's insteadOf rules lead to the same places with the same credentials, but as headers.

    git takes the rule with the longest prefix, and none of ours can take a user's away: so there is one for each character that may follow.
    """
    answer = process.run(
        ["git", "config", "--null", "--get-regexp", r"^url\..*\.insteadof$"], env=environment, cwd="/", timeout=60, check=False, what="git config"
    )
    settings: list[tuple[str, str]] = []
    for entry in answer.stdout.split("\0"):
        key, _newline, prefix = entry.partition("\n")
        bare, header = split_userinfo(key[len("url.") : -len(".insteadof")])
        # A user name alone is no secret, and git asks its helpers for the password.
        if header[0] and prefix and ":" in key[len("url.") :].rpartition("@")[0].partition("://")[2]:
            settings.append(header)
            settings += [(f"url.{bare}{further}.insteadOf", prefix + further) for further in _FURTHER]
    return add_config(environment, settings) if settings else dict(environment)
