"""What a section of a config is made of: fields with bounds, units, help and a source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


def field(default: Any, help: str, *, unit: str = "", source: str = "", **bounds: Any) -> Any:
    """A field of a section; `source` says where its default can be looked up."""
    return Field(
        default,
        description=help,
        json_schema_extra={"unit": unit, "source": source},
        **bounds,
    )


def listed(value: Any) -> Any:
    """`a, b` is a list of two; nothing at all is an empty one."""
    if value is None:
        return []
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def weighted(value: Any) -> Any:
    """`a=0.7, b=0.3`, with braces and colons as YAML has them or without, is a mapping of two;
    nothing at all is an empty one.

    Raises ValueError for what is none, for a name that stands in it twice, and for a weight in a
    text that is no number above 0.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        if truths := [str(name) for name, weight in value.items() if isinstance(weight, bool)]:
            raise ValueError(f"true and false are no weight for {', '.join(truths)}")
        return {str(name): weight for name, weight in value.items()}
    if not isinstance(value, str):
        raise ValueError("write it as NAME=WEIGHT, NAME=WEIGHT, or as a mapping")
    text = value.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    found: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, weight = part.replace(":", "=").rpartition("=")
        name = name.strip().strip("\"'")
        if not sign or not name:
            raise ValueError("write it as NAME=WEIGHT, NAME=WEIGHT")
        if name in found:
            raise ValueError(f"{name} has two weights")
        found[name] = _weight(name, weight.strip())
    return found


def _weight(name: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight < math.inf:
        raise ValueError(f"a weight is a number above 0, and that of {name} is {text or 'none'}")
    return weight


def weights_in_words(weights: Mapping[str, float]) -> str:
    """`a=0.7, b=0.3`, which `weighted` reads."""
    return ", ".join(f"{name}={weight!r}" for name, weight in weights.items())


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
