# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each scope promises, and what becomes of a go.mod that isn't tidy. That the promises hold is for tests/integration."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import CommandFailed, ProjectDirty
from ansible_collections.airgap.golang.plugins.module_utils._base.process import Finished
from ansible_collections.airgap.golang.plugins.module_utils._go import closure, proof
from ansible_collections.airgap.golang.plugins.module_utils._go.command import GoCommand, find_go

DONE = Finished(0, "", "")


@pytest.fixture(scope="module")
def go() -> GoCommand:
    return GoCommand(find_go())


class Script:
    """Answers go commands: CommandFailed with this stdout for those that begin so."""

    def __init__(self, *failing: str, stdout: str = "", files: t.Callable[[], None] = lambda: None) -> None:
        self.ran: list[str] = []
        self._failing = failing
        self._stdout = stdout
        self._files = files

    def __call__(self, argv: t.Sequence[str], cwd: str, more: t.Mapping[str, str]) -> Finished:
        self.ran.append(" ".join(argv))
        if self.ran[-1] == "mod tidy":
            self._files()
        if self.ran[-1].startswith(self._failing or ("nothing",)):
            raise CommandFailed("said no", details=[{"stdout": self._stdout}] if self._stdout else None)
        return DONE


PATCH = (
    "diff current/go.mod tidy/go.mod\n--- current/go.mod\n+++ tidy/go.mod\n"
    "@@ -1,3 +1,2 @@\n module p\n-require  rsc.io/quote   v1.5.2\n+require a.example/a v1.0.0\n-x\n-y\n"
)


def prove(root: closure.Root, script: Script) -> bool:
    return proof.prove_project(root, script, {}, ["netgo"], False, root.directory)


def make_root(go: GoCommand, directory: pathlib.Path, workspace: bool = False, **more: t.Any) -> closure.Root:
    layout = closure.Layout({}, workspace, (str(directory),), {}, {"rsc.io/quote": "v1.5.2"}, True, True)
    return closure.Root("project", "project p", str(directory), go, layout=layout, **{"scope": "all", **more})


def test_scopes_promise_more_and_more(go: GoCommand, tmp_path: pathlib.Path) -> None:
    ran = {}
    for scope in ("build", "test", "all"):
        script = Script()
        prove(make_root(go, tmp_path, scope=scope), script)
        ran[scope] = script.ran
    assert ran["build"] == ["list -m all", f"build -tags=netgo -o {tmp_path}/tools/ tool", "mod vendor -e"]
    compiled = [f"{command} -tags=netgo ./..." for command in ("build", "vet -json", "list -test -export -f {{.ImportPath}}")]
    assert {"mod download", "mod verify", "list -m -u -f {{.Path}} all", *compiled} < set(ran["test"]) and ran["test"][-1] == "mod vendor"
    assert {"mod tidy -diff", "mod why -m rsc.io/quote", "list -deps -test -f {{.ImportPath}} all"} == set(ran["all"]) - set(ran["test"])


def test_an_untidy_project_is_an_error_that_shows_the_change(go: GoCommand, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ProjectDirty) as caught:
        prove(make_root(go, tmp_path), Script("mod tidy", stdout=PATCH))
    assert "-require rsc.io/quote v1.5.2; +require a.example/a v1.0.0; -x and 1 more lines" in caught.value.message


def test_or_a_warning(go: GoCommand, tmp_path: pathlib.Path) -> None:
    warned = make_root(go, tmp_path, dirty_is_error=False)
    assert not prove(warned, Script("mod tidy", stdout=PATCH)) and len(warned.warnings) == 1


def test_a_tidy_that_failed_is_no_difference(go: GoCommand, tmp_path: pathlib.Path) -> None:
    with pytest.raises(CommandFailed, match="said no"):
        prove(make_root(go, tmp_path, dirty_is_error=False), Script("mod tidy"))


def test_gos_before_1_23_tidy_a_file_that_is_put_back(go: GoCommand, tmp_path: pathlib.Path) -> None:
    (tmp_path / "go.mod").write_text("module p\n\nrequire a v1\n")
    older = GoCommand(go.binary, dict(go.settings, GOVERSION="go1.22.5"))
    script = Script(files=lambda: (tmp_path / "go.mod").write_text("module p\n") and None)
    with pytest.raises(ProjectDirty, match="-require a v1"):
        prove(make_root(older, tmp_path), script)
    assert (tmp_path / "go.mod").read_text() == "module p\n\nrequire a v1\n" and "mod tidy" in script.ran


def test_a_workspaces_module_that_needs_its_siblings_is_not_tidied(go: GoCommand, tmp_path: pathlib.Path) -> None:
    script = Script("list -deps -test ./...")
    alone = make_root(go, tmp_path, workspace=True)
    prove(alone, script)
    assert not any(command.startswith("mod tidy") for command in script.ran) and "only builds inside go.work" in alone.warnings[0]
