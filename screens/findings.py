"""Rows that a check found something in, one after another, until each is decided about."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from screens.deciding import DecidingScreen
from screens.example import beside_other, with_spans
from screens.row_source import RowSource
from screens.widgets.row_table import Column, RowTable
from workbench.data.curate.findings import Finding, Other
from workbench.data.curate.store import Findings
from workbench.data.draft import kept_in
from workbench.data.example import Example
from workbench.data.rows import RowFile, open_rows
from workbench.errors import WorkbenchError


class FindingsScreen(DecidingScreen):
    """What was found, the words that it is about marked in the row. a lets the row stay, x takes
    it out, space leaves it for later; each is kept at once, and u takes it back. W makes a
    version."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("row", 9, right=True),
        Column("", 4),
        Column("kind", 16),
        Column("why", 20, grow=1),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "keep", "Stays", id="findings.keep"),
        Binding("x", "remove", "Goes", id="rows.remove"),
        Binding("space", "later", "Later", id="findings.later"),
        Binding("n", "next", "Next open", show=False, id="findings.next"),
    ]

    def __init__(self, source: RowSource, found: Findings) -> None:
        """Raises WorkbenchError when what was found can't be read."""
        super().__init__(source)
        self.CHECK = found.check
        self.found = found
        self._lines = self.open_findings(found)
        self._kept_before = kept_in(found.folder.parents[2])
        self._others: dict[str, RowSource] = {}
        """The datasets that rows were compared with, by reference."""

    def open_findings(self, found: Findings) -> RowFile:
        """The lines of what was found. Raises WorkbenchError when they can't be read."""
        return open_rows(found.path)

    def on_mount(self) -> None:
        self.show_decisions()
        self._index()

    @work(thread=True, exclusive=True, group="index", exit_on_error=False)
    def _index(self) -> None:
        """A million findings take the better part of a second."""
        worker = get_current_worker()
        for file in (self.source.file, self._lines):
            file.index(lambda: worker.is_cancelled)
        self.app.call_from_thread(self.show_decisions)

    def finding(self, place: int) -> Finding | None:
        """The finding in a line of the table; None where there is none."""
        if not 0 <= place < len(self._lines):
            return None
        try:
            return Finding.from_json(json.loads(self._lines.line(place)))
        except (ValueError, KeyError, TypeError):
            return None

    def count(self) -> int:
        """Findings in view."""
        return len(self._lines)

    def number(self) -> int | None:
        found = self.finding(self.table.cursor)
        return None if found is None else found.row

    def show_decisions(self) -> None:
        self.table.show_rows(self.count(), self.cells)
        self.show_place()

    def show_place(self) -> None:
        """Show what is under the cursor, and where that is."""
        self.say(f"{self.place_in_words()}{self.draft_in_words()}")
        self.show_finding(self.table.cursor)

    def place_in_words(self) -> str:
        """Where among the findings the cursor is."""
        return (
            f"{self.table.cursor + 1:,} of {self.count():,} findings in {self.found.flagged:,} "
            f"rows of {self.found.rows:,}  ·  {self.found.check}"
        )

    def draft_in_words(self) -> str:
        """How many rows go and stay, as was decided."""
        draft = self.source.draft
        if draft is None or not draft.waiting:
            return ""
        stay = sum(decision.do == "keep" for decision in draft.waiting)
        go = f"{len(draft)} row{'s' * (len(draft) != 1)}"
        return f"  ·  {go} go or change, {stay} stay: W writes"

    def cells(self, place: int) -> tuple[str, ...]:
        """What a line of the table says."""
        found = self.finding(place)
        if found is None:
            return ("", "", "", "a line that is no finding: remove its folder, and look again")
        return (f"{found.row + 1:,}", self.mark(found.row), found.kind, found.reason)

    def mark(self, number: int) -> str:
        """What was decided about a row: `goes`, `edit`, `ok`, or nothing."""
        draft = self.source.draft
        if draft is None:
            return ""
        if state := draft.state_of(number):
            return {"remove": "goes"}.get(state, state)
        if not (draft.kept or self._kept_before):
            return ""
        example = self.source.original(number)
        key = (self.found.check, example.id if example else "")
        return "ok" if key in draft.kept or key in self._kept_before else ""

    @on(RowTable.Moved)
    def _moved(self) -> None:
        self.show_place()

    @on(RowTable.Chosen)
    def _zoom_chosen(self) -> None:
        self.action_zoom()

    def show_finding(self, place: int) -> None:
        """Show the row that a finding is about."""
        found = self.finding(place)
        looked = None if found is None else self.source.look(found.row)
        if found is None or looked is None:
            return
        edited = self.source.draft is not None and found.row in self.source.draft.edited
        # Of a row that was rewritten the words are no longer where they were.
        shown = with_spans(looked, found, () if edited else found.spans)
        other = self._other(found.other)
        if other is None or found.other is None:
            self.show_beside(shown)
        else:
            self.show_beside(beside_other(shown, other, found.other))

    def _other(self, other: Other | None) -> Example | None:
        """The row that a finding compares with; None where there is none, or none any more."""
        if other is None:
            return None
        try:
            if other.dataset and other.dataset not in self._others:
                self._others[other.dataset] = RowSource(self.workspace, other.dataset)
                self._others[other.dataset].file.index()
            source = self._others[other.dataset] if other.dataset else self.source
            looked = source.look(other.row)
        except WorkbenchError:
            return None
        return looked.examples[0] if looked and looked.examples else None

    def action_keep(self) -> None:
        """Let the row stay as it is; it isn't asked again in later versions."""
        self.decide("keep", self.CHECK)

    def action_later(self) -> None:
        """Go on without deciding."""
        self.table.action_move(1)

    def action_next(self) -> None:
        """Go to the next row that isn't decided about."""
        for place in (*range(self.table.cursor + 1, self.count()), *range(self.table.cursor)):
            found = self.finding(place)
            if found is not None and not self.mark(found.row):
                self.table.cursor = place
                return
        self.notify("Every row is decided about: W makes a version.")

    def after_decision(self) -> None:
        """The next finding of another row: what was decided is about all that was found in one."""
        number = self.number()
        for place in range(self.table.cursor + 1, self.count()):
            found = self.finding(place)
            if found is not None and found.row != number:
                self.table.cursor = place
                return

    def go_to(self, number: int) -> None:
        # In the order of the rows.
        places = range(self.count())
        place = bisect.bisect_left(places, number, key=lambda place: self._row(place))
        if place < len(places) and self._row(place) == number:
            self.table.cursor = place

    def _row(self, place: int) -> int:
        found = self.finding(place)
        return -1 if found is None else found.row

    def show_version(self, reference: str) -> None:
        self.finish(reference)
