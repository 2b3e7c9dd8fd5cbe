"""Rules on the losses and gradients of steps."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import ClassVar

from workbench.alarms.rule import OVER, Rule, Seen, Verdict
from workbench.jobs.events import Evaluated, Record, Skipped, Spiked, Step

_TO_DEVIATION = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""


class NotFinite(Rule):
    """A loss or a gradient is no number; over after 50 lines that have one."""

    name: ClassVar[str] = "not-finite"
    severity: ClassVar[str] = "error"
    why: ClassVar[str] = (
        "Such a step teaches nothing; after `training.skip_limit` of them in a row the run ends."
    )
    source: ClassVar[str] = "IEEE 754: a NaN stays one through every later sum"
    CLEAR = 50

    def reset(self) -> None:
        self._count = 0
        self._good = 0
        self._rate = 0.0

    def take(self, record: Record) -> Verdict:
        event = record.event
        if isinstance(event, Step) and math.isfinite(event.loss):
            self._rate = event.learning_rate
            self._good += 1
            if self._good >= self.CLEAR:
                self._count = 0
                return OVER
        elif isinstance(event, Skipped):
            self._good = 0
            self._count += 1
            steps = "1 step was" if self._count == 1 else f"{self._count} steps were"
            return Seen(
                f"The {event.what} of step {event.step} is not a number; {steps} skipped for it.",
                self._advice(),
            )
        elif isinstance(event, Evaluated) and not math.isfinite(event.loss):
            self._good = 0
            return Seen(
                f"The validation loss after step {event.step} is no number.", self._advice()
            )
        return None

    def _advice(self) -> str:
        lower = f"`--set training.learning_rate={self._rate / 3:.2g}`, " if self._rate else ""
        return (
            f"The log names the rows of the step: look at them first. Then {lower}a longer "
            "`training.warmup_ratio`, and `training.max_gradient_norm` not 0."
        )


class Divergence(Rule):
    """The training loss has left where it was.

    The median of the last 20 lines is half as high again as the lowest median of 100 (of as many
    as there are, at first of three), by 0.25 nats at least and by six of its standard errors. No
    more scatter than half of the lowest counts: what diverges scatters as well.
    """

    name: ClassVar[str] = "divergence"
    severity: ClassVar[str] = "error"
    why: ClassVar[str] = (
        "Steps are too large for the loss's curvature: what was learnt is being lost, and it "
        "seldom comes back by itself."
    )
    source: ClassVar[str] = (
        "ours, by medians (Huber 1981); Cohen et al. 2021 on rates above the edge of stability"
    )
    RECENT, REFERENCE, FEWEST = 20, 100, 10
    FIRST = 3
    """Lines that tell what the untrained model's loss is: at a rate that is far too high it is ten
    times that by the fourth."""
    TIMES, NATS, ERRORS = 1.5, 0.25, 6.0
    SCATTER = 0.5
    CLEAR = 1.2
    EVERY = 5
    """Lines between two looks, which cost two medians."""

    def reset(self) -> None:
        self._losses: deque[float] = deque(maxlen=self.REFERENCE)
        self._lowest = math.inf
        self._lowest_step = 0
        self._lines = 0
        self._peak = 0.0

    def take(self, record: Record) -> Verdict:
        step = record.event
        if not isinstance(step, Step) or not math.isfinite(step.loss):
            return None
        self._losses.append(step.loss)
        self._peak = max(self._peak, step.learning_rate)
        self._lines += 1
        if self._lines == self.FIRST:
            self._lowest, self._lowest_step = statistics.median(self._losses), step.step
        if self._lines % self.EVERY:
            return None
        recent = list(self._losses)[-self.RECENT :]
        median = statistics.median(recent)
        verdict = self._judge(step, median, recent)
        whole = statistics.median(self._losses)
        if whole < self._lowest:
            self._lowest, self._lowest_step = whole, step.step
        return verdict

    def _judge(self, step: Step, median: float, recent: list[float]) -> Verdict:
        if len(recent) < self.FEWEST:
            return None
        above = median - self._lowest
        spread = statistics.median(abs(loss - median) for loss in recent) * _TO_DEVIATION
        spread = min(spread, self.SCATTER * self._lowest)
        error = 1.2533 * spread / math.sqrt(len(recent))  # of a median
        far = median > self.TIMES * self._lowest and above > self.NATS
        if far and above > self.ERRORS * error:
            return Seen(
                f"The training loss is {median:.4f}, the median of the last {len(recent)} lines up "
                f"to step {step.step}; it was {self._lowest:.4f} by step {self._lowest_step}. The "
                f"learning rate is {step.learning_rate:.2g}, the gradient norm "
                f"{step.gradient_norm:.3g}.",
                f"`workbench stop {self.run}`, and again with `--set training.learning_rate="
                f"{self._peak / 3:.2g}`, a longer `training.warmup_ratio`, and "
                "`training.max_gradient_norm` not 0. `workbench lr-find CONFIG` draws which rates "
                "it bears.",
            )
        return OVER if median < self.CLEAR * self._lowest else None


class Spikes(Rule):
    """Three steps of a hundred spiked (as the training tells them: six deviations above the
    median of the 50 before); over after 200 without."""

    name: ClassVar[str] = "loss-spikes"
    severity: ClassVar[str] = "warning"
    why: ClassVar[str] = (
        "Some rows are not like the others (broken, in another language, mislabelled), or steps "
        "are at the edge of too large."
    )
    source: ClassVar[str] = (
        "Hampel 1974: median and median absolute deviation; the count is ours. PaLM (Chowdhery et "
        "al. 2022, 5.1) met its spikes by leaving out the rows around them"
    )
    COUNT, WITHIN, CLEAR = 3, 100, 200

    def reset(self) -> None:
        self._steps: deque[int] = deque(maxlen=self.COUNT)

    def take(self, record: Record) -> Verdict:
        event = record.event
        if isinstance(event, Spiked):
            self._steps.append(event.step)
            first = self._steps[0]
            if len(self._steps) == self.COUNT and event.step - first < self.WITHIN:
                named = ", ".join(map(str, self._steps))
                return Seen(
                    f"The loss spiked at steps {named}: {event.loss:.4f} at the last, where "
                    f"{event.usual:.4f} is usual{_row(event)}.",
                    "The log names the rows of each: `workbench data show` shows one. If they are "
                    "sound: `--set training.max_gradient_norm=0.5`, or a lower "
                    "`training.learning_rate`.",
                )
        elif (
            isinstance(event, Step) and self._steps and (event.step - self._steps[-1] >= self.CLEAR)
        ):
            self._steps.clear()
            return OVER
        return None


def _row(event: Spiked) -> str:
    return f"; its worst row is in line {event.rows[0]['row']}" if event.rows else ""


class Gradients(Rule):
    """Three of the last 20 lines have a gradient norm ten times the usual one, and above 1.

    Usual is the median of 200 lines that were none of these.
    """

    name: ClassVar[str] = "exploding-gradients"
    severity: ClassVar[str] = "warning"
    why: ClassVar[str] = (
        "Clipped, such a step points where a few rows do; unclipped, it throws the weights far off."
    )
    source: ClassVar[str] = (
        "Pascanu et al. 2013: the usual norm, and half to ten times it as the threshold"
    )
    TIMES, LEAST = 10.0, 1.0
    COUNT, WITHIN, USUAL, FEWEST = 3, 20, 200, 20
    CLEAR = 40
    """Lines without one."""

    def reset(self) -> None:
        self._norms: deque[float] = deque(maxlen=self.USUAL)
        self._usual = math.inf
        self._lines = 0
        self._high: deque[int] = deque(maxlen=self.COUNT)
        """Lines."""

    def take(self, record: Record) -> Verdict:
        step = record.event
        if not isinstance(step, Step):
            return None
        norm = step.gradient_norm
        self._lines += 1
        if math.isfinite(norm) and norm <= max(self.LEAST, self.TIMES * self._usual):
            self._norms.append(norm)
            if len(self._norms) >= self.FEWEST and (
                self._lines % 10 == 0 or math.isinf(self._usual)
            ):
                self._usual = statistics.median(self._norms)
            quiet = not self._high or self._lines - self._high[-1] >= self.CLEAR
            return OVER if quiet else None
        self._high.append(self._lines)
        if len(self._high) < self.COUNT or self._lines - self._high[0] >= self.WITHIN:
            return None
        return Seen(
            f"The gradient norm is {norm:.3g} at step {step.step}, and {self._usual:.3g} is usual; "
            f"{self.COUNT} of the last {self.WITHIN} lines are above ten times that.",
            "`--set training.max_gradient_norm=1.0` if it is 0, a lower `training.learning_rate` "
            f"than {step.learning_rate:.2g}, a longer `training.warmup_ratio`; and look at the "
            "rows of these steps in the log.",
        )
