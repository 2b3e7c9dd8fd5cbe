"""The forecast of memory: exact parts against real small models, the rest against what is known."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.memory import compare, exact
from workbench.config.activations import Work, chunk
from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import Circumstances, Machine
from workbench.config.memory import Device, forecast, largest_work, optimizer_state
from workbench.config.memory_switches import largest_max_length, largest_micro_batch, savings
from workbench.config.schema import RunConfig
from workbench.config.trained import trained_tensors
from workbench.errors import WorkbenchError
from workbench.training import model

Cli = Callable[..., subprocess.CompletedProcess[str]]
CPU = Device(gpu=False, bfloat16=False)
GPU = Device(gpu=True)
SHAPE: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "head_dim": 16,
}


def saved(folder: Path, kind: str, **changes: Any) -> Path:
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SHAPE, **changes}))
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {
        "untied": saved(folder / "untied", "llama", tie_word_embeddings=False),
        "tied": saved(folder / "tied", "llama", tie_word_embeddings=True),
        "moe": saved(folder / "moe", "qwen3_moe", **EXPERTS),
        "gpt2": saved(folder / "gpt2", "gpt2", n_embd=64, n_layer=2, n_head=4),
    }


def configure(folder: Path, body: dict[str, Any]) -> RunConfig:
    named = {"base": str(folder), "dtype": "float32", **body.get("model", {})}
    return RunConfig.model_validate({**body, "model": named})


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("untied", {}),
        ("untied", {"model": {"dtype": "bfloat16"}, "lora": {"dtype": "bfloat16"}}),
        ("untied", {"model": {"quantization": "nf4"}}),
        ("untied", {"model": {"quantization": "fp4", "double_quantization": False}}),
        ("untied", {"model": {"quantization": "int8", "upcast": True}}),
        ("untied", {"lora": {"target_modules": "attention", "dora": True, "rank": 3}}),
        ("untied", {"lora": {"target_modules": "mlp"}, "training": {"optimizer": "adamw_8bit"}}),
        ("untied", {"lora": {"target_modules": ["q_proj", "lm_head"]}}),
        ("untied", {"lora": {"target_modules": r".*layers\.1\..*(k|v)_proj"}}),
        ("untied", {"lora": {"modules_to_save": ["embed_tokens", "lm_head"]}}),
        ("untied", {"training": {"method": "full", "optimizer": "lion_8bit"}}),
        ("tied", {"lora": {"modules_to_save": ["lm_head"]}, "training": {"optimizer": "lion"}}),
        ("tied", {"model": {"quantization": "nf4"}}),
        ("tied", {"training": {"method": "full", "optimizer": "paged_adamw_8bit"}}),
        ("moe", {}),
        ("moe", {"model": {"quantization": "nf4"}}),
        ("moe", {"training": {"method": "full"}}),
        ("gpt2", {"lora": {"dora": True}}),
        ("gpt2", {"training": {"method": "full"}}),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights_adapter_gradients_and_optimiser_are_exact(
    bases: dict[str, Path], name: str, body: dict[str, Any]
) -> None:
    config = configure(bases[name], body)
    model.quieten()
    real = exact(model.load_to_train(bases[name], config, torch.device("cpu")), config)
    found = forecast(config, BaseFacts.of(bases[name]), Work(8, 8, 8, 0), CPU)
    assert {part: found.of(part) for part in real} == real


@pytest.mark.parametrize("name", ["untied", "tied"])
@pytest.mark.parametrize("ids", [(512, 513), (500, 501)])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_new_tokens_are_exact(
    bases: dict[str, Path], name: str, ids: tuple[int, ...], method: str
) -> None:
    config = configure(bases[name], {"training": {"method": method}})
    trained = model.load_to_train(bases[name], config, torch.device("cpu"), ids)
    real = exact(trained, config)
    found = forecast(config, BaseFacts.of(bases[name]), Work(8, 8, 8, 0), CPU, ids)
    assert {part: found.of(part) for part in real} == real


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"training": {"gradient_checkpointing": True}},
        {"training": {"method": "full"}},
        {"training": {"method": "full", "gradient_checkpointing": True}},
        {"lora": {"dora": True}},
        {"lora": {"dropout": 0.1}},
        {"lora": {"target_modules": "attention"}},
        {"lora": {"modules_to_save": ["lm_head"]}},
        {"model": {"quantization": "nf4"}},
        {"model": {"quantization": "int8"}},
        {"model": {"quantization": "int8"}, "training": {"gradient_checkpointing": True}},
    ],
)
def test_a_batch_takes_what_was_said_of_it(tmp_path: Path, body: dict[str, Any]) -> None:
    """By torch's own allocations, within 6 %."""
    sizes = {"hidden_size": 128, "intermediate_size": 352, "vocab_size": 4096}
    base = saved(tmp_path, "llama", **sizes, tie_word_embeddings=False)
    off, expected, peak = compare(base, body, 512)
    assert off == 0
    assert expected == pytest.approx(peak, rel=0.06)


