"""A table of any number of rows: only those in view are ever asked for or drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from workbench.text import visible


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title and its width in cells."""

    title: str
    width: int
    right: bool = False
    grow: int = 0
    """Its part of the cells that the columns leave over; those with 0 take none."""


Cells = Callable[[int], Sequence[str]]


class RowTable(ScrollView, can_focus=True):
    """Rows by number from a function. The first line is the header."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("home,g", "to_start", "First", show=False, id="table.first"),
        Binding("end,G", "to_end", "Last", show=False, id="table.last"),
        Binding("enter", "choose", "Open", show=False, id="table.open"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"row-table--header", "row-table--cursor"}
    DEFAULT_CSS = """
    RowTable {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        .row-table--header { text-style: bold; color: $accent; }
        .row-table--cursor { background: $primary 50%; }
        &:focus .row-table--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: bold;
        }
    }
    """

    cursor: reactive[int] = reactive(0)

    class OfRow(Message):
        """Something happened to a row."""

        def __init__(self, table: RowTable, row: int) -> None:
            super().__init__()
            self.table = table
            self.row = row

        @property
        def control(self) -> RowTable:
            return self.table

    class Moved(OfRow):
        """The cursor is on another row."""

    class Chosen(OfRow):
        """A row was opened with enter, or clicked."""

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.count = 0
        self._cells: Cells = lambda row: ()

    def show_rows(self, count: int, cells: Cells) -> None:
        """Show `count` rows; `cells(row)` gives a row's texts."""
        self._cells = cells
        self.set_count(count)
        self.refresh()

    def set_count(self, count: int) -> None:
        """There are `count` rows now; the cursor stays where it can."""
        self.count = count
        self.virtual_size = Size(self.scrollable_content_region.width, count + 1)
        self.cursor = max(0, min(self.cursor, count - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        for row in (old, new):
            line = row + 1 - self.scroll_offset.y
            self.refresh(Region(0, line, self.size.width, 1))
        # The header keeps the first line, so the row above the cursor must be in view too.
        self.scroll_to_region(Region(0, new, 1, 2), animate=False, force=True)
        if self.count:
            self.post_message(self.Moved(self, new))

    def on_resize(self) -> None:
        """The cursor stays in view, however few lines are left."""
        self.scroll_to_region(Region(0, self.cursor, 1, 2), animate=False, force=True)

    def action_move(self, by: int) -> None:
        self.cursor = max(0, min(self.count - 1, self.cursor + by))

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.size.height - 2))

    def action_to_start(self) -> None:
        self.cursor = 0

    def action_to_end(self) -> None:
        self.cursor = max(0, self.count - 1)

    def action_choose(self) -> None:
        if self.count:
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        row = event.y - 1 + self.scroll_offset.y
        if event.y > 0 and row < self.count:
            self.cursor = row

    def render_line(self, y: int) -> Strip:
        """One line of the screen: the header, then rows."""
        width = self.size.width
        if y == 0:
            style = self.get_component_rich_style("row-table--header")
            return self._strip([column.title for column in self.columns], style, width)
        row = y - 1 + self.scroll_offset.y
        if row >= self.count:
            return Strip.blank(width, self.rich_style)
        style = (
            self.get_component_rich_style("row-table--cursor")
            if row == self.cursor
            else self.rich_style
        )
        return self._strip(self._cells(row), style, width)

    def _strip(self, cells: Sequence[str], style: object, width: int) -> Strip:
        parts = []
        for column, size, cell in zip(self.columns, self._sizes(width), cells, strict=False):
            shown = visible(cell[:500], one_line=True)
            if cell_len(shown) > size > 1:
                shown = f"{set_cell_size(shown, size - 1)}…"
            parts.append(set_cell_size(shown.rjust(size) if column.right else shown, size))
        return Strip([Segment(set_cell_size(" ".join(parts), width), style)], width)  # type: ignore[arg-type]

    def _sizes(self, width: int) -> list[int]:
        """Widths of the columns that fit, with what is left over shared among those that grow."""
        left, fitting = width + 1, []
        for column in self.columns:
            if column.width + 1 > left:
                break
            left -= column.width + 1
            fitting.append(column)
        parts = max(1, sum(column.grow for column in fitting))
        return [column.width + left * column.grow // parts for column in fitting]
