"""From rows to batches: a repeatable order, packing, padding."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, insort
from collections.abc import Sequence
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
    """Its line in the version's data.jsonl, counted from 1."""
    task: str = ""

    def __len__(self) -> int:
        return len(self.ids)


def lengths_of(rows: Sequence[Row]) -> Sequence[int]:
    """Tokens of each row, without reading rows that know them."""
    known = getattr(rows, "lengths", None)
    return [len(row) for row in rows] if known is None else known.tolist()


class Schedule:
    """Which rows each optimiser step takes: a function of the seed alone.

    So a sampler's state is one number, the step, and a resumed run takes the very rows
    that the uninterrupted one would have taken.
    """

    def __init__(self, rows: int, training: Training) -> None:
        """`rows` is the size of the training split, at least 1."""
        self._rows = rows
        self._seed = training.seed
        self.rows_a_step = training.batch_size * training.accumulation
        self.steps_per_epoch = math.ceil(rows / self.rows_a_step)
        # 1.1 epochs of 10 steps are 11 steps, though 1.1 * 10 is a little more.
        by_epochs = math.ceil(round(training.epochs * self.steps_per_epoch, 6))
        self._order: tuple[int, list[int]] = (-1, [])
        self.total_steps = training.max_steps or by_epochs

    def epoch_after(self, step: int) -> float:
        """Passes over the data that are done after `step` steps."""
        return step / self.steps_per_epoch

    def epoch_of(self, step: int) -> int:
        """The pass over the data that step `step`, counted from 0, is in; the first is 1."""
        return step // self.steps_per_epoch + 1

    def rows_of(self, step: int) -> list[int]:
        """The row numbers of step `step`, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._order_of(epoch)
        return order[position * self.rows_a_step : (position + 1) * self.rows_a_step]

    def _order_of(self, epoch: int) -> list[int]:
        # Kept while the epoch lasts: to shuffle a million rows takes half a second.
        if self._order[0] != epoch:
            order = list(range(self._rows))
            random.Random(f"{self._seed}/{epoch}").shuffle(order)  # noqa: S311
            self._order = (epoch, order)
        return self._order[1]


@dataclass(frozen=True, slots=True)
class Layout:
    """How many rows go through the model at once, and how they lie in a batch.

    Packed rows lie end to end, as many as have no more tokens than `size` of the longest would
    have: a packed batch never needs more memory than a padded one may.
    """

    size: int
    """Rows."""
    longest: int
    """Tokens of the longest row that there is."""
    pad_id: int
    packed: bool

    def groups(self, lengths: Sequence[int], ranks: int = 1) -> list[list[int]]:
        """The places of rows of `lengths` tokens, batch by batch, each in one batch.

        Padded, rows of like lengths go together, so that little is padded. For several ranks
        batches are no larger than gives each of them one.
        """
        order = sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True)
        if self.packed:
            even = max(max(lengths), math.ceil(sum(lengths) / ranks))
            return _best_fit(order, lengths, min(self.size * self.longest, even))
        size = min(self.size, math.ceil(len(order) / ranks))
        return [order[start : start + size] for start in range(0, len(order), size)]


def _best_fit(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Best-fit decreasing: each row, the longest first, to the fullest bin that has room for it.

    At most 11/9 of the fewest bins possible, and four (Johnson, 1973).
    """
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []
    """Free tokens of each bin and its number, the fullest bin first."""
    for i in order:
        place = bisect_left(room, (lengths[i], -1))
        if place < len(room):
            free, number = room.pop(place)
        else:
            free, number = budget, len(bins)
            bins.append([])
        bins[number].append(i)
        insort(room, (free - lengths[i], number))
    return bins


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go through the model at once, and where their trained tokens are.

    Padded on the right to one length, or end to end in a single row of `input_ids`. There is no
    attention mask: what stands to the right of a token is hidden from it in a causal model
    anyway, and attention without a mask is the fast kind.
    """

    input_ids: Tensor
    """Token ids, int64, shape (rows, tokens); (1, tokens) when packed."""
    position_ids: Tensor | None
    """Place of each token in its own row, int64, as `input_ids`; None when padded."""
    segments: tuple[int, ...]
    """Tokens of each packed row, in their order; empty when padded."""
    starts: Tensor | None
    """Where each packed row starts, and the end, int32, shape (rows + 1,); None when padded."""
    places: Tensor
    """Row and position in `input_ids` of the token *before* each trained one, int64, shape
    (2, trained).

    Found on the CPU: to look for them on a GPU would make every step wait for it.
    """
    owners: Tensor
    """Which row of `rows` each trained token is of, int64, shape (trained,)."""
    labels: Tensor
    """The trained tokens' ids, int64, shape (trained,)."""
    rows: list[int]
    """The rows' places in the sequence that was batched."""
    lengths: tuple[int, ...]
    """Tokens of each row."""
    tokens: int
    """Padding not counted."""
    trained_tokens: int


def collate(rows: Sequence[Row], picked: list[int], layout: Layout, device: torch.device) -> Batch:
    """One batch of the rows at the places `picked`; without any, of one token of padding."""
    lengths = [len(rows[i]) for i in picked]
    pack = _lay_out if layout.packed else _pad
    input_ids, position_ids, row, before, owners = pack(
        [rows[i].ids for i in picked], [rows[i].trained for i in picked], layout.pad_id
    )
    starts = torch.tensor([0, *(lengths or [1])]).cumsum(0, dtype=torch.int32)
    return Batch(
        input_ids=_ship(input_ids, device),
        position_ids=None if position_ids is None else _ship(position_ids, device),
        segments=tuple(lengths or [1]) if layout.packed else (),
        starts=_ship(starts, device) if layout.packed else None,
        places=_ship(torch.stack([row, before]), device),
        owners=_ship(owners, device),
        labels=_ship(input_ids[row, before + 1], device),
        rows=picked,
        lengths=tuple(lengths),
        tokens=sum(lengths),
        trained_tokens=sum(rows[i].trained_tokens for i in picked),
    )


Laid = tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]
"""Input ids, position ids, and of each trained token row and position of the token before it,
and the example that it is of."""


def _lay_out(ids: list[Tensor], trained: list[Tensor], pad_id: int) -> Laid:
    if not ids:
        ids, trained = [torch.tensor([pad_id])], [torch.zeros(1, dtype=torch.bool)]
    position_ids = torch.cat([torch.arange(len(row)) for row in ids])
    owner = torch.repeat_interleave(torch.tensor([len(row) for row in ids]))
    # Nothing of a row stands before its first token, only the row before it.
    learnt = torch.nonzero(torch.cat(trained) & (position_ids > 0)).squeeze(1)
    return (
        torch.cat(ids).long().unsqueeze(0),
        position_ids.unsqueeze(0),
        torch.zeros_like(learnt),
        learnt - 1,
        owner[learnt],
    )


def _pad(ids: list[Tensor], trained: list[Tensor], pad_id: int) -> Laid:
    width = max((len(row) for row in ids), default=1)
    input_ids = torch.full((max(1, len(ids)), width), pad_id, dtype=torch.long)
    learnt = torch.zeros(input_ids.shape, dtype=torch.bool)
    for place, (row_ids, row_trained) in enumerate(zip(ids, trained, strict=True)):
        input_ids[place, : len(row_ids)] = row_ids
        learnt[place, : len(row_ids)] = row_trained
    row, before = torch.nonzero(learnt[:, 1:], as_tuple=True)
    return input_ids, None, row, before, row


def _ship(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        # Only from pinned memory is a copy one that nobody waits for.
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
