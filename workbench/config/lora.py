"""The adapter's section of a config, and how target modules are named."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from workbench.config.section import Listed, Section, field

ALL_LINEAR = "all-linear"
TARGET_PRESETS = (ALL_LINEAR, "attention", "mlp")

Initialisation = Literal[
    "default", "gaussian", "orthogonal", "olora", "pissa", "pissa_niter_4", "pissa_niter_16"
]
_BARE_NAMES = re.compile(r"\s*[\w.]+(\s*,\s*[\w.]+)*\s*")
_NAMES_WANTED = f"give {', '.join(TARGET_PRESETS)}, or names such as [q_proj, v_proj]"


def _check_pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(
            f"{text!r} is read as a regular expression, and is none: {error}; {_NAMES_WANTED}"
        ) from error


def _modules(value: Any) -> Any:
    """`q_proj, v_proj` are names; PEFT would take bare text for a regular expression."""
    if isinstance(value, str) and value not in TARGET_PRESETS and _BARE_NAMES.fullmatch(value):
        return [name.strip() for name in value.split(",")]
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise ValueError(_NAMES_WANTED)
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(_NAMES_WANTED)
    if isinstance(value, str) and value not in TARGET_PRESETS:
        _check_pattern(value)
    return value


_Name = Annotated[str, Field(pattern=r"\S")]
_Modules = (
    Literal["all-linear", "attention", "mlp"] | _Name | Annotated[list[_Name], Field(min_length=1)]
)
"""What `_modules` takes, for the JSON Schema."""


class Lora(Section):
    """The adapter."""

    rank: int = field(
        16, "Rank r of the update.", ge=1, le=1024, source="TRL: lora_r 16; AutoTrain: 16"
    )
    alpha: int = field(
        32,
        "Scale: the update is multiplied by alpha/r.",
        ge=1,
        le=4096,
        source="TRL: lora_alpha 32; LLaMA-Factory: twice the rank",
    )
    dropout: float = field(
        0.0, "Dropout before the adapter.", ge=0, lt=1, source="PEFT: lora_dropout 0.0"
    )
    target_modules: Annotated[
        str | list[str], BeforeValidator(_modules, json_schema_input_type=_Modules)
    ] = field(
        ALL_LINEAR,
        "Modules that get an adapter: all-linear, attention, mlp, or names such as q_proj, v_proj.",
        source="QLoRA, 2023: all linear layers match full fine-tuning",
    )
    rslora: bool = field(
        False,
        "Scale by alpha/sqrt(r) instead of alpha/r, for high ranks.",
        source="PEFT: use_rslora False (rsLoRA, 2023)",
    )
    dora: bool = field(
        False,
        "Learn magnitude and direction apart; about a quarter slower.",
        source="PEFT: use_dora False (DoRA, 2024); no gain in its MetaMathQA table",
    )
    plus_ratio: float = field(
        1.0,
        "LoRA+: matrix B learns so many times as fast as A; 1 is plain LoRA.",
        ge=1,
        le=1024,
        source="PEFT: plain LoRA unless asked; LoRA+, 2024, finds 16 good",
    )
    initialisation: Initialisation = field(
        "default", "How the adapter begins, by PEFT's names.", source="PEFT: init_lora_weights True"
    )
    modules_to_save: Listed[str] = field(
        [],
        "Modules trained whole beside the adapter and saved with it, such as lm_head.",
        source="PEFT: modules_to_save None",
    )
    dtype: Literal["float32", "bfloat16"] = field(
        "float32",
        "Number format of the adapter's weights; bfloat16 loses small updates.",
        source="PEFT: autocast_adapter_dtype True",
    )
