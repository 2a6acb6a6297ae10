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

from .errors import AirgapError, CommandFailed, HostRefused, SpecInvalid
from .process import Finished, dying_with_parent, run

# sched.h, sys/prctl.h, net/if.h and linux/sockios.h; the same on every architecture that Go runs on.
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = "16sh22x"

# What wait(2) says of a process, on its way through a pipe.
_STATUS = struct.Struct("i")

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

        What it started ends with it: its process group, and as another account, where the kernel has PID namespaces, all the rest.

        :param env: the complete environment.
        :param timeout: seconds.
        :raises CommandFailed: it took too long, or is nothing that the kernel can run.
        :raises ToolMissing: there is no such program.
        :raises HostRefused: that user may not run it.
        """
        command = list(argv)
        environment = dict(env)
        if self.method == "bwrap":
            processes = [] if self._account is None else ["--unshare-pid"]
            command = [self._bwrap, "--dev-bind", "/", "/", "--unshare-net", *processes, "--die-with-parent", "--chdir", cwd, "--", *command]
        if self.method == "environment":
            environment = {name: value for name, value in environment.items() if name.lower() not in _PROXIES}
            environment["GOPROXY"] = "off"
        try:
            return run(command, env=environment, cwd=cwd, timeout=timeout, check=False, preexec=self._entrance(), leave_nothing=True)
        except PermissionError as exc:
            raise HostRefused(
                f"{self.user} may not run {argv[0]} in {cwd}: {exc}",
                subject=argv[0],
                found=str(exc),
                hint="every directory above it must be open to that user (o+x), and its file system mounted without noexec",
            ) from None
        except OSError as exc:
            if exc.errno != errno.ENOEXEC:
                raise
            raise CommandFailed(
                f"{argv[0]} in {cwd} is no program that runs here: {exc.strerror}",
                subject=argv[0],
                found=str(exc),
                hint="a script's first line must name what runs it, such as #!/bin/sh; a program must be made for this platform",
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
            if not self._enter(lambda: self._go_second(die)):
                # Last: who changes users or user namespaces loses it.
                die()

        return enter

    def _enter(self, inside: t.Callable[[], None] = lambda: None) -> bool:
        """Between fork and exec: into the namespaces, then away from root, then no way back.

        :param inside: called where processes have a namespace of their own, but for ours; whether it was is returned.
        """
        apart = False
        if self.method == "netns" and not self._new_user:
            apart = self._unshare(_CLONE_NEWNET)
            if apart:
                inside()
        if self._account is not None:
            os.setgroups([])
            os.setgid(self._account.pw_gid)
            os.setuid(self._account.pw_uid)
        if self.method == "netns" and self._new_user:
            # Changing users gave the files in /proc/self to root; this takes them back.
            self._libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
            apart = self._unshare(_CLONE_NEWNET | _CLONE_NEWUSER)
            if apart:
                inside()
        # A bubblewrap that is setuid root needs its privilege, and sets this itself before it runs the command.
        if self.method != "bwrap" and self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
        return apart

    def _unshare(self, flags: int) -> bool:
        """Into new namespaces; whether the children of this process get one for processes too.

        They do as another account alone, in whose name nothing is to go on. /proc stays as it is: a project's tests, which run as
        whoever we are, may look themselves up there by their number.
        """
        uid, gid = os.geteuid(), os.getegid()
        apart = self._account is not None and self._libc.unshare(flags | _CLONE_NEWPID) == 0
        if not apart and self._libc.unshare(flags) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"unshare: {os.strerror(number)}")
        if flags & _CLONE_NEWUSER:
            # user_namespaces(7): an unprivileged process may map itself alone, and only once it can't change its groups.
            for name, content in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                # Bytes: the account may not be able to read our Python, from which a codec would be loaded.
                with open(f"/proc/self/{name}", "wb") as stream:
                    stream.write(content.encode())
        _loopback_up()
        return apart

    def _go_second(self, die: t.Callable[[], None]) -> None:
        """Go on as the second process of the namespace for processes: pid_namespaces(7).

        The first one reaps what others leave, and ends when the second does: the kernel kills the rest then, and is done with that before
        the first is reaped. That waits outside, and ends as the second did.
        """
        die()
        reader, writer = os.pipe()
        first = os.fork()
        if first:
            _end_as_told(first, reader, self._libc)
        try:
            os.close(reader)
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            second = os.fork()
        except BaseException:
            os._exit(1)
        if second:
            _reap_until(second, writer)
        os.close(writer)
        # So that "kill 0" means what the command started, not those who wait for it.
        os.setsid()

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


def _end_as_told(first: int, reader: int, libc: ctypes.CDLL) -> t.NoReturn:
    """Wait for the process ``first``, then end with the status that it wrote; it wrote none when it was killed."""
    try:
        _only_wait(reader)
        told = os.read(reader, _STATUS.size)
        os.waitpid(first, 0)
        status = _STATUS.unpack(told)[0] if told else signal.SIGKILL
        if os.WIFSIGNALED(status):
            # A core is the command's to leave, not ours.
            libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
            with contextlib.suppress(OSError):
                signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
            os.kill(os.getpid(), os.WTERMSIG(status))
        os._exit(os.WEXITSTATUS(status))
    finally:
        os._exit(1)


def _reap_until(child: int, writer: int) -> t.NoReturn:
    """Reap all children until ``child`` ends; write with which status."""
    try:
        _only_wait(writer)
        # A parent that was gone before it could be asked for a signal has left the pipe's other end closed.
        poll = select.poll()
        poll.register(writer, 0)
        while not poll.poll(0):
            ended, status = os.wait()
            if ended == child:
                os.write(writer, _STATUS.pack(status))
                break
    finally:
        os._exit(0)


def _only_wait(kept: int) -> None:
    """Let go of all files but one: Popen waits for the end of a pipe that we have too. And of what Python does about signals."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


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
