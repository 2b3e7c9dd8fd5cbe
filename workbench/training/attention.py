"""Attention that stays inside each example of a packed batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

varlen: Any = None
with suppress(ImportError):  # a torch before 2.10
    from torch.nn.attention import varlen

NAME = "workbench_segments"
"""What transformers knows `segment_attention` by."""
_OWN = "attention_of_its_own"
"""Attribute of a model that attends in segments: what it did before."""
_watching: list[set[int]] = []


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
    segment_lengths: tuple[int, ...] | None = None,
    shared_lengths: tuple[int, ...] | None = None,
    cu_seq_lens_q: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention of `query` (1, heads, tokens, width) inside segments of `segment_lengths`;
    without them, over each row whole, to be padded on the right.

    With `shared_lengths`, so many tokens that each segment begins with stand once, before all
    segments, which have the others alone. Returns (1, tokens, heads, width), and no weights.
    Raises NotImplementedError for what a family adds to its attention (caps, sinks, biases) that
    isn't known here: its loss would be wrong.
    """
    added = [name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None]
    if added or attention_mask is not None:
        raise NotImplementedError(f"attention with {', '.join(added) or 'a mask of its own'}")
    for seen in _watching:
        seen.update([sliding_window] if sliding_window else ())
    how: dict[str, Any] = {"dropout": dropout, "scaling": scaling, "window": sliding_window}
    if segment_lengths is None:
        return _inside(query, key, value, **how), None
    if shared_lengths is None:
        return _by_segment(query, key, value, segment_lengths, cu_seq_lens_q, **how), None
    query, key, value = (_spread(x, segment_lengths, shared_lengths) for x in (query, key, value))
    out = _by_segment(query, key, value, segment_lengths, cu_seq_lens_q, **how)
    return _gathered(out, segment_lengths, shared_lengths), None


def _by_segment(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    starts: Tensor | None,
    *,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    if query.is_cuda and varlen is not None and query.dtype != torch.float32 and not dropout:
        out: Tensor = varlen.varlen_attn(
            *(x[0].transpose(0, 1) for x in (query, key, value)),
            *(starts, starts, max(lengths), max(lengths)),
            scale=scaling,
            window_size=(-1 if window is None else window - 1, 0),
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return out.unsqueeze(0)
    dtype = query.dtype
    if not query.is_cuda:
        # The processors' attention is a fifth of a step in bfloat16, a seventh in float32.
        query, key, value = query.float(), key.float(), value.float()
    inside = partial(_inside, dropout=dropout, scaling=scaling, window=window)
    # split, not slices: the backward of each slice would fill a tensor of the whole length.
    parts = zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True)
    return torch.cat([inside(q, k, v) for q, k, v in parts], dim=1).to(dtype)


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
    length = query.shape[2]
    mask = _band(length, window, query.device) if window is not None and length > window else None
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
