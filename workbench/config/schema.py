"""RunConfig: the one source of fields, bounds and help for YAML, command line and form.

Where published defaults disagree, the figure most of them share was taken; `source`
names one that can be looked up.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from workbench.config import conflicts
from workbench.config.lora import Lora
from workbench.config.section import Section, field, listed, weighted

Optimizer = Literal[
    "adamw",
    "adamw_8bit",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "lion",
    "lion_8bit",
    "paged_lion_8bit",
]
Schedule = Literal["cosine", "linear", "constant"]
Quantization = Literal["none", "nf4", "fp4", "int8"]
Method = Literal["lora", "full"]
Acceptable = Literal[
    "nothing-trained",
    "end-marker-untrained",
    "prefix-not-kept",
    "mask-refused",
    "responses-lost",
    "near-duplicates-across-splits",
    "contamination-of-validation",
    "contamination-of-evaluation",
]
"""Red findings of the gate that a run may start with."""
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A share, in any unit."""


class Model(Section):
    """What is fine-tuned."""

    base: Annotated[str, Field(min_length=1)] = field(
        "default", "Base model: a local folder, a hub id, or `default` (SmolLM2-135M-Instruct)."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = field(
        "auto", "Number format of the base's weights; auto takes the best this machine computes in."
    )
    quantization: Quantization = field(
        "none",
        "none is LoRA; nf4 or fp4 hold the base in 4 bits (QLoRA), int8 in 8.",
        source="QLoRA, 2023",
    )
    double_quantization: bool = field(
        True, "Quantise the quantisation constants too (4-bit bases).", source="QLoRA, 2023"
    )
    compute_dtype: Literal["auto", "float32", "bfloat16"] = field(
        "auto", "Number format that 4-bit weights are unpacked to for a product; auto: as dtype."
    )
    upcast: bool = field(
        False,
        "Hold a quantised base's norms, embeddings and head in float32, as PEFT's "
        "prepare_model_for_kbit_training does: more memory, equal results.",
        source="TRL pull request 4457",
    )
    new_tokens: list[str] = field(
        [], "Tokens added to the tokenizer; their embeddings are trained and saved."
    )

    @field_validator("new_tokens", mode="before")
    @classmethod
    def _tokens(cls, value: Any) -> Any:
        return listed(value)

    @field_validator("new_tokens")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value) or not all(name.strip() for name in value):
            raise ValueError("name each token once, and none that is empty")
        return value


class Data(Section):
    """What it is trained on."""

    dataset: str = field("", "Dataset version: NAME or NAME@VERSION.")
    mixture: dict[str, Weight] = field(
        {},
        "In place of dataset: versions with their shares, chat=0.7, qa=0.3; a run is of the "
        "version that `workbench data mix` makes of them.",
        source="T5, 2020, section 3.5.2",
    )
    mixture_rows: int | None = field(
        None,
        "Training rows of the mixture; empty: as many as there are in all of its versions.",
        unit="rows",
        source="T5, 2020, section 3.5.2",
        ge=2,
        le=(1 << 31) - 1,
    )
    max_length: int = field(
        1024,
        "Longest example; longer ones are handled as `too_long` says.",
        unit="tokens",
        ge=16,
        le=1 << 20,
    )
    too_long: Literal["refuse", "drop", "truncate"] = field(
        "refuse",
        "An example over max_length stops the start, is left out, or loses what is over it; "
        "one that would lose all of its response is left out. All are counted and listed.",
    )
    train_rows: int | None = field(
        None, "Train on this many rows, chosen by the seed; empty: on all.", unit="rows", ge=1
    )
    validation_rows: int | None = field(
        None, "Validate on this many rows, the first ones; empty: on all.", unit="rows", ge=1
    )

    @field_validator("mixture", mode="before")
    @classmethod
    def _shares(cls, value: Any) -> Any:
        return weighted(value)

    @field_validator("mixture")
    @classmethod
    def _several(cls, value: dict[str, float]) -> dict[str, float]:
        if len(value) == 1:
            raise ValueError("a mixture is of two versions at least; of one, set data.dataset")
        return value


