"""A terminal: its bell and title, in the control sequences that xterm, tmux and screen know, and
what it can show."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workbench.text import visible

BELL = "\a"
_KEEP = "\x1b[22;2t"
GIVE_BACK = "\x1b[23;2t"
"""The title that there was before."""


class Title:
    """The terminal's title, and the way back to what it was before."""

    def __init__(self, write: Callable[[str], object]) -> None:
        """`write` sends text to the terminal."""
        self._write = write
        self.shown: str | None = None
        """The title; None while it is the terminal's own."""

    def show(self, text: str) -> None:
        """Set the title, whatever characters `text` has."""
        if self.shown is None:
            self._write(_KEEP)
        if text != self.shown:
            self._write(f"\x1b]2;{visible(text, one_line=True)}\a")
        self.shown = text

    def give_back(self) -> None:
        """Set the title that there was before the first `show`."""
        if self.shown is not None:
            self._write(GIVE_BACK)
        self.shown = None


DUMB = "none"
"""Of a terminal that can't even place its cursor."""


def colours(environ: Mapping[str, str]) -> str:
    """How many colours a terminal shows: `truecolor`, `256`, `16`, or DUMB.

    By the rules that the app's libraries go by (Rich's `Console`), so that what is said of a
    terminal is what is drawn on it.
    """
    asked = environ.get("TEXTUAL_COLOR_SYSTEM", "auto")
    known = {"standard": "16", "256": "256", "truecolor": "truecolor"}
    term = environ.get("TERM", "").strip().lower()
    if term in ("", "dumb", "unknown"):
        return DUMB
    if asked in known:
        return known[asked]
    if environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return "truecolor"
    _, _, family = term.rpartition("-")
    return "256" if family in ("kitty", "256color") else "16"


def shows_braille(environ: Mapping[str, str]) -> bool:
    """Whether its font is likely to have braille: the console of Linux has none."""
    return environ.get("TERM") != "linux"
