#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_record
short_description: Record what a run on a fleet did with a host
version_added: 0.1.0
description:
  - Makes one record of the registered results of a host's steps, and adds it to a file on the control node, one line of JSON a host.
  - All of it happens on the control node, in Ansible's own process. Nothing is run on the host, so it works for hosts that are unreachable.
  - A line is written at once. Any number of workers and runs can share the file, and a run that is killed leaves the records of the hosts that
    were finished.
  - User names and passwords are taken out of URLs, and long texts are cut.
author:
  - The airgap.golang authors (!UNKNOWN)
attributes:
  check_mode:
    support: full
    description: Makes the record, but doesn't add it to the file.
  diff_mode:
    support: none
    description: There's nothing to compare.
  idempotent:
    support: none
    description: Each run adds a record; of several, the last counts. It's never reported as a change.
  platform:
    support: full
    platforms: posix
    description: The control node, Linux.
options:
  journey:
    description: What the host went through.
    type: str
    required: true
    choices: [deploy, verify]
  path:
    description:
      - The file on the control node to add the record to; its directory is made. Left out, the record is only returned.
      - Relative paths are relative to the directory that C(ansible-playbook) was started in.
    type: path
  deployed:
    description: The result of M(airgap.golang.deploy).
    type: dict
  drifted:
    description: The result of M(airgap.golang.deploy) in check mode.
    type: dict
  examined:
    description: A result with C(findings), C(total), C(summary) and C(checked).
    type: dict
  built:
    description: The result of M(airgap.golang.build_check).
    type: dict
  failure:
    description: The result with which the host left its steps, for instance C(ansible_failed_result).
    type: dict
  failed_task:
    description: The name of the task with that result.
    type: str
    default: ''
seealso:
  - module: airgap.golang.fleet_report
"""

EXAMPLES = r"""
- name: Record it
  airgap.golang.fleet_record:
    journey: deploy
    path: deploy.jsonl
    deployed: "{{ deployed }}"
  register: recorded
"""

RETURN = r"""
record:
  description: The record, as in C(hosts) of the schema C(docs/schemas/fleet.v1.json) in the collection. Empty when no step was tried.
  returned: always
  type: dict
  sample: {"schema": 1, "journey": "deploy", "host": "build1", "problems": []}
"""

from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule(
        argument_spec={
            "journey": {"type": "str", "required": True, "choices": ["deploy", "verify"]},
            "path": {"type": "path"},
            "deployed": {"type": "dict"},
            "drifted": {"type": "dict"},
            "examined": {"type": "dict"},
            "built": {"type": "dict"},
            "failure": {"type": "dict"},
            "failed_task": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="airgap.golang.fleet_record works in its action plugin, on the control node: run it as a task")


if __name__ == "__main__":
    main()
