"""A line chart: what `workbench.chart` draws, in colours, with a title and axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from workbench.chart import Series, cells_of, label, number, scale_of

_MARGIN = 9
"""Cells for the numbers of the y axis."""


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
    out = Text(no_wrap=True)
    out.append(title, Style(bold=True))
    for one in series:
        last = next((y for _, y in reversed(one.points) if math.isfinite(y)), None)
        if last is not None:
            mark = ("o" if ascii else "●") if one.marks else ("*" if ascii else "━")
            out.append(f"  {mark} {one.name} {number(last)}", Style(color=one.colour))
    scale = scale_of(series, width, height)
    if scale is None:
        out.append("\n\n" + " " * _MARGIN + "nothing to draw yet", Style(dim=True))
        return out
    for row, line in enumerate(cells_of(series, scale, ascii=ascii)):
        bar = "|" if ascii else "│"
        out.append(f"\n{label(scale, row):>{_MARGIN - 2}} {bar}", Style(dim=True))
        for colour, run in groupby(line, key=itemgetter(1)):
            out.append("".join(text for text, _ in run), Style(color=colour) if colour else None)
    begin, end = f"{x} {number(scale.left)}".strip(), number(scale.right)
    axis = f"{begin}{end:>{max(1, width - len(begin))}}"
    out.append("\n" + " " * _MARGIN + axis, Style(dim=True))
    return out
