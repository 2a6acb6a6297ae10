# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a spec as users write it: checked, with its defaults, overrides and requests applied.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import os
import re
import typing as t
import urllib.parse

from .._base.errors import SpecInvalid
from .._base.urls import ENCODE, url_fault
from .._go.build import Build
from .._go.escape import check_module, is_exact, parse_at
from .._go.toolchain import host_platform
from .extras import is_page
from .spec import CLOSURES, COMPLETION_COMMAND, SCOPES, SHELLS, Archive, CarriedFile, Kit, LooseModule, Project, Spec, Tool, Toolchain

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_GO_VERSION = re.compile(r"1\.[0-9]+(\.[0-9]+)?((rc|beta)[0-9]+)?")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PYTHON = re.compile(r"3\.[0-9]+")
_SPECIFIER = re.compile(r"(~=|==|!=|<=|>=|<|>)[0-9][0-9A-Za-z.*+!]*(,(~=|==|!=|<=|>=|<|>)[0-9][0-9A-Za-z.*+!]*)*")

#: Where a kit's files are, below the tree's files/.
KIT_DEST = "kit"

# What go get and go install take behind the @: https://go.dev/ref/mod#version-queries.
_QUERY = re.compile(r"[A-Za-z0-9<>=][^\s\x00-\x1f@,]*")

# What an environment may override of its project: how it's built, not what it is.
_OVERRIDABLE = ("builds", "platforms", "env", "flags", "tags", "ldflags", "toolchain", "run_tests")

Entry = t.Mapping[str, t.Any]


def _refuse(where: str, why: str, hint: str = "") -> SpecInvalid:
    return SpecInvalid(f"{where}: {why}", subject=where, hint=hint)


def parse(params: Entry, platform: str = "") -> Spec:
    """Check what a user wrote.

    :param params: the options of airgap.golang.gather: ``name``, ``toolchains``, ``projects``, ``modules``, ``tools``,
        ``files``, ``kit``, ``requests`` (documents of airgap.golang.request, whose entries are added), ``environment`` (which overrides of
        projects apply) and ``only`` (the names of the projects to take).
    :param platform: os/arch where the spec names none; this machine's by default.
    :raises SpecInvalid: naming the entry, and how it's meant.
    """
    name = str(params["name"])
    if not _NAME.fullmatch(name):
        raise _refuse(f"the bundle name {name!r}", "it becomes a file name: letters, digits, '.', '_' and '-', starting with a letter or digit")
    platform = platform or host_platform()
    given = {what: _with_requests(params, what) for what in ("toolchains", "modules", "tools")}
    entries = _only(params.get("projects") or [], params.get("only") or [])
    entries = _for_environment(entries, params.get("projects") or [], str(params.get("environment") or ""))
    parsed = Spec(
        name=name,
        toolchains=tuple(dict.fromkeys(_toolchain(entry, platform) for entry in given["toolchains"])),
        projects=tuple(_project(entry, platform) for entry in entries),
        modules=tuple(dict.fromkeys(_module(entry) for entry in given["modules"])),
        tools=tuple(dict.fromkeys(_tool(entry) for entry in given["tools"])),
        files=tuple(_file(entry) for entry in params.get("files") or []),
        kit=_kit(_dictionary(params.get("kit")), platform),
    )
    for what, names in (("project", [project.name for project in parsed.projects]), ("file", [file.dest for file in parsed.files])):
        for twice in sorted({entry for entry in names if names.count(entry) > 1}):
            raise _refuse(f"{what} {twice}", "it's in the spec twice", "give each its own name")
    if parsed.kit and any(file.dest.split("/")[0] == KIT_DEST for file in parsed.files):
        raise _refuse(f"file {KIT_DEST}", "this place is the kit's", "give the file another dest")
    if not (parsed.toolchains or parsed.projects or parsed.modules or parsed.tools or parsed.files or parsed.kit):
        raise _refuse(f"the spec {name}", "it asks for nothing", "name toolchains, projects, modules, tools, files or a kit")
    return parsed


