"""A line that shows how far a job is, for screens that have something done by one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from screens.base import WorkbenchScreen
from workbench import faults
from workbench.errors import WorkbenchError
from workbench.jobs.client import command
from workbench.jobs.events import Record
from workbench.jobs.waiting import wait
from workbench.text import visible
from workbench.tracking.view import RunView

Done = Callable[[Path], None]


@dataclass
class Told(Message):
    """How far the job is."""

    folder: Path
    line: str


@dataclass
class Ended(Message):
    """The job has ended, or could not be started."""

    folder: Path | None
    status: str
    error: WorkbenchError | None = None


class TaskScreen(WorkbenchScreen):
    """A screen that has one job done at a time. The job goes on when the screen is left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+x", "end_task", "End the job", show=False, id="task.end"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._doing = ""
        self._folder: Path | None = None
        self._done: Done = lambda folder: None
        self._end_wanted = False
        self.must_stay = False
        """Whether what comes of the job would be lost with the screen."""

    def task_line(self) -> Static:
        """Where the job is shown, for `compose_body`."""
        line = Static(id="task", markup=False)
        line.display = False
        return line

    def have_done(
        self, doing: str, start: Callable[[], Path], done: Done, *, must_stay: bool = False
    ) -> None:
        """Start a job, show `doing` with how far it is, and call `done` with its folder once it
        has finished; until then the screen isn't left where it `must_stay`. One that fails or is
        stopped is said."""
        if self.refuse_at_work():
            return
        self._doing, self._done, self.must_stay = doing, done, must_stay
        self._end_wanted = False
        self._show_task("…")
        self._follow(start)

    @property
    def at_work(self) -> bool:
        return bool(self._doing)

    def refuse_at_work(self) -> bool:
        """Whether a job is going on, which is then said."""
        if self._doing:
            self.notify(f"It is still {self._doing}; ctrl+x ends it.", markup=False)
        return self.at_work

    def task_failed(self) -> None:
        """The job came to nothing, which was said."""

    def action_end_task(self) -> None:
        """End the job; nothing half-done is left of it."""
        self._end_wanted = self.at_work
        if self._folder is not None:
            self._end(self._folder)

    @work(thread=True, group="task", exit_on_error=False)
    def _end(self, folder: Path) -> None:
        with suppress(WorkbenchError):  # it has ended in this moment
            command(folder, "stop_now")

    @work(thread=True, group="task", exit_on_error=False)
    def _follow(self, start: Callable[[], Path]) -> None:
        try:
            folder = start()
            self.post_message(Told(folder, "…"))
            status = wait(folder, partial(self._tell, folder, RunView()))
        except WorkbenchError as error:
            self.post_message(Ended(None, "failed", error))
        except Exception as error:
            # Whatever it is, the screen must not wait for ever.
            self.post_message(Ended(None, "failed", WorkbenchError(faults.tell(error))))
        else:
            self.post_message(Ended(folder, status))

    def _tell(self, folder: Path, view: RunView, records: list[Record]) -> None:
        view.feed(records)
        if records:
            self.post_message(Told(folder, view.line()))

    @on(Told)
    def _take_told(self, message: Told) -> None:
        first, self._folder = self._folder is None, message.folder
        self._show_task(message.line)
        if first and self._end_wanted:
            self._end(message.folder)

    @on(Ended)
    def _take_ended(self, message: Ended) -> None:
        doing, done = self._doing, self._done
        self._doing, self._folder, self.must_stay = "", None, False
        self.query_one("#task").display = False
        if message.error is not None:
            self.complain(message.error)
            self.task_failed()
        elif message.status != "finished":
            self.notify(f"It was stopped while {doing}; nothing half-done is left.", markup=False)
            self.task_failed()
        elif message.folder is not None:
            done(message.folder)

    def _show_task(self, line: str) -> None:
        shown = self.query_one("#task", Static)
        shown.display = True
        shown.update(visible(f"{self._doing}: {line}  ·  ctrl+x ends it", one_line=True))
