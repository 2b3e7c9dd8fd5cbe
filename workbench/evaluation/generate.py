"""Answers of a model to held-out rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import GenerationConfig, PreTrainedModel

from workbench.data.example import Example
from workbench.data.template import ChatTemplate
from workbench.evaluation import decode
from workbench.evaluation.answers import Answer, Prompt, Sampling, prompts
from workbench.evaluation.decode import Said
from workbench.training import checks, memory
from workbench.training.loss import OnRows

OnToken = Callable[[], None]
"""Called now and then while answers are made; what it raises ends the work."""
_SHARE = 2
"""Of the memory that is left, the part of it that a batch may be forecast to take: the other half
is for copies of a layer's keys and values, and for whoever else is on the machine."""


@dataclass(slots=True)
class Budget:
    """How much is answered at once. A lack of memory halves it, for all batches that follow."""

    rows: int
    """At most."""
    tokens: int
    """Of a batch at most, with the longest answers that there may be, and padding."""

    @classmethod
    def of(cls, causal: PreTrainedModel, rows: int) -> Budget:
        """At most `rows`, and what the memory that is left has room for."""
        device = next(causal.parameters()).device
        if device.type == "cuda":
            unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            left = torch.cuda.mem_get_info(device)[0] + unused
        else:
            left = memory.host_memory_left()
        return cls(rows, max(1, left // _SHARE // token_bytes(causal)))

    def fitting(self, longest: int) -> int:
        """How many rows of at most `longest` tokens are answered at once."""
        return max(1, min(self.rows, self.tokens // longest))

    def halve(self, rows: int, longest: int) -> None:
        """`rows` rows of `longest` tokens were too many."""
        self.tokens = rows * longest // 2


def token_bytes(causal: PreTrainedModel) -> int:
    """What a token of a batch takes at most: its keys and values in every layer and, while prompts
    are read, the activations of one layer."""
    config = causal.config.get_text_config()

    def figure(name: str, otherwise: int) -> int:
        """Some families have none, some one for each layer."""
        found = getattr(config, name, None) or otherwise
        return max(found) if isinstance(found, list) else int(found)

    width, layers = figure("hidden_size", 4096), figure("num_hidden_layers", 32)
    heads = figure("num_attention_heads", 1)
    kept = 2 * layers * figure("num_key_value_heads", heads) * figure("head_dim", width // heads)
    activations = 8 * width + 3 * figure("intermediate_size", 4 * width)
    return (kept + activations) * causal.dtype.itemsize


def settings(template: ChatTemplate, sampling: Sampling) -> dict[str, Any]:
    """All settings of generation, by transformers' names: what is used, and what an evaluation
    records."""
    chosen: dict[str, Any] = {"do_sample": False, "num_beams": 1}
    if not sampling.greedy:
        drawn = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k")}
        chosen = {**chosen, "do_sample": True, **drawn, "seed": sampling.seed}
    return {
        **chosen,
        "max_new_tokens": sampling.max_new_tokens,
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
    """Greedy answers to each example's prompt, in the order of `examples`."""
    asked = prompts([template.prompt_of(example) for example in examples])
    budget = Budget.of(model, batch_size)
    found: dict[str, Answer] = {}
    for prompt, said in generate(model, template, asked, Sampling(max_new_tokens), budget):
        found[prompt.key] = said
        on_rows(len(found))
    return [found[prompt.key] for prompt in asked]


def generate(
    model: PreTrainedModel,
    template: ChatTemplate,
    asked: Sequence[Prompt],
    sampling: Sampling,
    budget: Budget,
    on_token: OnToken = lambda: None,
) -> Iterator[tuple[Prompt, Answer]]:
    """The answer to each prompt as soon as there is one: the longest prompts first, since they say
    at once whether memory is enough, and those of like lengths together.

    An answer ends at the template's end marker or one of the base's own. What else the base's
    generation_config.json wishes (penalties, beams) counts for nothing: two systems are compared
    by what they find likely. Raises what torch does where memory isn't enough for one prompt.
    """
    waiting = sorted(asked, key=lambda prompt: len(prompt.ids), reverse=True)
    batch_of = _batches(model, template, waiting, sampling, on_token)
    while waiting:
        longest = len(waiting[0].ids) + sampling.max_new_tokens
        size = min(len(waiting), budget.fitting(longest))
        batch, rest = waiting[:size], waiting[size:]
        done: set[int] = set()
        try:
            for said in batch_of(batch):
                done.add(said.place)
                text = template.decode(said.ids)
                yield batch[said.place], Answer(text, len(said.ids), said.stopped, said.seconds)
        except Exception as error:
            if size == 1 or not memory.is_shortage(error):
                raise
        # Not in the handler: the exception holds all that the batch was made of.
        left = [prompt for place, prompt in enumerate(batch) if place not in done]
        if left:
            budget.halve(size, longest)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        waiting = left + rest


def _batches(
    model: PreTrainedModel,
    template: ChatTemplate,
    asked: Sequence[Prompt],
    sampling: Sampling,
    on_token: OnToken,
) -> Callable[[Sequence[Prompt]], Iterator[Said]]:
    """What answers a batch."""
    longest = max((len(prompt.ids) for prompt in asked), default=0) + sampling.max_new_tokens
    apart = checks.positions_depend_on_batch(model, longest)
    if decode.fits(model) and not apart:
        return lambda batch: decode.decode(
            model, batch, sampling, template.stop_ids, template.pad_id, on_token
        )
    return lambda batch: _by_library(
        model, batch, template, sampling, on_token, apart=bool(apart) or not sampling.greedy
    )


def _by_library(
    model: PreTrainedModel,
    batch: Sequence[Prompt],
    template: ChatTemplate,
    sampling: Sampling,
    on_token: OnToken,
    *,
    apart: bool,
) -> Iterator[Said]:
    """By transformers' `generate`, for models that only it knows how to go on with: row by row
    where they must not know of each other, as when numbers are drawn."""
    size = 1 if apart else len(batch)
    chosen = settings(template, sampling)
    chosen.pop("seed", None)
    for start in range(0, len(batch), size):
        rows = batch[start : start + size]
        began = time.perf_counter()
        with _without_own_settings(model), torch.random.fork_rng():
            torch.manual_seed(sampling.seed_of(rows[0].key) >> 1)
            said = _generate(model, [row.ids for row in rows], GenerationConfig(**chosen))
        share = (time.perf_counter() - began) / len(rows)
        on_token()
        for place, ids in enumerate(said, start=start):
            end = next((i for i, token in enumerate(ids) if token in template.stop_ids), len(ids))
            yield Said(place, ids[:end], stopped=end < len(ids), seconds=share)


@contextmanager
def _without_own_settings(model: PreTrainedModel) -> Iterator[None]:
    """transformers fills every setting that isn't given from the model's own config."""
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _generate(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], chosen: GenerationConfig
) -> list[list[int]]:
    ids, mask = decode.padded(rows, int(chosen.pad_token_id or 0))
    device = next(model.parameters()).device
    with torch.inference_mode():
        output = cast(Any, model).generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=chosen,
            use_cache=True,
        )
    tokens: list[list[int]] = output[:, ids.shape[1] :].tolist()
    return tokens
