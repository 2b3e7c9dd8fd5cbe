"""What was forecast of a run beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from workbench.jobs.events import Rehearsed
from workbench.text import size
from workbench.tracking.view import RunView, duration


def span(bounds: Mapping[str, float] | Sequence[float]) -> str:
    """`3.1 to 5.0 s`, `2 h 10 min to 3 h 05 min`: seconds between two bounds."""
    pair = (bounds["low"], bounds["high"]) if isinstance(bounds, Mapping) else bounds
    low, high = (exactly(seconds) for seconds in pair)
    return low if low == high else f"{low} to {high}"


def exactly(seconds: float) -> str:
    """As `duration`, with the tenths and hundredths of short times."""
    if seconds >= 60:
        return duration(seconds)
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


HEADERS = ("", "forecast", "measured", "error")


def rows(view: RunView) -> list[list[str]]:
    """Of memory the largest batches' peak and of time a step, an epoch and the whole run, as far
    as both were told, by `HEADERS`; none where neither was. Errors are forecast over measured, less
    one; of times by the middle of the bounds."""
    return [*_memory(view.rehearsed), *_times(view)]


def basis(view: RunView) -> str:
    """What the time was forecast by; empty where it wasn't."""
    told = view.foretold
    return "" if told is None else f"The time was forecast before the first step: {told.basis}."


def _memory(rehearsed: Rehearsed | None) -> Iterator[list[str]]:
    if rehearsed is None or rehearsed.forecast is None:
        return
    for name, amount in rehearsed.parts.items():
        # A peak has no parts.
        yield [f"memory: {name}", size(amount), "", ""]
    error = f"{rehearsed.forecast / rehearsed.peak - 1:+.1%}" if rehearsed.peak else ""
    yield ["memory at most", size(rehearsed.forecast), size(rehearsed.peak), error]


def _times(view: RunView) -> Iterator[list[str]]:
    told = view.foretold
    if told is None or not view.steps:
        return
    step = view.seconds / view.steps
    yield from _time("a step", told.step_seconds, step)
    if view.started is not None and view.started.epochs:
        steps = view.started.total_steps / view.started.epochs
        if view.steps >= steps:
            yield from _time("an epoch", told.epoch_seconds, step * steps)
    if (whole := view.whole_seconds) is not None:
        # Nor are checkpoints in what was told.
        yield from _time("the whole run", told.run_seconds, whole - view.saving)


def _time(name: str, bounds: Sequence[float] | None, real: float) -> Iterator[list[str]]:
    if bounds is None or real <= 0:
        return
    low, high = bounds
    error = f"{math.sqrt(low * high) / real - 1:+.0%}" if low > 0 else ""
    where = "within" if low <= real <= high else "outside"
    yield [f"time: {name}", span(bounds), exactly(real), f"{error}, {where}".lstrip(", ")]
