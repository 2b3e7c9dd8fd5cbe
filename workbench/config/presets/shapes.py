"""A base's facts where only its config.json is there: the shapes that its family makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.config.base_facts import BaseFacts, Weight
from workbench.errors import WorkbenchError
from workbench.files import read_json_object

_FOUR_NORMS = ("gemma2", "gemma3_text")
_HEAD_NORMS = ("qwen3", "gemma3_text")
"""Queries and keys are normalised, head by head."""
_LAST_NORMS = ("olmo2", "olmo3")
"""Norms stand behind attention and MLP; queries and keys are normalised whole."""
_BIASES = ("qwen2",)
_FUSED = ("phi3",)
_TIED = ("gemma", "gemma2", "gemma3_text", "smollm3")
"""Families whose head has the embeddings' weights where config.json doesn't say."""
_KNOWN = (
    *("llama", "mistral", "granite", "gemma", "smollm3"),
    *{*_FOUR_NORMS, *_HEAD_NORMS, *_LAST_NORMS, *_BIASES, *_FUSED},
)


def facts_of(folder: Path) -> BaseFacts:
    """The facts of the base in `folder`: of its weights' headers, else of its config.json alone.

    Raises WorkbenchError where neither says how large it is.
    """
    path = folder / "config.json"
    if any(folder.glob("*.safetensors")) or not path.exists():
        return BaseFacts.of(folder)
    body = read_json_object(path)
    inner = body.get("text_config")
    config = {**body, **inner} if isinstance(inner, dict) else body
    try:
        if config.get("model_type") not in _KNOWN or isinstance(inner, dict):
            raise KeyError
        weights = tuple(_weights(config))
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise WorkbenchError(
            f"{folder} has no weights in safetensors, and its config.json doesn't say how large "
            "the model is.",
            "The headers of its safetensors files are enough: the first megabytes of each.",
        ) from error
    return BaseFacts(weights, config, not any(w.name == "lm_head.weight" for w in weights))


def _weights(config: dict[str, Any]) -> Iterator[Weight]:
    """Raises KeyError or TypeError where config.json lacks a size."""
    width, rows, kind = config["hidden_size"], config["vocab_size"], config["model_type"]
    yield Weight("model.embed_tokens.weight", (rows, width))
    yield Weight("model.norm.weight", (width,))
    if not config.get("tie_word_embeddings", kind in _TIED):
        yield Weight("lm_head.weight", (rows, width))
    for layer in range(config["num_hidden_layers"]):
        for name, shape in _layer(config, kind).items():
            yield Weight(f"model.layers.{layer}.{name}", shape)


def _layer(config: dict[str, Any], kind: str) -> dict[str, tuple[int, ...]]:
    width, inside, heads = (
        config[name] for name in ("hidden_size", "intermediate_size", "num_attention_heads")
    )
    one = config.get("head_dim") or width // heads
    queries, keys = heads * one, (config.get("num_key_value_heads") or heads) * one
    attention = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
    mlp = {"gate_proj": inside, "up_proj": inside}
    if kind in _FUSED:
        attention, mlp = {"qkv_proj": queries + 2 * keys}, {"gate_up_proj": 2 * inside}
    found: dict[str, tuple[int, ...]] = {"self_attn.o_proj.weight": (width, queries)}
    found |= {f"self_attn.{name}.weight": (out, width) for name, out in attention.items()}
    found |= {f"mlp.{name}.weight": (out, width) for name, out in mlp.items()}
    found["mlp.down_proj.weight"] = (width, inside)
    if kind in _BIASES:
        found |= {f"self_attn.{name}.bias": (out,) for name, out in attention.items()}
    if kind in _HEAD_NORMS:
        found |= {f"self_attn.{x}_norm.weight": (one,) for x in "qk"}
    norms = ["input_layernorm", "post_attention_layernorm"]
    if kind in _FOUR_NORMS:
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    if kind in _LAST_NORMS:
        norms = ["post_attention_layernorm", "post_feedforward_layernorm"]
        found |= {"self_attn.q_norm.weight": (queries,), "self_attn.k_norm.weight": (keys,)}
    return found | {f"{name}.weight": (width,) for name in norms}
