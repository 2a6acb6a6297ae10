# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a command without any network, as another user where that can be, and saying by which means.

A command that runs in a network namespace of its own has no interface but its loopback: whatever it tries, there is no
route. That is shown by trying, not assumed.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import pwd
import select
import shutil
import signal
import socket
import struct
import sys
import time
import typing as t

from .errors import AirgapError, HostRefused, SpecInvalid
from .process import Finished, dying_with_parent, run

# sched.h, sys/prctl.h, net/if.h and linux/sockios.h; the same on every architecture that Go runs on.
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = "16sh22x"

#: An address that no network has (TEST-NET-1, RFC 5737), and how long it may take to be told so.
_NOWHERE = ("192.0.2.1", 80)
_PATIENCE = 3.0

_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")

Method = t.Literal["netns", "bwrap", "environment"]


class Isolation:
    """How commands are run; made by ``choose``.

    ``method``: ``netns`` (a network namespace of its own), ``bwrap`` (the same by bubblewrap), ``environment`` (no
    isolation: proxies are taken out of the environment and GOPROXY is off, and nothing more). ``user``: the name of the
    user that commands really run as, with the reason where it's another one than was asked for. ``uid``/``gid``: theirs.
    ``proof``: what ``prove`` found.
    """

    def __init__(self, method: Method, user: str, account: t.Optional[pwd.struct_passwd], own_user_namespace: bool = False) -> None:
        self.method = method
        self.user = user
        self.uid = os.geteuid() if account is None else account.pw_uid
        self.gid = os.getegid() if account is None else account.pw_gid
        self.proof = ""
        self._account = account
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._new_user = own_user_namespace
        self._bwrap = shutil.which("bwrap") or "bwrap"

    def run(self, argv: t.Sequence[str], env: t.Mapping[str, str], cwd: str, timeout: float) -> Finished:
        """Run to the end; a failure is for the caller to judge by ``status``.

        :param env: the complete environment.
        :param timeout: seconds.
        :raises CommandFailed: it took too long.
        :raises ToolMissing: there is no such program.
        :raises HostRefused: that user may not run it.
        """
        command = list(argv)
        environment = dict(env)
        if self.method == "bwrap":
            command = [self._bwrap, "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent", "--chdir", cwd, "--", *command]
        if self.method == "environment":
            environment = {name: value for name, value in environment.items() if name.lower() not in _PROXIES}
            environment["GOPROXY"] = "off"
        try:
            return run(command, env=environment, cwd=cwd, timeout=timeout, check=False, preexec=self._entrance())
        except PermissionError as exc:
            raise HostRefused(
                f"{self.user} may not run {argv[0]} in {cwd}: {exc}",
                subject=argv[0],
                found=str(exc),
                hint="every directory above it must be open to that user (o+x), and its file system mounted without noexec",
            ) from None

    def prove(self) -> str:
        """Try to reach a TCP port of an address outside, from inside.

        Returns what that shows: "proved: no route (ENETUNREACH)", or for ``environment`` "not isolated".

        :raises HostRefused: inside there is a route, or it couldn't be tried.
        """
        if self.method == "environment":
            self.proof = "not isolated: only proxies and GOPROXY are off"
            return self.proof
        answer = self._attempt_by_bwrap() if self.method == "bwrap" else self._attempt_by_fork()
        names = {errno.errorcode[number] for number in _NO_ROUTE}
        if answer not in names:
            raise HostRefused(
                f"a command that was to have no network (by {self.method}, as {self.user}) was not refused a route: {answer}",
                subject=self.method,
                expected=" or ".join(sorted(names)),
                found=answer,
                hint="look for what lets commands out of their network namespace (a seccomp or LSM policy, a proxying runtime), or install bubblewrap",
            )
        self.proof = f"proved: no route ({answer})"
        return self.proof

    def _entrance(self) -> t.Callable[[], None]:
        die = dying_with_parent()

        def enter() -> None:
            self._enter()
            # Last: who changes users or user namespaces loses it.
            die()

        return enter

    def _enter(self) -> None:
        """Between fork and exec: into the namespace, then away from root, then no way back."""
        if self.method == "netns" and not self._new_user:
            self._unshare(_CLONE_NEWNET)
        if self._account is not None:
            os.setgroups([])
            os.setgid(self._account.pw_gid)
            os.setuid(self._account.pw_uid)
        if self.method == "netns" and self._new_user:
            # Changing users gave the files in /proc/self to root; this takes them back.
            self._libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
            self._unshare(_CLONE_NEWNET | _CLONE_NEWUSER)
        # A bubblewrap that is setuid root needs its privilege, and sets this itself before it runs the command.
        if self.method != "bwrap" and self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")

    def _unshare(self, flags: int) -> None:
        uid, gid = os.geteuid(), os.getegid()
        if self._libc.unshare(flags) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"unshare: {os.strerror(number)}")
        if flags & _CLONE_NEWUSER:
            # user_namespaces(7): an unprivileged process may map itself alone, and only once it can't change its groups.
            for name, content in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
                    stream.write(content)
        _loopback_up()

    def _attempt_by_fork(self) -> str:
        # Without exec: the user inside need not be able to run our Python.
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reader)
                self._enter()
                os.write(writer, _attempt().encode())
            except BaseException as exc:  # pylint: disable=broad-except  # nothing may leave the child but its exit
                os.write(writer, f"{type(exc).__name__}: {exc}".encode("utf-8", "replace")[:1000])
            finally:
                os._exit(0)
        os.close(writer)
        try:
            return _read_for(reader, 2 * _PATIENCE)
        finally:
            os.close(reader)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def _attempt_by_bwrap(self) -> str:
        script = (
            "import errno, socket\ns = socket.socket()\n"
            f"s.settimeout({_PATIENCE})\n"
            f"try:\n    s.connect({_NOWHERE!r})\n    print('connected')\n"
            "except OSError as exc:\n    print(errno.errorcode.get(exc.errno, str(exc)))\n"
        )
        try:
            finished = self.run([sys.executable, "-I", "-c", script], {"PATH": "/usr/bin:/bin"}, "/", 4 * _PATIENCE)
        except AirgapError as exc:
            return exc.message
        return finished.stdout.strip() or finished.stderr.strip()


