"""Monitor: a run live or past, read from its logs alone."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from screens.base import WorkbenchScreen
from screens.run_text import log_lines, machine, memory_used
from screens.widgets.confirm import Confirm
from screens.widgets.curve import Curve
from screens.widgets.gauge import bar
from screens.widgets.line_chart import LineChart, Series
from workbench.errors import WorkbenchError
from workbench.jobs.events import (
    Evaluated,
    Event,
    Progress,
    Record,
    Started,
    Step,
)
from workbench.jobs.state import ENDED
from workbench.text import visible
from workbench.tracking import runs
from workbench.tracking.follower import News, RunFollower
from workbench.tracking.view import RunView, duration

_EMPTY = """\
There are no runs yet.

Press 2 to make a config and start one, or run: workbench train CONFIG
"""
_FIGURES: dict[str, Callable[[Step], float]] = {
    "learning rate": lambda step: step.learning_rate,
    "tokens/s": lambda step: step.tokens / step.seconds if step.seconds else math.nan,
    "gradient norm": lambda step: step.gradient_norm,
}
_MEMORY = "memory"
_SHOWN = (*_FIGURES, _MEMORY)
"""What can stand beside the loss."""
_LOG_LINES = 2000
_UNFINISHED = ("stopped", "failed", "dead")
_LONG = 10.0
"""Seconds without a word from a run after which one is told of them."""
_LOOK_EVERY = 0.25
"""Seconds between two looks at the logs, and between two redraws."""
_SAMPLES = 2000
"""Host samples that are kept: over an hour at one every 2 s."""


@dataclass
class Read(Message):
    """What the follower of a run has read."""

    news: News


class MonitorScreen(WorkbenchScreen):
    """Loss, one more figure, the machine, and the log of one run."""

    NAME = "monitor"
    FILTER = "the log by its text"
    CSS_PATH = "monitor.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m,right,l", "figure(1)", "Next figure", id="monitor.figure"),
        Binding("left,h", "figure(-1)", "Figure before", show=False, id="monitor.figure_back"),
        Binding("j,down,right_square_bracket", "run(1)", "Older run", id="monitor.older"),
        Binding("k,up,left_square_bracket", "run(-1)", "Newer run", id="monitor.newer"),
        Binding("s", "save", "Save now", id="monitor.save"),
        Binding("S", "stop", "Stop", id="monitor.stop"),
        Binding("R", "resume", "Resume", show=False, id="monitor.resume"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._run: Path | None = None
        self._forget()
        self._status, self._text = "", ""
        self._figure = 0
        self._filter = ""
        self._stale = False

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        with Container(id="charts"):
            yield LineChart(id="loss", ascii=self.shell.ascii)
            yield LineChart(id="figure", ascii=self.shell.ascii)
        yield Static(id="machine", markup=False)
        yield Static(id="log", markup=False)

    def on_mount(self) -> None:
        # None without news.
        self.set_interval(_LOOK_EVERY, self._redraw)

    def on_screen_resume(self) -> None:
        wanted, self.shell.run_id = self.shell.run_id, None
        if wanted is None and self._run is not None:
            return
        try:
            self._follow_run(runs.find(self.workspace, wanted or runs.LATEST))
        except WorkbenchError as error:
            self.query_one("#state", Static).update(visible(str(error)) if wanted else _EMPTY)
        self.set_class(self._run is None, "-empty")

    def action_figure(self, by: int) -> None:
        """Show the next figure beside the loss."""
        self._figure = (self._figure + by) % len(_SHOWN)
        self._stale = True

    def action_run(self, by: int) -> None:
        """Show the run before or after this one."""
        ids = runs.ids(self.workspace)
        if self._run is not None and self._run.name in ids:
            place = ids.index(self._run.name) + by
            if 0 <= place < len(ids):
                self._follow_run(self.workspace.runs / ids[place])

    def action_save(self) -> None:
        """Save a checkpoint after this step."""
        if self._run is not None:
            self._command(self._run, "save_now", "A checkpoint is saved after this step.")

    def action_stop(self) -> None:
        """Stop after this step, with a checkpoint; asks first."""
        if self._run is None or self._status not in ("running", "stalled"):
            self.notify("It isn't running, so there is nothing to stop.")
        else:
            question = f"Stop {self._run.name} after this step, with a checkpoint?"
            self.app.push_screen(Confirm(question), partial(self._stop, self._run))

    def _stop(self, run: Path, agreed: bool | None) -> None:
        if agreed:
            self._command(run, "stop", "It stops after this step.")

    def action_resume(self) -> None:
        """Go on with a run that stopped, failed or was killed, from its newest checkpoint."""
        if self._run is None or self._status not in _UNFINISHED:
            self.notify("Only a run that ended before its last step can be resumed.")
        else:
            self._resume(self._run)

    @work(thread=True, group="command", exit_on_error=False)
    def _resume(self, run: Path) -> None:
        try:
            runs.start(run)
        except WorkbenchError as error:
            text = visible(str(error))
            self.app.call_from_thread(self.notify, text, severity="error", markup=False)

    def apply_filter(self, text: str) -> None:
        self._filter = text.casefold()
        self._stale = True

    @work(thread=True, group="command", exit_on_error=False)
    def _command(self, run: Path, name: str, said: str) -> None:
        try:
            runs.command(run, name)
            self.app.call_from_thread(self.notify, said)
        except WorkbenchError as error:
            text = visible(str(error))
            self.app.call_from_thread(self.notify, text, severity="error", markup=False)

    def _follow_run(self, run: Path) -> None:
        self._run = run
        self._forget()
        self._status = self._text = ""
        self._follow(run)

    def _forget(self) -> None:
        """Begin with another run."""
        self._view = RunView()
        self._loss, self._held_out = Curve(), Curve()
        self._curves = {name: Curve() for name in _FIGURES}
        self._samples: deque[dict[str, Any]] = deque(maxlen=_SAMPLES)
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._jobs: dict[str, str] = {}
        """What each job on the run besides its training was at when it spoke last."""
        self._working: frozenset[str] = frozenset()
        """Those of them that are going on."""

    def _draw_on(self, records: list[Record]) -> None:
        """Lengthen the curves."""
        for record in records:
            event = record.event
            if isinstance(event, Started):
                for curve in (self._loss, self._held_out, *self._curves.values()):
                    curve.cut_after(event.resumed_from)
            elif isinstance(event, Evaluated):
                self._held_out.add(event.step, event.loss)
            elif isinstance(event, Step):
                self._loss.add(event.step, event.loss)
                for name, read in _FIGURES.items():
                    self._curves[name].add(event.step, read(event))

    @work(thread=True, exclusive=True, group="follow", exit_on_error=False)
    def _follow(self, run: Path) -> None:
        """Read the run's logs as they grow, until another run is shown."""
        worker = get_current_worker()
        follower = RunFollower(run)
        while not worker.is_cancelled:
            news = follower.read()
            self.post_message(Read(news))
            if not news.records:
                time.sleep(_LOOK_EVERY)

    @on(Read)
    def _take(self, message: Read) -> None:
        news = message.news
        if news.run != self._run:
            return
        self._view.feed(news.records)
        self._samples.extend(news.samples)
        self._draw_on(news.records)
        for name, record in news.jobs:
            self._note_progress(name, record.event)
        told = [("", record) for record in news.records] + news.jobs
        for name, record in sorted(told, key=lambda item: item[1].time):
            self._log.extend(f"{line}  ({name})" if name else line for line in log_lines(record))
        changed = news.status != self._status or news.working != self._working
        # While it runs the clock goes on, too, with the machine's sample every 2 s.
        if news.records or news.samples or news.jobs or changed:
            self._stale = True
        self._status, self._text, self._working = news.status, news.text, news.working

    def _note_progress(self, name: str, event: Event) -> None:
        """What an evaluation, a merge or the demonstration's follow-up is at."""
        if isinstance(event, Progress):
            count = f" {event.done}/{event.total} {event.unit}" if event.unit else ""
            self._jobs[name] = f"{name}: {event.phase}{count}"

    def _redraw(self) -> None:
        if not self._stale or self._run is None:
            return
        self._stale = False
        self.query_one("#state", Static).update(self._state())
        self.query_one("#loss", LineChart).show(
            "loss",
            [
                Series("train", self._loss.points(), "cyan"),
                Series("validation", self._held_out.points(), "yellow", marks=True),
            ],
            x="step",
        )
        name = _SHOWN[self._figure]
        self.query_one("#figure", LineChart).show(
            "", [Series(name, self._points(name), "green")], x="s" if name == _MEMORY else "step"
        )
        if self._samples:
            text = machine(self._samples[-1], ascii=self.shell.ascii)
            self.query_one("#machine", Static).update(text)
        box = self.query_one("#log", Static)
        kept = [line for line in self._log if self._filter in line.casefold()]
        box.update(Text("\n".join(kept[-max(1, box.size.height) :]), no_wrap=True))

    def _points(self, name: str) -> list[tuple[float, float]]:
        if name != _MEMORY:
            return self._curves[name].points()
        first = self._samples[0]["t"] if self._samples else 0
        return [(s["t"] - first, memory_used(s) / 2**30) for s in self._samples]

    def _state(self) -> Text:
        """Three lines: where it is, its figures, how it goes on or how it ended."""
        view = self._view
        ended = self._status in ENDED
        out = Text()
        out.append(self._run.name if self._run else "", "bold")
        out.append(f"  {self._status.upper()} ", "reverse")
        out.append(f"  {view.place(ended=ended)}\n{view.figures()}\n")
        if ended or view.started is None:
            doing = "  ".join(said for name, said in self._jobs.items() if name in self._working)
            out.append(visible(doing or self._text, one_line=True))
            if self._status in _UNFINISHED and not doing:
                out.append("  R goes on from its newest checkpoint.")
            return out
        now = time.time()
        share = view.step / max(1, view.total_steps)
        drawn = bar(share, 20, ascii=self.shell.ascii)
        out.append(f"{drawn} {share:.0%} after {duration(now - (view.started_at or now))}  ")
        if (silent := now - (view.last_time or now)) > _LONG:
            out.append(f"last word {duration(silent)} ago  ")
        out.append(f"{visible(view.started.device)}, {view.started.dtype}")
        return out
