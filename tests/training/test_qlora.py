"""4-bit bases and the optimisers of bitsandbytes, for real, on the CPU."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from bitsandbytes.optim.optimizer import Optimizer8bit
from torch import nn
from torch.nn import functional

from tests.training.harness import CPU, adapter, build, configure, curve, events, run
from workbench.config.schema import Training
from workbench.errors import WorkbenchError
from workbench.jobs.events import Evaluated, Step
from workbench.training import model, saving
from workbench.training.batches import Layout
from workbench.training.loss import TrainedTokenLoss, row_losses
from workbench.training.optimizers import make_optimizer

OPTIMIZERS = ["adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"]
LIONS = ["lion", "lion_8bit", "paged_lion_8bit"]
NF4 = {"quantization": "nf4", "dtype": "auto"}


@pytest.mark.parametrize("quantization", ["nf4", "fp4", "int8"])
def test_a_quantised_base_is_trained_and_its_losses_fall(
    tmp_path: Path, base: Path, quantization: str
) -> None:
    config = configure(
        base, model={"quantization": quantization, "dtype": "auto"}, training={"max_steps": 8}
    )
    loop, outcome = run(tmp_path, config)
    assert outcome.step == 8
    steps, evaluated = events(tmp_path, Step), events(tmp_path, Evaluated)
    assert steps[-1].loss < steps[0].loss - 0.3
    assert evaluated[-1].loss < evaluated[0].loss - 0.3
    trained = adapter(loop)
    assert trained and all(p.dtype == torch.float32 for p in trained.values())


def test_the_linear_layers_are_held_in_4_bits_with_double_quantisation(base: Path) -> None:
    for double in (True, False):
        config = configure(base, model={**NF4, "double_quantization": double})
        loaded = model.load_base(base, config.model, CPU)
        layers: list[Any] = [m for m in loaded.modules() if isinstance(m, bnb.nn.Linear4bit)]
        assert len(layers) == 2 * 7, "7 linear layers in each of 2 blocks; the head is none"
        for layer in layers:
            state = layer.weight.quant_state
            assert layer.weight.dtype == torch.uint8
            assert (state.quant_type, state.nested) == ("nf4", double)
            assert layer.weight.numel() * 2 == layer.in_features * layer.out_features


def test_every_linear_layer_of_a_4_bit_base_gets_an_adapter(base: Path) -> None:
    config = configure(base, model=NF4)
    adapted = model.add_adapter(model.load_base(base, config.model, CPU), config)
    assert sum("lora_A" in name for name, _ in adapted.named_parameters()) == 2 * 7
    trainable, total = model.count_parameters(adapted)
    plain = configure(base)
    whole = model.add_adapter(model.load_base(base, plain.model, CPU), plain)
    assert (trainable, total) == model.count_parameters(whole), "numbers, not bytes, are counted"


def test_a_base_in_8_bits_is_near_what_it_was_and_says_nothing_of_it(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configure(base, model={"quantization": "int8", "dtype": "float32"})
    loaded = model.load_base(base, config.model, CPU)
    layers = [m for m in loaded.modules() if isinstance(m, bnb.nn.Linear8bitLt)]
    assert len(layers) == 2 * 7 and {m.weight.dtype for m in layers} == {torch.int8}
    whole = model.load_base(base, configure(base).model, CPU)
    ids = torch.arange(40).unsqueeze(0)
    with torch.no_grad():
        off = (loaded(ids).logits - whole(ids).logits).abs().max()
    assert 0 < off < 0.05
    assert "MatMul8bitLt" not in caplog.text


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_norms_embeddings_and_head_are_held_in_float32_where_that_is_wanted(
    base: Path, quantization: str, attended: list[torch.dtype]
) -> None:
    settings = {"quantization": quantization, "dtype": "bfloat16"}
    for upcast, expected in ((False, torch.bfloat16), (True, torch.float32)):
        config = configure(base, model={**settings, "upcast": upcast})
        trained = model.load_to_train(base, config, CPU)
        frozen = {
            p.dtype for p in trained.parameters() if not p.requires_grad and p.is_floating_point()
        }
        assert frozen == {expected}
        attended.clear()
        ids = torch.arange(20).unsqueeze(0)
        trained(input_ids=ids, labels=ids).loss.backward()
        assert set(attended) == {expected}
        assert all(p.grad is not None for p in trained.parameters() if p.requires_grad)


def test_4_bit_weights_are_unpacked_to_the_format_that_is_wanted(base: Path) -> None:
    ids = torch.arange(40).unsqueeze(0)
    logits = {}
    for wanted in ("auto", "float32", "bfloat16"):
        settings = {**NF4, "dtype": "float32", "compute_dtype": wanted}
        loaded = model.load_base(base, configure(base, model=settings).model, CPU)
        with torch.no_grad():
            logits[wanted] = loaded(ids).logits
    assert torch.equal(logits["auto"], logits["float32"])
    assert not torch.equal(logits["bfloat16"], logits["float32"])
    torch.testing.assert_close(logits["bfloat16"], logits["float32"], rtol=0, atol=0.05)


def test_evaluating_a_4_bit_base_changes_neither_its_weights_nor_its_training(
    tmp_path: Path, base: Path
) -> None:
    """bitsandbytes 0.50 packs the weights anew at the first evaluation on a CPU with
    avx512_bf16, and the product with them passes no gradient on."""
    config = configure(base, model=NF4, evaluation={"every": 1}, checkpoints={"every": 1})
    loop, _ = run(tmp_path / "evaluated", config)
    weights = [p for p in loop.model.parameters() if isinstance(p, bnb.nn.Params4bit)]
    fresh = model.load_base(base, config.model, CPU)
    originals = [p for p in fresh.parameters() if isinstance(p, bnb.nn.Params4bit)]
    for weight, original in zip(weights, originals, strict=True):
        assert torch.equal(weight, original)
        assert torch.equal(weight.quant_state.absmax, original.quant_state.absmax)
    run(tmp_path / "never", config, validation=0)
    assert curve(tmp_path / "evaluated") == curve(tmp_path / "never")


def test_a_4_bit_base_passes_gradients_on_to_its_first_layer(tmp_path: Path, base: Path) -> None:
    """Within the error of 4 bits they are those of the whole base."""
    norms = {}
    for quantization in ("none", "nf4"):
        config = configure(base, model={"quantization": quantization}, training={"max_steps": 1})
        run(tmp_path / quantization, config)
        ((_, _, norms[quantization]),) = curve(tmp_path / quantization)
    assert norms["nf4"] == pytest.approx(norms["none"], rel=0.2)


@pytest.fixture
def attended(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """The number formats of the queries that attention is given, as they come."""
    seen: list[torch.dtype] = []
    attend = functional.scaled_dot_product_attention

    def note(query: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        seen.append(query.dtype)
        return attend(query, *rest, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", note)
    return seen


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_4_bit_base_computes_in_its_own_format_in_training_as_in_evaluation(
    tmp_path: Path, base: Path, attended: list[torch.dtype], checkpointing: bool
) -> None:
    """PEFT's own preparation makes norms, embeddings and head float32, in training alone."""
    config = configure(
        base,
        model={"quantization": "nf4", "dtype": "bfloat16"},
        training={"max_steps": 8, "gradient_checkpointing": checkpointing},
    )
    loop, _ = run(tmp_path, config)
    assert set(attended) == {torch.bfloat16}
    assert {p.dtype for p in adapter(loop).values()} == {torch.float32}
    steps, evaluated = events(tmp_path, Step), events(tmp_path, Evaluated)
    assert steps[0].gradient_norm > 0 and steps[-1].loss < steps[0].loss - 0.3

    attended.clear()
    saving.save_result(loop.model, tmp_path / "adapter", saving.trained_tensors(loop.model))
    fresh = model.load_adapter(model.load_base(base, config.model, CPU), tmp_path / "adapter")
    losses = row_losses(
        TrainedTokenLoss(fresh),
        loop.validation,
        Layout(4, 256, 256, packed=False),
        lambda count: None,
    )
    assert set(attended) == {torch.bfloat16}
    tokens = sum(row.trained_tokens for row in loop.validation)
    assert sum(losses) / tokens == pytest.approx(evaluated[-1].loss, rel=1e-4)


