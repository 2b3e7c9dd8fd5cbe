from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import (
    FalconH1Config,
    FalconH1ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhimoeConfig,
    PhimoeForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.training.harness import CPU, adapter, configure, curve, encode, events, run
from tests.training.test_loss import MAMBA, PAD, SMALL, a_row
from workbench.jobs.events import Notice, Started, Step
from workbench.training import attention, checks, model
from workbench.training.batches import Batch, Layout, Row, collate, common_beginning
from workbench.training.loss import TrainedTokenLoss


def all_in_one(rows: list[Row], *, packed: bool) -> Batch:
    layout = Layout(len(rows), max(len(row) for row in rows), PAD, packed)
    return collate(rows, list(range(len(rows))), layout, CPU)


def with_adapter(base: Path, **sections: dict[str, Any]) -> PeftModel:
    """The tiny model with an adapter that does something."""
    config = configure(base, **sections)
    adapted = model.add_adapter(model.load_base(base, config.model, CPU), config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
    return adapted


def gradients(of: nn.Module, total: torch.Tensor) -> dict[str, torch.Tensor]:
    trained = {name: p for name, p in of.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(total, list(trained.values()))
    return dict(zip(trained, found, strict=True))


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_rows_have_the_losses_and_gradients_that_they_have_one_by_one(
    base: Path, checkpointing: bool
) -> None:
    rows = encode(base, 7)
    assert len({row.trained_tokens for row in rows}) > 1, "of unequal counts"
    adapted = with_adapter(base, training={"gradient_checkpointing": checkpointing})
    measure = TrainedTokenLoss(adapted).train()
    alone = [measure(all_in_one([row], packed=False)) for row in rows]
    by_one = gradients(adapted, torch.cat(alone).sum())
    assert checks.pack(adapted, [rows[0]], PAD) == ""
    packed = measure(all_in_one(rows, packed=True))
    torch.testing.assert_close(packed, torch.cat(alone), rtol=1e-5, atol=1e-5)
    assert_close(gradients(adapted, packed.sum()), by_one)


def test_a_row_is_the_same_bit_for_bit_whatever_its_neighbours_say(base: Path) -> None:
    rows = encode(base, 5)
    adapted = with_adapter(base).eval()
    assert checks.pack(adapted, [rows[0]], PAD) == ""
    measure = TrainedTokenLoss(adapted)
    before = measure(all_in_one(rows, packed=True))
    for changed in range(5):
        others = list(rows)
        ids = (rows[changed].ids + 7) % 256
        others[changed] = Row(ids.int(), rows[changed].trained, rows[changed].trained_tokens)
        after = measure(all_in_one(others, packed=True))
        same = [torch.equal(after[i], before[i]) for i in range(5)]
        assert same == [i != changed for i in range(5)]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_rows_that_begin_alike_have_the_losses_and_gradients_that_they_have_one_by_one(
    base: Path, checkpointing: bool
) -> None:
    """The beginning is computed once, for those that have it; one row of four has another."""
    beginning = a_row(12).ids
    rows = [
        Row(torch.cat([beginning, row.ids]), torch.cat([torch.zeros(12) > 0, row.trained]), 1)
        for row in encode(base, 3)
    ]
    # One learns what its beginning says, too, and one is longer by a token than it is.
    rows[1].trained[5:12] = True
    short = torch.cat([beginning, rows[0].ids[-1:]])
    rows = [*rows, encode(base, 4)[3], Row(short, torch.arange(13) > 11, 1)]
    adapted = with_adapter(base, training={"gradient_checkpointing": checkpointing})
    measure = TrainedTokenLoss(adapted).train()
    alone = [measure(all_in_one([row], packed=False)) for row in rows]
    by_one = gradients(adapted, torch.cat(alone).sum())
    assert checks.pack(adapted, [rows[0]], PAD) == "" and checks.shares(adapted, rows[0], PAD)
    layout = Layout(5, 400, PAD, packed=True, beginning=tuple(beginning.tolist()))
    batch = collate(rows, list(range(5)), layout, CPU)
    assert batch.shared == (12, 12, 12, 0, 12)
    assert batch.input_ids.shape[1] == batch.tokens - 3 * 12
    packed = measure(batch)
    torch.testing.assert_close(packed, torch.cat(alone), rtol=1e-5, atol=1e-5)
    assert_close(gradients(adapted, packed.sum()), by_one)


def test_what_rows_begin_with_is_found(base: Path) -> None:
    rows = encode(base, 9)
    found = common_beginning(rows)
    assert all(tuple(row.ids[: len(found)].tolist()) == found for row in rows)
    assert len({row.ids[len(found)].item() for row in rows}) > 1 and len(found) >= 8
    other = Row(a_row(30).ids + 1, a_row(30).trained, 29)
    assert common_beginning(rows[:1]) == common_beginning([a_row(30), other]) == ()
    same = [a_row(30), a_row(30)]
    assert len(common_beginning(same)) == 29, "the last token is each row's own"


def test_a_beginning_is_not_shared_where_rows_draw_or_hand_on_a_state(base: Path) -> None:
    dropping = with_adapter(base, lora={"dropout": 0.1})
    assert checks.pack(dropping, [a_row(60)], PAD) == ""
    assert not checks.shares(dropping, a_row(60), PAD)
    hybrid = FalconH1ForCausalLM(FalconH1Config(**SMALL, **MAMBA)).eval()
    assert checks.pack(hybrid, [a_row(60)], PAD) == ""
    assert not checks.shares(hybrid, a_row(60), PAD)


def test_packing_changes_neither_the_curve_nor_what_is_counted(tmp_path: Path, base: Path) -> None:
    loops = {}
    for packing in (True, False):
        config = configure(base, training={"packing": packing, "batch_size": 3, "accumulation": 2})
        loops[packing], _ = run(tmp_path / str(packing), config)
    packed, padded = (events(tmp_path / str(packing), Step) for packing in (True, False))
    for ours, theirs in zip(packed, padded, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
        assert (ours.tokens, ours.trained_tokens) == (theirs.tokens, theirs.trained_tokens)
    assert [c[1] for c in curve(tmp_path / "True")] != [c[1] for c in curve(tmp_path / "False")]
    for name, weight in adapter(loops[True]).items():
        torch.testing.assert_close(weight, adapter(loops[False])[name], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize(
    "family",
    [
        lambda: MistralForCausalLM(MistralConfig(**SMALL, head_dim=16, sliding_window=5)),
        lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=16)),
        lambda: FalconH1ForCausalLM(FalconH1Config(**SMALL, **MAMBA)),
    ],
    ids=["sliding window", "norms of heads", "a state that begins anew"],
)
def test_a_family_that_can_be_packed_is_and_agrees_with_its_own_logits(family: Any) -> None:
    torch.manual_seed(0)
    causal: PreTrainedModel = family().eval()
    row = a_row(60)
    measure = TrainedTokenLoss(causal)
    plain = causal(input_ids=row.ids.long().unsqueeze(0)).logits.log_softmax(-1)[0, :-1]
    by_hand = -plain.gather(1, row.ids[1:, None].long())[row.trained[1:]].sum()
    assert checks.pack(causal, [row], 0) == ""
    rows = [a_row(33), row, a_row(47)]
    packed = measure(all_in_one(rows, packed=True))
    torch.testing.assert_close(packed[1], by_hand, rtol=1e-5, atol=1e-4)


def capped() -> PreTrainedModel:
    return Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=16))


def with_a_state() -> PreTrainedModel:
    """A layer that hands on a little of all that it has seen, wherever a row begins."""
    causal = Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=16))

    def hand_on(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output + 0.01 * output.cumsum(1)

    causal.model.layers[0].register_forward_hook(hand_on)
    return causal


def convolving() -> PreTrainedModel:
    """Small weights: what its convolution hands on changes a row's loss by a millionth."""
    sizes = SMALL | {"num_hidden_layers": 2}
    return Lfm2ForCausalLM(Lfm2Config(**sizes, layer_types=["conv", "full_attention"]))


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        (capped, "attention with softcap"),
        (with_a_state, "change its neighbour's loss"),
        (convolving, "change its neighbour's loss"),
    ],
)
def test_a_family_that_cannot_be_packed_is_told_and_left_as_it_was(
    family: Callable[[], PreTrainedModel], reason: str
) -> None:
    torch.manual_seed(0)
    causal = family().eval()
    with torch.no_grad():
        ids = a_row(40).ids.long().unsqueeze(0)
        before = causal(input_ids=ids).logits
        assert reason in checks.pack(causal, [a_row()], 0)
        assert torch.equal(causal(input_ids=ids).logits, before)


