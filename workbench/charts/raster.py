"""Columns as dots, and dots as characters."""

from __future__ import annotations

import math
import re
from codecs import charmap_decode
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from workbench.charts.columns import Columns
from workbench.charts.scale import LARGEST, Scale
from workbench.charts.symbols import Symbols


class Piece(NamedTuple):
    """Characters of one style."""

    text: str
    colour: str = ""
    tone: str = ""
    """Empty, `dim` or `bold`."""


Row = list[Piece]


def text_of(row: Sequence[Piece]) -> str:
    """A row without its styles."""
    return "".join(piece.text for piece in row)


class Canvas:
    """Cells that curves are drawn on, one over the other. Each is drawn with an ink: its colour
    and tone.

    The cells are bytes, column after column, and curves are laid over each other as whole numbers
    with all their bytes: a loop over cells would take longer than all the rest.
    """

    def __init__(self, width: int, height: int, symbols: Symbols) -> None:
        self.width, self.height, self.symbols = width, height, symbols
        self._each = 8 // symbols.down
        """Cells whose dots of one column fill a byte of a mask."""
        self._bytes = -(-height // self._each)
        """Those of a mask."""
        self._rows = self._bytes * self._each
        """Cells of a column, of which the last may lie below the picture."""
        self._bits = bytes(width * self._rows)
        self._ink = bytes(width * self._rows)
        """0 where nothing is drawn, else one more than the ink's number."""
        self._inks: list[tuple[str, str, str]] = []
        """Character where the set has none for dots, colour, tone."""
        self._glyphs: list[dict[int, tuple[str, int]]] = [{} for _ in range(height)]

    def ink(self, colour: str, tone: str = "", character: str = "") -> int:
        """A new ink; there can be 255."""
        self._inks.append((character, colour, tone))
        return len(self._inks)

    def draw(self, masks: Sequence[int], ink: int) -> None:
        """Dots by columns; bit 0 of a mask is the top one. Over an ink of the tone `dim` they
        replace what was there, else they join it."""
        drawn = self._cells(masks)
        inked = drawn.translate(_ANY)
        faint = bytes(self._tone(before) == "dim" for before in range(256))
        under = _number(self._bits)
        under &= ~(_number(inked) & _number(self._ink.translate(faint).translate(_ANY)))
        size = len(self._bits)
        self._bits = (under | _number(drawn)).to_bytes(size, "little")
        own = _number(inked.translate(bytes(ink * (value > 0) for value in range(256))))
        self._ink = (_number(self._ink) & ~_number(inked) | own).to_bytes(size, "little")

    def put(self, row: int, cell: int, character: str, ink: int) -> None:
        """One character in place of whatever is there."""
        self._glyphs[row][cell] = (character, ink)

    def blank(self, row: int, cell: int) -> bool:
        """Whether nothing is drawn there."""
        return not self._bits[cell * self._rows + row] and cell not in self._glyphs[row]

    def taken(self, row: int, cell: int) -> bool:
        """Whether a single character stands there."""
        return cell in self._glyphs[row]

    def rows(self) -> list[Row]:
        """The picture from the top; blank cells take the style before them."""
        return [self._row(number) for number in range(self.height)]

    def _tone(self, ink: int) -> str:
        return self._inks[ink - 1][2] if 0 < ink <= len(self._inks) else ""

    def _cells(self, masks: Sequence[int]) -> bytes:
        """The bits of each cell."""
        across, down = self.symbols.across, self.symbols.down
        cells = 0
        for side in range(across):
            packed = b"".join(
                [mask.to_bytes(self._bytes, "little") for mask in masks[side::across]]
            )
            one = bytearray(len(self._bits))
            for place in range(self._each):
                one[place :: self._each] = packed.translate(_part(down, place, side))
            cells |= _number(one)
        return cells.to_bytes(len(self._bits), "little")

    def _row(self, number: int) -> Row:
        inks = self._ink[number :: self._rows]
        if table := self.symbols.table:
            text = charmap_decode(self._bits[number :: self._rows], "strict", table)[0]
        else:
            own = " " + "".join(character[:1] or " " for character, _, _ in self._inks)
            text = charmap_decode(inks, "strict", own)[0]
        if glyphs := self._glyphs[number]:
            cells, inked = list(text), bytearray(inks)
            for cell, (character, ink) in glyphs.items():
                cells[cell], inked[cell] = character, ink
            text, inks = "".join(cells), bytes(inked)
        row = []
        for run in _RUN.finditer(inks):
            _, colour, tone = self._inks[run[1][0] - 1]
            row.append(Piece(text[run.start() : run.end()], colour, tone))
        return row or [Piece(text)]


_RUN = re.compile(rb"\0*([^\0])(?:\0|\1)*", re.DOTALL)
"""Cells of one ink, and those of none before the first and after each."""
_ANY = bytes([0]) + bytes([255]) * 255
"""Makes of each byte that isn't zero one of all bits."""


@cache
def _part(down: int, place: int, side: int) -> bytes:
    """Makes of a byte the dots of one of the cells in it, where its `side` has them."""
    dots = (1 << down) - 1
    return bytes((byte >> place * down & dots) << side * down for byte in range(256))


def _number(data: bytes | bytearray) -> int:
    return int.from_bytes(data, "little")


def trace(columns: Columns, scale: Scale, down: int, *, dotted: bool = False) -> list[int]:
    """The dots of each column, bit 0 the top one. Columns that are joined touch; `dotted` leaves
    out every second dot but the ends of a column."""
    rows = scale.height * down
    masks = [0] * len(columns.low)
    before = above = below = -2
    for column, span in enumerate(_spans(columns, scale, rows)):
        if span is None:
            continue
        top, bottom = span
        masks[column] |= ((1 << (bottom - top + 1)) - 1) << (top + 1)
        if columns.joined[column] and before >= 0:
            apart = column - before > 1 or top - below > 1 or above - bottom > 1
            if apart:
                _join(masks, (before, above, below), (column, top, bottom))
        before, above, below = column, top, bottom
    # Row -1 has bit 0, so that what leaves the picture is drawn up to its edge.
    inside = (1 << rows) - 1
    masks = [mask >> 1 & inside for mask in masks]
    return _dotted(masks, rows) if dotted else masks


def _spans(columns: Columns, scale: Scale, rows: int) -> list[tuple[int, int] | None]:
    """The top and the bottom dot of each column; -1 and `rows` are beyond the picture."""
    high, low = scale.high, scale.low
    lows, highs = columns.low, columns.high
    if scale.log:
        high, low = math.log10(high), math.log10(low)
        lows = [math.log10(y) if y < math.inf else y for y in lows]
        highs = [math.log10(y) if y > -math.inf else y for y in highs]
    elif high - low > LARGEST:
        lows = [y if y == math.inf else min(LARGEST, max(-LARGEST, y)) for y in lows]
        highs = [min(LARGEST, max(-LARGEST, y)) for y in highs]
    each = (rows - 1) / (high - low)
    spans: list[tuple[int, int] | None] = []
    for least, greatest in zip(lows, highs, strict=True):
        if least == math.inf:
            spans.append(None)
            continue
        top, bottom = (high - greatest) * each, (high - least) * each
        spans.append(
            (
                -1 if top < -0.5 else rows if top >= rows - 0.5 else int(top + 0.5),
                -1 if bottom < -0.5 else rows if bottom >= rows - 0.5 else int(bottom + 0.5),
            )
        )
    return spans


def _range(top: int, bottom: int) -> int:
    return ((1 << (bottom - top + 1)) - 1) << (top + 1)


def _join(masks: list[int], a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
    """Dots between two columns: from the end of `a` that is nearer to `b` to that of `b`."""
    if b[1] > a[2]:
        begin, end = a[2], b[1]
    elif a[1] > b[2]:
        begin, end = a[1], b[2]
    else:
        begin = end = max(a[1], b[1])
    columns = b[0] - a[0]
    place = begin
    for column in range(columns + 1):
        # Each column goes on to the middle of the way to the next.
        share = min(1.0, (column + 0.5) / columns)
        beyond = round(begin + (end - begin) * share)
        step = (beyond > place) - (beyond < place)
        first = place + step if column and place != beyond else place
        masks[a[0] + column] |= _range(min(first, beyond), max(first, beyond))
        place = beyond


def _dotted(masks: Sequence[int], rows: int) -> list[int]:
    """Every second dot, one further down in every second column, and the ends of each column."""
    even = int("01" * (rows // 2 + 1), 2)
    patterns = (even, even << 1)
    found = []
    for column, mask in enumerate(masks):
        last = 1 << mask.bit_length() >> 1
        if mask & (mask - 1):
            found.append(mask & patterns[column % 2] | mask & -mask | last)
        else:
            found.append(0 if column % 2 else mask)
    return found
