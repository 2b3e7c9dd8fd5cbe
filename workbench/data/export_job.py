"""The export of a dataset version as a job: `python -m workbench.data.export_job FOLDER`.

The task's folder ends with `export.json`, which says what was written.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.data import exporting, versions
from workbench.data.exporting import Options
from workbench.files import read_json_object, write_json
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.workspace import Workspace

KIND = "data-export"
_WRITTEN = "export.json"


def start(workspace: Workspace, reference: str, path: Path, options: Options) -> Path:
    """Start writing a version as a task; returns the task's folder.

    Raises WorkbenchError for what can be told before a row is read.
    """
    version = versions.resolve(workspace, reference)
    exporting.check(version, path, options)
    request = {
        "dataset": version.reference,
        "path": str(path),
        "options": asdict(options),
        # The path stays as it was typed, so that messages name it so.
        "directory": str(Path.cwd()),
    }
    return tasks.start(workspace, KIND, "workbench.data.export_job", request)


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Write as the folder's request says.

    Raises Stopped, with nothing written, once a person asks for it.
    """
    request = tasks.read_request(folder)
    os.chdir(request["directory"])
    version = versions.resolve(tasks.workspace_of(folder), request["dataset"])
    tell = ProgressLog(log, control)
    options = Options(**request["options"])
    written = exporting.export(version, Path(request["path"]), options, tell)
    write_json(folder / _WRITTEN, written)
    return Finished(stopped=False, result=request["path"])


def written(folder: Path) -> dict[str, Any]:
    """What a finished export has written."""
    return read_json_object(folder / _WRITTEN)


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
