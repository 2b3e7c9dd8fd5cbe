"""The Monitor's charts: as many as there is room for, all over the same part of the same axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message

from screens.widgets.line_chart import LineChart
from workbench.charts.series import Chart
from workbench.charts.symbols import Symbols

_LOWEST = 8
"""Lines of a small chart, with its title and its axis, that is still worth looking at."""
_WIDE = 112
"""Cells from which on the small ones stand beside the large one."""
_TWO_COLUMNS = 180
_ROWS = 4
SMOOTHINGS = (0.0, 0.6, 0.9, 0.99)
"""Weights of the moving average that one goes through."""

Window = tuple[float, float] | None
"""A part of the x axis; None for all of it."""
Draw = Callable[[str, Window, bool], Chart]
"""Makes the chart of a panel, by the panel's name; with marks, or without."""


class Charts(Horizontal):
    """One large chart at the left, or at the top where the terminal is narrow, and smaller ones
    beside it. Zoom, pan, cursor and smoothing are those of all."""

    DEFAULT_CSS = """
    Charts {
        height: 1fr;
        LineChart { height: 1fr; min-height: 3; }
        .beside { width: 2fr; height: 1fr; }
        #large { width: 3fr; }
        &.-narrow {
            layout: vertical;
            #large { width: 1fr; height: 3fr; }
            .beside { width: 1fr; height: 2fr; }
        }
        &.-tall #large { height: 1fr; }
        &.-bare #large { min-height: 1; }
    }
    """

    @dataclass
    class Moved(Message):
        """Another part of the axis is in view, or the cursor is elsewhere."""

        window: Window
        cursor: float | None

    def __init__(self, symbols: Symbols, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._symbols = symbols
        self._panels: Sequence[str] = ()
        self._large = self._beside = 0
        """Places among the panels: of the large one, and of the first beside it."""
        self._alone = self._bare = False
        self._log: set[str] = set()
        """Panels with a logarithmic axis."""
        self._smoothing = 0
        self._draw: Draw | None = None

    def compose(self) -> ComposeResult:
        yield LineChart(id="large", symbols=self._symbols.name)
        for column in range(2):
            with Vertical(classes="beside"):
                for row in range(_ROWS):
                    yield LineChart(id=f"small{column}{row}", symbols=self._symbols.name)

    @property
    def large(self) -> LineChart:
        return self.query_one("#large", LineChart)

    @property
    def window(self) -> Window:
        """The part of the axis in view; None while it is all of it."""
        return self.large.window if self.large.zoomed else None

    @property
    def cursor(self) -> float | None:
        """Where it is on the axis; None without one."""
        return self.large.cursor

    def show(self, panels: Sequence[str], draw: Draw, *, bare: bool = False) -> None:
        """Draw these panels, as many as have room; the first is the large one at first."""
        self._panels, self._draw, self._bare = panels, draw, bare
        self._arrange()
        self._redraw()

    def _arrange(self) -> None:
        """How many small charts there are, and where."""
        width, height = self.size
        wide = width >= _WIDE
        columns = 0 if self._bare or self._alone else 2 if width >= _TWO_COLUMNS else 1
        rows = min(_ROWS, max(1, (height if wide else height - height // 2) // _LOWEST))
        self.set_class(not wide, "-narrow")
        self.set_class(not wide and rows > 1, "-tall")
        self.set_class(self._bare, "-bare")
        there = max(0, len(self._panels) - 1)
        rows = min(rows, -(-there // columns)) if columns else 0
        for place, column in enumerate(self.query(".beside")):
            column.display = place < columns and place * rows < there
            for row, chart in enumerate(column.query(LineChart)):
                chart.display = column.display and row < rows and place * rows + row < there

    def _redraw(self) -> None:
        if self._draw is None or not self._panels:
            return
        window = self.window
        others = [name for name in self._panels if name != self.large_panel]
        names = [self.large_panel, *self._turned(others)]
        charts = [chart for chart in self.query(LineChart) if chart.display]
        for chart, name in zip(charts, names, strict=False):
            chart.set_log(name in self._log)
            # Once is enough: the small ones need their lines for the curve.
            chart.show(self._draw(name, window, chart is self.large), bare=self._bare)

    def _turned(self, names: list[str]) -> list[str]:
        start = self._beside % len(names) if names else 0
        return names[start:] + names[:start]

    @property
    def large_panel(self) -> str:
        """The name of what the large chart shows; empty without anything."""
        return self._panels[self._large % len(self._panels)] if self._panels else ""

    def turn_large(self, by: int) -> None:
        """Show another panel in the large chart."""
        self._large += by
        self._redraw()

    def turn_beside(self, by: int) -> None:
        """Show other panels beside it."""
        self._beside += by
        self._redraw()

    def toggle_alone(self) -> None:
        """The large chart alone, or with the others again."""
        self._alone = not self._alone
        self._arrange()
        self.call_after_refresh(self._redraw)

    def toggle_log(self) -> bool:
        """A logarithmic y axis for what the large chart shows, or the linear one; which it is."""
        self._log ^= {self.large_panel}
        self._redraw()
        return self.large_panel in self._log

    def smooth_next(self) -> float:
        """Another weight of the moving average, which is returned."""
        self._smoothing = (self._smoothing + 1) % len(SMOOTHINGS)
        for chart in self.query(LineChart):
            chart.smooth(SMOOTHINGS[self._smoothing])
        return SMOOTHINGS[self._smoothing]

    def zoom(self, factor: float) -> None:
        """Look at a part `factor` times as narrow."""
        self.large.zoom(factor)

    def pan(self, share: float) -> None:
        """Move by a share of what is in view."""
        self.large.pan(share)

    def reset(self) -> None:
        """All of the axis, without a cursor."""
        self.large.reset()

    def move_cursor(self, columns: int) -> None:
        """Move the cursor by cells, at first from the right end."""
        self.large.move_cursor(columns)

    def put_cursor(self, x: float) -> None:
        """The cursor at the point nearest to a place of the axis."""
        self.large.put_cursor(x)

    @on(LineChart.WindowMoved, "#large")
    @on(LineChart.CursorMoved, "#large")
    def _follow_large(self) -> None:
        """The others look at the same part."""
        for chart in self.query(LineChart):
            if chart is not self.large:
                chart.mirror(self.large)
        self._redraw()
        self.post_message(self.Moved(self.window, self.cursor))

    def on_resize(self, event: events.Resize) -> None:
        self._arrange()
        self.call_after_refresh(self._redraw)
