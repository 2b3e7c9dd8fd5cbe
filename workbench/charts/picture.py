"""A chart as rows of characters: title, curves with their y axis, marks and x axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from workbench.charts import axes, legend, smoothing
from workbench.charts.columns import Columns, reduce
from workbench.charts.cursor import reading_at
from workbench.charts.legend import Entry, Legend
from workbench.charts.raster import Canvas, Piece, Row, trace
from workbench.charts.scale import Scale, round_down, spread
from workbench.charts.series import Chart, Series, View
from workbench.charts.symbols import BRAILLE, Symbols, cut, width_of
from workbench.text import visible

_CELLS_A_MARK = 4
"""Marks closer than this hide the line beneath them."""
_PART = 4
"""The legend has at most this part of the rows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn chart."""

    rows: list[Row]
    """At most as many as asked for; each at most as wide."""
    scale: Scale | None
    """Where values are in the plot; None where there is nothing to draw."""
    margin: int
    """Cells left of the plot."""


@dataclass(slots=True)
class _Curve:
    """A series on its way into the picture."""

    series: Series
    columns: Columns
    smooth: Columns | None
    letter: str
    """Its letter; empty where it needs none."""
    character: str
    """What stands for it in the legend."""


def draw(
    chart: Chart,
    view: View = View(),  # noqa: B008
    width: int = 80,
    height: int = 24,
    *,
    symbols: Symbols = BRAILLE,
    bare: bool = False,
    cursor: float | None = None,
) -> Picture:
    """The chart in at most `width` by `height` cells. `bare` leaves out all but the plot, its y
    axis and, while there is a `cursor` (a place on the x axis), the title with what it reads."""
    if width < 1 or height < 1:
        return Picture([], None, 0)
    margin = axes.margin(width)
    # A chart may stand right of it without a margin.
    room = max(1, width - 1)
    top = 1 if height >= 2 and (not bare or cursor is not None) else 0
    if top and not bare:
        top = legend.rows_of(chart, view, room, max(1, height // _PART))
    across = max(1, width - margin)
    window = _window(chart, view)
    curves = [] if window is None else _curves(chart, view, window, across, symbols)
    bounds = _bounds(chart, view, curves)
    if window is None or bounds is None:
        return _empty(chart, view, curves, width, height, symbols, top)
    letters = axes.letters_of(chart.marks, window) if not bare else ""
    cell = (window[1] - window[0]) / across
    beside = legend.usual_width(chart, view) + width_of(letters) + 3 <= width
    below = 0 if bare or height < 3 else 1
    marks = 1 if below and chart.marks and height >= 6 else 0
    told = 1 if marks and letters and not beside and height >= 10 else 0
    plot = height - top - below - marks - told
    scale = Scale(*window, *bounds, across, plot, view.log)
    rows: list[Row] = []
    if top:
        rows = legend.draw(_legend(chart, view, curves, cursor, cell), room, top, symbols)
        rows += [[] for _ in range(top - len(rows))]
        if marks and beside:
            rows[0] = _with_end(rows[0], letters, room)
    lines = _plot(chart, curves, scale, symbols, cursor)
    labels = axes.y_labels(scale, chart.y, margin, symbols)
    rows += [
        _join([Piece(label, "", "dim")], line) for label, line in zip(labels, lines, strict=True)
    ]
    if marks:
        rows.append([Piece(" " * margin), *axes.marks_row(chart.marks, scale)])
    if told:
        rows.append([Piece(cut(" " * margin + letters, width, symbols.more), "", "dim")])
    if below:
        rows.append([Piece(axes.x_row(scale, chart.x, margin, symbols), "", "dim")])
    return Picture(rows, scale, margin)


def plot(
    chart: Chart, view: View, scale: Scale, symbols: Symbols, cursor: float | None = None
) -> list[Row]:
    """The curves, thresholds and cursor alone, as `scale` has them."""
    window = scale.left, scale.right
    return _plot(chart, _curves(chart, view, window, scale.width, symbols), scale, symbols, cursor)


def _window(chart: Chart, view: View) -> tuple[float, float] | None:
    """What is in view of the x axis. Its end is at a round place at most a hundredth beyond the
    newest point, so that not all of the picture moves with each point."""
    whole = chart.whole()
    if whole is None:
        return None
    left = whole[0] if view.left is None else view.left
    right = view.right
    if right is None:
        right = whole[1]
        if right > left:
            part = round_down((right - left) / 100)
            right = max(right, math.ceil(right / part - 1e-9) * part)
    return left, right if right > left else left + max(1.0, abs(left) * 1e-9)


def _curves(
    chart: Chart, view: View, window: tuple[float, float], width: int, symbols: Symbols
) -> list[_Curve]:
    lines = [one for one in chart.series if one.style == "line"]
    letters = iter("abcdefghijklmnopqrstuvwxyz" if len(lines) > 1 else "")
    characters = iter(symbols.lines * (len(chart.series) + 1))
    found = []
    for one in chart.series:
        columns = reduce(one.line, *window, width * symbols.across, log=view.log)
        smooth = None
        letter = one.letter
        if one.style == "line":
            letter = letter or next(letters, "")
            if view.smoothing > 0:
                smooth = _smooth(one, columns, view)
        own = {"marks": symbols.mark, "dim": symbols.dim}.get(one.style) or next(characters)
        found.append(_Curve(one, columns, smooth, letter, letter or own))
    return found


def _smooth(series: Series, columns: Columns, view: View) -> Columns:
    values = smoothing.smoothed(series.line, columns.edges, view.smoothing, series.spacing)
    least = 0.0 if view.log else -math.inf
    shown = [math.isfinite(value) and value > least for value in values]
    low = [value if show else math.inf for value, show in zip(values, shown, strict=True)]
    high = [value if show else -math.inf for value, show in zip(values, shown, strict=True)]
    return Columns(low, high, columns.joined, columns.edges)


def _bounds(chart: Chart, view: View, curves: Sequence[_Curve]) -> tuple[float, float] | None:
    """Those of the y axis; None where no value is in view."""
    found = [curve.columns.bounds() for curve in curves]
    low = min((low for low, _ in found), default=math.inf)
    high = max((high for _, high in found), default=-math.inf)
    if low > high:
        return None
    limits = [limit.y for limit in chart.thresholds if limit.include and math.isfinite(limit.y)]
    for y in limits:
        if y > 0 or not view.log:
            low, high = min(low, y), max(high, y)
    low, high = spread(low, high, log=view.log)
    if view.low is not None and (view.low > 0 or not view.log):
        low = view.low
    if view.high is not None and view.high > low:
        high = view.high
    return (low, high) if high > low else spread(low, low, log=view.log)


def _plot(
    chart: Chart,
    curves: Sequence[_Curve],
    scale: Scale,
    symbols: Symbols,
    cursor: float | None,
) -> list[Row]:
    canvas = Canvas(scale.width, scale.height, symbols)
    down = symbols.down
    for curve in curves:
        colour = curve.series.colour
        if curve.smooth is not None or curve.series.style == "dim":
            ink = canvas.ink(colour, "dim", symbols.dim)
            canvas.draw(trace(curve.columns, scale, down, dotted=bool(symbols.table)), ink)
    ends: list[tuple[_Curve, list[int], int]] = []
    for curve in curves:
        if curve.series.style == "dim":
            continue
        few = curve.series.style == "marks" and _is_few(curve.columns, scale.width)
        character = symbols.dim if few else curve.character
        ink = canvas.ink(curve.series.colour, "", character)
        masks = trace(curve.smooth or curve.columns, scale, down)
        canvas.draw(masks, ink)
        if few:
            _put_marks(canvas, curve.series, curve.columns, scale, ink)
        if curve.letter and symbols.table:
            ends.append((curve, masks, canvas.ink(curve.series.colour, "bold")))
    for curve, masks, ink in ends:
        _put_letter(canvas, curve.letter, masks, ink)
    for limit in chart.thresholds:
        _put_level(canvas, limit.y, visible(limit.label, one_line=True), scale)
    if cursor is not None:
        cell = scale.column(cursor)
        if 0 <= cell < scale.width:
            ink = canvas.ink("", "dim")
            for row in range(scale.height):
                if canvas.blank(row, cell):
                    canvas.put(row, cell, symbols.upright, ink)
    return canvas.rows()


def _is_few(columns: Columns, width: int) -> bool:
    return columns.edges[-1] - columns.edges[0] <= width // _CELLS_A_MARK


def _put_marks(canvas: Canvas, series: Series, columns: Columns, scale: Scale, ink: int) -> None:
    for place in range(columns.edges[0], columns.edges[-1]):
        y = series.line.mean[place]
        if math.isfinite(y):
            cell, row = scale.column(series.line.x[place]), scale.row(y)
            if 0 <= cell < scale.width and 0 <= row < scale.height:
                canvas.put(row, cell, canvas.symbols.mark, ink)


def _put_letter(canvas: Canvas, letter: str, masks: Sequence[int], ink: int) -> None:
    """At the right end of a curve; where another letter stands there, further left on it."""
    symbols = canvas.symbols
    for column in range(len(masks) - 1, -1, -1):
        if masks[column]:
            row = ((masks[column] & -masks[column]).bit_length() - 1) // symbols.down
            cell = column // symbols.across
            if not canvas.taken(row, cell):
                canvas.put(row, cell, letter, ink)
                return


def _put_level(canvas: Canvas, y: float, label: str, scale: Scale) -> None:
    """A dotted line where nothing else is, and its label at the right end of it."""
    row = scale.row(y) if math.isfinite(y) else -1
    if not 0 <= row < scale.height:
        return
    symbols = canvas.symbols
    ink = canvas.ink("", "dim")
    label = symbols.fold(cut(label, scale.width // 2, symbols.more))
    start = scale.width - len(label)
    # A label of wide characters would not stand in cells of one; the legend of ASCII doesn't care.
    fits = width_of(label) == len(label) and label != ""
    fits = fits and all(canvas.blank(row, cell) for cell in range(start, scale.width))
    for cell in range(scale.width):
        if canvas.blank(row, cell):
            character = label[cell - start] if fits and cell >= start else symbols.level
            canvas.put(row, cell, character, ink)


def _legend(
    chart: Chart, view: View, curves: Sequence[_Curve], cursor: float | None, cell: float
) -> Legend:
    """A cell is `cell` wide on the x axis."""
    notes = ["log"] if view.log else []
    if view.smoothing > 0:
        notes.append(f"smoothing {min(smoothing.HIGHEST, view.smoothing):g}")
    if hidden := sum(curve.columns.hidden for curve in curves):
        notes.append(f"{hidden:,} value{'s' if hidden > 1 else ''} ≤ 0 not shown")
    return Legend(
        visible(chart.title, one_line=True),
        "" if cursor is None else f"{chart.x.name} {chart.x.read(cursor)}",
        [
            Entry(
                curve.character,
                visible(curve.series.name, one_line=True),
                _value(chart, curve, cursor, cell),
                curve.series.colour,
            )
            for curve in curves
        ],
        "  ".join(notes),
    )


def _value(chart: Chart, curve: _Curve, cursor: float | None, cell: float) -> str:
    """What a curve reads at the cursor, else the newest there is; N/A for a gap."""
    if cursor is None:
        means = curve.series.line.mean
        return chart.y.read(means[-1] if means else math.nan)
    reading = reading_at(curve.series, cursor)
    if reading is None:
        return "N/A"
    said = reading.text(chart.y)
    away = abs(reading.x - cursor) > cell
    return f"{said} at {chart.x.read(reading.x)}" if away else said


def _with_end(row: Row, end: str, width: int) -> Row:
    """A row with `end` at its right end, if that fits."""
    left = width - sum(width_of(piece.text) for piece in row)
    if not end or width_of(end) + 2 > left:
        return row
    return [*row, Piece(" " * (left - width_of(end)) + end, "", "dim")]


def _join(first: Row, second: Row) -> Row:
    """Both, without pieces of nothing."""
    return [piece for piece in (*first, *second) if piece.text]


def _empty(
    chart: Chart,
    view: View,
    curves: Sequence[_Curve],
    width: int,
    height: int,
    symbols: Symbols,
    top: int,
) -> Picture:
    """The title, and why there is nothing else."""
    rows: list[Row] = []
    if top and chart.title:
        rows = legend.draw(_legend(chart, view, curves, None, 0.0), width, top, symbols)
    rows += [[] for _ in range(max(0, (height - len(rows)) // 2 - 1))]
    if chart.extent is not None and not chart.series:
        why = "no value is a number"
    elif not any(len(one.line) for one in chart.series):
        why = "nothing to draw yet"
    elif not any(map(math.isfinite, chain.from_iterable(one.line.mean for one in chart.series))):
        why = "N/A"
    else:
        why = "no value above 0 in view" if view.log else "no value in view"
    said = cut(why, width, symbols.more)
    rows.append([Piece(said.center(width).rstrip(), "", "dim")])
    return Picture(rows[:height], None, 0)
