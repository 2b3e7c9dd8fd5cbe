"""A step's figures on their way from the device to the log."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from workbench.jobs.events import Skipped, Spiked, Step
from workbench.jobs.failure import NonFiniteLoss
from workbench.jobs.log import LogWriter
from workbench.training.batches import Row, Schedule
from workbench.training.examples import ExampleLog, RowLoss
from workbench.training.ranks import Ranks
from workbench.training.spikes import Spikes


class Figures:
    """A step's loss, gradient norm and losses by row on their way to the host, with its time."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        if self._cuda:
            self._begin = torch.cuda.Event(enable_timing=True)
            self._end = torch.cuda.Event(enable_timing=True)
            self._begin.record()
        else:
            self._started = time.perf_counter()

    def send(
        self, loss: torch.Tensor, norm: torch.Tensor, row_sums: Sequence[torch.Tensor]
    ) -> None:
        """Start the copy to the host, without waiting for it.

        `loss` and `norm` have shape (), each of `row_sums` (rows of a micro-batch,).
        """
        figures = torch.cat([torch.stack([loss, norm.float()]), *row_sums])
        if self._cuda:
            self._host = torch.empty(len(figures), pin_memory=True)
            self._host.copy_(figures, non_blocking=True)
            self._end.record()
        else:
            self._host = figures
            self._seconds = time.perf_counter() - self._started

    def receive(self) -> tuple[float, float, torch.Tensor, float]:
        """Loss, gradient norm, losses by row (rows,), and the seconds that the step took on the
        device."""
        if self._cuda:
            self._end.synchronize()
            self._seconds = self._begin.elapsed_time(self._end) / 1000
        loss, norm = self._host[:2].tolist()
        return loss, norm, self._host[2:], self._seconds


@dataclass(frozen=True, slots=True)
class StepInFlight:
    """A step that the device may still be working on."""

    step: int
    figures: Figures
    learning_rate: float
    tokens: int
    trained_tokens: int
    rows: list[int]
    """Places of the step's rows in the training split, as this rank sent their losses."""


@dataclass(frozen=True, slots=True)
class _Done:
    """A step whose figures are there."""

    step: StepInFlight
    loss: float
    norm: float
    seconds: float

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.norm)


class StepLog:
    """Logs steps one step late, so that none is waited for, every so many steps."""

    def __init__(
        self,
        log: LogWriter,
        schedule: Schedule,
        rows: Sequence[Row],
        examples: ExampleLog,
        ranks: Ranks,
        *,
        every: int,
        skip_limit: int,
    ) -> None:
        self._log = log
        self._schedule = schedule
        self._rows = rows
        self._examples = examples
        self._ranks = ranks
        self.every = every
        self._skip_limit = skip_limit
        self._skipped = 0
        """Steps in a row that were skipped."""
        self.learnt = False
        """Whether a step was taken with a learning rate."""
        self._spikes = Spikes()
        self._in_flight: StepInFlight | None = None
        self._done: list[_Done] = []
        """Steps that are not in the log yet."""

    def add(self, step: StepInFlight) -> None:
        """Take up a step, and see to the one before it.

        Raises NonFiniteLoss when that one was the last of too many to skip.
        """
        before, self._in_flight = self._in_flight, step
        self._receive(before)
        if len(self._done) >= self.every:
            self._write()

    def flush(self) -> None:
        """Wait for the step in flight, and log all that there is. Raises as `add` does."""
        before, self._in_flight = self._in_flight, None
        self._receive(before)
        self._write()

    def _receive(self, step: StepInFlight | None) -> None:
        if step is None:
            return
        loss, norm, row_sums, seconds = step.figures.receive()
        done = _Done(step, loss, norm, seconds)
        row_losses = self._row_losses(step, row_sums)
        if self._ranks.first:
            self._done.append(done)
            self._examples.write(self._schedule.epoch_of(step.step - 1), step.step, row_losses)
        if not done.finite:
            self._skip(done, row_losses)
            return
        self._skipped = 0
        self.learnt |= step.learning_rate > 0
        usual = self._spikes.add(loss)
        if usual is not None and self._ranks.first:
            self._write()
            self._log.write(Spiked(step.step, loss, usual, _listed(row_losses)))

    def _row_losses(self, step: StepInFlight, row_sums: torch.Tensor) -> list[RowLoss]:
        """Of the rows of all ranks; on the first, where they are written."""
        places = self._ranks.gather(torch.tensor(step.rows, dtype=torch.int64))
        sums = self._ranks.gather(row_sums)
        return [
            RowLoss.of(self._rows[place], total)
            for of_rank, totals in zip(places, sums, strict=True)
            for place, total in zip(of_rank.tolist(), totals.tolist(), strict=True)
        ]

    def _skip(self, done: _Done, row_losses: list[RowLoss]) -> None:
        self._skipped += 1
        what = "gradient" if math.isfinite(done.loss) else "loss"
        if self._ranks.first:
            self._write()
            self._log.write(Skipped(done.step.step, what, _listed(row_losses)))
        if self._skipped >= self._skip_limit:
            count = f", as of the {self._skipped - 1} before it" if self._skipped > 1 else ""
            raise NonFiniteLoss(f"The {what} of step {done.step.step} is not a number{count}.")

    def _write(self) -> None:
        if not self._done:
            return
        last = self._done[-1]
        trained = sum(done.step.trained_tokens for done in self._done)
        tokens = sum(done.step.tokens for done in self._done)
        seconds = sum(done.seconds for done in self._done)
        loss = last.loss
        if len(self._done) > 1:
            loss = sum(done.loss * done.step.trained_tokens for done in self._done) / trained
        self._log.write(
            Step(
                step=last.step.step,
                epoch=round(self._schedule.epoch_after(last.step.step), 4),
                loss=loss,
                learning_rate=last.step.learning_rate,
                gradient_norm=last.norm,
                tokens=tokens,
                trained_tokens=trained,
                seconds=seconds,
                tokens_per_second=tokens / seconds if seconds else 0.0,
                **_memory(),
                steps=len(self._done),
            )
        )
        self._done = []


def _listed(row_losses: Sequence[RowLoss]) -> list[dict[str, float | int | None]]:
    """Those without a loss first, then the highest."""
    order = sorted(row_losses, key=lambda row: -math.inf if row.loss is None else -row.loss)
    return [row.to_json() for row in order]


def _memory() -> dict[str, int | None]:
    """Of the device, in bytes: the peak, what is allocated, what torch reserved for it."""
    if not torch.cuda.is_available():
        return {}
    return {
        "memory": torch.cuda.max_memory_allocated(),
        "allocated": torch.cuda.memory_allocated(),
        "reserved": torch.cuda.memory_reserved(),
    }
