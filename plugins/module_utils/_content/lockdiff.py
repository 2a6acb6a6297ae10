# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference between two locks, in words: added, removed, moved up or down, with licence and advisories where known.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._go.proxytree import semver_key
from .._go.toolchain import MODULE, version_key
from .lock import TOOLCHAIN, Lock

#: (module, version) to the licence's SPDX identifier, or to "" where it isn't known.
Licence = t.Callable[[str, str], str]

#: (module, version) to the identifiers of the advisories that affect it. A toolchain's module is TOOLCHAIN, its version like 1.26.8.
Advisories = t.Callable[[str, str], t.Collection[str]]


def no_licence(module: str, version: str) -> str:
    return ""


def no_advisories(module: str, version: str) -> t.Collection[str]:
    return ()


@dataclasses.dataclass(frozen=True)
class Change:
    """One difference.

    ``kind``: added, removed, moved_up, moved_down, or changed (the same name, another hash, commit or meaning). ``what``: module, gomod,
    toolchain, project, file or pin. ``old``, ``new``: versions, commits or hashes. ``beside``: other versions of the same path that are in the new
    lock. ``count``: how many it stands for (gomod alone). ``fixes``, ``brings``: advisories that no longer, or only now, affect what is carried.
    """

    kind: str
    what: str
    name: str
    old: str = ""
    new: str = ""
    beside: tuple[str, ...] = ()
    count: int = 1
    licence: str = ""
    old_licence: str = ""
    fixes: tuple[str, ...] = ()
    brings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, t.Any]:
        document = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in document.items()}


def difference(old: Lock, new: Lock, licence: Licence = no_licence, advisories: Advisories = no_advisories) -> list[Change]:
    """What is in ``new`` and was otherwise in ``old``, in a fixed order. Callables are asked about what changed only."""
    before, after = _carried(old), _carried(new)
    changes: list[Change] = []
    for module in sorted(set(before) | set(after)):
        went, came = before.get(module, set()), after.get(module, set())
        changes += _moves("module", module, went, came, semver_key, licence, functools.partial(advisories, module))
    changes += _rehashed(old, new)
    changes += _gomods(old, new)
    before, after = _by_platform(old), _by_platform(new)
    for platform in sorted(set(before) | set(after)):
        went, came = before.get(platform, set()), after.get(platform, set())
        changes += _moves("toolchain", platform, went, came, version_key, no_licence, functools.partial(advisories, TOOLCHAIN))
    changes += _entries("project", _origins(old), _origins(new))
    changes += _entries("file", old.files, new.files)
    changes += _entries("pin", old.pins, new.pins)
    return changes


def words(changes: t.Iterable[Change]) -> list[str]:
    """One line for each change."""
    return [_sentence(change) for change in changes]


def _carried(lock: Lock) -> dict[str, set[str]]:
    """The versions with a zip, by module; toolchains are told apart."""
    carried: dict[str, set[str]] = {}
    for (module, version), sums in lock.modules.items():
        if sums.h1 and module != MODULE:
            carried.setdefault(module, set()).add(version)
    return carried


def _by_platform(lock: Lock) -> dict[str, set[str]]:
    releases: dict[str, set[str]] = {}
    for version, platform in lock.toolchains:
        releases.setdefault(platform, set()).add(version)
    return releases


def _moves(
    what: str,
    name: str,
    old: set[str],
    new: set[str],
    key: t.Callable[[str], t.Any],
    licence: Licence,
    advisories: t.Callable[[str], t.Collection[str]],
) -> t.Iterator[Change]:
    """The changes of one path. Where several versions are carried side by side, the highest that went is told with the highest that came."""
    if old == new:
        return

    def order(version: str) -> tuple[t.Any, str]:
        # By the text too, where two have the same precedence: +incompatible.
        return key(version), version

    went = sorted(old - new, key=order, reverse=True)
    came = sorted(new - old, key=order, reverse=True)
    affected = {version: frozenset(advisories(version)) for version in old | new}
    before = frozenset().union(*(affected[version] for version in old))
    after = frozenset().union(*(affected[version] for version in new))
    for index in range(max(len(went), len(came))):
        gone = went[index] if index < len(went) else ""
        here = came[index] if index < len(came) else ""
        kind = "added" if not gone else "removed" if not here else "moved_up" if order(here) > order(gone) else "moved_down"
        yield Change(
            kind,
            what,
            name,
            gone,
            here,
            tuple(sorted(new - {here}, key=order)),
            licence=licence(name, here) if here else "",
            old_licence=licence(name, gone) if gone else "",
            fixes=tuple(sorted(affected[gone] - after)) if gone else (),
            brings=tuple(sorted(affected[here] - before)) if here else (),
        )


