"""Starts a job so that nothing which happens to the terminal can reach it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, read_json, write_json
from workbench.jobs import control, launcher
from workbench.jobs import processes as marked

OFFLINE = {"HF_HUB_OFFLINE": "1"}
"""For jobs that read local files only. In their environment: huggingface_hub reads it once, when
it is imported, which is before a job has done anything."""
_SUPERVISOR = [sys.executable, "-m", "workbench.jobs.supervisor"]
JOB = "job.json"
EVENTS = "events.jsonl"
"""The log of a job that names no other."""


@dataclass(frozen=True, slots=True)
class Care:
    """How a supervisor looks after its job."""

    restarts: int = 0
    """Starts anew by itself, at most, after a crash that need not come again."""
    restart_after: float = 10.0
    """Seconds before the first of them; each later one waits twice as long."""
    stall_after: float | None = None
    """Seconds without a word after which the job counts as stalled; None: by its own history."""
    on_stall: str = "tell"
    """`tell`, `dump` (and write the stacks) or `stop` (and end it)."""
    on_end: tuple[str, ...] = ()
    """A command of the person's, run without a shell when the job has ended."""
    on_alarm: tuple[str, ...] = ()
    """The same, for each alarm that begins."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What `job.json` says: what to start, and how to look after it."""

    argv: list[str]
    log: str
    """The event log's name in the job's folder."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the job's own, on top of the supervisor's; never a secret."""
    care: Care = field(default_factory=Care)
    record: str = ""
    """The JSON file in the job's folder that its supervisor writes its ending into; empty: none."""
    tensorboard: bool = False
    """Whether its supervisor keeps a TensorBoard event file beside the log."""

    def to_json(self) -> dict[str, Any]:
        return {"v": 1, **asdict(self)}


def start(
    folder: Path,
    module: str,
    *,
    log: str = EVENTS,
    args: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    care: Care | None = None,
    record: str = "",
    tensorboard: bool = False,
) -> None:
    """Start `python -m module FOLDER ARGS…` under a supervisor of its own.

    Returns when the job's process runs and its socket listens. `log` is the event log's name in
    `folder`, `record` that of a JSON file there which is told how the job ended; `environment` is
    added to the job's and kept in `job.json`, so it may hold no secret. `tensorboard` has its
    figures written into an event file as well. A job of several ranks turns into their launcher by
    itself (`launcher.py`). Raises WorkbenchError when the job could not be started.
    """
    argv = [sys.executable, "-m", module, str(folder), *args]
    plan = JobPlan(argv, log, dict(environment or {}), care or Care(), record, tensorboard)
    write_json(folder / JOB, plan.to_json())
    _start_supervisor(folder)


def adopt(folder: Path) -> None:
    """Give a running job whose supervisor was killed another one.

    Raises WorkbenchError when it isn't running, or has a supervisor.
    """
    _start_supervisor(folder, "adopt")


def _start_supervisor(folder: Path, *args: str) -> None:
    ready, announce = os.pipe()
    try:
        with (folder / "supervisor.log").open("ab") as output:
            # A session of its own: no SIGHUP when the terminal goes, no signal from its keys.
            supervisor = subprocess.Popen(
                [*_SUPERVISOR, str(folder), str(announce), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=unmarked_environment(),
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
        log = folder / "supervisor.log"
        why = answer.decode(errors="replace") or _last_line(log)
        raise WorkbenchError(f"The job in {folder} could not be started: {why}", f"See {log}.")


def unmarked_environment() -> dict[str, str]:
    """This process's environment for one that is to outlive it.

    A job may start another, and some clusters' shells look like a rank's: what marks the one is
    not the other's.
    """
    of_job = (marked.MARK, control.PATH_VARIABLE, *launcher.VARIABLES)
    return {name: value for name, value in os.environ.items() if name not in of_job}


def _last_line(log: Path) -> str:
    """What a supervisor said that died before it could answer."""
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


def read_job(folder: Path) -> JobPlan:
    """The plan of the job in `folder`."""
    body = read_json(folder / JOB)
    care = body.get("care", {})
    commands = {name: tuple(care.get(name, ())) for name in ("on_end", "on_alarm")}
    return JobPlan(
        argv=list(body["argv"]),
        log=str(body["log"]),
        environment=dict(body.get("environment", {})),
        care=Care(**{**care, **commands}),
        record=str(body.get("record", "")),
        tensorboard=bool(body.get("tensorboard", False)),
    )
