# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands without a network: real namespaces, tried from inside."""

from __future__ import annotations

import os
import pathlib
import pwd
import signal
import socket
import sys
import time
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base import sandbox
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import CommandFailed, HostRefused, SpecInvalid, ToolMissing

ENV = {"PATH": "/usr/bin:/bin"}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def isolation() -> sandbox.Isolation:
    chosen = sandbox.choose()
    assert chosen.method in ("netns", "bwrap"), f"this host allows no isolation: {chosen.proof}"
    return chosen


@pytest.fixture
def listener() -> t.Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def connect(isolation: sandbox.Isolation, port: int) -> str:
    script = (
        f"import socket, sys\ntry:\n    socket.create_connection(('127.0.0.1', {port}), 5)\n    print('in')\nexcept OSError as e:\n    print(type(e).__name__)"
    )
    return isolation.run([sys.executable, "-c", script], ENV, "/", 30).stdout.strip()


def test_there_is_no_route(isolation: sandbox.Isolation) -> None:
    assert isolation.proof == "proved: no route (ENETUNREACH)"
    assert isolation.prove() == isolation.proof


def test_what_listens_outside_is_not_there_inside(isolation: sandbox.Isolation, listener: int) -> None:
    assert connect(isolation, listener) == "ConnectionRefusedError"
    assert connect(sandbox.Isolation("environment", isolation.user, None), listener) == "in"


def test_inside_there_is_a_localhost(isolation: sandbox.Isolation) -> None:
    script = "import socket\ns = socket.create_server(('127.0.0.1', 0))\nsocket.create_connection(s.getsockname(), 5)\nprint('heard')"
    finished = isolation.run([sys.executable, "-c", script], ENV, "/", 30)
    assert (finished.status, finished.stdout.strip()) == (0, "heard"), finished.stderr


def test_no_way_back_to_privileges(isolation: sandbox.Isolation) -> None:
    status = isolation.run(["cat", "/proc/self/status"], ENV, "/", 30).stdout
    assert "NoNewPrivs:\t1\n" in status


def test_status_and_stderr_come_back(isolation: sandbox.Isolation) -> None:
    finished = isolation.run(["sh", "-c", "echo out; echo err >&2; exit 3"], ENV, "/", 30)
    assert (finished.status, finished.stdout, finished.stderr) == (3, "out\n", "err\n")


def test_the_environment_is_only_what_was_given(isolation: sandbox.Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAK", "1")
    assert "LEAK" not in isolation.run(["env"], ENV, "/", 30).stdout


def test_too_long_is_an_error(isolation: sandbox.Isolation) -> None:
    with pytest.raises(CommandFailed, match="took longer"):
        isolation.run(["sleep", "600"], ENV, "/", 0.2)


@pytest.mark.parametrize("user", [pytest.param("nobody", marks=needs_root), None])
def test_what_runs_dies_with_us(user: t.Optional[str]) -> None:
    """It must not go on writing where the next run clears up."""
    isolation = sandbox.choose(user)
    ours = os.fork()
    if ours == 0:
        try:
            isolation.run(["sleep", "600"], ENV, "/", 600)
        finally:
            os._exit(0)
    try:
        sleeping = wait_for(lambda: [pid for pid in descendants(ours) if command(pid) == "sleep"])
    finally:
        os.kill(ours, signal.SIGKILL)
        os.waitpid(ours, 0)
    wait_for(lambda: command(sleeping[0]) != "sleep")


def descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return children + [below for child in children for below in descendants(child)]


def command(pid: int) -> str:
    """What runs, by its name; nothing once it has ended."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if "State:\tZ" in status else status.split()[1]


def wait_for(condition: t.Callable[[], t.Any]) -> t.Any:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    pytest.fail("it did not come to be within 30 s")


def as_nobody(own_user_namespace: bool) -> sandbox.Isolation:
    return sandbox.Isolation("netns", "nobody", pwd.getpwnam("nobody"), own_user_namespace)


@needs_root
@pytest.mark.parametrize("own_user_namespace", [False, True])
@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 3", 3),
        ("kill -TERM $$", -signal.SIGTERM),
        ("kill -KILL $$", -signal.SIGKILL),
        ("kill -SEGV $$", -signal.SIGSEGV),
        ("trap 'exit 4' TERM; kill 0", 4),
    ],
)
def test_how_another_accounts_command_ended_is_told(own_user_namespace: bool, script: str, status: int) -> None:
    """Though it's two processes further away than ours are."""
    finished = as_nobody(own_user_namespace).run(["sh", "-c", f"echo out; echo err >&2; {script}"], ENV, "/", 30)
    assert (finished.status, finished.stdout, finished.stderr) == (status, "out\n", "err\n")


@needs_root
@pytest.mark.parametrize("own_user_namespace", [False, True])
def test_what_another_account_sends_to_the_background_ends_with_its_command(own_user_namespace: bool) -> None:
    """In a session of its own too, and it's over when the answer is there: the next command's directories are the same account's."""
    script = "for how in env setsid; do $($how sh -c 'exec sleep 654 >/dev/null' &); done"
    finished = as_nobody(own_user_namespace).run(["sh", "-c", script], ENV, "/", 30)
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and arguments(pid) == ["sleep", "654"]]
    assert (finished.status, left) == (0, []), finished.stderr


