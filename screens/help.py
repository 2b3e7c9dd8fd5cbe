"""`?`: the keys of the screen that one is on."""

from __future__ import annotations

import inspect
import re
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

_DISPLAY = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "equals_sign": "=",
    "plus": "+",
    "minus": "-",
    "comma": ",",
    "full_stop": ".",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}


def key_name(key: str) -> str:
    """A key as it stands on the keyboard, by the toolkit's name of it."""
    return _DISPLAY.get(key, key)


class HelpScreen(ModalScreen[None]):
    """Every key that works now, from the bindings themselves."""

    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
        #help { width: 70; max-width: 95%; height: auto; max-height: 90%;
                border: round $accent; background: $surface; padding: 0 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1", "dismiss", "Close", priority=True),
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, about: Screen[Any], title: str) -> None:
        super().__init__()
        # Its lines are as wide as code is, not as this box.
        self._about = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(about.__doc__ or ""))
        self._table = _keys(about)
        self._title = title

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = f"Keys: {self._title}"
            box.border_subtitle = "escape closes"
            yield Static(f"{self._about}\n", markup=False)
            yield Static(self._table)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#help").scroll_relative(y=lines, animate=False)


def _keys(screen: Screen[Any]) -> Table:
    """Keys by what they do: the screen's own, those of the focused widget, the app's.

    Ours have an id; those without one are the toolkit's, for scroll bars and the like.
    """
    groups: dict[int, dict[str, list[str]]] = {0: {}, 1: {}, 2: {}}
    for key, active in screen.active_bindings.items():
        if active.binding.id and active.binding.description:
            place = 0 if active.node is screen else 2 if isinstance(active.node, App) else 1
            names = groups[place].setdefault(active.binding.description, [])
            names.append(key_name(key))
    table = Table.grid(padding=(0, 2))
    for group in groups.values():
        for what, names in group.items():
            table.add_row(Text(" ".join(names)), what)
    return table
