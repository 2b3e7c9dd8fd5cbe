"""The alarms that go on, as `state.json` has them: for what is drawn often and must be quick."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.jobs.events import Alarm
from workbench.jobs.state import ENDED, JobState

_GRAVITY = ("error", "warning", "info")
STALLED = "stalled"


def standing(state: JobState | None, run: str, status: str, text: str) -> list[Alarm]:
    """The run's alarms that go on (that went on at its end, if it has ended), the worst first.

    `status` and `text` are as `jobs.state.look` says. A supervisor that hangs, or another machine
    that is silent, writes nothing of it: that is added here.
    """
    found = [Alarm(**alarm) for alarm in (state.alarms or ())] if state is not None else []
    silent = status == STALLED and all(alarm.name != STALLED for alarm in found)
    if state is not None and silent:
        found.append(stalled(run, text, 0, state.started))
    if status not in ENDED and status != STALLED:
        found = [alarm for alarm in found if alarm.name != STALLED]
    return ranked(found)


def ranked(alarms: Sequence[Alarm]) -> list[Alarm]:
    """The worst first, of those the newest."""
    return sorted(alarms, key=lambda alarm: (_rank(alarm), -alarm.since_time))


def brief(alarms: Sequence[Alarm]) -> str:
    """The worst in few characters: `!divergence`, `!divergence +2`; empty without one."""
    if not alarms:
        return ""
    more = f" +{len(alarms) - 1}" if len(alarms) > 1 else ""
    return f"!{alarms[0].name}{more}"


def _rank(alarm: Alarm) -> int:
    return _GRAVITY.index(alarm.severity) if alarm.severity in _GRAVITY else len(_GRAVITY)


def stalled(run: str, text: str, step: int, at: float) -> Alarm:
    """The alarm of a job that is silent, or whose supervisor is."""
    return Alarm(
        name=STALLED,
        severity="error",
        since_step=step,
        since_time=at,
        text=text,
        why="Nothing is learnt while it hangs, and what it holds nobody else can use.",
        next_step=f"`workbench stacks {run}` shows where it hangs; `workbench stop --now {run}` "
        f"and `workbench train --resume {run}` go on from the newest checkpoint. Next time "
        "`--set job.on_stall=dump`, or `stop` with `job.restarts`.",
        source="ours: ten times the run's usual step; no heartbeat for 30 s",
    )
