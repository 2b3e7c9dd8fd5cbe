"""LoRA's linear layers with fewer passes over memory, and the same results.

PEFT adds an adapter in four operations of its own, each of which reads and writes the
activations, and autograd keeps what lies between them. Here the layers that are given one input
(queries, keys and values; a gated unit's two) are one step of autograd's, whose arithmetic is in
`products`, also with a base in 4 bits on a GPU. What PEFT computes in any other way (DoRA, dropout,
merged or switched off) is left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import is_
from types import MethodType
from typing import Any, cast

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn

from workbench.training import fast_norm
from workbench.training.loss import causal_model
from workbench.training.products import Part, Products

_ONE_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of layers that families give one and the same input."""


def speed_up(model: nn.Module, *, copied: bool = True) -> int:
    """Give the layers of `model` that can have it the faster forward; returns how many.

    `copied`: adapters are cast to the base's number format once a forward of the whole model and
    not in each layer; sharded ones aren't there at that time.
    """
    copies, done = Copies(), 0
    for module in model.modules():
        adapted = {name: child for name, child in module.named_children() if _is_lora(child)}
        for names in _ONE_INPUT:
            _compute_together([adapted.pop(name) for name in names if name in adapted], copies)
        for layer in adapted.values():
            _compute_together([layer], copies)
        done += sum(map(_is_lora, module.children()))
        done += fast_norm.speed_up(module)
    if copied:
        copies.keep(model)
    return done


def _compute_together(layers: list[Any], copies: Copies) -> None:
    if not layers:
        return
    group = Group(layers)
    for layer in layers:
        layer.forward = MethodType(_lora_forward, layer)
        layer.computed_with = group
    copies.groups.append(group)


def _is_lora(module: nn.Module) -> bool:
    if type(module) is LoraLinear:
        return type(module.base_layer) is nn.Linear
    # By name: bitsandbytes is imported where it is needed alone.
    return isinstance(module, LoraLayer) and type(module).__name__ == "Linear4bit"


def _lora_forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    group: Group = self.computed_with
    if (ready := group.take(self, x)) is not None:
        return ready
    if _is_bare(args, kwargs) and (out := group.compute(self, x)) is not None:
        return out
    theirs: Tensor = type(self).forward(self, x, *args, **kwargs)
    return theirs


