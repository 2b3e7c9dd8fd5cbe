"""The largest batches, once, before the first step: a lack of memory shows in the first minute.

A rehearsal leaves nothing behind: no gradient, no state of an optimiser, no random number drawn.
"""

from __future__ import annotations

import gc
import heapq
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

import torch
from torch import nn

from workbench.config.activations import Work
from workbench.config.memory_advice import Doing
from workbench.config.steps import StepSize
from workbench.training import memory
from workbench.training.batches import Batch, Layout, Row, collate
from workbench.training.optimizers import is_paged

MakeOptimizer = Callable[[], torch.optim.Optimizer]
Step = Callable[[Batch], None]
"""Takes a batch forward and back, and leaves nothing behind."""
Advised = Callable[[Doing], AbstractContextManager[None]]
"""Tells of a lack of memory with what would help."""
_MARGIN = 0.9
"""Share of the host's free memory that the next larger try may be expected to take."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a rehearsal took."""

    rows: int
    """Of the largest training batch."""
    tokens: int
    peak: int
    """Bytes, as `memory.peak` counts them."""
    seconds: float
    work: Work
    """The largest batches, as a forecast of memory is asked for them."""


Pieces = list[tuple[int, int]]
"""Of a batch the place of each row in it, and how many of its tokens."""


def largest(lengths: Sequence[int], layout: Layout, step: StepSize, ranks: int = 1) -> list[Pieces]:
    """The largest batch that `layout` may make of the rows of any step, of those of `lengths`;
    where that is without the longest row, one with it, too.

    Packed, the last row is cut where the batch is full: of others than the longest one may be
    fuller than these would be.
    """
    # By tokens shorter rows may make up a fuller batch than the longest do.
    few = step.rows and (layout.packed or not layout.tokens)
    rows = step.rows if few else len(lengths)
    order = heapq.nlargest(rows, range(len(lengths)), key=lengths.__getitem__)
    if not layout.packed:
        return _largest_padded(lengths, order, layout, step, ranks)
    whole = sum(lengths[place] for place in order)
    if step.tokens:
        whole = min(whole, max(step.tokens, sum(lengths[i] for i in order[: step.least])))
    longest = lengths[order[0]]
    room = max(longest, min(layout.room, math.ceil(whole / ranks)))
    picked = []
    for place in order:
        picked.append((place, min(room, lengths[place])))
        room -= lengths[place]
        if room <= 0:
            break
    return [picked]


def _largest_padded(
    lengths: Sequence[int], order: Sequence[int], layout: Layout, step: StepSize, ranks: int
) -> list[Pieces]:
    """By the length that a batch is padded to: what has most tokens then, and the longest."""
    most = _MostRows([lengths[place] for place in reversed(order)], step)
    found: dict[int, tuple[int, int]] = {}
    for begin, place in enumerate(order):
        if (width := lengths[place]) not in found:
            even = math.ceil(most.beside(width) / ranks)
            found[width] = (begin, min(layout.rows_at_once(width), even, len(order) - begin))
    widest = lengths[order[0]]
    fullest = max(found, key=lambda width: (width * found[width][1], width))
    return [
        [(place, lengths[place]) for place in order[begin : begin + rows]]
        for begin, rows in (found[width] for width in dict.fromkeys((fullest, widest)))
    ]


def most_at_once(lengths: Sequence[int], layout: Layout, step: StepSize, ranks: int = 1) -> int:
    """How many rows at once, by `Layout.size`, a rank can have of a step at most."""
    if step.rows:
        return math.ceil(step.rows / ranks)
    if layout.packed:
        # As many tokens as so many of the longest have.
        return math.ceil(max(step.tokens / ranks / layout.longest, step.least / ranks))
    short = bisect_right(list(accumulate(sorted(lengths))), step.tokens)
    return math.ceil(max(short, step.least) / ranks)


