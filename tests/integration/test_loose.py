# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loose versions are resolved by the go command, against a real proxy and a private git repository; pins of a lock spare that."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import subprocess
import typing as t

import jsonschema
import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import FetchFailed, ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._base.fetch import Fetcher
from ansible_collections.airgap.golang.plugins.module_utils._base.pool import worker_processes
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._content import lock as locks
from ansible_collections.airgap.golang.plugins.module_utils._content import loose, specreader
from ansible_collections.airgap.golang.plugins.module_utils._content.lock import Lock, Sums
from ansible_collections.airgap.golang.plugins.module_utils._content.lockdiff import difference
from ansible_collections.airgap.golang.plugins.module_utils._go import hashcheck, queries, runs
from ansible_collections.airgap.golang.plugins.module_utils._go.closure import Run
from ansible_collections.airgap.golang.plugins.module_utils._go.command import GoCommand
from ansible_collections.airgap.golang.plugins.module_utils._go.goproxy import DirectGo, Upstream, parse_chain
from ansible_collections.airgap.golang.plugins.module_utils._go.queries import Question
from ansible_collections.airgap.golang.plugins.module_utils._go.recorder import RecordingProxy
from ansible_collections.airgap.golang.plugins.module_utils._go.store import ModuleStore
from ansible_collections.airgap.golang.tests.support.gathering import UUID, Site, make_spec
from ansible_collections.airgap.golang.tests.support.locking import h1
from ansible_collections.airgap.golang.tests.support.private_git import ADDRESS, AUTHOR, MODULE, VERSION

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "schemas"
COMMIT = "4489e403a86257823f6619b2be1cdf1da16d04fe"
TEXT = "golang.org/x/text"
TOOLS = "golang.org/x/tools"


