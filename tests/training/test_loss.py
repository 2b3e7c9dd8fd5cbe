from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch.nn import functional
from torch.nn.functional import cross_entropy
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    FalconH1Config,
    FalconH1ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    HyperCLOVAXConfig,
    HyperCLOVAXForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
    PreTrainedModel,
)

from tests.training.harness import CPU, configure, encode
from workbench.errors import WorkbenchError
from workbench.training import loss, model
from workbench.training.batches import Batch, Layout, Row, collate
from workbench.training.checks import check_loss
from workbench.training.loss import TrainedTokenLoss, token_logits

PAD = 256


@pytest.fixture(scope="module")
def adapted(_tiny_model: Path) -> PeftModel:
    """The tiny model with an adapter that does something."""
    config = configure(_tiny_model)
    adapted = model.add_adapter(model.load_base(_tiny_model, config.model, CPU), config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
    return adapted.eval()


@pytest.fixture(scope="module")
def batch(_tiny_model: Path) -> Batch:
    batch = batch_of(encode(_tiny_model, 7))
    assert not mask_of(batch).all(), "some of it is padding"
    return batch


def batch_of(rows: Sequence[Row], *, packed: bool = False) -> Batch:
    """All rows in one batch."""
    layout = Layout(len(rows), max(len(row) for row in rows), PAD, packed)
    return collate(rows, list(range(len(rows))), layout, CPU)


def mask_of(batch: Batch) -> torch.Tensor:
    """As transformers takes it: 0 where there is padding."""
    return (batch.input_ids != PAD).long()


def labels_of(batch: Batch) -> torch.Tensor:
    """As transformers takes them: -100 is not counted."""
    row, before = batch.places
    labels = torch.full_like(batch.input_ids, -100)
    labels[row, before + 1] = batch.input_ids[row, before + 1]
    return labels


def plain_sums(adapted: PeftModel, batch: Batch) -> torch.Tensor:
    """The same by the book: all logits, then the loss of each row's labels."""
    logits = adapted(input_ids=batch.input_ids, attention_mask=mask_of(batch)).logits
    labels = labels_of(batch)[:, 1:]
    losses = cross_entropy(logits[:, :-1].transpose(1, 2), labels, reduction="none")
    return losses.sum(1)


def sums(adapted: PeftModel, batch: Batch) -> torch.Tensor:
    measured: torch.Tensor = TrainedTokenLoss(adapted)(batch)
    return measured


def gradients(adapted: PeftModel, total: torch.Tensor) -> dict[str, torch.Tensor]:
    trainable = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(total, list(trainable.values()))
    return dict(zip(trainable, found, strict=True))


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-4, atol=1e-5)


def test_the_sums_are_those_of_a_plain_computation(adapted: PeftModel, batch: Batch) -> None:
    measured = sums(adapted, batch)
    assert measured.dtype == torch.float32 and measured.shape == (7,)
    torch.testing.assert_close(measured, plain_sums(adapted, batch), rtol=1e-5, atol=1e-5)


def test_their_mean_is_the_loss_that_transformers_gives(adapted: PeftModel, batch: Batch) -> None:
    theirs = adapted(
        input_ids=batch.input_ids, attention_mask=mask_of(batch), labels=labels_of(batch)
    ).loss
    mean = sums(adapted, batch).sum() / batch.trained_tokens
    torch.testing.assert_close(mean, theirs, rtol=1e-5, atol=1e-5)


def test_the_adapters_gradients_are_those_of_a_plain_computation(
    adapted: PeftModel, batch: Batch
) -> None:
    ours = gradients(adapted, sums(adapted, batch).sum() / batch.trained_tokens)
    theirs = gradients(adapted, plain_sums(adapted, batch).sum() / batch.trained_tokens)
    assert any(gradient.abs().max() > 1e-3 for gradient in ours.values())
    assert_same(ours, theirs)


