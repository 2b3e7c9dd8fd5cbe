"""Which columns a list of runs has, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from screens.widgets.in_order import Line
from screens.widgets.row_table import Column as TableColumn
from screens.widgets.row_table import RowTable
from workbench.text import visible
from workbench.tracking import column_names
from workbench.tracking.columns import Column

_FEW = 16
"""Lines of a screen from which on a frame has room."""


@dataclass
class _Found(Message):
    """What there is to choose from."""

    columns: Sequence[Column]


class ColumnsScreen(ModalScreen[list[str] | None]):
    """Type to narrow the list; enter shows the column or hides it, left and right move it, ctrl+r
    takes the usual ones, escape keeps all that and leaves."""

    DEFAULT_CSS = """
    ColumnsScreen {
        align: center middle;
        #choosing { width: 90; max-width: 95%; height: 90%; max-height: 32;
                    border: round $accent; background: $surface; }
        #wanted { height: 1; border: none; padding: 0 1; background: $boost; }
        #now { height: auto; max-height: 3; padding: 0 1; border-top: solid $foreground 40%; }
        &.-few #choosing { height: 100%; max-height: 100%; border: none; }
        &.-few #now { max-height: 1; border-top: none; background: $panel; }
    }
    """
    VERTICAL_BREAKPOINTS = [(0, "-few"), (_FEW, "-enough")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("pagedown", "page(1)", "Page down", show=False, priority=True),
        Binding("pageup", "page(-1)", "Page up", show=False, priority=True),
        Binding("left", "shift(-1)", "Before", id="columns.before", priority=True),
        Binding("right", "shift(1)", "Behind", id="columns.behind", priority=True),
        Binding("ctrl+r", "usual", "The usual ones", id="columns.usual", priority=True),
        Binding("escape", "leave", "Keep", priority=True),
    ]

    def __init__(self, names: Sequence[str], find: Callable[[], Sequence[Column]]) -> None:
        """`names` are shown now. `find` is called in a thread."""
        super().__init__()
        self._before, self._names = list(names), list(names)
        self._find = find
        self._about: dict[str, str] = {}
        self._shown: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="choosing") as box:
            box.border_title = "Columns"
            box.border_subtitle = (
                "enter shows or hides, left and right move, ctrl+r the usual, escape keeps"
            )
            yield Line(id="wanted", placeholder="type to narrow the list: lora, rouge, loss …")
            table = RowTable(
                (TableColumn("", 2), TableColumn("", 30, grow=1), TableColumn("", 24, grow=1))
            )
            table.can_focus = False
            yield table
            yield Static(id="now", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))
        self._narrow()
        self._look()

    @work(thread=True, exit_on_error=False)
    def _look(self) -> None:
        self.post_message(_Found(self._find()))

    @on(_Found)
    def _take_found(self, message: _Found) -> None:
        self._about = {column.name: column.about for column in message.columns}
        self._narrow()

    @property
    def table(self) -> RowTable:
        return self.query_one(RowTable)

    @property
    def _marked(self) -> str | None:
        cursor = self.table.cursor
        return self._shown[cursor] if cursor < len(self._shown) else None

    @on(Input.Changed, "#wanted")
    def _changed(self) -> None:
        self.table.cursor = 0
        self._narrow()

    def _narrow(self) -> None:
        """Those that are shown first, in their order."""
        words = self.query_one(Input).value.casefold().split()
        everything = dict.fromkeys((*self._names, *self._about))
        self._shown = [name for name in everything if self._fits(name, words)]
        self.table.show_rows(len(self._shown), self._cells)
        self.query_one("#now", Static).update(visible(" | ".join(self._names), one_line=True))

    def _fits(self, name: str, words: Sequence[str]) -> bool:
        text = f"{name} {self._about.get(name, '')}".casefold()
        return all(word in text for word in words)

    def _cells(self, row: int) -> tuple[str, ...]:
        name = self._shown[row]
        place = str(self._names.index(name) + 1) if name in self._names else ""
        return place, name, self._about.get(name, "")

    def action_move(self, by: int) -> None:
        self.table.action_move(by)

    def action_page(self, pages: int) -> None:
        self.table.action_page(pages)

    @on(Input.Submitted, "#wanted")
    def _toggle(self) -> None:
        """Show the column, as the last one, or hide it."""
        if (name := self._marked) is None:
            return
        if name in self._names:
            if len(self._names) > 1:
                self._names.remove(name)
        else:
            self._names.append(name)
        self._follow(name)

    def action_shift(self, by: int) -> None:
        """Move the column before the one before it, or behind the one behind it."""
        name = self._marked
        if name not in self._names:
            return
        place = self._names.index(name)
        to = min(max(0, place + by), len(self._names) - 1)
        self._names.insert(to, self._names.pop(place))
        self._follow(name)

    def action_usual(self) -> None:
        """Show the columns that a list has at first."""
        self._names = list(column_names.USUAL)
        self._narrow()

    def _follow(self, name: str) -> None:
        self._narrow()
        if name in self._shown:
            self.table.cursor = self._shown.index(name)

    def action_leave(self) -> None:
        same = self._names == self._before
        usual = self._names == list(column_names.USUAL)
        self.dismiss(None if same else [] if usual else self._names)
