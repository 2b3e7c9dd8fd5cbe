"""The verdict of a dataset version as a job: `python -m workbench.data.verdict_job FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from workbench import base_models
from workbench.data import verdict, versions
from workbench.data.template import ChatTemplate
from workbench.data.verdict import Verdict
from workbench.fetching import fetch
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.workspace import Workspace

KIND = "verdict"


def start(
    workspace: Workspace,
    reference: str,
    base: str,
    new_tokens: Sequence[str] = (),
    *,
    join: bool = False,
) -> Path:
    """Start measuring a dataset version's rows as a task; returns the task's folder, with `join`
    that of a task which is at it already.

    `new_tokens` are those that a run adds to the base's tokenizer. Raises WorkbenchError when
    there is no such version, or no such base model; one that can be fetched is fetched by the
    task.
    """
    version = versions.resolve(workspace, reference)
    if not base_models.can_be_fetched(base):
        base = str(base_models.resolve(workspace, base))
    request = {"dataset": version.reference, "base": base, "new_tokens": list(new_tokens)}
    return tasks.start(workspace, KIND, "workbench.data.verdict_job", request, join=join)


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Measure as the folder's request says; what is known already is not measured again.

    Raises Stopped, with nothing written, once a person asks for it.
    """
    request = tasks.read_request(folder)
    workspace = tasks.workspace_of(folder)
    version = versions.resolve(workspace, request["dataset"])
    tell = ProgressLog(log, control)
    model = fetch(workspace, request["base"], log, tell)
    template = ChatTemplate.load(model, new_tokens=request["new_tokens"])
    found = verdict.look(version, template, tell)
    return Finished(stopped=False, result=str(found.folder.relative_to(workspace.root)))


def read_result(folder: Path) -> Verdict:
    """The verdict of a task that has finished."""
    return verdict.read(tasks.workspace_of(folder).root / tasks.result(folder))


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
