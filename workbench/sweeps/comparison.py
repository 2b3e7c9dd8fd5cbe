"""The runs of a sweep side by side: what was varied, what came of it, which is best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from workbench.config.sweep import HIGHER_IS_BETTER, OF_EVALUATIONS, OF_LOSS, Metric
from workbench.errors import WorkbenchError
from workbench.evaluation.request import BASE
from workbench.jobs.log import read_all
from workbench.jobs.state import ENDED, NOT_STARTED, describe
from workbench.queue import entries
from workbench.queue.standing import WAITING
from workbench.sweeps import store
from workbench.sweeps.store import Member, Record
from workbench.tracking import runs
from workbench.tracking.view import RunView
from workbench.workspace import Workspace

Figures = dict[Metric, float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """A run's line."""

    run: str
    status: str
    text: str
    """The status in words; `waiting` for one that is in the queue."""
    values: dict[str, Any]
    """The varied fields."""
    figures: Figures
    """By metric; None where there is none, or none yet. Memory in bytes."""
    place: int | None = None
    """By the metric, from 1; those that are equal as they are shown share one. None without a
    figure."""
    tied: bool = False
    """Whether another one shares its place."""


@dataclass(frozen=True, slots=True)
class Table:
    """A sweep's runs, the best first, those without a figure last."""

    sweep: str
    metric: Metric
    planned: int
    lines: list[Line]
    remarks: list[str]
    """What is to be known before it is believed."""

    @property
    def best(self) -> list[Line]:
        return [line for line in self.lines if line.place == 1]

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "better": "higher" if self.metric in HIGHER_IS_BETTER else "lower",
            "best": [line.run for line in self.best],
        }


def compare(workspace: Workspace, record: Record, metric: Metric | None = None) -> Table:
    """The table of a sweep by `metric`, or by its own."""
    by = metric or record.sweep.metric
    queued = {entry.run for entry in entries.read(workspace)}
    members = store.members(workspace, record)
    lines = ranked([_line(member, waits=member.id in queued) for member in members], by)
    return Table(record.id, by, record.planned, lines, list(_remarks(record, by, lines)))


def ranked(lines: Sequence[Line], metric: Metric) -> list[Line]:
    """The lines in the order of a metric, with their places; figures count as they are shown."""
    sign = -1 if metric in HIGHER_IS_BETTER else 1
    keys = {
        line.run: sign * float(shown(metric, value))
        for line in lines
        if (value := line.figures.get(metric)) is not None
    }
    order = sorted(keys.values())
    known = [
        replace(line, place=order.index(key) + 1, tied=order.count(key) > 1)
        for line in lines
        if (key := keys.get(line.run)) is not None
    ]
    unknown = [line for line in lines if line.run not in keys]
    return [*sorted(known, key=lambda line: line.place or 0), *unknown]


def shown(metric: Metric, value: float) -> str:
    """A figure as digits: losses and scores with four places, memory in GiB."""
    if metric == "peak_memory":
        return f"{value / 2**30:.2f}"
    return f"{value:.0f}" if metric in ("tokens_per_second", "seconds") else f"{value:.4f}"


def _line(member: Member, *, waits: bool) -> Line:
    status, text = describe(member.folder)
    if status == NOT_STARTED and waits:
        status = WAITING
    figures: Figures
    try:
        figures = _figures(member)
    except (WorkbenchError, OSError, LookupError, TypeError, ValueError) as error:
        status, text, figures = "damaged", f"Its files can't be read: {error}", {}
    return Line(member.id, status, text, dict(member.values), figures)


def _figures(member: Member) -> Figures:
    view = RunView()
    if (log := member.folder / runs.LOG).exists():
        view.feed(read_all(log))
    losses = [_finite(one.loss) for one in view.evaluations]
    last = view.last_step
    # Of the run, not of the model that it began with.
    trained = [e.loss for e in view.evaluations if e.step and math.isfinite(e.loss)]
    # Of the machine: what torch reserved, or the process had, at most.
    peak = view.rehearsed.peak if view.rehearsed else last.memory if last else None
    scores = _scores(runs.newest_scores(member.folder))
    return {
        "validation_loss": min(trained, default=None),
        "validation_loss_last": losses[-1] if losses else None,
        "validation_loss_first": losses[0] if losses else None,
        "train_loss": _finite(last.loss) if last else None,
        "rouge_l": scores.get("rouge_l"),
        "exact_match": scores.get("exact_match"),
        "token_f1": scores.get("token_f1"),
        "perplexity": scores.get("perplexity"),
        "tokens_per_second": view.tokens / view.seconds if view.seconds else None,
        "peak_memory": peak,
        "seconds": view.seconds or None,
    }


def _scores(systems: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    """Of what the run made, not of its base."""
    return next((scores for name, scores in systems.items() if name != BASE), {})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _remarks(record: Record, metric: Metric, lines: Sequence[Line]) -> Iterable[str]:
    if gone := record.planned - len(lines):
        what = "have not been made yet" if record.sweep.method == "optuna" else "are gone"
        yield f"{gone} of {record.planned} runs {what}."
    words = [line.status for line in lines]
    if out := words.count(NOT_STARTED):
        yield (
            f"{out} of {len(lines)} runs have not started and are not in the queue: "
            "`workbench queue add --resume RUN` queues one again."
        )
    if going := sum(word not in (*ENDED, NOT_STARTED) for word in words):
        yield f"{going} of {len(lines)} runs go on or wait: the order may change."
    missing = [line for line in lines if line.place is None and line.status in ENDED]
    if missing and metric in OF_EVALUATIONS:
        names = ", ".join(line.run for line in missing)
        yield f"Not evaluated yet: {names}. `workbench eval RUN` measures {metric}."
    elif missing:
        names = ", ".join(f"{line.run} ({line.status})" for line in missing)
        yield f"No {metric}: {names}."
    if metric in OF_LOSS and (varied := _other_rows(lines)):
        yield (
            f"The runs differ in {' and '.join(varied)}: a loss is comparable for one tokenizer "
            "and the same validation rows only. Compare by rouge_l or exact_match, after "
            "`workbench eval`."
        )


def _other_rows(lines: Sequence[Line]) -> list[str]:
    """The varied fields that decide what a validation loss is of."""
    decisive = (
        "model.base",
        "data.dataset",
        "data.mixture",
        "data.mixture_rows",
        "data.max_length",
        "data.too_long",
        "data.validation_rows",
    )
    return [path for path in decisive if len({str(line.values.get(path)) for line in lines}) > 1]
