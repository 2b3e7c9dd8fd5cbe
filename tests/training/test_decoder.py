"""Which layers of a decoder are compiled and spread one by one."""

from __future__ import annotations

from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from tests.training.test_loss import SMALL
from workbench.training.decoder import decoder_layers


def test_layers_are_those_that_the_family_names_or_else_its_longest_list() -> None:
    config = Qwen3Config(**{**SMALL, "num_hidden_layers": 3}, head_dim=16)
    causal: PreTrainedModel = Qwen3ForCausalLM(config)
    layers = list(causal.model.layers)
    assert len(layers) == 3 and decoder_layers(causal) == layers
    causal._no_split_modules = None
    assert decoder_layers(causal) == layers
