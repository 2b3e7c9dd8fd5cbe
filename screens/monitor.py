"""Monitor: a run live or past, read from its logs alone."""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from screens.base import FEW
from screens.curves import LOOK_EVERY, fed
from screens.monitor_charts import Charts
from screens.run_text import log_lines, machine, machine_line
from screens.state_text import Head, brief, state
from screens.which_run import WhichRunScreen
from workbench.charts.symbols import SETS
from workbench.history import panels
from workbench.jobs.events import (
    Answered,
    CheckpointSaved,
    Evaluated,
    Event,
    Progress,
    Record,
    Sampled,
)
from workbench.jobs.state import ENDED, GOING_ON
from workbench.text import visible
from workbench.tracking import course
from workbench.tracking.finding import LATEST
from workbench.tracking.follower import News, RunFollower
from workbench.tracking.view import RunView

if TYPE_CHECKING:
    from workbench.planning.room import Room

_EMPTY = """\
There are no runs yet.

Press 2 to make a config and start one, or run: workbench train CONFIG
"""
_LOG_LINES = 2000
_DRAW_EVERY = 0.3
"""Seconds between two redraws."""
_BYTES_A_SECOND = 18_000
"""What is sent, at most, in the mean: a screen of 250 by 70 is up to 66 KB, over a network of
hundreds of milliseconds too."""
_WHILE = 10.0
_BYTES_IN_A_WHILE = 195_000
"""What is sent, at most, in any 10 s, however these lie to the redraws."""
_LINES_A_GPU = 5


@dataclass
class Read(Message):
    """What the follower of a run has read."""

    news: News
    room: Room | None
    """What its next checkpoints need."""


@dataclass
class Followed(Message):
    """Who follows a run."""

    run: Path
    follower: RunFollower