def _rehashed(old: Lock, new: Lock) -> t.Iterator[Change]:
    before, after = old.sums(), new.sums()
    for module, version in sorted(set(before) & set(after)):
        if before[(module, version)] != after[(module, version)]:
            yield Change("changed", "module", f"{module}@{version}", before[(module, version)], after[(module, version)])


def _gomods(old: Lock, new: Lock) -> t.Iterator[Change]:
    """How many versions of which go.mod alone is carried came and went: nobody reads hundreds of lines about them."""
    before = {version for version, sums in old.modules.items() if not sums.h1}
    after = {version for version, sums in new.modules.items() if not sums.h1}
    for kind, versions in (("added", after - set(old.modules)), ("removed", before - set(new.modules))):
        if versions:
            yield Change(kind, "gomod", "go.mod files alone", count=len(versions))


def _origins(lock: Lock) -> dict[str, str]:
    """What each project is exactly: a commit, a version, a digest."""
    return {name: entry.get("commit") or entry.get("version") or entry.get("digest") or "a directory" for name, entry in lock.projects.items()}


def _entries(what: str, old: t.Mapping[str, str], new: t.Mapping[str, str]) -> t.Iterator[Change]:
    for name in sorted(set(old) | set(new)):
        if old.get(name) != new.get(name):
            yield Change("added" if name not in old else "removed" if name not in new else "changed", what, name, old.get(name, ""), new.get(name, ""))


def _sentence(change: Change) -> str:
    verb = change.kind.replace("_", " ")
    if change.what == "gomod":
        return f"{verb} {change.count} module version{'s' if change.count > 1 else ''} as go.mod alone"
    if change.what == "pin":
        old, new = _short(change.old), _short(change.new)
        return {"added": f"pinned {change.name} at {new}", "removed": f"no longer pinned {change.name} (was {old})"}.get(
            change.kind, f"pinned {change.name} at {new}, was {old}"
        )
    if change.what == "module" and change.kind == "changed":
        return f"changed {change.name}: the same version has another hash, {change.new} in place of {change.old}"
    name = change.name if change.what == "module" else f"{change.what} {change.name}"
    at = " → ".join(_short(version) for version in (change.old, change.new) if version)
    if change.what == "toolchain":
        name, at = "toolchain", f"{' → '.join('go' + version for version in (change.old, change.new) if version)} for {change.name}"
        change = dataclasses.replace(change, beside=tuple("go" + version for version in change.beside))
    return f"{verb} {name} {at}" + _remarks(change)


def _remarks(change: Change) -> str:
    licence = change.licence or change.old_licence
    if change.kind.startswith("moved") and change.old_licence and change.licence != change.old_licence:
        licence = f"{change.licence or 'unknown'}, was {change.old_licence}"
    said = f" ({licence})" if licence else ""
    # A move says enough; what came or went alone is easily taken for the only one.
    if change.beside and change.kind in ("added", "removed"):
        said += f", {'beside' if change.kind == 'added' else 'leaves'} {', '.join(change.beside)}"
    if change.fixes:
        said += f", fixes {', '.join(change.fixes)}"
    if change.brings:
        said += f", brings {', '.join(change.brings)}"
    return said


def _short(text: str) -> str:
    """Commits and hashes as people know them; versions whole."""
    return text[:12] if len(text) in (40, 64) and all(character in "0123456789abcdef" for character in text) else text
