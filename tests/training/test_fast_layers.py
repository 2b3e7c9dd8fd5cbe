"""The faster layers: PEFT's and transformers' own results, with less kept and fewer passes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.gpt_neox.modeling_gpt_neox import (
    apply_rotary_pos_emb as rotate_a_part,
)
from transformers.models.llama import modeling_llama
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.training.harness import CPU, configure, curve, encode, events, run
from tests.training.test_packing import all_in_one, assert_close, gradients, with_adapter
from workbench.jobs.events import Notice
from workbench.training import (
    checks,
    compiled,
    compiling,
    fast_head,
    fast_lora,
    fast_norm,
    model,
    rotation,
)
from workbench.training.loss import TrainedTokenLoss, causal_model
from workbench.training.products import Products


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_faster_layers_compute_what_pefts_compute(base: Path, dtype: str) -> None:
    rows = encode(base, 4)
    batch = all_in_one(rows, packed=False)
    plain = with_adapter(base, model={"dtype": dtype})
    measured = TrainedTokenLoss(plain).train()(batch)
    theirs = gradients(plain, measured.sum() / 50)
    assert fast_lora.speed_up(plain) >= 14
    ours = TrainedTokenLoss(plain).train()(batch)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 0.1, "atol": 0.02}
    torch.testing.assert_close(ours, measured, **tolerance)
    for name, gradient in gradients(plain, ours.sum() / 50).items():
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, theirs[name], **tolerance)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled on a GPU, as it stands: no compiler is needed."""
    monkeypatch.setattr(compiling, "_compiled", lambda function, dynamic=None: function)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "up_proj", "down_proj"]])
def test_the_layers_of_a_gpu_compute_what_pefts_compute(
    base: Path, targets: Any, checkpointing: bool
) -> None:
    rows = encode(base, 4)
    batch = all_in_one(rows, packed=False)
    about = {"training": {"gradient_checkpointing": checkpointing}}
    adapted = with_adapter(base, lora={"target_modules": targets}, **about)
    measure = TrainedTokenLoss(adapted).train()
    measured = measure(batch)
    theirs = gradients(adapted, measured.sum() / 50)
    fast_lora.speed_up(adapted)
    assert compiled.speed_up(adapted) == 8, "5 norms, 2 gated units, a head"
    ours = measure(batch)
    torch.testing.assert_close(ours, measured, rtol=1e-5, atol=1e-5)
    assert_close(gradients(adapted, ours.sum() / 50), theirs)


@pytest.mark.parametrize("finished", [False, True])
def test_a_heads_bias_counts_and_what_a_family_does_with_logits_is_left_to_it(
    base: Path, finished: bool
) -> None:
    batch = all_in_one(encode(base, 4), packed=False)
    adapted = with_adapter(base)
    causal: Any = causal_model(adapted)
    bias = torch.randn(causal.config.vocab_size)
    causal.lm_head.bias = torch.nn.Parameter(bias, requires_grad=False)
    causal.config.final_logit_softcapping = 2.0 if finished else None
    measure = TrainedTokenLoss(adapted).train()
    measured = measure(batch)
    theirs = gradients(adapted, measured.sum() / 50)
    assert fast_head.speed_up(causal) is not finished
    ours = measure(batch)
    torch.testing.assert_close(ours, measured, rtol=1e-5, atol=1e-5)
    assert_close(gradients(adapted, ours.sum() / 50), theirs)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_what_comes_out_of_a_norm_is_not_kept(base: Path) -> None:
    adapted = with_adapter(base, model={"dtype": "bfloat16"})
    fast_lora.speed_up(adapted)
    batch, measure = all_in_one(encode(base, 4), packed=False), TrainedTokenLoss(adapted).train()

    def kept() -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            measure(batch).sum()
        return sum(sizes.values())

    before = kept()
    compiled.speed_up(adapted)
    tokens = batch.input_ids.numel()
    width, inner = adapted.config.hidden_size, adapted.config.intermediate_size
    assert before - kept() >= 2 * tokens * 2 * (2 * width + inner), "two layers of two norms"


@pytest.mark.usefixtures("as_on_a_gpu")
def test_what_is_changed_in_place_after_a_norm_is_kept(base: Path) -> None:
    causal = model.load_base(base, configure(base).model, CPU)
    norm = causal.get_submodule("model.layers.0.input_layernorm")
    assert fast_norm.speed_up_on_gpu(norm, compiling.of_any_shape)
    x = torch.randn(1, 3, causal.config.hidden_size)
    with torch.no_grad():
        out = norm(x)
        kept, again = fast_norm.as_made(out)
        assert again is not None and torch.equal(again(kept), out)
        out += 1
    assert fast_norm.as_made(out)[1] is None


