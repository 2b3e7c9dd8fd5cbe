"""What stands around a plot: the numbers of its axes, and marks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from workbench.charts.raster import Piece, Row
from workbench.charts.scale import Scale
from workbench.charts.series import GRAVEST, LETTERS, Mark
from workbench.charts.symbols import Symbols, cut, width_of
from workbench.charts.units import Unit, log_ticks, step_of

_COLOURS = {"alarm": "red", "spike": "red"}
_CELLS_A_NUMBER = 12
_GRAVITY = {kind: place for place, kind in enumerate(GRAVEST)}


def margin(width: int) -> int:
    """Cells for the numbers of the y axis and the line beside them."""
    return 9 if width >= 30 else 7 if width >= 16 else 0


def y_labels(scale: Scale, unit: Unit, margin: int, symbols: Symbols) -> list[str]:
    """What stands left of each row of the plot, `margin` cells wide."""
    if not margin:
        return [""] * scale.height
    most = max(2, min(scale.height // 2, 4 + scale.height // 6))
    ticks = log_ticks(scale.low, scale.high, most) if scale.log else []
    if len(ticks) > 1:
        said = {y: unit.tick(y, y) for y in ticks}
    else:
        # Within a part of a decade a logarithmic axis has round values as a linear one.
        ticks = unit.ticks(scale.low, scale.high, most)
        if len(ticks) < 2:
            ticks = unit.ticks(scale.low, scale.high, min(scale.height, 2 * most))
        step = step_of(ticks)
        said = {y: unit.tick(y, step) for y in ticks}
    rows = {scale.row(y): symbols.fold(label) for y, label in said.items()}
    if len(rows) < min(2, scale.height) or any(width_of(one) >= margin for one in rows.values()):
        ends = {row: unit.read(scale.y_at(row)) for row in {0, scale.height - 1}}
        rows = {row: symbols.fold(label.replace(" ", "")) for row, label in ends.items()}
    labels = []
    for row in range(scale.height):
        label = rows.get(row, "")
        # A number that was cut would be another one.
        label = label if width_of(label) < margin else ""
        labels.append(" " * (margin - 1 - width_of(label)) + label + symbols.bar)
    return labels


def x_row(scale: Scale, unit: Unit, margin: int, symbols: Symbols) -> str:
    """The name of the x axis and its numbers, each with its middle where it belongs."""
    name = cut(symbols.fold(unit.name), max(0, margin - 1), symbols.more)
    line = " " * (margin - 1 - width_of(name)) + name + " " if margin else ""
    end = margin + scale.width
    ticks = unit.ticks(scale.left, scale.right, max(1, scale.width // _CELLS_A_NUMBER))
    step = step_of(ticks)
    for x in ticks:
        label = symbols.fold(unit.tick(x, step))
        place = margin + scale.column(x) - width_of(label) // 2
        place = max(margin, min(place, end - width_of(label)))
        here = width_of(line)
        if place >= here + (here > margin) and place + width_of(label) <= end:
            line += " " * (place - here) + label
    return line.rstrip()


def marks_row(marks: Sequence[Mark], scale: Scale) -> Row:
    """The letters of what happened, below where it did; of several the gravest."""
    found: dict[int, int] = {}
    last = len(GRAVEST)
    for mark in marks:
        if scale.left <= mark.x <= scale.right:
            cell, grave = scale.column(mark.x), _GRAVITY[mark.kind]
            if grave < found.get(cell, last):
                found[cell] = grave
    cells = [(" ", "")] * (max(found, default=-1) + 1)
    for cell, grave in found.items():
        cells[cell] = LETTERS[GRAVEST[grave]], _COLOURS.get(GRAVEST[grave], "")
    return [
        Piece("".join(map(itemgetter(0), run)), colour, "bold" if colour else "")
        for colour, run in groupby(cells, key=itemgetter(1))
    ]


def letters_of(marks: Sequence[Mark], window: tuple[float, float]) -> str:
    """`! alarm  c checkpoint`: the letters that are in view, the gravest first."""
    kinds = {mark.kind for mark in marks if window[0] <= mark.x <= window[1]}
    return "  ".join(f"{LETTERS[kind]} {kind}" for kind in GRAVEST if kind in kinds)
