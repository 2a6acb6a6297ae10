#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: request
short_description: Turn a failed offline build into a request for the next gather
version_added: 0.1.0
description:
  - Finds out which modules, toolchains and tools a project needs that aren't carried, or which ones go's error output misses,
    and writes a small file that lists them and nothing else. It's read by people, and by the connected side's
    O(airgap.golang.gather#module:requests) (the variable C(bundle_requests) of the role P(airgap.golang.bundle#role)).
  - What C(go.sum) lists is asked for as it is, a version's own files. What C(go.mod) requires and C(go.sum) doesn't know yet, and packages
    that no module provides, are asked for with all that they need in this project.
  - A project's files and the go command decide; the go command has the carried tree as its only source, and writes to a temporary
    directory alone. Nothing of the project but names of modules and versions, and its directory's name, is in the file.
author:
  - The airgap.golang authors (!UNKNOWN)
attributes:
  check_mode:
    support: full
    description: Finds out the same and writes nothing.
  diff_mode:
    support: full
    description: Shows the file before and after.
  idempotent:
    support: full
    description: The same request is not written again. When nothing is missing, the file stays as it is.
  platform:
    support: full
    platforms: posix
    description: Linux.
options:
  project:
    description:
      - The directory, on the machine that this runs on, with the project's C(go.mod) or C(go.work).
      - A project whose vendor directory has all that it builds and tests with misses no modules.
    type: path
  output:
    description:
      - What a go command printed when it failed. Prompts with the commands may be in it, and help to tell C(go install) from C(go get).
    type: str
    default: ''
  output_file:
    description: A file with the same, on the machine that this runs on.
    type: path
  root:
    description: The directory that holds everything on a host.
    type: path
    default: /opt/airgap-golang
  proxy:
    description:
      - The carried GOPROXY tree, such as C(current/proxy) in a control node's depot.
      - Left out, that of the active generation in O(root). Without one, O(output) is believed as it is.
    type: path
  go_binary:
    description:
      - The go command that reads the O(project). Left out, the active generation's in O(root), else the one on PATH.
    type: path
  dest:
    description: The file to write. Left out, the request is only returned.
    type: path
  timeout:
    description: How many seconds one go command may take.
    type: int
    default: 1800
seealso:
  - module: airgap.golang.gather
"""

EXAMPLES = r"""
- name: Ask for what a project needs and this host has not got
  airgap.golang.request:
    project: /src/billing
    dest: /tmp/billing-request.json

- name: Ask for what go complained about
  airgap.golang.request:
    output: |
      $ go install golang.org/x/vuln/cmd/govulncheck@v1.1.4
      go: golang.org/x/vuln/cmd/govulncheck@v1.1.4: golang.org/x/vuln/cmd/govulncheck@v1.1.4: reading file:///…: no such file or directory
    dest: request.json
"""

RETURN = r"""
request:
  description:
    - The document. Its C(bundle_modules), C(bundle_toolchains) and C(bundle_tools) have the form of the role's variables.
    - In C(airgap_golang_request) it says for which project it is, and for each entry why it's there.
  returned: success
  type: dict
  sample:
    airgap_golang_request:
      schema: 1
      project: billing
      asked_by:
        go1.27.3: go.mod asks for it
        rsc.io/quote@v1.5.2: go.mod requires it, and go.sum doesn't know it
        rsc.io/sampler@v1.3.0: go.sum lists it
    bundle_modules:
      - {"module": "rsc.io/quote@v1.5.2", "closure": "packages", "beside": ["rsc.io/sampler@v1.3.0"]}
      - {"module": "rsc.io/sampler@v1.3.0", "closure": "itself"}
    bundle_toolchains:
      - {"version": "1.27.3", "platforms": ["linux/amd64"]}
    bundle_tools: []
missing:
  description: How many things are asked for.
  returned: success
  type: dict
  sample: {"modules": 2, "toolchains": 1, "tools": 0, "total": 3}
not_understood:
  description:
    - Lines of go's that name nothing which could be carried, such as an error in the source. They aren't in the request.
    - When there are only such lines, the module fails.
  returned: success
  type: list
  elements: str
  sample: ["main.go:4:8: package nosuch/pkg is not in std (/opt/airgap-golang/current/go/src/nosuch/pkg)"]
dest:
  description: The file, as it was given; empty when none was.
  returned: success
  type: str
  sample: /tmp/billing-request.json
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "not_understood", "subject": "main.go:3:1: expected declaration", "expected": "", "found": "", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import request as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing


def main():
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "path"},
            "output": {"type": "str", "default": ""},
            "output_file": {"type": "path"},
            "root": {"type": "path", "default": "/opt/airgap-golang"},
            "proxy": {"type": "path"},
            "go_binary": {"type": "path"},
            "dest": {"type": "path"},
            "timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    parameters = {name: value or "" for name, value in module.params.items() if name != "timeout"}
    with failing(module):
        result = verb.request(verb.Options(timeout=module.params["timeout"], **parameters), module.check_mode)
    if result["not_understood"]:
        module.warn(f"{len(result['not_understood'])} lines of go's name nothing that could be carried; see not_understood")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
