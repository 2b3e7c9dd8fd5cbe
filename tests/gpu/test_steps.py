"""What a step computes on a GPU: varlen attention, compiled parts, 4 bits, fused optimisers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from tests.training import kernels
from tests.training.harness import build, configure, curve, encode, events, run
from tests.training.test_loss import PAD
from tests.training.test_packing import gradients
from workbench.errors import WorkbenchError
from workbench.jobs.events import Notice, Rehearsed, Step
from workbench.training import (
    attention,
    checks,
    compiled,
    compiling,
    fast_lora,
    four_bits,
    model,
    pointwise,
)
from workbench.training.batches import Batch, Layout, Row, collate
from workbench.training.loss import TrainedTokenLoss, causal_model, hidden_states
from workbench.training.optimizers import make_optimizer, step_if_finite

GPU = torch.device("cuda")
BF16 = {"rtol": 0.05, "atol": 0.03}
FLOAT = {"rtol": 1e-4, "atol": 1e-4}


def with_adapter(base: Path, **sections: dict[str, Any]) -> PeftModel:
    """The tiny model on the GPU, with an adapter that does something."""
    config = configure(base, **sections)
    adapted = model.load_to_train(base, config, GPU)
    assert isinstance(adapted, PeftModel)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
    return adapted


def in_one(rows: Sequence[Row], *, packed: bool) -> Batch:
    layout = Layout(len(rows), max(len(row) for row in rows), PAD, packed)
    return collate(rows, list(range(len(rows))), layout, GPU)


def test_the_loss_is_that_of_plain_transformers(base: Path) -> None:
    adapted = with_adapter(base, model={"dtype": "float32"})
    row = encode(base, 3)[2]
    ids = row.ids.long().to(GPU)[None]
    labels = torch.where(row.trained.to(GPU)[None], ids, -100)
    theirs = adapted(input_ids=ids, labels=labels).loss * row.trained_tokens
    ours = TrainedTokenLoss(adapted)(in_one([row], packed=False))
    torch.testing.assert_close(ours[0], theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_packed_rows_have_the_losses_and_gradients_that_they_have_one_by_one(
    base: Path, dtype: str
) -> None:
    rows = encode(base, 7)
    adapted = with_adapter(base, model={"dtype": dtype})
    measure = TrainedTokenLoss(adapted).train()
    alone = torch.cat([measure(in_one([row], packed=False)) for row in rows])
    by_one = gradients(adapted, alone.sum() / 50)
    assert checks.pack(adapted, [rows[0]], PAD) == ""
    packed = measure(in_one(rows, packed=True))
    close = FLOAT if dtype == "float32" else BF16
    torch.testing.assert_close(packed, alone, **close)
    for name, gradient in gradients(adapted, packed.sum() / 50).items():
        torch.testing.assert_close(gradient, by_one[name], **close)


def test_a_row_is_the_same_bit_for_bit_whatever_its_neighbours_say(base: Path) -> None:
    rows = encode(base, 4)
    adapted = with_adapter(base, model={"dtype": "bfloat16"}).eval()
    causal = causal_model(adapted)
    attention.use_segments(causal)
    others = list(rows)
    others[1] = Row((rows[1].ids + 7) % 256, rows[1].trained, rows[1].trained_tokens)
    batches = [in_one(some, packed=True) for some in (rows, others)]
    before, after = (hidden_states(causal, batch)[0].split(batch.segments) for batch in batches)
    same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert sorted(same) == [False, True, True, True]


@pytest.mark.parametrize(("dtype", "quantization"), [
    ("float32", "none"), ("bfloat16", "none"), ("bfloat16", "nf4")
])  # fmt: skip
def test_the_faster_layers_compute_what_the_plain_ones_compute(
    base: Path, dtype: str, quantization: str
) -> None:
    rows = encode(base, 5)
    about = {"dtype": dtype, "quantization": quantization}
    adapted = with_adapter(base, model=about)
    attention.use_segments(causal_model(adapted))
    batch, measure = in_one(rows, packed=True), TrainedTokenLoss(adapted).train()
    plain = measure(batch)
    theirs = gradients(adapted, plain.sum() / 50)
    assert compiling.problem(GPU) == "" and pointwise.problem(GPU) == ""
    assert fast_lora.speed_up(adapted) >= 14
    assert compiled.speed_up(adapted) == 8, "5 norms, 2 gated units, a head"
    ours = measure(batch)
    close = FLOAT if dtype == "float32" else BF16
    torch.testing.assert_close(ours, plain, **close)
    for name, gradient in gradients(adapted, ours.sum() / 50).items():
        torch.testing.assert_close(gradient, theirs[name], **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernels_compute_what_their_formulas_compute(dtype: torch.dtype) -> None:
    from workbench.training import triton_kernels

    kernels.check(GPU, dtype, triton_kernels)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [True, False])
def test_what_is_unpacked_is_what_bitsandbytes_unpacks(kind: str, nested: bool) -> None:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    assert four_bits.problem(GPU) == ""
    weight = torch.randn(500, 1000, device=GPU).bfloat16()
    packed, state = quantize_4bit(weight, quant_type=kind, compress_statistics=nested)
    assert torch.equal(four_bits.unpacked(packed, state), dequantize_4bit(packed, state))


@pytest.mark.parametrize(
    ("optimizer", "quantization"),
    [("adamw", "none"), ("paged_adamw_8bit", "nf4"), ("lion", "int8")],
)
def test_a_resumed_run_goes_on_where_it_was(
    tmp_path: Path, base: Path, optimizer: str, quantization: str
) -> None:
    about: dict[str, Any] = {
        "model": {"dtype": "bfloat16", "quantization": quantization},
        "training": {"optimizer": optimizer, "learning_rate": 2e-3},
    }
    run(tmp_path / "whole", configure(base, **about), device=GPU)
    loop = build(tmp_path / "cut", configure(base, **about), device=GPU)

    def stop_after(step: int) -> None:
        loop._asked.stop = step == 3

    loop._log._callback = stop_after  # type: ignore[attr-defined]
    assert loop.run().stopped
    run(tmp_path / "cut", configure(base, **about), device=GPU)
    whole, cut = (curve(tmp_path / name) for name in ("whole", "cut"))
    print(f"{optimizer}, {quantization}: bit for bit the same: {whole == cut}")
    assert [step for step, _, _ in cut] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(cut, whole, strict=True):
        assert ours == pytest.approx(theirs, rel=0.02)
    assert whole[-1][1] < whole[0][1]


def test_nothing_in_a_step_waits_for_the_gpu(tmp_path: Path, base: Path) -> None:
    config = configure(base, model={"dtype": "bfloat16"}, training={"micro_batch": 2})
    loop = build(tmp_path, config, device=GPU)
    loop._train_step(0)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert loop._train_step(1) is not None
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_step_that_is_not_finite_changes_nothing(base: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(4, device=GPU))
    optimizer = make_optimizer([weight], configure(base).training)
    weight.grad = torch.ones_like(weight)
    step_if_finite(optimizer, torch.tensor(False, device=GPU))
    assert torch.equal(weight, torch.ones_like(weight))
    step_if_finite(optimizer, torch.tensor(True, device=GPU))
    assert not torch.equal(weight, torch.ones_like(weight))


def test_the_largest_micro_batch_that_fits_is_found(tmp_path: Path, base: Path) -> None:
    training = {"micro_batch": "auto", "batch_size": 8, "max_steps": 2}
    _, outcome = run(tmp_path, configure(base, training=training), device=GPU)
    assert outcome.step == 2
    (notice,) = (n.text for n in events(tmp_path, Notice) if "micro_batch auto" in n.text)
    assert "8 rows at once fit, of 8 a step" in notice
    (rehearsed,) = events(tmp_path, Rehearsed)
    assert rehearsed.peak == pytest.approx(torch.cuda.max_memory_reserved(), rel=0.5)


def test_a_lack_of_memory_is_told_with_what_would_help(tmp_path: Path, base: Path) -> None:
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction((held + 24 * 2**20) / total)
    try:
        with pytest.raises(WorkbenchError) as told:
            rows = {"batch_size": 400, "max_steps": 1}
            run(tmp_path, configure(base, training=rows), rows=400, device=GPU)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert told.value.cause == "out_of_gpu_memory"
    assert told.value.hint


def test_a_compiled_run_has_the_losses_of_one_that_is_not(tmp_path: Path, base: Path) -> None:
    for name, on in (("plain", False), ("compiled", True)):
        config = configure(
            base, model={"dtype": "bfloat16"}, training={"compile": on, "learning_rate": 1e-3}
        )
        run(tmp_path / name, config, device=GPU)
    plain, layers = (curve(tmp_path / name) for name in ("plain", "compiled"))
    for ours, theirs in zip(layers, plain, strict=True):
        assert ours == pytest.approx(theirs, rel=0.05)
    steps = events(tmp_path / "plain", Step)
    assert all(step.seconds > 0 and step.memory_allocated for step in steps)
