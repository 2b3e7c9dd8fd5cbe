"""What the screens about datasets share: a table, and what is under its cursor beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.console import RenderableType
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.widgets import Input, Static

from screens.base import FEW
from screens.task import TaskScreen
from screens.widgets.row_table import Column, RowTable
from workbench.text import visible


class Beside(VerticalScroll):
    """What is under the cursor, whole; the keys of the table move in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "Scroll down", show=False, id="example.down"),
        Binding("k,up", "scroll_up", "Scroll up", show=False, id="example.up"),
        Binding("pagedown,ctrl+d", "page_down", "Page down", show=False, id="example.page_down"),
        Binding("pageup,ctrl+u", "page_up", "Page up", show=False, id="example.page_up"),
        Binding("home,g", "scroll_home", "Top", show=False, id="example.top"),
        Binding("end,G", "scroll_end", "Bottom", show=False, id="example.bottom"),
        Binding("enter,z", "screen.zoom", "Rows", id="example.rows"),
    ]


class DataScreen(TaskScreen):
    """A table and a text beside it, or under it where the terminal is narrow."""

    NAME = "datasets"
    CSS_PATH = "datasets.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    COLUMNS: ClassVar[Sequence[Column]] = ()
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("z", "zoom", "Whole row", show=False, id="datasets.zoom"),
    ]

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        with Container(id="panes"):
            yield RowTable(self.COLUMNS, id="rows")
            with Beside(id="example"):
                yield Static(id="text", markup=False)
        yield self.task_line()
        yield from self.compose_lines()

    def compose_lines(self) -> ComposeResult:
        """Lines to write in, under the rest."""
        yield from ()

    @property
    def table(self) -> RowTable:
        return self.query_one(RowTable)

    def focus_body(self) -> None:
        zoomed = self.has_class("-zoomed")
        self.set_focus(self.query_one(Beside) if zoomed else self.table)

    def on_screen_resume(self) -> None:
        self.focus_body()

    def action_zoom(self) -> None:
        """What is under the cursor alone on the screen, or beside the table again."""
        if self.has_class("-zoomed"):
            self.remove_class("-zoomed")
            self.focus_body()
        else:
            self.add_class("-zoomed")
            self.set_focus(self.query_one(Beside))

    def key_escape(self) -> None:
        """Close what is open: a line to write in, the filter, the row alone; then the screen."""
        lines = [line for line in self.query(Input) if line.id != "filter" and line.display]
        if lines:
            for line in lines:
                line.value, line.display = "", False
            self.focus_body()
        elif self.query_one("#filter").display:
            super().key_escape()
        elif self.has_class("-zoomed"):
            self.action_zoom()
        else:
            self.leave()

    def leave(self) -> None:
        """Go back to the screen that opened this one."""
        self.dismiss(None)

    def open_line(self, id: str, text: str = "") -> None:
        """Open a line to write in."""
        line = self.query_one(f"#{id}", Input)
        line.display, line.value = True, text
        self.set_focus(line)

    def close_line(self, id: str) -> str:
        """Close a line, and return what was written in it."""
        line = self.query_one(f"#{id}", Input)
        text = line.value.strip()
        line.value, line.display = "", False
        self.focus_body()
        return text

    def say(self, text: str) -> None:
        """Say in the first line what is in view."""
        self.query_one("#state", Static).update(visible(text, one_line=True))

    def show_beside(self, shown: RenderableType) -> None:
        """Show something beside the table, from its beginning."""
        self.query_one("#example").scroll_home(animate=False)
        self.query_one("#text", Static).update(shown)


def line_to_write_in(id: str, placeholder: str) -> Input:
    """A line that a key opens."""
    line = Input(id=id, placeholder=placeholder)
    line.display = False
    return line


class Pushed(DataScreen):
    """A screen that another one about data has opened, and that escape leads back from."""

    VERTICAL_BREAKPOINTS = [(0, "-few"), (FEW + 1, "-enough")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o,backspace", "leave", "Back", id="datasets.versions"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._results: list[Any] = []
        """What it is to be left with, once it is on top again."""

    def action_leave(self) -> None:
        self.leave()

    def leave(self) -> None:
        if not (self.must_stay and self.refuse_at_work()):
            super().leave()

    def finish(self, result: Any) -> None:
        """Leave the screen with a result, now or once nothing lies over it: a job may end while
        an editor or another screen is open."""
        if self.app.screen is self:
            self.dismiss(result)
        else:
            self._results.append(result)

    @on(events.ScreenResume)
    def _finish_late(self) -> None:
        if self._results:
            self.dismiss(self._results.pop())
