"""From rows to batches: a repeatable order, packing, padding."""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from workbench.config.schema import Training
from workbench.config.steps import StepSize

_LOOKED_AT = 256
"""Rows that are looked at for what all begin with."""
_LEAST_SHARED = 8
"""Tokens; fewer are computed for each row."""


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
    """Which rows each optimiser step takes: a function of the seed, and by tokens of the rows'
    lengths, alone.

    So a sampler's state is one number, the step, and a resumed run takes the very rows
    that the uninterrupted one would have taken. By tokens an epoch has as many steps as its order
    gives, and each is planned to know how many all have: a second for a million rows.
    """

    def __init__(self, lengths: Sequence[int], training: Training, processes: int = 1) -> None:
        """`lengths` are the tokens of each row of the training split, at least one, and
        `processes` those that a step by tokens has a row for."""
        self._size = StepSize.of(training, processes)
        self._rows = len(lengths)
        self._lengths = array("I", lengths if self._size.tokens else ())
        self._seed = training.seed
        self._epoch = -1
        """The one that is planned: its order, and where in it each step begins, and the end."""
        self._order: list[int] = []
        self._starts = array("I")
        self._before = [0]
        """By tokens, the steps before each epoch, as far as they are known."""
        self.total_steps = training.max_steps or self._steps_of(training.epochs)
        # By tokens steps may be given that nobody has planned yet, and they may be many.
        planned = training.max_steps is None or not self._size.tokens
        self.epochs = (
            self.epoch_after(self.total_steps) if planned else self.total_steps / self.steps_in(0)
        )
        """Passes over the data of all steps; of a number of steps by tokens as the first goes."""

    def steps_in(self, epoch: int) -> int:
        """How many steps the pass `epoch`, counted from 0, has."""
        if self._size.rows:
            return math.ceil(self._rows / self._size.rows)
        return self._steps_before(epoch + 1) - self._steps_before(epoch)

    def epoch_after(self, step: int) -> float:
        """Passes over the data that are done after `step` steps."""
        epoch, place = self._place_of(step)
        # What was done of an epoch that nobody has begun is nothing: it is not planned for that.
        return epoch + place / self.steps_in(epoch) if place else float(epoch)

    def epoch_of(self, step: int) -> int:
        """The pass over the data that step `step`, counted from 0, is in; the first is 1."""
        return self._place_of(step)[0] + 1

    def rows_of(self, step: int) -> list[int]:
        """The row numbers of step `step`, counted from 0."""
        epoch, place = self._place_of(step)
        self._plan(epoch)
        return self._order[self._starts[place] : self._starts[place + 1]]

    def _place_of(self, step: int) -> tuple[int, int]:
        """The epoch of a step, and its place in it, both counted from 0."""
        if self._size.rows:
            return divmod(step, self.steps_in(0))
        while self._before[-1] < step:
            self._steps_before(len(self._before))
        # The step that ends an epoch is followed by the first of the next.
        epoch = bisect_right(self._before, step) - 1
        return epoch, step - self._before[epoch]

    def _steps_before(self, epoch: int) -> int:
        """Steps of all epochs before it."""
        if self._size.rows:
            return epoch * self.steps_in(0)
        for number in range(len(self._before) - 1, epoch):
            self._plan(number)
            self._before.append(self._before[-1] + len(self._starts) - 1)
        return self._before[epoch]

    def _steps_of(self, epochs: float) -> int:
        """At least one."""
        whole = int(epochs)
        steps = self._steps_before(whole)
        if rest := epochs - whole:
            # 1.1 epochs of 10 steps are 11 steps, though 0.1 * 10 is a little more.
            steps += math.ceil(round(rest * self.steps_in(whole), 6))
        return max(1, steps)

    def _plan(self, epoch: int) -> None:
        # Kept while the epoch lasts: to shuffle a million rows takes half a second.
        if self._epoch == epoch:
            return
        order = list(range(self._rows))
        random.Random(f"{self._seed}/{epoch}").shuffle(order)  # noqa: S311
        self._epoch, self._order, self._starts = epoch, order, self._cut(order)

    def _cut(self, order: Sequence[int]) -> array[int]:
        """Where the steps of an epoch begin, and the end."""
        size, lengths = self._size, self._lengths
        if size.rows:
            return array("I", [*range(0, self._rows, size.rows), self._rows])
        sums = array("Q", accumulate(map(lengths.__getitem__, order)))
        starts, done = array("I", [0]), 0
        while (start := starts[-1]) < self._rows:
            end = max(bisect_right(sums, done + size.tokens, start), start + size.least)
            starts.append(min(end, self._rows))
            done = sums[starts[-1] - 1]
        return starts


@dataclass(frozen=True, slots=True)
class Layout:
    """How much goes through the model at once, and how rows lie in a batch.

    Packed rows lie end to end, as many as have no more tokens than `size` of the longest would
    have: a packed batch never needs more memory than a padded one may.
    """

    size: int
    """Rows; 0 where `tokens` counts."""
    longest: int
    """Tokens of the longest row that there is."""
    pad_id: int
    packed: bool
    beginning: tuple[int, ...] = ()
    """Token ids that rows begin with: packed rows have them in common, once at the front."""
    tokens: int = 0
    """Of a batch, padding counted, in place of `size`; a longer row is a batch of its own."""

    @property
    def room(self) -> int:
        """Tokens of a packed batch."""
        return self.tokens or self.size * self.longest

    def rows_at_once(self, longest: int) -> int:
        """Rows of a padded batch whose longest one has so many tokens."""
        return max(1, self.tokens // longest) if self.tokens else self.size

    def groups(self, lengths: Sequence[int], ranks: int = 1) -> list[list[int]]:
        """The places of rows of `lengths` tokens, batch by batch, each in one batch.

        Padded, rows of like lengths go together, so that little is padded. For several ranks
        batches are no larger than gives each of them one.
        """
        order = sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True)
        if self.packed:
            even = max(max(lengths), math.ceil(sum(lengths) / ranks))
            return _best_fit(order, lengths, min(self.room, even))
        found, start, even = [], 0, math.ceil(len(order) / ranks)
        while start < len(order):
            size = min(self.rows_at_once(lengths[order[start]]), even)
            found.append(order[start : start + size])
            start += size
        return found


