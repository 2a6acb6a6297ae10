#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: upload
short_description: Put a generation to a raw repository by HTTP PUT
version_added: 0.1.0
description:
  - Puts a generation's C(GOPROXY) tree, its blobs or both below a base URL of a raw repository (Nexus, Artifactory) or WebDAV server. The
    URL is a C(GOPROXY) then, checksum database included; blobs are at C(depot/blobs/sha256/) below it, with C(depot/index.json).
  - What is there already isn't sent. Files that can't change under their names are known by their size, and by a checksum where the server
    gives one (C(X-Checksum-Sha256), or Nexus' C(ETag)); lists and records of the checksum database by their content.
  - Files that name others come last, so that a reader never finds a list that names what isn't there. A rerun after a failure sends the rest.
  - Nothing is deleted on the server.
extends_documentation_fragment:
  - airgap.golang.control
attributes:
  check_mode:
    support: full
    description: Asks the server what it has, and says what would be sent.
  diff_mode:
    support: full
    description: Shows each file that is sent.
  idempotent:
    support: full
    description: What the server has isn't sent again. A server that doesn't answer C(HEAD) gets everything each time.
options:
  url:
    description: The base URL, C(http) or C(https).
    type: str
    required: true
  contents:
    description: What to put. V(proxy) is the C(GOPROXY) tree, V(depot) the blobs and their index.
    type: list
    elements: str
    choices: [proxy, depot]
    default: [proxy]
  generation:
    description: The number of the generation, which must be sealed. Left out, the latest.
    type: int
  url_username:
    description: The user for basic authentication.
    type: str
  url_password:
    description: The password for it.
    type: str
  token:
    description: A bearer token, in place of user and password.
    type: str
  ca_path:
    description: A file of PEM certificates on the control node to trust, in place of the system's.
    type: path
  validate_certs:
    description: Whether the server's certificate is verified.
    type: bool
    default: true
  connections:
    description: How many connections to use.
    type: int
    default: 8
  timeout:
    description: After how many seconds without an answer a connection is given up.
    type: int
    default: 60
  retries:
    description: How often a file is tried again when the connection breaks or the server is busy.
    type: int
    default: 4
seealso:
  - module: airgap.golang.receive
"""

EXAMPLES = r"""
- name: Let a raw repository be a GOPROXY
  airgap.golang.upload:
    depot: /srv/airgap/depot
    url: https://nexus.corp.example/repository/go-raw
    url_username: publisher
    url_password: "{{ vault_nexus_password }}"
    ca_path: /etc/pki/corp.pem
  delegate_to: localhost
"""

RETURN = r"""
generation:
  description: The generation, as RV(airgap.golang.bundle#module:generation).
  returned: success
  type: dict
  sample: {"name": "platform", "generation": "000001", "number": 1, "sealed": true}
url:
  description: The base URL, without credentials.
  returned: success
  type: str
  sample: https://nexus.corp.example/repository/go-raw
sent:
  description: How many files were sent, or would be.
  returned: success
  type: int
  sample: 812
bytes:
  description: Their size in bytes.
  returned: success
  type: int
  sample: 98812345
present:
  description: How many the server had already.
  returned: success
  type: int
  sample: 0
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "upload_failed", "subject": "https://nexus.corp.example", "expected": "", "found": "PUT was answered with 403", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import upload as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing, reporter
from ansible_collections.airgap.golang.plugins.module_utils._base.uploads import Server
from ansible_collections.airgap.golang.plugins.module_utils._base.urls import basic_header, public_url, scheme_of
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot


def authorization(params):
    """The header's value; "" for none."""
    if params["token"]:
        return f"Bearer {params['token']}"
    if params["url_username"]:
        return basic_header(params["url_username"], params["url_password"] or "")
    return ""


def main():
    module = AnsibleModule(
        argument_spec={
            "depot": {"type": "path", "required": True},
            "url": {"type": "str", "required": True},
            "contents": {"type": "list", "elements": "str", "choices": ["proxy", "depot"], "default": ["proxy"]},
            "generation": {"type": "int"},
            "url_username": {"type": "str"},
            "url_password": {"type": "str", "no_log": True},
            "token": {"type": "str", "no_log": True},
            "ca_path": {"type": "path"},
            "validate_certs": {"type": "bool", "default": True},
            "connections": {"type": "int", "default": 8},
            "timeout": {"type": "int", "default": 60},
            "retries": {"type": "int", "default": 4},
            "progress_file": {"type": "path"},
            "trace_id": {"type": "str", "default": ""},
        },
        mutually_exclusive=[("token", "url_username")],
        required_by={"url_password": ("url_username",)},
        supports_check_mode=True,
    )
    params = module.params
    header = authorization(params)
    shown = public_url(params["url"])
    if header and scheme_of(params["url"]) == "http":
        module.warn(f"{shown}: the credentials travel unencrypted; use https")
    with failing(module):
        server = Server(
            url=params["url"],
            authorization=header,
            ca_path=params["ca_path"] or "",
            validate_certs=params["validate_certs"],
            connections=params["connections"],
            timeout=params["timeout"],
            retries=params["retries"],
        )
        options = verb.Options(server, tuple(params["contents"]), params["generation"], module.check_mode, params["trace_id"])
        outcome = verb.upload(Depot(params["depot"]), options, reporter(module))
    module.exit_json(
        changed=outcome.changed,
        generation=outcome.generation.summary(),
        url=shown,
        sent=len(outcome.sent),
        bytes=outcome.bytes,
        present=outcome.present,
        diff=outcome.diff(shown),
    )


if __name__ == "__main__":
    main()
