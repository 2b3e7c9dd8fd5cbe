"""Colours that can be read: what Textual's themes leave too faint, and what is told by colour alone
there, mended for all of them."""

from __future__ import annotations

from collections.abc import Mapping

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.color import Color
from textual.filter import LineFilter

LEGIBLE = 4.5
"""Contrast of text with what is behind it, of WCAG 2.2's SC 1.4.3."""
_OWN = RichColor.default()
_BEHIND = ("background", "surface", "panel", "boost")
_TEXTS = ("accent", "footer-key-foreground")
"""Colours that texts have, too."""
_SCROLLBAR = ("scrollbar", "scrollbar-hover", "scrollbar-active")

ON_LIGHT = TerminalTheme(
    (247, 247, 247),
    (0, 0, 0),
    [
        (0, 0, 0), (160, 20, 30), (20, 95, 20), (115, 75, 0),
        (30, 60, 170), (120, 30, 130), (0, 85, 110), (90, 90, 90),
    ],
    [
        (80, 80, 80), (180, 20, 30), (20, 100, 20), (120, 80, 0),
        (30, 70, 190), (130, 40, 140), (0, 90, 120), (60, 60, 60),
    ],
)  # fmt: skip
"""What the names of colours in texts stand for on a light background."""

_OF_SIXTEEN: dict[bool, dict[int | None, str]] = {
    True: {4: "bright_blue", 5: "bright_magenta"},
    False: {2: "blue", 3: "magenta", 6: "blue", 10: "blue", 11: "magenta", 14: "blue"},
}
"""What stands for a text's colour, by its number, on a dark and on a light background: as
terminals have them, blue is too dark for the one, and green and yellow too light for the other."""


class OfSixteen(LineFilter):
    """The colours of texts where the terminal's own sixteen are taken."""

    def __init__(self, *, dark: bool) -> None:
        super().__init__()
        self._taken = {number: Style(color=name) for number, name in _OF_SIXTEEN[dark].items()}

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            Segment(text, style + self._taken[style.color.number], control)
            if style is not None
            and style.color is not None
            and style.color.number in self._taken
            and style.bgcolor in (None, _OWN)
            else Segment(text, style, control)
            for text, style, control in segments
        ]


OF_SIXTEEN = {dark: OfSixteen(dark=dark) for dark in (True, False)}

CSS = """
Screen { scrollbar-size-vertical: 1; }

/* No emoji: terminals and tmux disagree on their width. */
CommandPalette SearchIcon { display: none; }
CommandPalette #--input, CommandPalette #--input.--list-visible { border: none; }
CommandPalette CommandList { border: none; }
CommandPalette > .command-palette--help-text { color: $foreground; text-style: dim not bold; }

/* With the terminal's own colours, and without any: what is chosen is in reverse. */
App:ansi {
    .-ansi-scrollbar {
        scrollbar-color: ansi_bright_black;
        scrollbar-color-hover: ansi_bright_black;
        scrollbar-color-active: ansi_bright_black;
    }
    .bindings-table--key { color: ansi_default; }
    Toast { background: ansi_default; border: round ansi_default; }
    Toast .toast--title { color: ansi_default; }
    CommandPalette > Vertical { background: ansi_default; }
    CommandList > .option-list--option-highlighted,
    OptionList > .option-list--option-highlighted {
        color: ansi_default; background: ansi_default; text-style: reverse;
    }
    OptionList > .option-list--option-disabled { color: ansi_default; text-style: dim; }
    Input > .input--cursor, TextArea .text-area--cursor {
        color: ansi_default; background: ansi_default; text-style: reverse;
    }
    Input > .input--selection, TextArea .text-area--selection {
        color: ansi_default; background: ansi_default; text-style: reverse;
    }
    RowTable .row-table--header { color: ansi_default; text-style: bold underline; }
    RowTable .row-table--cursor, RowTable:focus .row-table--cursor {
        color: ansi_default; background: ansi_default; text-style: reverse;
    }
}
"""


def mended(variables: Mapping[str, str], *, dark: bool, own: bool) -> dict[str, str]:
    """The variables of a theme, with those that would be too faint made darker or lighter.

    `own`: the theme's colours are the terminal's, of which nothing is known.
    """
    if own:
        grey = dict.fromkeys(_SCROLLBAR, "ansi_bright_black")
        return {**variables, **grey, "footer-key-foreground": "ansi_default"}
    front, back = Color.parse(variables["foreground"]), Color.parse(variables["background"])
    behind = [Color.parse(variables[name]) for name in _BEHIND if name in variables]
    behind = [back.blend(colour, colour.a, 1) for colour in behind]
    legible = {
        name: _legible(Color.parse(variables[name]), behind, lighter=dark).hex for name in _TEXTS
    }
    white = Color(255, 255, 255)
    # With some to spare: 256 colours have only steps of it.
    chosen = _legible(Color.parse(variables["primary"]), [white], lighter=False, least=6.0)
    return {
        **variables,
        **legible,
        # What holds the hints in an empty line.
        "text-disabled": "auto 65%",
        "block-cursor-background": chosen.hex,
        "block-cursor-foreground": "#ffffff",
        **dict.fromkeys(_SCROLLBAR, back.blend(front, 0.6).hex),
    }


def _legible(colour: Color, behind: list[Color], *, lighter: bool, least: float = LEGIBLE) -> Color:
    """The colour, or the nearest lighter or darker one that can be read on all of `behind`."""
    target = Color(255, 255, 255) if lighter else Color(0, 0, 0)
    for step in range(21):
        tried = colour.blend(target, step / 20, 1)
        if all(contrast(tried, one) >= least for one in behind):
            return tried
    return target


def contrast(one: Color, other: Color) -> float:
    """From 1 (the same) to 21 (black and white), as WCAG 2.2 has it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Color) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in colour.normalized
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
