from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.training.harness import CPU, build, configure
from workbench.errors import WorkbenchError
from workbench.training import model, proof

BASES = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "nf4": {"quantization": "nf4"},
    "int8": {"quantization": "int8"},
}


def load(base: Path, kind: str) -> Any:
    return model.load_to_train(base, configure(base, model=BASES[kind]), CPU)


@pytest.mark.parametrize("kind", BASES)
def test_the_smallest_change_of_any_frozen_weight_is_told_by_its_name(
    base: Path, kind: str
) -> None:
    trained = load(base, kind)
    before = proof.base_fingerprint(trained)
    proof.check_base(before, trained)
    assert before == proof.base_fingerprint(load(base, kind))
    frozen = {n: p for n, p in trained.named_parameters() if not p.requires_grad}
    assert frozen.keys() <= before.keys()
    for name in ("layers.1.mlp.down_proj.base_layer.weight", "layers.0.input_layernorm.weight"):
        (whole,) = (n for n in frozen if n.endswith(name))
        bits = frozen[whole].data.view(torch.uint8)
        bits.view(-1)[3] ^= 1
        with pytest.raises(WorkbenchError, match=f"changed 1 weights of the base.*{name}") as told:
            proof.check_base(before, trained)
        assert told.value.cause == "error"
        bits.view(-1)[3] ^= 1
    proof.check_base(before, trained)


def test_a_fingerprint_takes_little_beside_the_largest_weight() -> None:
    """torch widens what it adds up to 64 bits: of a whole table that would be twice the table."""
    table = torch.nn.Embedding(1 << 15, 256).requires_grad_(False)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as told:
        proof.base_fingerprint(table)
    made: Any = told.profiler
    events = [e for e in made.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    assert 0 < most < table.weight.nbytes / 3


def test_the_scales_of_4_bit_weights_are_watched_too(base: Path) -> None:
    trained = load(base, "nf4")
    before = proof.base_fingerprint(trained)
    layer = trained.base_model.model.model.layers[0].mlp.up_proj.get_base_layer()
    layer.weight.quant_state.state2.absmax.mul_(2)
    with pytest.raises(WorkbenchError, match=r"up_proj.*scales"):
        proof.check_base(before, trained)


def test_three_steps_move_all_that_is_trained(tmp_path: Path, base: Path) -> None:
    loop = build(tmp_path, configure(base, training={"max_steps": 3, "warmup_ratio": 0.3}))
    before = proof.trained_fingerprint(loop.model)
    loop.run()
    moved, still = proof.adapter_moved(before, loop.model)
    assert len(moved) == 2 * 2 * 7 and not still, "A and B, in 2 blocks, on 7 layers"


def test_weights_that_do_not_move_are_told(tmp_path: Path, base: Path) -> None:
    """To numbers of 8 bits a millionth is nothing."""
    config = configure(
        base,
        lora={"dtype": "bfloat16", "initialisation": "orthogonal"},
        training={"max_steps": 3, "learning_rate": 1e-9},
    )
    with pytest.raises(WorkbenchError, match="nothing is learnt") as told:
        build(tmp_path, config).run()
    assert "learning rate" in told.value.hint


def test_what_stands_still_is_named(base: Path) -> None:
    trained = load(base, "float32")
    before = proof.trained_fingerprint(trained)
    name = next(iter(before))
    dict(trained.named_parameters())[name].data.add_(1)
    moved, still = proof.adapter_moved(before, trained)
    assert moved == [name] and len(still) == len(before) - 1
