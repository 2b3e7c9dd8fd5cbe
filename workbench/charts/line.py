"""A line as charts take it: buckets from left to right, each of one point or of several."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from workbench.charts import blocks

_BLOCK = 24
"""Buckets that share a block."""
_MANY = 8
"""Blocks from which on their sums are faster than those of their buckets."""


def _column() -> array[float]:
    return array("d")


@dataclass(slots=True)
class _Blocks:
    """What _BLOCK buckets have together, so that a column of many is read from few numbers."""

    low: array[float] = field(default_factory=_column)
    high: array[float] = field(default_factory=_column)
    total: array[float] = field(default_factory=_column)
    """Of the finite means."""
    count: array[float] = field(default_factory=_column)
    """Buckets with a finite mean."""


@dataclass(frozen=True, slots=True)
class Line:
    """Four columns of equal length, `array("d")` each, so that `min` and `max` of a slice run at
    C's speed: a NaN in one would make them depend on the order. A line that has been drawn may
    grow at its end, but is not changed otherwise."""

    x: array[float]
    """Where each bucket begins, ascending."""
    low: array[float]
    """The least finite value of the bucket; +inf where there is none, which is a gap."""
    high: array[float]
    """The greatest; -inf where there is none."""
    mean: array[float]
    """Of its finite values; NaN where there is none."""
    _kept: _Blocks = field(default_factory=_Blocks, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]]) -> Line:
        """Each point a bucket of its own; a value that isn't finite is a gap."""
        line = cls(array("d"), array("d"), array("d"), array("d"))
        for x, y in points:
            finite = math.isfinite(y)
            line.x.append(x)
            line.low.append(y if finite else math.inf)
            line.high.append(y if finite else -math.inf)
            line.mean.append(y if finite else math.nan)
        line._work_out_extremes()
        return line

    def __len__(self) -> int:
        return len(self.x)

    def extremes(self, begin: int, end: int) -> tuple[float, float]:
        """The least and the greatest value of the buckets from `begin` up to `end`, of which there
        is at least one; +inf and -inf where all of them are gaps."""
        if end - begin == 1:
            return self.low[begin], self.high[begin]
        first, last = -(-begin // _BLOCK), end // _BLOCK
        if last - first < 2:
            return min(self.low[begin:end]), max(self.high[begin:end])
        kept = self._kept
        if len(kept.low) < last:
            self._work_out_extremes()
        head, tail = first * _BLOCK, last * _BLOCK
        low = self.low[begin:head] + kept.low[first:last] + self.low[tail:end]
        high = self.high[begin:head] + kept.high[first:last] + self.high[tail:end]
        return min(low), max(high)

    def total(self, begin: int, end: int) -> tuple[float, float]:
        """The sum of the finite means of the buckets from `begin` up to `end`, and their count."""
        first, last = -(-begin // _BLOCK), end // _BLOCK
        if last - first < _MANY:
            return _total(self.mean[begin:end])
        kept = self._kept
        if len(kept.total) < last:
            self._work_out_totals()
        head, tail = first * _BLOCK, last * _BLOCK
        total, count = _total(self.mean[begin:head] + self.mean[tail:end])
        return total + sum(kept.total[first:last]), count + sum(kept.count[first:last])

    def _work_out_extremes(self) -> None:
        """Those of all whole blocks, once."""
        begin = len(self._kept.low) * _BLOCK
        low, high = blocks.extremes(self.low, self.high, begin, _BLOCK)
        self._kept.low.extend(low)
        self._kept.high.extend(high)

    def _work_out_totals(self) -> None:
        begin = len(self._kept.total) * _BLOCK
        totals = array("d", map(sum, zip(*[iter(self.mean[begin:])] * _BLOCK, strict=False)))
        counts = array("d", [float(_BLOCK)]) * len(totals)
        for place, total in enumerate(totals):
            if total - total:
                first = begin + place * _BLOCK
                totals[place], counts[place] = _total(self.mean[first : first + _BLOCK])
        self._kept.total.extend(totals)
        self._kept.count.extend(counts)


def _total(means: Sequence[float]) -> tuple[float, float]:
    total = sum(means)
    if total - total == 0:
        return total, float(len(means))
    finite = [mean for mean in means if mean - mean == 0]
    return sum(finite), float(len(finite))
