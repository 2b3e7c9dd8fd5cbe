"""accelerate as the loop uses it: the config alone decides what a run computes."""

from __future__ import annotations

import os

from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

_OTHERWISE = (
    "ACCELERATE_TORCH_DEVICE",
    "ACCELERATE_USE_CPU",
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_FSDP",
    "ACCELERATE_USE_MEGATRON_LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG",
)
"""Variables that have accelerate take another engine or device, which no argument forbids."""


def keep_to_config() -> None:
    """Before anything else asks accelerate: take those variables out of this process."""
    for name in _OTHERWISE:
        os.environ.pop(name, None)


def plain_accelerator() -> Accelerator:
    """An Accelerator that takes no setting of the numbers from its environment.

    What isn't said here it reads from ACCELERATE_ variables, which a person's shell may hold and
    its launcher sets from a config file: mixed precision would make another run of one in
    float32, and accumulation divides each gradient by its steps.
    """
    keep_to_config()
    return Accelerator(
        mixed_precision="no",
        dynamo_backend="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
