#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: modcache
short_description: Prove again what Go software is on a host's disk, and repair what isn't as it was carried
version_added: 0.1.0
description:
  - Reads every file that belongs to the host's generation and compares it with the generation's manifest. That covers blobs, trees, projects
    with their vendor directories, toolchains, the module cache, and the links and settings of the generation's directory. What is
    changed, missing or stray, or has another mode or owner, is told by name.
  - With O(state=repaired) what is wrong is set right, and nothing else. Files are made again from the host's own blobs, beside their place, and take it by one
    rename. Only blobs that are damaged themselves come from the control node's O(depot).
  - A C(GOMODCACHE) or a vendor directory that this collection didn't make can be examined too, with O(path) and O(vendor).
extends_documentation_fragment:
  - airgap.golang.host
attributes:
  check_mode:
    support: full
    description: Says what would be repaired, and how many bytes would come to the host.
  diff_mode:
    support: full
    description: Shows each path that would be repaired, or was, before and after.
  idempotent:
    support: full
    description: A host where nothing is wrong is not touched.
  platform:
    support: full
    platforms: posix
    description: Linux, on the architectures that Go has toolchains for.
options:
  state:
    description:
      - V(verified) examines and changes nothing.
      - V(repaired) also sets right what is wrong, then examines again.
    type: str
    choices: [verified, repaired]
    default: verified
  what:
    description:
      - What to examine of O(root). Left out, everything.
      - V(projects) are the projects' sources and vendor directories; V(trees) are the rest of a generation's files, its C(GOPROXY) among them.
    type: list
    elements: str
    choices: [blobs, trees, projects, toolchains, modcache, links]
    default: [blobs, trees, projects, toolchains, modcache, links]
  generations:
    description: Whether to examine the active generation alone, or all that the host keeps.
    type: str
    choices: [active, all]
    default: active
  depot:
    description:
      - A depot directory on the control node.
      - When given, the manifests on the host must be those of this depot, and damaged blobs are sent from it.
    type: path
  path:
    description:
      - A C(GOMODCACHE) that this collection didn't make, examined in place of O(root). It's never changed.
    type: path
  gosum:
    description:
      - C(go.sum) files on the host. Modules in O(path) must be what they say. One that they don't name must be what the cache's own C(.ziphash) says.
    type: list
    elements: path
    default: []
  vendor:
    description:
      - Directories of projects whose C(vendor) this collection didn't make, examined in place of O(root).
      - Each is compared with its C(modules.txt), its C(go.mod), and the modules' zips in O(path) or O(root) that its C(go.sum) vouches for.
        A file that C(go mod vendor) would have copied must be there, C headers, embedded and other files included.
      - With O(state=repaired) files are written again from the zips, and stray ones in C(vendor) removed.
    type: list
    elements: path
    default: []
  fail_on_findings:
    description: Whether findings are a failure. With O(state=repaired), those that were left.
    type: bool
    default: false
  report:
    description: A file on the host to which all findings are written, as JSON. Its directory must be there. The answer lists 200 at most.
    type: path
  workers:
    description: How many processes read. Left out, one for each processor, 8 at most.
    type: int
  request:
    description: What the control node's action plugin says to the host. Not for users.
    type: str
seealso:
  - module: airgap.golang.deploy
  - module: airgap.golang.build_check
"""

EXAMPLES = r"""
- name: Prove again what is on the host
  airgap.golang.modcache:
    depot: /srv/airgap/depot
  register: proof
  become: true

- name: Repair what is wrong
  airgap.golang.modcache:
    state: repaired
    depot: /srv/airgap/depot
  become: true

- name: Examine the cache of a build account
  airgap.golang.modcache:
    path: /home/builder/go/pkg/mod
    gosum: [/home/builder/app/go.sum]
    fail_on_findings: true

- name: Write again what a project's vendor directory lacks
  airgap.golang.modcache:
    state: repaired
    vendor: [/home/builder/app]
"""

RETURN = r"""
findings:
  description: What was found, at most 200; in a repair, before it.
  returned: success, and failure because of findings
  type: list
  elements: dict
  contains:
    kind:
      description: V(blob), V(tree), V(project), V(vendor), V(toolchain), V(modcache) or V(link).
      type: str
      returned: always
      sample: modcache
    subject:
      description: The blob, generation, project, module version or link.
      type: str
      returned: always
      sample: github.com/google/uuid@v1.6.0
    path:
      description: The absolute path.
      type: str
      returned: always
      sample: /opt/airgap-golang/modcache/github.com/google/uuid@v1.6.0/uuid.go
    problem:
      description: V(changed), V(missing), V(stray), V(mode) or V(owner).
      type: str
      returned: always
      sample: changed
    expected:
      description: What should be there, such as a SHA-256, an h1, a mode or a link's target. Empty where the path says it.
      type: str
      returned: always
      sample: 0f7d2d4a4b7cbb4b8b8d5ce0f35fd9d5ad2b8e7a3c3c3c9d1d6a5a1f6c6c5f11
    found:
      description: What is there.
      type: str
      returned: always
      sample: 9a3c1d6a5a1f6c6c5f110f7d2d4a4b7cbb4b8b8d5ce0f35fd9d5ad2b8e7a3c3c
total:
  description: How many findings there are.
  returned: success, and failure because of findings
  type: int
  sample: 1
summary:
  description: How many findings have which problem.
  returned: success, and failure because of findings
  type: dict
  sample: {"changed": 1}
checked:
  description: How many blobs, trees, projects, vendor directories, toolchains, module versions and generation directories (V(link)) were examined.
  returned: success, and failure because of findings
  type: dict
  sample: {"blob": 44, "link": 1, "modcache": 38, "project": 1, "toolchain": 1, "tree": 1, "vendor": 1}
unproved:
  description: Vendored modules that have no zip here that C(go.sum) vouches for, so that their files weren't compared.
  returned: success, and failure because of findings
  type: list
  elements: str
  sample: []
bytes:
  description: How many bytes were read.
  returned: success, and failure because of findings
  type: int
  sample: 402653184
seconds:
  description: How long the examination took.
  returned: success, and failure because of findings
  type: float
  sample: 1.7
transferred:
  description: How many bytes of blobs came from the control node, or would come.
  returned: when O(state=repaired)
  type: int
  sample: 0
left:
  description: Findings that a person has to decide about, at most 200. Files that lie in a project's source and don't belong there are such.
  returned: when O(state=repaired)
  type: list
  elements: dict
  sample: []
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "findings", "subject": "/opt/airgap-golang/modcache/…/uuid.go", "expected": "0f7d…", "found": "9a3c…", "hint": "…", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import modcache as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils.forensics import WHAT


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["verified", "repaired"], "default": "verified"},
            "root": {"type": "path", "default": "/opt/airgap-golang"},
            "what": {"type": "list", "elements": "str", "choices": list(WHAT), "default": list(WHAT)},
            "generations": {"type": "str", "choices": ["active", "all"], "default": "active"},
            "depot": {"type": "path"},
            "path": {"type": "path"},
            "gosum": {"type": "list", "elements": "path", "default": []},
            "vendor": {"type": "list", "elements": "path", "default": []},
            "fail_on_findings": {"type": "bool", "default": False},
            "report": {"type": "path"},
            "workers": {"type": "int"},
            "request": {"type": "str", "no_log": True},
            "trace_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    with failing(module):
        answer = verb.run(verb.Options.of(module.params), module.check_mode)
    if "failure" in answer:
        module.fail_json(**answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
