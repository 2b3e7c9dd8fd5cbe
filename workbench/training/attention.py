"""Attention that stays inside each example of a packed batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

_flash: Any = torch.ops.aten._flash_attention_forward
"""What torch's varlen attention calls. Its function around it takes the processor 0.5 ms a layer
and step beside 0.2 of the kernels themselves (H200's host), as long as a 0.5B's layer computes."""
_TAKES_WINDOWS = "window_size_left" in str(_flash.default._schema)
NAME = "workbench_segments"
"""What transformers knows `segment_attention` by."""
_OWN = "attention_of_its_own"
"""Attribute of a model that attends in segments: what it did before."""
_watching: list[set[int]] = []
_WIDEST = 256
"""Numbers of a head that torch's flash attention takes at most; they are a multiple of 8, too."""
_FIRST = (8, 0)
"""Ampere: the oldest GPUs that it runs on."""


@dataclass(slots=True, eq=False)
class Segments:
    """The rows of a packed batch, as attention is told of them.

    One object, and not frozen: torch.compile would look into a tuple, or into what can't change,
    and make a graph for every lot of lengths.
    """

    lengths: tuple[int, ...]
    """Tokens of each row."""
    shared: tuple[int, ...]
    """How many of them, of each row, are the beginning that stands once at the front, before all
    rows; empty where none does."""
    starts: Tensor
    """Where each row starts, and the end, were each of them whole, int32, shape (rows + 1,)."""


def use_segments(model: PreTrainedModel) -> None:
    """Have `model` attend inside the segments that its forward is given, from now on."""
    AttentionInterface.register(NAME, segment_attention)
    setattr(model, _OWN, model.config._attn_implementation)
    model.set_attn_implementation(NAME)


def use_own(model: PreTrainedModel) -> None:
    """Have `model` attend again as it did before `use_segments`."""
    model.set_attn_implementation(getattr(model, _OWN))


@contextmanager
def plain_attention(model: PreTrainedModel) -> Iterator[None]:
    """For generation, which pads on the left: the model's own attention and masks."""
    if model.config._attn_implementation != NAME:
        yield
        return
    use_own(model)
    try:
        yield
    finally:
        use_segments(model)


@contextmanager
def windows_seen() -> Iterator[set[int]]:
    """The windows that layers ask `segment_attention` for, meanwhile."""
    seen: set[int] = set()
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


def segment_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    segments: Segments | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention of `query` (1, heads, tokens, width) inside `segments`; without them, over
    each row whole, to be padded on the right.

    Returns (1, tokens, heads, width), and no weights. Raises NotImplementedError for what a family
    adds to its attention (caps, sinks, biases) that isn't known here: its loss would be wrong.
    """
    added = [name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None]
    if added or attention_mask is not None:
        raise NotImplementedError(f"attention with {', '.join(added) or 'a mask of its own'}")
    for seen in _watching:
        seen.update([sliding_window] if sliding_window else ())
    how: dict[str, Any] = {"dropout": dropout, "scaling": scaling, "window": sliding_window}
    if segments is None:
        return _inside(query, key, value, **how), None
    return _in_segments(query, key, value, segments, **how), None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _in_segments(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, **how: Any
) -> Tensor:
    """Between two graphs of torch.compile: its own would be for these lengths alone."""
    if not segments.shared:
        return _by_segment(query, key, value, segments, **how)
    lengths, shared = segments.lengths, segments.shared
    query, key, value = (_spread(x, lengths, shared) for x in (query, key, value))
    return _gathered(_by_segment(query, key, value, segments, **how), lengths, shared)


def _by_segment(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    *,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    lengths, starts = segments.lengths, segments.starts
    if not dropout and _fits_varlen(query, value):
        longest = max(lengths)
        out: Tensor = _flash(
            *(x.squeeze(0).transpose(0, 1) for x in (query, key, value)),
            *(starts, starts, longest, longest),
            *(0.0, window is None, False),
            scale=scaling,
            window_size_left=-1 if window is None else window - 1,
            window_size_right=0,
        )[0]
        return out.unsqueeze(0)
    dtype = query.dtype
    if not query.is_cuda:
        # The processors' attention is a fifth of a step in bfloat16, a seventh in float32.
        query, key, value = query.float(), key.float(), value.float()
    inside = partial(_inside, dropout=dropout, scaling=scaling, window=window)
    # split, not slices: the backward of each slice would fill a tensor of the whole length.
    parts = zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True)
    return torch.cat([inside(q, k, v) for q, k, v in parts], dim=1).to(dtype)


def _fits_varlen(query: Tensor, value: Tensor) -> bool:
    """Whether torch's varlen attention takes these: what its flash kernels check, and it doesn't
    put right. Heads of DeepSeek (192 and 128 wide) and of Gemma's global layers (512) don't fit."""
    width = query.shape[-1]
    return (
        _TAKES_WINDOWS
        and query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and width == value.shape[-1]
        and width <= _WIDEST
        and width % 8 == 0
        and torch.cuda.get_device_capability(query.device) >= _FIRST
    )


def _spread(x: Tensor, lengths: tuple[int, ...], shared: tuple[int, ...]) -> Tensor:
    """Whole segments of (1, heads, tokens, width), their beginning again in each of them."""
    own = [length - at_front for length, at_front in zip(lengths, shared, strict=True)]
    beginning, *parts = x.split([max(shared), *own], dim=2)
    whole = [
        (beginning, part) if size else (part,) for part, size in zip(parts, shared, strict=True)
    ]
    return torch.cat([piece for pieces in whole for piece in pieces], dim=2)


def _gathered(x: Tensor, lengths: tuple[int, ...], shared: tuple[int, ...]) -> Tensor:
    """What `_spread` was given, of its result as (1, tokens, heads, width): the beginning is the
    first segment's that has it."""
    sizes = [(size, length - size) for length, size in zip(lengths, shared, strict=True)]
    pieces = x.split([size for pair in sizes for size in pair], dim=1)
    beginning = pieces[2 * shared.index(max(shared))]
    return torch.cat([beginning, *pieces[1::2]], dim=1)


def _inside(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    length, width = query.shape[2:]
    mask = _band(length, window, query.device) if window is not None and length > window else None
    groups = query.shape[1] // key.shape[1]
    if groups > 1 and (mask is not None or not width == value.shape[-1] <= _WIDEST):
        # On a GPU only flash attention takes fewer keys than queries, and it takes none of these:
        # all scores would exist at once.
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    out = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        scale=scaling,
        is_causal=mask is None,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out.transpose(1, 2)


def _band(length: int, window: int, device: torch.device) -> Tensor:
    """True where a token sees another: itself and the `window - 1` before it, bool."""
    places = torch.arange(length, device=device)
    distance = places[:, None] - places[None, :]
    return (distance >= 0) & (distance < window)
