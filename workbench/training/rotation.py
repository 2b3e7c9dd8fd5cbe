"""Queries and keys turned by their positions on a GPU (RoFormer, Su et al. 2021).

transformers lays heads before tokens when it turns them, and projections and attention lay tokens
before heads: compiled as it stands, each kernel reads or writes against the grain, and four copies
put it right. Here everything stays as the projection has it, and nothing of the heads is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from workbench.training import pointwise
from workbench.training.compiling import of_any_shape

Rotate = Callable[..., tuple[Tensor, Tensor]]


def faster(rotate: Rotate) -> Rotate:
    """`rotate`, a family's own function of queries and keys (rows, heads, tokens, width) and of
    the cosines and sines (rows, tokens, width), in one pass on a GPU."""
    usual = _turns_halves(rotate)

    @functools.wraps(rotate)
    def run(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *others: Any, **named: Any) -> Any:
        if not q.is_cuda or torch.compiler.is_compiling():
            return rotate(q, k, cos, sin, *others, **named)
        if usual and not others and not named and _fits(q, cos):
            return cast(Any, _Rotation.apply)(q, k, cos, sin)
        return of_any_shape(rotate)(q, k, cos, sin, *others, **named)

    return run


def _fits(q: Tensor, cos: Tensor) -> bool:
    """Whether it is one row whose heads turn over their whole width: of GPT-NeoX's and Nemotron's
    only a part of each does."""
    rows, _, tokens, width = q.shape
    return rows == 1 and cos.shape == (1, tokens, width)


def _turns_halves(rotate: Rotate) -> bool:
    """Whether it turns the first half of each head against the second, over its whole width."""
    generator = torch.Generator().manual_seed(0)
    q, k, (cos, sin) = (torch.randn(*shape, generator=generator) for shape in _NOISE)
    try:
        theirs = rotate(q, k, cos, sin)
        ours = cast(Any, _Rotation.apply)(q, k, cos, sin)
    except Exception:
        # A family that wants something else of it: it keeps its own.
        return False
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


_NOISE = ((1, 4, 3, 8), (1, 2, 3, 8), (2, 1, 3, 8))
"""Shapes of queries, keys, and cosines with sines."""


class _Rotation(torch.autograd.Function):
    """Of one row; the backward pass turns back."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        return _both(q, k, cos, sin)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        q, k = above
        return *_both(q, k, cos, sin, back=True), None, None


def _both(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *, back: bool = False
) -> tuple[Tensor, Tensor]:
    q, k = (
        pointwise.turned(x.squeeze(0).transpose(0, 1), cos[0], sin[0], back=back).transpose(0, 1)
        for x in (q, k)
    )
    return q.unsqueeze(0), k.unsqueeze(0)
