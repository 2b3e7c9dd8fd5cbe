"""An import as a job: `python -m workbench.data.import_job FOLDER`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.data.importing import Options, Origin, import_files, recipe_of
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.workspace import Workspace


def start(workspace: Workspace, origins: Sequence[Origin], name: str, options: Options) -> Path:
    """Start importing files as a task; returns the task's folder.

    The version's reference is what the task gives as its result. Raises WorkbenchError for
    what can be told before a file is read, and when the task can't be started.
    """
    recipe_of(origins, name, options)
    request = {
        "files": [str(origin) for origin in origins],
        "name": name,
        "options": options.to_json(),
        # The paths stay as they were typed, so that messages name them so.
        "directory": str(Path.cwd()),
    }
    return tasks.start(workspace, "import", "workbench.data.import_job", request)


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Import as the folder's request says.

    Raises Stopped, with nothing written, once a person asks for it.
    """
    request = tasks.read_request(folder)
    os.chdir(request["directory"])
    version = import_files(
        tasks.workspace_of(folder),
        request["files"],
        request["name"],
        Options.from_json(request["options"]),
        ProgressLog(log, control),
    )
    return Finished(stopped=False, result=version.reference)


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
