"""A short wait for files: a server that is away answers nothing, and no signal ends the wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
_PATIENCE = 3.0
"""Seconds: a busy machine takes the better part of one, and now and then more."""


def soon(look: Callable[[], _T]) -> _T | None:
    """What `look` returns, for who can't go on without it; None where it takes too long.

    Raises what `look` raises.
    """
    found: list[_T] = []
    failed: list[BaseException] = []

    def try_it() -> None:
        try:
            found.append(look())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=try_it, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if failed:
        raise failed[0]
    return found[0] if found else None