def _best_fit(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Best-fit decreasing: each row, the longest first, to the fullest bin that has room for it.

    At most 11/9 of the fewest bins possible, and four (Johnson, 1973). A row that has more tokens
    than the budget has a bin of its own, which nothing has room in.
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
    shared: tuple[int, ...]
    """How many of them, of each packed row, are the beginning that stands once at the front,
    before all rows; empty where none does."""
    starts: Tensor | None
    """Where each packed row starts, and the end, were each of them whole, int32, shape
    (rows + 1,); None when padded."""
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
    chosen = [rows[i] for i in picked]
    laid = _lay_out(chosen, layout) if layout.packed else _pad(chosen, layout.pad_id)
    starts = torch.tensor([0, *(lengths or [1])]).cumsum(0, dtype=torch.int32)
    return Batch(
        input_ids=ship(laid.input_ids, device),
        position_ids=None if laid.position_ids is None else ship(laid.position_ids, device),
        segments=tuple(lengths or [1]) if layout.packed else (),
        shared=laid.shared,
        starts=ship(starts, device) if layout.packed else None,
        places=ship(laid.places, device),
        owners=ship(laid.owners, device),
        labels=ship(laid.labels, device),
        rows=picked,
        lengths=tuple(lengths),
        tokens=sum(lengths),
        trained_tokens=sum(row.trained_tokens for row in chosen),
    )


@dataclass(frozen=True, slots=True)
class _Laid:
    """Rows side by side or end to end; the fields are those of a Batch."""

    input_ids: Tensor
    position_ids: Tensor | None
    places: Tensor
    owners: Tensor
    labels: Tensor
    shared: tuple[int, ...] = ()


def _lay_out(rows: list[Row], layout: Layout) -> _Laid:
    if not rows:
        rows = [Row(torch.tensor([layout.pad_id]), torch.zeros(1, dtype=torch.bool), 0)]
    shared = _shared(rows, layout.beginning)
    front = len(layout.beginning) if shared else 0
    ids = torch.cat([row.ids for row in rows]).long()
    position_ids = torch.cat([torch.arange(len(row)) for row in rows])
    owner = torch.repeat_interleave(torch.tensor([len(row) for row in rows]))
    # Nothing of a row stands before its first token, only the row before it.
    learnt = torch.nonzero(torch.cat([row.trained for row in rows]) & (position_ids > 0)).squeeze(1)
    # Where each token of the whole rows stands once their beginnings are one.
    own = position_ids >= torch.tensor(shared or [0] * len(rows))[owner]
    place = torch.where(own, front + own.cumsum(0) - 1, position_ids)
    beginning = torch.tensor(layout.beginning[:front], dtype=torch.long)
    before = place[learnt - 1]
    return _Laid(
        torch.cat([beginning, ids[own]]).unsqueeze(0),
        torch.cat([torch.arange(front), position_ids[own]]).unsqueeze(0),
        torch.stack([torch.zeros_like(before), before]),
        owner[learnt],
        ids[learnt],
        shared,
    )


def _shared(rows: list[Row], beginning: tuple[int, ...]) -> tuple[int, ...]:
    """How much of each row is `beginning`: all of it or nothing; empty where less than two rows
    have it."""
    size, wanted = len(beginning), torch.tensor(beginning)
    has_it = [
        size if len(row) > size and torch.equal(row.ids[:size].long(), wanted) else 0
        for row in rows
    ]
    return tuple(has_it) if size and sum(map(bool, has_it)) > 1 else ()


def common_beginning(rows: Sequence[Row]) -> tuple[int, ...]:
    """The token ids that rows begin with, as those of them say that are looked at; empty where
    it isn't worth it.

    A template's own system turn, or a prompt that all rows have: SmolLM2's is a tenth of the
    tokens of GSM8K.
    """
    every = max(1, len(rows) // _LOOKED_AT)
    some = [rows[place].ids for place in range(0, len(rows), every)]
    # The last token of a row is its own, so that there is something to attend to.
    table = torch.stack([ids[: min(map(len, some)) - 1] for ids in some])
    common = int((table == table[0]).all(dim=0).long().cumprod(0).sum())
    return tuple(table[0, :common].tolist()) if len(some) > 1 and common >= _LEAST_SHARED else ()


def _pad(rows: list[Row], pad_id: int) -> _Laid:
    width = max((len(row) for row in rows), default=1)
    input_ids = torch.full((max(1, len(rows)), width), pad_id, dtype=torch.long)
    learnt = torch.zeros(input_ids.shape, dtype=torch.bool)
    for place, row in enumerate(rows):
        input_ids[place, : len(row)] = row.ids
        learnt[place, : len(row)] = row.trained
    owners, before = torch.nonzero(learnt[:, 1:], as_tuple=True)
    places = torch.stack([owners, before])
    return _Laid(input_ids, None, places, owners, input_ids[owners, before + 1])


def ship(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on `device`, without waiting for it."""
    if device.type == "cuda":
        # Only from pinned memory is a copy one that nobody waits for.
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
