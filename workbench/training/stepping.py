"""Who adds up the gradients of micro-batches and ranks, and takes the optimiser's steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from workbench.training import sharding
from workbench.training.accelerators import plain_accelerator
from workbench.training.optimizers import step_if_finite
from workbench.training.ready import Ready


class Stepper(Protocol):
    """What a loop goes through with its batches: forward, backward, step."""

    model: nn.Module
    """What is called with a batch; as the ready model's `measure`."""
    optimizer: torch.optim.Optimizer
    """Whose groups of parameters have the learning rates."""
    device: torch.device

    def adding_up(self, last: bool) -> AbstractContextManager[object]:
        """In which a micro-batch goes forward and back: the ranks' gradients are added up once a
        step, with its last one."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Add to the gradients; of several ranks the mean is taken."""
        ...

    def step(self, loss: Tensor, summed: Callable[[], object]) -> Tensor:
        """Clip the gradients, take a step, or none where the loss or their norm is no number, and
        drop them; returns the norm before, of shape ().

        `loss`, of shape (), is that of all ranks once `summed` was called.
        """
        ...

    def give_up(self) -> None:
        """Drop the gradients that there are so far."""
        ...


def make(ready: Ready) -> Stepper:
    """Its own DeepSpeed engine, FSDP2's, DDP's, or that of one process, with a new optimiser."""
    if ready.zero is not None:
        return ready.zero
    return Sharded(ready) if ready.sharded else Together(ready)


class Together:
    """One process alone, or several by DDP."""

    def __init__(self, ready: Ready) -> None:
        self.optimizer = ready.make_optimizer()
        self._accelerator = plain_accelerator()
        self.device: torch.device = self._accelerator.device
        self.model: nn.Module = ready.measure
        self._prepare()
        self._parameters = [p for p in ready.model.parameters() if p.requires_grad]
        self._limit = ready.config.training.max_gradient_norm or math.inf

    def _prepare(self) -> None:
        self.model = self._accelerator.prepare(self.model)

    def adding_up(self, last: bool) -> AbstractContextManager[object]:
        """As `Stepper` has it."""
        return nullcontext() if last else self._accelerator.no_sync(self.model)

    def backward(self, loss: Tensor) -> None:
        """As `Stepper` has it."""
        self._accelerator.backward(loss)

    def step(self, loss: Tensor, summed: Callable[[], object]) -> Tensor:
        """As `Stepper` has it; nothing here waits for the device."""
        norm = self._clip()
        summed()
        step_if_finite(self.optimizer, torch.isfinite(loss) & torch.isfinite(norm))
        self.give_up()
        return norm.detach()

    def give_up(self) -> None:
        """As `Stepper` has it."""
        self.optimizer.zero_grad()

    def _clip(self) -> Tensor:
        norm: Tensor = self._accelerator.clip_grad_norm_(self._parameters, self._limit)
        return norm


class Sharded(Together):
    """Several by FSDP2."""

    def _prepare(self) -> None:
        """It is spread already."""

    def adding_up(self, last: bool) -> AbstractContextManager[object]:
        """As `Stepper` has it."""
        sharding.add_up(self.model, now=last)
        return nullcontext()

    def _clip(self) -> Tensor:
        return sharding.clip_gradients(self._parameters, self._limit)
