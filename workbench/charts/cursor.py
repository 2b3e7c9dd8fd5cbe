"""Values read off at a place of the x axis."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from workbench.charts.series import Series
from workbench.charts.units import Unit


@dataclass(frozen=True, slots=True)
class Reading:
    """One bucket of a series. A gap has low +inf, high -inf and mean NaN."""

    x: float
    """Where it begins."""
    low: float
    high: float
    mean: float

    def text(self, unit: Unit) -> str:
        """`1.842`, with the extremes where the bucket has several values: `1.842 (1.7 to 2.1)`;
        N/A for a gap."""
        said = unit.read(self.mean)
        low, high = unit.read(self.low), unit.read(self.high)
        return said if self.low >= self.high or low == high else f"{said} ({low} to {high})"


def reading_at(series: Series, x: float) -> Reading | None:
    """The bucket that begins nearest to `x`; None where there is none."""
    line = series.line
    if not len(line):
        return None
    place = min(bisect_left(line.x, x), len(line) - 1)
    if place and x - line.x[place - 1] <= line.x[place] - x:
        place -= 1
    return Reading(line.x[place], line.low[place], line.high[place], line.mean[place])


def readings_at(series: Iterable[Series], x: float) -> dict[str, Reading]:
    """What each series that has points reads at `x`, by its name."""
    found = {one.name: reading_at(one, x) for one in series}
    return {name: reading for name, reading in found.items() if reading is not None}
