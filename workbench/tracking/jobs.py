"""Every job of a workspace, of whatever kind, with how far it has come in one shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.jobs import launch, tasks
from workbench.jobs.events import Progress, Record, Started, Step
from workbench.jobs.state import ENDED, STATE, look
from workbench.tracking import finding
from workbench.tracking.glance import glance
from workbench.tracking.view import RunView
from workbench.workspace import Workspace

TRAINING = "training"
_ON_RUNS = {"evaluations": "evaluation", "exports": "merge"}
"""Folders of a run that hold jobs on it, and what these do."""
_MOVING = ("running", "slow")
"""States in which there is a rate, and a time left."""
_TAIL = 1 << 13
"""Bytes: some eighty reports of progress, or forty steps."""
_LAST = 1 << 10
"""Bytes that are enough to tell where most jobs have ended: a quarter of the time."""


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job's line in a list."""

    reference: str
    """What `workbench stop` and the like find it by."""
    kind: str
    """`training`, `evaluation`, `merge`, `follow-up`; of tasks `import`, `tokens`, …"""
    status: str
    """As in `jobs.state.describe`."""
    text: str
    """The status in words."""
    folder: Path
    phase: str = ""
    """What it is at, or was at last; empty where it has told nothing."""
    done: int = 0
    total: int = 0
    unit: str = ""
    """What `done` and `total` count: `steps`, `rows`, `bytes`, …; empty where it is nothing."""
    rate: float | None = None
    """Units a second, of late; None unless it is working."""
    seconds_left: float | None = None
    """Until the phase is done, or all steps are."""
    started: float | None = None
    """Unix seconds; None before that."""
    ended: float | None = None
    result: str = ""
    """What it has made."""
    cause: str = ""
    """Why it failed, as in `jobs.events.Failed`."""
    hint: str = ""
    last_words: tuple[str, ...] = ()
    """The last lines of stderr of one that failed."""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


Known = dict[Path, tuple[int, JobSummary]]
"""Jobs that ended, by folder, each with when its state was written, in ns."""


def list_jobs(workspace: Workspace, known: Known | None = None) -> list[JobSummary]:
    """Every job, the newest first; of one that has not started its making counts.

    Who looks again and again keeps a `known`: jobs that ended are not read again then. Only
    the ends of logs are read: a thousand ended jobs take some 0.3 s.
    """
    known = {} if known is None else known
    found = []
    for folder in _folders(workspace):
        stamp = _stamp(folder)
        if folder in known and known[folder][0] == stamp:
            found.append(known[folder][1])
            continue
        job = summarise(workspace, folder)
        if job.status in ENDED:
            known[folder] = (stamp, job)
        found.append(job)
    return sorted(found, key=_age, reverse=True)


def _age(job: JobSummary) -> float:
    """When a job began, or was made; unix seconds."""
    if job.started is not None:
        return job.started
    with suppress(OSError):
        return job.folder.stat().st_mtime
    return 0.0


def summarise(workspace: Workspace, folder: Path) -> JobSummary:
    """The line of the job in `folder`; one whose files can't be read is `damaged`."""
    reference = finding.job_reference(workspace, folder)
    kind = _kind(workspace, folder)
    try:
        return _read(reference, kind, folder)
    except (WorkbenchError, OSError, LookupError, TypeError, ValueError) as error:
        text = f"Its files can't be read: {error}"
        return JobSummary(reference, kind, "damaged", text, folder)


def _folders(workspace: Workspace) -> Iterator[Path]:
    yield from tasks.folders(workspace)
    for run in finding.folders(workspace):
        yield run
        for path in (*(run / name for name in _ON_RUNS), run):
            yield from (job.parent for job in path.glob(f"*/{launch.JOB}"))


def _kind(workspace: Workspace, folder: Path) -> str:
    if folder.parent == workspace.tasks:
        return tasks.kind_of(folder)
    if folder.parent == workspace.runs:
        return TRAINING
    return _ON_RUNS.get(folder.parent.name, folder.name)


def _stamp(folder: Path) -> int:
    with suppress(OSError):
        return (folder / STATE).stat().st_mtime_ns
    return 0


def _read(reference: str, kind: str, folder: Path) -> JobSummary:
    # Before the log: what a job wrote before it ended is then in what is read of it.
    state, status, text = look(folder)
    if state is None:
        return JobSummary(reference, kind, status, text, folder)
    records = _records(folder / state.log, ended=status in ENDED)
    view = RunView()
    view.feed(records)
    phase, done, total, unit = _place(view, records)
    moving = status in _MOVING
    return JobSummary(
        reference=reference,
        kind=kind,
        status=status,
        text=text,
        folder=folder,
        phase=phase,
        done=done,
        total=total,
        unit=unit,
        rate=view.rate if moving else None,
        seconds_left=view.seconds_left if moving else None,
        started=state.started,
        ended=state.ended,
        result=view.finished.result if view.finished else "",
        cause=state.cause,
        hint=state.hint,
        last_words=tuple(state.last_words),
    )


def _records(log: Path, *, ended: bool) -> list[Record]:
    if ended:
        last = glance(log, _LAST)
        kinds = {type(record.event) for record in last}
        # A training's own place is its step, whatever was measured after it.
        if (Step if Started in kinds else Progress) in kinds:
            return last
    return glance(log, _TAIL)


def _place(view: RunView, records: list[Record]) -> tuple[str, int, int, str]:
    """Phase, what is done, the whole and the unit of both."""
    progress = view.progress
    if progress is None and view.started is not None:
        return TRAINING, view.step, view.total_steps, "steps"
    if progress is None:
        # Where a job that ended was at last.
        told = (r.event for r in reversed(records) if isinstance(r.event, Progress))
        progress = next(told, None)
    return (progress.phase, progress.done, progress.total, progress.unit) if progress else _NOWHERE


_NOWHERE = ("", 0, 0, "")
