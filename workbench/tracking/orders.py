"""Why a training can't be told something now, and what is kept and lost where it can.

From the ends of its logs, so that whoever presses a key is answered by what is so in that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.jobs.events import CommandTaken, Record
from workbench.jobs.state import GOING_ON, HOST_LOG, NOT_STARTED, RESUMABLE, JobState, look
from workbench.tracking.glance import glance, tail
from workbench.tracking.view import RunView, duration

_TAIL = 1 << 15
"""Bytes of a log that are looked at: over a hundred steps, in some 2 ms."""
_TAILS = (_TAIL, 1 << 20, 1 << 24)
"""Where no step is in these, more are: a validation of an hour reports its progress meanwhile."""
_UNIT = "after this step"


@dataclass(frozen=True, slots=True)
class Standing:
    """A run as it is at one moment."""

    run: str
    status: str
    text: str
    state: JobState | None
    view: RunView
    """Of both ends of its log."""
    checkpoint: int | None
    """The step of its newest checkpoint on the disk."""
    asked: frozenset[str]
    """Commands that its supervisor has taken and that it has not acted on yet, or is at."""

    @classmethod
    def of(cls, run: Path) -> Standing:
        """Of the run in a folder."""
        state, status, text = look(run)
        view = RunView()
        asked: set[str] = set()
        if state is not None:
            view = _view(run / state.log)
            asked = view.timing.asked | _taken(tail(run / HOST_LOG, _TAIL), state, view)
        return cls(run.name, status, text, state, view, newest_checkpoint(run), frozenset(asked))

    def why_not(self, command: str) -> str:
        """Why `command` can't do anything now, in a sentence or two; empty where it can.

        Commands as in `jobs.control.JOB_COMMANDS`, `stop_now`, `restart`, `restart_now`,
        `dump_stacks`, and `go_on` for a run that has ended.
        """
        if command == "go_on":
            return self._why_not_go_on()
        if self.status not in GOING_ON:
            return self._why_not_at_all()
        if (host := self._elsewhere) is not None:
            return f"It runs on {host}: commands reach it from there alone."
        if self.state is not None and not self.state.job_alive() and self.status == "stalled":
            return f"Its supervisor gives no sign. {self.text}"
        return self._why_not_now(command)

    @property
    def _elsewhere(self) -> str | None:
        return None if self.state is None or self.state.is_here() else self.state.host

    def _why_not_at_all(self) -> str:
        if self.status == NOT_STARTED:
            return "It has not started."
        if self.status == "finished":
            return f"It is finished, after step {self.view.step:,}: nothing goes on any more."
        return f"It is {self.status}: nothing goes on. {self.text}"

    def _why_not_go_on(self) -> str:
        if self.status in (NOT_STARTED, *RESUMABLE):
            return ""
        if self.status == "finished":
            return "It is finished: there is nothing to go on with."
        if self.status == "paused":
            return "It is paused, not ended: it is told to go on, not resumed."
        if self.status in GOING_ON:
            return f"It is {self.status}: it goes on already."
        return f"Only a run that ended before its last step can be resumed; it is {self.status}."

    def _why_not_now(self, command: str) -> str:
        view, step = self.view, self.view.step
        phase = view.progress.phase if view.progress is not None else ""
        if self.status == "restarting":
            if command in ("stop", "stop_now"):
                return ""
            return "It waits to be started again: until then it takes no command but stop."
        if "restart" in self.asked and command in ("restart", "pause", "save_now", "evaluate_now"):
            return f"It is being restarted: it ends {_UNIT}, with a checkpoint, and goes on."
        if "stop" in self.asked and command in ("stop", "pause", "save_now", "evaluate_now"):
            return f"It is stopping already: it ends {_UNIT}, with a checkpoint."
        match command:
            case "pause" if phase.startswith("saving"):
                return "It is saving a checkpoint: it can pause once that is whole."
            case "pause" if "pause" in self.asked and self.status != "paused":
                return f"It is asked to pause already, and does {_UNIT}."
            case "resume" if self.status != "paused" and "pause" not in self.asked:
                return "It is not paused."
            case "save_now" if step == 0:
                return "It has taken no step yet: there is nothing to save."
            case "save_now" if phase.startswith("saving") or "save_now" in self.asked:
                return "A checkpoint is on its way already."
            case "save_now" if self.checkpoint == step:
                return f"The checkpoint of step {step:,} is saved: no step has ended since."
            case "evaluate_now" if view.started is not None and not view.started.validation_rows:
                return (
                    "There is no validation set: its dataset version has no rows in that split. "
                    "`workbench data split` makes one for the next run."
                )
            case "evaluate_now" if phase == "validation" or "evaluate_now" in self.asked:
                return "The validation loss is being measured already."
            case _:
                return ""

    def at_stake(self, *, at_once: bool) -> str:
        """What is kept and what is lost when it is ended: after this step with a checkpoint, or
        at once."""
        step, saved = self.view.step, self.checkpoint
        if not at_once:
            if self.view.started is None or not step:
                return "It has taken no step yet: nothing is lost, and nothing is kept."
            before = "the first" if saved is None else f"the newest is of step {saved:,}"
            return (
                f"A checkpoint is saved first ({before}), so the {_count(step, 'step')} so far and "
                "the adapter so far are kept: nothing is lost."
            )
        if saved is None:
            lost = f"the {_count(step, 'step')} so far are lost" if step else "no step is lost yet"
            return f"It has no checkpoint yet: {lost}."
        if step <= saved:
            return f"Its checkpoint of step {saved:,} is kept; what it does now is lost."
        seconds = _seconds(self.view, step - saved)
        return (
            f"Its checkpoint of step {saved:,} is kept, with the adapter of then; the "
            f"{_count(step - saved, 'step')} since{seconds} are lost."
        )


def _view(log: Path) -> RunView:
    """Of the log's beginning, and of its end from a step on if there is one."""
    for size in _TAILS:
        view = RunView()
        view.feed(glance(log, size))
        if view.recent or not log.exists() or log.stat().st_size <= size:
            break
    return view


def newest_checkpoint(run: Path) -> int | None:
    """The step of the newest checkpoint on the disk; None before there is one."""
    names = (path.name.removeprefix("step-") for path in (run / "checkpoints").glob("step-*"))
    return max((int(name) for name in names if name.isdecimal()), default=None)


def _seconds(view: RunView, steps: int) -> str:
    took = view.timing.step_seconds(steps)
    return "" if took is None else f" (some {duration(steps * took[0])} of work)"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _taken(records: list[Record], state: JobState, view: RunView) -> set[str]:
    """What its supervisor has taken since its start and it has not acted on."""
    asked: dict[str, float] = {}
    for record in records:
        event = record.event
        if isinstance(event, CommandTaken) and not event.refused and record.time >= state.started:
            name = event.command
            if name == "resume":
                asked.pop("pause", None)
            elif name == "stop":
                asked.pop("restart", None)
                asked[name] = record.time
            elif name not in ("set_interval", "dump_stacks", "stop_now", "restart_now"):
                asked[name] = record.time
    if not state.again:
        asked.pop("restart", None)
    # What came before its newest step was acted on, or is in `asked` of its log.
    stepped = view.timing.since or 0.0
    return {name for name, at in asked.items() if name in ("stop", "restart") or at > stepped}
