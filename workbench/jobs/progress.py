"""How far a long piece of work has come: one way to tell it, and to be ended by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from workbench.jobs.control import Control
from workbench.jobs.events import Progress
from workbench.jobs.log import LogWriter

_EVERY = 0.25
"""Seconds between two lines of a log, and between two looks for a command."""

Tell = Callable[[str, int, int, str], None]
"""Takes a phase, how much of it is done, how much there is in all, and the unit of both.

It is called as often as there is something done, first with nothing, and may raise to end the
work. `bytes` is the unit of what is measured in bytes; an empty one counts nothing."""

_T = TypeVar("_T")


def untold(phase: str, done: int, total: int, unit: str) -> None:
    """For work that nobody watches."""


def watched(rows: Sequence[_T], phase: str, tell: Tell, unit: str = "rows") -> Iterator[_T]:
    """The rows, one after another, while it is told how many of them are done."""
    total = len(rows)
    tell(phase, 0, total, unit)
    for done, row in enumerate(rows, start=1):
        yield row
        tell(phase, done, total, unit)


class ProgressLines:
    """A Tell that writes to a log now and then: the first of a phase and its end in any case."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log
        self._phase = ""
        self._written = -1
        self._next = 0.0

    def __call__(self, phase: str, done: int, total: int, unit: str = "") -> bool:
        """Whether it has written a line."""
        now = time.monotonic()
        begins_or_ends = phase != self._phase or (done >= total and done != self._written)
        if now < self._next and not begins_or_ends:
            return False
        self._phase, self._written, self._next = phase, done, now + _EVERY
        self._log.write(Progress(phase, done, total, unit))
        return True


class ProgressLog:
    """A Tell for a job: writes to its log now and then, and obeys its commands."""

    def __init__(self, log: LogWriter, control: Control, *, put_off: bool = False) -> None:
        """With `put_off`, commands that are for later are left for the control's next poll."""
        self._put_off = put_off
        self._log = log
        self._control = control
        self._lines = ProgressLines(log)

    def __call__(self, phase: str, done: int, total: int, unit: str = "") -> None:
        """Raises Stopped once a person asks for the end; waits while the job is paused."""
        if self._lines(phase, done, total, unit):
            self._control.end_if_asked(self._log, put_off=self._put_off)
