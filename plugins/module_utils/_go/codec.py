# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fastest thing that inflates here: python-isal where it's installed, else zlib. For control nodes: hosts have zlib alone.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import typing as t

from .modzip import ZLIB, Codec

try:
    from isal import isal_zlib

    FASTEST = t.cast(Codec, isal_zlib)
except ImportError:
    FASTEST = ZLIB
