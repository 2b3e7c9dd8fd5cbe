"""Jobs: everything that goes on, that waits for its turn, and that has ended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from screens.run_keys import PAUSED, CommandScreen
from screens.widgets.confirm import Confirm
from screens.widgets.row_table import Column, RowTable
from workbench.errors import MENDABLE, WorkbenchError
from workbench.jobs.state import ENDED, GOING_ON
from workbench.queue import changes, overview
from workbench.queue.overview import Line
from workbench.text import visible
from workbench.tracking import jobs
from workbench.tracking.jobs import JobSummary
from workbench.tracking.view import ago, amount, duration, per_second

_COLUMNS = (
    Column("job", 24, grow=2),
    Column("state", 11),
    Column("phase", 12, grow=3),
    Column("done", 17, right=True, grow=1),
    Column("left", 11, right=True),
    Column("rate", 14, right=True),
    Column("kind", 10),
    Column("started", 16),
)
_NO_RUNNER = "The queue has no runner: `workbench queue run` starts what waits."
_EMPTY = """\
There are no jobs yet. `workbench data import FILE` begins with data; 2 makes a config and starts \
a run."""


@dataclass(frozen=True, slots=True)
class Row:
    """A job, its place in the queue, or both."""

    reference: str
    job: JobSummary | None
    line: Line | None = None

    @property
    def status(self) -> str:
        """The job's own state; before its start, the queue's word for it."""
        if self.line is not None and (self.job is None or self.line.status != "running"):
            return f"{self.line.status} {self.line.position or ''}".rstrip()
        return self.job.status if self.job else ""

    @property
    def text(self) -> str:
        """The state in a sentence; of one that waits, for what."""
        if self.line is not None and (self.job is None or self.line.status != "running"):
            return self.line.text
        return self.job.text if self.job else ""

    @property
    def waits(self) -> bool:
        """Whether it waits for its turn in the queue."""
        return self.line is not None and self.line.position is not None


class Listed(Message):
    """The jobs as they are now, and what is wrong with the queue."""

    def __init__(self, rows: list[Row], problem: str) -> None:
        super().__init__()
        self.rows, self.problem = rows, problem


class JobsScreen(CommandScreen):
    """Trainings, evaluations, merges, imports and the rest: how far each has come, and what
    waits in the queue. Enter watches a run."""

    NAME = "jobs"
    FILTER = "jobs by name, kind, state or phase"
    CSS_PATH = "jobs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "cancel", "Cancel", id="jobs.cancel"),
        Binding("p", "pause", "Pause/go on", id="jobs.pause"),
        Binding("K,shift+up", "move(-1)", "Sooner", id="jobs.sooner"),
        Binding("J,shift+down", "move(1)", "Later", id="jobs.later"),
        Binding("d", "remove", "Take out", id="jobs.remove"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._all: list[Row] = []
        self._shown: list[Row] = []
        self._filter = self._problem = ""
        self._reloading = False
        self._known: jobs.Known = {}

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield RowTable(_COLUMNS, id="jobs")
        yield Static(id="about", markup=False)

    def on_mount(self) -> None:
        self.set_interval(1.0, self._reload_unless_reloading)

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
        job = self._shown[event.row].job if event.row < len(self._shown) else None
        if job is None:
            return
        if not job.folder.is_relative_to(self.workspace.runs):
            self.notify("It belongs to no run: what there is of it is below.")
            return
        self.shell.run_id = job.folder.relative_to(self.workspace.runs).parts[0]
        self.shell.go("monitor")

    @on(RowTable.Moved)
    def _moved(self) -> None:
        self._show_about()

    def action_cancel(self) -> None:
        """Stop a job after this step or batch; asks first."""
        if (job := self._going_on("cancel")) is None:
            return
        kept = (
            "A checkpoint and the adapter so far are kept."
            if job.kind == jobs.TRAINING
            else "Nothing half-done is left of it."
        )
        self.app.push_screen(
            Confirm(visible(f"Stop {job.reference}?\n{kept}")), partial(self._cancel, job)
        )

    def _cancel(self, job: JobSummary, agreed: bool | None) -> None:
        if agreed:
            self.send(job.folder, "stop", f"It stops after this {_unit_of_work(job)}.")

    def action_pause(self) -> None:
        """Let a job wait after this step or batch, or go on."""
        if (job := self._going_on("pause")) is None:
            return
        if job.status == "paused":
            self.send(job.folder, "resume", "It goes on.")
        else:
            self.send(job.folder, "pause", PAUSED.format(_unit_of_work(job)))

    def _going_on(self, purpose: str) -> JobSummary | None:
        """The job under the cursor, if it can be told something; else says why it can't."""
        row = self._row
        if row is not None and row.job is not None and row.job.status in GOING_ON:
            return row.job
        if row is None:
            self.notify(f"There is nothing to {purpose}.")
        elif row.waits:
            self.notify("It waits for its turn: d takes it out of the queue.")
        else:
            self.notify(f"It is {row.status}, so there is nothing to {purpose}.")
        return None

    def action_move(self, by: int) -> None:
        """Move a run that waits in the queue a place nearer to its turn, or further from it."""
        if (row := self._row) is not None and row.waits:
            self._move(row.reference, by)
        else:
            self.notify("Only a run that waits in the queue can be moved.")

    @work(thread=True, group="queue", exit_on_error=False)
    def _move(self, run: str, by: int) -> None:
        try:
            changes.move(self.workspace, run, by=by)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        self.app.call_from_thread(self._reload_unless_reloading)

    def action_remove(self) -> None:
        """Take a run that waits out of the queue; asks first."""
        row = self._row
        if row is None or row.line is None or row.line.status == "running":
            self.notify("Only a run that waits in the queue can be taken out.")
        elif not row.line.run:
            self.notify("It names no run: mend queue.json in the workspace.")
        else:
            question = f"Take {row.reference} out of the queue?\nThe run itself stays."
            agreed = partial(self._remove_agreed, row.reference)
            self.app.push_screen(Confirm(visible(question)), agreed)

    def _remove_agreed(self, run: str, agreed: bool | None) -> None:
        if agreed:
            self._remove(run)

    @work(thread=True, group="queue", exit_on_error=False)
    def _remove(self, run: str) -> None:
        try:
            changes.remove(self.workspace, [run])
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        self.app.call_from_thread(self._reload_unless_reloading)

    def _reload_unless_reloading(self) -> None:
        # A thread can't be stopped: many jobs on a slow disk must not pile up reloads.
        if self.is_current and not self._reloading:
            self._reloading = True
            self._reload()

    @work(thread=True, group="list", exit_on_error=False)
    def _reload(self) -> None:
        lines: list[Line] = []
        problem = ""
        try:
            try:
                seen = overview.look(self.workspace)
                lines = seen.lines
                if seen.runner is None and any(line.position for line in lines):
                    problem = _NO_RUNNER
            except WorkbenchError as error:
                problem = error.message
            found = jobs.list_jobs(self.workspace, self._known)
            self.post_message(Listed(_merge(found, lines), problem))
        finally:
            self._reloading = False

    @on(Listed)
    def _take(self, message: Listed) -> None:
        chosen = self.shell.job or _name(self._row)
        self._all, self._problem = message.rows, message.problem
        self._refresh()
        # The cursor stays on its job when others come above it, or it is moved.
        places = [i for i, row in enumerate(self._shown) if row.reference == chosen]
        if places:
            self.shell.job = ""
            self.query_one(RowTable).cursor = places[0]

    @property
    def _row(self) -> Row | None:
        cursor = self.query_one(RowTable).cursor
        return self._shown[cursor] if cursor < len(self._shown) else None

    def _refresh(self) -> None:
        self._shown = [row for row in self._all if self._filter in _searched(row)]
        going = sum(row.job is not None and row.job.status in GOING_ON for row in self._all)
        waiting = sum(row.waits for row in self._all)
        count = f"{len(self._shown)} of {len(self._all)} jobs: {going} going on, {waiting} waiting"
        text = f"{self._problem} {count if self._all else _EMPTY}".strip()
        self.query_one("#state", Static).update(visible(text, one_line=True))
        self.query_one(RowTable).show_rows(len(self._shown), self._cells)
        self._show_about()

    def _cells(self, number: int) -> tuple[str, ...]:
        row = self._shown[number]
        job = row.job
        # Every verb takes it without the folder, too.
        name = row.reference.removeprefix("tasks/")
        if job is None or row.waits:
            return (name, row.status, row.text)
        started = ago(job.started) if job.started else ""
        return (name, row.status, *_course(job), job.kind, started)

    def _show_about(self) -> None:
        row = self._row
        self.query_one("#about", Static).update("" if row is None else visible(_about(row)))