def test_queries_and_keys_turn_as_in_transformers_and_back() -> None:
    turn: Any = rotation._Rotation.apply
    q, k, cos, sin = (
        torch.randn(*shape, dtype=torch.float64)
        for shape in ((1, 4, 5, 8), (1, 2, 5, 8), (1, 5, 8), (1, 5, 8))
    )
    for ours, theirs in zip(
        turn(q, k, cos, sin), apply_rotary_pos_emb(q, k, cos, sin), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    q, k = q.requires_grad_(), k.requires_grad_()
    assert torch.autograd.gradcheck(lambda q, k: turn(q, k, cos, sin), (q, k))


def test_heads_that_turn_in_part_keep_their_familys_own() -> None:
    """GPT-NeoX turns the first quarter of each head, in a function that turns whole ones as
    others do."""
    q, whole, part = torch.randn(1, 4, 5, 16), torch.randn(1, 5, 16), torch.randn(1, 5, 4)
    assert rotation._turns_halves(rotate_a_part)
    assert rotation._fits((q, q, whole, whole))
    assert not rotation._fits((q, q, part, part))
    assert not rotation._fits((q.expand(2, 4, 5, 16), q, whole, whole))
    assert not rotation._fits((q, whole, whole)), "of one tensor"
    assert not rotation._fits((q[0], q[0], whole, whole))


def test_a_family_that_turns_otherwise_keeps_its_own() -> None:
    assert rotation._turns_halves(apply_rotary_pos_emb)
    assert not rotation._turns_halves(lambda q, k, cos, sin: (q * cos, k * sin))
    assert not rotation._turns_halves(lambda q, k, angles: (q, k))
    assert not rotation._turns_halves(lambda q, k, cos, sin: q)
    assert not rotation._turns_halves(lambda q, k, cos, sin: (q[..., :4], k[..., :4]))
    given = torch.ones(2), torch.ones(2)
    own = rotation.faster(lambda x, cos, scale=1: x * cos * scale)
    assert own(*given, scale=3).tolist() == [3, 3], "whatever it takes"


def test_what_the_faster_layers_cannot_do_is_left_to_peft(base: Path) -> None:
    rows = encode(base, 2)
    batch = all_in_one(rows, packed=False)
    adapted = with_adapter(base, lora={"dropout": 0.5})
    fast_lora.speed_up(adapted)
    measure = TrainedTokenLoss(adapted)
    torch.manual_seed(1)
    first, again = measure.train()(batch), measure(batch)
    assert not torch.equal(first, again), "dropout is drawn in training"
    assert torch.equal(measure.eval()(batch), measure(batch))
    with adapted.disable_adapter():
        off = measure(batch)
    assert not torch.allclose(off, measure(batch))
    fresh = TrainedTokenLoss(model.load_base(base, configure(base).model, CPU)).eval()(batch)
    torch.testing.assert_close(off, fresh, rtol=1e-5, atol=1e-5)


def test_dora_is_computed_by_peft(base: Path) -> None:
    batch = all_in_one(encode(base, 2), packed=False)
    adapted = with_adapter(base, lora={"dora": True})
    before = TrainedTokenLoss(adapted)(batch)
    fast_lora.speed_up(adapted)
    torch.testing.assert_close(TrainedTokenLoss(adapted)(batch), before, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("place", ["below", "between"])
def test_layers_with_other_gradients_are_taken_back(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Those of x, and those of A, which a B of zeros would hide."""
    run(tmp_path / "right", configure(base))
    real = getattr(Products, place)

    def wrong(self: Products, *given: Any) -> Tensor:
        return real(self, *given) * 1.1

    monkeypatch.setattr(Products, place, wrong)
    run(tmp_path / "wrong", configure(base))
    (told,) = (n.text for n in events(tmp_path / "wrong", Notice) if "slower" in n.text)
    assert "the faster layers give this family gradients that are" in told
    assert not [n for n in events(tmp_path / "right", Notice) if "slower" in n.text]
    for ours, theirs in zip(curve(tmp_path / "wrong"), curve(tmp_path / "right"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_layers_that_fail_are_taken_back(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kernel does that can't be compiled for a GPU."""
    run(tmp_path / "right", configure(base))

    def failing(self: Products, *given: Any) -> Tensor:
        raise RuntimeError("out of resource:\n shared memory")

    monkeypatch.setattr(Products, "below", failing)
    run(tmp_path / "failing", configure(base))
    (told,) = (n.text for n in events(tmp_path / "failing", Notice) if "slower" in n.text)
    assert "the faster layers don't work here: out of resource: shared memory." in told
    for ours, theirs in zip(curve(tmp_path / "failing"), curve(tmp_path / "right"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_what_is_taken_back_is_the_familys_own(base: Path) -> None:
    adapted = with_adapter(base)
    own = [type(module).forward for module in adapted.modules()]
    fast_lora.speed_up(adapted)
    compiled.speed_up(adapted)
    assert modeling_llama.apply_rotary_pos_emb is not apply_rotary_pos_emb
    assert hasattr(causal_model(adapted), "fast_losses")
    compiled.take_back(adapted)
    assert not hasattr(causal_model(adapted), "fast_losses")
    assert [getattr(m.forward, "__func__", None) for m in adapted.modules()] == own
    assert modeling_llama.apply_rotary_pos_emb is apply_rotary_pos_emb


@pytest.mark.parametrize(("ours", "plain", "off"), [
    ([1.0, 1.0], [1.0, 1.0], 0.0),
    ([1.0, 1.001], [1.0, 1.0], 0.0),
    ([1.1, 1.1], [1.0, 1.0], 0.1),
    ([0.5], [0.0], 0.5),
    ([math.nan], [1.0], math.nan),
    ([math.inf], [1.0], math.inf),
    ([1.0], [math.nan], 0.0),
])  # fmt: skip
def test_gradients_that_are_no_numbers_are_apart(
    ours: list[float], plain: list[float], off: float
) -> None:
    found = checks.apart([torch.tensor(ours)], [torch.tensor(plain)], torch.nn.Linear(1, 1))
    assert found == pytest.approx(off, abs=1e-6, nan_ok=True)


def test_an_adapter_in_bfloat16_on_a_base_in_float32_is_near_enough(
    tmp_path: Path, base: Path
) -> None:
    run(tmp_path, configure(base, model={"dtype": "float32"}, lora={"dtype": "bfloat16"}))
    assert not [n for n in events(tmp_path, Notice) if "slower" in n.text]
