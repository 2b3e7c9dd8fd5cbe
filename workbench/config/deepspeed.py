"""DeepSpeed, as a config file of accelerate asks for it: what its engine is given, and what is
refused before anything starts.

A run's numbers are decided by its own config. What a config of DeepSpeed says of them is left to
it (`auto`), or says the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench.config.schema import RunConfig
from workbench.config.steps import StepSize
from workbench.files import read_json_object, user_path

KIND = "DEEPSPEED"
"""What `distributed_type` is."""
SETTINGS = "deepspeed.json"
"""A run's own copy of the file that `deepspeed_config_file` names."""
_FILE = "deepspeed_config_file"
_WEIGHTS = 3
"""The stage that spreads every weight."""

_KEYS = {
    "zero_stage": ("zero_optimization", "stage"),
    "offload_optimizer_device": ("zero_optimization", "offload_optimizer", "device"),
    "offload_param_device": ("zero_optimization", "offload_param", "device"),
    "gradient_accumulation_steps": ("gradient_accumulation_steps",),
    "gradient_clipping": ("gradient_clipping",),
}
"""accelerate's names, and DeepSpeed's."""
_IDLE = {_FILE, "zero3_init_flag", "zero3_save_16bit_model", "deepspeed_multinode_launcher"}
"""Of accelerate's, what changes nothing here: weights are spread as soon as their loss is proved,
checkpoints and results are whole, and there is one machine."""

_LEFT_OUT = {
    "bf16": "model.dtype decides",
    "fp16": "model.dtype decides, and float16 isn't computed in",
    "amp": "model.dtype decides",
    "torch_autocast": "model.dtype and lora.dtype decide",
    "data_types": "model.dtype and lora.dtype decide",
    "communication_data_type": "gradients are added up as they are",
    "optimizer": "training.optimizer decides, with learning_rate and weight_decay",
    "scheduler": "training.schedule decides, with warmup_ratio and warmup_steps",
    "activation_checkpointing": "training.gradient_checkpointing decides",
    "compile": "training.compile decides",
    "checkpoint": "a run's checkpoints are those of one process",
    "data_efficiency": "the rows of a step are by training.seed",
    "curriculum_learning": "the rows of a step are by training.seed",
    "tensorboard": "a run logs by itself: `workbench attach`, `workbench runs track`",
    "wandb": "a run logs by itself: `workbench attach`, `workbench runs track`",
    "comet": "a run logs by itself: `workbench attach`, `workbench runs track`",
    "csv_monitor": "a run logs by itself: `workbench attach`, `workbench runs track`",
}
"""What else of DeepSpeed's would change a run, and what decides it here."""
_QUIET = {"steps_per_print", "wall_clock_breakdown", "dump_state", "memory_breakdown"}
"""What it would print."""
_ZERO = {
    "stage",
    "allgather_bucket_size",
    "allgather_partitions",
    "contiguous_gradients",
    "gather_16bit_weights_on_model_save",
    "ignore_unused_parameters",
    "offload_optimizer",
    "offload_param",
    "overlap_comm",
    "reduce_bucket_size",
    "reduce_scatter",
    "round_robin_gradients",
    "stage3_gather_16bit_weights_on_model_save",
    "stage3_max_live_parameters",
    "stage3_max_reuse_distance",
    "stage3_model_persistence_threshold",
    "stage3_param_persistence_threshold",
    "stage3_prefetch_bucket_size",
    "sub_group_size",
}
"""What of `zero_optimization` says where and when, and not what, is computed."""
_OFFLOAD = {"offload_optimizer": (1, 2, 3), "offload_param": (3,)}
"""The stages that can put something into the host's memory."""


def installed() -> bool:
    """Whether the package is."""
    return find_spec("deepspeed") is not None


def settings(body: dict[str, Any], beside: Path) -> dict[str, Any]:
    """DeepSpeed's own settings, without what is `auto`, of the file of accelerate that holds
    `body`; `beside` is its folder. Raises WorkbenchError when a file of DeepSpeed that it names
    can't be read."""
    keys = _section(body)
    if file := keys.get(_FILE):
        return _said(read_json_object(file_of(str(file), beside)))
    found: dict[str, Any] = {}
    for name, (*path, last) in _KEYS.items():
        if (value := keys.get(name)) in (None, "auto"):
            continue
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return found


def named_file(body: dict[str, Any]) -> str:
    """The file of DeepSpeed that a config of accelerate names; empty where it names none."""
    return str(_section(body).get(_FILE) or "")


def file_of(name: str, beside: Path) -> Path:
    """Where it is: beside the file that names it, unless the name says more."""
    return beside / user_path(name)


def with_file(body: dict[str, Any], name: str) -> dict[str, Any]:
    """The same settings of accelerate with another name for the file."""
    return {**body, "deepspeed_config": {**_section(body), _FILE: name}}


