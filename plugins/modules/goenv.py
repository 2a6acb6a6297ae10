#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: goenv
short_description: Settings of the go command for one user or one project
version_added: 0.1.0
description:
  - Sets what C(go env) says for one user, in the file that C(go env -w) writes, or for one project, in its own C(go.env). Other settings
    and comments in the file stay as they are.
  - A record beside the file says what was set before. With O(state=absent) each setting returns to that, and files and directories that this
    module has made go, unless others have something in them. A setting that somebody changed since is theirs and stays.
  - Names and values are checked as C(go env -w) does it, and more; a name that go doesn't know is an error.
  - As root the module has the rights of the user, or of the project's owner, so that a link planted there leads nowhere else.
  - The settings of all users of a host are the part C(goenv) of M(airgap.golang.deploy).
author:
  - The airgap.golang authors (!UNKNOWN)
attributes:
  check_mode:
    support: full
    description: Says what would change.
  diff_mode:
    support: full
    description: Shows the settings that change, by file, without credentials in URLs. Other settings aren't shown.
  idempotent:
    support: full
    description: What is as wished isn't touched.
  platform:
    support: full
    platforms: posix
    description: Linux.
options:
  scope:
    description: Whose settings they are.
    type: str
    choices: [user, project]
    default: user
  settings:
    description:
      - The settings by name, all that this module is to set here. What an earlier run has set and this one doesn't name
        returns to what it was before.
      - An empty value means Go's own default, whatever the settings of the host say. V(true) and V(false), which YAML makes of
        C(on) and C(off), are taken for V(on) and V(off).
      - C(GOTELEMETRY) is V(off), V(local) or V(on), for a user alone. It goes where C(go telemetry) writes it.
      - Ignored with O(state=absent).
    type: dict
    default: {}
  state:
    description: Whether the settings shall be there, or all be as they were before.
    type: str
    choices: [present, absent]
    default: present
  user:
    description:
      - The user, by name or number. Root can name others.
      - Left out, who the module runs as; for a project, its directory's owner when that is root.
    type: str
    default: ''
  config_dir:
    description:
      - The user's configuration directory, which has C(go/env) in it.
      - Left out, C(.config) in the home directory of O(user); without O(user), where Go looks for it (E(XDG_CONFIG_HOME), else E(HOME)).
    type: path
  project:
    description:
      - The project's directory, with O(scope=project). Its settings are in C(go.env) there. They count where E(GOENV) has this file's path, and
        the user's own file doesn't then.
    type: path
  direnv:
    description: Whether the project's C(.envrc) shall have the line that sets E(GOENV), for direnv and for shells that source it.
    type: bool
    default: false
  root:
    description: The directory that holds everything on the host. A newer Go there may know more names.
    type: path
    default: /opt/airgap-golang
seealso:
  - module: airgap.golang.deploy
"""

EXAMPLES = r"""
- name: One user's settings
  airgap.golang.goenv:
    user: builder
    settings:
      GOFLAGS: -mod=vendor
      GOTELEMETRY: 'off'
  become: true

- name: One project's settings, for whoever works there with direnv
  airgap.golang.goenv:
    scope: project
    project: /srv/src/plant
    direnv: true
    settings: {GOFLAGS: -tags=plant, CGO_ENABLED: '0'}

- name: As it was before
  airgap.golang.goenv:
    user: builder
    state: absent
  become: true
"""

RETURN = r"""
path:
  description: The file of settings.
  returned: success
  type: str
  sample: /home/builder/.config/go/env
user:
  description: The account that it belongs to.
  returned: success
  type: str
  sample: builder
kept:
  description: Settings that were to return to what they were before, and that somebody else has changed since.
  returned: success
  type: list
  elements: str
  sample: []
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample:
    code: setting_invalid
    subject: GOPROXI
    expected: ''
    found: ''
    hint: ''
    details: [{"subject": "GOPROXI", "message": "go has no setting GOPROXI", "hint": "do you mean GOPROXY?"}]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import goenv as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.accounts import acting_as
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils._go.envnames import credentials


def main():
    module = AnsibleModule(
        argument_spec={
            "scope": {"type": "str", "choices": ["user", "project"], "default": "user"},
            "settings": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "user": {"type": "str", "default": ""},
            "config_dir": {"type": "path"},
            "project": {"type": "path"},
            "direnv": {"type": "bool", "default": False},
            "root": {"type": "path", "default": "/opt/airgap-golang"},
        },
        required_if=[("scope", "project", ["project"])],
        supports_check_mode=True,
    )
    params = module.params
    module.no_log_values.update(credentials(str(params["settings"])))
    with failing(module):
        options = verb.Options(
            present=params["state"] == "present",
            settings={str(name): verb.as_text(value) for name, value in params["settings"].items()},
            user=params["user"],
            project=params["project"] if params["scope"] == "project" else "",
            config_dir=params["config_dir"] or "",
            direnv=params["direnv"],
            root=params["root"],
        )
        place = verb.locate(options)
        with acting_as(place.account):
            plan = verb.plan(place, options)
            if plan.changed and not module.check_mode:
                verb.apply(plan)
    module.exit_json(changed=plan.changed, path=place.path(place.env), user=place.account.name, kept=plan.kept, diff=plan.diff())


if __name__ == "__main__":
    main()
