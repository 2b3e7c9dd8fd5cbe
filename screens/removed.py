"""Rows that a step left out: each with its reason, and the way back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message

from screens.data_screen import Pushed
from screens.widgets.row_table import Column, RowTable
from workbench.data import repairing, repairs, revising
from workbench.data.repairing import Mended
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


@dataclass(frozen=True, slots=True)
class Back:
    """What is to be done so that a row is there again."""

    id: str = ""
    """Of a row that is excepted from the step."""
    repairs: tuple[str, ...] = ()
    """What mends rows that could not be read."""


class RemovedScreen(Pushed):
    """The rows that a step left out, with where each stood and why it went. r brings one back, as
    another version: it is excepted from the step. Of those that could not be read it mends all
    that have the same fault."""

    COLUMNS = (
        Column("from", 20, grow=1),
        Column("why", 24, grow=2),
        Column("row", 20, grow=2),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "back", "Bring back", id="removed.back"),
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
        if (removed := self._removed(place)) is None:
            return
        out = Text(visible(f"{removed.source}\n{removed.reason}\n\n"))
        out.append(visible(_text(removed.row)[:_LONGEST]))
        after = self._mended(removed)
        if after is not None and after.repairs:
            does = "; ".join(repairs.does(name) for name in after.repairs)
            out.append(visible(f"\n\nr {does}; the row is then:\n\n"), "bold")
            out.append(visible("\n\n".join(_text(e.to_json()) for e in after.examples)))
        self.show_beside(out)

    def _mended(self, removed: Removed) -> Mended | None:
        """What repairs would make of a row; None of one that was read."""
        if removed.step != "read":
            return None
        return repairing.mended(removed, repairs.NAMES, repairing.mappings(self._version))

    def action_back(self) -> None:
        """Bring the row back, by an exception from the step or by a repair."""
        removed = self._removed(self.table.cursor)
        if removed is None:
            return
        after = self._mended(removed)
        if after is None:
            self.dismiss(Back(id=revising.removed_id(removed)))
        elif after.repairs:
            self.dismiss(Back(repairs=after.repairs))
        else:
            self.notify("No repair makes a row of it: mend it in its file, and import that again.")


def _text(row: Any) -> str:
    """A removed row as a person reads it: its turns, its text, or what stood there."""
    if isinstance(row, dict) and isinstance(row.get("messages"), list):
        turns = [turn for turn in row["messages"] if isinstance(turn, dict)]
        return "\n\n".join(f"{turn.get('role')}: {turn.get('content')}" for turn in turns)
    if isinstance(row, dict) and isinstance(row.get("text"), str):
        return str(row["text"])
    return row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)
