"""What a section of a config is made of: fields with bounds, units, help and a source."""

from __future__ import annotations

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
