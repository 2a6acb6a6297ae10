# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GOAUTH with real helpers and a real git: which credentials a URL gets, when helpers are asked again, and what errors say."""

from __future__ import annotations

import base64
import pathlib
import threading

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import CommandFailed, SpecInvalid
from ansible_collections.airgap.golang.plugins.module_utils._base.network import Refused
from ansible_collections.airgap.golang.plugins.module_utils._go.goauth import GoAuth, parse_answer, parse_goauth, split_words

SECRET = "hunter2"
HEAD = "HTTP/1.1 401 Unauthorized\nWww-Authenticate: Bearer\n\n"


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def refused(status: int = 401, **sent: str) -> Refused:
    return Refused(status, HEAD, sent)


@pytest.fixture(autouse=True)
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("NETRC", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


class Helper:
    """A program that prints ``answer`` (or ``answer-for-url``, when it's asked for one), and notes its arguments and standard input."""

    def __init__(self, directory: pathlib.Path, name: str = "helper") -> None:
        self.path = directory / name
        self.path.write_text(
            f'#!/bin/sh\n[ $# -eq 0 ] || printf "%s|" "$@" >> {self.path}.asked; echo >> {self.path}.asked; cat > {self.path}.stdin\n'
            f"file={self.path}.answer\n"
            f'case "$*" in *https://*) [ -e "$file-for-url" ] && file="$file-for-url" ;; esac\n'
            f'cat "$file"; exit $(cat {self.path}.status)\n'
        )
        self.path.chmod(0o755)
        self.answers("")

    def answers(self, text: str, status: int = 0, for_url: bool = False) -> None:
        pathlib.Path(f"{self.path}.answer{'-for-url' if for_url else ''}").write_text(text)
        pathlib.Path(f"{self.path}.status").write_text(str(status))

    @property
    def asked(self) -> list[str]:
        asked = pathlib.Path(f"{self.path}.asked")
        return asked.read_text().splitlines() if asked.exists() else []

    @property
    def stdin(self) -> str:
        return pathlib.Path(f"{self.path}.stdin").read_text()


@pytest.fixture
def helper(tmp_path: pathlib.Path) -> Helper:
    return Helper(tmp_path)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("helper", ("helper",)),
        ("  helper  a\tb ", ("helper", "a", "b")),
        ("""helper 'a b' "c 'd'" e"f g'""", ("helper", "a b", "c 'd'", 'e"f', "g'")),
        ("""'my helper'x""", ("my helper", "x")),
        ("helper ''", ("helper", "")),
    ],
)
def test_words_are_split_as_go_splits_them(command: str, words: tuple[str, ...]) -> None:
    assert split_words(command) == words


def test_a_word_in_quotes_has_to_end() -> None:
    with pytest.raises(ValueError, match="doesn't end"):
        split_words("helper 'a b")


@pytest.mark.parametrize(
    "value", [";", "netrc;", "netrc;off", "git", "git relative", "git /nowhere/at/all", "git / /", f"helper '{SECRET}", " ", f"netrc; ;helper {SECRET}"]
)
def test_a_goauth_that_go_refuses_is_refused(value: str) -> None:
    with pytest.raises(SpecInvalid, match="GOAUTH can't be followed") as caught:
        GoAuth(value)
    assert SECRET not in repr((caught.value.sentence(), caught.value.failure()))


def test_methods_have_names_without_their_arguments() -> None:
    methods = parse_goauth(f"netrc; git / ;helper --token {SECRET}")
    assert [method.name for method in methods] == ["GOAUTH=netrc", "GOAUTH=git", "GOAUTH's command helper"]
    assert parse_goauth("off") == () and parse_goauth("") == parse_goauth("netrc")


