#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Write a generation to one signed file that can be carried
version_added: 0.1.0
description:
  - Writes an uncompressed tar of an OCI image layout, with C(README), C(SHA256SUMS) and C(SHA256SUMS.sig) as its first members.
    C(sha256sum -c), C(ssh-keygen -Y verify) and C(skopeo copy) work on it with nothing of this collection installed.
  - The signature is that of C(ssh-keygen -Y sign) with the namespace C(airgap.golang).
extends_documentation_fragment:
  - airgap.golang.control
attributes:
  check_mode:
    support: full
    description: Says whether the file would be written, and how large it would be.
  diff_mode:
    support: full
    description: Shows the file's size in bytes before and after.
  idempotent:
    support: full
    description: A file of the same size, the same C(SHA256SUMS) and a signature by the same key is not written again; its blobs are not read.
options:
  dest:
    description:
      - The directory for the bundle, which is named after the spec and the generation; or the file's own path, ending in C(.tar).
    type: path
    required: true
  generation:
    description: The number of the generation. Left out, the latest.
    type: int
  signing_key:
    description:
      - A private key that ssh-keygen can sign with unasked, or a public key whose private half is in ssh-agent.
    type: path
  allow_unsigned:
    description: Whether a bundle may be written without a signature. Receivers refuse such a bundle unless they're told otherwise.
    type: bool
    default: false
  allow_unsealed:
    description: Whether a generation may travel that no rehearsal has proved.
    type: bool
    default: false
  base:
    description:
      - The receiver's receipt (C(receipt.json) in its depot). What it holds is left out of the bundle.
    type: path
seealso:
  - module: airgap.golang.receive
"""

EXAMPLES = r"""
- name: Bundle the latest generation for the disc writer
  airgap.golang.bundle:
    depot: /srv/airgap/depot
    dest: /srv/outbox/
    signing_key: /etc/airgap/signing_ed25519
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
path:
  description: The bundle.
  returned: success
  type: str
  sample: /srv/outbox/platform-000001.tar
size:
  description: Its size in bytes.
  returned: success
  type: int
  sample: 99102720
carried:
  description: How many blobs travel, beside the manifest and the config.
  returned: success
  type: int
  sample: 48
signed:
  description: Whether it's signed.
  returned: success
  type: bool
  sample: true
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "not_sealed", "subject": "000001-unsealed", "expected": "", "found": "", "hint": "", "details": []}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import bundle as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing, reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot


def main():
    module = AnsibleModule(
        argument_spec={
            "depot": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "generation": {"type": "int"},
            "signing_key": {"type": "path", "no_log": False},
            "allow_unsigned": {"type": "bool", "default": False},
            "allow_unsealed": {"type": "bool", "default": False},
            "base": {"type": "path"},
            "progress_file": {"type": "path"},
            "trace_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["allow_unsigned"] and not params["signing_key"]:
        module.warn("this bundle is NOT SIGNED: nothing at the gap can tell who made it, and receivers refuse it by default")
    with failing(module):
        options = verb.Options(
            dest=params["dest"],
            number=params["generation"],
            signing_key=params["signing_key"] or "",
            allow_unsigned=params["allow_unsigned"],
            allow_unsealed=params["allow_unsealed"],
            base=params["base"] or "",
            check=module.check_mode,
            trace_id=params["trace_id"],
        )
        outcome = verb.bundle(Depot(params["depot"]), options, reporter(module))
    if not outcome.generation.ref.sealed:
        module.warn(f"generation {outcome.generation.ref} is NOT SEALED: no rehearsal has proved that its projects build without a network")
    module.exit_json(
        changed=outcome.changed,
        generation=outcome.generation.summary(),
        path=os.path.abspath(outcome.path),
        size=outcome.size,
        carried=outcome.carried,
        signed=bool(params["signing_key"]),
        diff={"before": f"{outcome.path}: {outcome.before} bytes\n" if outcome.before else "", "after": f"{outcome.path}: {outcome.size} bytes\n"},
    )


if __name__ == "__main__":
    main()
