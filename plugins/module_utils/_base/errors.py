# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that crosses room borders, and how it turns into a module's answer.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import typing as t


class AirgapError(Exception):
    """A refusal or a failure that a person has to act on.

    ``code`` is stable and machine-readable (snake_case), ``subject`` names the thing (a path, a module, a blob),
    ``expected``/``found`` are the two sides of a mismatch, ``hint`` is the next step. ``details`` carries one entry
    for each thing when several failed together, so that nobody has to mend them one run at a time.
    """

    code = "failed"

    def __init__(
        self,
        message: str,
        *,
        subject: str = "",
        expected: str = "",
        found: str = "",
        hint: str = "",
        code: str = "",
        details: t.Optional[t.Sequence[t.Mapping[str, t.Any]]] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.expected = expected
        self.found = found
        self.hint = hint
        if code:
            self.code = code
        self.details = [dict(entry) for entry in details or ()]

    def failure(self) -> dict[str, t.Any]:
        """The structured half of fail_json: ``{code, subject, expected, found, hint, details}``."""
        return {
            "code": self.code,
            "subject": self.subject,
            "expected": self.expected,
            "found": self.found,
            "hint": self.hint,
            "details": self.details,
        }

    def sentence(self) -> str:
        """The human half: what happened, and the next step where there is one."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class SpecInvalid(AirgapError):
    """What the user asked for can't be meant: a bad spec, option or variable."""

    code = "spec_invalid"


class ToolMissing(AirgapError):
    """A program or library that the work needs isn't here."""

    code = "tool_missing"


class CommandFailed(AirgapError):
    """A program ran and reported failure; ``found`` is the end of its stderr."""

    code = "command_failed"


class FetchFailed(AirgapError):
    """Something could not be had from the network; ``details`` names each thing."""

    code = "fetch_failed"


class ModuleRefused(AirgapError):
    """A module's hash is not what go.sum or the checksum database says."""

    code = "module_refused"


class ProjectDirty(AirgapError):
    """A project's go.mod or go.sum is not what the go command would write."""

    code = "project_dirty"


class DepotDamaged(AirgapError):
    """A depot's own files are not what its manifests say."""

    code = "depot_damaged"


class BundleDamaged(AirgapError):
    """A bundle's bytes are not what they must be."""

    code = "bundle_damaged"


class SignatureRefused(AirgapError):
    """A bundle isn't signed, or not by somebody who is allowed to."""

    code = "signature_refused"


class NotSealed(AirgapError):
    """A generation without its proof was asked to travel."""

    code = "not_sealed"


class BuildFailed(AirgapError):
    """A build failed, or gave another binary than the rehearsal's."""

    code = "build_failed"


class HostRefused(AirgapError):
    """A host can't take what it was given: space, platform, state."""

    code = "host_refused"
