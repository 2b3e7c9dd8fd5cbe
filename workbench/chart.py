"""Series as characters: braille or ASCII, least and greatest value of each column.

3,000 points, which is what a run of any length is thinned to, take about 10 ms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille cell: left column from the top, then the right one."""
_CELLS_A_MARK = 4
"""Marks closer than this hide the lines beneath them."""

Cell = tuple[str, str]
"""A character and its colour; empty for none."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line: a name, points from left to right, and a colour."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str = ""
    marks: bool = False
    """Draw each point as a mark, as long as they are few; then as a line, too."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where values are among `width` by `height` cells."""

    left: float
    right: float
    low: float
    high: float
    width: int
    height: int

    def x(self, value: float, parts: int) -> int:
        """The dot column of a value, with `parts` dots to a cell."""
        span = self.width * parts - 1
        return round((value - self.left) / (self.right - self.left) * span)

    def y(self, value: float, parts: int) -> int:
        span = self.height * parts - 1
        return span - round((value - self.low) / (self.high - self.low) * span)


def scale_of(series: Sequence[Series], width: int, height: int) -> Scale | None:
    """The scale that all series fit in; None where no value is finite."""
    finite = [point for s in series for point in s.points if math.isfinite(point[1])]
    if not finite:
        return None
    left, right = min(p[0] for p in finite), max(p[0] for p in finite)
    low, high = min(p[1] for p in finite), max(p[1] for p in finite)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    return Scale(left, right if right > left else left + 1, low, high, width, height)


def cells_of(series: Sequence[Series], scale: Scale, *, ascii: bool = False) -> list[list[Cell]]:
    """The series drawn over each other, line by line from the top. Values that aren't finite are
    gaps."""
    cells: list[list[Cell]] = [[(" ", "")] * scale.width for _ in range(scale.height)]
    for one in series:
        marked = one.marks and len(one.points) <= scale.width // _CELLS_A_MARK
        (_mark if marked else _line)(cells, one, scale, ascii)
    return cells


def label(scale: Scale, line: int) -> str:
    """The number that stands at a line of the y axis: at every second one and the last."""
    if line % 2 and line != scale.height - 1:
        return ""
    value = scale.high - (scale.high - scale.low) * line / max(1, scale.height - 1)
    if abs(value) < 1e-9 * (scale.high - scale.low):
        value = 0.0
    return number(value)


def _mark(cells: list[list[Cell]], one: Series, scale: Scale, ascii: bool) -> None:
    for x, y in one.points:
        if math.isfinite(y):
            cells[scale.y(y, 1)][scale.x(x, 1)] = ("o" if ascii else "●", one.colour)


def _line(cells: list[list[Cell]], one: Series, scale: Scale, ascii: bool) -> None:
    across, down = (1, 1) if ascii else (2, 4)
    bits: dict[tuple[int, int], int] = {}
    before: tuple[int, int] | None = None
    for x, top, bottom, end in _columns(one.points, scale, across, down):
        if before is not None and x - before[0] >= 1:
            _join(
                bits, before, (x, top if abs(top - before[1]) < abs(bottom - before[1]) else bottom)
            )
        for y in range(top, bottom + 1):
            bits[(x, y)] = 1
        before = None if end is None else (x, end)
    grid: dict[tuple[int, int], int] = {}
    for x, y in bits:
        cell = (y // down, x // across)
        grid[cell] = grid.get(cell, 0) | (1 if ascii else _DOTS[x % 2][y % 4])
    for (row, column), dots in grid.items():
        cells[row][column] = ("*" if ascii else chr(0x2800 + dots), one.colour)


def _columns(
    points: Sequence[tuple[float, float]], scale: Scale, across: int, down: int
) -> list[tuple[int, int, int, int | None]]:
    """Dot column, its highest and lowest dot, and where it ends (None before a gap)."""
    found: list[tuple[int, int, int, int | None]] = []
    for x_value, y_value in points:
        if not math.isfinite(y_value):
            if found:
                found[-1] = (*found[-1][:3], None)
            continue
        x, y = scale.x(x_value, across), scale.y(y_value, down)
        if found and found[-1][0] == x:
            _, top, bottom, _ = found[-1]
            found[-1] = (x, min(top, y), max(bottom, y), y)
        else:
            found.append((x, y, y, y))
    return found


def _join(bits: dict[tuple[int, int], int], a: tuple[int, int], b: tuple[int, int]) -> None:
    steps = max(abs(b[0] - a[0]), abs(b[1] - a[1]))
    for i in range(1, steps):
        bits[(a[0] + round((b[0] - a[0]) * i / steps), a[1] + round((b[1] - a[1]) * i / steps))] = 1


def number(value: float) -> str:
    """At most seven characters."""
    if value == 0 or 0.01 <= abs(value) < 100_000:
        return f"{value:.4g}"
    return f"{value:.1e}"
