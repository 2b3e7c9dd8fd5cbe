"""Tells a job that is slow, or has stalled, from one that works: by its own history."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from workbench.jobs.events import CommandHandled, Paused, Progress, Record, Started, Step, WentOn
from workbench.jobs.log import LogReader

SILENT = 600.0
"""Seconds without a word that a phase of unknown length may take: a base model of 70B that is
read over a network, say."""
_TIMES = 10
"""So many times its usual step a job may be silent before it counts as stalled."""
_AT_LEAST = 60.0
"""Seconds of silence that are never a stall, however short the steps: a garbage collection, a
file system that is waited for."""
_SLOW = 2.0
"""Steps that take so many times their usual time are slow."""
_RECENT = 3
"""Steps that are slow in a row before a job is."""
_A_WHILE = 1.0
"""Seconds that they must have taken together: a busy machine holds up a few steps of 10 ms."""
_ENOUGH = 10
"""Steps that make a history."""
_TAIL = 1 << 20
"""Bytes of a log that goes on that are history: some thousands of steps, read in 0.1 s."""


@dataclass(frozen=True, slots=True)
class Verdict:
    word: str = ""
    """`paused`, `slow`, `stalled`; empty for a job that works as it should."""
    text: str = ""


class Watchdog:
    """Follows a job's log. Times are of a clock that is never set: `time.monotonic`."""

    def __init__(self, log: Path, now: float, stall_after: float | None = None) -> None:
        """What the log holds already is history; `stall_after` replaces the limits, seconds."""
        self._reader = LogReader(log)
        self._reader.skip_to_tail(_TAIL)
        self._stall_after = stall_after
        self._steps: deque[float] = deque(maxlen=200)
        """Seconds of a step each, by the job's own count."""
        self._interval = 1
        """Steps to a line of the log."""
        self._phase = "starting"
        self._paused = False
        self._heard = now
        self.step = 0
        """The newest step in the log."""
        self.news = self._read()
        """What the last look has read; at first, the log's end as it was found."""
        self._take(self.news)

    def begin_again(self, now: float) -> None:
        """The job is started anew: it loads its model first."""
        self._phase, self._paused, self._heard = "starting", False, now

    def look(self, now: float) -> Verdict:
        """How the job does at the time `now`."""
        self.news = self._read()
        if self.news:
            self._heard = now
            self._take(self.news)
        silent = now - self._heard
        if self._paused:
            return Verdict("paused", "Paused by a person; it holds its memory and waits.")
        limit, usual = self._limit()
        if silent > limit:
            expected = f"; {usual:.1f} s is usual" if usual else ""
            return Verdict("stalled", f"Not a word for {silent:.0f} s{expected} ({self._phase}).")
        return self._slowness(silent, usual)

    def _limit(self) -> tuple[float, float | None]:
        """Seconds of silence that are no stall, and those that are usual."""
        in_steps = self._phase == Step.type and bool(self._steps)
        usual = statistics.median(self._steps) * self._interval if in_steps else None
        if self._stall_after is not None:
            return self._stall_after, usual
        return (max(_AT_LEAST, _TIMES * usual) if usual else SILENT), usual

    def _slowness(self, silent: float, usual: float | None) -> Verdict:
        if usual is None or len(self._steps) < _ENOUGH:
            return Verdict()
        if silent > max(5.0, _TIMES / 2 * usual):
            return Verdict("slow", f"Not a word for {silent:.0f} s; {usual:.1f} s is usual.")
        recent: list[float] = []
        for seconds in reversed(self._steps):
            if len(recent) >= _RECENT and sum(recent) * self._interval >= _A_WHILE:
                break
            recent.append(seconds)
        median = statistics.median(self._steps)
        if min(recent) > _SLOW * median:
            took = statistics.mean(recent)
            return Verdict(
                "slow",
                f"Its last {len(recent)} steps took {took:.2f} s each; {median:.2f} s is usual.",
            )
        return Verdict()

    def _read(self) -> list[Record]:
        found: list[Record] = []
        while records := self._reader.read():
            found += records
        return found

    def _take(self, records: list[Record]) -> None:
        for record in records:
            event = record.event
            if isinstance(event, Step):
                self.step = event.step
                self._phase = Step.type
                self._steps.append(event.seconds / event.steps)
                self._interval = max(self._interval, event.steps)
            elif isinstance(event, CommandHandled) and event.command == "set_interval":
                self._interval = event.value or self._interval
            elif isinstance(event, Progress):
                self._phase = event.phase
            elif isinstance(event, Started):
                self._phase, self._paused = "starting", False
            elif isinstance(event, Paused | WentOn):
                self._paused = isinstance(event, Paused)
