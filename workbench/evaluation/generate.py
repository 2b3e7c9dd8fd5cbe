"""Answers of a model to held-out rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import GenerationConfig, PreTrainedModel

from workbench.data.example import Example
from workbench.data.template import ChatTemplate
from workbench.training.loss import OnRows


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to a prompt."""

    text: str
    tokens: int
    """Without that of its end."""
    stopped: bool
    """It ended by itself, not at the longest length."""


def greedy(template: ChatTemplate, max_new_tokens: int) -> dict[str, Any]:
    """All settings of generation: what `answer` uses, and what an evaluation records."""
    return {
        "do_sample": False,
        "num_beams": 1,
        "max_new_tokens": max_new_tokens,
        "eos_token_id": sorted(template.stop_ids),
        "pad_token_id": template.pad_id,
    }


def answer(
    model: PreTrainedModel,
    template: ChatTemplate,
    examples: Sequence[Example],
    *,
    max_new_tokens: int,
    batch_size: int,
    on_rows: OnRows,
) -> list[Answer]:
    """Greedy answers to each example's prompt, in the order of `examples`.

    Prompts of like lengths go together, padded on the left so that the answers begin at
    one place; generation of a row ends at the template's end marker. What the base's
    generation_config.json wishes (penalties, beams) counts for nothing: two systems are
    compared by what they find most likely.
    """
    prompts = [template.prompt_of(example) for example in examples]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    settings = GenerationConfig(**greedy(template, max_new_tokens))
    answers: dict[int, Answer] = {}
    with _without_own_settings(model):
        for start in range(0, len(order), batch_size):
            picked = order[start : start + batch_size]
            generated = _generate(model, [prompts[i] for i in picked], settings)
            for place, ids in zip(picked, generated, strict=True):
                answers[place] = _answer(ids, template)
            on_rows(start + len(picked))
    return [answers[place] for place in range(len(prompts))]


@contextmanager
def _without_own_settings(model: PreTrainedModel) -> Iterator[None]:
    """transformers fills every setting that isn't given from the model's own config."""
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _generate(
    model: PreTrainedModel, prompts: list[list[int]], settings: GenerationConfig
) -> list[list[int]]:
    width = max(len(prompt) for prompt in prompts)
    device = next(model.parameters()).device
    input_ids = torch.full((len(prompts), width), int(settings.pad_token_id or 0))
    attention_mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
        attention_mask[row, width - len(prompt) :] = 1
    with torch.inference_mode():
        output = cast(Any, model).generate(
            input_ids=input_ids.to(device),
            attention_mask=attention_mask.to(device),
            generation_config=settings,
            use_cache=True,
        )
    tokens: list[list[int]] = output[:, width:].tolist()
    return tokens


def _answer(ids: list[int], template: ChatTemplate) -> Answer:
    stops = template.stop_ids
    end = next((place for place, token in enumerate(ids) if token in stops), len(ids))
    return Answer(template.decode(ids[:end]), end, stopped=end < len(ids))
