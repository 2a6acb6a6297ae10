# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's half of airgap.golang.upload: live progress and the trace id."""

from __future__ import annotations

from ansible_collections.airgap.golang.plugins.plugin_utils.live import LiveAction


class ActionModule(LiveAction):
    """See the module."""
