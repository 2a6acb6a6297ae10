# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a spec leaves open (``latest``, branches, tags, version ranges), made exact: by the lock's pins, else by asking.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
import typing as t

from .._base.errors import AirgapError, FetchFailed, ModuleRefused, SpecInvalid
from .._go import source
from .._go.escape import is_exact
from .._go.queries import Question
from .lock import TOOLCHAIN, Lock, address
from .spec import CarriedFile, LooseModule, Project, Spec, Tool

#: Answers version queries, all at once: question to exact version. FetchFailed names those that have no answer.
Ask = t.Callable[[t.Sequence[Question]], t.Mapping[Question, str]]

#: The commit that a git address and a ref mean now.
CommitOf = t.Callable[[str, str], str]

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A spec in which every version is exact.

    ``spec``: refs stay in it as they are. ``commits``: what they mean, by project name; ``file_commits``: by a file's dest, where
    it could be told.
    ``pins``: what each loose thing of the spec means, for the lock.
    """

    spec: Spec
    commits: t.Mapping[str, str]
    file_commits: t.Mapping[str, str]
    pins: t.Mapping[str, str]


def resolve(spec: Spec, lock: t.Optional[Lock], ask: Ask, frozen: bool = False, upgrade: bool = False, commit_of: CommitOf = source.git_commit) -> Resolved:
    """Make a spec exact. What is exact stays; a pin of the lock is used unless ``upgrade``; the rest is asked.

    When the lock pins everything, nothing is asked, and so the network isn't needed.

    :param frozen: refuse to ask.
    :raises FetchFailed: versions or commits can't be had; all of them are in ``details``.
    :raises ModuleRefused: ``lock_frozen``: what the lock doesn't pin; all of it is in ``details``.
    :raises SpecInvalid: frozen and upgrade at once.
    """
    if frozen and upgrade:
        raise SpecInvalid(
            "frozen and upgrade contradict each other", subject="frozen", hint="upgrade on a developer's side, commit the lock, and let CI be frozen"
        )
    queries = _queries(spec)
    refs = _refs(spec)
    known = dict(lock.pins) if lock else {}
    used = {} if upgrade else {name: known[name] for name in (*queries, *refs) if name in known}
    if frozen:
        _refuse_unpinned([name for name in (*queries, *refs) if name not in used], lock)
    pins = {**used, **_answers(queries, refs, known, used, ask, commit_of)}
    return Resolved(
        dataclasses.replace(
            spec,
            projects=tuple(
                dataclasses.replace(project, version=pins.get(project_pin(project), project.version)) if project.module else project
                for project in spec.projects
            ),
            modules=tuple(dict.fromkeys(dataclasses.replace(module, version=pins.get(module_pin(module), module.version)) for module in spec.modules)),
            tools=tuple(dict.fromkeys(dataclasses.replace(tool, version=pins.get(tool_pin(tool), tool.version)) for tool in spec.tools)),
        ),
        {project.name: pins.get(project_pin(project), project.ref) for project in spec.projects if project.git},
        {file.dest: pins.get(file_pin(file), file.ref) for file in spec.files if file_pin(file) in pins or _COMMIT.fullmatch(file.ref)},
        pins,
    )


def own_release(lock: t.Optional[Lock], version: str, upgrade: bool) -> str:
    """The Go release of those who ask for none: the go command's own, ``version``, so that without a pin another machine would have another."""
    return version if upgrade or lock is None else lock.pins.get(TOOLCHAIN, version)


def own_toolchain(spec: Spec, asked: t.Mapping[str, str], lock: t.Optional[Lock], version: str, upgrade: bool = False) -> tuple[str, dict[str, str]]:
    """The Go release that those get who ask for none, where the spec names none either: (version, pins), without pins where nobody needs it.

    :param asked: label to the version that its go.mod asks for, "" for any.
    :param version: the go command's own.
    """
    # toolchain.to_carry's rule: where there are projects, they decide.
    deciding = [each for label, each in asked.items() if label.startswith("project ")] or list(asked.values())
    if spec.toolchains or all(deciding):
        return version, {}
    chosen = own_release(lock, version, upgrade)
    return chosen, {TOOLCHAIN: chosen}


