"""down(silu(gate(x)) * up(x)) of adapted layers, as one step of autograd's on a GPU.

The product in the middle is the widest that a decoder layer has, 28 of the 144 KB that a token of
an 8B keeps in each of its layers. The backward pass has both of its factors at hand when it wants
it, so that it is made again there, in the kernel that makes their gradients. What the adapters of
gate and up add is made in those kernels as well, and spares a pass over each.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from workbench.training import fast_norm, pointwise
from workbench.training.compiling import on_gpu
from workbench.training.fast_lora import Group
from workbench.training.pointwise import Update
from workbench.training.products import Products


def speed_up(module: nn.Module) -> bool:
    """Give `module` the faster forward where it is such a unit, and nothing else: its class
    computes with these names alone; returns whether."""
    code = getattr(type(module).forward, "__code__", None)
    names = {"gate_proj", "up_proj", "down_proj", "act_fn"}
    if code is None or set(code.co_names) != names:
        return False
    if type(getattr(module, "act_fn", None)).__name__ not in ("SiLU", "SiLUActivation"):
        return False
    own: Any = module
    own.forward = MethodType(_forward, module)
    return True


def _forward(self: Any, x: Tensor) -> Tensor:
    inputs = _products([self.gate_proj, self.up_proj], x)
    output = inputs and _products([self.down_proj], x)
    if inputs and output:
        (of_inputs, *learnt), (of_output, *others) = inputs, output
        apply: Any = _GatedUnit.apply
        whole: Tensor = apply(x, of_inputs, of_output, *learnt, *others)
        return whole
    gate = self.gate_proj(x)
    product = _with_gradients(gate.flatten(0, -2), self.up_proj(x).flatten(0, -2)).view_as(gate)
    out: Tensor = self.down_proj(product)
    return out


def _products(layers: list[Any], x: Tensor) -> tuple[Any, ...] | None:
    """Of what goes into `layers`, and what is learnt of them, where all now only add adapters;
    `x` tells where and in what format."""
    group = getattr(layers[0], "computed_with", None)
    return group.products(x) if isinstance(group, Group) and group.layers == layers else None


class _GatedUnit(torch.autograd.Function):
    """For x (..., width), with gradients for x and the A and B of gate, up and down."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inputs: Products, output: Products, *learnt: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        inner = inputs.inner(flat)
        gate, up = inputs.of_bases(flat)
        update = Update(inputs.each(inner), inputs.b)
        (out,), inner_of_output = output.forward(pointwise.silu_times(gate, up, update))
        kept, ctx.again = fast_norm.as_made(x)
        ctx.save_for_backward(kept, gate, up, inner, inner_of_output)
        ctx.inputs, ctx.output = inputs, output
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        kept, gate, up, inner, inner_of_output = ctx.saved_tensors
        inputs: Products = ctx.inputs
        output: Products = ctx.output
        last = [gradients[0].reshape(gate.shape[0], -1)]
        through = output.between(last)
        update = Update(inputs.each(inner), inputs.b)
        below = output.below(last, through)
        product, *above = pointwise.silu_times_back(below, gate, up, update)
        del below
        of_output = output.of_learnt(product, inner_of_output, last, through)
        del product
        through = inputs.between(above)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = inputs.below(above, through).view_as(kept)
        x = ctx.again(kept) if ctx.again else kept
        flat = x.reshape(-1, x.shape[-1])
        of_inputs = inputs.of_learnt(flat, inner, above, through)
        return of_x, None, None, *of_inputs, *of_output


@on_gpu
def _with_gradients(gate: Tensor, up: Tensor) -> Tensor:
    return nn.functional.silu(gate) * up
