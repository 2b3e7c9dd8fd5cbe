"""What pictures are made of: braille, quadrants for fonts without it, or ASCII."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Symbols:
    """A set of characters. A cell has `across` by `down` dots."""

    name: str
    across: int
    down: int
    table: str
    """The character of a cell by the bits of its dots: those of the left column from the top, then
    those of the right one. Empty where each line has a character of its own."""
    lines: str
    """What stands for a line in a legend; where `table` is empty what it is drawn with, too: the
    first for the first line, and so on."""
    dim: str
    mark: str
    bar: str
    upright: str
    level: str
    more: str
    ascii: bool = False

    def fold(self, text: str) -> str:
        """`text` in characters that this set may show."""
        if not self.ascii or text.isascii():
            return text
        told = text.replace("≤", "<=").replace("–", "-").replace(" °C", " C")
        return told.encode("ascii", "replace").decode()


def _braille(bits: int) -> str:
    # The dots of a braille cell are numbered 1 2 3 7 down the left column, 4 5 6 8 down the right.
    places = (0, 1, 2, 6, 3, 4, 5, 7)
    dots = sum(1 << places[bit] for bit in range(8) if bits >> bit & 1)
    return chr(0x2800 + dots) if dots else " "


BRAILLE = Symbols(
    "braille", 2, 4, "".join(map(_braille, range(256))), "━", "┄", "●", "│", "┊", "┈", "…"
)
BLOCK = Symbols("block", 2, 2, " ▘▖▌▝▀▞▛▗▚▄▙▐▜▟█", "━", "░", "■", "│", "┊", "┈", "…")
ASCII = Symbols("ascii", 1, 1, "", "*+x#%@", ".", "o", "|", ":", "-", "~", ascii=True)

SETS = {one.name: one for one in (BRAILLE, BLOCK, ASCII)}


def width_of(text: str) -> int:
    """The cells that `text` takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def cut(text: str, width: int, more: str) -> str:
    """`text` in at most `width` cells; `more` stands for what is left out."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) + width_of(more) > width:
        text = text[:-1]
    return text + more if width > 0 else ""
