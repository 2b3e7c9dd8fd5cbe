"""Merged tensor by tensor, a model has the very bits of PEFT's `merge_and_unload`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.export import adapters
from workbench.adapters import checks, files, origin
from workbench.config.schema import RunConfig
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.export import merge, shards
from workbench.export.subject import Subject
from workbench.training import embeddings, model, saving

pytestmark = [
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`"),
]
OURS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora_with_rslora": {"dora": True, "rslora": True},
    "head_trained_whole": {"modules_to_save": ["lm_head"]},
    "norms_trained_whole": {"modules_to_save": ["norm"]},
    "on_a_tied_head": {"target_modules": ["q_proj", "lm_head"]},
    "on_tied_embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "new_tokens": {"dora": True},
    "pissa": {"initialisation": "pissa"},
}


def subject_of(adapter: Path, base: Path, tokens: tuple[str, ...] = ()) -> Subject:
    read = files.read(adapter)
    config = RunConfig.model_validate({"model": {"base": str(base), "new_tokens": list(tokens)}})
    template = ChatTemplate.load(base, new_tokens=tokens)
    return Subject(read, origin.of(read), base, template, config, None, None)


def trained(base: Path, folder: Path, lora: dict[str, Any], tokens: tuple[str, ...]) -> Path:
    """What a run of that config would save, had it learnt something."""
    body = {"model": {"base": str(base), "new_tokens": list(tokens)}, "lora": lora}
    config = RunConfig.model_validate(body)
    new_ids = ChatTemplate.load(base, new_tokens=tokens).new_ids
    network = model.load_base(base, config.model, torch.device("cpu"), torch.float32)
    embeddings.make_room(network, new_ids)
    adapted = model.add_adapter(network, config, new_ids)
    torch.manual_seed(1)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    saving.save_result(adapted, folder, saving.trained_tensors(adapted))
    return folder


def both_ways(subject: Subject, tmp_path: Path, dtype: torch.dtype) -> tuple[Path, Path]:
    whole, tensors = tmp_path / "whole", tmp_path / "tensors"
    for folder in (whole, tensors):
        folder.mkdir()
    merge.merge_whole(subject, dtype, whole)
    assert shards.refusal(subject.adapter, subject.base) is None
    told: list[tuple[int, int]] = []
    shards.merge(
        subject.adapter,
        subject.base,
        tensors,
        dtype,
        lambda phase, done, total, unit: told.append((done, total)),
    )
    assert told[-1][0] == told[-1][1] and told == sorted(told), "it tells how far it is"
    return whole, tensors


def assert_same(one: Path, two: Path, dtype: torch.dtype) -> None:
    first, second = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).state_dict()
        for folder in (one, two)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    configs = [json.loads((folder / "config.json").read_text()) for folder in (one, two)]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("name", OURS)
def test_what_a_run_can_make_is_merged_to_the_same_bits(
    tiny_model: Path, tmp_path: Path, name: str
) -> None:
    tokens = ("<|tool|>", "<answer>") if name == "new_tokens" else ()
    dtype = torch.bfloat16 if name in ("lora", "dora_with_rslora") else torch.float32
    adapter = trained(tiny_model, tmp_path / "adapter", OURS[name], tokens)
    assert_same(*both_ways(subject_of(adapter, tiny_model, tokens), tmp_path, dtype), dtype)


@pytest.mark.parametrize(
    "options",
    [
        {"rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"up_proj": 32}},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens"]},
        {"target_modules": ["q_proj", "lm_head", "embed_tokens"]},
        {"target_modules": "all-linear", "use_rslora": True},
    ],
)
def test_what_others_make_is_merged_to_the_same_bits(
    tiny_model: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    adapter = adapters.make(tiny_model, tmp_path / "adapter", **options)
    subject = subject_of(adapter, tiny_model)
    assert_same(*both_ways(subject, tmp_path, torch.float32), torch.float32)


def test_a_base_in_several_files_stays_in_them_with_an_index(
    tiny_model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "several"
    network = AutoModelForCausalLM.from_pretrained(tiny_model)
    network.save_pretrained(base, max_shard_size="100KB")
    for path in tiny_model.glob("*token*"):
        (base / path.name).write_bytes(path.read_bytes())
    assert len(checks.weights_files(base)) > 2
    adapter = adapters.make(base, tmp_path / "adapter", target_modules=["q_proj", "lm_head"])
    _, tensors = both_ways(subject_of(adapter, base), tmp_path, torch.float32)
    assert_same(tmp_path / "whole", tensors, torch.float32)
    index = json.loads((tensors / "model.safetensors.index.json").read_text())
    held = {path.name: load_file(path) for path in tensors.glob("*.safetensors")}
    assert {name for one in held.values() for name in one} == set(index["weight_map"])
    assert all(name in held[file] for name, file in index["weight_map"].items())
    size = sum(tensor.nbytes for one in held.values() for tensor in one.values())
    assert index["metadata"]["total_size"] == size


def test_what_it_does_not_do_is_refused_with_the_reason(tiny_model: Path, tmp_path: Path) -> None:
    folder = adapters.make(tiny_model, tmp_path / "adapter", bias="all")
    assert "biases" in (shards.refusal(files.read(folder), tiny_model) or "")
    body = json.loads((folder / "adapter_config.json").read_text())
    for changed, said in ((("peft_type", "IA3"), "IA3"), (("lora_bias", True), "lora_bias")):
        config = {**body, "bias": "none", changed[0]: changed[1]}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        assert said in (shards.refusal(files.read(folder), tiny_model) or "")


def test_an_adapter_that_holds_no_number_is_told_of(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = adapters.make(tiny_model, tmp_path / "adapter")
    tensors = load_file(folder / files.WEIGHTS)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, folder / files.WEIGHTS)
    subject = subject_of(folder, tiny_model)
    (tmp_path / "out").mkdir()
    with pytest.raises(WorkbenchError, match="not a number"):
        shards.merge(
            subject.adapter, tiny_model, tmp_path / "out", torch.float32, lambda *told: None
        )
    with pytest.raises(WorkbenchError, match="PEFT can't merge the adapter: NaNs"):
        merge.merge_whole(subject, torch.float32, tmp_path / "out")
