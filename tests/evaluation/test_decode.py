"""Decoding in batches: each row as it would be alone, whatever is drawn and whoever runs short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
import torch
import transformers
from transformers import GenerationConfig, PreTrainedModel

from tests import tiny
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.evaluation import decode
from workbench.evaluation.answers import Answer, Prompt, Sampling, prompts
from workbench.evaluation.generate import Budget, generate, settings, token_bytes

VOCABULARY = 259
LONGEST = 24
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 256,
    "bos_token_id": None,
    "eos_token_id": None,
    # Tied ones of this size say the last token again.
    "tie_word_embeddings": False,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("LlamaForCausalLM", {}),
    "window of 8 tokens": ("MistralForCausalLM", {"sliding_window": 8}),
    "windows in every other layer": (
        "Gemma3ForCausalLM",
        {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 2},
    ),
    "learnt positions": ("GPT2LMHeadModel", {}),
    "no positions": ("BloomForCausalLM", {}),
    "a state": ("MambaForCausalLM", {}),
}
BY_LIBRARY = {"no positions", "a state"}
ASKED = prompts([[(7 * n + 3 * i) % 256 for i in range(n)] for n in (40, 1, 17, 3, 9, 9)])
STOPS = frozenset(range(0, 256, 6))
"""So many that rows end at different times."""


def made(name: str) -> PreTrainedModel:
    family, own = FAMILIES[name]
    kind: Any = getattr(transformers, family)
    given = SMALL if kind.config_class.model_type not in ("bloom", "mamba") else dict(SMALL)
    if kind.config_class.model_type == "mamba":
        given = {k: v for k, v in SMALL.items() if k not in ("num_attention_heads", "head_dim")}
    torch.manual_seed(1)
    model: PreTrainedModel = kind(kind.config_class(**{**given, **own})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                # Larger than as begun, or it would say one token for ever.
                parameter.normal_(0, 0.3)
    return model


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> ChatTemplate:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.make_tokenizer(folder)
    template = ChatTemplate.load(folder)
    template.__dict__["stop_ids"] = STOPS
    return template


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return made("Llama")


def ids_of(model: PreTrainedModel, asked: Sequence[Prompt], sampling: Sampling) -> list[list[int]]:
    found = {
        said.place: said.ids
        for said in decode.decode(model, asked, sampling, STOPS, 256, lambda: None)
    }
    return [found[place] for place in range(len(asked))]


def plainly(model: Any, prompt: Prompt) -> list[int]:
    """What transformers' own `generate` says to one prompt, without its end."""
    chosen = GenerationConfig(
        do_sample=False, max_new_tokens=LONGEST, eos_token_id=sorted(STOPS), pad_token_id=256
    )
    ids = torch.tensor([prompt.ids])
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=chosen
    )
    said: list[int] = output[0, ids.shape[1] :].tolist()
    return said[:-1] if said[-1] in STOPS else said


@pytest.mark.parametrize("name", FAMILIES)
def test_every_row_of_a_batch_says_what_it_says_alone(name: str, template: ChatTemplate) -> None:
    model = made(name)
    alone = [plainly(model, prompt) for prompt in ASKED]
    assert len(set(map(len, alone))) > 2, "they end at different times"
    assert decode.fits(model) == (name not in BY_LIBRARY)
    if name not in BY_LIBRARY:
        assert ids_of(model, ASKED, Sampling(LONGEST)) == alone
    answers = answered(model, template, ASKED, Sampling(LONGEST))
    assert [answers[p.key] for p in ASKED] == [
        Answer(template.decode(ids), len(ids), len(ids) < LONGEST) for ids in alone
    ]


def answered(
    model: PreTrainedModel,
    template: ChatTemplate,
    asked: Sequence[Prompt],
    sampling: Sampling,
    rows: int = 4,
) -> dict[str, Answer]:
    found = generate(model, template, asked, sampling, Budget(rows, 10_000))
    return {prompt.key: answer for prompt, answer in found}


def test_rows_that_have_ended_are_computed_no_more(llama: PreTrainedModel) -> None:
    seen: list[int] = []
    hook = llama.register_forward_pre_hook(
        lambda module, given, named: seen.append(len(named["input_ids"])), with_kwargs=True
    )
    said = ids_of(llama, ASKED, Sampling(LONGEST))
    hook.remove()
    # A row is in one call for each of its tokens, that of its end included.
    calls = [min(LONGEST, len(ids) + 1) for ids in said]
    assert seen == [sum(n > turn for n in calls) for turn in range(max(calls))]


def test_an_answer_is_there_as_soon_as_it_has_ended(llama: PreTrainedModel) -> None:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    for said in decode.decode(llama, ASKED, Sampling(LONGEST), STOPS, 256, count):
        assert steps == len(said.ids) + said.stopped
        assert said.seconds > 0


@pytest.mark.parametrize("rows", [1, 2, 6])
@pytest.mark.parametrize("name", ["Llama", "a state"])
def test_what_is_drawn_depends_on_no_neighbour_and_no_order(
    name: str, template: ChatTemplate, rows: int
) -> None:
    model, sampling = made(name), Sampling(12, temperature=0.8, top_p=0.95, top_k=40, seed=5)
    first = answered(model, template, ASKED, sampling, rows=3)
    assert answered(model, template, ASKED[::-1], sampling, rows) == first
    assert answered(model, template, ASKED[2:4], sampling, rows).items() <= first.items()


