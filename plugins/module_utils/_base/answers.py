# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module's main() answers: whatever goes wrong becomes one sentence and a structured ``failure``.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import typing as t

from .errors import AirgapError
from .progress import Reporter, to_file


class Answering(t.Protocol):
    """What we need of AnsibleModule."""

    params: t.Mapping[str, t.Any]

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn: ...


@contextlib.contextmanager
def failing(module: Answering) -> t.Iterator[None]:
    """Turn refusals, and what the operating system refuses, into fail_json; a bug stays a traceback."""
    # Directories that others must be able to read are made below; a private umask would hide them.
    os.umask(0o022)
    try:
        yield
    except AirgapError as exc:
        module.fail_json(msg=exc.sentence(), failure=exc.failure())
    except OSError as exc:
        error = refused_by_system(exc)
        module.fail_json(msg=error.sentence(), failure=error.failure())


#: What to do about what the operating system refuses, by errno.
_NEXT_STEPS = {
    errno.ENOENT: "look whether that path is right (a relative one begins where ansible-playbook was started) and still there, and run it again",
    errno.ENOSPC: "make room on that file system and run it again; nothing half-made is in use",
    errno.EDQUOT: "raise that account's quota or make room, and run it again; nothing half-made is in use",
    errno.EROFS: "mount that file system writable (after an error the kernel makes it read-only: see dmesg), and run it again",
    errno.EACCES: "look at that path's owner and mode, and at what SELinux or AppArmor has refused (ausearch -m avc); or use become; then run it again",
    errno.EPERM: "look at that path's owner and attributes (lsattr), and use become where it isn't ours; then run it again",
    errno.EIO: "the disk or its controller fails: see dmesg; replace it, and run it again",
}


def refused_by_system(exc: OSError) -> AirgapError:
    """What the operating system refuses, as a refusal of ours."""
    subject = str(exc.filename or "")
    hint = _NEXT_STEPS.get(exc.errno or 0, "")
    return AirgapError(f"{subject or 'the operating system'}: {exc.strerror or exc}", code="os_error", subject=subject, found=str(exc), hint=hint)


def reporter(module: Answering) -> Reporter:
    """Progress goes to the module's ``progress_file``, which the control node follows."""
    path = module.params.get("progress_file")
    return Reporter(to_file(str(path)) if path else None)
