#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy
short_description: Bring a host to a generation, with what it lacks delivered over Ansible's own connection or pulled from a mirror
version_added: 0.1.0
description:
  - Takes the whole wished state of a host, or the parts that are asked for, and does it at once. One probe, one transfer of the
    blobs that the host lacks, one step that admits and activates. An unchanged host costs the probe alone, which has a digest in it
    and no more.
  - Every blob is proved against the manifest before it's used. Toolchains and modules are unpacked beside their places and
    renamed. The one rename of C(current) in O(root) is what users see.
  - Works over any connection that can copy a file. The host needs Python 3.8 and coreutils, no Go, no compiler and no network.
extends_documentation_fragment:
  - airgap.golang.host
attributes:
  check_mode:
    support: full
    description: Says what differs, and how many bytes and inodes would come to the host.
  diff_mode:
    support: full
    description: Shows each thing that differs before and after, settings by line.
  idempotent:
    support: full
    description: A host that has what is wished is not touched.
  platform:
    support: full
    platforms: posix
    description: Linux, on the architectures that the generation carries toolchains for.
options:
  depot:
    description: The depot directory on the control node.
    type: path
    required: true
  generation:
    description: The number of the generation. Left out, the latest sealed one.
    type: int
  parts:
    description:
      - What the host shall have. Parts that it has already stay, and move to the same generation.
      - V(toolchain) is one Go release, with C(go) and C(gofmt) linked into O(link_dir).
      - V(modcache) is a shared, unpacked C(GOMODCACHE), and all toolchains for the host's platform.
      - V(goenv) is the settings that every user, job and later toolchain sees with C(go env).
      - V(project) is the projects' vendored sources, ready to build.
      - V(tools) is the programs that are carried prebuilt for the host's platform, linked into O(tools_dir).
      - V(depot) is the whole generation, with other platforms' toolchains and tools and resource files, fit for serving.
    type: list
    elements: str
    choices: [toolchain, modcache, goenv, project, tools, depot]
    default: [toolchain, modcache, goenv, project, tools]
  toolchain:
    description: The Go version that C(go) shall be. Left out, the newest that is carried for the host's platform.
    type: str
  goenv:
    description: The content of C(go.env), lines of C(NAME=value).
    type: str
    default: ''
  projects:
    description: The names of the projects that the host shall have. Left out, all.
    type: list
    elements: str
  link_dir:
    description: Where to link C(go) and C(gofmt), an absolute path. Empty for no links.
    type: path
    default: /usr/local/bin
  tools:
    description: The names of the prebuilt tools that the host shall have. Left out, all that are carried for its platform.
    type: list
    elements: str
  tools_dir:
    description:
      - Where to link the tools, an absolute path. Empty for no links; they are in C(current/tools) in O(root) anyway.
      - Links of ours go when their tools do, and come back with a rollback. What isn't ours is never replaced.
    type: path
    default: /usr/local/bin
  tools_completions:
    description:
      - Whether the shell completions that come with the tools are linked where shells look for them, each in its directory of
        O(tools_completions_dirs), made where it lacks. These links go and come back like those of the tools.
    type: bool
    default: false
  tools_completions_dirs:
    description: The directories of completions, absolute paths. Empty for none of that shell.
    type: dict
    suboptions:
      bash:
        description: Where bash's are, as C(<tool>).
        type: path
        default: /usr/local/share/bash-completion/completions
      zsh:
        description: Where zsh's are, as C(_<tool>).
        type: path
        default: /usr/local/share/zsh/site-functions
      fish:
        description: Where fish's are, as C(<tool>.fish).
        type: path
        default: /usr/local/share/fish/vendor_completions.d
  tools_man:
    description: Whether the man pages that come with the tools are linked below O(tools_man_dir).
    type: bool
    default: false
  tools_man_dir:
    description: Where man pages are, an absolute path; each is in the directory of its section there, as C(man1/<tool>.1).
    type: path
    default: /usr/local/share/man
  transfer:
    description:
      - How blobs come to the host.
      - V(push) sends them over Ansible's own connection. V(pull) has the host fetch them from O(mirrors); the control node sends
        kilobytes then. V(auto) pulls what the mirrors have and pushes the rest.
      - Either way each blob is proved by its digest. What has come whole is kept when a transfer breaks off; a blob that is pulled goes on at
        the byte where it broke off.
    type: str
    choices: [push, pull, auto]
    default: push
  mirrors:
    description:
      - URLs of depots that are served over HTTP or HTTPS, as the host sees them. Blobs lie at C(blobs/sha256/<hex>) below.
      - They're asked in this order, for each blob until one has it. Proxies of the environment aren't used.
    type: list
    elements: str
  mirror_ca:
    description:
      - What the mirrors' certificates are verified by, as PEM text or the path of a file on the host. Left out, the host's own CAs.
    type: str
  mirror_user:
    description: The user name for the mirrors, by basic authentication. Left out, there is none.
    type: str
  mirror_password:
    description: That user's password.
    type: str
  mirror_timeout:
    description: How many seconds a mirror may send nothing.
    type: int
    default: 30
  http_agent:
    description: How the host calls itself to mirrors.
    type: str
    default: airgap.golang
  keep:
    description:
      - How many generations stay on the host when this one is active. The ones that were active last stay, this one among them; what only
        older ones needed goes, but for what a running process uses. See M(airgap.golang.generation).
      - V(0) for all.
    type: int
    default: 0
  request:
    description: What the control node's action plugin says to the host. Not for users.
    type: str
seealso:
  - module: airgap.golang.build_check
  - module: airgap.golang.generation
  - module: airgap.golang.uninstall
