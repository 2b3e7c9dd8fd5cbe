"""`?`: the keys of the screen that one is on."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static


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
        Binding("escape,q,question_mark,f1", "dismiss", "Close"),
    ]

    def __init__(self, about: Screen[object], title: str) -> None:
        super().__init__()
        self._table = _keys(about)
        self._title = title

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = f"Keys: {self._title}"
            box.border_subtitle = "escape closes"
            yield Static(self._table)


def _keys(screen: Screen[object]) -> Table:
    """Keys by what they do, those of the focused widget first."""
    keys: dict[str, list[str]] = {}
    for key, active in screen.active_bindings.items():
        if active.binding.description and not active.binding.system:
            keys.setdefault(active.binding.description, []).append(
                screen.app.get_key_display(active.binding) if active.binding.key_display else key
            )
    table = Table.grid(padding=(0, 2))
    for what, names in keys.items():
        table.add_row(" ".join(names), what)
    return table
