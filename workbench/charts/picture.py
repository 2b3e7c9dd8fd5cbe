"""A chart as rows of characters: title, curves with their y axis, marks and x axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from workbench.charts import axes, smoothing
from workbench.charts.columns import Columns, reduce
from workbench.charts.cursor import reading_at
from workbench.charts.raster import Canvas, Piece, Row, trace
from workbench.charts.scale import Scale, round_down, spread
from workbench.charts.series import Chart, Series, View
from workbench.charts.symbols import BRAILLE, Symbols, cut, width_of
from workbench.text import visible

_CELLS_A_MARK = 4
"""Marks closer than this hide the line beneath them."""
_CELLS_A_VALUE = 14
"""Of a legend, with its character and what is between."""
_SHORTEST, _END = 9, 5
"""Cells that are left of a long name in a legend, and those of its end."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn chart."""

    rows: list[Row]
    """At most as many as asked for; each at most as wide."""
    scale: Scale | None
    """Where values are in the plot; None where there is nothing to draw."""
    margin: int
    """Cells left of the plot."""
    top: int
    """Rows above it."""


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
        return Picture([], None, 0, 0)
    margin = axes.margin(width)
    top = 1 if height >= 2 and (not bare or cursor is not None) else 0
    across = max(1, width - margin)
    window = _window(chart, view)
    curves = [] if window is None else _curves(chart, view, window, across, symbols)
    bounds = _bounds(chart, view, curves)
    if window is None or bounds is None:
        return _empty(chart, view, curves, width, height, symbols, top)
    legend = axes.legend_of(chart.marks, window) if not bare else ""
    cell = (window[1] - window[0]) / across
    title = _title(chart, view, curves, cursor, cell, symbols, max(1, width - 1))
    beside = _usual_width(chart, view) + width_of(legend) + 3 <= width
    below = 0 if bare or height < 3 else 1
    marks = 1 if below and chart.marks and height >= 6 else 0
    told = 1 if marks and legend and not beside and height >= 10 else 0
    plot = height - top - below - marks - told
    scale = Scale(*window, *bounds, across, plot, view.log)
    # A chart may stand right of it without a margin.
    room = max(1, width - 1)
    rows = [_cut(title, room, symbols, legend if marks and beside else "")] if top else []
    lines = _plot(chart, curves, scale, symbols, cursor)
    labels = axes.y_labels(scale, chart.y, margin, symbols)
    rows += [
        _join([Piece(label, "", "dim")], line) for label, line in zip(labels, lines, strict=True)
    ]
    if marks:
        rows.append([Piece(" " * margin), *axes.marks_row(chart.marks, scale)])
    if told:
        rows.append([Piece(cut(" " * margin + legend, width, symbols.more), "", "dim")])
    if below:
        rows.append([Piece(axes.x_row(scale, chart.x, margin, symbols), "", "dim")])
    return Picture(rows, scale, margin, top)


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


def _title(
    chart: Chart,
    view: View,
    curves: Sequence[_Curve],
    cursor: float | None,
    cell: float,
    symbols: Symbols,
    room: int,
) -> Row:
    """Title, legend with values, and how the picture was made. A cell is `cell` wide on the x
    axis; there are `room` cells."""
    pieces = [Piece(visible(chart.title, one_line=True), "", "bold")] if chart.title else []
    if cursor is not None:
        pieces.append(Piece(f"  at {chart.x.name} {chart.x.read(cursor)}"))
    names = [visible(curve.series.name, one_line=True) for curve in curves]
    values = [_value(chart, curve, cursor, cell) for curve in curves]
    taken = sum(width_of(piece.text) for piece in pieces)
    taken += sum(5 + width_of(said) for said in values)
    names = _shortened(names, room - taken, symbols)
    for curve, name, said in zip(curves, names, values, strict=True):
        pieces.append(Piece(f"  {curve.character} {name} {said}", curve.series.colour))
    notes = ["log"] if view.log else []
    if view.smoothing > 0:
        notes.append(f"smoothing {min(smoothing.HIGHEST, view.smoothing):g}")
    if hidden := sum(curve.columns.hidden for curve in curves):
        notes.append(f"{hidden:,} value{'s' if hidden > 1 else ''} ≤ 0 not shown")
    if notes:
        pieces.append(Piece("  " + "  ".join(notes), "", "dim"))
    if pieces:
        pieces[0] = pieces[0]._replace(text=pieces[0].text.removeprefix("  "))
    return [piece._replace(text=symbols.fold(piece.text)) for piece in pieces]


def _shortened(names: Sequence[str], room: int, symbols: Symbols) -> list[str]:
    """Names in so many cells if that is possible: the longest are cut in the middle, for the ends
    of their names tell runs apart."""
    limit = max(map(width_of, names), default=0)
    while limit > _SHORTEST and sum(min(limit, width_of(name)) for name in names) > room:
        limit -= 1
    front = limit - _END - 1
    return [
        name if width_of(name) <= limit else cut(name, front, "") + symbols.more + name[-_END:]
        for name in names
    ]


def _usual_width(chart: Chart, view: View) -> int:
    """Cells of the title, whatever its values are: so the plot stays where it is."""
    width = width_of(visible(chart.title, one_line=True)) + 8 * view.log
    width += 17 * (view.smoothing > 0)
    return width + sum(
        _CELLS_A_VALUE + width_of(visible(one.name, one_line=True)) for one in chart.series
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


def _cut(pieces: Sequence[Piece], width: int, symbols: Symbols, beside: str = "") -> Row:
    """A row of at most `width` cells, with `beside` at its right end if it fits."""
    row: Row = []
    left = width
    for piece in pieces:
        text = cut(piece.text, left, symbols.more)
        left -= width_of(text)
        row.append(piece._replace(text=text))
        if text != piece.text or left <= 0:
            break
    if beside and width_of(beside) + 2 <= left:
        row.append(Piece(" " * (left - width_of(beside)) + beside, "", "dim"))
    return row


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
    title = _title(chart, view, curves, None, 0.0, symbols, width)
    rows: list[Row] = [_cut(title, width, symbols)] if top and chart.title else []
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
    return Picture(rows[:height], None, 0, top)
