"""Pointwise parts of a decoder layer as kernels of Triton, one pass over memory each.

torch.compile makes as good ones, and takes the processor 0.2 ms to call each (H200's host), more
than the kernel takes the GPU; these are launched in a fifth of that. Numbers between are float32.
Imported on a GPU alone, and by tests: torch for processors comes without Triton.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from workbench.training.pointwise import Update

_TILE, _TILE_WARPS = (32, 128), 8
"""Tokens and columns of a gated unit that are in registers at once: 16 numbers a thread of each
half, at which three blocks or four are on a multiprocessor (80 and 61 registers, an H100's)."""
_LOGITS = 16384
"""Of a row that are in registers at once: 32 a thread."""
_PACKED = 2048
"""Bytes that are unpacked by one block: 16 a thread, which it reads and writes at once."""


def silu_times(gate: Tensor, up: Tensor, update: Update) -> Tensor:
    """silu(gate) * up of both with their update; both contiguous."""
    out = torch.empty_like(gate)
    _silu_times[_tiles(gate)](gate, up, out, *_given(gate, update), *_TILE, num_warps=_TILE_WARPS)
    return out


def silu_times_back(
    above: Tensor, gate: Tensor, up: Tensor, update: Update
) -> tuple[Tensor, Tensor, Tensor]:
    """silu(gate) * up of both with their update, which takes the place of its gradient `above`, and
    the gradients of both."""
    of_gate, of_up = torch.empty_like(gate), torch.empty_like(up)
    _silu_times_back[_tiles(gate)](
        *(above, gate, up, of_gate, of_up, *_given(gate, update), *_TILE), num_warps=_TILE_WARPS
    )
    return above, of_gate, of_up


def _tiles(gate: Tensor) -> tuple[int, int]:
    tokens, width = gate.shape
    return triton.cdiv(width, _TILE[1]), triton.cdiv(tokens, _TILE[0])


def _given(gate: Tensor, update: Update) -> tuple[Any, ...]:
    (inner, other), (b, c) = update
    return inner, other, b, c, *gate.shape, inner.stride(0), b.shape[1]


@triton.jit
def _silu_times(
    gate, up, out, inner, other, b, c, tokens, width, stride,
    RANK: tl.constexpr, TOKENS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    at, there, g, u = _halves(
        gate, up, inner, other, b, c, tokens, width, stride, RANK, TOKENS, WIDTH
    )
    tl.store(out + at, (g * tl.sigmoid(g) * u).to(out.dtype.element_ty), mask=there)


@triton.jit
def _silu_times_back(
    above, gate, up, of_gate, of_up, inner, other, b, c, tokens, width, stride,
    RANK: tl.constexpr, TOKENS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    at, there, g, u = _halves(
        gate, up, inner, other, b, c, tokens, width, stride, RANK, TOKENS, WIDTH
    )
    a = tl.load(above + at, mask=there, other=0.0).to(tl.float32)
    share = tl.sigmoid(g)
    silu = g * share
    slope = share * (1.0 + g * (1.0 - share))
    kind = gate.dtype.element_ty
    tl.store(above + at, (silu * u).to(kind), mask=there)
    tl.store(of_gate + at, (a * u * slope).to(kind), mask=there)
    tl.store(of_up + at, (a * silu).to(kind), mask=there)


@triton.jit
def _halves(
    gate, up, inner, other, b, c, tokens, width, stride,
    RANK: tl.constexpr, TOKENS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """This block's tile: where it is, what of it is there, and both halves with their update."""
    column = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    token = tl.program_id(1).to(tl.int64) * TOKENS + tl.arange(0, TOKENS)
    at = token[:, None] * width + column[None, :]
    there = (token < tokens)[:, None] & (column < width)[None, :]
    g = _updated(gate + at, there, inner, b, token, column, stride, tokens, width, RANK)
    u = _updated(up + at, there, other, c, token, column, stride, tokens, width, RANK)
    return at, there, g, u


@triton.jit
def _updated(
    place, there, inner, b, token, column, stride, tokens, width, RANK: tl.constexpr
):  # fmt: skip
    """A tile of what a base gives, with inner b' added to it, in float32."""
    result = tl.load(place, mask=there, other=0.0).to(tl.float32)
    # By 16, the fewest that a product takes: of more in float32 nothing fits into registers.
    for first in range(0, RANK, 16):
        rank = first + tl.arange(0, 16)
        left = tl.load(
            inner + token[:, None] * stride + rank[None, :],
            mask=(token < tokens)[:, None] & (rank < RANK)[None, :],
            other=0.0,
        )
        right = tl.load(
            b + column[None, :] * RANK + rank[:, None],
            mask=(column < width)[None, :] & (rank < RANK)[:, None],
            other=0.0,
        )
        result = tl.dot(left, right, acc=result, input_precision="ieee")
    return result


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


def turned(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, back: bool) -> tuple[Tensor, Tensor]:
    """q and k (tokens, heads, width) turned by cos and sin (tokens, width), which are contiguous,
    or by the transpose of that."""
    tokens, width = cos.shape
    outs = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k)]
    heads, few = q.shape[1], k.shape[1]
    blocks = [triton.next_power_of_2(size) for size in (heads, few, width // 2)]
    strides = (*q.stride()[:2], *k.stride()[:2])
    _turned[(tokens,)](q, k, *outs, cos, sin, heads, few, width // 2, *strides, back, *blocks)
    return outs[0], outs[1]


@triton.jit
def _turned(
    q, k, q_out, k_out, cos, sin, heads, few, half, q_token, q_head, k_token, k_head,
    BACK: tl.constexpr, HEADS: tl.constexpr, FEW: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, HALF)
    angle, there = token * 2 * half + at, at < half
    cos_1 = tl.load(cos + angle, mask=there, other=0.0).to(tl.float32)
    cos_2 = tl.load(cos + angle + half, mask=there, other=0.0).to(tl.float32)
    sin_1 = tl.load(sin + angle, mask=there, other=0.0).to(tl.float32)
    sin_2 = tl.load(sin + angle + half, mask=there, other=0.0).to(tl.float32)
    _turn(
        q + token * q_token, q_out + token * heads * 2 * half, heads, q_head, half,
        cos_1, cos_2, sin_1, sin_2, BACK, HEADS, HALF,
    )  # fmt: skip
    _turn(
        k + token * k_token, k_out + token * few * 2 * half, few, k_head, half,
        cos_1, cos_2, sin_1, sin_2, BACK, FEW, HALF,
    )  # fmt: skip


@triton.jit
def _turn(
    x, out, heads, stride, half, cos_1, cos_2, sin_1, sin_2,
    BACK: tl.constexpr, HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    head = tl.arange(0, HEADS)[:, None]
    at = tl.arange(0, HALF)[None, :]
    there = (head < heads) & (at < half)
    place = x + head * stride + at
    first = tl.load(place, mask=there, other=0.0).to(tl.float32)
    second = tl.load(place + half, mask=there, other=0.0).to(tl.float32)
    if BACK:
        result_1 = first * cos_1 + second * sin_2
        result_2 = second * cos_2 - first * sin_1
    else:
        result_1 = first * cos_1 - second * sin_1
        result_2 = second * cos_2 + first * sin_2
    to = out + head * 2 * half + at
    kind = out.dtype.element_ty
    tl.store(to, result_1.to(kind), mask=there)
    tl.store(to + half, result_2.to(kind), mask=there)


def cross_entropy_back(logits: Tensor, labels: Tensor, losses: Tensor) -> None:
    """The losses of `labels` (tokens,) by `logits` (tokens, vocabulary), which is contiguous and
    becomes their gradient."""
    tokens, vocabulary = logits.shape
    block = min(_LOGITS, triton.next_power_of_2(vocabulary))
    _cross_entropy_back[(tokens,)](
        *(logits, labels, losses, vocabulary, block), num_warps=max(4, block // 1024)
    )


@triton.jit
def _cross_entropy_back(
    logits, labels, losses, VOCABULARY: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    row = logits + token * VOCABULARY
    label = tl.load(labels + token)
    # Before anything is written: sums are taken between, for which all threads wait.
    likely = tl.load(row + label).to(tl.float32)
    most, total = float("-inf"), 0.0
    for place in range(0, VOCABULARY, BLOCK):
        at = place + tl.arange(0, BLOCK)
        x = tl.load(row + at, mask=at < VOCABULARY, other=float("-inf")).to(tl.float32)
        larger = tl.maximum(most, tl.max(x, axis=0))
        total = total * tl.exp(most - larger) + tl.sum(tl.exp(x - larger), axis=0)
        most = larger
    tl.store(losses + token, tl.log(total) + most - likely)
    inverse = 1.0 / total
    for place in range(0, VOCABULARY, BLOCK):
        at = place + tl.arange(0, BLOCK)
        there = at < VOCABULARY
        x = tl.load(row + at, mask=there, other=0.0).to(tl.float32)
        share = tl.exp(x - most) * inverse
        share = tl.where(at == label, share - 1.0, share)
        tl.store(row + at, share.to(logits.dtype.element_ty), mask=there)


def unpack(weight: Tensor, out: Tensor, state: Any) -> None:
    """Fill `out` with what bitsandbytes has packed in 4 bits; of an even number of elements.

    A block of 64 elements or so has one scale; those may be in 8 bits, 256 to one of their own.
    """
    scales, of_scales = state.absmax, state.state2
    nested = of_scales is not None
    # Without them nothing is read of what stands in their place.
    known = (of_scales.code, of_scales.absmax, state.offset) if nested else (scales,) * 3
    half = state.blocksize // 2
    together = max(1, _PACKED // half)
    grid = (triton.cdiv(weight.numel(), half * together),)
    # A multiplication and an addition round one by one, as they do in bitsandbytes' two kernels.
    _unpack[grid](
        *(weight, scales, *known, state.code, out, weight.numel(), half, together),
        of_scales.blocksize if nested else 0,
        enable_fp_fusion=False,
    )


@triton.jit
def _unpack(
    packed, scales, code_of_scales, of_scales, offset, code, out, bytes,
    HALF: tl.constexpr, TOGETHER: tl.constexpr, NESTED: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0).to(tl.int64) * TOGETHER + tl.arange(0, TOGETHER)
    known = block * HALF < bytes
    if NESTED:
        fine = tl.load(scales + block, mask=known, other=0).to(tl.int32)
        coarse = tl.load(of_scales + block // NESTED, mask=known, other=0.0)
        scale = tl.load(code_of_scales + fine) * coarse + tl.load(offset)
    else:
        scale = tl.load(scales + block, mask=known, other=0.0)
    at = block[:, None] * HALF + tl.arange(0, HALF)[None, :]
    both = tl.load(packed + at, mask=at < bytes, other=0).to(tl.int32)
    first = tl.load(code + (both >> 4)) * scale[:, None]
    second = tl.load(code + (both & 15)) * scale[:, None]
    to = block[:, None] * 2 * HALF + tl.arange(0, 2 * HALF)[None, :]
    values = tl.interleave(first, second).to(out.dtype.element_ty)
    tl.store(out + to, values, mask=to < 2 * bytes)
