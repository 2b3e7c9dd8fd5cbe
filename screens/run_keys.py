"""The keys that tell a run something: pause, save, evaluate, stop and the like."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widgets import Input

from screens.base import WorkbenchScreen
from screens.noting import NotingScreen
from screens.patience import soon
from screens.widgets.confirm import Confirm
from workbench.errors import WorkbenchError
from workbench.jobs.client import command
from workbench.jobs.state import GOING_ON, NOT_STARTED, RESUMABLE
from workbench.text import visible
from workbench.tracking.orders import Standing

PAUSED = (
    "It pauses after this {}. That frees processors and SMs; its memory, on the GPU too, stays "
    "held. p goes on."
)


_STOP = "Stop {run} after this step, with a checkpoint?\n{stake} R goes on from there."
_STOP_NOW = "End {run} at once, without a new checkpoint?\n{stake} R goes on {place}."
_RESTART = (
    "Restart {run}? It ends after this step, and goes on from there in a new process.\n{stake} "
    "Its supervisor does it: closing this terminal changes nothing."
)
_RESTART_NOW = (
    "{run} is stalled, so that a stop may never come. End it at once, and go on from its newest "
    "checkpoint?\n{stake}"
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


class RunScreen(CommandScreen, NotingScreen):
    """A screen with one run in view."""

    LINES = ("interval", *NotingScreen.LINES)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause/go on", id="run.pause"),
        Binding("s", "save", "Save now", id="run.save"),
        Binding("S", "stop", "Stop", id="run.stop"),
        Binding("X", "stop_now", "Stop at once", show=False, id="run.stop_now"),
        Binding("R", "resume", "Restart/resume", show=False, id="run.resume"),
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

    def run_to_note(self) -> Path | None:
        return self.run

    def _want(self, name: str, then: Callable[[Standing, Path], object]) -> None:
        """Do `then` if the run can do the command `name` now; else say why it can't."""
        if (run := self.run) is None:
            self.notify("There is no run in view, so nothing can be told to one.")
            return
        # The question must be there before the next key of a burst: the app waits, not for long.
        standing = soon(partial(Standing.of, run))
        if standing is None:
            self.notify("Its files don't answer, so that nothing can be told to it.")
        elif why := standing.why_not(name):
            self.notify(visible(why + _instead(standing)), markup=False)
        else:
            then(standing, run)

    def _ask_for(self, name: str, said: str) -> None:
        self._want(name, lambda _, run: self.send(run, name, said))

    def action_pause(self) -> None:
        """Let the run wait after this step, or go on."""
        if self.status == "paused":
            self._ask_for("resume", "It goes on.")
        else:
            self._ask_for("pause", PAUSED.format("step"))

    def action_save(self) -> None:
        """Save a checkpoint after this step."""
        self._ask_for("save_now", "A checkpoint is saved after this step.")

    def action_evaluate(self) -> None:
        """Measure the validation loss after this step."""
        self._ask_for("evaluate_now", "The validation loss is measured after this step.")

    def action_stacks(self) -> None:
        """Have every process of the run write what each of its threads is at."""
        self._want(
            "dump_stacks",
            lambda _, run: self.send(run, "dump_stacks", f"The stacks are in {run.name}/stacks."),
        )

    def action_stop(self) -> None:
        """Stop after this step, with a checkpoint; asks first."""
        self._want("stop", partial(self._ask, "stop", _STOP, "It stops after this step."))

    def action_stop_now(self) -> None:
        """End the run at once, without a new checkpoint; asks first."""
        self._want("stop_now", partial(self._ask, "stop_now", _STOP_NOW, "It is ended now."))

    def action_resume(self) -> None:
        """Have a run that goes on end and start again, or go on with one that stopped, failed or
        was killed, from its newest checkpoint; or start one that has not started."""
        if self.status not in GOING_ON:
            self._want("go_on", lambda _, run: self._resume(run))
        elif self.status == "stalled":
            said = "It is ended now, and goes on from its newest checkpoint."
            self._want("restart_now", partial(self._ask, "restart_now", _RESTART_NOW, said))
        else:
            said = "It ends after this step, and goes on from there in a new process."
            self._want("restart", partial(self._ask, "restart", _RESTART, said))

    def _ask(self, name: str, question: str, said: str, standing: Standing, run: Path) -> None:
        """Ask with what is kept and what is lost."""
        stake = standing.at_stake(at_once=name.endswith("_now"))
        place = "from its beginning" if standing.checkpoint is None else "from there"
        text = question.format(run=run.name, stake=stake, place=place)

        def agreed(yes: bool | None) -> None:
            if yes:
                self.send(run, name, said)

        self.app.push_screen(Confirm(visible(text)), agreed)

    @work(thread=True, group="command", exit_on_error=False)
    def _resume(self, run: Path) -> None:
        from workbench.tracking import runs

        try:
            runs.start(run)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)

    def action_interval(self) -> None:
        """Ask for the number of steps between two lines of figures."""
        if self.run is not None and self.status in GOING_ON:
            line = self.query_one("#interval", Input)
            line.display = True
            self.set_focus(line)
        else:
            self._want("set_interval", lambda _, run: None)

    @on(Input.Submitted, "#interval")
    def _set_interval(self, event: Input.Submitted) -> None:
        steps = event.value
        self._close_interval()
        if steps:
            said = f"The figures are logged every {steps} steps."
            self._want(
                "set_interval", lambda _, run: self.send(run, "set_interval", said, int(steps))
            )

    def key_escape(self) -> None:
        super().key_escape()
        self._close_interval()

    def _close_interval(self) -> None:
        line = self.query_one("#interval", Input)
        if line.display:
            line.value, line.display = "", False
            self.focus_body()


def _instead(standing: Standing) -> str:
    """The key that does something for a run in this state."""
    if standing.status == "finished":
        return " c in Runs takes its config for a new run, e there evaluates it."
    if standing.status in RESUMABLE:
        return " R goes on from its newest checkpoint."
    if standing.status == NOT_STARTED:
        return " R starts it."
    if "stop" in standing.asked:
        return " X ends it at once."
    return ""
