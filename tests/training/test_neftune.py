from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.harness import CPU, configure
from workbench.training import model
from workbench.training.neftune import Neftune, add_noise, token_lengths


def test_noise_is_within_the_papers_bound_and_fills_it() -> None:
    """Jain et al. 2023, algorithm 1: uniform in alpha / sqrt(L d) each way; here L is 25, d 64."""
    torch.manual_seed(0)
    embeddings = torch.randn(2, 25, 64)
    noise = add_noise(embeddings, torch.full((2, 25), 25), 8.0) - embeddings
    bound = 8.0 / (25 * 64) ** 0.5
    assert bound * 0.99 < noise.abs().max() <= bound * 1.0001
    assert noise.abs().mean() == pytest.approx(bound / 2, rel=0.05)
    assert noise.mean() == pytest.approx(0, abs=bound / 20)


def test_noise_goes_by_each_examples_own_length_packed_or_padded() -> None:
    assert token_lengths([[4], [1]], 4).tolist() == [[4] * 4, [1, 0, 0, 0]]
    assert token_lengths([[2, 1, 3]], 7).tolist() == [[2, 2, 1, 3, 3, 3, 0]]
    embeddings = torch.zeros(1, 110, 32)
    noise = add_noise(embeddings, token_lengths([[100, 4]], 110), 5.0)[0]
    for part, length in ((noise[:100], 100), (noise[100:104], 4)):
        bound = 5.0 / (length * 32) ** 0.5
        assert bound * 0.9 < part.abs().max() <= bound
    assert not noise[104:].any(), "padding has none"


def test_embeddings_in_bfloat16_stay_so() -> None:
    embeddings = torch.ones(1, 3, 8, dtype=torch.bfloat16)
    noisy = add_noise(embeddings, torch.full((1, 3), 3), 5.0)
    assert noisy.dtype == torch.bfloat16 and not torch.equal(noisy, embeddings)


@pytest.mark.parametrize("lora", [{}, {"modules_to_save": ["embed_tokens"]}])
def test_a_model_has_noise_in_training_alone(base: Path, lora: dict[str, Any]) -> None:
    config = configure(base, lora=lora, training={"gradient_checkpointing": True})
    trained: Any = model.load_to_train(base, config, CPU)
    ids = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        quiet = trained.train()(input_ids=ids).logits
    neftune = Neftune(trained.get_base_model(), 5.0)

    def logits() -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = trained(input_ids=ids).logits
        return found

    with neftune.of(token_lengths([[20]], 20)):
        first, second = logits(), logits()
        assert not torch.equal(first, quiet) and not torch.equal(first, second)
        trained.eval()
        assert torch.equal(logits(), quiet)
        trained.train()
        trained(input_ids=ids, labels=ids).loss.backward()
    assert all(p.grad is not None for p in trained.parameters() if p.requires_grad)
    assert torch.equal(logits(), quiet), "no batch, no noise: as in generation"
