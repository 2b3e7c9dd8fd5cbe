"""A run's alarms as its folder tells them: those that its supervisor has noted, or by its log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Any

from workbench.alarms.engine import Alarms
from workbench.alarms.standing import standing
from workbench.jobs.events import Alarm, Record
from workbench.jobs.log import marked, read_all
from workbench.jobs.state import ENDED, HOST_LOG, look


@dataclass(frozen=True, slots=True)
class Episode:
    """One alarm from its beginning to its end."""

    alarm: Alarm
    until: float | None
    """Unix seconds; None while it goes on, and where it went on when the run ended."""

    def to_json(self) -> dict[str, Any]:
        body = asdict(self.alarm)
        body.pop("over")
        return {**body, "until_time": self.until}


@dataclass(frozen=True, slots=True)
class Told:
    """The alarms of a run."""

    run: str
    status: str
    ended: bool
    """Whether the run has: `standing` are then those that went on at its end."""
    by: str
    """`supervisor`: it noted them while the run went on; `log`: by the rules of this release, for
    a run of an earlier one."""
    standing: list[Episode]
    past: list[Episode]

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "status": self.status,
            "ended": self.ended,
            "by": self.by,
            "standing": [episode.to_json() for episode in self.standing],
            "past": [episode.to_json() for episode in self.past],
        }


def read(folder: Path, log: str) -> Told:
    """The alarms of the run in `folder`, the newest last; `log` is its event log's name."""
    state, status, text = look(folder)
    judged = state is not None and state.alarms is not None
    changes = noted(folder / HOST_LOG) if judged else by_log(folder, log)
    found = episodes(changes)
    open_now = [episode for episode in found if episode.until is None]
    if judged and status not in ENDED:
        # A supervisor that hangs can't tell of it.
        known = {episode.alarm.name for episode in open_now}
        fresh = standing(state, folder.name, status, text)
        open_now += [Episode(alarm, None) for alarm in fresh if alarm.name not in known]
    return Told(
        run=folder.name,
        status=status,
        ended=status in ENDED,
        by="supervisor" if judged else "log",
        standing=open_now,
        past=[episode for episode in found if episode.until is not None],
    )


def episodes(changes: Iterable[tuple[float, Alarm]]) -> list[Episode]:
    """Beginnings and ends paired, by the time of the beginning."""
    going: dict[str, Alarm] = {}
    done: list[Episode] = []
    for at, alarm in changes:
        before = going.pop(alarm.name, None)
        if alarm.over:
            done.append(Episode(before or alarm, at))
            continue
        if before is not None:
            # Its end was never written: the run was killed with it, and goes on since.
            done.append(Episode(before, at))
        going[alarm.name] = alarm
    found = done + [Episode(alarm, None) for alarm in going.values()]
    return sorted(found, key=lambda episode: episode.alarm.since_time)


def noted(log: Path) -> Iterator[tuple[float, Alarm]]:
    """What a supervisor noted, with the time of each; its log may be gigabytes of samples."""
    for record in marked(log, (Alarm,))[0]:
        if isinstance(record.event, Alarm):
            yield record.time, record.event


def by_log(folder: Path, log: str) -> Iterator[tuple[float, Alarm]]:
    """What the rules say of a run, by its own log and its supervisor's, from its beginning."""
    alarms = Alarms(folder.name)
    logs: list[Iterator[Record]] = [read_all(folder / log), read_all(folder / HOST_LOG)]
    for record in merge(*logs, key=attrgetter("time")):
        for change in alarms.feed([record]):
            yield record.time, change
