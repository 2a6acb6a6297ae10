# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The go command's settings of one user or one project: put beside what others have set, and taken back to what was before.

A record in the same directory says what we set and what was there. ``plan`` is what check mode, diff, ``changed`` and the
real run all go by. Code that runs on hosts: standard library, Python 3.8.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import re
import shlex
import stat
import typing as t

from ._base.accounts import Account, account_of, owner_of
from ._base.errors import HostRefused, SpecInvalid
from ._base.files import replacing, sync_directory
from ._base.urls import scrub
from ._go import envnames
from ._go.envfile import EnvFile, ModeFile

SCHEMA = 1

#: Beside the files that it speaks of.
RECORD = ".airgap-golang.json"

_LEFT_BEHIND = re.compile(r"\.(env|mode|go\.env|\.envrc|\.airgap-golang\.json)\.[0-9a-f]{16}\.tmp")
_NO_MODE_OF_A_PROJECT = "Go keeps the telemetry mode for each user, so it's a setting of the scope user"


@dataclasses.dataclass(frozen=True)
class Options:
    """``user``: name or number, "" for who this runs as (in the project scope: who owns the project, when this is root).
    ``project``: its directory, "" for the user scope. ``config_dir``: the user's, "" for where Go looks for it. ``settings``: by
    name. ``direnv``: whether the project's .envrc is to name its settings. ``root``: ROOT, whose Go may know more names."""

    present: bool
    settings: t.Mapping[str, str]
    user: str = ""
    project: str = ""
    config_dir: str = ""
    direnv: bool = False
    root: str = ""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the settings are: ``directory`` also has the record; ``files``: what each file in it is, by relative path."""

    account: Account
    directory: str
    env: str
    files: t.Mapping[str, EnvFile]

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)


@dataclasses.dataclass(frozen=True)
class Change:
    """One setting of one file, None where it isn't set."""

    file: str
    name: str
    before: t.Optional[str]
    after: t.Optional[str]


@dataclasses.dataclass
class Plan:
    """``contents``: path → (what a file has, what it shall have), None for no file, of those that differ. ``record``: what we shall
    have set; ``during``: the same for as long as the files may have either; ``kept``: settings of ours that somebody changed since."""

    place: Place
    contents: dict[str, tuple[t.Optional[str], t.Optional[str]]]
    changes: list[Change]
    kept: list[str]
    was: dict[str, t.Any]
    during: dict[str, t.Any]
    record: dict[str, t.Any]

    @property
    def changed(self) -> bool:
        return bool(self.contents) or self.was != self.record

    def diff(self) -> list[dict[str, str]]:
        """Before and after of each file, its changed settings alone: what else is in it is nobody's business."""
        found = []
        for path in sorted({change.file for change in self.changes}):
            mine = [change for change in self.changes if change.file == path]
            before = "".join(f"{change.name}={scrub(change.before)}\n" for change in mine if change.before is not None)
            after = "".join(f"{change.name}={scrub(change.after)}\n" for change in mine if change.after is not None)
            found.append({"before_header": path, "after_header": path, "before": before, "after": after})
        return found