def passwords(params: Entry) -> set[str]:
    """The passwords (or tokens) in the URLs that a user gave: never to be shown."""
    goproxy = str(params.get("goproxy") or "")
    given = [(goproxy, entry if "://" in entry else f"https://{entry}") for entry in re.split(r"[,|]", goproxy)]
    urls = str(params.get("gosumdb") or "").split()[1:]
    urls += [str(_dictionary(entry.get("source")).get("git") or "") for entry in params.get("projects") or []]
    urls += [str(entry.get(key) or "") for key in ("source", "git") for entry in [*(params.get("files") or []), *(params.get("toolchains") or [])]]
    found: set[str] = set()
    for whole, url in given + [(url, url) for url in urls]:
        userinfo = re.match(r"\s*https?://([^/\s?#]*)@", url, re.IGNORECASE)
        if re.match(r"\s*https?://.", url, re.IGNORECASE) and url_fault(url.strip()):
            # It's refused, and until then nobody can tell where its password ends.
            found.add(whole)
            userinfo = re.match(r"\s*https?://(.*)@", url, re.IGNORECASE)
        if userinfo:
            user, colon, password = userinfo.group(1).partition(":")
            secret = password if colon else user
            found.update((secret, urllib.parse.unquote(secret)))
    return found - {""}


def _dictionary(value: t.Any) -> Entry:
    return value if isinstance(value, dict) else {}


def _with_requests(params: Entry, what: str) -> list[t.Any]:
    """The spec's own entries, then those of request files."""
    entries = list(params.get(what) or [])
    for number, request in enumerate(params.get("requests") or []):
        added = _dictionary(request).get(f"bundle_{what}") or []
        if not isinstance(request, dict) or not isinstance(added, list):
            raise _refuse(f"request {number + 1}", f"it isn't a request file: its bundle_{what} is no list", "make it with airgap.golang.request")
        entries += added
    return entries


def _only(projects: t.Sequence[Entry], only: t.Sequence[str]) -> list[Entry]:
    names = [str(entry.get("name")) for entry in projects]
    for name in only:
        if name not in names:
            raise _refuse(f"only {name}", "no project is called so", f"the spec's projects are {', '.join(names) or 'none'}")
    return [entry for entry in projects if not only or str(entry.get("name")) in only]


def _for_environment(entries: t.Sequence[Entry], all_projects: t.Sequence[Entry], environment: str) -> list[Entry]:
    """The projects with their overrides for ``environment`` ("" for none) applied."""
    known = sorted({str(name) for entry in all_projects for name in _dictionary(entry.get("environments"))})
    if environment and environment not in known:
        raise _refuse(f"environment {environment}", "no project knows it", f"the projects' environments are {', '.join(known) or 'none'}")
    merged: list[Entry] = []
    for entry in entries:
        environments = _dictionary(entry.get("environments"))
        for name, override in environments.items():
            unknown = sorted(set(_dictionary(override)) - set(_OVERRIDABLE))
            if unknown or not isinstance(override, dict):
                where = f"project {entry.get('name')}, environment {name}"
                raise _refuse(where, f"it can't override {', '.join(unknown) or 'by this'}", f"it may say {', '.join(_OVERRIDABLE)}")
        override = _dictionary(environments.get(environment))
        env = {**_dictionary(entry.get("env")), **_dictionary(override.get("env"))}
        merged.append({**entry, **override, "env": env})
    return merged


def _platforms(names: t.Sequence[t.Any], where: str) -> tuple[str, ...]:
    for name in names:
        if not _PLATFORM.fullmatch(str(name)):
            raise _refuse(where, f"{name!r} isn't a platform", "write os/arch, such as linux/amd64")
    return tuple(str(name) for name in names)


def _hash(entry: Entry, where: str) -> str:
    sha256 = str(entry.get("sha256") or "").lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        raise _refuse(where, "its sha256 isn't 64 hexadecimal digits")
    return sha256


def _check_url(value: str, where: str, what: str) -> str:
    """A URL, or what has no parts that could be wrong: a path, or git's own user@host:path."""
    fault = url_fault(value) if "://" in value else ""
    if fault:
        raise _refuse(where, f"the URL that is its {what} can't be meant: {fault}", ENCODE)
    return value


