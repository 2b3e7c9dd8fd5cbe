"""How often a run sees the rows of each task: known before it starts."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from workbench.config.schema import RunConfig
from workbench.config.steps import an_epoch
from workbench.data import versions
from workbench.data.lengths import Lengths
from workbench.data.mix import MOST_EPOCHS
from workbench.data.versions import Version


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a run sees of a task."""

    task: str
    rows: int
    """Training rows, with repeats."""
    different_rows: int
    epochs: float | None
    """How often each different row is seen, on average; None where nobody can tell."""

    def to_json(self) -> dict[str, Any]:
        epochs = None if self.epochs is None else round(self.epochs, 3)
        return {**asdict(self), "epochs": epochs}


def depends_on_lengths(config: RunConfig) -> bool:
    """Whether it takes the rows' lengths to know how many passes the steps of a config are."""
    return config.training.max_steps is not None and config.training.step_tokens is not None


def by_task(version: Version, config: RunConfig, lengths: Lengths | None = None) -> list[Exposure]:
    """What a run of the config sees of each task of the version, the largest first.

    `lengths` are those of its training rows, where they are known. Of rows that
    `data.train_rows` chooses it is the mean over all choices; rows that are left out for their
    length are not known before they are encoded. Raises WorkbenchError when the version can't be
    read.
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
    passes = _passes(taken, config, lengths)
    found = []
    for task, count in rows.most_common():
        seen = None if passes is None else passes * taken / total * count / different[task]
        found.append(Exposure(task, count, different[task], seen))
    return found


def _passes(rows: int, config: RunConfig, lengths: Lengths | None) -> float | None:
    """Epochs over so many rows; steps, where they are given, count instead."""
    training = config.training
    if training.max_steps is None:
        return training.epochs
    # Without the lengths, where they don't matter: rows that are left out aren't counted here.
    epoch = an_epoch(config, rows, lengths if depends_on_lengths(config) else None)
    return None if epoch is None else training.max_steps / epoch.steps


def warnings(exposures: list[Exposure]) -> list[str]:
    """What is to be said of tasks that are seen too often."""
    if any(exposure.epochs is None for exposure in exposures):
        return [
            "How often rows are seen isn't known: training.step_tokens fills steps by tokens, and "
            "nobody has measured the rows. `workbench data verdict` does."
        ]
    return [
        f"Each row of {exposure.task or 'the rows without a task'} is seen {exposure.epochs:.1f} "
        f"times: past {MOST_EPOCHS} epochs repeats teach less and less (Muennighoff et al., 2023)."
        for exposure in exposures
        if exposure.epochs is not None and exposure.epochs > MOST_EPOCHS
    ]