def test_another_seed_draws_other_answers(llama: PreTrainedModel, template: ChatTemplate) -> None:
    one, other = (answered(llama, template, ASKED, Sampling(12, 1.0, seed=s)) for s in (1, 2))
    assert one != other


def test_a_prompt_that_comes_twice_is_answered_twice(
    llama: PreTrainedModel, template: ChatTemplate
) -> None:
    twice = prompts([ASKED[0].ids, ASKED[0].ids])
    said = answered(llama, template, twice, Sampling(12, temperature=1.5))
    assert len(said) == 2 and len(set(said.values())) == 2
    assert len({a.text for a in answered(llama, template, twice, Sampling(12)).values()}) == 1


def drawn(logits: list[float], sampling: Sampling, times: int = 4000) -> Counter[int]:
    draws = [Random(n) for n in range(times)]
    return Counter(decode.choose(torch.tensor([logits] * times), sampling, draws))


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    chances = [0.5, 0.25, 0.15, 0.1]
    logits = torch.tensor(chances).log().tolist()
    found = drawn(logits, Sampling(1, temperature=1.0))
    # Within four standard errors of a share of 4,000.
    for token, chance in enumerate(chances):
        assert found[token] / 4000 == pytest.approx(chance, abs=4 * (chance * 0.75 / 4000) ** 0.5)
    warmer = drawn(logits, Sampling(1, temperature=2.0))
    shares = [chance**0.5 for chance in chances]
    assert warmer[0] / 4000 == pytest.approx(shares[0] / sum(shares), abs=0.03)


@pytest.mark.parametrize(
    ("how", "left"),
    [
        # Holtzman et al. 2020: the fewest of the likeliest that have at least this probability.
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.51}, {0, 1}),
        ({"top_p": 0.8}, {0, 1, 2}),
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 1}, {0}),
        ({"top_k": 3, "top_p": 0.6}, {0, 1}),
        ({"top_k": 100}, {0, 1, 2, 3}),
    ],
)
def test_the_unlikely_ones_are_never_drawn(how: dict[str, Any], left: set[int]) -> None:
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log().tolist()
    assert set(drawn(logits, Sampling(1, temperature=1.0, **how))) == left


@pytest.mark.parametrize(
    "how",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"max_new_tokens": 0},
        {"seed": -1},
    ],
)
def test_settings_that_cannot_be_are_refused(how: dict[str, Any]) -> None:
    with pytest.raises(WorkbenchError, match=next(iter(how))):
        Sampling(**{"max_new_tokens": 1, **how})


Decode = Callable[..., Iterator[decode.Said]]


def with_room_for(rows: int, sizes: list[int], after: int = 0) -> Decode:
    """Decoding on a machine whose memory is too small for more rows, once `after` have ended."""
    real = decode.decode

    def decoded(model: Any, batch: Sequence[Prompt], *others: Any) -> Iterator[decode.Said]:
        sizes.append(len(batch))
        for number, said in enumerate(real(model, batch, *others)):
            if len(batch) > rows and number >= after:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            yield said

    return decoded


@pytest.mark.parametrize("after", [0, 2])
def test_short_of_memory_it_goes_on_with_half_as_much_at_once(
    llama: PreTrainedModel,
    template: ChatTemplate,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    whole = answered(llama, template, ASKED, Sampling(LONGEST), rows=6)
    sizes: list[int] = []
    monkeypatch.setattr(decode, "decode", with_room_for(2, sizes, after))
    budget = Budget(6, 10_000)
    found = list(generate(llama, template, ASKED, Sampling(LONGEST), budget))
    assert {prompt.key: answer for prompt, answer in found} == whole
    assert len(found) == len(ASKED), "what had been said is not said again"
    assert sizes[:2] == [6, 3] and budget.tokens < 6 * (40 + LONGEST)


def test_a_lack_of_memory_for_one_row_is_told(
    llama: PreTrainedModel, template: ChatTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(decode, "decode", with_room_for(0, sizes))
    with pytest.raises(torch.OutOfMemoryError):
        answered(llama, template, ASKED, Sampling(LONGEST))
    assert sizes == [4, 2, 1]


def test_long_rows_are_fewer_at_once(llama: PreTrainedModel) -> None:
    budget = Budget(rows=8, tokens=1000)
    assert [budget.fitting(n) for n in (10, 125, 126, 500, 5000)] == [8, 8, 7, 2, 1]
    # Keys and values of 4 layers with 2 heads of 8, and a layer's activations, in float32.
    assert token_bytes(llama) == (2 * 4 * 2 * 8 + 8 * 32 + 3 * 48) * 4
    for name in FAMILIES:
        assert Budget.of(made(name), 8).tokens > 1000


def test_greedy_settings_hold_no_others(template: ChatTemplate) -> None:
    assert "temperature" not in settings(template, Sampling(4, seed=3))
    drawn = settings(template, Sampling(4, temperature=0.5, seed=3))
    assert (drawn["do_sample"], drawn["temperature"], drawn["seed"]) == (True, 0.5, 3)
