#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Return a host to the generation before, with nothing transferred
version_added: 0.1.0
description:
  - Points C(current) in O(root) at the generation before the active one, by one rename. That is the next lower number that was deployed
    here. Toolchain, settings, module proxy, projects and tools change together.
  - The links of tools outside of O(root) become what they were with that generation.
author:
  - The airgap.golang authors (!UNKNOWN)
attributes:
  check_mode:
    support: full
    description: Says which generation would be active.
  diff_mode:
    support: full
    description: Shows the active generation's directory before and after, and each tool's link that changes.
  idempotent:
    support: partial
    description: With O(generation); without it, each run goes back one generation further.
  platform:
    support: full
    platforms: posix
    description: Linux.
options:
  root:
    description: The directory that holds everything on the host.
    type: path
    default: /opt/airgap-golang
  generation:
    description: The number of the generation to go to. Left out, the one before the active one.
    type: int
  trace_id:
    description:
      - The run's identifier, which goes into the host's audit log.
    type: str
    default: ''
seealso:
  - module: airgap.golang.deploy
"""

EXAMPLES = r"""
- name: Go back one generation
  airgap.golang.rollback:
  become: true
"""

RETURN = r"""
current:
  description: The directory of the generation that is active now, or would be.
  returned: success
  type: str
  sample: 000001-5b0f1c9e
previous:
  description: The one that was active before.
  returned: success
  type: str
  sample: 000002-0c7d1f3a
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "no_generation", "subject": "/opt/airgap-golang", "expected": "", "found": "", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils._host.place import Place
from ansible_collections.airgap.golang.plugins.module_utils._host.switch import rollback_diff, rollback_target, switch_to


def main():
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/opt/airgap-golang"},
            "generation": {"type": "int"},
            "trace_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing(module):
        host = Place(params["root"])
        before = host.current()
        target = rollback_target(host, params["generation"])
        diff = rollback_diff(host, target)
        changed = diff["before"] != diff["after"]
        if changed and not module.check_mode:
            switch_to(host, target, before, params["trace_id"])
    module.exit_json(changed=changed, current=target, previous=before, diff=diff)


if __name__ == "__main__":
    main()
