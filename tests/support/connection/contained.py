# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers.podman.podman does, as far as a deploy needs it: ``podman exec`` and ``podman cp``, for where that isn't installed."""

from __future__ import annotations

import subprocess
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: contained
short_description: podman exec and podman cp
description: For tests.
author: the airgap.golang authors
options:
  remote_addr:
    description: The container's name.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
"""


class Connection(ConnectionBase):
    transport = "contained"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: t.Optional[bytes] = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        done = subprocess.run(["podman", "exec", "-i", self._name(), "/bin/sh", "-c", cmd], input=in_data or b"", capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        self._copy(in_path, f"{self._name()}:{out_path}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        self._copy(f"{self._name()}:{in_path}", out_path)

    def close(self) -> None:
        self._connected = False

    def _name(self) -> str:
        return str(self.get_option("remote_addr"))  # type: ignore[no-untyped-call]  # Ansible's

    def _copy(self, source: str, dest: str) -> None:
        done = subprocess.run(["podman", "cp", "--pause=false", source, dest], capture_output=True, text=True, check=False)
        if done.returncode:
            raise AnsibleError(f"podman cp {source} {dest}: {done.stderr}")
