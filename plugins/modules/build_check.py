#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: build_check
short_description: Build a host's projects without a network and compare the binaries with the rehearsal's
version_added: 0.1.0
description:
  - Builds every binary of the active generation's projects on the host that it runs on, from the carried source, vendor
    directory and toolchain alone, and compares its SHA-256 with that of the rehearsal on the connected side.
  - A build runs as an unprivileged user, in a network namespace of its own without any interface but loopback, from an empty
    environment, in a private scratch directory. That there is no route is tried out, and the proof is recorded.
  - A binary that is right is installed below C(builds/) in O(root) with an attestation beside it. It is built again only when the
    generation, the binary or the attestation has changed.
  - All results are written as JSON and as JUnit XML.
  - With O(compare_only=true) it only looks. Everything is built in a scratch directory and compared, nothing is installed or written, and
    a build that differs or fails is a result, not the task's failure.
author:
  - The airgap.golang authors (!UNKNOWN)
attributes:
  check_mode:
    support: full
    description: Says which binaries would be built. With O(compare_only=true) it's the same as without, since that changes nothing.
  diff_mode:
    support: full
    description: Shows the SHA-256 of each binary that is to be built, as it is and as it will be.
  idempotent:
    support: full
    description: Binaries that are attested and unchanged are not built again, unless O(force=true).
  platform:
    support: full
    platforms: posix
    description: Linux, on the architectures that Go has toolchains for.
options:
  root:
    description:
      - The directory that holds the depot, the module cache and the generations on the host.
    type: path
    default: /opt/airgap-golang
  projects:
    description:
      - Names of the projects to build.
      - Left out or empty, all projects of the active generation are built.
    type: list
    elements: str
    default: []
  user:
    description:
      - The unprivileged user to build as, by name or number.
      - Ignored unless the module runs as root; it builds as the user that it runs as then.
    type: str
    default: nobody
  force:
    description:
      - Whether to build again what is attested already.
    type: bool
    default: false
  report_dir:
    description:
      - The directory that the reports are written to.
      - Left out, the generation's own directory below C(builds/) in O(root).
    type: path
  timeout:
    description:
      - How many seconds one build may take.
    type: int
    default: 1800
  compare_only:
    description:
      - Whether to build everything in a scratch directory, compare, and leave the host as it is. O(force) and O(report_dir) don't matter then.
    type: bool
    default: false
  scratch_dir:
    description:
      - The directory in which O(compare_only) makes its scratch directory. It must be there, and have room for the build cache.
    type: path
    default: /var/tmp
seealso:
  - name: Perfectly reproducible Go toolchains
    description: Why the same source and the same toolchain give the same binary.
    link: https://go.dev/blog/rebuild
"""

EXAMPLES = r"""
- name: Build all projects of the active generation, and compare
  airgap.golang.build_check:
  become: true

- name: Build one project again as the user that will run it
  airgap.golang.build_check:
    projects: [yq]
    user: builder
    force: true
    report_dir: /var/lib/reports
  become: true

- name: See whether this host still builds what the rehearsal built, and leave it as it is
  airgap.golang.build_check:
    compare_only: true
  register: compared
  failed_when: compared.summary.differs + compared.summary.failed > 0
  become: true
"""

RETURN = r"""
generation:
  description: The generation that was built, and the digest of the document that describes it.
  returned: success, and failure after builds were tried
  type: dict
  sample: {"name": "platform", "number": 7, "digest": "sha256:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92"}
state:
  description: What is active on the host, the directory, the parts and the toolchain that users call; empty for none.
  returned: with O(compare_only=true)
  type: dict
  sample: {"current": "000007-5b0f1c9e", "platform": "linux/amd64", "parts": ["modcache", "project", "toolchain"], "toolchain": "1.26.8"}
isolation:
  description:
    - How the builds were kept from the network. Empty when nothing was built.
    - Its C(method) is V(netns) for a network namespace, V(bwrap) for bubblewrap, V(environment) where the host allows neither.
  returned: success, and failure after builds were tried
  type: dict
  sample: {"method": "netns", "proof": "proved: no route (ENETUNREACH)", "user": "nobody"}
