"""Training in several processes: what a config may ask for, found wanting before anything starts.

A config file of accelerate is a person's own, and decides what `accelerate launch` does. It is
read here without accelerate, whose import takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.config import deepspeed
from workbench.config.problems import ConfigError, ConfigProblem
from workbench.config.schema import RunConfig
from workbench.config.steps import StepSize
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, user_path

_KIND = "MULTI_GPU"
"""What `distributed_type` is, but for DeepSpeed: accelerate's kind that starts ranks on one
machine, with GPUs or without. FSDP is `job.sharding`, which workbench does by torch itself, the
same on both."""
_SHARDED_OPTIMIZERS = ("adamw",)
"""Those of bitsandbytes take no tensors that are spread over processes."""

_NUMBERS = {
    "dynamo_config": "training.compile decides what is compiled",
    "dynamo_backend": "training.compile decides what is compiled",
    "fp16": "model.dtype decides",
    "fp8_config": "nothing here is computed in 8 bits; model.dtype and model.quantization decide",
    "downcast_bf16": "it is for TPUs; model.dtype decides",
}
"""What else accelerate would change a run's numbers by, and what decides it here."""


def launched(config: RunConfig) -> bool:
    """Whether a run's training is started by a launcher of ranks."""
    return config.job.processes > 1 or bool(config.job.accelerate_config)


def check(config: RunConfig) -> None:
    """Raises ConfigError for processes that can't be had as the config wants them, and
    WorkbenchError for a config file of accelerate that can't be used."""
    conflicts = [ConfigProblem(path, f"{text}.") for path, text in _conflicts(config)]
    if conflicts:
        raise ConfigError("The config", conflicts)
    if config.job.accelerate_config:
        accelerate_config(config)


@dataclass(frozen=True, slots=True)
class AccelerateConfig:
    """A config file of accelerate that can be used."""

    path: Path
    text: str
    body: dict[str, Any]
    deepspeed: dict[str, Any] | None
    """What it asks of DeepSpeed, as `deepspeed.settings` has it; None where it doesn't."""

    def copies(self, name: str) -> dict[str, str]:
        """What a run keeps of it, so that its own may change: the text of each file, by the file's
        name; `name` is this one's."""
        if self.deepspeed is None or not (file := deepspeed.named_file(self.body)):
            return {name: self.text}
        own = yaml.safe_dump(deepspeed.with_file(self.body, deepspeed.SETTINGS), sort_keys=False)
        told = deepspeed.file_of(file, self.path.parent).read_text(encoding="utf-8")
        return {name: own, deepspeed.SETTINGS: told}


def of_deepspeed(config: RunConfig) -> dict[str, Any] | None:
    """What a config asks of DeepSpeed, as `deepspeed.settings` has it; None where it doesn't.

    Raises WorkbenchError as `accelerate_config` does.
    """
    return accelerate_config(config).deepspeed if config.job.accelerate_config else None


def spreads_weights(config: RunConfig) -> bool:
    """Whether each process has a share of every weight, and the model goes through all of them.

    Raises WorkbenchError as `accelerate_config` does.
    """
    if config.job.sharding == "fsdp":
        return config.job.processes > 1
    found = of_deepspeed(config)
    return found is not None and deepspeed.spreads_weights(found)


def accelerate_config(config: RunConfig) -> AccelerateConfig:
    """The config file of accelerate that a config names.

    Raises WorkbenchError when it can't be read or asks for what can't be done here.
    """
    path = user_path(config.job.accelerate_config)
    where = f"job.accelerate_config: {path}"
    try:
        text = path.read_text(encoding="utf-8-sig")
        body = yaml.safe_load(text)
    except OSError as error:
        raise explain_os_error(error, f"read job.accelerate_config, {path}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WorkbenchError(
            f"{where} is not valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(body, dict):
        raise WorkbenchError(
            f"{where} holds no settings of accelerate.", "`accelerate config` writes such a file."
        )
    problems = list(_accelerate_problems(body, config.job.processes))
    found = None
    if body.get("distributed_type") == deepspeed.KIND:
        found = deepspeed.settings(body, path.parent)
        problems += deepspeed.problems(body, found, config)
    if problems:
        listed = "\n".join(f"  {name}: {problem}" for name, problem in problems)
        raise WorkbenchError(f"{where} can't be used:\n{listed}")
    return AccelerateConfig(path, text, body, found)


def _conflicts(config: RunConfig) -> Iterator[tuple[str, str]]:
    job, training = config.job, config.training
    rows = StepSize.of(training).rows
    if 0 < rows < job.processes:
        text = f"a step has {rows} rows (times training.accumulation)"
        yield "training.batch_size", f"{text}, fewer than job.processes, {job.processes}"
    if job.gpus and job.gpus < job.processes:
        text = f"{job.processes} processes (job.processes) need a GPU each, and it is {job.gpus}"
        yield "job.gpus", f"{text}. Leave it empty, or 0 for the processor"
    if job.sharding == "none":
        return
    if job.processes == 1:
        yield "job.sharding", "one process (job.processes) has nobody to share with"
    if job.accelerate_config:
        yield "job.sharding", "job.accelerate_config stands in place of it. Leave one of them out"
    if training.micro_batch == "auto":
        text = "a process that ran out of memory would leave the others waiting for its share"
        yield "training.micro_batch", f"with job.sharding it is a number, not auto: {text}"
    if training.optimizer not in _SHARDED_OPTIMIZERS:
        names = ", ".join(_SHARDED_OPTIMIZERS)
        yield "training.optimizer", f"with job.sharding it is {names}: bitsandbytes can't share"
    if config.model.quantization == "int8":
        yield "model.quantization", "with job.sharding it is none, nf4 or fp4"


def _accelerate_problems(body: dict[str, Any], processes: int) -> Iterator[tuple[str, str]]:
    kind = body.get("distributed_type")
    if body.get("compute_environment", "LOCAL_MACHINE") != "LOCAL_MACHINE":
        yield "compute_environment", "workbench runs on this machine: LOCAL_MACHINE."
    if kind == "FSDP":
        yield "distributed_type", f"not {kind}: set job.sharding to fsdp in place of this file."
    elif kind not in (_KIND, deepspeed.KIND):
        yield "distributed_type", f"it is {_KIND} or {deepspeed.KIND}, not {kind}."
    if body.get("num_machines", 1) != 1:
        yield "num_machines", "workbench starts processes on this machine alone: 1."
    wanted = body.get("num_processes", processes)
    if wanted != processes:
        yield "num_processes", f"job.processes is {processes}, and this {wanted}: make them one."
    if body.get("gpu_ids", "all") not in ("all", None):
        yield "gpu_ids", "the queue, or CUDA_VISIBLE_DEVICES, gives a run its GPUs: all."
    precision = body.get("mixed_precision")
    if precision not in ("no", None):
        yield "mixed_precision", f"it is 'no', in quotes, not {precision}: model.dtype decides."
    for name, instead in _NUMBERS.items():
        # `accelerate config` writes some of them itself, as 'no'.
        if str(body.get(name) or "no").lower() != "no":
            yield name, f"leave it out: {instead}."