@pytest.mark.parametrize(
    "body", [{"training": {"method": "full"}}, {"lora": {"modules_to_save": ["lm_head"]}}]
)
def test_tied_embeddings_of_few_tokens_take_their_gradient_three_times(
    tmp_path: Path, body: dict[str, Any]
) -> None:
    """The head's waits for the embeddings', and their sum is a third; by torch's allocations."""
    base = saved(tmp_path, "llama", vocab_size=8192, tie_word_embeddings=True)
    off, expected, peak = compare(base, body, 16)
    assert off == 0
    assert expected == 3 * 8192 * SHAPE["hidden_size"] * 4
    assert expected == pytest.approx(peak, rel=0.06)


def test_what_a_processor_keeps_beside_is_counted_by_what_it_comes_from(
    bases: dict[str, Path],
) -> None:
    facts, work = BaseFacts.of(bases["untied"]), Work(64, 64, 30, 0)

    def beside(body: dict[str, Any]) -> tuple[int, int]:
        """The allowance, and what comes and goes."""
        told = forecast(configure(bases["untied"], body), facts, work, CPU)
        moving = sum(told.of(name) for name in ("activations", "loss", "working"))
        return told.of("allowance"), moving

    allowance, moving = beside({})
    assert allowance == moving // 4
    masked, moving = beside({"lora": {"dropout": 0.1}})
    assert masked == moving // 2
    # Products of many tokens with the head copy it.
    more = forecast(configure(bases["untied"], {}), facts, Work(64, 64, 33, 0), CPU)
    head = 2 * 4 * facts.vocabulary * facts.width
    again = sum(more.of(name) for name in ("activations", "loss", "working"))
    assert more.of("allowance") == head + int(0.17 * again)
    # bitsandbytes takes a step with five copies of the largest tensor in float32.
    full = {"training": {"method": "full", "optimizer": "adamw_8bit"}}
    stepping, moving = beside(full)
    assert stepping == max(moving // 4, 5 * 4 * facts.embeddings.numel - moving)


def test_auto_is_counted_as_what_it_would_find(bases: dict[str, Path]) -> None:
    body = {"micro_batch": "auto", "batch_size": 6, "accumulation": 2}
    config = RunConfig.model_validate({"training": body, "data": {"max_length": 64}})
    facts = BaseFacts.of(bases["untied"])

    def told(free: int | None) -> Any:
        found = Circumstances(Machine(CPU, "here", free), facts).forecast(config)
        assert found is not None
        return found

    rows = [forecast(config, facts, Work(64 * n, 64, 64 * n, 512), CPU) for n in (1, 4, 8)]
    assert told(None).work.tokens == 64
    assert told(1 << 40).work.tokens == 12 * 64
    assert told(rows[1].total).work.tokens == 4 * 64
    assert told(rows[2].total - 1).work.tokens == 4 * 64
    # Not even one fits: that is what is told.
    assert told(1).work.tokens == 64


def test_published_counts_of_parameters_come_out_of_their_shapes(tmp_path: Path) -> None:
    """SmolLM2-135M has 134,515,008 parameters, as its published config.json makes them, and LoRA of
    rank 16 on all linear layers of Llama-3-8B trains 41,943,040, as Unsloth's notebook prints."""
    small = headers(tmp_path / "small", layers=30, width=576, inside=1536, keys=192, rows=49152)
    facts = BaseFacts.of(small)
    assert (facts.parameters, facts.tied) == (134_515_008, True)
    large = headers(tmp_path / "large", layers=32, width=4096, inside=14336, keys=1024, rows=128256)
    facts = BaseFacts.of(large)
    assert trained_tensors(RunConfig(), facts).parameters == 41_943_040
    # 4.127 bits a weight in NF4 with double quantisation (QLoRA, 2023, section 3: 0.127 bits).
    config = RunConfig.model_validate({"model": {"quantization": "nf4"}})
    linear = sum(w.numel for w in facts.linear)
    rest = 2 * (facts.parameters - linear)
    held = forecast(config, facts, Work(8, 8, 8, 0), GPU).of("weights") - rest
    assert 8 * held / linear == pytest.approx(4.127, abs=0.001)


def headers(folder: Path, *, layers: int, width: int, inside: int, keys: int, rows: int) -> Path:
    """A tied Llama's config.json and the header of its weights, without the weights."""
    shapes = {"model.embed_tokens.weight": [rows, width], "model.norm.weight": [width]}
    for n in range(layers):
        at = f"model.layers.{n}"
        shapes |= {f"{at}.self_attn.{x}_proj.weight": [width, width] for x in "qo"}
        shapes |= {f"{at}.self_attn.{x}_proj.weight": [keys, width] for x in "kv"}
        shapes |= {f"{at}.mlp.{x}_proj.weight": [inside, width] for x in ("gate", "up")}
        shapes[f"{at}.mlp.down_proj.weight"] = [width, inside]
        shapes |= {f"{at}.{x}_layernorm.weight": [width] for x in ("input", "post_attention")}
    header = {name: {"dtype": "BF16", "shape": shape} for name, shape in shapes.items()}
    folder.mkdir()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    about = {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "tie_word_embeddings": True,
    }
    (folder / "config.json").write_text(json.dumps(about))
    return folder


def test_logits_are_those_of_a_chunk_however_long_the_rows(tmp_path: Path) -> None:
    facts = BaseFacts.of(
        headers(tmp_path / "b", layers=2, width=256, inside=512, keys=64, rows=128256)
    )
    config = RunConfig()
    short, long = (forecast(config, facts, Work(n, n, n, 0), GPU).of("loss") for n in (1024, 8192))
    assert short < long < 12 * chunk(128256, processor=False) * 128256 + 2 * 8192 * 256 * 2 + 1
    all_logits = 8192 * 128256 * 4
    assert long < all_logits / 5


def test_no_part_grows_with_the_square_of_the_length_in_varlen_attention(tmp_path: Path) -> None:
    facts = BaseFacts.of(
        headers(tmp_path / "b", layers=2, width=256, inside=512, keys=64, rows=512)
    )
    config = RunConfig()
    kept = [forecast(config, facts, Work(n, n, 8, 0), GPU).of("activations") for n in (512, 1024)]
    assert kept[1] == 2 * kept[0]


def test_a_window_is_a_mask_where_attention_is_not_varlen(tmp_path: Path) -> None:
    folder = headers(tmp_path / "b", layers=2, width=256, inside=512, keys=64, rows=512)
    plain = BaseFacts.of(folder)
    about = json.loads((folder / "config.json").read_text())
    kinds = ["sliding_attention", "full_attention"]
    (folder / "config.json").write_text(
        json.dumps({**about, "sliding_window": 128, "layer_types": kinds})
    )
    windowed = BaseFacts.of(folder)

    def kept(facts: BaseFacts, length: int, device: Device) -> int:
        work = Work(2 * length, length, 8, 0)
        return forecast(RunConfig(), facts, work, device).of("activations")

    # One layer of the two, two rows, each a mask and the same in float32.
    assert kept(windowed, 512, CPU) - kept(plain, 512, CPU) == 2 * 512 * 512 * (1 + 4)
    assert kept(windowed, 128, CPU) == kept(plain, 128, CPU)
    assert kept(windowed, 512, GPU) == kept(plain, 512, GPU)


def test_the_state_of_optimisers() -> None:
    sizes = [200_000, 4096, 4095]
    total, first, small = sum(sizes), 200_000, 4095
    assert optimizer_state(sizes, "adamw", 4, gpu=True) == (8 * total + 12, 0)
    assert optimizer_state(sizes, "lion", 4, gpu=True) == (4 * total, 0)
    kept, paged = optimizer_state(sizes, "paged_adamw_8bit", 4, gpu=True)
    assert paged == 2 * first
    constants = 2 * 4 * (-(-first // 256) + 16)
    assert kept == 2 * 4096 + 8 * small + constants + 2 * 256 * 4
    # On a processor there is nothing to page to.
    assert optimizer_state(sizes, "paged_adamw_8bit", 4, gpu=False) == (kept + paged, 0)


def test_the_largest_batch_is_that_of_the_loop() -> None:
    config = RunConfig.model_validate({"training": {"batch_size": 4}, "data": {"max_length": 512}})
    assert largest_work(config).tokens == 4 * 512
    work = largest_work(config, longest=300, trained_share=0.25)
    assert (work.tokens, work.longest, work.trained_tokens) == (1200, 300, 300)
    micro = RunConfig.model_validate({"training": {"micro_batch": 2}, "data": {"max_length": 512}})
    assert largest_work(micro, longest=9000).tokens == 2 * 512


@pytest.mark.parametrize(
    ("training", "tokens"),
    [
        ({"micro_batch_tokens": 2000}, 2000),
        ({"micro_batch_tokens": 200}, 300),
        # No more than a step has.
        ({"micro_batch_tokens": 9000}, 16 * 300),
        ({"step_tokens": 700}, 700),
        ({"step_tokens": 100}, 300),
        ({"step_tokens": 9000}, 4 * 300),
        ({"step_tokens": 1000, "micro_batch_tokens": 2000}, 1000),
        # Padded to the longest, the rows of a step may have more than their own tokens.
        ({"step_tokens": 700, "packing": False}, 4 * 300),
        ({"step_tokens": 1000, "micro_batch_tokens": 2000, "packing": False}, 2000),
    ],
)
def test_the_largest_batch_by_tokens(training: dict[str, Any], tokens: int) -> None:
    config = RunConfig.model_validate({"training": training})
    assert largest_work(config, longest=300).tokens == tokens


def test_what_fits_is_the_most_that_does(bases: dict[str, Path]) -> None:
    facts = BaseFacts.of(bases["untied"])
    config = RunConfig.model_validate({"training": {"batch_size": 8, "accumulation": 4}})

    def foretell(changed: RunConfig) -> Any:
        return forecast(changed, facts, largest_work(changed), GPU)

    def of(section: str, **values: Any) -> int:
        body = config.model_dump()
        body[section] |= values
        total: int = foretell(RunConfig.model_validate(body)).total
        return total

    free = of("training", micro_batch=5) + 1
    assert largest_micro_batch(config, foretell, free) == 5
    assert largest_micro_batch(config, foretell, 1) == 0
    assert largest_micro_batch(config, foretell, 1 << 50) == 32
    by_tokens = RunConfig.model_validate(
        {"training": {"step_tokens": 10_000, "micro_batch_tokens": 3000}}
    )
    assert largest_micro_batch(by_tokens, foretell, free) == 5
    # As many rows of 1,024 tokens as a step has at most.
    assert largest_micro_batch(by_tokens, foretell, 1 << 50) == 10
    assert largest_max_length(config, foretell, of("data", max_length=777), 2048) == 777
    found = {saving.setting: saving.saved for saving in savings(config, foretell)}
    half = foretell(config).total - of("data", max_length=512)
    assert found["data.max_length=512"] == half > 0
    assert found["training.gradient_checkpointing=true"] > 0
    full = RunConfig.model_validate({"training": {"method": "full"}})
    assert not any("nf4" in saving.setting for saving in savings(full, foretell))


def test_a_folder_that_says_nothing_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"has no config\.json"):
        BaseFacts.of(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(WorkbenchError, match="no weights in safetensors"):
        BaseFacts.of(tmp_path)
    for content in (
        b"",
        b"\xff" * 64,
        struct.pack("<Q", 4) + b"[1]x",
        struct.pack("<Q", 2) + b"[]",
    ):
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(WorkbenchError, match="has no header of safetensors"):
            BaseFacts.of(tmp_path)
    (tmp_path / "config.json").write_text('{"quantization_config": {}}')
    with pytest.raises(WorkbenchError, match="saved quantised"):
        BaseFacts.of(tmp_path)


def test_modules_that_are_not_there_are_refused(bases: dict[str, Path]) -> None:
    facts = BaseFacts.of(bases["untied"])
    for lora, said in (
        ({"target_modules": ["c_attn"]}, "Its linear layers are down_proj"),
        ({"modules_to_save": ["score"]}, "no module score"),
    ):
        with pytest.raises(WorkbenchError) as told:
            trained_tensors(RunConfig.model_validate({"lora": lora}), facts)
        assert said in f"{told.value.message} {told.value.hint}"


def test_the_verb_tells_parts_what_fits_and_what_switches_save(
    cli: Cli, tmp_path: Path, _tiny_model: Path
) -> None:
    (tmp_path / "run.yaml").write_text(f"model: {{base: {_tiny_model}}}\n")
    told = cli("config", "forecast", "run.yaml", "--set", "data.max_length=256", "--json")
    assert told.returncode == 0, told.stderr
    body = json.loads(told.stdout)
    assert body["total"] == sum(part["bytes"] for part in body["parts"])
    assert body["work"]["tokens"] == 4 * 256
    assert "data.dataset is empty" in body["rows"]
    assert body["fits"]["micro_batch"] == 16
    shown = cli("config", "forecast", "run.yaml")
    assert "activations" in shown.stdout and "it fits" in shown.stdout
    assert "training.gradient_checkpointing=true" in shown.stdout
    wrong = cli("config", "forecast", "run.yaml", "--set", "model.base=./nowhere")
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr


def test_the_longest_row_is_the_verdicts_once_there_is_one(
    cli: Cli, tmp_path: Path, _tiny_model: Path
) -> None:
    rows = [{"prompt": f"Is {n} a number?", "completion": "yes " * n} for n in range(1, 9)]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "run.yaml").write_text(
        f"model: {{base: {_tiny_model}}}\ndata: {{dataset: numbers}}\n"
    )
    made = cli("data", "import", "rows.jsonl", "--name", "numbers")
    assert made.returncode == 0, made.stderr
    before = json.loads(cli("config", "forecast", "run.yaml", "--json").stdout)
    assert before["work"]["longest"] == 1024
    assert "workbench data verdict numbers@" in before["rows"]
    judged = json.loads(cli("data", "verdict", "numbers", "--model", _tiny_model, "--json").stdout)
    after = json.loads(cli("config", "forecast", "run.yaml", "--json").stdout)
    assert after["work"]["longest"] == judged["lengths"]["train"]["max"] < 1024
    assert after["work"]["trained_tokens"] < after["work"]["tokens"]
    assert after["total"] < before["total"]