builds:
  description: One entry for each binary, in the generation's order.
  returned: success, and failure after builds were tried
  type: list
  elements: dict
  contains:
    project:
      description: The project's name.
      type: str
      returned: always
      sample: yq
    output:
      description: The binary's path below the project's directory.
      type: str
      returned: always
      sample: bin/yq
    package:
      description: The package that was built.
      type: str
      returned: always
      sample: .
    platform:
      description: The operating system and architecture that the binary is for.
      type: str
      returned: always
      sample: linux/amd64
    toolchain:
      description: The Go release.
      type: str
      returned: always
      sample: 1.26.8
    path:
      description: Where the binary is installed.
      type: str
      returned: always
      sample: /opt/airgap-golang/builds/000007/yq/bin/yq
    attestation:
      description: Where its attestation is.
      type: str
      returned: always
      sample: /opt/airgap-golang/builds/000007/yq/bin/yq.attestation.json
    status:
      description:
        - V(attested) was right already, V(built) came out right now, V(mismatch) gave another binary, V(failed) gave none,
          V(would_build) is to be built (in check mode).
        - With O(compare_only=true), V(identical) came out as it must, V(differs) gave another binary, V(failed) gave none.
      type: str
      returned: always
      sample: built
    expected:
      description: The SHA-256 of the rehearsal's binary.
      type: str
      returned: always
      sample: 0f7d2d4a4b7cbb4b8b8d5ce0f35fd9d5ad2b8e7a3c3c3c9d1d6a5a1f6c6c5f11
    sha256:
      description: The SHA-256 of this host's binary; empty when there is none.
      type: str
      returned: always
      sample: 0f7d2d4a4b7cbb4b8b8d5ce0f35fd9d5ad2b8e7a3c3c3c9d1d6a5a1f6c6c5f11
    size:
      description: The binary's size in bytes.
      type: int
      returned: always
      sample: 11374754
    seconds:
      description: How long the build took, when it was last built here.
      type: float
      returned: always
      sample: 21.4
    installed:
      description:
        - What is at RV(builds[].path). V(attested) is the right binary with its attestation, V(absent) nothing, V(changed) anything else.
      type: str
      returned: with O(compare_only=true)
      sample: attested
    message:
      description: What went wrong; empty when nothing did.
      type: str
      returned: always
      sample: ""
summary:
  description: How many builds have which status.
  returned: success, and failure after builds were tried
  type: dict
  sample: {"attested": 0, "built": 2, "mismatch": 0, "failed": 0, "would_build": 0}
reports:
  description: Where the reports are. Empty with O(compare_only=true).
  returned: success, and failure after builds were tried
  type: dict
  sample: {"json": "/opt/airgap-golang/builds/000007/report.json", "junit": "/opt/airgap-golang/builds/000007/report.xml"}
failure:
  description: What went wrong, for programs; C(details) has one entry for each build that did not give the rehearsal's binary.
  returned: failure
  type: dict
  sample: {"code": "build_failed", "subject": "yq bin/yq", "expected": "0f7d…", "found": "9a3c…", "hint": "…", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils.build_check import Options, check, compare


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/opt/airgap-golang"},
            "projects": {"type": "list", "elements": "str", "default": []},
            "user": {"type": "str", "default": "nobody"},
            "force": {"type": "bool", "default": False},
            "report_dir": {"type": "path"},
            "timeout": {"type": "int", "default": 1800},
            "compare_only": {"type": "bool", "default": False},
            "scratch_dir": {"type": "path", "default": "/var/tmp"},
        },
        supports_check_mode=True,
    )
    parameters = dict(module.params, report_dir=module.params["report_dir"] or "")
    compare_only = parameters.pop("compare_only")
    with failing(module):
        options = Options(**parameters)
        result = compare(options) if compare_only else check(options, module.check_mode)
    if "failure" in result:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
