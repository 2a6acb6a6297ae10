#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rehearse
short_description: Do without a network what hosts will do with a generation, and seal it
version_added: 0.1.0
description:
  - Builds each project from the generation's tree alone, with C(go build -mod=vendor -trimpath) and the toolchain that the tree
    carries, in a network namespace of its own (or the closest that the kernel allows, which is recorded).
  - Tools are built for the platforms that they are to be prebuilt for, and asked for their completions and man pages.
  - The SHA-256 of each binary goes into the generation, for hosts to compare theirs with. Only when all builds pass is it sealed.
extends_documentation_fragment:
  - airgap.golang.control
attributes:
  check_mode:
    support: full
    description: Says whether a rehearsal is due; nothing is built.
  diff_mode:
    support: full
    description: Shows the generation's name before and after.
  idempotent:
    support: full
    description: A sealed generation stays as it is.
options:
  generation:
    description: The number of the generation. Left out, the latest.
    type: int
  timeout:
    description: How many seconds one build may take.
    type: int
    default: 3600
seealso:
  - module: airgap.golang.gather
  - module: airgap.golang.bundle
"""

EXAMPLES = r"""
- name: Prove that the latest generation builds offline
  airgap.golang.rehearse:
    depot: /srv/airgap/depot
"""

RETURN = r"""
generation:
  description: The generation.
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
isolation:
  description: How the network was kept out; V(netns), V(bwrap) or V(environment).
  returned: success
  type: str
  sample: netns
builds:
  description: One record for each binary.
  returned: success
  type: list
  elements: dict
  sample:
    - project: yq
      output: bin/yq
      package: .
      platform: linux/amd64
      sha256: 16719325b571d56233ab85203b7adee54eae473d7e1b7306d328b6cfd93170fe
      env: {}
      flags: []
      tags: []
      argv: [go, build, -mod=vendor, -trimpath, -buildvcs=false, -o, bin/yq, .]
      size: 21370123
      seconds: 2.537
      go: go1.26.0
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "build_failed", "subject": "yq bin/yq", "expected": "", "found": "", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import rehearse as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing, reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot


def main():
    module = AnsibleModule(
        argument_spec={
            "depot": {"type": "path", "required": True},
            "generation": {"type": "int"},
            "timeout": {"type": "int", "default": 3600},
            "progress_file": {"type": "path"},
            "trace_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing(module):
        outcome = verb.rehearse(Depot(params["depot"]), params["generation"], params["trace_id"], params["timeout"], reporter(module), module.check_mode)
    for warning in outcome.warnings:
        module.warn(warning)
    summary = outcome.generation.summary()
    sealed = f"{summary['number']:06d}"
    module.exit_json(
        changed=outcome.changed,
        generation=summary,
        isolation=outcome.isolation,
        builds=outcome.builds,
        diff={"before": f"{sealed}-unsealed\n" if outcome.changed else f"{sealed}\n", "after": f"{sealed}\n"},
    )


if __name__ == "__main__":
    main()
