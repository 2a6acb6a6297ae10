#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: receive
short_description: Verify a bundle from its first to its last byte, and admit it into a depot
version_added: 0.1.0
description:
  - Proves the signature before anything else is read, then every byte against SHA256SUMS and the manifest, then the C(h1) hash
    of every module zip and go.mod against what was proved when it was gathered. Only when all of it fits does anything get its name in the depot.
  - The checksum database that travels along is proved again, by a key that is this side's. Each public module must be what its record
    says, each record must be under the signed head, and the head must lead on from those that this depot's generations have.
  - One damaged byte refuses the whole bundle, with the name of what is damaged.
extends_documentation_fragment:
  - airgap.golang.control
attributes:
  check_mode:
    support: full
    description: Reads and proves the bundle as a run would, says what would be admitted, and admits nothing.
  diff_mode:
    support: full
    description: Shows the depot's generations before and after.
  idempotent:
    support: full
    description: A generation that is there already is not admitted again.
options:
  src:
    description: The bundle.
    type: path
    required: true
  allowed_signers:
    description:
      - Who may sign, in the form of ssh-keygen's allowed signers file.
      - An unsigned bundle, or one by anybody else, is refused.
    type: path
  allow_unsigned:
    description:
      - Whether to take a bundle that isn't signed, or whose signer nobody checks since O(allowed_signers) is left out.
    type: bool
    default: false
  allow_unsealed:
    description: Whether to take a generation that no rehearsal has proved.
    type: bool
    default: false
  gosumdb:
    description:
      - Checksum databases beside sum.golang.org whose keys are known here, C(name+hash+key) each, like E(GOSUMDB).
      - A signed bundle may bring a database of its own that isn't named here; from then on the depot knows it by that key alone.
        An unsigned bundle may not. The key of sum.golang.org is built in.
    type: list
    elements: str
    default: []
requirements:
  - cryptography (Python), which ansible-core needs as well
seealso:
  - module: airgap.golang.bundle
  - module: airgap.golang.deploy
"""

EXAMPLES = r"""
- name: Take the disc's bundle in
  airgap.golang.receive:
    depot: /srv/airgap/depot
    src: /media/disc/platform-000001.tar
    allowed_signers: /etc/airgap/allowed_signers
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
signer:
  description: Who signed it, as the allowed signers file calls them; empty for nobody.
  returned: success
  type: str
  sample: releases@example.com
new_blobs:
  description: How many blobs the depot lacked.
  returned: success
  type: int
  sample: 48
new_bytes:
  description: Their size in bytes.
  returned: success
  type: int
  sample: 99015109
receipt:
  description: The depot's receipt, for the connected side to bundle the next difference against.
  returned: success
  type: str
  sample: /srv/airgap/depot/receipt.json
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "unknown_signer", "subject": "bundle platform-000001.tar", "expected": "", "found": "", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import receive as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing, reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot


def main():
    module = AnsibleModule(
        argument_spec={
            "depot": {"type": "path", "required": True},
            "src": {"type": "path", "required": True},
            "allowed_signers": {"type": "path"},
            "allow_unsigned": {"type": "bool", "default": False},
            "allow_unsealed": {"type": "bool", "default": False},
            "gosumdb": {"type": "list", "elements": "str", "default": []},
            "progress_file": {"type": "path"},
            "trace_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing(module):
        depot = Depot(params["depot"])
        refs = sorted(depot.index())
        options = verb.Options(
            path=params["src"],
            allowed_signers=params["allowed_signers"] or "",
            allow_unsigned=params["allow_unsigned"],
            allow_unsealed=params["allow_unsealed"],
            gosumdb=params["gosumdb"],
            check=module.check_mode,
            trace_id=params["trace_id"],
        )
        outcome = verb.receive(depot, options, reporter(module))
    if not outcome.signer:
        module.warn(f"WHO MADE {params['src']} WAS NOT CHECKED: it was taken because allow_unsigned is set")
    if not outcome.generation.ref.sealed:
        module.warn(f"generation {outcome.generation.ref} is NOT SEALED: no rehearsal has proved that its projects build without a network")
    before = [str(ref) for ref in refs]
    after = [str(ref) for ref in sorted({*refs, outcome.generation.ref})]
    module.exit_json(
        changed=outcome.changed,
        generation=outcome.generation.summary(),
        signer=outcome.signer,
        new_blobs=outcome.new_blobs,
        new_bytes=outcome.new_bytes,
        receipt=outcome.receipt,
        diff={"before": "".join(f"{ref}\n" for ref in before), "after": "".join(f"{ref}\n" for ref in after)},
    )


if __name__ == "__main__":
    main()
