"""The forecast of time, against published rates and against operations that are counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workbench.config import flops, speeds
from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import Circumstances, DatasetFacts, Machine, PastRun
from workbench.config.duration import TimeForecast, forecast_time
from workbench.config.flops import Passing
from workbench.config.memory import Device
from workbench.config.schema import RunConfig
from workbench.config.trained import trained_tensors
from workbench.data.lengths import LengthCounts, Lengths

A100, RTX, L40S = "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 4090", "NVIDIA L40S"
CPU = Machine(Device(False, False), "this machine", 1 << 34, model="An x86", processors=2)


def llama(
    layers: int, width: int, inside: int, keys: int, rows: int, heads: int, **about: Any
) -> BaseFacts:
    shapes = {"model.embed_tokens.weight": [rows, width], "model.norm.weight": [width]}
    if not about.get("tie_word_embeddings", True):
        shapes["lm_head.weight"] = [rows, width]
    for n in range(layers):
        at = f"model.layers.{n}"
        shapes |= {f"{at}.self_attn.{x}_proj.weight": [width, width] for x in "qo"}
        shapes |= {f"{at}.self_attn.{x}_proj.weight": [keys, width] for x in "kv"}
        shapes |= {f"{at}.mlp.{x}_proj.weight": [inside, width] for x in ("gate", "up")}
        shapes[f"{at}.mlp.down_proj.weight"] = [width, inside]
    body = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads}
    return BaseFacts.from_shapes({"model_type": "llama", **body, **about}, shapes.items(), "here")


LLAMA_8B = llama(32, 4096, 14336, 1024, 128256, 32, tie_word_embeddings=False)
LLAMA_3B = llama(28, 3072, 8192, 1024, 128256, 24)
SMALL = llama(4, 64, 128, 32, 512, 4)


def configure(**body: Any) -> RunConfig:
    return RunConfig.model_validate(body)


def known(
    facts: BaseFacts, machine: Machine, lengths: list[int], trained: float = 1.0, **more: Any
) -> Circumstances:
    rows = Lengths.of_rows(lengths, [round(trained * length) for length in lengths])
    dataset = DatasetFacts("rows@1", len(lengths), 0, lengths={"train": rows})
    return Circumstances(machine, facts, None, dataset, **more)


def gpu(name: str) -> Machine:
    return Machine(Device(gpu=True), name, 80 << 30, model=name)


CKPT = {"gradient_checkpointing": True}
FULL = {"method": "full"}


@pytest.mark.parametrize(
    ("facts", "device", "length", "rows", "body", "published"),
    [
        # torchtune's README: packed rows, two at once, every token trained.
        (LLAMA_8B, RTX, 2048, 2, {"training": CKPT}, 3083),
        (LLAMA_8B, RTX, 2048, 2, {"training": CKPT, "model": {"quantization": "nf4"}}, 2413),
        (LLAMA_3B, A100, 4096, 2, {"training": FULL, "model": {"dtype": "bfloat16"}}, 7075),
        (LLAMA_3B, A100, 4096, 2, {"training": FULL, "model": {"dtype": "bfloat16"}}, 9174),
        (LLAMA_3B, A100, 4096, 2, {"training": FULL | CKPT, "model": {"dtype": "bfloat16"}}, 7210),
        (LLAMA_3B, A100, 4096, 2, {"training": CKPT}, 8210),
        (LLAMA_3B, A100, 4096, 2, {"training": CKPT, "model": {"quantization": "nf4"}}, 8035),
        # PEFT's method_comparison/MetaMathQA, lora--llama-3.2-3B-rank32.json: 4,198,051 tokens of
        # 20,000 rows, four at once, at 6,780 tokens/s.
        (LLAMA_3B, L40S, 210, 4, {"lora": {"target_modules": ["q_proj", "v_proj"]}}, 6780),
    ],
)
def test_published_rates_are_within_the_bounds(
    facts: BaseFacts, device: str, length: int, rows: int, body: dict[str, Any], published: int
) -> None:
    training = {"batch_size": rows, "accumulation": 1, **body.get("training", {})}
    config = configure(**{**body, "data": {"max_length": length}, "training": training})
    told = forecast_time(config, known(facts, gpu(device), [length] * 100)).tokens_per_second
    assert told is not None and told.low <= published <= told.high
    # Bounds that say something: some three to six times apart.
    assert told.high / told.low < 7


def test_the_share_of_the_peak_that_published_runs_reach_is_in_the_bounds() -> None:
    """The 3B of torchtune's ladder, packed: 0.5 of an A100's peak as it is, 0.66 compiled."""
    config = configure(training=FULL, model={"dtype": "bfloat16"}, data={"max_length": 4096})
    passing = Passing.of_equal(1, 4096, LLAMA_3B)
    of_a_token = (
        flops.of_training(config, LLAMA_3B, trained_tensors(config, LLAMA_3B), passing).total / 4096
    )
    plain, compiled = (rate * of_a_token / 312e12 for rate in (7075, 9174))
    assert plain == pytest.approx(0.51, abs=0.01)
    assert compiled == pytest.approx(0.66, abs=0.01)
    assert speeds.REACHED[0] < plain < compiled < speeds.REACHED[1]


def of(config: RunConfig, facts: BaseFacts = SMALL, length: int = 32, rows: int = 1) -> Any:
    passing = Passing.of_equal(rows, length, facts)
    return flops.of_training(config, facts, trained_tensors(config, facts), passing)


def test_operations_are_those_counted_by_hand() -> None:
    """Six a parameter and token where all are trained (Kaplan et al. 2020, section 2.1), four
    where the base is frozen."""
    linear = sum(w.numel for w in SMALL.linear)
    full, lora = of(configure(training=FULL)), of(configure())
    assert full.forward + full.backward == 6 * linear * 32
    assert lora.forward + lora.backward == 4 * linear * 32
    assert of(configure(training=CKPT)).recomputed == 2 * linear * 32
    # 4 layers, each pair of tokens 2 products of 64 numbers; backward 2.5 times as many.
    assert lora.attention == 4 * (32 * 33 / 2) * 4 * 64 * 3.5
    assert lora.head == 2 * 2 * 512 * 64 * 32
    # LoRA of rank 16: A and B of seven matrices a layer, thrice.
    sums = sum(sum(w.shape) for w in SMALL.linear)
    assert lora.adapter == 3 * 2 * 16 * sums * 32
    # Nothing is trained before the third layer: no gradient goes there.
    late = of(configure(lora={"target_modules": r".*layers\.[23]\..*"}))
    assert late.backward == lora.backward / 2


def test_of_experts_the_chosen_ones_count_and_a_window_ends_attention() -> None:
    shapes = {"model.embed_tokens.weight": [512, 64]}
    at = "model.layers.0"
    shapes |= {f"{at}.self_attn.{x}_proj.weight": [64, 64] for x in "qkvo"}
    shapes |= {f"{at}.mlp.experts.{n}.up_proj.weight": [32, 64] for n in range(8)}
    shapes[f"{at}.mlp.gate.weight"] = [8, 64]
    body = {"num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 4}
    body |= {"num_experts": 8, "num_experts_per_tok": 2}
    moe = BaseFacts.from_shapes(body, shapes.items(), "here")
    config = configure(lora={"target_modules": "attention"})
    assert of(config, moe).forward == 2 * (4 * 64 * 64 + 2 * 32 * 64 + 8 * 64) * 32
    windowed = BaseFacts.from_shapes({**body, "sliding_window": 8}, shapes.items(), "here")
    # 8 tokens see 1 to 8, the other 24 see 8 each.
    assert of(config, windowed).attention == (36 + 24 * 8) * 4 * 64 * 3.5


def test_pairs_and_shares_of_rows() -> None:
    lengths = Lengths.of_rows([4, 6, 10], [1, 6, 2])
    assert lengths.pairs_at(100) == 10 + 21 + 55
    assert lengths.pairs_at(100, "truncate", window=5) == 10 + (15 + 5) + (15 + 25)
    assert lengths.densest(3) == 9 / 20
    assert lengths.densest(2) == 0.5
    counts = LengthCounts()
    for tokens in (4, 6, 10):
        counts.add(tokens, [0, tokens])
    cut = Lengths(counts.counts)
    assert cut.pairs_at(5) == 10 + 15 + 15
    assert cut.pairs_at(5, "drop") == 10
    assert cut.pairs_at(5, "truncate", window=3) == (6 + 3) + 2 * (6 + 6)


def past(machine: Machine, **changes: Any) -> PastRun:
    run = PastRun(
        run="before-0001",
        model=machine.model,
        gpu=machine.device.gpu,
        dtype="float32",
        base="default",
        method="lora",
        quantization="none",
        dora=False,
        packed=True,
        tokens_per_second=250.0,
        flops=1e11,
        reading=1e10,
    )
    return replace(run, **changes)


def told(config: RunConfig, *runs: PastRun, machine: Machine = CPU) -> TimeForecast:
    return forecast_time(config, known(SMALL, machine, [100] * 64, past=runs))


def test_an_earlier_run_on_this_device_is_believed_the_likest_first() -> None:
    config = configure(training={"batch_size": 4, "accumulation": 2})
    unknown = told(config)
    other = past(CPU, run="other-0003", base="another", flops=3e11)
    like = past(CPU)
    measured = told(config, other, like)
    assert "before-0001 did: 250 tokens/s, 100 GFLOP/s, with this base and method" in measured.basis
    assert unknown.step and measured.step and unknown.flops and measured.steps == 8
    assert measured.step.low < sum(unknown.flops.values()) / 1e11 < measured.step.high
    assert measured.step.high / measured.step.low < 2 < unknown.step.high / unknown.step.low
    assert "other-0003 did" in told(config, other).basis
    # One that others slowed down widens the bounds.
    slowed = told(config, past(CPU, run="slowed-0004", flops=1e10), like)
    assert slowed.step and slowed.step.low == measured.step.low
    assert slowed.step.high == pytest.approx(10 * measured.step.high)
    assert "slowed-0004 did" in slowed.basis and "(and 1 before it)" in slowed.basis
    # Another machine, another number format: they tell nothing of this one.
    strange = (past(CPU, model="A phone"), past(CPU, dtype="bfloat16"), past(CPU, gpu=True))
    assert told(config, *strange).basis == unknown.basis
    assert "the first run here will tell" in unknown.basis


def test_a_quantised_base_is_slower_than_a_whole_one_was() -> None:
    config = configure(model={"quantization": "nf4"})
    whole = told(configure(), past(CPU, base="x"))
    held = told(config, past(CPU, base="x"))
    assert held.step and whole.step
    assert held.step.high == pytest.approx(1.62 * whole.step.high)
    assert "by lora" in held.basis


def test_devices_that_nobody_knows_are_not_guessed() -> None:
    for name in ("NVIDIA Imaginary 9000", "NVIDIA GeForce RTX 4090 Laptop GPU", "Tesla T4"):
        found = told(configure(), machine=gpu(name))
        assert found.step is None and found.whole is None
        assert "the first run here will tell" in found.basis
    old = Machine(Device(True, False), "GPU 0", 1, model="Tesla T4")
    assert "8 TFLOP/s in float32" in told(configure(), machine=old).basis
    names = {
        "NVIDIA H100 80GB HBM3": 989,
        "NVIDIA H100 PCIe": 756,
        "NVIDIA L4": 121,
        "NVIDIA RTX 6000 Ada Generation": 364,
        "NVIDIA A10G": 70,
    }
    for name, peak in names.items():
        found = speeds.of_gpu(name, "bfloat16")
        assert found is not None and found.high == pytest.approx(speeds.REACHED[1] * peak * 1e12)


def test_steps_epochs_and_what_comes_between_add_up() -> None:
    body: dict[str, Any] = {"training": {"batch_size": 4, "accumulation": 2, "epochs": 2.5}}
    config = configure(**body, evaluation={"every": 5})
    facts = known(SMALL, CPU, [100] * 64)
    rows = Lengths.of_rows([100] * 8, [50] * 8)
    assert facts.dataset is not None
    lengths = {**facts.dataset.lengths, "validation": rows}
    dataset = replace(facts.dataset, validation=8, lengths=lengths)
    found = forecast_time(config, replace(facts, dataset=dataset))
    assert found.steps == 20 and found.step and found.epoch and found.training
    assert found.epoch.low == pytest.approx(8 * found.step.low)
    assert found.training.high == pytest.approx(20 * found.step.high)
    assert found.validations and found.answers and found.whole
    assert found.whole.low == pytest.approx(
        found.training.low + found.validations.low + found.answers.low
    )
    once = configure(**body)
    fewer = forecast_time(once, replace(facts, dataset=dataset))
    # At the start, at the end, and after steps 5, 10 and 15.
    assert fewer.validations and found.validations.low == pytest.approx(
        5 / 2 * fewer.validations.low
    )


def test_padding_is_computed_and_told_rates_are_of_rows() -> None:
    packed = configure(training={"batch_size": 4})
    padded = configure(training={"batch_size": 4, "packing": False})
    mixed = [10, 100] * 32
    facts = known(SMALL, CPU, mixed)
    a, b = forecast_time(packed, facts), forecast_time(padded, facts)
    # Of a step's 16 rows 8 have 100 tokens: sorted, no batch of four mixes them.
    assert a.step and b.step and b.step.low == pytest.approx(a.step.low, rel=0.01)
    one = configure(training={"batch_size": 16, "accumulation": 1, "packing": False})
    c = forecast_time(one, facts)
    assert c.step and c.step.low > 1.7 * a.step.low
    assert c.tokens_per_second and a.tokens_per_second
    assert c.tokens_per_second.low < a.tokens_per_second.low


def test_what_is_not_known_is_said() -> None:
    config = configure()
    nothing = forecast_time(config, Circumstances(CPU))
    assert nothing.step is None and "base" in nothing.basis
    unmeasured = forecast_time(config, Circumstances(CPU, SMALL))
    assert unmeasured.step is not None and unmeasured.epoch is None and unmeasured.whole is None
    assert any("never measured" in sentence for sentence in unmeasured.unknown)
    several = configure(job={"processes": 2})
    shared = told(several, machine=gpu(A100))
    assert any("not counted" in sentence for sentence in shared.unknown)