def _merge(found: list[JobSummary], lines: list[Line]) -> list[Row]:
    """What goes on first, then the queue in its order, what has not started, what has ended."""
    queued = {line.run: line for line in lines if line.run}
    rows = [Row(job.reference, job, queued.pop(job.reference, None)) for job in found]
    lost = [*queued.values(), *(line for line in lines if not line.run)]
    rows += [Row(line.run or "(queue)", None, line) for line in lost]

    def place(row: Row) -> tuple[int, int]:
        if row.job is not None and row.job.status in GOING_ON:
            return 0, 0
        if row.line is not None:
            return 1, row.line.position or len(lines) + 1
        return (3 if row.job is not None and row.job.status in ENDED else 2), 0

    return sorted(rows, key=place)


def _name(row: Row | None) -> str:
    return row.reference if row else ""


def _searched(row: Row) -> str:
    of_job = f"{row.job.kind} {row.job.phase}" if row.job else ""
    return f"{row.reference} {row.status} {of_job}".casefold()


def _unit_of_work(job: JobSummary) -> str:
    return "step" if job.kind == jobs.TRAINING else "batch"


def _course(job: JobSummary) -> tuple[str, str, str, str]:
    """Phase, how much of it is done, the time left and the rate; empty where there is none."""
    return (
        job.phase,
        amount(job.done, job.total, job.unit),
        "" if job.seconds_left is None else duration(job.seconds_left),
        "" if job.rate is None or not job.unit else per_second(job.rate, job.unit),
    )


def _about(row: Row) -> str:
    """The job in full: its state in a sentence, and what came of it."""
    job = row.job
    lines = [f"{row.reference}  ·  {job.kind if job else 'queue'}", row.text]
    if row.line is not None:
        lines.append(f"wants {row.line.wants}" if row.line.wants else "")
    if job is not None:
        lines.append("  ".join(part for part in _course(job) if part))
        lines += [job.hint, f"made {job.result}" if job.result else ""]
        # Of what is the person's to mend all is said above.
        if job.status in ("failed", "dead") and job.cause not in MENDABLE:
            lines += job.last_words
    return "\n".join(line for line in lines if line)
