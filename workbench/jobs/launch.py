"""Starts a job so that nothing which happens to the terminal can reach it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, read_json, write_json

JOB = "job.json"
EVENTS = "events.jsonl"
"""The log of a job that names no other."""


def start(folder: Path, module: str, *, log: str = EVENTS, args: Sequence[str] = ()) -> None:
    """Start `python -m module FOLDER ARGS…` under a supervisor of its own.

    Returns when the job's process runs and its socket listens. `log` is the event log's
    name in `folder`. Raises WorkbenchError when the job could not be started.
    """
    argv = [sys.executable, "-m", module, str(folder), *args]
    write_json(folder / JOB, {"v": 1, "argv": argv, "log": log})
    ready, announce = os.pipe()
    try:
        with (folder / "supervisor.log").open("ab") as output:
            # A session of its own: no SIGHUP when the terminal goes, no signal from its keys.
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "workbench.jobs.supervisor", str(folder), str(announce)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[announce],
                start_new_session=True,
            )
    except OSError as error:
        os.close(ready)
        raise explain_os_error(error, f"start a job in {folder}") from error
    finally:
        os.close(announce)
    with os.fdopen(ready, "rb") as stream:
        answer = stream.read()
    if answer != b"ready":
        supervisor.wait()
        raise WorkbenchError(
            f"The job in {folder} could not be started: {answer.decode(errors='replace')}",
            f"See {folder / 'supervisor.log'}.",
        )


def read_job(folder: Path) -> tuple[list[str], str]:
    """The command line and the event log's name of the job in `folder`."""
    job = read_json(folder / JOB)
    return list(job["argv"]), str(job["log"])
