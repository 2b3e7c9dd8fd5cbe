"""The search of a sweep as a job: `python -m workbench.sweeps.search_job FOLDER`.

It keeps `parallel` runs in the queue until the budget is used up, and outlives the terminal.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice, Progress
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import run_job
from workbench.jobs.state import GOING_ON, describe
from workbench.queue import attendance, entries
from workbench.sweeps import comparison, making, store
from workbench.sweeps.comparison import Line
from workbench.sweeps.search import Told, suggest
from workbench.sweeps.store import Record
from workbench.workspace import Workspace

_LOOK_EVERY = 1.0
"""Seconds between two looks at the runs."""
_TELL_EVERY = 60.0
"""Seconds in which it says at least that it is there: a run may take hours."""


def search(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Have run after run made until the budget is used up.

    Raises Stopped once a person asks for it; the runs go on. Raises WorkbenchError when a run
    has no figure to be told of.
    """
    making.require_optuna()
    workspace = tasks.workspace_of(folder)
    record = store.read(workspace, tasks.read_request(folder)["sweep"])
    told_at, ended_before = 0.0, -1
    while True:
        told = look(workspace, record)
        ended = sum(not one.going_on for one in told)
        if ended != ended_before or time.monotonic() - told_at > _TELL_EVERY:
            told_at, ended_before = time.monotonic(), ended
            log.write(Progress("searching", ended, record.planned, "runs"))
        control.end_if_asked(log)
        full = len(told) >= record.planned
        if full and ended == len(told):
            return Finished(stopped=False, result=f"sweeps/{record.id}.json")
        if not full and len(told) - ended < record.sweep.parallel:
            if not _make_one(workspace, record, told, log):
                record = replace(record, planned=len(told))
            continue
        control.wait(_LOOK_EVERY)


def look(workspace: Workspace, record: Record) -> list[Told]:
    """What is known of each run so far. Raises WorkbenchError where one has finished without a
    figure."""
    queued = {entry.run for entry in entries.read(workspace)}
    asked = {member.id: member.asked for member in store.members(workspace, record)}
    metric = record.sweep.metric
    told = []
    for line in comparison.compare(workspace, record).lines:
        value = line.figures.get(metric) if line.status == "finished" else None
        if line.status == "finished" and value is None:
            raise WorkbenchError(
                f"{line.run} has finished and has no {metric}, which the search goes by.",
                "A validation loss needs a validation split: `workbench data show` tells.",
            )
        told.append(Told(asked[line.run], _goes_on(workspace, line, queued), value))
    return told


def _goes_on(workspace: Workspace, line: Line, queued: set[str]) -> bool:
    going_on = describe(workspace.runs / line.run)[0] in GOING_ON
    return line.status != "finished" and (going_on or line.run in queued)


def _make_one(workspace: Workspace, record: Record, told: list[Told], log: LogWriter) -> bool:
    """Queue the next run, and see to it that the queue is run; False where none is left."""
    members = store.members(workspace, record)
    suggested = suggest(record.swept, told, [member.values for member in members])
    if suggested is None:
        log.write(Notice("There is nothing new to suggest: the search is over."))
        return False
    made, asked = suggested
    number = max((member.number for member in members), default=0) + 1
    making.add(
        workspace,
        record,
        [made],
        command=record.command,
        say=lambda text: log.write(Notice(text)),
        first=number,
        asked=[asked],
    )
    if attendance.current(workspace) is None:
        attendance.start(workspace)
    return True


if __name__ == "__main__":
    sys.exit(run_job(search, sys.argv[1:]))
