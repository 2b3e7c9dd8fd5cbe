"""A line that grows without end, kept in a bounded number of points."""

from __future__ import annotations

import math
from collections.abc import Iterator

_LIMIT = 1024
"""Buckets: three for each dot column of a chart 160 cells wide."""


class _Bucket:
    """Neighbouring points: where they begin, their extremes and where they end."""

    __slots__ = ("begin", "end", "high", "last", "low")

    def __init__(self, x: float, y: float) -> None:
        self.begin = self.end = x
        self.low = self.high = self.last = y

    def take(self, later: _Bucket) -> None:
        self.end, self.last = later.end, later.last
        # A number that isn't finite is a gap, and would hide its neighbours' extremes.
        if math.isfinite(later.low):
            finite = math.isfinite(self.low)
            self.low = min(self.low, later.low) if finite else later.low
            self.high = max(self.high, later.high) if finite else later.high

    def points(self) -> Iterator[tuple[float, float]]:
        yield self.begin, self.low
        if self.high != self.low:
            yield self.begin, self.high
        if self.end != self.begin:
            yield self.end, self.last


class Curve:
    """Points from left to right; when they are too many, neighbours share a bucket that
    keeps their least and greatest value, so that no peak is lost."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._each = 1
        """Points that go into a bucket."""
        self._in_last = 0
        self._buckets: list[_Bucket] = []

    def add(self, x: float, y: float) -> None:
        """Append a point; `x` is not less than the one before."""
        point = _Bucket(x, y)
        if self._buckets and self._in_last < self._each:
            self._buckets[-1].take(point)
            self._in_last += 1
            return
        if len(self._buckets) == self._limit:
            self._halve()
        self._buckets.append(point)
        self._in_last = 1

    def cut_after(self, x: float) -> None:
        """Forget what lies wholly beyond `x`: a resumed run draws it anew."""
        while self._buckets and self._buckets[-1].begin > x:
            self._buckets.pop()
        self._in_last = self._each

    def points(self) -> list[tuple[float, float]]:
        """At most three points a bucket, from left to right."""
        return [point for bucket in self._buckets for point in bucket.points()]

    def _halve(self) -> None:
        for first, second in zip(self._buckets[::2], self._buckets[1::2], strict=False):
            first.take(second)
        self._buckets = self._buckets[::2]
        self._each *= 2
