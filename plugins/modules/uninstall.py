#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: uninstall
short_description: Take parts away from a host, or all that was ever deployed
version_added: 0.1.0
description:
  - The parts go from the state of every generation on the host, so that going back doesn't bring them back; their links go, and whatever only
    they needed.
  - With the last part all of O(root) goes, every link, and the directories that a deploy made for them. The host is as it was found.
  - No depot on the control node is needed.
  - It's refused before anything changes while a process uses what would go.
extends_documentation_fragment:
  - airgap.golang.host
attributes:
  check_mode:
    support: full
    description: Says what would go, and how many bytes and inodes that would free.
  diff_mode:
    support: full
    description: Shows each thing that goes.
  idempotent:
    support: full
    description: A host that doesn't have the parts isn't touched.
  platform:
    support: full
    platforms: posix
    description: Linux. To see other users' processes it has to run as root.
options:
  parts:
    description: What the host shall not have any more, as in M(airgap.golang.deploy). Left out, all.
    type: list
    elements: str
    choices: [toolchain, modcache, goenv, project, tools, depot]
    default: [toolchain, modcache, goenv, project, tools, depot]
seealso:
  - module: airgap.golang.deploy
  - module: airgap.golang.generation
"""

EXAMPLES = r"""
- name: Take the projects away
  airgap.golang.uninstall:
    parts: [project]
  become: true

- name: Leave the host as it was found
  airgap.golang.uninstall:
  become: true
"""

RETURN = r"""
current:
  description: The directory of the generation that is active now, or would be; empty for none.
  returned: success
  type: str
  sample: 000001-5b0f1c9e
previous:
  description: The one that was active before.
  returned: success
  type: str
  sample: 000001-0c7d1f3a
bytes:
  description: How many bytes that frees.
  returned: success
  type: int
  sample: 402653184
inodes:
  description: How many inodes that frees.
  returned: success
  type: int
  sample: 14210
foreign:
  description: Names below O(root) that aren't ours. They stay, and O(root) with them.
  returned: success
  type: list
  elements: str
  sample: []
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "in_use", "subject": "/opt/airgap-golang", "expected": "", "found": "4711", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import uninstall as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils._host.place import Place

PARTS = ["toolchain", "modcache", "goenv", "project", "tools", "depot"]


def main():
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/opt/airgap-golang"},
            "parts": {"type": "list", "elements": "str", "choices": PARTS, "default": PARTS},
            "trace_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing(module):
        place = Place(params["root"])
        removal = verb.plan(place, params["parts"])
        changed = bool(removal.changes)
        if changed and not module.check_mode:
            verb.carry_out(place, removal, params["trace_id"])
    module.exit_json(
        changed=changed,
        current=removal.after,
        previous=removal.current,
        bytes=removal.size.bytes if changed else 0,
        inodes=removal.size.inodes if changed else 0,
        foreign=list(removal.foreign),
        diff=removal.diff(),
    )


if __name__ == "__main__":
    main()
