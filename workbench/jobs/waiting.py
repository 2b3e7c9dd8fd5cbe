"""Follow a job from outside until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from workbench.errors import JobFailed, WorkbenchError
from workbench.jobs.client import ensure_supervisor
from workbench.jobs.events import Record
from workbench.jobs.launch import read_job
from workbench.jobs.log import LogReader
from workbench.jobs.socket import Connection
from workbench.jobs.state import ENDED, UNREADABLE, JobState, describe

_LOOK_EVERY = 1.0
"""Seconds between two looks at a job whose supervisor rings no bell."""


def follow(folder: Path) -> Iterator[list[Record]]:
    """What is new in the job's log, as it comes; ends when the job has ended.

    Yields an empty list at least once a second, so that the caller can look around.
    Raises WorkbenchError when the job was never started.
    """
    if JobState.read(folder) is None:
        raise WorkbenchError(f"{folder.name} has not started yet.")
    log_name = read_job(folder).log
    reader = LogReader(folder / log_name)
    bell = _bell(folder)
    try:
        while True:
            ended = describe(folder)[0] in ENDED
            records = reader.read()
            yield records
            if ended and not records:
                return
            if not records:
                bell = _sleep(bell, folder)
    finally:
        if bell is not None:
            bell.close()


def _sleep(bell: Connection | None, folder: Path) -> Connection | None:
    """Wait for the bell, or a second without one; returns the bell to go on with."""
    if bell is None:
        time.sleep(_LOOK_EVERY)
        return _bell(folder)
    try:
        bell.wait(_LOOK_EVERY)
    except ConnectionError:
        bell.close()
        return None
    return bell


def wait(folder: Path, on_records: Callable[[list[Record]], None] = lambda records: None) -> str:
    """Wait for a job's end; returns its state's word.

    Raises JobFailed in the job's own words when it failed.
    """
    for records in follow(folder):
        on_records(records)
    status, text = describe(folder)
    if status in ("failed", "dead", *UNREADABLE):
        state = JobState.read(folder)
        raise JobFailed(text, state.hint if state else "", (state and state.cause) or "error")
    return status


def _bell(folder: Path) -> Connection | None:
    ensure_supervisor(folder)
    state = JobState.read(folder)
    if state is None or state.status in ENDED or not state.supervisor_alive():
        return None
    try:
        return Connection(Path(state.socket))
    except WorkbenchError:
        return None
