"""What an evaluation is asked to do, where it is kept, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.config.watching import Evaluation
from workbench.errors import WorkbenchError
from workbench.files import building_folder, read_json, write_json
from workbench.jobs import launch
from workbench.jobs.state import GOING_ON, STATE, describe
from workbench.jobs.tasks import REQUEST
from workbench.tracking import finding
from workbench.workspace import Workspace, check_name

BASE = "base"
TUNED = "tuned"
"""The system of a run that trained all weights; of any other it has the adapter's name."""
OUTPUTS = "outputs.jsonl"
SCORES = "metrics.json"


@dataclass(frozen=True, slots=True)
class Request:
    rows: int
    """Validation rows that are answered: the first of those in the loss."""
    max_new_tokens: int

    @classmethod
    def of(
        cls, config: Evaluation, rows: int | None = None, max_new_tokens: int | None = None
    ) -> Request:
        """What a run's config asks for, but where something else is wanted."""
        return cls(rows or config.generate_rows, max_new_tokens or config.max_new_tokens)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def start(run: Path, request: Request, name: str = "") -> Path:
    """Start an evaluation of `run` as a job of its own; returns its folder.

    `name` defaults to a number. Raises WorkbenchError when the run has made nothing yet, is
    being evaluated already, or the name is taken.
    """
    result(run)
    parent = run / "evaluations"
    for state in parent.glob(f"*/{STATE}"):
        if describe(state.parent)[0] in GOING_ON:
            job = f"{run.name}/evaluations/{state.parent.name}"
            raise WorkbenchError(
                f"The run {run.name} is being evaluated already: {state.parent.name}.",
                f"Wait for it, or stop it: workbench stop {job}",
            )
    with Workspace(run.parent.parent).lock("runs"):
        name = check_name(name or _next_name(parent), "evaluation")
        folder = parent / name
        if folder.exists():
            raise WorkbenchError(
                f"There is an evaluation {name} already.", "Choose another --name."
            )
        with building_folder(folder) as building:
            write_json(building / REQUEST, request.to_json())
    launch.start(folder, "workbench.evaluation.job", environment=launch.OFFLINE)
    return folder


def result(run: Path) -> Path:
    """The folder of the run's adapter, or of its model. Raises WorkbenchError before it is."""
    folder = finding.result(run)
    if folder is None:
        raise WorkbenchError(
            f"The run {run.name} has no adapter yet.", "Evaluate it once training has finished."
        )
    return folder


def systems_of(result: Path) -> tuple[str, str]:
    """The names of base and of what the run made of it: what came out is called by them."""
    return (BASE, finding.ADAPTER if result.name == finding.ADAPTER else TUNED)


def read_request(folder: Path) -> Request:
    return Request(**read_json(folder / REQUEST))


def read_scores(folder: Path) -> dict[str, Any]:
    """What a finished evaluation measured. Raises WorkbenchError before it has finished."""
    if not (folder / SCORES).exists():
        raise WorkbenchError(f"The evaluation in {folder} has not finished.")
    scores: dict[str, Any] = read_json(folder / SCORES)
    return scores


def _next_name(parent: Path) -> str:
    numbers = [int(p.name) for p in parent.glob("*") if p.name.isdigit()]
    return f"{max(numbers, default=0) + 1:02d}"
