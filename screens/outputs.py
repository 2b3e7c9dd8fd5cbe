"""Outputs: what several systems answered to the same rows, found, sorted and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input, Static

from screens.data_screen import Beside, Pushed, line_to_write_in
from screens.outputs_text import beside, cells, columns
from screens.to_datasets import ToDatasetsScreen
from screens.widgets.pick import Choice, Pick
from screens.widgets.row_table import RowTable
from workbench.errors import WorkbenchError
from workbench.evaluation import outputs as reading
from workbench.evaluation.output_query import SORTS, Asker
from workbench.evaluation.outputs import Answered, Outputs, Source
from workbench.evaluation.row_scores import Making
from workbench.evaluation.telling_outputs import legend
from workbench.text import visible
from workbench.tracking import finding
from workbench.workspace import Workspace


@dataclass
class Gathered(Message):
    """The outputs of all sources, as far as they are scored."""

    outputs: Outputs
    scoring: Source | None
    """The one whose outputs are scored now."""


@dataclass
class Found(Message):
    """The rows that were looked for, in their order; or why none can be."""

    outputs: Outputs
    asked: tuple[str, str, str]
    """Query, order, metric."""
    places: list[int]
    means: dict[str, float | None]
    problem: WorkbenchError | None = None


@dataclass
class View:
    """What is read now: shared with the screen of one row."""

    outputs: Outputs
    metric: str
    places: Sequence[int]
    query: str = ""


class OutputsScreen(Pushed, ToDatasetsScreen):
    """A line a row: the metric of each system (a, b, …), how it changes from a to b or spreads,
    words, and marks as letters. / finds: rougeL<0.2, flag:loop, task:qa, disagree, b.words>200,
    change<0, response:rain, words; -flag:loop all others. Enter reads one row, D opens it in
    Datasets."""

    NAME = "runs"
    FILTER = "outputs: rougeL<0.2 flag:loop task:qa disagree b.words>200 change<0"
    CSS_PATH: ClassVar[list[str]] = ["datasets.tcss", "outputs.tcss"]  # type: ignore[assignment]
    LINES = ("sort", "add_file")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort", id="outputs.sort", priority=True),
        Binding("m", "metric", "Metric", id="outputs.metric"),
        Binding("a", "add", "Add a run", id="outputs.add"),
        Binding("i", "add_file", "Add a file", show=False, id="outputs.add_file", priority=True),
    ]

    def __init__(self, sources: Sequence[Source], prompt: str = "") -> None:
        """With a `prompt` the row that asks it is opened."""
        super().__init__()
        self._sources = list(sources)
        self._prompt = prompt
        self._view: View | None = None
        self._sort = ""
        self._scoring: Source | None = None
        self._making: Making | None = None
        self._means: dict[str, float | None] = {}

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield Static(id="legend", markup=False)
        with Container(id="panes"):
            yield RowTable((), id="rows")
            with Beside(id="example"):
                yield Static(id="text", markup=False)
        yield self.task_line()
        keys = ", ".join(SORTS)
        yield line_to_write_in("sort", f"a metric, b.METRIC, {keys}; -change: the largest first")
        yield line_to_write_in("import", "an evaluation's folder, or a .jsonl file of outputs")

    def on_mount(self) -> None:
        self._load()

    def on_unmount(self) -> None:
        self._sources = []
        if self._making is not None:
            self._making.end()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "end_task":
            return False
        if action in ("metric", "add", "to_datasets"):
            return not isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    # Reading and scoring.

    def _load(self) -> None:
        if self._making is not None:
            self._making.end()
        names = ", ".join(source.label for source in self._sources)
        self.say(f"reading the outputs of {names} …")
        self._gather(tuple(self._sources))

    @work(thread=True, exclusive=True, group="gather", exit_on_error=False)
    def _gather(self, sources: tuple[Source, ...]) -> None:
        try:
            outputs = reading.gather(self.workspace, sources)
            for source in outputs.unscored:
                self.post_message(Gathered(outputs, source))
                self._making = Making(self.workspace, source.outputs, source.run)
                if not self._making.wait() or sources != tuple(self._sources):
                    return
                outputs = reading.gather(self.workspace, sources)
            self.post_message(Gathered(outputs, None))
        except WorkbenchError as error:
            self.app.call_from_thread(self._fail, sources, error)

    def _fail(self, sources: tuple[Source, ...], error: WorkbenchError) -> None:
        """Say what can't be read; what was in view before stays."""
        if sources != tuple(self._sources):
            return
        self._scoring = None
        if self._view is None:
            self.say("nothing to show")
            self.show_beside(Text(visible(str(error))))
            return
        self._sources = list(self._view.outputs.sources)
        self.complain(error)
        self._show()

    @on(Gathered)
    def _take_gathered(self, message: Gathered) -> None:
        outputs = message.outputs
        if outputs.sources != tuple(dict.fromkeys(self._sources)):
            return
        self._scoring = message.scoring
        if self._view is None:
            self._view = View(outputs, outputs.metric, ())
        view = self._view
        view.outputs = outputs
        view.places = [place for place in view.places if place < len(outputs.rows)]
        view.metric = view.metric if view.metric in outputs.metrics else outputs.metric
        self.table.columns = columns(outputs)
        self._look_for()

    # Finding and sorting.

    def apply_filter(self, text: str) -> None:
        if self._view is not None:
            self._view.query = text
            self.table.cursor = 0
            self._look_for()

    def action_sort(self) -> None:
        """Sort the rows by a metric, a length, how they differ; -change begins with the largest."""
        self.open_line("sort", self._sort)

    @on(Input.Submitted, "#sort")
    def _submit_sort(self) -> None:
        sort = self.close_line("sort")
        if (view := self._view) is None:
            return
        try:
            Asker(view.outputs, view.metric).check_sort(sort)
        except WorkbenchError as error:
            self.complain(error)
            return
        self._sort = sort
        self.table.cursor = 0
        self._look_for()

    @work(exit_on_error=False)
    async def action_metric(self) -> None:
        """Choose the metric that is in view."""
        if (view := self._view) is None or not view.outputs.metrics:
            self.notify("No output is scored yet.")
            return
        choices = [Choice(name) for name in view.outputs.metrics]
        name = await self.app.push_screen_wait(Pick("Which metric?", lambda: choices))
        if name is not None and self._view is not None:
            self._view.metric = name
            self._look_for()

    def _look_for(self) -> None:
        if (view := self._view) is not None:
            self._find(view.outputs, (view.query, self._sort, view.metric))

    @work(thread=True, exclusive=True, group="find", exit_on_error=False)
    def _find(self, outputs: Outputs, asked: tuple[str, str, str]) -> None:
        query, sort, metric = asked
        asker = Asker(outputs, metric)
        try:
            places = asker.find(query, sort)
        except WorkbenchError as error:
            self.post_message(Found(outputs, asked, [], {}, error))
        else:
            self.post_message(Found(outputs, asked, places, asker.means(places)))

    @on(Found)
    def _take_found(self, message: Found) -> None:
        view = self._view
        if view is None or message.outputs is not view.outputs:
            return
        if message.asked != (view.query, self._sort, view.metric):
            return
        if message.problem is not None:
            self.complain(message.problem)
        view.places, self._means = message.places, message.means
        self._show()
        self._open_wanted()

    def _open_wanted(self) -> None:
        """Read the row that the screen was opened for."""
        if self._prompt and (view := self._view) is not None:
            wanted, self._prompt = self._prompt, ""
            for place, number in enumerate(view.places):
                if view.outputs.rows[number].prompt == wanted:
                    self.table.cursor = place
                    self._read(place)
                    return

    # What is in view.

    def _show(self) -> None:
        if (view := self._view) is None:
            return
        self.table.show_rows(len(view.places), self._cells)
        outputs = view.outputs
        whole = f"{len(outputs.rows):,} row{'s' * (len(outputs.rows) != 1)}"
        count = f"{len(view.places):,} of {whole} with {view.query!r}" if view.query else whole
        by = f"  by {self._sort}" if self._sort else ""
        common = outputs.in_common()
        lacking = "" if common == len(outputs.rows) else f"  ·  {common:,} answered by all"
        scoring = f"  ·  scoring {self._scoring.label} …" if self._scoring else ""
        self.say(f"{count}{by}{lacking}{scoring}")
        means = {name: self._means.get(name) for name in outputs.systems}
        told = legend(outputs.letters, view.metric, means)
        self.query_one("#legend", Static).update(visible(told, one_line=True))
        self._show_row(self.table.cursor)

    def _cells(self, place: int) -> tuple[str, ...]:
        row = self._row(place)
        return cells(self._view.outputs, row, self._view.metric) if row and self._view else ()

    def _row(self, place: int) -> Answered | None:
        view = self._view
        if view is None or not 0 <= place < len(view.places):
            return None
        return view.outputs.rows[view.places[place]]

    @on(RowTable.Moved)
    def _show_moved(self, event: RowTable.Moved) -> None:
        self._show_row(event.row)

    def _show_row(self, place: int) -> None:
        row, view = self._row(place), self._view
        if row is None or view is None:
            self.show_beside(Text("No row fits."))
        else:
            self.show_beside(beside(view.outputs, row, view.metric))

    @on(RowTable.Chosen)
    def _read_chosen(self, event: RowTable.Chosen) -> None:
        self._read(event.row)

    def _read(self, place: int) -> None:
        from screens.output_row import OutputRowScreen

        def back(last: int | None) -> None:
            if last is not None:
                self.table.cursor = last

        if self._view is not None:
            self.app.push_screen(OutputRowScreen(self._view, place), back)

    def answered(self) -> tuple[Outputs, Answered] | None:
        row = self._row(self.table.cursor)
        return None if row is None or self._view is None else (self._view.outputs, row)

    # Other runs and files.

    @work(exit_on_error=False)
    async def action_add(self) -> None:
        """Read the outputs of another run, too."""
        source = await pick_run(self.app, self.workspace)
        if source is not None:
            self._add(source)

    def action_add_file(self) -> None:
        """Read outputs that a file or an evaluation's folder holds, too."""
        self.open_line("import")

    @on(Input.Submitted, "#import")
    def _submit_file(self) -> None:
        if text := self.close_line("import"):
            try:
                self._add(reading.find_source(self.workspace, text))
            except WorkbenchError as error:
                self.complain(error)

    def _add(self, source: Source) -> None:
        if source in self._sources:
            self.notify(visible(f"{source.label} is there already."), markup=False)
            return
        self._sources.append(source)
        self._load()


async def pick_run(app: App[Any], workspace: Workspace) -> Source | None:
    """Ask for a run that was evaluated. None when somebody leaves."""
    name = await app.push_screen_wait(Pick("Outputs of which run?", lambda: _evaluated(workspace)))
    return None if name is None else reading.of_run(workspace.runs / name)


def _evaluated(workspace: Workspace) -> list[Choice]:
    found = []
    for run in finding.ids(workspace):
        try:
            source = reading.of_run(workspace.runs / run)
        except WorkbenchError:
            continue
        found.append(Choice(run, f"evaluated: {source.path.name}"))
    return found


def open_outputs(app: App[Any], runs: Sequence[Path]) -> None:
    """Open the outputs of runs' newest evaluations over the screen that is shown. Raises
    WorkbenchError for a run that has none."""
    app.push_screen(OutputsScreen([reading.of_run(run) for run in runs]))
