"""Datasets: the rows of a file of any size, one example whole, its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from screens.example import tokens, turns
from screens.import_line import ImportScreen
from screens.widgets.row_table import Column, RowTable
from workbench import base_models
from workbench.data import browse, versions
from workbench.data.browse import Looked
from workbench.data.rows import RowFile, open_rows
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.text import visible

_EMPTY = """\
There is no dataset here yet.

    workbench data import FILE --name NAME      your own JSONL, JSON, CSV or Parquet; or press i
    workbench data build-default                pairs from Python's own documentation

`workbench --dataset FILE` looks at any JSONL file as it is.
"""
_LIST = (
    Column("dataset", 34, grow=1),
    Column("rows", 10, right=True),
    Column("train", 10, right=True),
    Column("validation", 10, right=True),
    Column("tasks", 8, grow=3),
)
_ROWS = (
    Column("row", 9, right=True),
    Column("split", 5),
    Column("task", 10),
    Column("prompt", 20, grow=1),
    Column("response", 20, grow=1),
)


@dataclass
class TemplateLoaded(Message):
    """A base model's chat template, or why there is none."""

    base: str
    template: ChatTemplate | None
    problem: str = ""


@dataclass
class Found(Message):
    """Rows that the filter found, or the end of the search."""

    search: int
    rows: list[int]
    done: bool = False


