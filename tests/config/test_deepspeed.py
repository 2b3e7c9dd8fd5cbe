"""DeepSpeed by a config file of accelerate: what it may ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.config import deepspeed, processes
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError

# As `accelerate config` writes it for ZeRO 3 on one machine.
WRITTEN = """\
compute_environment: LOCAL_MACHINE
debug: false
deepspeed_config:
  gradient_accumulation_steps: 4
  gradient_clipping: 1.0
  offload_optimizer_device: none
  offload_param_device: cpu
  zero3_init_flag: true
  zero3_save_16bit_model: false
  zero_stage: 3
distributed_type: DEEPSPEED
downcast_bf16: 'no'
enable_cpu_affinity: false
machine_rank: 0
main_training_function: main
mixed_precision: 'no'
num_machines: 1
num_processes: 2
rdzv_backend: static
same_network: true
use_cpu: false
"""
ACCUMULATED = {"batch_size": 2, "accumulation": 4, "max_gradient_norm": 1.0}
# As trainers' own examples have it, such as Axolotl's deepspeed_configs/zero2.json.
EXAMPLE = {
    "zero_optimization": {
        "stage": 2,
        "offload_optimizer": {"device": "cpu"},
        "contiguous_gradients": True,
        "overlap_comm": True,
        "reduce_bucket_size": "auto",
    },
    "bf16": {"enabled": "auto"},
    "fp16": {"enabled": "auto", "loss_scale": "auto"},
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "wall_clock_breakdown": False,
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.config.deepspeed.installed", lambda: True)


def config(path: Path, **sections: dict[str, Any]) -> RunConfig:
    job = {"processes": 2, "accelerate_config": str(path)}
    return RunConfig.model_validate({"job": job, **sections})


def by_keys(folder: Path, **keys: Any) -> Path:
    path = folder / "accelerate.yaml"
    path.write_text(json.dumps({"distributed_type": "DEEPSPEED", "deepspeed_config": keys}))
    return path


def by_file(folder: Path, **body: Any) -> Path:
    (folder / "ds.json").write_text(json.dumps(body))
    return by_keys(folder, deepspeed_config_file="ds.json")


def refusal(config: RunConfig) -> str:
    with pytest.raises(WorkbenchError) as error:
        processes.check(config)
    return error.value.message


def test_what_accelerate_config_writes_is_what_the_engine_is_given(tmp_path: Path) -> None:
    path = tmp_path / "accelerate.yaml"
    path.write_text(WRITTEN)
    asked = config(path, training=ACCUMULATED)
    processes.check(asked)
    found = processes.of_deepspeed(asked)
    assert found is not None and processes.spreads_weights(asked)
    given = deepspeed.engine(found, asked)
    assert given["zero_optimization"] == {
        "stage": 3,
        "offload_optimizer": {"device": "none"},
        "offload_param": {"device": "cpu"},
    }
    assert (given["gradient_clipping"], given["gradient_accumulation_steps"]) == (1.0, 1)


def test_a_file_of_deepspeeds_own_is_read_beside_it_and_auto_is_left_to_the_config(
    tmp_path: Path,
) -> None:
    asked = config(by_file(tmp_path, **EXAMPLE))
    processes.check(asked)
    found = processes.of_deepspeed(asked)
    assert found is not None and not processes.spreads_weights(asked)
    assert found == {
        "zero_optimization": {
            "stage": 2,
            "offload_optimizer": {"device": "cpu"},
            "contiguous_gradients": True,
            "overlap_comm": True,
        },
        "wall_clock_breakdown": False,
    }


def test_other_files_ask_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "accelerate.yaml"
    path.write_text("distributed_type: MULTI_GPU\n")
    assert processes.of_deepspeed(config(path)) is None
    assert processes.of_deepspeed(RunConfig()) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "zero_optimization.stage: it is 1, 2 or 3, not 0"),
        (
            {"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}},
            "bf16: leave it out: model",
        ),
        (
            {"zero_optimization": {"stage": 2}, "optimizer": {"type": "AdamW"}},
            "optimizer: leave it out: training.optimizer decides",
        ),
        (
            {"zero_optimization": {"stage": 2}, "scheduler": {"type": "WarmupLR"}},
            "scheduler: leave it out: training.schedule decides",
        ),
        (
            {"zero_optimization": {"stage": 2}, "gradient_clipping": 0.3},
            "gradient_clipping: training.max_gradient_norm is 1.0, and this 0.3: make them one, or",
        ),
        (
            {"zero_optimization": {"stage": 2}, "gradient_accumulation_steps": 2},
            "gradient_accumulation_steps: training.accumulation is 4, and this 2",
        ),
        (
            {"zero_optimization": {"stage": 2}, "train_batch_size": 4},
            "train_batch_size: training.batch_size (times accumulation) is 8, and this 4",
        ),
        ({"zero_optimization": {"stage": 2}, "wandb": {"enabled": True}}, "wandb: leave it out"),
        (
            {"zero_optimization": {"stage": 2}, "frobnicate": 1},
            "frobnicate: leave it out: it isn't",
        ),
        (
            {"zero_optimization": {"stage": 3, "zero_quantized_weights": True}},
            "zero_optimization.zero_quantized_weights: leave it out",
        ),
        (
            {"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}},
            "zero_optimization.offload_param: it needs stage 3, and this is 2",
        ),
        (
            {"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "nvme"}}},
            "zero_optimization.offload_optimizer.device: it is none or cpu, not nvme",
        ),
    ],
)
def test_what_would_change_a_runs_numbers_is_refused_with_what_decides_it(
    tmp_path: Path, body: dict[str, Any], words: str
) -> None:
    told = refusal(config(by_file(tmp_path, **body), training=ACCUMULATED))
    assert str(tmp_path / "accelerate.yaml") in told and f"ds.json: {words}" in told


@pytest.mark.parametrize(
    ("stage", "sections", "words"),
    [
        (2, {"training": {"optimizer": "lion"}}, "training.optimizer: with DEEPSPEED it is adamw"),
        (1, {"training": {"micro_batch": "auto"}}, "training.micro_batch: with DEEPSPEED it is a"),
        (1, {"lora": {"dtype": "bfloat16"}}, "lora.dtype: with DEEPSPEED it is float32"),
        (
            1,
            {"training": {"method": "full"}, "model": {"dtype": "bfloat16"}},
            "model.dtype: with DEEPSPEED it is float32",
        ),
        (
            2,
            {"model": {"quantization": "int8"}},
            "model.quantization: with DEEPSPEED it is none, nf",
        ),
        (3, {"model": {"quantization": "nf4"}}, "model.quantization: with ZeRO stage 3 it is none"),
        (3, {"training": {"compile": True}}, "training.compile: ZeRO stage 3"),
    ],
)
def test_a_config_that_it_cannot_train_is_refused(
    tmp_path: Path, stage: int, sections: dict[str, Any], words: str
) -> None:
    assert words in refusal(config(by_keys(tmp_path, zero_stage=stage), **sections))


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = by_keys(tmp_path, deepspeed_config_file="nowhere.json", zero_stage=2)
    assert str(tmp_path / "nowhere.json") in refusal(config(path))
    path = by_keys(tmp_path, zero_stage=4, offload_param_device="nvme", gradient_clipping=0.5)
    for words in (
        "deepspeed_config.zero_stage: it is 1, 2 or 3, not 4",
        "deepspeed_config.offload_param_device: it is none or cpu, not nvme",
        "deepspeed_config.gradient_clipping: training.max_gradient_norm is 1.0, and this 0.5",
    ):
        assert words in refusal(config(path))
    path = by_keys(tmp_path, zero_stage=2, moe="x")
    assert "deepspeed_config.moe: leave it out: it isn't known here" in refusal(config(path))
    by_file(tmp_path, zero_optimization={"stage": 2})
    path = by_keys(tmp_path, deepspeed_config_file="ds.json", zero_stage=3)
    assert "zero_stage: leave it out beside deepspeed_config_file" in refusal(config(path))
    monkeypatch.setattr("workbench.config.deepspeed.installed", lambda: False)
    told = refusal(config(by_keys(tmp_path, zero_stage=2)))
    assert "pip install 'finetune-workbench[deepspeed]'" in told


def test_settings_that_are_none_are_told_by_their_field(tmp_path: Path) -> None:
    path = tmp_path / "accelerate.yaml"
    path.write_text("distributed_type: DEEPSPEED\ndeepspeed_config: zero2\n")
    assert "deepspeed_config: settings are wanted, as zero_stage: 2, not 'zero2'" in refusal(
        config(path)
    )
