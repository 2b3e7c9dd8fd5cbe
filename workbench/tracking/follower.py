"""Everything that a run's folder says, as it grows: its own log, its supervisor's, its jobs'."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from workbench.alarms.standing import standing
from workbench.history.history import History
from workbench.jobs.client import ensure_supervisor
from workbench.jobs.events import Alarm, Record, Sampled
from workbench.jobs.launch import EVENTS
from workbench.jobs.log import LogReader
from workbench.jobs.state import ENDED, HOST_LOG, STATE, describe, look
from workbench.tracking import notes, runs
from workbench.tracking.course import Plan
from workbench.tracking.link import Link
from workbench.tracking.notes import Notes

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
    history: History | None = None
    looked_through: float = 1.0
    plan: Plan | None = None
    """What the run's config says of its course; None where it can't be read."""
    link: Link = Link()  # noqa: RUF009
    """How fresh this is."""
    notes: Notes = Notes()  # noqa: RUF009
    """What people say of the run."""


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
        self._plan: Plan | None = None
        self._notes: tuple[int, Notes] = (0, Notes())
        """With when they were written, in ns."""

    def close(self) -> None:
        pass

    def read(self) -> News:
        """What is new. Meant for a thread: it looks into folders."""
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
        self._plan = self._plan or Plan.of(self.run)
        return News(
            self.run,
            status,
            text,
            read,
            samples,
            supervision,
            jobs,
            working,
            alarms,
            plan=self._plan,
            link=Link.of(self.run, state),
            notes=self._read_notes(),
        )

    def _read_notes(self) -> Notes:
        try:
            written = (self.run / notes.NOTES).stat().st_mtime_ns
        except OSError:
            return Notes()
        if written != self._notes[0]:
            self._notes = written, notes.look(self.run)
        return self._notes[1]
