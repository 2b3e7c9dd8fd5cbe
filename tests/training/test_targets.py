"""Which layers get an adapter, by the names of real families; no weights are made."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from workbench.config.schema import Lora
from workbench.errors import WorkbenchError
from workbench.training import model, targets

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
LLAMA = {"q_proj", "k_proj", "v_proj", "o_proj"}
FAMILIES: dict[str, tuple[dict[str, Any], set[str], set[str]]] = {
    "llama": (SMALL, LLAMA, {"gate_proj", "up_proj", "down_proj"}),
    "qwen3": (SMALL, LLAMA, {"gate_proj", "up_proj", "down_proj"}),
    "gpt2": (
        {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4},
        {"attn.c_attn", "attn.c_proj"},
        {"mlp.c_fc", "mlp.c_proj"},
    ),
    "gpt_neox": (SMALL, {"query_key_value", "dense"}, {"dense_h_to_4h", "dense_4h_to_h"}),
    "phi": (SMALL, {"q_proj", "k_proj", "v_proj", "dense"}, {"fc1", "fc2"}),
    "phi3": (SMALL, {"qkv_proj", "o_proj"}, {"gate_up_proj", "down_proj"}),
    "falcon": (SMALL, {"query_key_value", "dense"}, {"dense_h_to_4h", "dense_4h_to_h"}),
    "opt": (
        {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32},
        {"q_proj", "k_proj", "v_proj", "out_proj"},
        {"fc1", "fc2"},
    ),
    "mpt": (
        {"vocab_size": 64, "d_model": 32, "n_layers": 2, "n_heads": 4},
        {"Wqkv", "out_proj"},
        {"up_proj", "down_proj"},
    ),
}


def bare(family: str, settings: dict[str, Any]) -> Any:
    config = AutoConfig.for_model(family, pad_token_id=0, **settings)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def named(base: Any, names: set[str]) -> set[str]:
    layers = targets.linear_layers(base)
    return {n for n in layers if any(n.endswith(f".{end}") for end in names)}


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_and_mlp_are_found_in_every_family(family: str) -> None:
    settings, attention, mlp = FAMILIES[family]
    for preset, expected in (("attention", attention), ("mlp", mlp)):
        base = bare(family, settings)
        wanted = named(base, expected)
        other = named(base, attention | mlp) - wanted
        assert len(wanted) == 2 * len(expected) and other
        config = model._adapter_config(base, Lora(target_modules=preset), ())
        with torch.device("meta"):
            adapted = get_peft_model(base, config)
        found = {
            name.removeprefix("base_model.model.").rpartition(".lora_A")[0]
            for name, _ in adapted.named_parameters()
            if ".lora_A." in name
        }
        assert found == wanted


def test_presets_are_saved_as_names_that_are_as_short_as_they_can_be() -> None:
    base = bare("llama", SMALL)
    lora = Lora(target_modules="mlp")
    assert targets.resolve(base, lora) == ["down_proj", "gate_proj", "up_proj"]
    base = bare("gpt2", FAMILIES["gpt2"][0])
    names = targets.resolve(base, Lora(target_modules="attention"))
    assert names == [
        f"transformer.h.{n}.attn.{end}" for n in (0, 1) for end in ("c_attn", "c_proj")
    ]


def test_a_preset_that_finds_nothing_lists_what_there_is() -> None:
    base = bare("mamba", {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1})
    with pytest.raises(WorkbenchError, match=r"attention names none of this base") as refusal:
        targets.resolve(base, Lora(target_modules="attention"))
    assert "in_proj" in refusal.value.hint
