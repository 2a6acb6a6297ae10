# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and attributes of the modules that work on a control node's depot."""

from __future__ import annotations


class ModuleDocFragment:
    """Used as ``airgap.golang.control``."""

    DOCUMENTATION = r"""
options:
  depot:
    description:
      - The depot directory on the control node. Gathering and receiving make it when there is none.
      - Relative paths, here and in other options, are relative to the directory that C(ansible-playbook) was started in.
    type: path
    required: true
  progress_file:
    description:
      - A file that progress lines are appended to, at most one every two seconds.
      - The control node's action plugin sets it and shows the lines while the task runs.
    type: path
  trace_id:
    description:
      - The run's identifier, which goes into the depot's audit log.
      - The control node's action plugin sets it; the P(airgap.golang.trace#callback) callback uses the same.
    type: str
    default: ''
attributes:
  platform:
    support: full
    platforms: posix
    description: The control node, Linux.
author:
  - The airgap.golang authors (!UNKNOWN)
"""
