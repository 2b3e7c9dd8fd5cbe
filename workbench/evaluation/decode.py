"""Decoding of several prompts at once, each as it would be alone.

transformers' `generate` keeps every row of a batch until the last one has ended. Here a row
leaves the batch, and the cache of keys and values, as soon as it has said its last token.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from workbench.evaluation.answers import Prompt, Sampling

_NEEDED = {"attention_mask", "position_ids", "past_key_values"}
_KEEPS_LAST = "logits_to_keep"
_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)


@dataclass(slots=True, eq=False)
class Said:
    """What was said to a prompt so far."""

    place: int
    """The prompt's place among those that were given."""
    ids: list[int] = field(default_factory=list)
    """Without the token that ends it."""
    stopped: bool = False
    seconds: float = 0.0
    """Its share of the time of each token of the batch."""


def fits(causal: PreTrainedModel) -> bool:
    """Whether `decode` knows how this model remembers what it has read.

    Not one with a state beside its keys and values (Mamba and its hybrids), nor one that is told
    no positions (ALiBi).
    """
    if getattr(causal, "_is_stateful", False) or not _NEEDED.issubset(_parameters(causal)):
        return False
    # Not those that derive from these: they keep more than keys and values.
    layers = DynamicCache(config=causal.config).layers
    return all(type(layer) in _LAYERS for layer in layers)


def decode(
    causal: PreTrainedModel,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    stop_ids: frozenset[int],
    pad_id: int,
    on_token: Callable[[], None],
) -> Iterator[Said]:
    """What `causal` says to each of `prompts`, as soon as it is said.

    Prompts are padded on the left, with positions and a mask by which padding counts for nothing:
    in float32 the tokens are those of each prompt alone. `on_token` is called once for each token
    of the batch; what it raises ends the work.
    """
    device = next(causal.parameters()).device
    rows = [Said(place) for place in range(len(prompts))]
    draws = [Random(sampling.seed_of(p.key)) for p in prompts]  # noqa: S311 - no secret
    ids, mask = padded([prompt.ids for prompt in prompts], pad_id)
    ids, mask = ids.to(device), mask.to(device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=causal.config)
    last = {_KEEPS_LAST: 1} if _KEEPS_LAST in _parameters(causal) else {}
    while True:
        began = time.perf_counter()
        logits = _logits(
            causal, input_ids=ids, attention_mask=mask, position_ids=positions,
            past_key_values=cache, **last,
        )  # fmt: skip
        tokens = choose(logits, sampling, [draws[row.place] for row in rows])
        share = (time.perf_counter() - began) / len(rows)
        going = [
            slot
            for slot, (row, token) in enumerate(zip(rows, tokens, strict=True))
            if _goes_on(row, token, share, sampling.max_new_tokens, stop_ids)
        ]
        on_token()
        if len(going) < len(rows):
            yield from (row for slot, row in enumerate(rows) if slot not in set(going))
            if not going:
                return
            kept = torch.tensor(going, device=device)
            with torch.inference_mode():
                cache.batch_select_indices(kept)
            mask, positions = mask[kept], positions[kept]
            rows, tokens = [rows[slot] for slot in going], [tokens[slot] for slot in going]
        ids = torch.tensor(tokens, device=device).unsqueeze(1)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        positions = positions[:, -1:] + 1


def stream(causal: PreTrainedModel, prompt: Prompt, sampling: Sampling) -> Iterator[int]:
    """The tokens that `causal` says to a prompt, each as it is said, without an end: who listens
    knows when it is enough."""
    device = next(causal.parameters()).device
    draw = Random(sampling.seed_of(prompt.key))  # noqa: S311 - no secret
    ids = torch.tensor([list(prompt.ids)], device=device)
    cache = DynamicCache(config=causal.config)
    last = {_KEEPS_LAST: 1} if _KEEPS_LAST in _parameters(causal) else {}
    place = 0
    while True:
        positions = torch.arange(place, place + ids.shape[1], device=device).unsqueeze(0)
        logits = _logits(
            causal, input_ids=ids, position_ids=positions, past_key_values=cache, **last
        )
        place += ids.shape[1]
        (token,) = choose(logits, sampling, [draw])
        yield token
        ids = torch.tensor([[token]], device=device)


def choose(logits: Tensor, sampling: Sampling, draws: Sequence[Random]) -> list[int]:
    """The next token of each row of `logits` (rows, vocabulary), by one number of its own `draws`.

    One that several rows are drawn by together would make an answer depend on its neighbours; so
    would a walk through tokens sorted by their probability, since neighbours change the last
    digits of that: the walk is through the vocabulary.
    """
    if sampling.greedy:
        greedy: list[int] = logits.argmax(-1).tolist()
        return greedy
    scaled = logits.float() / sampling.temperature
    if 0 < sampling.top_k < scaled.shape[-1]:
        least = scaled.topk(sampling.top_k).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, float("-inf"))
    chances = scaled.softmax(-1)
    if sampling.top_p < 1:
        ordered, order = chances.sort(descending=True)
        beyond = ordered.cumsum(-1) - ordered >= sampling.top_p
        chances = chances.masked_fill(beyond.scatter(-1, order, beyond), 0.0)
    sums = chances.double().cumsum(-1)
    points = torch.tensor([[draw.random()] for draw in draws], dtype=torch.float64)
    found = torch.searchsorted(sums, points.to(sums.device) * sums[:, -1:], right=True)
    tokens: list[int] = found.squeeze(1).clamp(max=sums.shape[-1] - 1).tolist()
    return tokens


def _goes_on(row: Said, token: int, seconds: float, longest: int, stop_ids: frozenset[int]) -> bool:
    row.seconds += seconds
    row.stopped = token in stop_ids
    if not row.stopped:
        row.ids.append(token)
    return not row.stopped and len(row.ids) < longest


def _logits(causal: Any, **inputs: Any) -> Tensor:
    """Of the token that follows, shape (rows, vocabulary)."""
    with torch.inference_mode():
        logits: Tensor = causal(**inputs, use_cache=True).logits
        return logits[:, -1]


def padded(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Tokens and mask, each of shape (rows, longest); padding is on the left."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, width - len(row) :] = torch.tensor(row)
        mask[place, width - len(row) :] = 1
    return ids, mask


def _parameters(causal: PreTrainedModel) -> set[str]:
    return set(inspect.signature(causal.forward).parameters)
