"""A learning-rate range test as a task: started here, read here, done by `training.lr_find`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.config import loading, processes
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, write_json
from workbench.jobs import tasks
from workbench.jobs.state import describe
from workbench.planning import range_test
from workbench.planning.range_test import Suggestion
from workbench.saying import Say
from workbench.tracking import runs
from workbench.workspace import Workspace

KIND = "lr-find"
RESULT = "lr-find.json"
_MODULE = "workbench.training.lr_find"


@dataclass(frozen=True, slots=True)
class Request:
    """What is tried: exponentially growing rates, one to an optimiser step."""

    config: RunConfig
    low: float
    high: float
    steps: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a test has seen."""

    request: Request
    rates: list[float]
    losses: list[float]
    """Mean over the step's trained tokens, in nats, before its update; NaN where it was none."""

    @property
    def smoothed(self) -> list[float]:
        return range_test.smoothed(self.losses, self.request.steps)

    @property
    def suggestion(self) -> Suggestion:
        return range_test.suggest(self.rates, self.losses, self.request.steps)


def start(workspace: Workspace, request: Request, say: Say) -> Path:
    """Start a test as a task; returns its folder. A mixture of the config is made first.

    Raises WorkbenchError for bounds that are none, for what would stop a run of the config, and
    for a model that is spread over several processes, since the test is of one.
    """
    range_test.rates(request.low, request.high, request.steps)
    config = request.config
    runs.check_inputs(workspace, config)
    if processes.spreads_weights(config):
        by = "job.sharding" if config.job.sharding != "none" else "job.accelerate_config"
        without = "job.sharding=none" if by == "job.sharding" else "job.accelerate_config="
        raise WorkbenchError(
            f"The test is done by one process, and {by} spreads the model over "
            f"{config.job.processes}.",
            f"Try --set {without}; a smaller training.micro_batch or 4-bit weights may make it "
            "fit.",
        )
    workspace.ensure()
    base = config.model.base
    if not base_models.can_be_fetched(base):
        base = str(base_models.resolve(workspace, base))
    version, _ = runs.rows_of(workspace, config, say)
    rows: dict[str, Any] = {
        "data.dataset": version.reference,
        "data.mixture": {},
        "data.mixture_rows": None,
    }
    pinned = loading.with_values(config, {**rows, "model.base": base})
    return tasks.start(workspace, KIND, _MODULE, _body(replace(request, config=pinned)))


def read_request(folder: Path) -> Request:
    """What the task in `folder` was asked to do. Raises WorkbenchError where that can't be read."""
    return _request(tasks.read_request(folder), folder)


def write_result(folder: Path, found: Found) -> Path:
    """Keep what a test has seen; returns the file."""
    path = folder / RESULT
    body = {
        "v": 1,
        **_body(found.request),
        "rates": found.rates,
        # JSON has no NaN.
        "losses": [loss if math.isfinite(loss) else None for loss in found.losses],
        "suggestion": found.suggestion.to_json(),
    }
    write_json(path, body)
    return path


def read_result(folder: Path) -> Found:
    """What the test in `folder` has seen. Raises WorkbenchError before it has finished."""
    path = folder / RESULT
    if tasks.kind_of(folder) != KIND:
        raise WorkbenchError(f"{folder.name} is no range test.", "`workbench jobs` lists them.")
    if not path.exists():
        raise WorkbenchError(f"{folder.name} has no result: {describe(folder)[1]}")
    body = read_json_object(path)
    try:
        losses = [math.nan if loss is None else float(loss) for loss in body["losses"]]
        return Found(_request(body, path), [float(rate) for rate in body["rates"]], losses)
    except (LookupError, TypeError, ValueError) as error:
        raise WorkbenchError(f"{path} is no result of a test: {error!r}.") from error


def _body(request: Request) -> dict[str, Any]:
    return {
        "config": request.config.model_dump(),
        "from": request.low,
        "to": request.high,
        "steps": request.steps,
    }


def _request(body: dict[str, Any], path: Path) -> Request:
    config = loading.parse(body["config"], origin=str(path))
    return Request(config, float(body["from"]), float(body["to"]), int(body["steps"]))
