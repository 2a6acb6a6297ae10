# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of a machine, and working as one of them, so that a link which somebody planted leads no farther than they can go.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import stat
import typing as t

from .errors import HostRefused


@dataclasses.dataclass(frozen=True)
class Account:
    """``home`` is "" for a number that this machine has no account for."""

    name: str
    uid: int
    gid: int
    home: str


def account_of(user: str) -> Account:
    """The account with a name or number; our own for "", where that may be a number without an account.

    :raises HostRefused: this machine doesn't know it.
    """
    number = int(user) if user.isdigit() else os.geteuid()
    try:
        entry = pwd.getpwnam(user) if user and not user.isdigit() else pwd.getpwuid(number)
    except KeyError:
        if not user:
            return Account(str(number), number, os.getegid(), "")
        raise HostRefused(f"this host has no account {user}", code="no_account", subject=user, hint="name another one, or create it first") from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


@contextlib.contextmanager
def acting_as(account: Account) -> t.Iterator[None]:
    """Have that account's rights for a while, with its groups and no others.

    The effective ones alone: what Python and Ansible have still to load is ours to read, before and after.

    :raises HostRefused: we are neither root nor that account.
    """
    mine = os.geteuid(), os.getegid(), os.getgroups()
    if account.uid == mine[0]:
        yield
        return
    if mine[0] != 0:
        name = account_of("").name
        hint = f"use become, as root or as {account.name}"
        raise HostRefused(f"{name} can't act as {account.name}", code="not_root", subject=account.name, found=name, hint=hint)
    try:
        if account.home:
            os.initgroups(account.name, account.gid)
        else:
            os.setgroups([])
        os.setegid(account.gid)
        os.seteuid(account.uid)
        yield
    finally:
        os.seteuid(mine[0])
        os.setegid(mine[1])
        os.setgroups(mine[2])


def owner_of(directory: str) -> Account:
    """The account that a directory belongs to, where nobody else can have put another one in its place.

    :raises HostRefused: somebody else owns a part of its path.
    """
    facts = os.stat(directory)
    path = os.path.abspath(directory)
    while path != os.path.dirname(path):
        one = os.lstat(path)
        # What only its owner may rename in a directory for all (/tmp) is safe from others.
        above = os.stat(os.path.dirname(path))
        foreign = one.st_uid not in (0, facts.st_uid) or (facts.st_uid == 0 and above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX)
        if foreign:
            raise HostRefused(
                f"{directory}: others than its owner can replace {path}",
                code="not_safe",
                subject=path,
                expected=f"owned by root or {facts.st_uid}",
                found=f"owned by {one.st_uid}, mode {stat.S_IMODE(above.st_mode):04o} above it",
                hint="run this as the user that works there (become_user)",
            )
        path = os.path.dirname(path)
    try:
        return account_of(str(facts.st_uid))
    except HostRefused:
        return Account(str(facts.st_uid), facts.st_uid, facts.st_gid, "")
