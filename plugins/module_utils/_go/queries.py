# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What version queries (``latest``, ``v1.2``, ``<v1.5.0``, a branch) mean now: the go command's own answers.

https://go.dev/ref/mod#version-queries. A package's module is found as ``go install package@query`` finds it
(cmd/go/internal/modload, QueryPattern): the longest prefix of its path that is a module and has the package at that version.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
import typing as t

from .._base.errors import CommandFailed, FetchFailed
from .._base.urls import scrub
from .closure import Run, possible_modules
from .command import GoCommand, json_stream
from .escape import matches_major
from .store import Version

# Queries that mean "not lower than what is in force now".
_RELATIVE = ("upgrade", "patch")

# What go takes for "no such module here", so that a shorter prefix of a package's path may have it.
_ABSENT = re.compile(r"\b404 Not Found|\b410 Gone|no matching versions for query|invalid version|malformed module path|no existing version is required")

# The recording proxy's address, which nobody can use once the answer is read.
_LOOPBACK = re.compile(r"http://127\.0\.0\.1:[0-9]+/[^/\s]+/")

_FLAGS = {"GOFLAGS": "-mod=mod -modcacherw"}


@dataclasses.dataclass(frozen=True, order=True)
class Question:
    """``kind``: module, package, or either (which of the two the path is isn't known). ``base``: the version in force now, which
    ``upgrade`` and ``patch`` start from; "" for none."""

    kind: str
    path: str
    query: str
    base: str = ""

    def __str__(self) -> str:
        return f"{'package' if self.kind == 'package' else 'module'} {self.path}@{self.query}"


def answer(questions: t.Iterable[Question], go: GoCommand, run: Run, scratch: str) -> dict[Question, Version]:
    """(module, exact version) for each question.

    It takes as many go commands as the longest path of a package has elements, however many questions there are. Retracted and excluded
    versions are left out as go leaves them out.

    :param scratch: a directory for empty modules of our own; made if it isn't there.
    :raises FetchFailed: some could not be answered; each of them is in ``details``, with why.
    """
    os.makedirs(scratch, exist_ok=True)
    inquiry = _Inquiry(go, run, scratch)
    # Each question with the paths that may be its module's, the longest first.
    waiting = {question: _candidates(question) for question in questions}
    answers: dict[Question, Version] = {}
    failures: dict[Question, str] = {}
    said: dict[Question, str] = {}
    elsewhere: dict[Question, str] = {}
    while waiting:
        asked = {question: paths.pop(0) for question, paths in waiting.items() if paths}
        told = inquiry.versions({question: _at(question, path) for question, path in asked.items()})
        found = {question: (asked[question], version) for question, (version, _error) in told.items() if version}
        lacking = inquiry.lacking({question: version for question, version in found.items() if question.kind == "package"})
        for question in list(waiting):
            version, error = told.get(question, ("", ""))
            if question in found and question in lacking:
                error = lacking[question]
            elif version:
                answers[question] = found[question]
                del waiting[question]
                continue
            if question in lacking:
                elsewhere.setdefault(question, error)
            # As go: once a module was found, shorter paths' refusals don't count.
            absent = question in elsewhere or not error or _ABSENT.search(error) is not None
            said.setdefault(question, error or "no prefix of its path can be a module's")
            if not absent or not waiting[question]:
                # Of several refusals a module without the package tells most, then the one about the longest path.
                failures[question] = elsewhere.get(question) or (said[question] if absent else error)
                del waiting[question]
    if failures:
        raise _unanswered(failures)
    return answers


def _at(question: Question, path: str) -> Question:
    """The same question of one module."""
    base = question.base if question.query in _RELATIVE and question.base and matches_major(path, question.base) else ""
    # Without a base, go get takes upgrade for latest.
    return Question("module", path, "latest" if question.query == "upgrade" and not base else question.query, base)


def _candidates(question: Question) -> list[str]:
    """The paths that may be the module's; for ``either`` too, since a path that is a module's is the first of them."""
    if question.kind == "module":
        return [question.path]
    return possible_modules(question.path)


