"""What a log says so far, folded into the figures that a person looks at."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from workbench.jobs.events import (
    CheckpointSaved,
    Evaluated,
    Failed,
    Finished,
    Foretold,
    Progress,
    Record,
    Rehearsed,
    Started,
    Step,
    WentOn,
)
from workbench.tracking.timing import Timing

_RECENT = 20
"""Steps that the rate and the time left are taken from."""
_PACES = 60
"""Reports of progress that a phase's rate is taken from: some 15 s of most jobs."""


@dataclass
class RunView:
    """One run as its log tells it; feed it the log, in order, as it grows.

    It keeps sums and the last steps only: a run has hundreds of thousands of steps.
    """

    started: Started | None = None
    started_at: float | None = None
    first_step: Step | None = None
    recent: deque[Step] = field(default_factory=lambda: deque(maxlen=_RECENT))
    """The last steps, the newest at the end."""
    tokens: int = 0
    """Tokens of all steps taken, also of those that a resumed run took again."""
    trained_tokens: int = 0
    seconds: float = 0.0
    """Time of all steps taken."""
    steps: int = 0
    """All steps taken."""
    evaluations: list[Evaluated] = field(default_factory=list)
    rehearsed: Rehearsed | None = None
    """The largest batches of the newest start."""
    foretold: Foretold | None = None
    """How long the newest start was expected to take."""
    paused: float = 0.0
    """Seconds."""
    saving: float = 0.0
    """Seconds in which checkpoints were written."""
    progress: Progress | None = None
    """The phase under way; None while steps are taken."""
    pace: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_PACES))
    """When, in unix seconds, how much of the phase under way was done; the newest at the end."""
    finished: Finished | None = None
    failed: Failed | None = None
    timing: Timing = field(default_factory=Timing)
    """How fast it is and was, and how long what it does besides takes."""
    last_time: float | None = None
    """When the newest event was written, unix seconds."""

    def feed(self, records: Iterable[Record]) -> None:
        """Take in more of the log."""
        for record in records:
            self.last_time = record.time
            self._take(record)
            self.timing.take(record)

    def _take(self, record: Record) -> None:
        event = record.event
        if not isinstance(event, Finished | Failed):
            # Nothing follows a job's last word but its being started again.
            self.finished = self.failed = None
        match event:
            case Started():
                self._begin(event, record.time)
            case Step():
                self._add(event)
            case Evaluated():
                self.evaluations.append(event)
                self.progress = None
            case CheckpointSaved():
                if self.progress is not None and self.pace:
                    self.saving += max(0.0, record.time - self.pace[0][0])
                self.progress = None
            case Rehearsed():
                self.rehearsed, self.progress = event, None
            case Foretold():
                self.foretold = event
            case Progress():
                self._advance(event, record.time)
            case WentOn(seconds):
                self.paused += seconds
                # What lies before is no pace: nothing was done in between.
                self.pace.clear()
            case Finished():
                self.finished, self.progress = event, None
            case Failed():
                self.failed, self.progress = event, None

    def _begin(self, event: Started, at: float) -> None:
        self.started = event
        self.started_at = self.started_at or at
        # A resumed run takes up its checkpoint: what came after it is done again.
        while self.recent and self.recent[-1].step > event.resumed_from:
            self.recent.pop()
        if not event.resumed_from:
            self.first_step = None
        # From the start it is all done again, the loss of the untrained model as well.
        kept = event.resumed_from if event.resumed_from else -1
        self.evaluations = [e for e in self.evaluations if e.step <= kept]

    def _advance(self, progress: Progress, at: float) -> None:
        same = self.progress is not None and self.progress.phase == progress.phase
        # Neither a clock that was set back nor a phase that begins again goes on from before.
        if not same or (self.pace and (at < self.pace[-1][0] or progress.done < self.pace[-1][1])):
            self.pace.clear()
        self.pace.append((at, progress.done))
        self.progress = progress

    def _add(self, step: Step) -> None:
        self.first_step = self.first_step or step
        self.recent.append(step)
        self.tokens += step.tokens
        self.trained_tokens += step.trained_tokens
        self.seconds += step.seconds
        self.steps += step.steps
        self.progress = None

    @property
    def last_step(self) -> Step | None:
        return self.recent[-1] if self.recent else None

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        if self.recent:
            return self.recent[-1].step
        return self.started.resumed_from if self.started else 0

    @property
    def total_steps(self) -> int:
        return self.started.total_steps if self.started else 0

    @property
    def whole_seconds(self) -> float | None:
        """From the first step's beginning to the end, validations, answers and checkpoints
        included and pauses not; None of a run that isn't through, or that was resumed."""
        if self.started is None or self.started_at is None or self.last_time is None:
            return None
        if self.finished is None or self.finished.stopped or self.started.resumed_from:
            return None
        return self.last_time - self.started_at - self.paused

    @property
    def tokens_per_second(self) -> float | None:
        """Over the last steps: tokens through the model, prompts included, padding not."""
        seconds = sum(step.seconds for step in self.recent)
        return sum(step.tokens for step in self.recent) / seconds if seconds else None

    @property
    def rate(self) -> float | None:
        """Units a second of the phase under way, or steps while steps are taken; None where
        there is none to tell."""
        if self.finished or self.failed:
            return None
        if self.progress is None:
            seconds = sum(step.seconds for step in self.recent)
            return sum(step.steps for step in self.recent) / seconds if seconds > 0 else None
        if not self.pace:
            return None
        (begun, first), (now, last) = self.pace[0], self.pace[-1]
        return (last - first) / (now - begun) if now > begun and last > first else None

    @property
    def seconds_left(self) -> float | None:
        """Of the phase under way, or of all steps while steps are taken, at the rate of late."""
        if (rate := self.rate) is None:
            return None
        if self.progress is not None:
            return (self.progress.total - self.progress.done) / rate
        return (self.total_steps - self.step) / rate

    @property
    def best_evaluation(self) -> Evaluated | None:
        finite = [e for e in self.evaluations if math.isfinite(e.loss)]
        return min(finite, key=lambda e: e.loss, default=None)

    def line(self) -> str:
        """One line: where the run is, its loss, its rate, the time left."""
        return "  ".join(part for part in (self.place(), self.figures()) if part)

    def place(self, *, still: bool = False) -> str:
        """Where the run is: the step and, unless it stands `still`, the phase and the time left."""
        parts = [f"step {self.step}/{self.total_steps}"] if self.started else []
        if still:
            return "".join(parts)
        if (under_way := self.progress) is not None:
            done, total, unit = under_way.done, under_way.total, under_way.unit
            parts.append(f"{under_way.phase} {amount(done, total, unit)}".rstrip())
            if (rate := self.rate) is not None and unit:
                parts.append(per_second(rate, unit))
        if (left := self.seconds_left) is not None:
            parts.append(f"{duration(left)} left")
        over = self.finished or self.failed
        return "  ".join(parts) or ("" if over else "starting")

    def figures(self) -> str:
        """Losses and the rate, as far as there are any."""
        parts = []
        if self.last_step is not None:
            parts.append(f"loss {self.last_step.loss:.4f}")
        if self.evaluations:
            parts.append(f"validation {self.evaluations[-1].loss:.4f}")
        if (best := self.best_evaluation) is not None and best is not self.evaluations[-1]:
            parts.append(f"best {best.loss:.4f} at step {best.step}")
        if (rate := self.tokens_per_second) is not None:
            parts.append(f"{rate:.0f} tokens/s")
        return "  ".join(parts)


def amount(done: int, total: int, unit: str) -> str:
    """`1,200/9,000 rows`, `3.1/12.0 MB`; empty where a phase counts nothing."""
    if unit == "bytes":
        scale, name = (1e6, "MB") if total >= 1e6 else (1e3, "kB")
        return f"{done / scale:,.1f}/{total / scale:,.1f} {name}"
    return f"{done:,}/{total:,} {unit}" if unit else ""


def per_second(rate: float, unit: str) -> str:
    """`5,300 rows/s`, `0.25 steps/s`, `8.3 MB/s`: a rate in units a second."""
    value, name = (rate / 1e6, "MB") if unit == "bytes" else (rate, unit)
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {name}/s"


def duration(seconds: float) -> str:
    """`12 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def ago(then: float) -> str:
    """How long ago a unix time was."""
    return f"{duration(time.time() - then)} ago"
