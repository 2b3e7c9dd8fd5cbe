"""RunConfig: the one source of fields, bounds and help for YAML, command line and form.

Where published defaults disagree, the figure most of them share was taken; `source`
names one that can be looked up.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

ALL_LINEAR = "all-linear"

Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"]
Schedule = Literal["cosine", "linear", "constant"]
Quantization = Literal["none", "nf4", "fp4"]
_BARE_NAMES = re.compile(r"\s*[\w.]+(\s*,\s*[\w.]+)*\s*")
_NAMES_WANTED = f"give {ALL_LINEAR}, or names such as [q_proj, v_proj]"


def _field(default: Any, help: str, *, unit: str = "", source: str = "", **bounds: Any) -> Any:
    return Field(
        default,
        description=help,
        json_schema_extra={"unit": unit, "source": source},
        **bounds,
    )


class Section(BaseModel):
    """A group of fields; an unknown one is an error, never passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`learning_rate: yes` is a slip, not 1.0."""
        wanted = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and wanted is not bool:
            raise ValueError("true and false are no value for it")
        return value


class Model(Section):
    """What is fine-tuned."""

    base: Annotated[str, Field(min_length=1)] = _field(
        "default", "Base model: a local folder, a hub id, or `default` (SmolLM2-135M-Instruct)."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = _field(
        "auto", "Number format of the base's weights; auto takes the best this machine computes in."
    )
    quantization: Quantization = _field(
        "none", "none is LoRA; nf4 or fp4 hold the base in 4 bits (QLoRA).", source="QLoRA, 2023"
    )
    double_quantization: bool = _field(
        True, "Quantise the quantisation constants too (4-bit bases).", source="QLoRA, 2023"
    )


class Data(Section):
    """What it is trained on."""

    dataset: str = _field("", "Dataset version: NAME or NAME@VERSION.")
    max_length: int = _field(
        1024,
        "Longest example; longer ones are handled as `too_long` says.",
        unit="tokens",
        ge=16,
        le=1 << 20,
    )
    too_long: Literal["refuse", "drop"] = _field(
        "refuse", "An example over max_length stops the start, or is left out and counted."
    )
    train_rows: int | None = _field(
        None, "Train on this many rows, chosen by the seed; empty: on all.", unit="rows", ge=1
    )
    validation_rows: int | None = _field(
        None, "Validate on this many rows, the first ones; empty: on all.", unit="rows", ge=1
    )


class Lora(Section):
    """The adapter."""

    rank: int = _field(16, "Rank r of the update.", ge=1, le=1024, source="TRL 1.x, AutoTrain")
    alpha: int = _field(
        32,
        "Scale: the update is multiplied by alpha/r.",
        ge=1,
        le=4096,
        source="2 x rank: LLaMA-Factory, TRL",
    )
    dropout: float = _field(0.0, "Dropout before the adapter.", ge=0, lt=1, source="PEFT")
    target_modules: str | list[str] = _field(
        ALL_LINEAR,
        "Modules that get an adapter: all-linear, or names such as q_proj, v_proj.",
        source="QLoRA, 2023: all linear layers match full fine-tuning",
    )

    @field_validator("target_modules", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """`q_proj, v_proj` are names; PEFT would take bare text for a regular expression."""
        if isinstance(value, str) and value != ALL_LINEAR and _BARE_NAMES.fullmatch(value):
            return [name.strip() for name in value.split(",")]
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names:
            raise ValueError(_NAMES_WANTED)
        if not all(isinstance(name, str) and name.strip() for name in names):
            raise ValueError(_NAMES_WANTED)
        return value


class Training(Section):
    """How it is trained."""

    epochs: float = _field(1.0, "Passes over the data.", unit="epochs", gt=0, le=100)
    max_steps: int | None = _field(
        None, "Stop after this many optimiser steps; empty: by epochs.", unit="steps", ge=1
    )
    batch_size: int = _field(
        4, "Examples that go through the model at once.", unit="rows", ge=1, le=4096
    )
    accumulation: int = _field(
        4, "Batches to an optimiser step; rows a step = batch_size x accumulation.", ge=1, le=4096
    )
    learning_rate: float = _field(
        2e-4, "Peak learning rate; 1e-4 for bases above 13B.", gt=0, le=1, source="QLoRA, 2023"
    )
    schedule: Schedule = _field("cosine", "How the learning rate falls after the warm-up.")
    warmup_ratio: float = _field(
        0.03,
        "Share of the steps in which the learning rate rises.",
        ge=0,
        lt=1,
        source="QLoRA, 2023",
    )
    optimizer: Optimizer = _field(
        "adamw", "adamw, or with its state in 8 bits or paged to host memory (bitsandbytes)."
    )
    weight_decay: float = _field(0.0, "Decoupled weight decay.", ge=0, le=1)
    max_gradient_norm: float = _field(
        1.0,
        "Gradients are scaled down to this norm; 0 leaves them.",
        ge=0,
        allow_inf_nan=False,
        source="transformers",
    )
    gradient_checkpointing: bool = _field(
        False, "Recompute activations: less memory, about a third slower."
    )
    seed: int = _field(0, "Seed of every random choice.", ge=0, lt=1 << 32)


class Evaluation(Section):
    """What is measured, and when."""

    every: int = _field(
        0, "Validation loss every so many steps; 0: at the start and the end.", unit="steps", ge=0
    )
    generate_rows: int = _field(
        32, "Validation rows answered by base and adapter after training.", unit="rows", ge=1
    )
    max_new_tokens: int = _field(128, "Longest answer.", unit="tokens", ge=1, le=1 << 16)
    batch_size: int = _field(8, "Rows evaluated at once.", unit="rows", ge=1, le=4096)


class Checkpoints(Section):
    """What is kept to resume from."""

    every: int = _field(0, "Save every so many steps; 0: at the end only.", unit="steps", ge=0)
    keep: int = _field(2, "Newest checkpoints that are kept.", ge=1, le=1000)


class Logging(Section):
    """What is written while it trains."""

    every: int = _field(
        1,
        "Log figures every so many steps; `workbench log-every` changes it in a running run.",
        unit="steps",
        ge=1,
    )


class Job(Section):
    """How its process is looked after."""

    restarts: int = _field(
        0,
        "Starts anew by itself, from the newest checkpoint, so many times after a crash; never "
        "after what would come again, such as a bad row or a loss that is not a number.",
        ge=0,
        le=1000,
    )
    restart_after: float = _field(
        10.0,
        "Wait before the first restart; each later one waits twice as long.",
        unit="s",
        ge=0,
        le=86_400,
    )
    stall_after: float | None = _field(
        None,
        "Counts as stalled after so long without a word, while it loads its base model, too; "
        "empty: by the run's own step times.",
        unit="s",
        gt=0,
        allow_inf_nan=False,
    )
    on_stall: Literal["tell", "dump", "stop"] = _field(
        "tell", "When it stalls: say so; write the stacks of all ranks, too; and end it, too."
    )
    gpus: int | None = _field(
        None, "GPUs that the queue waits for; empty: one, where there are any.", unit="GPUs", ge=0
    )
    gpu_memory: float | None = _field(
        None,
        "Free memory that the queue wants on each; empty: nobody else may be on it.",
        unit="GiB",
        gt=0,
        allow_inf_nan=False,
    )


class RunConfig(Section):
    """Everything that decides what a run does."""

    name: str = _field(
        "run",
        "Name of the run; its id adds a number.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$",
    )
    model: Model = Model()
    data: Data = Data()
    lora: Lora = Lora()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    logging: Logging = Logging()
    job: Job = Job()
