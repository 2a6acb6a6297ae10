# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's half of airgap.golang.preflight: the list, the generation that is to come, and whether there's a Python to ask with."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import time
import typing as t

import yaml
from ansible.plugins.action import ActionBase

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError
from ansible_collections.airgap.golang.plugins.module_utils.deliver import offer

PREREQUISITES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "meta", "prerequisites.yml")

# Each line: a path and its version; what isn't Python, or is older than 2.7, gives none.
_PROBE = 'for p in {names}; do "$p" -c \'import sys; print("python " + sys.executable + " %d.%d.%d" % sys.version_info[:3])\' 2>/dev/null; done; true'
_ANSWER = re.compile(r"^python (\S+) (\d+)\.(\d+)\.(\d+)\s*$", re.MULTILINE)

# What Ansible would find by itself, and a little more for a host that has none of these.
_USUAL = ("python3", "/usr/bin/python3", "/usr/libexec/platform-python", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9", "python3.8")


class ActionModule(ActionBase):
    """See the module."""

    TRANSFERS_FILES = False

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[dict[str, t.Any]] = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        with open(PREREQUISITES, encoding="utf-8") as stream:
            prerequisites = yaml.safe_load(stream)["prerequisites"]
        place = self._task.args.get("place") or "host"
        arguments = {**self._task.args, "prerequisites": prerequisites, "now": time.time()}
        findings = self._of_python(prerequisites, place, variables)
        if not findings:
            if place == "host":
                findings += self._offer(arguments)
            else:
                # As ansible-playbook was started somewhere, so relative paths are meant.
                for name in ("depot", "dest", "go_binary"):
                    if arguments.get(name):
                        arguments[name] = os.path.abspath(os.path.expanduser(os.path.expandvars(arguments[name])))
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            for name in ("request", "prerequisites"):
                result.get("invocation", {}).get("module_args", {}).pop(name, None)
        result["findings"] = sorted([*findings, *result.get("findings", [])], key=lambda finding: finding["level"] != "error")
        errors = [finding for finding in result["findings"] if finding["level"] == "error"]
        if errors and not result.get("failed"):
            lines = [f"{finding['name']}: needed is {finding['needed']}, found was {finding['found']}. {_advice(finding)}" for finding in errors]
            result.update(
                failed=True,
                msg=f"{len(errors)} thing{'s are' if len(errors) > 1 else ' is'} missing here.\n" + "\n".join(lines),
                failure={
                    "code": "prerequisites_missing",
                    "subject": ", ".join(finding["name"] for finding in errors),
                    "expected": errors[0]["needed"],
                    "found": errors[0]["found"],
                    "hint": errors[0]["hint"],
                    "details": errors,
                },
            )
        return result

    def _of_python(self, prerequisites: list[dict[str, t.Any]], place: str, variables: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        """With a Python that is too old, Ansible's modules end in a traceback; so it's asked first, by the shell alone."""
        (entry,) = (entry for entry in prerequisites if "python" in entry["check"] and place in entry["places"])
        minimum = tuple(int(number) for number in entry["check"]["python"].split("."))
        given = self._templar.template(variables.get("ansible_python_interpreter") or "")
        names = [given] if given and not given.startswith("auto") else list(_USUAL)
        answer = self._low_level_execute_command(_PROBE.format(names=" ".join(map(shlex.quote, names))), sudoable=False)
        found = {path: tuple(map(int, version)) for path, *version in _ANSWER.findall(str(answer.get("stdout", "")))}
        if any(version >= minimum for version in found.values()) or (not found and answer.get("rc", 0) != 0):
            return []
        packages = entry.get("packages", {})
        install = entry.get("hint") or " or ".join(f"{_INSTALL[family]} {' '.join(names)}" for family, names in packages.items())
        if given and not given.startswith("auto"):
            install = "let ansible_python_interpreter name another" + f", or {install}"
        shown = ", ".join(f"{path} {'.'.join(map(str, version))}" for path, version in found.items())
        return [
            {
                "name": entry["name"],
                "needed": f"Python {entry['check']['python']} or newer",
                "found": shown or f"none ({', '.join(names)})",
                "why": entry["reason"] + " Without it, nothing else could be looked at.",
                "hint": install,
                "level": "error",
            }
        ]

    def _offer(self, arguments: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        """Add the generation that is to come; what is wrong with the depot is a finding, and the host is looked at all the same."""
        path = str(arguments.get("depot") or "")
        if not path:
            return []
        try:
            depot, request = offer(path, arguments.get("generation"))
            generation = depot.generation(next(ref for ref in depot.index() if str(ref) == request.ref))
            documents = (depot.blobs.read(digest).decode() for digest in (generation.digest, generation.manifest.config))
            request = dataclasses.replace(request, **dict(zip(("manifest", "config"), documents)))
        except AirgapError as exc:
            why = "It has what is to come to the host."
            return [{"name": "depot", "needed": "a sealed generation", "found": exc.message, "why": why, "hint": exc.hint, "level": "error"}]
        arguments["request"] = request.pack()
        return []


_INSTALL = {"debian": "apt-get install", "redhat": "dnf install"}


def _advice(finding: dict[str, t.Any]) -> str:
    return f"{finding['why']} To do: {finding['hint']}." if finding["hint"] else str(finding["why"])
