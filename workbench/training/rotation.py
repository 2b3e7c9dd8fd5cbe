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
    def run(*given: Any, **named: Any) -> Any:
        if not _on_gpu(given) or torch.compiler.is_compiling():
            return rotate(*given, **named)
        if usual and not named and _fits(given):
            return cast(Any, _Rotation.apply)(*given)
        return of_any_shape(rotate)(*given, **named)

    return run


def _on_gpu(given: tuple[Any, ...]) -> bool:
    return bool(given) and isinstance(given[0], Tensor) and given[0].is_cuda


def _fits(given: tuple[Any, ...]) -> bool:
    """Whether they are queries and keys of one row, whose heads turn over their whole width, with
    cosines and sines: of GPT-NeoX's and Nemotron's only a part of each head does."""
    if len(given) != 4 or given[0].dim() != 4:
        return False
    rows, _, tokens, width = given[0].shape
    return bool(rows == 1 and given[2].shape == (1, tokens, width))


def _turns_halves(rotate: Rotate) -> bool:
    """Whether it turns the first half of each head against the second, over its whole width."""
    generator = torch.Generator().manual_seed(0)
    q, k, (cos, sin) = (torch.randn(*shape, generator=generator) for shape in _NOISE)
    ours = cast(Any, _Rotation.apply)(q, k, cos, sin)
    try:
        theirs = rotate(q, k, cos, sin)
        return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        # A family that wants something else of it, or gives something else: it keeps its own.
        return False


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
    q, k = (x.squeeze(0).transpose(0, 1) for x in (q, k))
    q, k = pointwise.turned(q, k, cos[0], sin[0], back=back)
    return q.transpose(0, 1).unsqueeze(0), k.transpose(0, 1).unsqueeze(0)
