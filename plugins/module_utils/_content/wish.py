# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is to have: what is asked for now, merged with what it has already, out of one generation.

The outcome, a host's state, is the document state.json in each of its generation directories.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._base.errors import HostRefused, SpecInvalid
from .._depot.generation import Generation
from .._go import envnames, toolchain
from .._go.envfile import EnvFile
from .carried import PARTS
from .extras import carried_extras, placed

_NO_MODE_OF_ALL = "Go keeps the telemetry mode for each user, so it's a setting of the scope user; Go's default, local, sends nothing"


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a host shall have.

    ``parts``: those that are asked for now; parts that the host has already stay, and move along to the same generation.
    ``toolchain``: a Go version, "" for the newest carried. ``goenv``: the lines of go.env. ``projects``: names, None for
    all. ``link_dir``: where ``go`` and ``gofmt`` get their links ("" for nowhere). ``tools``: names of prebuilt tools, None
    for all; ``tools_dir``: where those get their links ("" for nowhere); ``extras``: where what comes with them does, by ``bash``, ``zsh``, ``fish``
    and ``man`` (absent or "" for nowhere).
    """

    parts: tuple[str, ...]
    toolchain: str = ""
    goenv: str = ""
    projects: t.Optional[tuple[str, ...]] = None
    link_dir: str = ""
    tools: t.Optional[tuple[str, ...]] = None
    tools_dir: str = ""
    extras: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


def wished_state(generation: Generation, wish: Wish, now: t.Mapping[str, t.Any], platform: str, goroot: str = "") -> dict[str, t.Any]:
    """The state that a host is to have: the parts of the wish, and those of ``now`` (its state; empty for a new host).

    Of a part that stays, what the generation doesn't carry any more goes: a project without a successor, a toolchain for
    the newest one.

    :param platform: the host's, os/arch.
    :param goroot: that of the host's own Go, which may know settings that aren't known here.
    :raises SpecInvalid: the generation doesn't carry what is asked for, or go.env has a setting that go doesn't know.
    :raises HostRefused: it carries no toolchain for this platform.
    """
    own = ((f"the directory of {name}" + ("" if name == "man" else " completions"), path) for name, path in sorted(wish.extras.items()))
    for option, path in (("link_dir", wish.link_dir), ("tools_dir", wish.tools_dir), *own):
        if path and not os.path.isabs(path):
            raise SpecInvalid(f"{option} {path!r} isn't an absolute path", subject=option, found=path, expected="/usr/local/bin, say")
    parts: dict[str, dict[str, t.Any]] = {str(name): dict(part) for name, part in now.get("parts", {}).items()}
    for name in wish.parts:
        if name not in PARTS:
            raise SpecInvalid(f"a host has no part {name!r}", subject=name, expected=", ".join(PARTS))
        parts.setdefault(name, {})
    if "toolchain" in parts:
        asked = "toolchain" in wish.parts
        version = _toolchain(generation, wish.toolchain if asked else "", "" if asked else str(parts["toolchain"]["version"]), platform)
        parts["toolchain"] = {"version": version, "dir": _directory(wish.link_dir) if asked else str(parts["toolchain"]["dir"])}
    if "project" in parts:
        parts["project"] = _projects(generation, wish, parts["project"])
    if "tools" in parts:
        parts["tools"] = _tools(generation, wish, parts["tools"], platform)
    if "goenv" in parts:
        asked = "goenv" in wish.parts
        if asked:
            _require_settings(wish.goenv, goroot)
        given = wish.goenv if asked else str(parts["goenv"]["given"])
        parts["goenv"] = {"given": given, "content": _goenv(given, generation)}
    return {"generation": str(generation.ref), "manifest": generation.digest, "platform": platform, "parts": parts}


def differences(before: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any]) -> list[tuple[str, str, str]]:
    """What changes between two states, for people: (what, was, will be) for the toolchain, each project and tool, each line of go.env."""
    old, new = before.get("parts", {}), after.get("parts", {})
    was, will = (str(parts.get("toolchain", {}).get("version", "")) for parts in (old, new))
    found = [("toolchain", was, will)] if was != will else []
    for what, lines in (("project", _project_names), ("tool", _tool_lines), ("go.env", _settings)):
        found += [(what, line, "") for line in lines(old) if line not in lines(new)]
        found += [(what, "", line) for line in lines(new) if line not in lines(old)]
    return found


def carried_toolchains(generation: Generation, platform: str) -> list[str]:
    """The versions of a generation's toolchains for ``platform``."""
    return [str(entry["version"]) for entry in generation.config["toolchains"] if entry["platform"] == platform]


def carried_tools(generation: Generation, platform: str) -> dict[str, str]:
    """A generation's prebuilt tools for ``platform``: what each was built from (package@version), by the program's name."""
    return {
        str(binary["name"]): f"{tool['package']}@{tool['version']}"
        for tool in generation.config["tools"]
        for binary in tool.get("binaries", ())
        if binary["platform"] == platform
    }


def _project_names(parts: t.Mapping[str, t.Any]) -> list[str]:
    return list(parts.get("project", {}).get("names", []))