def choose(user: t.Optional[str] = None) -> Isolation:
    """The best isolation that works here, tried and proved.

    :param user: who to run as when we are root (a name or a number); nobody else can choose, so it's ignored then.
    :raises SpecInvalid: there is no such user.
    """
    name, account = _who(user)
    reasons = []
    candidates = [Isolation("netns", name, account, own_user_namespace=True)]
    if os.geteuid() == 0:
        # Root in a container without CAP_SYS_ADMIN can't do this, but may do the other.
        candidates.insert(0, Isolation("netns", name, account))
    if shutil.which("bwrap"):
        candidates.append(Isolation("bwrap", name, account))
    for isolation in candidates:
        try:
            isolation.prove()
            return isolation
        except HostRefused as exc:
            reasons.append(f"{isolation.method}: {exc.found}")
    isolation = Isolation("environment", name, account)
    isolation.prove()
    isolation.proof += f" ({'; '.join(reasons)})"
    return isolation


def _who(user: t.Optional[str]) -> tuple[str, t.Optional[pwd.struct_passwd]]:
    """The name for the record, and the account to change to (None: stay)."""
    uid = os.geteuid()
    try:
        ours = pwd.getpwuid(uid).pw_name
    except KeyError:
        ours = str(uid)
    if uid != 0 or not user:
        return ours, None
    try:
        account = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        raise SpecInvalid(f"there is no user {user} here", subject=user, hint="name one that exists, such as nobody") from None
    if account.pw_uid == 0:
        return account.pw_name, None
    if not (_covered("/proc/self/uid_map", account.pw_uid) and _covered("/proc/self/gid_map", account.pw_gid) and _may_set_groups()):
        return f"{ours} (in this user namespace {account.pw_name} does not exist)", None
    return account.pw_name, account


def _covered(path: str, number: int) -> bool:
    """Whether an id exists in our user namespace; lines are "first inside, first outside, how many"."""
    try:
        with open(path, encoding="ascii") as stream:
            ranges = [[int(field) for field in line.split()] for line in stream]
    except OSError:
        return True
    return any(first <= number < first + count for first, _outside, count in ranges)


def _may_set_groups() -> bool:
    try:
        with open("/proc/self/setgroups", encoding="ascii") as stream:
            return stream.read().strip() == "allow"
    except OSError:
        return True


def _loopback_up() -> None:
    # Some builds' tools talk to themselves by localhost; where it's not allowed they go without.
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack(_IFREQ, b"lo", 0))
        flags = struct.unpack(_IFREQ, answer)[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack(_IFREQ, b"lo", flags | _IFF_UP))


def _attempt() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE)
        try:
            sock.connect(_NOWHERE)
        except OSError as exc:
            return errno.errorcode.get(exc.errno or 0, str(exc))
    return "connected"


def _read_for(descriptor: int, seconds: float) -> str:
    """What the other end writes until it closes, or until the time is over."""
    content = b""
    end = time.monotonic() + seconds
    while True:
        ready, _w, _x = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return "no answer in time"
        chunk = os.read(descriptor, 1024)
        if not chunk:
            return content.decode("utf-8", "replace")
        content += chunk