def engine(found: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    """What the engine is given: `settings` that there is nothing to say against, and the rest by
    the run's config."""
    return {
        "train_micro_batch_size_per_gpu": 1,
        # The loss is weighted before it comes there.
        "gradient_accumulation_steps": 1,
        "gradient_clipping": float(config.training.max_gradient_norm or 0.0),
        "zero_optimization": _zero(found),
        # torch's own AdamW, where weights are on the host, too.
        "zero_force_ds_cpu_optimizer": False,
        # It calls every step that is dropped an overflow.
        "log_level": "error",
    }


def stage(found: dict[str, Any]) -> Any:
    """The stage of ZeRO that `settings` ask for; whatever stands there."""
    return _zero(found).get("stage", 0)


def spreads_weights(found: dict[str, Any]) -> bool:
    """Whether each rank has a share of every weight."""
    return bool(stage(found) == _WEIGHTS)


def problems(
    body: dict[str, Any], found: dict[str, Any], config: RunConfig
) -> Iterator[tuple[str, str]]:
    """What is wrong with such a file, by field, and with the config that names it."""
    if not installed():
        text = f"{KIND} needs the package deepspeed, which isn't installed"
        yield "distributed_type", f"{text}: pip install 'finetune-workbench[deepspeed]'."
    if not isinstance(section := body.get("deepspeed_config") or {}, dict):
        yield "deepspeed_config", f"settings are wanted, as zero_stage: 2, not {section!r}."
        return
    file = named_file(body)
    for name in section:
        if name not in _IDLE and (name not in _KEYS or file):
            also = f" beside {_FILE}" if name in _KEYS else ""
            yield f"deepspeed_config.{name}", f"leave it out{also}: it isn't known here."
    for name, text in (*_numbers(found, config), *_zero_problems(found)):
        yield f"{file}: {name}" if file else f"deepspeed_config.{_accelerates(name)}", f"{text}."
    for name, text in _conflicts(found, config):
        yield name, f"{text}."


def _numbers(found: dict[str, Any], config: RunConfig) -> Iterator[tuple[str, str]]:
    training = config.training
    clip = training.max_gradient_norm or 0.0
    rows = StepSize.of(training).rows
    agreeing = {
        "gradient_clipping": ("training.max_gradient_norm", clip),
        "gradient_accumulation_steps": ("training.accumulation", training.accumulation),
        "train_batch_size": ("training.batch_size (times accumulation)", rows),
        "train_micro_batch_size_per_gpu": ("training.micro_batch", training.micro_batch),
    }
    for name, value in found.items():
        if name in agreeing:
            ours, expected = agreeing[name]
            if value != expected:
                yield name, f"{ours} is {expected}, and this {value}: make them one, or this auto"
        elif name == "zero_optimization" or name in _QUIET or _is_off(value):
            continue
        else:
            why = _LEFT_OUT.get(name, "it isn't known here, and may change what is learnt")
            yield name, f"leave it out: {why}"


def _zero_problems(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    zero, wanted = _zero(found), stage(found)
    if wanted not in (1, 2, 3):
        yield "zero_optimization.stage", f"it is 1, 2 or 3, not {wanted}"
    for name, value in zero.items():
        if name not in _ZERO and not _is_off(value):
            why = "it isn't known here, and may change what is learnt"
            yield f"zero_optimization.{name}", f"leave it out: {why}"
    for name, stages in _OFFLOAD.items():
        given = zero.get(name)
        device = given.get("device", "none") if isinstance(given, dict) else given
        if device in (None, "none"):
            continue
        if device != "cpu":
            yield f"zero_optimization.{name}.device", f"it is none or cpu, not {device}"
        elif wanted not in stages:
            allowed = " or ".join(map(str, stages))
            yield f"zero_optimization.{name}", f"it needs stage {allowed}, and this is {wanted}"
        if isinstance(given, dict) and given.get("ratio", 1.0) != 1.0:
            yield f"zero_optimization.{name}.ratio", "leave it out: it wants DeepSpeed's optimiser"


def _conflicts(found: dict[str, Any], config: RunConfig) -> Iterator[tuple[str, str]]:
    training, model, lora = config.training, config.model, config.lora
    if training.optimizer != "adamw":
        yield "training.optimizer", f"with {KIND} it is adamw: bitsandbytes can't share its state"
    if training.micro_batch == "auto":
        text = "a process that ran out of memory would leave the others waiting for its share"
        yield "training.micro_batch", f"with {KIND} it is a number, not auto: {text}"
    full = training.method == "full"
    if (model.dtype if full else lora.dtype) == "bfloat16":
        text = "it would step by weights in float32 of its own, which no checkpoint has"
        yield "model.dtype" if full else "lora.dtype", f"with {KIND} it is float32: {text}"
    if model.quantization == "int8":
        yield "model.quantization", f"with {KIND} it is none, nf4 or fp4"
    elif model.quantization != "none" and spreads_weights(found):
        text = "their scales would not be spread"
        yield "model.quantization", f"with ZeRO stage 3 it is none, not 4 bits: {text}"
    if training.compile and spreads_weights(found):
        yield "training.compile", "ZeRO stage 3 fetches weights between a layer's modules: false"


def _accelerates(name: str) -> str:
    """accelerate's name for a setting of DeepSpeed's."""
    return next((own for own, path in _KEYS.items() if ".".join(path).startswith(name)), name)


def _section(body: dict[str, Any]) -> dict[str, Any]:
    section = body.get("deepspeed_config")
    return section if isinstance(section, dict) else {}


def _zero(found: dict[str, Any]) -> dict[str, Any]:
    section = found.get("zero_optimization")
    return section if isinstance(section, dict) else {}


def _said(body: dict[str, Any]) -> dict[str, Any]:
    """Without what is left to whoever reads it."""
    told = {
        name: _said(value) if isinstance(value, dict) else value
        for name, value in body.items()
        if value != "auto"
    }
    return {name: value for name, value in told.items() if value != {} or body[name] == {}}


def _is_off(value: Any) -> bool:
    """Whether a setting asks for nothing."""
    if isinstance(value, dict):
        return value.get("enabled") is False or value == {}
    return value in (False, None)
