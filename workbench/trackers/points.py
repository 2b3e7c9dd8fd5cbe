"""A run's log as the figures that a tracker shows: one point a step, by names.

Names have a group before a slash, by which TensorBoard and the others set charts apart.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.jobs.events import Evaluated, Record, Sampled, Started, Step
from workbench.jobs.log import read_all
from workbench.jobs.state import HOST_LOG
from workbench.tracking.finding import LOG

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Point:
    """What is known of a step; with `begins`, that the run begins here: whatever was shown of this
    step and later ones counts no more."""

    time: float
    """Unix seconds."""
    step: int
    values: dict[str, float] = field(default_factory=dict)
    begins: bool = False


class Reading:
    """Turns records, in their order, into points. The machine's figures go with the next step."""

    def __init__(self) -> None:
        self._machine: dict[str, float] = {}

    def take(self, record: Record) -> Point | None:
        """The point of a record; None where it holds no figure."""
        event = record.event
        if isinstance(event, Sampled):
            self._machine = _machine(event)
        elif isinstance(event, Step):
            values = {**_step(event), **self._machine}
            self._machine = {}
            return Point(record.time, event.step, values)
        elif isinstance(event, Evaluated):
            return Point(record.time, event.step, _validation(event))
        elif isinstance(event, Started):
            # A checkpoint of step 7 goes on with step 8.
            first = event.resumed_from + 1 if event.resumed_from else 0
            return Point(record.time, first, begins=True)
        return None


def course(records: Iterable[Record]) -> list[Point]:
    """A whole log's points, one a step, by step: of steps that were repeated after a resume, the
    last time counts."""
    found: dict[int, Point] = {}
    reading = Reading()
    for record in records:
        point = reading.take(record)
        if point is None:
            continue
        if point.begins:
            found = {step: kept for step, kept in found.items() if step < point.step}
            continue
        before = found.get(point.step)
        values = {**before.values, **point.values} if before else point.values
        found[point.step] = Point(point.time, point.step, values)
    return [found[step] for step in sorted(found)]


def of_run(run: Path) -> list[Point]:
    """The points of a run, from its own log and its supervisor's; none before its first step."""
    logs = (read_all(run / name) for name in (LOG, HOST_LOG))
    # Each log keeps its own order, also over a clock that was set back.
    return course(heapq.merge(*logs, key=lambda record: record.time))


def _step(step: Step) -> dict[str, float]:
    values: dict[str, float] = {
        "train/loss": step.loss,
        "train/learning_rate": step.learning_rate,
        "train/gradient_norm": step.gradient_norm,
        "train/epoch": step.epoch,
        "train/tokens": step.tokens,
        "train/trained_tokens": step.trained_tokens,
        "time/step_seconds": step.seconds / step.steps,
        "time/tokens_per_second": step.tokens_per_second,
    }
    memory = {"peak": step.memory, "allocated": step.allocated, "reserved": step.reserved}
    return {**values, **_known({f"memory/{k}_mib": _mib(v) for k, v in memory.items()})}


def _validation(evaluated: Evaluated) -> dict[str, float]:
    figures: dict[str, float | None] = {
        "validation/loss": evaluated.loss,
        "validation/perplexity": evaluated.perplexity,
    }
    for task, of_task in evaluated.tasks.items():
        figures[f"validation/loss/{task or 'no task'}"] = of_task["loss"]
    return _known(figures)


def _machine(sample: Sampled) -> dict[str, float]:
    host = sample.host
    figures: dict[str, float | None] = {
        "machine/cpu_percent": host.get("cpu_percent"),
        "machine/memory_used_mib": _mib(host.get("memory_used")),
        "machine/run_memory_mib": _mib(host.get("rss")),
    }
    for gpu in sample.gpus:
        name = f"machine/gpu{gpu.get('index', 0)}"
        figures[f"{name}_percent"] = gpu.get("utilization")
        figures[f"{name}_memory_mib"] = _mib(gpu.get("memory_used"))
        figures[f"{name}_watts"] = gpu.get("power")
        figures[f"{name}_celsius"] = gpu.get("temperature")
    return _known(figures)


def _mib(size: Any) -> float | None:
    return None if size is None else size / _MIB


def _known(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items() if value is not None}