# What a pin is called. The query is part of it: another query is another question.


def module_pin(module: LooseModule) -> str:
    return f"module {module.path}@{module.version}"


def tool_pin(tool: Tool) -> str:
    return f"tool {tool.package}@{tool.version}"


def project_pin(project: Project) -> str:
    """A project's that is a module or in git."""
    if project.git:
        return f"project {project.name} {address(project.git)} at {project.ref}"
    return f"project {project.name} {project.module}@{project.version}"


def file_pin(file: CarriedFile) -> str:
    return f"file {file.dest} {address(file.source)} at {file.ref}"


def _queries(spec: Spec) -> dict[str, Question]:
    """The loose versions, by their pins' names."""
    queries = {module_pin(module): Question("either", module.path, module.version) for module in spec.modules if not is_exact(module.version)}
    queries.update((tool_pin(tool), Question("package", tool.package, tool.version)) for tool in spec.tools if not is_exact(tool.version))
    for project in spec.projects:
        if project.module and not is_exact(project.version):
            queries[project_pin(project)] = Question("module", project.module, project.version)
    return queries


def _refs(spec: Spec) -> dict[str, tuple[str, str]]:
    """The (address, ref) that aren't commits already, by their pins' names."""
    refs = {project_pin(project): (project.git, project.ref) for project in spec.projects if project.git}
    refs.update((file_pin(file), (file.source, file.ref)) for file in spec.files if file.ref)
    return {name: at for name, at in refs.items() if not _COMMIT.fullmatch(at[1])}


def _answers(
    queries: t.Mapping[str, Question],
    refs: t.Mapping[str, tuple[str, str]],
    known: t.Mapping[str, str],
    used: t.Mapping[str, str],
    ask: Ask,
    commit_of: CommitOf,
) -> dict[str, str]:
    """What those mean now that no pin was used for; what fails is told together."""
    failures: list[AirgapError] = []
    resources: list[AirgapError] = []
    asked = {name: dataclasses.replace(question, base=known.get(name, "")) for name, question in queries.items() if name not in used}
    wanted = {name: at for name, at in refs.items() if name not in used}
    answers: dict[str, str] = {}
    # Not at the same time: to ask may fork, which isn't done beside threads.
    if asked:
        try:
            told = ask(sorted(set(asked.values())))
            answers.update((name, told[question]) for name, question in asked.items())
        except FetchFailed as exc:
            failures.append(exc)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        commits = {at: pool.submit(commit_of, *at) for at in set(wanted.values())}
        for at in sorted(commits):
            try:
                commit = commits[at].result()
                answers.update((name, commit) for name, wish in wanted.items() if wish == at)
            except FetchFailed as exc:
                asking = any(wish == at and name.startswith("project ") for name, wish in wanted.items())
                (failures if asking else resources).append(exc)
    # Resources alone don't end it here: they are told with all other resources that can't be had, when all was tried.
    if failures:
        raise _together([*failures, *resources])
    return answers


def _together(failures: t.Sequence[AirgapError]) -> FetchFailed:
    if len(failures) == 1 and isinstance(failures[0], FetchFailed):
        return failures[0]
    details: list[t.Mapping[str, t.Any]] = []
    for failure in failures:
        details += failure.details or [{"what": failure.subject, "said": failure.found or failure.message}]
    return FetchFailed(
        "; ".join(failure.message for failure in failures),
        subject=", ".join(failure.subject for failure in failures),
        found=failures[0].found,
        hint="; ".join(dict.fromkeys(failure.hint for failure in failures if failure.hint)),
        details=details,
    )


def _refuse_unpinned(names: t.Sequence[str], lock: t.Optional[Lock]) -> None:
    if names:
        why = "the lock doesn't pin" if lock else "there is no lock, and frozen, so nothing pins"
        raise ModuleRefused(
            f"{why} {', '.join(names)}",
            code="lock_frozen",
            subject=", ".join(names),
            expected="a pin for each loose version, branch and tag",
            found="none",
            hint="gather once without frozen, look at the lock's difference, and commit it",
            details=[{"what": name, "why": "not in the lock", "expected": "", "found": ""} for name in names],
        )
