#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Put the records of a fleet's hosts together, as JSON, JUnit XML and a page
version_added: 0.1.0
description:
  - Takes what M(airgap.golang.fleet_record) made of each host, judges it by a policy, and writes one JSON, one JUnit and one HTML file
    for the fleet. It runs once, on the control node, after all hosts.
  - Hosts of which nothing is known are in it too, as not tried. So are O(others) that weren't in this run, by their last record in O(record).
  - The JSON file's schema is C(docs/schemas/fleet.v1.json) in the collection. The JUnit file has a testsuite for each host.
author:
  - The airgap.golang authors (!UNKNOWN)
attributes:
  check_mode:
    support: full
    description: Judges and sums up, but writes nothing.
  diff_mode:
    support: none
    description: Reports are too long for it.
  idempotent:
    support: full
    description: Reports are written each time, with the time. It's a change when they say anything else that is new.
  platform:
    support: full
    platforms: posix
    description: The control node, Linux.
options:
  journey:
    description: What the hosts went through.
    type: str
    required: true
    choices: [deploy, verify]
  hosts:
    description: The names of all hosts of this run.
    type: list
    elements: str
    default: []
  others:
    description: The names of hosts that weren't in this run, and are shown when O(record) has a record of them.
    type: list
    elements: str
    default: []
  records:
    description: The records of this run.
    type: list
    elements: dict
    default: []
  record:
    description: The file to which M(airgap.golang.fleet_record) added records. Left out, only O(records) count.
    type: path
  dest:
    description:
      - The directory that the reports are written to, as C(JOURNEY.json), C(JOURNEY.xml) and C(JOURNEY.html). Left out, none are.
    type: path
  fail_on:
    description:
      - Which problems fail a host.
      - V(unreachable) couldn't be connected to. V(failed) had a step that couldn't be done. V(damaged) has files, or an attested binary, that
        aren't as they were admitted. V(differs) has a build that gave another binary than the rehearsal's, or none. V(drift) isn't
        what it's wished to be. V(not_tried) had no turn.
    type: list
    elements: str
    choices: [unreachable, failed, damaged, differs, drift, not_tried]
    default: [unreachable, failed, not_tried]
  title:
    description: The page's headline. Left out, one that names the journey.
    type: str
    default: ''
  not_tried:
    description: Why hosts without a record have none.
    type: str
    default: it had no turn in this run
  depot:
    description: The depot directory on the control node; with it, RV(done) is returned.
    type: path
  generation:
    description: The number of the generation that hosts are to be at, for RV(done). Left out, the latest sealed one.
    type: int
  trace_id:
    description: The run's identifier. The control node's action plugin sets it.
    type: str
    default: ''
seealso:
  - module: airgap.golang.fleet_record
"""

EXAMPLES = r"""
- name: Report on the fleet
  airgap.golang.fleet_report:
    journey: verify
    hosts: "{{ ansible_play_hosts_all }}"
    records: "{{ ansible_play_hosts_all | map('extract', hostvars) | selectattr('recorded', 'defined') | map(attribute='recorded.record') | select }}"
    dest: /var/www/fleet
    fail_on: [failed, damaged, differs]
  run_once: true
  delegate_to: localhost
  register: reported
"""

RETURN = r"""
summary:
  description:
    - How many hosts there are, how many are V(ok), how many have which problem, and how many V(changed), are V(failing) by the policy, and
      are here by an V(earlier) record. A host counts for each of its problems.
  returned: success
  type: dict
  sample: {"hosts": 3, "ok": 1, "unreachable": 1, "failed": 0, "damaged": 0, "differs": 0, "drift": 1, "not_tried": 0, "changed": 0, "failing": 1,
    "earlier": 0}
hosts:
  description: Each host's problems, the worst first.
  returned: success
  type: dict
  sample: {"build3": ["unreachable"], "build2": ["drift"], "build1": []}
failing:
  description: The hosts that the policy fails, each with C(why) and its C(record).
  returned: success
  type: dict
  sample: {"build3": {"why": "unreachable: Failed to connect to the host via ssh", "record": {"host": "build3", "problems": ["unreachable"]}}}
lines:
  description: The sum, for people.
  returned: success
  type: list
  elements: str
  sample: ["verify: 1 of 3 hosts are as they should be; generations 000007", "1 unreachable: build3", "1 drifted: build2"]
reports:
  description: Where the reports are, or would be; empty without O(dest).
  returned: success
  type: dict
  sample: {"json": "/var/www/fleet/verify.json", "junit": "/var/www/fleet/verify.xml", "html": "/var/www/fleet/verify.html"}
done:
  description: The hosts that are at the generation already, with nothing wrong, by O(record).
  returned: success, with O(depot)
  type: list
  elements: str
  sample: [build1]
failure:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  sample: {"code": "record_damaged", "subject": "deploy.jsonl", "expected": "", "found": "", "hint": "name another file", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing
from ansible_collections.airgap.golang.plugins.module_utils.fleet_report import Options, done, report


def main():
    module = AnsibleModule(
        argument_spec={
            "journey": {"type": "str", "required": True, "choices": ["deploy", "verify"]},
            "hosts": {"type": "list", "elements": "str", "default": []},
            "others": {"type": "list", "elements": "str", "default": []},
            "records": {"type": "list", "elements": "dict", "default": []},
            "record": {"type": "path"},
            "dest": {"type": "path"},
            "fail_on": {
                "type": "list",
                "elements": "str",
                "choices": ["unreachable", "failed", "damaged", "differs", "drift", "not_tried"],
                "default": ["unreachable", "failed", "not_tried"],
            },
            "title": {"type": "str", "default": ""},
            "not_tried": {"type": "str", "default": "it had no turn in this run"},
            "depot": {"type": "path"},
            "generation": {"type": "int"},
            "trace_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = dict(module.params)
    fresh, trace_id = params.pop("records"), params.pop("trace_id")
    with failing(module):
        options = Options(**{**params, **{name: params[name] or "" for name in ("record", "dest", "depot")}})
        answer = report(options, fresh, trace_id, module.check_mode)
        if options.depot:
            answer["done"] = done(options)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
