"""FSDP2 over two processes on the processor: what one process alone computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.training import two_ranks
from tests.training.in_shards import train
from workbench.training.ranks import Ranks

CASES: list[dict[str, Any]] = [
    {"name": "lora", "full": False, "config": {}},
    {
        "name": "nf4",
        "full": False,
        "config": {
            "model": {"quantization": "nf4"},
            "training": {"gradient_checkpointing": True},
        },
    },
    {"name": "full", "full": True, "config": {}},
    # Frozen weights in bfloat16 beside an adapter in float32.
    {"name": "bfloat16", "full": False, "config": {"model": {"dtype": "bfloat16"}}},
]


@pytest.fixture(scope="module")
def sharded(
    _tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """The folder with all results of two ranks, and what each rank told."""
    folder = tmp_path_factory.mktemp("shards")
    (folder / "cases.json").write_text(json.dumps({"base": str(_tiny_model), "cases": CASES}))
    return folder, two_ranks.run("tests.training.in_shards", folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_update_is_that_of_one_process(
    case: dict[str, Any], sharded: tuple[Path, list[dict[str, Any]]], base: Path, tmp_path: Path
) -> None:
    folder, told = sharded
    name = case["name"]
    alone = train(tmp_path, base, case, Ranks())
    # bfloat16 rounds a sum that is taken in another order to another number.
    near = 1e-2 if name == "bfloat16" else 1e-5
    for rank in told:
        assert rank[name]["norms"] == pytest.approx(alone["norms"], rel=near)
    ours = load_file(tmp_path / f"{name}-1.safetensors")
    theirs = load_file(folder / f"{name}-2.safetensors")
    assert ours.keys() == theirs.keys()
    assert max(float((ours[n] - theirs[n]).abs().max()) for n in ours) < near


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_each_rank_holds_half_and_goes_on_exactly(
    case: dict[str, Any], sharded: tuple[Path, list[dict[str, Any]]]
) -> None:
    for rank in sharded[1]:
        told = rank[case["name"]]
        assert told["resumes exactly"] is True
        assert told["held here"] == pytest.approx(0.5, abs=0.02)
        assert told["not kept"] == 0
