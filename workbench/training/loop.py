"""The training loop, top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from peft import PeftModel

from workbench.config.schema import RunConfig
from workbench.jobs.control import Control, Stopped
from workbench.jobs.events import (
    CheckpointSaved,
    CommandHandled,
    Evaluated,
    Notice,
    Progress,
    Step,
)
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import NonFiniteLoss
from workbench.training import checkpoint
from workbench.training.batches import Row, Schedule, batches
from workbench.training.loss import TrainedTokenLoss, check_loss, row_losses
from workbench.training.optimizers import make_optimizer, make_scheduler


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the loop ended."""

    step: int
    stopped: bool
    """A person stopped it; after a first step there is a checkpoint to resume from."""


class _Figures:
    """A step's loss and gradient norm on their way from the device, with its time."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        if self._cuda:
            self._begin = torch.cuda.Event(enable_timing=True)
            self._end = torch.cuda.Event(enable_timing=True)
            self._begin.record()
        else:
            self._started = time.perf_counter()

    def send(self, loss: torch.Tensor, gradient_norm: torch.Tensor) -> None:
        """Start the copy to the host, without waiting for it."""
        both = torch.stack([loss, gradient_norm.float()])
        if self._cuda:
            self._host = torch.empty(2, pin_memory=True)
            self._host.copy_(both, non_blocking=True)
            self._end.record()
        else:
            self._host = both
            self._seconds = time.perf_counter() - self._started

    def receive(self) -> tuple[float, float, float]:
        """Loss, gradient norm, and the seconds that the step took on the device."""
        if self._cuda:
            self._end.synchronize()
            self._seconds = self._begin.elapsed_time(self._end) / 1000
        loss, norm = self._host.tolist()
        return loss, norm, self._seconds


@dataclass(frozen=True, slots=True)
class _StepInFlight:
    """A step that the device may still be working on."""

    step: int
    figures: _Figures
    learning_rate: float
    tokens: int
    trained_tokens: int


class Loop:
    """One run's training, from its first step or from a checkpoint."""

    def __init__(
        self,
        config: RunConfig,
        model: PeftModel,
        train: Sequence[Row],
        validation: Sequence[Row],
        *,
        pad_id: int,
        folder: Path,
        log: LogWriter,
        control: Control,
    ) -> None:
        self.config = config
        self.train = train
        self.validation = validation
        self.schedule = Schedule(len(train), config.training)
        self._pad_id = pad_id
        self._checkpoints = folder / "checkpoints"
        self._log = log
        self._control = control
        self._stop = False
        self._save_asked = False
        self._accelerator = Accelerator()
        self.peft_model = model
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = make_optimizer(parameters, config.training)
        scheduler = make_scheduler(optimizer, config.training, self.schedule.total_steps)
        self._model, self._optimizer = self._accelerator.prepare(TrainedTokenLoss(model), optimizer)
        self._parameters = parameters
        self._scheduler = scheduler
        self._parts = checkpoint.Parts(model, optimizer, scheduler)

    def resume(self) -> int:
        """Take up the newest checkpoint; returns its step, 0 when there is none."""
        newest = checkpoint.newest(self._checkpoints)
        return checkpoint.restore(newest, self._parts) if newest else 0

    def run(self, first_step: int = 0) -> Outcome:
        """Train from `first_step` to the end, or until a person stops it.

        Commands are acted on between two steps and between two batches of validation; a
        validation that is stopped half-way has no loss.

        Raises WorkbenchError for a base whose loss can't be computed here, before the first
        step, and NonFiniteLoss when the loss or its gradient is not a number any more, before
        a checkpoint is made of it.
        """
        step, total = first_step, self.schedule.total_steps
        some_row = next(row for row in self.train if row.trained_tokens)
        check_loss(self.peft_model, some_row, self._pad_id)
        if step == 0:
            self._evaluate(0)
            if self._stop:
                return Outcome(0, stopped=True)
        in_flight: _StepInFlight | None = None
        while step < total:
            current = self._train_step(step)
            self._report(in_flight)
            in_flight = current
            step += 1
            self._listen()
            if step == total and not self._stop:
                break
            evaluate = not self._stop and _due(self.config.evaluation.every, step)
            save = self._stop or self._save_asked or _due(self.config.checkpoints.every, step)
            if evaluate or save:
                # Both wait for the device anyway, and neither is worth it after a NaN.
                self._report(in_flight)
                in_flight = None
            if evaluate:
                self._evaluate(step)
            if self._stop:
                self._save(step, "stop")
                return Outcome(step, stopped=True)
            if save or self._save_asked:
                self._save(step, "asked for" if self._save_asked else "regular")
        self._report(in_flight)
        finished = self._evaluate(step)
        self._save(step, "end" if finished else "stop")
        return Outcome(step, stopped=not finished)

    def _train_step(self, step: int) -> _StepInFlight:
        """One optimiser step. Nothing of ours here waits for the device.

        transformers does once a batch, to see that the rows aren't packed.
        """
        figures = _Figures(self._accelerator.device)
        rows = [self.train[i] for i in self.schedule.rows_of(step)]
        # Every trained token of the step weighs the same, whichever batch it is in.
        trained_tokens = sum(row.trained_tokens for row in rows)
        self._model.train()
        size, device = self.config.training.batch_size, self._accelerator.device
        loss = torch.zeros((), device=device)
        tokens = 0
        for batch in batches(rows, size, self._pad_id, device):
            sums = self._model(batch)
            share = sums.sum() / trained_tokens
            self._accelerator.backward(share)
            loss += share.detach()
            tokens += batch.tokens
        limit = self.config.training.max_gradient_norm or math.inf
        norm = self._accelerator.clip_grad_norm_(self._parameters, limit)
        learning_rate = float(self._scheduler.get_last_lr()[0])
        self._optimizer.step()
        self._scheduler.step()
        self._optimizer.zero_grad()
        figures.send(loss, norm.detach())
        return _StepInFlight(step + 1, figures, learning_rate, tokens, trained_tokens)

    def _report(self, done: _StepInFlight | None) -> None:
        """Log a step once its figures are here: one step late, so that none is waited for."""
        if done is None:
            return
        loss, gradient_norm, seconds = done.figures.receive()
        self._log.write(
            Step(
                step=done.step,
                epoch=round(self.schedule.epoch_after(done.step), 4),
                loss=loss,
                learning_rate=done.learning_rate,
                gradient_norm=gradient_norm,
                tokens=done.tokens,
                trained_tokens=done.trained_tokens,
                seconds=seconds,
                memory=_peak_memory(),
            )
        )
        if not math.isfinite(loss):
            raise NonFiniteLoss(f"The loss of step {done.step} is not a number.")
        if not math.isfinite(gradient_norm):
            raise NonFiniteLoss(f"The gradient of step {done.step} is not a number.")

    def _listen(self) -> None:
        """Note what a person has asked for since the last look."""
        for command in self._control.poll():
            self._log.write(CommandHandled(command.id, command.command))
            self._stop |= command.command == "stop"
            self._save_asked |= command.command == "save_now"

    def _evaluate(self, step: int) -> bool:
        """Whether the validation loss is there; not when a person stopped it half-way."""
        if not self.validation:
            return True
        total = len(self.validation)

        def on_rows(done: int) -> None:
            self._log.write(Progress("validation", done, total, "rows"))
            self._listen()
            if self._stop and done < total:
                raise Stopped

        size = self.config.evaluation.batch_size
        try:
            sums = row_losses(
                self._model, self.validation, batch_size=size, pad_id=self._pad_id, on_rows=on_rows
            )
        except Stopped:
            return False
        tokens = sum(row.trained_tokens for row in self.validation)
        loss = sum(sums) / max(1, tokens)
        self._log.write(Evaluated(step, loss, total, tokens))
        if not math.isfinite(loss):
            raise NonFiniteLoss(f"The validation loss after step {step} is not a number.")
        return True

    def _save(self, step: int, reason: str) -> None:
        started = time.perf_counter()
        path = checkpoint.save(self._checkpoints, step, self._parts)
        checkpoint.prune(self._checkpoints, self.config.checkpoints.keep)
        self._save_asked = False
        self._log.write(CheckpointSaved(step, str(path.name), reason))
        seconds = time.perf_counter() - started
        if seconds > 30:
            self._log.write(Notice(f"Saving the checkpoint took {seconds:.0f} s.", "warning"))


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _peak_memory() -> int | None:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
