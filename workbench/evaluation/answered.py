"""From a row of data to what runs answered to it. Plain Python: a screen asks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from workbench.data.example import Example
from workbench.data.split import TRAIN
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.evaluation import outputs
from workbench.evaluation.outputs import Source
from workbench.evaluation.rows import conversation, read_outputs
from workbench.learning.learnt import OfRun
from workbench.tracking import finding
from workbench.workspace import Workspace

MOST = 6
"""Runs that are read side by side: of the newest."""


def prompt_of(example: Example) -> str:
    """What is asked in a row, as evaluations keep it."""
    return conversation([message.to_json() for message in example.prompt])


def of_row(workspace: Workspace, version: Version, example: Example) -> list[Source]:
    """The newest evaluations of runs that were asked what the row asks, at most `MOST`.

    It is found by the text of its prompt: an evaluation on another version counts, too. Raises
    WorkbenchError that says why there is none.
    """
    evaluated = list(_evaluated(workspace))
    asked = prompt_of(example)
    found = [source for source in evaluated if _asks(source, asked)]
    if found:
        return found[:MOST]
    if not evaluated:
        raise WorkbenchError(
            "No run of this workspace has been evaluated: nothing was answered.",
            "e in Runs evaluates one, or workbench eval RUN.",
        )
    if example.split == TRAIN:
        raise WorkbenchError(
            "This is a training row, and runs are asked held-out rows.",
            "split:validation finds those.",
        )
    here = [source for source in evaluated if _is_of(source.run, version)]
    if here:
        run = here[0].run.name if here[0].run else ""
        raise WorkbenchError(
            f"{_runs(here)} answered the first held-out rows of this version; this one isn't among "
            "them, or was longer than data.max_length.",
            f"workbench eval {run} --rows {version.splits.get('validation', 0)} asks all.",
        )
    raise WorkbenchError(
        f"No run that was evaluated was asked this. {_runs(evaluated)} had other held-out rows.",
        "Evaluate a run that was trained on this version.",
    )


def _evaluated(workspace: Workspace) -> list[Source]:
    """The newest evaluation of every run, those of the newest runs first."""
    found = []
    for run in finding.ids(workspace):
        with suppress(WorkbenchError):
            found.append(outputs.of_run(workspace.runs / run))
    return found


def _asks(source: Source, prompt: str) -> bool:
    """Whether the prompt is among those of an evaluation; one that can't be read has none."""
    # Most evaluations are passed over without parsing them.
    last = json.dumps(prompt.rpartition("\n")[2], ensure_ascii=False)[1:-1]
    try:
        if last.encode("utf-8", "surrogatepass") not in source.outputs.read_bytes():
            return False
        return any(row.prompt == prompt for row in read_outputs(source.outputs))
    except (OSError, WorkbenchError):
        return False


def _is_of(run: Path | None, version: Version) -> bool:
    with suppress(WorkbenchError):
        return run is not None and OfRun.read(run).sha256 == version.sha256
    return False


def _runs(sources: Sequence[Source]) -> str:
    labels = [source.label for source in sources]
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return f"{', '.join(labels[:3])}{more}"
