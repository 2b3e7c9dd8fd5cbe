"""A list of runs: read by and by, filtered, sorted, with the columns that a person has chosen."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from screens.noting import NotingScreen
from screens.run_columns import ColumnsScreen
from screens.widgets.pick import Choice, Pick
from screens.widgets.row_table import Column as TableColumn
from screens.widgets.row_table import RowTable
from workbench import settings
from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import column_names, run_query
from workbench.tracking.columns import Column
from workbench.tracking.listing import Line, Listing

_FIRST = 60
"""Runs that are shown before the others are looked at: a screenful."""
_MORE = 500
"""Runs that are read before the list is drawn anew."""
_EVERY = 2.0
"""Seconds between two looks at the runs, at least; a look takes at most a twentieth of the time."""
_REST = 20
_PATIENCE = 0.5
"""Seconds that the rest of the list waits for the first lines to be drawn."""
_AS_THEY_ARE = "as they are"
_EMPTY = "There are no runs yet. Press 2 to make a config and start one."


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs, in which order."""

    query: str = ""
    sort: str = ""
    """A column, the highest first after a `-`; empty: the newest first."""
    archived: bool = False
    """Those that are put away as well."""


@dataclass
class Listed(Message):
    """The runs as they are now."""

    lines: list[Line]
    complete: bool
    """Whether it is all of them."""


@dataclass
class Selected(Message):
    """Those of the runs that are wanted, and the columns that they are shown with."""

    lines: list[Line]
    wanted: Wanted
    shown: list[Line]
    columns: list[Column]
    hidden: int
    """Runs that are put away and not shown."""


