"""What a process that computes finds around it, as a run's manifest keeps it.

Without peft and transformers: who only looks is done in a fifth of the time.
"""

from __future__ import annotations

from typing import Any

import torch

from workbench.tracking import manifest


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def surroundings(device: torch.device) -> dict[str, Any]:
    """`manifest.environment`, and what torch says: the device, CUDA, cuDNN and the threads."""
    return {
        **manifest.environment(),
        "device": device_name(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "threads": torch.get_num_threads(),
    }