class Training(Section):
    """How it is trained."""

    method: Method = field(
        "lora", "lora trains an adapter (QLoRA with model.quantization); full trains the base."
    )
    epochs: float = field(1.0, "Passes over the data.", unit="epochs", gt=0, le=100)
    max_steps: int | None = field(
        None, "Stop after this many optimiser steps; empty: by epochs.", unit="steps", ge=1
    )
    batch_size: int = field(
        4, "Examples that go through the model at once.", unit="rows", ge=1, le=4096
    )
    accumulation: int = field(
        4, "Batches to an optimiser step; rows a step = batch_size x accumulation.", ge=1, le=4096
    )
    step_tokens: int | None = field(
        None,
        "An optimiser step takes rows until the next one would bring it above so many tokens, and "
        "at least one to a process; empty: batch_size x accumulation rows.",
        unit="tokens",
        source="fairseq's --max-tokens, 2019",
        ge=16,
        le=1 << 26,
    )
    micro_batch: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] | None = field(
        None,
        "Examples of a step that go through the model at once, in place of batch_size, with as "
        "many rows a step; auto: as many as fit, found by trying before the first step.",
        unit="rows",
    )
    micro_batch_tokens: int | None = field(
        None,
        "Tokens that go through the model at once, padding counted, in place of a number of rows; "
        "a row that is longer goes alone.",
        unit="tokens",
        source="fairseq's --max-tokens, 2019",
        ge=16,
        le=1 << 26,
    )
    packing: bool = field(
        True,
        "Lay the examples of a batch end to end without padding; each attends to itself alone, "
        "and a step has the same examples and the same update as without.",
    )
    learning_rate: float = field(
        2e-4, "Peak learning rate; 1e-4 for bases above 13B.", gt=0, le=1, source="QLoRA, 2023"
    )
    schedule: Schedule = field("cosine", "How the learning rate falls after the warm-up.")
    warmup_ratio: float = field(
        0.03,
        "Share of the steps in which the learning rate rises.",
        ge=0,
        lt=1,
        source="QLoRA, 2023",
    )
    warmup_steps: int | None = field(
        None, "Warm up for so many steps; empty: by warmup_ratio.", unit="steps", ge=0
    )
    optimizer: Optimizer = field(
        "adamw",
        "AdamW or Lion (at a third to a tenth of AdamW's rate); 8bit: its state in 8 bits; paged: "
        "moved to host memory when the GPU's is short (bitsandbytes).",
    )
    weight_decay: float = field(
        0.0,
        "Decoupled weight decay of trained matrices; biases, norms and scales have none.",
        ge=0,
        le=1,
    )
    max_gradient_norm: float = field(
        1.0,
        "Gradients are scaled down to this norm; 0 leaves them.",
        ge=0,
        allow_inf_nan=False,
        source="transformers",
    )
    gradient_checkpointing: bool = field(
        False, "Recompute activations: less memory, about a third slower."
    )
    neftune_alpha: float = field(
        0.0,
        "NEFTune: uniform noise on the embeddings in training, 5 to 15; 0: none.",
        ge=0,
        le=1000,
        source="NEFTune, 2023",
    )
    skip_limit: int = field(
        3,
        "A step whose loss or gradient is not a number is skipped; so many in a row end the run.",
        unit="steps",
        ge=1,
        le=1000,
    )
    rehearsal: bool = field(
        True,
        "Run the largest batch of training and of validation once before the first step, so that "
        "a lack of memory shows at once.",
    )
    compile: bool = field(
        False, "torch.compile of the decoder layers: a minute or more to begin with; for GPUs."
    )
    seed: int = field(0, "Seed of every random choice.", ge=0, lt=1 << 32)

    @field_validator("micro_batch", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value


class Evaluation(Section):
    """What is measured, and when."""

    every: int = field(
        0, "Validation loss every so many steps; 0: at the start and the end.", unit="steps", ge=0
    )
    patience: int | None = field(
        None,
        "End after so many validations in a row without a new lowest loss; empty: never.",
        unit="validations",
        ge=1,
    )
    samples: int = field(
        2, "Validation rows answered at each validation, always the same.", unit="rows", ge=0
    )
    sample_tokens: int = field(48, "Longest of those answers.", unit="tokens", ge=1, le=1 << 16)
    generate_rows: int = field(
        32, "Validation rows answered by base and adapter after training.", unit="rows", ge=1
    )
    max_new_tokens: int = field(128, "Longest answer.", unit="tokens", ge=1, le=1 << 16)
    batch_size: int = field(8, "Rows evaluated at once.", unit="rows", ge=1, le=4096)
    against: list[str] = field(
        [],
        "Datasets that the model is going to be judged by, NAME or NAME@VERSION: a run whose "
        "training rows hold theirs doesn't start.",
    )

    @field_validator("against", mode="before")
    @classmethod
    def _datasets(cls, value: Any) -> Any:
        return listed(value)


class Checkpoints(Section):
    """What is kept to resume from."""

    every: int = field(0, "Save every so many steps; 0: at the end only.", unit="steps", ge=0)
    keep: int = field(2, "Newest checkpoints that are kept; the best one is, too.", ge=1, le=1000)
    result: Literal["last", "best"] = field(
        "last", "Step that the adapter is of: the last, or that with the lowest validation loss."
    )


class Logging(Section):
    """What is written while it trains."""

    every: int = field(
        1,
        "Log figures every so many steps; `workbench log-every` changes it in a running run.",
        unit="steps",
        ge=1,
    )


class Job(Section):
    """How its process is looked after."""

    processes: int = field(
        1, "Training processes on this machine, one to a GPU.", unit="processes", ge=1, le=64
    )
    sharding: Literal["none", "fsdp"] = field(
        "none", "none: each process holds the whole model (DDP); fsdp: a share of it (FSDP2)."
    )
    accelerate_config: str = field(
        "",
        "A config file of accelerate for its launcher, in place of sharding; the run keeps a copy.",
    )
    restarts: int = field(
        0,
        "Starts anew by itself, from the newest checkpoint, so many times after a crash; never "
        "after what would come again, such as a bad row or a loss that is not a number.",
        ge=0,
        le=1000,
    )
    restart_after: float = field(
        10.0,
        "Wait before the first restart; each later one waits twice as long.",
        unit="s",
        ge=0,
        le=86_400,
    )
    stall_after: float | None = field(
        None,
        "Counts as stalled after so long without a word, while it loads its base model, too; "
        "empty: by the run's own step times.",
        unit="s",
        gt=0,
        allow_inf_nan=False,
    )
    on_stall: Literal["tell", "dump", "stop"] = field(
        "tell", "When it stalls: say so; write the stacks of all ranks, too; and end it, too."
    )
    gpus: int | None = field(
        None,
        "GPUs that the queue waits for; empty: one for each process, where there are any.",
        unit="GPUs",
        ge=0,
    )
    gpu_memory: float | None = field(
        None,
        "Free memory that the queue wants on each; empty: nobody else may be on it.",
        unit="GiB",
        gt=0,
        allow_inf_nan=False,
    )


class RunConfig(Section):
    """Everything that decides what a run does."""

    name: str = field(
        "run",
        "Name of the run; its id adds a number.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$",
    )
    accept: list[Acceptable] = field(
        [],
        "Red findings of the data's checks that the run starts with all the same, by their names.",
    )
    model: Model = Model()
    data: Data = Data()
    lora: Lora = Lora()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    logging: Logging = Logging()
    job: Job = Job()

    @field_validator("accept", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return listed(value)

    @model_validator(mode="after")
    def _go_together(self) -> RunConfig:
        conflicts.refuse(self)
        return self