def test_answers_are_read_by_go_s_format() -> None:
    # The example of go help goauth.
    text = "https://example.com\nhttps://example.net/api/\n\nAuthorization: Basic <token>\n\nhttps://another-example.org/\n\nExample: Data\n\n"
    assert parse_answer(text) == [
        ("https://example.com", {"Authorization": "Basic <token>"}),
        ("https://example.net/api/", {"Authorization": "Basic <token>"}),
        ("https://another-example.org/", {"Example": "Data"}),
    ]
    assert parse_answer("https://a.example\n\n\n") == [("https://a.example", {})]
    assert parse_answer("https://a.example\n\nprivate-token:  x \nX: 1\nx: 2\n\n") == [("https://a.example", {"Private-Token": "x", "X": "1, 2"})]
    assert parse_answer("") == []


@pytest.mark.parametrize(
    "text",
    [
        f"https://a.example\nAuthorization: {SECRET}\n\n",
        f"https://a.example\n\nAuthorization: {SECRET}\n",
        f"https://a.example\n\nAuthorization:{SECRET}\n\n",
        f"https://a.example\n\nAuth orization: {SECRET}\n\n",
        f"https://a.example\n\nAuthorization: \x01{SECRET}\n\n",
        f"https://a.example\n\nAuthorization: {SECRET}\n\nhttps://b.example",
        f"{SECRET}\n\nX: y\n\n",
    ],
)
def test_answers_that_are_none_are_refused_without_showing_them(text: str, helper: Helper) -> None:
    with pytest.raises(ValueError) as caught:
        parse_answer(text)
    assert SECRET not in str(caught.value)
    helper.answers(text)
    with pytest.raises(CommandFailed, match="its answer can't be read") as failed:
        GoAuth(f"{helper.path} --key {SECRET}")("https://a.example/x", refused())
    assert SECRET not in repr((failed.value.sentence(), failed.value.failure())) and "helper" in failed.value.message


def test_the_longest_prefix_counts_and_only_https(helper: Helper) -> None:
    helper.answers("https://a.example\n\nX: host\n\nhttps://a.example/go/\n\nX: go\n\nhttp://b.example\n\nX: clear\n\n")
    auth = GoAuth(str(helper.path))
    assert auth("https://a.example/go/m/@v/list") == auth("https://a.example/go") == {"X": "go"}
    assert auth("https://a.example/gopher") == auth("https://a.example") == {"X": "host"}
    assert auth("https://a.example.org/go") == auth("https://a.example:8443/go") == auth("https://b.example/") == {}
    assert auth("http://a.example/go") == {}
    assert helper.asked == [""]


def test_earlier_methods_come_first(helper: Helper, home: pathlib.Path) -> None:
    (home / ".netrc").write_text(f"machine a.example login gopher password {SECRET}\nmachine b.example login b password b\n")
    helper.answers("https://a.example\n\nX: helper\n\n")
    assert GoAuth("")("https://a.example:8443/x") == GoAuth("netrc")("https://a.example/x") == basic(f"gopher:{SECRET}")
    assert GoAuth("off")("https://a.example/x") == {}
    assert GoAuth(f"netrc; {helper.path}")("https://a.example/x") == basic(f"gopher:{SECRET}")
    both = GoAuth(f"{helper.path};netrc")
    assert both("https://a.example/x") == {"X": "helper"} and both("https://b.example/x") == basic("b:b")
    assert GoAuth(str(helper.path))("https://b.example/x") == {}


def test_a_helper_is_asked_again_with_url_and_answer(helper: Helper) -> None:
    helper.answers(f"https://a.example\n\nX: {SECRET}\n\n", for_url=True)
    auth = GoAuth(f"{helper.path} 'an argument'")
    assert auth("https://a.example/m?key=k") == {}
    assert auth("https://a.example/m?key=k", refused()) == {"X": SECRET}
    # Not what a query says: it may be a secret, and arguments can be seen.
    assert helper.asked == ["an argument|", "an argument|https://a.example/m|"]
    assert helper.stdin == HEAD
    # Another thread was refused with what it had sent before; and a file that isn't there is no question of credentials.
    assert auth("https://a.example/n", refused()) == auth("https://a.example/n", refused(404, X=SECRET)) == {"X": SECRET}
    assert len(helper.asked) == 2
    # Servers that hide what they have say 404.
    helper.answers("https://b.example\n\nX: b\n\n", for_url=True)
    assert auth("https://b.example/n", refused(404)) == {"X": "b"}
    # No headers take a prefix's credentials away.
    helper.answers("https://b.example\n\n\n", for_url=True)
    assert auth("https://b.example/n", refused(401, X="b")) == {}


