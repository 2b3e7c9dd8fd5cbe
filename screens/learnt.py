"""Rows that a run has learnt as a table, with the way to change them in Datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from screens.data_screen import Pushed
from screens.example import turns
from screens.row_source import RowSource
from screens.widgets.row_table import RowTable
from workbench.data.browse import Looked
from workbench.data.rows import RowFile
from workbench.errors import WorkbenchError
from workbench.learning.learnt import OfRun
from workbench.text import visible

if TYPE_CHECKING:
    from screens.app import WorkbenchApp


class LearntScreen(Pushed):
    """Rows that a run has learnt, from what it knows of them. A subclass says which."""

    NAME = "monitor"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "open", "In Datasets", id="examples.open"),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run_folder = run
        self.made: OfRun | None = None
        self.source: RowSource | None = None
        """The rows of the run's dataset version; None where it is no longer there."""
        self.gone = ""
        """Why the rows aren't there."""
        self._unfinished = True

    def on_mount(self) -> None:
        self.say(f"{self.run_folder.name}: reading …")
        try:
            self.made = OfRun.read(self.run_folder)
        except WorkbenchError as error:
            self.fail(error)
            return
        try:
            self.made.version(self.workspace)
            self.source = RowSource(self.workspace, self.made.reference)
        except WorkbenchError as error:
            self.gone = str(error)
        else:
            self._index(self.source.file)
        self.set_interval(0.25, self._refresh_index)
        self.begin(self.made)

    def begin(self, made: OfRun) -> None:
        """Start to read what the run knows."""
        raise NotImplementedError

    def place(self, row: int) -> int | None:
        """The number in the version, from 0, of a row of the table."""
        raise NotImplementedError

    def places(self) -> Sequence[int]:
        """Those of all rows of the table, in order."""
        raise NotImplementedError

    def query_of_all(self) -> str:
        """What finds the rows of the table in Datasets."""
        raise NotImplementedError

    def about(self, row: int) -> str:
        """What the run knows of a row of the table, in words."""
        raise NotImplementedError

    def refresh_rows(self) -> None:
        """Show the rows that there are."""
        raise NotImplementedError

    def fail(self, error: WorkbenchError) -> None:
        """Say why there is nothing to show."""
        self.say(f"{self.run_folder.name}: nothing to show")
        self.show_beside(Text(visible(str(error))))

    @work(thread=True, exclusive=True, group="index", exit_on_error=False)
    def _index(self, file: RowFile) -> None:
        worker = get_current_worker()
        file.index(lambda: worker.is_cancelled)

    def _refresh_index(self) -> None:
        """Rows come into view once the file is read up to them."""
        if self._unfinished and self.table.count:
            self._unfinished = self.source is not None and not self.source.file.complete
            self.refresh_rows()
            self.show_row(self.table.cursor)

    def looked(self, row: int) -> Looked | None:
        """A row of the table, as the draft has it; None where it isn't there, or not read yet."""
        number = self.place(row)
        return None if self.source is None or number is None else self.source.look(number)

    def texts(self, row: int) -> tuple[str, str, str, str]:
        """Prompt, response, task, and what was decided about a row of the table."""
        looked, number = self.looked(row), self.place(row)
        if looked is None or not looked.examples:
            return "", "", "", ""
        example, mark = looked.examples[0], self.source.mark(number or 0) if self.source else ""
        # Plain text is learnt as a response is, and answers nothing.
        return example.instruction, example.text or example.response, example.task, mark

    @on(RowTable.Moved)
    def _show_moved(self, event: RowTable.Moved) -> None:
        self.show_row(event.row)

    def show_row(self, row: int) -> None:
        """The row whole, under what the run knows of it."""
        if not 0 <= row < self.table.count:
            return
        shown, looked = Text(visible(self.about(row)) + "\n\n", "bold"), self.looked(row)
        if looked is not None:
            shown.append_text(turns(looked))
        elif self.source is None:
            shown.append(visible(self.gone))
        elif self.source.file.complete:
            shown.append(f"{self.source.reference} has no such row: examples.jsonl was changed.")
        self.show_beside(shown)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.source is not None and self.source.draft is not None:
            self.source.draft.refresh()
        if self.table.count:
            self.refresh_rows()
            self.show_row(self.table.cursor)

    @on(RowTable.Chosen)
    async def action_open(self) -> None:
        """The rows of the table as a filter in Datasets, with the cursor on this one."""
        number = self.place(self.table.cursor)
        if self.source is None or number is None:
            self.notify(visible(self.gone), severity="error", markup=False)
            return
        await open_in_datasets(
            self.shell, self.source.reference, self.query_of_all(), self.places(), number
        )


async def open_in_datasets(
    app: WorkbenchApp, reference: str, query: str, rows: Sequence[int], row: int
) -> None:
    """Show the rows of a version, from 0, that a query is known to find, with the cursor on one."""
    from screens.rows import RowsScreen

    source = RowSource(app.workspace, reference)
    await app.go("datasets")
    top = app.screen
    if not isinstance(top, RowsScreen) or top.source.reference != reference:
        top = RowsScreen(source)
        await app.push_screen(top)
    top.show_found(query, rows, row)
