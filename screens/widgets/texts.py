"""Texts beside or below each other that scroll together."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from workbench.text import beginning, visible


class Texts(VerticalScroll):
    """A page, to the top, to the bottom, by the keys that readers of texts know."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown,ctrl+d,space", "page_down", "Page down", show=False, id="texts.down"),
        Binding("pageup,ctrl+u", "page_up", "Page up", show=False, id="texts.up"),
        Binding("home,g", "scroll_home", "Top", show=False, id="texts.top"),
        Binding("end,G", "scroll_end", "Bottom", show=False, id="texts.bottom"),
    ]


def answer_text(text: str, longest: int, how: str = "") -> Text:
    """What somebody or a model has said, or its beginning as `beginning` has it; and where it is
    nothing, that."""
    if not text.strip():
        return Text("(nothing)", "dim")
    return Text(visible(beginning(text, longest, how)))
