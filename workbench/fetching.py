"""Fetching or converting a base model as a job: `python -m workbench.fetching FOLDER`."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench import base_models, hub
from workbench.data.raw import size
from workbench.errors import WorkbenchError
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog, Tell
from workbench.jobs.runner import run_job
from workbench.saying import Say
from workbench.workspace import Workspace

KIND = "model"
_LOOK_EVERY = 0.5
"""Seconds between two looks at what has come."""
_END_WITHIN = 5.0
"""Seconds that the fetching process has to clean up before it is killed."""


def start(workspace: Workspace, name: str) -> Path:
    """Start fetching the base model `name` as a task; returns the task's folder.

    Raises WorkbenchError when it is a hub's that doesn't answer.
    """
    if name != base_models.DEFAULT:
        hub.refuse_out_of_reach(name)
    return tasks.start(workspace, KIND, "workbench.fetching", {"base": name})


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Fetch what the folder's request names.

    Raises Stopped, with nothing left of a conversion, once a person asks for the end; a
    download goes on from there another time.
    """
    name = tasks.read_request(folder)["base"]
    model = fetch(tasks.workspace_of(folder), name, log, ProgressLog(log, control))
    return Finished(stopped=False, result=str(model))


def fetch(workspace: Workspace, name: str, log: LogWriter, tell: Tell) -> Path:
    """The local folder of the base model `name`, for a job: fetched first if need be.

    What is said goes to the log. Raises what `tell` raises, once the fetching has ended, and
    WorkbenchError when the model can't be had.
    """
    if base_models.is_here(workspace, name) or not base_models.can_be_fetched(name):
        return base_models.resolve(workspace, name)
    command = [sys.executable, "-m", "workbench.fetch_worker", str(workspace.root), name]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0
    ) as worker:
        try:
            return _follow(worker, lambda text: log.write(Notice(text)), tell)
        except BaseException:
            _end(worker)
            raise


def _follow(worker: subprocess.Popen[bytes], say: Say, tell: Tell) -> Path:
    watched: tuple[str, Path, int, int] | None = None
    for line in _lines(worker):
        match line:
            case {"say": text}:
                say(text)
            case {"watch": [phase, folder, growth]}:
                watched = (phase, Path(folder), growth, size(Path(folder)))
            case {"error": [message, hint, cause]}:
                raise WorkbenchError(message, hint, cause)
            case {"result": folder}:
                return Path(folder)
        if watched is not None:
            _tell_growth(tell, *watched)
    raise RuntimeError(f"The fetching process ended with exit code {worker.wait()}.")


def _tell_growth(tell: Tell, phase: str, folder: Path, growth: int, before: int) -> None:
    if growth:
        tell(phase, min(size(folder) - before, growth), growth, "bytes")
    else:
        tell(phase, 0, 1, "")


def _lines(worker: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """What the worker tells, as it comes; an empty line at least every half second."""
    assert worker.stdout is not None  # noqa: S101
    handle, buffer = worker.stdout.fileno(), b""
    while True:
        if not select.select([handle], [], [], _LOOK_EVERY)[0]:
            yield {}
            continue
        data = os.read(handle, 1 << 16)
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        yield from map(json.loads, lines)


def _end(worker: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGTERM)
        try:
            worker.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
