"""What stands over a plot: its title, which line is which and what it reads, in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from workbench.charts.raster import Piece, Row
from workbench.charts.series import Chart, View
from workbench.charts.symbols import Symbols, cut, width_of
from workbench.text import visible

_CELLS_A_VALUE = 14
"""Of an entry, with its character and what is between."""
_SHORTEST, _END = 10, 5
"""Cells that are left of a long name, and those of its end."""
_LOG, _SMOOTHING = 8, 17
"""Cells of these notes."""


class Entry(NamedTuple):
    """A line of the plot."""

    character: str
    """What it is drawn with, or what stands at its end."""
    name: str
    said: str
    """What it reads."""
    colour: str


@dataclass(frozen=True, slots=True)
class Legend:
    """The title, its lines and how the picture was made."""

    title: str
    at: str
    """Where the lines are read; empty: at their ends."""
    entries: Sequence[Entry]
    notes: str


def usual_width(chart: Chart, view: View) -> int:
    """Cells of all of it in a row, whatever the values are: so the plot stays where it is."""
    return sum(_usual_cells(chart, view, None))


def rows_of(chart: Chart, view: View, width: int, most: int) -> int:
    """Rows that are kept for it, at most `most`, whatever the values are."""
    return min(most, _count(_usual_cells(chart, view, _SHORTEST), width))


def draw(legend: Legend, width: int, most: int, symbols: Symbols) -> list[Row]:
    """It in at most `most` rows of at most `width` cells. Long names are cut first; where there is
    no room for some of the lines all the same, how many these are stands at the end."""
    head = [Piece(f"  {legend.title}", "", "bold")] if legend.title else []
    head += [Piece(f"  at {legend.at}")] if legend.at else []
    before = [width_of(piece.text) for piece in head]
    limit = _longest(legend.entries, before, width, most)
    shown = [
        Piece(f"  {e.character} {_cut_within(e.name, limit, symbols)} {e.said}", e.colour)
        for e in legend.entries
    ]
    cells = [width_of(piece.text) for piece in shown]
    tail: list[Piece] = []
    count = len(shown)
    while count > 1 and not _fit(
        [*before, *cells[:count], *(len(piece.text) for piece in tail)], width, most
    ):
        count -= 1
        tail = [Piece(f"  +{len(shown) - count}", "", "dim")]
    notes = [Piece(f"  {legend.notes}", "", "dim")] if legend.notes else []
    return _rows([*head, *shown[:count], *tail, *notes], width, most, symbols)


def _usual_cells(chart: Chart, view: View, longest: int | None) -> list[int]:
    """Cells of the title, of each line with a name of `longest` at most, and of the notes."""
    names = [width_of(visible(one.name, one_line=True)) for one in chart.series]
    if longest is not None:
        names = [min(longest, name) for name in names]
    title = width_of(visible(chart.title, one_line=True))
    notes = _LOG * view.log + _SMOOTHING * (view.smoothing > 0)
    return [title, *(_CELLS_A_VALUE + name for name in names), notes]


def _count(cells: Sequence[int], width: int) -> int:
    """Rows that parts of so many cells take, one behind another; none is broken."""
    rows, left, alone = 1, width, True
    for part in cells:
        if part > left and not alone:
            rows += 1
            left = width
        left -= part
        alone = False
    return rows


def _fit(cells: Sequence[int], width: int, most: int) -> bool:
    """Whether pieces of so many cells do. The first one's indentation is taken away."""
    cells = [cells[0] - 2, *cells[1:]]
    return max(cells) <= width and _count(cells, width) <= most


def _longest(entries: Sequence[Entry], before: Sequence[int], width: int, most: int) -> int:
    """Cells that a name may have so that all lines fit behind what is `before` them, if that is
    possible."""
    names = [width_of(entry.name) for entry in entries]
    others = [4 + width_of(entry.character) + width_of(entry.said) for entry in entries]
    limit = longest = max(names, default=0)
    for limit in range(longest, min(longest, _SHORTEST) - 1, -1):
        parts = [other + min(name, limit) for name, other in zip(names, others, strict=True)]
        if not parts or _fit([*before, *parts], width, most):
            break
    return limit


def _cut_within(name: str, limit: int, symbols: Symbols) -> str:
    """The longest names are cut in the middle, for the ends of their names tell runs apart."""
    if width_of(name) <= limit:
        return name
    return cut(name, limit - _END - 1, "") + symbols.more + name[-_END:]


def _rows(pieces: Sequence[Piece], width: int, most: int, symbols: Symbols) -> list[Row]:
    """The pieces in rows; what is too long for the last of them is cut."""
    rows: list[Row] = [[]]
    left = width
    for piece in pieces:
        text = symbols.fold(piece.text if len(rows) > 1 or rows[0] else piece.text[2:])
        if width_of(text) > left and rows[-1] and len(rows) < most:
            rows.append([])
            left = width
        text = cut(text, left, symbols.more)
        left -= width_of(text)
        if text:
            rows[-1].append(piece._replace(text=text))
    return rows
