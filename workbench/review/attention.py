"""How long somebody looked at a task, without what nobody was there for."""

from __future__ import annotations

IDLE = 120.0
"""Seconds without a key after which somebody counts as away: a screen of text takes less."""


class Attention:
    """Times are in seconds of a clock that only goes forward."""

    def __init__(self, now: float) -> None:
        self._last = now
        self._spent = 0.0
        self._away = False

    def touch(self, now: float) -> None:
        """A key was pressed, or the task is in view again."""
        if not self._away:
            self._spent += min(now - self._last, IDLE)
        self._last, self._away = now, False

    def leave(self, now: float) -> None:
        """The task is no longer in view."""
        self.touch(now)
        self._away = True

    def seconds(self, now: float) -> float:
        """Time spent until now."""
        self.touch(now)
        return self._spent
