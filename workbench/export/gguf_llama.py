"""A model of the Llama family as one GGUF file, with the `gguf` package of llama.cpp's makers.

For where no checkout of llama.cpp is at hand. What is written and how is what its converter does
(names, the order of rows for rotary embeddings, number formats by tensor), and only for what is
surely right here: Llama's own architecture and byte-level BPE. Anything else is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from workbench.adapters import checks
from workbench.adapters.files import read_header
from workbench.errors import WorkbenchError
from workbench.files import read_json_object
from workbench.jobs.progress import Tell

_KINDS = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
_BLOCK = 32
"""Numbers that share a scale in q8_0."""
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN_2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {_LLAMA_3: "llama-bpe", _QWEN_2: "qwen2"}
"""llama.cpp's names of what cuts a text before its pairs are merged, by the pattern."""


def refusal(folder: Path) -> str | None:
    """Why the model in `folder` can't be written here; None where it can."""
    config = read_json_object(folder / "config.json")
    if config.get("model_type") != "llama":
        return f"it is a {config.get('model_type')}, not a Llama"
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", None):
        return f"its rotary embeddings are scaled ({kind})"
    if config.get("attention_bias") or config.get("mlp_bias"):
        return "its layers have biases"
    tokenizer = read_json_object(folder / "tokenizer.json")
    if tokenizer["model"].get("type") != "BPE" or tokenizer["model"].get("byte_fallback"):
        return "its tokenizer is no byte-level BPE"
    if tokenizer.get("normalizer") is not None:
        return "its tokenizer changes the text first"
    if _cut(tokenizer) is None:
        return "how its tokenizer cuts a text is none of the ways that are known here"
    return None


