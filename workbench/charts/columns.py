"""A line reduced to the dot columns of a picture: the least and greatest value of each."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from workbench.charts.line import Line


@dataclass(slots=True)
class Columns:
    """One entry for each dot column, from left to right."""

    low: list[float]
    """+inf where there is nothing to draw."""
    high: list[float]
    joined: list[bool]
    """Whether a line leads here from the column with values before."""
    edges: list[int]
    """Buckets `edges[i]` up to `edges[i + 1]` are in column i."""
    hidden: int = 0
    """Buckets with values that a logarithmic axis can't show."""

    def bounds(self) -> tuple[float, float]:
        """The least and greatest value; +inf and -inf without one."""
        return min(self.low), max(self.high)


def reduce(line: Line, left: float, right: float, count: int, *, log: bool = False) -> Columns:
    """The part of `line` from `left` to `right`, which is greater, in `count` columns.

    The first column's middle is at `left`, the last one's at `right`. No value is left out: a
    column spans all that lies in it. Where the line goes on beyond a side and nothing is in the
    column there, it is drawn up to it.
    """
    x, low = line.x, line.low
    begin, stop = bisect_left(x, left), bisect_right(x, right)
    lows, highs = [math.inf] * count, [-math.inf] * count
    joined, edges = [False] * count, [begin]
    found = Columns(lows, highs, joined, edges)
    distance = (right - left) / max(1, count - 1)
    least = 0.0 if log else -math.inf
    broken, a = True, begin
    for column in range(count):
        b = stop
        if column < count - 1:
            b = bisect_left(x, left + (column + 0.5) * distance, a, stop)
        edges.append(b)
        if a == b:
            continue
        bottom, top = line.extremes(a, b)
        if bottom <= least:
            bottom, top, hidden = _above_zero(line, a, b)
            found.hidden += hidden
        if bottom < math.inf:
            lows[column], highs[column] = bottom, top
            joined[column] = not broken and least < low[a] < math.inf
            broken = not least < low[b - 1] < math.inf
        else:
            broken = True
        a = b
    _lead_in(found, line, left, right, log)
    return found


def _above_zero(line: Line, a: int, b: int) -> tuple[float, float, int]:
    """The least and greatest value above zero, and how many buckets have others."""
    hidden = sum(1 for value in line.low[a:b] if value <= 0)
    above = [value for value in line.low[a:b] if 0 < value < math.inf]
    above += [value for value in line.high[a:b] if value > 0]
    return min(above, default=math.inf), max(above, default=-math.inf), hidden


def _lead_in(found: Columns, line: Line, left: float, right: float, log: bool) -> None:
    """Draw the line up to the sides, towards the points beyond them."""
    begin, stop = found.edges[0], found.edges[-1]
    if 0 < begin < len(line) and found.low[0] == math.inf:
        value = _between(line, begin - 1, begin, left, log)
        if value is not None:
            found.low[0] = found.high[0] = value
            first = next((i for i, low in enumerate(found.low) if i and low < math.inf), None)
            if first is not None:
                found.joined[first] = True
    if 0 < stop < len(line) and found.low[-1] == math.inf:
        value = _between(line, stop - 1, stop, right, log)
        if value is not None:
            found.low[-1] = found.high[-1] = value
            found.joined[-1] = True


def _between(line: Line, a: int, b: int, x: float, log: bool) -> float | None:
    """Where the line from bucket `a` to the next one crosses `x`; None where there is a gap."""
    first, second = line.mean[a], line.mean[b]
    if not (math.isfinite(first) and math.isfinite(second)) or line.x[b] <= line.x[a]:
        return None
    share = (x - line.x[a]) / (line.x[b] - line.x[a])
    if not log:
        return first + (second - first) * share
    if first <= 0 or second <= 0:
        return None
    return float(10 ** (math.log10(first) + (math.log10(second) - math.log10(first)) * share))
