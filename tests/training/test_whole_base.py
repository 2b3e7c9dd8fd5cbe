"""A base whose weights aren't all there, or aren't those of its config, is not trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.training.harness import CPU, configure
from workbench.errors import WorkbenchError
from workbench.training import model

Tensors = dict[str, torch.Tensor]
UP = "model.layers.1.mlp.up_proj.weight"


def change(folder: Path, how: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    how(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda tensors: tensors.pop(UP), f"lacks {UP}: random numbers"),
        (
            lambda tensors: tensors.update({UP: torch.ones(128, 63)}),
            rf"{UP} is \(128, 63\) and should be \(128, 64\)",
        ),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.ones(63)}),
            r"model\.norm\.weight is \(63,\) and should be \(64,\)",
        ),
    ],
)
def test_weights_that_are_missing_or_of_another_shape_are_named(
    tiny_model: Path, how: Callable[[Tensors], object], said: str, quantization: str
) -> None:
    change(tiny_model, how)
    config = configure(tiny_model, model={"quantization": quantization})
    with pytest.raises(WorkbenchError, match=said):
        model.load_base(tiny_model, config.model, CPU)


def test_of_many_missing_ones_some_are_named_and_all_counted(tiny_model: Path) -> None:
    change(tiny_model, lambda tensors: [tensors.pop(n) for n in list(tensors) if "layers.1" in n])
    with pytest.raises(WorkbenchError, match="and 6 more"):
        model.load_base(tiny_model, configure(tiny_model).model, CPU)


def test_a_head_that_is_not_tied_must_be_there(tiny_model: Path) -> None:
    config = tiny_model / "config.json"
    config.write_text(config.read_text().replace('_embeddings": true', '_embeddings": false'))
    with pytest.raises(WorkbenchError, match=r"lacks lm_head\.weight"):
        model.load_base(tiny_model, configure(tiny_model).model, CPU)


def test_weights_in_several_files_and_some_that_have_no_place_are_allowed(
    tiny_model: Path,
) -> None:
    whole = AutoModelForCausalLM.from_pretrained(tiny_model)
    (tiny_model / "model.safetensors").unlink()
    whole.save_pretrained(tiny_model, max_shard_size="100KB")
    (first, *others) = sorted(tiny_model.glob("*.safetensors"))
    assert others
    save_file({**load_file(first), "v_head.weight": torch.ones(2)}, first, {"format": "pt"})
    loaded = model.load_base(tiny_model, configure(tiny_model).model, CPU)
    assert torch.equal(loaded.get_parameter(UP), whole.get_parameter(UP))