def write(folder: Path, path: Path, kind: str, tell: Tell) -> None:
    """Write the model in `folder` to the file `path`, its matrices as `kind` (f32, f16, bf16,
    q8_0), one tensor in memory at a time. Raises WorkbenchError for one that `refusal` names."""
    if (why := refusal(folder)) is not None:
        raise WorkbenchError(f"The model can't be written as GGUF here: {why}.")
    config = read_json_object(folder / "config.json")
    writer = gguf.GGUFWriter(path, "llama")
    _add_facts(writer, config, folder, kind)
    _add_vocabulary(writer, config, folder)
    tensors = list(_tensors(folder, config))
    for name, _, _, shape in tensors:
        form = _form(kind, shape)
        length = _bytes(shape, form)
        stored = gguf.quant_shape_to_byte_shape(shape, form) if _is_packed(form) else shape
        writer.add_tensor_info(name, stored, _numpy_type(form), length, raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for done, (_, source, file, shape) in enumerate(tensors):
        tell("writing GGUF", done, len(tensors), "tensors")
        writer.write_tensor_data(_data(source, file, config, _form(kind, shape)))
    writer.close()
    tell("writing GGUF", len(tensors), len(tensors), "tensors")


def _add_facts(writer: gguf.GGUFWriter, config: dict[str, Any], folder: Path, kind: str) -> None:
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(folder.name)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(_FILE_TYPES[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_vocabulary(writer: gguf.GGUFWriter, config: dict[str, Any], folder: Path) -> None:
    tokenizer = read_json_object(folder / "tokenizer.json")
    by_id = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    kinds = dict.fromkeys(by_id, gguf.TokenType.NORMAL)
    for token in tokenizer.get("added_tokens", ()):
        by_id[token["id"]] = token["content"]
        special = token.get("special")
        kinds[token["id"]] = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
    size = max(config["vocab_size"], max(by_id) + 1)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_cut(tokenizer) or "default")
    writer.add_token_list([by_id.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types([kinds.get(n, gguf.TokenType.UNUSED) for n in range(size)])
    special = gguf.SpecialVocab(folder, load_merges=True)
    special.add_special_token.setdefault("bos", False)
    special.add_to_gguf(writer, quiet=True)


def _cut(tokenizer: dict[str, Any]) -> str | None:
    """llama.cpp's name of how a tokenizer cuts a text; None for a way that isn't known here."""
    if not tokenizer["model"].get("merges"):
        # Bytes are never merged: however the text is cut, the tokens are the same.
        return "gpt-2"
    cutter = tokenizer.get("pre_tokenizer") or {}
    parts = cutter.get("pretokenizers", [cutter])
    last = parts[-1]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    by_regex = last.get("use_regex", True)
    match [part.get("type") for part in parts]:
        case ["ByteLevel"] if by_regex:
            return "gpt-2"
        case ["Digits", "ByteLevel"] if by_regex and parts[0].get("individual_digits"):
            return "smollm"
        case ["Split", "ByteLevel"] if not by_regex:
            pattern = parts[0].get("pattern", {}).get("Regex")
            return _SPLITS.get(pattern) if parts[0].get("behavior") == "Isolated" else None
    return None


def _tensors(
    folder: Path, config: dict[str, Any]
) -> Iterator[tuple[str, str, Path, tuple[int, ...]]]:
    """GGUF's name, the file's own, the file, and the shape of each tensor."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    tied = config.get("tie_word_embeddings") is True
    for file in checks.weights_files(folder):
        for name, tensor in read_header(file)[0].items():
            if name.endswith("rotary_emb.inv_freq") or (tied and name == "lm_head.weight"):
                continue
            found = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if found is None:
                raise WorkbenchError(f"GGUF has no name for {name} of a Llama.")
            yield found, name, file, tensor.shape


def _form(kind: str, shape: tuple[int, ...]) -> gguf.GGMLQuantizationType:
    """Norms stay float32; rows that no block divides are float16."""
    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    if kind == "q8_0" and shape[-1] % _BLOCK:
        return gguf.GGMLQuantizationType.F16
    return _KINDS[kind]


def _is_packed(form: gguf.GGMLQuantizationType) -> bool:
    return form in (gguf.GGMLQuantizationType.BF16, gguf.GGMLQuantizationType.Q8_0)


def _numpy_type(form: gguf.GGMLQuantizationType) -> Any:
    if _is_packed(form):
        return np.uint8
    return np.float16 if form == gguf.GGMLQuantizationType.F16 else np.float32


def _bytes(shape: tuple[int, ...], form: gguf.GGMLQuantizationType) -> int:
    block, size = gguf.GGML_QUANT_SIZES[form]
    count = 1
    for length in shape:
        count *= length
    return count // block * size


def _data(name: str, file: Path, config: dict[str, Any], form: gguf.GGMLQuantizationType) -> Any:
    with safe_open(file, "pt") as stored:
        tensor: Tensor = stored.get_tensor(name).to(torch.float32)
    heads = config["num_attention_heads"]
    if name.endswith("q_proj.weight"):
        tensor = _interleaved(tensor, heads)
    elif name.endswith("k_proj.weight"):
        tensor = _interleaved(tensor, config.get("num_key_value_heads") or heads)
    values = tensor.contiguous().numpy()
    if form == gguf.GGMLQuantizationType.F32:
        return values
    if form == gguf.GGMLQuantizationType.F16:
        return values.astype(np.float16)
    return gguf.quants.quantize(values, form)


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows in the order of llama.cpp's rotary embeddings, which turn neighbours, where
    transformers turns halves."""
    rows = weight.shape[0] // heads // 2
    shaped = weight.reshape(heads, 2, rows, *weight.shape[1:])
    return shaped.swapaxes(1, 2).reshape(weight.shape)


def facts_of(path: Path) -> dict[str, Any]:
    """What a GGUF file says of its vocabulary: template, tokens, merges, the cut, bos."""
    fields = gguf.GGUFReader(path).fields

    def value(name: str) -> Any:
        return fields[name].contents() if name in fields else None

    return {
        "template": value("tokenizer.chat_template"),
        "tokens": value("tokenizer.ggml.tokens"),
        "pre": value("tokenizer.ggml.pre"),
        "eos": value("tokenizer.ggml.eos_token_id"),
        "add_bos": value("tokenizer.ggml.add_bos_token"),
        "architecture": value("general.architecture"),
    }


def vocabulary_of(folder: Path) -> dict[int, str]:
    """Each token's text by its number, as tokenizer.json has it."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    by_id = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    by_id.update({token["id"]: token["content"] for token in tokenizer.get("added_tokens", ())})
    return by_id
