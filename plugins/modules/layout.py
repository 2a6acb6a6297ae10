#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: layout
short_description: Lay a generation out for Athens or goproxy
version_added: 0.1.0
description:
  - Gives the module files of a C(GOPROXY) tree the names under which Athens' disk storage or goproxy's cache directory has them, by hard
    links where both are on one file system, else by copies.
  - The layout is made beside the one in use, then C(current) in O(dest) changes by one rename. Versions that the tree doesn't have are not in it.
  - A rollback or another deploy doesn't change the layout; run this again after it. As long as it's there, its files keep their space.
author:
  - The airgap.golang authors (!UNKNOWN)
attributes:
  check_mode:
    support: full
    description: Says what would change.
  diff_mode:
    support: full
    description: Shows each path that comes, goes or is replaced.
  idempotent:
    support: full
    description: A layout that is as it shall be isn't touched.
  platform:
    support: full
    platforms: posix
    description: Linux.
options:
  state:
    description: Whether the layout shall be there.
    type: str
    choices: [present, absent]
    default: present
  format:
    description:
      - For which server. V(athens) is C(<module>/<version>/{go.mod,source.zip,<version>.info}) with names in their real case; versions that are
        carried without their zip, for their C(go.mod), can be read and aren't in its lists.
      - V(goproxy) is the tree of the C(GOPROXY) protocol, without the checksum database.
    type: str
    choices: [athens, goproxy]
    required: true
  root:
    description: The directory that holds everything on the host.
    type: path
    default: /opt/airgap-golang
  src:
    description: The C(GOPROXY) tree. Left out, that of the active generation in O(root).
    type: path
  dest:
    description: The layout's directory, which is this module's alone. Left out, C(layouts/athens) or C(layouts/goproxy) in O(root).
    type: path
  database_cache:
    description:
      - A directory that goproxy can write to. Its C(sumdb) becomes a link to it, since goproxy stores each answer of the database that it gives.
    type: path
seealso:
  - module: airgap.golang.deploy
"""

EXAMPLES = r"""
- name: Lay the active generation out for Athens
  airgap.golang.layout:
    format: athens
  become: true

- name: Lay it out for goproxy
  airgap.golang.layout:
    format: goproxy
    database_cache: /var/cache/goproxy/sumdb
  become: true
"""

RETURN = r"""
storage:
  description: The directory to name in the server's settings; empty when the layout is absent.
  returned: success
  type: str
  sample: /opt/airgap-golang/layouts/athens/current/storage
files:
  description: How many files and links the layout has, or would have.
  returned: success
  type: int
  sample: 1312
added:
  description: How many of them weren't there.
  returned: success
  type: int
  sample: 12
removed:
  description: How many were there and aren't, or wouldn't be, any more.
  returned: success
  type: int
  sample: 3
replaced:
  description: How many are others than before.
  returned: success
  type: int
  sample: 0
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "no_generation", "subject": "/opt/airgap-golang/current/proxy", "expected": "", "found": "", "hint": "", "details": []}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import layout as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "format": {"type": "str", "choices": ["athens", "goproxy"], "required": True},
            "root": {"type": "path", "default": "/opt/airgap-golang"},
            "src": {"type": "path"},
            "dest": {"type": "path"},
            "database_cache": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    src = params["src"] or os.path.join(params["root"], "current", "proxy")
    dest = params["dest"] or os.path.join(params["root"], "layouts", params["format"])
    with failing(module):
        wanted = params["state"] == "present"
        plan = verb.plan(src, dest, params["format"], params["database_cache"] or "") if wanted else verb.plan_absent(dest)
        if plan.changed and not module.check_mode:
            verb.carry_out(plan)
    module.exit_json(
        changed=plan.changed,
        storage=plan.storage,
        files=len(plan.wanted.files) + len(plan.wanted.links),
        added=len(plan.added),
        removed=len(plan.removed),
        replaced=len(plan.replaced),
        diff=plan.diff(),
    )


if __name__ == "__main__":
    main()
