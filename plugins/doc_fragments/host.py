# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that change a host's ROOT document alike."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  root:
    description: The directory that holds everything on the host.
    type: path
    default: /opt/airgap-golang
  trace_id:
    description:
      - The run's identifier, which goes into the host's audit log. The control node's action plugin sets it.
    type: str
    default: ''
author:
  - The airgap.golang authors (!UNKNOWN)
"""
