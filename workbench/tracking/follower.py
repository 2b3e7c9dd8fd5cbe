"""Everything that a run's folder says, as it grows: its own log, the machine's, its jobs'."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.hardware.sample import SampleReader
from workbench.jobs.events import Record
from workbench.jobs.launch import EVENTS
from workbench.jobs.log import LogReader
from workbench.jobs.state import ENDED, describe
from workbench.tracking import runs


@dataclass(frozen=True, slots=True)
class News:
    """What came since the last look."""

    run: Path
    status: str
    text: str
    """The status in words."""
    records: list[Record]
    """Of the training."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """Of the machine."""
    jobs: list[tuple[str, Record]] = field(default_factory=list)
    """Of what is done with the run besides: the job's folder in the run's, and its event."""
    working: frozenset[str] = frozenset()
    """Those of these jobs that are going on."""


class RunFollower:
    """Reads one run's logs from their beginning; reading again gives only what is new."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._log = LogReader(run / runs.LOG)
        self._host = SampleReader(run / runs.HOST_LOG)
        self._jobs: dict[str, LogReader] = {}
        self._ended: set[str] = set()

    def read(self) -> News:
        """What is new. Meant for a thread: it looks into folders."""
        # The status first: what a job wrote before it ended is then among the records.
        status, text = describe(self.run)
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
        return News(self.run, status, text, self._log.read(), self._host.read(), jobs, working)
