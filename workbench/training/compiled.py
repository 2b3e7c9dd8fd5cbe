"""A model's pointwise parts on a GPU, in as few passes over memory as torch.compile makes of them.

A norm of transformers reads and writes the activations eight times and keeps a copy in float32, a
gated unit keeps what its activation gave, and each is bound by memory.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from workbench.training import fast_mlp, fast_norm, rotation
from workbench.training.compiling import of_any_shape

_ROTARY = "apply_rotary_pos_emb"
"""What transformers' families have in their modules to turn queries and keys by position."""
_rotating: set[str] = set()
"""Modules whose rotation is compiled in this process."""


def speed_up(model: nn.Module) -> int:
    """Compile the norms, gated units and rotations of `model`, which is on a GPU; returns of how
    many modules."""
    done = 0
    for module in model.modules():
        done += fast_norm.speed_up_on_gpu(module, of_any_shape) or fast_mlp.speed_up(module)
        _compile_rotation(type(module).__module__)
    return done


def _compile_rotation(name: str) -> None:
    """In transformers' module `name`, for this process."""
    module: Any = sys.modules.get(name)
    rotate = getattr(module, _ROTARY, None)
    if rotate and name.startswith("transformers.models.") and name not in _rotating:
        _rotating.add(name)
        setattr(module, _ROTARY, rotation.faster(rotate))
