"""How near a merged model is to base plus adapter: measured, bounded, kept.

Both are given the same held-out rows. Of each the logits of the last positions are compared
(largest difference, Kullback-Leibler divergence, most likely token), and the greedy answers to
the rows' questions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import GenerationConfig, PreTrainedModel

from workbench.adapters import checks
from workbench.adapters.files import read_header
from workbench.data.template import ChatTemplate
from workbench.jobs.progress import Tell, watched
from workbench.training.loss import causal_model

Network = PreTrainedModel | PeftModel
_POSITIONS = 64
"""Positions compared of a row, its last: with a vocabulary of 256,000 they are 64 MB of
float32, where whole rows of 4,096 tokens would be 4 GB."""
_ANSWER = 16
"""Tokens of an answer at most."""
_ANSWERS = 4

LARGEST_KL = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.05}
"""Nats, mean over positions, by the merged model's number format: one beyond is not kept. What
rounding gives is in docs/adapters.md; a lost module or a wrong scale gives more, for an adapter
that has learnt anything."""
LEAST_SAME = {"float32": 0.99, "float16": 0.97, "bfloat16": 0.9}
"""Share of positions with the same most likely token, under which it is not kept."""
SMALL_SHARE = 0.1
"""Of what the adapter itself moves the base by, in nats: where rounding makes more, that is
pointed out."""
QUANTISED_KL = 0.1
"""Nats against base plus adapter as it was trained on few bits, beyond which that is pointed out:
there the base itself is another, so nothing is refused for it."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """What models are compared on, as tokens."""

    rows: list[list[int]]
    """Whole rows, question and response: their logits are compared."""
    questions: list[list[int]]
    """What is answered; none where memory is short."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one model makes of the prompts."""

    logits: list[torch.Tensor]
    """Of each row, shape (at most 64 positions, vocabulary), float32."""
    answers: list[list[int]]


def measure(
    network: Network, prompts: Prompts, template: ChatTemplate, tell: Tell, who: str
) -> Measured:
    """Logits and greedy answers of `network`, told of as `who`."""
    rows = watched(prompts.rows, f"logits of {who}", tell)
    logits = [logits_of(network, row) for row in rows]
    return Measured(logits, _answers(network, prompts, template, tell, who))


def compare_all(
    before: Sequence[Measured],
    network: Network,
    prompts: Prompts,
    template: ChatTemplate,
    tell: Tell,
) -> list[dict[str, Any]]:
    """How far the merged `network` is from each of these; one row's logits at a time is held."""
    sums = [_Sums() for _ in before]
    who = "the merged model"
    for place, row in enumerate(watched(prompts.rows, f"logits of {who}", tell)):
        after = logits_of(network, row)
        for found, other in zip(sums, before, strict=True):
            found.add(other.logits[place], after)
    answers = _answers(network, prompts, template, tell, who)
    return [
        {**found.to_json(), **_changed(other.answers, answers)}
        for found, other in zip(sums, before, strict=True)
    ]


def compare(before: Iterable[torch.Tensor], after: Iterable[torch.Tensor]) -> dict[str, Any]:
    """How far two models' logits are apart, over each position of some rows.

    Each tensor is (positions, vocabulary). Gives the largest logit difference, the mean
    Kullback-Leibler divergence in nats and the share of positions where the most likely token is
    the same.
    """
    sums = _Sums()
    for first, second in zip(before, after, strict=True):
        sums.add(first, second)
    return sums.to_json()


def bounds(dtype: str) -> dict[str, float]:
    """What a merged model of that number format has to keep."""
    return {"mean_kl_nats": LARGEST_KL[dtype], "same_top_token": LEAST_SAME[dtype]}


def within_bounds(found: dict[str, Any], dtype: str) -> bool:
    """Whether a merged model is as near as it must be; one that isn't a number is not."""
    near = found["mean_kl_nats"] <= LARGEST_KL[dtype]
    same = found["same_top_token"] >= LEAST_SAME[dtype]
    return bool(near and same and found["largest_logit_difference"] < float("inf"))


def unchanged(base: Path, merged: Path, modules: Sequence[str]) -> float:
    """The share of the weights of these modules that a merge left as they were: their change is
    under half a unit in the last place of the merged model's format, and lost."""
    names, written = checks.tensors_of(base), _places(merged)
    before, same, total = _places(base), 0, 0
    for module in modules:
        name = checks.name_in(names, module)
        if name is None or name not in written:
            continue
        with safe_open(before[name], "pt") as one, safe_open(written[name], "pt") as two:
            first, second = one.get_tensor(name), two.get_tensor(name)
        if first.shape == second.shape:
            same += int((first.to(second.dtype) == second).sum())
            total += second.numel()
    return same / max(1, total)


def _places(folder: Path) -> dict[str, Path]:
    """The file that each tensor is in."""
    return {name: path for path in checks.weights_files(folder) for name in read_header(path)[0]}


class _Sums:
    def __init__(self) -> None:
        self._rows, self._positions, self._same = 0, 0, 0
        self._largest, self._divergence = 0.0, 0.0

    def add(self, first: torch.Tensor, second: torch.Tensor) -> None:
        difference = float((first - second).abs().max())
        # NaN is larger than anything: max() would pass it over.
        self._largest = difference if difference != difference else max(self._largest, difference)
        p, q = first.log_softmax(-1), second.log_softmax(-1)
        self._divergence += float((p.exp() * (p - q)).sum())
        self._same += int((first.argmax(-1) == second.argmax(-1)).sum())
        self._rows += 1
        self._positions += len(first)

    def to_json(self) -> dict[str, Any]:
        positions = max(1, self._positions)
        known = math.isfinite(self._divergence)
        return {
            "prompts": self._rows,
            "positions": self._positions,
            "largest_logit_difference": self._largest,
            # Of two that are all but the same the sum is a little under nought at times.
            "mean_kl_nats": max(0.0, self._divergence / positions) if known else math.nan,
            "same_top_token": self._same / positions,
            "changed_tokens": self._positions - self._same,
        }


def _changed(before: list[list[int]], after: list[list[int]]) -> dict[str, int]:
    pairs = list(zip(before, after, strict=True))
    return {"outputs": len(pairs), "changed_outputs": sum(one != two for one, two in pairs)}


def logits_of(network: Network, ids: list[int]) -> torch.Tensor:
    """The logits of the last positions, shape (at most 64, vocabulary), float32."""
    options: dict[str, Any] = {"use_cache": False}
    if "logits_to_keep" in signature(causal_model(network).forward).parameters:
        # The others are not even computed.
        options["logits_to_keep"] = _POSITIONS
    with torch.inference_mode():
        logits: torch.Tensor = network(input_ids=torch.tensor([ids]), **options).logits
    # A copy of its own, not a view that keeps the rest.
    return logits[0, -_POSITIONS:].to(torch.float32, copy=True)


def _answers(
    network: Network, prompts: Prompts, template: ChatTemplate, tell: Tell, who: str
) -> list[list[int]]:
    """Greedy ones."""
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=_ANSWER,
        eos_token_id=sorted(template.stop_ids) or None,
        pad_token_id=template.pad_id,
    )
    return list(
        _answer_each(network, watched(prompts.questions, f"answers of {who}", tell), config)
    )


def _answer_each(
    network: Any, questions: Iterable[list[int]], config: GenerationConfig
) -> Iterator[list[int]]:
    for ids in questions:
        asked = torch.tensor([ids])
        with torch.inference_mode():
            answered = network.generate(
                input_ids=asked,
                attention_mask=torch.ones_like(asked),
                generation_config=config,
            )
        yield answered[0, len(ids) :].tolist()
