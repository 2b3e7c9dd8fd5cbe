"""What a chart shows: series, marks, thresholds, and the part of them in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.charts.line import Line
from workbench.charts.units import NUMBER, STEP, Unit

SeriesStyle = Literal["line", "marks", "dim"]

COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")
"""Names of colours; whoever shows a chart has a legible one for each."""


@dataclass(frozen=True, slots=True)
class Series:
    """A named line."""

    name: str
    line: Line
    colour: str = ""
    """One of COLOURS, or empty for the text's own."""
    style: SeriesStyle = "line"
    """`marks`: each point a mark, as long as they are few, joined by a line; `dim`: faint and
    dotted, behind the others."""
    letter: str = ""
    """Stands for it in the legend and at its right end. Several lines of style `line` without one
    are given a, b, c."""
    spacing: float | None = None
    """How far apart on the x axis neighbouring points are, where buckets hold several: with it
    smoothing counts the points of a bucket, without it each bucket is one."""


GRAVEST = ("alarm", "spike", "resume", "checkpoint", "evaluation")
"""Kinds of marks; of several in one column the first of these is shown."""

MarkKind = Literal["alarm", "spike", "resume", "checkpoint", "evaluation"]

LETTERS: dict[str, str] = {
    "alarm": "!",
    "spike": "^",
    "resume": "r",
    "checkpoint": "c",
    "evaluation": "e",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a place of the x axis."""

    x: float
    kind: MarkKind


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value with a horizontal line of its own: a limit."""

    y: float
    label: str
    include: bool = True
    """Stretch the y axis to it."""


@dataclass(frozen=True, slots=True)
class Chart:
    """All that is drawn on one pair of axes."""

    title: str
    series: Sequence[Series]
    x: Unit = STEP
    y: Unit = NUMBER
    marks: Sequence[Mark] = ()
    thresholds: Sequence[Threshold] = ()
    extent: tuple[float, float] | None = None
    """First and last x of all there is, where the lines hold a window of it only."""

    def whole(self) -> tuple[float, float] | None:
        """First and last x; None without a point."""
        ends = [(one.line.x[0], one.line.x[-1]) for one in self.series if len(one.line)]
        if self.extent is not None:
            ends.append(self.extent)
        return (min(a for a, _ in ends), max(b for _, b in ends)) if ends else None


@dataclass(frozen=True, slots=True)
class View:
    """The part of a chart that is in view, and how: all of it by default."""

    left: float | None = None
    right: float | None = None
    log: bool = False
    """A logarithmic y axis; values that aren't above zero are gaps."""
    smoothing: float = 0.0
    """Weight of the moving average, 0 to 0.999; see `smoothing`."""
    low: float | None = None
    high: float | None = None
