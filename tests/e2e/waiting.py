# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what becomes so by itself, with an end to it."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(
    done: Callable[[], bool], seconds: float, otherwise: Callable[[], str] | str = "", every: float = 2
) -> None:
    """Ask until it is done.

    :param seconds: how long to ask.
    :param otherwise: what the failure says then; a function is asked when it is needed.
    :param every: seconds between two questions.
    :raises AssertionError: where it is not done in time.
    """
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {otherwise if isinstance(otherwise, str) else otherwise()}")
        time.sleep(every)
