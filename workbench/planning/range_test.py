"""A learning-rate range test: what it says, from the losses that it saw.

The rate rises exponentially from one optimiser step to the next (Smith 2017, "Cyclical Learning
Rates for Training Neural Networks", section 3.3); it ends where the loss is over four times the
lowest (fastai, Howard and Gugger 2020). The rate that is suggested is a tenth of that with the
lowest smoothed loss, the first of the two rules of Howard and Gugger, "Deep Learning for Coders",
chapter 5; where the loss falls most steeply is told beside it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from workbench.errors import WorkbenchError

LOWEST, HIGHEST, STEPS = 1e-7, 1.0, 100
_LEAST, _MOST = 20, 10_000
"""Steps."""
_DIVERGED = 4.0
"""So many times the lowest smoothed loss ends the test (fastai's `LRFinder`)."""
_WINDOW = 20
"""The loss is smoothed over the steps within a 20th of the test to either side."""
_NOISE = 3.0
"""Standard errors that a fall must have to be one."""
_SAFE = 10.0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a range test says of the rate to train with."""

    rate: float | None
    """A tenth of that with the lowest loss; None where the test is inconclusive."""
    lowest: float | None
    """The rate at which the smoothed loss is lowest."""
    steepest: float | None
    """The rate at which it falls most steeply."""
    problem: str = ""
    """Why it is inconclusive, and what to try, in words."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def rates(low: float, high: float, steps: int) -> list[float]:
    """`steps` learning rates from `low` to `high`, each the same multiple of the one before.

    Raises WorkbenchError for bounds that are none.
    """
    if not 0 < low < high <= 1:
        raise WorkbenchError(
            f"The test can't go from {low:g} to {high:g}.",
            "--from is above 0 and below --to, which is 1 at most.",
        )
    if not _LEAST <= steps <= _MOST:
        raise WorkbenchError(f"--steps is {_LEAST} to {_MOST:,}, not {steps:,}.")
    growth = math.log(high / low) / (steps - 1)
    return [*(low * math.exp(growth * step) for step in range(steps - 1)), high]


def smoothed(losses: Sequence[float], steps: int) -> list[float]:
    """The mean of each loss with those around it, of a test of `steps` steps.

    Around, not before: an average of what came before would show the lowest loss at too high a
    rate.
    """
    half = _half(steps)
    return [
        statistics.fmean(losses[max(0, place - half) : place + half + 1])
        for place in range(len(losses))
    ]


def has_diverged(losses: Sequence[float], steps: int) -> bool:
    """Whether a test ends here: the loss is no number, or far over the lowest."""
    if losses and not math.isfinite(losses[-1]):
        return True
    width = _half(steps) + 1
    if len(losses) < 2 * width:
        return False
    lowest = min(smoothed(losses, steps))
    return statistics.fmean(losses[-width:]) > _DIVERGED * lowest


def suggest(tried: Sequence[float], losses: Sequence[float], steps: int) -> Suggestion:
    """What the losses at the rates `tried` say; fewer than `steps` where the test ended early.

    It is inconclusive when the loss never fell by more than three times the standard error of
    its smoothed course, when it was lowest at the beginning, and when it still fell at the end.
    """
    known = [(r, x) for r, x in zip(tried, losses, strict=True) if math.isfinite(x)]
    half = _half(steps)
    if len(known) < 4 * half:
        return _nothing("The loss was no number at once. Begin at a lower rate: --from.")
    course = smoothed([loss for _, loss in known], steps)
    at = min(range(len(course)), key=course.__getitem__)
    begin = course[half]
    error = _error([loss for _, loss in known][: max(at, 4 * half)], course, half)
    rise = max(course[at:]) - begin
    # In its first window nothing can have fallen.
    if at <= half or begin - course[at] <= _NOISE * error:
        if rise > _NOISE * error:
            return _nothing(
                "The loss never falls by more than its noise before it rises. Begin at a lower "
                "rate (--from), or look at the data."
            )
        return _nothing(
            f"The loss doesn't change by more than its noise ({error:.2g} a smoothed step). Take "
            "more --steps, more rows a step (training.accumulation), or a higher --to."
        )
    steepest = _steepest([rate for rate, _ in known], course, at, half)
    lowest = known[at][0]
    if at >= len(course) - 1 - half and len(known) == steps:
        return Suggestion(
            None,
            lowest,
            steepest,
            f"The loss still falls at {tried[-1]:.1e}: the rate that is too high was not reached. "
            "Go further with --to.",
        )
    return Suggestion(float(f"{lowest / _SAFE:.2g}"), lowest, steepest)


def _nothing(problem: str) -> Suggestion:
    return Suggestion(None, None, None, problem)


def _half(steps: int) -> int:
    return max(1, round(steps / _WINDOW))


def _error(losses: Sequence[float], course: Sequence[float], half: int) -> float:
    """The standard error of the smoothed loss, by what is left of the losses without it.

    By the median, so that a spike or the rise at the end doesn't count; 1.4826 makes a standard
    deviation of it (Rousseeuw and Croux 1993).
    """
    width = 2 * half + 1
    left = [abs(loss - mean) for loss, mean in zip(losses, course, strict=False)]
    # The mean of a window holds the loss itself, and takes that share of it away.
    deviation = 1.4826 * statistics.median(left) / math.sqrt(1 - 1 / width)
    return deviation * math.sqrt(2 / width)


def _steepest(tried: Sequence[float], course: Sequence[float], at: int, half: int) -> float | None:
    """Where the course falls most over a window, before its lowest."""
    places = range(half, max(half + 1, at - half + 1))
    found = [
        (course[min(at, place + half)] - course[place - half], tried[place]) for place in places
    ]
    return min(found)[1] if found else None
