"""Token counts as a job: `python -m workbench.data.tokens_job FOLDER`.

The task's folder ends with `tokens.json`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.data import data_card, tokens, versions
from workbench.data.template import ChatTemplate
from workbench.fetching import fetch
from workbench.files import read_json_object, write_json
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.workspace import Workspace

KIND = "tokens"
_COUNTS = "tokens.json"


def start(workspace: Workspace, reference: str, base: str) -> Path:
    """Start counting a dataset version's tokens as a task; returns the task's folder.

    Raises WorkbenchError when there is no such version, or no such base model; one that can
    be fetched is fetched by the task.
    """
    version = versions.resolve(workspace, reference)
    if not base_models.can_be_fetched(base):
        base = str(base_models.resolve(workspace, base))
    request = {"dataset": version.reference, "base": base}
    return tasks.start(workspace, KIND, "workbench.data.tokens_job", request)


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Count as the folder's request says.

    Raises Stopped, with nothing written, once a person asks for it.
    """
    request = tasks.read_request(folder)
    workspace, base = tasks.workspace_of(folder), request["base"]
    version = versions.resolve(workspace, request["dataset"])
    tell = ProgressLog(log, control)
    model = fetch(workspace, base, log, tell)
    template = ChatTemplate.load(model)
    counts = tokens.count(versions.read(version), version.rows, template, tell)
    made_of = {
        "dataset": version.reference,
        "base": base,
        "revision": base_models.revision(base, model),
        "template": template.fingerprint(),
    }
    found = {"v": 1, **made_of, **counts}
    write_json(folder / _COUNTS, found)
    data_card.keep_tokens(version, found)
    return Finished(stopped=False, result=_COUNTS)


def read_counts(folder: Path) -> dict[str, Any]:
    """What a count that has finished found."""
    return read_json_object(folder / _COUNTS)


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
