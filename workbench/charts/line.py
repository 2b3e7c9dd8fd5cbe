"""A line as charts take it: buckets from left to right, each of one point or of several."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

_BLOCK = 64
"""Buckets that share a block."""


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Extremes, sums and counts of each _BLOCK buckets, so that a column of many is read from few
    numbers."""

    low: array[float]
    high: array[float]
    total: array[float]
    """Of the finite means."""
    count: array[float]
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
    _kept: _Blocks = field(
        default_factory=lambda: _Blocks(array("d"), array("d"), array("d"), array("d")),
        init=False,
        repr=False,
        compare=False,
    )

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
        line.blocks()
        return line

    def __len__(self) -> int:
        return len(self.x)

    def blocks(self) -> _Blocks:
        """Those of all whole blocks, which are worked out once."""
        kept = self._kept
        for begin in range(len(kept.low) * _BLOCK, len(self) - _BLOCK + 1, _BLOCK):
            end = begin + _BLOCK
            kept.low.append(min(self.low[begin:end]))
            kept.high.append(max(self.high[begin:end]))
            total, count = _total(self.mean[begin:end])
            kept.total.append(total)
            kept.count.append(count)
        return kept

    def extremes(self, begin: int, end: int) -> tuple[float, float]:
        """The least and the greatest value of the buckets from `begin` up to `end`, of which there
        is at least one; +inf and -inf where all of them are gaps."""
        if end - begin == 1:
            return self.low[begin], self.high[begin]
        first, last = -(-begin // _BLOCK), end // _BLOCK
        if last - first < 2:
            return min(self.low[begin:end]), max(self.high[begin:end])
        blocks = self.blocks()
        head, tail = first * _BLOCK, last * _BLOCK
        low = self.low[begin:head] + blocks.low[first:last] + self.low[tail:end]
        high = self.high[begin:head] + blocks.high[first:last] + self.high[tail:end]
        return min(low), max(high)

    def total(self, begin: int, end: int) -> tuple[float, float]:
        """The sum of the finite means of the buckets from `begin` up to `end`, and their count."""
        first, last = -(-begin // _BLOCK), end // _BLOCK
        if last - first < 2:
            return _total(self.mean[begin:end])
        blocks = self.blocks()
        parts = [
            _total(self.mean[begin : first * _BLOCK]),
            (sum(blocks.total[first:last]), sum(blocks.count[first:last])),
            _total(self.mean[last * _BLOCK : end]),
        ]
        return sum(total for total, _ in parts), sum(count for _, count in parts)


def _total(means: array[float]) -> tuple[float, float]:
    total = sum(means)
    if math.isfinite(total):
        return total, float(len(means))
    finite = [mean for mean in means if math.isfinite(mean)]
    return sum(finite), float(len(finite))
