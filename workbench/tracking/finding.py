"""Where the runs and other jobs of a workspace are.

A status bar waits for it, and the Monitor: no pydantic, and what looks for other jobs than runs
only with them.
"""

from __future__ import annotations

import difflib
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.jobs.state import GOING_ON, RESUMABLE, STATE, describe
from workbench.workspace import Workspace

MANIFEST = "manifest.json"
"""What every run's folder holds from its beginning."""
HALVES = ("config.yaml", "train.jsonl", STATE)
"""One of these is in the folder of a run that was copied or written by half."""
ADAPTER = "adapter"
"""The folder in a run's own of the adapter that it made."""
MODEL = "model"
"""The folder of the whole model, where that was trained: training.method full."""
LOG = "train.jsonl"
"""The log of a run, in its folder."""
LATEST = "latest"
_TASKS = "tasks"
_FRESH = 600.0
"""Seconds: the state of a run that goes on is never older, unless its supervisor was killed."""


def result(run: Path) -> Path | None:
    """The folder of what a run has made, an adapter or a model; None before it has."""
    found = ((run / ADAPTER, "adapter_config.json"), (run / MODEL, "config.json"))
    return next((folder for folder, name in found if (folder / name).exists()), None)


def find(workspace: Workspace, reference: str = LATEST) -> Path:
    """The folder of a run by its id, the start of it, or `latest`: of those that go on the
    newest, else of those that have started.

    Raises WorkbenchError with the nearest ids when there is none, or several.
    """
    known = ids(workspace)
    if not known:
        raise WorkbenchError(
            f"There are no runs in {workspace.root} yet.", "`workbench train CONFIG` starts one."
        )
    if reference == LATEST:
        return _latest([workspace.runs / run for run in known])
    if reference in known:
        return workspace.runs / reference
    matches = [i for i in known if i.startswith(reference)]
    if len(matches) == 1:
        return workspace.runs / matches[0]
    near = matches or difflib.get_close_matches(reference, known, 3, 0.4) or known[:3]
    raise WorkbenchError(
        f"{'Several runs start with' if matches else 'There is no run'} {reference}.",
        f"Did you mean {', '.join(near)}?",
    )


def _latest(runs: Sequence[Path]) -> Path:
    """`runs` are the newest first, and at least one."""
    started = [(run, beat) for run in runs if (beat := _heartbeat(run)) is not None]
    now = time.time()
    for run, beat in started:
        # What is old is not read: there may be thousands.
        if abs(now - beat) < _FRESH and describe(run)[0] in GOING_ON:
            return run
    return started[0][0] if started else runs[0]


def _heartbeat(run: Path) -> float | None:
    try:
        return (run / STATE).stat().st_mtime
    except OSError:
        return None


def find_job(workspace: Workspace, reference: str) -> Path:
    """The folder of a run, of a job on one (`RUN/evaluations/01`) or of a task
    (`tasks/import-0007`, or `import-0007` where no run is called so).

    Raises WorkbenchError when there is none.
    """
    from workbench.jobs import launch

    head, _, rest = reference.removeprefix("runs/").partition("/")
    if head == _TASKS:
        folder = workspace.tasks / rest
    elif not rest and head not in ids(workspace) and (workspace.tasks / head).is_dir():
        folder = workspace.tasks / head
    else:
        folder = _of_run(workspace, head) / rest
    if not any((folder / name).exists() for name in (launch.JOB, MANIFEST)):
        raise WorkbenchError(f"There is no job {reference}.", "`workbench jobs` lists them.")
    return folder


def _of_run(workspace: Workspace, reference: str) -> Path:
    try:
        return find(workspace, reference)
    except WorkbenchError as error:
        from workbench.jobs import tasks

        names = [folder.name for folder in tasks.folders(workspace)]
        if not names:
            raise
        near = difflib.get_close_matches(reference, names, 1, 0.6)
        if near:
            hint = f"Did you mean {_TASKS}/{near[0]}?"
            raise WorkbenchError(f"There is no job {reference}.", hint) from error
        hint = f"{error.hint} `workbench jobs` lists every other job."
        raise WorkbenchError(error.message, hint) from error


def job_reference(workspace: Workspace, folder: Path) -> str:
    """What `find_job` finds a job's folder by."""
    path = folder.relative_to(workspace.root)
    return str(path.relative_to("runs") if path.parts[0] == "runs" else path)


def how_to_go_on(job: str, status: str) -> str:
    """What a person does with a training that ended before its last step; empty for others."""
    if status not in RESUMABLE or "/" in job:
        return ""
    return f"`workbench train --resume {job}` goes on from its newest checkpoint."


def running(workspace: Workspace) -> list[str]:
    """The ids of the runs that are going on."""
    return [folder.name for folder in folders(workspace) if describe(folder)[0] in GOING_ON]


def ids(workspace: Workspace) -> list[str]:
    """The ids of all runs, the newest first."""
    return [folder.name for folder in folders(workspace)]


def folders(workspace: Workspace) -> list[Path]:
    """Folders of runs, the newest first."""
    root = str(workspace.runs)
    return [Path(root, name) for name in names(workspace) if _made(f"{root}/{name}") is not None]


def names(workspace: Workspace) -> list[str]:
    """Names of what may be folders of runs, the newest first: whether each is one is for the
    caller to see. Thousands in some 10 ms."""
    with _scan(workspace.runs) as entries:
        # A hidden folder is one that is being made.
        numbers = {e.name: number(e.name) for e in entries if not e.name.startswith(".")}
    often = {n for n, count in Counter(numbers.values()).items() if count > 1}
    root = str(workspace.runs)

    def age(name: str) -> tuple[int, float]:
        n = numbers[name]
        return n, (_made(f"{root}/{name}") or 0.0) if n in often else 0.0

    return sorted(numbers, key=age, reverse=True)


def _made(folder: str) -> float | None:
    """When what says that a folder is a run's was written last; None where nothing does. A run that
    is half-written has no manifest."""
    for name in (MANIFEST, *HALVES):
        try:
            return os.stat(f"{folder}/{name}").st_mtime  # noqa: PTH116  thousands of them
        except OSError:
            continue
    return None


def _scan(folder: Path) -> AbstractContextManager[Iterable[os.DirEntry[str]]]:
    try:
        return os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return nullcontext(())


def number(run_id: str) -> int:
    """A run's number, which its id ends with; 0 where there is none."""
    head, _, digits = run_id.rpartition("-")
    return int(digits) if head and digits.isascii() and digits.isdecimal() else 0