class Example(VerticalScroll):
    """One row whole; the keys of the table move in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "Scroll down", show=False, id="example.down"),
        Binding("k,up", "scroll_up", "Scroll up", show=False, id="example.up"),
        Binding("pagedown,ctrl+d", "page_down", "Page down", show=False, id="example.page_down"),
        Binding("pageup,ctrl+u", "page_up", "Page up", show=False, id="example.page_up"),
        Binding("home,g", "scroll_home", "Top", show=False, id="example.top"),
        Binding("end,G", "scroll_end", "Bottom", show=False, id="example.bottom"),
        Binding("enter,z", "screen.zoom", "Rows", id="example.rows"),
    ]


class DatasetsScreen(ImportScreen):
    """The versions, then the rows of one beside the example under the cursor."""

    NAME = "datasets"
    FILTER = "rows by their text"
    CSS_PATH = "datasets.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "tokens", "Tokens", id="datasets.tokens"),
        Binding("z", "zoom", "Whole row", id="datasets.zoom"),
        Binding("o,backspace", "versions", "All datasets", id="datasets.versions"),
        Binding("c", "configure", "Configure", id="datasets.configure"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._versions: list[versions.Version] = []
        self._file: RowFile | None = None
        self._reference = ""
        self._found: list[int] | None = None
        """Numbers of the rows that the filter found; None without a filter."""
        self._filter = ""
        self._search_number = 0
        self._searching = False
        self._unfinished = True
        """Whether index or search were under way when one looked last."""
        self._tokens = False
        self._template: ChatTemplate | None = None
        self._template_of = ""
        """The base model that the template is of, or is being loaded for."""
        self._template_problem = ""

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        with Container(id="panes"):
            yield RowTable(_LIST, id="rows")
            with Example(id="example"):
                yield Static(id="text", markup=False)
        yield self.import_line()

    def on_mount(self) -> None:
        self.set_interval(0.25, self._refresh_index)

    def on_screen_resume(self) -> None:
        if self._file is None:
            self.action_versions()
            if wanted := self.shell.dataset:
                self.shell.dataset = None
                self._open_reference(wanted)
        self.focus_body()

    def focus_body(self) -> None:
        self.set_focus(self.query_one(RowTable))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("tokens", "versions", "zoom"):
            return self._file is not None
        return super().check_action(action, parameters)

    def action_versions(self) -> None:
        """Back to the list of dataset versions."""
        if self._file is not None:
            self._stop_reading()
            self._file = None
            self.remove_class("-zoomed")
            self.reset_filter()
        self._show_versions("")
        self.refresh_bindings()

    def _show_versions(self, wanted: str) -> None:
        """The versions whose name or tasks hold `wanted`."""
        known = versions.list_versions(self.workspace)
        self._versions = [v for v in known if wanted.casefold() in _version_text(v).casefold()]
        table = self.query_one(RowTable)
        table.columns = _LIST
        table.cursor = 0
        table.show_rows(len(self._versions), self._version_cells)
        count = f"{len(self._versions)} of {len(known)}" if wanted else str(len(known))
        self._say(f"{count} dataset version{'s' * (len(known) != 1)}: enter opens one")
        self._show_version(0)

    def action_zoom(self) -> None:
        """The row alone on the screen, or beside the others again."""
        if self._file is not None and self.has_class("-zoomed"):
            self.remove_class("-zoomed")
            self.focus_body()
        elif self._file is not None:
            self.add_class("-zoomed")
            self.set_focus(self.query_one(Example))

    def key_escape(self) -> None:
        if self.has_class("-zoomed"):
            self.action_zoom()
        else:
            super().key_escape()

    def action_configure(self) -> None:
        """Open the Config screen on this dataset, the one under the cursor in the list."""
        cursor = self.query_one(RowTable).cursor
        if self._file is not None:
            self.shell.chosen_dataset = self._reference if "@" in self._reference else None
        elif cursor < len(self._versions):
            self.shell.chosen_dataset = self._versions[cursor].reference
        self.shell.action_go("config")

    def action_tokens(self) -> None:
        """Show the tokens of the example, the trained ones marked, or its text again."""
        self._tokens = not self._tokens
        if self._tokens and (self._template_of != self.shell.base or self._template_problem):
            self._template, self._template_of = None, self.shell.base
            self._template_problem = ""
            self._load_template(self._template_of)
        self._show_example(self.query_one(RowTable).cursor)

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
            self._show_example(self.query_one(RowTable).cursor)

    def apply_filter(self, text: str) -> None:
        if self._file is None:
            self._show_versions(text)
            return
        self._stop_reading()
        self._filter, self._found = text, [] if text else None
        self.query_one(RowTable).cursor = 0
        if text:
            # The search indexes what isn't yet.
            self._searching = True
            self._search(self._file, text, self._search_number)
        else:
            self._resume_index()
        self._refresh_rows()

    def _stop_reading(self) -> None:
        """End the index's and the search's threads; what they have still to say is old."""
        # By group: `self.workers` holds those of all screens.
        self.workers.cancel_group(self, "index")
        self.workers.cancel_group(self, "search")
        self._search_number += 1
        self._searching = False

    @on(Found)
    def _take_found(self, message: Found) -> None:
        if message.search == self._search_number and self._found is not None:
            self._found.extend(message.rows)
            self._searching = not message.done
            self._refresh_rows()

    @on(RowTable.Chosen)
    def _open_chosen(self, event: RowTable.Chosen) -> None:
        if self._file is not None:
            self.action_zoom()
        elif event.row < len(self._versions):
            self._open_reference(self._versions[event.row].reference)

    @on(RowTable.Moved)
    def _show_moved(self, event: RowTable.Moved) -> None:
        if self._file is None:
            self._show_version(event.row)
        else:
            self._show_example(event.row)

    def _open_reference(self, reference: str) -> None:
        try:
            path = browse.locate(self.workspace, reference)
            self._file = open_rows(path)
        except WorkbenchError as error:
            self.complain(error)
            return
        inside = path.is_relative_to(self.workspace.datasets)
        self._reference = f"{path.parent.parent.name}@{path.parent.name}" if inside else str(path)
        self._found, self._filter = None, ""
        self.reset_filter()
        table = self.query_one(RowTable)
        table.columns = _ROWS
        table.cursor = 0
        self._refresh_rows()
        self._resume_index()
        self._show_example(0)
        self.refresh_bindings()

    def _resume_index(self) -> None:
        if self._file is not None and not self._file.complete:
            self._index(self._file)

    @work(thread=True, exclusive=True, group="index", exit_on_error=False)
    def _index(self, file: RowFile) -> None:
        worker = get_current_worker()
        file.index(lambda: worker.is_cancelled)

    @work(thread=True, exclusive=True, group="search", exit_on_error=False)
    def _search(self, file: RowFile, text: str, number: int) -> None:
        worker = get_current_worker()
        for rows in file.search(text, lambda: worker.is_cancelled):
            if rows:
                self.post_message(Found(number, rows))
        self.post_message(Found(number, [], done=True))

    def _refresh_index(self) -> None:
        """Show how far index and search are."""
        if self._file is None:
            return
        changed = self.query_one(RowTable).count != self._count() or self._unfinished
        self._unfinished = not self._file.complete or self._searching
        if changed:
            self._refresh_rows()

    def _count(self) -> int:
        if self._file is None:
            return len(self._versions)
        return len(self._file) if self._found is None else len(self._found)

    def _refresh_rows(self) -> None:
        if self._file is None:
            return
        table = self.query_one(RowTable)
        first = table.count == 0
        table.show_rows(self._count(), self._row_cells)
        whole = f"{len(self._file):,}{'' if self._file.complete else '+'}"
        count = f"{self._count():,} of {whole} rows" if self._filter else f"{whole} rows"
        also = f"  with {self._filter!r}" if self._filter else ""
        also += " …" if self._searching else ""
        self._say(f"{count}{also}  ·  {self._reference}")
        if first or not table.count:
            self._show_example(0)

    def _number(self, row: int) -> int:
        return row if self._found is None else self._found[row]

    def _version_cells(self, row: int) -> tuple[str, ...]:
        version = self._versions[row]
        counts = (version.splits.get(split, 0) for split in versions.SPLITS)
        tasks = ", ".join(f"{n:,} {task}" for task, n in version.tasks.items() if task)
        return (version.reference, f"{version.rows:,}", *(f"{n:,}" for n in counts), tasks)

    def _row_cells(self, row: int) -> tuple[str, ...]:
        looked = self._look(row)
        if looked is None:
            return ("",)
        number = f"{looked.number + 1:,}"
        if looked.problem:
            return (number, "!", "", looked.problem, looked.text)
        example = looked.examples[0]
        # Plain text is learnt as a response is, and answers nothing.
        learnt = example.text or example.response
        return (number, example.split[:5], example.task, example.instruction, learnt)

    def _look(self, row: int) -> Looked | None:
        try:
            return browse.look(self._file, self._number(row)) if self._file else None
        except IndexError:
            return None

    def _show_version(self, row: int) -> None:
        if not self._versions:
            filtered = self.query_one("#filter", Input).value
            self.query_one("#text", Static).update("Nothing matches." if filtered else _EMPTY)
            return
        if row >= len(self._versions):
            return  # a move in the file that was left meanwhile
        version = self._versions[row]
        try:
            about = versions.describe(version)
        except WorkbenchError as error:
            self.query_one("#text", Static).update(visible(str(error)))
            return
        lines = [version.reference, f"SHA-256 {version.sha256}", ""]
        lines += [f"{s['name']}: {s['before']:,} -> {s['after']:,} rows" for s in about["steps"]]
        lines += ["", *(f"from {source}" for source in map(_source, about["sources"]))]
        self.query_one("#text", Static).update(visible("\n".join(lines)))

    def _show_example(self, row: int) -> None:
        looked = self._look(row)
        pane = self.query_one("#example")
        pane.scroll_home(animate=False)
        text = Text("") if looked is None else self._text(looked)
        self.query_one("#text", Static).update(text)

    def _text(self, looked: Looked) -> Text:
        if not self._tokens:
            return turns(looked)
        if self._template is None:
            waiting = f"Loading the tokenizer of {self._template_of} …"
            return Text(visible(self._template_problem or waiting))
        return tokens(looked, self._template, self._template_of)

    def _say(self, text: str) -> None:
        self.query_one("#state", Static).update(visible(text))


def _version_text(version: versions.Version) -> str:
    return " ".join((version.reference, *version.tasks))


def _source(source: dict[str, object]) -> str:
    return "  ".join(f"{name} {value}" for name, value in source.items())
