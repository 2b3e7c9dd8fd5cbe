"""Figures that grow without end, kept in a bounded number of buckets."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import add, itemgetter
from typing import Any

from workbench.charts.line import Line
from workbench.history.column import Column, Pairs

LIMIT = 20_000
"""Buckets: forty for each dot column of a chart 250 cells wide, so that zooming in stays sharp."""
_APART = 16
"""Places where buckets are kept apart, the newest ones: a run is resumed from one of its last
checkpoints."""

Point = tuple[Sequence[float], Sequence[float]]
"""Where it is on each axis, and each figure; one that isn't finite is a gap."""


class Track:
    """Figures over one or several axes, from left to right.

    Each point is a bucket of its own until there are too many: then neighbours share one, which
    keeps their least and greatest value and their mean, so that no peak is lost.
    """

    def __init__(
        self, figures: Sequence[str], axes: Sequence[str] = ("step",), limit: int = LIMIT
    ) -> None:
        """Points are cut off (`cut_after`) by the first of the axes."""
        self.axes = tuple(axes)
        self.limit = max(limit, 4 * _APART)
        self.each = 1
        """Points that go into a bucket."""
        self.added = 0
        """Points ever added: with `cuts`, whether anything has changed."""
        self.cuts = 0
        self._columns = {name: Column() for name in figures}
        self._begin = {axis: array("d") for axis in self.axes}
        self._end = {axis: array("d") for axis in self.axes}
        self._points = array("d")
        """Points of each bucket."""
        self._open: list[Point] = []
        """Points of the bucket that isn't full."""
        self._shown = False
        """Whether the last of the buckets is that of `_open`, as far as it goes."""
        self._stale = False
        """Whether `_open` has more than that."""
        self._apart: list[float] = []
        """Ends of buckets that share nothing with the next."""

    def __len__(self) -> int:
        """Buckets."""
        return len(self._points) + (bool(self._open) and not self._shown)

    @property
    def figures(self) -> list[str]:
        return list(self._columns)

    @property
    def exact(self) -> bool:
        """Whether each bucket is one point."""
        return self.each == 1

    def widen(self, figure: str) -> None:
        """Have one figure more, the last; so far it is a gap."""
        if figure not in self._columns:
            self._settle()
            self._columns[figure] = column = Column()
            column.gaps(len(self._points))

    def add(self, at: Sequence[float], values: Sequence[float]) -> None:
        """Append a point: where it is on each axis, not left of the one before, and its figures in
        order; the last ones may be missing."""
        self._open.append((at, values))
        self._stale = True
        self.added += 1
        if len(self._open) >= self.each:
            self._close()

    def keep_apart(self) -> None:
        """Let no bucket hold points both of before and of after now: a cut here is exact, as long
        as few came later."""
        if self._open:
            self._close()
        if self._points:
            place = self._end[self.axes[0]][-1]
            self._apart = [*(p for p in self._apart if p != place), place][-_APART:]

    def cut_after(self, place: float) -> None:
        """Forget what lies beyond `place` of the first axis: a resumed run draws it anew. Of a
        bucket on both sides of it the figures stay."""
        self._hide()
        self.cuts += 1
        self._open = [point for point in self._open if point[0][0] <= place]
        self._stale = bool(self._open)
        self._apart = [apart for apart in self._apart if apart <= place]
        first = self.axes[0]
        if self._open:
            return
        keep = bisect_right(self._begin[first], place)
        if keep and self._end[first][keep - 1] > place:
            ends = {axis: self.at(first, place, axis) for axis in self.axes}
            for axis, end in ends.items():
                self._end[axis][keep - 1] = end
        for part in self._parts():
            del part[keep:]

    def cut_before(self, place: float) -> None:
        """Forget what lies wholly before `place` of the first axis."""
        self._hide()
        self.cuts += 1
        self._open = [point for point in self._open if point[0][0] >= place]
        self._stale = bool(self._open)
        gone = bisect_left(self._end[self.axes[0]], place)
        for part in self._parts():
            del part[:gone]

    def single(self, x: str, left: float, right: float) -> bool:
        """Whether each bucket from one place to another is one point."""
        where = self.between(x, left, right)
        return max(self._points[where], default=1.0) == 1.0

    def line(
        self, figure: str, x: str, left: float | None = None, right: float | None = None
    ) -> Line:
        """The figure's buckets on an axis: those between `left` and `right`, and one beyond on
        either side, so that what is drawn of them goes up to the edge."""
        where = self.between(x, left, right)
        column = self._columns[figure]
        return Line(
            self._begin[x][where], column.low[where], column.high[where], column.mean[where]
        )

    def between(self, x: str, left: float | None, right: float | None) -> slice:
        """The places of the buckets that `line` gives."""
        self._settle()
        begin = self._begin[x]
        start = 0 if left is None else max(0, bisect_left(begin, left) - 1)
        stop = len(begin) if right is None else min(len(begin), bisect_right(begin, right) + 1)
        return slice(start, max(start, stop))

    def begins(self, x: str, where: slice) -> array[float]:
        """Where buckets begin on an axis."""
        self._settle()
        return self._begin[x][where]

    def span(self, x: str) -> tuple[float, float] | None:
        """Where the first point is and where the last; None without any."""
        self._settle()
        return (self._begin[x][0], self._end[x][-1]) if self._points else None

    def extremes(self, figure: str) -> tuple[float, float] | None:
        """The least and the greatest value of a figure; None without any."""
        self._settle()
        column = self._columns[figure]
        low, high = min(column.low, default=math.inf), max(column.high, default=-math.inf)
        return (low, high) if low <= high else None

    def last(self, figure: str) -> float | None:
        """The newest value of a figure that is finite; None without any. Where points share
        buckets and the newest one is full, it is that bucket's mean."""
        place = list(self._columns).index(figure)
        for _, values in reversed(self._open):
            if place < len(values) and math.isfinite(values[place]):
                return values[place]
        self._settle()
        return next((mean for mean in reversed(self._columns[figure].mean) if mean == mean), None)

    def at(self, x: str, value: float, to: str) -> float:
        """A place of one axis on another; beyond the ends it is the end's. NaN without points.

        Within a bucket, and between two, points are taken to be evenly spaced."""
        self._settle()
        if not self._points:
            return math.nan
        place = bisect_right(self._begin[x], value) - 1
        if place < 0:
            return self._begin[to][0]
        return self._between(place, x, value, to)

    def convert(self, x: str, values: Sequence[float], to: str) -> array[float]:
        """As `at`, of many ascending places: in one pass."""
        self._settle()
        if not self._points:
            return array("d", [math.nan]) * len(values)
        begin, found = self._begin[x], array("d")
        place, last = -1, len(begin) - 1
        for value in values:
            while place < last and begin[place + 1] <= value:
                place += 1
            found.append(self._between(place, x, value, to) if place >= 0 else self._begin[to][0])
        return found

    def enclosing(self, x: str, left: float, right: float, to: str) -> tuple[float, float]:
        """Places of axis `to` between which all points from `left` to `right` lie: the bounds of
        buckets. Infinite where no bucket lies beyond."""
        self._settle()
        start = bisect_left(self._end[x], left) - 1
        stop = bisect_right(self._begin[x], right)
        low = self._end[to][start] if start >= 0 else -math.inf
        high = self._begin[to][stop] if stop < len(self._points) else math.inf
        return low, high

    def state(self) -> tuple[dict[str, Any], list[array[float]]]:
        """All of it, as what JSON takes and as columns."""
        self._hide()
        opened = array("d")
        for at, values in self._open:
            opened.extend(at)
            opened.extend(values)
            opened.extend([math.nan] * (len(self._columns) - len(values)))
        told = {
            "axes": self.axes,
            "figures": self.figures,
            "limit": self.limit,
            "each": self.each,
            "added": self.added,
            "cuts": self.cuts,
            "apart": self._apart,
        }
        return told, [*self._parts(), opened]

    @classmethod
    def of_state(cls, told: dict[str, Any], columns: Iterator[array[float]]) -> Track:
        """What `state` gave. Raises ValueError where columns differ in length."""
        track = cls(told["figures"], told["axes"], told["limit"])
        track.each, track.added, track.cuts = told["each"], told["added"], told["cuts"]
        track._apart = told["apart"]
        for part in track._parts():
            part.extend(next(columns))
        if len(set(map(len, track._parts()))) > 1:
            raise ValueError("columns differ in length")
        opened = next(columns)
        axes, width = len(track.axes), len(track.axes) + len(track._columns)
        for start in range(0, len(opened), width):
            at, values = opened[start : start + axes], opened[start + axes : start + width]
            track._open.append((tuple(at), values.tolist()))
        track._stale = bool(track._open)
        return track

    def _between(self, place: int, x: str, value: float, to: str) -> float:
        """On axis `to`, a place of `x` at or behind the beginning of the bucket at `place`."""
        low, high = self._begin[x][place], self._end[x][place]
        first, second = self._begin[to][place], self._end[to][place]
        if value > high:
            if place + 1 == len(self._points):
                return second
            low, high = high, self._begin[x][place + 1]
            first, second = second, self._begin[to][place + 1]
        if high <= low:
            return second
        return first + (second - first) * ((value - low) / (high - low))

    def _close(self) -> None:
        """The open bucket is full."""
        self._settle()
        self._open = []
        self._shown = False
        if len(self._points) >= self.limit:
            self._share()

    def _settle(self) -> None:
        """Have the open bucket among the others."""
        if not self._stale:
            return
        self._hide()
        first, last = self._open[0][0], self._open[-1][0]
        for place, axis in enumerate(self.axes):
            self._begin[axis].append(first[place])
            self._end[axis].append(last[place])
        self._points.append(len(self._open))
        self._shown, self._stale = True, False
        if len(self._open) == 1:
            single = list(self._open[0][1])
            single += [math.nan] * (len(self._columns) - len(single))
            for value, column in zip(single, self._columns.values(), strict=True):
                column.append_one(value)
            return
        values = [point[1] for point in self._open]
        widths = min(map(len, values))
        for place, column in enumerate(self._columns.values()):
            if place < widths:
                column.append(list(map(itemgetter(place), values)))
            else:
                column.append([value[place] for value in values if place < len(value)])

    def _hide(self) -> None:
        """Undo `_settle`."""
        if self._shown:
            for part in self._parts():
                part.pop()
        self._shown, self._stale = False, bool(self._open)

    def _parts(self) -> Iterator[array[float]]:
        yield from self._begin.values()
        yield from self._end.values()
        yield self._points
        for column in self._columns.values():
            yield from column.parts()

    def _share(self) -> None:
        """Have neighbours share buckets until a quarter of all is free."""
        while len(self._points) > self.limit * 3 // 4:
            # First those that were kept apart and needn't be any more: they are short.
            while len(pairs := self._pairs()) > self.limit * 3 // 4:
                self.each *= 2
            for axis in self.axes:
                self._begin[axis] = array("d", pairs.first(self._begin[axis]))
                self._end[axis] = array("d", pairs.second(self._end[axis]))
            self._points = array(
                "d", map(add, pairs.first(self._points), pairs.other(self._points))
            )
            for column in self._columns.values():
                column.share(pairs)

    def _pairs(self) -> Pairs:
        """The buckets that fit together in two."""
        firsts: list[int] = []
        seconds: list[int] = []
        ends, apart, points = self._end[self.axes[0]], set(self._apart), self._points
        place, last = 0, len(points) - 1
        while place <= last:
            firsts.append(place)
            fits = place < last and points[place] + points[place + 1] <= self.each
            if fits and ends[place] not in apart:
                place += 1
            seconds.append(place)
            place += 1
        return Pairs(firsts, seconds)
