"""Rows that a step left out: each with its reason, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message

from screens.data_screen import Pushed
from screens.widgets.row_table import Column, RowTable
from workbench.data import revising
from workbench.data.rows import RowFile
from workbench.data.versions import REMOVED, Removed, Version
from workbench.errors import WorkbenchError
from workbench.text import visible

_LONGEST = 20_000
"""Characters of a row that are laid out."""


class Counted(Message):
    """The lines of the file that are about the step."""

    def __init__(self, lines: list[int]) -> None:
        super().__init__()
        self.lines = lines


class RemovedScreen(Pushed):
    """The rows that a step left out, with where each stood and why it went. r brings one back,
    as another version."""

    COLUMNS = (
        Column("from", 20, grow=1),
        Column("why", 24, grow=2),
        Column("row", 20, grow=2),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "restore", "Bring back", id="removed.restore"),
    ]

    def __init__(self, version: Version, step: str) -> None:
        super().__init__()
        self._version = version
        self._step = step
        self._file: RowFile | None = None
        self._lines: list[int] = []

    def on_mount(self) -> None:
        self.say(f"… rows that {self._step} left out  ·  {self._version.reference}")
        try:
            self._file = RowFile(self._version.folder / REMOVED)
        except WorkbenchError as error:
            self.complain(error)
        else:
            self._count(self._file)

    @work(thread=True, exclusive=True, group="count", exit_on_error=False)
    def _count(self, file: RowFile) -> None:
        file.index()
        begins = f'{{"step": {json.dumps(self._step, ensure_ascii=False)}, '.encode()
        own = [number for number in range(len(file)) if file.line(number).startswith(begins)]
        self.post_message(Counted(own))

    @on(Counted)
    def _take_counted(self, message: Counted) -> None:
        self._lines = message.lines
        self.table.show_rows(len(self._lines), self._cells)
        count = f"{len(self._lines):,} rows that {self._step} left out"
        self.say(f"{count}  ·  {self._version.reference}")
        self._show(self.table.cursor)

    def _removed(self, place: int) -> Removed | None:
        if self._file is None or not 0 <= place < len(self._lines):
            return None
        try:
            return Removed(**json.loads(self._file.line(self._lines[place])))
        except (ValueError, TypeError):
            return Removed(self._step, "", "a line that can't be read", "")

    def _cells(self, place: int) -> tuple[str, ...]:
        removed = self._removed(place)
        return ("",) if removed is None else (removed.source, removed.reason, _text(removed.row))

    @on(RowTable.Moved)
    def _moved(self, event: RowTable.Moved) -> None:
        self._show(event.row)

    @on(RowTable.Chosen)
    def _zoom_chosen(self) -> None:
        self.action_zoom()

    def _show(self, place: int) -> None:
        if (removed := self._removed(place)) is not None:
            text = f"{removed.source}\n{removed.reason}\n\n{_text(removed.row)[:_LONGEST]}"
            self.show_beside(visible(text))

    def action_restore(self) -> None:
        """Bring the row back: the step is done with an exception for it."""
        from workbench.data import replay_job

        removed = self._removed(self.table.cursor)
        if removed is None:
            return
        try:
            id = revising.removed_id(removed)
            recipe = revising.with_row_back(self._version, id)
        except WorkbenchError as error:
            self.complain(error)
            return
        self.have_done(
            "making a version",
            lambda: replay_job.start(self.workspace, recipe),
            self._take_made,
        )

    def _take_made(self, folder: Path) -> None:
        from workbench.jobs import tasks

        self.dismiss(tasks.result(folder))


def _text(row: Any) -> str:
    """A removed row as a person reads it: its turns, its text, or what stood there."""
    if isinstance(row, dict) and isinstance(row.get("messages"), list):
        turns = [turn for turn in row["messages"] if isinstance(turn, dict)]
        return "\n\n".join(f"{turn.get('role')}: {turn.get('content')}" for turn in turns)
    if isinstance(row, dict) and isinstance(row.get("text"), str):
        return str(row["text"])
    return row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)
