"""Waiting for something to become true, with a deadline instead of a guess."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def eventually(condition: Callable[[], _T], seconds: float = 180.0) -> _T:
    """The first true value of `condition`; fails the test when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"it never came true: {condition}"
        time.sleep(0.01)
    return value
