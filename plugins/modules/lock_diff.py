#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lock_diff
short_description: Show the difference between two locks in words
version_added: 0.1.0
description:
  - Compares two locks, as M(airgap.golang.gather) writes them, and says what was added, removed, moved up or down.
  - Licences are told where O(depot) has the module's zip and the Python package C(identify[license]) is installed. Advisories are told
    where O(vulndb) is given.
  - It writes nothing and needs no network.
author:
  - The airgap.golang authors (!UNKNOWN)
attributes:
  check_mode:
    support: full
    description: It does the same, since it writes nothing.
  diff_mode:
    support: full
    description: Shows both locks.
  idempotent:
    support: full
    description: The same locks have the same difference.
  platform:
    support: full
    platforms: posix
    description: The control node, Linux.
options:
  old:
    description:
      - The lock to compare with. When there is none, all of O(new) is added.
    type: path
    required: true
  new:
    description:
      - The other lock.
    type: path
    required: true
  vulndb:
    description:
      - A copy of the Go vulnerability database (a zip file or directory). By version alone, without a look at whether vulnerable code is
        reached.
    type: path
  depot:
    description:
      - A depot that has the modules, to read their licences from.
    type: path
requirements:
  - identify[license] (Python), for licences
seealso:
  - module: airgap.golang.gather
  - name: The Go vulnerability database
    description: What it holds, and its layout.
    link: https://go.dev/doc/security/vuln/database
"""

EXAMPLES = r"""
- name: Show what a merge request changes
  airgap.golang.lock_diff:
    old: main/airgap.lock
    new: airgap.lock
    vulndb: /srv/airgap/vulndb.zip
    depot: /srv/airgap/depot
  register: difference

- name: Print it
  ansible.builtin.debug:
    var: difference.words

- name: Refuse what brings advisories
  ansible.builtin.assert:
    that: difference.changes | map(attribute='brings') | flatten | length == 0
"""

RETURN = r"""
changed:
  description: Whether the locks differ. Nothing is written.
  returned: success
  type: bool
words:
  description: One sentence for each change.
  returned: success
  type: list
  elements: str
  sample:
    - moved up golang.org/x/text v0.3.6 → v0.3.7 (BSD-3-Clause), fixes GO-2021-0113
    - added 3 module versions as go.mod alone
    - pinned module golang.org/x/text@latest at v0.3.7, was v0.3.6
changes:
  description: The same as data.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description:
        - V(added), V(removed), V(moved_up), V(moved_down), or V(changed) for the same name with another hash, commit or meaning.
      type: str
      returned: always
      sample: moved_up
    what:
      description: V(module), V(gomod) (modules of which only go.mod is carried), V(toolchain), V(project), V(file) or V(pin).
      type: str
      returned: always
      sample: module
    name:
      description: The module's path, the toolchain's platform, the project's or pin's name, the file's path.
      type: str
      returned: always
      sample: golang.org/x/text
    old:
      description: The version, commit or hash before; empty when it was added.
      type: str
      returned: always
      sample: v0.3.6
    new:
      description: The version, commit or hash now; empty when it was removed.
      type: str
      returned: always
      sample: v0.3.7
    beside:
      description: Other versions of the same module, or other releases for the same platform, in O(new).
      type: list
      elements: str
      returned: always
      sample: []
    count:
      description: How many versions it stands for, where RV(changes[].what) is V(gomod); else 1.
      type: int
      returned: always
      sample: 1
    licence:
      description: SPDX identifiers of the new version's licence files; empty when not known.
      type: str
      returned: always
      sample: BSD-3-Clause
    old_licence:
      description: Those of the old version.
      type: str
      returned: always
      sample: BSD-3-Clause
    fixes:
      description: Advisories that affected the old version, and no version of it in O(new).
      type: list
      elements: str
      returned: always
      sample: [GO-2021-0113]
    brings:
      description: Advisories that affect the new version, and affected no version of it in O(old).
      type: list
      elements: str
      returned: always
      sample: []
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "lock_damaged", "subject": "airgap.lock", "expected": "", "found": "git left a merge conflict in it", "hint": "…", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import lock_diff as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing


def main():
    module = AnsibleModule(
        argument_spec={
            "old": {"type": "path", "required": True},
            "new": {"type": "path", "required": True},
            "vulndb": {"type": "path"},
            "depot": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing(module):
        compared = verb.compare_files(params["old"], params["new"], params["vulndb"] or "", params["depot"] or "")
    for warning in compared.warnings:
        module.warn(warning)
    module.exit_json(
        changed=bool(compared.changes),
        changes=[change.to_dict() for change in compared.changes],
        words=compared.words,
        diff={"before": compared.before, "after": compared.after},
    )


if __name__ == "__main__":
    main()