def arguments(pid: str) -> list[str]:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


@needs_root
@pytest.mark.parametrize("own_user_namespace", [False, True])
def test_another_accounts_command_that_takes_too_long(own_user_namespace: bool) -> None:
    with pytest.raises(CommandFailed, match="took longer"):
        as_nobody(own_user_namespace).run(["sh", "-c", "setsid sleep 655; true"], ENV, "/", 0.5)
    wait_for(lambda: not [pid for pid in os.listdir("/proc") if pid.isdigit() and arguments(pid) == ["sleep", "655"]])


@needs_root
def test_where_there_are_no_namespaces_for_processes_the_group_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_CLONE_NEWPID", -1)
    finished = as_nobody(False).run(["sh", "-c", "sleep 656 & exit 5"], ENV, "/", 30)
    assert finished.status == 5
    wait_for(lambda: not [pid for pid in os.listdir("/proc") if pid.isdigit() and arguments(pid) == ["sleep", "656"]])


def test_a_script_that_nothing_runs_is_named(isolation: sandbox.Isolation, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script"
    script.write_text("true\n")
    script.chmod(0o755)
    with pytest.raises(CommandFailed, match="script in / is no program that runs here") as failed:
        isolation.run([str(script)], ENV, "/", 30)
    assert failed.value.subject == str(script) and "#!/bin/sh" in failed.value.hint


@needs_root
def test_a_program_that_another_account_does_not_have() -> None:
    with pytest.raises(ToolMissing, match="nonesuch is not here"):
        as_nobody(False).run(["nonesuch"], ENV, "/", 30)


def test_no_isolation_is_recorded_as_such() -> None:
    nothing = sandbox.Isolation("environment", "me", None)
    assert nothing.prove().startswith("not isolated")
    shown = nothing.run(["env"], {**ENV, "https_proxy": "http://proxy.example", "GOPROXY": "direct"}, "/", 30).stdout
    assert "proxy.example" not in shown
    assert "GOPROXY=off\n" in shown


def test_a_route_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    leaky = sandbox.Isolation("netns", "me", None, own_user_namespace=os.geteuid() != 0)
    monkeypatch.setattr(leaky, "_unshare", lambda flags: None)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        monkeypatch.setattr(sandbox, "_NOWHERE", server.getsockname())
        with pytest.raises(HostRefused, match="was not refused a route: connected"):
            leaky.prove()


def test_nobody_by_that_name() -> None:
    if os.geteuid() == 0:
        with pytest.raises(SpecInvalid, match="no user no-such-user"):
            sandbox.choose("no-such-user")
    else:
        assert sandbox.choose("no-such-user").uid == os.geteuid()


@needs_root
@pytest.mark.parametrize("user", ["nobody", str(pwd.getpwnam("nobody").pw_uid)])
def test_as_another_user(user: str) -> None:
    before = os.getgroups()
    os.setgroups([0, 4])
    try:
        chosen = sandbox.choose(user)
        groups = chosen.run(["id", "-G"], ENV, "/", 30).stdout.strip()
    finally:
        os.setgroups(before)
    account = pwd.getpwnam("nobody")
    assert (chosen.method, chosen.user, chosen.uid, chosen.gid) == ("netns", "nobody", account.pw_uid, account.pw_gid)
    assert chosen.run(["id", "-u"], ENV, "/", 30).stdout.strip() == str(account.pw_uid)
    assert groups == str(account.pw_gid)


@needs_root
def test_another_user_in_a_user_namespace_of_its_own() -> None:
    account = pwd.getpwnam("nobody")
    chosen = sandbox.Isolation("netns", "nobody", account, own_user_namespace=True)
    assert chosen.prove() == "proved: no route (ENETUNREACH)"
    assert chosen.run(["id", "-u"], ENV, "/", 30).stdout.strip() == str(account.pw_uid)


@needs_root
def test_where_the_other_user_does_not_exist_we_stay_and_say_so() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        inner = sandbox.Isolation("netns", "root", None, own_user_namespace=True)
        inner._unshare(sandbox._CLONE_NEWUSER | sandbox._CLONE_NEWNET)
        chosen = sandbox.choose("nobody")
        os.write(writer, f"{chosen.method} {chosen.uid} {chosen.user}".encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 1000).decode() == "netns 0 root (in this user namespace nobody does not exist)"
    os.close(reader)


@needs_root
def test_a_directory_that_is_closed_to_the_user_is_named(tmp_path: t.Any) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tool = closed / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    with pytest.raises(HostRefused, match="nobody may not run .*tool"):
        sandbox.choose("nobody").run([str(tool)], ENV, "/", 30)
