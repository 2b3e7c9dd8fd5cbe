"""Weights that bitsandbytes holds in 4 bits, as whole ones for a product.

Its own way takes three kernels and 0.2 ms of the processor for a weight whose scales are quantised
themselves (H200's host), 14 times a decoder layer in each step: a GPU that is asked so waits for
it. A kernel of our own does it in one pass, with the same bits.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor


def whole(weight: Tensor, state: Any, dtype: torch.dtype) -> Tensor:
    """The weight (out, in) in `dtype`, of bitsandbytes' 4 bits and their `QuantState`."""
    if weight.is_cuda and _is_usual(weight, state) and not problem(weight.device):
        return unpacked(weight, state).to(dtype)
    # Here: bitsandbytes is imported where it is needed alone.
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight, state).to(dtype)


def unpacked(weight: Tensor, state: Any) -> Tensor:
    """The same by our kernel, in the number format that was quantised."""
    # Triton comes with torch for GPUs alone.
    from workbench.training import triton_kernels

    out = torch.empty(state.shape, dtype=state.dtype, device=weight.device)
    triton_kernels.unpack(weight, out, state)
    return out


def _is_usual(weight: Tensor, state: Any) -> bool:
    """Whether it lies byte by byte, as it does unless FSDP is to spread it."""
    of_scales = state.state2
    return (
        weight.dtype == torch.uint8
        and weight.shape[0] != 1
        and weight.is_contiguous()
        and 2 * weight.numel() == state.shape.numel()
        and (of_scales is None or of_scales.state2 is None)
    )


@functools.cache
def problem(device: torch.device) -> str:
    """Why the kernel can't be used on a GPU, empty where it gives what bitsandbytes gives."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    generator = torch.Generator().manual_seed(0)
    # Blocks and scales that end in the middle, so that what lies behind them is not taken.
    noise = torch.randn(150, 300, generator=generator).to(device)
    try:
        for kind in ("nf4", "fp4"):
            for nested in (True, False):
                weight, state = quantize_4bit(noise, quant_type=kind, compress_statistics=nested)
                ours, theirs = unpacked(weight, state), dequantize_4bit(weight, state)
                if not torch.allclose(ours, theirs, rtol=1e-6, atol=1e-7):
                    return f"{kind} is unpacked to something else than bitsandbytes' numbers"
    except Exception as error:
        return " ".join(str(error).split())[:200]
    return ""
