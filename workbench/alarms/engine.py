"""All rules over one run: which alarms begin, go on and end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from workbench.alarms.machine import Disk, Heat, Memory
from workbench.alarms.pace import Throughput, Waiting
from workbench.alarms.rule import Rule, Seen, Verdict
from workbench.alarms.standing import STALLED, stalled
from workbench.alarms.steps import Divergence, Gradients, NotFinite, Spikes
from workbench.alarms.validation import Overfitting, Plateau
from workbench.jobs.events import Alarm, Record, Started, Step

RULES: tuple[type[Rule], ...] = (
    NotFinite,
    Divergence,
    Disk,
    Overfitting,
    Spikes,
    Gradients,
    Memory,
    Throughput,
    Waiting,
    Heat,
    Plateau,
)
"""All that are judged from events; `stalled` is told by the watchdog."""


class Alarms:
    """Feed it a run's events and its machine's samples, in the order of time.

    Memory is bounded: a few hundred numbers a rule, however long the run.
    """

    def __init__(self, run: str, standing: Iterable[Alarm] = ()) -> None:
        """`run` is named in what is to be typed; `standing` are alarms that go on already."""
        self.run = run
        self._rules = [rule(run) for rule in RULES]
        self.standing: dict[str, Alarm] = {alarm.name: alarm for alarm in standing}
        """What goes on, by name."""
        self._step = 0

    def learn(self, records: Iterable[Record]) -> None:
        """Take in what happened before, without a word of it."""
        kept = dict(self.standing)
        self.feed(records)
        self.standing = kept

    def feed(self, records: Iterable[Record]) -> list[Alarm]:
        """The alarms that begin or end with these events, in their order."""
        changes: list[Alarm] = []
        for record in records:
            event = record.event
            if isinstance(event, Started):
                changes += self._begin_again(event)
            elif isinstance(event, Step):
                self._step = event.step
            for rule in self._rules:
                if change := self._note(rule, rule.take(record), record.time):
                    changes.append(change)
        return changes

    def condition(self, word: str, text: str, at: float) -> list[Alarm]:
        """The alarms that begin or end with the watchdog's verdict at the unix time `at`."""
        stands = self.standing.get(STALLED)
        if word == STALLED and stands is None:
            alarm = stalled(self.run, text, self._step, at)
            self.standing[STALLED] = alarm
            return [alarm]
        if word != STALLED and stands is not None:
            return [self._end(STALLED)]
        return []

    def _begin_again(self, started: Started) -> list[Alarm]:
        """What was seen of a process that is gone is over."""
        self._step = started.resumed_from
        for rule in self._rules:
            rule.begin_again(started)
        return [self._end(name) for name in list(self.standing)]

    def _note(self, rule: Rule, verdict: Verdict, at: float) -> Alarm | None:
        stands = rule.name in self.standing
        if isinstance(verdict, Seen) and not stands:
            alarm = Alarm(
                name=rule.name,
                severity=rule.severity,
                since_step=self._step,
                since_time=at,
                text=verdict.text,
                why=rule.why,
                next_step=verdict.next_step,
                source=rule.source,
            )
            self.standing[rule.name] = alarm
            return alarm
        return self._end(rule.name) if verdict == "over" and stands else None

    def _end(self, name: str) -> Alarm:
        return replace(self.standing.pop(name), over=True)