class MonitorScreen(WhichRunScreen):
    """Where the run is, its curves, the machine, and its log. What is marked under a curve: e an
    evaluation, c a checkpoint, r a resume, ^ a spike, ! an alarm."""

    NAME = "monitor"
    FILTER = "the log by its text"
    CSS_PATH = "monitor.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "j,down,right_square_bracket", "run(1)", "Older run", show=False, id="monitor.older"
        ),
        Binding("k,up,left_square_bracket", "run(-1)", "Newer run", show=False, id="monitor.newer"),
        Binding("a", "alarms", "Alarms", id="monitor.alarms"),
        Binding("enter", "examples", "Examples of this step", show=False, id="monitor.examples"),
        Binding("d", "hardest", "Hardest rows", show=False, id="monitor.hardest"),
        Binding("t", "samples", "Samples", show=False, id="monitor.samples"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._forget()
        self._filter = ""
        self._stale = False
        self._drawn: deque[tuple[float, int]] = deque()
        """When the screen was drawn anew by itself in the last 10 s, and how much had been sent
        until then; empty where a key doesn't wait."""

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield Charts(SETS[self.shell.symbols], id="charts")
        yield Static(id="machine", markup=False)
        yield Static(id="log", markup=False)
        yield self.interval_line()

    def on_mount(self) -> None:
        # None without news.
        self.set_interval(_DRAW_EVERY, self._redraw)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.shell.compact or event.size.height <= FEW, "-compact")
        self.redraw_soon()
        self.call_after_refresh(self._redraw)

    def on_screen_resume(self) -> None:
        wanted, self.shell.run_id = self.shell.run_id, None
        over, self.shell.laid_over = self.shell.laid_over, []
        if over:
            self.lay_over(over)
        if wanted is not None or self.run is None:
            self.find_run(wanted or LATEST)

    def show_none(self, problem: str) -> None:
        if self.run is not None:
            self.notify(visible(problem), severity="error", markup=False)
            return
        self.query_one("#state", Static).update(visible(problem) if problem else _EMPTY)
        self.add_class("-empty")

    def notify(self, message: str, **options: Any) -> None:
        """One notice at a time in a small pane: they cover it."""
        if self.has_class("-compact"):
            self.app.clear_notifications()
        super().notify(message, **options)

    def action_run(self, by: int) -> None:
        """Show the run before or after this one."""
        self.turn_to_run(by)

    def action_alarms(self) -> None:
        """What isn't well, why that matters and what to do; and what is over."""
        if self.run is not None:
            from screens.alarms import AlarmsScreen

            self.app.push_screen(AlarmsScreen(self.run), self._go_to)

    async def action_examples(self) -> None:
        """The examples of the step under the cursor, each with its loss; without a cursor those of
        the newest spike, else of the newest step."""
        if self.run is None or not self._view.steps:
            self.notify("No step has been taken yet, so there are no examples of one.")
            return
        from screens import examples

        spikes = self.history.noted.of("spike")
        step = self.cursor_step
        if step is None:
            step = spikes[-1].step if spikes else self._view.step
        await examples.open_step(self.app, self.run, step)

    async def action_hardest(self) -> None:
        """The rows with the highest losses, and those that were never learnt."""
        if self.run is not None:
            from screens import examples

            await examples.open_hardest(self.app, self.run)

    def action_samples(self) -> None:
        """What the run answered to its fixed prompts, over time."""
        if self.run is not None:
            from screens import samples

            samples.open_samples(self.app, self.run)

    def _go_to(self, step: int | None) -> None:
        if step is not None:
            self.put_cursor(step)

    def apply_filter(self, text: str) -> None:
        self._filter = text.casefold()
        self.redraw_now()

    def redraw_soon(self) -> None:
        self._stale = True

    def redraw_now(self) -> None:
        self._drawn.clear()
        self._stale = True
        self._redraw()

    def follow_run(self, run: Path) -> None:
        self.run = run
        self.remove_class("-empty")
        self._forget()
        self.charts.reset()
        self.shell.terminal_title.give_back()
        self._follow(run)
        if self.others.pop(run.name, None) is not None:
            self.follow_others()

    def _forget(self) -> None:
        """Begin with another run."""
        self.forget_curves()
        self.saved_step = None
        self.status = ""
        self._follower: RunFollower | None = None
        self._trouble = ""
        self._view = RunView()
        self._news: News | None = None
        """The newest."""
        self._sample: Sampled | None = None
        self._room: Room | None = None
        self._log: list[tuple[float, str, bool]] = []
        """Lines with the time that they are of, in its order, and whether they are an answer's."""
        self._jobs: dict[str, str] = {}
        """What each job on the run besides its training was at when it spoke last."""

    @work(thread=True, exclusive=True, group="follow", exit_on_error=False)
    def _follow(self, run: Path) -> None:
        """Read the run's logs as they grow, until another run is shown."""
        worker, opened = get_current_worker(), False
        space: Room | None = None
        with closing(RunFollower(run)) as follower:
            self.post_message(Followed(run, follower))
            while not worker.is_cancelled:
                news = follower.read()
                self.post_message(Read(news, space))
                saved = any(isinstance(record.event, CheckpointSaved) for record in news.records)
                if not opened or not (news.records or news.samples):
                    # What is known at once is drawn before anything else is looked for.
                    opened = True
                    time.sleep(LOOK_EVERY)
                if news.status in GOING_ON and (space is None or saved):
                    from workbench.planning import room

                    space = room.of(self.workspace, run)

    @on(Followed)
    def _take_follower(self, message: Followed) -> None:
        if message.run == self.run:
            self._follower = message.follower

    @on(Read)
    def _take(self, message: Read) -> None:
        news = message.news
        if news.run != self.run:
            return
        self._room = message.room
        self._view.feed(news.records)
        self.history = fed(self.history, news)
        if news.history is not None:
            # Of a long log that was only sketched the view has those alone that the sketch met.
            known = (record.event for record in self.history.evaluations)
            self._view.evaluations = [event for event in known if isinstance(event, Evaluated)]
        if news.samples:
            self._sample = news.samples[-1][1]
        for record in news.records:
            if isinstance(record.event, CheckpointSaved):
                self.saved_step = record.event.step
        for name, record in news.jobs:
            self._note_progress(name, record.event)
        told = [("", record) for record in news.records + news.supervision] + news.jobs
        self._write_down(told)
        before = self._news
        # While it runs the clock goes on, too, with the machine's sample every 2 s.
        self._stale |= bool(told or news.samples) or before is None or _differ(before, news)
        self._news, self.status = news, news.status
        if before is None:
            self._redraw()
        elif before.status in GOING_ON:
            self._tell_terminal()

    def _tell_terminal(self) -> None:
        """At the end of a run that one saw going on: its title, and the bell."""
        if self.run is not None and self.status in ENDED:
            self.shell.terminal_title.show(f"{self.run.name}: {self.status}")
            self.app.bell()

    def _write_down(self, told: list[tuple[str, Record]]) -> None:
        """Add to the log what a person is told. Logs are read one beside the other, so that
        what comes late may be of earlier."""
        for name, record in told:
            for line in log_lines(record):
                text = f"{line}  ({name})" if name else line
                self._log.append((record.time, text, isinstance(record.event, Answered)))
        self._log.sort(key=itemgetter(0))
        del self._log[:-_LOG_LINES]

    def _note_progress(self, name: str, event: Event) -> None:
        """What an evaluation, a merge or the demonstration's follow-up is at."""
        if isinstance(event, Progress):
            count = f" {event.done}/{event.total} {event.unit}" if event.unit else ""
            self._jobs[name] = f"{name}: {event.phase}{count}"

    def _redraw(self) -> None:
        trouble = "" if self._follower is None else self._follower.trouble()
        self._stale |= trouble != self._trouble
        self._trouble = trouble
        if not self._stale or self.run is None or self._news is None:
            return
        if not self._may_write():
            return
        self._stale = False
        if self.status in GOING_ON:
            self.shell.terminal_title.show(f"{self.run.name} {self._view.place()}")
        compact = self.has_class("-compact")
        self._show_state(self._news, compact=compact)
        limits = partial(panels.limits, sample=self._sample)
        self.draw_charts(limits, growing=self.status in GOING_ON, bare=compact)
        if self._sample is not None:
            # Each GPU has a line of its own as long as that leaves the charts theirs.
            crowded = len(self._sample.gpus) >= self.size.height // _LINES_A_GPU
            tell = machine_line if compact or crowded else machine
            told = tell(self._sample, ascii=self.shell.ascii, room=self._room)
            self.query_one("#machine", Static).update(told)
        self._show_log()

    def _show_log(self) -> None:
        """As many of its last lines as there is room for."""
        box = self.query_one("#log", Static)
        room = box.size.height
        # Answers have a screen of their own, and would leave no room to the rest.
        kept = [
            line
            for _, line, answer in self._log
            if self._filter in line.casefold() and (self._filter or not answer)
        ]
        if self._filter and not kept:
            kept = ["No line of the log has that text."]
        box.update(Text("\n".join(kept[-max(1, room) :]), no_wrap=True))

        def again() -> None:
            # What stands above may have grown or shrunk by the same redraw.
            if box.is_attached and box.size.height != room:
                self._show_log()

        self.call_after_refresh(again)

    def _may_write(self) -> bool:
        """Whether what was sent of late leaves room for a redraw on a slow connection; a key is
        answered at once all the same."""
        now, written, drawn = time.monotonic(), self.shell.written, self._drawn
        while drawn and drawn[0][0] < now - _WHILE:
            drawn.popleft()
        if drawn:
            sizes = [b - a for (_, a), (_, b) in pairwise([*drawn, (now, written)])]
            if sizes[-1] > _BYTES_A_SECOND * (now - drawn[-1][0]):
                return False
            # The next one is as large as the largest was.
            if sum(sizes) + max(sizes) > _BYTES_IN_A_WHILE:
                return False
        drawn.append((now, written))
        return True

    def _show_state(self, news: News, *, compact: bool) -> None:
        told = course.of(self._view, news.status, news.text, news.plan, news.link)
        doing = "  ".join(said for name, said in self._jobs.items() if name in news.working)
        head = Head(news, told, self._view, doing, self._trouble)
        box = self.query_one("#state", Static)
        width = max(20, self.size.width - 2)
        if compact:
            box.update(brief(head, width))
        else:
            most = max(2, self.size.height // 8)
            box.update(state(head, width, most, ascii=self.shell.ascii))


def _differ(before: News, after: News) -> bool:
    """Whether something is to be seen of it."""
    told = ("status", "text", "working", "alarms", "notes", "looked_through", "plan")
    return any(getattr(before, name) != getattr(after, name) for name in told)
