# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make what comes with a prebuilt tool: what its own program prints, run without a network, and files of its module.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import typing as t
import zipfile

from .._base.errors import AirgapError, BuildFailed
from .._base.files import copy_stream
from .._base.sandbox import Isolation
from .._depot.generation import Generation
from .._go.escape import proxy_path
from .spec import COMPLETION_COMMAND

_END = 2000


class Maker:
    """For one tool of a generation, ``tool`` being its entry in the config document.

    :param program: the tool, as a file that runs on this machine; it's called as users will call it.
    :param tree: the generation's tree.
    :param scratch: an empty directory, which the isolation's user owns.
    :param timeout: seconds for one run of the program.
    """

    def __init__(
        self, generation: Generation, tool: t.Mapping[str, t.Any], program: str, tree: str, isolation: Isolation, scratch: str, timeout: float
    ) -> None:
        self._generation = generation
        self._tool = tool
        self._program = program
        self._tree = tree
        self._isolation = isolation
        self._scratch = scratch
        self._timeout = timeout
        self._files: dict[str, str] = {}
        self._failures: list[AirgapError] = []

    def make(self) -> dict[str, str]:
        """Each file: its name, as extras.py has it, and where it is, below the scratch directory.

        :raises BuildFailed: the program failed, printed nothing or something that can't be meant, or its module has no such page; all of it is named.
        """
        command = self._tool.get("completion_command") or COMPLETION_COMMAND
        for shell in self._tool.get("completions", ()):
            self._attempt(self._print, f"completions/{shell}", [str(word).replace("{shell}", shell) for word in command])
        if self._tool.get("man_command"):
            self._attempt(self._print, f"man/{os.path.basename(self._program)}.1", self._tool["man_command"])
        for page in self._tool.get("man", ()):
            self._attempt(self._take_out, f"man/{os.path.basename(page)}", page)
        if self._failures:
            first = self._failures[0]
            raise BuildFailed(
                f"tool {self._tool['package']}@{self._tool['version']}: {'; '.join(failure.message for failure in self._failures)}",
                subject=str(self._tool["package"]),
                found=first.found,
                hint="the generation stays unsealed: mend completions and man of this tool in the spec, and gather again",
                details=[failure.failure() for failure in self._failures],
            )
        return self._files

    def _attempt(self, step: t.Callable[[str, t.Any], None], name: str, what: t.Any) -> None:
        """Whatever fails, the others are tried too."""
        try:
            step(name, what)
        except AirgapError as exc:
            self._failures.append(exc)

    def _place(self, name: str) -> str:
        path = os.path.join(self._scratch, "made", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _print(self, name: str, arguments: t.Sequence[str]) -> None:
        command = " ".join([os.path.basename(self._program), *arguments])
        home = os.path.join(self._scratch, "home")
        os.makedirs(home, exist_ok=True)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TMPDIR": home}
        finished = self._isolation.run([self._program, *arguments], environment, home, self._timeout)
        said = finished.stderr.strip()[-_END:]
        if finished.status != 0:
            ending = f"was ended by signal {-finished.status}" if finished.status < 0 else f"failed with status {finished.status}"
            said = said or finished.stdout.strip()[-_END:]
            raise BuildFailed(f"'{command}' {ending}: {said}", subject=command, expected="0", found=said)
        if not finished.stdout.strip():
            raise BuildFailed(f"'{command}' printed nothing" + (f" but, to stderr: {said}" if said else ""), subject=command, found=said)
        # Where this machine has things is nobody's business, and hosts have them elsewhere.
        here = (self._scratch, os.path.dirname(self._program))
        for wrong, why in (("\ufffd", "printed what isn't UTF-8"), *((path, "printed a path that it has only here") for path in here)):
            if wrong in finished.stdout:
                raise BuildFailed(f"'{command}' {why}", subject=command, found=finished.stdout[-_END:])
        with open(self._place(name), "w", encoding="utf-8", newline="") as stream:
            stream.write(finished.stdout)
        self._files[name] = self._place(name)

    def _take_out(self, name: str, page: str) -> None:
        module, version = self._module(), str(self._tool["version"])
        path = os.path.join(self._tree, "proxy", proxy_path(module, version, "zip"))
        with zipfile.ZipFile(path) as archive:
            try:
                reader = archive.open(f"{module}@{version}/{page}")
            except KeyError:
                raise BuildFailed(f"{module}@{version} has no file {page}", subject=page, expected=f"a path in {module}", found="nothing") from None
            with reader, open(self._place(name), "wb") as writer:
                copy_stream(reader, writer)
        self._files[name] = self._place(name)

    def _module(self) -> str:
        """The module that has the package: the longest of those at the tool's version that its path begins with."""
        package = f"{self._tool['package']}/"
        return max(
            (
                str(module["path"])
                for module in self._generation.config["modules"]
                if module["zip"] and module["version"] == self._tool["version"] and package.startswith(f"{module['path']}/")
            ),
            key=len,
        )
