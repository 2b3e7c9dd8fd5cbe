"""The loss of each example each time that it is learnt: `examples.jsonl` in the run's folder.

A line is `{"epoch":1,"step":7,"row":42,"loss":1.23,"tokens":56}`: `row` is the example's line in
the version's data.jsonl, counted from 1, `loss` the mean over its trained tokens, in nats, before
the step's update; null where it was not a number. After a resume steps come again that were done
after the checkpoint: of an epoch and a row the last line counts. `learning.log` reads it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.learning.log import NAME as NAME
from workbench.training.batches import Row

_LONGEST = 1024
"""Bytes that no line has."""


@dataclass(frozen=True, slots=True)
class RowLoss:
    row: int
    loss: float | None
    """Mean over the row's trained tokens, in nats; None where that is not a number."""
    tokens: int
    """Its trained tokens."""
    task: str = ""

    @classmethod
    def of(cls, row: Row, total: float) -> RowLoss:
        """From the sum of the loss over the row's trained tokens."""
        mean = total / max(1, row.trained_tokens)
        return cls(row.number, mean if math.isfinite(mean) else None, row.trained_tokens, row.task)

    def to_json(self) -> dict[str, float | int | None]:
        loss = None if self.loss is None else round(self.loss, 5)
        return {"row": self.row, "loss": loss, "tokens": self.tokens}


class ExampleLog:
    """Appends to it, a step at a time."""

    def __init__(self, folder: Path) -> None:
        """Cuts off a torn last line that a crash left."""
        self._path = folder / NAME
        with suppress(FileNotFoundError), self._path.open("rb+") as stream:
            size = stream.seek(0, os.SEEK_END)
            end = stream.seek(max(0, size - _LONGEST))
            stream.truncate(end + stream.read().rfind(b"\n") + 1)

    def write(self, epoch: int, step: int, rows: Sequence[RowLoss]) -> None:
        """Raises OSError as a full disk does."""
        lines = (json.dumps({"epoch": epoch, "step": step, **row.to_json()}) for row in rows)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))
