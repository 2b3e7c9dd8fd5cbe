"""What a section of a config is made of: fields with bounds, units, help and a source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic_core import CoreSchema

_T = TypeVar("_T")

MOST = 10**9
"""The bound of counts that have none of their own, such as rows and steps."""
SWITCH_WORDS = ("true", "false", "yes", "no", "on", "off")
"""What YAML 1.1 reads as a truth value; an editor that reads YAML 1.2 sees text in four of them."""


def field(
    default: Any,
    help: str,
    *,
    unit: str = "",
    source: str = "",
    schema: dict[str, Any] | None = None,
    **bounds: Any,
) -> Any:
    """A field of a section.

    `source` says where its default can be looked up, or `ours:` and the reason; `schema` is what
    JSON Schema can say of it beyond its type and bounds.
    """
    return Field(
        default,
        description=help,
        json_schema_extra={"unit": unit, "source": source, **(schema or {})},
        **bounds,
    )


def listed(value: Any) -> Any:
    """`a, b` is a list of two; nothing at all is an empty one."""
    if value is None:
        return []
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def one_or_more(value: Any) -> Any:
    """A text, commas and all, is a list of one; nothing at all is an empty one."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value.strip() else []
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


class _OrText:
    """Says in the JSON Schema of a list or mapping that it may be a text, or nothing."""

    def __init__(self, pattern: str = "") -> None:
        self._pattern = pattern

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        made = handler(core)
        text: dict[str, Any] = {"type": "string"}
        if words := made.get("items", {}).get("enum"):
            word = f"({'|'.join(words)})?"
            text["pattern"] = rf"^\s*{word}(\s*,\s*{word})*\s*$"
        elif self._pattern:
            text["pattern"] = self._pattern
        return {"anyOf": [made, text, {"type": "null"}]}


Listed = Annotated[list[_T], BeforeValidator(listed), _OrText()]
"""A list that may be given as one text with commas, too."""

Texts = Annotated[list[str], BeforeValidator(one_or_more), _OrText()]
"""A list of texts that may be given as a single one."""

_PART = r"\s*[^,=:]*[^,=:\s]\s*[=:]\s*\+?[0-9.][0-9._]*([eE][+-]?[0-9]+)?\s*"
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A share, in any unit."""
Weighted = Annotated[
    dict[str, Weight],
    BeforeValidator(weighted),
    _OrText(rf"^\s*\{{?({_PART}(,{_PART})+)?,?\s*\}}?\s*$"),
]
"""Names with their weights, which may be given as one text, too."""


class Section(BaseModel):
    """A group of fields; an unknown one is an error, never passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`learning_rate: yes` is a slip, not 1.0; `packing: 1` is one, too."""
        wanted = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and wanted is not bool:
            raise ValueError("it is no switch (YAML reads yes, no, on and off as true and false)")
        word = isinstance(value, str) and value.lower() in SWITCH_WORDS
        if wanted is bool and not isinstance(value, bool) and not word:
            raise ValueError("give true or false")
        return value
