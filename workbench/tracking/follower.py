"""Everything that a run's folder says, as it grows: its own log, its supervisor's, its jobs'."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from workbench.alarms.standing import standing
from workbench.errors import WorkbenchError
from workbench.history import opening, scan
from workbench.history.history import History
from workbench.history.logs import Logs
from workbench.history.opening import ExactPass, Opened
from workbench.jobs.client import ensure_supervisor
from workbench.jobs.events import Alarm, Record, Sampled, Step
from workbench.jobs.launch import EVENTS
from workbench.jobs.log import LogReader, before
from workbench.jobs.state import ENDED, HOST_LOG, STATE, describe, look
from workbench.tracking import notes
from workbench.tracking.course import Plan
from workbench.tracking.finding import LOG
from workbench.tracking.link import Link
from workbench.tracking.notes import Notes

_TAIL = 1 << 16
"""Bytes of a run's own log before where it is followed from: two hundred steps."""
_PATIENCE = 5.0
"""Seconds that a look at the logs may take: a busy disk takes one."""
_HOST_TAIL = 4 << 20
"""Bytes of the supervisor's log that are read besides: twenty minutes of samples of eight GPUs, or
two hours of one. In a week eight make it grow to two gigabytes."""


@dataclass(frozen=True, slots=True)
class News:
    """What came since the last look."""

    run: Path
    status: str
    text: str
    """The status in words."""
    records: list[Record]
    """Of the training. At the opening of a large log: what was told before its first step, that
    step, the starts and the evaluations that are known, and its end."""
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
    """The run's curves, to be taken over from here on: at the opening, and again when all of a
    large log is read. It holds what these news hold, too: feed it with what comes later."""
    looked_through: float = 1.0
    """The part of the logs that the curves are exact for; of the rest they are a sketch."""
    plan: Plan | None = None
    """What the run's config says of its course, from the second look on; None where it can't be
    read."""
    link: Link = Link()  # noqa: RUF009
    """How fresh this is."""
    notes: Notes = Notes()  # noqa: RUF009
    """What people say of the run."""


class RunFollower:
    """Reads one run's logs; reading again gives only what is new.

    Large logs are there at once all the same: their curves are sketched, until a process of their
    own has read them (`workbench.history.opening`). A run whose supervisor was killed is given
    another by it.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._logs = Logs(run, run / LOG, run / HOST_LOG)
        self._log = LogReader(self._logs.training)
        self._host = LogReader(self._logs.machine)
        self._pass: ExactPass | None = None
        self._begun = False
        self._jobs: dict[str, LogReader] = {}
        self._ended: set[str] = set()
        self._plan: Plan | None = None
        self._notes: tuple[int, Notes] = (0, Notes())
        """With when they were written, in ns."""
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
        if unknown := self._log.unknown:
            line = "line" if unknown == 1 else "lines"
            return (
                f"This release can't read {LOG}: it knows none of its {unknown:,} {line}. "
                "A later one wrote it, or it is damaged."
            )
        if failing is not None and failed is not None and now - failing > _PATIENCE:
            return f"{LOG} can't be read since {now - failing:.0f} s: {failed.strerror}."
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
            # A state that is spoilt is told of by what `look` finds.
            with suppress(WorkbenchError):
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
        alarms = tuple(standing(state, self.run.name, status, text))
        if self._begun:
            # Not at the opening: it brings pydantic, which takes longer than all else here.
            self._plan = self._plan or Plan.of(self.run)
        if not self._begun or self._log.replaced() or self._host.replaced():
            history, records, machine = self._begin()
        else:
            history, records, machine = None, [], []
        told, noted = self._log.read(), self._host.read()
        if history is not None:
            history.feed(told)
            history.feed_samples(_samples(noted))
            history.feed_supervision(noted)
        else:
            history = self._exact()
        machine += noted
        return News(
            self.run,
            status,
            text,
            records + told,
            _samples(machine),
            [record for record in machine if not isinstance(record.event, Sampled)],
            jobs,
            working,
            alarms,
            history,
            1.0 if self._pass is None else self._pass.share,
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

    def close(self) -> None:
        """End the process that reads a large log, if there is one."""
        if self._pass is not None:
            self._pass.end()
            self._pass = None

    def _begin(self) -> tuple[History, list[Record], list[Record]]:
        """The curves as they can be had at once, and what is told of the part of the logs that
        isn't followed: the training's and the machine's."""
        self._begun = True
        self.close()
        opened = opening.begin(self._logs)
        self._log.skip_to(opened.training)
        self._host.skip_to(opened.machine)
        if opened.sketched:
            # Without it the sketch stays: better than nothing at all.
            with suppress(OSError):
                self._pass = ExactPass(self._logs, (opened.training, opened.machine))
        return (
            opened.history,
            _in_short(self._logs.training, opened),
            before(self._logs.machine, opened.machine, _HOST_TAIL),
        )

    def _exact(self) -> History | None:
        """The curves of all that is read so far, once the process that reads it is through."""
        exact = self._pass.poll() if self._pass is not None else None
        if exact is None:
            return None
        history = exact.history
        for reader, take, start in (
            (self._log, scan.training, exact.training),
            (self._host, scan.machine, exact.machine),
        ):
            for _ in scan.pass_over(history, reader.path, take, start, reader.offset):
                pass
        self._pass = None
        return history


def _samples(records: list[Record]) -> list[tuple[float, Sampled]]:
    return [(r.time, r.event) for r in records if isinstance(r.event, Sampled)]


def _in_short(log: Path, opened: Opened) -> list[Record]:
    """What stands for the log up to where it is followed from."""
    if not opened.training:
        return []
    end = before(log, opened.training, _TAIL)
    head = before(log, min(opened.training, _TAIL), _TAIL)
    steps = [record for record in head if isinstance(record.event, Step)]
    kept = [record for record in head if not isinstance(record.event, Step)]
    known = opened.history.starts + opened.history.evaluations
    first = end[0].seq if end else 0
    between = {record.seq: record for record in [*kept, *steps[:1], *known] if record.seq < first}
    return [between[seq] for seq in sorted(between)] + end
