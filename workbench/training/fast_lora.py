"""LoRA's linear layers and RMS norms with fewer passes over memory, and the same results.

PEFT adds an adapter in four operations of its own, each of which reads and writes the
activations, and autograd keeps what lies between them. Here the update is accumulated into the
product of the base. What PEFT computes in any other way (DoRA, dropout, merged or switched off)
is left to it.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, cast

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn


def speed_up(model: nn.Module) -> int:
    """Give the layers of `model` that can have it the faster forward; returns how many."""
    done = 0
    for module in model.modules():
        own: Any = module
        if type(module) is LoraLinear and type(module.base_layer) is nn.Linear:
            own.forward = MethodType(_lora_forward, module)
            done += 1
        elif _is_rms_norm(module):
            own.forward = MethodType(_norm_forward, module)
            done += 1
    return done


def _lora_forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if args or any(value is not None for value in kwargs.values()) or not _is_plain(self, x):
        theirs: Tensor = LoraLinear.forward(self, x, *args, **kwargs)
        return theirs
    (name,) = self.active_adapters
    a, b = self.lora_A[name].weight, self.lora_B[name].weight
    base, apply = self.base_layer, cast(Any, _LoraProduct.apply)
    out: Tensor = apply(x, base.weight, base.bias, a, b, self.scaling[name])
    return out


def _is_plain(layer: Any, x: Tensor) -> bool:
    """Whether a layer now computes nothing but x W' + bias + scale * (x A') B'."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return False
    (name,) = layer.active_adapters
    return (
        name in layer.lora_A
        and name not in layer.lora_variant
        and layer.lora_B[name].bias is None
        and not (layer.training and not isinstance(layer.lora_dropout[name], nn.Identity))
        and not torch.is_autocast_enabled(x.device.type)
    )


class _LoraProduct(torch.autograd.Function):
    """x W' + bias + scale * (x A') B', with gradients for x, A and B.

    x (..., in), W (out, in), A (rank, in), B (out, rank); A and B are cast to x's number format
    for the product, as master weights are under autocast.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        inner = flat @ a.to(x.dtype).t()
        out = flat @ weight.t() if bias is None else torch.addmm(bias, flat, weight.t())
        out.addmm_(inner, b.to(x.dtype).t(), alpha=scale)
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scale = scale
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        flat = x.reshape(-1, x.shape[-1])
        above = gradients[0].reshape(-1, weight.shape[0])
        through = (above @ b.to(x.dtype)).mul_(ctx.scale)
        d_a = (through.t() @ flat).to(a.dtype) if ctx.needs_input_grad[3] else None
        d_b = (above.t() @ inner).mul_(ctx.scale).to(b.dtype) if ctx.needs_input_grad[4] else None
        d_x = None
        if ctx.needs_input_grad[0]:
            d_x = above @ weight
            d_x.addmm_(through, a.to(x.dtype))
            d_x = d_x.view_as(x)
        return d_x, None, None, d_a, d_b, None


def _is_rms_norm(module: nn.Module) -> bool:
    """Llama's kind of RMS norm, frozen, in float32; others scale by 1 + weight, or round."""
    weight = getattr(module, "weight", None)
    return (
        type(module).__name__.endswith("RMSNorm")
        and hasattr(module, "variance_epsilon")
        and isinstance(weight, Tensor)
        and weight.dtype == torch.float32
        and not weight.requires_grad
        and _same_on_noise(module)
    )


def _same_on_noise(module: nn.Module) -> bool:
    weight = cast(Tensor, module.weight)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, weight.shape[0], generator=generator).to(weight.device)
    with torch.no_grad():
        ours, theirs = _norm_forward(module, x), cast(Tensor, module(x))
    same: bool = torch.allclose(ours, theirs, atol=1e-6, rtol=1e-5)
    return same


def _norm_forward(self: Any, x: Tensor) -> Tensor:
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
