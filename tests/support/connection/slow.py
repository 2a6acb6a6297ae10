# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's connection local over a slow line: a file of more than a megabyte takes SECONDS."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.plugins.connection import local

DOCUMENTATION = local.DOCUMENTATION.replace("name: local", "name: slow")

SECONDS = 2.1


class Connection(local.Connection):
    transport = "slow"

    def put_file(self, in_path: str, out_path: str) -> t.Any:
        if os.stat(in_path).st_size > 1 << 20:
            time.sleep(SECONDS)
        return super().put_file(in_path, out_path)
