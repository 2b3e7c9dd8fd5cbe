"""RMS norms with fewer passes over memory, and without a copy of what comes out of them.

On a processor in float32 a norm is one step of autograd's in place of transformers' eight. On a GPU
it is one kernel, and what comes out of it is made again where a layer after it needs it in the
backward pass: a pass over 8 KB a token of an 8B in place of keeping them, twice a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn

from workbench.training import pointwise

_MADE = "_made_from"
"""Attribute of what comes out of a norm: how it is made."""
_NARROWEST, _WIDEST = 512, 16384
"""Of the kernel's rows."""


@dataclass(frozen=True, slots=True)
class _Made:
    """How something came out of a norm."""

    before: Tensor
    """What went in."""
    again: Callable[[Tensor], Tensor]
    version: int
    """torch's count of changes in place to what came out: it is no longer that after one."""


def speed_up(module: nn.Module) -> bool:
    """Give `module` the faster forward where it is a norm that can have it; returns whether."""
    if not _is_plain(module):
        return False
    own: Any = module
    own.forward = MethodType(_forward, module)
    return True


def speed_up_on_gpu(module: nn.Module, compiled: Callable[..., Any]) -> bool:
    """The same on a GPU, for any RMS norm: what isn't Llama's is compiled by `compiled`."""
    if not (type(module).__name__.endswith("RMSNorm") and hasattr(module, "weight")):
        return False
    own: Any = module
    usual = _is_usual(module)

    def forward(self: Any, x: Tensor) -> Tensor:
        weight: Tensor = self.weight
        if usual and weight.dtype == x.dtype and not weight.requires_grad:
            return cast(Tensor, cast(Any, _NormOnGpu.apply)(x, weight, self.variance_epsilon))
        return cast(Tensor, compiled(type(self).forward)(self, x))

    def remembered(self: Any, x: Tensor) -> Tensor:
        out = forward(self, x)
        made = _Made(x.detach(), lambda before: forward(self, before), out._version)
        setattr(out, _MADE, made)
        return out

    own.forward = MethodType(remembered, module)
    return True


def as_made(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor] | None]:
    """What to keep of `x` for a backward pass, and what makes `x` of it; None where it is `x`."""
    made: _Made | None = getattr(x, _MADE, None)
    if made is None or made.version != x._version:
        return x, None
    return made.before, made.again


def _is_plain(module: nn.Module) -> bool:
    """Llama's kind of RMS norm, frozen, in float32; others scale by 1 + weight, or round."""
    weight = getattr(module, "weight", None)
    return (
        type(module).__name__.endswith("RMSNorm")
        and hasattr(module, "variance_epsilon")
        and isinstance(weight, Tensor)
        and weight.dtype == torch.float32
        and not weight.requires_grad
        and _same_on_noise(module, _forward)
    )


def _is_usual(module: nn.Module) -> bool:
    """Llama's kind, wide enough for a row of its own in the kernel and not for several."""
    weight = getattr(module, "weight", None)
    return (
        hasattr(module, "variance_epsilon")
        and isinstance(weight, Tensor)
        and _NARROWEST <= weight.shape[0] <= _WIDEST
        and _same_on_noise(
            module, lambda m, x: pointwise.rms_norm(x, m.weight.float(), m.variance_epsilon)
        )
    )


def _same_on_noise(module: nn.Module, ours: Callable[[Any, Tensor], Tensor]) -> bool:
    weight = cast(Tensor, module.weight)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, weight.shape[0], generator=generator).to(weight.device)
    with torch.no_grad():
        same: bool = torch.allclose(ours(module, x), module(x).float(), atol=1e-5, rtol=1e-5)
    return same


def _forward(self: Any, x: Tensor) -> Tensor:
    if x.dtype != torch.float32:
        plain: Tensor = type(self).forward(self, x)
        return plain
    out: Tensor = cast(Any, _RmsNorm.apply)(x, self.weight, self.variance_epsilon)
    return out


class _RmsNorm(torch.autograd.Function):
    """x / rms(x) * weight over the last dimension, for a frozen weight; float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        out: Tensor = (x * inverse).mul_(weight)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, weight, inverse = ctx.saved_tensors
        scaled = gradients[0] * weight
        along = torch.linalg.vecdot(scaled, x).unsqueeze(-1)
        along = along.mul_(inverse.square()).div_(x.shape[-1])
        return scaled.addcmul_(x, along, value=-1).mul_(inverse), None, None


class _NormOnGpu(torch.autograd.Function):
    """The same of any number format, by kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.epsilon = epsilon
        return pointwise.rms_norm(x.contiguous(), weight, epsilon)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, weight = ctx.saved_tensors
        above = gradients[0].contiguous()
        return pointwise.rms_norm_back(above, x.contiguous(), weight, ctx.epsilon), None, None
