"""A run held against its manifest, as a job: `python -m workbench.training.verify_job FOLDER`.

The task's folder ends with `verified.json`. Nothing in the run's own folder is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.config.schema import RunConfig
from workbench.data.template import ChatTemplate
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, scratch_folder, write_json
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog, Tell
from workbench.jobs.runner import run_job
from workbench.tracking import inputs, manifest, verifying
from workbench.tracking.verifying import Line
from workbench.workspace import Workspace

KIND = "verify"
_RESULT = "verified.json"


def start(workspace: Workspace, run: Path) -> Path:
    """Start holding a run against its manifest as a task; returns the task's folder.

    Raises WorkbenchError when the run has no manifest that can be read.
    """
    manifest.read(run)
    request = {"run": run.name}
    return tasks.start(workspace, KIND, "workbench.training.verify_job", request, join=True)


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Verify as the folder's request says.

    Raises Stopped, with nothing written, once a person asks for it.
    """
    workspace = tasks.workspace_of(folder)
    run = workspace.runs / tasks.read_request(folder)["run"]
    tell = ProgressLog(log, control)
    lines, notices = look(workspace, run, tell)
    for text in notices:
        log.write(Notice(text, "warning"))
    found = verifying.found(lines)
    body = {"v": 1, "run": run.name, **found, "lines": [line.to_json() for line in lines]}
    write_json(folder / _RESULT, {**body, "notices": notices})
    return Finished(stopped=False, result=_RESULT)


def look(workspace: Workspace, run: Path, tell: Tell) -> tuple[list[Line], list[str]]:
    """Every line, and why something could not be looked at."""
    made = manifest.read(run)
    lines = [*verifying.of_run(run, made), *verifying.of_config(run, made)]
    notices = []
    version: Version | None = None
    for place, (line, there) in enumerate(verifying.of_datasets(workspace, made, tell)):
        lines.append(line)
        version = there if place == 0 else version
    base, why = verifying.find_base(workspace, made)
    if why:
        notices.append(why)
    lines += verifying.of_base(base, made, tell)
    config = template = None
    try:
        config = verifying.recorded_config(made)
        if base is not None:
            day = inputs.day(made)
            template = ChatTemplate.load(base, today=day, new_tokens=config.model.new_tokens)
    except WorkbenchError as error:
        notices.append(error.message)
    lines += verifying.of_template(made, inputs.template_hashes(template) if template else None)
    tokens = None
    if config is not None and template is not None and version is not None:
        try:
            tokens = _tokens(workspace, config, template, version, tell)
        except WorkbenchError as error:
            notices.append(f"Its rows can't be encoded: {error.message}")
    lines += verifying.of_tokens(made, tokens)
    lines += [*verifying.of_result(run, made, tell), *verifying.of_log(run, made)]
    tell("looking around", 0, 1, "")
    lines += verifying.around(made, _around())
    return lines, notices


def _tokens(
    workspace: Workspace,
    config: RunConfig,
    template: ChatTemplate,
    version: Version,
    tell: Tell,
) -> Mapping[str, Any]:
    # It imports torch, which only this needs.
    from workbench.training import encoding

    # By its content: it may be here by another name.
    data = config.data.model_copy(update={"dataset": version.reference})
    config = config.model_copy(update={"data": data})
    with scratch_folder(workspace.cache / "verify") as scratch:
        return encoding.derive(workspace, config, template, scratch, tell)


def _around() -> dict[str, Any]:
    from workbench.training.surroundings import pick_device, surroundings

    return surroundings(pick_device())


def read_result(folder: Path) -> dict[str, Any]:
    """What a verification that has finished found."""
    return read_json_object(folder / _RESULT)


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
