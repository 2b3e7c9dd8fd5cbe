"""Everything that a run's folder says, as it grows: its own log, its supervisor's, its jobs'."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from workbench.alarms.standing import standing
from workbench.jobs.client import ensure_supervisor
from workbench.jobs.events import Alarm, Record, Sampled
from workbench.jobs.launch import EVENTS
from workbench.jobs.log import LogReader
from workbench.jobs.state import ENDED, HOST_LOG, STATE, describe, look
from workbench.tracking import runs

_PATIENCE = 5.0
"""Seconds that a look at the logs may take: a busy disk takes one."""
_HOST_TAIL = 4 << 20
"""Bytes of the supervisor's log that are read: twenty minutes of samples of eight GPUs, or two
hours of one. In a week eight make it grow to two gigabytes."""


@dataclass(frozen=True, slots=True)
class News:
    """What came since the last look."""

    run: Path
    status: str
    text: str
    """The status in words."""
    records: list[Record]
    """Of the training."""
    samples: list[tuple[float, Sampled]] = field(default_factory=list)
    """Of the machine: unix seconds and what was seen then."""
    supervision: list[Record] = field(default_factory=list)
    """What the supervisor noted besides."""
    jobs: list[tuple[str, Record]] = field(default_factory=list)
    """Of what is done with the run besides: the job's folder in the run's, and its event."""
    working: frozenset[str] = frozenset()
    """Those of these jobs that are going on."""
    alarms: tuple[Alarm, ...] = ()
    """Those of the training that go on, or went on at its end, the worst first."""


class RunFollower:
    """Reads one run's logs from their beginning; reading again gives only what is new.

    A run whose supervisor was killed is given another by it.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._log = LogReader(run / runs.LOG)
        self._host = LogReader(run / HOST_LOG)
        self._host.skip_to_tail(_HOST_TAIL)
        self._jobs: dict[str, LogReader] = {}
        self._ended: set[str] = set()
        self._began: float | None = None
        """When the look at the logs began that goes on."""
        self._failing: float | None = None
        """Since when the run's log can't be read."""

    def trouble(self) -> str:
        """Why there is no news though there may be some: that a file server is away, in words;
        empty as long as all is well. For any thread, as it looks at no file."""
        now = time.monotonic()
        began, failing, failed = self._began, self._failing, self._log.failed
        if began is not None and now - began > _PATIENCE:
            return f"The file server hasn't answered for {now - began:.0f} s: what is shown is old."
        if failing is not None and failed is not None and now - failing > _PATIENCE:
            return f"{runs.LOG} can't be read since {now - failing:.0f} s: {failed.strerror}."
        return ""

    def read(self) -> News:
        """What is new. Meant for a thread of its own: it looks into folders, and doesn't return
        as long as a file server is away."""
        self._began = time.monotonic()
        try:
            return self._read()
        finally:
            if self._log.failed is None:
                self._failing = None
            elif self._failing is None:
                self._failing = self._began
            self._began = None

    def _read(self) -> News:
        # The status first: what a job wrote before it ended is then among the records.
        if (self.run / STATE).exists():
            ensure_supervisor(self.run)
        state, status, text = look(self.run)
        jobs: list[tuple[str, Record]] = []
        for path in sorted(self.run.glob(f"*/{EVENTS}")) + sorted(self.run.glob(f"*/*/{EVENTS}")):
            name = str(path.parent.relative_to(self.run))
            reader = self._jobs.setdefault(name, LogReader(path))
            jobs += [(name, record) for record in reader.read()]
        # A job that was killed says nothing of it in its log.
        states = {
            name: describe(self.run / name)[0] for name in self._jobs if name not in self._ended
        }
        self._ended |= {name for name, state in states.items() if state in ENDED}
        working = frozenset(states) - self._ended
        samples: list[tuple[float, Sampled]] = []
        supervision: list[Record] = []
        for record in self._host.read():
            if isinstance(record.event, Sampled):
                samples.append((record.time, record.event))
            else:
                supervision.append(record)
        alarms = tuple(standing(state, self.run.name, status, text))
        read = self._log.read()
        return News(self.run, status, text, read, samples, supervision, jobs, working, alarms)
