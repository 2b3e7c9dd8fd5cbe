"""How legible a screen is: the contrast of every character with what is behind it.

Contrast as in WCAG 2.2 (https://www.w3.org/TR/WCAG22/#contrast-minimum, SC 1.4.3 and 1.4.11): 4.5
for text, 3 for lines and shapes. Text that is dimmed on purpose must have 3 as well.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from rich.color import Color, ColorSystem
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.app import App
from textual.color import Color as TextualColor
from textual.geometry import Region

from screens.colours import contrast

TEXT, SHAPE = 4.5, 3.0
DIMMED = 0.66
"""Of its difference from the background a dimmed text keeps, as terminals draw it (Textual takes
the same)."""
_SIXTEEN = [
    (0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0),
    (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229),
    (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0),
    (92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255),
]  # fmt: skip
"""Xterm's own (XTerm-col.ad), and with them most terminals'."""
DARK = TerminalTheme((0, 0, 0), (229, 229, 229), _SIXTEEN[:8], _SIXTEEN[8:])
LIGHT = TerminalTheme((255, 255, 255), (0, 0, 0), _SIXTEEN[:8], _SIXTEEN[8:])


@dataclass(frozen=True, slots=True)
class Poor:
    """Text that is hard to read."""

    text: str
    contrast: float
    wanted: float
    colours: str

    def __str__(self) -> str:
        return f"{self.contrast:4.2f} of {self.wanted}: {self.text!r} {self.colours}"


def poor(
    app: App[None], terminal: TerminalTheme = DARK, *, system: ColorSystem = ColorSystem.TRUECOLOR
) -> list[Poor]:
    """What is hard to read on the screen, on a terminal of these colours and this many."""
    screen = app.screen
    strips = screen._compositor.render_strips()
    if screen.is_modal:  # what is behind is faint on purpose
        own = [child.region for child in screen.children if not child.has_class("-textual-system")]
        x, y, width, height = Region.from_union(own)
        strips = [strip.crop(x, x + width) for strip in strips[y : y + height]]
    found = {
        judged
        for strip in strips
        for segment in strip
        if (judged := _judge(segment, terminal, system)) is not None
    }
    return sorted(found, key=lambda one: one.contrast)


def _judge(segment: Segment, terminal: TerminalTheme, system: ColorSystem) -> Poor | None:
    text = segment.text.strip()
    if not text or segment.control or all(_is_frame(c) for c in text):
        return None
    style = segment.style or Style()
    front = _shown(style.color, terminal, system, front=True)
    back = _shown(style.bgcolor, terminal, system, front=False)
    if style.reverse:
        front, back = back, front
    if style.dim:
        front = ColorTriplet(
            *(round(b + (f - b) * DIMMED) for f, b in zip(front, back, strict=True))
        )
    wanted = SHAPE if style.dim or all(_is_shape(c) for c in text) else TEXT
    value = contrast(TextualColor(*front), TextualColor(*back))
    colours = f"{front.hex} on {back.hex}{' dim' * bool(style.dim)}"
    return None if value >= wanted else Poor(text, round(value, 2), wanted, colours)


def _shown(
    colour: Color | None, terminal: TerminalTheme, system: ColorSystem, *, front: bool
) -> ColorTriplet:
    if colour is None or colour.is_default:
        return terminal.foreground_color if front else terminal.background_color
    return colour.downgrade(system).get_truecolor(terminal, foreground=front)


def _is_frame(character: str) -> bool:
    """Whether it is of a line between two panes, which says nothing."""
    return "\u2500" <= character <= "\u257f" or character in " ▔▁▎▊▏▕▌"


def _is_shape(character: str) -> bool:
    """Braille, frames, blocks, bars: what is no letter, digit or punctuation mark."""
    return character.isspace() or unicodedata.category(character) == "So" or _is_frame(character)