def as_text(value: object) -> str:
    """A setting's value as YAML gives it: on and off are booleans there, and numbers are numbers."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)


def locate(options: Options) -> Place:
    """Find out where the settings are, and whose they are: all that follows is to be done as that account (``acting_as``).

    :raises HostRefused: there is no such account or directory.
    :raises SpecInvalid: a path isn't absolute.
    """
    for path in (options.project, options.config_dir):
        if path and not os.path.isabs(path):
            raise SpecInvalid(f"{path} isn't an absolute path", subject=path, expected="/srv/app, say")
    account = account_of(options.user)
    if options.project:
        directory = os.path.normpath(options.project)
        if not os.path.isdir(directory):
            raise HostRefused(f"{directory} is no directory", code="no_directory", subject=directory, hint="create it first")
        if os.geteuid() == 0 and not options.user:
            account = owner_of(directory)
        return Place(account, directory, "go.env", {"go.env": EnvFile(), ".envrc": EnvFile("export ")})
    config = options.config_dir or _config_dir(account, bool(options.user))
    return Place(account, os.path.join(os.path.normpath(config), "go"), "env", {"env": EnvFile(), "telemetry/mode": ModeFile()})


def _config_dir(account: Account, named: bool) -> str:
    """os.UserConfigDir of Go's: by the environment for ourselves, by the account's home directory for a user with a name."""
    config = "" if named else os.environ.get("XDG_CONFIG_HOME", "")
    home = account.home if named else os.environ.get("HOME", "") or account.home
    for path in filter(None, (config, home)):
        if not os.path.isabs(path):
            raise HostRefused(f"{account.name}'s configuration directory would be {path}", code="no_directory", subject=path, hint="give config_dir")
    if not config and not home:
        raise HostRefused(f"{account.name} has no home directory", code="no_directory", subject=account.name, hint="give config_dir")
    return config or os.path.join(home, ".config")


def plan(place: Place, options: Options) -> Plan:
    """Compare what is with what is wished; changes nothing.

    :raises SpecInvalid: a setting that go doesn't know, or can't be set here.
    :raises HostRefused: the record can't be read, or a file is none, or belongs to another account.
    """
    wished = _wished(place, options)
    was = _read_record(place)
    made = Plan(place, {}, [], [], was, {}, {})
    during: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    for name, editor in place.files.items():
        _plan_file(made, name, editor, wished.get(name, {}), during, after)
    if after:
        # The directories that aren't there yet are ours, as those are that an earlier run made.
        directories = sorted({*was.get("directories", ()), *_missing_directories(place, after)})
        made.record = {"schema": SCHEMA, "directories": directories, "files": after}
        made.during = dict(made.record, files=during)
    return made


def _wished(place: Place, options: Options) -> dict[str, dict[str, str]]:
    """What each file shall have of ours."""
    if not options.present:
        return {}
    telemetry = _NO_MODE_OF_A_PROJECT if options.project else ""
    envnames.require(options.settings, lambda: envnames.known_to(os.path.join(options.root, "current", "go")), telemetry)
    lines = dict(options.settings)
    mode = lines.pop(envnames.TELEMETRY, "")
    wished = {place.env: lines}
    if mode:
        wished["telemetry/mode"] = {envnames.TELEMETRY: f"{mode} {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}"}
    if options.direnv:
        wished[".envrc"] = {"GOENV": shlex.quote(place.path(place.env))}
    return wished


def _plan_file(
    plan_: Plan, name: str, editor: EnvFile, wished: t.Mapping[str, str], during: dict[str, t.Any], after: dict[str, t.Any]
) -> None:
    """Add what becomes of one file and its entry in the record."""
    path = plan_.place.path(name)
    content = _read(path)
    held = plan_.was.get("files", {}).get(name) or {"existed": content is not None, "newline": not content or content.endswith("\n"), "settings": {}}
    new = content or ""
    ours: dict[str, t.Any] = {}
    either: dict[str, t.Any] = {}
    for setting in sorted({*held["settings"], *wished}):
        entry = held["settings"].get(setting)
        value = editor.get(new, setting)
        mine = entry is not None and value is not None and any(editor.same(value, one) for one in entry["ours"])
        before = entry["before"] if entry and (mine or value == entry["before"]) else value
        if setting not in wished:
            either[setting] = entry
            if mine:
                new = editor.put(new, setting, before)
            elif value != entry["before"]:
                plan_.kept.append(setting)
        elif value is not None and editor.same(value, wished[setting]):
            # What somebody has set to the same is theirs, so it needs no entry.
            if mine:
                ours[setting] = either[setting] = entry
        else:
            new = editor.put(new, setting, wished[setting])
            ours[setting] = {"before": before, "ours": [wished[setting]]}
            either[setting] = {"before": before, "ours": [*(entry["ours"] if mine else ()), wished[setting]]}
        if editor.get(new, setting) != value:
            plan_.changes.append(Change(path, setting, value, editor.get(new, setting)))
    if either:
        during[name] = dict(held, settings=either)
    if ours:
        after[name] = dict(held, settings=ours)
    elif held["settings"] and not held["newline"] and new.endswith("\n"):
        new = new[:-1]
    wanted = None if not ours and not held["existed"] and not new.strip() else new
    if wanted != content:
        _require_mine(path)
        plan_.contents[path] = (content, wanted)


def apply(made: Plan) -> None:
    """Carry a plan out. A kill leaves each file as it was or as it shall be, and the record knows both.

    :raises HostRefused: somebody changed a file since the plan was made.
    """
    directory = made.place.directory
    for path in sorted({directory, *map(os.path.dirname, made.contents)}):
        # Where all goes, nothing is made first.
        if made.record:
            os.makedirs(path, exist_ok=True)
    with _locked(directory):
        for path, (content, _new) in made.contents.items():
            if _read(path) != content:
                raise HostRefused(f"{path} was changed meanwhile", code="changed_meanwhile", subject=path, hint="run this again")
            _sweep(os.path.dirname(path))
        if made.record:
            _write_record(made.place, made.during)
        for path, (_content, new) in made.contents.items():
            if new is None:
                os.unlink(path)
                sync_directory(os.path.dirname(path))
            else:
                _write(path, new)
        if not made.record:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(made.place.path(RECORD))
        elif made.record != made.during:
            _write_record(made.place, made.record)
        for path in sorted({*made.was.get("directories", ())} - {*made.record.get("directories", ())}, reverse=True):
            # Somebody has put something there since.
            with contextlib.suppress(OSError):
                os.rmdir(path)


@contextlib.contextmanager
def _locked(directory: str) -> t.Iterator[None]:
    """Hold the directory itself, so that no file is left for it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HostRefused(f"another run changes {directory}", code="locked", subject=directory, hint="run this again when it has ended") from None
        yield
    finally:
        os.close(descriptor)


