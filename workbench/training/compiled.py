"""A model's pointwise parts on a GPU, in as few passes over memory as torch.compile makes of them.

A norm of transformers reads and writes the activations eight times and keeps a copy in float32, a
gated unit keeps what its activation gave, and each is bound by memory.
"""

from __future__ import annotations

import sys
from types import MethodType
from typing import Any

from torch import nn

from workbench.training import fast_head, fast_mlp, fast_norm, rotation
from workbench.training.compiling import of_any_shape
from workbench.training.loss import causal_model

_ROTARY = "apply_rotary_pos_emb"
"""What transformers' families have in their modules to turn queries and keys by position."""
_rotating: dict[str, Any] = {}
"""Modules whose rotation is a kernel in this process, with their own."""


def speed_up(model: nn.Module) -> int:
    """Compile the norms, gated units and rotations of `model`, which is on a GPU, and what its head
    loses; returns of how many modules."""
    done = int(fast_head.speed_up(causal_model(model)))
    for module in model.modules():
        done += fast_norm.speed_up_on_gpu(module, of_any_shape) or fast_mlp.speed_up(module)
        _compile_rotation(type(module).__module__)
    return done


def _compile_rotation(name: str) -> None:
    """In transformers' module `name`, for this process."""
    module: Any = sys.modules.get(name)
    rotate = getattr(module, _ROTARY, None)
    if rotate and name.startswith("transformers.models.") and name not in _rotating:
        _rotating[name] = rotate
        setattr(module, _ROTARY, rotation.faster(rotate))


def take_back(model: nn.Module) -> None:
    """Have the layers of `model` compute as their own classes do, whatever was made faster."""
    vars(causal_model(model)).pop("fast_losses", None)
    for module in model.modules():
        own = vars(module).get("forward")
        if isinstance(own, MethodType) and own.__func__.__module__.startswith(__package__):
            del module.forward
    while _rotating:
        name, rotate = _rotating.popitem()
        setattr(sys.modules[name], _ROTARY, rotate)
