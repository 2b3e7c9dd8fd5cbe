"""Where values are in a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

LARGEST = 8e307
"""Twice this is still a number."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where values are among `width` by `height` cells. `right` is above `left`, `high` above
    `low`, and both above zero where `log` is set."""

    left: float
    right: float
    low: float
    high: float
    width: int
    height: int
    log: bool = False

    def column(self, x: float, across: int = 1) -> int:
        """The dot column of a place, with `across` dots to a cell; below 0 or beyond the last
        one where it isn't in view."""
        place = (x - self.left) / (self.right - self.left) * (self.width * across - 1)
        return math.floor(min(1e9, max(-1e9, place)) + 0.5)

    def row(self, y: float, down: int = 1) -> int:
        """The dot row of a value, counted from the top; -1 above the picture, the number of
        rows below it."""
        rows = self.height * down
        high, low = self.high, self.low
        if self.log:
            if y <= 0:
                return rows
            y, high, low = math.log10(y), math.log10(high), math.log10(low)
        place = (high - min(LARGEST, max(-LARGEST, y))) / (high - low) * (rows - 1)
        return -1 if place < -0.5 else rows if place >= rows - 0.5 else math.floor(place + 0.5)

    def y_at(self, row: int) -> float:
        """The value in the middle of a row of cells."""
        share = row / max(1, self.height - 1)
        if self.log:
            high, low = math.log10(self.high), math.log10(self.low)
            return float(10 ** (high - (high - low) * share))
        return self.high - (self.high - self.low) * share


def spread(low: float, high: float, *, log: bool = False) -> tuple[float, float]:
    """Bounds a little beyond the values, at round places so that they seldom move; apart where
    all values are one."""
    if log:
        low, high = max(low, 1e-307), max(high, 1e-307)
        if high / low < 1.0001:
            return low / 2, min(high * 2, LARGEST)
        # The bounds stay at tenths of a decade at most.
        part = min(0.1, (math.log10(high) - math.log10(low)) / 20)
        first, last = math.floor(math.log10(low) / part), math.ceil(math.log10(high) / part)
        return min(low, 10 ** max(-307.0, first * part)), max(high, 10 ** min(307.0, last * part))
    low, high = max(-LARGEST, low), min(LARGEST, high)
    span, size = high - low, max(abs(low), abs(high))
    if span <= 1e-12 * size or span < 1e-300:
        half = 0.5 * size if size > 1e-290 else 1.0
        return low - half, high + half
    part = round_down(span / 20)
    return math.floor(low / part) * part, math.ceil(high / part) * part


def round_down(most: float) -> float:
    """1, 2 or 5 times a power of ten, not more than `most`, which is above zero."""
    power = 10.0 ** max(-305, math.floor(math.log10(most)))
    return next((factor * power for factor in (5, 2) if factor * power <= most), power)
