"""A run's alarms: those that go on and those that are over, each with why and what to do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message

from screens.data_screen import Pushed
from screens.widgets.row_table import Column, RowTable
from workbench.alarms import reading
from workbench.alarms.reading import Episode, Told
from workbench.alarms.standing import ranked
from workbench.jobs.events import Alarm
from workbench.text import visible
from workbench.tracking import runs
from workbench.tracking.view import ago, duration

_GOES_ON = "goes on"


@dataclass
class Read(Message):
    """What the run's logs say of alarms."""

    told: Told


class AlarmsScreen(Pushed):
    """What isn't well with the run: what is seen, why it matters, what to do, and where the rule
    is from. Those that go on come first, the worst at the top; enter goes to the step in the
    curves."""

    NAME = "monitor"
    CSS = "AlarmsScreen.-narrow #example { height: 2fr; }"
    COLUMNS = (
        Column("", 8),
        Column("alarm", 20, grow=1),
        Column("since", 12, right=True),
        Column("lasted", 14, right=True),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "leave", "Back", show=False, id="alarms.back"),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__()
        self._run = run
        self._episodes: list[Episode] = []
        self._ended = False
        """Whether the run has."""

    def on_mount(self) -> None:
        self.say(f"{self._run.name}: its alarms are read …")
        self._read()

    @work(thread=True, exclusive=True, group="read", exit_on_error=False)
    def _read(self) -> None:
        # A week's log of the machine is two gigabytes.
        self.post_message(Read(reading.read(self._run, runs.LOG)))

    @on(Read)
    def _take(self, message: Read) -> None:
        told = message.told
        by_alarm = {id(episode.alarm): episode for episode in told.standing}
        going = [by_alarm[id(alarm)] for alarm in ranked([e.alarm for e in told.standing])]
        self._episodes = [*going, *reversed(told.past)]
        self._ended = told.ended
        when = "when it ended" if told.ended else "now"
        count = f"{len(going)} alarm{'s' * (len(going) != 1)}"
        over = f", {len(told.past)} over" if told.past else ""
        self.say(f"{told.run} ({told.status}): {count} {when}{over}")
        # A few alarms leave the lines under them to what is said of each.
        self.table.styles.max_height = len(self._episodes) + 1
        self.table.show_rows(len(self._episodes), self._cells)
        self._show(self.table.cursor)

    def _cells(self, place: int) -> tuple[str, ...]:
        episode = self._episodes[place]
        alarm = episode.alarm
        return (alarm.severity, alarm.name, f"step {alarm.since_step:,}", self._lasted(episode))

    @on(RowTable.Moved)
    def _moved(self, event: RowTable.Moved) -> None:
        self._show(event.row)

    def _show(self, place: int) -> None:
        if place < len(self._episodes):
            episode = self._episodes[place]
            self.show_beside(_in_words(episode.alarm, self._lasted(episode), ended=self._ended))
        elif not self._episodes:
            self.show_beside(Text("No alarms: no rule had anything to say of this run."))

    @on(RowTable.Chosen)
    def _chosen(self, event: RowTable.Chosen) -> None:
        self.dismiss(self._episodes[event.row].alarm.since_step)

    def _lasted(self, episode: Episode) -> str:
        if episode.until is None:
            return "to the end" if self._ended else _GOES_ON
        return duration(episode.until - episode.alarm.since_time)


def _in_words(alarm: Alarm, lasted: str, *, ended: bool) -> Text:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(alarm.since_time))
    out = Text()
    out.append(visible(f"{alarm.severity.upper()} {alarm.name}", one_line=True), "bold")
    out.append(f"\nsince step {alarm.since_step:,}, {at}, {ago(alarm.since_time)}")
    out.append(f"; {lasted if lasted == _GOES_ON else f'lasted {lasted}'}\n")
    parts = (
        ("Seen", alarm.text),
        ("Why it matters", alarm.why),
        # What it advises was for a run that goes on.
        ("What to do in the next run" if ended else "What to do", alarm.next_step),
        ("The rule", alarm.source),
    )
    for title, text in parts:
        out.append(f"\n{title}\n", "bold").append(f"{visible(text)}\n")
    return out
