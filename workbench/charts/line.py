"""A line as charts take it: buckets from left to right, each of one point or of several."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """Four columns of equal length, `array("d")` each, so that `min` and `max` of a slice run at
    C's speed: a NaN in one would make them depend on the order."""

    x: array[float]
    """Where each bucket begins, ascending."""
    low: array[float]
    """The least finite value of the bucket; +inf where there is none, which is a gap."""
    high: array[float]
    """The greatest; -inf where there is none."""
    mean: array[float]
    """Of its finite values; NaN where there is none."""

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
        return line

    def __len__(self) -> int:
        return len(self.x)