def test_many_threads_ask_once(helper: Helper) -> None:
    helper.answers("https://a.example\n\nX: y\n\n", for_url=True)
    auth = GoAuth(str(helper.path))
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(auth("https://a.example/m", refused()))) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{"X": "y"}] * 8 and len(helper.asked) == 2


def test_a_helper_that_fails_is_told_when_it_was_needed(helper: Helper, home: pathlib.Path) -> None:
    helper.answers(SECRET, status=3)
    auth = GoAuth(f"{helper.path};netrc")
    assert auth("https://a.example/m") == {} == auth("https://a.example/m", refused(404))
    with pytest.raises(CommandFailed, match=r"helper: it ended with status 3") as caught:
        auth("https://a.example/m", refused())
    assert "by hand" in caught.value.hint and SECRET not in repr(caught.value.failure())
    # Another method knows: nothing to tell.
    (home / ".netrc").write_text("machine a.example login a password b\n")
    assert auth("https://a.example/m", refused()) == basic("a:b")
    with pytest.raises(CommandFailed, match="not here"):
        GoAuth(str(home / "absent"))("https://a.example/m", refused())


@pytest.mark.parametrize(("mode", "text", "why"), [(0o644, "#!/bin/sh\n", "Permission denied"), (0o755, "\0\0\0\0", "Exec format error")])
def test_a_helper_that_cannot_be_run_has_failed(helper: Helper, home: pathlib.Path, mode: int, text: str, why: str) -> None:
    helper.path.write_text(text)
    helper.path.chmod(mode)
    auth = GoAuth(f"netrc; {helper.path} {SECRET}")
    assert auth("https://a.example/m") == {}
    with pytest.raises(CommandFailed, match=f"helper: it can't be run: {why}") as caught:
        auth("https://a.example/m", refused())
    assert "by hand" in caught.value.hint and SECRET not in repr((caught.value.sentence(), caught.value.failure()))
    (home / ".netrc").write_text("machine a.example login a password b\n")
    assert auth("https://a.example/m", refused()) == basic("a:b")


def test_a_helper_gets_a_server_s_bytes(helper: Helper) -> None:
    helper.answers("https://a.example\n\nX: y\n\n", for_url=True)
    head = HEAD.replace("Bearer", 'Basic realm="Entrep\udcf4t"')
    assert GoAuth(str(helper.path))("https://a.example/m", Refused(401, head, {})) == {"X": "y"}
    assert pathlib.Path(f"{helper.path}.stdin").read_bytes() == head.encode("utf-8", "surrogateescape")


def test_git_s_helpers_are_asked_for_a_url_and_told_of_a_refusal(home: pathlib.Path) -> None:
    store = home / "store"
    store.write_text(f"https://gopher:{SECRET}@a.example\n")
    (home / ".gitconfig").write_text(f"[credential]\n\thelper = store --file={store}\n")
    auth = GoAuth(f"git {home}")
    assert auth("https://a.example/m") == {}
    assert auth("https://a.example/m", refused()) == basic(f"gopher:{SECRET}") == auth("https://a.example/other/m")
    with pytest.raises(CommandFailed, match="git credential fill has none for https://b.example/m") as caught:
        auth("https://b.example/m", refused())
    assert "without questions" in caught.value.hint
    with pytest.raises(CommandFailed, match="has none for https://a.example/m") as caught:
        auth("https://a.example/m", refused(401, **basic(f"gopher:{SECRET}")))
    assert store.read_text() == "" and SECRET not in repr(caught.value.failure())
