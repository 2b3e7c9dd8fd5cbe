"""Pointwise parts of a decoder layer as kernels of Triton, one pass over memory each.

torch.compile makes as good ones, and takes the processor 0.2 ms to call each (H200's host), more
than the kernel takes the GPU; these are launched in a fifth of that. Numbers between are float32.
Imported on a GPU alone: torch for processors comes without Triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


def silu_times(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up; both contiguous."""
    out = torch.empty_like(gate)
    _silu_times[(triton.cdiv(gate.numel(), _BLOCK),)](gate, up, out, gate.numel(), _BLOCK)
    return out


@triton.jit
def _silu_times(gate, up, out, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < count
    g = tl.load(gate + at, mask=there, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=there, other=0.0).to(tl.float32)
    tl.store(out + at, (g * tl.sigmoid(g) * u).to(out.dtype.element_ty), mask=there)


def silu_times_back(above: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """silu(gate) * up, which takes the place of its gradient `above`, and the gradients of both."""
    of_gate, of_up = torch.empty_like(gate), torch.empty_like(up)
    grid = (triton.cdiv(gate.numel(), _BLOCK),)
    _silu_times_back[grid](above, gate, up, of_gate, of_up, gate.numel(), _BLOCK)
    return above, of_gate, of_up


@triton.jit
def _silu_times_back(above, gate, up, of_gate, of_up, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < count
    a = tl.load(above + at, mask=there, other=0.0).to(tl.float32)
    g = tl.load(gate + at, mask=there, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=there, other=0.0).to(tl.float32)
    share = tl.sigmoid(g)
    silu = g * share
    slope = share * (1.0 + g * (1.0 - share))
    kind = gate.dtype.element_ty
    tl.store(above + at, (silu * u).to(kind), mask=there)
    tl.store(of_gate + at, (a * u * slope).to(kind), mask=there)
    tl.store(of_up + at, (a * silu).to(kind), mask=there)


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / rms(x) * weight over the last dimension; x contiguous, of weight's number format."""
    out, width = torch.empty_like(x), x.shape[-1]
    block = triton.next_power_of_2(width)
    grid = (x.numel() // width,)
    _rms_norm[grid](x, weight, out, width, epsilon, block, num_warps=_warps(block))
    return out


@triton.jit
def _rms_norm(x, weight, out, width, epsilon, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    there = at < width
    row = tl.program_id(0).to(tl.int64) * width
    of_row = tl.load(x + row + at, mask=there, other=0.0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(of_row * of_row, axis=0) / width + epsilon)
    w = tl.load(weight + at, mask=there, other=0.0).to(tl.float32)
    kind = out.dtype.element_ty
    # Rounded between, as Llama's norm is.
    normed = (of_row * inverse).to(kind).to(tl.float32)
    tl.store(out + row + at, (normed * w).to(kind), mask=there)


def rms_norm_back(above: Tensor, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """The gradient of x by that of `rms_norm`."""
    out, width = torch.empty_like(x), x.shape[-1]
    block = triton.next_power_of_2(width)
    grid = (x.numel() // width,)
    _rms_norm_back[grid](above, x, weight, out, width, epsilon, block, num_warps=_warps(block))
    return out


@triton.jit
def _rms_norm_back(above, x, weight, out, width, epsilon, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    there = at < width
    row = tl.program_id(0).to(tl.int64) * width
    of_row = tl.load(x + row + at, mask=there, other=0.0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(of_row * of_row, axis=0) / width + epsilon)
    w = tl.load(weight + at, mask=there, other=0.0).to(tl.float32)
    scaled = tl.load(above + row + at, mask=there, other=0.0).to(tl.float32) * w
    along = tl.sum(scaled * of_row, axis=0) * inverse * inverse / width
    result = (scaled - of_row * along) * inverse
    tl.store(out + row + at, result.to(out.dtype.element_ty), mask=there)


def _warps(block: int) -> int:
    return min(16, max(4, block // 512))


def turned(x: Tensor, cos: Tensor, sin: Tensor, back: bool) -> Tensor:
    """x (tokens, heads, width) turned by cos and sin (tokens, width), which are contiguous, or by
    the transpose of that."""
    tokens, heads, width = x.shape
    out = torch.empty((tokens, heads, width), dtype=x.dtype, device=x.device)
    blocks = triton.next_power_of_2(heads), triton.next_power_of_2(width // 2)
    _turned[(tokens,)](
        *(x, out, cos, sin, heads, width // 2, x.stride(0), x.stride(1)), back, *blocks
    )
    return out


@triton.jit
def _turned(
    x, out, cos, sin, heads, half, a_token, a_head,
    BACK: tl.constexpr, HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, HEADS)[:, None]
    at = tl.arange(0, HALF)[None, :]
    there = (head < heads) & (at < half)
    place = x + token * a_token + head * a_head + at
    first = tl.load(place, mask=there, other=0.0).to(tl.float32)
    second = tl.load(place + half, mask=there, other=0.0).to(tl.float32)
    angle = token * 2 * half + at
    cos_1 = tl.load(cos + angle, mask=at < half, other=0.0).to(tl.float32)
    cos_2 = tl.load(cos + angle + half, mask=at < half, other=0.0).to(tl.float32)
    sin_1 = tl.load(sin + angle, mask=at < half, other=0.0).to(tl.float32)
    sin_2 = tl.load(sin + angle + half, mask=at < half, other=0.0).to(tl.float32)
    if BACK:
        result_1 = first * cos_1 + second * sin_2
        result_2 = second * cos_2 - first * sin_1
    else:
        result_1 = first * cos_1 - second * sin_1
        result_2 = second * cos_2 + first * sin_2
    to = out + (token * heads + head) * 2 * half + at
    kind = out.dtype.element_ty
    tl.store(to, result_1.to(kind), mask=there)
    tl.store(to + half, result_2.to(kind), mask=there)
