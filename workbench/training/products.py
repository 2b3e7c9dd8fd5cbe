"""The products of LoRA's layers, and their gradients, as arithmetic that autograd doesn't see.

Layers of one input are computed at once. The update is added to the product of the base by the
product of the adapter itself, what is scaled is scaled in the same kernel, and gradients of A and B
are summed in their own number format: a GPU that is through with a small model waits for the
processor, which launches as few kernels so as there are products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.training import four_bits


@dataclass(frozen=True, slots=True)
class Part:
    """What is not learnt of an adapted layer."""

    weight: Tensor
    """(out, in), or bitsandbytes' 4 bits of `state`."""
    state: Any
    bias: Tensor | None

    def whole(self, dtype: torch.dtype) -> Tensor:
        """The weight in `dtype`, unpacked to what bitsandbytes would multiply with."""
        if self.state is None:
            return self.weight
        return four_bits.whole(self.weight, self.state, dtype)


@dataclass(frozen=True, slots=True)
class Products:
    """x W' + bias + scale * (x A') B' of layers that are given one x (tokens, in)."""

    parts: Sequence[Part]
    scale: float
    a: Tensor
    """The A of all, one below the other, (ranks, in), in x's number format."""
    b: Sequence[Tensor]
    """The B of each, (out, rank), in x's number format."""
    learnt: torch.dtype
    """That of the weights which are trained, and of their gradients."""

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """What comes of each layer, (tokens, out), and scale * x A', (tokens, ranks)."""
        inner = self.inner(x)
        outs = self.of_bases(x)
        for out, up, own in zip(outs, self.b, self.each(inner), strict=True):
            out.addmm_(own, up.t())
        return outs, inner

    def inner(self, x: Tensor) -> Tensor:
        """scale * x A', (tokens, ranks)."""
        return _scaled(x, self.a.t(), self.scale)

    def of_bases(self, x: Tensor) -> list[Tensor]:
        """x W' + bias of each layer, (tokens, out): nothing of its adapter is in it."""
        outs = []
        for part in self.parts:
            whole = part.whole(x.dtype).t()
            outs.append(x @ whole if part.bias is None else torch.addmm(part.bias.to(x), x, whole))
        return outs

    def between(self, above: Sequence[Tensor]) -> Tensor:
        """The gradient of x A' by those of what came of each layer, (tokens, ranks)."""
        ranks = sum(up.shape[1] for up in self.b)
        through = above[0].new_empty(above[0].shape[0], ranks)
        for of, up, down in zip(above, self.b, self.each(through), strict=True):
            down.addmm_(of, up, beta=0, alpha=self.scale)
        return through

    def below(self, above: Sequence[Tensor], through: Tensor) -> Tensor:
        """The gradient of x."""
        gradient = through @ self.a
        for part, of in zip(self.parts, above, strict=True):
            gradient.addmm_(of, part.whole(of.dtype))
        return gradient

    def of_learnt(
        self, x: Tensor, inner: Tensor, above: Sequence[Tensor], through: Tensor
    ) -> list[Tensor]:
        """The gradients of each layer's A and B, in turn."""
        of_a = _summed(through.t(), x, self.learnt).split([up.shape[1] for up in self.b])
        of_b = [
            _summed(of.t(), own, self.learnt)
            for of, own in zip(above, self.each(inner), strict=True)
        ]
        return [matrix for pair in zip(of_a, of_b, strict=True) for matrix in pair]

    def each(self, inner: Tensor) -> Sequence[Tensor]:
        """Each layer's own columns of (tokens, ranks)."""
        if len(self.b) == 1:
            return [inner]
        return torch.split(inner, [up.shape[1] for up in self.b], dim=1)


def _scaled(x: Tensor, matrix: Tensor, scale: float) -> Tensor:
    empty = x.new_empty(x.shape[0], matrix.shape[1])
    return empty.addmm_(x, matrix, beta=0, alpha=scale)


def _summed(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """Their product over all tokens in `dtype`, as a GPU sums it up anyway."""
    if left.is_cuda and dtype != left.dtype:
        return torch.mm(left, right, out_dtype=dtype)
    return (left @ right).to(dtype)
