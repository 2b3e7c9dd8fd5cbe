"""Optimisers and learning-rate schedules, from torch, bitsandbytes and transformers."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import get_scheduler

from workbench.config.schema import Training


def make_optimizer(
    parameters: list[torch.nn.Parameter], training: Training
) -> torch.optim.Optimizer:
    """The optimiser that the config names.

    Where there is no GPU bitsandbytes keeps the state of a paged optimiser in plain
    memory: there is nothing to page to.
    """
    options: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **options)
    import bitsandbytes.optim as bnb

    kinds = {
        "adamw_8bit": bnb.AdamW8bit,
        "paged_adamw_8bit": bnb.PagedAdamW8bit,
        "paged_adamw_32bit": bnb.PagedAdamW32bit,
    }
    optimizer: torch.optim.Optimizer = kinds[training.optimizer](parameters, **options)
    return optimizer


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give an optimiser that has taken no step the state, on the CPU, of one that has.

    A paged one's comes into pages again, from which it was taken because it might not fit
    on the GPU; bitsandbytes itself would load it there. Raises ValueError when it is the
    state of another optimiser.
    """
    if not getattr(optimizer, "is_paged", False):
        optimizer.load_state_dict(state)
        return
    paged: Any = optimizer
    # What is in no page goes to the GPU at the first step.
    paged.load_state_dict(state, move_to_device=False)
    for parameter, values in paged.state.items():
        for name in values.keys() & {"state1", "state2"}:
            buffer = paged.get_state_buffer(parameter, dtype=values[name].dtype)
            if getattr(buffer, "is_paged", False):
                buffer.copy_(values[name])
                values[name] = buffer


def make_scheduler(
    optimizer: torch.optim.Optimizer, training: Training, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Warm-up, then the schedule that the config names, over `total_steps` steps."""
    names = {"constant": "constant_with_warmup"}
    scheduler: torch.optim.lr_scheduler.LRScheduler = get_scheduler(
        names.get(training.schedule, training.schedule),
        optimizer,
        num_warmup_steps=math.ceil(training.warmup_ratio * total_steps),
        num_training_steps=total_steps,
    )
    return scheduler