def _tool_lines(parts: t.Mapping[str, t.Any]) -> list[str]:
    return [f"{name} ({package})" for name, package in parts.get("tools", {}).get("programs", {}).items()]


def _settings(parts: t.Mapping[str, t.Any]) -> list[str]:
    return str(parts.get("goenv", {}).get("content", "")).splitlines()


def _toolchain(generation: Generation, asked: str, kept: str, platform: str) -> str:
    asked = asked[2:] if asked.startswith("go") else asked
    carried = carried_toolchains(generation, platform)
    if not carried:
        raise HostRefused(
            f"generation {generation.ref} carries no toolchain for this host's {platform}",
            code="platform",
            subject=platform,
            found=", ".join(sorted({str(entry["platform"]) for entry in generation.config["toolchains"]})),
            hint=f"add {platform} to the platforms in the spec on the connected side",
        )
    if asked and asked not in carried:
        raise SpecInvalid(
            f"generation {generation.ref} carries no toolchain go{asked} for {platform}",
            subject=f"go{asked}",
            expected=", ".join(f"go{entry}" for entry in carried),
            hint="name one of those, or add it to the spec on the connected side",
        )
    return asked or (kept if kept in carried else toolchain.choose("", carried))


def _directory(path: str) -> str:
    return os.path.normpath(path) if path else ""


def _projects(generation: Generation, wish: Wish, kept: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    known = sorted(str(project["name"]) for project in generation.config["projects"])
    if "project" not in wish.parts:
        return {"all": bool(kept["all"]), "names": known if kept["all"] else [name for name in kept["names"] if name in known]}
    if wish.projects is None:
        return {"all": True, "names": known}
    absent = sorted(set(wish.projects) - set(known))
    if absent:
        raise SpecInvalid(
            f"generation {generation.ref} carries no project {', '.join(absent)}",
            subject=absent[0],
            expected=", ".join(known),
            hint="name one of those, or none for all",
        )
    return {"all": False, "names": sorted(set(wish.projects))}


def _tools(generation: Generation, wish: Wish, kept: t.Mapping[str, t.Any], platform: str) -> dict[str, t.Any]:
    carried = carried_tools(generation, platform)
    if "tools" not in wish.parts:
        chosen, directory = (None if kept["all"] else [name for name in kept["programs"] if name in carried]), str(kept["dir"])
    else:
        chosen, directory = (None if wish.tools is None else sorted(set(wish.tools))), _directory(wish.tools_dir)
        absent = sorted(set(chosen or ()) - set(carried))
        if absent:
            raise SpecInvalid(
                f"generation {generation.ref} carries no tool {', '.join(absent)} that is built for {platform}",
                subject=absent[0],
                expected=", ".join(sorted(carried)),
                hint="name one of those, or none for all; or add the tool with this platform to the spec on the connected side",
            )
    programs = {name: carried[name] for name in sorted(carried if chosen is None else chosen)}
    taken = sorted({"go", "gofmt"}.intersection(programs)) if directory else []
    if taken:
        raise SpecInvalid(
            f"the tool {taken[0]} would take the toolchain's name in {directory}",
            subject=taken[0],
            hint="name the other tools, or let tools_dir be empty and call this one by its path",
        )
    state = {"all": chosen is None, "programs": programs, "dir": directory}
    given = wish.extras if "tools" in wish.parts else kept.get("extras", {}).get("dirs", {})
    directories = {name: _directory(path) for name, path in given.items() if path}
    if directories:
        # Kept also where nothing comes with the tools yet: a later generation may have it.
        found = {name: [file for file in files if placed(name, file, directories)] for name, files in carried_extras(generation).items() if name in programs}
        state["extras"] = {"dirs": directories, "files": {name: files for name, files in sorted(found.items()) if files}}
        places = [os.path.join(directory, name) for name in programs if directory]
        places += [placed(name, file, directories) for name, files in found.items() for file in files]
        for twice in sorted({path for path in places if places.count(path) > 1}):
            hint = "give each kind its own directory, or name only one of the tools"
            raise SpecInvalid(f"two things that come with tools would be {twice}", subject=twice, hint=hint)
    return state


def _require_settings(given: str, goroot: str) -> None:
    lines = [line.strip() for line in given.splitlines()]
    settings = EnvFile().names("\n".join(lines))
    for line in lines:
        if line and not line.startswith("#") and not EnvFile().names(line):
            raise SpecInvalid(f"go.env can't have the line {line!r}", subject=line, expected="NAME=value", hint="one setting a line, without quotes")
    envnames.require(settings, lambda: envnames.known_to(goroot), _NO_MODE_OF_ALL)


def _goenv(given: str, generation: Generation) -> str:
    lines = [line.strip() for line in given.splitlines()]
    nosumdb = str(generation.config["go"].get("nosumdb", ""))
    if nosumdb and "GONOSUMDB" not in EnvFile().names("\n".join(lines)):
        # What go.sum alone vouches for can't be looked up; everything else stays checked.
        lines.append(f"GONOSUMDB={nosumdb}")
    return "\n".join(lines).strip("\n") + "\n"