class RunListScreen(NotingScreen):
    """A table of runs. A subclass says what is done with them."""

    DEFAULT_CSS = """
    RunListScreen {
        #state { height: 1; padding: 0 1; text-style: bold; }
        #about { height: auto; min-height: 6; max-height: 8; padding: 0 1; text-wrap: nowrap;
                 text-overflow: ellipsis; border-top: solid $foreground 60%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", id="runs.mark"),
        Binding("U", "unmark", "Unmark all", show=False, id="runs.unmark"),
        Binding("s", "sort", "Sort", id="runs.sort"),
        Binding("C", "columns", "Columns", id="runs.columns"),
        Binding("a", "archived", "Show archived", show=False, id="runs.archived"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.shown: list[Line] = []
        self.marked: set[str] = set()
        self.wanted = Wanted()
        self._columns: list[Column] = []
        self._saved: tuple[str, ...] = ()
        """The names of the columns that the person has chosen."""
        self._hidden = 0
        self._complete = False
        """Whether all runs are known."""
        self._looking = False
        self._look_after = 0.0
        """The monotonic time before which nothing is looked at again."""
        self._stale = False
        """Whether they are to be looked at anew, however soon that is."""
        self._listing: Listing | None = None
        self._drawn = threading.Event()
        """Whether a list has been drawn."""

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield RowTable((), id="runs")
        yield Static(id="about", markup=False)

    @property
    def table(self) -> RowTable:
        return self.query_one(RowTable)

    @property
    def line(self) -> Line | None:
        """The run under the cursor."""
        cursor = self.table.cursor
        return self.shown[cursor] if cursor < len(self.shown) else None

    @property
    def chosen(self) -> list[Line]:
        """The marked runs, in the order of the list; without any the one under the cursor."""
        marked = [line for line in self.lines if line.id in self.marked]
        return marked or [line for line in (self.line,) if line is not None]

    def show_about(self) -> None:
        """Tell of the run under the cursor."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.query_one("#state", Static).update("looking …")
        try:
            self._saved = settings.read().runs_columns
        except WorkbenchError as error:
            self.complain(error)
        self.set_interval(_EVERY, self._look_again)

    def on_screen_resume(self) -> None:
        self.look()
        self.focus_body()

    def focus_body(self) -> None:
        self.set_focus(self.table)

    def look(self) -> None:
        """Look at the runs anew, now, or after the look that goes on."""
        self._stale = True
        self._look_again()

    def _look_again(self) -> None:
        # A thread can't be stopped: they must not pile up.
        if (
            self.is_current
            and not self._looking
            and (self._stale or time.monotonic() >= self._look_after)
        ):
            self._looking, self._stale = True, False
            self._look()

    @work(thread=True, group="list", exit_on_error=False)
    def _look(self) -> None:
        begun = time.monotonic()
        if self._listing is None:
            self._listing = Listing(self.workspace)
        try:
            opened = bool(self.lines)
            looks = self._listing.looks(*((0, 0) if opened else (_FIRST, _MORE)))
            for lines in looks:
                self.post_message(Listed(lines, self._listing.complete))
                if not self._listing.complete:
                    # Two threads share a processor in Python: what is to be seen comes first.
                    self._drawn.wait(_PATIENCE)
            self._listing.save()
        finally:
            now = time.monotonic()
            self._look_after = now + _REST * (now - begun)
            self._looking = False

    @on(Listed)
    def _take(self, message: Listed) -> None:
        self.lines, self._complete = message.lines, message.complete
        if self.lines:
            self._select(message.lines, self.wanted, complete=message.complete)
        elif message.complete:
            self._show(Selected([], self.wanted, [], [], 0))

    def want(self, wanted: Wanted) -> None:
        """Show other runs, or in another order."""
        self.wanted = wanted
        self._select(self.lines, wanted, complete=True)

    def apply_filter(self, text: str) -> None:
        self.want(Wanted(text, self.wanted.sort, self.wanted.archived))

    @work(thread=True, exclusive=True, group="select", exit_on_error=False)
    def _select(self, lines: list[Line], wanted: Wanted, *, complete: bool) -> None:
        worker = get_current_worker()
        away = None if wanted.archived else False
        try:
            shown = run_query.select(lines, wanted.query, wanted.sort, archived=away)
        except WorkbenchError as error:
            # What is asked for may be of runs that aren't looked at yet.
            if complete:
                self.app.call_from_thread(self._refuse, error, wanted)
            return
        here = column_names.chosen(self._saved, lines)
        hidden = 0 if wanted.archived else sum(line.summary.archived for line in lines)
        if not worker.is_cancelled:
            self.post_message(Selected(lines, wanted, shown, here, hidden))

    def _refuse(self, error: WorkbenchError, wanted: Wanted) -> None:
        # Once: the list is looked at again and again.
        if wanted == self.wanted:
            self.complain(error)
            self.wanted = Wanted(archived=wanted.archived)

    @on(Selected)
    def _show(self, message: Selected) -> None:
        if message.wanted != self.wanted:
            return
        before = self.line
        self.shown, self._hidden = message.shown, message.hidden
        self._columns = message.columns
        self.table.columns = [TableColumn("", 1), *_of_table(message.columns)]
        self.table.show_rows(len(self.shown), self._cells)
        if before is not None and (self.line is None or self.line.id != before.id):
            # The cursor stays on its run when a new one comes above it.
            places = [place for place, line in enumerate(self.shown) if line.id == before.id]
            if places:
                self.table.cursor = places[0]
        self.tell()
        self.call_after_refresh(self._drawn.set)

    def tell(self) -> None:
        """Say what is in view, and of the run under the cursor."""
        known = f"{len(self.lines):,} runs"
        whole = known if self._complete else f"the newest {known}, and more are read …"
        parts = [f"{len(self.shown):,} of {whole}: enter watches one"]
        if self.wanted.sort:
            parts.append(f"by {self.wanted.sort}")
        if self.marked:
            parts.append(f"{len(self.marked)} marked")
        if self._hidden:
            parts.append(f"{self._hidden:,} archived: a")
        said = "  ·  ".join(parts) if self.lines else _EMPTY
        self.query_one("#state", Static).update(visible(said, one_line=True))
        self.show_about()

    def _cells(self, row: int) -> tuple[str, ...]:
        line = self.shown[row]
        mark = "*" if line.id in self.marked else ""
        return (mark, *(column.text(line) for column in self._columns))

    @on(RowTable.Moved)
    def _moved(self) -> None:
        self.show_about()

    def action_mark(self) -> None:
        """Mark the run, or take its mark away; what is marked is compared or put away together."""
        if (line := self.line) is not None:
            self.marked ^= {line.id}
            self.table.action_move(1)
            self.table.refresh()
            self.tell()

    def action_unmark(self) -> None:
        """Take all marks away."""
        self.marked.clear()
        self.table.refresh()
        self.tell()

    def action_archived(self) -> None:
        """Show the runs that are put away, too, or hide them."""
        self.want(Wanted(self.wanted.query, self.wanted.sort, not self.wanted.archived))

    def action_sort(self) -> None:
        """Sort the runs by a column; by the same one again the other way round."""
        self.app.push_screen(Pick("Sort by", self._ways), self._sort_by)

    def _ways(self) -> list[Choice]:
        now = self.wanted.sort
        ways = [Choice(_AS_THEY_ARE, "the newest first")]
        shown = {column.name: column for column in self._columns}
        for column in (*shown.values(), *column_names.available(self.lines)):
            how = "enter turns it round" if column.name == now.removeprefix("-") else column.about
            if column.name not in {way.name for way in ways}:
                ways.append(Choice(column.name, how))
        return ways

    def _sort_by(self, name: str | None) -> None:
        if name is None:
            return
        again = name == self.wanted.sort
        sort = "" if name == _AS_THEY_ARE else f"-{name}" if again else name
        self.table.cursor = 0
        self.want(Wanted(self.wanted.query, sort, self.wanted.archived))

    def action_columns(self) -> None:
        """Choose and order the columns."""
        names = [column.name for column in self._columns]
        find = lambda: column_names.available(self.lines)  # noqa: E731
        self.app.push_screen(ColumnsScreen(names, find), self._take_columns)

    def _take_columns(self, names: list[str] | None) -> None:
        if names is None:
            return
        self._saved = tuple(names)
        self._save(names)
        self._select(self.lines, self.wanted, complete=True)

    @work(thread=True, group="settings", exit_on_error=False)
    def _save(self, names: list[str]) -> None:
        try:
            settings.save_columns(names)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)


def _of_table(chosen: Sequence[Column]) -> list[TableColumn]:
    """Columns with the last part of a path for a title, where that is plain."""
    short = [column.title.rpartition(".")[2] for column in chosen]
    made = []
    for column, title in zip(chosen, short, strict=True):
        title = title if short.count(title) == 1 else column.title
        width = max(column.width, len(title)) if title == column.title else max(8, len(title))
        made.append(TableColumn(title, width, right=column.right, grow=column.grow))
    return made