def _is_bare(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return not args and all(value is None for value in kwargs.values())


def for_compiler(model: nn.Module) -> int:
    """Have the layers of `model` add their adapters in its own number format, by operations that
    torch.compile knows; returns how many.

    PEFT goes by float32 there and back. A step of autograd's own would do as well, were it not
    that torch 2.11 takes wrong gradients of what it compiles of one, and says nothing.
    """
    done = 0
    for layer in model.modules():
        if type(layer) is LoraLinear and type(layer.base_layer) is nn.Linear:
            own: Any = layer
            own.forward = MethodType(_traced_forward, layer)
            done += 1
    return done


def _traced_forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    adapter = _adapter(self, x) if _is_bare(args, kwargs) else None
    if adapter is None:
        theirs: Tensor = type(self).forward(self, x, *args, **kwargs)
        return theirs
    inner = nn.functional.linear(x, adapter.down.to(x.dtype)) * adapter.scale
    own = nn.functional.linear(inner, adapter.up.to(x.dtype))
    return nn.functional.linear(x, self.base_layer.weight, self.base_layer.bias) + own


class Group:
    """Adapted layers that are given one input: its products are one step of autograd's.

    The first that is called computes the others' results, which wait for their calls.
    """

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        self._input: Tensor | None = None
        self._waiting: dict[int, Tensor] = {}
        self._copied: tuple[list[Tensor], Tensor, list[Tensor]] | None = None
        """What is copied, and in the base's number format A of all, and the B of each."""

    def take(self, layer: Any, x: Tensor) -> Tensor | None:
        """The result that waits for this call, if one does."""
        if self._input is not x:
            return None
        found = self._waiting.pop(id(layer), None)
        if not self._waiting:
            self._input = None
        return found

    def compute(self, layer: Any, x: Tensor) -> Tensor | None:
        """Its product with `x`, and those of the others; None where it is left to PEFT."""
        if self._waiting:
            # Somebody was given something else, as keys are where they are another text's.
            self.layers, self._waiting, self._input, self._copied = [], {}, None, None
        layers = self.layers
        found = self.products(x) if layers else None
        if found is None:
            layers, found = [layer], self.products(x, layer)
        if found is None:
            return None
        outs = cast(Any, _LoraProducts.apply)(x, *found)
        results = {id(other): out for other, out in zip(layers, outs, strict=True)}
        own: Tensor = results.pop(id(layer))
        if results:
            self._input, self._waiting = x, results
        return own

    def products(self, x: Tensor, layer: Any = None) -> tuple[Any, ...] | None:
        """Those of all its layers with `x`, or of one, and what is learnt: each one's A and B.

        None where one of them computes anything else now, or they scale by different numbers.
        """
        layers = self.layers if layer is None else [layer]
        adapters = [_adapter(layer, x) for layer in layers]
        first = adapters[0]
        if first is None or any(a is None or a.scale != first.scale for a in adapters):
            return None
        learnt = [matrix for a in adapters if a is not None for matrix in (a.down, a.up)]
        of, down, ups = self._copied or ([], x, [])
        if down.dtype != x.dtype or len(of) != len(learnt) or not all(map(is_, of, learnt)):
            down, ups = _cast(learnt, x.dtype)
        products = Products(list(map(_part, layers)), first.scale, down, ups, learnt[0].dtype)
        return products, *learnt

    def copy(self) -> list[tuple[Tensor, Tensor]]:
        """Make copies of A and B, where the base has another number format; each with its own."""
        base = self.layers[0].base_layer
        adapters = [_adds(layer) for layer in self.layers]
        learnt = [matrix for a in adapters if a is not None for matrix in (a.down, a.up)]
        plain = type(base) is nn.Linear
        dtype = base.weight.dtype if plain else base.compute_dtype
        if None in adapters or dtype in (None, learnt[0].dtype):
            return []
        if not plain and not base.weight.is_cuda:
            return []
        down, ups = _cast(learnt, dtype)
        self._copied = (learnt, down, ups)
        of_each = zip(down.split([up.shape[1] for up in ups]), ups, strict=True)
        return list(zip((m for pair in of_each for m in pair), learnt, strict=True))


def _cast(learnt: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, list[Tensor]]:
    """A of all, one below the other, and the B of each."""
    down = learnt[0] if len(learnt) == 2 else torch.cat(list(learnt[::2]))
    return down.detach().to(dtype), [matrix.detach().to(dtype) for matrix in learnt[1::2]]


class Copies:
    """Adapters in the number format of the base, made again at each forward of the model."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self._to: list[Tensor] = []
        self._of: list[Tensor] = []

    def keep(self, model: nn.Module) -> None:
        """Have them whenever the layers of `model` are called."""
        pairs = [pair for group in self.groups for pair in group.copy()]
        if pairs:
            self._to, self._of = map(list, zip(*pairs, strict=True))
            causal_model(model).base_model.register_forward_pre_hook(self._refresh)

    def _refresh(self, *given: Any) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self._to, self._of)


@dataclass(frozen=True, slots=True)
class _Adapter:
    """What a layer adds to its base's product."""

    down: Tensor
    """A, (rank, in)."""
    up: Tensor
    """B, (out, rank)."""
    scale: float


def _adapter(layer: Any, x: Tensor) -> _Adapter | None:
    """What it adds now, where it computes nothing but x W' + bias + scale * (x A') B'."""
    base = layer.base_layer
    if type(base) is not nn.Linear and not (x.is_cuda and x.dtype == base.compute_dtype):
        # Processors have products of their own for 4 bits.
        return None
    if layer.disable_adapters or layer.merged or torch.is_autocast_enabled(x.device.type):
        return None
    return _adds(layer)


def _adds(layer: Any) -> _Adapter | None:
    """Its one adapter, where that is A and B and nothing else."""
    names = layer.active_adapters
    if len(names) != 1 or (name := names[0]) not in layer.lora_A or name in layer.lora_variant:
        return None
    if layer.training and not isinstance(layer.lora_dropout[name], nn.Identity):
        return None
    up = layer.lora_B[name]
    if up.bias is not None:
        return None
    return _Adapter(layer.lora_A[name].weight, up.weight, float(layer.scaling[name]))


def _part(layer: Any) -> Part:
    base = layer.base_layer
    weight = base.weight
    return Part(weight, getattr(weight, "quant_state", None), base.bias)


class _LoraProducts(torch.autograd.Function):
    """Products of one or more layers with x (..., in), with gradients for x and each A and B."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, products: Products, *learnt: Tensor) -> tuple[Tensor, ...]:
        outs, inner = products.forward(x.reshape(-1, x.shape[-1]))
        kept, ctx.again = fast_norm.as_made(x)
        ctx.save_for_backward(kept, inner)
        ctx.products = products
        return tuple([out.view(*x.shape[:-1], -1) for out in outs])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        kept, inner = ctx.saved_tensors
        products: Products = ctx.products
        above = [gradient.reshape(inner.shape[0], -1) for gradient in gradients]
        through = products.between(above)
        below = None
        if ctx.needs_input_grad[0]:
            below = products.below(above, through).view_as(kept)
        x = ctx.again(kept) if ctx.again else kept
        flat = x.reshape(-1, x.shape[-1])
        return below, None, *products.of_learnt(flat, inner, above, through)
