"""Runs: what was trained, its state and its main figures."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from screens.noting import NotingScreen
from screens.widgets.row_table import Column, RowTable
from workbench.errors import WorkbenchError
from workbench.evaluation import request
from workbench.review.making import create_session, free_name
from workbench.review.sources import Source
from workbench.text import visible
from workbench.tracking import runs
from workbench.tracking.notes import head
from workbench.tracking.runs import RunSummary
from workbench.tracking.view import ago

_COLUMNS = (
    Column("run", 16, grow=1),
    Column("state", 10),
    Column("step", 11, right=True),
    Column("loss", 7, right=True),
    Column("val first", 9, right=True),
    Column("val best", 8, right=True),
    Column("ROUGE-L", 13, right=True),
    Column("dataset", 20, grow=1),
    Column("started", 16),
    Column("tags", 12, grow=1),
)
_EMPTY = "There are no runs yet. Press 2 to make a config and start one."


class Listed(Message):
    """The runs as they are now."""

    def __init__(self, summaries: list[RunSummary]) -> None:
        super().__init__()
        self.summaries = summaries


class RunsScreen(NotingScreen):
    """A line a run, the newest first; enter watches one."""

    NAME = "runs"
    FILTER = "runs by id, state, dataset, base, note or #tag"
    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "configure", "Same config", id="runs.configure"),
        Binding("e", "evaluate", "Evaluate", id="runs.evaluate"),
        Binding("v", "review", "Make review", id="runs.review"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._all: list[RunSummary] = []
        self._shown: list[RunSummary] = []
        self._filter = ""
        self._reloading = False
        self._known: runs.Known = {}

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield RowTable(_COLUMNS, id="runs")
        yield Static(id="about", markup=False)

    def on_mount(self) -> None:
        self.set_interval(2.0, self._reload_unless_reloading)

    def on_screen_resume(self) -> None:
        self._reload_unless_reloading()
        self.focus_body()

    def focus_body(self) -> None:
        self.set_focus(self.query_one(RowTable))

    def apply_filter(self, text: str) -> None:
        self._filter = text.casefold()
        self._refresh()

    @on(RowTable.Chosen)
    def _watch(self, event: RowTable.Chosen) -> None:
        if event.row < len(self._shown):
            self.shell.run_id = self._shown[event.row].id
            self.shell.go("monitor")

    @on(RowTable.Moved)
    def _moved(self) -> None:
        self._show_about()

    def run_to_note(self) -> Path | None:
        return self.workspace.runs / self._run.id if self._run else None

    def noted(self) -> None:
        self._reload_unless_reloading()

    def action_configure(self) -> None:
        """Open this run's config, to change and start it."""
        if run := self._run:
            self.shell.config_path = str(self.workspace.runs / run.id / runs.CONFIG)
            self.shell.go("config")

    def action_evaluate(self) -> None:
        """Evaluate base and adapter on the validation split, as a job of its own."""
        if run := self._run:
            self.notify(
                f"Evaluating {visible(run.id)}: the Monitor shows how far it is.", markup=False
            )
            self._evaluate(run.id)

    def action_review(self) -> None:
        """Make a blind review session of the newest evaluation."""
        if (run := self._run) is None:
            return
        evaluation = runs.newest_evaluation(self.workspace.runs / run.id)
        if evaluation is None:
            self.notify("It has not been evaluated yet: e.")
            return
        try:
            create_session(self.workspace, free_name(self.workspace), [Source.of(evaluation)])
        except WorkbenchError as error:
            self.complain(error)
            return
        self.shell.go("review")

    @work(thread=True, group="evaluate", exit_on_error=False)
    def _evaluate(self, run_id: str) -> None:
        run = self.workspace.runs / run_id
        try:
            config = runs.load_config(run).evaluation
            request.start(run, request.Request.of(config))
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)

    def _reload_unless_reloading(self) -> None:
        # A thread can't be stopped: many long logs must not pile up reloads.
        if self.is_current and not self._reloading:
            self._reloading = True
            self._reload()

    @work(thread=True, group="list", exit_on_error=False)
    def _reload(self) -> None:
        try:
            self.post_message(Listed(runs.list_runs(self.workspace, self._known)))
        finally:
            self._reloading = False

    @on(Listed)
    def _take(self, message: Listed) -> None:
        chosen = self._run
        self._all = message.summaries
        self._refresh()
        # The cursor stays on its run when a new one comes above it.
        places = [place for place, run in enumerate(self._shown) if chosen and run.id == chosen.id]
        if places:
            self.query_one(RowTable).cursor = places[0]

    @property
    def _run(self) -> RunSummary | None:
        cursor = self.query_one(RowTable).cursor
        return self._shown[cursor] if cursor < len(self._shown) else None

    def _refresh(self) -> None:
        self._shown = [
            run for run in self._all if all(_matches(run, word) for word in self._filter.split())
        ]
        count = f"{len(self._shown)} of {len(self._all)} runs: enter watches one"
        self.query_one("#state", Static).update(count if self._all else _EMPTY)
        self.query_one(RowTable).show_rows(len(self._shown), self._cells)
        self._show_about()

    def _cells(self, row: int) -> tuple[str, ...]:
        run = self._shown[row]
        return (
            run.id,
            f"{run.status} !" if run.problems else run.status,
            f"{run.step}/{run.total_steps}",
            _figure(run.loss),
            _figure(run.first_validation_loss),
            _figure(run.best_validation_loss),
            " > ".join(_figure(run.scores[s].get("rouge_l"), 3) for s in run.scores) or "–",
            run.dataset,
            ago(run.created),
            " ".join(run.tags),
        )

    def _show_about(self) -> None:
        run = self._run
        text = "" if run is None else f"{run.id}  ·  {run.dataset}  ·  base {run.base}\n{run.text}"
        if run is not None:
            text += "".join(f"\n! {problem}" for problem in run.problems)
        if run is not None and (noted := head(run.tags, run.notes, run.notes_problem)):
            text += f"\n{noted}"
        if run is not None and run.scores:
            names = [name.replace("_", " ") for name in next(iter(run.scores.values()))]
            text += "\n" + " " * 8 + "".join(f"{name:>13}" for name in names)
            for system, scores in run.scores.items():
                text += f"\n{system:8}" + "".join(f"{_figure(v):>13}" for v in scores.values())
        self.query_one("#about", Static).update(visible(text))


def _matches(run: RunSummary, word: str) -> bool:
    """Whether a word of the filter, in small letters, is somewhere in the run's line or its notes;
    one that begins with `#` is a tag."""
    tags = [tag.casefold() for tag in run.tags]
    if word.startswith("#"):
        return any(tag.startswith(word[1:]) for tag in tags)
    noted = " ".join(note["text"] for note in run.notes)
    searched = f"{run.id} {run.status} {run.dataset} {run.base} {' '.join(tags)} {noted}"
    return word in searched.casefold()


def _figure(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
