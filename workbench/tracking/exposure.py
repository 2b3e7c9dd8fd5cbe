"""How often a run sees the rows of each task: known before it starts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.mix import MOST_EPOCHS
from workbench.data.versions import Version


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a run sees of a task."""

    task: str
    rows: int
    """Training rows, with repeats."""
    different_rows: int
    epochs: float
    """How often each different row is seen, on average."""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "epochs": round(self.epochs, 3)}


def by_task(version: Version, config: RunConfig) -> list[Exposure]:
    """What a run of the config sees of each task of the version, the largest first.

    Of rows that `data.train_rows` chooses it is the mean over all choices; rows that are left out
    for their length are not known before they are encoded. Raises WorkbenchError when the version
    can't be read.
    """
    rows, different = Counter[str](), Counter[str]()
    for part in versions.figures(version)["parts"]:
        if part["split"] == "train":
            rows[part["task"]] += part["rows"]
            different[part["task"]] += part["different_rows"]
    total = rows.total()
    if not total:
        return []
    taken = min(config.data.train_rows or total, total)
    passes = _passes(taken, config) * taken / total
    return [
        Exposure(task, count, different[task], passes * count / different[task])
        for task, count in rows.most_common()
    ]


def _passes(rows: int, config: RunConfig) -> float:
    """Epochs over so many rows; steps, where they are given, count instead."""
    training = config.training
    if training.max_steps is None:
        return training.epochs
    return training.max_steps / math.ceil(rows / (training.batch_size * training.accumulation))


def warnings(exposures: list[Exposure]) -> list[str]:
    """What is to be said of tasks that are seen too often."""
    return [
        f"Each row of {exposure.task or 'the rows without a task'} is seen {exposure.epochs:.1f} "
        f"times: past {MOST_EPOCHS} epochs repeats teach less and less (Muennighoff et al., 2023)."
        for exposure in exposures
        if exposure.epochs > MOST_EPOCHS
    ]