def _toolchain(entry: Entry, platform: str) -> Toolchain:
    version = str(entry.get("version") or "")
    version = version[2:] if version.startswith("go") else version
    # Not the whole entry: its source may hold a password.
    where = f"toolchain {version or '(without a version)'}"
    if not _GO_VERSION.fullmatch(version):
        raise _refuse(where, "it has no Go version", "write the whole version and quote it: version: '1.26.8'")
    platforms = _platforms(entry.get("platforms") or [platform], where)
    archive = None
    if entry.get("source"):
        if len(platforms) != 1:
            raise _refuse(where, f"an archive has one platform, not {len(platforms)}", "write an entry for each archive")
        sha256 = _hash(entry, where)
        if not sha256:
            raise _refuse(where, "its source has no sha256", "write what the release's page says")
        archive = Archive(_check_url(str(entry["source"]), where, "source"), sha256)
    return Toolchain(full_version(version), platforms, archive)


def full_version(version: str) -> str:
    """``1.27`` is the language; its first release is ``1.27.0`` (since Go 1.21)."""
    match = re.fullmatch(r"1\.([0-9]+)", version)
    return version + ".0" if match and int(match.group(1)) >= 21 else version


def _project(entry: Entry, platform: str) -> Project:
    name = str(entry.get("name") or "")
    # Not the whole entry: its source may hold a password.
    where = f"project {name or '(without a name)'}"
    if not _NAME.fullmatch(name):
        raise _refuse(where, "it has no name that can be a directory's", "letters, digits, '.', '_' and '-'")
    source = _source(entry, where)
    directory = os.path.normpath(str(entry.get("directory") or "."))
    if directory.split("/")[0] in ("..", ""):
        raise _refuse(where, f"its directory {directory} is outside of its source", "let source.path name the common parent")
    dirty = _choice(entry, "dirty", ("error", "warn"), where)
    scope = _choice(entry, "scope", ("test", *SCOPES), where)
    toolchain = str(entry.get("toolchain") or "")
    toolchain = toolchain[2:] if toolchain.startswith("go") else toolchain
    if toolchain and not _GO_VERSION.fullmatch(toolchain):
        raise _refuse(where, f"its toolchain {toolchain!r} isn't a Go version", "write the whole version and quote it: toolchain: '1.26.8'")
    if entry.get("run_tests") and scope == "build":
        raise _refuse(where, "run_tests needs what tests need, and its scope is build", "let scope be test or all")
    platforms = _platforms(entry.get("platforms") or [], where)
    env = {str(key): str(value) for key, value in _dictionary(entry.get("env")).items()}
    flags, tags = _flags(entry, ()), tuple(str(tag) for tag in entry.get("tags") or ())
    # So that what is wrong with them is said now, not when a main package is found.
    Build(".", "bin/any", platform, env, flags, tags).validated()
    builds = tuple(build for build in _builds(entry, platforms or (platform,), env, flags, tags, where))
    outputs = [build.output for build in builds]
    if len(set(outputs)) != len(outputs):
        raise _refuse(where, "two builds have the same output", "give each its own output; {os} and {arch} in it stand for the platform's")
    return Project(
        name=name,
        directory=directory,
        dirty=dirty,
        scope=scope,
        run_tests=bool(entry.get("run_tests")),
        toolchain=full_version(toolchain),
        exclude=tuple(entry.get("exclude") or ()),
        builds=builds,
        platforms=platforms,
        env=env,
        flags=flags,
        tags=tags,
        **source,
    )


def _source(entry: Entry, where: str) -> dict[str, str]:
    if not isinstance(entry.get("source") or {}, dict):
        raise _refuse(where, "its source isn't a dictionary", "it must be {path}, {git, ref} or {module, version}")
    source = {str(key): str(value) for key, value in (entry.get("source") or {}).items() if value}
    if set(source) not in ({"path"}, {"git", "ref"}, {"module", "version"}):
        raise _refuse(where, f"its source says {', '.join(sorted(source)) or 'nothing'}", "it must be {path}, {git, ref} or {module, version}")
    if "module" in source:
        check_module(source["module"])
        _check_query(source["version"], where)
    _check_url(source.get("git", ""), where, "source")
    if "path" in source:
        source["path"] = os.path.abspath(os.path.expanduser(source["path"]))
    if entry.get("exclude") and "path" not in source:
        raise _refuse(where, "exclude is for sources that are a path", "what git or a module has is carried as it is")
    return source


