"""From the curve to the data: the examples of a step, and the rows that are hardest to learn."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import AwaitMount

from screens.learnt import LearntScreen
from screens.widgets.row_table import Column
from workbench.errors import WorkbenchError
from workbench.learning.courses import Course, Courses, evenly
from workbench.learning.learnt import OfRun
from workbench.learning.log import Loss, Losses, of_step

_EPOCHS = 12
"""Losses of a row that are written out."""
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
    """A loss by epoch as bars up to the largest, from the first to the last, `width` of them where
    there are more; a gap where there is none."""
    shown = [losses[place] for place in evenly(len(losses), width)]
    signs = _ASCII_BARS if ascii else _BARS
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


class StepScreen(LearntScreen):
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


class HardestScreen(LearntScreen):
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
        epochs = list(course.losses.items())
        # Of a hundred epochs all the losses would hide the row's text.
        losses = "  ".join(
            f"{epoch}: {'no number' if loss is None else f'{loss:.4f}'}"
            for epoch, loss in (epochs[place] for place in evenly(len(epochs), _EPOCHS))
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
