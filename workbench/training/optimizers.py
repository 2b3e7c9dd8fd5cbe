"""Optimisers and learning-rate schedules, from torch, bitsandbytes and transformers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import get_scheduler

from workbench.config.effective import warmup_steps
from workbench.config.schema import RunConfig, Training
from workbench.training import sharding

_MATRIX_B = re.compile(r"\.lora_(embedding_)?B\.")


def parameter_groups(model: nn.Module, config: RunConfig) -> list[dict[str, Any]]:
    """What is trained, in groups with their `lr` and `weight_decay`; the first has the
    config's own learning rate.

    LoRA+ (Hayou et al. 2024): every matrix B of an adapter learns `lora.plus_ratio` times as
    fast. Weight decay is for matrices; vectors (biases, norms, DoRA's magnitudes) have none.
    """
    training = config.training
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            ratio = config.lora.plus_ratio if _MATRIX_B.search(name) else 1.0
            decay = training.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((training.learning_rate * ratio, decay), []).append(parameter)
    return [
        {"params": groups[rate, decay], "lr": rate, "weight_decay": decay}
        for rate, decay in sorted(groups)
    ]


def make_optimizer(
    parameters: Iterable[nn.Parameter] | list[dict[str, Any]], training: Training
) -> torch.optim.Optimizer:
    """The optimiser that the config names, over parameters or the groups of them.

    AdamW (Loshchilov and Hutter 2019) fused, its state in float32 for weights in float32; Lion
    (Chen et al. 2023) and all with fewer bits by bitsandbytes. Where there is no GPU it keeps
    the state of a paged optimiser in plain memory: there is nothing to page to.
    """
    options: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **options)
    import bitsandbytes.optim as bnb

    kinds = {
        "adamw_8bit": bnb.AdamW8bit,
        "paged_adamw_8bit": bnb.PagedAdamW8bit,
        "paged_adamw_32bit": bnb.PagedAdamW32bit,
        "lion": bnb.Lion,
        "lion_8bit": bnb.Lion8bit,
        "paged_lion_8bit": bnb.PagedLion8bit,
    }
    optimizer: torch.optim.Optimizer = kinds[training.optimizer](parameters, **options)
    return optimizer


def step_if_finite(optimizer: torch.optim.Optimizer, finite: Tensor) -> None:
    """Take a step, or none at all where `finite`, shape (), bool, is not true.

    torch's fused AdamW is told on the GPU, and nothing waits for it; others need to know first.
    """
    inner = getattr(optimizer, "optimizer", optimizer)
    if finite.is_cuda and isinstance(inner, torch.optim.AdamW):
        told: Any = inner
        told.grad_scale, told.found_inf = None, (~finite).float()
        optimizer.step()
        told.found_inf = None
    elif finite:
        optimizer.step()


def is_paged(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its state is in pages, which leave the GPU when its memory is short."""
    return bool(getattr(optimizer, "is_paged", False)) and torch.cuda.is_available()


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give an optimiser that has taken no step the state, on the CPU, of one that has.

    A paged one's comes into pages again, from which it was taken because it might not fit
    on the GPU; bitsandbytes itself would load it there. Raises ValueError when it is the
    state of another optimiser.
    """
    if not getattr(optimizer, "is_paged", False):
        sharding.load_optimizer_state(optimizer, state)
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
    """Warm-up, then the schedule that the config names, over `total_steps` steps.

    Each group of parameters rises to its own peak and falls from it.
    """
    names = {"constant": "constant_with_warmup"}
    scheduler: torch.optim.lr_scheduler.LRScheduler = get_scheduler(
        names.get(training.schedule, training.schedule),
        optimizer,
        num_warmup_steps=warmup_steps(training, total_steps),
        num_training_steps=total_steps,
    )
    return scheduler
