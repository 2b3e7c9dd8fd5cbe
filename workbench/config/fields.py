"""Every field of a run's config, as a form, a table or a reference page needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from workbench.config.schema import RunConfig


@dataclass(frozen=True, slots=True)
class ConfigField:
    """One field of a run's config, as a form or a reference page needs it."""

    path: str
    """`section.name`."""
    help: str
    unit: str
    source: str
    """Where its default can be looked up, or `ours:` and the reason."""
    default: Any
    choices: tuple[str, ...]
    """What it may be, when that is a short list; of a number, what else it may be."""
    kind: str
    """`text`, `int`, `float`, `bool` or `choice`."""
    minimum: float | None
    maximum: float | None
    bounds: str
    """Both in words, such as `over 0 to 100`; empty where there are none."""


def fields() -> list[ConfigField]:
    """Every field of RunConfig, in the order of the schema."""
    return list(_fields())


def value_at(config: RunConfig, path: str) -> Any:
    """The value of the field at `path`."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def field_at(path: str) -> ConfigField | None:
    """The field at `path`; None where there is none."""
    return next((item for item in _fields() if item.path == path), None)


def sections() -> list[str]:
    """The names of the groups of fields, in the order of the schema."""
    return list(dict.fromkeys(f.path.partition(".")[0] for f in _fields() if "." in f.path))


@cache
def _fields() -> tuple[ConfigField, ...]:
    return tuple(_describe(path, info) for path, info in _leaves(RunConfig, ""))


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def _describe(path: str, info: FieldInfo) -> ConfigField:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    members = list(_members(info.annotation))
    bounds = _bounds(info)
    return ConfigField(
        path=path,
        help=info.description or "",
        unit=str(extra.get("unit", "")),
        source=str(extra.get("source", "")),
        default=info.default,
        choices=tuple(member for member in members if isinstance(member, str)),
        kind=_kind(members),
        minimum=bounds.get("ge", bounds.get("gt")),
        maximum=bounds.get("le", bounds.get("lt")),
        bounds=_in_words(bounds),
    )


def _members(annotation: Any) -> Iterator[Any]:
    """The types and the words that a field may be, of a union each."""
    if get_origin(annotation) is Literal:
        yield from annotation.__args__
    elif get_origin(annotation) in (Union, UnionType):
        for inner in annotation.__args__:
            yield from _members(inner)
    elif get_origin(annotation) is Annotated:
        yield from _members(annotation.__origin__)
    else:
        yield annotation


def _kind(members: list[Any]) -> str:
    for kind in (bool, int, float):
        if kind in members:
            return kind.__name__
    return "choice" if any(isinstance(member, str) for member in members) else "text"


def _bounds(info: Any) -> dict[str, Any]:
    """A number's bounds, `ge` to `lt`, wherever in its union they stand."""
    found: dict[str, Any] = {}
    for held in (*getattr(info, "metadata", ()), *getattr(info, "__metadata__", ())):
        own = {name: getattr(held, name, None) for name in ("ge", "gt", "le", "lt")}
        found |= {name: value for name, value in own.items() if value is not None}
        found |= _bounds(held)
    kind = getattr(info, "annotation", info)
    if get_origin(kind) in (Union, UnionType):
        for inner in kind.__args__:
            found |= _bounds(inner)
    return found


def _in_words(bounds: dict[str, Any]) -> str:
    low = [
        f"{word}{bounds[name]:,}" for name, word in (("ge", ""), ("gt", "over ")) if name in bounds
    ]
    high = [
        f"{word}{bounds[name]:,}" for name, word in (("le", ""), ("lt", "under ")) if name in bounds
    ]
    return " to ".join([*(low or ["any"]), *(high or ["any"])]) if low or high else ""