def _missing_directories(place: Place, files: t.Iterable[str]) -> list[str]:
    missing = []
    for path in {place.directory, *(os.path.dirname(place.path(name)) for name in files)}:
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
    return missing


def _read(path: str) -> t.Optional[str]:
    """A file's text, with bytes that are none kept as they are; None where there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise HostRefused(f"{path} is no file", code="in_the_way", subject=path, hint="remove it, or choose another directory")
        return stream.read().decode("utf-8", "surrogateescape")


def _require_mine(path: str) -> None:
    try:
        owner = os.stat(path).st_uid
    except FileNotFoundError:
        return
    if os.geteuid() not in (0, owner):
        mine = account_of("").name
        raise HostRefused(
            f"{path} belongs to the user {owner}, not to {mine}", code="not_owner", subject=path, expected=mine, found=str(owner), hint="chown it"
        )


def _write(path: str, content: str) -> None:
    """Owner and mode stay; where the file is a link, so does the link."""
    path = os.path.realpath(path)
    try:
        facts: t.Optional[os.stat_result] = os.stat(path)
    except FileNotFoundError:
        facts = None
    with replacing(path, 0o644 if facts is None else stat.S_IMODE(facts.st_mode)) as stream:
        stream.write(content.encode("utf-8", "surrogateescape"))
        if facts is not None and (facts.st_uid, facts.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(stream.fileno(), facts.st_uid, facts.st_gid)


def _sweep(directory: str) -> None:
    """Remove what killed runs left beside the files."""
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if _LEFT_BEHIND.fullmatch(name):
            os.unlink(os.path.join(directory, name))


def _read_record(place: Place) -> dict[str, t.Any]:
    path = place.path(RECORD)
    content = _read(path)
    if content is None:
        return {}
    try:
        record = t.cast("dict[str, t.Any]", json.loads(content))
        if record["schema"] != SCHEMA or not all(isinstance(one, str) for one in record["directories"]):
            raise ValueError("it has another form")
        for entry in record["files"].values():
            for setting in entry["settings"].values():
                if not (isinstance(setting["before"], (str, type(None))) and all(isinstance(one, str) for one in setting["ours"])):
                    raise ValueError("a setting in it has another form")
            if not (isinstance(entry["existed"], bool) and isinstance(entry["newline"], bool)):
                raise ValueError("a file in it has another form")
        return record
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise HostRefused(
            f"{path}, which says what was set here before, can't be read ({type(exc).__name__}: {exc})",
            code="state_damaged",
            subject=path,
            hint="put it back, or remove it: then what is set now counts as set by others",
        ) from None


def _write_record(place: Place, record: t.Mapping[str, t.Any]) -> None:
    with replacing(place.path(RECORD), 0o600) as stream:
        stream.write(json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")
