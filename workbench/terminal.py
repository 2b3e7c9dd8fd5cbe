"""A terminal's bell and title, in the control sequences that xterm, tmux and screen know."""

from __future__ import annotations

from collections.abc import Callable

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
