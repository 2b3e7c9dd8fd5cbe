"""A step's figures on their way from the device to the log."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from workbench.jobs.events import Step
from workbench.jobs.failure import NonFiniteLoss
from workbench.jobs.log import LogWriter
from workbench.training.batches import Schedule


class Figures:
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
class StepInFlight:
    """A step that the device may still be working on."""

    step: int
    figures: Figures
    learning_rate: float
    tokens: int
    trained_tokens: int


class StepLog:
    """Logs steps one step late, so that none is waited for, every so many steps."""

    def __init__(self, log: LogWriter, schedule: Schedule, every: int) -> None:
        self._log = log
        self._schedule = schedule
        self.every = every
        self._in_flight: StepInFlight | None = None
        self._done: list[tuple[StepInFlight, float, float, float]] = []
        """Steps that are not in the log yet, with loss, gradient norm and seconds."""

    def add(self, step: StepInFlight) -> None:
        """Take up a step, and see to the one before it.

        Raises NonFiniteLoss when that one's loss or gradient is not a number.
        """
        before, self._in_flight = self._in_flight, step
        self._receive(before)
        if len(self._done) >= self.every:
            self._write()

    def flush(self) -> None:
        """Wait for the step in flight, and log all that there is."""
        before, self._in_flight = self._in_flight, None
        self._receive(before)
        self._write()

    def _receive(self, step: StepInFlight | None) -> None:
        if step is None:
            return
        loss, norm, seconds = step.figures.receive()
        self._done.append((step, loss, norm, seconds))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._write()
            what = "gradient" if math.isfinite(loss) else "loss"
            raise NonFiniteLoss(f"The {what} of step {step.step} is not a number.")

    def _write(self) -> None:
        if not self._done:
            return
        last, loss, norm, _ = self._done[-1]
        trained = sum(step.trained_tokens for step, *_ in self._done)
        if len(self._done) > 1:
            loss = sum(mean * step.trained_tokens for step, mean, *_ in self._done) / trained
        self._log.write(
            Step(
                step=last.step,
                epoch=round(self._schedule.epoch_after(last.step), 4),
                loss=loss,
                learning_rate=last.learning_rate,
                gradient_norm=norm,
                tokens=sum(step.tokens for step, *_ in self._done),
                trained_tokens=trained,
                seconds=sum(seconds for *_, seconds in self._done),
                memory=_peak_memory(),
                steps=len(self._done),
            )
        )
        self._done = []


def _peak_memory() -> int | None:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
