"""`WORKSPACE/queue.json`: the runs that wait for their turn, and those that have it.

    {"v": 1, "entries": [{"run": "small-0003", "added": …, "gpus": null, "gpu_memory": null,
                          "last_start": null, "problem": ""}, …]}

The order is the order of starting. What an entry does at the moment is never written: it
follows from the run's own folder, so a queue can't be at odds with its runs.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import read_json_object, write_json
from workbench.jobs.state import JobState
from workbench.tracking import runs
from workbench.workspace import Workspace, check_name

QUEUE = "queue.json"
VERSION = 1
_LOCK = "queue"


@dataclass(frozen=True, slots=True)
class Entry:
    """A run in the queue."""

    run: str
    """Its id; empty in an entry that can't be read."""
    added: float = 0.0
    """Unix seconds."""
    gpus: int | None = None
    """GPUs that it wants; None: one for each of its processes, where there are any."""
    processes: int = 1
    """Processes that it trains in."""
    gpu_memory: float | None = None
    """GiB that must be free on each; None: nobody else may be on it."""
    last_start: float | None = None
    """When the run had last been started when it was queued: any other start is the queue's."""
    problem: str = ""
    """Why it could not be started when it was tried last, or why the entry can't be read."""
    raw: dict[str, Any] = field(default_factory=dict)
    """As it stands in the file: what a later release adds is kept."""

    def to_json(self) -> Any:
        if not self.run:
            return self.raw["entry"]
        known = {name: getattr(self, name) for name in _FIELDS}
        return {**self.raw, **known}


_FIELDS = ("run", "added", "gpus", "processes", "gpu_memory", "last_start", "problem")


def of_run(folder: Path) -> Entry:
    """The entry of a run that is to wait; its wishes are those of its config.

    Raises WorkbenchError when config or state can't be read.
    """
    job = runs.load_config(folder).job
    state = JobState.read(folder)
    return Entry(
        run=folder.name,
        added=round(time.time(), 3),
        gpus=job.gpus,
        processes=job.processes,
        gpu_memory=job.gpu_memory,
        last_start=state.started if state else None,
    )


def read(workspace: Workspace) -> list[Entry]:
    """The queue as it is now; empty before there is one.

    Raises WorkbenchError when the file can't be read or a newer release has written it.
    """
    path = workspace.root / QUEUE
    if not path.exists():
        return []
    hint = f"Mend {path}, or move it away: the runs themselves are in `workbench runs list`."
    try:
        body = read_json_object(path)
    except WorkbenchError as error:
        raise WorkbenchError(error.message, error.hint or hint) from error
    if body.get("v") != VERSION:
        raise WorkbenchError(
            f"{path} has the version {body.get('v')!r}; this release knows {VERSION}.",
            "Use the release that wrote it.",
        )
    if not isinstance(body.get("entries"), list):
        raise WorkbenchError(f"{path} has no list of entries.", hint)
    return [_parse(entry) for entry in body["entries"]]


@contextmanager
def changing(workspace: Workspace) -> Iterator[list[Entry]]:
    """The queue, to be changed in place; written at the end if it was. Others wait meanwhile.

    Raises WorkbenchError when it can't be read, in which case it is left as it is, or written.
    """
    with workspace.lock(_LOCK):
        entries = read(workspace)
        before = list(entries)
        yield entries
        if entries != before:
            body = {"v": VERSION, "entries": [entry.to_json() for entry in entries]}
            write_json(workspace.root / QUEUE, body)


def _parse(raw: Any) -> Entry:
    """An entry; one that can't be read is kept as it is, and says so."""
    try:
        run = check_name(raw["run"], "run")
        return Entry(
            run=run,
            added=_number(raw.get("added")) or 0.0,
            gpus=None if raw.get("gpus") is None else int(_number(raw["gpus"]) or 0),
            processes=int(_number(raw.get("processes")) or 1),
            gpu_memory=_number(raw.get("gpu_memory")),
            last_start=_number(raw.get("last_start")),
            problem=str(raw.get("problem", "")),
            raw=raw,
        )
    except (WorkbenchError, LookupError, TypeError, ValueError):
        text = f"This entry can't be read: {json.dumps(raw, ensure_ascii=False)[:200]}"
        return Entry("", problem=text, raw={"entry": raw})


def _number(value: Any) -> float | None:
    """A number that isn't negative, or None. Raises ValueError or TypeError for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is no such number")
    return float(value)