@pytest.mark.parametrize("tokens", [1, 7, 64])
def test_chunks_change_neither_loss_nor_gradients(
    adapted: PeftModel, batch: Batch, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    whole = sums(adapted, batch)
    whole_gradients = gradients(adapted, whole.sum())
    monkeypatch.setattr(loss, "chunk", lambda vocabulary, processor: tokens)
    assert batch.trained_tokens > tokens
    chunked = sums(adapted, batch)
    torch.testing.assert_close(chunked, whole, rtol=1e-5, atol=1e-5)
    assert_same(gradients(adapted, chunked.sum()), whole_gradients)


def test_a_row_has_the_same_loss_alone_and_among_longer_rows(
    adapted: PeftModel, _tiny_model: Path
) -> None:
    rows = encode(_tiny_model, 7)
    together = batch_of(rows)
    by_row = dict(zip(together.rows, sums(adapted, together).tolist(), strict=True))
    for place, row in enumerate(rows):
        alone = batch_of([row])
        assert mask_of(alone).all()
        assert sums(adapted, alone).item() == pytest.approx(by_row[place], abs=1e-4)


def test_what_stands_in_the_padding_changes_nothing(adapted: PeftModel, batch: Batch) -> None:
    other = batch.input_ids.clone()
    padding = mask_of(batch) == 0
    other[padding] = torch.randint(0, 256, (int(padding.sum()),))
    measured = sums(adapted, replace(batch, input_ids=other))
    torch.testing.assert_close(measured, sums(adapted, batch), rtol=1e-5, atol=1e-5)


def test_only_trained_tokens_count(adapted: PeftModel, batch: Batch) -> None:
    """Row by row: minus the logarithm of what the model gives each trained token."""
    logits = adapted(input_ids=batch.input_ids, attention_mask=mask_of(batch)).logits
    logs = logits.detach().log_softmax(-1)
    for row, measured in enumerate(sums(adapted, batch).tolist()):
        places = [i for i, label in enumerate(labels_of(batch)[row].tolist()) if label != -100]
        assert 0 < len(places) < int(mask_of(batch)[row].sum())
        by_hand = -sum(float(logs[row, i - 1, batch.input_ids[row, i]]) for i in places)
        assert measured == pytest.approx(by_hand, rel=1e-4)


def test_nothing_trained_is_a_loss_of_0(adapted: PeftModel, batch: Batch) -> None:
    nothing = replace(
        batch, places=batch.places[:, :0], labels=batch.labels[:0], owners=batch.owners[:0]
    )
    assert sums(adapted, nothing).tolist() == [0.0] * 7


def test_nothing_is_looked_for_on_the_device_and_attention_has_no_mask(
    adapted: PeftModel, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look for tokens makes a GPU's step wait; a mask keeps it from its fast attention."""
    masks: list[torch.Tensor | None] = []
    attend = functional.scaled_dot_product_attention

    def note(*tensors: torch.Tensor, **options: Any) -> torch.Tensor:
        masks.append(options["attn_mask"])
        assert options["is_causal"]
        return attend(*tensors, **options)

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("it was looked for")

    monkeypatch.setattr(functional, "scaled_dot_product_attention", note)
    monkeypatch.setattr(torch, "nonzero", refuse)
    sums(adapted, batch)
    assert masks == [None, None]


SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

MAMBA = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_state": 16, "mamba_chunk_size": 16}


@pytest.mark.parametrize(
    "family",
    [
        lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=16, final_logit_softcapping=2.0)),
        lambda: GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=8.0)),
        lambda: CohereForCausalLM(CohereConfig(**SMALL, logit_scale=0.0625)),
        lambda: FalconH1ForCausalLM(FalconH1Config(**SMALL, **MAMBA, lm_head_multiplier=0.04)),
    ],
    ids=["gemma2", "granite", "cohere", "falcon_h1"],
)
def test_logits_are_finished_as_the_models_family_finishes_them(family: Any) -> None:
    torch.manual_seed(0)
    causal: PreTrainedModel = family().eval()
    with torch.no_grad():
        # A head that reaches the cap.
        causal.get_output_embeddings().weight.mul_(40)
        ids = torch.randint(3, 97, (2, 9))
        hidden = causal.base_model(input_ids=ids).last_hidden_state
        ours = token_logits(causal, hidden.flatten(0, 1))
        theirs = causal(input_ids=ids).logits.flatten(0, 1)
    torch.testing.assert_close(ours, theirs.float(), rtol=1e-5, atol=1e-5)
    check_loss(causal, a_row(), 0)
    check_loss(causal.bfloat16(), a_row(), 0)


def a_row(length: int = 200) -> Row:
    """Random tokens, of which the second half is trained."""
    ids = torch.randint(3, 97, (length,), dtype=torch.int32, generator=torch.manual_seed(0))
    return Row(ids, torch.arange(length) >= length // 2, length - length // 2)


@pytest.mark.parametrize("length", [2, 3, 200])
def test_the_check_passes_rows_of_any_length(adapted: PeftModel, length: int) -> None:
    check_loss(adapted, a_row(length), PAD)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_family_that_finishes_its_logits_in_an_unknown_way_is_refused(dtype: torch.dtype) -> None:
    """HyperCLOVA X multiplies by what is named as the number that Granite divides by."""
    torch.manual_seed(0)
    causal = HyperCLOVAXForCausalLM(HyperCLOVAXConfig(**SMALL, logits_scaling=0.125))
    causal.get_output_embeddings().weight.data.mul_(40)
    with pytest.raises(WorkbenchError, match="HyperCLOVAXForCausalLM changes its logits"):
        check_loss(causal.to(dtype), a_row(), 0)


def test_a_family_without_hidden_states_of_its_own_is_refused() -> None:
    settings = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 2}
    sizes = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 32, "head_dim": 8}
    config = Llama4TextConfig(num_hidden_layers=1, **sizes, **settings)
    with pytest.raises(WorkbenchError, match="Llama4ForCausalLM gives logits alone"):
        check_loss(Llama4ForCausalLM(config), a_row(), 0)


def test_a_model_that_sees_the_padding_to_its_right_is_refused(
    adapted: PeftModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend = functional.scaled_dot_product_attention

    def see_all(*tensors: torch.Tensor, **options: Any) -> torch.Tensor:
        return attend(*tensors, **{**options, "is_causal": False})

    monkeypatch.setattr(functional, "scaled_dot_product_attention", see_all)
    with pytest.raises(WorkbenchError, match="treats padding"):
        check_loss(adapted, a_row(), PAD)