def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A T4 or V100: torch counts emulation as support unless it is asked not to."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    wanted = configure(base, model={"dtype": "auto"}).model
    assert model.pick_dtype(wanted, torch.device("cuda")) == torch.float32


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantised_run_resumes_bit_for_bit(tmp_path: Path, base: Path, quantization: str) -> None:
    settings = {"quantization": quantization, "dtype": "auto"}
    config = configure(base, model=settings, checkpoints={"every": 2})
    run(tmp_path / "whole", config)

    def kill(step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", config, on_step=kill)
    run(tmp_path / "cut", config)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, *LIONS])
def test_an_optimiser_of_bitsandbytes_trains_saves_and_resumes_exactly(
    tmp_path: Path, base: Path, optimizer: str
) -> None:
    """Rank 64 by width 64: tensors of 4,096 numbers, from which on 8 bits are used."""
    config = configure(
        base,
        lora={"rank": 64, "alpha": 64},
        training={"optimizer": optimizer, "learning_rate": 2e-3},
        checkpoints={"every": 2},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bitsandbytes: there is nothing to page to
        whole, _ = run(tmp_path / "whole", config)

        def kill(step: int) -> None:
            if step == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", config, on_step=kill)
        again = build(tmp_path / "cut", config)
        assert again.resume() == 4
        again.run(4)
    steps = events(tmp_path / "whole", Step)
    assert steps[-1].loss < steps[0].loss - 0.3
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    ours, theirs = adapter(again), adapter(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def paging(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Pages where there is no GPU: plain memory with their mark; gives what is prefetched."""
    make = Optimizer8bit.get_state_buffer
    prefetched: list[torch.Tensor] = []

    def get(self: Any, parameter: torch.Tensor, dtype: torch.dtype = torch.float32) -> Any:
        buffer = make(self, parameter, dtype)
        buffer.is_paged = True
        return buffer

    monkeypatch.setattr(Optimizer8bit, "get_state_buffer", get)
    monkeypatch.setattr(bnb.functional, "prefetch_tensor", prefetched.append)
    return prefetched


@pytest.mark.filterwarnings("ignore:Paged optimizers")
@pytest.mark.parametrize("optimizer", ["paged_adamw_8bit", "paged_adamw_32bit", "paged_lion_8bit"])
def test_a_paged_optimisers_state_is_in_pages_again_after_a_resume(
    tmp_path: Path, base: Path, paging: list[torch.Tensor], optimizer: str
) -> None:
    config = configure(
        base,
        lora={"rank": 64, "alpha": 64},
        training={"optimizer": optimizer, "learning_rate": 2e-3},
        checkpoints={"every": 2},
    )
    whole, _ = run(tmp_path, config)
    shutil.rmtree(tmp_path / "checkpoints" / "step-6")
    again = build(tmp_path, config)
    # What the rehearsal's own optimiser had is gone.
    paging.clear()
    assert again.run(again.resume()).step == 6
    kept = again._parts.optimizer.state.values()
    tensors = [v[n] for v in kept for n in ("state1", "state2") if n in v]
    assert tensors and all(t.is_paged for t in tensors)
    assert {id(t) for t in paging} == {id(t) for t in tensors}
    ours, theirs = adapter(again), adapter(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("optimizer", ["adamw", *OPTIMIZERS, *LIONS])
def test_the_first_step_of_every_optimiser_is_the_learning_rate(optimizer: str) -> None:
    """Kingma and Ba 2015, section 2.1: Adam's step is bounded by about the learning rate,
    and by its bias correction the first step has just that size, whatever the gradient's.
    Lion's step is the sign of its momentum times the learning rate (Chen et al. 2023)."""
    parameter = nn.Parameter(torch.zeros(64, 64))
    training = Training.model_validate({"optimizer": optimizer, "learning_rate": 1e-3})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = make_optimizer([parameter], training)
        parameter.grad = torch.randn(64, 64).sign() * torch.rand(64, 64).add(0.1)
        sign = parameter.grad.sign()
        made.step()
    torch.testing.assert_close(parameter.detach(), -1e-3 * sign, rtol=0.1, atol=0)


def test_a_target_that_the_base_has_not_is_refused_with_those_that_it_has(base: Path) -> None:
    config = configure(base, lora={"target_modules": ["query"]})
    with pytest.raises(WorkbenchError, match="query") as refusal:
        model.add_adapter(model.load_base(base, config.model, CPU), config)
    assert "q_proj" in refusal.value.hint and "lm_head" not in refusal.value.hint


def test_a_base_that_cannot_be_loaded_is_refused_in_words(tiny_model: Path) -> None:
    weights = tiny_model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WorkbenchError, match="can't be loaded"):
        model.load_base(tiny_model, configure(tiny_model).model, CPU)


def test_a_base_that_needs_its_own_code_is_refused(tiny_model: Path) -> None:
    config = tiny_model / "config.json"
    config.write_text(
        config.read_text().replace('"model_type": "llama"', '"model_type": "homemade"')
    )
    with pytest.raises(WorkbenchError, match="can't be loaded"):
        model.load_base(tiny_model, configure(tiny_model).model, CPU)
