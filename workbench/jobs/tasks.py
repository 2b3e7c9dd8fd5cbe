"""Tasks: jobs that belong to no run, each in a folder of its own: `tasks/KIND-0007/`.

The folder holds `request.json`, which says what was asked for, and what every job's folder
holds; what the job finds out goes there, too, and what it makes goes where it belongs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import building_folder, read_json_object, write_text
from workbench.jobs import launch
from workbench.jobs.events import Finished
from workbench.jobs.log import LogReader
from workbench.jobs.state import GOING_ON, describe
from workbench.workspace import Workspace

REQUEST = "request.json"
_TAIL = 1 << 12
"""Bytes of a log's end that its last event is in."""


def start(
    workspace: Workspace,
    kind: str,
    module: str,
    request: dict[str, Any],
    *,
    join: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Start `python -m module` on a request of its own; returns the task's folder. With `join`
    that of one which does the same already, if there is one.

    `request` is plain JSON; its strings may be names of files that are no UTF-8. `environment` is
    added to the job's, and kept: no secret. Raises
    WorkbenchError when the workspace can't be written or the job not be started.
    """
    if join and (same := going_on(workspace, kind, request)) is not None:
        return same
    with workspace.lock("tasks"):
        folder = workspace.tasks / f"{kind}-{_next_number(workspace):04d}"
        with building_folder(folder) as building:
            # In ASCII: a file's name may be what UTF-8 can't hold.
            write_text(building / REQUEST, json.dumps(request, indent=2) + "\n")
    launch.start(folder, module, environment=environment)
    return folder


def going_on(workspace: Workspace, kind: str, request: dict[str, Any]) -> Path | None:
    """The folder of a task that does the same already; None where there is none."""
    wanted = json.loads(json.dumps(request))
    for folder in workspace.tasks.glob(f"{kind}-*"):
        with suppress(WorkbenchError, OSError):
            if describe(folder)[0] in GOING_ON and read_request(folder) == wanted:
                return folder
    return None


def folders(workspace: Workspace) -> list[Path]:
    """The tasks' folders, in no order."""
    return [path.parent for path in workspace.tasks.glob(f"[!.]*/{REQUEST}")]


def kind_of(folder: Path) -> str:
    """What a task does: `import`, `tokens`, …"""
    return re.sub(r"-\d+$", "", folder.name)


def workspace_of(folder: Path) -> Workspace:
    """The workspace that a task belongs to."""
    return Workspace(folder.parent.parent)


def read_request(folder: Path) -> dict[str, Any]:
    """What a task was asked to do."""
    return read_json_object(folder / REQUEST)


def result(folder: Path) -> str:
    """What a finished job said that it has made; empty where it said nothing."""
    reader = LogReader(folder / launch.read_job(folder).log)
    reader.skip_to_tail(_TAIL)
    last = next((record.event for record in reversed(reader.read())), None)
    return last.result if isinstance(last, Finished) else ""


def _next_number(workspace: Workspace) -> int:
    """The number counts all tasks of the workspace, so that they sort by age."""
    numbers = (re.search(r"-(\d+)$", path.name) for path in workspace.tasks.glob("*"))
    return max((int(found[1]) for found in numbers if found), default=0) + 1
