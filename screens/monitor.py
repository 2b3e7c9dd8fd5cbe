"""Monitor: a run live or past, read from its logs alone."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from screens.run_keys import RunScreen
from screens.run_text import log_lines, machine, machine_line, memory_used
from screens.widgets.curve import Curve
from screens.widgets.gauge import bar
from screens.widgets.line_chart import LineChart
from workbench.alarms.standing import brief
from workbench.charts.line import Line
from workbench.charts.series import Chart, Series
from workbench.charts.units import BYTES, NUMBER, STEP, TIME
from workbench.errors import WorkbenchError
from workbench.jobs.events import (
    Alarm,
    CheckpointSaved,
    Evaluated,
    Event,
    Progress,
    Record,
    Sampled,
    Started,
    Step,
)
from workbench.jobs.state import ENDED, GOING_ON, RESUMABLE
from workbench.text import visible
from workbench.tracking import runs
from workbench.tracking.follower import News, RunFollower
from workbench.tracking.view import RunView, duration
from workbench.tracking.words import setting

if TYPE_CHECKING:
    from workbench.planning.room import Room

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
_MOVING = ("running", "slow")
"""States in which there is a time left."""
_LONG = 10.0
"""Seconds without a word from a run after which one is told of them."""
_LOOK_EVERY = 0.25
"""Seconds between two looks at the logs, and between two redraws."""
_SAMPLES = 2000
"""Host samples that are kept: over an hour at one every 2 s."""
_FEW = 15
"""Lines of a screen up to which tabs, keys, log and the second chart make way for the loss."""


@dataclass
class Read(Message):
    """What the follower of a run has read."""

    news: News
    room: Room | None
    """What its next checkpoints need."""


class MonitorScreen(RunScreen):
    """Loss, one more figure, the machine, and the log of one run."""

    NAME = "monitor"
    FILTER = "the log by its text"
    CSS_PATH = "monitor.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m,right,l", "figure(1)", "Next figure", id="monitor.figure"),
        Binding("left,h", "figure(-1)", "Figure before", show=False, id="monitor.figure_back"),
        Binding("j,down,right_square_bracket", "run(1)", "Older run", id="monitor.older"),
        Binding(
            "k,up,left_square_bracket",
            "run(-1)",
            "Newer run",
            show=False,
            id="monitor.newer",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._forget()
        self._text = ""
        """The state in words."""
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
        yield self.interval_line()

    def on_mount(self) -> None:
        # None without news.
        self.set_interval(_LOOK_EVERY, self._redraw)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.shell.compact or event.size.height <= _FEW, "-compact")
        self._stale = True
        self.call_after_refresh(self._redraw)

    def on_screen_resume(self) -> None:
        wanted, self.shell.run_id = self.shell.run_id, None
        if wanted is None and self.run is not None:
            return
        try:
            self._follow_run(runs.find(self.workspace, wanted or runs.LATEST))
        except WorkbenchError as error:
            self.query_one("#state", Static).update(visible(str(error)) if wanted else _EMPTY)
        self.set_class(self.run is None, "-empty")

    def notify(self, message: str, **options: Any) -> None:
        """One notice at a time in a small pane: they cover it."""
        if self.has_class("-compact"):
            self.app.clear_notifications()
        super().notify(message, **options)

    def action_figure(self, by: int) -> None:
        """Show the next figure beside the loss."""
        self._figure = (self._figure + by) % len(_SHOWN)
        self._stale = True

    def action_run(self, by: int) -> None:
        """Show the run before or after this one."""
        ids = runs.ids(self.workspace)
        if self.run is not None and self.run.name in ids:
            place = ids.index(self.run.name) + by
            if 0 <= place < len(ids):
                self._follow_run(self.workspace.runs / ids[place])

    def apply_filter(self, text: str) -> None:
        self._filter = text.casefold()
        self._stale = True

    def _follow_run(self, run: Path) -> None:
        self.run = run
        self._forget()
        self.status = self._text = ""
        self.shell.terminal_title.give_back()
        self._follow(run)

    def _forget(self) -> None:
        """Begin with another run."""
        self._view = RunView()
        self._loss, self._held_out = Curve(), Curve()
        self._curves = {name: Curve() for name in _FIGURES}
        self.saved_step = None
        self._samples: deque[tuple[float, Sampled]] = deque(maxlen=_SAMPLES)
        self._room: Room | None = None
        self._log: list[tuple[float, str]] = []
        """Lines with the time that they are of, in its order."""
        self._jobs: dict[str, str] = {}
        """What each job on the run besides its training was at when it spoke last."""
        self._working: frozenset[str] = frozenset()
        """Those of them that are going on."""
        self._alarms: tuple[Alarm, ...] = ()
        """Those that go on, the worst first."""

    def _draw_on(self, records: list[Record]) -> None:
        """Lengthen the curves, and note the newest checkpoint."""
        for record in records:
            event = record.event
            if isinstance(event, Started):
                for curve in (self._loss, self._held_out, *self._curves.values()):
                    curve.cut_after(event.resumed_from)
            elif isinstance(event, CheckpointSaved):
                self.saved_step = event.step
            elif isinstance(event, Evaluated):
                self._held_out.add(event.step, event.loss)
            elif isinstance(event, Step):
                self._loss.add(event.step, event.loss)
                for name, read in _FIGURES.items():
                    self._curves[name].add(event.step, read(event))

    @work(thread=True, exclusive=True, group="follow", exit_on_error=False)
    def _follow(self, run: Path) -> None:
        """Read the run's logs as they grow, until another run is shown."""
        from workbench.planning import room

        worker = get_current_worker()
        follower = RunFollower(run)
        space: Room | None = None
        while not worker.is_cancelled:
            news = follower.read()
            self.post_message(Read(news, space))
            saved = any(isinstance(record.event, CheckpointSaved) for record in news.records)
            if news.status in GOING_ON and (space is None or saved):
                space = room.of(self.workspace, run)
            if not news.records and not news.samples:
                time.sleep(_LOOK_EVERY)

    @on(Read)
    def _take(self, message: Read) -> None:
        news = message.news
        if news.run != self.run:
            return
        self._room = message.room
        self._view.feed(news.records)
        self._samples.extend(news.samples)
        self._draw_on(news.records)
        for name, record in news.jobs:
            self._note_progress(name, record.event)
        told = [("", record) for record in news.records + news.supervision] + news.jobs
        self._write_down(told)
        changed = news.status != self.status or news.working != self._working
        changed |= news.alarms != self._alarms
        # While it runs the clock goes on, too, with the machine's sample every 2 s.
        if told or news.samples or changed:
            self._stale = True
        before, self.status = self.status, news.status
        self._text, self._working = news.text, news.working
        self._alarms = news.alarms
        self._tell_terminal(before)

    def _tell_terminal(self, before: str) -> None:
        """The run in the terminal's title; at its end, if one saw it running, the bell."""
        if self.run is None or before not in GOING_ON:
            return
        if self.status in ENDED:
            self.shell.terminal_title.show(f"{self.run.name}: {self.status}")
            self.app.bell()
        else:
            self.shell.terminal_title.show(f"{self.run.name} {self._view.place()}")

    def _write_down(self, told: list[tuple[str, Record]]) -> None:
        """Add to the log what a person is told. Logs are read one beside the other, so that
        what comes late may be of earlier."""
        for name, record in told:
            for line in log_lines(record):
                self._log.append((record.time, f"{line}  ({name})" if name else line))
        self._log.sort(key=itemgetter(0))
        del self._log[:-_LOG_LINES]

    def _note_progress(self, name: str, event: Event) -> None:
        """What an evaluation, a merge or the demonstration's follow-up is at."""
        if isinstance(event, Progress):
            count = f" {event.done}/{event.total} {event.unit}" if event.unit else ""
            self._jobs[name] = f"{name}: {event.phase}{count}"

    def _redraw(self) -> None:
        if not self._stale or self.run is None:
            return
        self._stale = False
        compact = self.has_class("-compact")
        self.query_one("#state", Static).update(self._brief() if compact else self._state())
        loss = [
            Series("train", Line.of(self._loss.points()), "cyan"),
            Series("validation", Line.of(self._held_out.points()), "yellow", "marks"),
        ]
        self.query_one("#loss", LineChart).show(Chart("loss", loss), bare=compact)
        name = _SHOWN[self._figure]
        figure = Series(name, Line.of(self._points(name)), "green")
        x, y = (TIME, BYTES) if name == _MEMORY else (STEP, NUMBER)
        self.query_one("#figure", LineChart).show(Chart("", [figure], x, y))
        if self._samples:
            _, sample = self._samples[-1]
            tell = machine_line if compact else machine
            told = tell(sample, ascii=self.shell.ascii, room=self._room)
            self.query_one("#machine", Static).update(told)
        box = self.query_one("#log", Static)
        kept = [line for _, line in self._log if self._filter in line.casefold()]
        box.update(Text("\n".join(kept[-max(1, box.size.height) :]), no_wrap=True))

    def _points(self, name: str) -> list[tuple[float, float]]:
        if name != _MEMORY:
            return self._curves[name].points()
        first = self._samples[0][0] if self._samples else 0
        return [(at - first, memory_used(sample)) for at, sample in self._samples]

    def _headline(self) -> Text:
        """The run, its state's word and where it is."""
        out = Text()
        out.append(self.run.name if self.run else "", "bold")
        out.append(f"  {self.status.upper()} ", "reverse")
        out.append(f"  {self._view.place(still=self.status not in _MOVING)}\n")
        return out

    def _brief(self) -> Text:
        """Two lines: where it is; how it goes on if it isn't as it should, else its figures."""
        doing = self._doing()
        remarkable = self.status not in ("running", "finished")
        said = doing or (self._text if remarkable else "") or self._alarm()
        said = said or self._view.figures()
        return self._headline().append(visible(said or self._text, one_line=True))

    def _state(self) -> Text:
        """Where it is; its worst alarm, if there is one; its figures; how it goes on or ended."""
        view = self._view
        out = self._headline()
        if alarm := self._alarm():
            out.append(visible(alarm, one_line=True)).append("\n")
        out.append(f"{view.figures()}\n")
        if self.status in ENDED or view.started is None:
            doing = self._doing()
            out.append(visible(doing or self._text, one_line=True))
            if self.status in RESUMABLE and not doing:
                out.append("  R goes on from its newest checkpoint.")
            return out
        now = time.time()
        share = view.step / max(1, view.total_steps)
        drawn = bar(share, 20, ascii=self.shell.ascii)
        course = f"{drawn} {share:.0%} after {duration(now - (view.started_at or now))}"
        device = setting(view.started)
        if self.status != "running":
            parts = (self._text, course, device)
        elif (silent := now - (view.last_time or now)) > _LONG:
            parts = (course, f"last word {duration(silent)} ago", self._text)
        else:
            parts = (course, self._text, device)
        return out.append(visible("  ".join(parts), one_line=True))

    def _alarm(self) -> str:
        """The worst alarm with its figures; empty without one."""
        return f"{brief(self._alarms)}  {self._alarms[0].text}" if self._alarms else ""

    def _doing(self) -> str:
        """What the jobs on the run besides its training are at."""
        return "  ".join(said for name, said in self._jobs.items() if name in self._working)
