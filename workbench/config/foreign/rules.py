"""What becomes of a key of another trainer: the four kinds of a table's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.config.foreign.taking import Taking

UNSET: Any = object()
"""A key that has no default worth setting here."""


@dataclass(frozen=True, slots=True)
class Take:
    """It is a field of ours, of the same meaning."""

    path: str
    kind: str = "float"
    """How its value is read: `float`, `int`, `bool`, `text` or `names`."""
    default: Any = UNSET
    """Theirs, where the key is absent."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ours:
    """What it is for is had here in another way."""

    how: str


@dataclass(frozen=True, slots=True)
class Missing:
    """It has no counterpart, unless it is off."""

    advice: str
    same: tuple[Any, ...] = ()
    """Values, beside those that are off, that say what is so here anyway."""


@dataclass(frozen=True, slots=True)
class By:
    """Several keys decide together; a function of the trainer's takes them."""

    what: str
    """What they decide here, for the reference page."""
    default: Any = UNSET
    """Theirs, for the reference page."""


Rule = Take | Ours | Missing | By


def words(text: str) -> frozenset[str]:
    """Names that are written with spaces between."""
    return frozenset(text.split())


def each(rule: Rule, keys: str) -> dict[str, Rule]:
    """The same rule for several keys, with spaces between."""
    return dict.fromkeys(keys.split(), rule)


@dataclass(frozen=True, slots=True)
class Trainer:
    """Another trainer: its keys and what becomes of them."""

    name: str
    """As `--from` has it."""
    title: str
    version: str
    """That its keys and defaults were read from."""
    source: str
    """Where in it."""
    rules: Mapping[str, Rule]
    steps: tuple[Callable[[Taking], None], ...]
    """What takes the keys that are By, in this order; the other keys follow."""


def is_off(value: Any) -> bool:
    """Whether a value asks for nothing."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "no", "none", "null", "false", "off", "0")
    return value is None or value is False or value == 0 or value == [] or value == {}
