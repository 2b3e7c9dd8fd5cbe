"""A line chart in braille: least and greatest value of each column, one line a series.

3,000 points, which is what `Curve` gives of a run of any length, take about 10 ms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.style import Style
from rich.text import Text
from textual.widget import Widget

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille cell: left column from the top, then the right one."""
_MARGIN = 9
"""Cells for the numbers of the y axis."""


_CELLS_A_MARK = 4
"""Marks closer than this hide the lines beneath them."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line: a name, points from left to right, and a colour."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    marks: bool = False
    """Draw each point as a mark, as long as they are few; then as a line, too."""


class LineChart(Widget):
    """Series over one x axis."""

    DEFAULT_CSS = """
    LineChart { height: 1fr; min-height: 4; }
    """

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id)
        self._series: Sequence[Series] = ()
        self._title = self._x = ""
        self._ascii = ascii
        self._bare = False

    def show(self, title: str, series: Sequence[Series], *, x: str, bare: bool = False) -> None:
        """Draw these series; `x` names the x axis. `bare` leaves title and x axis out."""
        self._title, self._series, self._x, self._bare = title, series, x, bare
        self.refresh()

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return any(series.points for series in self._series)

    def render(self) -> Text:
        around = 0 if self._bare else 2
        width, height = self.size.width - _MARGIN, self.size.height - around
        if width < 4 or height < max(1, around):
            return Text("")
        drawn = draw(self._title, self._series, width, height, x=self._x, ascii=self._ascii)
        if not self._bare:
            return drawn
        return Text("\n", no_wrap=True).join(drawn.split("\n")[1 : height + 1])


def draw(
    title: str,
    series: Sequence[Series],
    width: int,
    height: int,
    *,
    x: str = "",
    ascii: bool = False,
) -> Text:
    """The chart as text: a title line, `height` lines of `width` cells with the y axis
    before them, and the x axis. Values that aren't finite are gaps."""
    finite = [point for s in series for point in s.points if math.isfinite(point[1])]
    out = Text(no_wrap=True)
    out.append(title, Style(bold=True))
    for one in series:
        last = next((y for _, y in reversed(one.points) if math.isfinite(y)), None)
        if last is not None:
            mark = ("o" if ascii else "●") if one.marks else ("*" if ascii else "━")
            out.append(f"  {mark} {one.name} {number(last)}", Style(color=one.colour))
    if not finite:
        out.append("\n\n" + " " * _MARGIN + "nothing to draw yet", Style(dim=True))
        return out
    left, right = min(p[0] for p in finite), max(p[0] for p in finite)
    low, high = min(p[1] for p in finite), max(p[1] for p in finite)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    scale = _Scale(left, right if right > left else left + 1, low, high, width, height)
    cells: list[list[tuple[str, str]]] = [[(" ", "")] * width for _ in range(height)]
    for one in series:
        marked = one.marks and len(one.points) <= width // _CELLS_A_MARK
        (_mark if marked else _line)(cells, one, scale, ascii)
    for row, line in enumerate(cells):
        value = high - (high - low) * row / max(1, height - 1)
        if abs(value) < 1e-9 * (high - low):
            value = 0.0
        label = number(value) if row % 2 == 0 or row == height - 1 else ""
        out.append(f"\n{label:>{_MARGIN - 2}} {'|' if ascii else '│'}", Style(dim=True))
        for colour, run in groupby(line, key=itemgetter(1)):
            out.append("".join(text for text, _ in run), Style(color=colour) if colour else None)
    begin, end = f"{x} {number(left)}".strip(), number(right)
    axis = f"{begin}{end:>{max(1, width - len(begin))}}"
    out.append("\n" + " " * _MARGIN + axis, Style(dim=True))
    return out


@dataclass(frozen=True, slots=True)
class _Scale:
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


def _mark(cells: list[list[tuple[str, str]]], one: Series, scale: _Scale, ascii: bool) -> None:
    for x, y in one.points:
        if math.isfinite(y):
            cells[scale.y(y, 1)][scale.x(x, 1)] = ("o" if ascii else "●", one.colour)


def _line(cells: list[list[tuple[str, str]]], one: Series, scale: _Scale, ascii: bool) -> None:
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
    points: Sequence[tuple[float, float]], scale: _Scale, across: int, down: int
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