def windowed() -> PreTrainedModel:
    """Its window stands in the mask alone, which segments have none of."""
    return PhimoeForCausalLM(PhimoeConfig(**SMALL, sliding_window=70, num_local_experts=2))


def test_a_window_that_attention_is_not_told_of_shows_in_the_longest_row() -> None:
    torch.manual_seed(0)
    causal = windowed().eval()
    assert checks.pack(causal, [a_row(60), a_row(30)], 0) == ""
    attention.use_own(causal)
    assert "its window of 70 tokens" in checks.pack(causal, [a_row(60), a_row(90)], 0)


def test_rows_go_one_at_a_time_where_the_longest_changes_the_others_positions(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = [1.0] * 8
    scaled = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "original_max_position_embeddings": 64,
        "long_factor": [4 * f for f in factors],
        "short_factor": factors,
    }
    causal = Phi3ForCausalLM(
        Phi3Config(
            **{**SMALL, "pad_token_id": 0},
            max_position_embeddings=512,
            original_max_position_embeddings=64,
            rope_parameters=scaled,
        )
    ).eval()
    assert checks.positions_depend_on_batch(causal, 64) == ""
    reason = "rows over 64 tokens change the positions of all others in their batch"
    assert checks.positions_depend_on_batch(causal, 65) == reason
    monkeypatch.setattr(checks, "positions_depend_on_batch", lambda *_: reason)
    _, outcome = run(tmp_path, configure(base, training={"micro_batch": "auto"}))
    assert outcome.step == 6
    (told,) = events(tmp_path, Notice)
    assert told.text == f"Rows go through the model one at a time: {reason}."


