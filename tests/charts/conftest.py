from __future__ import annotations

from typing import Any

from workbench.charts.line import Line
from workbench.charts.picture import draw
from workbench.charts.raster import text_of
from workbench.charts.series import Chart, Series, View
from workbench.charts.symbols import SETS

ZIGZAG = Line.of((x, abs(x - 10)) for x in range(21))


def picture(
    chart: Chart | Series, width: int, height: int, *, symbols: str = "braille", **options: Any
) -> list[str]:
    """The rows of a chart, without its styles."""
    if isinstance(chart, Series):
        chart = Chart("", [chart])
    view = options.pop("view", View())
    drawn = draw(chart, view, width, height, symbols=SETS[symbols], **options)
    return [text_of(row) for row in drawn.rows]


def body(rows: list[str], margin: int = 9) -> list[str]:
    """The plot of a picture with title and x axis."""
    return [row[margin:] for row in rows[1:-1]]
