"""A run's line in a list, read from its folder. Plain, without pydantic: a list is to be there at
once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from workbench.alarms.standing import standing
from workbench.errors import WorkbenchError
from workbench.files import read_json, read_json_object
from workbench.jobs.events import Evaluated, Started, Step
from workbench.jobs.log import outline
from workbench.jobs.state import look
from workbench.tracking import notes, soundness
from workbench.tracking.finding import LOG
from workbench.tracking.view import RunView

SWEEP = "sweep.json"
"""In a run that a sweep has made: which sweep, and what is the run's own in it."""
EVALUATIONS = "evaluations"
SCORES = "metrics.json"
"""What a finished evaluation measured, in its folder in EVALUATIONS."""
HARNESS = "harness.json"
"""What lm-evaluation-harness has given, in its folder there."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run's line in a list."""

    id: str
    status: str
    """`not started`, `running`, `stalled`, `finished`, `stopped`, `failed`, `dead` or `damaged`."""
    text: str
    """The status in words."""
    created: float
    """Unix seconds."""
    base: str
    dataset: str
    step: int
    total_steps: int
    loss: float | None
    first_validation_loss: float | None
    best_validation_loss: float | None
    scores: dict[str, dict[str, float]]
    """The newest evaluation's metrics by system (`base`, `adapter`); empty before one."""
    alarms: list[dict[str, Any]] = field(default_factory=list)
    """Those that go on, or went on at its end, the worst first, each as `events.Alarm`."""
    tags: list[str] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    """What people wrote of it, the oldest first: `time` in unix seconds, and `text`."""
    notes_problem: str = ""
    """Why its notes can't be read; empty where they can."""
    problems: list[str] = field(default_factory=list)
    """What is wrong with its own files, in sentences."""
    archived: bool = False
    """Put away by a person: lists leave it out unless they are asked for it."""
    last_validation_loss: float | None = None
    harness: dict[str, dict[str, float]] = field(default_factory=dict)
    """Figures of lm-evaluation-harness by system, the newest of each."""
    sweep: str = ""
    """The sweep that made it; empty where none did."""
    mixture: dict[str, float] = field(default_factory=dict)
    """The shares of the versions that its dataset was mixed of for it; empty where it wasn't."""

    def to_json(self) -> dict[str, Any]:
        # Not by asdict, which copies all that is in it: there may be thousands.
        return {name: getattr(self, name) for name in FIELDS}


FIELDS = tuple(field.name for field in fields(RunSummary))


@dataclass(frozen=True, slots=True)
class Read:
    """What a list knows of a run by its files."""

    summary: RunSummary
    config: dict[str, Any]
    """The resolved config, as the manifest has it; empty where that can't be read."""
    alone: bool
    """Whether it depends on the run's own files only."""


def read(folder: Path) -> Read:
    """All that a list knows of a run, whatever its files hold: one that can't be read is `damaged`,
    or `newer`."""
    try:
        made = soundness.read(folder)
        # Of a copy it is said whether the run that it was copied from is there.
        return Read(summarise(folder, made), made["config"], made["run"] == folder.name)
    except (WorkbenchError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        return Read(_unreadable(folder, error), {}, alone=False)


def listed(folder: Path) -> RunSummary:
    """A run's line, whatever its files hold."""
    return read(folder).summary


def _unreadable(folder: Path, error: Exception) -> RunSummary:
    word, text = soundness.unreadable(folder, error)
    noted = notes.look(folder)
    return RunSummary(
        folder.name,
        word,
        text,
        soundness.written(folder),
        "",
        "",
        0,
        0,
        None,
        None,
        None,
        {},
        notes_problem=noted.problem,
        **noted.to_json(),
    )


def _sweep(folder: Path) -> str:
    if not (folder / SWEEP).exists():
        return ""
    return str(read_json_object(folder / SWEEP).get("sweep") or "")


def summarise(folder: Path, made: dict[str, Any] | None = None) -> RunSummary:
    """A run's line, from its manifest (`made`, where it is read already), its state and an outline
    of its log."""
    made = soundness.read(folder) if made is None else made
    # Before the log: what a run wrote before it ended is then in what is read of it.
    state, status, text = look(folder)
    view = RunView()
    view.feed(outline(folder / LOG, (Started, Evaluated), Step))
    losses = [e.loss for e in view.evaluations]
    noted = notes.look(folder)
    best = view.best_evaluation
    return RunSummary(
        id=folder.name,
        status=status,
        text=text,
        created=made["created"],
        base=made["base"]["name"],
        dataset=f"{made['dataset']['name']}@{made['dataset']['version']}",
        step=view.step,
        total_steps=view.total_steps,
        loss=_finite(view.last_step.loss) if view.last_step else None,
        first_validation_loss=_finite(losses[0]) if losses else None,
        best_validation_loss=best.loss if best else None,
        last_validation_loss=_finite(losses[-1]) if losses else None,
        scores=newest_scores(folder),
        harness=newest_harness(folder),
        alarms=[asdict(alarm) for alarm in standing(state, folder.name, status, text)],
        notes_problem=noted.problem,
        problems=soundness.problems(folder, made, status),
        sweep=_sweep(folder),
        mixture=dict(made.get("mixture") or {}),
        **noted.to_json(),
    )


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def newest_evaluation(folder: Path) -> Path | None:
    """The folder of the run's newest finished evaluation."""
    found = [p.parent for p in (folder / EVALUATIONS).glob(f"*/{SCORES}")]
    return max(found, key=lambda p: (p / SCORES).stat().st_mtime, default=None)


def newest_scores(folder: Path) -> dict[str, dict[str, float]]:
    """Metric values by system of the newest evaluation; empty before one."""
    newest = newest_evaluation(folder)
    if newest is None:
        return {}
    systems = read_json(newest / SCORES)["systems"]
    return {
        system: {name: metric["value"] for name, metric in metrics.items()}
        for system, metrics in systems.items()
    }


def harness_results(folder: Path) -> list[dict[str, Any]]:
    """What lm-evaluation-harness has given of a run, the newest first."""
    found = sorted((folder / EVALUATIONS).glob(f"*/{HARNESS}"), key=lambda p: p.stat().st_mtime)
    return [read_json(path) for path in reversed(found)]


def newest_harness(folder: Path) -> dict[str, dict[str, float]]:
    """The newest value of each figure of lm-evaluation-harness by system; empty without any."""
    values: dict[str, dict[str, float]] = {}
    for result in reversed(harness_results(folder)):
        for system, figures in result["systems"].items():
            mine = values.setdefault(system, {})
            mine.update({name: figure["value"] for name, figure in figures.items()})
    return values
