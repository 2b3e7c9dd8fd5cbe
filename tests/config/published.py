"""Bases with the shapes that were published, as folders without weights: headers alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

_TOWER = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "image_size": 896,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
    "patch_size": 14,
    "vision_use_head": False,
}
_UNTIED = {"tie_word_embeddings": False}
_TIED = {"tie_word_embeddings": True}


def _sizes(
    rows: int, width: int, inside: int, layers: int, heads: int, keys: int, **others: Any
) -> dict[str, Any]:
    return {
        "vocab_size": rows,
        "hidden_size": width,
        "intermediate_size": inside,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        **others,
    }


PUBLISHED: dict[str, tuple[str, int, dict[str, Any]]] = {
    "llama-3.2-1b": (
        "llama",
        1_235_814_400,
        _sizes(128256, 2048, 8192, 16, 32, 8, head_dim=64, **_TIED),
    ),
    "llama-3.2-3b": (
        "llama",
        3_212_749_824,
        _sizes(128256, 3072, 8192, 28, 24, 8, head_dim=128, **_TIED),
    ),
    "llama-3-8b": (
        "llama",
        8_030_261_248,
        _sizes(128256, 4096, 14336, 32, 32, 8, max_position_embeddings=131072, **_UNTIED),
    ),
    "llama-3-70b": (
        "llama",
        70_553_706_496,
        _sizes(128256, 8192, 28672, 80, 64, 8, max_position_embeddings=131072, **_UNTIED),
    ),
    "llama-2-13b": ("llama", 13_015_864_320, _sizes(32000, 5120, 13824, 40, 40, 40, **_UNTIED)),
    "qwen2.5-0.5b": ("qwen2", 494_032_768, _sizes(151936, 896, 4864, 24, 14, 2, **_TIED)),
    "qwen2.5-7b": ("qwen2", 7_615_616_512, _sizes(152064, 3584, 18944, 28, 28, 4, **_UNTIED)),
    "qwen2.5-14b": ("qwen2", 14_770_033_664, _sizes(152064, 5120, 13824, 48, 40, 8, **_UNTIED)),
    "qwen3-0.6b": (
        "qwen3",
        596_049_920,
        _sizes(151936, 1024, 3072, 28, 16, 8, head_dim=128, **_TIED),
    ),
    "qwen3-8b": (
        "qwen3",
        8_190_735_360,
        _sizes(
            *(151936, 4096, 12288, 36, 32, 8),
            head_dim=128,
            max_position_embeddings=40960,
            **_UNTIED,
        ),
    ),
    "qwen3-32b": (
        "qwen3",
        32_762_123_264,
        _sizes(151936, 5120, 25600, 64, 64, 8, head_dim=128, **_UNTIED),
    ),
    "qwen3-30b-a3b": (
        "qwen3_moe",
        30_532_122_624,
        _sizes(
            *(151936, 2048, 6144, 48, 32, 4),
            head_dim=128,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=768,
            **_UNTIED,
        ),
    ),
    "mistral-7b": (
        "mistral",
        7_248_023_552,
        _sizes(32768, 4096, 14336, 32, 32, 8, sliding_window=None, **_UNTIED),
    ),
    "mistral-nemo-12b": (
        "mistral",
        12_247_782_400,
        _sizes(131072, 5120, 14336, 40, 32, 8, head_dim=128, sliding_window=None, **_UNTIED),
    ),
    "mistral-small-24b": (
        "mistral",
        23_572_403_200,
        _sizes(131072, 5120, 32768, 40, 32, 8, head_dim=128, sliding_window=None, **_UNTIED),
    ),
    "mixtral-8x7b": (
        "mixtral",
        46_702_792_704,
        _sizes(32000, 4096, 14336, 32, 32, 8, num_local_experts=8, **_UNTIED),
    ),
    "gemma-2b": ("gemma", 2_506_172_416, _sizes(256000, 2048, 16384, 18, 8, 1, head_dim=256)),
    "gemma-2-2b": ("gemma2", 2_614_341_888, _sizes(256000, 2304, 9216, 26, 8, 4, head_dim=256)),
    "gemma-2-9b": ("gemma2", 9_241_705_984, _sizes(256000, 3584, 14336, 42, 16, 8, head_dim=256)),
    "gemma-3-1b": (
        "gemma3_text",
        999_885_952,
        _sizes(262144, 1152, 6912, 26, 4, 1, head_dim=256, sliding_window=512),
    ),
    "gemma-3-4b": (
        "gemma3",
        4_300_079_472,
        {
            "text_config": _sizes(
                *(262208, 2560, 10240, 34, 8, 4),
                model_type="gemma3_text",
                head_dim=256,
                sliding_window=1024,
            ),
            "vision_config": _TOWER,
            "mm_tokens_per_image": 256,
        },
    ),
    "phi-3-mini": ("phi3", 3_821_079_552, _sizes(32064, 3072, 8192, 32, 32, 32, **_UNTIED)),
    "phi-4-mini": (
        "phi3",
        3_836_021_760,
        _sizes(200064, 3072, 8192, 32, 24, 8, pad_token_id=199999, **_TIED),
    ),
    "phi-4": (
        "phi3",
        14_659_507_200,
        _sizes(100352, 5120, 17920, 40, 40, 10, pad_token_id=100257, **_UNTIED),
    ),
    "phi-2": ("phi", 2_779_683_840, _sizes(51200, 2560, 10240, 32, 32, 32)),
    "smollm2-135m": (
        "llama",
        134_515_008,
        _sizes(49152, 576, 1536, 30, 9, 3, max_position_embeddings=8192, **_TIED),
    ),
    "smollm2-360m": ("llama", 361_821_120, _sizes(49152, 960, 2560, 32, 15, 5, **_TIED)),
    "smollm2-1.7b": ("llama", 1_711_376_384, _sizes(49152, 2048, 8192, 24, 32, 32, **_TIED)),
    "smollm3-3b": ("smollm3", 3_075_098_624, _sizes(128256, 2048, 11008, 36, 16, 4, **_TIED)),
    "olmo-2-7b": ("olmo2", 7_298_617_344, _sizes(100352, 4096, 11008, 32, 32, 32, **_UNTIED)),
    "olmo-3-7b": ("olmo3", 7_298_011_136, _sizes(100278, 4096, 11008, 32, 32, 32, **_UNTIED)),
    "granite-3-2b": ("granite", 2_533_531_648, _sizes(49155, 2048, 8192, 40, 32, 8, **_TIED)),
    "granite-3-8b": ("granite", 8_170_848_256, _sizes(49155, 4096, 12800, 40, 32, 8, **_TIED)),
}
"""By the name of a member of a family: model_type, published parameters, config.json."""


def skeleton(name: str) -> PreTrainedModel:
    """The library's own model with those shapes, without memory for them."""
    kind, _, sizes = PUBLISHED[name]
    with torch.device("meta"):
        made: PreTrainedModel = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(kind, **sizes)
        )
    return made


def write(folder: Path, name: str, model: PreTrainedModel | None = None) -> Path:
    """config.json, and the header of the weights of `model` where it is given."""
    kind, _, sizes = PUBLISHED[name]
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **sizes}))
    if model is not None:
        shapes = {n: list(weight.shape) for n, weight in model.named_parameters()}
        header = json.dumps({n: {"dtype": "BF16", "shape": s} for n, s in shapes.items()}).encode()
        length = struct.pack("<Q", len(header))
        (folder / "model.safetensors").write_bytes(length + header)
    return folder
