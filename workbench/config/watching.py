"""The sections of a config on what is measured, kept and written while it trains."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from workbench.config.section import MOST, Listed, Section, Texts, field
from workbench.evaluation.names import NAMES

_NAMES = "|".join(NAMES)
_METRIC = f"([^,]*=)?({_NAMES})"


class Evaluation(Section):
    """What is measured, and when."""

    every: int = field(
        0,
        "Validation loss every so many steps; 0: at the start and the end.",
        unit="steps",
        ge=0,
        le=MOST,
        source="transformers: eval_strategy no; start and end are ours, to see what it did",
    )
    patience: int | None = field(
        None,
        "End after so many validations in a row without a new lowest loss; empty: never.",
        unit="validations",
        ge=1,
        le=MOST,
        source="transformers: no early stopping unless it is asked for",
    )
    samples: int = field(
        2,
        "Validation rows answered at each validation, always the same.",
        unit="rows",
        ge=0,
        le=4096,
        source="ours: enough to see that it answers at all; each takes time at every validation",
    )
    sample_tokens: int = field(
        48,
        "Longest of those answers.",
        unit="tokens",
        ge=1,
        le=1 << 16,
        source="ours: two or three sentences show what it is like",
    )
    sample_prompts: Texts = field(
        [],
        "Prompts of your own that are answered with those rows, each a turn of the user.",
        source="ours: validation rows are what you train for; these may be what you fear to lose",
        schema={"uniqueItems": True, "items": {"pattern": r"\S"}},
    )
    generate_rows: int = field(
        32,
        "Validation rows answered by base and adapter after training.",
        unit="rows",
        ge=1,
        le=MOST,
        source="ours: can be read in one sitting; a share of them is certain to 16 points (Wilson)",
    )
    max_new_tokens: int = field(
        128,
        "Longest answer.",
        unit="tokens",
        ge=1,
        le=1 << 16,
        source="ours: a paragraph; raise it for data with longer responses",
    )
    batch_size: int = field(
        8,
        "Rows evaluated at once.",
        unit="rows",
        ge=1,
        le=4096,
        source="transformers: per_device_eval_batch_size 8",
    )
    metrics: Listed[str] = field(
        [],
        "How those answers are scored: names, each for all rows or TASK=NAME; empty: what fits the "
        "references.",
        source="ours: ROUGE-L, exact match and F1 always, and what the references' shape asks for "
        "(docs/evaluation.md)",
        schema={
            "items": {"pattern": f"^(.*=)?({_NAMES})$"},
            "pattern": rf"^[\s,]*({_METRIC}\s*(,[\s,]*{_METRIC}\s*)*[\s,]*)?$",
        },
    )
    labels: Listed[str] = field(
        [],
        "Labels that answers are to give; empty: those of the dataset.",
        source="ours: few and short references that repeat are labels",
    )
    pattern: str = field(
        "",
        "Regular expression that answers are to match; empty: none.",
        source="ours: only you know the form that you want",
    )
    against: Listed[str] = field(
        [],
        "Datasets that the model is going to be judged by, NAME or NAME@VERSION: a run whose "
        "training rows hold theirs doesn't start.",
        source="ours: only you know them",
    )

    @field_validator("sample_prompts")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value) or not all(prompt.strip() for prompt in value):
            raise ValueError("write each prompt once, and none that is empty")
        return value

    @field_validator("metrics")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for text in value:
            name = text.rpartition("=")[2]
            if ":" in name:
                raise ValueError(
                    f"a config names no code: give {name} to `workbench eval --metric`"
                )
            if name not in NAMES:
                raise ValueError(f"there is no metric {name!r}; there are {', '.join(NAMES)}")
        return value

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"it is no regular expression: {error}") from error
        return value

    @property
    def asked(self) -> int:
        """Prompts that are answered at each validation."""
        return self.samples + len(self.sample_prompts)


class Checkpoints(Section):
    """What is kept to resume from."""

    every: int = field(
        0,
        "Save every so many steps; 0: at the end only.",
        unit="steps",
        ge=0,
        le=MOST,
        source="ours: disk against lost time is yours to weigh (transformers: save_steps 500)",
    )
    keep: int = field(
        2,
        "Newest checkpoints that are kept; the best one is, too.",
        unit="checkpoints",
        ge=1,
        le=1000,
        source="ours: the newest, and one to go back to; a disk is soon full of more",
    )
    result: Literal["last", "best"] = field(
        "last",
        "Step that the adapter is of: the last, or that with the lowest validation loss.",
        source="transformers: load_best_model_at_end False",
    )


class Logging(Section):
    """What is written while it trains."""

    every: int = field(
        1,
        "Log figures every so many steps; `workbench log-every` changes it in a running run.",
        unit="steps",
        ge=1,
        le=MOST,
        source="ours: no step waits for its figures, so one line each costs nothing",
    )
    tensorboard: bool = field(
        True,
        "Keep a TensorBoard event file in the run's folder, for `tensorboard --logdir`.",
        source="ours: no step waits for it, and it needs no package",
    )
    without_prompt: bool = field(
        True,
        "Before the first step, measure what each row loses without its prompt, by which "
        "mislabelled rows are told from hard ones: a forward pass over the responses.",
        source="Ethayarajh et al., 2022; ours: a tenth of an epoch, in docs/benchmarks.md",
    )
