"""From examples to batches: encoded rows, a repeatable order, padding."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config.schema import Training


@dataclass(frozen=True, slots=True)
class Row:
    """One encoded example."""

    ids: Tensor
    """Token ids, int32, shape (tokens,)."""
    trained: Tensor
    """Which tokens are learnt, bool, shape (tokens,)."""
    trained_tokens: int
    number: int = 0
    """Its line in data.jsonl, counted from 1; 0 where that isn't known."""
    task: str = ""

    def __len__(self) -> int:
        return len(self.ids)


class Schedule:
    """Which rows each optimiser step takes: a function of the seed alone.

    So a sampler's state is one number, the step, and a resumed run takes the very rows
    that the uninterrupted one would have taken.
    """

    def __init__(self, rows: int, training: Training) -> None:
        """`rows` is the size of the training split, at least 1."""
        self._rows = rows
        self._seed = training.seed
        self._a_step = training.batch_size * training.accumulation
        self.steps_per_epoch = math.ceil(rows / self._a_step)
        # 1.1 epochs of 10 steps are 11 steps, though 1.1 * 10 is a little more.
        by_epochs = math.ceil(round(training.epochs * self.steps_per_epoch, 6))
        self._order: tuple[int, list[int]] = (-1, [])
        self.total_steps = training.max_steps or by_epochs

    def epoch_after(self, step: int) -> float:
        """Passes over the data that are done after `step` steps."""
        return step / self.steps_per_epoch

    def rows_of(self, step: int) -> list[int]:
        """The row numbers of step `step`, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._order_of(epoch)
        return order[position * self._a_step : (position + 1) * self._a_step]

    def _order_of(self, epoch: int) -> list[int]:
        # Kept while the epoch lasts: to shuffle a million rows takes half a second.
        if self._order[0] != epoch:
            order = list(range(self._rows))
            random.Random(f"{self._seed}/{epoch}").shuffle(order)  # noqa: S311
            self._order = (epoch, order)
        return self._order[1]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right to one length, and where their trained tokens are.

    There is no attention mask: what stands to the right of a token is hidden from it in a
    causal model anyway, and attention without a mask is the fast kind.
    """

    input_ids: Tensor
    """Token ids, int64, shape (rows, tokens)."""
    places: Tensor
    """Row and position of the token *before* each trained one, int64, shape (2, trained).

    Found on the CPU: to look for them on a GPU would make every step wait for it.
    """
    labels: Tensor
    """The trained tokens' ids, int64, shape (trained,)."""
    rows: list[int]
    """The rows' places in the sequence that was batched."""
    tokens: int
    """Padding not counted."""
    trained_tokens: int


def batches(
    rows: Sequence[Row], batch_size: int, pad_id: int, device: torch.device
) -> Iterator[Batch]:
    """Batches of at most `batch_size` rows, like lengths together so that little is padded."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
    for start in range(0, len(order), batch_size):
        yield _collate(rows, order[start : start + batch_size], pad_id, device)


def _collate(rows: Sequence[Row], picked: list[int], pad_id: int, device: torch.device) -> Batch:
    width = max(len(rows[i]) for i in picked)
    input_ids = torch.full((len(picked), width), pad_id, dtype=torch.long)
    trained = torch.zeros((len(picked), width), dtype=torch.bool)
    for place, i in enumerate(picked):
        input_ids[place, : len(rows[i])] = rows[i].ids
        trained[place, : len(rows[i])] = rows[i].trained
    row, before = torch.nonzero(trained[:, 1:], as_tuple=True)
    return Batch(
        input_ids=_ship(input_ids, device),
        places=_ship(torch.stack([row, before]), device),
        labels=_ship(input_ids[row, before + 1], device),
        rows=picked,
        tokens=sum(len(rows[i]) for i in picked),
        trained_tokens=sum(rows[i].trained_tokens for i in picked),
    )


def _ship(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        # Only from pinned memory is a copy one that nobody waits for.
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
