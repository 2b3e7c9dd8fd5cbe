"""Which layers get an adapter, by the names of real families; few weights are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
)

from tests import tiny
from tests.training.harness import CPU, build, configure, run
from workbench.config.base_facts import BaseFacts
from workbench.config.lora import Lora
from workbench.config.trained import trained_tensors
from workbench.errors import WorkbenchError
from workbench.training import model, saving, targets

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


def test_a_router_that_gives_more_than_a_product_gets_no_adapter(tmp_path: Path) -> None:
    """PhiMoE's is a linear layer by its class: PEFT would add numbers to its tuple."""
    torch.manual_seed(0)
    sizes = SMALL | {"num_key_value_heads": 2, "num_local_experts": 4}
    config = AutoConfig.for_model("phimoe", pad_token_id=0, **sizes)
    base: Any = AutoModelForCausalLM.from_config(config)
    assert not any("router" in name for name in targets.linear_layers(base))
    adapted = model.add_adapter(base, configure(tmp_path))
    learnt = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert learnt and not any("router" in name for name in learnt)
    logits = adapted(input_ids=torch.arange(5)[None]).logits
    assert logits.shape == (1, 5, 64)


SSM = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}


def test_what_peft_refuses_in_a_mamba_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = SSM | {"num_heads": 8, "head_dim": 8, "n_groups": 2}
    base: Any = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("mamba2", pad_token_id=0, **settings)
    )
    asked = configure(tmp_path, lora={"target_modules": ["in_proj", "out_proj"]})
    with pytest.raises(WorkbenchError, match="the kernels of conv1d and out_proj") as refusal:
        model.add_adapter(base, asked)
    assert refusal.value.hint == "The base model's linear layers are in_proj."
    base = AutoModelForCausalLM.from_config(base.config)
    adapted = model.add_adapter(base, configure(tmp_path))
    learnt = {name.split(".")[-4] for name, p in adapted.named_parameters() if p.requires_grad}
    assert learnt == {"in_proj"}


def test_a_form_counts_what_a_mamba_beside_attention_learns(tmp_path: Path) -> None:
    sizes = SMALL | {"num_key_value_heads": 2}
    torch.manual_seed(0)
    base: Any = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("falcon_h1", pad_token_id=0, **sizes), dtype=torch.float32
    )
    base.save_pretrained(tmp_path)
    counted = trained_tensors(configure(tmp_path), BaseFacts.of(tmp_path))
    adapted = model.add_adapter(base, configure(tmp_path))
    learnt = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert counted.parameters == learnt
    assert not any(name.endswith("out_proj") for name in counted.adapted)


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


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Gemma 3 with a tower for images, whose layers have names of the text's, too."""
    folder = tmp_path_factory.mktemp("gemma3")
    tiny.make_tokenizer(folder)
    text = {
        "vocab_size": 259,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "pad_token_id": 256,
        "eos_token_id": 258,
    }
    images = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    torch.manual_seed(0)
    config = Gemma3Config(text_config=text, vision_config=images, mm_tokens_per_image=4)
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ("all-linear", 2 * 7),
        ("attention", 2 * 4),
        ("mlp", 2 * 3),
        (["q_proj", "v_proj"], 2 * 2),
        (".*(q_proj|fc1)", 2),
    ],
)
def test_only_what_text_passes_through_gets_an_adapter(
    tmp_path: Path, seeing: Path, wanted: str | list[str], count: int
) -> None:
    loop = build(tmp_path, configure(seeing, lora={"target_modules": wanted}))
    ids = torch.arange(40).unsqueeze(0)
    loop.model(input_ids=ids, labels=ids).loss.backward()
    found = {n: p.grad for n, p in loop.model.named_parameters() if p.requires_grad}
    assert len(found) == 2 * count
    assert [name for name, gradient in found.items() if gradient is None] == []
    assert all(".language_model." in name for name in found)


def test_a_base_that_sees_learns_and_its_adapter_loads_plainly(
    tmp_path: Path, seeing: Path
) -> None:
    loop, _ = run(tmp_path, configure(seeing, training={"max_steps": 3}))
    saving.save_result(loop.model, tmp_path / "adapter", saving.trained_tensors(loop.model))
    fresh = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(seeing), tmp_path / "adapter"
    ).eval()
    ids = torch.arange(40).unsqueeze(0)
    with torch.no_grad():
        ours = loop.model.eval()(input_ids=ids).logits
        torch.testing.assert_close(fresh(input_ids=ids).logits, ours, rtol=0, atol=1e-5)
        with fresh.disable_adapter():
            assert (fresh(input_ids=ids).logits - ours).abs().max() > 0.01


def test_an_adapter_on_a_tower_for_images_alone_is_refused(seeing: Path) -> None:
    config = configure(seeing, lora={"target_modules": ["fc1"]})
    with pytest.raises(WorkbenchError, match="text doesn't pass through it") as refusal:
        model.load_to_train(seeing, config, CPU)
    assert "q_proj" in refusal.value.hint and "fc1" not in refusal.value.hint


def test_towers_inside_of_what_reads_the_text_are_known() -> None:
    tower = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32}
    base = bare("phi4_multimodal", {**SMALL, "vision_config": tower})
    assert any("img_processor.encoder" in name for name, _ in base.named_modules())
    assert not any("img_processor" in name for name in targets.linear_layers(base))
