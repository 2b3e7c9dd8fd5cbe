"""What an evaluation is asked to do, where it is kept, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from workbench.config.watching import Evaluation
from workbench.errors import WorkbenchError
from workbench.evaluation.answers import Sampling
from workbench.evaluation.names import Settings
from workbench.files import building_folder, read_json, write_json
from workbench.jobs import launch
from workbench.jobs.state import GOING_ON, STATE, describe
from workbench.jobs.tasks import REQUEST
from workbench.tracking import finding
from workbench.workspace import Workspace, check_name

BASE = "base"
TUNED = "tuned"
"""The system of a run that trained all weights; of any other it has the adapter's name."""
EVALUATIONS = "evaluations"
"""The folder in a run's own of what was measured of it."""
OUTPUTS = "outputs.jsonl"
SCORES = "metrics.json"
ENGINES = ("transformers", "vllm")
_LISTS = ("runs", "models", "metrics", "labels")


@dataclass(frozen=True, slots=True)
class Request:
    rows: int
    """Validation rows that are answered: the first of those in the loss."""
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    runs: tuple[str, ...] = ()
    """Other runs of the same base, by their ids."""
    models: tuple[str, ...] = ()
    """Folders of whole models, as merged ones are."""
    engine: str = ENGINES[0]
    """What makes the answers."""
    fresh: bool = False
    """Answers that are known are made again."""
    metrics: tuple[str, ...] = ()
    """Instead of those that fit the references, as in `names.Settings`; so are these."""
    labels: tuple[str, ...] = ()
    pattern: str = ""

    @classmethod
    def of(
        cls,
        config: Evaluation,
        rows: int | None = None,
        max_new_tokens: int | None = None,
        metrics: Sequence[str] = (),
        **others: Any,
    ) -> Request:
        """What a run's config asks for, but where something else is wanted."""
        return cls(
            rows or config.generate_rows,
            max_new_tokens or config.max_new_tokens,
            metrics=tuple(metrics or config.metrics),
            labels=tuple(config.labels),
            pattern=config.pattern,
            **others,
        )

    @property
    def sampling(self) -> Sampling:
        """Raises WorkbenchError for what can't be."""
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, self.top_k, self.seed)

    def scoring(self) -> Settings:
        """How the outputs are scored."""
        return Settings(self.metrics, self.labels, self.pattern)

    def to_json(self) -> dict[str, Any]:
        """What isn't asked for is not in it."""
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != usual[name]}


def start(run: Path, request: Request, name: str = "") -> Path:
    """Start an evaluation of `run` as a job of its own; returns its folder.

    `name` defaults to a number. Raises WorkbenchError as `check_idle` and `make` do, and for what
    `sources.of` refuses.
    """
    from workbench.evaluation import sources

    sources.of(run, request)
    check_idle(run)
    folder = make(run, name, lambda building: write_json(building / REQUEST, request.to_json()))
    launch.start(folder, "workbench.evaluation.job", environment=launch.OFFLINE)
    return folder


def check_idle(run: Path) -> None:
    """Raises WorkbenchError when the run is being evaluated already."""
    for state in (run / EVALUATIONS).glob(f"*/{STATE}"):
        if describe(state.parent)[0] in GOING_ON:
            job = f"{run.name}/{EVALUATIONS}/{state.parent.name}"
            raise WorkbenchError(
                f"The run {run.name} is being evaluated already: {state.parent.name}.",
                f"Wait for it, or stop it: workbench stop {job}",
            )


def make(run: Path, name: str, fill: Callable[[Path], object]) -> Path:
    """Make the folder of an evaluation of `run`, whole, with what `fill` writes into it; returns
    where it is.

    `name` defaults to a number. Raises WorkbenchError when it is taken.
    """
    parent = run / EVALUATIONS
    with Workspace(run.parent.parent).lock("runs"):
        name = check_name(name or _next_name(parent), "evaluation")
        folder = parent / name
        if folder.exists():
            raise WorkbenchError(
                f"There is an evaluation {name} already.", "Choose another --name."
            )
        with building_folder(folder) as building:
            fill(building)
    return folder


def result(run: Path) -> Path:
    """The folder of the run's adapter, or of its model. Raises WorkbenchError before it is."""
    folder = finding.result(run)
    if folder is None:
        raise WorkbenchError(
            f"The run {run.name} has no adapter yet.", "Evaluate it once training has finished."
        )
    return folder


def read_request(folder: Path) -> Request:
    body = read_json(folder / REQUEST)
    lists = {name: tuple(body[name]) for name in _LISTS if name in body}
    return Request(**{**body, **lists})


def read_scores(folder: Path) -> dict[str, Any]:
    """What a finished evaluation measured. Raises WorkbenchError before it has finished."""
    if not (folder / SCORES).exists():
        raise WorkbenchError(f"The evaluation in {folder} has not finished.")
    scores: dict[str, Any] = read_json(folder / SCORES)
    return scores


def _next_name(parent: Path) -> str:
    numbers = [int(p.name) for p in parent.glob("*") if p.name.isdigit()]
    return f"{max(numbers, default=0) + 1:02d}"