"""

EXAMPLES = r"""
- name: Bring the host to the latest generation
  airgap.golang.deploy:
    depot: /srv/airgap/depot
    goenv: |
      GOPROXY=file:///opt/airgap-golang/current/proxy
      GOMODCACHE=/opt/airgap-golang/modcache
      GOSUMDB=sum.golang.org
  become: true

- name: Let the host fetch what it lacks from a mirror of its own site, and send what that hasn't got
  airgap.golang.deploy:
    depot: /srv/airgap/depot
    transfer: auto
    mirrors:
      - https://mirror.site.example/depot
  become: true

- name: Only a toolchain
  airgap.golang.deploy:
    depot: /srv/airgap/depot
    parts: [toolchain]
    toolchain: 1.26.8
  become: true
"""

RETURN = r"""
generation:
  description: The generation that the host has, or would have.
  returned: success
  type: str
  sample: '000001'
current:
  description: The active generation's directory on the host.
  returned: success
  type: str
  sample: 000001-5b0f1c9e
previous:
  description: The one that was active before; empty for none.
  returned: success
  type: str
  sample: ''
platform:
  description: The host's operating system and architecture, as Go names them.
  returned: success
  type: str
  sample: linux/amd64
transferred:
  description: How many bytes of blobs came to the host, or would. What an earlier run had brought before it broke off isn't among them.
  returned: success
  type: int
  sample: 94871552
pulled:
  description: How many of these bytes the host fetched from a mirror.
  returned: success
  type: int
  sample: 0
bytes:
  description: How many bytes come to lie on the host, unpacked modules included.
  returned: success
  type: int
  sample: 402653184
inodes:
  description: How many files that is, about.
  returned: success
  type: int
  sample: 14210
modules:
  description: How many module versions are brought into the module cache, those of which only the go.mod is needed included.
  returned: success
  type: int
  sample: 44
pruned:
  description: What went from the host after the switch, or would go, by O(keep).
  returned: success
  type: dict
  contains:
    removed:
      description: Each thing by name.
      type: list
      elements: str
    bytes:
      description: How many bytes that frees.
      type: int
    inodes:
      description: How many inodes.
      type: int
    in_use:
      description: What would have gone and stays, with the process that uses it.
      type: list
      elements: dict
  sample: {"removed": ["generation 000001-5b0f1c9e", "tree 000001"], "bytes": 94871552, "inodes": 1210, "in_use": []}
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "no_space", "subject": "/opt", "expected": "", "found": "", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import accept as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils._content.wish import Wish
from ansible_collections.airgap.golang.plugins.module_utils._depot.incoming import Request
from ansible_collections.airgap.golang.plugins.module_utils._go.envnames import credentials
from ansible_collections.airgap.golang.plugins.module_utils.host import Host


def main():
    module = AnsibleModule(
        argument_spec={
            "depot": {"type": "path", "required": True},
            "generation": {"type": "int"},
            "root": {"type": "path", "default": "/opt/airgap-golang"},
            "parts": {
                "type": "list",
                "elements": "str",
                "choices": ["toolchain", "modcache", "goenv", "project", "tools", "depot"],
                "default": ["toolchain", "modcache", "goenv", "project", "tools"],
            },
            "toolchain": {"type": "str"},
            "goenv": {"type": "str", "default": ""},
            "projects": {"type": "list", "elements": "str"},
            "link_dir": {"type": "path", "default": "/usr/local/bin"},
            "tools": {"type": "list", "elements": "str"},
            "tools_dir": {"type": "path", "default": "/usr/local/bin"},
            "tools_completions": {"type": "bool", "default": False},
            "tools_completions_dirs": {
                "type": "dict",
                "apply_defaults": True,
                "options": {
                    "bash": {"type": "path", "default": "/usr/local/share/bash-completion/completions"},
                    "zsh": {"type": "path", "default": "/usr/local/share/zsh/site-functions"},
                    "fish": {"type": "path", "default": "/usr/local/share/fish/vendor_completions.d"},
                },
            },
            "tools_man": {"type": "bool", "default": False},
            "tools_man_dir": {"type": "path", "default": "/usr/local/share/man"},
            "transfer": {"type": "str", "choices": ["push", "pull", "auto"], "default": "push"},
            "mirrors": {"type": "list", "elements": "str"},
            "mirror_ca": {"type": "str"},
            "mirror_user": {"type": "str"},
            "mirror_password": {"type": "str", "no_log": True},
            "mirror_timeout": {"type": "int", "default": 30},
            "http_agent": {"type": "str", "default": "airgap.golang"},
            "keep": {"type": "int", "default": 0},
            "request": {"type": "str", "no_log": True},
            "trace_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    module.no_log_values.update(credentials(params["goenv"]))
    if not params["request"]:
        module.fail_json(msg="airgap.golang.deploy needs its action plugin, which reads the depot on the control node: run it as a task")
    with failing(module):
        wish = Wish(
            parts=tuple(params["parts"]),
            toolchain=params["toolchain"] or "",
            goenv=params["goenv"],
            projects=None if params["projects"] is None else tuple(params["projects"]),
            link_dir=params["link_dir"],
            tools=None if params["tools"] is None else tuple(params["tools"]),
            tools_dir=params["tools_dir"],
            extras={
                **(params["tools_completions_dirs"] if params["tools_completions"] else {}),
                **({"man": params["tools_man_dir"]} if params["tools_man"] else {}),
            },
        )
        request = Request.unpack(params["request"])
        way = verb.Way.of(params)
        module.exit_json(**verb.answer(Host(params["root"]), request, wish, way, params["keep"], module.check_mode, params["trace_id"]))


if __name__ == "__main__":
    main()
