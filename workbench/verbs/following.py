"""Progress of jobs as lines of text, for terminals without the app and for logs."""

from __future__ import annotations

import time
from pathlib import Path

from workbench.base_models import Say
from workbench.errors import WorkbenchError
from workbench.jobs.events import CheckpointSaved, Notice, Record
from workbench.jobs.waiting import wait
from workbench.tracking import runs
from workbench.tracking.view import RunView

_EVERY = 5.0
"""Seconds between two lines while nothing but progress happens."""


class Reporter:
    """Turns a log's events into a few lines."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._view = RunView()
        self._next = 0.0

    def __call__(self, records: list[Record]) -> None:
        self._view.feed(records)
        for record in records:
            if isinstance(record.event, Notice):
                self._say(record.event.text)
            elif isinstance(record.event, CheckpointSaved):
                self._say(f"saved {record.event.path} ({record.event.reason})")
        line = self._view.line()
        if records and line and time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self._say(line)


def follow_run(folder: Path, say: Say) -> str:
    """Print a job's progress until it has ended; returns its state's word.

    Ctrl-C leaves it running. Raises JobFailed in the job's own words when it failed.
    """
    try:
        return wait(folder, Reporter(say))
    except KeyboardInterrupt:
        say(f"{folder.name} goes on without this terminal; `workbench attach` shows it again.")
        raise


def finish_job(folder: Path, say: Say) -> None:
    """Print the progress of a job that is waited for; Ctrl-C ends the job, too.

    Raises JobFailed in the job's own words when it failed, WorkbenchError when it was
    stopped.
    """
    say(f"started {folder.parent.name}/{folder.name}; Ctrl-C ends it")
    try:
        status = wait(folder, Reporter(say))
    except KeyboardInterrupt:
        runs.command(folder, "stop_now")
        stopped = wait(folder) == "stopped"
        say("Stopped; nothing half-done is left." if stopped else "It had finished already.")
        raise
    if status == "stopped":
        raise WorkbenchError("It was stopped before it had finished.")
