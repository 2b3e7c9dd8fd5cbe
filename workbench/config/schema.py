"""RunConfig: the one source of fields, bounds and help for YAML, command line and form.

Where published defaults disagree, the figure most of them share was taken; `source` names one
that can be looked up. Where it begins with `ours:`, the default is our own, with the reason.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from workbench.config import conflicts
from workbench.config.job import Job
from workbench.config.lora import Lora
from workbench.config.section import MOST, Listed, Section, Weighted, field
from workbench.config.watching import Checkpoints, Evaluation, Logging

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


class Model(Section):
    """What is fine-tuned."""

    base: Annotated[str, Field(min_length=1)] = field(
        "default",
        "Base model: a local folder, a hub id, or `default` (SmolLM2-135M-Instruct).",
        source="ours: that model comes in a package (Apache-2.0), so a first run needs no hub",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = field(
        "auto",
        "Number format of the base's weights; auto takes the best this machine computes in.",
        source="ours: bfloat16 halves the weights, and a step took 0.64 of the time where measured",
    )
    quantization: Quantization = field(
        "none",
        "none is LoRA; nf4 or fp4 hold the base in 4 bits (QLoRA), int8 in 8.",
        source="ours: NF4 takes 1.4 to 1.6 times as long (H2O LLM Studio, LitGPT); for when memory "
        "is short",
    )
    double_quantization: bool = field(
        True,
        "Quantise the quantisation constants too (4-bit bases).",
        source="QLoRA, 2023, section 3: 0.37 bits a parameter less",
    )
    compute_dtype: Literal["auto", "float32", "bfloat16"] = field(
        "auto",
        "Number format that 4-bit weights are unpacked to for a product; auto: as dtype.",
        source="QLoRA, 2023: bfloat16; with float16 only 80 % of its 7B runs ended (its README)",
    )
    upcast: bool = field(
        False,
        "Hold a quantised base's norms, embeddings and head in float32, as PEFT's "
        "prepare_model_for_kbit_training does: more memory, equal results.",
        source="TRL, pull request 4457: equal results without",
    )
    new_tokens: Listed[str] = field(
        [],
        "Tokens added to the tokenizer; their embeddings are trained and saved.",
        source="PEFT: trainable_token_indices None",
        schema={"uniqueItems": True, "items": {"pattern": r"\S"}},
    )

    @field_validator("new_tokens")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value) or not all(name.strip() for name in value):
            raise ValueError("name each token once, and none that is empty")
        return value


class Data(Section):
    """What it is trained on."""

    dataset: str = field(
        "",
        "Dataset version: NAME or NAME@VERSION.",
        source="ours: what a run is trained on is never guessed",
    )
    mixture: Weighted = field(
        {},
        "In place of dataset: versions with their shares, chat=0.7, qa=0.3; a run is of the "
        "version that `workbench data mix` makes of them.",
        source="ours: none unless asked; T5, 2020, section 3.5.2 weighs the usual ones",
        schema={"not": {"type": "object", "minProperties": 1, "maxProperties": 1}},
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
        source="TRL: max_length 1024; the data's 99th percentile is a better one",
    )
    too_long: Literal["refuse", "drop", "truncate"] = field(
        "refuse",
        "An example over max_length stops the start, is left out, or loses what is over it; "
        "one that would lose all of its response is left out. All are counted and listed.",
        source="ours: TRL cuts and Axolotl drops them, neither saying what is lost",
    )
    train_rows: int | None = field(
        None,
        "Train on this many rows, chosen by the seed; empty: on all.",
        unit="rows",
        ge=1,
        le=MOST,
        source="ours: all; fewer are for a trial",
    )
    validation_rows: int | None = field(
        None,
        "Validate on this many rows, the first ones; empty: on all.",
        unit="rows",
        ge=1,
        le=MOST,
        source="ours: all; a loss over fewer rows is less certain",
    )

    @field_validator("mixture")
    @classmethod
    def _several(cls, value: dict[str, float]) -> dict[str, float]:
        if len(value) == 1:
            raise ValueError("a mixture is of two versions at least; of one, set data.dataset")
        return value


class Training(Section):
    """How it is trained."""

    method: Method = field(
        "lora",
        "lora trains an adapter (QLoRA with model.quantization); full trains the base.",
        source="LoRA Without Regret, 2025: equal to full fine-tuning at two thirds of the work",
    )
    epochs: float = field(
        1.0,
        "Passes over the data.",
        unit="epochs",
        gt=0,
        le=100,
        source="Axolotl's qlora-1b.yml, AutoTrain, H2O LLM Studio: 1",
    )
    max_steps: int | None = field(
        None,
        "Stop after this many optimiser steps; empty: by epochs.",
        unit="steps",
        ge=1,
        le=MOST,
        source="transformers: max_steps -1, none",
    )
    batch_size: int = field(
        4,
        "Examples that go through the model at once.",
        unit="rows",
        ge=1,
        le=4096,
        source="ours: with accumulation the 16 rows a step of QLoRA, 2023, table 9",
    )
    accumulation: int = field(
        4,
        "Batches to an optimiser step; rows a step = batch_size x accumulation.",
        unit="batches",
        ge=1,
        le=4096,
        source="ours: with batch_size the 16 rows a step of QLoRA, 2023, table 9",
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
        source="ours: batch_size says it; the search of auto takes a while",
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
        source="TRL, pull request 3526: 3.7 times as fast as padding on its data",
    )
    learning_rate: float = field(
        2e-4,
        "Peak learning rate; 1e-4 for bases above 13B.",
        gt=0,
        le=1,
        source="QLoRA, 2023, table 9: 2e-4 for 7B and 13B, 1e-4 for 33B and 65B",
    )
    schedule: Schedule = field(
        "cosine",
        "How the learning rate falls after the warm-up.",
        source="LLaMA-Factory's, Axolotl's and torchtune's recipes: cosine",
    )
    warmup_ratio: float = field(
        0.03,
        "Share of the steps in which the learning rate rises.",
        ge=0,
        lt=1,
        source="QLoRA, 2023, finetune_guanaco_7b.sh: 0.03",
    )
    warmup_steps: int | None = field(
        None,
        "Warm up for so many steps; empty: by warmup_ratio.",
        unit="steps",
        ge=0,
        le=MOST,
        source="ours: a share suits runs of any length",
    )
    optimizer: Optimizer = field(
        "adamw",
        "AdamW or Lion (at a third to a tenth of AdamW's rate); 8bit: its state in 8 bits; paged: "
        "moved to host memory when the GPU's is short (bitsandbytes).",
        source="transformers: AdamW; an adapter's state is small enough for 32 bits",
    )
    weight_decay: float = field(
        0.0,
        "Decoupled weight decay of trained matrices; biases, norms and scales have none.",
        ge=0,
        le=1,
        source="transformers: weight_decay 0.0; QLoRA, 2023: none",
    )
    max_gradient_norm: float = field(
        1.0,
        "Gradients are scaled down to this norm; 0 leaves them.",
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        source="transformers: max_grad_norm 1.0; QLoRA, 2023: 0.3",
    )
    gradient_checkpointing: bool = field(
        False,
        "Recompute activations: less memory, about a third slower.",
        source="transformers: off; Chen et al., 2016: one forward pass more a step",
    )
    neftune_alpha: float = field(
        0.0,
        "NEFTune: uniform noise on the embeddings in training, 5 to 15; 0: none.",
        ge=0,
        le=1000,
        source="transformers: none; NEFTune, 2023: 5 to 15",
    )
    skip_limit: int = field(
        3,
        "A step whose loss or gradient is not a number is skipped; so many in a row end the run.",
        unit="steps",
        ge=1,
        le=1000,
        source="ours: one bad batch is passed over, a run that has diverged isn't",
    )
    rehearsal: bool = field(
        True,
        "Run the largest batch of training and of validation once before the first step, so that "
        "a lack of memory shows at once.",
        source="ours: it takes two batches, and may save a night",
    )
    compile: bool = field(
        False,
        "torch.compile of whole decoder layers: a minute or more to begin with. Parts of them are "
        "compiled on GPUs anyway.",
        source="ours: on an H200 a 0.5B model was no faster with it; transformers: False",
    )
    seed: int = field(
        0,
        "Seed of every random choice.",
        ge=0,
        le=(1 << 32) - 1,
        source="ours: no number is better than another (transformers: 42)",
    )


class RunConfig(Section):
    """Everything that decides what a run does."""

    name: str = field(
        "run",
        "Name of the run; its id adds a number.",
        source="ours: until you name it",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$",
    )
    accept: Listed[Acceptable] = field(
        [],
        "Red findings of the data's checks that the run starts with all the same, by their names.",
        source="ours: nothing is accepted unseen",
    )
    model: Model = Model()
    data: Data = Data()
    lora: Lora = Lora()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    logging: Logging = Logging()
    job: Job = Job()

    @model_validator(mode="after")
    def _go_together(self) -> RunConfig:
        conflicts.refuse(self)
        return self
