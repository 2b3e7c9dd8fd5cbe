"""A check of a dataset version as a job: `python -m workbench.data.curate.check_job FOLDER`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.data import versions
from workbench.data.curate import checks, duplicates, looking, store, thresholds
from workbench.data.curate.store import Findings
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.workspace import Workspace


def start(
    workspace: Workspace, name: str, reference: str, options: dict[str, Any], *, join: bool = False
) -> Path:
    """Start the check `name` of a dataset version as a task; returns the task's folder, with
    `join` that of a task which is at it already.

    Raises WorkbenchError when there is no such check, option or version.
    """
    check = checks.get(name)
    values = asdict(checks.options_of(check, options))
    if "against" in values:
        # These very versions, whatever is made meanwhile.
        values["against"] = [versions.resolve(workspace, r).reference for r in values["against"]]
    version = versions.resolve(workspace, reference)
    request = {"dataset": version.reference, "check": name, "options": values}
    return tasks.start(workspace, name, "workbench.data.curate.check_job", request, join=join)


def start_thresholds(workspace: Workspace, reference: str, threshold: float) -> Path:
    """Start looking for near-duplicates at every threshold as a task; its result is what was
    found at the one that is named."""
    version = versions.resolve(workspace, reference)
    options = asdict(checks.options_of(checks.get(duplicates.NAME), {"threshold": threshold}))
    request: dict[str, Any] = {"dataset": version.reference, "check": duplicates.NAME}
    request |= {"options": options, "every_threshold": True}
    module = "workbench.data.curate.check_job"
    return tasks.start(workspace, duplicates.NAME, module, request, join=True)


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Look as the folder's request says; what is known already is not looked for again.

    Raises Stopped, with no findings written, once a person asks for it.
    """
    request = tasks.read_request(folder)
    workspace = tasks.workspace_of(folder)
    check = checks.get(request["check"])
    options = checks.options_of(check, request["options"])
    version = versions.resolve(workspace, request["dataset"])
    tell = ProgressLog(log, control)
    if request.get("every_threshold"):
        thresholds.look(version, tell)
    found = looking.look(workspace, version, check, options, tell)
    store.touch(found)
    return Finished(stopped=False, result=str(found.folder.relative_to(workspace.root)))


def result(folder: Path) -> Findings:
    """What a finished task found."""
    return store.read(tasks.workspace_of(folder).root / tasks.result(folder))


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