def _choice(entry: Entry, key: str, choices: t.Sequence[str], where: str) -> str:
    value = str(entry.get(key) or choices[0])
    if value not in choices:
        raise _refuse(where, f"{key} is {value!r}", f"it must be {' or '.join(sorted(set(choices)))}")
    return value


def _flags(entry: Entry, inherited: t.Sequence[str]) -> tuple[str, ...]:
    own = tuple(str(flag) for flag in entry.get("flags") or ())
    if entry.get("ldflags"):
        own += (f"-ldflags={entry['ldflags']}",)
    return own or tuple(inherited)


def _builds(
    entry: Entry, platforms: t.Sequence[str], env: t.Mapping[str, str], flags: t.Sequence[str], tags: t.Sequence[str], where: str
) -> t.Iterator[Build]:
    """Each build for each of its platforms; what it leaves out is its project's."""
    for build in entry.get("builds") or []:
        own = _dictionary(build)
        plain = {key: value for key, value in own.items() if key not in ("platforms", "ldflags", "platform")}
        chosen = [own["platform"]] if own.get("platform") else own.get("platforms") or platforms
        for platform in _platforms(chosen, where):
            goos, goarch = platform.split("/")
            output = str(own.get("output") or "").replace("{os}", goos).replace("{arch}", goarch)
            yield Build.from_dict(
                {
                    **plain,
                    "output": output,
                    "platform": platform,
                    "env": {**env, **_dictionary(own.get("env"))},
                    "flags": [] if own.get("command") else _flags(own, flags),
                    "tags": own.get("tags") or tags,
                }
            )


def _check_query(query: str, where: str) -> None:
    if not _QUERY.fullmatch(query):
        raise _refuse(where, f"{query!r} is no version", "write an exact version, or what go get takes: latest, v1.2, a branch, <v1.5.0")


def _module(entry: t.Any) -> LooseModule:
    if isinstance(entry, str):
        return LooseModule(*parse_at(entry))
    where = f"module {_dictionary(entry).get('module') or entry}"
    unknown = sorted(set(_dictionary(entry)) - {"module", "closure", "beside"})
    if not isinstance(entry, dict) or not entry.get("module") or unknown:
        fault = f"it has unknown keys: {', '.join(unknown)}" if unknown else "it names no module"
        raise _refuse(where, fault, "write path@version, or {module, closure, beside}")
    path, version = parse_at(str(entry["module"]))
    closure = _choice(entry, "closure", CLOSURES, where)
    if closure != "packages" and not is_exact(version):
        raise _refuse(where, f"{version!r} isn't an exact version", f"closure: {closure} is for exact versions")
    beside = tuple(sorted(parse_at(str(text)) for text in entry.get("beside") or ()))
    for other, at in beside:
        if not is_exact(at):
            raise _refuse(where, f"beside has {other}@{at}, which isn't an exact version")
    return LooseModule(path, version, closure, beside)


def _tool(entry: t.Any) -> Tool:
    if isinstance(entry, str):
        return Tool(*parse_at(entry))
    where = f"tool {_dictionary(entry).get('package') or entry}"
    unknown = sorted(set(_dictionary(entry)) - {"package", "platforms", "completions", "completion_command", "man", "man_command"})
    if not isinstance(entry, dict) or not entry.get("package") or unknown:
        fault = f"it has unknown keys: {', '.join(unknown)}" if unknown else "it names no package"
        raise _refuse(where, fault, "write package@version, or {package, platforms, completions, completion_command, man, man_command}")
    platforms = _platforms(entry.get("platforms") or [], where)
    package, version = parse_at(str(entry["package"]))
    return Tool(package, version, platforms, **_extras(entry, platforms, where))