class _Inquiry:
    def __init__(self, go: GoCommand, run: Run, scratch: str) -> None:
        self._go = go
        self._run = run
        self._scratch = scratch
        self._write_module(scratch, {})

    def _write_module(self, directory: str, required: t.Mapping[str, str]) -> None:
        """An empty module: go would otherwise look for a go.mod in the directories above."""
        lines = "".join(f"require {path} {version}\n" for path, version in required.items())
        with open(os.path.join(directory, "go.mod"), "w", encoding="utf-8") as stream:
            stream.write(f"module airgap.invalid/query\n\ngo {self._go.version}\n\n{lines}")

    def versions(self, questions: t.Mapping[Question, Question]) -> dict[Question, tuple[str, str]]:
        """For each question, asked of one module: (exact version, "") or ("", why not)."""
        told: dict[Question, tuple[str, str]] = {}
        rest = dict(questions)
        while rest:
            bases: dict[str, str] = {}
            batch = {}
            for asker, question in list(rest.items()):
                if question.query == "patch" and not question.base:
                    told[asker] = ("", 'no existing version is required: "patch" needs a version to start from')
                    del rest[asker]
                # One go.mod can require one version of a module.
                elif not question.base or bases.setdefault(question.path, question.base) == question.base:
                    batch[asker] = question
                    del rest[asker]
            if batch:
                distinct = list(dict.fromkeys(batch.values()))
                answers = dict(zip(distinct, self._list(distinct, bases)))
                told.update((asker, answers[question]) for asker, question in batch.items())
        return told

    def _list(self, questions: t.Sequence[Question], bases: t.Mapping[str, str]) -> list[tuple[str, str]]:
        directory = tempfile.mkdtemp(prefix="query-", dir=self._scratch)
        self._write_module(directory, bases)
        arguments = [f"{question.path}@{question.query}" for question in questions]
        listed = list(json_stream(self._run(["list", "-m", "-e", "-json=Path,Version,Error", "--", *arguments], directory, _FLAGS).stdout))
        if [module["Path"] for module in listed] != [question.path for question in questions]:
            raise CommandFailed("go list -m didn't answer what it was asked", subject="go list -m", expected=" ".join(arguments), found=str(listed)[:2000])
        return [("", _plain(module["Error"]["Err"])) if module.get("Error") else (str(module["Version"]), "") for module in listed]

    def lacking(self, found: t.Mapping[Question, Version]) -> dict[Question, str]:
        """Those questions whose package isn't in the module that was found, and the words for it.

        The modules are downloaded for it, as ``go install`` downloads them; a tool's module is needed anyway.
        """
        lacking: dict[Question, str] = {}
        places = self._download(sorted(set(found.values())))
        for question, (module, version) in found.items():
            directory = os.path.join(places[(module, version)], question.path[len(module) + 1 :])
            if not os.path.isdir(directory) or not any(name.endswith(".go") for name in os.listdir(directory)):
                lacking[question] = f"module {module}@{version} has no package {question.path}"
        return lacking

    def _download(self, versions: t.Sequence[Version]) -> dict[Version, str]:
        """Where each version's files are.

        :raises FetchFailed: some can't be had; all of them are named.
        """
        if not versions:
            return {}

        def download(some: t.Sequence[Version]) -> dict[Version, str]:
            answered = self._run(["mod", "download", "-json", "--", *(f"{module}@{version}" for module, version in some)], self._scratch, _FLAGS)
            return {(str(module["Path"]), str(module["Version"])): str(module["Dir"]) for module in json_stream(answered.stdout)}

        try:
            return download(versions)
        except CommandFailed:
            places: dict[Version, str] = {}
            failures: dict[Question, str] = {}
            for module, version in versions:
                try:
                    places.update(download([(module, version)]))
                except CommandFailed as exc:
                    failures[Question("module", module, version)] = _download_error(exc)
            if failures:
                raise _unanswered(failures) from None
            return places


def _download_error(failure: CommandFailed) -> str:
    """go says on standard output why a download failed, as JSON."""
    try:
        (module,) = json_stream(str(failure.details[0]["stdout"]))
        return _plain(str(module["Error"]))
    except (IndexError, KeyError, ValueError, CommandFailed):
        return failure.found or failure.message


def _plain(error: str) -> str:
    return scrub(_LOOPBACK.sub("", error))


def _unanswered(failures: t.Mapping[Question, str]) -> FetchFailed:
    details = [{"what": str(question), "path": question.path, "query": question.query, "said": why} for question, why in sorted(failures.items())]
    lines = "; ".join(f"{entry['what']}: {entry['said']}" for entry in details)
    return FetchFailed(
        f"{len(details)} loose version{'s' if len(details) > 1 else ''} can't be resolved: {lines}",
        subject=", ".join(entry["what"] for entry in details),
        found=details[0]["said"],
        hint="check the path and the query (go list -m -versions PATH lists what there is), or write an exact version",
        details=details,
    )
