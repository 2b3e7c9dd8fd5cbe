"""torch.compile for what is bound by memory on a GPU: pointwise work, in one pass over it.

Matrix products and attention stay as they are: nothing is gained by compiling a whole layer that
way which a short run could earn back (`training.compile`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

_VARIANTS = 64
"""Of one function: widths, with and without gradients. torch gives up after 8."""
Function = TypeVar("Function", bound=Callable[..., Any])


@functools.cache
def problem(device: torch.device) -> str:
    """Why torch.compile doesn't work on a GPU here, empty where it does: it needs Triton and a
    compiler of C."""
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except Exception as error:
        return " ".join(str(error).split())[:200]
    return ""


def on_gpu(function: Function) -> Function:
    """`function` of tensors, the first of shape (tokens, ...), compiled where that is on a GPU
    that torch.compile works on: for any number of tokens, and for these widths."""

    @functools.wraps(function)
    def run(first: Tensor, *others: Any) -> Any:
        if not first.is_cuda or torch.compiler.is_compiling() or problem(first.device):
            return function(first, *others)
        tokens = first.shape[0]
        for tensor in (first, *others):
            if isinstance(tensor, Tensor) and tensor.shape[0] == tokens:
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return _of_any_length(function)(first, *others)

    return cast(Function, run)


@functools.cache
def _of_any_length(function: Callable[..., Any]) -> Any:
    return _compiled(function)


@functools.cache
def of_any_shape(function: Callable[..., Any]) -> Any:
    """`function` compiled, which takes seconds for torch.compile's import alone."""
    return _compiled(function, dynamic=True)


def _compiled(function: Callable[..., Any], dynamic: bool | None = None) -> Any:
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _VARIANTS)
    return torch.compile(function, dynamic=dynamic)