class Asking:
    """What a gather has for asking: a store that fetches by the site's rules, and go commands that ask it. ``commands``: those that ran."""

    def __init__(self, site: Site, directory: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self.commands: list[list[str]] = []
        stack.enter_context(site.at_home())
        self.go = GoCommand("go")
        self.go.settings.update(GOPRIVATE=site.goprivate, GONOPROXY="", GONOSUMDB="")
        hashers = stack.enter_context(worker_processes())
        fetcher = stack.enter_context(Fetcher(connections=8))
        direct = DirectGo("go", self.go.environment(str(directory), "direct"), str(directory / "direct"))
        upstream = Upstream(parse_chain(site.proxy.url), site.goprivate, fetcher, direct)
        self.store = ModuleStore(str(directory / "fetch"), upstream, lambda key: None, hashers, Reporter().stage("test"), 8)
        stack.callback(self.store.close)
        proxy = stack.enter_context(RecordingProxy(self.store))
        cache = site.environment["GOCACHE"]
        self._run: Run = runs.through_proxy(self.go, self.store.directory, proxy.url, str(directory / "online"), cache)

    def run(self, argv: t.Sequence[str], cwd: str, more: t.Mapping[str, str]) -> t.Any:
        self.commands.append(list(argv))
        return self._run(argv, cwd, more)

    def answer(self, *questions: Question) -> dict[Question, tuple[str, str]]:
        return queries.answer(questions, self.go, self.run, str(self.directory / "queries"))

    def ask(self, questions: t.Sequence[Question]) -> dict[Question, str]:
        return {question: version for question, (_module, version) in self.answer(*questions).items()}


@pytest.fixture
def asking(connected: Site, tmp_path: pathlib.Path) -> t.Iterator[Asking]:
    connected.proxy.answers.clear()
    with contextlib.ExitStack() as stack:
        yield Asking(connected, tmp_path, stack)
    connected.proxy.answers.clear()


def serve(site: Site, module: str, versions: t.Mapping[str, str], latest: str = "") -> None:
    """A module of our own on the proxy: versions to the rest of their go.mod."""
    site.proxy.answers[f"/{module}/@v/list"] = (200, "".join(f"{version}\n" for version in versions).encode())
    for version, gomod in versions.items():
        info = json.dumps({"Version": version, "Time": "2026-01-02T03:04:05Z"}).encode()
        site.proxy.answers[f"/{module}/@v/{version}.info"] = (200, info)
        site.proxy.answers[f"/{module}/@v/{version}.mod"] = (200, f"module {module}\n{gomod}".encode())


def test_queries_of_all_kinds_are_answered_by_one_go_command(asking: Asking) -> None:
    asked = {
        Question("module", TEXT, "v0.3"): "v0.3.8",
        Question("module", TEXT, "<v0.3.5"): "v0.3.4",
        Question("module", TEXT, ">=v0.3.1"): "v0.3.1",
        Question("module", TEXT, "patch", "v0.3.0"): "v0.3.8",
        Question("module", TEXT, "v0.3.2"): "v0.3.2",
        Question("module", MODULE, COMMIT[:12]): VERSION,
        Question("module", MODULE, "latest"): VERSION,
        Question("module", MODULE, "main"): VERSION,
    }
    answers = asking.answer(*asked)
    assert answers == {question: (question.path, version) for question, version in asked.items()}
    assert len(asking.commands) == 1


def test_latest_is_what_the_proxy_lists(asking: Asking, connected: Site) -> None:
    (version,) = asking.ask([Question("module", TEXT, "latest")]).values()
    listed = subprocess.run(["go", "list", "-m", f"{TEXT}@latest"], env=connected.shell(), cwd=connected.directory, text=True, capture_output=True, check=True)
    assert listed.stdout.split() == [TEXT, version]


def test_upgrade_never_goes_below_the_pin_and_two_pins_may_differ(asking: Asking, connected: Site) -> None:
    module = "example.com/made"
    serve(connected, module, {"v1.0.0": "", "v1.0.1": "", "v1.1.0": "", "v1.2.0-rc.1": ""})
    asked = {
        Question("module", module, "latest", "v1.2.0-rc.1"): "v1.1.0",
        Question("module", module, "upgrade", "v1.2.0-rc.1"): "v1.2.0-rc.1",
        Question("module", module, "upgrade", "v1.0.0"): "v1.1.0",
        Question("module", module, "upgrade"): "v1.1.0",
        Question("module", module, "patch", "v1.0.0"): "v1.0.1",
    }
    connected.goprivate, before = f"{connected.goprivate},example.com", connected.goprivate
    try:
        asking.go.settings["GONOSUMDB"] = "example.com"
        assert asking.ask(list(asked)) == asked
    finally:
        connected.goprivate = before
    # One go.mod can't require a module twice: one command for each base, the rest beside the first.
    assert len(asking.commands) == 2


def test_retracted_versions_are_left_out_as_go_leaves_them_out(asking: Asking, connected: Site) -> None:
    module = "example.com/made"
    asking.go.settings["GONOSUMDB"] = "example.com"
    serve(connected, module, {"v1.0.0": "", "v1.1.0": "", "v1.2.0": "retract [v1.1.0, v1.2.0]\n"})
    asked = {Question("module", module, "latest"): "v1.0.0", Question("module", module, "v1.1.0"): "v1.1.0", Question("module", module, "<v1.2.0"): "v1.0.0"}
    assert asking.ask(list(asked)) == asked


def test_a_packages_module_is_found_for_many_at_once(asking: Asking) -> None:
    asked = {
        Question("package", f"{TOOLS}/cmd/stringer", "v0.52"): (TOOLS, "v0.52.0"),
        Question("package", f"{TOOLS}/cmd/goimports", "v0.52.0"): (TOOLS, "v0.52.0"),
        Question("package", MODULE, "latest"): (MODULE, VERSION),
    }
    assert asking.answer(*asked) == asked
    # One list for each length of path, one download of what was found at that length.
    verbs = [argv[0] for argv in asking.commands]
    assert verbs.count("list") == 3 and verbs.count("mod") == 2


def test_a_nested_module_without_the_package_is_passed_over(asking: Asking, connected: Site) -> None:
    """The longest prefix that is a module hasn't the package at that version: go goes on to the next."""
    nested = f"{TOOLS}/cmd/stringer"
    serve(connected, nested, {"v0.52.0": ""})
    empty = asking.directory / "empty"
    empty.mkdir()
    subprocess.run([os.sys.executable, "-c", ZIP, str(empty / "zip"), f"{nested}@v0.52.0/go.mod", f"module {nested}\n"], check=True)
    connected.proxy.answers[f"/{nested}/@v/v0.52.0.zip"] = (200, (empty / "zip").read_bytes())
    asking.go.settings["GONOSUMDB"] = nested
    assert asking.answer(Question("package", nested, "v0.52.0")) == {Question("package", nested, "v0.52.0"): (TOOLS, "v0.52.0")}


ZIP = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as z: z.writestr(sys.argv[2], sys.argv[3])"


def test_all_that_has_no_answer_is_named_at_once(asking: Asking, connected: Site) -> None:
    connected.proxy.answers["/example.com/closed/@v/list"] = (403, b"blocked by the policy of this site")
    connected.proxy.answers["/example.com/closed/x/@v/list"] = (403, b"blocked by the policy of this site")
    connected.proxy.answers["/example.com/absent/@v/list"] = (404, b"not found")
    connected.proxy.answers["/example.com/absent/@latest"] = (404, b"not found")
    fine = Question("module", TEXT, "v0.3")
    missing = {
        Question("module", "example.com/absent", "latest"): "404 Not Found",
        Question("module", "example.com/closed", "upgrade", "v1.0.0"): "403 Forbidden",
        Question("module", TEXT, "v0.99"): 'no matching versions for query "v0.99"',
        Question("module", TEXT, "patch"): "needs a version to start from",
        Question("module", MODULE, "no-such-branch"): "no-such-branch",
        Question("package", f"{TOOLS}/cmd/nothing", "v0.52.0"): f"module {TOOLS}@v0.52.0 has no package {TOOLS}/cmd/nothing",
        Question("package", "example.com/closed/x", "latest"): "blocked by the policy",
    }
    with pytest.raises(FetchFailed) as failed:
        asking.answer(fine, *missing)
    details = {(entry["what"].split()[0], entry["path"], entry["query"]): entry["said"] for entry in failed.value.details}
    assert set(details) == {(question.kind, question.path, question.query) for question in missing}
    for question, words in missing.items():
        assert words in details[(question.kind, question.path, question.query)]
        assert str(question) in failed.value.message
    # The address of our own proxy is nobody's business.
    assert "reading http" not in failed.value.message


def spec_of(**parts: t.Any) -> t.Any:
    return specreader.parse({"name": "test", **parts})


def test_a_loose_spec_becomes_exact_and_its_pins_spare_the_network(asking: Asking, connected: Site) -> None:
    loosely = spec_of(
        modules=[f"{TEXT}@v0.3", f"{TEXT}@v0.3.8", f"{MODULE}@main", {"module": f"{TEXT}@v0.3.7", "closure": "gomod"}],
        tools=[f"{TOOLS}/cmd/stringer@v0.52"],
        projects=[
            {"name": "text", "source": {"module": TEXT, "version": "<v0.3.5"}},
            {"name": "telemetry", "source": {"git": ADDRESS, "ref": "main"}},
            {"name": "tagged", "source": {"git": ADDRESS, "ref": VERSION}},
            {"name": "exact", "source": {"git": ADDRESS, "ref": COMMIT}},
        ],
        files=[{"git": ADDRESS, "ref": VERSION, "dest": "telemetry"}],
    )
    resolved = loose.resolve(loosely, None, asking.ask)
    assert resolved.pins == {
        f"module {TEXT}@v0.3": "v0.3.8",
        f"module {MODULE}@main": VERSION,
        f"tool {TOOLS}/cmd/stringer@v0.52": "v0.52.0",
        f"project text {TEXT}@<v0.3.5": "v0.3.4",
        f"project telemetry {ADDRESS} at main": COMMIT,
        f"project tagged {ADDRESS} at {VERSION}": COMMIT,
        f"file telemetry {ADDRESS} at {VERSION}": COMMIT,
    }
    # What turns out to be the same is carried once.
    assert [(module.path, module.version, module.closure) for module in resolved.spec.modules] == [
        (TEXT, "v0.3.8", "packages"),
        (MODULE, VERSION, "packages"),
        (TEXT, "v0.3.7", "gomod"),
    ]
    assert [tool.version for tool in resolved.spec.tools] == ["v0.52.0"]
    assert [(project.version, project.ref) for project in resolved.spec.projects] == [("v0.3.4", ""), ("", "main"), ("", VERSION), ("", COMMIT)]
    assert resolved.commits == {"telemetry": COMMIT, "tagged": COMMIT, "exact": COMMIT}
    assert resolved.file_commits == {"telemetry": COMMIT}

    def nobody(*_: t.Any) -> t.Any:
        raise AssertionError("the network was asked")

    for frozen in (False, True):
        assert loose.resolve(loosely, Lock(resolved.pins), nobody, frozen, commit_of=nobody) == resolved


@pytest.fixture
def moving(connected: Site, tmp_path: pathlib.Path) -> t.Iterator[t.Callable[..., str]]:
    """Commits to the private module's repository; it's as before when the test ends."""
    bare = re.search(r'url "file://([^"]+)"', (pathlib.Path(connected.environment["HOME"]) / ".gitconfig").read_text())
    assert bare
    work = tmp_path / "work"

    def git(*arguments: str, cwd: t.Any = work) -> str:
        environment = {**connected.shell(), **AUTHOR}
        return subprocess.run(["git", *arguments], cwd=cwd, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def commit(*refspecs: str) -> str:
        if not work.exists():
            git("clone", "--quiet", bare.group(1), str(work), cwd=tmp_path)
        (work / "more.txt").write_text("more\n")
        git("add", "--all")
        git("commit", "--quiet", "--no-gpg-sign", "--message=more")
        git("push", "--quiet", "origin", *refspecs)
        return git("rev-parse", "HEAD")

    yield commit
    git("--git-dir", bare.group(1), "update-ref", "refs/heads/main", COMMIT, cwd=tmp_path)
    git("--git-dir", bare.group(1), "update-ref", "-d", "refs/heads/next", cwd=tmp_path)


def test_a_branch_that_moved_is_seen_with_upgrade_alone(asking: Asking, moving: t.Callable[..., str]) -> None:
    loosely = spec_of(modules=[f"{MODULE}@main"], projects=[{"name": "telemetry", "source": {"git": ADDRESS, "ref": "main"}}])
    lock = Lock(loose.resolve(loosely, None, asking.ask).pins)
    commit = moving("HEAD:main", "HEAD:next")
    assert loose.resolve(loosely, lock, asking.ask).commits == {"telemetry": COMMIT}
    branch = spec_of(modules=[f"{MODULE}@next"], projects=[{"name": "telemetry", "source": {"git": ADDRESS, "ref": "main"}}])
    upgraded = loose.resolve(branch, lock, asking.ask, upgrade=True)
    assert upgraded.commits == {"telemetry": commit}
    # A commit behind a tag has no version of its own: go makes one of its time and its name.
    assert upgraded.pins[f"module {MODULE}@next"] == f"v1.0.1-0.20260102030405-{commit[:12]}"


def test_versions_and_commits_that_cannot_be_had_are_named_together(asking: Asking) -> None:
    loosely = spec_of(
        modules=[f"{TEXT}@v0.99"],
        projects=[{"name": "telemetry", "source": {"git": ADDRESS, "ref": "gone"}}],
        files=[{"git": ADDRESS, "ref": "lost", "dest": "telemetry"}],
    )
    with pytest.raises(FetchFailed) as failed:
        loose.resolve(loosely, None, asking.ask)
    for words in ("v0.99", f"{ADDRESS} at gone", f"{ADDRESS} at lost"):
        assert words in failed.value.message
    assert len(failed.value.details) == 3


def test_a_fetched_module_that_is_not_the_locks_is_refused_and_fetched_anew(asking: Asking) -> None:
    sampler = ("rsc.io/sampler", "v1.3.0")
    for ext in ("mod", "zip"):
        asking.store.ensure(*sampler, ext)
    held = Sums(asking.store.zip(*sampler).h1, asking.store.gomod_h1(*sampler))
    hashcheck.check_sums(asking.store, Lock(modules={sampler: held}).sums(), "the lock", "lock_mismatch")
    other = Lock(modules={sampler: Sums(h1("other"), held.gomod_h1)})
    with pytest.raises(ModuleRefused) as refused:
        hashcheck.check_sums(asking.store, other.sums(), "the lock", "lock_mismatch")
    assert refused.value.code == "lock_mismatch" and "the lock says " + h1("other") in refused.value.message
    assert set(asking.store.files) == {(*sampler, "mod")}


def test_the_lock_of_a_real_generation_fits_its_schema_and_itself(connected: Site) -> None:
    connected.proxy.answers.clear()
    spec = make_spec(modules=[UUID])
    depot = connected.depot()
    config = connected.gather(depot, spec).generation.config  # type: ignore[union-attr]
    lock = locks.from_generation(config, {})
    text = locks.encode(lock).decode()
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / "lock.v1.json").read_text())).validate(json.loads(text))
    assert str(connected.directory) not in text
    module, version = UUID.split("@")
    assert lock.modules[(module, version)].h1.startswith("h1:") and lock.modules[(module, version)].gomod_h1.startswith("h1:")
    assert set(lock.modules) == {(entry["path"], entry["version"]) for entry in config["modules"]}
    again = locks.from_generation(connected.gather(connected.branch(depot), spec).generation.config, {})  # type: ignore[union-attr]
    locks.refuse_drift(lock, again, spec)
    locks.refuse_beyond(lock, again)
    assert difference(lock, again) == []
