"""What gets an adapter in families with experts: the form's count beside PEFT's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft.utils import transformers_weight_conversion as of_peft
from transformers import AutoConfig, AutoModelForCausalLM

from workbench.config import experts
from workbench.config.base_facts import BaseFacts
from workbench.config.schema import RunConfig
from workbench.config.trained import trained_tensors
from workbench.errors import WorkbenchError
from workbench.training import model

SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
FOUR = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}
DEEPSEEK = {
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen3_moe": FOUR,
    "qwen2_moe": {**FOUR, "shared_expert_intermediate_size": 24},
    "qwen3_next": {
        **FOUR,
        "shared_expert_intermediate_size": 24,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v3": DEEPSEEK,
    "ernie4_5_moe": {
        "moe_num_experts": 4,
        "moe_k": 2,
        "moe_intermediate_size": 16,
        "moe_layer_start_index": 0,
        "moe_num_shared_experts": 1,
    },
    "hunyuan_v1_moe": {"num_experts": 4, "moe_topk": 2, "head_dim": 8},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "phimoe": {"num_local_experts": 4},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8},
}


@pytest.fixture(scope="module", params=FAMILIES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    config = AutoConfig.for_model(request.param, **{**SHAPE, **FAMILIES[request.param]})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "wanted",
    [
        "all-linear",
        "attention",
        "mlp",
        ["q_proj", "gate_proj", "up_proj", "down_proj"],
        ["q_proj", "gate_proj"],
        ["w1", "w2", "w3"],
        r".*layers\.1\..*(q_proj|gate_proj|up_proj)",
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern")
def test_as_many_numbers_are_trained_as_the_form_says_or_both_refuse(
    base: Path, wanted: str | list[str]
) -> None:
    config = RunConfig.model_validate(
        {
            "model": {"base": str(base), "dtype": "float32"},
            "lora": {"target_modules": wanted},
        }
    )
    said: int | None = None
    try:
        said = trained_tensors(config, BaseFacts.of(base)).parameters
    except WorkbenchError as error:
        assert "lora.target_modules" in str(error)
    model.quieten()
    try:
        made = model.load_to_train(base, config, torch.device("cpu"))
    except WorkbenchError as error:
        assert "lora.target_modules" in str(error)
        assert said is None
    else:
        assert said == sum(p.numel() for p in made.parameters() if p.requires_grad)


def test_families_and_names_are_those_that_peft_converts() -> None:
    for family, pattern in of_peft._MODEL_TO_CONVERSION_PATTERN.items():
        if family.islower():  # any other is the name of a class
            assert (
                experts.old_names(family)
                == of_peft._MOE_TARGET_MODULE_MAPPING.get(pattern, {}).keys()
            )
