"""Several processes: what a config may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.config import processes
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError


def config(job: dict[str, Any], **sections: dict[str, Any]) -> RunConfig:
    return RunConfig.model_validate({"job": job, **sections})


def test_one_process_needs_no_launcher_and_several_or_a_persons_own_do() -> None:
    assert not processes.launched(config({}))
    assert processes.launched(config({"processes": 2}))
    assert processes.launched(config({"accelerate_config": "mine.yaml"}))


@pytest.mark.parametrize("job", [{}, {"processes": 2, "gpus": 0}, {"processes": 2, "gpus": 2}])
def test_what_can_be_had_is_let_through(job: dict[str, Any]) -> None:
    processes.check(config(job))
    if job:
        processes.check(config({**job, "sharding": "fsdp"}, model={"quantization": "nf4"}))


def test_a_step_by_tokens_has_a_row_for_each_process() -> None:
    rows = {"batch_size": 1, "accumulation": 1, "step_tokens": 16}
    processes.check(config({"processes": 8}, training=rows))


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ({"job": {"processes": 2, "gpus": 1}}, "job.gpus", "need a GPU each"),
        ({"job": {"sharding": "fsdp"}}, "job.sharding", "nobody to share with"),
        (
            {"job": {"processes": 2, "sharding": "fsdp", "accelerate_config": "x"}},
            "job.sharding",
            "in place of it",
        ),
        (
            {
                "job": {"processes": 2, "sharding": "fsdp"},
                "training": {"optimizer": "adamw_8bit"},
            },
            "training.optimizer",
            "it is adamw",
        ),
        (
            {
                "job": {"processes": 2, "sharding": "fsdp"},
                "training": {"micro_batch": "auto"},
            },
            "training.micro_batch",
            "with job.sharding it is a number",
        ),
        (
            {"job": {"processes": 8}, "training": {"batch_size": 2, "accumulation": 2}},
            "training.batch_size",
            "a step has 4 rows (times training.accumulation), fewer than job.processes, 8",
        ),
        (
            {"job": {"processes": 2, "sharding": "fsdp"}, "model": {"quantization": "int8"}},
            "model.quantization",
            "none, nf4 or fp4",
        ),
    ],
)
def test_what_cannot_be_had_is_named(body: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(WorkbenchError) as error:
        processes.check(RunConfig.model_validate(body))
    assert f"{path}: " in error.value.message and words in error.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("distributed_type: [", "not valid YAML"),
        ("just words", "holds no settings of accelerate"),
        ("num_processes: 2", "distributed_type: it is MULTI_GPU or DEEPSPEED, not None"),
        ("distributed_type: FSDP", "set job.sharding to fsdp"),
        ("distributed_type: MULTI_GPU\nnum_machines: 2", "on this machine alone"),
        ("distributed_type: MULTI_GPU\nnum_processes: 4", "job.processes is 2, and this 4"),
        ("distributed_type: MULTI_GPU\ngpu_ids: 0,1", "gives a run its GPUs"),
        (
            "compute_environment: AMAZON_SAGEMAKER\ndistributed_type: MULTI_GPU",
            "workbench runs on this machine",
        ),
        ("distributed_type: MULTI_GPU\nmixed_precision: bf16", "not bf16: model.dtype decides"),
        ("distributed_type: MULTI_GPU\nmixed_precision: no", "it is 'no', in quotes, not False"),
        ("distributed_type: MULTI_GPU\nfp16: true", "fp16: leave it out: model.dtype decides"),
        (
            "distributed_type: MULTI_GPU\ndynamo_config: {dynamo_backend: INDUCTOR}",
            "dynamo_config: leave it out: training.compile decides",
        ),
        ("distributed_type: MULTI_GPU\ndynamo_backend: INDUCTOR", "dynamo_backend: leave it out"),
        (
            "distributed_type: MULTI_GPU\nfp8_config: {fp8_format: E4M3}",
            "fp8_config: leave it out: nothing here is computed in 8 bits",
        ),
        ("distributed_type: MULTI_GPU\ndowncast_bf16: true", "downcast_bf16: leave it out"),
    ],
)
def test_settings_of_accelerate_that_cannot_be_used_are_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "accelerate.yaml"
    path.write_text(text)
    with pytest.raises(WorkbenchError) as error:
        processes.check(config({"processes": 2, "accelerate_config": str(path)}))
    assert str(path) in error.value.message and words in error.value.message


def test_what_accelerate_config_writes_itself_is_let_through(tmp_path: Path) -> None:
    path = tmp_path / "accelerate.yaml"
    path.write_text(
        "compute_environment: LOCAL_MACHINE\ndebug: false\ndistributed_type: MULTI_GPU\n"
        "downcast_bf16: 'no'\ndynamo_config: {}\ngpu_ids: all\nmachine_rank: 0\n"
        "mixed_precision: 'no'\nnum_machines: 1\nnum_processes: 2\nuse_cpu: false\n"
    )
    processes.check(config({"processes": 2, "accelerate_config": str(path)}))


def test_settings_of_accelerate_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="no such file"):
        processes.check(config({"accelerate_config": str(tmp_path / "nowhere.yaml")}))
