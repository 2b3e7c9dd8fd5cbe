"""A line chart that is zoomed, panned and read by a cursor: what `workbench.charts` draws."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from workbench.charts import smoothing
from workbench.charts.cursor import Reading, reading_at, readings_at
from workbench.charts.picture import Picture, draw
from workbench.charts.raster import Piece, Row, text_of
from workbench.charts.series import COLOURS, Chart, View
from workbench.charts.symbols import BRAILLE, SETS, Symbols, width_of

_CLOSEST, _FEWEST = 1e-9, 4.0
"""What one can't zoom in beyond: a part of the x axis, and steps or tokens."""


PALETTE = {
    "cyan": ("#5fd7ff", "#005a66", "ansi_cyan", "ansi_cyan"),
    "yellow": ("#ffd75f", "#664800", "ansi_yellow", "ansi_red"),
    "green": ("#87d75f", "#005f00", "ansi_green", "ansi_green"),
    "magenta": ("#d787ff", "#8700af", "ansi_bright_magenta", "ansi_magenta"),
    "blue": ("#5f87ff", "#0000d7", "ansi_bright_blue", "ansi_blue"),
    "red": ("#ff875f", "#af0000", "ansi_bright_red", "ansi_bright_red"),
}
"""Each colour on a dark and on a light theme, and of a terminal's own for the themes that use
those. Against the background of every theme that Textual has the contrast is 3 and more, which WCAG
2.2 (1.4.11) asks of graphics, and 16 colours tell them apart. On the themes of our own it is 4.5 (a
legend is text), and 3 where it is faint."""


def _colours() -> str:
    """CSS of the classes that a picture's pieces are drawn with."""
    rules = ["& .line-chart--text { color: $foreground; }"]
    rules.append("& .line-chart--text-dim { color: $foreground 65%; }")
    for name, colours in PALETTE.items():
        kinds = zip(("dark", "light", "dark:ansi", "light:ansi"), colours, strict=True)
        for kind, colour in kinds:
            rules.append(f"&:{kind} .line-chart--{name} {{ color: {colour}; }}")
            faint = colour if "ansi" in kind else f"{colour} 70%"
            rules.append(f"&:{kind} .line-chart--{name}-dim {{ color: {faint}; }}")
    return " ".join(rules)


