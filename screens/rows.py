"""The rows of a dataset version, or of any JSONL file: found, sorted, read, decided about."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input
from textual.worker import get_current_worker

from screens import xray_text
from screens.data_screen import line_to_write_in
from screens.example import markdown, turns
from screens.row_source import RowSource
from screens.to_outputs import ToOutputsScreen
from screens.widgets.row_table import Column, RowTable
from workbench import base_models
from workbench.data import search
from workbench.data.browse import Looked
from workbench.data.rows import RowFile
from workbench.data.search import Found, Search, Wanted
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.text import visible


@dataclass
class TemplateLoaded(Message):
    """A base model's chat template, or why there is none."""

    base: str
    template: ChatTemplate | None
    problem: str = ""


@dataclass
class Heard(Message):
    """What a search found; None at its end."""

    search: int
    found: Found | None


class RowsScreen(ToOutputsScreen):
    """The rows, and the one under the cursor whole. `/` finds words, "a phrase", task:qa,
    split:validation, flag:email, tokens>512, response<20, level=3; -task:qa finds all others.
    run:ID are the rows that a run has learnt, the hardest first; loss>2, worst<=10, step=120,
    learnt:never and region:hard beside it say which.

    What is decided about rows waits in a draft: u takes the last back, W makes a version."""

    FILTER = "rows: words, task:qa, tokens>512, flag:email, -split:train"
    COLUMNS = (
        Column("row", 9, right=True),
        Column("", 1),
        Column("split", 5),
        Column("task", 10),
        Column("prompt", 20, grow=1),
        Column("response", 20, grow=1),
    )
    LINES = ("sort",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort", id="rows.sort", priority=True),
        Binding("t", "show('tokens')", "Tokens", id="datasets.tokens"),
        Binding("T", "show('list')", "Token ids", show=False, id="rows.token_ids"),
        Binding("v", "verdict", "Verdict", id="rows.verdict"),
        Binding("f", "checks", "Checks", id="rows.checks"),
        Binding("w", "steps", "Steps", id="datasets.steps"),
        Binding("R", "runs", "Its runs", show=False, id="rows.runs"),
        Binding("m", "show('markdown')", "As Markdown", show=False, id="rows.markdown"),
        Binding("c", "configure", "Configure", show=False, id="datasets.configure"),
    ]

    def __init__(self, source: RowSource) -> None:
        super().__init__(source)
        self._filter = self._sort = ""
        self._search: Search | None = None
        self._search_number = 0
        self._share = 0.0
        """Of the file that is searched, from 0 to 1."""
        self._unfinished = True
        """Whether index or search were under way when one looked last."""
        self._as = ""
        """How the row is shown: as `tokens`, as `list` of tokens, as `markdown`, or as it is."""
        self._template: ChatTemplate | None = None
        self._template_of = ""
        """The base model that the template is of, or is being loaded for."""
        self._template_problem = ""

    def compose_lines(self) -> ComposeResult:
        keys = ", ".join(search.KEYS)
        yield line_to_write_in("sort", f"{keys}; -tokens: the longest first; empty: as they are")

    def on_mount(self) -> None:
        self.set_interval(0.25, self._refresh_index)
        self._show_source()

    def on_unmount(self) -> None:
        self._stop_reading()

    def _show_source(self) -> None:
        self.refresh_rows()
        self._resume_index()
        self._show_row(self.table.cursor)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("checks", "steps", "verdict", "runs"):
            return self.source.version is not None
        if action == "sort":
            return not isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    # Finding and sorting.

    def apply_filter(self, text: str) -> None:
        self._filter = text
        self._look_for()

    def show_found(self, query: str, rows: Sequence[int], row: int) -> None:
        """Show the rows, from 0, that a query is known to find, with the cursor on one of them."""
        self._stop_reading()
        self.show_filter(query)
        self._filter, self._sort, self.source.found = query, "", list(rows)
        self._show_source()
        self.go_to(row)

    def action_sort(self) -> None:
        """Sort the rows by tokens, response, task and the like; -tokens begins with the longest."""
        self.open_line("sort", self._sort)

    @on(Input.Submitted, "#sort")
    def _submit_sort(self) -> None:
        self._sort = self.close_line("sort")
        self._look_for()

    def _look_for(self) -> None:
        self._stop_reading()
        wanted = self._filter or self._sort
        self.source.found = [] if wanted else None
        self.table.cursor = 0
        self._resume_index()
        if wanted:
            version = self.source.version
            asked = Wanted(
                path=str(self.source.file.path),
                query=self._filter,
                sort=self._sort,
                workspace=str(self.workspace.root),
                version=version.reference if version else "",
            )
            self._share = 0.0
            self._find(asked, self._search_number)
        self.refresh_rows()

    @work(thread=True, exclusive=True, group="search", exit_on_error=False)
    def _find(self, wanted: Wanted, number: int) -> None:
        try:
            if wanted.counts_tokens:
                base = base_models.resolve(self.workspace, self.shell.base)
                wanted = Wanted(**{**wanted.to_json(), "base": str(base)})
            searching = Search(wanted)
            self.app.call_from_thread(self._take_search, searching, number)
            for found in searching.found():
                self.post_message(Heard(number, found))
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        self.post_message(Heard(number, None))

    def _take_search(self, searching: Search, number: int) -> None:
        """Know a search that has started, so that it can be ended; or end it, if it is old."""
        if number == self._search_number:
            self._search = searching
        else:
            searching.end()

    @on(Heard)
    def _take_found(self, message: Heard) -> None:
        if message.search != self._search_number or self.source.found is None:
            return
        if message.found is None:
            self._search = None
        else:
            # A file that has grown has rows that aren't known yet.
            known = len(self.source.file) if self.source.file.complete else sys.maxsize
            self.source.found.extend(row for row in message.found.rows if row < known)
            self._share = message.found.reached / max(1, message.found.size)
        self.refresh_rows()

    def _stop_reading(self) -> None:
        """End the index's and the search's threads; what they have still to say is old."""
        # By group: `self.workers` holds those of all screens.
        self.workers.cancel_group(self, "index")
        self._search_number += 1
        if self._search is not None:
            self._search.end()
            self._search = None

    def _resume_index(self) -> None:
        if not self.source.file.complete:
            self._index(self.source.file)

    @work(thread=True, exclusive=True, group="index", exit_on_error=False)
    def _index(self, file: RowFile) -> None:
        worker = get_current_worker()
        file.index(lambda: worker.is_cancelled)

    def _refresh_index(self) -> None:
        """Show how far index and search are."""
        self.see_decisions()
        file = self.source.file
        changed = self.table.count != len(self.source) or self._unfinished
        self._unfinished = not file.complete or self._search is not None
        if changed:
            self.refresh_rows()

    def refresh_rows(self) -> None:
        """Show the rows in view, and how many there are."""
        source = self.source
        first = self.table.count == 0
        self.table.show_rows(len(source), self._cells)
        whole = f"{source.whole} row{'s' * (source.whole != '1')}"
        count = whole if source.found is None else f"{len(source):,} of {whole}"
        count += f"  with {self._filter!r}" if self._filter else ""
        by = f"  by {self._sort}" if self._sort else ""
        under_way = f"  {100 * self._share:.0f} % …" if self._search is not None else ""
        decided = len(source.draft) if source.draft else 0
        draft = f"  ·  draft of {decided}: W writes" if decided else ""
        self.say(f"{count}{by}{under_way}  ·  {source.reference}{draft}")
        if first or not self.table.count:
            self._show_row(0)

    def _cells(self, row: int) -> tuple[str, ...]:
        looked = self._look(row)
        if looked is None:
            return ("",)
        number = f"{looked.number + 1:,}"
        if looked.problem:
            return (number, "!", "", "", looked.problem, looked.text)
        example, mark = looked.examples[0], self.source.mark(looked.number)
        # Plain text is learnt as a response is, and answers nothing.
        learnt = example.text or example.response
        return (number, mark, example.split[:5], example.task, example.instruction, learnt)

    def _look(self, row: int) -> Looked | None:
        number = self.source.number(row)
        return None if number is None else self.source.look(number)

    # The row under the cursor.

    @on(RowTable.Moved)
    def _show_moved(self, event: RowTable.Moved) -> None:
        self._show_row(event.row)

    @on(RowTable.Chosen)
    def _zoom_chosen(self) -> None:
        self.action_zoom()

    def _show_row(self, row: int) -> None:
        looked = self._look(row)
        self.show_beside(Text("") if looked is None else self._shown(looked))

    def _shown(self, looked: Looked) -> RenderableType:
        if self._as == "markdown":
            return markdown(looked)
        if not self._as or looked.problem:
            return turns(looked)
        if self._template is None:
            waiting = f"Loading the tokenizer of {self._template_of} …"
            return Text(visible(self._template_problem or waiting))
        show = xray_text.listed if self._as == "list" else xray_text.in_text
        return show(looked, self._template, self._template_of, self.shell.max_length)

    def action_show(self, how: str) -> None:
        """Show the row as its tokens, each on a line, or as Markdown; or as it is again."""
        self._as = "" if self._as == how else how
        if self._as in ("tokens", "list"):
            self._want_template()
        self._show_row(self.table.cursor)

    def _want_template(self) -> None:
        if self._template_of != self.shell.base or self._template_problem:
            self._template, self._template_of = None, self.shell.base
            self._template_problem = ""
            self._load_template(self._template_of)

    @work(thread=True, exclusive=True, group="template", exit_on_error=False)
    def _load_template(self, base: str) -> None:
        """In a thread: a vocabulary of 262,000 tokens takes seconds to read."""
        try:
            template = ChatTemplate.load(base_models.resolve(self.workspace, base))
        except WorkbenchError as error:
            self.post_message(TemplateLoaded(base, None, str(error)))
        else:
            self.post_message(TemplateLoaded(base, template))

    @on(TemplateLoaded)
    def _take_template(self, message: TemplateLoaded) -> None:
        if message.base == self._template_of:
            self._template, self._template_problem = message.template, message.problem
            self._show_row(self.table.cursor)

    # What was decided.

    def number(self) -> int | None:
        return self.source.number(self.table.cursor)

    def show_decisions(self) -> None:
        self.refresh_rows()
        self._show_row(self.table.cursor)

    def go_to(self, number: int) -> None:
        if (place := self.source.place(number)) is not None:
            self.table.cursor = place

    def show_version(self, reference: str) -> None:
        """Show the rows of another version instead."""
        try:
            source = RowSource(self.workspace, reference)
        except WorkbenchError as error:
            self.complain(error)
            return
        self._stop_reading()
        self.source, self._filter, self._sort = source, "", ""
        self.reset_filter()
        self._show_source()

    # Other screens.

    def action_verdict(self) -> None:
        """What a base would be trained on, of all rows, and what a cutoff would take."""
        from screens.verdict import VerdictScreen

        if (version := self.source.version) is not None:
            self.app.push_screen(VerdictScreen(version), self._look_into)

    def _look_into(self, query: str | None) -> None:
        """Show the rows that the verdict is about."""
        if query is not None:
            self.open_filter(query)

    def action_checks(self) -> None:
        """What checks find in the rows."""
        from screens.checks import ChecksScreen

        if (version := self.source.version) is not None:
            self.app.push_screen(ChecksScreen(self.source, version), self._changed)

    def action_steps(self) -> None:
        """What was done to the rows, step by step; each can be switched off."""
        from screens.steps import StepsScreen

        if (version := self.source.version) is not None:
            self.app.push_screen(StepsScreen(version), self._changed)

    def action_runs(self) -> None:
        """The runs whose data have the row under the cursor, with the steps that took it."""
        from screens.using import UsingScreen

        number = self.number()
        if (version := self.source.version) is not None and number is not None:
            self.app.push_screen(UsingScreen(version.reference, number + 1))

    def _changed(self, reference: str | None) -> None:
        """Another screen has made a version, or decided about rows."""
        if reference is not None:
            self.show_version(reference)

    def action_configure(self) -> None:
        """Open the Config screen on this dataset."""
        version = self.source.version
        self.shell.chosen_dataset = version.reference if version else None
        self.shell.go("config")
