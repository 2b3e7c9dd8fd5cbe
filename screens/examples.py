"""From the curve to the data: the examples of a step, and the rows that are hardest to learn."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import AwaitMount
from textual.worker import get_current_worker

from screens.data_screen import Pushed
from screens.example import turns
from screens.row_source import RowSource
from screens.widgets.row_table import Column, RowTable
from workbench.data.browse import Looked
from workbench.data.rows import RowFile
from workbench.errors import WorkbenchError
from workbench.learning.courses import Course, Courses
from workbench.learning.learnt import OfRun
from workbench.learning.log import Loss, Losses, of_step
from workbench.text import visible

if TYPE_CHECKING:
    from screens.app import WorkbenchApp

_PAUSE = 20.0
"""A look at a run that goes on is followed by a pause of so many times what it took."""
_LEAST_PAUSE = 2.0
_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-~=+*#"


def open_step(app: App[None], run: Path, step: int) -> AwaitMount:
    """Show the examples of a step of the run in a folder, over the screen that asks."""
    return app.push_screen(StepScreen(run, step))


def open_hardest(app: App[None], run: Path) -> AwaitMount:
    """Show the rows that were hardest to learn for the run in a folder, as far as it has come."""
    return app.push_screen(HardestScreen(run))


def bars(losses: Sequence[float | None], width: int, *, ascii: bool) -> str:
    """A loss by epoch as bars up to the largest, the last `width` of them; a gap where there is
    none."""
    shown, signs = losses[-width:], _ASCII_BARS if ascii else _BARS
    top = max((loss for loss in shown if loss is not None), default=0.0)
    return "".join(
        " " if loss is None else signs[min(7, int(8 * max(loss, 0) / top)) if top > 0 else 0]
        for loss in shown
    )


@dataclass
class StepRead(Message):
    """The examples of a step, or why there are none."""

    losses: list[Loss]
    problem: WorkbenchError | None = None


@dataclass
class Weighed(Message):
    """How the rows of a run were learnt, as far as it has come; or why nobody knows."""

    courses: Courses | None
    problem: WorkbenchError | None = None


class _LearntScreen(Pushed):
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
        await _open_in_datasets(
            self.shell, self.source.reference, self.query_of_all(), self.places(), number
        )


async def _open_in_datasets(
    app: WorkbenchApp, reference: str, query: str, rows: Sequence[int], row: int
) -> None:
    from screens.rows import RowsScreen

    source = RowSource(app.workspace, reference)
    await app.go("datasets")
    top = app.screen
    if not isinstance(top, RowsScreen) or top.source.reference != reference:
        top = RowsScreen(source)
        await app.push_screen(top)
    top.show_found(query, rows, row)


class StepScreen(_LearntScreen):
    """The examples of one step, the highest loss first. Enter or d opens them in Datasets,
    where e rewrites a row and x takes it out; z shows one alone."""

    COLUMNS = (
        Column("row", 9, right=True),
        Column("", 1),
        Column("loss", 8, right=True),
        Column("tokens", 6, right=True),
        Column("prompt", 16, grow=1),
        Column("response", 16, grow=1),
        Column("task", 10),
    )

    def __init__(self, run: Path, step: int) -> None:
        super().__init__(run)
        self._step = step
        self._losses: list[Loss] = []

    def begin(self, made: OfRun) -> None:
        self._read()

    @work(thread=True, exclusive=True, group="losses", exit_on_error=False)
    def _read(self) -> None:
        try:
            self.post_message(StepRead(of_step(self.run_folder, self._step)))
        except WorkbenchError as error:
            self.post_message(StepRead([], error))

    @on(StepRead)
    def _take_read(self, message: StepRead) -> None:
        if message.problem is not None:
            self.fail(message.problem)
            return
        self._losses = message.losses
        count = f"{len(self._losses)} example{'s' * (len(self._losses) != 1)}"
        self.say(
            f"{self.run_folder.name}  step {self._step:,}  epoch {self._losses[0].epoch}  ·  "
            f"{count} of {self.made.reference if self.made else ''}"
        )
        self.refresh_rows()
        self.show_row(0)

    def refresh_rows(self) -> None:
        self.table.show_rows(len(self._losses), self._cells)

    def _cells(self, row: int) -> tuple[str, ...]:
        loss = self._losses[row]
        prompt, response, task, mark = self.texts(row)
        shown = "none" if loss.loss is None else f"{loss.loss:.4f}"
        return (f"{loss.row:,}", mark, shown, f"{loss.tokens:,}", prompt, response, task)

    def place(self, row: int) -> int | None:
        return self._losses[row].row - 1 if row < len(self._losses) else None

    def places(self) -> list[int]:
        whole = self.made.rows if self.made else 0
        return [loss.row - 1 for loss in self._losses if loss.row <= whole]

    def query_of_all(self) -> str:
        return f"run:{self.run_folder.name} step={self._step}"

    def about(self, row: int) -> str:
        loss = self._losses[row]
        shown = "no number" if loss.loss is None else f"{loss.loss:.4f} nats a token"
        return (
            f"row {loss.row:,}: loss {shown} over {loss.tokens:,} trained "
            f"token{'s' * (loss.tokens != 1)}, in step {loss.step:,}"
        )


class HardestScreen(_LearntScreen):
    """The rows of a run, the hardest to learn first, with their loss by epoch: what is mislabelled
    is among the first. n shows those alone that were never learnt. Enter or d opens them in
    Datasets, where e rewrites a row and x takes it out; z shows one alone."""

    COLUMNS = (
        Column("row", 7, right=True),
        Column("", 1),
        Column("epochs", 6),
        Column("losses", 11),
        Column("conf", 4, right=True),
        Column("var", 4, right=True),
        Column("region", 9),
        Column("prompt", 12, grow=1),
        Column("response", 12, grow=1),
        Column("task", 10),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "never", "Never learnt", id="examples.never"),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self._courses: Courses | None = None
        self._never = False
        self._losses: Losses | None = None
        self._at_work = False
        self._next = -math.inf
        """When it is looked at again, by the clock that never goes back."""

    def begin(self, made: OfRun) -> None:
        self._losses = made.losses()
        self.set_interval(0.5, self._look_again)
        self._look_again()

    def _look_again(self) -> None:
        if self._losses is not None and not self._at_work and time.monotonic() >= self._next:
            self._at_work = True
            self._weigh(self._losses)

    @work(thread=True, exclusive=True, group="losses", exit_on_error=False)
    def _weigh(self, losses: Losses) -> None:
        begin = time.monotonic()
        try:
            if losses.read() or self._courses is None:
                self.post_message(Weighed(Courses(losses)))
        except WorkbenchError as error:
            self.post_message(Weighed(None, error))
        finally:
            took = time.monotonic() - begin
            self._next = time.monotonic() + max(_LEAST_PAUSE, _PAUSE * took)
            self._at_work = False

    @on(Weighed)
    def _take_weighed(self, message: Weighed) -> None:
        if message.courses is None:
            if message.problem is not None and self._courses is None:
                self.fail(message.problem)
            return
        number = self.place(self.table.cursor) if self.table.count else None
        self._courses = message.courses
        self.refresh_rows()
        self._go_to(number)
        self.show_row(self.table.cursor)
        if not self.table.count and not self._never:
            self.show_beside(Text("The run hasn't learnt a row yet."))

    def _go_to(self, number: int | None) -> None:
        """Have the cursor on the row that it was on; it stays at the top where it was there."""
        places = self.places()
        if self.table.cursor and number is not None and number in places:
            self.table.cursor = places.index(number)

    def action_never(self) -> None:
        """Those rows alone that are among the worst tenth of every epoch, or all again."""
        self._never = not self._never
        self.table.cursor = 0
        self.refresh_rows()
        if self.table.count:
            self.show_row(0)
        else:
            self.show_beside(Text("No row is among the worst tenth of each of several epochs."))

    def refresh_rows(self) -> None:
        courses = self._courses
        if courses is None:
            return
        places = self.places()
        self.table.show_rows(len(places), self._cells)
        epochs = f"{len(courses.epochs)} epoch{'s' * (len(courses.epochs) != 1)}"
        shown = (
            f"{len(places):,} never learnt of {len(courses):,} rows"
            if self._never
            else f"{len(places):,} rows, the hardest first"
        )
        odd = f"  ·  {courses.damaged:,} lines can't be used" if courses.damaged else ""
        without = courses.without_number
        nan = f"  ·  {without:,} without a loss" if without else ""
        alone = "" if courses.compares else "  ·  by loss alone"
        of = self.made.reference if self.made else ""
        self.say(f"{self.run_folder.name}  {epochs}  ·  {shown}{alone}{nan}{odd}  ·  {of}")

    def _cells(self, row: int) -> tuple[str, ...]:
        course = self._course(row)
        if course is None:
            return ("",)
        losses = list(course.losses.values())
        prompt, response, task, mark = self.texts(row)
        known = course.known
        fell = f"{known[0]:.2f}→{known[-1]:.2f}" if len(known) > 1 else f"{known[0]:.2f}"
        if self.shell.ascii:
            fell = fell.replace("→", ">")
        return (
            f"{course.row:,}",
            mark,
            bars(losses, 6, ascii=self.shell.ascii),
            fell,
            f"{course.confidence:.2f}".removeprefix("0"),
            f"{course.variability:.2f}".removeprefix("0"),
            "never" if course.never_learnt else course.region,
            prompt,
            response,
            task,
        )

    def _course(self, row: int) -> Course | None:
        number = self.place(row)
        return self._courses.of(number) if self._courses and number is not None else None

    def places(self) -> Sequence[int]:
        if self._courses is None:
            return ()
        return self._courses.never_learnt if self._never else self._courses.order

    def place(self, row: int) -> int | None:
        places = self.places()
        return places[row] if 0 <= row < len(places) else None

    def query_of_all(self) -> str:
        return f"run:{self.run_folder.name}{' learnt:never' if self._never else ''}"

    def about(self, row: int) -> str:
        course = self._course(row)
        if course is None:
            return ""
        losses = "  ".join(
            f"{epoch}: {'no number' if loss is None else f'{loss:.4f}'}"
            for epoch, loss in course.losses.items()
        )
        region = course.region and f", {course.region} to learn"
        never = "; never learnt" if course.never_learnt else ""
        bare = course.unprompted
        alone = "" if bare is None else f"; {bare:.4f} without its prompt, before the first step"
        return (
            f"row {course.row:,}: hardness {course.hardness:.1f}, rank {course.rank:,} of "
            f"{len(self._courses or ()):,}{region}{never}\n"
            f"loss by epoch  {losses}{alone}\n"
            f"confidence {course.confidence:.3f}  variability {course.variability:.3f}  "
            f"{course.tokens:,} trained tokens"
        )
