"""Rules on the validation loss."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from workbench.alarms.rule import OVER, Rule, Seen, Verdict
from workbench.jobs.events import Evaluated, Record, Started, Step

RISE = 0.02
"""Of the best validation loss: so far above it the median of the last validations is."""
SHARP_RISE = 0.05
"""So far above it one validation is enough."""
SETTLED = 0.01
PATIENCE = 3
"""Validations in a row without a new best."""
FIRST = 10
"""Lines of the log that tell the training loss at the validation before the first step."""


@dataclass(frozen=True, slots=True)
class _Point:
    step: int
    loss: float
    train: float
    """Mean training loss since the validation before, in nats."""


class Overfitting(Rule):
    """Validation loss rises while training loss falls.

    Prechelt's generalisation loss, 100 * (validation / best - 1): at 5 at once (his GL_5), at 2
    by the median of three validations none of which is a new best (his UP_3, smoothed).
    """

    name: ClassVar[str] = "overfitting"
    severity: ClassVar[str] = "warning"
    why: ClassVar[str] = (
        "The model learns the training rows by heart: from the best validation on, each step makes "
        "its answers to other rows worse."
    )
    source: ClassVar[str] = (
        "Prechelt 1998, Early Stopping - But When?: GL_5, and UP_3 smoothed with GL_2"
    )

    def reset(self) -> None:
        self._best: _Point | None = None
        self._recent: deque[float] = deque(maxlen=PATIENCE)
        """Validation losses since the best."""
        self._since = 0
        self._sum, self._steps = 0.0, 0
        self._first: list[float] = []
        self._train = math.nan

    def begin_again(self, started: Started) -> None:
        best = self._best
        self.reset()
        if best is not None and 0 < started.resumed_from >= best.step:
            self._best = best

    def take(self, record: Record) -> Verdict:
        event = record.event
        if isinstance(event, Step) and math.isfinite(event.loss):
            self._sum += event.loss * event.steps
            self._steps += event.steps
            if len(self._first) < FIRST:
                self._first.append(event.loss)
        elif isinstance(event, Evaluated) and math.isfinite(event.loss):
            return self._judge(event)
        return None

    def _judge(self, event: Evaluated) -> Verdict:
        if self._steps:
            self._train = self._sum / self._steps
            self._sum, self._steps = 0.0, 0
        elif self._best is not None:
            return None  # asked for once more: nothing was learnt in between
        best = self._best
        if best is None or event.loss < best.loss:
            self._best = _Point(event.step, event.loss, self._train)
            self._recent.clear()
            self._since = 0
            return OVER
        self._since += 1
        self._recent.append(event.loss)
        rise = event.loss / best.loss - 1
        # Before the first step there is no training loss but that of the first ones.
        before = best.train
        if math.isnan(before) and self._first:
            # The lesser of the two: in ten steps at too high a rate the loss can be ten times its
            # own.
            before = min(self._first[0], statistics.fmean(self._first))
        if not self._train < before:
            return OVER if rise < SETTLED else None
        steady = self._since >= PATIENCE and (
            statistics.median(self._recent) / best.loss - 1 >= RISE
        )
        if rise >= SHARP_RISE or steady:
            return Seen(
                f"The validation loss is {event.loss:.4f} after step {event.step}, {rise:.1%} "
                f"above its best, {best.loss:.4f} after step {best.step}; meanwhile the training "
                f"loss fell from {before:.4f} to {self._train:.4f}.",
                f"`workbench stop {self.run}`: {self._kept(best)}. Next time `--set "
                "evaluation.patience=3 --set checkpoints.result=best`, fewer `training.epochs`, "
                "or more rows.",
            )
        return OVER if rise < SETTLED else None

    def _kept(self, best: _Point) -> str:
        if best.step:
            return f"its best checkpoint, step-{best.step}, is kept"
        return "the base was better at these rows than any step since"


FLAT = 0.002
"""Of the best validation loss: what is less is no gain."""
FLAT_FOR = 5
"""Validations."""
STILL_LEARNING = 0.1
"""Of the highest learning rate: below, it is meant to come to rest."""


class Plateau(Rule):
    """Training goes on and nothing comes of it.

    Either the mean loss of the last 100 lines is not below that of the first 50 after a quarter
    of the run, or five validations in a row brought less than 0.2 %; while the learning rate is
    above a tenth of its highest.
    """

    name: ClassVar[str] = "plateau"
    severity: ClassVar[str] = "info"
    why: ClassVar[str] = "The steps cost time and teach the model nothing more."
    source: ClassVar[str] = (
        "as ReduceLROnPlateau of Keras and PyTorch (patience and least gain), with figures of ours"
    )
    HEAD, TAIL = 50, 100
    EVERY = 25
    """Lines between two looks."""
    LEAST = 0.01
    """Of the loss at first: less is no gain."""

    def reset(self) -> None:
        self._head: list[float] = []
        self._tail: deque[float] = deque(maxlen=self.TAIL)
        self._lines = 0
        self._peak = self._rate = 0.0
        self._best: tuple[int, float] | None = None
        self._flat = 0
        self._total = 0
        self._resumed = False

    def begin_again(self, started: Started) -> None:
        self.reset()
        self._total = started.total_steps
        self._resumed = started.resumed_from > 0

    def take(self, record: Record) -> Verdict:
        event = record.event
        if isinstance(event, Started):
            self._total = event.total_steps
        elif isinstance(event, Evaluated) and math.isfinite(event.loss):
            return self._judge(event)
        elif isinstance(event, Step) and math.isfinite(event.loss):
            self._rate = event.learning_rate
            self._peak = max(self._peak, self._rate)
            self._lines += 1
            if len(self._head) < self.HEAD:
                self._head.append(event.loss)
                return None
            self._tail.append(event.loss)
            # What a resumed run begins with is not what it began with.
            if not self._resumed and self._lines % self.EVERY == 0:
                return self._compare(event)
        return None

    def _resting(self) -> bool:
        return self._rate < STILL_LEARNING * self._peak

    def _compare(self, step: Step) -> Verdict:
        if len(self._tail) < self.TAIL or step.step < self._total / 4 or self._resting():
            return None
        first, last = statistics.fmean(self._head), statistics.fmean(self._tail)
        gain = (first - last) / first if first else 0.0
        noise = math.sqrt(
            statistics.variance(self._head) / self.HEAD
            + statistics.variance(self._tail) / self.TAIL
        )
        if -self.LEAST * 5 <= gain < self.LEAST and first - last < 2 * noise:
            return Seen(
                f"The training loss is {last:.4f} over the last {self.TAIL} lines up to step "
                f"{step.step}, and was {first:.4f} over the first {self.HEAD}: nothing was learnt.",
                self._teach_more(),
            )
        return OVER if gain > 2 * self.LEAST and self._flat == 0 else None

    def _judge(self, event: Evaluated) -> Verdict:
        if self._best is None or event.loss < self._best[1] * (1 - FLAT):
            self._best, self._flat = (event.step, event.loss), 0
            return OVER if event.step else None
        rising = event.loss > self._best[1] * (1 + RISE)
        self._flat = 0 if rising or self._resting() else self._flat + 1
        if self._flat >= FLAT_FOR:
            return Seen(
                f"{self._flat} validations in a row brought less than {FLAT:.1%}: "
                f"{event.loss:.4f} after step {event.step}, {self._best[1]:.4f} after step "
                f"{self._best[0]}.",
                self._teach_more() if self._best[0] == 0 else self._enough(),
            )
        return None

    def _enough(self) -> str:
        return (
            f"`workbench stop {self.run}` if that is good enough. If not: more or other rows, a "
            "higher `lora.rank`, or another `training.learning_rate` (`workbench lr-find CONFIG`)."
        )

    def _teach_more(self) -> str:
        return (
            "`workbench lr-find CONFIG` draws which rate teaches; try `--set "
            f"training.learning_rate={10 * self._peak:.2g}`. If that changes nothing, see "
            "`workbench data verdict`: are the responses trained at all?"
        )
