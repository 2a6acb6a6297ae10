# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A depot with two sealed generations, gathered and rehearsed with real Go, once for all tests of a run.

000001 carries go1.26.8, the project ``hello`` and the loose module OLD; 000002 also carries go1.27.3, and LOOSE in OLD's place.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import typing as t

from ansible_collections.airgap.golang.plugins.module_utils import gather, rehearse
from ansible_collections.airgap.golang.plugins.module_utils._base.files import remove_tree
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._content import specreader
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot

TOOLCHAINS = ("1.26.8", "1.27.3")
OLD = "github.com/google/shlex@v0.0.0-20191202100458-e7afc7fbc510"
LOOSE = "github.com/google/uuid@v1.6.0"
TRACE = "5" * 32

# Of the standard library it needs the runtime alone, so that a build takes seconds.
REVERSE = "golang.org/x/example/hello v0.0.0-20250915201037-7f05d217867b"
MAIN = """package main

import "golang.org/x/example/hello/reverse"

func main() { println(reverse.String("olleh")) }
"""


@functools.lru_cache(maxsize=None)
def sealed_depot() -> pathlib.Path:
    """The depot's directory; read-only for tests. It's gone when Python ends."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="airgap-golang-depot-"))
    atexit.register(remove_tree, str(top))
    top.chmod(0o755)
    project = top / "hello"
    project.mkdir()
    (project / "go.mod").write_text(f"module example.com/hello\n\ngo 1.26.0\n\nrequire {REVERSE}\n")
    (project / "main.go").write_text(MAIN)
    subprocess.run(["go", "mod", "tidy"], cwd=project, check=True, env={**os.environ, "GOFLAGS": "", "GOWORK": "off"})
    depot = Depot(str(top / "depot"))
    build = {"package": ".", "output": "bin/hello"}
    for toolchains, module in ((TOOLCHAINS[:1], OLD), (TOOLCHAINS, LOOSE)):
        wanted = specreader.parse(
            {
                "name": "small",
                "toolchains": [{"version": version} for version in toolchains],
                "projects": [{"name": "hello", "source": {"path": str(project)}, "toolchain": TOOLCHAINS[0], "builds": [build]}],
                "modules": [module],
            }
        )
        gather.gather(wanted, depot, gather.Options(trace_id=TRACE), Reporter())
        assert rehearse.rehearse(depot, None, TRACE, 600, Reporter()).generation is not None
    return top / "depot"


class Ran(t.NamedTuple):
    """How ansible-playbook ended: exit status, everything it printed, the tasks' results by task name (of several, the first)."""

    status: int
    output: str
    results: dict[str, dict[str, t.Any]]


def ansible_environment(work: pathlib.Path, programs: str, more: t.Mapping[str, str]) -> dict[str, str]:
    """For ansible-playbook: this checkout's collection, nothing of the user's settings; results go to the file RESULTS_OF."""
    collections = next(parent.parent for parent in pathlib.Path(gather.__file__).parents if parent.name == "ansible_collections")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AIRGAP_"))},
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": "",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(work / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(work / "ansible" / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(work / "ansible" / "remote"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_INJECT_FACT_VARS": "false",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_CALLBACKS_ENABLED": "results_of",
        "ANSIBLE_CONNECTION_PLUGINS": str(pathlib.Path(__file__).parent / "connection"),
        "ANSIBLE_CALLBACK_PLUGINS": str(pathlib.Path(__file__).parent / "callback"),
        **more,
    }


def playbook(
    work: pathlib.Path,
    tasks_or_name: t.Union[str, list[dict[str, t.Any]]],
    variables: t.Mapping[str, t.Any],
    *options: str,
    host_vars: t.Optional[t.Mapping[str, t.Any]] = None,
    hosts: t.Optional[t.Mapping[str, t.Mapping[str, t.Any]]] = None,
    programs: str = os.path.dirname(sys.executable),
    prefix: t.Sequence[str] = (),
    env: t.Optional[t.Mapping[str, str]] = None,
) -> Ran:
    """Run one of the collection's playbooks by name, or a play's tasks, on the host "here" by connection local.

    :param work: a directory for inventory and logs.
    :param host_vars: of the host; ansible_python_interpreter is ours by default.
    :param hosts: in its place, hosts and their variables.
    :param programs: the directory that has ansible-playbook.
    :param prefix: goes in front of the command (unshare, runuser).
    """
    work.mkdir(parents=True, exist_ok=True)
    inventory = work / "inventory.json"
    given = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **(host_vars or {})}
    inventory.write_text(json.dumps({"all": {"hosts": hosts or {"here": given}}}))
    target = f"airgap.golang.{tasks_or_name}"
    if not isinstance(tasks_or_name, str):
        target = str(work / "site.yml")
        (work / "site.yml").write_text(json.dumps([{"name": "Site", "hosts": "all", "gather_facts": False, "tasks": tasks_or_name}]))
    results = work / "results.json"
    environment = ansible_environment(work, programs, {"RESULTS_OF": str(results), **(env or {})})
    variables_file = work / "variables.json"
    variables_file.write_text(json.dumps(dict(variables)))
    results.unlink(missing_ok=True)
    argv = [*prefix, os.path.join(programs, "ansible-playbook"), target, "-i", str(inventory), "-e", f"@{variables_file}", *options]
    done = subprocess.run(argv, env=environment, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=600)
    told = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    return Ran(done.returncode, done.stdout, {entry["task"]: entry["result"] for entry in reversed(told)})


def playbook_on(
    work: pathlib.Path, tasks: list[dict[str, t.Any]], variables: t.Mapping[str, t.Any], hosts: t.Mapping[str, t.Mapping[str, t.Any]], *options: str
) -> tuple[dict[str, dict[str, t.Any]], str]:
    """Run one task on several hosts; its result by host, and the output."""
    ran = playbook(work, tasks, variables, *options, hosts=hosts)
    results = work / "results.json"
    told = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    return {entry["host"]: entry["result"] for entry in told}, ran.output