class _MostRows:
    """How many rows a step may have at most."""

    def __init__(self, lengths: Sequence[int], step: StepSize) -> None:
        """`lengths` are those of all rows, the shortest first."""
        self._rows = len(lengths)
        self._step = step
        self._sums = list(accumulate(lengths)) if step.tokens else []

    def beside(self, width: int) -> int:
        """With one of `width` tokens."""
        if self._step.rows:
            return min(self._rows, self._step.rows)
        short = bisect_right(self._sums, self._step.tokens - width)
        return min(self._rows, max(1 + short, self._step.least))


def rehearse(
    measure: nn.Module,
    step: Step,
    train: Sequence[Batch],
    validation: Batch | None,
    advised: Advised,
) -> Result:
    """Take the largest training batches, the one with most tokens first, through `step`, and the
    largest validation batch forward.

    `measure` is a TrainedTokenLoss. Each of the two goes on inside `advised`, and raises as that
    does when memory runs out.
    """
    device = train[0].input_ids.device
    memory.forget_peak(device)
    began = time.perf_counter()
    with advised("training"):
        for batch in train:
            step(batch)
    if validation is not None:
        measure.eval()
        with advised("evaluating"), torch.no_grad():
            measure(validation)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - began
    work = Work(
        max(batch.input_ids.numel() for batch in train),
        max(max(batch.lengths, default=1) for batch in train),
        max(batch.trained_tokens for batch in train),
        0 if validation is None else validation.input_ids.numel(),
    )
    rows, tokens = len(train[0].rows), train[0].tokens
    return Result(rows, tokens, memory.peak(device), seconds, work)


def step_of(measure: nn.Module, make_optimizer: MakeOptimizer) -> Step:
    """As the second step of a run: what the optimiser keeps is there, and gradients are, while
    the batch goes forward and back."""
    return partial(_step, measure, make_optimizer)


def _step(measure: nn.Module, make_optimizer: MakeOptimizer, batch: Batch) -> None:
    measure.train()
    trained = [p for p in measure.parameters() if p.requires_grad]
    try:
        optimizer = make_optimizer()
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        for parameter in trained:
            # With a learning rate of 0 and no gradient no weight changes, not even to NaN.
            parameter.grad = torch.zeros_like(parameter)
        # bitsandbytes never frees a page, and what is in pages can leave the GPU.
        if not is_paged(optimizer):
            optimizer.step()
        measure(batch).sum().backward()
    finally:
        for parameter in trained:
            parameter.grad = None


def largest_that_fits(
    layout: Layout,
    most: int,
    rehearse_with: Callable[[Layout], Result],
    device: torch.device,
    tell: Callable[[int], None],
) -> Layout:
    """`layout` with as many rows at once as memory has room for, at most `most`, found by trying
    1, 2, 4, … of them; `tell` hears of each before it is tried.

    Where memory ends with the kernel's kill instead of an exception, on the host, a size is not
    tried that the growth of those before it forbids. Raises as `rehearse_with` does when not even
    one row fits.
    """

    def attempt(size: int) -> Result | None:
        tell(size)
        try:
            return rehearse_with(replace(layout, size=size))
        except Exception as error:
            if size == 1 or not memory.is_shortage(error):
                raise
            return None
        finally:
            _let_go(device)

    before = memory.held(device)
    fitting, size = 0, 1
    while fitting < most:
        result = attempt(size)
        if result is None:
            break
        fitting, size = size, min(2 * size, most)
        growth = (result.peak - before) * size // fitting
        if device.type != "cuda" and growth > _MARGIN * memory.host_memory_left():
            return replace(layout, size=fitting)
    # What fitted before a try that failed may not fit after it: memory is in other pieces.
    while fitting < size and attempt(fitting) is None:
        size, fitting = fitting, fitting // 2
    return replace(layout, size=fitting)


def _let_go(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def batch_of(
    rows: Sequence[Row], picked: Sequence[tuple[int, int]], layout: Layout, device: torch.device
) -> Batch:
    """One batch of what `largest` has picked of `rows`."""
    pieces = [_piece(rows[place], tokens) for place, tokens in picked]
    return collate(pieces, list(range(len(pieces))), layout, device)


def _piece(row: Row, tokens: int) -> Row:
    trained = row.trained[:tokens]
    return Row(row.ids[:tokens], trained, int(trained.sum()))