def test_a_run_of_a_base_that_cannot_be_packed_is_padded_and_says_so(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.training.ready.checks.pack", lambda *_: "it has a state")
    _, outcome = run(tmp_path, configure(base))
    assert outcome.step == 6
    (told,) = events(tmp_path, Notice)
    assert told.text == "Rows are padded, not packed: it has a state."
    assert events(tmp_path, Started) == []


def test_each_row_is_in_one_batch_and_no_batch_is_over_its_tokens() -> None:
    chance = random.Random(0)
    for _ in range(200):
        lengths = [chance.randint(1, 60) for _ in range(chance.randint(1, 40))]
        size, ranks = chance.randint(1, 6), chance.randint(1, 3)
        for packed in (True, False):
            groups = Layout(size, max(lengths), PAD, packed).groups(lengths, ranks)
            assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
            assert all(sum(lengths[i] for i in group) <= size * max(lengths) for group in groups)
            assert packed or all(len(group) <= size for group in groups)


def test_packing_leaves_little_room() -> None:
    """Best-fit decreasing needs 11/9 of the fewest batches and four, at most."""
    chance = random.Random(1)
    lengths = [chance.randint(20, 400) for _ in range(500)]
    groups = Layout(4, 400, PAD, packed=True).groups(lengths)
    assert len(groups) <= 1.02 * sum(lengths) / 1600 + 1


def test_places_start_anew_in_each_packed_row_and_nothing_is_learnt_across(base: Path) -> None:
    rows = encode(base, 3)
    first = [Row(row.ids, torch.ones(len(row), dtype=torch.bool), len(row)) for row in rows]
    batch = all_in_one(first, packed=True)
    assert batch.position_ids is not None and batch.starts is not None
    assert batch.position_ids[0].tolist() == [i for row in rows for i in range(len(row))]
    assert batch.starts.tolist() == [
        sum(len(row) for row in rows[:n]) for n in range(len(rows) + 1)
    ]
    assert len(batch.labels) == sum(len(row) - 1 for row in rows)
    assert batch.owners.tolist() == [n for n, row in enumerate(rows) for _ in range(len(row) - 1)]
