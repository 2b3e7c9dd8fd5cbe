"""Tell a running job something, through its supervisor."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.jobs import launch
from workbench.jobs.socket import Connection, Message
from workbench.jobs.state import GOING_ON, JobState, describe

_GONE_WITHIN = 5.0
"""Seconds that a killed process may take to leave the process table, on a busy machine."""


def command(folder: Path, name: str, value: int | None = None) -> Message:
    """Send a command to a job's supervisor; returns its ack.

    A job whose supervisor was killed is given another first. Raises WorkbenchError when the
    job isn't running, or the command is refused.
    """
    connection = _connect(folder)
    try:
        return connection.command(name, value=value)
    finally:
        connection.close()


def _connect(folder: Path) -> Connection:
    until = time.monotonic() + _GONE_WITHIN
    while True:
        ensure_supervisor(folder)
        state = JobState.read(folder)
        status, text = describe(folder)
        last_try = time.monotonic() > until
        guarded = state is not None and state.supervisor_alive()
        goes_on = state is not None and status in GOING_ON and (guarded or state.job_alive())
        if state is None or not goes_on or (last_try and not guarded):
            raise WorkbenchError(f"{folder.name} takes no commands: {status}. {text}")
        if guarded:
            try:
                return Connection(Path(state.socket))
            except WorkbenchError:
                if last_try:
                    raise
        # One that was killed in this moment closes its socket first, and is gone a little later.
        time.sleep(0.01)


def ensure_supervisor(folder: Path) -> None:
    """Give a running job whose supervisor was killed another one."""
    state = JobState.read(folder)
    if state is None or state.ended is not None or state.supervisor_alive():
        return
    if state.job_alive():
        # Another may have done so in this moment, or the job has ended: then all is well.
        with contextlib.suppress(WorkbenchError):
            launch.adopt(folder)
