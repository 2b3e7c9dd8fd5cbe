"""LoRA's linear layers and RMS norms with fewer passes over memory, and the same results.

PEFT adds an adapter in four operations of its own, each of which reads and writes the
activations, and autograd keeps what lies between them. Here the update is accumulated into the
product of the base, also of one in 4 bits on a GPU, and layers that are given one input (queries,
keys and values; a gated unit's two) are computed at once: a GPU that is through with a small model
waits for the processor, which launches half as many products so. What PEFT computes in any other
way (DoRA, dropout, merged or switched off) is left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any, cast

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn

_ONE_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of layers that families give one and the same input."""


def speed_up(model: nn.Module, *, together: bool = True) -> int:
    """Give the layers of `model` that can have it the faster forward; returns how many.

    `together`: layers that are given one input are computed at once; torch.compile, which looks
    into each, is better off without.
    """
    done = 0
    for module in model.modules():
        adapted = {name: child for name, child in module.named_children() if _is_lora(child)}
        for names in _ONE_INPUT if together else ():
            _compute_together([adapted.pop(name) for name in names if name in adapted])
        for layer in adapted.values():
            _compute_together([layer])
        done += sum(map(_is_lora, module.children()))
        if _is_rms_norm(module):
            own: Any = module
            own.forward = MethodType(_norm_forward, module)
            done += 1
    return done


def _compute_together(layers: list[Any]) -> None:
    group = _Group(layers)
    for layer in layers:
        layer.forward = MethodType(_lora_forward, layer)
        layer.computed_with = group


def _is_lora(module: nn.Module) -> bool:
    if type(module) is LoraLinear:
        return type(module.base_layer) is nn.Linear
    # By name: bitsandbytes is imported where it is needed alone.
    return isinstance(module, LoraLayer) and type(module).__name__ == "Linear4bit"


def _lora_forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    group: _Group = self.computed_with
    if (ready := group.take(self, x)) is not None:
        return ready
    if args or any(value is not None for value in kwargs.values()) or not _is_plain(self, x):
        theirs: Tensor = type(self).forward(self, x, *args, **kwargs)
        return theirs
    return group.compute(self, x)


class _Group:
    """Adapted layers that are given one input: its products are one step of autograd's.

    The first that is called computes the others' results, which wait for their calls.
    """

    def __init__(self, layers: list[Any]) -> None:
        self._layers = layers
        self._input: Tensor | None = None
        self._waiting: dict[int, Tensor] = {}

    def take(self, layer: Any, x: Tensor) -> Tensor | None:
        """The result that waits for this call, if one does."""
        if self._input is not x:
            return None
        found = self._waiting.pop(id(layer), None)
        if not self._waiting:
            self._input = None
        return found

    def compute(self, layer: Any, x: Tensor) -> Tensor:
        """Its product with `x`, and those of the others."""
        if self._waiting:
            # Somebody was given something else, as keys are where they are another text's.
            self._layers, self._waiting, self._input = [], {}, None
        scale = _scale(layer)
        others = [
            other
            for other in self._layers
            if other is not layer and _is_plain(other, x) and _scale(other) == scale
        ]
        layers = [layer, *others]
        parts = [_part(layer) for layer in layers]
        learnt = [matrix for layer in layers for matrix in _matrices(layer)]
        first, *rest = cast(Any, _LoraProducts.apply)(x, scale, parts, *learnt)
        if rest:
            self._input = x
            self._waiting = {id(other): out for other, out in zip(others, rest, strict=True)}
        return cast(Tensor, first)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is not learnt of an adapted layer."""

    weight: Tensor
    """(out, in), or bitsandbytes' 4 bits of `state`."""
    state: Any
    bias: Tensor | None

    def whole(self, dtype: torch.dtype) -> Tensor:
        """The weight in `dtype`, unpacked as bitsandbytes does it for its own product."""
        if self.state is None:
            return self.weight
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(self.weight, self.state).to(dtype)


def _part(layer: Any) -> _Part:
    base = layer.base_layer
    return _Part(base.weight, getattr(base.weight, "quant_state", None), base.bias)


def _scale(layer: Any) -> float:
    (name,) = layer.active_adapters
    return float(layer.scaling[name])


def _matrices(layer: Any) -> tuple[Tensor, Tensor]:
    (name,) = layer.active_adapters
    return layer.lora_A[name].weight, layer.lora_B[name].weight


def _is_plain(layer: Any, x: Tensor) -> bool:
    """Whether a layer now computes nothing but x W' + bias + scale * (x A') B'."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return False
    (name,) = layer.active_adapters
    base = layer.base_layer
    if type(base) is not nn.Linear and not (x.is_cuda and x.dtype == base.compute_dtype):
        # Processors have products of their own for 4 bits.
        return False
    return (
        name in layer.lora_A
        and name not in layer.lora_variant
        and layer.lora_B[name].bias is None
        and not (layer.training and not isinstance(layer.lora_dropout[name], nn.Identity))
        and not torch.is_autocast_enabled(x.device.type)
    )


class _LoraProducts(torch.autograd.Function):
    """x W' + bias + scale * (x A') B' of one or more layers, with gradients for x, each A and B.

    x (..., in), A (rank, in), B (out, rank); A and B are cast to x's number format for the
    products, as master weights are under autocast. The gradient of x is summed up in place.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: float, parts: Sequence[_Part], *learnt: Tensor
    ) -> tuple[Tensor, ...]:
        flat = x.reshape(-1, x.shape[-1])
        a = learnt[0] if len(parts) == 1 else torch.cat(learnt[::2])
        a, b = a.to(x.dtype), [matrix.to(x.dtype) for matrix in learnt[1::2]]
        inner = (flat @ a.t()).mul_(scale)
        ranks = [matrix.shape[1] for matrix in b]
        results = []
        for part, up, own in zip(parts, b, inner.split(ranks, dim=1), strict=True):
            whole, bias = part.whole(x.dtype).t(), part.bias
            out = flat @ whole if bias is None else torch.addmm(bias.to(x.dtype), flat, whole)
            out.addmm_(own, up.t())
            results.append(out.view(*x.shape[:-1], -1))
        ctx.save_for_backward(x, inner, a, *b, *(part.weight for part in parts))
        ctx.scale, ctx.parts, ctx.dtype = scale, parts, learnt[0].dtype
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        x, inner, a, *others = ctx.saved_tensors
        parts, b = ctx.parts, others[: len(ctx.parts)]
        flat = x.reshape(-1, x.shape[-1])
        above = [gradient.reshape(flat.shape[0], -1) for gradient in gradients]
        ranks = [matrix.shape[1] for matrix in b]
        through, d_b = torch.empty_like(inner), []
        insides = zip(through.split(ranks, dim=1), inner.split(ranks, dim=1), strict=True)
        for up, of, (down, own) in zip(b, above, insides, strict=True):
            torch.mm(of, up, out=down)
            d_b.append((of.t() @ own).to(ctx.dtype))
        through.mul_(ctx.scale)
        d_a = (through.t() @ flat).to(ctx.dtype).split(ranks)
        d_x = None
        if ctx.needs_input_grad[0]:
            d_x = through @ a
            for part, of in zip(parts, above, strict=True):
                d_x.addmm_(of, part.whole(x.dtype))
            d_x = d_x.view_as(x)
        return d_x, None, None, *(matrix for pair in zip(d_a, d_b, strict=True) for matrix in pair)


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
