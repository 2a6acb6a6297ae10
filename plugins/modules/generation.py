#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: generation
short_description: List a host's generations, go to another one, remove those that are too many
version_added: 0.1.0
description:
  - Works with what is on the host alone. Nothing is transferred, and no depot on the control node is needed.
  - Going to another generation is one rename of C(current) in O(root). Toolchain, settings, module proxy, projects and tools change
    together; links outside of O(root) become what they were with that generation. A build that runs goes on with what it has begun with.
  - Pruning removes generations and all that no generation that stays refers to, in the host's depot, in the read-only module cache and
    among builds. What a running process uses stays, and is named. A prune that was killed is finished by the next one.
extends_documentation_fragment:
  - airgap.golang.host
attributes:
  check_mode:
    support: full
    description: Says which generation would be active, or what would go and how many bytes and inodes that would free.
  diff_mode:
    support: full
    description: Shows the active generation's directory and each link before and after, or each thing that goes.
  idempotent:
    support: partial
    description: All but V(state=previous), with which each run goes back one generation further.
  platform:
    support: full
    platforms: posix
    description: Linux. To see other users' processes it has to run as root.
options:
  state:
    description:
      - V(listed) only looks.
      - V(active) makes O(generation) the active one.
      - V(previous) goes back to the generation before the active one. That is the next lower number that's there.
      - V(pruned) lets O(keep) generations stay.
    type: str
    choices: [listed, active, previous, pruned]
    default: listed
  depot:
    description:
      - A depot of a control node to list or prune in place of a host's O(root). Its newest generations stay.
      - This machine must be the one that has it, so delegate the task or let it run on C(localhost).
    type: path
  generation:
    description: The number of the generation to go to, for V(state=active).
    type: int
  keep:
    description:
      - How many generations stay with V(state=pruned). The ones that were active last stay, the active one among them; of a depot
        the newest ones.
      - V(0) for all. Then only settings and parts that a later deploy of the same generation replaced go, and what nothing refers to.
    type: int
    default: 3
  receipts:
    description:
      - Receipts of other depots. With O(depot), the manifests of the generations that they name stay, so that bundles of the difference can still be
        made for those depots.
    type: list
    elements: path
    default: []
seealso:
  - module: airgap.golang.deploy
  - module: airgap.golang.uninstall
"""

EXAMPLES = r"""
- name: See what is there
  airgap.golang.generation:
  become: true
  register: generations

- name: Go back one generation
  airgap.golang.generation:
    state: previous
  become: true

- name: Go to a generation by its number
  airgap.golang.generation:
    state: active
    generation: 7
  become: true

- name: Remove all but the three that were active last
  airgap.golang.generation:
    state: pruned
    keep: 3
  become: true

- name: Remove old generations from the control node's depot
  airgap.golang.generation:
    state: pruned
    depot: /srv/airgap/depot
    keep: 5
    receipts: [/srv/airgap/site-a.receipt.json]
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
current:
  description: The directory of the generation that is active now, or would be; empty for none, and for a depot.
  returned: success
  type: str
  sample: 000001-5b0f1c9e
previous:
  description: The one that was active before.
  returned: success
  type: str
  sample: 000002-0c7d1f3a
generations:
  description:
    - What is there, with V(state=listed). A generation whose settings or parts were changed has a directory for each state.
  returned: with O(state=listed)
  type: list
  elements: dict
  contains:
    generation:
      description: Its name.
      type: str
    number:
      description: Its number.
      type: int
    directory:
      description: Its directory below C(generations), or of a depot that of its tree.
      type: str
    active:
      description: Whether it's the active one; of a depot, the newest.
      type: bool
    activated:
      description: When it became active last, RFC 3339; of a depot, when it was made.
      type: str
    left:
      description: When it was active last; empty for the active one.
      type: str
    parts:
      description: The parts that it has.
      type: list
      elements: str
    bytes:
      description: How many bytes it alone holds, that is, what its removal would free.
      type: int
    inodes:
      description: How many inodes it alone holds.
      type: int
  sample:
    - {"generation": "000001", "number": 1, "directory": "000001-5b0f1c9e", "active": true, "activated": "2026-01-02T03:04:05Z", "left": "",
       "parts": ["goenv", "modcache", "project", "toolchain"], "bytes": 402653184, "inodes": 14210}
removed:
  description: Each thing that went, or would go.
  returned: with O(state=pruned)
  type: list
  elements: str
  sample: ["generation 000001-5b0f1c9e", "tree 000001", "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", "12 blobs"]
bytes:
  description: How many bytes that frees.
  returned: with O(state=pruned)
  type: int
  sample: 402653184
inodes:
  description: How many inodes that frees.
  returned: with O(state=pruned)
  type: int
  sample: 14210
in_use:
  description: What would have gone and stays, because a process uses it.
  returned: with O(state=pruned)
  type: list
  elements: dict
  sample: [{"what": "generation 000001-5b0f1c9e", "pid": 4711, "command": "go", "path": "/opt/airgap-golang/depot/trees/000001/projects/hello"}]
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "pruned", "subject": "000001", "expected": "", "found": "", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import generation as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils._host.place import Place
from ansible_collections.airgap.golang.plugins.module_utils._host.switch import rollback_diff, rollback_target, switch_to


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["listed", "active", "previous", "pruned"], "default": "listed"},
            "root": {"type": "path", "default": "/opt/airgap-golang"},
            "depot": {"type": "path"},
            "generation": {"type": "int"},
            "keep": {"type": "int", "default": 3},
            "receipts": {"type": "list", "elements": "path", "default": []},
            "trace_id": {"type": "str", "default": ""},
        },
        required_if=[("state", "active", ["generation"])],
        supports_check_mode=True,
    )
    params = module.params
    state = params["state"]
    if params["depot"] and state not in ("listed", "pruned"):
        module.fail_json(msg=f"a depot's generations can be listed and pruned; state {state} is for a host's root")
    if params["keep"] < 0:
        module.fail_json(msg=f"keep can't be {params['keep']}: give a number of generations, or 0 for all")
    with failing(module):
        place = Place(params["root"])
        before = "" if params["depot"] else place.current()
        answer = {"changed": False, "current": before, "previous": before}
        if state == "listed":
            answer["generations"] = verb.depot_listed(params["depot"]) if params["depot"] else verb.listed(place)
        elif state == "pruned":
            if params["depot"]:
                answer.update(verb.depot_pruned(params["depot"], params["keep"], params["receipts"], params["trace_id"], module.check_mode))
            else:
                answer.update(verb.pruned(place, params["keep"], params["trace_id"], module.check_mode))
        else:
            target = rollback_target(place, params["generation"] if state == "active" else None)
            diff = rollback_diff(place, target)
            answer.update(changed=diff["before"] != diff["after"], current=target, diff=diff)
            if answer["changed"] and not module.check_mode:
                switch_to(place, target, before, params["trace_id"])
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
