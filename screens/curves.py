"""What a screen of charts draws: a run's curves, other runs laid over them, and the part that is
looked at closely event by event."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from textual import on, work
from textual.message import Message
from textual.worker import get_current_worker

from screens.monitor_charts import Charts, Window
from screens.run_keys import RunScreen
from workbench.charts.series import Chart, Threshold
from workbench.history import panels
from workbench.history import window as part
from workbench.history.history import History
from workbench.history.panels import Axis
from workbench.history.window import Window as Part
from workbench.jobs.state import HOST_LOG
from workbench.tracking.finding import LOG
from workbench.tracking.follower import News, RunFollower

LOOK_EVERY = 0.25
"""Seconds between two looks at the logs."""
_CLOSER_EVERY = 3.0
"""Seconds between two readings of the part in view while a run goes on."""


@dataclass
class _PartRead(Message):
    """The part of the run in view, event by event."""

    wanted: Part
    history: History


@dataclass
class _OtherRead(Message):
    """What the follower of a run that is laid over has read."""

    news: News


class CurvesScreen(RunScreen):
    """A run's curves and how they come to their charts."""

    def __init__(self) -> None:
        super().__init__()
        self.axis: Axis = "step"
        """What x is."""
        self.others: dict[str, History] = {}
        """The runs that are laid over this one, by their ids."""
        self.forget_curves()

    def forget_curves(self) -> None:
        """Begin with another run."""
        self.history = History()
        self._part: tuple[Part, History] | None = None
        """What is in view of a long run, exact."""
        self._part_read = 0.0
        """When it was looked for last, by the monotonic clock."""

    @property
    def charts(self) -> Charts:
        return self.query_one(Charts)

    def redraw_soon(self) -> None:
        """Draw the charts with the next look at the logs."""
        raise NotImplementedError

    def redraw_now(self) -> None:
        """Draw anew since a key asks for it, however much was sent of late."""
        raise NotImplementedError

    def draw_charts(
        self, limits: Callable[[str], Sequence[Threshold]], *, growing: bool, bare: bool
    ) -> None:
        """Draw them anew; `limits` are those of a panel, by its name. `growing`: there is more
        to come."""
        if time.monotonic() - self._part_read > _CLOSER_EVERY:
            # What is in view of a run that goes on may go on with it.
            self._look_closer()

        def draw(name: str, window: Window, marked: bool) -> Chart:
            chart = panels.chart(
                self.history,
                panels.panel(name),
                self.axis,
                window=window,
                others=list(self.others.items()),
                part=self._exact(),
                thresholds=limits(name),
                growing=growing,
            )
            return chart if marked else replace(chart, marks=())

        names = [panel.name for panel in panels.shown(self.history)]
        self.charts.show(names, draw, bare=bare)

    @on(Charts.Moved)
    def _look_closer(self) -> None:
        """Read the part in view event by event, where the curves have less than that of it."""
        self._part_read = time.monotonic()
        wanted = self._wanted_part()
        if wanted is not None and self.run is not None and self._exact() is None:
            self._read_part(self.run, wanted)

    def _wanted_part(self) -> Part | None:
        window = self.charts.window
        if window is None:
            return None
        return part.window(self.history, *panels.steps_of(self.history, self.axis, window))

    def _exact(self) -> History | None:
        """What is in view, event by event; None where that isn't read, or needn't be."""
        wanted = self._wanted_part()
        if wanted is None or self._part is None:
            return None
        there, history = self._part
        return history if there.left <= wanted.left and wanted.right <= there.right else None

    @work(thread=True, exclusive=True, group="part", exit_on_error=False)
    def _read_part(self, run: Path, wanted: Part) -> None:
        worker = get_current_worker()
        found = part.read(wanted, run / LOG, run / HOST_LOG, lambda: worker.is_cancelled)
        if found is not None:
            self.post_message(_PartRead(wanted, found))

    @on(_PartRead)
    def _take_part(self, message: _PartRead) -> None:
        self._part = (message.wanted, message.history)
        self.redraw_soon()

    def lay_over(self, runs: Sequence[str]) -> None:
        """Lay these runs' curves, and no others, over this one's."""
        self.others = {run: self.others.get(run) or History() for run in runs}
        self.follow_others()

    def follow_others(self) -> None:
        """Read the runs in `others`, and no longer those that are not there."""
        self._follow_others([self.workspace.runs / name for name in self.others])

    @work(thread=True, exclusive=True, group="others", exit_on_error=False)
    def _follow_others(self, folders: list[Path]) -> None:
        worker = get_current_worker()
        with ExitStack() as stack:
            followers = [stack.enter_context(closing(RunFollower(run))) for run in folders]
            while followers and not worker.is_cancelled:
                came = [follower.read() for follower in followers]
                for news in came:
                    self.post_message(_OtherRead(news))
                if not any(news.records or news.samples for news in came):
                    time.sleep(LOOK_EVERY)

    @on(_OtherRead)
    def _take_other(self, message: _OtherRead) -> None:
        news = message.news
        if (history := self.others.get(news.run.name)) is not None:
            self.others[news.run.name] = fed(history, news)
            if news.records or news.samples or news.history is not None:
                self.redraw_soon()


def fed(history: History, news: News) -> History:
    """The history with what is new, or the one that takes its place and holds that, too."""
    if news.history is not None:
        return news.history
    history.feed(news.records)
    history.feed_samples(news.samples)
    history.feed_supervision(news.supervision)
    return history
