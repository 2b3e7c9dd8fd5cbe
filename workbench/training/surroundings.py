"""What a process that computes finds around it, as a run's manifest keeps it."""

from __future__ import annotations

from typing import Any

import torch

from workbench.tracking import manifest
from workbench.training import model


def surroundings(device: torch.device) -> dict[str, Any]:
    """`manifest.environment`, and what torch says: the device, CUDA, cuDNN and the threads."""
    return {
        **manifest.environment(),
        "device": model.device_name(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "threads": torch.get_num_threads(),
    }