def _extras(entry: Entry, platforms: t.Sequence[str], where: str) -> dict[str, tuple[str, ...]]:
    """What comes with a prebuilt tool: its completions and man pages."""
    given: dict[str, tuple[str, ...]] = {}
    for key in ("completions", "completion_command", "man", "man_command"):
        value = entry.get(key) or []
        if not isinstance(value, list):
            raise _refuse(where, f"its {key} is no list", f"write {key}: [{'bash' if key == 'completions' else '...'}]")
        given[key] = tuple(dict.fromkeys(map(str, value))) if key in ("completions", "man") else tuple(map(str, value))
    if any(given.values()) and not platforms:
        raise _refuse(where, "completions and man pages come with a prebuilt tool, and it has no platforms", "name the hosts' platforms: [linux/amd64]")
    for shell in given["completions"]:
        if shell not in SHELLS:
            raise _refuse(where, f"{shell!r} in its completions is no shell that is known here", f"they can be of {', '.join(SHELLS)}")
    if given["completion_command"] and not given["completions"]:
        raise _refuse(where, "it has a completion_command and no completions", f"name the shells: completions: [{', '.join(SHELLS)}]")
    if len(given["completions"]) > 1 and not any("{shell}" in word for word in given["completion_command"] or COMPLETION_COMMAND):
        raise _refuse(where, "its completion_command is the same for all shells", "write {shell} where the shell's name belongs")
    if given["man"] and given["man_command"]:
        raise _refuse(where, "it has both man and man_command", "its pages are files of its module, or the one that it prints")
    for page in given["man"]:
        if os.path.normpath(page) != page or page.startswith(("/", "..")) or not is_page(os.path.basename(page)):
            raise _refuse(where, f"{page!r} in man is no man page of its module", "write its path in the module, and its section: docs/tool.1")
    names = [os.path.basename(page) for page in given["man"]]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        raise _refuse(where, f"two pages in man are called {twice}", "they'd have one place on hosts")
    return given


def _file(entry: Entry) -> CarriedFile:
    dest = os.path.normpath(str(entry.get("dest") or ""))
    # Its URL may hold a password.
    where = f"file {dest}"
    if dest.split("/")[0] in ("..", ".", ""):
        raise _refuse(where, f"its dest {dest!r} is outside of the tree", "dest is a path below the tree's files/")
    source, git, ref = (str(entry.get(key) or "") for key in ("source", "git", "ref"))
    if bool(source) == bool(git) or bool(git) != bool(ref):
        raise _refuse(where, "it has no source, or two", "it must say source (a file, a directory or a URL), or git with ref")
    sha256 = _hash(entry, where)
    file = CarriedFile(_check_url(git or source, where, "git" if git else "source"), dest, sha256, ref)
    if file.is_url and not sha256:
        raise _refuse(where, "its source is a URL and it has no sha256", "write what the file must be: sha256sum prints it")
    if git and sha256:
        raise _refuse(where, "what git has is named by its commit, not by a sha256", "leave sha256 out")
    return file


def _kit(entry: Entry, platform: str) -> t.Optional[Kit]:
    pythons = tuple(dict.fromkeys(str(python) for python in entry.get("pythons") or []))
    if not pythons:
        if entry.get("ansible_core"):
            raise _refuse("the kit", "it names no pythons", "name those of the machines that shall become control nodes: ['3.11', '3.13']")
        return None
    for python in pythons:
        if not _PYTHON.fullmatch(python):
            raise _refuse("the kit", f"{python!r} isn't a Python", "write its first two numbers, and quote them: '3.11'")
    constraint = str(entry.get("ansible_core") or "").replace(" ", "")
    if constraint and not _SPECIFIER.fullmatch(constraint):
        raise _refuse("the kit", f"its ansible_core is {constraint!r}", "write what pip takes behind the name: ==2.19.*, or >=2.17,<2.20")
    collection = str(entry.get("collection") or "")
    if not collection:
        raise _refuse("the kit", "it has no collection", "name the collection's directory, or its tarball")
    platforms = tuple(dict.fromkeys(_platforms(entry.get("platforms") or [platform], "the kit")))
    return Kit(pythons, platforms, constraint, os.path.abspath(os.path.expanduser(collection)))