class LineChart(Widget):
    """One chart. What is in view follows the newest data, unless it was moved away from them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"line-chart--{name}{tail}" for name in ("text", *COLOURS) for tail in ("", "-dim")
    }
    DEFAULT_CSS = "LineChart { height: 1fr; min-height: 4;" + _colours() + "}"

    class CursorMoved(Message):
        """The cursor is at another place, or gone."""

        def __init__(
            self, line_chart: LineChart, x: float | None, readings: Mapping[str, Reading]
        ) -> None:
            super().__init__()
            self.line_chart = line_chart
            self.x = x
            """Where a point is; None without a cursor."""
            self.readings = readings
            """What each series reads there, by its name."""

        @property
        def control(self) -> LineChart:
            return self.line_chart

    class WindowMoved(Message):
        """Another part of the x axis is in view: there may be finer data for it."""

        def __init__(self, line_chart: LineChart, left: float | None, right: float | None) -> None:
            super().__init__()
            self.line_chart = line_chart
            self.left = left
            """None, as `right`, for all there is."""
            self.right = right

        @property
        def control(self) -> LineChart:
            return self.line_chart

    def __init__(self, *, id: str | None = None, symbols: str = BRAILLE.name) -> None:
        """`symbols` names a set of `workbench.charts.symbols.SETS`."""
        super().__init__(id=id)
        self.symbols: Symbols = SETS[symbols]
        self.view = View()
        self.cursor: float | None = None
        """Where it is on the x axis."""
        self._chart = Chart("", ())
        self._bare = False
        self._follows = True
        """The right edge is the newest point."""
        self._picture = Picture([], None, 0)
        self._strips: list[Strip] = []

    # What is shown

    def show(self, chart: Chart, *, bare: bool = False) -> None:
        """Draw this chart. `bare` leaves out title and x axis, for panes of a few lines."""
        self._chart, self._bare = chart, bare
        self._follow()
        self._redraw()

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return self._picture.scale is not None

    @property
    def text(self) -> str:
        """What is on the screen, without its styles."""
        return "\n".join(text_of(row) for row in self._picture.rows)

    @property
    def window(self) -> tuple[float, float] | None:
        """The part of the x axis in view; None without a point."""
        whole = self._chart.whole()
        if whole is None:
            return None
        left, right = self.view.left, self.view.right
        return whole[0] if left is None else left, whole[1] if right is None else right

    @property
    def zoomed(self) -> bool:
        """Whether only a part of the x axis is in view."""
        return self.view.left is not None

    # Zoom and pan

    def zoom(self, factor: float) -> None:
        """Show a part `factor` times as narrow (below 1: as wide), about the cursor, at the newest
        point where it is in view, else about the middle."""
        whole, window = self._chart.whole(), self.window
        if whole is None or window is None or factor <= 0:
            return
        left, right = window
        least = _FEWEST if self._chart.x.kind == "count" else (whole[1] - whole[0]) * _CLOSEST
        span = max((right - left) / factor, least)
        about, share = (left + right) / 2, 0.5
        if self.cursor is not None and left <= self.cursor <= right and right > left:
            about, share = self.cursor, (self.cursor - left) / (right - left)
        elif self._follows:
            about, share = right, 1.0
        self._look(about - span * share, about + span * (1 - share))

    def pan(self, share: float) -> None:
        """Move by a share of what is in view, to the right where it is above zero."""
        window = self.window
        if window is not None:
            by = (window[1] - window[0]) * share
            self._look(window[0] + by, window[1] + by)

    def look_at(self, left: float, right: float) -> None:
        """Show this part of the x axis."""
        self._look(left, right)

    def reset(self) -> None:
        """All of the x axis, without a cursor. The kind of axis and the smoothing stay."""
        self._follows = True
        self.view = replace(self.view, left=None, right=None)
        self._window_moved()
        if self.cursor is not None:
            self.drop_cursor()
        self._redraw()

    def mirror(self, other: LineChart) -> None:
        """Look at the same part of the same axis as another chart, with the same cursor."""
        self.view = replace(self.view, left=other.view.left, right=other.view.right)
        self.cursor, self._follows = other.cursor, other._follows

    def set_log(self, log: bool) -> None:
        """A logarithmic y axis or a linear one, from the next drawing on."""
        self.view = replace(self.view, log=log)

    def toggle_log(self) -> None:
        """A logarithmic y axis, or the linear one again."""
        self.view = replace(self.view, log=not self.view.log)
        self._redraw()

    def smooth(self, weight: float) -> None:
        """Draw the moving average with this weight (0 to 0.999; 0 for none)."""
        weight = min(smoothing.HIGHEST, max(0.0, weight))
        self.view = replace(self.view, smoothing=weight)
        self._redraw()

    # The cursor

    def move_cursor(self, columns: int) -> None:
        """Move the cursor by cells, at first from the right end; what is in view follows it."""
        window, scale = self.window, self._picture.scale
        if window is None or scale is None:
            return
        if self.cursor is None or not window[0] <= self.cursor <= window[1]:
            self._put_cursor(self._nearest(scale.right))
            return
        cell = (scale.right - scale.left) / max(1, scale.width - 1)
        wanted = self._nearest(self.cursor + columns * cell)
        if wanted == self.cursor and columns:
            # The next point is further away than a cell.
            wanted = self._next(forward=columns > 0)
        if wanted < window[0] or wanted > window[1]:
            by = wanted - window[0] if wanted < window[0] else wanted - window[1]
            self._look(window[0] + by, window[1] + by)
        self._put_cursor(wanted)

    def put_cursor(self, x: float) -> None:
        """The cursor at the point nearest to `x`, which comes into view."""
        window = self.window
        if window is None:
            return
        x = self._nearest(x)
        if not window[0] <= x <= window[1]:
            half = (window[1] - window[0]) / 2
            self._look(x - half, x + half)
        self._put_cursor(x)

    def drop_cursor(self) -> None:
        """No cursor."""
        self.cursor = None
        self.post_message(self.CursorMoved(self, None, {}))
        self._redraw()

    def _put_cursor(self, x: float) -> None:
        self.cursor = x
        self.post_message(self.CursorMoved(self, x, readings_at(self._chart.series, x)))
        self._redraw()

    def _nearest(self, x: float) -> float:
        """Where the point of the first series that has any is."""
        readings = (reading_at(one, x) for one in self._chart.series)
        return next((reading.x for reading in readings if reading is not None), x)

    def _next(self, *, forward: bool) -> float:
        """Where the next point is, of the series that `_nearest` looks at."""
        x = self.cursor or 0.0
        line = next((one.line for one in self._chart.series if len(one.line)), None)
        if line is None:
            return x
        place = bisect_right(line.x, x) if forward else bisect_left(line.x, x) - 1
        return line.x[place] if 0 <= place < len(line) else x

    # How it comes to the screen

    def _follow(self) -> None:
        """Keep the newest point at the right edge, if it was there. A window that the data have
        left, for it is another run or another axis, is given up."""
        whole, left, right = self._chart.whole(), self.view.left, self.view.right
        if whole is None or left is None or right is None:
            return
        if self._follows:
            left, right = left + whole[1] - right, whole[1]
        if left < whole[1] and right > whole[0]:
            self.view = replace(self.view, left=max(left, whole[0]), right=right)
        else:
            self._follows = True
            self.view = replace(self.view, left=None, right=None)
            self._window_moved()

    def _look(self, left: float, right: float) -> None:
        whole = self._chart.whole()
        if whole is None or not right > left:
            return
        span = min(right - left, whole[1] - whole[0])
        left = min(max(left, whole[0]), whole[1] - span)
        right = left + span
        self._follows = right >= whole[1]
        everything = left <= whole[0] and self._follows
        ends = (None, None) if everything else (left, right)
        if ends != (self.view.left, self.view.right):
            self.view = replace(self.view, left=ends[0], right=ends[1])
            self._window_moved()
            self._redraw()

    def _window_moved(self) -> None:
        self.post_message(self.WindowMoved(self, self.view.left, self.view.right))

    def on_resize(self, event: events.Resize) -> None:
        self._redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = []

    def _redraw(self) -> None:
        """Draw anew, and refresh the lines that changed."""
        width, height = self.size
        if not width or not height:
            # Not laid out yet; what there is to draw is known all the same.
            width, height = 80, 24
        before = self._picture.rows
        self._picture = draw(
            self._chart,
            self.view,
            width,
            height,
            symbols=self.symbols,
            bare=self._bare,
            cursor=self.cursor,
        )
        rows = self._picture.rows
        if len(rows) != len(before) or len(self._strips) != len(rows):
            self._strips = []
            self.refresh()
            return
        for y, (old, new) in enumerate(zip(before, rows, strict=True)):
            if old != new:
                self._strips[y] = self._strip(new)
                begin = _same_cells(old, new)
                self.refresh(Region(begin, y, width - begin, 1))

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        if not self._strips:
            self._strips = [self._strip(row) for row in self._picture.rows]
        if y < len(self._strips):
            return self._strips[y].adjust_cell_length(self.size.width, self.rich_style)
        return Strip.blank(self.size.width, self.rich_style)

    def _strip(self, row: Row) -> Strip:
        return Strip([Segment(piece.text, self._style(piece)) for piece in row])

    def _style(self, piece: Piece) -> Style:
        dim, bold = piece.tone == "dim" or None, piece.tone == "bold" or None
        own = self.app.native_ansi_color
        if own and self.app.no_color:
            # Textual 8.2 makes black on black of the terminal's own colours then.
            return Style(dim=dim, bold=bold)
        # Of few colours a paler one may be the background's: the terminal dims it.
        few = own or self.app.console.color_system == "standard"
        name = piece.colour if piece.colour in COLOURS else "text"
        tail = "-dim" if dim and not few else ""
        style = self.get_component_rich_style(f"line-chart--{name}{tail}")
        return style + Style(bold=bold, dim=dim if few else None)


def _same_cells(old: Row, new: Row) -> int:
    """How many cells at the beginning of a row stayed as they were."""
    cells = 0
    for before, after in zip(old, new, strict=False):
        if before == after:
            cells += width_of(before.text)
            continue
        if before[1:] == after[1:]:
            pairs = enumerate(zip(before.text, after.text, strict=False))
            same = next((n for n, (a, b) in pairs if a != b), min(map(len, (before[0], after[0]))))
            cells += width_of(before.text[:same])
        break
    return cells
