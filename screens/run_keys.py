"""The keys that tell a run something: pause, save, evaluate, stop and the like."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widgets import Input

from screens.base import WorkbenchScreen
from screens.widgets.confirm import Confirm
from workbench.errors import WorkbenchError
from workbench.jobs.client import command
from workbench.jobs.state import GOING_ON, NOT_STARTED, RESUMABLE
from workbench.tracking import runs

PAUSED = (
    "It pauses after this {}. That frees processors and SMs; its memory, on the GPU too, stays "
    "held. p goes on."
)


class CommandScreen(WorkbenchScreen):
    """A screen that can tell a job something."""

    @work(thread=True, group="command", exit_on_error=False)
    def send(self, folder: Path, name: str, said: str, value: int | None = None) -> None:
        """Send a command to the job in `folder`, and say `said` once it is acknowledged."""
        try:
            command(folder, name, value)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            self.app.call_from_thread(self.notify, said)


class RunScreen(CommandScreen):
    """A screen with one run in view."""

    LINES = ("interval",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause/go on", id="run.pause"),
        Binding("s", "save", "Save now", id="run.save"),
        Binding("S", "stop", "Stop", id="run.stop"),
        Binding("X", "stop_now", "Stop at once", show=False, id="run.stop_now"),
        Binding("R", "resume", "Resume", show=False, id="run.resume"),
        Binding("e", "evaluate", "Evaluate now", show=False, id="run.evaluate"),
        Binding("i", "interval", "Log every N steps", show=False, id="run.interval", priority=True),
        Binding("D", "stacks", "Dump stacks", show=False, id="run.stacks"),
    ]

    run: Path | None = None
    """The folder of the run in view."""
    status = ""
    """Its state's word."""
    saved_step: int | None = None
    """The step of its newest checkpoint."""

    def interval_line(self) -> Input:
        """The line that `i` opens, for `compose_body`."""
        line = Input(
            id="interval",
            restrict=r"\d{0,7}",
            placeholder="log the figures every so many steps: enter sends, escape leaves",
        )
        line.display = False
        return line

    def _going_on(self, purpose: str) -> Path | None:
        """The run, if it can be told something; else says why it can't."""
        if self.run is not None and self.status in GOING_ON:
            return self.run
        why = f"it is {self.status}" if self.run is not None else "there is none"
        self.notify(f"The run isn't running ({why}), so there is nothing to {purpose}.")
        return None

    def action_pause(self) -> None:
        """Let the run wait after this step, or go on."""
        if self.status == "paused" and self.run is not None:
            self.send(self.run, "resume", "It goes on.")
        elif run := self._going_on("pause"):
            self.send(run, "pause", PAUSED.format("step"))

    def action_save(self) -> None:
        """Save a checkpoint after this step."""
        if run := self._going_on("save"):
            self.send(run, "save_now", "A checkpoint is saved after this step.")

    def action_evaluate(self) -> None:
        """Measure the validation loss after this step."""
        if run := self._going_on("evaluate; in Runs e evaluates one that has ended"):
            self.send(run, "evaluate_now", "The validation loss is measured after this step.")

    def action_stacks(self) -> None:
        """Have every process of the run write what each of its threads is at."""
        if run := self._going_on("look into"):
            self.send(run, "dump_stacks", f"The stacks are in {run.name}/stacks.")

    def action_stop(self) -> None:
        """Stop after this step, with a checkpoint; asks first."""
        if run := self._going_on("stop"):
            question = (
                f"Stop {run.name} after this step, with a checkpoint?\n"
                "The adapter so far is kept, and R goes on from there."
            )
            agreed = partial(self._stop, run, "stop", "It stops after this step.")
            self.app.push_screen(Confirm(question), agreed)

    def action_stop_now(self) -> None:
        """End the run at once, without a new checkpoint; asks first."""
        if run := self._going_on("end"):
            kept = (
                "It has no checkpoint yet: all that it did is lost."
                if self.saved_step is None
                else f"What it did since its checkpoint of step {self.saved_step} is lost; "
                "R goes on from there."
            )
            agreed = partial(self._stop, run, "stop_now", "It is ended now.")
            self.app.push_screen(Confirm(f"End {run.name} at once?\n{kept}"), agreed)

    def _stop(self, run: Path, name: str, said: str, agreed: bool | None) -> None:
        if agreed:
            self.send(run, name, said)

    def action_resume(self) -> None:
        """Go on with a run that stopped, failed or was killed, from its newest checkpoint; or start
        one that has not started."""
        if self.run is not None and self.status in (NOT_STARTED, *RESUMABLE):
            self._resume(self.run)
        else:
            self.notify("Only a run that ended before its last step can be resumed.")

    @work(thread=True, group="command", exit_on_error=False)
    def _resume(self, run: Path) -> None:
        try:
            runs.start(run)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)

    def action_interval(self) -> None:
        """Ask for the number of steps between two lines of figures."""
        if self._going_on("set"):
            line = self.query_one("#interval", Input)
            line.display = True
            self.set_focus(line)

    @on(Input.Submitted, "#interval")
    def _set_interval(self, event: Input.Submitted) -> None:
        steps = event.value
        self._close_interval()
        if steps and (run := self._going_on("set")):
            said = f"The figures are logged every {steps} steps."
            self.send(run, "set_interval", said, int(steps))

    def key_escape(self) -> None:
        super().key_escape()
        self._close_interval()

    def _close_interval(self) -> None:
        line = self.query_one("#interval", Input)
        if line.display:
            line.value, line.display = "", False
            self.focus_body()
