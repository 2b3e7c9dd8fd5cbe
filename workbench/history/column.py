"""The buckets of one figure, and how neighbours come to share one."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from operator import add, itemgetter


class Pairs:
    """Which two buckets become one; of a pair of one bucket twice it stays as it is."""

    def __init__(self, firsts: Sequence[int], seconds: Sequence[int]) -> None:
        """The places of at least two pairs."""
        self._count = len(firsts)
        self._first, self._second = itemgetter(*firsts), itemgetter(*seconds)
        both = enumerate(zip(firsts, seconds, strict=True))
        self._alone = [place for place, (first, second) in both if first == second]

    def __len__(self) -> int:
        return self._count

    def first(self, values: array[float]) -> tuple[float, ...]:
        """Of each pair that of the first."""
        found: tuple[float, ...] = self._first(values)
        return found

    def second(self, values: array[float]) -> tuple[float, ...]:
        """Of each pair that of the second."""
        found: tuple[float, ...] = self._second(values)
        return found

    def other(self, values: array[float]) -> list[float]:
        """Of each pair that of the second, 0 where that is the first."""
        found = list(self.second(values))
        for place in self._alone:
            found[place] = 0.0
        return found


class Column:
    """A figure's buckets: the least, the greatest and the mean value of each."""

    __slots__ = ("count", "high", "low", "mean")

    def __init__(self) -> None:
        self.low, self.high, self.mean = array("d"), array("d"), array("d")
        self.count = array("d")
        """Of finite values."""

    def parts(self) -> tuple[array[float], array[float], array[float], array[float]]:
        return self.low, self.high, self.mean, self.count

    def append_one(self, value: float) -> None:
        if value - value == 0:
            self.low.append(value)
            self.high.append(value)
            self.mean.append(value)
            self.count.append(1.0)
        else:
            self.gaps(1)

    def append(self, values: Sequence[float]) -> None:
        finite = [value for value in values if value - value == 0]
        count = len(finite)
        self.count.append(count)
        if not count:
            self.low.append(math.inf)
            self.high.append(-math.inf)
            self.mean.append(math.nan)
            return
        self.low.append(min(finite))
        self.high.append(max(finite))
        mean = sum(finite) / count
        # The sum of values near the largest double is no number, their mean is.
        self.mean.append(mean if mean - mean == 0 else sum(value / count for value in finite))

    def gaps(self, count: int) -> None:
        """Append so many buckets without a value."""
        self.low.extend([math.inf] * count)
        self.high.extend([-math.inf] * count)
        self.mean.extend([math.nan] * count)
        self.count.extend([0.0] * count)

    def share(self, pairs: Pairs) -> None:
        """Make one bucket of each pair."""
        low, high, mean, count = self.parts()
        # Not by `min` and `max`, which are calls: a screen that goes on waits for this.
        lows = zip(pairs.first(low), pairs.second(low), strict=True)
        highs = zip(pairs.first(high), pairs.second(high), strict=True)
        means = pairs.first(mean), pairs.second(mean)
        ones, others = pairs.first(count), pairs.other(count)
        self.low = array("d", [a if a < b else b for a, b in lows])
        self.high = array("d", [a if a > b else b for a, b in highs])
        self.mean = array(
            "d",
            [
                a if not more else b if not some else a + (b - a) * (more / (some + more))
                for a, b, some, more in zip(*means, ones, others, strict=True)
            ],
        )
        self.count = array("d", map(add, ones, others))
