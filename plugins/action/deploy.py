# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's half of airgap.golang.deploy: probe the host, send what it lacks, let it admit."""

from __future__ import annotations

from ansible_collections.airgap.golang.plugins.plugin_utils.delivery import DeliveringAction


class ActionModule(DeliveringAction):
    """See the module."""

    DIFFERENCE = ("previous", "transferred", "bytes", "inodes", "modules", "diff", "pulled")
