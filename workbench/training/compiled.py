"""A model's pointwise parts on a GPU, in as few passes over memory as torch.compile makes of them.

A norm of transformers reads and writes the activations eight times and keeps a copy in float32, a
gated unit keeps what its activation gave, and each is bound by memory. Compiled, they are one
kernel each way, and keep what went in. Matrix products and attention stay as they are: nothing is
gained by compiling a whole layer that way which a short run could earn back (`training.compile`).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

_ROTARY = "apply_rotary_pos_emb"
"""What transformers' families have in their modules to turn queries and keys by position."""
_VARIANTS = 64
"""Of one function: widths, with and without gradients. torch gives up after 8."""
_rotating: set[str] = set()
"""Modules whose rotation is compiled in this process."""
Function = TypeVar("Function", bound=Callable[..., Any])


@functools.cache
def problem(device: torch.device) -> str:
    """Why torch.compile doesn't work on a GPU here, empty where it does: it needs Triton and a
    compiler of C."""
    try:
        tried: Any = torch.compile(_tried)
        tried(torch.ones(8, device=device))
    except Exception as error:
        return " ".join(str(error).split())[:200]
    return ""


def _tried(x: Tensor) -> Tensor:
    return 2 * x.exp()


def on_gpu(function: Function) -> Function:
    """`function` of tensors, compiled where the first of them is on a GPU that it works on."""

    @functools.wraps(function)
    def run(first: Tensor, *others: Any) -> Any:
        if first.is_cuda and not problem(first.device):
            return _compiled(function)(first, *others)
        return function(first, *others)

    return cast(Function, run)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Any:
    """When it is first called: torch.compile itself takes seconds to import."""
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _VARIANTS)
    return torch.compile(function, dynamic=True)


@on_gpu
def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of `labels`, shape (tokens,), in nats and float32, by logits
    (tokens, vocabulary) of any format."""
    return nn.functional.cross_entropy(logits.float(), labels, reduction="none")


def speed_up(model: nn.Module) -> int:
    """Compile the norms, gated units and rotations of `model`, which is on a GPU; returns of how
    many modules."""
    done = 0
    for module in model.modules():
        if _is_norm(module):
            own: Any = module
            own.forward = MethodType(_compiled(type(module).forward), module)
            done += 1
        elif _is_gated(module):
            own = module
            own.forward = MethodType(_gated_forward, module)
            done += 1
        _compile_rotation(type(module).__module__)
    return done


def _is_norm(module: nn.Module) -> bool:
    return type(module).__name__.endswith("RMSNorm") and hasattr(module, "weight")


def _is_gated(module: nn.Module) -> bool:
    """down(silu(gate(x)) * up(x)), and nothing else: its class computes with these names alone."""
    code = getattr(type(module).forward, "__code__", None)
    names = {"gate_proj", "up_proj", "down_proj", "act_fn"}
    return (
        code is not None
        and set(code.co_names) == names
        and type(getattr(module, "act_fn", None)).__name__ in ("SiLU", "SiLUActivation")
    )


def _gated_forward(self: Any, x: Tensor) -> Tensor:
    out: Tensor = self.down_proj(_silu_times(self.gate_proj(x), self.up_proj(x)))
    return out


@on_gpu
def _silu_times(gate: Tensor, up: Tensor) -> Tensor:
    return nn.functional.silu(gate) * up


def _compile_rotation(name: str) -> None:
    """In transformers' module `name`, for this process."""
    module: Any = sys.modules.get(name)
    rotate = getattr(module, _ROTARY, None)
    if rotate and name.startswith("transformers.models.") and name not in _rotating:
        _rotating.add(name)
        setattr(module, _ROTARY, on_gpu(rotate))
